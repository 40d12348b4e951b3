"""The same quantities of many fits at once.

Tables of refits hold hundreds of lines with a few numbers each. Where the posterior is a mixture of a few hundred
normals its answers are found together, in arrays of shape (fits, points, nodes); any other fit is computed alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.exact import linear
from bayesmeta.fits.by_name import LEVEL, SETTLED, central, distribution, linear_summary, marginal
from bayesmeta.fits.result import Fit
from bayesmeta.marginals import Gridded, grid_quantiles, mixture_cdf, mixture_quantile

__all__ = ["distributions", "main_quantiles", "quantiles"]

FloatArray = NDArray[np.float64]
# beyond so many nodes the arithmetic takes the time, and batching gains nothing
_FEW_NODES = 1024
_ELEMENTS = 2e6


def _batches(fits: Sequence[Fit], points: int) -> list[list[int]]:
    """Indices of fits that are computed together: all with about as many nodes, and as many as fit in memory."""
    sizes: dict[int, list[int]] = {}
    for i, fit in enumerate(fits):
        if fit.exact and fit.quadrature.problem.cut is None and fit.quadrature.weights.size <= _FEW_NODES:
            sizes.setdefault(int(fit.quadrature.weights.size - 1).bit_length(), []).append(i)
    found = []
    for bits, places in sizes.items():
        step = max(1, int(_ELEMENTS // (2**bits * points)))
        found += [places[start : start + step] for start in range(0, len(places), step)]
    return found


def _mixtures(
    fits: Sequence[Fit], name: str, at: Mapping[str, Any] | None = None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Weights by the rule and by its embedded rule, means and SDs of a quantity, each of shape (F, N)."""
    size = max(fit.quadrature.weights.size for fit in fits)
    weights, coarse, means = np.zeros((3, len(fits), size))
    # what is added to fill a row has no weight
    sds = np.ones((len(fits), size))
    for i, fit in enumerate(fits):
        nodes = fit.quadrature
        n = nodes.weights.size
        weights[i, :n], coarse[i, :n] = nodes.weights, nodes.coarse
        if nodes.problem.simple and len(nodes.mean) == 1 and not at:
            # a mean alone, which is nearly every refit
            means[i, :n], var = nodes.mean[0], nodes.cov[0, 0]
            sds[i, :n] = var if name == "mu" else var + np.square(nodes.tau)
        else:
            functional = linear(nodes, fit.design.profile(at)[None, :], np.array([name != "mu"]))
            means[i, :n], sds[i, :n] = functional.mean[0], functional.var[0]
    return weights, coarse, means, np.sqrt(sds)


def quantiles(fits: Sequence[Fit], name: str, p: FloatArray) -> FloatArray:
    """Quantiles of ``mu``, ``theta_new`` or ``tau`` of many fits.

    Parameters
    ----------
    fits : sequence of Fit
    name : {"mu", "theta_new", "tau"}
    p : array of shape (P,)
        Probabilities strictly between 0 and 1.

    Returns
    -------
    array of shape (len(fits), P)
        Those that `linear_summary` and `marginal` give one by one, settled to 1e-8 in probability. Zero for tau of a
        common-effect model.

    Examples
    --------
    >>> common = bm.fit_many([(effects, bm.Model(bm.Flat(), tau=None))])
    >>> (7 * quantiles(common, "mu", np.array([0.5]))).round(6).tolist()
    [[-1.0]]
    """
    found = np.zeros((len(fits), p.size))
    if name == "tau":
        forms = {i: marginal(fit, "tau") for i, fit in enumerate(fits) if fit.model.tau is not None}
        tabulated = {i: form for i, form in forms.items() if isinstance(form, Gridded)}
        found[list(tabulated)] = grid_quantiles(list(tabulated.values()), p)
        for i, form in forms.items():
            if i not in tabulated:
                found[i] = form.quantile(p)
        return found
    alone = set(range(len(fits)))
    for places in _batches(fits, p.size):
        weights, coarse, means, sds = _mixtures([fits[i] for i in places], name)
        values = mixture_quantile(p, weights, means, sds)
        settled = np.abs(mixture_cdf(values, coarse, means, sds) - p).max(axis=1) <= SETTLED
        found[places] = values
        alone -= {i for i, fine in zip(places, settled.tolist(), strict=True) if fine}
    for i in alone:
        row = fits[i].design.profile()[None, :]
        found[i] = linear_summary(fits[i], row, [None if name == "mu" else name], p).quantiles[0]
    return found


def main_quantiles(fits: Sequence[Fit], *, level: float = LEVEL) -> list[dict[str, tuple[float, float, float]]]:
    """Lower end, median and upper end of the mean effect, a new study and tau of many fits, and no more.

    For tables of hundreds of refits, where moments and frames would take most of the time. The keys are ``mu``,
    ``theta_new`` and, where there is heterogeneity, ``tau``.

    Examples
    --------
    >>> common = bm.fit_many([(effects, bm.Model(bm.Flat(), tau=None))])
    >>> round(7 * main_quantiles(common)[0]["mu"][1], 6)
    -1.0
    """
    columns = {name: quantiles(fits, name, central(level)).tolist() for name in ("mu", "theta_new", "tau")}
    found: list[dict[str, tuple[float, float, float]]] = []
    for i, fit in enumerate(fits):
        names = [name for name in columns if name != "tau" or fit.model.tau is not None]
        found.append({name: tuple(columns[name][i]) for name in names})
    return found


def distributions(
    fits: Sequence[Fit], name: str, x: FloatArray, *, at: Mapping[str, Any] | None = None, upper: bool = False
) -> FloatArray:
    """Distribution function (or upper tail) of ``mu`` or ``theta_new`` of many fits, settled to 1e-8.

    Parameters
    ----------
    fits : sequence of Fit
    name : {"mu", "theta_new"}
    x : array of shape (P,)
    at : mapping, optional
        A moderator profile.

    Returns
    -------
    array of shape (len(fits), P)

    Examples
    --------
    >>> common = bm.fit_many([(effects, bm.Model(bm.Flat(), tau=None))])
    >>> distributions(common, "mu", np.array([-1 / 7])).round(6).tolist()
    [[0.5]]
    """
    x = np.asarray(x, float)
    found = np.empty((len(fits), x.size))
    alone = set(range(len(fits)))
    for places in _batches(fits, x.size):
        weights, coarse, means, sds = _mixtures([fits[i] for i in places], name, at)
        scaled = (x[:, None] - means[:, None, :]) / sds[:, None, :]
        tails = special.ndtr(-scaled if upper else scaled)
        values = (tails @ weights[:, :, None])[:, :, 0]
        settled = np.abs((tails @ coarse[:, :, None])[:, :, 0] - values).max(axis=1) <= SETTLED
        found[places] = values
        alone -= {i for i, fine in zip(places, settled.tolist(), strict=True) if fine}
    for i in alone:
        found[i] = distribution(fits[i], name, x, at=at, upper=upper)
    return found
