"""The registry of minimal important differences: what ships, found by the name of an instrument."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from bayesmeta.errors import find_name
from bayesmeta.plan.thresholds import Better, Compared, Kind, PointsThreshold

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COMPARED", "MinimalDifference", "mid_registry", "minimal_difference"]

#: How it is said what a difference was found between.
COMPARED: dict[Compared | None, str] = {
    "within": "within people over time",
    "between": "between groups",
    "both": "between groups and within people",
    None: "not stated whether within people or between groups",
}
_VERIFIED = {
    "read": "read in the source",
    "abstract": "read in the abstract",
    "secondary": "read in another paper",
    "remembered": "not looked up",
}


@dataclass(frozen=True, slots=True)
class MinimalDifference:
    """A minimal important difference of an instrument, in its own points, with what is known of it.

    Parameters
    ----------
    instrument : str
    measures : str
        What it measures, with how many items.
    better : {"higher", "lower"}
        Which of its scores are better.
    scale : (float, float) or None
        Lowest and highest score; None where there is none, or it is not stated.
    points : float or (float, float)
        The difference: one number, or a range.
    kind : {"anchor", "distribution", "convention", "panel"}
    method, population, citation, reference, doi : str
        How it was found, in whom, and where it stands; empty where that is not known.
    compared : {"within", "between", "both"} or None
        What it was found between.
    verified : {"read", "abstract", "secondary", "remembered"}
        What was read when the registry was written; ``seen`` says what stands there.
    seen : str
    aliases : tuple of str

    Examples
    --------
    >>> minimal_difference("FACIT-Fatigue").threshold.benefit
    3.0
    """

    instrument: str
    measures: str
    better: Better
    scale: tuple[float, float] | None
    points: float | tuple[float, float]
    kind: Kind
    method: str
    compared: Compared | None
    population: str
    citation: str
    reference: str
    doi: str
    verified: Literal["read", "abstract", "secondary", "remembered"]
    seen: str
    aliases: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Where it comes from, how it was found, and what was verified, in one sentence."""
        doi = f", doi:{self.doi}" if self.doi else ""
        found = f"{self.method}; {COMPARED[self.compared]}; {self.population}"
        return f"{self.reference}{doi} ({found}; {_VERIFIED[self.verified]})"

    @property
    def threshold(self) -> PointsThreshold:
        """The same as a threshold in points, for benefit and harm alike."""
        return PointsThreshold(self.points, self.source, self.kind, compared=self.compared)


@functools.cache
def _entries() -> tuple[MinimalDifference, ...]:
    text = resources.files("bayesmeta.plan").joinpath("minimal_differences.toml").read_text(encoding="utf-8")

    def amount(value: float | list[float]) -> Any:
        return (float(value[0]), float(value[1])) if isinstance(value, list) else float(value)

    return tuple(
        MinimalDifference(
            instrument=item["name"],
            measures=item["measures"],
            better=item["better"],
            scale=amount(item["scale"]) if "scale" in item else None,
            aliases=tuple(item["aliases"]),
            **{"compared": None} | difference | {"points": amount(difference["points"])},
        )
        for item in tomllib.loads(text)["instrument"]
        for difference in item["difference"]
    )


def minimal_difference(name: str) -> MinimalDifference:
    """A minimal important difference of the registry, by the name of its instrument.

    Parameters
    ----------
    name : str
        The instrument, or another name that it is known by, without regard to case: ``"FACIT-Fatigue"``. Where several
        differences of one instrument are listed this is the first; ``"FACT-G, Eton 2004"`` names another.

    Raises
    ------
    ModelError
        For an instrument that is not listed; the nearest names stand in the message.

    Examples
    --------
    >>> found = minimal_difference("hads depression")
    >>> found.instrument, found.points, found.kind, found.compared
    ('HADS-D', 1.4, 'distribution', 'within')
    >>> minimal_difference("FACT-G, Eton 2004").points
    (5.0, 6.0)
    """
    by_name: dict[str, MinimalDifference] = {}
    for item in _entries():
        for called in (item.instrument, *item.aliases):
            by_name.setdefault(called, item)
            by_name[f"{called}, {item.citation}"] = item
    folded = {called.casefold(): item for called, item in by_name.items()}
    if isinstance(name, str) and name.strip().casefold() in folded:
        return folded[name.strip().casefold()]
    # the message lists instruments, not all that they are also called
    return by_name[
        find_name("instrument", name, dict.fromkeys(x.instrument for x in _entries()), place="in the registry")
    ]


def mid_registry() -> pd.DataFrame:
    """All minimal important differences that ship, one line each.

    Returns
    -------
    pandas.DataFrame
        Columns ``instrument measures better lowest highest low high kind compared method population citation reference
        doi verified seen aliases``; ``low`` and ``high`` are the difference in points, equal where it is one number.
        The first line of an instrument is the one that its name alone finds (`minimal_difference`).

    Notes
    -----
    Most were found within people over time. Using them between groups is a convention (GRADE guidelines 13), and a
    difference between group means below one may still be one for many people.

    References
    ----------
    Guyatt GH et al. J Clin Epidemiol 2013;66:173-183. doi:10.1016/j.jclinepi.2012.08.001

    Examples
    --------
    >>> table = mid_registry()
    >>> table[table["instrument"] == "HADS-A"][["low", "high", "kind", "verified"]].values.tolist()
    [[1.41, 1.57, 'anchor', 'read'], [1.7, 1.7, 'anchor', 'abstract']]
    """
    import pandas as pd

    rows = []
    for item in _entries():
        low, high = item.points if isinstance(item.points, tuple) else (item.points, item.points)
        lowest, highest = item.scale or (float("nan"), float("nan"))
        rows.append(
            {
                "instrument": item.instrument,
                "measures": item.measures,
                "better": item.better,
                "lowest": lowest,
                "highest": highest,
                "low": low,
                "high": high,
                "kind": item.kind,
                "compared": item.compared or "",
                **{key: getattr(item, key) for key in ("method", "population", "citation", "reference", "doi")},
                "verified": item.verified,
                "seen": item.seen,
                "aliases": ", ".join(item.aliases),
            }
        )
    return pd.DataFrame(rows)
