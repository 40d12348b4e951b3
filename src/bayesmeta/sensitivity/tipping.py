"""How far a prior must move before the conclusion changes, and what that prior itself believed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.columns import columns_of, derived, joined, names_of, percent, unprinted
from bayesmeta.errors import ModelError
from bayesmeta.exact import location
from bayesmeta.fits import Fit, distribution, distributions, exactly, fit_many, marginal
from bayesmeta.measures import measure, require_null
from bayesmeta.model import Model
from bayesmeta.numerics import probit_rule, roots
from bayesmeta.plan import Threshold
from bayesmeta.priors import Flat, HalfNormal, InverseGamma, Normal, resolve
from bayesmeta.questions import direction, numeric_distance, resolve_threshold
from bayesmeta.sensitivity.section import Computed, Fold, Section

__all__ = ["prior_probability", "tipping_table"]

FloatArray = NDArray[np.float64]

#: Steps of the grid on which crossings are looked for, and its reach around the scale of the data, in decades.
_POINTS, _DECADES = 17, 2.0
#: A crossing is followed until the probability is this close to the cut-off.
_CLOSE = 1e-7
_TARGETS = (("mean effect", "mu"), ("new study", "theta_new"))
_COLUMNS = (
    *derived(columns_of("text", ask="question")),
    *unprinted(text="question target", number="benefit cutoff"),
    *columns_of("probability", probability="P now"),
    *unprinted(probability="main_prior_probability"),
    *columns_of("text", moved="varied"),
    *unprinted(number="value"),
    *columns_of("note", prior="tips at"),
    *columns_of("probability", prior_probability="prior prob."),
    *unprinted(flag="tipped", text="note"),
)


def prior_probability(model: Model, name: str, distance: float, sign: int) -> float:
    """Probability before any trial that the effect is beyond a threshold, ``P(sign effect > distance)``.

    Parameters
    ----------
    model : Model
        Without moderators.
    name : {"mu", "theta_new"}
    distance : float
    sign : {1, -1}

    Returns
    -------
    float
        Good to 1e-8, to 1e-6 under a truncated or uniform prior of mu; not a number under an improper prior.

    Examples
    --------
    >>> round(prior_probability(Model(Normal(0, 1), HalfNormal(0.5)), "mu", 0.5, -1), 6)
    0.308538
    """
    mu = resolve(model.mu)
    deviations = [resolve(p) for p in (model.tau, model.cluster_tau) if p is not None]
    if not mu.proper or (name != "mu" and not all(p.proper for p in deviations)):
        return math.nan
    if name == "mu" or not deviations:
        below = float(np.asarray(mu.cdf(sign * distance)))
        return 1 - below if sign > 0 else below
    p, weights = probit_rule()
    variance = np.zeros(1)
    share = np.ones(1)
    quantiles = [np.asarray(item.ppf(p)) for item in deviations]
    mean, scale, df, cut, _ = location(mu)
    normal = cut is None and math.isfinite(scale)
    if normal and math.isfinite(df):
        # Student's t is normal given a scale of its own: one deviation more, in which the integrand stays smooth
        quantiles.append(scale * np.sqrt(InverseGamma(df / 2, df / 2).ppf(p)))
    elif normal:
        variance = variance + scale**2
    for quantile in quantiles:
        # the far quantiles of a prior with polynomial tails are beyond what can be squared
        deviation = np.minimum(quantile, 1e150)
        variance = (variance[:, None] + np.square(deviation)).ravel()
        share = (share[:, None] * weights).ravel()
        keep = share > 1e-14
        variance, share = variance[keep], share[keep]
    spread = np.maximum(np.sqrt(variance), 1e-300)
    if normal:
        return float(share @ special.ndtr((sign * mean - distance) / spread))
    # a small tau makes steps of the quantiles of mu, for which many are needed
    p, weights = probit_rule(8193)
    total = 0.0
    for weight, middle in zip(weights, np.asarray(mu.ppf(p)), strict=True):
        total += weight * float(share @ special.ndtr((sign * middle - distance) / spread))
    return total


class _VariedPrior(NamedTuple):
    """A varied prior parameter: its name, the prior at a value, and the values to try, from mild to severe."""

    name: str
    model: Callable[[float], Model]
    grid: FloatArray
    log: bool


class _Question(NamedTuple):
    words: str
    target: str
    quantity: str
    distance: float


def _varied_priors(fit: Fit) -> list[_VariedPrior]:
    model = fit.model
    flat = _flat_or_stated(fit)
    centre = marginal(flat, "mu")
    size = max(abs(float(centre.quantile(0.5))), float(centre.quantile(0.75) - centre.quantile(0.25)))
    reach = np.logspace(_DECADES, -_DECADES, _POINTS)
    # one arm has no value that a sceptic holds to, and none that an optimist hopes for
    single = measure(fit.effects.measure).single_arm
    found = (
        []
        if single
        else [
            _VariedPrior(
                "sceptical prior of mu",
                lambda s: dataclasses.replace(model, mu=Normal(0.0, float(s))),
                size * reach,
                True,
            )
        ]
    )
    if model.tau is not None and not model.beta:
        typical = float(np.median(fit.effects.se))
        found.append(
            _VariedPrior(
                "scale of the prior of tau",
                lambda c: dataclasses.replace(model, tau=HalfNormal(float(c))),
                typical * reach[::-1],
                True,
            )
        )
    stated = resolve(model.mu)
    if isinstance(stated, Normal) and not single:
        sign = direction(fit)
        found.append(
            _VariedPrior(
                "optimistic prior of mu",
                lambda m: dataclasses.replace(model, mu=Normal(float(m), stated.sd)),
                stated.mean + sign * np.linspace(0, 10, _POINTS) * stated.sd,
                False,
            )
        )
    return found


def _flat_or_stated(fit: Fit) -> Fit:
    flat = fit_many([(fit.effects, dataclasses.replace(fit.model, mu=Flat()))])[0]
    return flat if isinstance(flat, Fit) else fit


def tipping_table(
    fit: Fit, threshold: Threshold | float | None = None, *, cut: float = 0.8, thresholds: Sequence[float] | None = None
) -> pd.DataFrame:
    """Find the prior at which a probability of benefit crosses the panel's cut-off.

    Three priors are moved, each with everything else as stated: a sceptical ``normal(0, s)`` prior of mu whose ``s``
    shrinks; a ``halfnormal(c)`` prior of tau whose ``c`` grows; and, where the cut-off is not reached, the mean of the
    stated normal prior of mu, in the direction of benefit. Crossings are looked for on a grid over four decades around
    the scale of the data and then followed to 1e-7 in probability; every point is an exact refit.

    Parameters
    ----------
    fit : Fit
        Exact, with a direction.
    threshold : Threshold or float, optional
        Of important benefit; default the primary one of the fit's outcome. Without one, only any benefit is asked.
    cut : float
        The probability that the panel wants.
    thresholds : sequence of float, optional
        Distances of benefit in place of zero and the threshold's; a negative one asks for a harm smaller than that.

    Returns
    -------
    pandas.DataFrame
        One row per question, target and prior that is moved. Columns ``question target benefit cutoff probability
        main_prior_probability moved value prior prior_probability tipped note``. ``probability`` is that of the main
        analysis and ``main_prior_probability`` what its prior said; ``value`` and ``prior`` say where the cut-off is
        crossed and ``prior_probability`` what that prior says before any trial. Without a crossing ``tipped`` is
        False and ``note`` says on which side the probability stays.

    Raises
    ------
    ModelError
        For a fit by draws, one without direction, a cut-off outside 0 to 1, and thresholds that are not numbers.

    Examples
    --------
    >>> table = tipping_table(fit, cut=0.85)
    >>> table.loc[0, "note"]
    'falls below 0.85 at normal(0, 0.157)'
    """
    if not 0 < cut < 1:
        raise ModelError(f"cut = {cut}: a probability between 0 and 1, such as 0.8.")
    exactly(fit, "tipping points")
    if fit.model.likelihood == "binomial":
        raise ModelError(
            "tipping points take hundreds of refits, and one of counts takes a second: they are not searched for with "
            "the binomial likelihood. Declare variations of the priors instead."
        )
    sign = direction(fit)
    questions = _questions(fit, threshold, thresholds)
    chances = {q: _ask(fit, q, sign) for q in questions}
    rows: list[dict[str, object]] = []
    searches: list[_Search] = []
    priors = _varied_priors(fit)
    for varied, values in zip(priors, _scan(fit, priors, questions, sign), strict=True):
        for number, q in enumerate(questions):
            main = chances[q]
            if varied.name.startswith("optimistic") and main >= cut:
                continue
            rows.append(
                {
                    "question": q.words,
                    "target": q.target,
                    "benefit": q.distance,
                    "cutoff": cut,
                    "probability": main,
                    "main_prior_probability": prior_probability(fit.model, q.quantity, q.distance, sign)
                    if not fit.model.beta
                    else math.nan,
                    "moved": varied.name,
                }
            )
            searches.append(_Search(varied, q, values[:, number]))
    found = _follow(fit, searches, sign, cut)
    for row, search, value in zip(rows, searches, found, strict=True):
        row |= _crossing(search, value, sign, cut)
    return pd.DataFrame(rows, columns=names_of(_COLUMNS))


def _questions(fit: Fit, threshold: Threshold | float | None, thresholds: Sequence[float] | None) -> list[_Question]:
    single = measure(fit.effects.measure).single_arm
    distances = [] if single else [("any benefit", 0.0)]
    if thresholds is not None:
        if not len(thresholds) or not np.isfinite(thresholds).all():
            raise ModelError(f"thresholds = {list(thresholds)}: give one or more finite distances, such as 0.2.")
        distances = [(f"benefit beyond {x:g}", float(x)) for x in thresholds]
    else:
        distance = numeric_distance(resolve_threshold(fit, threshold))
        words = "beyond the threshold" if single else "important benefit"
        distances += [] if distance is None else [(words, distance)]
    if not distances:
        require_null(fit.effects.measure, "tipping points without a threshold")
    return [_Question(words, target, name, x) for words, x in distances for target, name in _TARGETS]


def _ask(fit: Fit, q: _Question, sign: int) -> float:
    return float(distribution(fit, q.quantity, [sign * q.distance], upper=sign > 0)[0])


def _scan(fit: Fit, priors: Sequence[_VariedPrior], questions: Sequence[_Question], sign: int) -> list[FloatArray]:
    """Every probability at every value of the grids, (points, questions) per varied prior; one refit gives them all."""
    fits = _refits(fit, [varied.model(value) for varied in priors for value in varied.grid])
    values = np.column_stack(
        [distributions(fits, q.quantity, np.array([sign * q.distance]), upper=sign > 0)[:, 0] for q in questions]
    )
    return np.split(values, np.cumsum([varied.grid.size for varied in priors])[:-1])


def _refits(fit: Fit, models: Sequence[Model]) -> list[Fit]:
    found = []
    for item in fit_many([(fit.effects, model) for model in models]):
        if isinstance(item, ModelError):
            raise item
        found.append(item)
    return found


class _Search(NamedTuple):
    """A probability along the values of a varied prior, from mild to severe."""

    varied: _VariedPrior
    question: _Question
    values: FloatArray

    def changes(self, cut: float) -> NDArray[np.intp]:
        """Indices of values after which the cut-off is crossed."""
        above = self.values >= cut
        return np.flatnonzero(above[1:] != above[:-1])

    def model(self, x: float) -> Model:
        """The model at a point, which is the logarithm of a value that is a scale."""
        return self.varied.model(math.exp(x) if self.varied.log else x)


def _crossing(search: _Search, value: float | None, sign: int, cut: float) -> dict[str, object]:
    """Where a probability along a varied prior first crosses the cut-off, or on which side it stays."""
    varied, q, values = search
    above = values >= cut
    if value is None:
        side = "at or above" if above[0] else "below"
        ends = f"{repr_of(varied, varied.grid[0])} to {repr_of(varied, varied.grid[-1])}"
        return {"tipped": False, "note": f"stays {side} {cut:g}: {values.min():.3g} to {values.max():.3g} from {ends}"}
    model, changes = varied.model(value), search.changes(cut)
    verb = "falls below" if above[changes[0]] else "rises to"
    note = f"{verb} {cut:g} at {repr_of(varied, value)}"
    if changes.size > 1:
        note += "; it crosses more than once"
    return {
        "value": value,
        "prior": repr_of(varied, value),
        "prior_probability": math.nan if model.beta else prior_probability(model, q.quantity, q.distance, sign),
        "tipped": True,
        "note": note,
    }


def repr_of(varied: _VariedPrior, value: float) -> str:
    """The prior at a value, short enough to print."""
    model = varied.model(value)
    if varied.name.startswith("scale"):
        return f"halfnormal({value:.3g})"
    mu = model.mu
    assert isinstance(mu, Normal)
    return f"normal({mu.mean:.3g}, {mu.sd:.3g})"


def _follow(fit: Fit, searches: Sequence[_Search], sign: int, cut: float) -> list[float | None]:
    """Find the first crossing of each search, all together; None where there is none."""
    found: list[float | None] = [None] * len(searches)
    places = [i for i, search in enumerate(searches) if search.changes(cut).size]
    if not places:
        return found
    ends = []
    for search in (searches[i] for i in places):
        first = int(search.changes(cut)[0])
        part = slice(first, first + 2)
        grid = np.log(search.varied.grid[part]) if search.varied.log else search.varied.grid[part]
        ends.append([*grid, *(search.values[part] - cut)])
    known: dict[tuple[int, float], float] = {}

    def gap(x: FloatArray) -> FloatArray:
        # what has arrived stays where it is, and is not fitted again
        keys = list(zip(places, x.tolist(), strict=True))
        new = [key for key in keys if key not in known]
        fits = _refits(fit, [searches[i].model(at) for i, at in new])
        for (i, at), item in zip(new, fits, strict=True):
            known[i, at] = _ask(item, searches[i].question, sign) - cut
        return np.array([known[key] for key in keys])

    low, high, below, above = np.array(ends).T
    for i, x in zip(places, roots(gap, low, high, values=(below, above), close=_CLOSE).tolist(), strict=True):
        found[i] = math.exp(x) if searches[i].varied.log else x
    return found


#: What is varied, as the verdict says it.
_MOVED = {
    "sceptical prior of mu": "a sceptical prior of the mean",
    "scale of the prior of tau": "a wider prior of tau",
    "optimistic prior of mu": "an optimistic prior of the mean",
}


def _robust(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    """Of the mean effect and the last question, which is that of an important benefit where there is a threshold."""
    some = table[table["target"] == "mean effect"]
    some = some[some["question"] == some["question"].iloc[-1]]
    first: Any = some.iloc[0]
    now, cut, asked = float(first["probability"]), float(first["cutoff"]), str(first["question"])
    side, verb = ("reaches", "falls below it") if now >= cut else ("is below", "reaches it")
    tips = []
    for row in some[some["tipped"].astype(bool)].to_dict("records"):
        before = float(row["prior_probability"])
        given = f" (which gave it {percent(before)} beforehand)" if math.isfinite(before) else ""
        tips.append(f"{_MOVED[str(row['moved'])]}, {row['prior']}{given}")
    start = f"P({asked}) of the mean effect is {percent(now)}, which {side} the panel's {percent(cut, 0)}"
    if not tips:
        return f"No prior that was tried changes the conclusion: {start}, and stays on that side."
    return f"A prior can change the conclusion: {start}; it {verb} under {' and under '.join(tips)}."


SECTION = Section(
    "tipping",
    "How far must a prior move to change the conclusion?",
    lambda fit, options: Computed(tipping_table(fit, options.threshold_of(fit), cut=options.cut)),
    _COLUMNS,
    "Everything else as stated. Prior prob.: prior probability under the prior at the tipping point.",
    printed=lambda table: table.assign(
        ask=joined(table["question"], table["target"]), prior=table["prior"].where(table["tipped"], "-")
    ),
    notes=lambda table: [f"The panel's cut-off: {percent(float(table['cutoff'].iloc[0]), 0)}. -: not crossed."],
    verdict=_robust,
    fold=Fold(lambda fit, table, threshold: (~table["tipped"].astype(bool)).tolist(), "the cut-off is not crossed"),
    at_threshold=True,
)
