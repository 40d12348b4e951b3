"""The families of prior distributions, as frozen values.

Every prior of a heterogeneity is a prior of tau, the between-study SD, never of tau squared.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.errors import ModelError

__all__ = [
    "Cauchy",
    "Exponential",
    "Flat",
    "HalfCauchy",
    "HalfNormal",
    "HalfStudentT",
    "InverseGamma",
    "Jeffreys",
    "LogNormal",
    "LogStudentT",
    "Normal",
    "Prior",
    "StudentT",
    "Truncated",
    "Uniform",
]

FloatArray = NDArray[np.float64]
Tail = tuple[float, float]
_EXPONENTIAL: Tail = (math.inf, 0.0)
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def _text(value: object) -> str:
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


@dataclass(frozen=True, slots=True, repr=False)
class Prior:
    """A one-dimensional prior; the families below are its only forms.

    Attributes
    ----------
    proper : bool
        Whether the density integrates to one. An improper prior has no `cdf` and no `ppf`.
    tail : tuple of (float, float)
        The density falls as ``x**-power * log(x)**-log_power`` when ``x`` grows; ``power`` is infinite where it falls
        faster than any power. It decides which posterior moments exist.
    """

    name: ClassVar[str] = ""
    proper: ClassVar[bool] = True

    @property
    def support(self) -> tuple[float, float]:
        """The smallest interval that holds all mass."""
        return (-math.inf, math.inf)

    @property
    def tail(self) -> Tail:
        """``(power, log_power)`` of the right tail of the density."""
        return _EXPONENTIAL

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(_text(getattr(self, f.name)) for f in dataclasses.fields(self))})"

    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Log density at ``x``, of the shape of ``x``; minus infinity outside the support."""
        raise NotImplementedError

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value not above ``x``."""
        raise ModelError(f"{self!r} is improper: it has no distribution function. Use a proper prior.")

    def ppf(self, p: ArrayLike) -> FloatArray:
        """Quantile at probability ``p``."""
        raise ModelError(f"{self!r} is improper: it has no quantiles. Use a proper prior.")


def _check(prior: Prior, *, positive: tuple[str, ...] = (), finite: tuple[str, ...] = ()) -> None:
    for name in positive + finite:
        value = getattr(prior, name)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
            raise ModelError(f"{prior.name}: {name} = {value!r} is not a number.")
        object.__setattr__(prior, name, float(value))
        if not math.isfinite(value):
            raise ModelError(f"{prior.name}: {name} = {value!r} is not finite.")
    for name in positive:
        if not getattr(prior, name) > 0:
            raise ModelError(f"{prior.name}: {name} = {_text(getattr(prior, name))} is not > 0.")


def _student_logpdf(z: FloatArray, df: float) -> FloatArray:
    constant = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * math.log(df * math.pi)
    return constant - (df + 1) / 2 * np.log1p(z * z / df)


@dataclass(frozen=True, slots=True, repr=False)
class Normal(Prior):
    """Normal with ``mean`` and ``sd``.

    Examples
    --------
    >>> Normal(0, 1)
    normal(0, 1)
    >>> round(float(Normal(0, 1).cdf(1.959964)), 6)
    0.975
    """

    mean: float
    sd: float
    name: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        _check(self, positive=("sd",), finite=("mean",))

    def logpdf(self, x: ArrayLike) -> FloatArray:
        z = (np.asarray(x, float) - self.mean) / self.sd
        return -0.5 * z * z - _LOG_SQRT_2PI - math.log(self.sd)

    def cdf(self, x: ArrayLike) -> FloatArray:
        return special.ndtr((np.asarray(x, float) - self.mean) / self.sd)

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.mean + self.sd * special.ndtri(np.asarray(p, float))


@dataclass(frozen=True, slots=True, repr=False)
class StudentT(Prior):
    """Student-t with ``loc``, ``scale`` and ``df`` degrees of freedom."""

    loc: float
    scale: float
    df: float
    name: ClassVar[str] = "studentt"

    def __post_init__(self) -> None:
        _check(self, positive=("scale", "df"), finite=("loc",))

    @property
    def tail(self) -> Tail:
        return (self.df + 1, 0.0)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        return _student_logpdf((np.asarray(x, float) - self.loc) / self.scale, self.df) - math.log(self.scale)

    def cdf(self, x: ArrayLike) -> FloatArray:
        return special.stdtr(self.df, (np.asarray(x, float) - self.loc) / self.scale)

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.loc + self.scale * special.stdtrit(self.df, np.asarray(p, float))


@dataclass(frozen=True, slots=True, repr=False)
class Cauchy(Prior):
    """Cauchy with ``loc`` and ``scale``: Student-t with one degree of freedom."""

    loc: float
    scale: float
    name: ClassVar[str] = "cauchy"

    def __post_init__(self) -> None:
        _check(self, positive=("scale",), finite=("loc",))

    @property
    def tail(self) -> Tail:
        return (2.0, 0.0)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        return _student_logpdf((np.asarray(x, float) - self.loc) / self.scale, 1.0) - math.log(self.scale)

    def cdf(self, x: ArrayLike) -> FloatArray:
        # accurate in the lower tail and at the centre, unlike 0.5 + arctan(z) / pi and stdtr
        return np.arctan2(1.0, (self.loc - np.asarray(x, float)) / self.scale) / np.pi

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.loc + self.scale * np.tan(np.pi * (np.asarray(p, float) - 0.5))


class _Positive:
    """Support of the positive half-line."""

    __slots__ = ()

    @property
    def support(self) -> tuple[float, float]:
        """The positive half-line."""
        return (0.0, math.inf)


def _on_positive(x: ArrayLike, values: FloatArray) -> FloatArray:
    return np.where(np.asarray(x, float) >= 0, values, -np.inf)


@dataclass(frozen=True, slots=True, repr=False)
class HalfNormal(_Positive, Prior):
    """Half-normal: the absolute value of a normal with mean 0 and SD ``scale``.

    Examples
    --------
    >>> HalfNormal(0.5).ppf([0.5, 0.95]).round(3)
    array([0.337, 0.98 ])
    """

    scale: float
    name: ClassVar[str] = "halfnormal"

    def __post_init__(self) -> None:
        _check(self, positive=("scale",))

    def logpdf(self, x: ArrayLike) -> FloatArray:
        z = np.asarray(x, float) / self.scale
        return _on_positive(x, math.log(2) - 0.5 * z * z - _LOG_SQRT_2PI - math.log(self.scale))

    def cdf(self, x: ArrayLike) -> FloatArray:
        return special.erf(np.maximum(np.asarray(x, float), 0) / (self.scale * math.sqrt(2)))

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.scale * math.sqrt(2) * special.erfinv(np.asarray(p, float))


@dataclass(frozen=True, slots=True, repr=False)
class HalfStudentT(_Positive, Prior):
    """Half-Student-t: the absolute value of a Student-t with location 0, ``scale`` and ``df``."""

    scale: float
    df: float
    name: ClassVar[str] = "halfstudentt"

    def __post_init__(self) -> None:
        _check(self, positive=("scale", "df"))

    @property
    def tail(self) -> Tail:
        return (self.df + 1, 0.0)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        z = np.asarray(x, float) / self.scale
        return _on_positive(x, math.log(2) + _student_logpdf(z, self.df) - math.log(self.scale))

    def cdf(self, x: ArrayLike) -> FloatArray:
        # twice the distribution function of a Student-t minus one would cancel near zero
        z2 = np.square(np.maximum(np.asarray(x, float), 0) / self.scale)
        share = np.where(np.isinf(z2), 1.0, z2 / (self.df + np.where(np.isinf(z2), 0.0, z2)))
        return special.betainc(0.5, self.df / 2, share)

    def ppf(self, p: ArrayLike) -> FloatArray:
        p = np.asarray(p, float)
        with np.errstate(divide="ignore"):
            odds = special.betaincinv(0.5, self.df / 2, p) / special.betaincinv(self.df / 2, 0.5, 1 - p)
        return self.scale * np.sqrt(self.df * odds)


@dataclass(frozen=True, slots=True, repr=False)
class HalfCauchy(_Positive, Prior):
    """Half-Cauchy with ``scale``, its median."""

    scale: float
    name: ClassVar[str] = "halfcauchy"

    def __post_init__(self) -> None:
        _check(self, positive=("scale",))

    @property
    def tail(self) -> Tail:
        return (2.0, 0.0)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        z = np.asarray(x, float) / self.scale
        return _on_positive(x, math.log(2 / math.pi) - np.log1p(z * z) - math.log(self.scale))

    def cdf(self, x: ArrayLike) -> FloatArray:
        return 2 / np.pi * np.arctan(np.maximum(np.asarray(x, float), 0) / self.scale)

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.scale * np.tan(np.pi / 2 * np.asarray(p, float))


@dataclass(frozen=True, slots=True, repr=False)
class LogNormal(_Positive, Prior):
    """Log-normal: the logarithm is normal with ``meanlog`` and ``sdlog``."""

    meanlog: float
    sdlog: float
    name: ClassVar[str] = "lognormal"

    def __post_init__(self) -> None:
        _check(self, positive=("sdlog",), finite=("meanlog",))

    def logpdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(np.asarray(x, float))
            z = (log - self.meanlog) / self.sdlog
            value = -0.5 * z * z - _LOG_SQRT_2PI - math.log(self.sdlog) - log
        return np.where(np.asarray(x, float) > 0, value, -np.inf)

    def cdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            return special.ndtr((np.log(np.maximum(np.asarray(x, float), 0)) - self.meanlog) / self.sdlog)

    def ppf(self, p: ArrayLike) -> FloatArray:
        return np.exp(self.meanlog + self.sdlog * special.ndtri(np.asarray(p, float)))


@dataclass(frozen=True, slots=True, repr=False)
class LogStudentT(_Positive, Prior):
    """Log-Student-t: the logarithm is Student-t with ``loc``, ``scale`` and ``df``.

    The density is unbounded at zero, and no moment exists.
    """

    loc: float
    scale: float
    df: float
    name: ClassVar[str] = "logstudentt"

    def __post_init__(self) -> None:
        _check(self, positive=("scale", "df"), finite=("loc",))

    @property
    def tail(self) -> Tail:
        return (1.0, self.df + 1)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(x)
            value = _student_logpdf((log - self.loc) / self.scale, self.df) - math.log(self.scale) - log
        return np.where(x > 0, value, np.where(x == 0, np.inf, -np.inf))

    def cdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            z = (np.log(np.maximum(np.asarray(x, float), 0)) - self.loc) / self.scale
        # stdtr answers nan at minus infinity
        return np.where(np.isneginf(z), 0.0, special.stdtr(self.df, np.where(np.isneginf(z), 0.0, z)))

    def ppf(self, p: ArrayLike) -> FloatArray:
        with np.errstate(over="ignore"):
            return np.exp(self.loc + self.scale * special.stdtrit(self.df, np.asarray(p, float)))


@dataclass(frozen=True, slots=True, repr=False)
class InverseGamma(_Positive, Prior):
    """Inverse gamma with ``shape`` and ``scale``; no mass near zero.

    Examples
    --------
    >>> float(InverseGamma(1.71, 0.40).ppf(0.5).round(3))
    0.288
    """

    shape: float
    scale: float
    name: ClassVar[str] = "inversegamma"

    def __post_init__(self) -> None:
        _check(self, positive=("shape", "scale"))

    @property
    def tail(self) -> Tail:
        return (self.shape + 1, 0.0)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, float)
        constant = self.shape * math.log(self.scale) - float(special.gammaln(self.shape))
        with np.errstate(divide="ignore", invalid="ignore"):
            value = constant - (self.shape + 1) * np.log(x) - self.scale / x
        return np.where(x > 0, value, -np.inf)

    def cdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            return special.gammaincc(self.shape, self.scale / np.maximum(np.asarray(x, float), 0))

    def ppf(self, p: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            return self.scale / special.gammainccinv(self.shape, np.asarray(p, float))


@dataclass(frozen=True, slots=True, repr=False)
class Exponential(_Positive, Prior):
    """Exponential with ``rate``."""

    rate: float
    name: ClassVar[str] = "exponential"

    def __post_init__(self) -> None:
        _check(self, positive=("rate",))

    def logpdf(self, x: ArrayLike) -> FloatArray:
        return _on_positive(x, math.log(self.rate) - self.rate * np.asarray(x, float))

    def cdf(self, x: ArrayLike) -> FloatArray:
        return -np.expm1(-self.rate * np.maximum(np.asarray(x, float), 0))

    def ppf(self, p: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            return -np.log1p(-np.asarray(p, float)) / self.rate


@dataclass(frozen=True, slots=True, repr=False)
class Uniform(Prior):
    """Uniform between ``low`` and ``high``, both finite; `Flat` is the improper one."""

    low: float
    high: float
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        _check(self, finite=("low", "high"))
        if not self.low < self.high:
            raise ModelError(f"uniform: low = {_text(self.low)} is not below high = {_text(self.high)}.")

    @property
    def support(self) -> tuple[float, float]:
        return (self.low, self.high)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, float)
        return np.where((x >= self.low) & (x <= self.high), -math.log(self.high - self.low), -np.inf)

    def cdf(self, x: ArrayLike) -> FloatArray:
        return np.clip((np.asarray(x, float) - self.low) / (self.high - self.low), 0, 1)

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.low + (self.high - self.low) * np.asarray(p, float)


@dataclass(frozen=True, slots=True, repr=False)
class Truncated(Prior):
    """A proper prior cut to ``[low, high]`` and rescaled; either end may be infinite.

    Examples
    --------
    >>> Truncated(Normal(0, 1), 0, math.inf)
    truncated(normal(0, 1), 0, inf)
    >>> bool(np.isclose(Truncated(Normal(0, 1), 0, math.inf).logpdf(0.3), HalfNormal(1).logpdf(0.3)))
    True
    """

    prior: Prior
    low: float
    high: float
    name: ClassVar[str] = "truncated"

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Prior) or not self.prior.proper or isinstance(self.prior, Truncated):
            raise ModelError(
                f"truncated: {self.prior!r} cannot be truncated; give a proper prior (a flat one between two ends is "
                "uniform(low, high))."
            )
        for name in ("low", "high"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float, np.floating, np.integer))
                or value != value
            ):
                raise ModelError(f"truncated: {name} = {value!r} is not a number.")
            object.__setattr__(self, name, float(value))
        if not self.low < self.high:
            raise ModelError(f"truncated: low = {_text(self.low)} is not below high = {_text(self.high)}.")
        if not self.mass > 0:
            raise ModelError(f"truncated: {self.prior!r} has no mass between {self.low:g} and {self.high:g}.")

    @property
    def mass(self) -> float:
        """The probability that the untruncated prior gives to ``[low, high]``."""
        low, high = self.low, self.high
        centre = getattr(self.prior, "mean", getattr(self.prior, "loc", None))
        if self.prior.support[0] == -math.inf and centre is not None and low > centre:
            # the families on the whole line are symmetric; their lower tail keeps the digits that the upper one loses
            low, high = 2 * centre - high, 2 * centre - low
        return float(self.prior.cdf(high) - self.prior.cdf(low))

    @property
    def support(self) -> tuple[float, float]:
        low, high = self.prior.support
        return (max(low, self.low), min(high, self.high))

    @property
    def tail(self) -> Tail:
        return _EXPONENTIAL if math.isfinite(self.high) else self.prior.tail

    def logpdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, float)
        inside = (x >= self.low) & (x <= self.high)
        return np.where(inside, self.prior.logpdf(x) - math.log(self.mass), -np.inf)

    def cdf(self, x: ArrayLike) -> FloatArray:
        x = np.clip(np.asarray(x, float), self.low, self.high)
        return (self.prior.cdf(x) - self.prior.cdf(self.low)) / self.mass

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.prior.ppf(self.prior.cdf(self.low) + np.asarray(p, float) * self.mass)


@dataclass(frozen=True, slots=True, repr=False)
class Flat(Prior):
    """Improper uniform density, equal to one everywhere (on the positive half-line for tau)."""

    name: ClassVar[str] = "flat"
    proper: ClassVar[bool] = False

    @property
    def tail(self) -> Tail:
        return (0.0, 0.0)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        return np.zeros_like(np.asarray(x, float))


@dataclass(frozen=True, slots=True, repr=False)
class Jeffreys(_Positive, Prior):
    """Jeffreys' prior of tau, which depends on the standard errors; improper.

    With ``V = S + tau**2 R`` the density is proportional to ``tau * sqrt(trace((V**-1 R)**2))``, the square root of
    the Fisher information of tau; R's bayesmeta calls it "Jeffreys". It is evaluated against the data by the engine.
    """

    name: ClassVar[str] = "jeffreys"
    proper: ClassVar[bool] = False

    @property
    def tail(self) -> Tail:
        return (1.0, 0.0)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        raise ModelError("jeffreys() depends on the standard errors: its density is known only within a fit.")
