"""One model for one set of effects as arrays of rows, for engines that draw; functions of arrays.

A row of the effects is one row here, unless a categorical moderator of its trial is missing: then the trial's rows
stand once for every level it may have, a *scenario* each. Rows that share patients are rotated (`likelihood.rotate`),
so that given the parameters every row has its own variance ``a + spread``, and study effects are integrated out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmeta import numerics
from bayesmeta.effects import Effects, component_labels
from bayesmeta.errors import ModelError
from bayesmeta.exact import location, rotate, rotation_of, why_unsupported
from bayesmeta.model import (
    Design,
    Line,
    MissingLevels,
    MissingNumeric,
    Model,
    build_design,
    effect_correlations,
    levels_of,
    refuse_opposite_roles,
)
from bayesmeta.priors import Prior

__all__ = [
    "HierarchicalRows",
    "Imputed",
    "Levels",
    "Polynomial",
    "Spread",
    "build_rows",
    "control_arms",
    "effect_factor",
    "units_of",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Imputed:
    """A numeric moderator that some trials do not state.

    Attributes
    ----------
    stated : array
        One value per trial that states it.
    trials : tuple of str
        Those that do not, n of them.
    place : array of shape (E, n)
        One where a row belongs to such a trial.
    """

    name: str
    population: MissingNumeric
    column: int
    centre: float
    per: float
    stated: FloatArray
    trials: tuple[str, ...]
    place: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A categorical moderator that some trials do not state.

    Attributes
    ----------
    counts : array of shape (L,)
        Trials that state each level.
    trials : tuple of str
        Those that do not.
    taken : array of int of shape (S, trials)
        Level of each such trial in each scenario; -1 where the scenario is of another unit.
    shift : array of shape (L,)
        Log odds by which a level is likelier where it is missing.
    """

    name: str
    population: MissingLevels
    levels: tuple[str, ...]
    counts: FloatArray
    trials: tuple[str, ...]
    taken: IntArray
    shift: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """Estimates, and the log scale of their densities, as Chebyshev series in a number that nobody reported."""

    name: str
    low: float
    high: float
    y: FloatArray
    se: FloatArray
    log_scale: FloatArray

    @property
    def moving(self) -> NDArray[np.bool_]:
        """Rows that depend on the number."""
        return (np.abs(self.y[:, 1:]).max(axis=1) + np.abs(self.se[:, 1:]).max(axis=1)) > 0


class Spread(NamedTuple):
    """A tau that depends on a moderator.

    ``priors`` are by the names of the quantities: ``tau[LEVEL]``, or ``tau`` at the mean of a numeric moderator and
    ``tau_slope``; ``number`` (E,) is the level of each row, ``z`` (E,) the centred values, one of them None. ``mixed``
    are rows of one block with several taus, which are not rotated, with their sampling covariance.
    """

    priors: dict[str, Prior]
    number: IntArray | None
    z: FloatArray | None
    mixed: tuple[tuple[IntArray, FloatArray], ...]

    def taus(self, draws: Mapping[str, FloatArray]) -> FloatArray:
        """Tau of every row at draws, shape (E, N)."""
        if self.z is not None:
            return draws["tau"] * np.exp(draws["tau_slope"] * self.z[:, None])
        return np.stack([draws[name] for name in self.priors])[self.number]


@dataclass(frozen=True, slots=True, eq=False)
class HierarchicalRows:
    """Effects and model in the form that is sampled.

    Attributes
    ----------
    row : array of int of shape (E,)
        Which row of the effects.
    scenario : array of int of shape (E,)
    unit : array of int of shape (S,)
        Which unit (trials that depend on each other) a scenario is of.
    X : array of shape (E, p)
    y, a, b : arrays of shape (E,)
        Estimates as they are; sampling variance and weight of the study effects' variance after rotation.
    turns : tuple of (rows, forward, backward)
        The rotation of every set of rows that share patients, there and back.
    logdet : array of shape (S,)
    cluster : array of shape (E,) or None
        The rotated indicator of each row's cluster.
    sd_rows : array of int
        Rows (of E) whose standard deviation is missing.
    spread : Spread or None
        Where tau depends on a moderator.
    """

    effects: Effects
    model: Model
    design: Design
    units: tuple[str, ...]
    row: IntArray
    scenario: IntArray
    unit: IntArray
    X: FloatArray
    y: FloatArray
    a: FloatArray
    b: FloatArray
    turns: tuple[tuple[IntArray, FloatArray, FloatArray], ...]
    logdet: FloatArray
    cluster: FloatArray | None
    imputed: tuple[Imputed, ...]
    levels: tuple[Levels, ...]
    polynomials: tuple[Polynomial, ...]
    sd_rows: IntArray
    spread: Spread | None = None

    @property
    def row_unit(self) -> IntArray:
        """Unit of every row, shape (E,)."""
        return self.unit[self.scenario]

    def rotate(self, M: FloatArray) -> FloatArray:
        """Apply the rotation to rows of ``M`` of shape (E, ...)."""
        result = np.array(M, float)
        for rows, forward, _ in self.turns:
            result[rows] = np.tensordot(forward, result[rows], axes=1)
        return result

    def unrotate(self, M: FloatArray) -> FloatArray:
        """Undo the rotation."""
        result = np.array(M, float)
        for rows, _, backward in self.turns:
            result[rows] = np.tensordot(backward, result[rows], axes=1)
        return result

    @property
    def rotation_matrix(self) -> FloatArray:
        """The rotation as one dense matrix, shape (E, E)."""
        return self.rotate(np.eye(self.row.size))

    def by_scenario(self, rows: FloatArray) -> FloatArray:
        """Sum rows of shape (E, N) by scenario, shape (S, N)."""
        total = np.zeros((self.unit.size, rows.shape[1]))
        np.add.at(total, self.scenario, rows)
        return total

    @property
    def one_arm(self) -> bool:
        """Whether the data are the counts of one arm."""
        return self.model.likelihood == "binomial" and self.effects.measure == "PLO"

    def by_unit(self, scenarios: FloatArray) -> FloatArray:
        """Sum scenarios of shape (S, N) by unit, shape (units, N)."""
        total = np.zeros((len(self.units), scenarios.shape[1]))
        np.add.at(total, self.unit, scenarios)
        return total


def units_of(effects: Effects) -> tuple[tuple[str, ...], IntArray]:
    """Trials that depend on each other: by shared patients, or by one cluster; names, and the unit of each row."""
    names, unit = effects.units
    if effects.cluster is None:
        return names, unit
    linked = np.eye(len(names), dtype=bool)
    first: dict[str, int] = {}
    for number, cluster in zip(unit.tolist(), effects.cluster, strict=True):
        other = first.setdefault(cluster, number)
        linked[other, number] = linked[number, other] = True
    label = component_labels(linked)
    kept = list(dict.fromkeys(label.tolist()))
    return tuple(names[i] for i in kept), np.array([kept.index(label[number]) for number in unit], np.intp)


def _refuse(effects: Effects, model: Model, design: Design, unit: IntArray) -> None:
    """Say what no engine does, with the remedy."""
    if model.cluster_tau is not None:
        if effects.cluster is None:
            raise ModelError("cluster_tau is stated and the effects have no clusters: say which rows belong together.")
        refuse_opposite_roles(effects, "rows of one cluster have a common deviation, not one of two signs")
        for number in np.unique(unit):
            inside = {effects.cluster[row] for row in np.flatnonzero(unit == number)}
            if len(inside) > 1:
                raise ModelError(
                    f"clusters {', '.join(sorted(inside))} share patients, so they are one cluster. Name them so."
                )
    for name, factor in design.factors.items():
        if factor.missing.any() and not isinstance(
            model.missing.get(name), MissingNumeric if not factor.levels else MissingLevels
        ):
            wanted = "MissingNumeric" if not factor.levels else "MissingLevels"
            raise ModelError(f"missing[{name}]: this moderator needs {wanted}.")
        if factor.missing.any() and not factor.levels and not isinstance(factor.curve, Line):
            raise ModelError(
                f"moderator {name}: missing values can be imputed on a straight line only, not on a curve."
            )
    for term in design.terms[1:]:
        levels = any(design.factors[part].levels for part in term.moderators)
        if term.prior is not None and levels:
            centre, _, _, cut, _ = location(term.prior)
            if centre != 0 or cut is not None:
                raise ModelError(
                    f"moderator {term.name}: {term.prior!r} is not symmetric about zero, so its levels would not be "
                    "exchangeable. Use a normal, Student-t or Cauchy prior with location 0, or flat()."
                )
    beyond = why_unsupported(effects, model)
    if beyond is not None and model.tau is not None and not model.tau.proper:
        raise ModelError(
            f"tau: {model.tau!r} is improper, and whether the posterior is proper is known only for models that the "
            f"exact engine covers ({beyond}). Use a proper prior, such as halfnormal(0.5)."
        )
    blocked = {int(row) for rows, _ in effects.blocks for row in rows}
    for name in model.derived:
        if name not in effects.tabulated:
            allowed = ", ".join(effects.tabulated) or "none: no estimate was derived from an assumed number"
            raise ModelError(f"derived[{name}]: the effects are not tabulated over it. Allowed: {allowed}.")
        if blocked & set(np.flatnonzero(effects.tabulated[name].rows).tolist()):
            raise ModelError(
                f"derived[{name}]: rows that share patients depend on it, and their covariance is known at one value "
                "only. Keep one row per trial, or state the number."
            )
    if model.missing_sd is not None:
        if effects.spreads is None or not np.isnan(effects.spreads.sd).any():
            raise ModelError("missing_sd is stated and no row lacks its standard deviation. Leave it out.")
        if effects.measure not in ("MD", "SMD") or effects.n is None:
            raise ModelError("missing_sd is for MD and SMD with arm sizes.")
        if np.isnan(effects.spreads.sd).all():
            raise ModelError("no row states its standard deviation, so nothing can be learned of the missing ones.")
        if blocked & set(np.flatnonzero(np.isnan(effects.spreads.sd)).tolist()):
            raise ModelError("missing_sd: rows that share patients lack their standard deviation. Keep one of them.")
    if model.likelihood == "binomial":
        if effects.counts is None:
            raise ModelError("the binomial likelihood needs counts: events and participants of every arm.")
        if effects.measure not in ("OR", "RR", "RD", "PLO"):
            raise ModelError(f"the binomial likelihood is for OR, RR, RD and PLO, not {effects.measure}.")
        if (effects.measure == "PLO") == (model.baseline is not None):
            which = "needs" if model.baseline is None else "has no"
            raise ModelError(
                f"the binomial likelihood of {effects.measure} {which} baseline, a prior of control risks."
            )
        refuse_opposite_roles(effects, "the binomial likelihood would count that arm's events twice")
        if model.random is not None or model.cluster_tau is not None or model.missing or model.derived:
            raise ModelError("the binomial likelihood goes with normal effects of independent trials, nothing else.")


def build_rows(effects: Effects, model: Model) -> HierarchicalRows:
    """Put effects and model into rows.

    Raises
    ------
    ModelError
        For a combination that no engine covers; the message says which and what to do.
    """
    design = build_design(effects, model)
    units, unit = units_of(effects)
    _refuse(effects, model, design, unit)
    binomial = model.likelihood == "binomial"
    blocks = () if binomial else effects.blocks
    independent = binomial or model.cluster_tau is not None
    rotation = rotate(effects.se, blocks, 0.0 if independent else effect_correlations(effects, model.rho))
    if model.tau_by is not None:
        rotation = rotation_of(effects, model)
    k = effects.k
    logdet = np.zeros(len(units))
    for rows, turn, _ in rotation.blocks:
        logdet[unit[rows[0]]] -= 2 * math.log(abs(np.linalg.det(turn)))
    indicator = rotation.apply(np.ones(k)) if model.cluster_tau is not None else None
    row, scenario, scenario_unit, taken = _scenarios(effects, design, unit, len(units))
    X = design.X[row].copy()
    levels = []
    for name, (trials, choice) in taken.items():
        factor = design.factors[name]
        where = next(item.columns for item in design.terms if item.name == name)
        table = factor.columns(np.array(factor.levels, object))
        for position, trial in enumerate(trials):
            for e in np.flatnonzero([effects.study[r] == trial and factor.missing[r] for r in row]):
                X[e, where] = table[choice[scenario[e], position]]
        population = model.missing[name]
        assert isinstance(population, MissingLevels)
        unknown = set(population.shift) - set(factor.levels)
        if unknown:
            raise ModelError(f"missing[{name}].shift: no level {sorted(unknown)}. Levels: {', '.join(factor.levels)}.")
        values = effects.moderators[name]
        pairs = {(effects.study[i], str(values[i])) for i in np.flatnonzero(~factor.missing)}
        counts = np.array([sum(level == other for _, other in pairs) for level in factor.levels], float)
        shift = np.array([population.shift.get(level, 0.0) for level in factor.levels])
        levels.append(Levels(name, population, factor.levels, counts, trials, choice, shift))
    turns = []
    for rows, turn, back in rotation.blocks:
        turns += [(members, turn, back) for members in _copies(rows, row, scenario)]
    missing_sd = np.isnan(effects.spreads.sd) if model.missing_sd and effects.spreads else np.zeros(k, bool)
    return HierarchicalRows(
        effects,
        model,
        design,
        units,
        row,
        scenario,
        scenario_unit,
        X,
        effects.y[row],
        rotation.a[row],
        rotation.b[row],
        tuple(turns),
        logdet[scenario_unit],
        None if indicator is None else indicator[row],
        tuple(_imputed(name, effects, model, design, row) for name in _missing_numeric(design)),
        tuple(levels),
        tuple(_polynomial(name, effects, row) for name in model.derived),
        np.flatnonzero(missing_sd[row]),
        None if model.tau_by is None else _spread(effects, model, design, row, scenario),
    )


def _copies(rows: IntArray, row: IntArray, scenario: IntArray) -> list[IntArray]:
    """Rows of a block, in its order, once in every scenario that holds them."""
    found = []
    for number in np.unique(scenario[np.isin(row, rows)]):
        members = np.flatnonzero(scenario == number)
        found.append(members[[int(np.flatnonzero(row[members] == r)[0]) for r in rows]])
    return found


def _spread(effects: Effects, model: Model, design: Design, row: IntArray, scenario: IntArray) -> Spread:
    """Priors and rows of a tau that depends on a moderator."""
    assert model.tau_by is not None
    assert model.tau is not None
    name = model.tau_by.moderator
    values = [str(value) for value in effects.moderators[name]]
    mixed = [(rows, S) for rows, S in effects.blocks if len({values[i] for i in rows}) > 1]
    copied = tuple((members, S) for rows, S in mixed for members in _copies(rows, row, scenario))
    if model.tau_by.slope is not None and not design.factors[name].levels:
        column = next(item.columns.start for item in design.terms if item.name == name)
        return Spread({"tau": model.tau, "tau_slope": model.tau_by.slope}, None, design.X[row, column], copied)
    priors, number = levels_of(design, model, effects)
    return Spread({f"tau[{level}]": prior for level, prior in priors.items()}, number[row], None, copied)


def _missing_numeric(design: Design) -> list[str]:
    return [name for name, factor in design.factors.items() if factor.missing.any() and not factor.levels]


def _imputed(name: str, effects: Effects, model: Model, design: Design, row: IntArray) -> Imputed:
    factor, values = design.factors[name], effects.moderators[name]
    population = model.missing[name]
    assert isinstance(population, MissingNumeric)
    lacking = tuple(dict.fromkeys(effects.study[i] for i in np.flatnonzero(factor.missing)))
    stated = [
        value
        for _, value in dict.fromkeys((effects.study[i], float(values[i])) for i in np.flatnonzero(~factor.missing))
    ]
    if population.family == "lognormal" and min(stated) <= 0:
        raise ModelError(f"missing[{name}]: a log-normal moderator is positive, and {min(stated):g} is not.")
    place = np.array([[factor.missing[r] and effects.study[r] == trial for trial in lacking] for r in row], float)
    column = next(item.columns.start for item in design.terms if item.name == name)
    return Imputed(name, population, column, float(factor.centre[0]), factor.per, np.array(stated), lacking, place)


def _polynomial(name: str, effects: Effects, row: IntArray) -> Polynomial:
    table = effects.tabulated[name]
    series = [numerics.coefficients(values)[row] for values in (table.y, table.se, table.scale)]
    return Polynomial(name, table.low, table.high, *series)


def _scenarios(
    effects: Effects, design: Design, unit: IntArray, count: int
) -> tuple[IntArray, IntArray, IntArray, dict[str, tuple[tuple[str, ...], IntArray]]]:
    """Copy the rows of every unit once per combination of the levels that it does not state."""
    lacking = {
        name: tuple(dict.fromkeys(effects.study[i] for i in np.flatnonzero(factor.missing)))
        for name, factor in design.factors.items()
        if factor.levels and factor.missing.any()
    }
    order = np.argsort(unit, kind="stable")
    if not lacking:
        # one scenario per unit: nothing is not stated
        return order, unit[order], np.arange(count), {}
    first = np.searchsorted(unit[order], np.arange(count + 1))
    rows: list[int] = []
    scenario: list[int] = []
    unit_of: list[int] = []
    choices: list[dict[tuple[str, str], int]] = []
    for number in range(count):
        members = order[first[number] : first[number + 1]].tolist()
        inside = {effects.study[i] for i in members}
        open_ones = [(name, trial) for name, trials in lacking.items() for trial in trials if trial in inside]
        sizes = [range(len(design.factors[name].levels)) for name, _ in open_ones]
        for combination in product(*sizes):
            rows += members
            scenario += [len(unit_of)] * len(members)
            unit_of.append(number)
            choices.append(dict(zip(open_ones, combination, strict=True)))
    taken = {
        name: (trials, np.array([[choice.get((name, trial), -1) for trial in trials] for choice in choices], np.intp))
        for name, trials in lacking.items()
    }
    return np.array(rows, np.intp), np.array(scenario, np.intp), np.array(unit_of, np.intp), taken


def control_arms(effects: Effects, *, whole: bool = False) -> tuple[FloatArray, IntArray]:
    """Distinct control arms: events and participants, shape ``(arms, 2)``; and the arm of every row.

    The parts of a divided control group are arms of their own, or one arm if ``whole``.
    """
    assert effects.counts is not None
    seen: dict[tuple[object, ...], int] = {}
    arm = []
    for row, study in enumerate(effects.study):
        key = (study, effects.arms[row][1]) if effects.arms is not None else (study, *effects.counts[row, 2:].tolist())
        if effects.split is not None and effects.split[row] and not whole:
            key = (*key, row)
        arm.append(seen.setdefault(key, len(seen)))
    first = [arm.index(number) for number in range(len(seen))]
    return effects.counts[first, 2:], np.array(arm, np.intp)


def effect_factor(h: HierarchicalRows) -> FloatArray | None:
    """Cholesky factor of the correlation of true effects of rows that share an arm; None where no rows do."""
    # a divided control group divides no true effect
    _, arm = control_arms(h.effects, whole=True)
    if np.unique(arm).size == arm.size:
        return None
    R = np.where(arm[:, None] == arm[None, :], h.model.rho, 0.0)
    np.fill_diagonal(R, 1.0)
    # rho = 1 leaves a singular matrix
    return np.linalg.cholesky(R + 1e-12 * np.eye(arm.size))
