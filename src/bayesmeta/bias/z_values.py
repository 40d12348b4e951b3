r"""z-curve of an average: observed z values against those that its models imply, with and without selection.

At a node of mean, between-study SD and parameters of bias, trial i of standard error :math:`s_i` has
:math:`z \sim N(m_i, \sigma_i^2)` before selection, with :math:`\sigma_i^2 = 1 + \tau^2 / s_i^2`, and is published with
probability :math:`A_i = \sum_j w_j P_{ij}`, relative to the most significant results. For each published trial of its
standard error :math:`1 / A_i` were conducted. Under PET and PEESE published results are shifted and none is missing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.bias.averaging import models_of
from bayesmeta.bias.cells import Chances, cell_probabilities, log_chance_of_being_seen, weight_rule
from bayesmeta.bias.integration import Table
from bayesmeta.bias.likelihood import slope_nodes
from bayesmeta.bias.posterior import heavy_nodes
from bayesmeta.bias.specification import PEESE, PET, StepSelection
from bayesmeta.bias.stated import CopasSelection, ExponentialSelection, StatedSelection
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.marginals import both_positive
from bayesmeta.numerics import interval_ends

__all__ = ["ZCurve", "z_curve"]

FloatArray = NDArray[np.float64]
#: Two-sided 0.05.
_CRITICAL = 1.959963984540054
#: Models and nodes that together hold less than this change no digit that is shown.
_LIGHT = 1e-6
#: Of the histograms of rates.
_BINS = 4000
#: Numbers in one array, so that it stays in the cache.
_ROOM = 1e5
_ROOT = math.sqrt(2.0 * math.pi)
_QUANTITIES = (
    "observed discovery rate",
    "expected discovery rate of the published",
    "expected discovery rate",
    "expected replicability",
    "missing trials",
    "conducted per published",
)


@dataclass(frozen=True, slots=True, eq=False)
class ZCurve:
    """Observed and implied z values of an average.

    Attributes
    ----------
    z : array of shape (k,)
        Observed, turned so that results in the favoured direction are positive.
    density : DataFrame
        ``z published conducted``: posterior means of the densities of z of published and of all conducted trials, those
        with the standard errors seen. Where a weight changes there is a z just below and one just above.
    summary : DataFrame
        One row per ``quantity``: posterior ``mean lower median upper``; see `z_curve`.
    cuts : tuple of float
        z values at which a weight changes.

    Examples
    --------
    >>> curve = z_curve(bm.average(effects, "2w"))
    >>> curve.z.round(2).tolist(), [round(cut, 2) for cut in curve.cuts]
    ([2.0, 1.0, 1.5, -0.5], [-1.96, -1.64, 1.64, 1.96])
    """

    z: FloatArray
    density: pd.DataFrame
    summary: pd.DataFrame
    cuts: tuple[float, ...]


def z_curve(fit: Fit, grid: ArrayLike | None = None, *, level: float = LEVEL) -> ZCurve:
    r"""Compare the observed z values with those of the models of an average, and estimate what was not published.

    Posterior over models and their parameters of

    - *expected discovery rate*: share of all conducted trials with two-sided p < 0.05,
      :math:`\sum_i D_i A_i^{-1} / \sum_i A_i^{-1}` with :math:`D_i = P(|z_i| > 1.96)` before selection. (R RoBMA has
      the mean of :math:`D_i`: as if all conducted trials had the standard errors of those published.)
    - *expected discovery rate of the published*: the same after selection, to be held against the observed.
    - *expected replicability*: of published results with two-sided p < 0.05, the share of exact replications (same true
      effect, same standard error, no bias) with p < 0.05 in the same direction.
    - *missing trials*: :math:`\sum_i (A_i^{-1} - 1)`, and *conducted per published* :math:`\sum_i A_i^{-1} / k`. A
      lower bound: weights are relative to the most significant results, not all of which need be published, and only
      trials as large as those seen are counted.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`.
    grid : array of shape (Z,), optional
        z values of the densities. Default: steps of 0.05 from -6, or below the smallest, to 6, or above the largest.
    level : float
        Of the central intervals. Their ends and the median are read from the nodes of the integrals in 4000 bins: good
        for two digits, while means are integrals.

    Returns
    -------
    ZCurve
        The mean number of missing trials is nan where a model of the average selects and no trial has p in its lower
        intervals: its tail is then that of the priors.

    Raises
    ------
    ModelError
        For a fit of one model, a smooth or a Copas selection, rows that share patients, moderators, and a grid that is
        not ascending numbers.

    References
    ----------
    Bartos & Schimmack 2022, doi:10.15626/MP.2021.2720; of model averages: Bartos & Schimmack 2025, R RoBMA's vignette
    ZCurveDiagnostics.

    Examples
    --------
    >>> summary = z_curve(bm.average(effects, "bma")).summary.set_index("quantity")
    >>> float(summary.loc["missing trials", "mean"])
    0.0
    """
    posterior = models_of(fit)
    kept = [i for i, share in enumerate(posterior.shares) if share > _LIGHT / 100]
    for i in kept:
        if isinstance(form := posterior.ensemble.models[i].bias, ExponentialSelection | CopasSelection):
            raise ModelError(f"z-curve: {form.name} has no steps of p, of which it is made. Use StatedSelection.")
    tables = [part for i in kept if isinstance(part := posterior.tables[i], Table)]
    shares, rows = posterior.shares[kept] / posterior.shares[kept].sum(), posterior.tables[0].rows
    if len(tables) < len(kept) or rows.pairs.first.size:
        raise ModelError(
            "z-curve: of independent results without moderators. Average one row per trial, and no moderator."
        )
    observed = rows.y / rows.se
    # what has no posterior probability has no step that could be seen
    cuts = sorted({float(z) for table in tables for z in _cuts_of(table)})
    if grid is None:
        low, high = min(-6.0, math.floor(observed.min()) - 1.0), max(6.0, math.ceil(observed.max()) + 1.0)
        z = np.linspace(low, high, round((high - low) / 0.05) + 1)
        z = np.unique(np.concatenate([z, *([cut - 1e-9, cut + 1e-9] for cut in cuts)]))
    else:
        z = np.asarray(grid, float)
        if z.ndim != 1 or z.size < 2 or not np.isfinite(z).all() or not (np.diff(z) > 0).all():
            raise ModelError("grid: ascending finite z values, such as numpy.linspace(-6, 6, 241).")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(lambda pair: _of_model(pair[0], pair[1], z), zip(tables, shares.tolist(), strict=True)))
    density = np.einsum("m,mdz->dz", shares, np.array([part.density for part in parts]))
    mean = shares @ np.array([part.mean for part in parts])
    counts = np.einsum("m,mqb->qb", shares, np.array([part.counts for part in parts]))
    ends = np.array([_quantiles(row, interval_ends(level)) for row in counts])
    # few published of many conducted, and many conducted per published, are the same end
    ends[3] = 1.0 / ends[3, ::-1] - 1.0
    k, seen = observed.size, float((np.abs(observed) > _CRITICAL).mean())
    numbers = np.column_stack([mean, ends])
    numbers = np.vstack([np.full(4, seen), numbers[:3], k * numbers[3], 1.0 + numbers[3]])
    summary = pd.DataFrame(numbers, columns=["mean", "lower", "median", "upper"])
    summary.insert(0, "quantity", _QUANTITIES)
    shown = pd.DataFrame({"z": z, "published": density[0] / k, "conducted": density[1]})
    return ZCurve(observed, shown, summary, tuple(cuts))


def _quantiles(counts: FloatArray, p: FloatArray) -> FloatArray:
    """Quantiles of a histogram over 0 to 1; where a bin holds all of it, as at exactly one, its upper end."""
    before = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    at = np.clip(np.searchsorted(before, p, side="left"), 1, _BINS)
    return np.asarray(at / _BINS)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One model: sums over trials of both densities (2, Z); means (4,) and histograms (4, B) of the rates."""

    density: FloatArray
    mean: FloatArray
    counts: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """Nodes (N,) of mean and tau with what they hold; means (N, k) of published results, their parameters included."""

    mass: FloatArray
    mu: FloatArray
    tau: FloatArray
    published: FloatArray

    def chunks(self, size: int) -> Iterator[_Nodes]:
        for start in range(0, self.mass.size, size):
            at = slice(start, start + size)
            yield _Nodes(self.mass[at], self.mu[at], self.tau[at], self.published[at])


def _nodes_of(table: Table, share: float) -> _Nodes:
    """Nodes of a model that has a share of the average; those of a slope that hold nothing of it are left out."""
    rows = table.rows
    mu, tau, mass = heavy_nodes(table)
    if not isinstance(rows.bias, PET | PEESE):
        return _Nodes(mass, mu, tau, np.broadcast_to(mu[:, None], (mu.size, rows.y.size)))
    x, precision = rows.regressor, 1.0 / (rows.se**2 + tau[:, None] ** 2)
    xr, xx = (precision * x * (rows.y - mu[:, None])).sum(axis=1), precision @ x**2
    slope, log = slope_nodes(rows.bias, xx, xr, table.inner[0])
    log = log + slope * xr[:, None] - 0.5 * slope**2 * xx[:, None]
    mass = (mass[:, None] * special.softmax(log, axis=1)).ravel()
    mu, tau = np.repeat(mu, slope.shape[1]), np.repeat(tau, slope.shape[1])
    published = mu[:, None] + slope.ravel()[:, None] * x
    order = np.argsort(mass)
    kept = order[np.cumsum(mass[order]) > min(_LIGHT / share, 1e-4)]
    return _Nodes(mass[kept] / mass[kept].sum(), mu[kept], tau[kept], published[kept])


def _cuts_of(table: Table) -> FloatArray:
    """Z values at which the weight of a model changes, ascending."""
    cells = table.rows.cells
    return np.empty(0) if cells is None else cells.cuts[0] / table.rows.se[0]


def _of_model(table: Table, share: float, z: FloatArray) -> _Part:
    rows, cells = table.rows, table.rows.cells
    nodes, k = _nodes_of(table, share), table.rows.y.size
    cuts = _cuts_of(table)
    member = np.ones((1, 1)) if cells is None else cells.member
    weights, log_mass, trials = np.ones((1, 1)), np.zeros(1), np.zeros(1)
    if cells is not None:
        assert isinstance(rows.bias, StepSelection | StatedSelection)
        # ends of intervals are read from nodes, of which one weight alone would have few
        least = {1: 96, 2: 24}.get(len(table.inner), 0)
        found = weight_rule(rows.bias, [max(n, least) for n in table.inner])
        weights, log_mass, trials = found.weights, found.log_mass, cells.trials.astype(float)
    log_seen = log_mass + np.log(weights) @ trials
    group = member.argmax(axis=1)[np.searchsorted(cuts, z)]
    density, mean, counts = np.zeros((2, z.size)), np.zeros(4), np.zeros((4, _BINS))
    for part in nodes.chunks(max(1, int(_ROOM // len(weights)))):
        sd = np.sqrt(1.0 + (part.tau[:, None] / rows.se) ** 2)
        before, shown = part.mu[:, None] / rows.se, part.published / rows.se
        if cells is None:
            chances = np.ones((part.mu.size, k, 1))
        else:
            chances = cell_probabilities(cells, part.published, sd * rows.se)
        alone = Chances(chances, np.empty((part.mu.size, 0, weights.shape[1] ** 2)))
        log = log_seen - log_chance_of_being_seen(alone, weights)
        given = special.softmax(log, axis=1)
        found_significant = special.ndtr((before - _CRITICAL) / sd) + special.ndtr((-before - _CRITICAL) / sd)
        twice, once = _replicated(before, shown, sd, cuts, member)
        conducted, discovered, again, significant = np.zeros((4, *given.shape))
        turned = np.ascontiguousarray(weights.T)
        for i in range(k):
            inverse = 1.0 / (chances[:, i] @ turned)
            conducted += inverse
            discovered += found_significant[:, i, None] * inverse
            again += (twice[:, i] @ turned) * inverse
            significant += (once[:, i] @ turned) * inverse
        # what each trial adds to both densities: by interval of p of the published, and to the conducted
        seen, behind = np.empty((part.mu.size, k, weights.shape[1])), np.empty((part.mu.size, k))
        for i in range(k):
            held = given / (chances[:, i] @ turned)
            seen[:, i] = held @ weights
            behind[:, i] = (held / conducted).sum(axis=1)
        joint = part.mass[:, None] * given
        # published per conducted lies between 0 and 1, as the others do
        rates = (significant / k, discovered / conducted, again / significant, k / conducted)
        for n, values in enumerate(rates):
            mean[n] += (joint * (1.0 / values - 1.0 if n == 3 else values)).sum()
            at = np.minimum((values * _BINS).astype(int), _BINS - 1)
            counts[n] += np.bincount(at.ravel(), joint.ravel(), _BINS)
        seen *= part.mass[:, None, None]
        behind *= part.mass[:, None]
        for j in range(weights.shape[1]):
            density[0, group == j] += _heights(seen[..., j], shown, sd, z[group == j])
        density[1] += _heights(behind, before, sd, z)
    if isinstance(rows.bias, StepSelection) and cells is not None and not cells.trials[1:].any():
        # with no trial in a lower interval the tail of the conducted is that of the priors
        mean[3] = math.nan
    return _Part(density, mean, counts)


def _heights(weights: FloatArray, centre: FloatArray, sd: FloatArray, z: FloatArray) -> FloatArray:
    """Sum of normal densities at z, shape (Z,); all others of shape (N, k)."""
    total = np.zeros(z.size)
    weights, centre, sd = (weights / (sd * _ROOT)).ravel(), centre.ravel(), sd.ravel()
    step = max(1, int(_ROOM // max(z.size, 1)))
    for start in range(0, weights.size, step):
        at = slice(start, start + step)
        total += weights[at] @ np.exp(-0.5 * ((z - centre[at, None]) / sd[at, None]) ** 2)
    return total


def _replicated(
    before: FloatArray, shown: FloatArray, sd: FloatArray, cuts: FloatArray, member: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """By interval of p, (N, k, J): P(significant there, and a replication in its direction too); P(significant there).

    A result and its replication share a true effect: their correlation is ``tau^2 / (tau^2 + se^2)``.
    """
    rho = 1.0 - 1.0 / sd**2
    twice, once = np.zeros((2, *sd.shape, member.shape[1]))
    groups = member.argmax(axis=1)
    for side in (1, -1):
        edges = np.sort(side * cuts)
        own = groups if side > 0 else groups[::-1]
        again = (side * before - _CRITICAL) / sd
        beyond = [_CRITICAL, *edges[edges > _CRITICAL].tolist()]
        above = [(side * shown - edge) / sd for edge in beyond]
        both = [*(both_positive(m, again, rho) for m in above), np.zeros(sd.shape)]
        single = [*(special.ndtr(m) for m in above), np.zeros(sd.shape)]
        for n, edge in enumerate(beyond):
            j = own[int(np.searchsorted(edges, edge, side="right"))]
            twice[..., j] += both[n] - both[n + 1]
            once[..., j] += single[n] - single[n + 1]
    return twice, once
