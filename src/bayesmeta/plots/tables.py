"""The tables that pictures are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical import (
    ClassicalFit,
    FillEstimator,
    HeterogeneityInterval,
    MultilevelMean,
    check_words,
    dependence_note,
    is_clustered,
    pool_check,
    tau2_interval,
    trim_and_fill,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, pick
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.wording import level_text, numbers_of
from bayesmeta.questions import benefit_table, direction, heterogeneity_table, predict, study_table, typical_variance

__all__ = [
    "bubble_table",
    "funnel_table",
    "heterogeneity_curves",
    "limits_with",
    "threshold_lines",
]

FloatArray = NDArray[np.float64]

# points of a drawn density: finer than a printed line is wide
POINTS = 401
CREDIBLE, PREDICTION = "central credible interval", "central prediction interval"


def heterogeneity_curves(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Posterior densities of tau, I2 and the effect in a new study, with the classical estimates beside them.

    I2 = 100 tau^2 / (tau^2 + s^2) with the typical sampling variance s^2 of Higgins and Thompson is a monotone
    function of tau, so that its density is that of tau at ``s sqrt(q / (1 - q))`` times
    ``s / 200 q^(-1/2) (1 - q)^(-3/2)``, q = I2 / 100. Where the density of tau at zero is positive, that of I2 grows
    without bound towards zero.

    Returns
    -------
    pandas.DataFrame
        Columns ``panel kind x y estimate lower upper level interval``. ``panel`` is ``tau``, ``i2`` or
        ``theta_new``; ``kind`` is ``posterior density`` or ``prior density`` with points in x and y, or
        ``posterior``, ``classical``, ``mean effect`` with an estimate and interval. A missing upper limit does not
        exist.

    Raises
    ------
    ModelError
        For a common-effect model.

    References
    ----------
    Higgins JPT, Thompson SG. Stat Med 2002;21:1539-1558. doi:10.1002/sim.1186
    Viechtbauer W. Stat Med 2007;26:37-52. doi:10.1002/sim.2514
    """
    if fit.model.tau is None:
        raise ModelError("this is a common-effect model; it has no heterogeneity to show. Give tau a prior.")
    tau = marginal(fit, "tau")
    classical = pool_or_none(fit, level)
    # the Q-profile is of one SD
    profile = None if is_clustered(fit.effects) else _profile_or_none(fit, level)
    top = float(tau.quantile(0.998))
    if profile is not None and profile.tau2[1] is not None:
        # a Q-profile limit far beyond the posterior would squeeze everything else; it is drawn as an arrow
        top = max(top, min(1.1 * math.sqrt(profile.tau2[1]), 1.5 * top))
    parts = []
    # the first point is not zero, where a density of log tau's prior is not defined
    x = np.linspace(0, top, POINTS + 1)[1:]
    parts.append(_curve("tau", "posterior density", x, tau.density(x)))
    if fit.model.tau.proper:
        parts.append(_curve("tau", "prior density", x, np.exp(fit.model.tau.logpdf(x))))
    table = heterogeneity_table(fit, level=level)
    credible = f"{level_text(level)} {CREDIBLE}"
    rows = [_line("tau", "posterior", *table.loc["tau", ["median", "lower", "upper"]], interval=credible)]
    q_profile = f"{level_text(level)} Q-profile confidence interval"
    if classical is not None:
        low, high = tuple(None if end is None else math.sqrt(end) for end in profile.tau2) if profile else (None, None)
        rows.append(_line("tau", "classical", math.sqrt(classical.tau2), low, high, interval=q_profile))
    typical = typical_variance(fit)
    if typical is not None:
        q = np.linspace(0, 1, POINTS + 1)[1:-1]
        scale = math.sqrt(typical)
        density = tau.density(scale * np.sqrt(q / (1 - q))) * scale / 200 * q**-0.5 * (1 - q) ** -1.5
        parts.append(_curve("i2", "posterior density", 100 * q, density))
        rows.append(_line("i2", "posterior", *table.loc["i2", ["median", "lower", "upper"]], interval=credible))
        if isinstance(classical, ClassicalFit) and classical.i2_tau2 is not None:
            low, high = profile.i2 if profile is not None else (None, None)
            rows.append(_line("i2", "classical", classical.i2_tau2, low, high, interval=q_profile))
    new = marginal(fit, "theta_new")
    low, high = new.quantile(np.array([0.002, 0.998]))
    x = np.linspace(low, high, POINTS)
    parts.append(_curve("theta_new", "posterior density", x, new.density(x)))
    effect = predict(fit, level=level)[["median", "lower", "upper"]]
    prediction = f"{level_text(level)} {PREDICTION}"
    rows.append(_line("theta_new", "posterior", *effect.loc["theta_new"], interval=prediction))
    rows.append(_line("theta_new", "mean effect", *effect.loc["mu"], interval=credible))
    if classical is not None and classical.pi_lower is not None:
        formula = f"{level_text(level)} {prediction_words(fit.effects)}"
        ends = [classical.pi_lower, classical.pi_upper]
        rows.append(_line("theta_new", "classical", classical.estimate, *ends, interval=formula))
    frame = pd.concat([*parts, pd.DataFrame(rows)], ignore_index=True)
    frame = frame.reindex(columns=["panel", "kind", "x", "y", "estimate", "lower", "upper", "interval"])
    frame["interval"] = frame["interval"].astype(object).where(frame["interval"].notna(), "")
    frame.insert(7, "level", level)
    return frame


def prediction_words(effects: Effects) -> str:
    words = check_words(effects)
    return f"prediction interval, {words.model} with {words.prediction.replace(', ', ' and ')}"


def pool_or_none(fit: Fit, level: float) -> ClassicalFit | MultilevelMean | None:
    """The classical check, or None where these data do not define it."""
    try:
        return pool_check(fit.effects, level=level, rho=fit.model.rho)
    except ModelError:
        return None


def _profile_or_none(fit: Fit, level: float) -> HeterogeneityInterval | None:
    try:
        return tau2_interval(fit.effects, level=level, rho=fit.model.rho)
    except ModelError:
        return None


def _curve(panel: str, kind: str, x: FloatArray, y: FloatArray) -> pd.DataFrame:
    return pd.DataFrame({"panel": panel, "kind": kind, "x": x, "y": y})


def _line(panel: str, kind: str, estimate: Any, lower: Any, upper: Any, *, interval: str) -> dict[str, Any]:
    return {
        "panel": panel,
        "kind": kind,
        "estimate": float(estimate),
        "lower": math.nan if lower is None else float(lower),
        "upper": math.nan if upper is None else float(upper),
        "interval": interval,
    }


def funnel_table(fit: Fit, *, fill: FillEstimator | None = None, level: float = LEVEL) -> pd.DataFrame:
    """Estimates against their standard errors, with their p values, and the mean effect.

    Parameters
    ----------
    fit : Fit
    fill : {"L0", "R0", "Q0"}, optional
        Add the trials that trim and fill (`bayesmeta.classical.trim_and_fill`, REML) would fill in.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``kind label y se p lower upper level interval``: one row of kind ``estimate`` per estimate with its
        two-sided normal p value of no effect, then one of kind ``mean`` with the posterior median of mu and its
        interval. With ``fill`` also one of kind ``filled`` per trial filled in, and one of kind ``filled mean`` with
        the classical mean (REML, HKSJ) of all; ``attrs`` holds ``k0``, ``side`` and
        ``notes``.

    Raises
    ------
    ModelError
        Where trim and fill is not defined for these data.

    Examples
    --------
    >>> funnel_table(fit)["p"].round(4).tolist()[:2]  # two and one standard errors from zero
    [0.0455, 0.3173]
    """
    effects = fit.effects
    half = special.ndtri((1 + level) / 2) * effects.se
    frame = pd.DataFrame(
        {
            "kind": "estimate",
            "label": effects.label,
            "y": effects.y,
            "se": effects.se,
            "p": 2 * special.ndtr(-np.abs(effects.y) / effects.se),
            "lower": effects.y - half,
            "upper": effects.y + half,
            "level": level,
            "interval": f"{level_text(level)} normal confidence interval",
        }
    )
    mu = predict(fit, level=level).loc["mu"].to_dict()
    frame.loc[len(frame)] = {
        "kind": "mean",
        "label": "Bayesian mean effect",
        "y": mu["median"],
        "se": math.nan,
        "p": math.nan,
        "lower": mu["lower"],
        "upper": mu["upper"],
        "level": level,
        "interval": f"{level_text(level)} {CREDIBLE}",
    }
    if fill is None:
        return frame
    found = trim_and_fill(effects, estimator=fill, ci="hksj", level=level)
    for number, (y, se) in enumerate(zip(found.y[found.filled], found.se[found.filled], strict=True), 1):
        half_width = special.ndtri((1 + level) / 2) * se
        frame.loc[len(frame)] = {
            "kind": "filled",
            "label": f"filled {number}",
            "y": y,
            "se": se,
            "p": 2 * special.ndtr(-abs(y) / se),
            "lower": y - half_width,
            "upper": y + half_width,
            "level": level,
            "interval": f"{level_text(level)} normal confidence interval",
        }
    frame.loc[len(frame)] = {
        "kind": "filled mean",
        "label": f"Classical mean with {found.k0} filled in",
        "y": found.fit.estimate,
        "se": math.nan,
        "p": math.nan,
        "lower": found.fit.lower,
        "upper": found.fit.upper,
        "level": level,
        "interval": f"{level_text(level)} HKSJ confidence interval",
    }
    marked = (f"HKSJ interval with the filled trials: {found.fit.mark}",) if found.fit.mark else ()
    frame.attrs = {"k0": found.k0, "side": found.side, "notes": (*dependence_note(effects), *marked)}
    return frame


def bubble_table(fit: Fit, moderator: str, *, points: int = 41, level: float = LEVEL) -> pd.DataFrame:
    """Estimates against a numeric moderator, and the effect that the fit gives along it.

    Parameters
    ----------
    fit : Fit
        Moderated by ``moderator``.
    moderator : str
    points : int
        Of the line, from the smallest to the largest value in the data; nothing is extrapolated.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``kind label x y se weight median lower upper new_lower new_upper level interval``: rows of kind
        ``estimate`` per estimate, then of kind ``line`` with the median mean effect, its interval, and the interval
        of the effect in a new study. Other moderators are averaged over the observed mix.

    Raises
    ------
    ModelError
        If the moderator is categorical, or not in the fit.
    """
    factors = fit.design.factors
    if moderator not in factors:
        numeric = [name for name, factor in factors.items() if not factor.levels]
        raise ModelError(f"the fit has no moderator {moderator!r} that is numeric. {pick(moderator, numeric)}")
    if factors[moderator].levels:
        raise ModelError(
            f"moderator {moderator!r} is categorical; a bubble plot needs numbers. "
            "Use forest_plot with subgroup and moderated."
        )
    values = np.asarray(fit.effects.moderators[moderator], float)
    studies = study_table(fit, level=level)
    dots = pd.DataFrame({"kind": "estimate", "x": values, **{n: studies[n] for n in ("label", "y", "se", "weight")}})
    # a trial whose value was imputed has no place on the axis
    dots = dots[np.isfinite(values)]
    rows = []
    for x in np.linspace(np.nanmin(values), np.nanmax(values), points):
        table = predict(fit, {moderator: float(x)}, level=level)
        mu, new = (table.loc[name].to_dict() for name in ("mu", "theta_new"))
        rows.append(
            {
                "kind": "line",
                "x": x,
                "median": mu["median"],
                "lower": mu["lower"],
                "upper": mu["upper"],
                "new_lower": new["lower"],
                "new_upper": new["upper"],
                "interval": f"{level_text(level)} {CREDIBLE}",
            }
        )
    frame = pd.concat([dots, pd.DataFrame(rows)], ignore_index=True)
    order = ["kind", "label", "x", "y", "se", "weight", "median", "lower", "upper", "new_lower", "new_upper"]
    frame = frame.reindex(columns=[*order, "interval"])
    frame.insert(len(order), "level", level)
    for name in ("label", "interval"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "")
    return frame


def threshold_lines(fit: Fit, thresholds: Sequence[Threshold]) -> list[tuple[str, float, bool]]:
    """Thresholds as lines on the scale of the analysis: what each is called, where it is, whether it is benefit."""
    if not thresholds or fit.effects.better is None:
        return []
    sign, numbers = direction(fit), numbers_of(fit.effects)
    lines: list[tuple[str, float, bool]] = []
    distances = [distance for item in thresholds for distance in (item.benefit_distance, item.worse_distance)]
    if all(isinstance(distance, float) for distance in distances):
        # their probabilities take longer than all else here, and single numbers stand where they are stated
        table = pd.DataFrame(
            {
                "threshold": [item.name for item in thresholds],
                "benefit": [item.benefit_distance for item in thresholds],
                "worse": [item.worse_distance for item in thresholds],
            }
        )
    else:
        table = benefit_table(fit, thresholds)
    for item in table.drop_duplicates("threshold").to_dict("records"):
        for column, side, word in (("benefit", 1, "benefit"), ("worse", -1, "harm")):
            x = sign * side * float(item[column])
            if measure(fit.effects.measure).single_arm:
                # a value: both sides are one where nothing lies between
                if side > 0 or float(item["benefit"]) != -float(item["worse"]):
                    lines.append((f"Threshold, {item['threshold']} ({numbers.value(x)})", x, side > 0))
                continue
            lines.append((f"Threshold of {word}, {item['threshold']} ({numbers.value(x)})", x, side > 0))
    return lines


def limits_with(kind_name: str, *values: Any) -> tuple[float, float]:
    """Ends that hold every finite value, and no effect where there is such a value, with a little room.

    Examples
    --------
    >>> limits_with("SMD", [-1.0, 0.5])
    (-1.06, 0.56)
    """
    pieces = [np.asarray(value, float).ravel() for value in values]
    null = measure(kind_name).null
    flat = np.concatenate([[] if null is None else [null], *pieces])
    flat = flat[np.isfinite(flat)]
    low, high = float(flat.min()), float(flat.max())
    room = 0.04 * (high - low) if high > low else 1.0
    return low - room, high + room
