"""The published tables of empirical priors, each value with its citation.

Turner et al. (2015) and Rhodes et al. (2015) publish their distributions for tau squared; location and scale are
halved on reading, which gives the distribution of tau.
"""

from __future__ import annotations

import csv
import difflib
import functools
import math
from dataclasses import dataclass
from importlib import resources
from typing import ClassVar

from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError
from bayesmeta.priors.families import (
    FloatArray,
    HalfNormal,
    InverseGamma,
    LogNormal,
    LogStudentT,
    Normal,
    Prior,
    StudentT,
    Tail,
    Truncated,
)

__all__ = ["Cochrane", "Rhodes2015", "Turner2015", "resolve"]

_RHODES = "Rhodes KM, Turner RM, Higgins JPT. J Clin Epidemiol 2015;68:52-60. doi:10.1016/j.jclinepi.2014.08.012"
_TURNER = "Turner RM, et al. Stat Med 2015;34:984-998. doi:10.1002/sim.6381"
_COCHRANE_SMD = "Bartos F, et al. Stat Med 2021;40:6743-6761. doi:10.1002/sim.9170"
_COCHRANE_BINARY = "Bartos F, et al. arXiv:2306.11468 (2023). doi:10.48550/arXiv.2306.11468"

# cells that break the additive pattern of their own table; the published value is shipped and the doubt travels with it
_RHODES_DOUBTS = {
    ("other", "mental health outcome", "non-pharmacological (any)"): "location breaks the column's offset of +0.14",
    ("cancer", "internal and external structure-related outcome", "pharmacological vs. placebo / control"): (
        "location breaks the column's offset of -0.28"
    ),
    ("respiratory", "obstetric outcome", "non-pharmacological (any)"): "scale is about 0.1 above its column's pattern",
}

# two priors of psychology that the source package lists beside the Cochrane ones: van Erp's is of tau for SMDs,
# Oosterwijk's is of an effect; the table files both under the heterogeneity of log hazard ratios
_NOT_COCHRANE = ("van Erp", "Oosterwijk")


@functools.cache
def _rows(file: str) -> tuple[dict[str, str], ...]:
    text = resources.files("bayesmeta.priors").joinpath("tables", file).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _find(rows: list[dict[str, str]], keys: dict[str, str], table: str) -> dict[str, str]:
    """Narrow ``rows`` by one key after another; a name that is not there is answered with the nearest ones."""
    for key, value in keys.items():
        allowed = list(dict.fromkeys(row[key] for row in rows))
        exact = [name for name in allowed if name.lower() == str(value).lower()]
        if not exact:
            near = difflib.get_close_matches(str(value).lower(), [a.lower() for a in allowed], n=3, cutoff=0.3)
            names = [name for low in near for name in allowed if name.lower() == low] or allowed
            raise ModelError(f"{table}: no {key.removeprefix('effect_')} {value!r}. Nearest: {'; '.join(names)}.")
        rows = [row for row in rows if row[key] == exact[0]]
    return rows[0]


@dataclass(frozen=True, slots=True, repr=False)
class _Tabled(Prior):
    """A named entry of a published table, which answers as the distribution that it stands for."""

    @property
    def resolved(self) -> Prior:
        """The distribution of the parameter itself (of tau, not tau squared)."""
        raise NotImplementedError

    @property
    def source(self) -> str:
        """The citation of the table."""
        raise NotImplementedError

    @property
    def support(self) -> tuple[float, float]:
        return self.resolved.support

    @property
    def tail(self) -> Tail:
        return self.resolved.tail

    def logpdf(self, x: ArrayLike) -> FloatArray:
        return self.resolved.logpdf(x)

    def cdf(self, x: ArrayLike) -> FloatArray:
        return self.resolved.cdf(x)

    def ppf(self, p: ArrayLike) -> FloatArray:
        return self.resolved.ppf(p)


@dataclass(frozen=True, slots=True, repr=False)
class Rhodes2015(_Tabled):
    """Predictive distribution of tau for standardised mean differences.

    Parameters
    ----------
    area : str
        ``"any"``, ``"cancer"``, ``"respiratory"`` or ``"other"``.
    outcome, comparison : str
        As printed in the table (upper and lower case do not matter); ``"any"`` for the general distribution.

    Notes
    -----
    The table gives a log-Student-t with 5 degrees of freedom for tau squared; halving location and scale gives tau.

    References
    ----------
    Rhodes KM, Turner RM, Higgins JPT. J Clin Epidemiol 2015;68:52-60. doi:10.1016/j.jclinepi.2014.08.012

    Examples
    --------
    >>> Rhodes2015().resolved
    logstudentt(-1.72, 1.295, 5)
    """

    area: str = "any"
    outcome: str = "any"
    comparison: str = "any"
    name: ClassVar[str] = "rhodes2015"

    def __post_init__(self) -> None:
        row = self._row
        for key in ("area", "outcome", "comparison"):
            object.__setattr__(self, key, row[key])

    @property
    def _row(self) -> dict[str, str]:
        rows = [row for row in _rows("priors_turner_rhodes.csv") if row["source"] == "Rhodes2015"]
        return _find(rows, {"area": self.area, "outcome": self.outcome, "comparison": self.comparison}, "rhodes2015")

    @property
    def resolved(self) -> Prior:
        row = self._row
        return LogStudentT(float(row["location"]) / 2, float(row["scale"]) / 2, float(row["df"]))

    @property
    def source(self) -> str:
        return _RHODES

    @property
    def note(self) -> str | None:
        """What is doubtful about the published cell, if anything is."""
        return _RHODES_DOUBTS.get((self.area, self.outcome, self.comparison))


@dataclass(frozen=True, slots=True, repr=False)
class Turner2015(_Tabled):
    """Predictive distribution of tau for log odds ratios: log-normal for tau squared, halved for tau.

    References
    ----------
    Turner RM, et al. Stat Med 2015;34:984-998. doi:10.1002/sim.6381

    Examples
    --------
    >>> prior = Turner2015("surgical / device related success / failure", "pharmacological vs. placebo / control")
    >>> prior.ppf([0.025, 0.5, 0.975]).round(6)
    array([0.062339, 0.343009, 1.88734 ])
    """

    outcome: str = "any"
    comparison: str = "any"
    name: ClassVar[str] = "turner2015"

    def __post_init__(self) -> None:
        row = self._row
        for key in ("outcome", "comparison"):
            object.__setattr__(self, key, row[key])

    @property
    def _row(self) -> dict[str, str]:
        rows = [row for row in _rows("priors_turner_rhodes.csv") if row["source"] == "Turner2015"]
        return _find(rows, {"outcome": self.outcome, "comparison": self.comparison}, "turner2015")

    @property
    def resolved(self) -> Prior:
        row = self._row
        return LogNormal(float(row["location"]) / 2, float(row["scale"]) / 2)

    @property
    def source(self) -> str:
        return _TURNER


@dataclass(frozen=True, slots=True, repr=False)
class Cochrane(_Tabled):
    """Empirical distributions of a subfield of the Cochrane Database, of tau or of the mean effect.

    Parameters
    ----------
    measure : str
        ``"smd"``, ``"logor"``, ``"logrr"``, ``"rd"`` or ``"loghr"``.
    subfield : str
        As in the table; the whole database where the table says so.
    parameter : {"tau", "mu"}
        Whose distribution.

    References
    ----------
    SMD: Bartos et al. 2021, doi:10.1002/sim.9170; ratios and RD: Bartos et al. 2023, doi:10.48550/arXiv.2306.11468.

    Examples
    --------
    >>> Cochrane("smd", "Pain, Palliative and Supportive Care").resolved
    inversegamma(1.69, 0.42)
    """

    measure: str
    subfield: str
    parameter: str = "tau"
    name: ClassVar[str] = "cochrane"

    def __post_init__(self) -> None:
        if self.parameter not in ("tau", "mu"):
            raise ModelError(f"cochrane: parameter {self.parameter!r} is not one of tau, mu.")
        row = self._row
        object.__setattr__(self, "measure", row["effect_measure"])
        object.__setattr__(self, "subfield", row["subfield"])

    @property
    def _row(self) -> dict[str, str]:
        kind = "heterogeneity" if self.parameter == "tau" else "effect"
        rows = [
            row
            for row in _rows("priors_cochrane_bayestools.csv")
            if row["parameter"] == kind and row["subfield"] not in _NOT_COCHRANE
        ]
        return _find(rows, {"effect_measure": self.measure, "subfield": self.subfield}, "cochrane")

    @property
    def resolved(self) -> Prior:
        row = self._row
        params = {key.strip(): float(value) for key, value in (item.split("=") for item in row["params"].split(";"))}
        if row["distribution"] == "invgamma":
            return InverseGamma(params["shape"], params["scale"])
        if row["distribution"] == "t":
            return StudentT(params["location"], params["scale"], params["df"])
        if self.parameter == "tau":
            # the table's normal for a heterogeneity is cut at zero
            return (
                HalfNormal(params["sd"])
                if params["mean"] == 0
                else Truncated(Normal(params["mean"], params["sd"]), 0, math.inf)
            )
        return Normal(params["mean"], params["sd"])

    @property
    def source(self) -> str:
        return _COCHRANE_SMD if self.measure == "smd" else _COCHRANE_BINARY


@functools.lru_cache(maxsize=256)
def _resolved(prior: _Tabled) -> Prior:
    return prior.resolved


def resolve(prior: Prior) -> Prior:
    """Replace an entry of a table by the distribution it stands for; any other prior is returned as it is."""
    if isinstance(prior, _Tabled):
        return _resolved(prior)
    if isinstance(prior, Truncated) and isinstance(prior.prior, _Tabled):
        return Truncated(prior.prior.resolved, prior.low, prior.high)
    return prior
