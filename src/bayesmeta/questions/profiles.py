"""Effects at combinations of levels, of a type not yet studied, and along curves; what was imputed; outliers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.errors import ModelError, pick
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.marginals import Marginals
from bayesmeta.model import Exchangeable, OutlierEffects
from bayesmeta.numerics import interval_ends
from bayesmeta.nuts import build_rows
from bayesmeta.plan import Threshold
from bayesmeta.questions.thresholds import direction, numeric_distance, resolve_threshold

__all__ = ["NEW_TYPE", "compare_types_table", "curve_table", "imputed_table", "outlier_table", "profile_table"]

FloatArray = NDArray[np.float64]

#: What the row of a level that no trial has studied is called.
NEW_TYPE = "a new type"
#: Pareto k above which importance weights say too little, and the fit is made again.
_HEAVY = 0.7


class _Form(NamedTuple):
    """A linear function of the coefficients, with what varies around it.

    ``spread`` multiplies the SD of an exchangeable moderator's levels, named by ``sd``.
    """

    row: FloatArray
    sd: str = ""
    spread: float = 0.0


def _asked(fit: Fit, form: _Form) -> Marginals:
    """The mean effect, and the effect in a new study."""
    spread = (form.sd, form.spread) if form.spread else None
    return fit.posterior.quantities(np.array([form.row] * 2), [None, "theta_new"], spread=spread, seed=fit.seed)


def _distance(fit: Fit, threshold: Threshold | float | None) -> float | None:
    """Smallest important benefit as a distance; None where none is stated."""
    chosen = resolve_threshold(fit, threshold)
    if chosen is None or fit.effects.better is None:
        return None
    distance = numeric_distance(chosen)
    if distance is None:
        raise ModelError(f"threshold {chosen.name}: give one that is a number, not a range or a distribution.")
    return distance


def _answers(fit: Fit, form: _Form, benefit: float | None, p: FloatArray) -> dict[str, float]:
    """Median and interval of the mean and of a new study, and the probabilities of benefit."""
    found = _asked(fit, form)
    (lower, median, upper), (new_lower, _, new_upper) = found.quantile(p)
    row = {"median": median, "lower": lower, "upper": upper, "new_lower": new_lower, "new_upper": new_upper}
    if fit.effects.better is not None:
        sign = direction(fit)
        x = np.array([0.0] if benefit is None else [0.0, sign * benefit])
        chances = found.sf(x) if sign > 0 else found.cdf(x)
        for name, (mean, new) in zip(("any", "important"), chances.T, strict=False):
            row[f"p_{name}_benefit"], row[f"p_{name}_benefit_new"] = mean, new
    return {**row, "mcse": found[0].mcse}


def _categorical(fit: Fit, moderators: Sequence[str] | None) -> list[str]:
    factors = fit.design.factors
    known = [name for name, factor in factors.items() if factor.levels]
    chosen = list(known if moderators is None else moderators)
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise ModelError(
            f"profiles are of categorical moderators of the fit; {', '.join(unknown) or 'it has none'}"
            f"{' is not one' if len(unknown) == 1 else ' are none' if unknown else ''}. "
            f"{pick(unknown[0], known) if known and unknown else 'Allowed: none: fit with moderators.'} "
            "For a numeric moderator see curve_table."
        )
    return chosen


def profile_table(
    fit: Fit,
    moderators: Sequence[str] | None = None,
    threshold: Threshold | float | None = None,
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    r"""Effect and probability of benefit for every combination of levels, with the trials behind each.

    A combination that no trial has is extrapolated: without an interaction its effect is the sum of the effects of its
    levels, which is an assumption that these data do not test; with one, its own part comes from the prior.

    For an exchangeable moderator there is a row for a type that no trial has studied. With deviations
    :math:`d_l \sim N(0, s^2)` of the L levels, the reported mean is ``mu = m + sum(f_l d_l)``, ``m`` the mean of the
    population of types and ``f`` the observed mix. Contrasts ``H b`` are what the data know of the deviations; their
    mean :math:`\bar d \sim N(0, s^2 / L)` is independent of them and cancels out of ``mu``. A new type's effect is

    .. math:: m + d_{new} = mu - f'Hb - \bar d + d_{new}, \quad d_{new} - \bar d \sim N(0, s^2 (1 + 1/L)),

    the mean of the L types' effects with the spread of a new draw around the mean of L.

    Parameters
    ----------
    fit : Fit
        With categorical moderators; other moderators are averaged over the observed mix.
    moderators : sequence of str, optional
        Default: all that are categorical.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    level : float

    Returns
    -------
    pandas.DataFrame
        One column per moderator, then ``k trials participants extrapolated median lower upper new_lower new_upper
        p_any_benefit p_any_benefit_new p_important_benefit p_important_benefit_new mcse level``. ``k`` counts
        estimates; ``participants`` is missing where a size is; ``_new`` is of a new study. Probabilities are left out
        without a direction or a threshold.

    References
    ----------
    Dias S, Sutton AJ, Welton NJ, Ades AE. Med Decis Making 2013;33:618-640. doi:10.1177/0272989X13485157

    Examples
    --------
    >>> moderated = bm.Model(model.mu, model.tau, {"type": bm.Normal(0, 0.5), "timing": bm.Normal(0, 0.5)})
    >>> profile_table(bm.fit(effects, moderated))[["type", "timing", "k", "extrapolated"]]
       type  timing  k  extrapolated
    0  walk   after  1         False
    1  walk  during  1         False
    2  yoga   after  0          True
    3  yoga  during  2         False
    """
    chosen = _categorical(fit, moderators)
    p, benefit, design = interval_ends(level), _distance(fit, threshold), fit.design
    values = {name: np.array([str(v) for v in fit.effects.moderators[name]]) for name in chosen}
    hierarchical = {name: f"sd[{name}]" for name in chosen if isinstance(fit.model.beta.get(name), Exchangeable)}
    crossed = {part for entry in fit.model.beta if ":" in entry for part in entry.split(":")}
    choices = [
        [*design.factors[name].levels, *([NEW_TYPE] if name in hierarchical and name not in crossed else [])]
        for name in chosen
    ]
    rows = []
    for combination in product(*choices):
        at = dict(zip(chosen, combination, strict=True))
        fresh = [name for name, value in at.items() if value == NEW_TYPE]
        if len(fresh) > 1:
            continue
        row = design.profile({name: value for name, value in at.items() if value != NEW_TYPE})
        form = _Form(row)
        if fresh:
            factor = design.factors[fresh[0]]
            columns = next(term.columns for term in design.terms if term.name == fresh[0])
            row[columns] = -factor.centre @ factor.basis
            form = _Form(row, hierarchical[fresh[0]], float(np.sqrt(1 + 1 / len(factor.levels))))
        inside = np.all([values[name] == value for name, value in at.items()], axis=0)
        here = fit.effects.subset(inside) if inside.any() else None
        rows.append(
            {
                **at,
                "k": int(inside.sum()),
                "trials": here.n_trials if here is not None else 0,
                "participants": 0 if here is None else here.participants,
                "extrapolated": here is None,
                **_answers(fit, form, benefit, p),
            }
        )
    frame = pd.DataFrame(rows)
    frame["participants"] = frame["participants"].astype(float)
    frame["level"] = level
    return frame


def curve_table(
    fit: Fit,
    moderator: str,
    grid: ArrayLike | None = None,
    *,
    reference: float | None = None,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Effect along a numeric moderator: a line, a smooth or a monotone curve.

    Parameters
    ----------
    fit : Fit
        Other moderators are averaged over the observed mix.
    moderator : str
        A numeric one.
    grid : array, optional
        Values; default 41 from the smallest to the largest stated one.
    reference : float, optional
        The value that differences are from; default the smallest stated one.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.

    Returns
    -------
    pandas.DataFrame
        Columns ``x median lower upper new_lower new_upper change change_lower change_upper p_any_benefit
        p_any_benefit_new p_important_benefit p_important_benefit_new beyond mcse level``. ``change`` is the difference
        of the mean effect from that at the reference; ``beyond`` marks values outside the stated ones, where a spline
        goes on as a line, a monotone curve as a constant, and no trial speaks. ``attrs`` hold ``reference`` and the
        stated ``range``.

    Raises
    ------
    ModelError
        For a moderator that is not numeric, and a grid that is not of finite numbers.

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"weeks": bm.Normal(0, 0.25)}))
    >>> curve_table(moderated, "weeks", [6, 12, 20])[["x", "change", "beyond"]].round(2)
          x  change  beyond
    0   6.0    0.00   False
    1  12.0    0.29   False
    2  20.0    0.69    True
    """
    factors = fit.design.factors
    numeric = [name for name, factor in factors.items() if not factor.levels]
    if moderator not in numeric:
        word = "categorical: see profile_table" if moderator in factors else "not among its numeric moderators"
        raise ModelError(f"moderator {moderator!r} of the fit is {word}. {pick(moderator, numeric)}")
    p, benefit = interval_ends(level), _distance(fit, threshold)
    stated = np.asarray(fit.effects.moderators[moderator], float)
    stated = stated[~np.isnan(stated)]
    low, high = float(stated.min()), float(stated.max())
    values = np.linspace(low, high, 41) if grid is None else np.asarray(grid, float).ravel()
    if not (values.size and np.isfinite(values).all()):
        raise ModelError(f"grid of {moderator}: give finite numbers.")
    start = low if reference is None else float(reference)
    base = fit.design.profile({moderator: start})
    rows = []
    for x in values.tolist():
        row = fit.design.profile({moderator: x})
        answers = _answers(fit, _Form(row), benefit, p)
        if np.array_equal(row, base):
            change = np.zeros(3)
        else:
            change = fit.posterior.quantities((row - base)[None, :]).quantile(p)[0]
        rows.append(
            {
                "x": x,
                **answers,
                "change": change[1],
                "change_lower": change[0],
                "change_upper": change[2],
                "beyond": not low <= x <= high,
            }
        )
    frame = pd.DataFrame(rows)
    tail = ["change", "change_lower", "change_upper"]
    first = ["x", "median", "lower", "upper", "new_lower", "new_upper", *tail]
    chances = [name for name in frame.columns if name.startswith("p_")]
    frame = frame[[*first, *chances, "beyond", "mcse"]]
    frame["level"] = level
    frame.attrs.update(moderator=moderator, reference=start, range=(low, high))
    return frame


def imputed_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """What the model says of values that trials did not report: numbers, levels, standard deviations.

    Returns
    -------
    pandas.DataFrame
        One row per trial and number, and one per level of a categorical moderator. Columns ``what trial level_of
        probability mean sd median lower upper mcse level``: ``level_of`` and ``probability`` are of levels, the others
        of numbers. Intervals about as wide as the range of the stated values say that the data carry no information.

    Raises
    ------
    ModelError
        Where nothing was imputed.
    """
    p = interval_ends(level)
    h = build_rows(fit.effects, fit.model)
    rows: list[dict[str, object]] = []

    def number(what: str, trial: str, name: str) -> None:
        form = marginal(fit, name)
        lower, median, upper = form.quantile(p)
        rows.append(
            {
                "what": what,
                "trial": trial,
                "level_of": "",
                "mean": form.mean,
                "sd": form.sd,
                "median": median,
                "lower": lower,
                "upper": upper,
                "mcse": form.mcse,
            }
        )

    for item in h.imputed:
        for trial in item.trials:
            number(item.name, trial, f"missing[{item.name}: {trial}]")
    for levels in h.levels:
        for trial in levels.trials:
            for name in levels.levels:
                form = marginal(fit, f"missing[{levels.name}: {trial} = {name}]")
                rows.append(
                    {"what": levels.name, "trial": trial, "level_of": name, "probability": form.mean, "mcse": form.mcse}
                )
    for row in h.row[h.sd_rows].tolist():
        number("standard deviation", fit.effects.label[row], f"missing_sd[{fit.effects.label[row]}]")
    if not rows:
        raise ModelError("nothing was imputed: the model states no `missing` and no `missing_sd`.")
    columns = ["what", "trial", "level_of", "probability", "mean", "sd", "median", "lower", "upper", "mcse"]
    frame = pd.DataFrame(rows).reindex(columns=columns)
    frame["level"] = level
    return frame


def outlier_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Trials by their probability of belonging to the wider population of effects.

    Returns
    -------
    pandas.DataFrame
        Descending. Columns ``trial rows estimate lower upper probability mcse prior_share others_share bayes_factor
        level``. ``estimate`` is the trial's own, with its normal interval (rows of one trial are pooled by their
        covariance); ``prior_share`` is the mean of the share's prior, ``others_share`` the share that the other trials
        suggest, ``E(share | y without the trial)``, by Pareto-smoothed importance sampling, or where its weights have
        too heavy a tail (k above 0.7, as those of a clear outlier have) from a fit of the other trials alone; not a
        number where these cannot be fitted. ``bayes_factor`` is the trial's own evidence for being an outlier: its
        posterior odds over the odds of ``others_share``.

    Raises
    ------
    ModelError
        For a model without an outlier population.

    References
    ----------
    Beath KJ. Res Synth Methods 2014;5:285-293. doi:10.1002/jrsm.1114. The limit of k: Vehtari A, Gelman A, Gabry J.
    Stat Comput 2017;27:1413-1432. doi:10.1007/s11222-016-9696-4
    """
    if not isinstance(fit.model.random, OutlierEffects):
        raise ModelError("the model has no outlier population: state random=OutlierEffects(share=..., extra=...).")
    interval_ends(level)
    effects = fit.effects
    h = build_rows(effects, fit.model)
    unit = np.zeros(effects.k, np.intp)
    unit[h.row] = h.row_unit
    prior = fit.model.random.share
    nodes = special.ndtr(np.linspace(-6, 6, 2001))
    prior_share = float(np.trapezoid(np.asarray(prior.ppf(nodes), float), nodes))
    half = special.ndtri((1 + level) / 2)
    S = effects.covariance()
    rows = []
    for number, name in enumerate(h.units):
        inside = np.flatnonzero(unit == number)
        weights = np.linalg.inv(S[np.ix_(inside, inside)]).sum(axis=0)
        estimate, se = float(weights @ effects.y[inside] / weights.sum()), float(weights.sum() ** -0.5)
        form = marginal(fit, f"outlier[{name}]")
        expected = _share_of_others(fit, number, inside)
        odds = form.mean / (1 - form.mean) if form.mean < 1 else np.inf
        rows.append(
            {
                "trial": name,
                "rows": inside.size,
                "estimate": estimate,
                "lower": estimate - half * se,
                "upper": estimate + half * se,
                "probability": form.mean,
                "mcse": form.mcse,
                "prior_share": prior_share,
                "others_share": expected,
                "bayes_factor": odds * (1 - expected) / expected,
            }
        )
    frame = pd.DataFrame(rows).sort_values("probability", ascending=False, kind="stable", ignore_index=True)
    frame["level"] = level
    return frame


def _share_of_others(fit: Fit, number: int, inside: NDArray[np.intp]) -> float:
    """Expected share of outliers given all trials but one, which holds the rows ``inside``."""
    from arviz_stats.base import array_stats

    tree = fit.tree
    # ArviZ turns the sign itself: the weights are of one over the trial's likelihood
    log_weights, k = array_stats.psislw(tree["log_likelihood"].to_dataset()["y"].values[..., number].ravel())
    if k <= _HEAVY:
        weights = np.exp(np.asarray(log_weights) - special.logsumexp(log_weights))
        return float(weights @ tree["posterior"].to_dataset()["other"].sel(quantity="share").values.ravel())
    from bayesmeta.fits import fit as fit_model
    from bayesmeta.nuts import Settings

    asked = {name: fit.posterior.settings[name] for name in ("chains", "draws", "tune", "target_accept", "max_depth")}
    kept = np.setdiff1d(np.arange(fit.effects.k), inside)
    try:
        rest = fit_model(fit.effects.subset(kept), fit.model, engine="nuts", seed=fit.seed, settings=Settings(**asked))
    except ModelError:
        return math.nan
    return marginal(rest, "share").mean


def compare_types_table(
    fixed: Fit,
    exchangeable: Fit,
    moderator: str,
    threshold: Threshold | float | None = None,
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Levels with a fixed prior beside levels drawn from a population: what each borrowed from the others.

    Parameters
    ----------
    fixed, exchangeable : Fit
        Of the same effects; ``moderator`` has a `Coefficient` in the one and an `Exchangeable` in the other.
    moderator : str

    Returns
    -------
    pandas.DataFrame
        One row per level, and one for a new type. Columns ``type trials participants fixed fixed_lower fixed_upper
        exchangeable exchangeable_lower exchangeable_upper width_ratio`` and, where there is a direction,
        ``p_any_benefit_fixed``, ``p_any_benefit_exchangeable`` and likewise ``p_important_benefit``; ``level``.
        ``attrs`` hold the log Bayes factor of exchangeable over fixed, where both are exact.

    Raises
    ------
    ModelError
        For fits of different effects, and where the moderator has not the two kinds of prior.
    """
    same = fixed.effects.label == exchangeable.effects.label and np.array_equal(fixed.effects.y, exchangeable.effects.y)
    if not same:
        raise ModelError("the two fits are of different effects; compare models of the same ones.")
    if not isinstance(exchangeable.model.beta.get(moderator), Exchangeable):
        raise ModelError(f"moderator {moderator!r} is not exchangeable in the second fit: give it Exchangeable(sd).")
    if moderator not in fixed.model.beta or isinstance(fixed.model.beta[moderator], Exchangeable):
        raise ModelError(f"moderator {moderator!r} has no fixed prior in the first fit: give it Normal(0, sd).")
    first = profile_table(fixed, [moderator], threshold, level=level).set_index(moderator)
    second = profile_table(exchangeable, [moderator], threshold, level=level).set_index(moderator)
    frame = pd.DataFrame({"type": second.index, "trials": second["trials"], "participants": second["participants"]})
    for name, table in (("fixed", first.reindex(second.index)), ("exchangeable", second)):
        for column, suffix in (("median", ""), ("lower", "_lower"), ("upper", "_upper")):
            frame[f"{name}{suffix}"] = table[column]
    widths = [frame[f"{name}_upper"] - frame[f"{name}_lower"] for name in ("exchangeable", "fixed")]
    frame["width_ratio"] = widths[0] / widths[1]
    for chance in ("p_any_benefit", "p_important_benefit"):
        if chance in second:
            frame[f"{chance}_fixed"] = first.reindex(second.index)[chance]
            frame[f"{chance}_exchangeable"] = second[chance]
    frame = frame.reset_index(drop=True)
    frame["level"] = level
    evidences: Mapping[str, Any] = {"fixed": fixed.log_evidence, "exchangeable": exchangeable.log_evidence}
    if all(value is not None for value in evidences.values()):
        frame.attrs["log_bayes_factor"] = float(evidences["exchangeable"] - evidences["fixed"])
    return frame
