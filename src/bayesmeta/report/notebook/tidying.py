"""Any results as one tidy table: a row per quantity, or a row per fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from bayesmeta.analysis import Analysis
from bayesmeta.classical import ClassicalResult, CoefficientsResult, MeanResult, pool, pool_check
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.fits import LEVEL, Fit, quantities
from bayesmeta.measures import measure
from bayesmeta.questions import heterogeneity_table, method_name, probability, study_table, summarize

__all__ = ["glance", "tidy"]

_ALLOWED = "a Fit, an Analysis, a JointFit, a result of bm.classical, or a list or mapping of these"
_TIDY = (
    *("fit", "term", "estimate", "std_error", "lower", "upper", "statistic", "p", "p_benefit"),
    *("level", "interval", "engine", "method", "measure", "scale"),
)
_GLANCE = (
    *("fit", "engine", "method", "measure", "k", "trials", "participants", "tau", "i2", "q", "q_df", "q_p"),
    *("log_evidence", "log_lik", "ok", "notes"),
)
_NUMBERS = ("estimate", "std_error", "statistic", "p", "lower", "upper")
Row = dict[str, Any]
Scale = Literal["analysis", "natural"]


def tidy(x: Any, *, level: float = LEVEL, scale: Scale = "analysis", studies: bool = False) -> pd.DataFrame:
    """Every quantity of any results as one row, with the columns that R's broom made usual.

    Parameters
    ----------
    x : Fit, Analysis, JointFit, result of `bayesmeta.classical`, or a list or mapping of these
        Of an analysis the pooled and the moderated fit, and the classical check; the names of a mapping name its rows.
    level : float
        Of the intervals of posteriors; classical results keep theirs.
    scale : {"analysis", "natural"}
        ``"natural"`` back-transforms estimates and intervals of ratios; ``std_error`` is then nan, and heterogeneity
        stays on the scale of the analysis.
    studies : bool
        Also the true effect of every estimate, ``theta[...]``, of posteriors.

    Returns
    -------
    pandas.DataFrame
        One row per result and term, and always the same columns:

        - ``fit``: which result, by its name in a mapping, its outcome, or its place in a list
        - ``term``: ``mu`` (mean effect), ``theta_new`` (true effect in a new study), ``tau`` (standard deviation of
          true effects), coefficients, ``theta[...]``
        - ``estimate``: median of the posterior, or the classical estimate
        - ``std_error``: standard deviation of the posterior, or the standard error; nan where there is none
        - ``lower``, ``upper``, ``level``: the interval; ``interval`` is ``central`` of a posterior, ``confidence`` or
          ``prediction``
        - ``statistic``, ``p``: z or t and the two-sided p-value of no effect, of classical results alone
        - ``p_benefit``: probability of any benefit, of posteriors whose effects say which direction is better
        - ``engine``: ``exact``, ``nuts`` or ``classical``; ``method``: ``pooled``, ``moderated``, or the classical one
        - ``measure``, ``scale``: of the effects; a classical result alone does not know its measure

    Raises
    ------
    ModelError
        For what is none of these, a classical test that estimates nothing, the natural scale of a classical result that
        does not know its measure, and a level that is not between 0 and 1.

    References
    ----------
    Robinson D. broom: an R package for converting statistical analysis objects into tidy data frames.
    doi:10.48550/arXiv.1412.3565

    Examples
    --------
    >>> both = {"Bayesian": fit, "classical": bm.classical.pool(effects, ci="hksj")}
    >>> table = bm.tidy(both)
    >>> table[["fit", "term", "engine"]].values.tolist()[:4]
    [['Bayesian', 'mu', 'exact'], ['Bayesian', 'tau', 'exact'], ['Bayesian', 'theta_new', 'exact'],
     ['classical', 'mu', 'classical']]
    >>> table.query("term == 'mu'")[["fit", "estimate", "lower", "upper"]].round(2).values.tolist()
    [['Bayesian', -0.15, -0.47, 0.14], ['classical', -0.15, -0.43, 0.14]]
    """
    if scale not in ("analysis", "natural"):
        raise ModelError(f"unknown scale {scale!r}. Allowed: analysis, natural.")
    rows = [
        {"fit": name, **row, "method": method, "measure": "" if effects is None else effects.measure, "scale": scale}
        for name, part, method, effects in _parts(x, level)
        for row in (
            _posterior_rows(part, level, scale, studies)
            if isinstance(part, Fit)
            else _scaled(_classical_rows(part), effects, scale)
        )
    ]
    return pd.DataFrame(rows, columns=list(_TIDY))


def glance(x: Any) -> pd.DataFrame:
    """Any results as one row each: how many trials, how heterogeneous, and whether all is well.

    Parameters
    ----------
    x : Fit, Analysis, JointFit, result of `bayesmeta.classical`, or a list or mapping of these
        As for `tidy`.

    Returns
    -------
    pandas.DataFrame
        One row per result, and always the same columns:

        - ``fit``, ``engine``, ``method``, ``measure``: as in `tidy`
        - ``k``, ``trials``, ``participants``: estimates, trials, and people where all rows say how many
        - ``tau``, ``i2``: heterogeneity, by its posterior median or its classical estimate; I2 in percent
        - ``q``, ``q_df``, ``q_p``: Cochran's Q, of classical results
        - ``log_evidence``: log density of the data under the model; nan for draws and under an improper prior
        - ``log_lik``: log likelihood at the classical estimates (restricted for REML)
        - ``ok``: whether every check of the engine passed; ``notes``: failed checks, and notes of classical results

    Raises
    ------
    ModelError
        For what is none of these.

    Examples
    --------
    >>> bm.glance([fit, bm.classical.pool(effects)])[["fit", "engine", "k", "ok"]].values.tolist()
    [['1', 'exact', 4, True], ['2', 'classical', 4, True]]
    """
    rows = [
        {
            "fit": name,
            "method": method,
            "measure": "",
            **({} if effects is None else _counted(effects)),
            **(_posterior_glance(part) if isinstance(part, Fit) else _classical_glance(part)),
        }
        for name, part, method, effects in _parts(x, LEVEL)
    ]
    return pd.DataFrame(rows, columns=list(_GLANCE))


def _parts(x: Any, level: float) -> Iterator[tuple[str, Fit | ClassicalResult, str, Effects | None]]:
    """Every single result: its name, itself, its method, and the effects where it knows them."""
    for name, item in _named(x):
        if isinstance(item, Analysis):
            for found in item.fits:
                yield name, found, found.analysis, item.effects
            check = _check(item, level)
            if check is not None:
                yield name, check, _method(check), item.effects
        elif isinstance(item, Fit):
            yield name, item, item.analysis, item.effects
        else:
            yield name, item, _method(item), None


def _named(x: Any) -> list[tuple[str, Any]]:
    """Results by name; a mapping gives its names, a list its outcomes or places."""
    if not isinstance(x, (Fit, Analysis)) and isinstance(getattr(x, "fits", None), Mapping):
        x = x.fits
    if isinstance(x, Mapping):
        items = [(str(name), item) for name, item in x.items()]
    elif isinstance(x, Sequence) and not isinstance(x, (str, bytes)):
        names = [_own_name(item) for item in x]
        # a name that several have would put their rows together
        items = [
            (name if name and names.count(name) == 1 else f"{name} {place}".strip(), item)
            for place, (name, item) in enumerate(zip(names, x, strict=True), 1)
        ]
    else:
        items = [(_own_name(x) or "1", x)]
    wrong = [item for _, item in items if not isinstance(item, (Fit, Analysis, ClassicalResult))]
    if wrong or not items:
        what = f"a {type(wrong[0]).__name__}" if wrong else "nothing"
        raise ModelError(f"there is no tidy table of {what}; give {_ALLOWED}.")
    return items


def _own_name(x: Any) -> str:
    if isinstance(x, Analysis):
        return x.key
    if isinstance(x, Fit):
        return x.outcome.key if x.outcome is not None else x.effects.name or ""
    return ""


def _check(item: Analysis, level: float) -> ClassicalResult | None:
    """The classical check of an analysis; None where its data do not define one."""
    try:
        if item.effects.n_trials < 2:
            return pool(item.effects, method="EE", ci="wald", level=level)
        return pool_check(item.effects, level=level, rho=item.pooled.model.rho)
    except (ModelError, InferenceError):
        return None


def _method(result: ClassicalResult) -> str:
    """What a classical result calls its method and its interval, or else what it is."""
    source = _estimating(result)
    method = str(getattr(source, "method", None) or type(result).__name__)
    return method_name(method, str(getattr(source, "ci", None) or ""))


def _posterior_rows(fit: Fit, level: float, scale: Scale, studies: bool) -> list[Row]:
    table = summarize(fit, level=level, scale=scale)
    rows = [
        {
            "term": str(name),
            "estimate": row["median"],
            "std_error": row.get("sd", math.nan),
            "lower": row["lower"],
            "upper": row["upper"],
            "p_benefit": _p_benefit(fit, str(name)) if name in ("mu", "theta_new") else math.nan,
        }
        for name, row in table.iterrows()
    ]
    if studies:
        deviations = fit.posterior.studies().summary(np.array([0.5])).sd
        own = study_table(fit, level=level, scale=scale)
        transformed = scale == "natural" and measure(fit.effects.measure).transformed
        rows += [
            {
                "term": f"theta[{row.label}]",
                "estimate": row.theta,
                "std_error": math.nan if transformed else deviation,
                "lower": row.theta_lower,
                "upper": row.theta_upper,
                "p_benefit": _p_benefit(fit, f"theta[{row.label}]"),
            }
            for row, deviation in zip(cast("Any", own.itertuples()), deviations, strict=True)
        ]
    known = {"engine": fit.engine, "interval": "central", "level": level, "statistic": math.nan, "p": math.nan}
    return [{**row, **known} for row in rows]


def _p_benefit(fit: Fit, name: str) -> float:
    """Probability of any benefit; nan without a direction, and of one arm, which is compared with nothing."""
    if fit.effects.better is None or measure(fit.effects.measure).single_arm:
        return math.nan
    return probability(fit, name, **{"above" if fit.effects.better == "higher" else "below": 0.0})  # type: ignore[arg-type]


def _classical_rows(result: ClassicalResult) -> list[Row]:
    source: Any = _estimating(result)
    if isinstance(source, MeanResult):
        rows = [_mean_row(source)]
    elif isinstance(source, CoefficientsResult):
        terms = ("mu",) if source.terms == ("intercept",) else source.terms
        columns = (source.estimate, source.se, source.stat, source.p, source.lower, source.upper)
        rows = [
            {"term": term, **dict(zip(_NUMBERS, map(float, numbers), strict=True))}
            for term, *numbers in zip(terms, *columns, strict=True)
        ]
    else:
        raise ModelError(
            f"a {type(result).__name__} is a test or a table, and estimates no effect; its to_frame() has its numbers."
        )
    rows = [{**row, "interval": "confidence"} for row in rows]
    for term, name in (("tau", "tau2"), ("tau_within", "cluster_tau2")):
        if isinstance(variance := getattr(source, name, None), float):
            rows.append({"term": term, "estimate": math.sqrt(variance), "interval": ""})
    # what stands around a fit may have an interval of its own, or none on purpose
    around: Any = result if hasattr(result, "pi_lower") else source
    if getattr(around, "pi_lower", None) is not None:
        ends = {"lower": around.pi_lower, "upper": around.pi_upper}
        rows.append({"term": "theta_new", "estimate": rows[0]["estimate"], **ends, "interval": "prediction"})
    return [{"engine": "classical", "level": source.level, **row} for row in rows]


def _estimating(result: ClassicalResult) -> ClassicalResult:
    """The result itself, or the fit that it holds where it is no estimate."""
    inner = getattr(result, "fit", None)
    own = isinstance(result, (MeanResult, CoefficientsResult))
    return inner if not own and isinstance(inner, ClassicalResult) else result


def _mean_row(result: MeanResult) -> Row:
    numbers = (result.estimate, result.se, result.stat, result.p, result.lower, result.upper)
    return {"term": "mu", **{name: _or_nan(value) for name, value in zip(_NUMBERS, numbers, strict=True)}}


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _scaled(rows: list[Row], effects: Effects | None, scale: Scale) -> list[Row]:
    """Rows of a classical result on the scale that is asked for."""
    if scale == "analysis":
        return rows
    if effects is None:
        raise ModelError(
            "a classical result alone does not know its measure: take the scale of the analysis, or an Analysis."
        )
    kind = measure(effects.measure)
    if not kind.transformed:
        return rows
    return [
        row
        if row["term"].startswith("tau")
        else {
            **row,
            **{name: float(kind.back(row[name])) for name in ("estimate", "lower", "upper") if name in row},
            "std_error": math.nan,
        }
        for row in rows
    ]


def _counted(effects: Effects) -> Row:
    return {"measure": effects.measure, "trials": effects.n_trials, "participants": _or_nan(effects.participants)}


def _posterior_glance(fit: Fit) -> Row:
    found: Row = {"tau": 0.0, "i2": 0.0}
    if "tau" in quantities(fit):
        table: Any = heterogeneity_table(fit)
        found = {"tau": table.loc["tau", "median"], "i2": table.loc["i2", "median"]}
    return {
        "engine": fit.engine,
        "k": fit.effects.k,
        **found,
        "log_evidence": _or_nan(fit.log_evidence),
        "ok": fit.ok,
        "notes": "; ".join(fit.failed),
    }


def _classical_glance(result: ClassicalResult) -> Row:
    source: Any = _estimating(result)
    tau2 = getattr(source, "tau2", None)
    # a common effect has no tau2 to make I2 of
    own = getattr(source, "i2_q" if getattr(source, "method", "") == "EE" else "i2_tau2", None)
    return {
        "engine": "classical",
        "k": source.k,
        "tau": math.sqrt(tau2) if isinstance(tau2, float) else math.nan,
        "i2": _or_nan(getattr(result, "i2", own)),
        **{name: _or_nan(getattr(source, name, None)) for name in ("q", "q_df", "q_p")},
        "log_lik": _or_nan(getattr(source, "loglik", None)),
        "ok": True,
        "notes": "; ".join(getattr(result, "notes", ())),
    }
