"""Normal likelihood of rows whose study effects have the SD of their level; functions of arrays.

``y ~ N(X beta, S + T R T)``, T diagonal with the tau of each row's level. Rows of a block in one level are rotated as
with one tau (`likelihood.rotate`). A block with rows of several levels has no basis in which it is diagonal for all
taus at once: it is factored at every node, which costs little, since blocks are a few rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.exact.likelihood import ConditionalMoments, Reduced, Rotation, factor, near_estimate, rotate, square
from bayesmeta.model import Design, Model, effect_correlations, levels_of
from bayesmeta.priors import Prior, resolve

__all__ = ["SpreadLayout", "layout", "left_out", "reduce_rows", "rotation", "study_moments", "weigh_rows"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class SpreadLayout:
    """Which tau is whose.

    Attributes
    ----------
    moderator : str
    priors : mapping of str to Prior
        Of the tau of each level, in the order of their axes.
    number : array of int of shape (k,)
        Level of each row.
    mixed : tuple of (rows, covariance)
        Blocks with rows of several levels, which are not rotated.
    rho : float
    """

    moderator: str
    priors: dict[str, Prior]
    number: IntArray
    mixed: tuple[tuple[IntArray, FloatArray], ...]
    rho: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the taus."""
        return tuple(f"tau[{level}]" for level in self.priors)

    def spaces(self, rows: Rotation) -> list[tuple[int, ...]]:
        """Rows that each tau moves; one of a block whose rows share one true effect, which is on the safe side."""
        moves = rows.b > 0
        if self.rho == 1:
            for block, _ in self.mixed:
                moves[block] = False
                moves[block[np.unique(self.number[block], return_index=True)[1]]] = True
        return [tuple(np.flatnonzero((self.number == level) & moves).tolist()) for level in range(len(self.priors))]

    def covariance(self, rows: IntArray, taus: FloatArray) -> FloatArray:
        """Covariance of the study effects of some rows of one block at each node, shape (m, m, N)."""
        tau = np.minimum(taus, 1e140)[self.number[rows]]
        shared = np.full((rows.size, rows.size), self.rho)
        np.fill_diagonal(shared, 1.0)
        return shared[:, :, None] * tau[:, None] * tau


def rotation(effects: Effects, model: Model) -> Rotation:
    """The basis in which the rows of blocks within one level are independent.

    Raises
    ------
    ModelError
        Where rows of one block have another correlation than rho, because of the roles of their arms.
    """
    assert model.tau_by is not None
    for (members, _), R in zip(effects.blocks, effect_correlations(effects, model.rho), strict=True):
        if not np.array_equal(R + (1 - R) * np.eye(members.size), model.rho + (1 - model.rho) * np.eye(members.size)):
            names = ", ".join(effects.label[row] for row in members)
            raise ModelError(
                f"{names}: arms of this trial have opposite roles, or none in common, and a tau by level has one rho "
                "for all rows of a block. Keep comparisons with one control arm, or leave tau_by out."
            )
    values = np.array([str(value) for value in effects.moderators[model.tau_by.moderator]])
    alike = [(rows, S) for rows, S in effects.blocks if np.unique(values[rows]).size == 1]
    return rotate(effects.se, alike, model.rho)


def layout(effects: Effects, model: Model, design: Design) -> SpreadLayout:
    """Find the level of every row."""
    assert model.tau_by is not None
    priors, number = levels_of(design, model, effects)
    mixed = tuple((rows, S) for rows, S in effects.blocks if np.unique(number[rows]).size > 1)
    resolved = {level: resolve(prior) for level, prior in priors.items()}
    return SpreadLayout(model.tau_by.moderator, resolved, number, mixed, model.rho)


def _whitened(
    taus: FloatArray, columns: FloatArray, rows: Rotation, spread: SpreadLayout
) -> tuple[FloatArray, FloatArray]:
    """Columns (k, c) with independent errors of SD one at each node, shape (k, c, N), and ``log det V``, (N,)."""
    variance = rows.a[:, None] + square(taus)[spread.number] * rows.b[:, None]
    white = columns[:, :, None] / np.sqrt(variance)[:, None]
    logdet = np.log(variance)
    for members, S in spread.mixed:
        # T R T = (1 - rho) T T + rho t t': what all share is taken out after the rest, so that no digit is lost where
        # tau is large
        tau = np.minimum(taus, 1e140)[spread.number[members]]
        own = np.square(tau) * np.eye(members.size)[:, :, None]
        inverse, total = factor(S[:, :, None] + (1 - spread.rho) * own)
        half = np.einsum("ijn,jc->icn", inverse, columns[members])
        common = np.sqrt(spread.rho) * np.einsum("ijn,jn->in", inverse, tau)
        size = np.square(common).sum(axis=0)
        root = np.sqrt(1 + size)
        white[members] = half - (common / (root * (1 + root)))[:, None] * np.einsum("in,icn->cn", common, half)
        logdet[members] = (total + np.log1p(size)) / members.size
    return white, logdet.sum(axis=0) + rows.logdet


def reduce_rows(taus: FloatArray, y: FloatArray, X: FloatArray, rows: Rotation, spread: SpreadLayout) -> Reduced:
    """Integrate study effects out at each setting of the taus.

    Parameters
    ----------
    taus : array of shape (L, M)
    y, X : arrays of shape (k,) and (k, p), rotated
    """
    white, logdet = _whitened(taus, np.column_stack([X, y]), rows, spread)
    Z, w = white[:, :-1], white[:, -1]
    A, right = np.einsum("kin,kjn->ijn", Z, Z), np.einsum("kin,kn->in", Z, w)
    centre = near_estimate(A, right)
    residual = w - np.einsum("kin,in->kn", Z, centre)
    score = np.einsum("kin,kn->in", Z, residual)
    return Reduced(A, right, centre, score, np.square(residual).sum(axis=0), logdet, y.size)


def study_moments(
    taus: FloatArray,
    y: FloatArray,
    X: FloatArray,
    rows: Rotation,
    spread: SpreadLayout,
    conditional: ConditionalMoments,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Study effects at each node: mean, variance and their dependence on the coefficients.

    With C the covariance of the effects, ``theta | beta ~ N(X beta + B (y - X beta), B S)``, ``B = C (S + C)**-1``.

    Returns
    -------
    mean, variance : arrays of shape (k, N)
    slope : array of shape (k, p, N)
        ``theta = const + slope @ beta + noise``.
    """
    moved = square(taus)[spread.number] * rows.b[:, None]
    share = moved / (rows.a[:, None] + moved)
    noise = share * rows.a[:, None]
    slope = (1.0 - share)[:, None, :] * X[:, :, None]
    mean = share * y[:, None]
    for members, S in spread.mixed:
        # S (S + C)**-1 at every node, whose complement is B
        keep = np.linalg.solve(S + np.moveaxis(spread.covariance(members, taus), -1, 0), S).transpose(0, 2, 1)
        B = np.eye(members.size) - keep
        noise[members] = np.einsum("nij,ji->in", B, S)
        slope[members] = np.einsum("nij,jp->ipn", keep, X[members])
        mean[members] = np.einsum("nij,j->in", B, y[members])
    mean = mean + np.einsum("kpn,pn->kn", slope, conditional.mean)
    for members, _, backward in rows.blocks:
        noise[members] = np.square(backward) @ noise[members]
        mean[members] = backward @ mean[members]
        slope[members] = np.einsum("ij,jpn->ipn", backward, slope[members])
    variance = noise + np.einsum("kpn,pqn,kqn->kn", slope, conditional.cov, slope)
    return mean, variance, slope


def weigh_rows(columns: FloatArray, taus: FloatArray, rows: Rotation, spread: SpreadLayout) -> FloatArray:
    """``V**-1 columns`` at each node, for rotated columns of shape (k, N)."""
    weighed = columns / (rows.a[:, None] + square(taus)[spread.number] * rows.b[:, None])
    for members, S in spread.mixed:
        V = S + np.moveaxis(spread.covariance(members, taus), -1, 0)
        weighed[members] = np.linalg.solve(V, columns[members].T[:, :, None])[:, :, 0].T
    return weighed


def left_out(spread: SpreadLayout, left: Effects, taus: FloatArray, shared: FloatArray) -> FloatArray:
    """Covariance of the study effects of rows that were not fitted, shape (m, m, N), from their correlations."""
    levels = list(spread.priors)
    tau = taus[[levels.index(str(value)) for value in left.moderators[spread.moderator]]]
    return shared[:, :, None] * tau[:, None] * tau
