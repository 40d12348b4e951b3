"""The worst that selection by significance can do, and how strong it would have to be (Mathur & VanderWeele 2020).

A trial is *affirmative* where its two-sided p is below 0.05 and its effect lies in the favoured direction. Affirmative
trials are published with a probability that is a ratio of at least 1 times that of the others. Weighting the others by
the ratio corrects for it, and in the limit of a ratio without end only they are left: the worst case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from bayesmeta.bias.averaging import turn_of
from bayesmeta.bias.specification import CandidateModel, Ensemble, StepSelection
from bayesmeta.classical import dependence_note, pool
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, fit, marginal
from bayesmeta.measures import require_null
from bayesmeta.model import Model
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Threshold
from bayesmeta.questions import any_benefit_of, benefit_probabilities, numeric_distance
from bayesmeta.questions import threshold as threshold_of

__all__ = ["s_value", "worst_case_table"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
#: One-sided p of a trial that is affirmative: two-sided 0.05.
_ONE_SIDED = StepSelection((0.025,))
#: Ratios at which a limit is looked at before its root is sought: 1 to 1e6.
_RATIOS = np.geomspace(1.0, 1e6, 121)
_METHODS = ("common effect", "random effects, robust SE")


class _Rows(NamedTuple):
    """Estimates turned so that the favoured direction is positive, shape (k,) each; `trial` numbers their trials."""

    y: FloatArray
    variance: FloatArray
    affirmative: BoolArray
    trial: NDArray[np.intp]

    def kept(self, rows: BoolArray) -> _Rows:
        return _Rows(self.y[rows], self.variance[rows], self.affirmative[rows], self.trial[rows])


class _Estimate(NamedTuple):
    """A weighted mean with its SE and degrees of freedom; infinite where its interval is normal."""

    value: float
    se: float
    df: float

    def limit(self, level: float, side: int) -> float:
        """The lower (-1) or upper (+1) limit of the central interval."""
        upper = 0.5 + 0.5 * level
        far = special.ndtri(upper) if math.isinf(self.df) else special.stdtrit(self.df, upper)
        return self.value + side * float(far) * self.se


def worst_case_table(
    effects: Effects,
    threshold: Threshold | float | None = None,
    *,
    model: Model | None = None,
    direction: str | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Pool the non-affirmative trials alone: what is left if all others were seen because of their results.

    Parameters
    ----------
    effects : Effects
    threshold : Threshold or float, optional
        Smallest important benefit, on the measure's own scale.
    model : Model, optional
        With its priors: adds the Bayesian mean effect of all trials and of the worst case, with chances of benefit.
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection. Default: the better direction of the effects.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        Rows for ``trials`` "all" and "worst case", by ``method`` "common effect" (inverse variances, normal), "random
        effects, robust SE" (weights ``1 / (se^2 + tau^2)`` with the REML tau^2 of all trials, CR2 standard error as
        `s_value` has it) and, with a model, "Bayesian" (median and central credible interval): ``k estimate se df
        lower upper beyond p_any_benefit p_important_benefit note level``. `beyond` says whether the whole interval
        lies beyond the threshold's distance, or beyond no effect where there is none, in the favoured direction. With
        a single trial the interval of the robust row is normal with its own SE. What cannot be pooled has nan and the
        reason in `note`.

    Raises
    ------
    ModelError
        For a measure without a null, without a direction, and for a threshold that is no number.

    References
    ----------
    Mathur & VanderWeele 2020, doi:10.1111/rssc.12440.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCD"), [0.1, 0.2, 0.6, 0.7], [0.1, 0.2, 0.2, 0.2], measure="SMD", better="higher")
    >>> table = worst_case_table(trials).query("method == 'common effect'")
    >>> table["k"].tolist(), table["estimate"].round(3).tolist()
    ([4, 2], [0.271, 0.12])
    """
    sign = _sign(effects, direction, "the worst case")
    rows = _rows(effects, sign)
    if threshold is None or isinstance(threshold, Threshold):
        item = threshold
    else:
        item = threshold_of(threshold, measure_name=effects.measure, better=effects.better)  # type: ignore[arg-type]
    edge = _distance(item)
    weights, why = _random_weights(effects)
    found: list[dict[str, Any]] = []
    for trials, kept in (("all", np.ones(effects.k, bool)), ("worst case", ~rows.affirmative)):
        k = int(kept.sum())
        part = rows.kept(kept)
        for method in _METHODS:
            row: dict[str, Any] = {"trials": trials, "method": method, "k": k, "note": ""}
            robust = method != _METHODS[0]
            if k == 0:
                row["note"] = "every trial is affirmative: none is left"
            elif robust and weights is None:
                row["note"] = why
            else:
                estimate = _common(part) if not robust else _robust(part, weights[kept])  # type: ignore[index]
                if robust and len(set(part.trial.tolist())) == 1:
                    row["note"] = "one trial: the interval is that of its own SE"
                row |= _described(estimate, sign, level, edge)
            found.append(row)
        if model is not None:
            row = {"trials": trials, "method": "Bayesian", "k": k, "note": ""}
            row |= (
                _bayesian(effects.subset(kept), model, item, sign, level, edge)
                if k
                else {"note": "every trial is affirmative: none is left"}
            )
            found.append(row)
    columns = (
        *("trials", "method", "k", "estimate", "se", "df", "lower", "upper", "beyond"),
        *("p_any_benefit", "p_important_benefit", "note"),
    )
    table = pd.DataFrame(found, columns=list(columns))
    notes = dependence_note(effects)
    if notes:
        common = table["method"] == _METHODS[0]
        table.loc[common, "note"] = [f"{note}; {notes[0]}".removeprefix("; ") for note in table.loc[common, "note"]]
    return table.astype({"beyond": object}).assign(level=level)


def s_value(
    effects: Effects,
    q: Threshold | float = 0.0,
    *,
    direction: str | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    r"""How many times likelier significant results would have to be published to move the pooled effect to `q`.

    With the ratio :math:`\eta`, sums N over non-affirmative and A over affirmative trials of weights :math:`w` (m) and
    of :math:`w y` (s), and sampling variances v,

    .. math:: \hat\mu_\eta = \frac{\eta s_N + s_A}{\eta m_N + m_A}, \qquad
              S = \frac{m_A q - s_A}{s_N - m_N q}.

    Common effect: :math:`w = 1 / v`, :math:`se^2 = (\eta^2 m_N + m_A) / (\eta m_N + m_A)^2`, t(k - 1), so that the
    ratio of the limit is the root of a quadratic. Random effects: :math:`w = 1 / (v + \tau^2)` with the REML estimate
    of all trials, and the CR2 standard error of given weights with working variances v, clustered by trial; its degrees
    of freedom are Satterthwaite's with equal variances, as R robumeta and PublicationBias have them.

    Parameters
    ----------
    effects : Effects
    q : float or Threshold
        On the scale of the analysis (a log ratio for ratio measures), in the effects' own direction; of a threshold its
        benefit. Default: no effect.
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection. Default: the better direction of the effects.
    level : float
        Of the interval whose limit, that nearer to `q` from the favoured side, is to reach it.

    Returns
    -------
    DataFrame
        Rows for ``method`` "common effect" and "random effects, robust SE", and ``of`` "estimate" and "limit": ``q
        uncorrected worst_case ratio answer note level``. `answer` is "ratio"; "not possible" (`ratio` infinite) where
        even the worst case stays beyond `q` (that of all trials where none is affirmative); "without selection"
        (`ratio` 1) where it is reached anyway; or "not defined" (`ratio` nan), with the reason in `note`.

    Raises
    ------
    ModelError
        For a measure without a null, without a direction, and for a `q` that is no number.

    References
    ----------
    Mathur & VanderWeele 2020, doi:10.1111/rssc.12440; CR2 of given weights: Tipton 2015, doi:10.1037/met0000011.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCD"), [0.1, 0.2, 0.6, 0.7], [0.1, 0.2, 0.2, 0.2], measure="SMD", better="higher")
    >>> table = s_value(trials, 0.15)  # (25 x 2 x 0.15 - 25 x 1.3) / (15 - 125 x 0.15)
    >>> table["answer"].iloc[0], table["ratio"].iloc[0].round(4)
    ('ratio', np.float64(6.6667))
    """
    sign = _sign(effects, direction, "the S-value")
    if isinstance(q, Threshold):
        q = _sign(effects, None, "the S-value") * _distance(q)
    if not math.isfinite(q):
        raise ModelError(f"q = {q}: give a finite number on the scale of the analysis, such as 0 for no effect.")
    rows, target = _rows(effects, sign), sign * q
    weights, why = _random_weights(effects)
    found = []
    for method in _METHODS:
        robust = method != _METHODS[0]
        note = "" if robust else "; ".join(dependence_note(effects))
        own = weights if robust else 1.0 / rows.variance
        for of in ("estimate", "limit"):
            row: dict[str, Any] = {
                "method": method,
                "of": of,
                "q": float(q),
                "uncorrected": math.nan,
                "worst_case": math.nan,
            }
            if own is None:
                row |= {"ratio": math.nan, "answer": "not defined", "note": why}
            else:
                row |= _ratio(rows, own, target, sign, level, robust=robust, limit=of == "limit")
                row["note"] = "; ".join(part for part in (row["note"], note) if part)
            found.append(row)
    return pd.DataFrame(found).assign(level=level)


def _ratio(
    rows: _Rows, weights: FloatArray, target: float, sign: float, level: float, *, robust: bool, limit: bool
) -> dict[str, Any]:
    """One row of `s_value`."""
    unseen = ~rows.affirmative

    def at(ratio: float) -> float:
        if math.isinf(ratio):
            part = rows.kept(unseen)
            found = _robust(part, weights[unseen]) if robust else _common(part)._replace(df=rows.y.size - 1)
        else:
            more = weights * np.where(unseen, ratio, 1.0)
            found = _robust(rows, more) if robust else _common(rows, more)._replace(df=rows.y.size - 1)
        return found.limit(level, -1) if limit else found.value

    start = at(1.0)
    row: dict[str, Any] = {"uncorrected": sign * start, "note": ""}
    if math.isnan(start):
        return row | {"ratio": math.nan, "answer": "not defined", "note": "one trial: its limit has no t distribution"}
    if start <= target:
        reached = {"ratio": 1.0, "answer": "without selection"}
        return row | reached | ({"worst_case": sign * at(math.inf)} if unseen.any() else {})
    if not unseen.any():
        note = "every trial is affirmative: there is no worst case"
        return row | {"ratio": math.nan, "answer": "not defined", "note": note}
    row["worst_case"] = sign * at(math.inf)
    ratio = _crossing(at, rows, weights, target, level, robust=robust, limit=limit)
    if ratio is None:
        return row | {"ratio": math.inf, "answer": "not possible"}
    return row | {"ratio": ratio, "answer": "ratio"}


def _crossing(
    at: Callable[[float], float],
    rows: _Rows,
    weights: FloatArray,
    target: float,
    level: float,
    *,
    robust: bool,
    limit: bool,
) -> float | None:
    """The smallest ratio above 1 at which the estimate or its lower limit is the target; None where there is none."""
    unseen = ~rows.affirmative
    m, s = weights, weights * (rows.y - target)
    m_n, m_a, s_n, s_a = m[unseen].sum(), m[~unseen].sum(), s[unseen].sum(), s[~unseen].sum()
    if not limit or not rows.affirmative.any():
        # without an affirmative trial the ratio changes nothing
        return None if s_n >= 0 else float(-s_a / s_n)
    if not robust:
        # (eta s_N + s_A)^2 = t^2 (eta^2 m_N + m_A), where the sum is positive
        t2 = float(special.stdtrit(rows.y.size - 1, 0.5 + 0.5 * level)) ** 2
        roots = np.roots([s_n**2 - t2 * m_n, 2.0 * s_n * s_a, s_a**2 - t2 * m_a])
        real = np.sort(roots[np.isreal(roots)].real)
        real = real[(real >= 1.0) & (real * s_n + s_a >= 0.0)]
        return float(real[0]) if real.size else None
    values = np.array([at(ratio) for ratio in _RATIOS]) - target
    below = np.flatnonzero(values <= 0.0)
    if not below.size:
        return None
    high = float(_RATIOS[below[0]])
    return float(optimize.brentq(lambda ratio: at(ratio) - target, float(_RATIOS[below[0] - 1]), high, xtol=1e-10))


def _sign(effects: Effects, direction: str | None, what: str) -> float:
    require_null(effects.measure, what)
    return turn_of(effects, Ensemble("", [CandidateModel(None, None, _ONE_SIDED)]), direction)


def _distance(threshold: Threshold | None) -> float:
    """Distance of an important benefit from no effect."""
    if threshold is None:
        return 0.0
    distance = numeric_distance(threshold)
    if distance is None:
        raise ModelError(f"threshold {threshold.name!r} is a range or a distribution; give one number.")
    return distance


def _rows(effects: Effects, sign: float) -> _Rows:
    z = sign * effects.y / effects.se
    names = {name: i for i, name in enumerate(dict.fromkeys(effects.study))}
    trial = np.array([names[name] for name in effects.study])
    return _Rows(sign * effects.y, effects.se**2, special.ndtr(-z) < 0.025, trial)


def _random_weights(effects: Effects) -> tuple[FloatArray | None, str]:
    """``1 / (se^2 + tau^2)`` with the REML estimate of all trials as independent, or why there are none."""
    if effects.k == 1:
        return None, "one estimate: heterogeneity cannot be estimated"
    rows = [f"row {i}" for i in range(effects.k)]
    tau2 = pool(Effects(rows, effects.y, effects.se, measure=effects.measure), method="REML").tau2
    return 1.0 / (effects.se**2 + tau2), ""


def _common(rows: _Rows, weights: FloatArray | None = None) -> _Estimate:
    """Weighted mean of independent estimates; inverse variances by default."""
    w = 1.0 / rows.variance if weights is None else weights
    total = w.sum()
    se = math.sqrt(float((w**2 * rows.variance).sum())) / float(total)
    return _Estimate(float(w @ rows.y / total), se, math.inf)


def _robust(rows: _Rows, weights: FloatArray) -> _Estimate:
    """Weighted mean with the CR2 standard error of given weights, working variances those of sampling."""
    if len(set(rows.trial.tolist())) == 1:
        return _common(rows, weights)
    k, share = rows.y.size, weights / weights.sum()
    centre = float(share @ rows.y)
    residual = rows.y - centre
    if len(set(rows.trial.tolist())) == k:
        # every row a cluster of its own: A = sqrt(V / B), and all products are known
        left_over = rows.variance * (1.0 - 2.0 * share) + share**2 @ rows.variance
        pull = share * np.sqrt(rows.variance / left_over)
        products = np.outer(pull, pull) * (np.eye(k) - np.add.outer(share, share) + share @ share)
        square = float((pull * residual) @ (pull * residual))
        return _Estimate(centre, math.sqrt(square), float(np.trace(products) ** 2 / (products**2).sum()))
    left, root = np.eye(k) - share, np.sqrt(rows.variance)
    square, parts = 0.0, []
    for trial in np.unique(rows.trial):
        own = np.flatnonzero(rows.trial == trial)
        # A = D B^{-1/2} D with D^2 = V and B = D (I - H) V (I - H)' D makes the residuals of a cluster unbiased
        d = root[own]
        inner = d[:, None] * ((left[own] * rows.variance) @ left[own].T) * d
        values, vectors = np.linalg.eigh(inner)
        inverse = np.where(values > 1e-12 * values.max(), 1.0 / np.sqrt(np.maximum(values, 1e-300)), 0.0)
        a = d[:, None] * ((vectors * inverse) @ vectors.T) * d
        pull = share[own] @ a
        square += float(pull @ residual[own]) ** 2
        parts.append(pull @ left[own])
    products = np.array(parts) @ np.array(parts).T
    return _Estimate(centre, math.sqrt(square), float(np.trace(products) ** 2 / (products**2).sum()))


def _described(estimate: _Estimate, sign: float, level: float, edge: float) -> dict[str, Any]:
    """Columns of a classical row, turned back."""
    ends = sorted(sign * estimate.limit(level, side) for side in (-1, 1))
    return {
        "estimate": sign * estimate.value,
        "se": estimate.se,
        "df": estimate.df,
        "lower": ends[0],
        "upper": ends[1],
        "beyond": estimate.limit(level, -1) > edge,
    }


def _bayesian(
    effects: Effects, model: Model, threshold: Threshold | None, sign: float, level: float, edge: float
) -> dict[str, Any]:
    """Columns of the row of a Bayesian fit."""
    fitted = fit(effects, model)
    form = marginal(fitted, "mu")
    lower, median, upper = form.quantile(interval_ends(level)).tolist()
    row = {"estimate": median, "se": form.sd, "lower": lower, "upper": upper}
    row["beyond"] = (lower if sign > 0 else -upper) > edge
    if effects.better is not None:
        row["p_any_benefit"] = any_benefit_of(fitted, "mu")
        if threshold is not None:
            row["p_important_benefit"] = benefit_probabilities(fitted, threshold)["p_important_benefit"]
    return row
