"""Text about models beyond a mean and its heterogeneity: how it was sampled, what was imputed, outliers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import bayesmeta as bm
from bayesmeta_cli.render import number, table, title, together, wrapped

if TYPE_CHECKING:
    import pandas as pd

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
    if not fit.exact:
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
    made = fit.sample.settings
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
    cells = [
        [_inside(row.quantity), str(row.prior), number(row.overlap, 2), str(row.verdict)] for row in rows.itertuples()
    ]
    note = "Overlap of prior and posterior: 1 where the data taught nothing, 0 where they exclude each other."
    return [table(["coefficient", "prior", "overlap", "verdict"], cells, left=2), wrapped(note)] if cells else []


def trial_lines(fit: bm.Fit) -> list[str]:
    """What the model says of single trials: values it imputed, and outliers."""
    if fit.exact:
        return []
    lines: list[str] = []
    found = bm.summarize(fit)
    rows = [name for name in found.index if str(name).startswith("missing")]
    levels = [name for name in rows if " = " in str(name)]
    numeric = [name for name in rows if name not in levels]
    if numeric:
        columns = [found.loc[numeric, column].tolist() for column in ("median", "lower", "upper")]
        values = zip(*together(columns), strict=True)
        cells = [[_inside(name), *row] for name, row in zip(numeric, values, strict=True)]
        note = "Not stated by the trial and imputed jointly. Medians with 95 % central credible intervals."
        lines += [table(["not stated", "median", "lower", "upper"], cells), wrapped(note), ""]
    if levels:
        cells = [[_inside(name), bm.percent(float(found.loc[name, "mean"]))] for name in levels]
        lines += [table(["not stated", "probability"], cells), ""]
    outliers = [(str(name), float(found.loc[name, "mean"])) for name in found.index if str(name).startswith("outlier[")]
    named = sorted((item for item in outliers if item[1] >= NAMED), key=lambda item: -item[1])
    if outliers:
        cells = [[_inside(name), bm.percent(p)] for name, p in named]
        note = f"Trials with a probability below {bm.percent(NAMED)} are not named: {len(outliers) - len(named)}."
        lines += [table(["trial", "P(outlier)"], cells), wrapped(note), ""] if named else [wrapped(note), ""]
    return lines


def _inside(name: object) -> str:
    text = str(name)
    return text[text.find("[") + 1 : -1]


def tables_view(name: str, parts: Sequence[tuple[str, pd.DataFrame, str]]) -> str:
    """Tables under headings: numbers with shared decimals, probabilities as they are, notes below."""
    lines = [title(name)]
    for heading, frame, note in parts:
        lines += [wrapped(heading), table([str(column) for column in frame.columns], _cells(frame))]
        lines += [wrapped(note), ""] if note else [""]
    return "\n".join(lines)


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    columns = []
    for column in frame.columns:
        values = frame[column].tolist()
        if str(column).startswith(("P(", "p_")):
            columns.append(["" if value != value else bm.percent(float(value)) for value in values])
        elif frame[column].dtype.kind == "f":
            columns.append(["" if value != value else number(value, 3) for value in values])
        else:
            columns.append([str(value) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]
