"""GRADE support: the numbers that a panel needs for four domains, with the rule each follows; never a rating.

Every line has a value, the rule, why it matters, what the rule would suggest, and an empty field for the panel's own
judgement. Indirectness is left to the panel altogether.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.classical import pool
from bayesmeta.digits import number, percent, ratios, together
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.questions import benefit_probabilities, direction, information_size, summarize
from bayesmeta.sensitivity.inconsistency import inconsistency_table

if TYPE_CHECKING:
    from bayesmeta.fits import Fit

__all__ = ["GRADE_COLUMNS", "grade_table", "information_size"]

GRADE_COLUMNS = ("domain", "item", "value", "rule", "rationale", "suggestion", "panel")
#: Trials from which tests of small-study effects say something: Cochrane Handbook 13.3.5.4.
ENOUGH = 10
#: Words of a risk-of-bias column that count as high.
HIGH = ("high", "high risk", "critical", "serious")


def grade_table(
    fit: Fit,
    threshold: Threshold | None = None,
    *,
    tables: Mapping[str, pd.DataFrame] | None = None,
    risk_of_bias: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Fill in what can be computed for GRADE's domains.

    Parameters
    ----------
    fit : Fit
        With a direction.
    threshold : Threshold, optional
        Default: the primary one of the fit's outcome; it must be a number.
    tables : mapping, optional
        Sections of the sensitivity bench that exist already (``small-study``).
    risk_of_bias : sequence of str, optional
        The judgement of each row: ``"high"`` and the like count as high; None where it is not stated.

    Returns
    -------
    pandas.DataFrame
        Columns ``domain item value rule rationale suggestion panel``. ``suggestion`` says what the rule would have a
        panel consider; ``panel`` is empty.

    Raises
    ------
    ModelError
        Without a direction or a threshold that is a number.

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
    chosen = threshold or (fit.outcome.decision.primary if fit.outcome is not None else None)
    if chosen is None or not isinstance(chosen.benefit_distance, (int, float)):
        raise ModelError("GRADE support needs a primary threshold that is a number.")
    if not isinstance(chosen.worse_distance, (int, float)):
        raise ModelError("GRADE support needs a threshold of harm that is a number.")
    benefit, worse = float(chosen.benefit_distance), float(chosen.worse_distance)
    rows = [
        *_imprecision(fit, chosen, benefit, worse, level),
        *_inconsistency(fit, chosen, level),
        *_publication(fit, (tables or {}).get("small-study")),
        *_risk(fit, risk_of_bias),
        _row(
            "indirectness",
            "people, interventions, comparators, outcomes",
            "for the panel",
            "judged, not computed",
            "Who was studied, what was done, and which outcome was measured",
            "",
        ),
    ]
    return pd.DataFrame(rows, columns=list(GRADE_COLUMNS))


def _row(domain: str, item: str, value: str, rule: str, rationale: str, suggestion: str) -> dict[str, str]:
    return {
        "domain": domain,
        "item": item,
        "value": value,
        "rule": rule,
        "rationale": rationale,
        "suggestion": suggestion,
        "panel": "",
    }


def _levels(count: int) -> str:
    return {0: "no reason to rate down", 1: "consider one level", 2: "consider two levels"}[min(count, 2)]


def _crossed(ends: Sequence[float], marks: Sequence[float]) -> int:
    low, high = ends
    return sum(low < mark < high for mark in marks)


def _imprecision(fit: Fit, item: Threshold, benefit: float, worse: float, level: float) -> list[dict[str, str]]:
    sign = direction(fit)
    kind = measure(fit.effects.measure)
    mu: Any = summarize(fit, level=level).loc["mu"]
    marks = (benefit, -worse)

    def span(low: float, high: float) -> str:
        ends = np.asarray(kind.back(np.array([low, high])), float).tolist()
        return " to ".join((ratios if kind.log else together)([ends])[0])

    ends = sorted((sign * float(mu["lower"]), sign * float(mu["upper"])))
    inside = _crossed(ends, marks)
    chances = benefit_probabilities(fit, item)
    rows = [
        _row(
            "imprecision",
            f"thresholds crossed by the {100 * level:g} % credible interval",
            f"{inside} of 2 ({span(float(mu['lower']), float(mu['upper']))})",
            "Core GRADE 2: rate down where the interval crosses the threshold of benefit or of harm",
            f"P(important benefit) {percent(chances['p_important_benefit'])}, P(important harm) "
            f"{percent(chances['p_important_harm'])}",
            _levels(inside),
        )
    ]
    try:
        classical = pool(fit.effects, method="REML", ci="hksj", level=level, rho=fit.model.rho)
    except ModelError as error:
        rows.append(
            _row(
                "imprecision",
                "thresholds crossed by the Hartung-Knapp interval",
                "not defined",
                "the same rule",
                str(error),
                "",
            )
        )
    else:
        ends = sorted((sign * classical.lower, sign * classical.upper))
        crossed = _crossed(ends, marks)
        rows.append(
            _row(
                "imprecision",
                "thresholds crossed by the Hartung-Knapp interval",
                f"{crossed} of 2 ({span(classical.lower, classical.upper)})",
                "the same rule",
                "The classical check beside it",
                _levels(crossed),
            )
        )
    people = fit.effects.participants
    if fit.effects.measure in ("SMD", "SMDH") and people is not None:
        needed = information_size(benefit)
        ratio = people / needed
        rows.append(
            _row(
                "imprecision",
                "optimal information size",
                f"{people} participants; {math.ceil(needed)} would detect {benefit:g} SD ({ratio:.1f} times)",
                "GRADE guidelines 6: alpha 0.05, power 0.80, the threshold as difference",
                "Fewer participants than one adequate trial make a precise-looking estimate fragile",
                _levels(0 if ratio >= 1 else 1 if ratio >= 0.5 else 2),
            )
        )
    return rows


def _inconsistency(fit: Fit, item: Threshold, level: float) -> list[dict[str, str]]:
    line: Any = inconsistency_table(fit, [item], level=level).iloc[0]
    k = int(line["k"])
    beyond, trivial, harm = (round(k * float(line[f"estimates_{side}"])) for side in ("benefit", "trivial", "harm"))
    sides = sum(count > 0 for count in (beyond, trivial, harm))
    crosses = int(line["new_crosses"])
    overlap = "one estimate" if k < 2 else f"{100 * float(line['overlap']):.0f} % of pairs"
    rows = [
        _row(
            "inconsistency",
            "where estimates lie",
            f"{beyond} beyond the threshold of benefit, {trivial} between, {harm} beyond that of harm",
            "Core GRADE 3: where estimates lie relative to the threshold, not how small a p-value is",
            f"Decision inconsistency index {float(line['di']):.0f}, across trials "
            + ("not defined" if k < 2 else f"{float(line['asi']):.0f}")
            + " (0 to 100, posterior)",
            _levels(0 if sides < 2 or k < 2 else 1 if min(beyond, trivial + harm) < 0.2 * k else 2),
        ),
        _row(
            "inconsistency",
            "overlap of confidence intervals",
            overlap.replace("100 %", "all"),
            "Core GRADE 3: point estimates and overlap of intervals",
            "Pairs of estimates whose intervals overlap",
            "",
        ),
    ]
    if fit.model.tau is not None:
        rows += [
            _row(
                "inconsistency",
                "tau in units of the threshold",
                f"{float(line['tau_units']):.2f} ({float(line['tau_units_lower']):.2f} to "
                f"{float(line['tau_units_upper']):.2f})",
                "a convention: below 0.5 small, above 1 large",
                "Whether true effects differ by an amount that matters",
                _levels(0 if line["tau_units"] < 0.5 else 1 if line["tau_units"] <= 1 else 2),
            ),
            _row(
                "inconsistency",
                "thresholds crossed by the prediction interval",
                f"{crosses} of 2",
                "GRADE guidance 36: what a new study may show",
                "A new study may lie on another side than the mean",
                _levels(crosses),
            ),
        ]
    return rows


def _publication(fit: Fit, table: pd.DataFrame | None) -> list[dict[str, str]]:
    trials = fit.effects.n_trials
    domain, rule = "publication bias", "Cochrane Handbook 13.3.5.4: asymmetry is not judged with fewer than ten trials"
    if trials < ENOUGH:
        return [
            _row(
                domain,
                "small-study effects",
                f"{trials} trials",
                rule,
                "Tests have little power; a large p value does not show that nothing is missing",
                "",
            )
        ]
    if table is None:
        return [_row(domain, "small-study effects", f"{trials} trials", rule, "No test was run", "")]
    rows = []
    by = table.assign(key=table["method"] + ", " + table["form"]).set_index("key")
    for key, words in (("Egger, weighted", "Egger's test"), ("Egger, mixed", "Egger's test, random effects")):
        if key in by.index and not math.isnan(float(by.loc[key, "p"])):  # type: ignore[arg-type]
            p = float(by.loc[key, "p"])  # type: ignore[arg-type]
            rows.append(
                _row(
                    domain,
                    words,
                    f"p = {p:.3f}" if p >= 0.001 else "p < 0.001",
                    rule,
                    "Small trials differ from large ones; reasons other than missing trials exist",
                    _levels(1 if p < 0.10 else 0),
                )
            )
    for name in ("trim and fill", "limit meta-analysis"):
        lines = table[(table["method"] == name) & table["shift"].notna()]
        if len(lines):
            shift = float(lines["shift"].iloc[0])
            rows.append(
                _row(
                    domain,
                    f"shift by {name}",
                    f"{shift:+.1f} standard errors",
                    "sensitivity analysis, no test",
                    "How far the mean would move under that method's assumption",
                    "",
                )
            )
    return rows


def _risk(fit: Fit, judged: Sequence[str | None] | None) -> list[dict[str, str]]:
    domain = "risk of bias"
    if judged is None:
        return [
            _row(
                domain,
                "judgements of trials",
                "not in the table",
                "a column risk_of_bias states them",
                "Without them nothing can be computed; the panel judges",
                "",
            )
        ]
    high = np.array([str(value).strip().lower() in HIGH for value in judged])
    known = np.array([value is not None and str(value).strip() not in ("", "nan") for value in judged])
    weight = 1 / (fit.effects.se**2)
    share = float(weight[high].sum() / weight.sum())
    rows = [
        _row(
            domain,
            "weight of trials at high risk",
            f"{100 * share:.0f} % of the weight, {int(high.sum())} of "
            f"{len(high)} rows; {int((~known).sum())} not judged",
            "inverse-variance weights",
            "How much of the estimate rests on them",
            "",
        )
    ]
    if 0 < high.sum() < len(high) - 1:
        from bayesmeta.fits import fit as fit_model

        rest = fit_model(fit.effects.subset(~high), fit.model, outcome=fit.outcome)
        summaries: list[Any] = [summarize(item) for item in (fit, rest)]
        before, after = (float(table.loc["mu", "median"]) for table in summaries)
        kind = measure(fit.effects.measure)
        rows.append(
            _row(
                domain,
                "mean without trials at high risk",
                f"{number(float(kind.back(after)))} (with them {number(float(kind.back(before)))})",
                "restricted analysis, refitted",
                "Whether the answer rests on them",
                "",
            )
        )
    return rows
