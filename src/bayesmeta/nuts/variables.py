"""Priors as PyMC variables, their numbers as mutable data: one compilation serves every prior of a family."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesmeta.errors import ModelError
from bayesmeta.priors import LogStudentT, Prior, Truncated, resolve

__all__ = ["Data", "deviation", "family", "log_density", "variable", "vector"]

# family -> PyMC's class and its names for our fields
_FAMILIES: dict[str, tuple[str, dict[str, str]]] = {
    "normal": ("Normal", {"mean": "mu", "sd": "sigma"}),
    "studentt": ("StudentT", {"loc": "mu", "scale": "sigma", "df": "nu"}),
    "cauchy": ("Cauchy", {"loc": "alpha", "scale": "beta"}),
    "halfnormal": ("HalfNormal", {"scale": "sigma"}),
    "halfstudentt": ("HalfStudentT", {"scale": "sigma", "df": "nu"}),
    "halfcauchy": ("HalfCauchy", {"scale": "beta"}),
    "lognormal": ("LogNormal", {"meanlog": "mu", "sdlog": "sigma"}),
    "inversegamma": ("InverseGamma", {"shape": "alpha", "scale": "beta"}),
    "exponential": ("Exponential", {"rate": "lam"}),
    "uniform": ("Uniform", {"low": "lower", "high": "upper"}),
}


class Data:
    """Numbers and arrays that a compiled model takes as they come; ``values`` are this problem's."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, name: str, value: Any) -> Any:
        """Put a number or an array into the model under a name."""
        self.values[name] = np.asarray(value, float)
        return pm.Data(name, self.values[name])


def family(prior: Prior | None) -> tuple[Any, ...]:
    """What of a prior changes the compiled model: its family, and for a truncated one which ends are finite."""
    if prior is None:
        return ()
    kernel = resolve(prior)
    if isinstance(kernel, Truncated):
        return ("truncated", *family(kernel.prior), math.isfinite(kernel.low), math.isfinite(kernel.high))
    return (kernel.name,)


def _parameters(kernel: Prior, name: str, data: Data) -> tuple[str, dict[str, Any]]:
    if kernel.name not in _FAMILIES:
        raise ModelError(f"{name}: {kernel!r} cannot be sampled. Use one of {', '.join(_FAMILIES)}.")
    cls, names = _FAMILIES[kernel.name]
    return cls, {
        names[item.name]: data(f"prior_{name}_{item.name}", getattr(kernel, item.name))
        for item in fields(kernel)
        if item.name in names
    }


def log_density(name: str, prior: Prior, value: Any, data: Data) -> Any:
    """Log density of a prior at a symbolic value, elementwise."""
    kernel = resolve(prior)
    cls, parameters = _parameters(kernel, name, data)
    return pm.logp(getattr(pm, cls).dist(**parameters), value)


# families that are a distribution about zero, folded
_FOLDED = ("halfnormal", "halfstudentt", "halfcauchy")


def deviation(name: str, prior: Prior, data: Data) -> Any:
    """Make a standard deviation that the rest of the model knows by its square only.

    A half-normal, half-t or half-Cauchy is sampled as a variable of either sign, of which the SD is the absolute value:
    the posterior is symmetric and smooth through zero, where the logarithm of the SD would run off to minus infinity.
    """
    kernel = resolve(prior)
    if kernel.name not in _FOLDED:
        return variable(name, prior, data, positive=True)
    _, parameters = _parameters(kernel, name, data)
    if kernel.name == "halfcauchy":
        signed = pm.Cauchy(f"{name}_signed", alpha=0.0, beta=parameters["beta"])
    elif kernel.name == "halfstudentt":
        signed = pm.StudentT(f"{name}_signed", mu=0.0, **parameters)
    else:
        signed = pm.Normal(f"{name}_signed", mu=0.0, **parameters)
    return pm.Deterministic(name, pt.abs(signed))


def variable(name: str, prior: Prior, data: Data, *, positive: bool = False) -> Any:
    """Make a scalar variable with a prior.

    Parameters
    ----------
    positive : bool
        For the improper flat prior: on the positive half-line.
    """
    kernel = resolve(prior)
    if isinstance(kernel, LogStudentT):
        loc, scale, df = (data(f"prior_{name}_{item}", getattr(kernel, item)) for item in ("loc", "scale", "df"))
        return pm.Deterministic(name, pt.exp(loc + scale * pm.StudentT(f"{name}_log", nu=df, mu=0.0, sigma=1.0)))
    if isinstance(kernel, Truncated):
        return _truncated(name, kernel, data)
    if kernel.name in ("flat", "jeffreys"):
        return pm.HalfFlat(name) if positive or kernel.name == "jeffreys" else pm.Flat(name)
    cls, parameters = _parameters(kernel, name, data)
    return getattr(pm, cls)(name, **parameters)


def _truncated(name: str, kernel: Truncated, data: Data) -> Any:
    inner = resolve(kernel.prior)
    low, high = kernel.support
    if isinstance(inner, LogStudentT):
        loc, scale, df = (data(f"prior_{name}_{item}", getattr(inner, item)) for item in ("loc", "scale", "df"))
        ends = [(math.log(end) - inner.loc) / inner.scale if 0 < end < math.inf else None for end in (low, high)]
        base = pm.StudentT.dist(nu=df, mu=0.0, sigma=1.0)
        return pm.Deterministic(name, pt.exp(loc + scale * _between(f"{name}_log", base, ends, data)))
    cls, parameters = _parameters(inner, name, data)
    ends = [end if math.isfinite(end) else None for end in (low, high)]
    return _between(name, getattr(pm, cls).dist(**parameters), ends, data)


def _between(name: str, base: Any, ends: list[float | None], data: Data) -> Any:
    lower, upper = (
        None if end is None else data(f"prior_{name}_{side}", end)
        for end, side in zip(ends, ("from", "to"), strict=True)
    )
    return pm.Truncated(name, base, lower=lower, upper=upper)


def vector(name: str, prior: Prior, scale: np.ndarray, data: Data) -> Any:
    """Make the coefficients of one term, shape ``(width,)``: a stated prior times a factor per column.

    A Student-t or Cauchy prior of several columns is multivariate: the columns share their mixing scale, so that every
    contrast of levels has the stated prior.
    """
    kernel = resolve(prior)
    width = scale.size
    if width == 1 and np.all(scale == 1):
        return pt.reshape(variable(name, prior, data), (1,))
    if kernel.name == "flat":
        return pm.Flat(name, shape=width)
    factor = data(f"factor_{name}", scale)
    if width == 1:
        return factor * pt.reshape(variable(f"{name}_unit", prior, data), (1,))
    if kernel.name == "normal":
        return factor * kernel_normal(name, kernel, width, data)
    if kernel.name in ("studentt", "cauchy"):
        df = data(f"prior_{name}_df", getattr(kernel, "df", 1.0))
        spread = data(f"prior_{name}_scale", kernel.scale)  # type: ignore[attr-defined]
        mixing = pm.Gamma(f"{name}_mixing", alpha=df / 2, beta=df / 2)
        return factor * spread * pm.Normal(f"{name}_unit", shape=width) / pt.sqrt(mixing)
    raise ModelError(f"moderator {name}: {prior!r} cannot be the prior of levels. Use normal, studentt or cauchy at 0.")


def kernel_normal(name: str, kernel: Prior, width: int, data: Data) -> Any:
    """Independent normals, shape ``(width,)``."""
    _, parameters = _parameters(kernel, name, data)
    return pm.Normal(f"{name}_unit", shape=width, **parameters)
