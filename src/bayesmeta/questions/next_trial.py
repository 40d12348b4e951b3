"""What the next trial would have to show to change the conclusion, and how probable that is.

The next trial has estimate y and standard error s. At each node of the posterior the mean effect is
normal with mean m and variance v, and the trial's true effect has the variance t (tau squared) around it, so that

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

from bayesmeta.effects import Effects
from bayesmeta.errors import BayesmetaWarning, ModelError
from bayesmeta.fits import LEVEL, Fit, distribution, fit_many, marginal
from bayesmeta.marginals import NormalMixture
from bayesmeta.measures import measure, require_null
from bayesmeta.numerics import interval_ends, roots
from bayesmeta.plan import Threshold
from bayesmeta.questions.thresholds import direction, numeric_distance, resolve_threshold

__all__ = ["SIZES", "next_trial_table", "planned_se", "updated_probability", "with_trial"]

FloatArray = NDArray[np.float64]

#: Participants per arm that are asked about.
SIZES = (20, 50, 100, 200, 500, 1000)
_TARGETS = (("mean effect", "mu"), ("new study", "theta_new"))
_COLUMNS = [
    "size",
    "se",
    "question",
    "target",
    "benefit",
    "cutoff",
    "probability",
    "change",
    "estimate",
    "natural",
    "confirmed",
    "p_change",
    "p_reaches",
    "predicted",
    "predicted_lower",
    "predicted_upper",
    "level",
    "note",
]
#: Results with less probability than this on either side are not looked at first.
_RARE = 1e-6
#: Beyond them results are looked for as far as this many times the distance from the predicted result.
_FAR = 10.0
_POINTS = 801
_NONE = "no result with a probability above one in a million changes it"
#: A refit agrees when its probability is this close to the cut-off.
_CLOSE = 1e-7
#: A crossing is found when the probability there is this close to the cut-off, or after so many steps.
_ROOT = 1e-13
#: How often a result is moved until a refit agrees.
_MOVES = 6


class _Nodes(NamedTuple):
    """Mean effect given each node, and the variance of a new study around it; arrays of shape (N,)."""

    weights: FloatArray
    mean: FloatArray
    var: FloatArray
    spread: FloatArray


def _nodes(fit: Fit) -> _Nodes:
    if fit.model.beta:
        raise ModelError("the next trial is asked of the pooled analysis; this model has moderators.")
    form = fit.posterior.quantities(np.ones((2, 1)), [None, "theta_new"]).mixtures
    if form is None:
        raise ModelError(
            "the next trial is asked of an exact fit, and not available with a truncated or uniform prior of mu: fit "
            "with engine = 'exact' and a normal prior."
        )
    # nodes without weight can have variances beyond what can be squared
    used = form.weights > 1e-300
    var, new = np.square(form.sds[:, used])
    return _Nodes(form.weights[used], form.means[0, used], var, new - var)


def _predictive(nodes: _Nodes, se: float) -> NormalMixture:
    return NormalMixture(nodes.weights / nodes.weights.sum(), nodes.mean, np.sqrt(nodes.var + nodes.spread + se * se))


class _After(NamedTuple):
    """The posterior after a trial with each of Y estimates: weights and means of shape (Y, N), variances (N,)."""

    weights: FloatArray
    mean: FloatArray
    var: FloatArray
    new_var: FloatArray

    def beyond(self, name: str, edge: float, sign: int) -> FloatArray:
        """P(sign effect > edge), shape (Y,)."""
        var = self.new_var if name == "theta_new" else self.var
        chances = (self.weights * special.ndtr((sign * self.mean - edge) / np.sqrt(var))).sum(axis=1)
        # the sum of many weights may be rounded above one
        return np.asarray(np.minimum(chances, 1.0))


def _after(nodes: _Nodes, y: FloatArray, se: float) -> _After:
    total = nodes.var + nodes.spread + se * se
    shift = y[:, None] - nodes.mean
    log = np.log(nodes.weights) - 0.5 * np.log(total) - 0.5 * shift * shift / total
    weights = np.exp(log - log.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    # (1 - gain) var without the subtraction
    var = nodes.var * (nodes.spread + se * se) / total
    return _After(weights, nodes.mean + nodes.var / total * shift, var, var + nodes.spread)


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
        The mean effect, or the effect in a new study.

    Returns
    -------
    array of the shape of ``y``

    Raises
    ------
    ModelError
        For an unknown target, a standard error that is not positive, and a fit that is not exact and pooled.

    Examples
    --------
    >>> one = bm.fit(bm.Effects(["A"], [-0.2], [0.1], measure="SMD", better="lower"), bm.Model(bm.Flat(), None))
    >>> updated_probability(one, [-0.2, 0.2], 0.1).round(4)
    array([0.9977, 0.5   ])
    """
    require_null(fit.effects.measure, "the next trial")
    if target not in ("mu", "theta_new"):
        raise ModelError(f"unknown target {target!r}. Allowed: mu, theta_new.")
    points = np.asarray(y, float)
    _check_se(se)
    return _after(_nodes(fit), points.ravel(), se).beyond(target, distance, direction(fit)).reshape(points.shape)


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

    Raises
    ------
    ModelError
        For less than two participants, and where the trials do not show what one contributes.

    Examples
    --------
    >>> one = bm.fit(bm.Effects(["A"], [0.0], [0.1], measure="SMD"), bm.Model(bm.Flat(), None))
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
    >>> with_trial(bm.Effects(["A"], [-0.2], [0.1], measure="SMD"), 0.1, 0.2).study
    ('A', 'next trial')
    """
    while name in effects.study or name in effects.label or name in (effects.cluster or ()):
        name += "'"
    with warnings.catch_warnings():
        # whatever there was to say of repeated trials was said of them
        warnings.simplefilter("ignore", BayesmetaWarning)
        return Effects(
            (*effects.study, name),
            [*effects.y, y],
            [*effects.se, se],
            measure=effects.measure,
            label=(*effects.label, name),
            blocks=effects.blocks,
            working=effects.working,
            cluster=None if effects.cluster is None else (*effects.cluster, name),
            arms=None if effects.arms is None else (*effects.arms, ("treated", "control")),
            name=effects.name,
            better=effects.better,
            unit=effects.unit,
        )


def next_trial_table(
    fit: Fit,
    threshold: Threshold | float | None = None,
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
    threshold : Threshold or float, optional
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
        study``). Columns ``size se question target benefit cutoff probability change estimate natural confirmed
        p_change p_reaches predicted predicted_lower predicted_upper level note``. ``change`` says whether the
        probability would have to ``rise`` or ``fall``; ``estimate`` is the result at which it crosses the cut-off
        (``natural``: back-transformed), ``confirmed`` the probability by an exact refit with that result. ``p_change``
        is the probability, predicted from what is known now, that the trial changes the conclusion, ``p_reaches`` that
        the probability is at or above the cut-off after it. Where no result can change it, ``estimate`` is missing and
        ``note`` says so.

    Raises
    ------
    ModelError
        For what is no threshold; other reasons stand in the table, under ``note``.

    References
    ----------
    Spiegelhalter DJ, Abrams KR, Myles JP. Bayesian approaches to clinical trials and health-care evaluation, chapter 6.
    Wiley 2004. doi:10.1002/0470092602. Sutton AJ et al. Stat Med 2007;26:2479-2500. doi:10.1002/sim.2704

    Examples
    --------
    >>> table = next_trial_table(fit, bm.threshold(0.2, measure_name="SMD", better="lower"), sizes=[100])
    >>> table.loc[2, ["question", "change"]].tolist(), round(table.loc[2, "estimate"], 2)
    (['important benefit', 'rise'], np.float64(-1.67))
    """
    require_null(fit.effects.measure, "the next trial")
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
    distances, important = [("any benefit", 0.0)], numeric_distance(resolve_threshold(fit, threshold))
    distances += [] if important is None else [("important benefit", important)]
    rows: list[dict[str, Any]] = []
    crossings: list[_Crossing] = []
    for size, planned in errors:
        predictive = _predictive(nodes, planned)
        lower, middle, upper, *rare = predictive.quantile([*interval_ends(level), _RARE, 1 - _RARE]).tolist()
        # of all questions, in pieces whose arrays of nodes stay small
        results, reach = np.linspace(rare[0], rare[1], _POINTS), _FAR * (rare[1] - rare[0])
        after = [_after(nodes, part, planned) for part in np.array_split(results, 8)]
        for words, distance in distances:
            for target, name in _TARGETS:
                now = float(distribution(fit, name, [sign * distance], upper=sign > 0)[0])
                question = _Question(fit, nodes, predictive, planned, name, distance, sign, cut, reach)
                gaps = np.concatenate([part.beyond(name, distance, sign) for part in after]) - cut
                crossings.append(_crossing(question, now, results, gaps, middle))
                rows.append(
                    {
                        "size": size,
                        "se": planned,
                        "question": words,
                        "target": target,
                        "benefit": distance,
                        "cutoff": cut,
                        "probability": now,
                        "change": "rise" if now < cut else "fall",
                        "predicted": middle,
                        "predicted_lower": lower,
                        "predicted_upper": upper,
                        "level": level,
                    }
                )
    back = measure(fit.effects.measure).back
    for row, crossing, (estimate, confirmed) in zip(rows, crossings, _confirmed(crossings), strict=True):
        note = crossing.note if math.isnan(estimate) else "; ".join(crossing.notes)
        row |= {
            "estimate": estimate,
            "confirmed": confirmed,
            "natural": float(back(estimate)),
            "note": note,
            "p_reaches": crossing.p_reaches,
            "p_change": crossing.p_change,
        }
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
    reach: float

    def gap(self, y: FloatArray) -> FloatArray:
        """How far the probability after a result is above the cut-off."""
        return _after(self.nodes, y, self.se).beyond(self.name, self.distance, self.sign) - self.cut


class _Crossing(NamedTuple):
    """Where a question's answer crosses the cut-off, by the nodes of the present fit.

    Attributes
    ----------
    roots : array
        The nearest to the predicted result first.
    p_reaches, p_change : float
        Probabilities of results that lead to the cut-off, and that change the conclusion.
    notes : tuple of str
        What is said of a crossing.
    note : str
        What is said where no refit confirms one.
    """

    question: _Question
    roots: FloatArray
    p_reaches: float
    p_change: float
    notes: tuple[str, ...]
    note: str


def _crossing(q: _Question, now: float, results: FloatArray, gaps: FloatArray, middle: float) -> _Crossing:
    """Find the results at which the conclusion changes, and the probability of such results.

    Parameters
    ----------
    results, gaps : arrays of shape (Y,)
        Results that are not too improbable, ascending, and how far the probability after each is above the cut-off.
    middle : float
        The predicted result.
    """
    roots = _roots(q, results, gaps)
    edges = np.concatenate([[-np.inf], roots, [np.inf]])
    mass = np.diff(q.predictive.cdf(edges))
    # the sign alternates between roots
    above = (gaps[0] >= 0) ^ (np.arange(mass.size) % 2 == 1)
    reaches = min(float(mass[above].sum()), 1.0)
    change = reaches if now < q.cut else min(float(mass[~above].sum()), 1.0)
    notes, note = [], "no refit confirms a crossing"
    if roots.size == 0:
        best = q.cut + (gaps.max() if now < q.cut else gaps.min())
        side = "highest" if now < q.cut else "lowest"
        note = f"{_NONE}: the {side} it leads to is {best:.3g}"
        # asked without regard to how probable such a result is; there the nodes of this fit may be too few
        far = np.linspace(middle - q.reach, middle + q.reach, 4 * _POINTS)
        roots = _roots(q, far, np.concatenate([q.gap(part) for part in np.array_split(far, 32)]))
        notes.append("only a result that is less probable than one in a million")
    if roots.size > 1:
        notes.append("the probability crosses the cut-off more than once: results beyond may bring it back")
    return _Crossing(q, roots[np.argsort(np.abs(roots - middle))], reaches, change, tuple(notes), note)


def _roots(q: _Question, grid: FloatArray, gaps: FloatArray) -> FloatArray:
    """Every crossing between the points of a grid with known gaps."""
    at = np.flatnonzero((gaps[1:] >= 0) != (gaps[:-1] >= 0))
    return roots(q.gap, grid[at], grid[at + 1], values=(gaps[at], gaps[at + 1]), close=_ROOT) if at.size else grid[at]


def _confirmed(crossings: Sequence[_Crossing]) -> list[tuple[float, float]]:
    """The first crossing of each question that an exact refit confirms, and the probability there; else no numbers."""
    found = [(math.nan, math.nan)] * len(crossings)
    for turn in range(max((item.roots.size for item in crossings), default=0)):
        left = [i for i, item in enumerate(crossings) if math.isnan(found[i][0]) and turn < item.roots.size]
        questions = [crossings[i].question for i in left]
        answers = _refitted(questions, [float(crossings[i].roots[turn]) for i in left])
        for i, q, (estimate, confirmed) in zip(left, questions, answers, strict=True):
            if abs(confirmed - q.cut) < 10 * _CLOSE:
                found[i] = estimate, confirmed
    return found


def _refitted(questions: Sequence[_Question], results: Sequence[float]) -> list[tuple[float, float]]:
    """Probabilities by exact refits; where the nodes of the present fit were too few, a result is moved."""
    y, confirmed = list(results), [math.nan] * len(results)
    moving = set(range(len(results)))
    for _ in range(_MOVES):
        tasks = [(with_trial(questions[i].fit.effects, y[i], questions[i].se), questions[i].fit.model) for i in moving]
        for i, refit in zip(tuple(moving), fit_many(tasks), strict=True):
            if isinstance(refit, ModelError):
                raise refit
            q = questions[i]
            confirmed[i] = float(distribution(refit, q.name, [q.sign * q.distance], upper=q.sign > 0)[0])
            step = 1e-4 * q.se
            low, high = q.gap(np.array([y[i] - step, y[i] + step]))
            slope = (high - low) / (2 * step)
            if abs(confirmed[i] - q.cut) < _CLOSE or slope == 0 or not math.isfinite(slope):
                moving.discard(i)
                continue
            y[i] -= (confirmed[i] - q.cut) / slope
            if abs(y[i] - results[i]) > q.reach:
                # the nodes of the present fit say nothing of results that far away
                confirmed[i] = math.nan
                moving.discard(i)
    return list(zip(y, confirmed, strict=True))
