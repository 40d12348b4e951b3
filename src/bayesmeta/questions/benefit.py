"""Probability of benefit, and what follows from it, in the outcome's own direction.

With ``s = +1`` if higher is better and ``-1`` if lower is, and thresholds ``M_b`` for important benefit and ``M_h`` for
important harm (positive distances on the analysis scale):

========================  ==========================================================================
any benefit               ``P(s effect > 0)``
important benefit         ``P(s effect >= M_b)``
important harm            ``P(s effect <= -M_h)``
between                   ``P(-M_h < s effect < M_b)``: little to no effect for the smallest threshold alone
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
from bayesmeta.columns import number, percent
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, distribution, distributions, tail_mcse
from bayesmeta.measures import measure
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Amount, Threshold
from bayesmeta.priors import Prior
from bayesmeta.questions.summary import predict
from bayesmeta.questions.thresholds import ANY, STATED, direction, required_threshold, resolve_thresholds

__all__ = [
    "CAVEAT",
    "any_benefit_of",
    "band_table",
    "benefit_curve",
    "benefit_probabilities",
    "benefit_probabilities_of",
    "benefit_sentence",
    "benefit_table",
    "estimate_words",
    "interval_texts",
    "one_arm_words",
    "responder_table",
    "share_of_true_effects",
]

FloatArray = NDArray[np.float64]

CAVEAT = (
    "These probabilities are conditional on the model, the priors and the included studies. "
    "They do not include risk of bias, indirectness or unpublished studies unless a bias model is selected. "
    "They are not GRADE certainty ratings."
)
_TARGETS = (("mean effect", "mu"), ("new study", "theta_new"))
_SHARES = ("share_median", "share_lower", "share_upper", "p_share_80")


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
    thresholds: Threshold | float | Sequence[Threshold | float] | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Probabilities of benefit and harm against each threshold, for the mean effect and for a new study.

    Parameters
    ----------
    fit : Fit
        Its effects say which direction is better.
    thresholds : Threshold, float or several of them, optional
        Numbers are on the measure's own scale (see `threshold`). Default: those of the fit's outcome.
    at : mapping, optional
        A moderator profile.
    level : float
        Of the interval for the share of true effects.

    Returns
    -------
    pandas.DataFrame
        One row per threshold and target (``mean effect``, ``new study``); a range has a row for each end, a
        distribution over thresholds also one for the average over it, in which no share is given. Columns ``threshold
        benefit worse target p_any_benefit p_important_benefit p_trivial p_important_harm share_median
        share_lower share_upper p_share_80 mcse level source``. Important benefit, what lies between (``p_trivial``) and
        important harm sum to one; `bayesmeta.size_table` divides what lies between by smaller thresholds. The share of
        true effects beyond the threshold stands in the rows of the new study.
        ``benefit`` and ``worse`` are distances on the analysis scale. Of one arm, whose thresholds are values, they are
        signed by the direction of benefit, and ``p_any_benefit`` is nan: nothing is compared.

    Raises
    ------
    ModelError
        If no direction or no threshold is stated.
    """
    sign = direction(fit)
    stated = resolve_thresholds(fit, thresholds)
    if not stated:
        raise ModelError("no threshold is stated: give one, for example 0.5 for an SMD, with its source.")
    rows = []
    for item in _levels(stated):
        benefit, worse = float(item.weights @ item.benefit), float(item.weights @ item.worse)
        share = dict.fromkeys(_SHARES, np.nan)
        if item.benefit.size == 1:
            found = share_of_true_effects(fit, benefit, at=at, level=level)
            share = {column: found[column] for column in _SHARES}
        for target, name in _TARGETS:
            any_benefit = any_benefit_of(fit, name, at=at)
            important = item.weights @ distribution(fit, name, sign * item.benefit, at=at, upper=sign > 0)
            harm = item.weights @ distribution(fit, name, -sign * item.worse, at=at, upper=sign < 0)
            rows.append(
                {
                    "threshold": item.name,
                    "benefit": benefit,
                    "worse": worse,
                    "target": target,
                    "p_any_benefit": any_benefit,
                    "p_important_benefit": float(important),
                    "p_trivial": max(0.0, 1.0 - float(important) - float(harm)),
                    "p_important_harm": float(harm),
                    **(share if name == "theta_new" else dict.fromkeys(_SHARES, np.nan)),
                    "mcse": max(
                        float(item.weights @ tail_mcse(fit, name, side, at))
                        for side in (sign * item.benefit, -sign * item.worse)
                    ),
                    "level": level,
                    "source": item.source,
                }
            )
    return pd.DataFrame(rows)


def any_benefit_of(fit: Fit, name: str, *, at: Mapping[str, Any] | None = None) -> float:
    """Probability that a quantity lies on the side of benefit; nan for a measure of one arm, which has no null.

    Examples
    --------
    >>> round(any_benefit_of(fit, "mu"), 3)
    0.892
    """
    sign, kind = direction(fit), measure(fit.effects.measure)
    if kind.single_arm:
        return math.nan
    return float(distribution(fit, name, [sign * ANY], at=at, upper=sign > 0)[0])


def benefit_probabilities(
    fit: Fit, threshold: Threshold | float | None = None, *, at: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Probabilities against one threshold, without the share of true effects, which takes most of the time.

    Parameters
    ----------
    threshold : Threshold or float, optional
        Of a range or a distribution over thresholds the first line of `benefit_table` is taken. Default: the primary
        one of the fit's outcome.
    at : mapping, optional
        A moderator profile.

    Returns
    -------
    dict
        ``p_any_benefit p_important_benefit p_important_harm``, and with ``_new`` those of a new study. That of any
        benefit is nan for measures of one arm, which have no null.

    Examples
    --------
    >>> round(benefit_probabilities(fit, 0.2)["p_any_benefit"], 3)
    0.892
    """
    return benefit_probabilities_of([fit], required_threshold(fit, threshold), at=at)[0]


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
        better = distributions(some, name, sign * np.append(ANY, level.benefit), at=at, upper=sign > 0)
        nulls = [not measure(fit.effects.measure).single_arm for fit in some]
        harm = distributions(some, name, -sign * level.worse, at=at, upper=sign < 0)
        for i, good, bad, null in zip(places, better, harm, nulls, strict=True):
            found[i][f"p_any_benefit{end}"] = float(good[0]) if null else math.nan
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
        ``share_median share_lower share_upper``, and ``p_share_80`` = P(q > 0.8). The mean of q is the probability of
        important benefit in a new study, and P(q > 0.5) that of the mean effect (`benefit_table` has both).
    """
    row, shares = fit.design.profile(at), np.array([0.5, 0.8])
    mean, ends, beyond = fit.posterior.share_beyond(row, benefit, direction(fit), interval_ends(level), shares)
    lower, median, upper = ends
    return {
        "share_mean": mean,
        "share_median": float(median),
        "share_lower": float(lower),
        "share_upper": float(upper),
        "p_majority": float(beyond[0]),
        "p_share_80": float(beyond[1]),
    }


def benefit_curve(fit: Fit, grid: ArrayLike | None = None, *, at: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Probability that the benefit exceeds x, over a grid of x, for the mean effect and for a new study.

    Parameters
    ----------
    grid : array, optional
        Distances in the direction of benefit on the analysis scale. Default: 201 points over the central 99.8 % of
        the effect in a new study, with no effect included where the measure has one.

    Returns
    -------
    pandas.DataFrame
        Columns ``x natural p_mean p_new``; ``natural`` is x as an effect on the natural scale.
    """
    sign = direction(fit)
    if grid is None:
        table = predict(fit, at, level=0.998)
        ends = np.sort(sign * table.loc["theta_new", ["lower", "upper"]].to_numpy(float))
        low, high = ends if measure(fit.effects.measure).single_arm else (min(ends[0], 0.0), max(ends[1], 0.0))
        grid = np.linspace(low, high, 201)
    x = np.atleast_1d(np.asarray(grid, float))
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

    Raises
    ------
    ModelError
        Without a direction, for cuts that do not ascend, and names that do not fit them.
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
        # differences of probabilities that round to each other may fall below zero
        table[column] = np.maximum(-np.diff(np.concatenate([[1.0], above, [0.0]])), 0.0)
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

    Raises
    ------
    ModelError
        For other measures than standardised mean differences, and risks that are not between 0 and 1.

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


def benefit_sentence(
    fit: Fit, threshold: Threshold | float | None = None, *, at: Mapping[str, Any] | None = None
) -> str:
    """One plain sentence built from the numbers of `benefit_table`.

    The sentence names the effect, its interval and kind, and the probabilities of important benefit and harm.

    Parameters
    ----------
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.

    Raises
    ------
    ModelError
        If no direction or no threshold is stated.

    Examples
    --------
    >>> benefit_sentence(fit, 0.2).startswith("SMD") or "probability" in benefit_sentence(fit, 0.2)
    True
    """
    kind, item = measure(fit.effects.measure), required_threshold(fit, threshold)
    table = predict(fit, at, scale="natural")
    mu = table.loc["mu"]
    rows = benefit_table(fit, [item], at=at).iloc[: len(_TARGETS)].set_index("target")
    name = fit.outcome.label if fit.outcome is not None else (fit.effects.name or kind.label)

    def both(column: str) -> str:
        mean, new = rows.loc[[target for target, _ in _TARGETS], column].to_numpy(float)
        return f"{percent(mean)} for the mean effect and {percent(new)} in a new study"

    if kind.single_arm:
        good, _, bad = one_arm_words(fit, item)
        harm = f"; that it is {bad}, {both('p_important_harm')}" if bad else ""
        return (
            f"{name}: the {kind.mean_words} is {estimate_words(fit, mu)}; {fit.effects.better} is better. The "
            f"probability that it is {good} is {both('p_important_benefit')}{harm}."
        ).replace("mean effect", "mean")
    return (
        f"{name}: the mean effect ({kind.axis}) is {estimate_words(fit, mu)}; {fit.effects.better} is better. "
        "The probability of any benefit is "
        f"{both('p_any_benefit')}; of an important benefit ({_stated(item.name, item.benefit, kind.log)}), "
        f"{both('p_important_benefit')}; of an important harm ({_stated(item.name, item.worse, kind.log)}), "
        f"{both('p_important_harm')}."
    )


def one_arm_words(fit: Fit, item: Threshold) -> tuple[str, str, str]:
    """Say the sides of a threshold of one arm, which is a value: of benefit, between, and of harm.

    Returns
    -------
    benefit, between, harm : str
        ``"at least 0.3"``, ``"between 0.2 and 0.3"``, ``"at most 0.2"``; the last two empty where nothing lies between,
        because the last is then what the first is not.

    Examples
    --------
    >>> arms = bm.Effects(["A", "B"], [-1.4, -1.1], [0.3, 0.2], measure="PLO", better="lower")
    >>> item = bm.threshold(0.2, worse=0.3, measure_name="PLO", better="lower")
    >>> one_arm_words(bm.fit(arms, bm.Model(bm.Normal(0, 2), bm.HalfNormal(1))), item)
    ('at most 0.2', 'between 0.2 and 0.3', 'at least 0.3')
    """
    higher = direction(fit) > 0

    def text(amount: Amount) -> str:
        return f"{amount:g}" if isinstance(amount, (int, float)) else f"{_ends(amount)[0]:g} to {_ends(amount)[1]:g}"

    good, bad = text(item.benefit), text(item.worse)
    first, last = ("at least", "at most") if higher else ("at most", "at least")
    if good == bad:
        return f"{first} {good}", "", ""
    between = f"between {bad} and {good}" if higher else f"between {good} and {bad}"
    return f"{first} {good}", between, f"{last} {bad}"


def estimate_words(fit: Fit, row: Any) -> str:
    """Write an estimate with its interval, to the digits that the width of the interval supports.

    Parameters
    ----------
    row : pandas.Series
        With ``median``, ``lower`` and ``upper`` on the natural scale.

    Raises
    ------
    ModelError
        For a row without these numbers.
    """
    try:
        median, lower, upper = (float(row[column]) for column in ("median", "lower", "upper"))
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise ModelError("estimate_words: give a row with median, lower and upper, such as one of predict.") from error
    median_text, lower_text, upper_text = interval_texts((median, lower, upper), ratio=measure(fit.effects.measure).log)
    return f"{median_text} (95 % central credible interval {lower_text} to {upper_text})"


def interval_texts(ends: Sequence[float], *, ratio: bool) -> tuple[str, str, str]:
    """An estimate and the ends of its interval, to the digits that the width of the interval supports.

    Parameters
    ----------
    ends : sequence of float
        Median, lower and upper end on the natural scale.
    ratio : bool
        Whether they are ratios, whose lower ends are never zero.

    Examples
    --------
    >>> interval_texts((-0.2764, -0.4032, -0.1499), ratio=False)
    ('-0.28', '-0.40', '-0.15')
    """
    median, lower, upper = (float(end) for end in ends)
    # a ratio near zero needs digits of its own
    finest = min(upper - lower, lower) if ratio else upper - lower
    decimals = min(max(1 - math.floor(math.log10(finest)), 0), 12) if finest > 0 else 2
    decimals = max(decimals, 2) if upper - lower < 10 else decimals

    def text(value: float) -> str:
        if abs(value) >= 1e9:
            return number(value)
        written = f"{value:.{decimals}f}"
        return written.lstrip("-") if float(written) == 0 else written

    return text(median), text(lower), text(upper)


def _stated(name: str, amount: Amount, ratio: bool) -> str:
    """Say a threshold as it was stated; a range goes by its low end, a distribution by its average."""
    if isinstance(amount, (int, float)):
        return f"a ratio of {amount:g} or beyond" if ratio else f"{amount:g} or more"
    return f"{name}, averaged" if isinstance(amount, Prior) else f"{name}, low end"
