"""Why the Bayesian and the classical answer differ: one ingredient exchanged at a time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import pandas as pd
from scipy import special

from bayesmeta.classical import CiMethod, ClassicalFit, Tau2Method, pool_table
from bayesmeta.columns import columns_of, names_of, unprinted
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, exactly, fit_many
from bayesmeta.plan import Threshold
from bayesmeta.priors import Flat
from bayesmeta.questions import any_benefit_of, benefit_probabilities, numeric_distance, summarize
from bayesmeta.sensitivity.section import Computed, Section, SectionOptions
from bayesmeta.sensitivity.verdicts import Answer, answers, compared

__all__ = ["NEGLIGIBLE", "concordance_sentence", "concordance_table"]

#: Shifts of the mean smaller than this share of its standard error are not worth a word; a judgement.
NEGLIGIBLE = 0.05


COLUMNS = (
    *unprinted(count="step"),
    *columns_of("text", ingredient="from the classical answer to the Bayesian"),
    *columns_of("effect", estimate="mean"),
    *unprinted(number="se"),
    *columns_of("effect", lower="lower", upper="upper"),
    *columns_of("number", tau="tau"),
    *unprinted(number="shift"),
    *columns_of("number", shift_se="shift in SE", width_ratio="width x"),
    *unprinted(probability="p_any_benefit"),
    *columns_of("probability", p_important_benefit="P(imp.)"),
    *unprinted(text="note", number="level"),
)


class _Answer(NamedTuple):
    """A mean effect with its uncertainty, classical or Bayesian."""

    estimate: float
    se: float
    lower: float
    upper: float
    tau: float
    p_any_benefit: float
    p_important_benefit: float


def concordance_table(
    fit: Fit,
    threshold: Threshold | float | None = None,
    *,
    method: Tau2Method = "REML",
    ci: CiMethod = "hksj",
    level: float = LEVEL,
) -> pd.DataFrame:
    """Walk from a classical analysis to the Bayesian one, exchanging one ingredient at each step.

    The steps are: the Hartung-Knapp factor dropped; the normal distribution in place of t; tau averaged over what the
    data say of it (flat prior) in place of one estimate plugged in; the stated prior of tau; the stated prior of mu.
    Each step starts where the last one ended, so that the shifts add up to the whole gap.

    Parameters
    ----------
    fit : Fit
        Exact; a mean with or without heterogeneity, no moderators, no clusters.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome. Classical probabilities are those of the confidence
        distribution that belongs to the interval.
    method, ci
        The classical analysis that stands at the beginning.

    Returns
    -------
    pandas.DataFrame
        Columns ``step ingredient estimate se lower upper tau shift shift_se width_ratio p_any_benefit
        p_important_benefit note level``. ``estimate`` of a Bayesian line is the posterior median, ``se`` its SD;
        ``shift`` is the step's change of the estimate and ``shift_se`` that in units of the classical (Wald) standard
        error; ``width_ratio`` is the interval's width over that of the step before. A step that these data do not
        allow is passed over and says why in ``note``. ``attrs``: ``total_shift_se``, ``total_width_ratio``, ``se``.

    Raises
    ------
    ModelError
        For a model without a classical counterpart that asks the same, and where the classical analysis is not defined.

    References
    ----------
    Roever C. J Stat Softw 2020;93(6), section 3.5. doi:10.18637/jss.v093.i06. Confidence distributions: Xie M, Singh
    K. Int Stat Rev 2013;81:3-39. doi:10.1111/insr.12000

    Examples
    --------
    >>> table = concordance_table(fit)
    >>> table["ingredient"].tolist()[:3]
    ['REML + HKSJ', 'no Hartung-Knapp factor', 'normal in place of t(3)']
    >>> gap = table["estimate"].iloc[-1] - table["estimate"].iloc[0]
    >>> round(float(table["shift"].sum() - gap), 12)
    0.0
    """
    return _computed(fit, SectionOptions(threshold, level=level), method, ci).table


def _computed(fit: Fit, options: SectionOptions, method: Tau2Method = "REML", ci: CiMethod = "hksj") -> Computed:
    """The table, and the fit behind each step."""
    _check_plain(fit)
    effects, model, chosen, level = fit.effects, fit.model, options.threshold_of(fit), options.level
    if model.tau is None:
        method = "EE"
    cis: tuple[CiMethod, ...] = tuple(dict.fromkeys((ci, "t" if ci != "wald" else "wald", "wald")))
    by_ci = dict(zip(cis, pool_table(effects, (method,), cis, level=level, rho=model.rho), strict=True))
    steps: list[tuple[str, Fit | ClassicalFit | ModelError]] = [(_name(by_ci[ci]), by_ci[ci])]
    if ci in ("hksj", "hksj_adhoc"):
        steps.append(("no Hartung-Knapp factor", by_ci["t"]))
    if ci != "wald":
        steps.append((f"normal in place of t({by_ci['t'].df})", by_ci["wald"]))
    if model.tau is not None:
        words = ("tau averaged over what the data allow", f"prior of tau: {model.tau!r}")
        models = [dataclasses.replace(model, mu=Flat(), tau=tau) for tau in (Flat(), model.tau)]
        steps += zip(words, fit_many([(effects, item) for item in models], outcome=fit.outcome), strict=True)
    steps.append((f"prior of mu: {model.mu!r}", fit))
    answers = [(ingredient, _answer(item, effects, chosen, level)) for ingredient, item in steps]
    table = _walk(answers, float(by_ci["wald"].se), level)
    return Computed(table, tuple(None if isinstance(item, ModelError) else item for _, item in steps))


def _check_plain(fit: Fit) -> None:
    exactly(fit, "concordance")
    if fit.model.likelihood == "binomial":
        raise ModelError(
            "concordance: the classical answer takes logits as normal and the Bayesian one takes counts, so that no "
            "step of the table would exchange one ingredient. Compare the two lines of the table of estimates."
        )
    if fit.model.beta or fit.model.cluster_tau is not None:
        raise ModelError(
            "concordance: a model with moderators or clusters has no pooled classical counterpart that asks the same. "
            "Use the pooled analysis."
        )


def _name(found: ClassicalFit) -> str:
    words = {"wald": "", "t": " + t", "hksj": " + HKSJ", "hksj_adhoc": " + HKSJ, ad hoc"}
    return f"{found.method}{words[found.ci]}"


def _distances(effects: Effects, threshold: Threshold | None) -> tuple[int, float | None]:
    sign = {"higher": 1, "lower": -1, None: 0}[effects.better]
    return sign, numeric_distance(threshold)


def _of_classical(found: ClassicalFit, effects: Effects, threshold: Threshold | None) -> _Answer:
    sign, distance = _distances(effects, threshold)

    def beyond(x: float) -> float:
        if sign == 0 or not found.se > 0:
            return math.nan
        z = (sign * found.estimate - x) / found.se
        return float(special.ndtr(z) if found.df is None else special.stdtr(found.df, z))

    important = math.nan if distance is None else beyond(distance)
    return _Answer(found.estimate, found.se, found.lower, found.upper, math.sqrt(found.tau2), beyond(0.0), important)


def _of_fit(item: Fit, threshold: Threshold | None, level: float) -> _Answer:
    table: Any = summarize(item, level=level)
    mu = table.loc["mu"]
    chances = {"p_any_benefit": math.nan, "p_important_benefit": math.nan}
    if item.effects.better is not None and threshold is not None:
        chances |= benefit_probabilities(item, threshold)
        if not isinstance(threshold.benefit_distance, (int, float)):
            chances["p_important_benefit"] = math.nan
    elif item.effects.better is not None:
        chances["p_any_benefit"] = any_benefit_of(item, "mu")
    tau = float(table.loc["tau", "median"]) if "tau" in table.index else 0.0
    return _Answer(
        mu["median"], mu["sd"], mu["lower"], mu["upper"], tau, chances["p_any_benefit"], chances["p_important_benefit"]
    )


def _answer(
    item: Fit | ClassicalFit | ModelError, effects: Effects, threshold: Threshold | None, level: float
) -> _Answer | str:
    """What a step says; a reason where these data do not allow it."""
    if isinstance(item, ModelError):
        return f"passed over: {item}"
    return _of_fit(item, threshold, level) if isinstance(item, Fit) else _of_classical(item, effects, threshold)


def _walk(answers: list[tuple[str, _Answer | str]], unit: float, level: float) -> pd.DataFrame:
    rows, last = [], None
    for step, (ingredient, answer) in enumerate(answers):
        row: dict[str, object] = {"step": step, "ingredient": ingredient}
        if isinstance(answer, str):
            rows.append({**row, "note": answer})
            continue
        row |= {**answer._asdict(), "note": ""}
        if last is not None:
            shift = answer.estimate - last.estimate
            width = last.upper - last.lower
            row |= {
                "shift": shift,
                "shift_se": shift / unit,
                "width_ratio": (answer.upper - answer.lower) / width if width > 0 else math.nan,
            }
        rows.append(row)
        last = answer
    frame = pd.DataFrame(rows).reindex(columns=names_of(COLUMNS))
    frame["level"] = level
    first, end = frame.iloc[0], frame.iloc[-1]
    wide = first["upper"] - first["lower"]
    frame.attrs = {
        "total_shift_se": float((end["estimate"] - first["estimate"]) / unit),
        "total_width_ratio": float((end["upper"] - end["lower"]) / wide) if wide > 0 else math.nan,
        "se": unit,
    }
    return frame


def concordance_sentence(table: pd.DataFrame) -> str:
    """Say in words where the gap comes from.

    Parameters
    ----------
    table : pandas.DataFrame
        From `concordance_table`.

    Examples
    --------
    >>> table = concordance_table(fit)
    >>> concordance_sentence(table).split(" (")[0]
    'The Bayesian mean differs from REML + HKSJ by -0.09 standard errors'
    """
    start = table["ingredient"].iloc[0]
    steps: Any = table[table["shift_se"].notna()]
    total = table.attrs["total_shift_se"]
    ratio = table.attrs["total_width_ratio"]
    most = steps.loc[steps["shift_se"].abs().idxmax()]
    if abs(total) < NEGLIGIBLE:
        mean = f"The Bayesian mean and {start} are the same to within {NEGLIGIBLE:g} standard errors"
        if abs(most["shift_se"]) >= NEGLIGIBLE:
            mean += f" (steps cancel; the largest is {most['ingredient']}: {most['shift_se']:.2f})"
    else:
        mean = (
            f"The Bayesian mean differs from {start} by {total:.2f} standard errors (the largest step is "
            f"{most['ingredient']}: {most['shift_se']:.2f})"
        )
    if not math.isfinite(ratio):
        return f"{mean}."
    logs = steps["width_ratio"].map(math.log)
    widest = steps.loc[logs.abs().idxmax()]
    change = abs(100 * (ratio - 1))
    step = 100 * (widest["width_ratio"] - 1)
    largest = f"the largest step is {widest['ingredient']}: " + (f"{step:+.0f} %" if abs(step) >= 0.5 else "under 1 %")
    if change < 1:
        return f"{mean}. The intervals are equally wide to within 1 %; {largest}."
    return f"{mean}. The Bayesian interval is {change:.0f} % {'wider' if ratio > 1 else 'narrower'}; {largest}."


def _agreement(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    found = answers(table, "ingredient", "estimate")
    last = table.iloc[-1]
    if len(found) < 2 or found[-1].name != last["ingredient"]:
        return "One of the two answers could not be computed with these data; nothing can be compared."
    main = Answer("in the Bayesian analysis", *found[-1][1:])
    return compared(
        fit, threshold, main, found[:1], kept="They agree:", lost="They lead to different conclusions:", by="by"
    )


SECTION = Section(
    "concordance",
    "Why do the Bayesian and the classical answer differ?",
    _computed,
    COLUMNS,
    "Each line exchanges one ingredient more; shifts are in classical standard errors, widths relative to the line "
    "before. P(imp.): probability of an important benefit, classical lines by their confidence distribution.",
    notes=lambda table: [concordance_sentence(table)],
    verdict=_agreement,
    summary=lambda table: {**table.attrs, "sentence": concordance_sentence(table)},
    at_threshold=True,
)
