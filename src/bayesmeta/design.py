"""Design matrices: moderators to columns, coefficients to effects.

Every column is centred at its mean over rows, so that ``mu`` is the effect averaged over the observed mix. A
categorical moderator gives each level an exchangeable deviation; only differences of deviations reach the data, so
the columns use an orthonormal basis of the contrasts, which keeps the deviations' prior exactly and makes every
answer the same under any relabelling or reference.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.model import Coefficient, Model

__all__ = ["Contrast", "Design", "Estimable", "Factor", "build_design", "estimable"]

FloatArray = NDArray[np.float64]
# trials beyond the number of coefficients that a regression needs before it is fitted
SPARE_TRIALS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """One moderator as it enters: its values, and the basis of its columns.

    Attributes
    ----------
    levels : tuple of str
        Sorted; empty for a numeric moderator.
    centre : array
        Frequencies of the levels, or the mean of a numeric moderator (shape (1,)).
    basis : array of shape (levels, levels - 1)
        Orthonormal contrasts; ``[[1 / per]]`` for a numeric moderator.
    """

    name: str
    levels: tuple[str, ...]
    centre: FloatArray
    basis: FloatArray
    per: float
    reference: str | None

    def columns(self, values: NDArray[Any]) -> FloatArray:
        """Columns of shape ``(rows, c)`` for values of this moderator."""
        if not self.levels:
            return (np.asarray(values, float)[:, None] - self.centre) @ self.basis
        indicator = np.array([[value == level for level in self.levels] for value in values], float)
        return (indicator - self.centre) @ self.basis


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """A coefficient as it is reported: a name and its weights on the internal coefficients, shape ``(p,)``."""

    name: str
    weights: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The regression of the study effects.

    Attributes
    ----------
    X : array of shape (k, p)
        First column one; the others centred.
    terms : tuple of (name, columns)
        Which columns of ``X`` belong to which term; the first is ``mu``.
    prior_scale : array of shape (p,)
        What the stated prior's scale is multiplied by to give that of the internal coefficient.
    contrasts : tuple of Contrast
        The coefficients in reported form: slopes, and differences between levels.
    """

    X: FloatArray
    terms: tuple[tuple[str, slice], ...]
    prior_scale: FloatArray
    contrasts: tuple[Contrast, ...]
    factors: Mapping[str, Factor]
    moderators: Mapping[str, NDArray[Any]]

    @property
    def p(self) -> int:
        """Number of columns."""
        return self.X.shape[1]

    def profile(self, at: Mapping[str, Any] | None = None) -> FloatArray:
        """Row of the design for a named profile, shape ``(p,)``.

        Moderators that are not named keep their observed values, over which the row is averaged.

        Raises
        ------
        ModelError
            For a moderator that is not in the model, or a level that is not in the data.
        """
        at = dict(at or {})
        for name, value in at.items():
            if name not in self.factors:
                allowed = ", ".join(self.factors) or "none: the model has no moderators"
                raise ModelError(f"unknown moderator {name!r}. Allowed: {allowed}.")
            factor = self.factors[name]
            if factor.levels and value not in factor.levels:
                near = difflib.get_close_matches(str(value), factor.levels, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ModelError(
                    f"moderator {name}: level {value!r} is not in the data.{hint} Levels: {', '.join(factor.levels)}."
                )
            if not factor.levels and (
                isinstance(value, (str, bool)) or value is None or not math.isfinite(float(value))
            ):
                raise ModelError(f"moderator {name}: {value!r} is not a number.")
        if not at:
            return np.concatenate([[1.0], np.zeros(self.p - 1)])
        values = {
            name: np.full(self.X.shape[0], at[name], dtype=object if self.factors[name].levels else float)
            if name in at
            else self.moderators[name]
            for name in self.factors
        }
        centre = np.concatenate([[0.0], _raw_columns(self.factors, self.terms, self.moderators)[:, 1:].mean(axis=0)])
        return _raw_columns(self.factors, self.terms, values).mean(axis=0) - centre


def _raw_columns(
    factors: Mapping[str, Factor], terms: tuple[tuple[str, slice], ...], values: Mapping[str, NDArray[Any]]
) -> FloatArray:
    rows = len(next(iter(values.values()))) if values else 0
    parts = [np.ones((rows, 1))]
    for name, _ in terms[1:]:
        block = np.ones((rows, 1))
        for part in name.split(":"):
            columns = factors[part].columns(values[part])
            block = (block[:, :, None] * columns[:, None, :]).reshape(rows, -1)
        parts.append(block)
    return np.hstack(parts)


def _helmert(levels: int) -> FloatArray:
    """Orthonormal contrasts: ``H.T @ H = 1`` and every column sums to zero; shape ``(levels, levels - 1)``."""
    H = np.zeros((levels, levels - 1))
    for j in range(1, levels):
        H[:j, j - 1] = 1.0
        H[j, j - 1] = -j
        H[:, j - 1] /= math.sqrt(j * (j + 1))
    return H


def _factor(name: str, effects: Effects, coefficient: Coefficient | None) -> Factor:
    if name not in effects.moderators:
        allowed = ", ".join(effects.moderators) or "none: the effects carry no moderators"
        raise ModelError(f"unknown moderator {name!r}. Allowed: {allowed}.")
    values = effects.moderators[name]
    numeric = values.dtype.kind == "f"
    missing = np.isnan(values) if numeric else np.array([v is None or v == "" or v != v for v in values])
    if missing.any():
        rows = ", ".join(effects.label[i] for i in np.flatnonzero(missing)[:5])
        raise ModelError(
            f"moderator {name}: no value for {rows}. Exclude these rows with a reason, or leave the moderator out; "
            "missing values are never dropped silently."
        )
    per = coefficient.per if coefficient else 1.0
    if numeric:
        return Factor(name, (), np.array([values.mean()]), np.array([[1.0 / per]]), per, None)
    levels = tuple(sorted({str(v) for v in values}))
    reference = (coefficient.reference if coefficient else None) or levels[0]
    if reference not in levels:
        raise ModelError(f"moderator {name}: reference {reference!r} is not in the data. Levels: {', '.join(levels)}.")
    frequency = np.array([np.mean([v == level for v in values]) for level in levels])
    return Factor(name, levels, frequency, _helmert(len(levels)), 1.0, reference)


def _contrasts(name: str, columns: slice, p: int, factors: Mapping[str, Factor]) -> list[Contrast]:
    """Reported coefficients of a term: every level against the reference, slopes per unit, and their products."""
    choices: list[list[tuple[str, FloatArray]]] = []
    for part in name.split(":"):
        factor = factors[part]
        if not factor.levels:
            unit = "" if factor.per == 1 else f" per {factor.per:g}"
            choices.append([(f"{part}{unit}", np.array([1.0]))])
            continue
        base = factor.levels.index(factor.reference or factor.levels[0])
        choices.append(
            [
                (f"{part}: {level} - {factor.levels[base]}", factor.basis[i] - factor.basis[base])
                for i, level in enumerate(factor.levels)
                if i != base
            ]
        )
    combined = choices[0]
    for other in choices[1:]:
        combined = [(f"{a} x {b}", np.outer(u, v).ravel()) for a, u in combined for b, v in other]
    result = []
    for label, weights in combined:
        row = np.zeros(p)
        row[columns] = weights
        result.append(Contrast(label, row))
    return result


def build_design(effects: Effects, model: Model) -> Design:
    """Make the design of a model for these effects.

    Raises
    ------
    ModelError
        For an unknown moderator or reference, a missing value, a moderator with one level only.

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal, Normal
    >>> effects = Effects("AB", [0, 1], [1, 1], measure="MD", moderators={"weeks": [6, 12]})
    >>> design = build_design(effects, Model(Normal(0, 1), HalfNormal(1), {"weeks": Coefficient(Normal(0, 1), per=6)}))
    >>> design.X.tolist(), design.profile({"weeks": 12}).tolist()
    ([[1.0, -0.5], [1.0, 0.5]], [1.0, 0.5])
    """
    if not model.beta:
        return Design(np.ones((effects.k, 1)), (("mu", slice(0, 1)),), np.ones(1), (), {}, {})
    parts = dict.fromkeys(part for name in model.beta for part in name.split(":"))
    factors = {part: _factor(part, effects, model.beta.get(part)) for part in parts}
    constant = [
        name
        for name, factor in factors.items()
        if len(factor.levels) == 1 or (not factor.levels and np.ptp(effects.moderators[name]) == 0)
    ]
    if constant:
        raise ModelError(
            f"moderator {', '.join(constant)}: the same in every row, so it cannot be a moderator here. Leave it out."
        )
    terms: list[tuple[str, slice]] = [("mu", slice(0, 1))]
    scale = [1.0]
    for name in model.beta:
        width = math.prod(factors[part].basis.shape[1] for part in name.split(":"))
        start = terms[-1][1].stop
        terms.append((name, slice(start, start + width)))
        # a contrast of two exchangeable deviations with scale s has scale s * sqrt(2), and so on for products
        categories = sum(bool(factors[part].levels) for part in name.split(":"))
        scale += [2 ** (-categories / 2)] * width
    values = {part: effects.moderators[part] for part in parts}
    raw = _raw_columns(factors, tuple(terms), values)
    X = raw - np.concatenate([[0.0], raw[:, 1:].mean(axis=0)])
    contrasts = tuple(c for name, columns in terms[1:] for c in _contrasts(name, columns, X.shape[1], factors))
    return Design(X, tuple(terms), np.array(scale), contrasts, factors, values)


@dataclass(frozen=True, slots=True)
class Estimable:
    """Whether a regression is fitted, and if not, why.

    Attributes
    ----------
    left_out : tuple of str
        Moderators with one level in these data, which are left out by name.
    model : Model
        The model without them.
    """

    ok: bool
    reason: str
    left_out: tuple[str, ...]
    model: Model


def estimable(effects: Effects, model: Model) -> Estimable:
    """Decide whether the moderators of ``model`` can be estimated from ``effects``.

    The design must have full rank and at least two trials more than coefficients (the mean included), so that a
    slope driven by its prior is never printed as a finding.

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal, Normal
    >>> effects = Effects("AB", [0, 1], [1, 1], measure="MD", moderators={"weeks": [6, 12]})
    >>> estimable(effects, Model(Normal(0, 1), HalfNormal(1), {"weeks": Normal(0, 1)})).reason
    'not estimable: 2 trials, 2 coefficients, rank 2; 4 trials are needed'
    """

    def single(name: str) -> bool:
        if name not in effects.moderators:
            return False
        values = effects.moderators[name]
        return bool(np.ptp(values) == 0) if values.dtype.kind == "f" else len({str(v) for v in values}) == 1

    parts = dict.fromkeys(part for name in model.beta for part in name.split(":"))
    left_out = tuple(part for part in parts if single(part))
    kept = {name: c for name, c in model.beta.items() if not set(name.split(":")) & set(left_out)}
    reduced = Model(model.mu, model.tau, kept, model.rho)
    if not kept:
        return Estimable(False, "not estimable: every moderator has one level", left_out, reduced)
    design = build_design(effects, reduced)
    rank = int(np.linalg.matrix_rank(design.X))
    needed = design.p + SPARE_TRIALS
    ok = rank == design.p and effects.n_trials >= needed
    reason = f"{effects.n_trials} trials, {design.p} coefficients, rank {rank}"
    if not ok:
        reason = f"not estimable: {reason}; " + (
            "the moderators are confounded" if rank < design.p else f"{needed} trials are needed"
        )
    return Estimable(ok, reason, left_out, reduced)
