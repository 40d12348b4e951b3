"""Pairs of estimates that share patients: their covariance given tau, and chances of two p values together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.marginals import both_positive
from bayesmeta.model import effect_correlations

__all__ = ["ALONE", "Pairs", "log_determinant", "pair_probabilities", "pairs_of", "precision_times", "shrink"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of rows that depend on each other.

    Attributes
    ----------
    first, second : arrays of int of shape (m,)
        Their rows.
    sampling : array of shape (m,)
        Sampling covariance.
    link : array of shape (m,)
        Correlation of the true effects.
    """

    first: IntArray
    second: IntArray
    sampling: FloatArray
    link: FloatArray

    def covariance(self, tau: FloatArray) -> FloatArray:
        """Covariance of the estimates around their mean at each tau, shape (T, m)."""
        return np.asarray(self.sampling + self.link * tau[:, None] ** 2)

    def partner(self, row: int) -> tuple[int, float, float] | None:
        """The other row of a pair with sampling covariance and correlation of true effects; None of a row alone."""
        for i, (a, b) in enumerate(zip(self.first.tolist(), self.second.tolist(), strict=True)):
            if row in (a, b):
                return b if row == a else a, float(self.sampling[i]), float(self.link[i])
        return None


#: No row shares patients with another.
ALONE = Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.empty(0))


def pairs_of(effects: Effects, rho: float) -> Pairs:
    """Pairs of effects in blocks of two.

    Parameters
    ----------
    rho : float
        Correlation of true effects of rows that share an arm, as of `bayesmeta.Model`.

    Raises
    ------
    ModelError
        For rows in clusters, larger blocks, and rows of one trial without a covariance.
    """
    advice = "Choose one or two rows per trial, or combine the rows of a trial first."
    if effects.cluster is not None:
        raise ModelError(
            f"publication bias: rows in clusters have effects of their own, which selection lacks. {advice}"
        )
    larger = [int(rows.size) for rows, _ in effects.blocks if rows.size > 2]
    if larger:
        raise ModelError(
            f"publication bias: {max(larger)} rows share patients, and chances of selection are exact for two. {advice}"
        )
    linked = {int(row) for rows, _ in effects.blocks for row in rows}
    free = [study for row, study in enumerate(effects.study) if row not in linked]
    if len(set(free)) < len(free):
        raise ModelError(
            "publication bias: several rows of one trial are given as independent, and two results of one trial depend "
            f"on each other. Give their covariance. {advice}"
        )
    R = effect_correlations(effects, rho)
    return Pairs(
        np.array([rows[0] for rows, _ in effects.blocks], np.intp),
        np.array([rows[1] for rows, _ in effects.blocks], np.intp),
        np.array([block[0, 1] for _, block in effects.blocks], float),
        np.array([item[0, 1] for item in R], float),
    )


def precision_times(se: FloatArray, pairs: Pairs, tau: FloatArray, A: FloatArray) -> FloatArray:
    """Product of the inverse covariance of the estimates with columns.

    Parameters
    ----------
    se : array of shape (k,)
    tau : array of shape (T,)
    A : array of shape (k, q) or (T, k, q)

    Returns
    -------
    array of shape (T, k, q)
    """
    variance = se**2 + tau[:, None] ** 2
    A = np.broadcast_to(A, (tau.size, se.size, A.shape[-1]))
    found = A / variance[:, :, None]
    if pairs.first.size:
        i, j, both = pairs.first, pairs.second, pairs.covariance(tau)[:, :, None]
        vi, vj = variance[:, i, None], variance[:, j, None]
        scale = vi * vj - both**2
        found[:, i] = (vj * A[:, i] - both * A[:, j]) / scale
        found[:, j] = (vi * A[:, j] - both * A[:, i]) / scale
    return found


def log_determinant(se: FloatArray, pairs: Pairs, tau: FloatArray) -> FloatArray:
    """Logarithm of the determinant of the covariance of the estimates at each tau, shape (T,)."""
    variance = se**2 + tau[:, None] ** 2
    total = np.log(variance).sum(axis=1)
    if pairs.first.size:
        share = pairs.covariance(tau) ** 2 / (variance[:, pairs.first] * variance[:, pairs.second])
        total = total + np.log1p(-share).sum(axis=1)
    return np.asarray(total)


def pair_probabilities(
    cuts: tuple[FloatArray, FloatArray],
    centre: tuple[FloatArray, FloatArray],
    spread: tuple[FloatArray, FloatArray],
    correlation: FloatArray,
    member: FloatArray,
) -> FloatArray:
    """Probabilities that the p values of two estimates lie in two intervals.

    Parameters
    ----------
    cuts : two arrays of shape (C,)
        Values of either estimate that part its cells.
    centre, spread : two arrays of shape (G,) each
    correlation : array of shape (G,)
    member : array of shape (C + 1, J)
        To which interval a cell belongs.

    Returns
    -------
    array of shape (G, J * J)
    """
    u, v = ((c - m[:, None]) / s[:, None] for c, m, s in zip(cuts, centre, spread, strict=True))
    below = np.zeros((len(correlation), u.shape[1] + 2, v.shape[1] + 2))
    below[:, 1:-1, 1:-1] = both_positive(u[:, :, None], v[:, None, :], correlation[:, None, None])
    far = np.full((len(correlation), 1), 40.0)
    below[:, 1:-1, -1] = both_positive(u, far, np.zeros_like(far))
    below[:, -1, 1:-1] = both_positive(far, v, np.zeros_like(far))
    below[:, -1, -1] = 1.0
    cells = np.maximum(np.diff(np.diff(below, axis=1), axis=2), 0.0)
    found = np.einsum("gab,aj,bl->gjl", cells, member, member)
    return np.asarray(found.reshape(len(found), -1))


def shrink(se: FloatArray, pairs: Pairs, row: int, tau: FloatArray) -> tuple[FloatArray, FloatArray, int, FloatArray]:
    """A true effect given the estimates: ``mu + own (y - mu) + other (y' - mu)``, y' of the row that shares patients.

    Returns
    -------
    own, other : arrays of shape (T,)
    partner : int
        The other row; the row itself where there is none, whose share is zero.
    variance : array of shape (T,)
    """
    t2, v = tau**2, se[row] ** 2
    found = pairs.partner(row)
    if found is None:
        own = t2 / (t2 + v)
        return own, np.zeros_like(own), row, own * v
    partner, sampling, link = found
    w, both = se[partner] ** 2 + t2, sampling + link * t2
    scale = (v + t2) * w - both**2
    own, other = (t2 * w - link * t2 * both) / scale, (link * t2 * (v + t2) - t2 * both) / scale
    return own, other, partner, np.maximum(t2 - own * t2 - other * link * t2, 0.0)
