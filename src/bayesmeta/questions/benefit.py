"""Probability of benefit, and what follows from it, in the outcome's own direction.

With ``s = +1`` if higher is better and ``-1`` if lower is, and thresholds ``M_b`` for important benefit and ``M_h`` for
important harm (positive distances on the analysis scale):

========================  ==========================================================================
any benefit               ``P(s effect > 0)``
important benefit         ``P(s effect >= M_b)``
important harm            ``P(s effect <= -M_h)``
trivial                   ``P(-M_h < s effect < M_b)``
share of true effects     ``q = Phi((s mu - M_b) / tau)``, a random quantity with a posterior of its own
========================  ==========================================================================

Each is given for the mean effect and for the effect in a new study.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta import numerics
from bayesmeta.digits import percent
from bayesmeta.errors import ModelError
from bayesmeta.exact import NodePosterior, log_interval
from bayesmeta.fits import LEVEL, Fit, ask, distribution, distributions, functional_of, tail_mcse
from bayesmeta.measures import measure
from bayesmeta.plan import Amount, Threshold
from bayesmeta.priors import Prior
from bayesmeta.questions.summary import predict

__all__ = [
    "CAVEAT",
    "band_table",
    "benefit_curve",
    "benefit_probabilities",
    "benefit_probabilities_of",
    "benefit_sentence",
    "benefit_table",
    "direction",
    "estimate_words",
    "responder_table",
    "share_of_true_effects",
    "threshold",
]

FloatArray = NDArray[np.float64]

CAVEAT = (
    "These probabilities are conditional on the model, the priors and the included studies. "
    "They do not include risk of bias, indirectness or unpublished studies unless a bias model is selected. "
    "They are not GRADE certainty ratings."
)
STATED = "stated by the user"
_TARGETS = (("mean effect", "mu"), ("new study", "theta_new"))
_SHARES = ("share_mean", "share_median", "share_lower", "share_upper", "p_majority", "p_share_80")


def direction(fit: Fit) -> int:
    """+1 if higher is better, -1 if lower is; refuses to guess."""
    better = fit.effects.better
    if better is None:
        raise ModelError(
            'benefit has no direction: say whether "higher" or "lower" is better, in the effects or the outcome.'
        )
    return 1 if better == "higher" else -1


def threshold(
    benefit: float, *, worse: float | None = None, measure_name: str, better: str, name: str = ""
) -> Threshold:
    """Make a threshold from numbers as people state them.

    Parameters
    ----------
    benefit : float
        Smallest important benefit: a positive distance, or for ratio measures the ratio itself.
    worse : float, optional
        Smallest important harm; default the same distance in the other direction.

    Examples
    --------
    >>> threshold(0.75, measure_name="RR", better="lower").benefit_distance.__round__(4)
    0.2877
    """
    sign = 1 if better == "higher" else -1
    kind = measure(measure_name)

    def distance(value: float, side: int) -> float:
        if not math.isfinite(value):
            raise ModelError(f"threshold {value}: give a finite number.")
        if not kind.log:
            if not value > 0:
                raise ModelError(f"threshold {value:g}: give a positive distance from no effect.")
            return float(kind.transform(value)) if kind.transformed else float(value)
        if not value > 0 or not sign * side * math.log(value) > 0:
            which = "above" if sign * side > 0 else "below"
            raise ModelError(f"threshold {value:g}: for {measure_name} with {better} better, give a ratio {which} 1.")
        return abs(math.log(value))

    plus = distance(benefit, 1)
    minus = plus if worse is None else distance(worse, -1)
    stated_worse = worse if worse is not None else (1 / benefit if kind.log else benefit)
    label = name or f"{benefit:g}"
    return Threshold(label, benefit, stated_worse, plus, minus, STATED, "panel", True)


class _Level(NamedTuple):
    """A threshold as weighted numbers: one, or the nodes of a distribution over thresholds."""

    name: str
    benefit: FloatArray
    worse: FloatArray
    weights: FloatArray
    source: str


def _levels(thresholds: Sequence[Threshold]) -> list[_Level]:
    """Give thresholds as numbers: a range is its two ends, a distribution its ends and the average over it."""
    levels = []
    for item in thresholds:
        amounts = (item.benefit_distance, item.worse_distance)
        # a number typed by a user is of no kind that anyone has claimed
        source = item.source if item.source == STATED else f"{item.source} ({item.kind})"
        ends = np.array([_ends(amount) for amount in amounts])
        if np.all(ends[:, 0] == ends[:, 1]):
            levels.append(_Level(item.name, ends[:1, 0], ends[1:, 0], np.ones(1), source))
            continue
        if any(isinstance(amount, Prior) for amount in amounts):
            # both ends move together along the quantiles of their distributions; the average is taken over the
            # probit, in which any integrand here is smooth
            nodes, weights = numerics.rule(1025)
            z = 8.2 * nodes
            p = special.ndtr(z)
            weights = weights * np.exp(-0.5 * z * z)
            weights = weights / weights.sum()
            spread = [
                np.asarray(amount.ppf(p)) if isinstance(amount, Prior) else low + (high - low) * p
                for amount, (low, high) in zip(amounts, ends, strict=True)
            ]
            levels.append(_Level(f"{item.name} (averaged)", spread[0], spread[1], weights, source))
        for suffix, column in (("low end", 0), ("high end", 1)):
            levels.append(_Level(f"{item.name} ({suffix})", ends[:1, column], ends[1:, column], np.ones(1), source))
    return levels


def _ends(amount: Amount) -> tuple[float, float]:
    if isinstance(amount, Prior):
        low, high = np.asarray(amount.ppf(np.array([0.025, 0.975])))
        return float(low), float(high)
    return (float(amount[0]), float(amount[1])) if isinstance(amount, tuple) else (float(amount), float(amount))


def benefit_table(
    fit: Fit,
    thresholds: Sequence[Threshold] | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Probabilities of benefit and harm against each threshold, for the mean effect and for a new study.

    Parameters
    ----------
    fit : Fit
        Its effects say which direction is better.
    thresholds : sequence of Threshold, optional
        Default: those of the fit's outcome.
    at : mapping, optional
        A moderator profile.
    level : float
        Of the interval for the share of true effects.

    Returns
    -------
    pandas.DataFrame
        One row per threshold and target (``mean effect``, ``new study``); a range has a row for each end, a
        distribution over thresholds also one for the average over it, in which no share is given. Columns ``threshold
        benefit worse target p_any_benefit p_important_benefit p_trivial p_important_harm share_mean share_median
        share_lower share_upper p_majority p_share_80 mcse level source``. Important benefit, trivial and important
        harm sum to one. The share of true effects beyond the threshold stands in the rows of the new study.
        ``benefit`` and ``worse`` are distances on the analysis scale.

    Raises
    ------
    ModelError
        If no direction or no threshold is stated.
    """
    sign = direction(fit)
    if thresholds is None:
        thresholds = fit.outcome.decision.thresholds if fit.outcome is not None else ()
    if not thresholds:
        raise ModelError("no threshold is stated: give one, for example 0.5 for an SMD, with its source.")
    rows = []
    for item in _levels(thresholds):
        benefit, worse = float(item.weights @ item.benefit), float(item.weights @ item.worse)
        share = dict.fromkeys(_SHARES, np.nan)
        if item.benefit.size == 1:
            share = share_of_true_effects(fit, benefit, at=at, level=level)
        for target, name in _TARGETS:
            any_benefit = distribution(fit, name, np.zeros(1), at=at, upper=sign > 0)
            important = item.weights @ distribution(fit, name, sign * item.benefit, at=at, upper=sign > 0)
            harm = item.weights @ distribution(fit, name, -sign * item.worse, at=at, upper=sign < 0)
            rows.append(
                {
                    "threshold": item.name,
                    "benefit": benefit,
                    "worse": worse,
                    "target": target,
                    "p_any_benefit": float(any_benefit[0]),
                    "p_important_benefit": float(important),
                    "p_trivial": max(0.0, 1.0 - float(important) - float(harm)),
                    "p_important_harm": float(harm),
                    **(share if name == "theta_new" else dict.fromkeys(_SHARES, np.nan)),
                    "mcse": max(
                        float(item.weights @ [tail_mcse(fit, name, float(x), at) for x in side])
                        for side in (sign * item.benefit, -sign * item.worse)
                    )
                    if not fit.exact
                    else 0.0,
                    "level": level,
                    "source": item.source,
                }
            )
    return pd.DataFrame(rows)


def benefit_probabilities(fit: Fit, item: Threshold, *, at: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Probabilities against one threshold, without the share of true effects, which takes most of the time.

    Parameters
    ----------
    item : Threshold
        Of a range or a distribution over thresholds the first line of `benefit_table` is taken.
    at : mapping, optional
        A moderator profile.

    Returns
    -------
    dict
        ``p_any_benefit p_important_benefit p_important_harm``, and with ``_new`` those of a new study.

    Examples
    --------
    >>> mid = bm.threshold(0.2, measure_name="SMD", better="lower")
    >>> round(benefit_probabilities(fit, mid)["p_any_benefit"], 3)
    0.892
    """
    return benefit_probabilities_of([fit], item, at=at)[0]


def benefit_probabilities_of(
    fits: Sequence[Fit], item: Threshold, *, at: Mapping[str, Any] | None = None
) -> list[dict[str, float]]:
    """`benefit_probabilities` of many fits, each in its own direction of benefit, asked together.

    Examples
    --------
    >>> fits = bm.fit_many([(effects, bm.Model(model.mu, tau)) for tau in (bm.HalfNormal(0.25), model.tau)])
    >>> mid = bm.threshold(0.2, measure_name="SMD", better="lower")
    >>> [round(found["p_any_benefit"], 3) for found in benefit_probabilities_of(fits, mid)]
    [0.918, 0.892]
    """
    level = _levels([item])[0]
    found: list[dict[str, float]] = [{} for _ in fits]
    signs = [direction(fit) for fit in fits]
    for sign, (name, end) in product(sorted(set(signs)), (("mu", ""), ("theta_new", "_new"))):
        places = [i for i, own in enumerate(signs) if own == sign]
        some = [fits[i] for i in places]
        better = distributions(some, name, sign * np.append(0.0, level.benefit), at=at, upper=sign > 0)
        harm = distributions(some, name, -sign * level.worse, at=at, upper=sign < 0)
        for i, good, bad in zip(places, better, harm, strict=True):
            found[i][f"p_any_benefit{end}"] = float(good[0])
            found[i][f"p_important_benefit{end}"] = float(level.weights @ good[1:])
            found[i][f"p_important_harm{end}"] = float(level.weights @ bad)
    return found


def share_of_true_effects(
    fit: Fit, benefit: float, *, at: Mapping[str, Any] | None = None, level: float = LEVEL
) -> dict[str, float]:
    """Posterior of the share of true effects beyond a threshold.

    The share ``q = Phi((s mu - M) / tau)`` is unknown because mu and tau are. Its distribution function needs no
    simulation: ``P(q <= x) = P(s mu <= M + tau Phi**-1(x))``, which is a mixture of normal probabilities. Its
    probabilities are good to 1e-8, the ends of its interval to 1e-6 in probability; with a truncated mu, whose kink no
    rule takes faster, to 1e-5.

    Parameters
    ----------
    benefit : float
        Distance M on the analysis scale, in the direction of benefit.

    Returns
    -------
    dict
        ``share_mean``, which equals the probability of important benefit in a new study; ``share_median``,
        ``share_lower``, ``share_upper``; ``p_majority`` = P(q > 0.5) and ``p_share_80`` = P(q > 0.8).
    """
    sign = direction(fit)
    if not fit.exact:
        return _drawn_share(fit, benefit, sign, at, level)

    def question(quadrature: NodePosterior) -> tuple[dict[str, float], float]:
        functional, _ = functional_of(quadrature, fit, "mu", at)
        mean, sd = sign * functional.mean[0], np.sqrt(functional.var[0])
        # one estimate in a new trial varies by all of the SDs between and within trials
        deviations = [name for name in ("tau", "tau_within") if name in quadrature.problem.sds]
        places = [quadrature.problem.sds.index(name) for name in deviations]
        spread = np.sqrt(np.square(quadrature.sds[places]).sum(axis=0))
        if quadrature.problem.cut is not None and (quadrature.problem.cut.column != 0 or at):
            raise ModelError(
                "the share of true effects is not available when a coefficient other than mu is truncated, or at a "
                "profile of a model with a truncated mu. Use a normal prior."
            )

        def cdf(z: FloatArray) -> tuple[FloatArray, FloatArray]:
            # a finite tau times an infinite z would be undefined at tau = 0
            edge = benefit + np.where(spread > 0, spread * z[:, None], 0.0)
            if quadrature.problem.cut is None:
                below = special.ndtr((edge - mean) / sd)
            else:
                below = _cut_below(quadrature, sign, edge)
            return below @ quadrature.weights, below @ quadrature.coarse

        targets = np.array([(1 - level) / 2, 0.5, (1 + level) / 2])
        # beyond this a share is zero or one in double precision
        low, high = np.full(3, -8.3), np.full(3, 8.3)
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = cdf(middle)[0] < targets
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        z = 0.5 * (low + high)
        points = np.concatenate([z, [0.0, float(special.ndtri(0.8))]])
        fine, coarse = cdf(points)
        share = special.ndtr(z)
        answer = {
            "share_median": float(share[1]),
            "share_lower": float(share[0]),
            "share_upper": float(share[2]),
            "p_majority": float(1 - fine[3]),
            "p_share_80": float(1 - fine[4]),
        }
        # an end of the interval at zero or one is known whatever the nodes; elsewhere it is a quantile, for which a
        # probability to six digits is enough. A truncated mu puts a kink into the integrand that costs one digit more
        change = np.abs(fine - coarse)
        inner = np.abs(z) < 8.29
        error = max(float(change[3:].max()), 1e-2 * float(change[:3][inner].max(initial=0.0)))
        return answer, error if quadrature.problem.cut is None else 1e-3 * error

    mean = float(distribution(fit, "theta_new", [sign * benefit], at=at, upper=sign > 0)[0])
    return {"share_mean": mean, **ask(fit, question)}


def _drawn_share(fit: Fit, benefit: float, sign: int, at: Mapping[str, Any] | None, level: float) -> dict[str, float]:
    """The share of true effects at every draw, with the model's own distribution of a new study's effect."""
    sample = fit.sample
    mu = sign * sample.linear(fit.design.profile(at))
    form = sample.form(sample.beyond()(benefit - mu))
    lower, median, upper = form.quantile(np.array([(1 - level) / 2, 0.5, (1 + level) / 2]))
    return {
        "share_mean": form.mean,
        "share_median": float(median),
        "share_lower": float(lower),
        "share_upper": float(upper),
        "p_majority": float(form.sf(0.5)),
        "p_share_80": float(form.sf(0.8)),
    }


def _cut_below(quadrature: NodePosterior, sign: int, edge: FloatArray) -> FloatArray:
    """P(s mu <= edge) at each node when mu itself is truncated."""
    cut = quadrature.problem.cut
    assert cut is not None
    mean, sd = quadrature.mean[0], np.sqrt(quadrature.cov[0, 0])
    low, high = (cut.low - mean) / sd, (cut.high - mean) / sd
    x = np.clip((sign * edge - mean) / sd, low, high)
    whole = log_interval(low, high)
    with np.errstate(divide="ignore"):
        below = np.exp(log_interval(np.broadcast_to(low, x.shape), x) - whole)
    return below if sign > 0 else 1.0 - below


def benefit_curve(fit: Fit, grid: ArrayLike | None = None, *, at: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Probability that the benefit exceeds x, over a grid of x, for the mean effect and for a new study.

    Parameters
    ----------
    grid : array, optional
        Distances in the direction of benefit on the analysis scale. Default: 201 points over the central 99.8 % of
        the effect in a new study, with no effect included.

    Returns
    -------
    pandas.DataFrame
        Columns ``x natural p_mean p_new``; ``natural`` is x as an effect on the natural scale.
    """
    sign = direction(fit)
    if grid is None:
        table = predict(fit, at, level=0.998)
        ends = np.sort(sign * table.loc["theta_new", ["lower", "upper"]].to_numpy(float))
        low, high = min(ends[0], 0.0), max(ends[1], 0.0)
        grid = np.linspace(low, high, 201)
    x = np.asarray(grid, float)
    columns = {
        column: distribution(fit, name, sign * x, at=at, upper=sign > 0)
        for column, name in (("p_mean", "mu"), ("p_new", "theta_new"))
    }
    natural = measure(fit.effects.measure).back(sign * x)
    return pd.DataFrame({"x": x, "natural": natural, **columns})


def band_table(
    fit: Fit, cuts: Sequence[float], names: Sequence[str] | None = None, *, at: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Probabilities of bands of benefit between several thresholds, for the mean effect and for a new study.

    Parameters
    ----------
    cuts : sequence of float
        Ascending distances in the direction of benefit on the analysis scale, for example ``[-0.2, 0.2, 0.5, 0.8]``.
    names : sequence of str, optional
        One more than there are cuts.

    Returns
    -------
    pandas.DataFrame
        Columns ``band lower upper p_mean p_new``; probabilities sum to one per column.
    """
    sign = direction(fit)
    edges = np.asarray(cuts, float)
    if edges.ndim != 1 or edges.size == 0 or np.any(np.diff(edges) <= 0):
        raise ModelError(f"{list(cuts)}: give thresholds in ascending order.")
    ends = np.concatenate([[-np.inf], edges, [np.inf]])
    labels = list(names) if names is not None else [f"{a:g} to {b:g}" for a, b in pairwise(ends)]
    if len(labels) != edges.size + 1:
        raise ModelError(f"{edges.size} thresholds make {edges.size + 1} bands; {len(labels)} names were given.")
    table = pd.DataFrame({"band": labels, "lower": ends[:-1], "upper": ends[1:]})
    for column, name in (("p_mean", "mu"), ("p_new", "theta_new")):
        above = distribution(fit, name, sign * edges, at=at, upper=sign > 0)
        table[column] = -np.diff(np.concatenate([[1.0], above, [0.0]]))
    return table


def responder_table(
    fit: Fit, control_risk: float, *, at: Mapping[str, Any] | None = None, level: float = LEVEL
) -> pd.DataFrame:
    """Difference in responders and number needed to treat implied by a standardised mean difference.

    With normally distributed outcomes of equal spread and a share ``control_risk`` of responders without treatment,
    the share with treatment is ``Phi(Phi**-1(control_risk) + s SMD)``. It is a monotone function of the effect, so
    its posterior quantiles are exact.

    Parameters
    ----------
    control_risk : float
        Share of responders in the control group, between 0 and 1; state where it comes from.

    Returns
    -------
    pandas.DataFrame
        Rows ``mean effect`` and ``new study``; columns ``median lower upper`` of the difference per 100 patients
        and ``nnt`` as text, in which an interval across zero passes through infinity.

    References
    ----------
    Furukawa TA, Leucht S. PLoS ONE 2011;6:e19070. doi:10.1371/journal.pone.0019070
    """
    if fit.effects.measure not in ("SMD", "SMDH"):
        raise ModelError(f"{fit.effects.measure}: responders follow from a standardised mean difference only.")
    if not 0 < control_risk < 1:
        raise ModelError(f"control_risk = {control_risk} is not between 0 and 1.")
    sign = direction(fit)
    base = float(special.ndtri(control_risk))
    table = predict(fit, at, level=level)
    rows = []
    for target, name in _TARGETS:
        values = np.sort(sign * table.loc[name, ["lower", "median", "upper"]].to_numpy(float))
        difference = special.ndtr(base + values) - control_risk
        rows.append(
            {
                "target": target,
                "median": 100 * difference[1],
                "lower": 100 * difference[0],
                "upper": 100 * difference[2],
                "nnt": _nnt(*difference),
            }
        )
    frame = pd.DataFrame(rows)
    frame["control_risk"], frame["level"] = control_risk, level
    return frame


def _nnt(lower: float, median: float, upper: float) -> str:
    def one(difference: float) -> str:
        if difference == 0:
            return "infinity"
        return f"NNT{'B' if difference > 0 else 'H'} {abs(1 / difference):.1f}"

    inner = f"{one(lower)} to infinity to {one(upper)}" if lower < 0 < upper else f"{one(upper)} to {one(lower)}"
    return f"{one(median)} ({inner})"


def benefit_sentence(fit: Fit, item: Threshold, *, at: Mapping[str, Any] | None = None) -> str:
    """One plain sentence built from the numbers of `benefit_table`.

    The sentence names the effect, its interval and kind, and the probabilities of important benefit and harm.
    """
    kind = measure(fit.effects.measure)
    table = predict(fit, at, scale="natural")
    mu = table.loc["mu"]
    rows = benefit_table(fit, [item], at=at).iloc[: len(_TARGETS)].set_index("target")
    name = fit.outcome.label if fit.outcome is not None else (fit.effects.name or kind.label)

    def both(column: str) -> str:
        mean, new = rows.loc[[target for target, _ in _TARGETS], column].to_numpy(float)
        return f"{percent(mean)} for the mean effect and {percent(new)} in a new study"

    return (
        f"{name}: the mean effect ({kind.axis}) is {estimate_words(fit, mu)}; {fit.effects.better} is better. "
        "The probability of any benefit is "
        f"{both('p_any_benefit')}; of an important benefit ({_stated(item.name, item.benefit, kind.log)}), "
        f"{both('p_important_benefit')}; of an important harm ({_stated(item.name, item.worse, kind.log)}), "
        f"{both('p_important_harm')}."
    )


def estimate_words(fit: Fit, row: Any) -> str:
    """Write an estimate with its interval, to the digits that the width of the interval supports.

    Parameters
    ----------
    row : pandas.Series
        With ``median``, ``lower`` and ``upper`` on the natural scale.
    """
    median, lower, upper = (float(row[column]) for column in ("median", "lower", "upper"))
    # a ratio near zero needs digits of its own: its lower limit is never zero
    finest = min(upper - lower, lower) if measure(fit.effects.measure).log else upper - lower
    decimals = min(max(1 - math.floor(math.log10(finest)), 0), 12) if finest > 0 else 2
    decimals = max(decimals, 2) if upper - lower < 10 else decimals

    def text(value: float) -> str:
        written = f"{value:.{decimals}f}"
        return written.lstrip("-") if float(written) == 0 else written

    return f"{text(median)} (95 % central credible interval {text(lower)} to {text(upper)})"


def _stated(name: str, amount: Amount, ratio: bool) -> str:
    """Say a threshold as it was stated; a range goes by its low end, a distribution by its average."""
    if isinstance(amount, (int, float)):
        return f"a ratio of {amount:g} or beyond" if ratio else f"{amount:g} or more"
    return f"{name}, averaged" if isinstance(amount, Prior) else f"{name}, low end"
