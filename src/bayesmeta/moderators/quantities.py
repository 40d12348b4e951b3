"""What a moderated model says of its moderators, as linear functions of its coefficients with the rows behind each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.fits import Fit
from bayesmeta.model import Contrast, Design, Factor

__all__ = ["Part", "Quantity", "coefficients", "effects_at"]

FloatArray = NDArray[np.float64]
Part = Literal["contrast", "slope", "interaction", "simple effect", "level", "value", "cell"]
#: Shares of the trials at whose value of a numeric moderator the effect is given.
_QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A linear function of the coefficients.

    Attributes
    ----------
    moderator : str
        Its name; ``"a:b"`` of an interaction, its cells and its simple effects.
    part : str
    name : str
        Which contrast, level or value.
    row : array of shape (p,)
    sides : tuple of boolean arrays of shape (k,)
        Rows on each side of a comparison; one where nothing is compared.
    """

    moderator: str
    part: Part
    name: str
    row: FloatArray
    sides: tuple[NDArray[np.bool_], ...]


def coefficients(fit: Fit) -> list[Quantity]:
    """Contrasts between levels, slopes, interactions and simple effects, in the order of the model.

    Parameters
    ----------
    fit : Fit
        A moderated fit.

    Returns
    -------
    list of Quantity
        Of a categorical moderator the difference of every two levels, the reference first; of a numeric one the slope
        per stated unit, of a curve at its mean. Other moderators are averaged over the observed mix. Of an interaction
        the differences of differences against the reference levels, then each difference of one moderator at every
        level of the other.
    """
    design, found = fit.design, list[Quantity]()
    for entry in fit.model.beta:
        if ":" not in entry:
            found += _main(fit, entry, entry, "", {})
            continue
        found += _interaction(fit, entry)
        for first, second in ((0, 1), (1, 0)):
            parts = entry.split(":")
            name, other = parts[first], parts[second]
            for value, label, _ in _places(fit, other):
                found += _main(fit, name, entry, f" at {other} = {label}", {other: value})
    assert all(item.row.shape == (design.p,) for item in found)
    return found


def _main(fit: Fit, name: str, moderator: str, end: str, at: dict[str, Any]) -> list[Quantity]:
    """Differences between the levels of one moderator, or its slope; with others held at ``at``."""
    design = fit.design
    factor = design.factors[name]
    here = np.all([_rows(fit, other, value) for other, value in at.items()], axis=0) if at else _every(fit)
    if not factor.levels:
        centre = float(factor.centre[0])
        row = design.profile({**at, name: centre + factor.per}) - design.profile({**at, name: centre})
        words = f"slope per {factor.per:g}"
        part: Part = "simple effect" if at else "slope"
        return [Quantity(moderator, part, f"{name}: {words}{end}" if at else words, row, (here & ~factor.missing,))]
    found = []
    for first, second in combinations(_ordered(factor), 2):
        row = design.profile({**at, name: second}) - design.profile({**at, name: first})
        sides = tuple(here & _rows(fit, name, level) for level in (first, second))
        words = f"{second} - {first}"
        if at:
            found.append(Quantity(moderator, "simple effect", f"{name}: {words}{end}", row, sides))
        else:
            found.append(Quantity(moderator, "contrast", words, row, sides))
    return found


def _interaction(fit: Fit, entry: str) -> list[Quantity]:
    """Differences of differences, as the design reports them; every cell that enters is a side."""
    design = fit.design
    parts = entry.split(":")
    choices: list[list[tuple[NDArray[np.bool_], ...]]] = []
    for part in parts:
        factor = design.factors[part]
        if factor.levels:
            base, *others = _ordered(factor)
            choices.append([(_rows(fit, part, base), _rows(fit, part, level)) for level in others])
        else:
            choices.append([(_every(fit),)])
    reported = _reported(design, entry)
    found = []
    for item, pair in zip(reported, product(*choices), strict=True):
        sides = tuple(a & b for a, b in product(*pair))
        found.append(Quantity(entry, "interaction", item.name, item.weights, sides))
    return found


def _reported(design: Design, term: str) -> list[Contrast]:
    """Coefficients of one term as the design reports them."""
    columns = next(item.columns for item in design.terms if item.name == term)
    return [item for item in design.contrasts if not np.delete(item.weights, columns).any()]


def effects_at(fit: Fit) -> list[Quantity]:
    """Mean effects at every level, at values of numeric moderators, and in every cell of an interaction.

    Parameters
    ----------
    fit : Fit
        A moderated fit.

    Returns
    -------
    list of Quantity
        Values are those of the trial at the least, the quartiles and the largest of the stated ones; behind each are
        the rows that are nearer to it than to the other values. Other moderators are averaged over the observed mix.
    """
    found = []
    for entry in fit.model.beta:
        names = entry.split(":")
        for combination in product(*(_places(fit, name) for name in names)):
            at = {name: value for name, (value, _, _) in zip(names, combination, strict=True)}
            labels = [label for _, label, _ in combination]
            rows = np.all([rows for _, _, rows in combination], axis=0)
            part: Part = "cell" if len(names) > 1 else "level" if fit.design.factors[entry].levels else "value"
            found.append(Quantity(entry, part, " x ".join(labels), fit.design.profile(at), (rows,)))
    return found


def _ordered(factor: Factor) -> list[str]:
    """Levels, the reference first."""
    return [str(factor.reference), *(level for level in factor.levels if level != factor.reference)]


def _every(fit: Fit) -> NDArray[np.bool_]:
    return np.ones(fit.effects.k, dtype=bool)


def _rows(fit: Fit, name: str, value: Any) -> NDArray[np.bool_]:
    """Rows at a level; of a numeric moderator those nearest to one of its places."""
    if fit.design.factors[name].levels:
        return np.array([item == value for item in fit.effects.moderators[name].tolist()], bool)
    return next(rows for place, _, rows in _places(fit, name) if place == value)


def _places(fit: Fit, name: str) -> list[tuple[Any, str, NDArray[np.bool_]]]:
    """Levels or values of a moderator at which effects are given: value, name, rows behind it."""
    factor = fit.design.factors[name]
    if factor.levels:
        return [(level, str(level), _rows(fit, name, level)) for level in _levels(fit.design, name)]
    values = np.asarray(fit.effects.moderators[name], float)
    means = _by_trial(values, fit.effects.study)
    places = np.unique(np.quantile(means, _QUARTILES, method="nearest"))
    nearest = np.full(values.size, -1)
    nearest[~factor.missing] = np.abs(values[~factor.missing, None] - places).argmin(axis=1)
    return [(float(place), f"{place:.4g}", nearest == number) for number, place in enumerate(places)]


def _levels(design: Design, name: str) -> Sequence[str]:
    return _ordered(design.factors[name])


def _by_trial(values: FloatArray, study: Sequence[str]) -> FloatArray:
    """Mean of each trial's stated values."""
    trials: dict[str, list[float]] = {}
    for name, value in zip(study, values.tolist(), strict=True):
        if value == value:
            trials.setdefault(name, []).append(value)
    return np.array([np.mean(inside) for inside in trials.values()])
