"""How true effects of one trial's rows depend on each other: R of ``theta ~ N(X beta, tau**2 R)``, for every engine."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = ["arm_role", "effect_correlations", "effect_links", "refuse_opposite_roles"]

FloatArray = NDArray[np.float64]
# an eigenvalue of R above this is rounding: rho = 1, and a loop of arms at one half, leave a singular matrix
_ROUNDING = -1e-10


def arm_role(one: tuple[str, str], two: tuple[str, str]) -> int:
    """How two comparisons of one trial share an arm: 1 in the same role, -1 in opposite roles, 0 not at all.

    Examples
    --------
    >>> arm_role(("A", "C"), ("B", "C")), arm_role(("A", "C"), ("C", "B")), arm_role(("A", "C"), ("B", "D"))
    (1, -1, 0)
    """
    if one[0] == two[0] or one[1] == two[1]:
        return 1
    return -1 if one[0] == two[1] or one[1] == two[0] else 0


def effect_correlations(effects: Effects, rho: float) -> tuple[FloatArray, ...]:
    """Correlations of true effects in every block of rows.

    In a trial whose arms have effects of one variance, two comparisons have the correlation 1/2 where they share an arm
    in the same role, -1/2 where it is treated in one and control in the other, and 0 where no arm is common (Higgins &
    Whitehead 1996). ``rho`` stands for that half. It links any other rows of a block too: those whose arms are not
    named, those of different trials, and those that share patients by their sampling covariance alone.

    Parameters
    ----------
    effects : Effects
    rho : float
        From 0 to 1.

    Returns
    -------
    tuple of arrays of shape (rows, rows)
        One per block, in the order of the blocks.

    Raises
    ------
    ModelError
        Where no effects can have these correlations: arms in a loop with ``rho`` above one half.

    References
    ----------
    Higgins JPT, Whitehead A. Stat Med 1996;15:2733-2749.
    doi:10.1002/(SICI)1097-0258(19961230)15:24<2733::AID-SIM562>3.0.CO;2-0

    Examples
    --------
    >>> trial = bm.Effects(["T", "T"], [0.3, 0.2], [0.1, 0.1], measure="MD", arms=[("A", "C"), ("C", "B")],
    ...                    blocks=[([0, 1], [[0.01, -0.005], [-0.005, 0.01]])])
    >>> effect_correlations(trial, 0.5)[0].tolist()
    [[1.0, -0.5], [-0.5, 1.0]]
    """
    return tuple(
        _checked(effects, rows, np.eye(rows.size) + rho * links, rho)
        for (rows, _), links in zip(effects.blocks, effect_links(effects), strict=True)
    )


def effect_links(effects: Effects) -> tuple[FloatArray, ...]:
    """What ``rho`` is multiplied by between the true effects of a block's rows: 1, 0 or -1, and 0 on the diagonal.

    Examples
    --------
    >>> trial = bm.Effects(["T", "T"], [0.3, 0.2], [0.1, 0.1], measure="MD", arms=[("A", "C"), ("C", "B")],
    ...                    blocks=[([0, 1], [[0.01, -0.005], [-0.005, 0.01]])])
    >>> effect_links(trial)[0].tolist()
    [[0.0, -1.0], [-1.0, 0.0]]
    """
    if effects.links is not None:
        return effects.links
    return tuple(_of_block(effects, rows, covariance) for rows, covariance in effects.blocks)


def _of_block(effects: Effects, rows: NDArray[np.intp], covariance: FloatArray) -> FloatArray:
    links = 1.0 - np.eye(rows.size)
    arms, study = effects.arms, effects.study
    if arms is None:
        return links
    for i, j in combinations(range(rows.size), 2):
        one, two = int(rows[i]), int(rows[j])
        if study[one] == study[two]:
            links[i, j] = links[j, i] = arm_role(arms[one], arms[two]) or float(covariance[i, j] != 0)
    return links


def _checked(effects: Effects, rows: NDArray[np.intp], R: FloatArray, rho: float) -> FloatArray:
    arms, study = effects.arms, effects.study
    if arms is not None and np.linalg.eigvalsh(R).min() < _ROUNDING:
        names = ", ".join(f"{study[row]} ({arms[row][0]} v {arms[row][1]})" for row in rows)
        # R is 1 + rho times a matrix of signs
        most = -rho / float(np.linalg.eigvalsh(R - np.eye(rows.size)).min())
        raise ModelError(
            f"rho = {rho:g} cannot hold between the true effects of {names}: with {rho:g} where an arm has the same "
            f"role in two rows and {-rho:g} where its roles are opposite, R is not positive definite, because the arms "
            f"form a loop or a chain. Use rho up to {most:.3g}, or leave out a row."
        )
    return R


def refuse_opposite_roles(effects: Effects, why: str) -> None:
    """Refuse rows of one trial in which an arm is treated in one and control in the other.

    Parameters
    ----------
    effects : Effects
    why : str
        What the model would make of them.

    Raises
    ------
    ModelError
        Naming the first two such rows.

    Examples
    --------
    >>> refuse_opposite_roles(effects, "the model has no place for them")
    """
    if effects.arms is None or effects.n_trials == effects.k:
        return
    rows_of: dict[str, list[int]] = {}
    for row, study in enumerate(effects.study):
        rows_of.setdefault(study, []).append(row)
    for rows in rows_of.values():
        for i, j in combinations(rows, 2):
            if arm_role(effects.arms[i], effects.arms[j]) < 0:
                names = " and ".join(f"{' v '.join(effects.arms[row])}" for row in (i, j))
                raise ModelError(
                    f"{effects.study[i]}, {names}: an arm is treated in one row and control in the other, and {why}. "
                    "Keep comparisons with one control arm."
                )
