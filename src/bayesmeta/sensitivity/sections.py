"""Sections of the sensitivity bench as people read them: which columns, under which heading, with which note."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesmeta.digits import number, p_value, percent, ratios, together
from bayesmeta.measures import measure
from bayesmeta.sensitivity.concordance import concordance_sentence
from bayesmeta.sensitivity.multiverse import multiverse_summary
from bayesmeta.sensitivity.robustness import SECTIONS

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.fits import Fit

__all__ = ["ReadableSection", "Shown", "cells", "read_section"]


class Shown(NamedTuple):
    """A column that is printed: its name, its header, and how.

    Effects are back-transformed; a percent is a probability, never 0 or 100; a share may be both.
    """

    column: str
    header: str
    kind: str


def _columns(text: str) -> tuple[Shown, ...]:
    """Read ``column=header:kind`` items separated by commas."""
    found = []
    for item in text.split(","):
        name, _, rest = item.strip().partition("=")
        header, _, kind = rest.rpartition(":")
        found.append(Shown(name, header, kind))
    return tuple(found)


_SHOWN: dict[str, tuple[Shown, ...]] = {
    "concordance": _columns(
        "ingredient=from the classical answer to the Bayesian:text, estimate=mean:effect, lower=lower:effect, "
        "upper=upper:effect, tau=tau:number, shift_se=shift in SE:number, width_ratio=width x:number, "
        "p_important_benefit=P(imp.):percent"
    ),
    "priors": _columns(
        "prior=prior:text, mu=mean:effect, lower=lower:effect, upper=upper:effect, tau=tau:number, "
        "p_important_benefit=P(imp.):percent, p_important_benefit_new=P(imp. new):percent, conflict=conflict p:p"
    ),
    "tipping": _columns(
        "asked=question:text, probability=P now:percent, moved=varied:text, prior=tips at:text, "
        "prior_probability=prior prob.:percent"
    ),
    "scaling": _columns(
        "quantity=quantity:text, component=scaled:text, exact=sensitivity:number, exact_change=change:number, "
        "diagnosis=diagnosis:text"
    ),
    "leave-one-out": _columns(
        "left_out=without:text, mu=mean:effect, lower=lower:effect, upper=upper:effect, tau=tau:number, "
        "p_value=pred. p:p, classical_estimate=REML:effect, classical_lower=lower:effect, classical_upper=upper:effect"
    ),
    "cumulative": _columns(
        "added=adding:text, k=k:count, mu=mean:effect, lower=lower:effect, upper=upper:effect, tau=tau:number, "
        "classical_estimate=REML:effect, classical_lower=lower:effect, classical_upper=upper:effect"
    ),
    "inconsistency": _columns(
        "threshold=threshold:text, estimates_benefit=estimates:share, theta_benefit=true effects:share, "
        "sure_benefit=sure:count, di=DI:number, asi=ASI:number, tau_units=tau/M:number, tau_units_lower=lower:number, "
        "tau_units_upper=upper:number, new_crosses=PI crosses:count"
    ),
    "small-study": _columns(
        "name=method:text, estimate=estimate:number, lower=lower:number, upper=upper:number, p=p:p, k0=missing:count, "
        "shift=shift in SE:number"
    ),
    "influence": _columns(
        "label=trial:text, rstudent=rstudent:number, dffits=DFFITS:number, cook=Cook:number, hat=hat:number, "
        "cov_ratio=cov. ratio:number, weight=weight %:number, mark=:text"
    ),
    "dependence": _columns(
        "name=treatment of rows:text, estimate=mean:effect, lower=lower:effect, upper=upper:effect, df=df:number, "
        "p=p:p, tau=tau:number, cluster_tau=within:number"
    ),
    "counts": _columns(
        "name=method and zero cells:text, k=k:count, estimate=mean:effect, lower=lower:effect, upper=upper:effect, "
        "p=p:p, tau=tau:number"
    ),
    "heterogeneity": _columns(
        "name=method:text, tau_lower=lower:number, tau=tau:number, tau_upper=upper:number, i2_lower=I2 lower:number, "
        "i2_upper=I2 upper:number"
    ),
    "estimators": _columns(
        "name=method:text, estimate=mean:effect, lower=lower:effect, upper=upper:effect, p=p:p, tau=tau:number, "
        "pi_lower=PI lower:effect, pi_upper=PI upper:effect"
    ),
    "multiverse": _columns(
        "asked=specifications:text, verdict=verdict:text, universes=n:count, share=share:share, "
        "estimate_min=least:effect, estimate_median=median:effect, estimate_max=most:effect"
    ),
    "permutation": _columns(
        "method=method:text, estimate=mean:effect, stat=statistic:number, p=p:p, number=flips:count"
    ),
    "gosh": _columns(
        "trial=trial:text, with_estimate=with it:effect, without_estimate=without:effect, "
        "with_below_null=below null:share, without_below_null=without:share, with_i2=I2 with:number, "
        "without_i2=without:number"
    ),
}

_NOTES: dict[str, str] = {
    "concordance": "Each line exchanges one ingredient more; shifts are in classical standard errors, widths "
    "relative to "
    "the line before. P(imp.): probability of an important benefit, classical lines by their confidence distribution.",
    "priors": "One prior exchanged at a time; --json and --csv hold every pair, what each prior said beforehand and "
    "Bayes factors. Conflict p: can prior and data be about the same quantity?",
    "tipping": "Everything else as stated. Prior prob.: prior probability under the prior at the tipping point.",
    "scaling": "By exact refits. Sensitivity above 0.05 is worth a look; change: of the mean in posterior SDs, or of "
    "the probability, per doubling of the prior's power.",
    "leave-one-out": "Exact refits; pred. p: two-sided, of the trial's own estimate given the others. REML: with the "
    "Hartung-Knapp interval.",
    "cumulative": "Exact refits as trials are added. REML: with the Hartung-Knapp interval.",
    "inconsistency": "Estimates, and true effects of these trials, beyond the threshold of benefit; sure: trials with "
    "a probability of 95 % or more. DI, ASI: decision and across-trial inconsistency, 0 to 100, from the posterior. "
    "tau/M: tau in units of the threshold. PI crosses: thresholds that the prediction interval crosses.",
    "small-study": "Tests: estimate is a slope or a correlation. Adjusted estimates are on the analysis scale; shift: "
    "from the unadjusted REML estimate, in its standard errors.",
    "influence": "* influential by metafor's rules; ! studentized residual beyond 1.96. The largest are shown; --json "
    "and --csv hold every row.",
    "dependence": "CHE: correlated and hierarchical effects with a stated sampling correlation, CR2 standard errors "
    "and Satterthwaite degrees of freedom. within: SD between rows of one trial.",
    "counts": "Double zero: trials without events in either arm carry no information on a ratio.",
    "heterogeneity": "Confidence intervals of tau, and of I2 in percent.",
    "estimators": "",
    "multiverse": "Verdicts set each specification's interval against no effect and the threshold.",
    "permutation": "Signs of the estimates are flipped in every way, or in a seeded sample of ways.",
    "gosh": "Medians over all subsets of trials, or a stated sample of them, that hold the trial and that do not.",
}
#: Rows of a long table that are printed.
ROWS = 12
_INFLUENTIAL, _OUTLIER = "*", "!"
#: Notes of a row are joined by semicolons; one inside parentheses belongs to a reference.
_SENTENCES = re.compile(r"; (?![^()]*\))")
#: A line without this number is not defined for these data, and its note says why.
_DEFINED = {"dependence": "estimate", "counts": "estimate", "heterogeneity": "tau_lower", "estimators": "estimate"}


class ReadableSection(NamedTuple):
    """One section ready to be printed.

    Attributes
    ----------
    question : str
    shown : tuple of Shown
        The columns that hold something.
    cells : list of list of str
    note : str
        What the columns mean, and what belongs to these data.
    """

    question: str
    shown: tuple[Shown, ...]
    cells: list[list[str]]
    note: str


def read_section(name: str, frame: pd.DataFrame, fit: Fit) -> ReadableSection:
    """Make a section of the bench readable.

    Parameters
    ----------
    name : str
        Of `bayesmeta.sensitivity.robustness.SECTIONS`.
    frame : pandas.DataFrame
        Its table.
    fit : Fit
        The pooled analysis.

    Examples
    --------
    >>> from bayesmeta.sensitivity import sensitivity_analyses
    >>> table = sensitivity_analyses(fit, ["concordance"]).tables["concordance"]
    >>> read_section("concordance", table, fit).cells[0][:2]
    ['REML + HKSJ', '-0.146']
    """
    shown, remarks = _prepared(name, frame, fit)
    present = [item for item in _SHOWN[name] if item.column in shown]
    # what does not exist for any row of a table is not a column of it
    present = [item for item in present if item.kind in ("text", "count") or shown[item.column].notna().any()]
    note = " ".join([_NOTES[name], *remarks]).strip()
    return ReadableSection(SECTIONS[name], tuple(present), cells(shown, present, fit) if len(shown) else [], note)


def cells(frame: pd.DataFrame, shown: Sequence[Shown], fit: Fit) -> list[list[str]]:
    """Write a table cell by cell: effects on the natural scale, with the digits that their column shares."""
    kind = measure(fit.effects.measure)
    effects = [item.column for item in shown if item.kind == "effect"]
    back = [kind.back(frame[column].to_numpy(float)).tolist() for column in effects]
    written = dict(zip(effects, ratios(back) if kind.log else together(back), strict=True))
    columns = []
    for item in shown:
        values = frame[item.column].tolist()
        if item.kind == "effect":
            columns.append([_blank(text) for text in written[item.column]])
        elif item.kind == "percent":
            columns.append(["" if value != value else percent(float(value)) for value in values])
        elif item.kind == "p":
            columns.append(["" if value != value else p_value(float(value)) for value in values])
        elif item.kind == "number":
            columns.append(["" if value != value else _short(float(value)) for value in values])
        elif item.kind == "share":
            columns.append([_share(value) for value in values])
        elif item.kind == "count":
            columns.append(["" if _missing(value) else str(int(value)) for value in values])
        else:
            columns.append(["" if _missing(value) else str(value) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def _missing(value: Any) -> bool:
    return str(value) in ("<NA>", "nan", "None")


def _share(value: float) -> str:
    """Write a share of things counted, which may be none or all of them."""
    if value != value:
        return ""
    if value in (0, 1):
        return "all" if value else "none"
    return "<1 %" if value < 0.01 else ">99 %" if value > 0.99 else f"{100 * value:.0f} %"


def _blank(text: str) -> str:
    return "" if text == "not defined" else text


def _short(value: float) -> str:
    if not np.isfinite(value):
        return "not finite"
    return number(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2)


def _joined(first: pd.Series[Any], second: pd.Series[Any]) -> list[str]:
    return [
        f"{a}, {b}" if str(b) not in ("", "nan", "None", "-") else str(a) for a, b in zip(first, second, strict=True)
    ]


def _prepared(name: str, frame: pd.DataFrame, fit: Fit) -> tuple[pd.DataFrame, list[str]]:
    """Rows and columns as they are printed, and remarks that belong below."""
    shown, remarks = frame.copy(), []
    if name == "concordance":
        remarks.append(concordance_sentence(frame))
    elif name == "priors":
        stated = frame[frame["stated"]].iloc[0]
        same_mu, same_tau = frame["mu_prior"] == stated["mu_prior"], frame["tau_prior"] == stated["tau_prior"]
        shown = frame[same_mu | same_tau].copy()
        words, conflicts = [], []
        for row in shown.to_dict("records"):
            if row["stated"]:
                words.append("as stated")
                conflicts.append(np.nan)
            elif row["mu_prior"] == stated["mu_prior"]:
                words.append(f"tau {row['tau_prior']}")
                conflicts.append(row["conflict_tau"])
            else:
                words.append(f"mu {row['mu_prior']}")
                conflicts.append(row["conflict_mu"])
        shown["prior"], shown["conflict"] = words, conflicts
        remarks.append(
            f"The stated priors: p = {p_value(_number(stated, 'conflict_mu'))} for mu, "
            f"{p_value(_number(stated, 'conflict_tau'))} for tau."
        )
    elif name == "tipping":
        shown["asked"] = _joined(frame["question"], frame["target"])
        shown["prior"] = [row["prior"] if row["tipped"] else "-" for row in frame.to_dict("records")]
        remarks.append(f"The panel's cut-off: {percent(float(frame['cut'].iloc[0]), 0)}. -: not crossed.")
    elif name == "small-study":
        shown["name"] = _joined(frame["method"], frame["form"])
        shown = shown[frame["estimate"].notna() | frame["k0"].notna()]
        remarks += _guards(frame)
    elif name == "influence":
        rank = frame["cook"].rank(ascending=False, method="first")
        keep = (rank <= ROWS) | frame["influential"].astype(bool) | frame["outlier"].astype(bool)
        shown = frame[keep].sort_values("cook", ascending=False).copy()
        shown["mark"] = [
            (_INFLUENTIAL if a else "") + (_OUTLIER if b else "")
            for a, b in zip(shown["influential"], shown["outlier"], strict=True)
        ]
    elif name == "dependence":
        rho = ["" if _missing(value) else f"{value:g}" for value in frame["correlation"]]
        shown["name"] = [f"{a} ({b})" if b else str(a) for a, b in zip(frame["method"], rho, strict=True)]
        remarks += _notes_of(frame)
    elif name == "counts":
        shown["name"] = _joined(frame["method"], frame["policy"])
        remarks += _notes_of(frame)
    elif name == "heterogeneity":
        shown["name"] = _joined(frame["method"], frame["form"]) if "form" in frame else frame["method"]
        shown["tau"] = np.sqrt(frame["tau2"].to_numpy(float))
        remarks += _notes_of(frame)
    elif name == "estimators":
        shown["name"] = frame["method"]
        shown["tau"] = np.sqrt(frame["tau2"].to_numpy(float))
        remarks += _notes_of(frame)
    elif name == "multiverse":
        spread, choices = multiverse_summary(frame)
        shown = spread[spread["verdict"] != "all"].copy()
        shown["asked"] = _joined(shown["target"], shown["engine"])
        remarks += _driving(choices)
    if name in _DEFINED:
        shown = shown[shown[_DEFINED[name]].notna()]
    return shown, [text for text in remarks if text]


def _number(row: Any, column: str) -> float | None:
    value = row[column]
    return None if _missing(value) else float(value)


def _guards(frame: pd.DataFrame) -> list[str]:
    """What notes say of the whole table, once; then why a method is not defined."""
    parts = [_SENTENCES.split(str(note)) for note in frame["note"] if note]
    common = [
        text
        for text in dict.fromkeys(part for note in parts for part in note)
        if sum(text in note for note in parts) > 1
    ]
    found = [f"{text.rstrip('.')}." for text in common]
    lost = frame[frame["estimate"].isna() & frame["k0"].isna()]
    for row in lost.to_dict("records"):
        reasons = [part for part in _SENTENCES.split(str(row["note"])) if part not in common]
        found += [f"{row['method']}: {'; '.join(reasons).rstrip('.')}."] if reasons else []
    return found


def _notes_of(frame: pd.DataFrame) -> list[str]:
    """Notes of rows, each said once."""
    noted = frame[frame["note"] != ""]
    methods = noted.groupby(noted["note"].str.rstrip("."), sort=False)["method"].unique()
    return [f"{', '.join(names)}: {note}." for note, names in methods.items()]


def _driving(choices: pd.DataFrame) -> list[str]:
    """Which choice spreads the estimates and which the intervals, for the mean effect."""
    lines = []
    for engine, part in choices[choices["target"] == "mean effect"].groupby("engine", sort=False):
        lines_of: Any = part.reset_index(drop=True)
        by = {what: lines_of.loc[lines_of[f"{what}_share"].idxmax()] for what in ("estimate", "width")}
        lines.append(
            f"{engine}, mean effect: the estimate is spread most by {by['estimate']['choice']} "
            f"({_part(by['estimate']['estimate_share'])} of its variance), the width by {by['width']['choice']} "
            f"({_part(by['width']['width_share'])})."
        )
    return lines


def _part(value: float) -> str:
    return "nearly all" if value > 0.995 else f"{100 * value:.0f} %" if value > 0.005 else "next to none"
