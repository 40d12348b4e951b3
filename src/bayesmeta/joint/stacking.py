"""Outcomes put on top of each other, all in the direction of benefit, with the covariance that their patients share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.model import Model, refuse_opposite_roles

__all__ = ["JointEffects", "JointModel", "stack"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class JointModel:
    """Several outcomes with correlated true effects: ``theta_t ~ N(mu, D Omega D)``, ``D = diag(tau)``.

    Everything here is in the direction of benefit, so that a positive correlation says that what helps one outcome
    helps the other.

    Parameters
    ----------
    outcomes : mapping of str to Model
        Mean and heterogeneity of each outcome, as it would be analysed alone; without moderators.
    correlation : float
        Working correlation, within trials, of the sampling errors of two outcomes of the same patients.
    eta : float
        Of the LKJ prior of Omega: 1 is flat over correlation matrices, above it favours small correlations.

    References
    ----------
    Riley RD, Thompson JR, Abrams KR. Biostatistics 2008;9:172-186. doi:10.1093/biostatistics/kxm023 (within- and
    between-study correlation). Lewandowski D, Kurowicka D, Joe H. J Multivar Anal 2009;100:1989-2001.
    doi:10.1016/j.jmva.2009.04.008 (LKJ).
    """

    outcomes: Mapping[str, Model]
    correlation: float = 0.5
    eta: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcomes", MappingProxyType(dict(self.outcomes)))
        if len(self.outcomes) < 2:
            raise ModelError("a joint model needs at least two outcomes.")
        if not -1 < self.correlation < 1:
            raise ModelError(f"correlation = {self.correlation} is not between -1 and 1.")
        if not (math.isfinite(self.eta) and self.eta > 0):
            raise ModelError(f"eta = {self.eta} is not a positive number.")
        for name, model in self.outcomes.items():
            plain = Model(model.mu, model.tau, rho=model.rho)
            if repr(model) != repr(plain) or model.tau is None:
                raise ModelError(f"{name}: a joint model takes a mean and a heterogeneity per outcome, nothing else.")
            if not model.tau.proper:
                raise ModelError(
                    f"{name}: {model.tau!r} is improper. Use a proper prior of tau, such as halfnormal(0.5)."
                )


@dataclass(frozen=True, slots=True, eq=False)
class JointEffects:
    """Rows of several outcomes, positive towards benefit.

    Attributes
    ----------
    effects : mapping of str to Effects
        As they are.
    sign : mapping of str to int
        What turns an outcome's estimates towards benefit.
    y : array of shape (E,)
    S : array of shape (E, E)
        Sampling covariance.
    outcome, trial : arrays of int of shape (E,)
    trials : tuple of str
    groups : array of shape (E, G)
        Weights of each row on the G independent deviations: one per trial, and one per arm of a trial with several.
    """

    effects: Mapping[str, Effects]
    sign: Mapping[str, int]
    y: FloatArray
    S: FloatArray
    outcome: IntArray
    trial: IntArray
    trials: tuple[str, ...]
    groups: FloatArray

    @property
    def names(self) -> tuple[str, ...]:
        """Outcomes, in order."""
        return tuple(self.effects)

    def rows_of(self, name: str) -> IntArray:
        """Rows of one outcome."""
        return np.flatnonzero(self.outcome == self.names.index(name))


def stack(effects: Mapping[str, Effects], *, correlation: float, rho: float = 0.5) -> JointEffects:
    """Put the estimates of several outcomes together.

    Rows of two outcomes with the same arms of one trial share all their patients: their sampling errors, both turned
    towards benefit, have the working correlation. Rows with different arms share the control: there it is multiplied by
    the correlation that the shared control gives within one outcome.

    Parameters
    ----------
    effects : mapping of str to Effects
        Each with its direction.
    correlation : float
    rho : float
        Correlation of the true effects of different arms of one trial.

    Raises
    ------
    ModelError
        Without a direction, or where no trial reports two outcomes, or the covariance is not positive definite.
    """
    for name, item in effects.items():
        if item.better is None:
            raise ModelError(
                f'{name}: a joint model needs the direction of benefit. State better = "higher" or "lower".'
            )
    for item in effects.values():
        refuse_opposite_roles(
            item, "a joint model gives the rows of one trial a common deviation, not one of two signs"
        )
    sign = {name: 1 if item.better == "higher" else -1 for name, item in effects.items()}
    names = list(effects)
    trials = tuple(dict.fromkeys(study for item in effects.values() for study in item.study))
    y = np.concatenate([sign[name] * item.y for name, item in effects.items()])
    se = np.concatenate([item.se for item in effects.values()])
    outcome = np.concatenate([np.full(item.k, number) for number, item in enumerate(effects.values())])
    trial = np.array([trials.index(study) for item in effects.values() for study in item.study], np.intp)
    arms = [pair for item in effects.values() for pair in (item.arms or [(study, "") for study in item.study])]
    if all(np.unique(outcome[trial == t]).size < 2 for t in range(len(trials))):
        raise ModelError(f"no trial reports two of {', '.join(names)}: nothing links them.")
    split = np.concatenate([np.zeros(item.k, bool) if item.split is None else item.split for item in effects.values()])
    within = _within(effects)
    S = np.diag(se**2)
    for t in range(len(trials)):
        rows = np.flatnonzero(trial == t).tolist()
        for i in rows:
            for j in [row for row in rows if row > i]:
                same = arms[i][0] == arms[j][0]
                if outcome[i] == outcome[j]:
                    r = within.get((int(i), int(j)), 0.0)
                else:
                    apart = 0.0 if split[i] and split[j] else _shared(within, trial, arms, int(i), int(j))
                    r = correlation * (1.0 if same else apart)
                S[i, j] = S[j, i] = r * se[i] * se[j]
        scale = np.outer(se[rows], se[rows])
        if np.linalg.eigvalsh(S[np.ix_(rows, rows)] / scale).min() < 1e-8:
            raise ModelError(f"{trials[t]}: the covariance of its rows is not positive definite at {correlation:g}.")
    return JointEffects(effects, sign, y, S, outcome, trial, trials, _groups(trial, arms, len(trials), rho))


def _within(effects: Mapping[str, Effects]) -> dict[tuple[int, int], float]:
    """Sampling correlations of rows of one outcome, by their places in the stack."""
    found: dict[tuple[int, int], float] = {}
    start = 0
    for item in effects.values():
        for rows, covariance in item.blocks:
            for a, i in enumerate(rows):
                for b, j in enumerate(rows):
                    if i < j:
                        value = covariance[a, b] / (item.se[i] * item.se[j])
                        found[start + int(i), start + int(j)] = float(value)
        start += item.k
    return found


def _shared(
    within: Mapping[tuple[int, int], float], trial: IntArray, arms: Sequence[tuple[str, str]], i: int, j: int
) -> float:
    """Correlation that a shared control gives to two different arms, from the outcomes that report both."""
    pair = {arms[i][0], arms[j][0]}
    known = [value for (a, b), value in within.items() if trial[a] == trial[i] and {arms[a][0], arms[b][0]} == pair]
    # two equal arms against one control share half of their variance
    return float(np.mean(known)) if known else 0.5


def _groups(trial: IntArray, arms: Sequence[tuple[str, str]], count: int, rho: float) -> FloatArray:
    columns = []
    for t in range(count):
        rows = np.flatnonzero(trial == t).tolist()
        inside = dict.fromkeys(arms[row][0] for row in rows)
        own = np.zeros(trial.size)
        if len(inside) == 1:
            own[rows] = 1.0
            columns.append(own)
            continue
        own[rows] = math.sqrt(rho)
        columns.append(own)
        for name in inside:
            column = np.zeros(trial.size)
            column[[row for row in rows if arms[row][0] == name]] = math.sqrt(1 - rho)
            columns.append(column)
    return np.column_stack(columns)
