"""Questions asked of a fit; the answers are numbers and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical import (
    CiMethod,
    ClassicalFit,
    MultilevelMean,
    Tau2Method,
    check_name,
    is_clustered,
    pool_clustered,
    pool_table,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError, warn
from bayesmeta.fits import LEVEL, Fit, distribution, marginal, quantities
from bayesmeta.marginals import IntervalKind
from bayesmeta.measures import measure
from bayesmeta.numerics import interval_ends

__all__ = [
    "bayes_factor",
    "compare_table",
    "heterogeneity_table",
    "marginal",
    "method_name",
    "predict",
    "probability",
    "study_table",
    "study_weights",
    "summarize",
    "typical_variance",
]

FloatArray = NDArray[np.float64]
Scale = Literal["analysis", "natural"]


def _back(frame: pd.DataFrame, rows: Sequence[str], effects: Effects, scale: Scale) -> pd.DataFrame:
    """Put medians and intervals on the natural scale, where means and SDs have no simple counterpart."""
    if scale not in ("analysis", "natural"):
        raise ModelError(f"unknown scale {scale!r}. Allowed: analysis, natural.")
    kind = measure(effects.measure)
    if scale == "natural" and kind.transformed:
        columns = ["median", "lower", "upper"]
        frame.loc[list(rows), columns] = kind.back(frame.loc[list(rows), columns].to_numpy(float))
        frame = frame.drop(columns=["mean", "sd"])
    return frame


def summarize(
    fit: Fit, *, level: float = LEVEL, interval: IntervalKind = "central", scale: Scale = "analysis"
) -> pd.DataFrame:
    """Posterior summary of the mean effect, the heterogeneity, a new study and the coefficients.

    Parameters
    ----------
    fit : Fit
    level : float
        Probability of the interval.
    interval : {"central", "shortest"}
        Equal tails, or shortest.
    scale : {"analysis", "natural"}
        ``"natural"`` back-transforms ratio measures; mean and SD are then left out. Tau stays on the analysis scale.

    Returns
    -------
    pandas.DataFrame
        Index ``mu, tau, theta_new, beta[...]``; columns ``mean sd median lower upper level interval mcse``.
        A moment that does not exist is ``inf``.

    Raises
    ------
    ModelError
        For an unknown interval or scale, and a level that is not between 0 and 1.

    Examples
    --------
    >>> common = bm.fit(effects, bm.Model(mu=bm.Flat(), tau=None))  # weights of 25, 100, 25 and 25
    >>> round(float(summarize(common).loc["mu", "sd"]) ** -2, 6)
    175.0
    """
    if interval not in ("central", "shortest"):
        raise ModelError(f"unknown interval {interval!r}. Allowed: central, shortest.")
    names, rows, new, table = _summarised(fit)
    p = interval_ends(level)
    summary = fit.posterior.quantities(rows, new).summary(p)
    values = np.column_stack([summary.mean, summary.sd, summary.quantiles[:, [1, 0, 2]], summary.mcse])
    parts = dict(zip(names, values, strict=True))
    for name in table:
        form = fit.posterior.named(name)
        lower, median, upper = form.quantile(p)
        parts[name] = np.array([form.mean, form.sd, median, lower, upper, form.mcse])
    names = _in_order(parts)
    values = np.array([parts[name] for name in names])
    if interval == "shortest":
        values[:, 3:5] = [marginal(fit, name).interval(level, "shortest") for name in names]
    columns: dict[str, Any] = dict(zip(["mean", "sd", "median", "lower", "upper"], values.T, strict=False))
    columns |= {"level": level, "interval": interval, "mcse": values[:, 5]}
    frame = pd.DataFrame(columns, pd.Index(names, name="quantity"))
    return _back(frame, [name for name in names if name.startswith(("mu", "theta", "beta"))], fit.effects, scale)


def _summarised(fit: Fit) -> tuple[list[str], FloatArray, list[str | None], list[str]]:
    """What a summary holds: linear functions (names, rows, whether of a new study), and other scalars."""
    design = fit.design
    known = quantities(fit)
    new = [name for name in ("theta_trial", "theta_new") if name in known]
    names = ["mu", *new, *(f"beta[{contrast.name}]" for contrast in design.contrasts)]
    profile = design.profile()
    rows = np.array([profile] * (1 + len(new)) + [contrast.weights for contrast in design.contrasts])
    flags: list[str | None] = [None, *new, *[None] * len(design.contrasts)]
    taken = {*names, *(f"theta[{label}]" for label in fit.effects.label)}
    return names, rows, flags, [name for name in known if name not in taken]


def _in_order(parts: Mapping[str, object]) -> list[str]:
    """Mean, standard deviations, new effects, coefficients, and the rest."""
    first = [name for name in ("mu", "tau", "tau_within", "theta_trial", "theta_new") if name in parts]
    return first + [name for name in parts if name not in first]


def heterogeneity_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Posterior of tau, tau squared and I2, each by its median and central interval.

    I2 is tau squared over itself plus the typical sampling variance ``(k - p) / tr(P)`` of Higgins and Thompson,
    in percent, so it is a monotone function of tau and its quantiles are exact.

    References
    ----------
    Higgins JPT, Thompson SG. Stat Med 2002;21:1539-1558. doi:10.1002/sim.1186
    """
    tau = marginal(fit, "tau").quantile(interval_ends(level))
    typical = typical_variance(fit)
    # with rows in clusters the variance between trials is not all that sampling does not explain
    defined = typical is not None and fit.model.cluster_tau is None
    i2 = 100 * tau**2 / (tau**2 + typical) if defined else np.full(3, np.nan)  # type: ignore[operator]
    table = pd.DataFrame([tau, tau**2, i2], ["tau", "tau2", "i2"], ["lower", "median", "upper"])
    table = table[["median", "lower", "upper"]]
    table["level"], table["interval"] = level, "central"
    table.index.name = "quantity"
    return table


def typical_variance(fit: Fit) -> float | None:
    """Typical sampling variance ``(k - p) / tr(P)`` with weights at tau = 0; None where k does not exceed p."""
    X, effects = fit.design.X, fit.effects
    k, p = X.shape
    if k <= p:
        return None
    # tr(P) = tr(S^-1) - tr((X'S^-1 X)^-1 X'S^-1 S^-1 X), block by block
    precision = 1.0 / effects.se**2
    half = X * precision[:, None]
    for rows, covariance in effects.blocks:
        inverse = np.linalg.inv(covariance)
        precision[rows] = np.diag(inverse)
        half[rows] = inverse @ X[rows]
    inner = np.linalg.solve(X.T @ half, half.T @ half)
    return (k - p) / float(precision.sum() - np.trace(inner))


def probability(
    fit: Fit,
    name: str,
    *,
    below: float | None = None,
    above: float | None = None,
    between: tuple[float, float] | None = None,
    at: Mapping[str, Any] | None = None,
    scale: Scale = "analysis",
) -> float:
    """Posterior probability that a quantity lies below, above or between thresholds.

    Parameters
    ----------
    fit : Fit
    name : str
        ``mu``, ``tau``, ``theta_new``, ``beta[...]`` or ``theta[...]``.
    below, above, between
        Exactly one of them; the quantities are continuous, so that < and <= are the same.
    at : mapping, optional
        Moderator values for ``mu`` and ``theta_new``.
    scale : {"analysis", "natural"}
        The scale of the thresholds; ``"natural"`` takes ratios for ratio measures.

    Raises
    ------
    ModelError
        For thresholds that are not exactly one of the three, and a quantity that the fit does not have.

    Examples
    --------
    >>> common = bm.fit(effects, bm.Model(mu=bm.Flat(), tau=None))  # normal(-1 / 7, 1 / sqrt(175))
    >>> [round(probability(common, "mu", below=-1 / 7 + z / 175**0.5), 4) for z in (0, 1.96)]
    [0.5, 0.975]
    """
    given = [item for item in (below, above, between) if item is not None]
    if len(given) != 1:
        raise ModelError("give exactly one of below, above, between.")
    ends = np.array(given[0] if between is not None else [given[0]], float)
    if np.isnan(ends).any() or (between is not None and (ends.size != 2 or not ends[0] < ends[1])):
        raise ModelError(f"{given[0]!r}: thresholds are numbers, and those of between ascend.")
    if scale == "natural" and name != "tau":
        ends = measure(fit.effects.measure).transform(ends)
    elif scale not in ("analysis", "natural"):
        raise ModelError(f"unknown scale {scale!r}. Allowed: analysis, natural.")
    cdf = distribution(fit, name, ends, at=at, upper=above is not None)
    return float(cdf[1] - cdf[0]) if between is not None else float(cdf[0])


def predict(
    fit: Fit,
    at: Mapping[str, Any] | None = None,
    *,
    level: float = LEVEL,
    interval: IntervalKind = "central",
    scale: Scale = "analysis",
) -> pd.DataFrame:
    """Mean effect, and true effect in a new study, at moderator values.

    Parameters
    ----------
    fit : Fit
    at : mapping, optional
        For example ``{"timing": "during"}``; moderators that are not named are averaged over the observed mix.

    Returns
    -------
    pandas.DataFrame
        Rows ``mu`` and ``theta_new``; columns as of `summarize`. `theta_new` is the effect in a new study, not the
        estimate that a new trial would report, which has its sampling error in addition.
    """
    rows = {}
    p = interval_ends(level)
    row = fit.design.profile(at)
    summary = fit.posterior.quantities(np.array([row, row]), [None, "theta_new"]).summary(p)
    for number, name in enumerate(("mu", "theta_new")):
        lower, median, upper = summary.quantiles[number]
        if interval != "central":
            lower, upper = marginal(fit, name, at).interval(level, interval)
        rows[name] = [summary.mean[number], summary.sd[number], median, lower, upper]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "sd", "median", "lower", "upper"])
    table = _back(table, list(rows), fit.effects, scale)
    table["level"], table["interval"], table["mcse"] = level, interval, summary.mcse
    table.index.name = "quantity"
    return table


def study_weights(fit: Fit) -> FloatArray:
    """Share of each row in the mean effect, in percent, shape ``(k,)``.

    Given tau the posterior mean of mu is linear in the estimates; its coefficients are averaged over the posterior of
    tau and scaled to sum to 100. Under a covariance a row's weight can be negative. Under a truncated mu the posterior
    mean is not linear in the estimates, and the weights are those before truncation. Of draws it is how far the mean
    moves with each estimate. Of proportions of one arm by their counts they are approximate: the inverse of the
    variance of each logit at the mean proportion plus tau squared.
    """
    weights = fit.posterior.weights(fit.effects)
    return 100 * weights / weights.sum()


def study_table(fit: Fit, *, level: float = LEVEL, scale: Scale = "analysis", first: int | None = None) -> pd.DataFrame:
    """Reported and shrinkage estimates of every row, with weights.

    Parameters
    ----------
    fit : Fit
    level : float
        Of the intervals.
    scale : {"analysis", "natural"}
        ``"natural"`` back-transforms ratio measures.
    first : int, optional
        Only so many rows, from the first on: of a hundred thousand the others take seconds.

    Returns
    -------
    pandas.DataFrame
        Columns ``label study y se lower upper theta theta_lower theta_upper weight level``: the reported estimate with
        its normal interval, the posterior median of the study's own effect with its central interval, and the weight
        in the mean effect in percent.

    Raises
    ------
    ModelError
        For an unknown scale, and a level that is not between 0 and 1.
    """
    effects, shown = fit.effects, slice(first)
    p = interval_ends(level)
    chosen = None if first is None else range(fit.effects.k)[shown]
    summary = fit.posterior.studies(chosen).summary(p)
    y, se = effects.y[shown], effects.se[shown]
    half = special.ndtri((1 + level) / 2) * se
    table = pd.DataFrame(
        {
            "label": effects.label[shown],
            "study": effects.study[shown],
            "y": y,
            "se": se,
            "lower": y - half,
            "upper": y + half,
            "theta": summary.quantiles[:, 1],
            "theta_lower": summary.quantiles[:, 0],
            "theta_upper": summary.quantiles[:, 2],
            "weight": study_weights(fit)[shown],
        }
    )
    kind = measure(effects.measure)
    if scale == "natural" and kind.transformed:
        for column in ("y", "lower", "upper", "theta", "theta_lower", "theta_upper"):
            table[column] = kind.back(table[column].to_numpy())
    elif scale not in ("analysis", "natural"):
        raise ModelError(f"unknown scale {scale!r}. Allowed: analysis, natural.")
    table["level"] = level
    return table


_CLASSICAL_ROWS: tuple[tuple[Tau2Method, CiMethod], ...] = (
    ("EE", "wald"),
    ("DL", "wald"),
    ("REML", "wald"),
    ("PM", "wald"),
    ("REML", "hksj"),
    ("REML", "hksj_adhoc"),
)


def compare_table(
    fits: Mapping[str, Fit] | Fit | Effects,
    old: Mapping[str, Fit] | Fit | None = None,
    *,
    level: float = LEVEL,
    scale: Scale = "analysis",
) -> pd.DataFrame:
    """Bayesian beside classical pooling of the same rows, one line per method.

    Parameters
    ----------
    fits : Fit or mapping of str to Fit
        One Bayesian fit, or several of the same effects by name.
    old
        The fits, where effects are given first, as up to 0.1.0; this goes with the next release.
    level : float
        Of every interval.
    scale : {"analysis", "natural"}
        ``"natural"`` back-transforms estimates and intervals of ratio measures.

    Returns
    -------
    pandas.DataFrame
        Columns ``method kind estimate lower upper tau pi_lower pi_upper pi_formula p_value p_below_null
        difference_se mark level interval``. ``difference_se`` is the classical estimate minus the first Bayesian one,
        in classical standard errors. ``mark`` says what is wrong with the width of a Hartung-Knapp interval
        (``narrower than Wald`` of the same tau2, ``no width``), else it is empty. A line that is not defined says why
        under ``note``.
        Of one arm there are no ``p_value`` and ``p_below_null``. Where rows lie in clusters the classical check is
        ``multilevel REML + t``
        (`bayesmeta.classical.pool_clustered`), with ``multilevel REML + CR2`` beside it; ``tau`` is then the SD between
        clusters and a last column ``tau_within`` that within them.

    Raises
    ------
    ModelError
        For what is no fit, an unknown scale, and a level that is not between 0 and 1.
    """
    if scale not in ("analysis", "natural"):
        raise ModelError(f"unknown scale {scale!r}. Allowed: analysis, natural.")
    if isinstance(fits, Effects) and old is not None:
        warn("compare_table takes the fit alone: compare_table(fit).", DeprecationWarning)
        fits = old
    named = {"Bayesian": fits} if isinstance(fits, Fit) else dict(fits) if isinstance(fits, Mapping) else {}
    if not named:
        raise ModelError("compare_table: give a fit, or one or more fits by name.")
    effects = next(iter(named.values())).effects
    kind = measure(effects.measure)
    single = kind.single_arm
    rows: list[dict[str, Any]] = []
    reference: float | None = None
    for name, fit in named.items():
        table = summarize(fit, level=level)
        mu, new = table.loc["mu"], table.loc["theta_new"]
        reference = float(table["median"].to_numpy()[0]) if reference is None else reference
        rows.append(
            {
                "method": name,
                "kind": "posterior",
                "estimate": mu["median"],
                "lower": mu["lower"],
                "upper": mu["upper"],
                "tau": table.loc["tau", "median"] if "tau" in table.index else 0.0,
                **({"tau_within": table.loc["tau_within", "median"]} if "tau_within" in table.index else {}),
                "pi_lower": new["lower"],
                "pi_upper": new["upper"],
                "pi_formula": "predictive",
                "p_value": np.nan,
                "p_below_null": np.nan if single else probability(fit, "mu", below=0.0),
                "difference_se": np.nan,
                "note": "",
                "mark": "",
            }
        )
    rho = next(iter(named.values())).model.rho
    for method, ci in _CLASSICAL_ROWS:
        try:
            (result,) = pool_table(effects, methods=(method,), cis=(ci,), level=level, rho=rho)
        except (ModelError, InferenceError) as error:
            rows.append({"method": method_name(method, ci), "kind": "classical", "note": str(error), "mark": ""})
            continue
        rows.append(_classical_row(result, reference))
    if is_clustered(effects):
        rows += _clustered_rows(effects, level, reference)
    frame = pd.DataFrame(rows)
    frame["level"], frame["interval"] = level, "central"
    if is_clustered(effects):
        frame["tau_within"] = frame.pop("tau_within")
    if single:
        # the test is against a value on the analysis scale that means nothing
        frame["p_value"] = np.nan
    if scale == "natural" and kind.transformed:
        for column in ("estimate", "lower", "upper", "pi_lower", "pi_upper"):
            frame[column] = kind.back(frame[column].to_numpy(float))
    return frame


def _clustered_rows(effects: Effects, level: float, reference: float | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for robust in (False, True):
        name = "multilevel REML + CR2" if robust else check_name(effects)
        try:
            found = pool_clustered(effects, level=level, robust=robust)
        except ModelError as error:
            rows.append({"method": name, "kind": "classical", "note": str(error), "mark": "", "tau_within": np.nan})
        else:
            within = math.sqrt(found.cluster_tau2)
            rows.append({**_classical_row(found, reference), "method": name, "tau_within": within})
    return rows


def method_name(method: str, ci: str) -> str:
    """What tables call a classical method with its interval.

    Examples
    --------
    >>> method_name("REML", "hksj"), method_name("EE", "wald")
    ('REML + HKSJ', 'common effect')
    """
    known = {"wald": "", "t": " + t", "hksj": " + HKSJ", "hksj_adhoc": " + HKSJ ad hoc"}
    suffix = known.get(ci, f" + {ci}" if ci else "")
    return {"EE": "common effect"}.get(method, method) + suffix


def _classical_row(result: ClassicalFit | MultilevelMean, reference: float | None) -> dict[str, Any]:
    return {
        "method": method_name(result.method, result.ci) if isinstance(result, ClassicalFit) else "",
        "kind": "classical",
        "estimate": result.estimate,
        "lower": result.lower,
        "upper": result.upper,
        "tau": math.sqrt(result.tau2),
        "pi_lower": result.pi_lower,
        "pi_upper": result.pi_upper,
        "pi_formula": result.pi_formula,
        "p_value": result.p,
        "p_below_null": np.nan,
        "difference_se": np.nan if reference is None or result.se == 0 else (result.estimate - reference) / result.se,
        "note": "",
        "mark": (result.mark or "") if isinstance(result, ClassicalFit) else "",
    }


def bayes_factor(first: Fit, second: Fit) -> float:
    """Bayes factor of two models of the same effects, the ratio of their evidences.

    Raises
    ------
    ModelError
        Under an improper prior, or where the effects differ.
    """
    for fit in (first, second):
        if fit.log_evidence is None:
            raise ModelError(f"{fit.model!r} has an improper prior, under which a Bayes factor means nothing.")
    same = first.effects.y.shape == second.effects.y.shape and np.array_equal(first.effects.y, second.effects.y)
    if not (same and np.array_equal(first.effects.se, second.effects.se)):
        raise ModelError("a Bayes factor compares models of the same effects; these differ.")
    return math.exp(float(first.log_evidence or 0.0) - float(second.log_evidence or 0.0))
