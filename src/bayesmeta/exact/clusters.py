"""Normal likelihood of rows in clusters; functions of arrays.

Rows of cluster i share ``u_i ~ N(0, tau**2)`` and each has ``w_ij ~ N(0, within**2)`` of its own. Rows that share
patients are rotated (`likelihood.rotate` with ``rho = 0``), after which the rows of a cluster have the covariance

    diag(D) + tau**2 g g',   D = a + within**2 b,

where g is the rotated column of ones. Sums over rows therefore become sums over rows about the cluster's weighted
mean, with weights ``1 / D``, plus sums over clusters of those means, whose variance is ``tau**2 + 1 / sum(g**2 / D)``:
the Sherman-Morrison formula without its subtraction, so that no digit is lost where tau is large. Nothing of size
k x k is built.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.exact.likelihood import ConditionalMoments, Reduced, Rotation, near_estimate, square
from bayesmeta.model import refuse_opposite_roles

__all__ = ["ClusterLayout", "layout", "reduce_rows", "study_moments", "weigh_rows"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class ClusterLayout:
    """Which rows belong together.

    Attributes
    ----------
    names : tuple of str
        The C clusters, in the order in which their rows are summed.
    number : array of int of shape (k,)
        Cluster of each row.
    order, starts : arrays of int of shapes (k,) and (C,)
        Rows sorted by cluster, and where each cluster starts among them.
    g : array of shape (k,)
        The rotated column of ones.
    """

    names: tuple[str, ...]
    number: IntArray
    order: IntArray
    starts: IntArray
    g: FloatArray

    def sums(self, rows: FloatArray) -> FloatArray:
        """Sum over the rows of each cluster: from shape (k, ...) to (C, ...)."""
        return np.add.reduceat(rows[self.order], self.starts, axis=0)


def layout(effects: Effects, rotation: Rotation) -> ClusterLayout:
    """Find the rows of each cluster.

    Raises
    ------
    ModelError
        Where the effects have no clusters, or rows of two clusters share patients.
    """
    if effects.cluster is None:
        raise ModelError(
            "cluster_tau is the SD between rows of one cluster, and these effects have no clusters. State which rows "
            "belong together (Effects(..., cluster=...)), or leave cluster_tau out."
        )
    refuse_opposite_roles(effects, "rows of one cluster have a common deviation, not one of two signs")
    for rows, _ in effects.blocks:
        inside = {effects.cluster[int(row)] for row in rows}
        if len(inside) > 1:
            named = ", ".join(f"{effects.label[int(row)]} ({effects.cluster[int(row)]})" for row in rows)
            raise ModelError(
                f"{named}: these rows share patients and lie in {len(inside)} clusters. Put them into one cluster."
            )
    names = tuple(dict.fromkeys(effects.cluster))
    place = {name: i for i, name in enumerate(names)}
    number = np.array([place[name] for name in effects.cluster], np.intp)
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(names)))
    return ClusterLayout(names, number, order, starts.astype(np.intp), rotation.apply(np.ones(effects.k)))


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    """Weights of rows and clusters at N nodes.

    Attributes
    ----------
    variance, precision : arrays of shape (k, N)
        D and its inverse.
    total : array of shape (C, N)
        ``sum(g**2 / D)``.
    between : array of shape (C, N)
        ``1 / (tau**2 + 1 / total)``.
    """

    variance: FloatArray
    precision: FloatArray
    total: FloatArray
    between: FloatArray
    tau2: FloatArray

    def mean(self, rows: FloatArray, clusters: ClusterLayout) -> FloatArray:
        """Weighted mean of rows per cluster, in units of g; ``rows`` of shape (k,) or (k, N)."""
        column = rows[:, None] if rows.ndim == 1 else rows
        return clusters.sums(clusters.g[:, None] * column * self.precision) / self.total


def _weigh(tau: FloatArray, within: FloatArray, rotation: Rotation, clusters: ClusterLayout) -> _Weights:
    variance = rotation.a[:, None] + square(within) * rotation.b[:, None]
    precision = 1.0 / variance
    total = clusters.sums(np.square(clusters.g)[:, None] * precision)
    tau2 = square(tau)
    return _Weights(variance, precision, total, total / (1.0 + tau2 * total), tau2)


def reduce_rows(
    tau: FloatArray, within: FloatArray, y: FloatArray, X: FloatArray, rotation: Rotation, clusters: ClusterLayout
) -> Reduced:
    """Integrate study effects out at each pair of standard deviations.

    Parameters
    ----------
    tau, within : arrays of shape (M,)
        Between clusters, and between rows of one cluster.
    y, X : arrays of shape (k,) and (k, p), rotated with ``rho = 0``
    """
    k, p = X.shape
    w = _weigh(tau, within, rotation, clusters)
    g, number = clusters.g[:, None], clusters.number
    # each column about its cluster's mean, and those means
    means = [w.mean(column, clusters) for column in (*X.T, y)]
    about = [column[:, None] - g * mean[number] for column, mean in zip((*X.T, y), means, strict=True)]

    def product(i: int, rows: FloatArray, of_means: FloatArray) -> FloatArray:
        return np.einsum("kn,kn->n", about[i], w.precision * rows) + np.einsum(
            "cn,cn->n", means[i], w.between * of_means
        )

    A, right = np.empty((p, p, tau.size)), np.empty((p, tau.size))
    for j in range(p):
        right[j] = product(j, about[p], means[p])
        for i in range(j + 1):
            A[i, j] = A[j, i] = product(i, about[j], means[j])
    centre = near_estimate(A, right)
    residual, residual_mean = about[p].copy(), means[p].copy()
    for i in range(p):
        residual -= about[i] * centre[i]
        residual_mean -= means[i] * centre[i]
    rest = np.einsum("kn,kn->n", w.precision * residual, residual)
    rest += np.einsum("cn,cn->n", w.between * residual_mean, residual_mean)
    score = np.array([product(i, residual, residual_mean) for i in range(p)])
    logdet = np.log(w.variance).sum(axis=0) + np.log1p(w.tau2 * w.total).sum(axis=0) + rotation.logdet
    return Reduced(A, right, centre, score, rest, logdet, k)


def study_moments(
    tau: FloatArray,
    within: FloatArray,
    y: FloatArray,
    X: FloatArray,
    rotation: Rotation,
    clusters: ClusterLayout,
    conditional: ConditionalMoments,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Study effects ``x beta + u + w`` at each node: mean, variance and their dependence on the coefficients.

    With ``B = within**2 b / D``, ``r = y - X beta``, and m the weighted mean of a cluster,

        u | beta ~ N(h m(r), (1 - h) tau**2),   h = tau**2 total / (1 + tau**2 total),
        theta~ | u, beta ~ N(B y + (1 - B) (X beta + g u), B a).

    Returns
    -------
    mean, variance : arrays of shape (k, N)
    slope : array of shape (k, p, N)
        ``theta = const + slope @ beta + noise``.
    """
    w = _weigh(tau, within, rotation, clusters)
    g, number = clusters.g[:, None], clusters.number
    # 1 - B and B, each without a subtraction
    keep = rotation.a[:, None] * w.precision
    share = square(within) * rotation.b[:, None] * w.precision
    left = w.tau2 / (1.0 + w.tau2 * w.total)
    shrink = left * w.total
    noise = share * rotation.a[:, None]
    common = keep * g
    slope = np.empty((*X.shape, tau.size))
    for j, column in enumerate(X.T):
        mean_j = w.mean(column, clusters)
        # x - g h m = (x - g m) + g (1 - h) m: with a large tau the first part is small where the cluster is alike
        rest = mean_j / (1.0 + w.tau2 * w.total)
        slope[:, j] = keep * (column[:, None] - g * mean_j[number] + g * rest[number])
    mean = share * y[:, None] + common * (shrink * w.mean(y, clusters))[number]
    mean = mean + np.einsum("kpn,pn->kn", slope, conditional.mean)
    for rows, _, backward in rotation.blocks:
        noise[rows] = np.square(backward) @ noise[rows]
        common[rows] = backward @ common[rows]
        mean[rows] = backward @ mean[rows]
        slope[rows] = np.einsum("ij,jpn->ipn", backward, slope[rows])
    variance = noise + np.square(common) * left[number] + np.einsum("kpn,pqn,kqn->kn", slope, conditional.cov, slope)
    return mean, variance, slope


def weigh_rows(
    rows: FloatArray, tau: FloatArray, within: FloatArray, rotation: Rotation, clusters: ClusterLayout
) -> FloatArray:
    """``V**-1 rows`` at each node, for rotated rows of shape (k, N)."""
    w = _weigh(tau, within, rotation, clusters)
    g, mean = clusters.g[:, None], w.mean(rows, clusters)
    rest = mean / (1.0 + w.tau2 * w.total)
    return w.precision * (rows - g * mean[clusters.number] + g * rest[clusters.number])
