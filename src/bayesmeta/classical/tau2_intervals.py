"""Intervals of the between-study variance: Q-profile, profile likelihood, generalised Q and Wald, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import pandas as pd

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.heterogeneity import heterogeneity_of, q_profile_of
from bayesmeta.classical.intervals import critical
from bayesmeta.classical.quadratic_forms import weighted_q
from bayesmeta.classical.rows import FloatArray, Rows, effect_rows, moments
from bayesmeta.classical.tau2 import log_likelihood, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.numerics import roots

__all__ = ["GENQ_WEIGHTS", "GenqWeights", "generalised_q_interval", "profile_interval", "tau2_intervals_table"]

GenqWeights = Literal["DL", "root", "HE"]
GENQ_WEIGHTS: tuple[GenqWeights, ...] = get_args(GenqWeights)
Limits = tuple[float, float, float | None]
# the profile likelihood is scanned for its crossings on this many points per decade of tau2
PER_DECADE = 20


@on_effects(weights=GENQ_WEIGHTS)
def generalised_q_interval(
    effects: Effects, *, weights: GenqWeights = "DL", level: float = 0.95
) -> tuple[float, float, float | None]:
    """Estimate and exact confidence limits of tau2 from Q with fixed weights.

    ``Q = sum a (y - mean_a)^2`` is a weighted sum of chi-squared variables whose weights depend on tau2; the limits are
    the tau2 at which the observed Q is its upper and lower ``(1 - level) / 2`` quantile. Exact when within-study
    variances are known and effects are normal.

    Parameters
    ----------
    effects : Effects
        Independent rows.
    weights : {"DL", "root", "HE"}
        ``a`` is 1 / se^2 (Cochran's Q, whose moment estimator is DerSimonian-Laird), 1 / se (Jackson's compromise
        where tau2 may be moderate), or 1 (Hedges-Olkin).
    level : float

    Returns
    -------
    tau2, lower, upper : float
        Upper is None where no tau2 makes so large a Q likely enough.

    Raises
    ------
    ModelError
        With blocks, fewer than two estimates, or other weights.

    References
    ----------
    Biggerstaff & Jackson 2008, doi:10.1002/sim.3428; Jackson 2013, doi:10.1002/jrsm.1081.

    Examples
    --------
    >>> found = generalised_q_interval(effects)  # Q = 55 / 14, df = 3, C = 750 / 7: (Q - df) / C = 0.0087
    >>> [round(value, 4) for value in found[:2]]
    [0.0087, 0.0]
    """
    if effects.blocks:
        raise ModelError("generalised Q is not defined for estimates that share patients (blocks). Use the Q-profile.")
    a = {"DL": effects.se**-2.0, "root": 1.0 / effects.se, "HE": np.ones(effects.k)}[weights]
    # counted in typical variances, so that nothing depends on the unit
    unit = float(np.median(effects.se))
    found = weighted_q(effects.y / unit, effects.se / unit, a / a.sum())
    tail = 0.5 * (1.0 - level)
    lower, upper = found.quantile(tail), found.quantile(1.0 - tail)
    return found.tau2 * unit**2, lower * unit**2, upper * unit**2 if np.isfinite(upper) else None


@on_effects(method=("REML", "ML"))
def profile_interval(
    effects: Effects, *, method: Literal["REML", "ML"] = "REML", level: float = 0.95, rho: float = 0.5
) -> tuple[float, float, float | None]:
    """Estimate and profile-likelihood limits of tau2: twice the log likelihood falls by the chi2(1) quantile.

    Where the set of tau2 so supported has gaps, its outermost limits are given.

    Parameters
    ----------
    effects : Effects
    method : {"REML", "ML"}
        The restricted likelihood, or that with the mean profiled out.
    level, rho : float

    Returns
    -------
    tau2, lower, upper : float
        Upper is None where the likelihood never falls so far.

    Raises
    ------
    ModelError
        With fewer than two estimates or another method.

    References
    ----------
    Hardy & Thompson 1996, doi:10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A; Viechtbauer 2007,
    doi:10.1002/sim.2514.

    Examples
    --------
    >>> [round(value, 3) for value in profile_interval(effects)]
    [0.002, 0.0, 0.32]
    """
    if method not in ("REML", "ML"):
        raise ModelError(f"method = {method!r} has no profile likelihood. Allowed: REML, ML.")
    rows = effect_rows(effects, rho=rho)
    return _profile(rows, method, level)


def _profile(rows: Rows, method: Literal["REML", "ML"], level: float) -> Limits:
    restricted = method == "REML"
    estimate = tau2_of(rows, method).value

    def height(tau2: FloatArray) -> FloatArray:
        return log_likelihood(rows, moments(rows, tau2), restricted=restricted)

    drop = 0.5 * critical(level) ** 2
    floor = float(height(np.array([estimate]))[0]) - drop

    def excess(tau2: FloatArray) -> FloatArray:
        return height(tau2) - floor

    unit = float(np.median(rows.a / rows.b))
    lower = 0.0
    if estimate > 0 and float(excess(np.zeros(1))[0]) < 0:
        grid = np.concatenate([[0.0], np.geomspace(1e-6 * min(unit, estimate), estimate, 40 * PER_DECADE // 4)])
        first = int(np.flatnonzero(excess(grid) >= 0)[0])
        lower = float(roots(excess, grid[first - 1], grid[first], width=1e-14)[0])
    top = 10.0 * max(estimate, unit)
    while float(excess(np.array([top]))[0]) >= 0:
        top *= 10.0
        if top > 1e15 * max(estimate, unit):
            return estimate, lower, None
    grid = np.concatenate([[estimate], np.geomspace(max(estimate, 1e-6 * unit), 10.0 * top, 40 * PER_DECADE)])
    last = int(np.flatnonzero(excess(grid) >= 0)[-1])
    return estimate, lower, float(roots(excess, grid[last], grid[last + 1], width=1e-14)[0])


@on_effects()
def tau2_intervals_table(effects: Effects, *, level: float = 0.95, rho: float = 0.5) -> pd.DataFrame:
    """Every interval of the between-study variance.

    Parameters
    ----------
    effects : Effects
    level : float
    rho : float
        Correlation of the true effects of rows in one block; no effect without blocks.

    Returns
    -------
    pandas.DataFrame
        ``method form tau2 tau2_lower tau2_upper tau_lower tau_upper i2_lower i2_upper note``, one line each for
        Q-profile (with the Paule-Mandel estimate, which it contains), profile likelihood (REML, ML), generalised Q
        (weights DL, root, HE) and Wald (REML, ML; cut off at zero). I2 in percent. A number that is not defined is
        nan, and ``note`` says why.

    Raises
    ------
    ModelError
        If the level is not a probability.

    References
    ----------
    Viechtbauer 2007, doi:10.1002/sim.2514, compares them: Q-profile and generalised Q keep their level, profile
    likelihood nearly, Wald does not.

    Examples
    --------
    >>> table = tau2_intervals_table(effects)
    >>> table[["method", "form", "tau2_lower"]].round(3).values.tolist()[:2]
    [['Q-profile', 'PM', 0.0], ['profile likelihood', 'REML', 0.0]]
    """
    rows = effect_rows(effects, rho=rho)

    def q_profile_limits() -> tuple[Limits, str]:
        found = q_profile_of(rows, level)
        return (tau2_of(rows, "PM").value, *found.tau2), "; ".join(found.notes)

    def wald(method: Literal["REML", "ML"]) -> tuple[Limits, str]:
        found = tau2_of(rows, method)
        if found.se is None:
            raise ModelError("; ".join(found.notes))
        half = critical(level) * found.se
        cut = "the lower limit is cut off at 0" if found.value < half else ""
        return (found.value, max(0.0, found.value - half), found.value + half), cut

    def genq(weights: GenqWeights) -> tuple[Limits, str]:
        limits = generalised_q_interval(effects, weights=weights, level=level)
        empty = "Q is so small that the interval is empty and reported as [0, 0]" if limits[2] == 0.0 else ""
        return limits, empty

    makers: list[tuple[str, str, Callable[[], tuple[Limits, str]]]] = [
        ("Q-profile", "PM", q_profile_limits),
        ("profile likelihood", "REML", lambda: (_profile(rows, "REML", level), "")),
        ("profile likelihood", "ML", lambda: (_profile(rows, "ML", level), "")),
        ("generalised Q", "DL", lambda: genq("DL")),
        ("generalised Q", "root", lambda: genq("root")),
        ("generalised Q", "HE", lambda: genq("HE")),
        ("Wald", "REML", lambda: wald("REML")),
        ("Wald", "ML", lambda: wald("ML")),
    ]
    typical = heterogeneity_of(rows).s2_typical
    lines = []
    for method, form, make in makers:
        note = ""
        limits: Limits = (np.nan, np.nan, np.nan)
        try:
            limits, note = make()
        except (ModelError, InferenceError) as error:
            note = str(error)
        estimate, lower, upper = limits
        if upper is None:
            upper = np.nan
            note = note or "no upper limit: no tau2 is too large for these data at this level"
        i2 = [np.nan if typical is None else 100.0 * value / (value + typical) for value in (lower, upper)]
        lines.append(
            {
                "method": method,
                "form": form,
                "tau2": estimate,
                "tau2_lower": lower,
                "tau2_upper": upper,
                "tau_lower": lower**0.5,
                "tau_upper": upper**0.5,
                "i2_lower": i2[0],
                "i2_upper": i2[1],
                "note": note,
            }
        )
    return pd.DataFrame(lines)
