"""The sign-flip test of a zero mean effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.intervals import CiMethod, check_ci
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.refits import intervals_of, refit
from bayesmeta.classical.rows import FloatArray, Rows, effect_rows
from bayesmeta.classical.tau2 import Tau2Method, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = ["PermutationTest", "permutation_test"]

# all sign patterns are tried up to this many trials ("auto")
EXACT_UP_TO = 16
# statistics closer than this are ties (metafor's control value comptol)
TIES = float(np.finfo(float).eps ** 0.5)


@dataclass(frozen=True, slots=True, repr=False)
class PermutationTest(ClassicalResult):
    """A sign-flip test. Undefined numbers are None, and `notes` says why.

    Attributes
    ----------
    method, ci : str
    stat : float
        Observed z or t.
    p : float
        Share of sign patterns with a statistic as far from zero, the observed pattern included; two-sided.
    number : int
        Sign patterns: 2^n where exact, else those drawn and the observed one.
    exact : bool
    seed : int or None
        Of the draws; None where exact.
    smallest : float
        The smallest p that so many patterns allow.
    notes : tuple of str
    """

    method: Tau2Method
    ci: CiMethod
    stat: float
    p: float
    number: int
    exact: bool
    seed: int | None
    smallest: float
    notes: tuple[str, ...] = ()


@on_effects()
def permutation_test(
    effects: Effects,
    *,
    method: Tau2Method = "REML",
    ci: CiMethod = "wald",
    exact: bool | Literal["auto"] = "auto",
    draws: int = 5000,
    seed: int = 1,
    rho: float = 0.5,
) -> PermutationTest:
    """Test a zero mean effect by flipping the signs of the estimates.

    If true effects are symmetric about zero, every pattern of signs is as likely. tau2 is estimated again for each
    pattern. Rows that share patients, and rows of one trial, flip together.

    Parameters
    ----------
    effects : Effects
    method, ci, rho
        As in `pool`; they say which statistic is compared.
    exact : bool or "auto"
        All 2^n patterns of n trials, or `draws` random ones besides the observed; "auto" is exact up to 16 trials.
    draws, seed : int
        Used only where patterns are drawn.

    Returns
    -------
    PermutationTest

    Raises
    ------
    ModelError
        With fewer than two trials, an exact test of more than 22, or an option that `pool` refuses.

    References
    ----------
    Follmann & Proschan 1999, doi:10.1111/j.0006-341X.1999.00732.x; Higgins & Thompson 2004, doi:10.1002/sim.1752.
    Agrees with ``permutest`` of R metafor.

    Examples
    --------
    >>> trials = bm.Effects(study=list("ABCDEF"), y=[0.1, 0.3, 0.4, 0.9, 0.2, 0.5], se=[0.2] * 6, measure="SMD")
    >>> test = permutation_test(trials)
    >>> test.p, test.number, test.exact
    (0.03125, 64, True)
    """
    names, unit = effects.units
    n = len(names)
    if n < 2:
        raise ModelError(f"a permutation test needs at least two trials; there is {n} ({names[0]}).")
    if exact not in (True, False, "auto"):
        raise ModelError(f'exact = {exact!r}. Allowed: True, False, "auto".')
    if draws < 1:
        raise ModelError(f"draws = {draws}: at least 1.")
    whole = exact is True or (exact == "auto" and n <= EXACT_UP_TO)
    if whole and n > 22:
        raise ModelError(f"an exact test of {n} trials has 2^{n} patterns. Use exact=False, which draws some.")
    rows = effect_rows(effects, rho=rho)
    check_ci(ci, rows.units, 1, dependent=bool(rows.blocks))
    tau2_of(rows, method)
    units = n if effects.blocks else effects.k
    if whole:
        # a pattern and its mirror image have the same absolute statistic: the first trial keeps its sign
        numbers = np.arange(2 ** (n - 1))
        signs = 1.0 - 2.0 * np.concatenate(
            [np.zeros((len(numbers), 1)), (numbers[:, None] >> np.arange(n - 1)) & 1], axis=1
        )
        number = 2**n
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, (draws, n))
        signs = 1.0 - 2.0 * np.concatenate([np.zeros((1, n)), drawn])
        number = draws + 1
    stats = _statistics(rows, signs[:, unit], method, ci, units)
    observed = float(stats[0])
    notes: tuple[str, ...] = ()
    failed = int(np.isnan(stats).sum())
    if failed:
        notes = (f"{failed} of {len(stats)} patterns have no statistic and were left out",)
        stats = stats[~np.isnan(stats)]
    if np.isnan(observed):
        raise ModelError(f"{ci}: the statistic of these data is not defined.")
    if np.isinf(observed):
        notes += (f"{ci}: all estimates are equal, so the statistic is infinite",)
    p = float((np.abs(stats) >= abs(observed) - TIES).mean())
    smallest = 2.0 ** (1 - n) if whole else 1.0 / number
    if whole and smallest > 0.05:
        notes += (f"with {n} trials p cannot be below {smallest:g}",)
    return PermutationTest(method, ci, observed, p, number, whole, None if whole else seed, smallest, notes)


def _statistics(rows: Rows, signs: FloatArray, method: Tau2Method, ci: CiMethod, units: int) -> FloatArray:
    """Z or t of each pattern; infinite where the SE is zero."""
    fit = rows.Z @ (rows.triangle @ rows.start)
    raw = rows.y + fit
    member = np.ones(signs.shape, bool)
    # signs are constant within a block, so that they commute with the rotation
    found = refit(rows, member, method, signs * raw)
    se = intervals_of(found, ci, 0.95, np.full(len(signs), units))[0]
    estimate = found.estimate[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(se > 0, estimate / se, np.where(estimate == 0, np.nan, np.sign(estimate) * np.inf))
