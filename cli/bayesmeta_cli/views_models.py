"""Text about models beyond a mean and its heterogeneity: how it was sampled, what was imputed, outliers."""

from __future__ import annotations

from typing import Any

import bayesmeta as bm
from bayesmeta.columns import columns_of, readable
from bayesmeta_cli.render import laid_out, number, wrapped

MEDIANS = "Medians with 95 % central credible intervals."
#: Probability of being an outlier from which a trial is named.
NAMED = 0.1
_NAMES = {
    "tau_within": "SD within trials (tau_within)",
    "theta_trial": "mean of a new trial (theta_trial)",
    "df": "degrees of freedom (df)",
    "share": "share of outliers (share)",
    "extra": "extra SD of outliers (extra)",
    "correlation": "correlation, not reported",
}


def label_of(name: str) -> str:
    """What tables call a quantity beyond mean, heterogeneity and new study."""
    return _NAMES.get(name, name)


def further(fit: bm.Fit) -> list[str]:
    """Quantities that stand in the main table below mean, new study and heterogeneity."""
    table_ = bm.summarize(fit)
    skipped = ("mu", "tau", "theta_new")
    return [
        str(name)
        for name in table_.index
        if name not in skipped and not str(name).startswith(("beta[", "missing", "outlier["))
    ]


def engine_lines(fit: bm.Fit) -> list[str]:
    """How the numbers were made, where they were not made exactly; and whether two engines agree."""
    lines = []
    if fit.simulated:
        lines.append(_sampled(fit))
    if fit.second is not None:
        found = bm.agreement_table(fit)
        worst = found.iloc[int(found["difference"].abs().to_numpy().argmax())]
        lines.append(
            f"Both engines: exact, and {_sampled(fit.second)[0].lower()}{_sampled(fit.second)[1:]} Of "
            f"{len(found)} comparisons the largest difference is {abs(worst['difference']):.1f} Monte Carlo standard "
            f"errors (limit 4): {worst['statistic']} of {worst['quantity']}."
        )
    return lines


def _sampled(fit: bm.Fit) -> str:
    made: Any = fit.posterior.settings
    checks = {check.name: check for check in fit.checks}
    text = f"Sampled by NUTS: {made['chains']} x {made['draws']} draws"
    if "R-hat" in checks:
        text += f", R-hat at most {checks['R-hat'].value:.3f}, effective draws at least {checks['bulk ESS'].value:.0f}"
    if made.get("attempts", 1) > 1:
        text += f", second attempt with target acceptance {made['target_accept']:g}"
    error = bm.summarize(fit).loc["mu", "mcse"]
    return f"{text}; Monte Carlo standard error of the mean effect {number(error)}."


def overlap_lines(fit: bm.Fit) -> list[str]:
    """How much of the coefficients is their prior: overlap of prior and posterior."""
    if not all(getattr(item, "proper", True) for item in (fit.model.mu, fit.model.tau)):
        return []
    found = bm.overlap_table(fit)
    rows = found[found["quantity"].str.startswith("beta[")]
    columns = (
        *columns_of("text", quantity="coefficient", prior="prior"),
        *columns_of("number", overlap="overlap"),
        *columns_of("text", verdict="verdict"),
    )
    note = "Overlap of prior and posterior: 1 where the data taught nothing, 0 where they exclude each other."
    shown = readable(rows.assign(quantity=rows["quantity"].map(_inside)), columns)
    return [laid_out(shown, note, left=2)] if shown.cells else []


def trial_lines(fit: bm.Fit) -> list[str]:
    """What the model says of single trials: values it imputed, and outliers."""
    if not fit.simulated:
        return []
    lines: list[str] = []
    found = bm.summarize(fit).reset_index(names="name")
    found = found.assign(inside=found["name"].map(_inside), p=found["mean"].clip(0, 1))
    missing = found[found["name"].str.startswith("missing")]
    of_levels = missing["name"].str.contains(" = ", regex=False)
    outliers = found[found["name"].str.startswith("outlier[")].sort_values("p", ascending=False, kind="stable")
    named = outliers[outliers["p"] >= NAMED]
    medians = columns_of("sd", median="median", lower="lower", upper="upper")
    fewer = f"Trials with a probability below {bm.percent(NAMED)} are not named: {len(outliers) - len(named)}."
    for rows, head, columns, note in (
        (missing[~of_levels], "not stated", medians, f"Not stated by the trial and imputed jointly. {MEDIANS}"),
        (missing[of_levels], "not stated", columns_of("probability", p="probability"), ""),
        (named, "trial", columns_of("probability", p="P(outlier)"), fewer),
    ):
        if len(rows):
            lines += [laid_out(readable(rows, (*columns_of("text", inside=head), *columns)), note), ""]
    return lines + ([wrapped(fewer), ""] if len(outliers) and not len(named) else [])


def _inside(name: object) -> str:
    text = str(name)
    return text[text.find("[") + 1 : -1]
