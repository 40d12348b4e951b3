"""Posteriors in the form in which the page computes from them: the nodes of a mixture, a grid, or draws."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.fits import Fit
from bayesmeta.marginals import Draws, Marginal, NormalMixtures

__all__ = [
    "kept_nodes",
    "non_negligible",
    "packed",
    "packed_form",
    "rule_gap",
    "serialised_form",
]

FloatArray = NDArray[np.float64]
#: Nodes are left out from the lightest on while what is lost stays below this; printed probabilities have three digits.
LOST = 1e-8
#: The same of what the page carries in single precision, whose probabilities are good to about 1e-7.
LOST_IN_PAGE = 2e-7
#: Digits of serialised numbers: the page prints four at most.
DIGITS = 9
#: Points of a distribution without a closed form; between them the page takes a cubic.
POINTS = 801


def _rounded(values: FloatArray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def serialised_form(fit: Fit, at: Mapping[str, Any] | None = None, *, coarsened: bool = False) -> dict[str, Any]:
    """Serialise the joint posterior of the mean effect and the effect in a new study, ready for JSON.

    Parameters
    ----------
    fit : Fit
    at : mapping, optional
        A moderator profile.
    coarsened : bool
        Leave out every second node of an axis where probabilities agree without them (`kept_nodes`).

    Returns
    -------
    dict
        ``form`` is ``"mixture"`` with weights ``w``, means ``m``, SDs of mu ``s`` and of theta_new ``t``; ``"grid"``
        with distribution functions and densities at points; or ``"draws"`` with sorted draws.

    Examples
    --------
    >>> serialised_form(bm.fit(effects, bm.Model(model.mu, None)))["representation"]
    'mixture'
    """
    row = fit.design.profile(at)
    found = fit.posterior.quantities(np.array([row, row]), [None, "theta_new"])
    mixtures = found.mixtures
    if mixtures is None:
        kind = "draws" if isinstance(found[0], Draws) else "grid"
        return {"representation": kind, **{name: _serialised(found[i]) for i, name in enumerate(_NAMES)}}
    kept, weights = kept_nodes(mixtures, coarsened=coarsened)
    (m, _), (s, t) = mixtures.means, mixtures.sds
    return {
        "representation": "mixture",
        "w": _rounded(weights),
        "m": _rounded(m[kept]),
        "s": _rounded(s[kept]),
        "t": _rounded(t[kept]),
    }


def kept_nodes(form: NormalMixtures, *, coarsened: bool = True) -> tuple[NDArray[np.intp], FloatArray]:
    """Choose the nodes that are serialised, and their weights.

    The rules of the exact engine are nested: the embedded one uses every second node of an axis. Where it gives the
    same distribution functions, it is serialised; of either rule the lightest nodes are left out.

    Parameters
    ----------
    form : NormalMixtures
        Of the serialised quantities.
    coarsened : bool
        Whether the embedded rule may be used.

    Returns
    -------
    array of int, array of float
        The nodes in their order, and the weights.
    """
    lost = LOST_IN_PAGE if coarsened else LOST
    weights = form.coarse if coarsened and not rule_gap(form) > lost else form.weights
    kept = non_negligible(weights, lost)
    return kept, weights[kept]


def non_negligible(weights: FloatArray, lost: float = LOST) -> NDArray[np.intp]:
    """Choose the nodes without the lightest ones, which together weigh less than ``lost``."""
    order = np.argsort(np.abs(weights))
    return np.sort(order[np.cumsum(np.abs(weights[order])) > lost])


def rule_gap(form: NormalMixtures) -> float:
    """Give the largest difference between distribution functions by the full and by the embedded rule."""
    worst = 0.0
    for mean, sd in zip(form.means, form.sds, strict=True):
        centre = float(mean @ form.weights)
        spread = float(np.sqrt((sd**2 + (mean - centre) ** 2) @ form.weights))
        if not (np.isfinite(spread) and spread > 0):
            return float("inf")
        x = centre + spread * _PLACES
        with np.errstate(divide="ignore", invalid="ignore"):
            below = special.ndtr((x[:, None] - mean) / sd)
        worst = max(worst, float(np.abs(below @ (form.weights - form.coarse)).max()))
    return worst


#: Where distribution functions are compared, in standard deviations from the mean.
_PLACES = np.array([-4.0, -2.5, -1.6, -1.0, -0.5, -0.1, 0.3, 0.8, 1.3, 2.0, 3.0, 5.0])


def packed(values: FloatArray) -> str:
    """Write numbers in single precision, little-endian, as base64: a fifth of their length as text.

    Examples
    --------
    >>> packed(np.array([1.0]))
    'AACAPw=='
    """
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")


def packed_form(form: Mapping[str, Any]) -> dict[str, Any]:
    """Pack a mixture: its probabilities change by less than 1e-7, because means are counted from their centre.

    Examples
    --------
    >>> packed_form({"representation": "mixture", "w": [1.0], "m": [0.5], "s": [0.1], "t": [0.2]})["centre"]
    0.5
    """
    w, m, s, t = (np.asarray(form[name], float) for name in "wmst")
    centre = float(f"{w @ m / w.sum():.6g}")
    return {"representation": "packed", "centre": centre, "nodes": packed(np.concatenate([w, m - centre, s, t]))}


_NAMES = ("mu", "theta_new")


def _serialised(form: Marginal) -> list[float] | dict[str, list[float]]:
    """Sorted draws, or a distribution function and a density at points."""
    if isinstance(form, Draws):
        return _rounded(np.sort(form.values.ravel()))
    low, high = (float(v) for v in form.quantile(np.array([1e-9, 1 - 1e-9])))
    x = np.linspace(low, high, POINTS)
    return {"x": _rounded(x), "cdf": _rounded(form.cdf(x)), "density": _rounded(form.density(x))}
