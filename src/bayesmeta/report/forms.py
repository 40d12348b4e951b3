"""Posteriors in the form in which the page computes from them: the nodes of a mixture, a grid, or draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.quantities import functional_of, marginal
from bayesmeta.result import Fit

__all__ = ["shipped_form", "shipped_probability"]

FloatArray = NDArray[np.float64]
#: Nodes are left out from the lightest on while what is lost stays below this; printed probabilities have three digits.
LOST = 1e-8
#: Digits of shipped numbers: the page prints four at most.
DIGITS = 9
#: Points of a distribution without a closed form; between them the page takes a cubic.
POINTS = 801


def _rounded(values: FloatArray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def shipped_form(fit: Fit, at: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give the joint form of the mean effect and the effect in a new setting, ready for JSON.

    Parameters
    ----------
    fit : Fit
    at : mapping, optional
        A moderator profile.

    Returns
    -------
    dict
        ``form`` is ``"mixture"`` with weights ``w``, means ``m``, SDs of mu ``s`` and of theta_new ``t``; ``"grid"``
        with distribution functions and densities at points; or ``"draws"`` with sorted draws.

    Examples
    --------
    >>> from bayesmeta.effects import Effects
    >>> from bayesmeta.inference import fit
    >>> from bayesmeta.model import Model
    >>> from bayesmeta.priors import Normal
    >>> effects = Effects(["A", "B"], [-0.4, -0.1], [0.2, 0.1], measure="SMD", better="lower")
    >>> shipped_form(fit(effects, Model(Normal(0, 1), None)))["form"]
    'mixture'
    """
    if not fit.exact:
        return {"form": "draws", **{name: _rounded(np.sort(np.asarray(_draws(fit, name, at)))) for name in _NAMES}}
    quadrature = fit.quadrature
    if quadrature.problem.cut is not None:
        return {"form": "grid", **{name: _grid(fit, name, at) for name in _NAMES}}
    mean_, row = functional_of(quadrature, fit, "mu", at)
    new, _ = functional_of(quadrature, fit, "theta_new", at)
    weights = quadrature.weights
    order = np.argsort(weights)
    kept = np.sort(order[np.cumsum(weights[order]) > LOST])
    return {
        "form": "mixture",
        "w": _rounded(weights[kept]),
        "m": _rounded(mean_.mean[row][kept]),
        "s": _rounded(np.sqrt(mean_.var[row][kept])),
        "t": _rounded(np.sqrt(new.var[row][kept])),
    }


_NAMES = ("mu", "theta_new")


def _draws(fit: Fit, name: str, at: Mapping[str, Any] | None) -> FloatArray:
    form: Any = marginal(fit, name, at)
    return np.asarray(form.values).ravel()


def _grid(fit: Fit, name: str, at: Mapping[str, Any] | None) -> dict[str, list[float]]:
    form = marginal(fit, name, at)
    low, high = (float(v) for v in form.quantile(np.array([1e-9, 1 - 1e-9])))
    x = np.linspace(low, high, POINTS)
    return {"x": _rounded(x), "cdf": _rounded(form.cdf(x)), "density": _rounded(form.density(x))}


def shipped_probability(form: Mapping[str, Any], name: str, x: float, *, upper: bool) -> float:
    """Compute a probability from a shipped form, as the page does.

    Parameters
    ----------
    form : mapping
        From `shipped_form`.
    name : {"mu", "theta_new"}
    x : float
        On the analysis scale.
    upper : bool
        Probability above x, else below.
    """
    from scipy import special

    if form["form"] == "draws":
        values = np.asarray(form[name])
        below = float(np.searchsorted(values, x, side="left")) / values.size
        return 1 - below if upper else below
    if form["form"] == "grid":
        grid = form[name]
        points = np.asarray(grid["x"])
        if x <= points[0] or x >= points[-1]:
            inside = 0.0 if x <= points[0] else 1.0
        else:
            i = int(np.searchsorted(points, x, side="right")) - 1
            h = points[i + 1] - points[i]
            u = (x - points[i]) / h
            c, d = grid["cdf"], grid["density"]
            inside = (
                c[i] * (1 + 2 * u) * (1 - u) ** 2 + c[i + 1] * u * u * (3 - 2 * u)
                + h * (d[i] * u * (1 - u) ** 2 - d[i + 1] * u * u * (1 - u))
            )  # fmt: skip
        return 1 - inside if upper else inside
    sd = np.asarray(form["s" if name == "mu" else "t"])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (x - np.asarray(form["m"])) / sd
    return float(np.asarray(form["w"]) @ special.ndtr(-z if upper else z))
