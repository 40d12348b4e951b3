"""Design matrices: moderators to columns, coefficients to effects.

Every column is centred at its mean over rows, so that ``mu`` is the effect averaged over the observed mix. A
categorical moderator gives each level an exchangeable deviation; only differences of deviations reach the data, so
the columns use an orthonormal basis of the contrasts, which keeps the deviations' prior exactly and makes every
answer the same under any relabelling or reference.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name
from bayesmeta.model.curves import Curve, Line, Ramps, Smooth, knots_at
from bayesmeta.model.specification import Coefficient, Exchangeable, Model, Monotone, Spline, Term
from bayesmeta.priors import Prior

__all__ = ["BETWEEN", "Columns", "Contrast", "Design", "Estimable", "Factor", "build_design", "estimable"]

FloatArray = NDArray[np.float64]
# trials beyond the number of coefficients that a regression needs before it is fitted
SPARE_TRIALS = 2
#: How the name of the columns ends by which a smooth curve departs from its line.
CURVE = ": curve"
#: How the name of a difference ends that is by how much the one between trials is another than that within them.
BETWEEN = " between - within"
#: A moderator or an interaction, and whether its columns are the means of trials.
Entry = tuple[str, bool]


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """One moderator as it enters: its values, and the basis of its columns.

    Attributes
    ----------
    levels : tuple of str
        Sorted; empty for a numeric moderator.
    centre : array
        Frequencies of the levels, or the mean of a numeric moderator (shape (1,)), over the rows that state it.
    basis : array of shape (levels, levels - 1)
        Orthonormal contrasts; empty for a numeric moderator.
    curve : Curve or None
        Columns of a numeric moderator: a line, a smooth curve or monotone ramps.
    missing : array of bool of shape (k,)
        Rows that do not state the moderator.
    """

    name: str
    levels: tuple[str, ...]
    centre: FloatArray
    basis: FloatArray
    curve: Curve | None
    reference: str | None
    missing: NDArray[np.bool_]

    @property
    def per(self) -> float:
        """Unit of a numeric moderator's slope."""
        return self.curve.per if isinstance(self.curve, (Line, Smooth)) else 1.0

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.basis.shape[1] if self.curve is None else self.curve.width

    def columns(self, values: NDArray[Any]) -> FloatArray:
        """Columns of shape ``(rows, c)`` for values of this moderator; a missing value stands at the centre."""
        if self.curve is not None:
            numbers = np.asarray(values, float)
            return self.curve.columns(np.where(np.isnan(numbers), self.centre[0], numbers), float(self.centre[0]))
        indicator = np.array(
            [
                self.centre if _is_missing(value) else np.array([value == level for level in self.levels], float)
                for value in values
            ]
        )
        return (indicator - self.centre) @ self.basis


def _is_missing(value: object) -> bool:
    return value is None or value == "" or value != value


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a design belong to one term, and their prior.

    Exactly one of these describes the coefficients: a stated ``prior``; a ``sd`` that is estimated, ``b ~ N(0, s**2)``;
    or ``total``, of which a Dirichlet gives each column its share.
    """

    name: str
    columns: slice
    prior: Prior | None = None
    sd: Prior | None = None
    total: Prior | None = None

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.columns.stop - self.columns.start

    @property
    def moderators(self) -> tuple[str, ...]:
        """Names of the moderators that enter; none for the mean."""
        return () if self.name == "mu" else tuple(self.name.removesuffix(CURVE).removesuffix(BETWEEN).split(":"))


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
    terms : tuple of Columns
        Which columns of ``X`` belong to which term; the first is ``mu``. A smooth curve has two terms, its line and
        its departure from it.
    prior_scale : array of shape (p,)
        What the stated prior's scale is multiplied by to give that of the internal coefficient.
    contrasts : tuple of Contrast
        The coefficients in reported form: slopes, and differences between levels.
    """

    X: FloatArray
    terms: tuple[Columns, ...]
    prior_scale: FloatArray
    contrasts: tuple[Contrast, ...]
    factors: Mapping[str, Factor]
    moderators: Mapping[str, NDArray[Any]]
    entries: tuple[Entry, ...] = ()
    study: tuple[str, ...] = ()

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
        at = {
            find_name("moderator", name, self.factors, place="in the model"): value
            for name, value in (at or {}).items()
        }
        for name, value in at.items():
            factor = self.factors[name]
            if factor.levels:
                at[name] = find_name(f"level of {name}", value, factor.levels, place="in the data")
            elif isinstance(value, (str, bool)) or value is None or not math.isfinite(float(value)):
                raise ModelError(f"moderator {name}: {value!r} is not a number.")
        if not at:
            return np.concatenate([[1.0], np.zeros(self.p - 1)])
        values = {
            name: np.full(self.X.shape[0], at[name], dtype=object if self.factors[name].levels else float)
            if name in at
            else self.moderators[name]
            for name in self.factors
        }
        centre = _raw_columns(self.factors, self.entries, self.moderators, self.study).mean(axis=0)
        at_values = _raw_columns(self.factors, self.entries, values, self.study).mean(axis=0)
        return np.concatenate([[1.0], at_values - centre])


def _raw_columns(
    factors: Mapping[str, Factor],
    entries: Sequence[Entry],
    values: Mapping[str, NDArray[Any]],
    study: Sequence[str],
) -> FloatArray:
    """Columns of every entry (a moderator or an interaction), before they are centred, shape ``(rows, p - 1)``."""
    parts = []
    for name, between in entries:
        block = np.ones((len(values[name.split(":")[0]]), 1))
        for part in name.split(":"):
            columns = factors[part].columns(values[part])
            block = (block[:, :, None] * columns[:, None, :]).reshape(block.shape[0], -1)
        parts.append(_trial_means(block, study) if between else block)
    return np.hstack(parts)


def _trial_means(block: FloatArray, study: Sequence[str]) -> FloatArray:
    """Every row becomes the mean of its trial's rows."""
    _, number = np.unique(np.asarray(study, dtype=object), return_inverse=True)
    inside = number[:, None] == np.arange(number.max() + 1)
    return np.asarray(inside @ (inside.T @ block / inside.sum(axis=0)[:, None]))


def _helmert(levels: int) -> FloatArray:
    """Orthonormal contrasts: ``H.T @ H = 1`` and every column sums to zero; shape ``(levels, levels - 1)``."""
    H = np.zeros((levels, levels - 1))
    for j in range(1, levels):
        H[:j, j - 1] = 1.0
        H[j, j - 1] = -j
        H[:, j - 1] /= math.sqrt(j * (j + 1))
    return H


def _factor(name: str, effects: Effects, term: Term | None, imputed: bool) -> Factor:
    values = effects.moderators[find_name("moderator", name, effects.moderators, place="of the effects")]
    numeric = values.dtype.kind == "f"
    missing = np.isnan(values) if numeric else np.array([_is_missing(v) for v in values])
    if missing.any() and not imputed:
        rows = ", ".join(effects.label[i] for i in np.flatnonzero(missing)[:5])
        raise ModelError(
            f"moderator {name}: no value for {rows}. State its population under `missing`, so that it is imputed "
            "jointly; or exclude these rows with a reason, or leave the moderator out. Missing values are never "
            "dropped silently."
        )
    if missing.all():
        raise ModelError(f"moderator {name}: no row states it, so nothing can be learned of it. Leave it out.")
    if numeric:
        if isinstance(term, Exchangeable):
            raise ModelError(f"moderator {name}: it is numeric, and only levels can be exchangeable.")
        stated = values[~missing]
        return Factor(name, (), np.array([stated.mean()]), np.empty((0, 0)), _curve(term, stated), None, missing)
    if isinstance(term, (Spline, Monotone)):
        raise ModelError(f"moderator {name}: it is categorical, and has no {type(term).__name__.lower()} curve.")
    stated_levels = [str(v) for v in values[~missing]]
    levels = tuple(sorted(set(stated_levels)))
    reference = (term.reference if term else None) or levels[0]
    if reference not in levels:
        raise ModelError(f"moderator {name}: reference {reference!r} is not in the data. Levels: {', '.join(levels)}.")
    frequency = np.array([np.mean([v == level for v in stated_levels]) for level in levels])
    return Factor(name, levels, frequency, _helmert(len(levels)), None, reference, missing)


def _curve(term: Term | None, stated: FloatArray) -> Curve:
    if isinstance(term, Spline):
        return Smooth(term.per, knots_at(term.knots, stated))
    if isinstance(term, Monotone):
        return Ramps(knots_at(term.knots, stated))
    return Line(term.per if isinstance(term, Coefficient) else 1.0)


def _contrasts(name: str, columns: slice, p: int, factors: Mapping[str, Factor], end: str = "") -> list[Contrast]:
    """Reported coefficients of a term: every level against the reference, slopes per unit, and their products."""
    choices: list[list[tuple[str, FloatArray]]] = []
    for part in name.split(":"):
        factor = factors[part]
        if factor.curve is not None:
            choices.append([(f"{part}{factor.curve.reported[0]}", factor.curve.reported[1])])
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
        result.append(Contrast(label + end, row))
    return result


def build_design(effects: Effects, model: Model) -> Design:
    """Make the design of a model for these effects.

    Raises
    ------
    ModelError
        For an unknown moderator or reference, a missing value, a moderator with one level only.

    Examples
    --------
    >>> by_two_weeks = bm.Model(model.mu, model.tau, {"weeks": bm.Coefficient(bm.Normal(0, 1), per=2)})
    >>> design = build_design(effects, by_two_weeks)  # 6, 12, 8 and 16 weeks: 10.5 on average
    >>> design.X[:, 1].tolist(), design.profile({"weeks": 12}).tolist()
    ([-2.25, 0.75, -1.25, 2.75], [1.0, 0.75])
    """
    if not model.beta:
        mu = (Columns("mu", slice(0, 1), model.mu),)
        return Design(np.ones((effects.k, 1)), mu, np.ones(1), (), {}, {})
    parts = dict.fromkeys(part for name in model.beta for part in name.split(":"))
    factors = {part: _factor(part, effects, model.beta.get(part), part in model.missing) for part in parts}
    constant = [
        name
        for name, factor in factors.items()
        if len(factor.levels) == 1 or (not factor.levels and np.ptp(_stated(effects, factor)) == 0)
    ]
    if constant:
        raise ModelError(
            f"moderator {', '.join(constant)}: the same in every row, so it cannot be a moderator here. Leave it out."
        )
    terms = [Columns("mu", slice(0, 1), model.mu)]
    scale = [1.0]
    contrasts: list[tuple[str, slice, str]] = []
    entries: list[Entry] = []
    for name, term in model.beta.items():
        start = len(scale)
        pieces = [factors[part] for part in name.split(":")]
        curved = any(isinstance(piece.curve, (Smooth, Ramps)) for piece in pieces)
        if len(pieces) > 1 and (curved or any(piece.missing.any() for piece in pieces)):
            raise ModelError(f"interaction {name}: its moderators may be neither curves nor imputed.")
        scale += _prior_scales(name, term, factors)
        columns = slice(start, len(scale))
        contrasts.append((name, columns, ""))
        entries.append((name, False))
        terms += _term_columns(name, term, columns)
        if isinstance(term, Coefficient) and term.between is not None:
            start = len(scale)
            scale += _prior_scales(name, term, factors)
            columns = slice(start, len(scale))
            contrasts.append((name, columns, BETWEEN))
            entries.append((name, True))
            terms.append(Columns(f"{name}{BETWEEN}", columns, term.between))
    values = {part: effects.moderators[part] for part in parts}
    raw = _raw_columns(factors, entries, values, effects.study)
    X = np.hstack([np.ones((effects.k, 1)), raw - raw.mean(axis=0)])
    reported = tuple(c for name, columns, end in contrasts for c in _contrasts(name, columns, X.shape[1], factors, end))
    return Design(X, tuple(terms), np.array(scale), reported, factors, values, tuple(entries), effects.study)


def _stated(effects: Effects, factor: Factor) -> NDArray[Any]:
    return effects.moderators[factor.name][~factor.missing]


def _prior_scales(name: str, term: Term, factors: Mapping[str, Factor]) -> list[float]:
    """Give what the stated scale is multiplied by, per column of a term."""
    parts = name.split(":")
    width = math.prod(factors[part].width for part in parts)
    if isinstance(term, Coefficient):
        # a contrast of two exchangeable deviations with scale s has scale s * sqrt(2), and so on for products
        return [2 ** (-sum(bool(factors[part].levels) for part in parts) / 2)] * width
    return [1.0] * width


def _term_columns(name: str, term: Term, columns: slice) -> list[Columns]:
    if isinstance(term, Coefficient):
        return [Columns(name, columns, term.prior)]
    if isinstance(term, Exchangeable):
        return [Columns(name, columns, sd=term.sd)]
    if isinstance(term, Monotone):
        return [Columns(name, columns, total=term.total)]
    line = slice(columns.start, columns.start + 1)
    return [Columns(name, line, term.slope), Columns(f"{name}{CURVE}", slice(line.stop, columns.stop), sd=term.sd)]


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
    >>> three = dict.fromkeys(["weeks", "type", "timing"], bm.Normal(0, 1))
    >>> estimable(effects, bm.Model(model.mu, model.tau, three)).reason
    'not estimable: 4 trials, 4 coefficients, rank 4; 6 trials are needed'
    """

    def single(name: str) -> bool:
        if name not in effects.moderators:
            return False
        stated = {str(value) for value in effects.moderators[name].tolist() if not _is_missing(value)}
        return len(stated) < 2

    parts = dict.fromkeys(part for name in model.beta for part in name.split(":"))
    left_out = tuple(part for part in parts if single(part))
    kept = {name: c for name, c in model.beta.items() if not set(name.split(":")) & set(left_out)}
    reduced = dataclasses.replace(
        model, beta=kept, missing={name: item for name, item in model.missing.items() if name in kept}
    )
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
