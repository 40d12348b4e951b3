"""Design matrices from moderators: numbers as they are or centred, categories by treatment coding, interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.classical.rows import FloatArray, column_rank
from bayesmeta.errors import ModelError, find_name

__all__ = ["TreatmentDesign", "category_levels", "check_full_rank", "treatment_design"]


@dataclass(frozen=True, slots=True, eq=False)
class TreatmentDesign:
    """A design matrix with the names of its columns.

    Attributes
    ----------
    X : ndarray, shape (k, p)
    terms : tuple of str
        ``intercept``, ``weeks``, ``timing[during]``, ``weeks:timing[during]``.
    reference : dict
        Reference level of each categorical moderator.
    centre : dict
        What was subtracted from each numeric moderator.
    """

    X: FloatArray
    terms: tuple[str, ...]
    reference: dict[str, str]
    centre: dict[str, float]


def category_levels(values: NDArray[Any]) -> list[str]:
    """Distinct levels in alphabetical order, upper and lower case alike.

    Examples
    --------
    >>> category_levels(np.array(["BDI", "ad hoc", "BDI"], dtype=object))
    ['ad hoc', 'BDI']
    """
    return sorted({str(value) for value in values}, key=lambda level: (level.casefold(), level))


def treatment_design(
    moderators: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    k: int,
    *,
    reference: Mapping[str, str] | None = None,
    centre: bool = False,
) -> TreatmentDesign:
    """Build a design with an intercept.

    Parameters
    ----------
    moderators : mapping of str to array, shape (k,)
        Float arrays are numeric, object arrays of str categorical.
    names : sequence of str
        Moderators, and interactions as ``"a:b"`` of moderators that are themselves in `names`.
    k : int
    reference : mapping of str to str, optional
        Reference levels; the first in alphabetical order where not given.
    centre : bool
        Subtract the mean over rows from numeric moderators.

    Returns
    -------
    TreatmentDesign

    Raises
    ------
    ModelError
        For an unknown moderator or level, a missing value, an interaction without its main effects, or a design
        without full column rank.

    Examples
    --------
    >>> found = treatment_design({"timing": np.array(["after", "during", "during"], dtype=object)}, ["timing"], 3)
    >>> found.terms, found.X.tolist()
    (('intercept', 'timing[during]'), [[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    """
    reference = dict(reference or {})
    coded: dict[str, list[tuple[str, FloatArray]]] = {}
    columns: list[tuple[str, FloatArray]] = [("intercept", np.ones(k))]
    references: dict[str, str] = {}
    centres: dict[str, float] = {}
    for name in names:
        if name in coded:
            raise ModelError(f"moderator {name!r} is named twice.")
        if name not in moderators and ":" in name:
            parts = name.split(":")
            if absent := [part for part in parts if part not in coded]:
                raise ModelError(
                    f"interaction {name!r}: name {', '.join(map(repr, absent))} before it; "
                    "an interaction without its main effects depends on the coding."
                )
            cells: list[tuple[str, FloatArray]] = coded[parts[0]]
            for part in parts[1:]:
                cells = [(f"{left}:{right}", a * b) for left, a in cells for right, b in coded[part]]
            coded[name] = cells
        else:
            found = find_name("moderator", name, moderators, place="of these data")
            coded[name] = _main(name, moderators[found], reference, references, centres, centre=centre)
        columns += coded[name]
    if unused := sorted(set(reference) - set(references)):
        raise ModelError(f"reference for {', '.join(unused)}: not among the categorical moderators of this model.")
    X = np.column_stack([column for _, column in columns])
    terms = tuple(term for term, _ in columns)
    check_full_rank(X, terms)
    return TreatmentDesign(X, terms, references, centres)


def _main(
    name: str,
    values: NDArray[Any],
    reference: Mapping[str, str],
    references: dict[str, str],
    centres: dict[str, float],
    *,
    centre: bool,
) -> list[tuple[str, FloatArray]]:
    if values.dtype.kind == "f":
        if (bad := np.flatnonzero(~np.isfinite(values))).size:
            raise _missing(name, bad)
        centres[name] = float(values.mean()) if centre else 0.0
        return [(name, values - centres[name])]
    if (bad := np.flatnonzero([not isinstance(value, str) or not value.strip() for value in values])).size:
        raise _missing(name, bad)
    levels = category_levels(values)
    base = reference.get(name, levels[0])
    if base not in levels:
        raise ModelError(f"reference of {name}: no row has level {base!r}. Its levels: {', '.join(levels)}.")
    if len(levels) == 1:
        raise ModelError(f"moderator {name!r} has one level, {base!r}: it cannot explain differences. Leave it out.")
    references[name] = base
    return [(f"{name}[{level}]", (values == level).astype(float)) for level in levels if level != base]


def _missing(name: str, rows: NDArray[np.intp]) -> ModelError:
    listed = ", ".join(str(row + 1) for row in rows[:10])
    return ModelError(
        f"moderator {name!r} is missing or not finite in rows {listed}{' ...' if rows.size > 10 else ''} "
        "(counted from 1). Leave out those rows or the moderator; nothing is imputed here."
    )


def check_full_rank(X: FloatArray, terms: Sequence[str]) -> None:
    """Refuse a design whose columns are not independent, naming those that others determine."""
    k, p = X.shape
    rank = column_rank(X)
    if rank == p:
        return
    kept: list[int] = []
    spare = []
    for column in range(p):
        if column_rank(X[:, [*kept, column]]) > len(kept):
            kept.append(column)
        else:
            spare.append(terms[column])
    raise ModelError(
        f"the design has {p} columns but rank {rank} with k = {k} estimates: {', '.join(spare)} "
        "cannot be told apart from the terms before. Leave them out or join levels."
    )
