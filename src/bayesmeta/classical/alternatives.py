"""Estimators of the mean effect beside inverse-variance pooling: Henmi-Copas, IVhet and Kenward-Roger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.intervals import critical, interval
from bayesmeta.classical.printing import MeanResult
from bayesmeta.classical.rows import FloatArray, effect_rows, moments, rows_of
from bayesmeta.classical.tau2 import tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.numerics import roots

__all__ = ["Alternative", "KrDf", "alternatives_table", "henmi_copas", "ivhet", "kenward_roger"]

KrDf = Literal["partlett_riley", "kenward_roger"]
KR_DF: tuple[KrDf, ...] = get_args(KrDf)
# standard deviations of R beyond which nothing is integrated: the normal tail is below 1e-30
FAR = 12.0
# Gauss-Legendre nodes per panel, and panels over the range, denser where the gamma probability rises
PANEL = 20
EDGES = np.concatenate([np.linspace(0.0, 1.0, 17)[:-1], np.linspace(1.0, 4.0, 13)[:-1], np.linspace(4.0, 60.0, 57)])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Alternative(MeanResult):
    """A mean effect with its interval. Undefined numbers are None, and `notes` says why.

    Beside what a `MeanResult` has; `stat` and `p` are None where the method defines an interval alone.

    Attributes
    ----------
    method : str
    tau2 : float
    pi_lower, pi_upper : float or None
        Prediction interval for the true effect in a new trial, where the method has one.
    pi_df : float or None
        Its degrees of freedom.
    """

    method: str
    tau2: float
    pi_lower: float | None = None
    pi_upper: float | None = None
    pi_df: float | None = None


def _independent(effects: Effects, method: str) -> None:
    if effects.blocks:
        raise ModelError(f"{method} is not defined for estimates that share patients (blocks). Use pool or CR2.")
    if effects.k < 2:
        raise ModelError(f"{method} needs at least two estimates; there is {effects.k} ({effects.label[0]}).")


def _common_effect(effects: Effects) -> tuple[FloatArray, float, float]:
    """Inverse-variance weights that sum to 1, the common-effect estimate, and DerSimonian-Laird's tau2."""
    rows = rows_of(effects.y, effects.se)
    weight = effects.se**-2.0
    weight = weight / weight.sum()
    at0 = moments(rows, [0.0])
    estimate = float(rows.start[0] + at0.gamma[0, 0] / rows.triangle[0, 0])
    return weight, estimate, tau2_of(rows, "DL").value


@on_effects()
def henmi_copas(effects: Effects, *, level: float = 0.95) -> Alternative:
    """Common-effect estimate with a confidence interval that allows for heterogeneity and small-study bias.

    The weights of the common-effect model give large trials more, and so publication bias less, than random-effects
    weights do. The interval is ``estimate +- u se`` with the DerSimonian-Laird tau2 in the variance, and `u` from the
    distribution of the pivot, in which Q given the estimate is approximated by a gamma distribution.

    Parameters
    ----------
    effects : Effects
        Independent rows.
    level : float

    Returns
    -------
    Alternative
        ``stat``, ``p`` and ``df`` are None: the method gives an interval.

    Raises
    ------
    ModelError
        With blocks or fewer than two estimates.

    References
    ----------
    Henmi & Copas 2010, doi:10.1002/sim.4029. Agrees with ``hc`` of R metafor.

    Examples
    --------
    >>> found = henmi_copas(effects)  # the common effect, -1 / 7, whose error knows of tau
    >>> round(7 * found.estimate, 12), round(found.se, 4)
    (-1.0, 0.0953)
    """
    _independent(effects, "Henmi-Copas")
    share, estimate, tau2 = _common_effect(effects)
    # in units in which the weights sum to 1: w = share * total
    total = float((effects.se**-2.0).sum())
    w1 = 1.0
    w2, w3, w4 = (float((share**power).sum()) for power in (2, 3, 4))
    t = tau2 * total
    k = effects.k
    variance = 1.0 + t * w2
    sd = variance**0.5

    def given(r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of Q given the standardised estimate r."""
        r2 = r * r
        mean = (k - 1) + t * (w1 - w2) + t**2 * (r2 / variance**2 - 1.0 / variance) * (w3 - w2**2)
        spread = (
            2.0 * (k - 1)
            + 4.0 * t * (w1 - w2)
            + 2.0 * t**2 * (w1 * w2 - 2.0 * w3 + w2**2)
            + 4.0 * t**2 * (r2 / variance**2 - 1.0 / variance) * (w3 - w2**2)
            + 4.0 * t**3 * (r2 / variance**2 - 1.0 / variance) * (w4 - 2.0 * w2 * w3 + w2**3)
            + 2.0 * t**4 * (1.0 / variance**2 - 2.0 * r2 / variance**3) * (w3 - w2**2) ** 2
        )
        return mean, spread

    nodes, weights = np.polynomial.legendre.leggauss(PANEL)

    def excess(points: FloatArray) -> FloatArray:
        x = float(points[0])
        edges = x + EDGES[x + EDGES < x + FAR]
        half = 0.5 * np.diff(edges)[:, None]
        r = edges[:-1, None] + half * (1.0 + nodes)
        mean, spread = given(sd * r)
        f = (w1 / w2 - 1.0) * ((r / x) ** 2 - 1.0) + (k - 1)
        below = special.gammainc(mean**2 / spread, np.maximum(f, 0.0) * mean / spread)
        density = np.exp(-0.5 * r * r) / (2.0 * np.pi) ** 0.5
        return np.array([(below * density * half * weights).sum() - 0.5 * (1.0 - level)])

    # at x -> 0 the integral is 1/2; at twice the normal quantile it is far below the target
    low = 1e-3 if excess(np.array([1e-3]))[0] > 0 else 1e-9
    wide = float(roots(excess, low, 2.0 * critical(level) + 1.0, width=1e-14)[0])
    se = (variance / total) ** 0.5
    half_width = sd * wide * se
    return Alternative(
        method="Henmi-Copas",
        level=level,
        k=k,
        estimate=estimate,
        se=se,
        lower=estimate - half_width,
        upper=estimate + half_width,
        tau2=tau2,
        notes=("Henmi-Copas: an interval without a test; its half-width is not a multiple of a t or normal quantile",),
    )


@on_effects()
def ivhet(effects: Effects, *, level: float = 0.95) -> Alternative:
    """Inverse-variance heterogeneity model: common-effect weights, variance with DerSimonian-Laird's tau2.

    ``var = sum (w_i / sum w)^2 (se_i^2 + tau2)``.

    Parameters
    ----------
    effects : Effects
        Independent rows.
    level : float

    Returns
    -------
    Alternative

    Raises
    ------
    ModelError
        With blocks or fewer than two estimates.

    References
    ----------
    Doi et al. 2015, doi:10.1016/j.cct.2015.05.009.

    Examples
    --------
    >>> found = ivhet(effects)  # the common effect, -1 / 7
    >>> round((found.lower + found.upper) / 2, 4), round(found.se, 4)
    (-0.1429, 0.0953)
    """
    _independent(effects, "IVhet")
    share, estimate, tau2 = _common_effect(effects)
    se = float(share**2 @ (effects.se**2 + tau2)) ** 0.5
    return Alternative(
        method="IVhet",
        level=level,
        k=effects.k,
        estimate=estimate,
        se=se,
        **interval(estimate, se, level, None)._asdict(),
        tau2=tau2,
    )


@on_effects(df=KR_DF)
def kenward_roger(
    effects: Effects, *, df: KrDf = "partlett_riley", level: float = 0.95, rho: float = 0.5
) -> Alternative:
    r"""REML mean with Kenward and Roger's standard error and degrees of freedom.

    With W at the REML tau2, s_j = sum over rows of w^j, and the expected information of tau2
    ``I = (s2 - 2 s3/s1 + (s2/s1)^2) / 2``:

    - ``se^2 = (1 + 2 (s3/s1 - (s2/s1)^2) / I) / s1``, which adds what estimating tau2 costs;
    - df: ``2 I / (v s2)^2`` with v = se^2 as R meta and pimeta compute it after Partlett & Riley ("partlett_riley"), or
      with v = 1/s1 as in the paper of Kenward & Roger, where a single mean has lambda = 1 ("kenward_roger"). The first
      never has more degrees of freedom.

    The prediction interval has one degree of freedom less. With blocks the sums are ``1'W(RW)^(j-1)1``.

    Parameters
    ----------
    effects : Effects
    df : {"partlett_riley", "kenward_roger"}
    level : float
    rho : float
        Correlation of the true effects of rows in one block.

    Returns
    -------
    Alternative

    Raises
    ------
    ModelError
        With fewer than two estimates, or another `df`.

    References
    ----------
    Kenward & Roger 1997, doi:10.2307/2533558; Partlett & Riley 2017, doi:10.1002/sim.7140.

    Examples
    --------
    >>> trials = bm.Effects(study=list("ABCD"), y=[0.1, 0.3, 0.4, 0.9], se=[0.15, 0.15, 0.15, 0.15], measure="SMD")
    >>> fit = kenward_roger(trials)  # equal standard errors: the t test of a mean
    >>> round(fit.df, 9), round(fit.se, 6) == round(np.std([0.1, 0.3, 0.4, 0.9], ddof=1) / 2, 6)
    (3.0, np.True_)
    """
    if effects.k < 2:
        raise ModelError(f"Kenward-Roger needs at least two estimates; there is {effects.k} ({effects.label[0]}).")
    rows = effect_rows(effects, rho=rho)
    tau2 = tau2_of(rows, "REML").value
    at = moments(rows, [tau2])
    scale = 1.0 / float(rows.triangle[0, 0])
    estimate = float(rows.start[0]) + float(at.gamma[0, 0]) * scale
    w = 1.0 / (rows.a + tau2 * rows.b)
    z2 = (rows.Z[:, 0] / scale) ** 2
    s1, s2, s3 = (float(z2 @ (w * (rows.b * w) ** power)) for power in (0, 1, 2))
    information = 0.5 * float(at.trprpr[0])
    classic = 1.0 / s1
    # rounding may leave less than nothing where all rows weigh the same
    added = max(0.0, s3 / s1 - (s2 / s1) ** 2)
    variance = (1.0 + 2.0 * added / information) * classic
    used = variance if df == "partlett_riley" else classic
    degrees = 2.0 * information / (used * s2) ** 2
    se = variance**0.5
    notes: tuple[str, ...] = ()
    pi: tuple[float, float] | None = None
    if degrees > 1.0:
        reach = critical(level, degrees - 1.0) * (tau2 + variance) ** 0.5
        pi = (estimate - reach, estimate + reach)
    else:
        notes = (f"Kenward-Roger: {degrees:.3g} degrees of freedom leave none for a prediction interval",)
    if degrees < 1.0:
        notes += (f"Kenward-Roger: {degrees:.3g} degrees of freedom; the interval is too wide to be of use",)
    return Alternative(
        method="Kenward-Roger",
        level=level,
        k=effects.k,
        estimate=estimate,
        se=se,
        **interval(estimate, se, level, degrees)._asdict(),
        tau2=tau2,
        pi_lower=None if pi is None else pi[0],
        pi_upper=None if pi is None else pi[1],
        pi_df=degrees - 1.0 if degrees > 1.0 else None,
        notes=notes,
    )


@on_effects()
def alternatives_table(effects: Effects, *, level: float = 0.95, rho: float = 0.5) -> pd.DataFrame:
    """Henmi-Copas, IVhet and Kenward-Roger (with both degrees of freedom) side by side.

    Parameters
    ----------
    effects : Effects
    level : float
    rho : float
        Correlation of the true effects of rows in one block.

    Returns
    -------
    pandas.DataFrame
        ``method estimate se lower upper df p tau2 pi_lower pi_upper note``. A number that a method does not have is
        nan, and ``note`` says why.

    Raises
    ------
    ModelError
        If the level is not a probability.

    Examples
    --------
    >>> alternatives_table(effects)[["method", "estimate"]].round(4).values.tolist()[:2]
    [['Henmi-Copas', -0.1429], ['IVhet', -0.1429]]
    """
    makers: list[tuple[str, Callable[[], Alternative]]] = [
        ("Henmi-Copas", lambda: henmi_copas(effects, level=level)),
        ("IVhet", lambda: ivhet(effects, level=level)),
        ("Kenward-Roger (df of Partlett-Riley)", lambda: kenward_roger(effects, level=level, rho=rho)),
        ("Kenward-Roger", lambda: kenward_roger(effects, df="kenward_roger", level=level, rho=rho)),
    ]
    numbers = ("estimate", "se", "lower", "upper", "df", "p", "tau2", "pi_lower", "pi_upper")
    lines = []
    for name, make in makers:
        line: dict[str, object] = {"method": name, **dict.fromkeys(numbers, np.nan)}
        try:
            found = make()
        except (ModelError, InferenceError) as error:
            lines.append({**line, "note": str(error)})
            continue
        for number in numbers:
            value = getattr(found, number)
            line[number] = np.nan if value is None else value
        notes = list(found.notes)
        if found.df is None and found.p is not None:
            notes.append(f"{name}: normal, without degrees of freedom and without a prediction interval")
        lines.append({**line, "note": "; ".join(notes)})
    return pd.DataFrame(lines)
