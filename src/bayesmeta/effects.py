"""One outcome's estimates and their dependence."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.boundary import as_levels, as_names, as_numbers, require_one_index
from bayesmeta.errors import BayesmetaWarning, DataError, Fault, ModelError, warn
from bayesmeta.measures import MEASURES

__all__ = [
    "Block",
    "ConditionalEstimates",
    "Effects",
    "HasEffects",
    "RawDifferences",
    "component_labels",
    "effects_of",
]

FloatArray = NDArray[np.float64]
Block = tuple[NDArray[np.intp], FloatArray]

_BETTER = ("higher", "lower")


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = np.array(array)
    array.flags.writeable = False
    return array


def component_labels(linked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number the connected components of a symmetric adjacency matrix of shape ``(k, k)``.

    Examples
    --------
    >>> component_labels(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], bool)).tolist()
    [0, 1, 0]
    """
    labels = np.arange(linked.shape[0])
    while True:
        smallest = np.where(linked, labels[None, :], labels.size).min(axis=1, initial=labels.size)
        smallest = np.minimum(smallest, labels)
        if np.array_equal(smallest, labels):
            return labels
        labels = smallest


@dataclass(frozen=True, slots=True, eq=False)
class ConditionalEstimates:
    """Estimates as functions of one number that nobody reported, such as a pre-post correlation.

    Parameters
    ----------
    low, high : float
        The range over which they are tabulated.
    y, se : arrays of shape (k, m)
        At the nodes of ``chebyshev.rule(m)`` on that range, ascending; constant in rows that do not depend on it.
    log_scale : array of shape (k, m), optional
        Logarithm of how far ``y`` moves when the mean difference that was observed moves by one. What was observed is
        the difference and not ``y``, so that its density holds this factor. Default: zero, which is right where only
        ``se`` depends on the number.
    """

    low: float
    high: float
    y: FloatArray
    se: FloatArray
    log_scale: FloatArray | None = None

    def __post_init__(self) -> None:
        scale = np.zeros_like(as_numbers("y", self.y)) if self.log_scale is None else self.log_scale
        object.__setattr__(self, "log_scale", scale)
        for name in ("y", "se", "log_scale"):
            object.__setattr__(self, name, _frozen(np.array(as_numbers(name, getattr(self, name)), ndmin=2)))
        if not self.low < self.high or not self.y.shape == self.se.shape == self.scale.shape:
            raise DataError(f"tabulated on {self.low} to {self.high}: the range ascends, and arrays have one shape.")
        if not (np.isfinite(self.y).all() and np.isfinite(self.se).all() and (self.se > 0).all()):
            raise DataError("tabulated: estimates are finite and standard errors positive everywhere on the range.")

    @property
    def scale(self) -> FloatArray:
        """``log_scale`` as an array."""
        assert self.log_scale is not None
        return self.log_scale

    @property
    def rows(self) -> NDArray[np.bool_]:
        """Rows that depend on the number, shape (k,)."""
        return (np.ptp(self.y, axis=1) > 0) | (np.ptp(self.se, axis=1) > 0)


@dataclass(frozen=True, slots=True, eq=False)
class RawDifferences:
    """Raw differences and standard deviations behind MD and SMD rows, where some trials do not report an SD.

    Parameters
    ----------
    difference : array of shape (k,)
        Mean difference, in the direction of ``y``.
    sd : array of shape (k,)
        Standard deviation pooled over the two arms, ``nan`` where it is not reported.
    """

    difference: FloatArray
    sd: FloatArray

    def __post_init__(self) -> None:
        for name in ("difference", "sd"):
            object.__setattr__(self, name, _frozen(np.array(as_numbers(name, getattr(self, name)), ndmin=1)))
        known = self.sd[~np.isnan(self.sd)]
        if self.difference.shape != self.sd.shape or not np.isfinite(self.difference).all() or not (known > 0).all():
            raise DataError("spreads: differences are finite, and standard deviations positive or missing, per row.")


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Estimates ``y`` with standard errors ``se`` of one outcome, and what is known of their dependence.

    Parameters
    ----------
    study : sequence of str, length k
        The trial of each row; a trial may have several rows.
    y, se : sequences of float, length k
        Estimates and standard errors on the analysis scale (the log scale for ratio measures).
    measure : str
        A name of `bayesmeta.measures.MEASURES`.
    label : sequence of str, optional
        Unique row labels. Default: the trial, with its arm or number where it has several rows.
    blocks : sequence of (rows, covariance)
        Rows that share patients, with their dense sampling covariance; all other rows are independent.
    working : (float, sequence of arrays), optional
        A sampling correlation that was assumed, and per block how its covariance grows with it: zero where it is known.
    links : sequence of arrays, optional
        Per block, what ``rho`` is multiplied by between true effects of its rows (`effect_links`); default by arms.
    moderators : mapping of str to sequences of length k
        Numbers, or text for categories.
    cluster : sequence of str, optional
        The group whose rows depend on each other beyond sampling.
    arms : sequence of (str, str), optional
        Treated and control arm of each row; they say which participants are counted once, and which rows of a block
        have an arm in opposite roles (`bayesmeta.model.effect_correlations`).
    n : array of shape (k, 2), optional
        Participants of the treated and the control arm, ``nan`` where unknown; (k, 1) for measures of one arm.
    counts : array of shape (k, 4), optional
        Events and participants of the treated arm, then of the control arm; (k, 2) for a proportion of one arm.
    split : array of bool of shape (k,), optional
        Rows whose control arm is the part of a divided control group that was given to this comparison alone.
    tabulated : mapping of str to ConditionalEstimates
        The estimates as functions of numbers that nobody reported; ``y`` and ``se`` are those at a stated value.
    spreads : RawDifferences, optional
        Raw differences and SDs, where SDs are missing; ``y`` and ``se`` of such rows rest on an imputed constant.
    ledger : sequence, optional
        One derivation per row: raw cells, formula, assumptions.
    name, better, unit : str, optional
        What the outcome is called, which direction is ``"higher"`` or ``"lower"`` better, and its unit.

    Raises
    ------
    DataError
        With every fault of the rows at once.

    Examples
    --------
    >>> effects = Effects(["A", "B"], [-0.3, -0.1], [0.1, 0.2], measure="SMD", better="lower")
    >>> effects.k, effects.n_trials
    (2, 2)
    """

    study: tuple[str, ...]
    y: FloatArray
    se: FloatArray
    measure: str = field(kw_only=True)
    label: tuple[str, ...] = field(default=(), kw_only=True)
    blocks: tuple[Block, ...] = field(default=(), kw_only=True)
    # "later": files did not hold it from the first
    working: tuple[float, tuple[FloatArray, ...]] | None = field(default=None, kw_only=True, metadata={"later": True})
    links: tuple[FloatArray, ...] | None = field(default=None, kw_only=True, metadata={"later": True})
    moderators: Mapping[str, NDArray[Any]] = field(default_factory=dict, kw_only=True)
    cluster: tuple[str, ...] | None = field(default=None, kw_only=True)
    arms: tuple[tuple[str, str], ...] | None = field(default=None, kw_only=True)
    n: FloatArray | None = field(default=None, kw_only=True)
    counts: FloatArray | None = field(default=None, kw_only=True)
    split: NDArray[np.bool_] | None = field(default=None, kw_only=True, metadata={"later": True})
    tabulated: Mapping[str, ConditionalEstimates] = field(default_factory=dict, kw_only=True)
    spreads: RawDifferences | None = field(default=None, kw_only=True)
    ledger: Sequence[Any] | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    better: Literal["higher", "lower"] | None = field(default=None, kw_only=True)
    unit: str | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:
        # any sequences go in; the fields below say what they are turned into
        def __init__(
            self,
            study: Sequence[str],
            y: ArrayLike,
            se: ArrayLike,
            *,
            measure: str,
            label: Sequence[str] = (),
            blocks: Sequence[tuple[ArrayLike, ArrayLike]] = (),
            working: tuple[float, Sequence[ArrayLike]] | None = None,
            links: Sequence[ArrayLike] | None = None,
            moderators: Mapping[str, ArrayLike | Sequence[object]] = ...,
            cluster: Sequence[str] | None = None,
            arms: Sequence[tuple[str, str]] | None = None,
            n: ArrayLike | None = None,
            counts: ArrayLike | None = None,
            split: ArrayLike | None = None,
            tabulated: Mapping[str, ConditionalEstimates] = ...,
            spreads: RawDifferences | None = None,
            ledger: Sequence[Any] | None = None,
            name: str | None = None,
            better: str | None = None,
            unit: str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        put = object.__setattr__
        rows = {name: getattr(self, name) for name in ("study", "y", "se", "label", "cluster", "n", "counts", "split")}
        require_one_index(rows | {f"moderator {name}": values for name, values in self.moderators.items()})
        put(self, "study", as_names("study", self.study))
        for name in ("y", "se"):
            put(self, name, _frozen(as_numbers(name, getattr(self, name)).ravel()))
        if self.cluster is not None:
            put(self, "cluster", as_names("cluster", self.cluster))
        if self.arms is not None:
            put(self, "arms", tuple(as_names("arms", pair) for pair in self.arms))
        for name in ("n", "counts"):
            if getattr(self, name) is not None:
                put(self, name, _frozen(as_numbers(name, getattr(self, name))))
        if self.split is not None:
            put(self, "split", _frozen(np.asarray(self.split, bool)))
        put(self, "tabulated", MappingProxyType(dict(self.tabulated)))
        self._check_shapes()
        moderators = {}
        for name, values in self.moderators.items():
            moderators[name] = _frozen(as_levels(f"moderator {name}", values))
        put(self, "moderators", MappingProxyType(moderators))
        put(self, "label", as_names("label", self.label) or _labels(self.study, self.arms))
        self._check_rows()
        put(
            self,
            "blocks",
            tuple((_frozen(np.asarray(r, np.intp)), _frozen(np.asarray(c, float))) for r, c in self.blocks),
        )
        self._check_blocks()
        if self.working is not None:
            value, slopes = self.working
            put(self, "working", (float(value), tuple(_frozen(np.asarray(slope, float)) for slope in slopes)))
            if [slope.shape for slope in self.working[1]] != [covariance.shape for _, covariance in self.blocks]:
                raise DataError(
                    "working: give one matrix per block, of its shape; where blocks are replaced, replace it too."
                )
        if self.links is not None:
            put(self, "links", tuple(_frozen(np.asarray(item, float)) for item in self.links))
            if [item.shape for item in self.links] != [covariance.shape for _, covariance in self.blocks]:
                raise DataError(
                    "links: give one matrix per block, of its shape; where blocks are replaced, replace it."
                )
        self._warn_of_unmarked_dependence()

    @property
    def k(self) -> int:
        """Number of estimates."""
        return self.y.size

    @property
    def trials(self) -> tuple[str, ...]:
        """Distinct trials in order of appearance."""
        return tuple(dict.fromkeys(self.study))

    @property
    def n_trials(self) -> int:
        """Number of distinct trials."""
        return len(set(self.study))

    @property
    def units(self) -> tuple[tuple[str, ...], NDArray[np.intp]]:
        """What leaves together: rows of one trial, and rows of trials that share patients.

        Returns the name of each unit, and for each row the number of its unit.
        """
        parent = {study: study for study in self.study}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        for rows, _ in self.blocks:
            first = root(self.study[int(rows[0])])
            for row in rows[1:]:
                parent[root(self.study[int(row)])] = first
        names = tuple(dict.fromkeys(root(study) for study in self.study))
        number = {name: i for i, name in enumerate(names)}
        return names, np.array([number[root(study)] for study in self.study], np.intp)

    @property
    def participants(self) -> int | None:
        """Participants, with every arm of a trial counted once; None where a size is unknown."""
        if self.n is None or np.isnan(self.n).any():
            return None
        if self.arms is None:
            return int(self.n.sum())
        # two rows of one trial may report an arm with different numbers; the larger is the arm
        largest: dict[tuple[str, ...], float] = {}
        for row, (study, arms, sizes) in enumerate(zip(self.study, self.arms, self.n, strict=True)):
            # a part of a divided control group is known by the comparison that it was given to
            part = arms if self.split is not None and self.split[row] else arms[1:]
            for arm, size in zip((arms[:1], part), sizes, strict=True):
                largest[study, *arm] = max(size, largest.get((study, *arm), 0.0))
        return int(sum(largest.values()))

    def covariance(self) -> FloatArray:
        """Sampling covariance as a dense matrix of shape ``(k, k)``; for small k only."""
        matrix = np.diag(self.se**2)
        for rows, block in self.blocks:
            matrix[np.ix_(rows, rows)] = block
        return matrix

    def subset(self, rows: ArrayLike) -> Effects:
        """Keep some rows, given as a boolean mask or as indices; blocks keep the rows that stay.

        Examples
        --------
        >>> effects = Effects(["A", "B"], [-0.3, -0.1], [0.1, 0.2], measure="SMD")
        >>> effects.subset([False, True]).study
        ('B',)
        """
        index = np.arange(self.k)[np.asarray(rows)]
        where = {int(old): new for new, old in enumerate(index)}
        blocks, slopes, links = [], [], []
        for number, (members, covariance) in enumerate(self.blocks):
            kept = [i for i, row in enumerate(members) if int(row) in where]
            if len(kept) > 1:
                blocks.append(
                    (np.array([where[int(members[i])] for i in kept], np.intp), covariance[np.ix_(kept, kept)])
                )
                if self.working is not None:
                    slopes.append(self.working[1][number][np.ix_(kept, kept)])
                if self.links is not None:
                    links.append(self.links[number][np.ix_(kept, kept)])

        def pick(values: Any) -> Any:
            return None if values is None else tuple(values[int(i)] for i in index)

        with warnings.catch_warnings():
            # warnings about repeated trials were given for the whole
            warnings.simplefilter("ignore", BayesmetaWarning)
            return Effects(
                pick(self.study),
                self.y[index],
                self.se[index],
                measure=self.measure,
                label=pick(self.label),
                blocks=tuple(blocks),
                working=None if self.working is None else (self.working[0], slopes),
                links=None if self.links is None else tuple(links),
                moderators={name: values[index] for name, values in self.moderators.items()},
                cluster=pick(self.cluster),
                arms=pick(self.arms),
                n=None if self.n is None else self.n[index],
                counts=None if self.counts is None else self.counts[index],
                split=None if self.split is None else self.split[index],
                tabulated={
                    name: ConditionalEstimates(item.low, item.high, item.y[index], item.se[index], item.scale[index])
                    for name, item in self.tabulated.items()
                },
                spreads=None
                if self.spreads is None
                else RawDifferences(self.spreads.difference[index], self.spreads.sd[index]),
                ledger=pick(self.ledger),
                name=self.name,
                better=self.better,
                unit=self.unit,
            )

    @classmethod
    def from_cov(cls, y: ArrayLike, S: ArrayLike, *, study: Sequence[str] | None = None, **options: Any) -> Effects:
        """Make effects from a dense covariance; rows that it links, directly or not, become blocks.

        Parameters
        ----------
        y : array of shape (k,)
        S : array of shape (k, k), symmetric and positive definite
        study : sequence of str, optional
            Default: one trial per block.
        **options
            Any other argument of `Effects`; ``measure`` is "generic" unless given.

        Examples
        --------
        >>> effects = Effects.from_cov([0.1, 0.2, 0.3], [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
        >>> effects.blocks[0][0].tolist(), effects.study
        ([0, 1], ('trial 1', 'trial 1', 'trial 2'))
        """
        S = as_numbers("S", S)
        y = as_numbers("y", y)
        if S.shape != (y.size, y.size) or not np.allclose(S, S.T, rtol=1e-10, atol=0):
            raise DataError(f"S has shape {S.shape}; it must be a symmetric matrix of shape ({y.size}, {y.size}).")
        labels = component_labels(S != 0)
        blocks = []
        for value in np.unique(labels):
            rows = np.flatnonzero(labels == value)
            if rows.size > 1:
                blocks.append((rows, S[np.ix_(rows, rows)]))
        if study is None:
            number = {value: i + 1 for i, value in enumerate(dict.fromkeys(labels.tolist()))}
            study = [f"trial {number[value]}" for value in labels.tolist()]
        options.setdefault("measure", "generic")
        return cls(tuple(study), y, np.sqrt(np.diag(S)), blocks=tuple(blocks), **options)

    def _check_shapes(self) -> None:
        faults = []
        k = len(self.study)
        lengths = {
            "y": self.y.size,
            "se": self.se.size,
            "label": len(self.label) or k,
            **{f"moderator {name}": len(values) for name, values in self.moderators.items()},
            **{f"tabulated {name}": len(item.y) for name, item in self.tabulated.items()},
            **({} if self.spreads is None else {"spreads": len(self.spreads.sd)}),
            **{
                name: len(value)
                for name in ("cluster", "arms", "n", "counts", "split", "ledger")
                if (value := getattr(self, name)) is not None
            },
        }
        faults += [
            Fault(name, f"{length} values for {k} rows", "Give one value per row.")
            for name, length in lengths.items()
            if length != k
        ]
        if k == 0:
            faults.append(Fault("study", "there are no rows", "Give at least one estimate."))
        if self.measure not in MEASURES:
            faults.append(Fault("measure", f"unknown {self.measure!r}", f"Allowed: {', '.join(MEASURES)}."))
        if self.better is not None and self.better not in _BETTER:
            faults.append(Fault("better", f"unknown {self.better!r}", f"Allowed: {', '.join(_BETTER)}."))
        if faults:
            raise DataError(faults)

    def _check_rows(self) -> None:
        faults = []
        for row in np.flatnonzero(~np.isfinite(self.y)):
            faults.append(
                Fault(f"row {row + 1} ({self.label[row]}), y", f"{self.y[row]} is not finite", "Leave it out.")
            )
        for row in np.flatnonzero(~(np.isfinite(self.se) & (self.se > 0))):
            faults.append(
                Fault(
                    f"row {row + 1} ({self.label[row]}), se",
                    f"{self.se[row]} is not a positive number",
                    "Correct the standard error or leave the row out.",
                )
            )
        if self.counts is not None:
            faults += self._count_faults()
        for name, number in Counter(self.label).items():
            if number > 1:
                faults.append(Fault(f"label {name!r}", f"used {number} times", "Labels must be unique."))
        if faults:
            raise DataError(faults)

    def _count_faults(self) -> list[Fault]:
        assert self.counts is not None
        columns = ("events", "n") if self.measure == "PLO" else ("events_t", "n_t", "events_c", "n_c")
        if self.counts.ndim != 2 or self.counts.shape[1] != len(columns):
            return [Fault("counts", f"shape {self.counts.shape}", f"Give {', '.join(columns)} per row.")]
        events, sizes = self.counts[:, ::2], self.counts[:, 1::2]
        whole = (self.counts == np.round(self.counts)).all(axis=1)
        bad = ~(whole & (events >= 0).all(axis=1) & (events <= sizes).all(axis=1) & (sizes > 0).all(axis=1))
        return [
            Fault(
                f"row {row + 1} ({self.label[row]}), counts",
                f"{self.counts[row].tolist()} are not events among participants",
                "Whole numbers, events from 0 to the size of the arm.",
            )
            for row in np.flatnonzero(bad)
        ]

    def _check_blocks(self) -> None:
        seen: set[int] = set()
        for number, (rows, covariance) in enumerate(self.blocks, 1):
            where = f"block {number}"
            if rows.ndim != 1 or covariance.shape != (rows.size, rows.size):
                raise DataError([Fault(where, f"{rows.size} rows, covariance {covariance.shape}", "Make them agree.")])
            if (
                np.any((rows < 0) | (rows >= self.k))
                or seen & set(rows.tolist())
                or len(set(rows.tolist())) < rows.size
            ):
                raise DataError([Fault(where, "a row is repeated or does not exist", "A row belongs to one block.")])
            seen |= set(rows.tolist())
            if not np.allclose(np.diag(covariance), self.se[rows] ** 2, rtol=1e-8, atol=0):
                raise DataError([Fault(where, "its diagonal is not se squared", "Use the same variances in both.")])
            scale = np.outer(self.se[rows], self.se[rows])
            if not np.allclose(covariance, covariance.T, rtol=1e-10, atol=0) or (
                np.linalg.eigvalsh(covariance / scale).min() <= 1e-12
            ):
                names = ", ".join(self.label[row] for row in rows)
                raise DataError([Fault(where, f"the covariance of {names} is not positive definite", "Correct it.")])

    def _warn_of_unmarked_dependence(self) -> None:
        if self.cluster is not None:
            return
        blocked = {int(row) for rows, _ in self.blocks for row in rows}
        counts = Counter(self.study)
        rows_of: dict[str, list[int]] = {}
        for row, study in enumerate(self.study):
            if counts[study] > 1:
                rows_of.setdefault(study, []).append(row)
        repeated = [
            study
            for study, rows in rows_of.items()
            if any(self._may_share(one, two, blocked) for one, two in combinations(rows, 2))
        ]
        if repeated:
            names = ", ".join(repeated[:5]) + (" ..." if len(repeated) > 5 else "")
            warn(
                f"{names}: several rows of one trial are analysed as independent. Give their covariance (blocks), "
                "their shared arms, or a cluster."
            )

    def _may_share(self, one: int, two: int, blocked: set[int]) -> bool:
        """Whether two rows of a trial may share patients of which no covariance says anything."""
        # with an arm of their own on either side they share none
        apart = self.arms is not None and not set(self.arms[one]) & set(self.arms[two])
        return not apart and not {one, two} <= blocked


def _labels(study: tuple[str, ...], arms: tuple[tuple[str, str], ...] | None) -> tuple[str, ...]:
    """Name rows by trial; a trial's second and later rows need their arm or a number to be told apart."""
    counts = Counter(study)
    seen: Counter[str] = Counter()
    labels = []
    for row, name in enumerate(study):
        seen[name] += 1
        if counts[name] == 1:
            labels.append(name)
        elif arms is not None:
            labels.append(f"{name} [{arms[row][0]}]")
        else:
            labels.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    repeats = Counter(labels)
    numbered: Counter[str] = Counter()
    for row, name in enumerate(labels):
        numbered[name] += 1
        if repeats[name] > 1:
            labels[row] = f"{name} #{numbered[name]}"
    return tuple(labels)


class HasEffects(Protocol):
    """What carries the effects it was made from: a fit, an analysis."""

    @property
    def effects(self) -> Effects:
        """The effects."""
        ...


def effects_of(item: Effects | HasEffects) -> Effects:
    """Effects themselves, or those that a fit or an analysis carries.

    Raises
    ------
    ModelError
        If it is neither.

    Examples
    --------
    >>> effects_of(fit) is effects_of(fit.effects)
    True
    """
    found = item if isinstance(item, Effects) else getattr(item, "effects", None)
    if not isinstance(found, Effects):
        raise ModelError(
            f"{type(item).__name__} is no effects and carries none. Allowed: Effects, or what has them as .effects, "
            "such as a fit or an analysis."
        )
    return found
