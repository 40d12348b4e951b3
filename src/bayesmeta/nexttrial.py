"""What the next trial would have to show to change the conclusion, and how probable that is.

The next trial has estimate y and standard error s in a new setting. At each node of the posterior the mean effect is
normal with mean m and variance v, and the setting's effect has the variance t (tau squared) around it, so that

    y ~ N(m, v + t + s^2),    K = v / (v + t + s^2),    mu | y ~ N(m + K (y - m), (1 - K) v),

and the node's weight is multiplied by the density of y. The probability of benefit after the trial is therefore known
for every y without refitting; the y at which it crosses the panel's cut-off is found there, and confirmed by an exact
refit with the trial as one more row.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.decision import direction
from bayesmeta.effects import Effects
from bayesmeta.errors import BayesmetaWarning, ModelError
from bayesmeta.inference import fit as fit_model
from bayesmeta.marginals import NormalMixture
from bayesmeta.measures import measure
from bayesmeta.outcome import Threshold
from bayesmeta.posterior import LEVEL
from bayesmeta.quantities import distribution, functional_of, marginal
from bayesmeta.result import Fit

__all__ = ["SIZES", "next_trial_table", "planned_se", "updated_probability", "with_trial"]

FloatArray = NDArray[np.float64]

#: Participants per arm that are asked about.
SIZES = (20, 50, 100, 200, 500, 1000)
_TARGETS = (("mean effect", "mu"), ("new setting", "theta_new"))
_COLUMNS = ["size", "se", "question", "target", "benefit", "cut", "probability", "change", "estimate", "natural",
            "confirmed", "p_change", "p_reaches", "predicted", "predicted_lower", "predicted_upper", "level",
            "note"]  # fmt: skip
#: Results with less probability than this on either side are not looked at first.
_RARE = 1e-6
#: Beyond them results are looked for as far as this many times the distance from the predicted result.
_FAR = 10.0
_POINTS = 801
_NONE = "no result with a probability above one in a million changes it"
#: A refit agrees when its probability is this close to the cut-off.
_CLOSE = 1e-7
#: A crossing is found when the probability there is this close to the cut-off, or after so many steps.
_ROOT, _STEPS = 1e-13, 60


class _Nodes(NamedTuple):
    """Mean effect given each node, and the variance of a new setting around it; arrays of shape (N,)."""

    weights: FloatArray
    mean: FloatArray
    var: FloatArray
    spread: FloatArray


def _nodes(fit: Fit) -> _Nodes:
    if not fit.exact:
        raise ModelError("the next trial is asked of an exact fit; this one is by draws. Fit with engine = 'exact'.")
    if fit.model.beta:
        raise ModelError("the next trial is asked of the pooled analysis; this model has moderators.")
    if fit.quadrature.problem.cut is not None:
        raise ModelError("the next trial is not available with a truncated or uniform prior of mu; use a normal prior.")
    quadrature = fit.quadrature
    mean, row = functional_of(quadrature, fit, "mu", None)
    new, _ = functional_of(quadrature, fit, "theta_new", None)
    # nodes without weight can have variances beyond what can be squared
    used = quadrature.weights > 1e-300
    return _Nodes(quadrature.weights[used], mean.mean[row, used], mean.var[row, used], (new.var - mean.var)[row, used])


def _predictive(nodes: _Nodes, se: float) -> NormalMixture:
    return NormalMixture(nodes.weights / nodes.weights.sum(), nodes.mean, np.sqrt(nodes.var + nodes.spread + se * se))


def _updated(nodes: _Nodes, y: FloatArray, se: float, name: str, edge: float, sign: int) -> FloatArray:
    """P(sign effect > edge) after a trial with estimate y, shape (Y,)."""
    total = nodes.var + nodes.spread + se * se
    shift = y[:, None] - nodes.mean
    log = np.log(nodes.weights) - 0.5 * np.log(total) - 0.5 * shift * shift / total
    weights = np.exp(log - log.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    gain = nodes.var / total
    mean = nodes.mean + gain * shift
    # (1 - gain) var without the subtraction
    var = nodes.var * (nodes.spread + se * se) / total + (nodes.spread if name == "theta_new" else 0.0)
    chances = (weights * special.ndtr((sign * mean - edge) / np.sqrt(var))).sum(axis=1)
    # the sum of many weights may be rounded above one
    return np.asarray(np.minimum(chances, 1.0))


def updated_probability(fit: Fit, y: ArrayLike, se: float, *, distance: float = 0.0, target: str = "mu") -> FloatArray:
    """Probability of benefit after one more trial, for each result that it may have.

    Parameters
    ----------
    fit : Fit
        Exact, pooled, with a direction.
    y : array
        Estimates of the next trial on the analysis scale.
    se : float
        Its standard error.
    distance : float
        Threshold of benefit: the probability is ``P(s effect > distance)``.
    target : {"mu", "theta_new"}
        The mean effect, or the effect in one more new setting.

    Returns
    -------
    array of the shape of ``y``

    Examples
    --------
    >>> from bayesmeta.model import Model
    >>> from bayesmeta.priors import Flat
    >>> one = fit_model(Effects(["A"], [-0.2], [0.1], measure="SMD", better="lower"), Model(Flat(), None))
    >>> updated_probability(one, [-0.2, 0.2], 0.1).round(4)
    array([0.9977, 0.5   ])
    """
    if target not in ("mu", "theta_new"):
        raise ModelError(f"unknown target {target!r}. Allowed: mu, theta_new.")
    points = np.asarray(y, float)
    _check_se(se)
    return _updated(_nodes(fit), points.ravel(), se, target, distance, direction(fit)).reshape(points.shape)


def _check_se(se: float) -> None:
    if not (math.isfinite(se) and se > 0):
        raise ModelError(f"se = {se}: give a positive standard error.")


def planned_se(fit: Fit, size: float, *, sd: float | None = None) -> float:
    """Standard error of a trial with so many participants per arm.

    For standardised differences ``sqrt(2/n + g^2 / (4 n))`` with g the present mean effect. For others ``S sqrt(2/n)``,
    where S is ``sd`` if given, else what the trials show: the median of ``se sqrt(n_t n_c / (n_t + n_c))``.

    Parameters
    ----------
    fit : Fit
    size : float
        Participants per arm.
    sd : float, optional
        What one participant contributes: for a mean difference the standard deviation of the outcome.

    Examples
    --------
    >>> from bayesmeta.model import Model
    >>> from bayesmeta.priors import Flat
    >>> one = fit_model(Effects(["A"], [0.0], [0.1], measure="SMD"), Model(Flat(), None))
    >>> planned_se(one, 50)
    0.2
    """
    if not (math.isfinite(size) and size >= 2):
        raise ModelError(f"size = {size}: give at least 2 participants per arm.")
    if sd is None and fit.effects.measure in ("SMD", "SMDH"):
        g = float(marginal(fit, "mu").quantile(0.5))
        return math.sqrt(2 / size + g * g / (4 * size))
    return (_unit_sd(fit.effects) if sd is None else _positive_sd(sd)) * math.sqrt(2 / size)


def _positive_sd(sd: float) -> float:
    if not (math.isfinite(sd) and sd > 0):
        raise ModelError(f"sd = {sd}: give a positive number.")
    return sd


def _unit_sd(effects: Effects) -> float:
    known = np.zeros(effects.k, bool) if effects.n is None else ~np.isnan(effects.n).any(axis=1)
    if effects.n is None or not known.any():
        raise ModelError(
            f"{effects.measure}: the standard error of a trial of a given size follows from what the trials show, and "
            "their numbers of participants are not stated. Give sd, or the standard errors themselves by se."
        )
    treated, control = effects.n[known].T
    return float(np.median(effects.se[known] * np.sqrt(treated * control / (treated + control))))


def with_trial(effects: Effects, y: float, se: float, name: str = "next trial") -> Effects:
    """Add one more independent trial.

    Examples
    --------
    >>> with_trial(Effects(["A"], [-0.2], [0.1], measure="SMD"), 0.1, 0.2).study
    ('A', 'next trial')
    """
    while name in effects.study or name in effects.label or name in (effects.cluster or ()):
        name += "'"
    with warnings.catch_warnings():
        # whatever there was to say of repeated trials was said of them
        warnings.simplefilter("ignore", BayesmetaWarning)
        return Effects(
            (*effects.study, name), [*effects.y, y], [*effects.se, se], measure=effects.measure,
            label=(*effects.label, name), blocks=effects.blocks,
            cluster=None if effects.cluster is None else (*effects.cluster, name),
            name=effects.name, better=effects.better, unit=effects.unit,
        )  # fmt: skip


def next_trial_table(
    fit: Fit,
    threshold: Threshold | None = None,
    *,
    sizes: Sequence[float] = SIZES,
    se: float | Sequence[float] | None = None,
    sd: float | None = None,
    cut: float = 0.8,
    level: float = LEVEL,
) -> pd.DataFrame:
    """What the next trial would have to show for a probability of benefit to cross the panel's cut-off.

    Parameters
    ----------
    fit : Fit
        Exact, pooled, with a direction.
    threshold : Threshold, optional
        Of important benefit; default the primary one of the fit's outcome. Without one that is a number, only any
        benefit is asked.
    sizes : sequence of float
        Participants per arm; see `planned_se`.
    se : float or sequence of float, optional
        Standard errors in place of sizes.
    sd : float, optional
        What one participant contributes, for `planned_se`.
    cut : float
        The probability that the panel wants.
    level : float
        Of the interval in which the next trial's estimate is predicted.

    Returns
    -------
    pandas.DataFrame
        One line per size, question (``any benefit``, ``important benefit``) and target (``mean effect``, ``new
        setting``). Columns ``size se question target benefit cut probability change estimate natural confirmed p_change
        p_reaches predicted predicted_lower predicted_upper level note``. ``change`` says whether the probability would
        have to ``rise`` or ``fall``; ``estimate`` is the result at which it crosses the cut-off (``natural``:
        back-transformed), ``confirmed`` the probability by an exact refit with that result. ``p_change`` is the
        probability, predicted from what is known now, that the trial changes the conclusion, ``p_reaches`` that the
        probability is at or above the cut-off after it. Where no result can change it, ``estimate`` is missing and
        ``note`` says so.

    References
    ----------
    Spiegelhalter DJ, Abrams KR, Myles JP. Bayesian approaches to clinical trials and health-care evaluation, chapter 6.
    Wiley 2004. doi:10.1002/0470092602. Sutton AJ et al. Stat Med 2007;26:2479-2500. doi:10.1002/sim.2704

    Examples
    --------
    >>> from bayesmeta.decision import threshold
    >>> from bayesmeta.model import Model
    >>> from bayesmeta.priors import HalfNormal, Normal
    >>> effects = Effects(["A", "B", "C"], [-0.4, -0.1, -0.3], [0.2, 0.1, 0.2], measure="SMD", better="lower")
    >>> fit = fit_model(effects, Model(Normal(0, 1), HalfNormal(0.5)))
    >>> table = next_trial_table(fit, threshold(0.2, measure_name="SMD", better="lower"), sizes=[100])
    >>> table.loc[2, ["question", "change"]].tolist(), round(table.loc[2, "estimate"], 2)
    (['important benefit', 'rise'], np.float64(-0.56))
    """
    try:
        if not 0 < cut < 1:
            raise ModelError(f"cut = {cut}: a probability between 0 and 1, such as 0.8.")
        if not 0 < level < 1:
            raise ModelError(f"level = {level} is not between 0 and 1; 0.95 is usual.")
        nodes, sign = _nodes(fit), direction(fit)
        errors = _errors(fit, sizes, se, sd)
    except ModelError as error:
        texts = ("question", "target", "change")
        row: dict[str, Any] = {name: "" if name in texts else math.nan for name in _COLUMNS}
        return pd.DataFrame([{**row, "note": str(error)}], columns=_COLUMNS)
    chosen = threshold or (fit.outcome.primary if fit.outcome is not None else None)
    distances = [("any benefit", 0.0)]
    if chosen is not None and isinstance(chosen.benefit_distance, (int, float)):
        distances.append(("important benefit", float(chosen.benefit_distance)))
    rows = []
    back = measure(fit.effects.measure).back
    for size, planned in errors:
        predictive = _predictive(nodes, planned)
        lower, middle, upper = predictive.quantile([(1 - level) / 2, 0.5, (1 + level) / 2]).tolist()
        for words, distance in distances:
            for target, name in _TARGETS:
                now = float(distribution(fit, name, [sign * distance], upper=sign > 0)[0])
                question = _Question(fit, nodes, predictive, planned, name, distance, sign, cut)
                found = _crossing(question, now)
                rows.append(
                    {
                        "size": size, "se": planned, "question": words, "target": target, "benefit": distance,
                        "cut": cut, "probability": now, "change": "rise" if now < cut else "fall",
                        **found, "natural": float(back(found["estimate"])), "predicted": middle,
                        "predicted_lower": lower, "predicted_upper": upper, "level": level,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def _errors(
    fit: Fit, sizes: Sequence[float], se: float | Sequence[float] | None, sd: float | None
) -> list[tuple[float, float]]:
    """Sizes (missing where standard errors are stated) and standard errors."""
    if se is not None:
        stated = [float(x) for x in np.atleast_1d(np.asarray(se, float))]
        for value in stated:
            _check_se(value)
        return [(math.nan, value) for value in stated]
    return [(float(size), planned_se(fit, size, sd=sd)) for size in sizes]


class _Question(NamedTuple):
    fit: Fit
    nodes: _Nodes
    predictive: NormalMixture
    se: float
    name: str
    distance: float
    sign: int
    cut: float

    def gap(self, y: FloatArray) -> FloatArray:
        """How far the probability after a result is above the cut-off."""
        return _updated(self.nodes, y, self.se, self.name, self.distance, self.sign) - self.cut


def _crossing(q: _Question, now: float) -> dict[str, Any]:
    """The result nearest to the predicted one at which the conclusion changes, and the probability of such results."""
    rare = q.predictive.quantile([_RARE, 0.5, 1 - _RARE])
    roots, gaps = _roots(q, np.linspace(rare[0], rare[2], _POINTS))
    edges = np.concatenate([[-np.inf], roots, [np.inf]])
    mass = np.diff(q.predictive.cdf(edges))
    # the sign alternates between roots
    above = (gaps[0] >= 0) ^ (np.arange(mass.size) % 2 == 1)
    reaches = min(float(mass[above].sum()), 1.0)
    found: dict[str, Any] = {"estimate": math.nan, "confirmed": math.nan, "note": "", "p_reaches": reaches,
                             "p_change": reaches if now < q.cut else min(float(mass[~above].sum()), 1.0)}  # fmt: skip
    notes = []
    if roots.size == 0:
        best = q.cut + (gaps.max() if now < q.cut else gaps.min())
        side = "highest" if now < q.cut else "lowest"
        found["note"] = f"{_NONE}: the {side} it leads to is {best:.3g}"
        # asked without regard to how probable such a result is; there the nodes of this fit may be too few
        reach = _FAR * (rare[2] - rare[0])
        roots, _ = _roots(q, np.linspace(rare[1] - reach, rare[1] + reach, 4 * _POINTS))
        notes.append("only a result that is less probable than one in a million")
    if roots.size > 1:
        notes.append("the probability crosses the cut-off more than once: results beyond may bring it back")
    for start in roots[np.argsort(np.abs(roots - rare[1]))]:
        estimate, confirmed = _confirm(q, float(start))
        if abs(confirmed - q.cut) < 10 * _CLOSE:
            return {**found, "estimate": estimate, "confirmed": confirmed, "note": "; ".join(notes)}
    return found if found["note"] else {**found, "note": "no refit confirms a crossing"}


def _roots(q: _Question, grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Every crossing between the points of a grid, by the Illinois rule for all together; and the gaps on the grid."""
    gaps = np.concatenate([q.gap(part) for part in np.array_split(grid, 8)])
    at = np.flatnonzero((gaps[1:] >= 0) != (gaps[:-1] >= 0))
    a, b, fa, fb = grid[at], grid[at + 1], gaps[at], gaps[at + 1]
    for _ in range(_STEPS if at.size else 0):
        slope = fb - fa
        x = np.where(slope != 0, b - fb * (b - a) / np.where(slope != 0, slope, 1.0), b)
        fx = q.gap(x)
        crossed = (fx >= 0) != (fb >= 0)
        a, fa, b, fb = np.where(crossed, b, a), np.where(crossed, fb, 0.5 * fa), x, fx
        if np.abs(fb).max() <= _ROOT:
            break
    return b, gaps


def _confirm(q: _Question, y: float) -> tuple[float, float]:
    """The probability by an exact refit; where the nodes of the present fit were too few, the result is moved."""
    step = 1e-4 * q.se
    confirmed = math.nan
    for _ in range(6):
        refit = fit_model(with_trial(q.fit.effects, y, q.se), q.fit.model)
        confirmed = float(distribution(refit, q.name, [q.sign * q.distance], upper=q.sign > 0)[0])
        if abs(confirmed - q.cut) < _CLOSE:
            break
        low, high = q.gap(np.array([y - step, y + step]))
        slope = (high - low) / (2 * step)
        if slope == 0 or not math.isfinite(slope):
            break
        y = y - (confirmed - q.cut) / slope
    return y, confirmed
