"""Rows that share patients: arms identified by trial, outcome, horizon and name, and the covariance that follows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations, compress
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.effects import Block, component_labels
from bayesmeta.errors import Finding, warn
from bayesmeta.measures import shared_control_covariance
from bayesmeta.plan import ControlArm
from bayesmeta.studies.columns import FrameFaults, numbers_of

__all__ = ["check_comparators", "shared_blocks", "split_rows"]

FloatArray = NDArray[np.float64]
_OTHER = {"t": "c", "c": "t"}
_STEMS = ("n", "mean", "sd", "events")
#: What the covariance of a measure takes from the shared arm and from the other two.
_SHARED = {
    "MD": ("sd",),
    "SMD": (),
    "SMDH": ("sd",),
    "ROM": ("sd", "mean"),
    "OR": ("events",),
    "RR": ("events",),
    "RD": ("events",),
}
_OTHERS = {"SMD": ("n",), "SMDH": ("sd",)}
# a correlation matrix whose smallest eigenvalue is below this holds a row that the others already imply
_SINGULAR = 1e-8
# A control group that was divided between m comparisons, the whole of it as large as an arm, has 1/m of the size of the
# treated arms in every row; by this share it may be larger or smaller.
_ALIKE = 0.25


class _Pair(NamedTuple):
    """Two rows of one trial and the role, t or c, that the shared arm has in each; no roles if they share patients."""

    first: int
    second: int
    role_1: str
    role_2: str


class _Link(NamedTuple):
    """Two rows with the covariance ``known + slope * working_correlation``."""

    first: int
    second: int
    known: float = 0.0
    slope: float = 0.0


def _role(arms_1: tuple[str, str], arms_2: tuple[str, str]) -> tuple[str, str] | None:
    for role_1 in "ct":
        for role_2 in "ct":
            if arms_1["tc".index(role_1)] == arms_2["tc".index(role_2)]:
                return role_1, role_2
    return None


def _times(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """What is measured when, per row."""
    return [
        tuple(key) for key in frame[[n for n in ("outcome", "horizon") if n in frame.columns]].astype(str).to_numpy()
    ]


def _pairs(frame: pd.DataFrame, arms: Sequence[tuple[str, str]] | None) -> tuple[list[_Pair], list[_Pair], list[_Pair]]:
    """Return pairs that share one arm, pairs that share all their patients, and pairs that share one at other times."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, study in enumerate(frame["study"].tolist()):
        rows_of[study].append(row)
    if len(rows_of) == len(frame):
        return [], [], []
    times = _times(frame)
    sharing: list[_Pair] = []
    same: list[_Pair] = []
    apart: list[_Pair] = []
    for rows in rows_of.values():
        for first, second in combinations(rows, 2):
            if arms is None:
                same.append(_Pair(first, second, "", ""))
                continue
            if arms[first] == arms[second]:
                same.append(_Pair(first, second, "", ""))
            elif roles := _role(arms[first], arms[second]):
                (sharing if times[first] == times[second] else apart).append(_Pair(first, second, *roles))
    return sharing, same, apart


def split_rows(control: ControlArm | None, study: Sequence[str]) -> NDArray[np.bool_] | None:
    """Rows whose control group is stated to be divided between the comparisons of their trial; None where none is."""
    if control is None or isinstance(control, str):
        return np.ones(len(study), bool) if control == "split" else None
    rows = np.array([control.get(name) == "split" for name in study], bool)
    return rows if rows.any() else None


def check_comparators(
    frame: pd.DataFrame,
    arms: Sequence[tuple[str, str]] | None,
    comparators: Literal["same", "mixed"],
    faults: FrameFaults,
) -> None:
    """Note trials whose rows share an arm and have different controls, and rows that follow from others.

    The first is wanted where ``comparators`` is mixed. A trial of m arms gives m - 1 independent comparisons at one
    time: a row that closes a loop of arms is the sum or difference of others, whatever the measure.
    """
    sharing, _, apart = _pairs(frame, arms)
    if arms is None:
        return
    studies = frame["study"].tolist()

    def named(rows: Sequence[int]) -> str:
        return ", ".join(f"row {frame.index[row]} ({arms[row][0]} v {arms[row][1]})" for row in rows)

    if comparators == "same":
        unlike: dict[str, set[int]] = defaultdict(set)
        for pair in (*sharing, *apart):
            if arms[pair.first][1] != arms[pair.second][1]:
                unlike[studies[pair.first]] |= {pair.first, pair.second}
        for study, members in unlike.items():
            faults.add(
                f"{study}, {named(sorted(members))}: comparisons with different controls, which share an arm; one mean "
                "of them answers no question",
                'Choose one comparator with `where`, or exclude rows; or state comparators = "mixed" and give the '
                "comparison as a moderator.",
            )
    rows_at: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    times = _times(frame)
    for pair in sharing:
        rows_at[studies[pair.first], times[pair.first]] |= {pair.first, pair.second}
    for (study, _), members in rows_at.items():
        for row, others in _redundant(sorted(members), arms):
            found = len({arm for member in members for arm in arms[member]})
            faults.add(
                f"{study}, {named([row])}: it follows from {named(others)}; a trial of {found} arms gives at most "
                f"{found - 1} independent comparisons at one time",
                "Exclude the row, or choose comparisons with `where`.",
            )


def _redundant(rows: Sequence[int], arms: Sequence[tuple[str, str]]) -> list[tuple[int, list[int]]]:
    """Rows that close a loop of arms, each with the rows of the way between its arms without it."""
    often = Counter(arms[row][1] for row in rows)
    links: dict[str, dict[str, int]] = defaultdict(dict)
    found = []
    for row in sorted(rows, key=lambda row: (-often[arms[row][1]], row)):
        start, end = arms[row]
        if end in links[start]:
            # the same two arms again: by another instrument, say
            continue
        ways: dict[str, list[int]] = {start: []}
        queue = [start]
        for arm in queue:
            for other, link in links[arm].items():
                if other not in ways:
                    ways[other] = [*ways[arm], link]
                    queue.append(other)
        if end in ways:
            found.append((row, ways[end]))
        else:
            links[start][end] = links[end][start] = row
    return found


def _ask_for_division(
    pairs: Sequence[_Pair],
    frame: pd.DataFrame,
    arms: Sequence[tuple[str, str]],
    control: ControlArm | None,
    findings: list[Finding],
) -> None:
    """Ask whether a control group was divided, where it is as small in every row as a part of one would be."""
    if isinstance(control, str) or not {"n_t", "n_c"} <= set(frame.columns):
        return
    stated: Mapping[str, str] = control or {}
    members: dict[tuple[str, str, Any], set[int]] = defaultdict(set)
    times = _times(frame)
    for pair in pairs:
        study = str(frame["study"].iloc[pair.first])
        if pair.role_1 == pair.role_2 == "c" and study not in stated:
            members[study, arms[pair.first][1], times[pair.first]] |= {pair.first, pair.second}
    treated, controls = (numbers_of(frame, name) for name in ("n_t", "n_c"))
    asked: list[tuple[str, str]] = []
    for (study, arm, _), rows in members.items():
        inside = sorted(rows)
        parts, whole = len({arms[row][0] for row in inside}), float(treated[inside].mean())
        sizes = controls[inside]
        # nothing is asked where a size is not stated: nan fails every comparison
        if np.ptp(sizes) <= 1 and abs(parts * sizes.mean() - whole) <= _ALIKE * whole:
            shown = ", ".join(f"{size:g}" for size in sizes)
            what = (
                f"{study}: the control arm {arm!r} has {shown} participants in {len(inside)} rows, treated arms "
                f"{whole:g} on average. If the control group was divided between the comparisons it is taken for one "
                f"of {sizes.max():g} that is shared by all"
            )
            remedy = (
                f'State control = {{ "{study}" = "split" }} if it was divided, so that errors are independent; '
                '"shared" if the same participants are the control in each row.'
            )
            findings.append(Finding("control looks divided", "warning", what, remedy))
            asked.append((study, f"{what}. {remedy}"))
    if len(asked) == 1:
        warn(asked[0][1])
    elif asked:
        names = ", ".join(study for study, _ in asked[:5]) + (" ..." if len(asked) > 5 else "")
        warn(
            f"{names}: control arms are so small in several rows that their groups may have been divided. State "
            'control = "split" where they were, "shared" where the same participants are the control in each row.'
        )


def _numbers(frame: pd.DataFrame, stem: str, rows: NDArray[np.intp], roles: Sequence[str]) -> FloatArray:
    t, c = (numbers_of(frame, f"{stem}_{arm}")[rows] for arm in "tc")
    return np.where(np.array(roles) == "t", t, c)


def _note_differences(
    pairs: list[_Pair],
    shared: Mapping[str, tuple[FloatArray, FloatArray]],
    arms: Sequence[tuple[str, str]],
    frame: pd.DataFrame,
    findings: list[Finding],
) -> None:
    """Two rows should print one arm with the same numbers; where they do not, say so and go on."""
    for stem, (one, two) in shared.items():
        for at in np.flatnonzero(np.isfinite(one) & np.isfinite(two) & (one != two)):
            pair = pairs[int(at)]
            arm = arms[pair.first]["tc".index(pair.role_1)]
            rows = f"rows {frame.index[pair.first]} and {frame.index[pair.second]}"
            findings.append(
                Finding(
                    "shared arm with different numbers",
                    "warning",
                    f"{frame['study'].iloc[pair.first]}, arm {arm!r}, {rows}: {stem} is {one[at]:g} and {two[at]:g}",
                    "Each effect uses its own row's numbers, their covariance the mean of both. Check the source.",
                )
            )


def _covariances(
    pairs: list[_Pair],
    frame: pd.DataFrame,
    measure: str,
    y: FloatArray,
    arms: Sequence[tuple[str, str]],
    options: Mapping[str, Any],
    findings: list[Finding] | None,
) -> FloatArray:
    """Covariance of each pair that shares one arm; nan where the numbers for it are not in the table.

    With ``findings`` None, pairs may print the shared arm with different numbers: they are of different times.
    """
    first, second = (np.array([pair[i] for pair in pairs], np.intp) for i in (0, 1))
    role_1, role_2 = [pair.role_1 for pair in pairs], [pair.role_2 for pair in pairs]
    shared = {stem: (_numbers(frame, stem, first, role_1), _numbers(frame, stem, second, role_2)) for stem in _STEMS}
    if findings is not None:
        _note_differences(pairs, shared, arms, frame, findings)
    if measure not in _SHARED:
        return np.full(len(pairs), np.nan)
    given: dict[str, Any] = {"n_c": (shared["n"][0] + shared["n"][1]) / 2}
    for stem in _SHARED[measure]:
        given[f"{stem}_c"] = (shared[stem][0] + shared[stem][1]) / 2
    for stem in _OTHERS.get(measure, ()):
        given[f"{stem}_1"] = _numbers(frame, stem, first, [_OTHER[role] for role in role_1])
        given[f"{stem}_2"] = _numbers(frame, stem, second, [_OTHER[role] for role in role_2])
    if "events_c" in given:
        # a mean of two whole numbers need not be whole
        given["events_c"] = np.where(shared["events"][0] == shared["events"][1], given["events_c"], np.nan)
    if measure in ("SMD", "SMDH"):
        given["y_1"], given["y_2"] = y[first], y[second]
    known = np.all([np.isfinite(values) for values in given.values()], axis=0)
    if "events_c" in given:
        # a zero in the arm that is not shared corrected the shared one too
        for number, rows, roles in ((1, first, role_1), (2, second, role_2)):
            events, people = (_numbers(frame, stem, rows, [_OTHER[role] for role in roles]) for stem in ("events", "n"))
            told = np.isfinite(events) & np.isfinite(people)
            given |= {f"events_{number}": np.where(told, events, 1.0), f"n_{number}": np.where(told, people, 2.0)}
    result = np.full(len(pairs), np.nan)
    if known.any():
        extra = {name: options[name] for name in ("form", "zero") if name in options}
        given = {name: values[known] for name, values in given.items()}
        n_c = given.pop("n_c")
        same_role = np.array([a == b for a, b in zip(role_1, role_2, strict=True)])[known]
        result[known] = shared_control_covariance(measure, n_c, same_role=same_role, **extra, **given)
    return result


def shared_blocks(
    frame: pd.DataFrame,
    measure: str,
    y: FloatArray,
    se: FloatArray,
    arms: Sequence[tuple[str, str]] | None,
    *,
    options: Mapping[str, Any],
    working_correlation: float | None,
    control: ControlArm | None = None,
    findings: list[Finding],
    faults: FrameFaults,
    factor: FloatArray | None = None,
) -> tuple[tuple[Block, ...], tuple[float, tuple[FloatArray, ...]] | None]:
    """Make the blocks of dependent rows, and say what of them was assumed (`Effects.working`).

    Rows of one trial, outcome and horizon that share an arm get the covariance that the arm's numbers give. Rows that
    share all their patients (the same arms at another time or with another instrument, or a trial without named arms)
    get ``working_correlation`` times their standard errors, if it is stated. Rows that share one arm at different times
    get the product: the covariance of the shared arm times ``working_correlation``; the matrix of a trial is then the
    Kronecker product of a correlation between times and one between comparisons, which is positive definite.

    The variances of two rows over those of independent people without covariates (``factor``, such as a design effect)
    multiply the covariance of their shared arm by their roots.

    Rows whose control group is stated to be divided (``control``) share no patients: the covariance of two such rows is
    zero, and they stand in one block, because their true effects depend on each other as if the control were one.
    """
    sharing, same, apart = _pairs(frame, arms)
    linked: list[_Link] = []
    if sharing and arms is not None:
        _ask_for_division(sharing, frame, arms, control, findings)
    root = np.ones(len(frame)) if factor is None else np.sqrt(factor)
    split = split_rows(control, frame["study"].tolist())
    if split is not None:
        divided = [pair.role_1 == pair.role_2 == "c" and bool(split[pair.first]) for pair in sharing]
        linked += [_Link(pair.first, pair.second, 0.0) for pair in compress(sharing, divided)]
        sharing = list(compress(sharing, np.logical_not(divided)))
        apart = [pair for pair in apart if not (pair.role_1 == pair.role_2 == "c" and split[pair.first])]
    if sharing and arms is not None:
        covariances = _covariances(sharing, frame, measure, y, arms, options, findings)
        for pair, covariance in zip(sharing, covariances, strict=True):
            if np.isfinite(covariance):
                grown = covariance * root[pair.first] * root[pair.second]
                linked.append(_Link(pair.first, pair.second, float(grown)))
            elif working_correlation is not None:
                same.append(pair)
            else:
                findings.append(
                    Finding(
                        "shared arm without covariance",
                        "warning",
                        f"{frame['study'].iloc[pair.first]}, rows {frame.index[pair.first]} and "
                        f"{frame.index[pair.second]}: they share an arm whose numbers are not in the table",
                        "Give the arms' numbers, or state working_correlation.",
                    )
                )
    if working_correlation is not None:
        linked += [_Link(a, b, slope=float(se[a] * se[b])) for a, b, *_ in same]
    if working_correlation is not None and apart and arms is not None:
        covariances = _covariances(apart, frame, measure, y, arms, options, None)
        for pair, covariance in zip(apart, covariances, strict=True):
            a, b = pair.first, pair.second
            if not np.isfinite(covariance):
                covariance = working_correlation * se[a] * se[b] / (root[a] * root[b])
            linked.append(_Link(a, b, slope=float(covariance * root[a] * root[b])))
    blocks, slopes = _blocks(linked, working_correlation or 0.0, frame, se, faults)
    return blocks, None if working_correlation is None else (working_correlation, slopes)


def _blocks(
    linked: list[_Link], working: float, frame: pd.DataFrame, se: FloatArray, faults: FrameFaults
) -> tuple[tuple[Block, ...], tuple[FloatArray, ...]]:
    by_study: dict[str, list[_Link]] = defaultdict(list)
    studies = frame["study"].tolist()
    for link in linked:
        by_study[studies[link.first]].append(link)
    blocks: list[Block] = []
    slopes: list[FloatArray] = []
    for study, links in by_study.items():
        rows = np.array(sorted({row for link in links for row in link[:2]}), np.intp)
        at = {int(row): i for i, row in enumerate(rows)}
        covariance, together = np.diag(se[rows] ** 2), np.eye(rows.size, dtype=bool)
        growth = np.zeros(covariance.shape)
        for link in links:
            i, j = at[link.first], at[link.second]
            covariance[i, j] = covariance[j, i] = link.known + working * link.slope
            growth[i, j] = growth[j, i] = link.slope
            together[i, j] = together[j, i] = True
        labels = component_labels(together)
        for label in np.unique(labels):
            inside = np.flatnonzero(labels == label)
            if inside.size < 2:
                continue
            members, block = rows[inside], covariance[np.ix_(inside, inside)]
            correlation = block / np.outer(se[members], se[members])
            if np.linalg.eigvalsh(correlation).min() <= _SINGULAR:
                shown = ", ".join(str(frame.index[row]) for row in members)
                faults.add(
                    f"{study}, rows {shown}: their covariance is singular; one comparison follows from the others",
                    "Choose comparisons that are not redundant with `where`, or exclude one of the rows.",
                )
                continue
            blocks.append((members, block))
            slopes.append(growth[np.ix_(inside, inside)])
    return tuple(blocks), tuple(slopes)
