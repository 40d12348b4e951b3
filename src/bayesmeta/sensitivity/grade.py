"""GRADE support: the numbers that a panel needs for four domains, with the rule each follows; never a rating.

Every line has a value, the rule, why it matters, what the rule would suggest, and an empty field for the panel's own
judgement. Indirectness is left to the panel altogether.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.classical import pool_check
from bayesmeta.columns import amount, bayes_factor_text, number, percent, ratios, together
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.questions import benefit_probabilities, direction, information_size, resolve_threshold, summarize
from bayesmeta.sensitivity.inconsistency import inconsistency_table

if TYPE_CHECKING:
    from bayesmeta.fits import Fit

__all__ = ["GRADE_COLUMNS", "GRADE_RULES", "grade_table", "information_size"]

#: Domain, item, rule, and why it matters.
_Item = tuple[str, str, str, str]
#: An item with its value, what the rule suggests, and why it matters here.
_Line = tuple[_Item, str] | tuple[_Item, str, str] | tuple[_Item, str, str, str]

GRADE_COLUMNS = ("domain", "item", "value", "rule", "rationale", "suggestion", "panel")
#: Trials from which tests of small-study effects say something: Cochrane Handbook 13.3.5.4.
ENOUGH = 10
#: Words of a risk-of-bias column that count as high.
HIGH = ("high", "high risk", "critical", "serious")


def grade_table(
    fit: Fit,
    threshold: Threshold | float | None = None,
    *,
    tables: Mapping[str, pd.DataFrame] | None = None,
    risk_of_bias: Sequence[str | None] | pd.DataFrame | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Fill in what can be computed for GRADE's domains.

    Parameters
    ----------
    fit : Fit
        With a direction.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome; it must be a number.
    tables : mapping, optional
        Sensitivity analyses that exist already (``small-study``, ``publication-bias``, ``risk-of-bias``).
    risk_of_bias : sequence of str, or pandas.DataFrame, optional
        The judgement of each row, None where it is not stated; or a frame with a column per domain and ``overall``.
        What the fit's outcome states counts as high, else ``"high"`` and the like.

    Returns
    -------
    pandas.DataFrame
        Columns ``domain item value rule rationale suggestion panel``. ``suggestion`` says what the rule would have a
        panel consider; ``panel`` is empty.

    Raises
    ------
    ModelError
        Without a direction or a threshold that is a number, and for one arm.

    References
    ----------
    Core GRADE 2 and 3: BMJ 2025. GRADE guidance 34 and 36: doi:10.1016/j.jclinepi.2022.07.014,
    doi:10.1016/j.jclinepi.2023.03.003. Guidelines 6: doi:10.1016/j.jclinepi.2011.01.012

    Examples
    --------
    >>> table = grade_table(fit, bm.threshold(0.5, measure_name="SMD", better="lower"))
    >>> table["panel"].eq("").all().item(), table["domain"].unique().tolist()
    (True, ['imprecision', 'inconsistency', 'publication bias', 'risk of bias', 'indirectness'])
    """
    if measure(fit.effects.measure).single_arm:
        raise ModelError(
            "GRADE support is of comparisons: its rules ask for a difference that matters, and one arm has none. The "
            "panel judges the domains without it."
        )
    chosen = resolve_threshold(fit, threshold)
    if chosen is None or not isinstance(chosen.benefit_distance, (int, float)):
        raise ModelError("GRADE support needs a primary threshold that is a number.")
    if not isinstance(chosen.worse_distance, (int, float)):
        raise ModelError("GRADE support needs a threshold of harm that is a number.")
    benefit, worse = float(chosen.benefit_distance), float(chosen.worse_distance)
    found = [
        *_imprecision(fit, chosen, benefit, worse, level),
        *_inconsistency(fit, chosen, level),
        *_publication(fit, (tables or {}).get("small-study")),
        *_averaged((tables or {}).get("publication-bias")),
        *_risk(fit, risk_of_bias, (tables or {}).get("risk-of-bias")),
        (_PEOPLE, "for the panel"),
    ]
    rows = [
        {
            **dict.fromkeys(GRADE_COLUMNS, ""),
            **dict(zip(("domain", "item", "rule", "rationale"), item, strict=True)),
            **dict(zip(("value", "suggestion", "rationale"), said, strict=False)),
        }
        for item, *said in found
    ]
    return pd.DataFrame(rows)


def _items(domain: str, *lines: tuple[str, str, str]) -> list[_Item]:
    return [(domain, *line) for line in lines]


_CREDIBLE, _CLASSICAL, _SIZE = _items(
    "imprecision",
    (
        "thresholds crossed by the {level:g} % credible interval",
        "Core GRADE 2: rate down where the interval crosses the threshold of benefit or of harm",
        "",
    ),
    ("thresholds crossed by the Hartung-Knapp interval", "the same rule", "The classical check beside it"),
    (
        "optimal information size",
        "GRADE guidelines 6: alpha 0.05, power 0.80, the threshold as difference",
        "Fewer participants than one adequate trial make a precise-looking estimate fragile",
    ),
)
_SIDES, _OVERLAP, _TAU, _PREDICTION = _items(
    "inconsistency",
    (
        "where estimates lie",
        "Core GRADE 3: where estimates lie relative to the threshold, not how small a p-value is",
        "",
    ),
    (
        "overlap of confidence intervals",
        "Core GRADE 3: point estimates and overlap of intervals",
        "Pairs of estimates whose intervals overlap",
    ),
    (
        "tau in units of the threshold",
        "a convention: below 0.5 small, above 1 large",
        "Whether true effects differ by an amount that matters",
    ),
    (
        "thresholds crossed by the prediction interval",
        "GRADE guidance 36: what a new study may show",
        "A new study may lie on another side than the mean",
    ),
)
_ASYMMETRY = "Cochrane Handbook 13.3.5.4: asymmetry is not judged with fewer than ten trials"
_BIASED = "Small trials differ from large ones; reasons other than missing trials exist"
_SHIFT = "How far the mean would move under that method's assumption"
_FEW, _EGGER, _MIXED, _FILL, _LIMIT, _EVIDENCE, _MOVED = _items(
    "publication bias",
    (
        "small-study effects",
        _ASYMMETRY,
        "Tests have little power; a large p value does not show that nothing is missing",
    ),
    ("Egger's test", _ASYMMETRY, _BIASED),
    ("Egger's test, random effects", _ASYMMETRY, _BIASED),
    *(
        (f"shift by {name}", "sensitivity analysis, no test", _SHIFT)
        for name in ("trim and fill", "limit meta-analysis")
    ),
    (
        "inclusion Bayes factor of bias",
        "models with and without publication bias, averaged: doi:10.1002/jrsm.1594",
        "How much the data moved the odds of bias; above 1 they speak for it",
    ),
    (
        "P(important benefit) without bias, and averaged",
        "the same average, at the stated threshold",
        "How much of the probability depends on nothing being missing",
    ),
)
_JUDGED, _WEIGHT, _DOMAINS, _REST, _LOW, _ADJUSTED, _TIP = _items(
    "risk of bias",
    (
        "judgements of trials",
        "a column risk_of_bias states them",
        "Without them nothing can be computed; the panel judges",
    ),
    ("weight of trials at high risk", "inverse-variance weights", "How much of the estimate rests on them"),
    ("rows at high risk by domain", "judgements of the table", "Where the risk comes from"),
    ("mean without trials at high risk", "restricted analysis, refitted", "Whether the answer rests on them"),
    ("mean of trials at low risk alone", "restricted analysis, refitted", "What the best trials say"),
    (
        "mean adjusted for the stated bias",
        "its mean and variance taken out of trials at high risk",
        "The effect at zero bias, if the bias is as large as stated",
    ),
    (
        "mean bias that changes the conclusion",
        "at which the probability of the mean effect reaches the cut-off",
        "Whether a bias of that size is believable",
    ),
)
(_PEOPLE,) = _items(
    "indirectness",
    (
        "people, interventions, comparators, outcomes",
        "judged, not computed",
        "Who was studied, what was done, and which outcome was measured",
    ),
)


#: Trials against optimal information size: enough, and half of it.
_SIZES = (1.0, 0.5)
#: Share of estimates on the other side of the threshold from which inconsistency is serious.
_OTHER_SIDE = 0.2
#: Heterogeneity in units of the threshold.
_TAUS = (0.5, 1.0)
#: The page's scripts read from here where the suggestions change.
GRADE_RULES = MappingProxyType({"size": _SIZES, "other_side": _OTHER_SIDE, "tau": _TAUS})


def _levels(count: int) -> str:
    return {0: "no reason to rate down", 1: "consider one level", 2: "consider two levels"}[min(count, 2)]


def _crossed(ends: Sequence[float], marks: Sequence[float]) -> int:
    low, high = ends
    return sum(low < mark < high for mark in marks)


def _imprecision(fit: Fit, item: Threshold, benefit: float, worse: float, level: float) -> list[_Line]:
    sign = direction(fit)
    kind = measure(fit.effects.measure)
    mu: Any = summarize(fit, level=level).loc["mu"]

    def crossed(low: float, high: float) -> tuple[str, str]:
        count = _crossed(sorted((sign * low, sign * high)), (benefit, -worse))
        ends = np.asarray(kind.back(np.array([low, high])), float).tolist()
        return f"{count} of 2 ({' to '.join((ratios if kind.log else together)([ends])[0])})", _levels(count)

    chances = benefit_probabilities(fit, item)
    words = (
        f"P(important benefit) {percent(chances['p_important_benefit'])}, P(important harm) "
        f"{percent(chances['p_important_harm'])}"
    )
    domain, credible, rule, _ = _CREDIBLE
    named = (domain, credible.format(level=100 * level), rule, "")
    rows: list[_Line] = [(named, *crossed(float(mu["lower"]), float(mu["upper"])), words)]
    try:
        classical = pool_check(fit.effects, level=level, rho=fit.model.rho)
    except ModelError as error:
        rows.append((_CLASSICAL, "not defined", "", str(error)))
    else:
        rows.append((_CLASSICAL, *crossed(classical.lower, classical.upper)))
    people = fit.effects.participants
    if fit.effects.measure in ("SMD", "SMDH") and people is not None:
        needed = information_size(benefit)
        ratio = people / needed
        value = f"{people} participants; {math.ceil(needed)} would detect {benefit:g} SD ({ratio:.1f} times)"
        rows.append(
            (
                _SIZE,
                value,
                _levels(0 if ratio >= _SIZES[0] else 1 if ratio >= _SIZES[1] else 2),
            )
        )
    return rows


def _inconsistency(fit: Fit, item: Threshold, level: float) -> list[_Line]:
    line: Any = inconsistency_table(fit, [item], level=level).iloc[0]
    k, di = int(line["k"]), float(line["di"])
    beyond, trivial, harm = (round(k * float(line[f"estimates_{side}"])) for side in ("benefit", "trivial", "harm"))
    sides = sum(count > 0 for count in (beyond, trivial, harm))
    crosses = int(line["new_crosses"])
    overlap = "one estimate" if k < 2 else f"{100 * float(line['overlap']):.0f} % of pairs"
    asi = "not defined" if k < 2 else f"{float(line['asi']):.0f}"
    rows: list[_Line] = [
        (
            _SIDES,
            f"{beyond} beyond the threshold of benefit, {trivial} between, {harm} beyond that of harm",
            _levels(0 if sides < 2 or k < 2 else 1 if min(beyond, trivial + harm) < _OTHER_SIDE * k else 2),
            f"Decision inconsistency index {di:.0f}, across trials {asi} (0 to 100, posterior)",
        ),
        (_OVERLAP, overlap.replace("100 %", "all")),
    ]
    if fit.model.tau is not None:
        low, tau, high = (float(line[name]) for name in ("tau_units_lower", "tau_units", "tau_units_upper"))
        rows += [
            (
                _TAU,
                f"{tau:.2f} ({low:.2f} to {high:.2f})",
                _levels(0 if tau < _TAUS[0] else 1 if tau <= _TAUS[1] else 2),
            ),
            (_PREDICTION, f"{crosses} of 2", _levels(crosses)),
        ]
    return rows


def _publication(fit: Fit, table: pd.DataFrame | None) -> list[_Line]:
    trials = f"{fit.effects.n_trials} trials"
    if fit.effects.n_trials < ENOUGH:
        return [(_FEW, trials)]
    if table is None:
        return [(_FEW, trials, "", "No test was run")]
    rows: list[_Line] = []
    for form, item in (("weighted", _EGGER), ("mixed", _MIXED)):
        for p in table.loc[(table["method"] == "Egger") & (table["form"] == form), "p"].dropna():
            rows.append((item, f"p = {p:.3f}" if p >= 0.001 else "p < 0.001", _levels(1 if p < 0.10 else 0)))
    for name, item in (("trim and fill", _FILL), ("limit meta-analysis", _LIMIT)):
        for shift in table.loc[table["method"] == name, "shift"].dropna().head(1):
            rows.append((item, f"{shift:+.1f} standard errors"))
    return rows


def _averaged(table: pd.DataFrame | None) -> list[_Line]:
    """What an average over models of publication bias found: evidence, from which no rule suggests anything."""
    if table is None or table.attrs["bias_bayes_factor"] is None or "p_important_benefit" not in table:
        return []
    few = table.attrs["trials"]
    note = f"With {few} trials priors drive it" if few < ENOUGH else ""
    lines = table.set_index("models")["p_important_benefit"]
    without, averaged = (percent(float(lines[name])) for name in ("no bias", "average"))
    factor: _Line = (_EVIDENCE, bayes_factor_text(table.attrs["bias_bayes_factor"]))
    return [(*factor, "", note) if note else factor, (_MOVED, f"{without}, {averaged}")]


def _risk(fit: Fit, judged: Sequence[str | None] | pd.DataFrame | None, table: pd.DataFrame | None) -> list[_Line]:
    if judged is None:
        return [(_JUDGED, "not in the table")]
    stated = None if fit.outcome is None else fit.outcome.selection.risk_of_bias
    counted = HIGH if stated is None else stated.high
    overall = judged["overall"].tolist() if isinstance(judged, pd.DataFrame) else judged
    high = np.array([str(value).strip().lower() in counted for value in overall])
    known = np.array([value is not None and str(value).strip() not in ("", "nan") for value in overall])
    weight = 1 / (fit.effects.se**2)
    share = f"{100 * float(weight[high].sum() / weight.sum()):.0f} % of the weight"
    rows: list[_Line] = [(_WEIGHT, f"{share}, {int(high.sum())} of {len(high)} rows; {int((~known).sum())} not judged")]
    if isinstance(judged, pd.DataFrame) and len(judged.columns) > 1:
        counts = judged.drop(columns="overall").isin(list(counted)).sum()
        rows.append((_DOMAINS, "; ".join(f"{name} {count}" for name, count in counts.items())))
    if table is not None:
        return rows + _restricted_and_adjusted(fit, table)
    if 0 < high.sum() < len(high) - 1:
        from bayesmeta.fits import fit as fit_model

        rest = fit_model(fit.effects.subset(~high), fit.model, outcome=fit.outcome)
        medians = [float(summarize(item)["median"]["mu"]) for item in (fit, rest)]
        before, after = (number(float(measure(fit.effects.measure).back(x))) for x in medians)
        rows.append((_REST, f"{after} (with them {before})"))
    return rows


def _restricted_and_adjusted(fit: Fit, table: pd.DataFrame) -> list[_Line]:
    """Lines of the section on risk of bias that a panel weighs."""
    kind = measure(fit.effects.measure)
    main = number(float(kind.back(float(table["mu"].iloc[0]))))
    rows: list[_Line] = []
    for line in table.to_dict("records"):
        size = f"m = {float(line['bias_mean']):.2g}, s = {amount(float(line['bias_sd']))}"
        if line["kind"] == "tipping":
            rows.append((_TIP, f"{line['analysis']}: {line['note'] or size}"))
        elif math.isfinite(line["mu"]):
            mean = number(float(kind.back(float(line["mu"]))))
            if line["kind"] == "restricted":
                which = _REST if line["analysis"].startswith("without") else _LOW
                rows.append((which, f"{mean} (all {main})" if which is _LOW else f"{mean} (with them {main})"))
            elif line["kind"] == "adjusted" and line["stated"]:
                rows.append((_ADJUSTED, f"{mean} ({size}; before {main})"))
    return rows
