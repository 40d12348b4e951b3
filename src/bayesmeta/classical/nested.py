"""Rows in clusters with two variances: the likelihood and its derivatives as sums over rows and clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.classical.rows import Blocks, FloatArray, rows_of
from bayesmeta.errors import ModelError

__all__ = ["NestedRows", "NestedSums", "nested_rows", "nested_sums"]


@dataclass(frozen=True, slots=True, eq=False)
class NestedRows:
    """Rows in clusters, sorted by cluster and rotated so that sampling errors are independent.

    Attributes
    ----------
    values : ndarray, shape (k, p + 1)
        An orthonormal basis of the design, then what ordinary least squares leaves of y.
    variance : ndarray, shape (k,)
        Sampling variances after the rotation.
    ones : ndarray, shape (k,)
        What became of the column of ones: a cluster's effect enters row i times ``ones[i]``.
    starts, cluster : ndarray
        First row of each of m clusters; the cluster of each row.
    start, triangle : ndarray
        Coefficients of ordinary least squares, and design = basis @ triangle.
    """

    values: FloatArray
    variance: FloatArray
    ones: FloatArray
    starts: NDArray[np.intp]
    cluster: NDArray[np.intp]
    start: FloatArray
    triangle: FloatArray

    @property
    def k(self) -> int:
        """Number of rows."""
        return self.values.shape[0]

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return self.values.shape[1] - 1

    def sums(self, rows: FloatArray) -> FloatArray:
        """Sums over the rows of each cluster along axis 1."""
        return np.add.reduceat(rows, self.starts, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class NestedSums:
    """The likelihood at N pairs of variances, its derivatives in both, and the coefficients.

    Attributes
    ----------
    loglik : ndarray, shape (N,)
    score : ndarray, shape (N, 2)
    size : ndarray, shape (N, 2)
        Sum of the parts that cancel in the score.
    information, curvature : ndarray, shape (N, 2, 2)
        Expected and observed information.
    gamma, cov : ndarray, shapes (N, p), (N, p, p)
        Coefficients of `NestedRows.values`, and their covariance.
    """

    loglik: FloatArray
    score: FloatArray
    size: FloatArray
    information: FloatArray
    curvature: FloatArray
    gamma: FloatArray
    cov: FloatArray


def nested_rows(
    y: ArrayLike, se: ArrayLike, cluster: NDArray[np.intp], X: ArrayLike | None = None, *, blocks: Blocks = ()
) -> NestedRows:
    """Check, sort and rotate the arrays of a multilevel model.

    Parameters
    ----------
    y, se : array_like, shape (k,)
    cluster : ndarray of int, shape (k,)
        0 to m - 1.
    X : array_like, shape (k, p), optional
    blocks : sequence of (indices, covariance)
        Dependent rows, each block within one cluster.

    Returns
    -------
    NestedRows

    Raises
    ------
    ModelError
        As `rows_of`, and where a block reaches into two clusters.
    """
    rows = rows_of(y, se, X, blocks=blocks, rho=0.0)
    values = np.column_stack([rows.basis, rows.residual])
    variance, ones = rows.se**2, np.ones(rows.k)
    for indices, covariance in rows.blocks:
        if np.ptp(cluster[indices]):
            raise ModelError(
                f"blocks: rows {indices.tolist()} share patients across clusters. Give a cluster that holds them all."
            )
        variance[indices], turn = np.linalg.eigh(covariance)
        values[indices] = turn.T @ values[indices]
        ones[indices] = turn.sum(axis=0)
    order = np.argsort(cluster, kind="stable")
    sorted_cluster = cluster[order]
    starts = np.flatnonzero(np.diff(sorted_cluster, prepend=-1))
    return NestedRows(
        values=values[order],
        variance=variance[order],
        ones=ones[order],
        starts=starts,
        cluster=sorted_cluster,
        start=rows.start,
        triangle=rows.triangle,
    )


def nested_sums(rows: NestedRows, tau2: ArrayLike, cluster_tau2: ArrayLike, *, restricted: bool) -> NestedSums:
    """(Restricted) likelihood and its derivatives at N pairs of variances, as sums over rows and clusters.

    With V = S + tau2 ZZ' + cluster_tau2 I, rotated to ``diag(a) + tau2 hh'`` per cluster, V^-1 is the
    Sherman-Morrison formula written about each cluster's weighted mean, so that nothing cancels where tau2 is large.

    Parameters
    ----------
    rows : NestedRows
    tau2, cluster_tau2 : array_like, shape (N,)
        Between clusters, and between rows of one cluster.
    restricted : bool
        REML, else ML.

    Returns
    -------
    NestedSums
    """
    u = np.atleast_1d(np.asarray(tau2, float))[:, None]
    w = np.atleast_1d(np.asarray(cluster_tau2, float))[:, None]
    p, cluster, ones = rows.p, rows.cluster, rows.ones
    variance = rows.variance + w
    d = 1.0 / variance
    hd = ones * d
    hdh = hd * ones
    t = rows.sums(hdh)
    shrink = 1.0 / (1.0 + u * t)
    row_shrink = shrink[:, cluster]

    def solved(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """V^-1 values, and h'V^-1 values per cluster."""
        mean = rows.sums(hd[:, :, None] * values) / t[:, :, None]
        f = mean * (t * shrink)[:, :, None]
        centred = values - ones[:, None] * mean[:, cluster]
        return d[:, :, None] * centred + hd[:, :, None] * (mean * shrink[:, :, None])[:, cluster], f

    values = np.broadcast_to(rows.values, (u.shape[0], *rows.values.shape))
    wc, f = solved(values)
    product = rows.values.T @ wc
    cov = np.linalg.inv(product[:, :p, :p])
    gamma = (cov @ product[:, :p, p:])[:, :, 0]
    # replace y by its residuals in everything that follows: sums of squares of residuals do not cancel
    change = np.broadcast_to(np.eye(p + 1), (u.shape[0], p + 1, p + 1)).copy()
    change[:, :p, p] = -gamma
    wc, f = wc @ change, f @ change
    rss = np.einsum("nk,nk->n", (values @ change)[:, :, p], wc[:, :, p])
    wwc, _ = solved(wc)
    # diagonal of W, whose subtraction is exact for clusters of one row
    diagonal = d * (1.0 + u * (t[:, cluster] - hdh)) * row_shrink
    q = t * shrink
    hw = hd * row_shrink
    hww = rows.sums(hw * hw)
    spread = u * shrink
    h2 = rows.sums(hd * hd)
    off = spread**2 * (h2**2 - rows.sums(hd**4))
    traces = (
        ((q * q).sum(axis=1), hww.sum(axis=1)),
        (hww.sum(axis=1), (diagonal**2).sum(axis=1) + off.sum(axis=1)),
    )
    trace = (q.sum(axis=1), diagonal.sum(axis=1))
    ft, wct = f.swapaxes(1, 2), wc.swapaxes(1, 2)
    first = (ft @ f, wct @ wc)
    fww = rows.sums(hw[:, :, None] * wc)
    cross = ft @ fww
    second = ((ft @ (q[:, :, None] * f), cross), (cross.swapaxes(1, 2), wct @ wwc))
    loglik = -0.5 * (np.log(variance).sum(axis=1) + np.log1p(u * t).sum(axis=1) + rss)
    if restricted:
        loglik += 0.5 * np.linalg.slogdet(cov)[1] - 0.5 * (rows.k - p) * math.log(2.0 * math.pi)
    else:
        loglik -= 0.5 * rows.k * math.log(2.0 * math.pi)
    score = np.empty((u.shape[0], 2))
    size = np.empty((u.shape[0], 2))
    information = np.empty((u.shape[0], 2, 2))
    curvature = np.empty((u.shape[0], 2, 2))
    shares = [cov @ part[:, :p, :p] for part in first]
    for i in range(2):
        of_trace = trace[i] - (np.trace(shares[i], axis1=1, axis2=2) if restricted else 0.0)
        score[:, i] = 0.5 * (first[i][:, p, p] - of_trace)
        size[:, i] = 0.5 * (first[i][:, p, p] + trace[i])
        for j in range(2):
            both = traces[i][j].copy()
            if restricted:
                both -= 2.0 * np.einsum("nab,nba->n", cov, second[i][j][:, :p, :p])
                both += np.einsum("nab,nba->n", shares[i], shares[j])
            explained = np.einsum("na,nab,nb->n", first[i][:, :p, p], cov, first[j][:, :p, p])
            information[:, i, j] = 0.5 * both
            curvature[:, i, j] = second[i][j][:, p, p] - explained - 0.5 * both
    return NestedSums(loglik, score, size, information, curvature, gamma, cov)
