"""Rules over the arms of a study table: numbers that no sample can have, and arms that stand in the table twice."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from scipy import special

from bayesmeta.forensics.rules import FloatArray, Hit, Rule, numbers_of, shown, significant_digits, texts_of, unit_of
from bayesmeta.studies import address

__all__ = ["ARM_RULES", "F_TEST", "StudyTable", "grim_consistent", "grimmer_consistent"]

# two-sided, of the ratio of two variances: small, because scores are not normal and every row is tested
F_TEST = 1e-5
# share of the larger of two counts that a difference must reach before growth is a warning
GROWTH = 0.05
_WORDS = {"baseline": 0.0, "short": 1.0, "medium": 2.0, "long": 3.0}
_TIMES = ("horizon", "timepoint_weeks", "timepoint", "time")
_NAMES = {"t": "treated", "c": "control"}


@dataclass(frozen=True, slots=True, eq=False)
class StudyTable:
    """A study table as rules see it: columns by name, and where each row stands.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table, index being the file's rows.
    source : str
        Name of the file.
    grain : float, optional
        Smallest step of the scores of single participants; a column ``grain`` goes before it.
    bounds : (float, float), optional
        Ends of the scale; columns ``scale_min`` and ``scale_max`` go before them.

    Examples
    --------
    >>> StudyTable(pd.DataFrame({"study": ["Hu 2020"]}, index=[4]), "trials.csv").place(0)
    'trials.csv row 4 (Hu 2020)'
    """

    frame: pd.DataFrame
    source: str = "table"
    grain: float | None = None
    bounds: tuple[float, float] | None = None
    study: list[str] = field(init=False)
    outcome: list[str] = field(init=False)
    time: list[str] = field(init=False)
    arms: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        frame = self.frame
        times = [texts_of(frame, name) for name in _TIMES if name in frame.columns]
        outcome = "outcome" if "outcome" in frame.columns else "endpoint"
        for name, value in (
            ("study", texts_of(frame, "study")),
            (
                "outcome",
                [" ".join(t) for t in zip(texts_of(frame, outcome), texts_of(frame, "instrument"), strict=True)],
            ),
            (
                "time",
                [" ".join(filter(None, parts)) for parts in zip(*times, strict=True)] if times else [""] * len(frame),
            ),
            ("arms", {arm: texts_of(frame, f"arm_{arm}") for arm in "tc"}),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.frame)

    def number(self, name: str) -> FloatArray:
        """Return a column as numbers, nan where it has none."""
        return numbers_of(self.frame, name)

    def place(self, row: int) -> str:
        """Say where a row stands."""
        where = address({**self.frame.attrs, "source": self.source}, self.frame.index[row])
        return f"{where} ({self.study[row] or 'no study'})"

    def places(self, rows: Iterable[int]) -> str:
        """Say where several rows of one study stand."""
        rows = list(rows)
        listed = " and ".join(str(self.frame.index[row]) for row in rows)
        names = ", ".join(dict.fromkeys(self.study[row] or "no study" for row in rows))
        return f"{self.source} rows {listed} ({names})"

    def step(self) -> FloatArray:
        """Return the smallest step of a score by row, nan where none is stated."""
        own = self.number("grain")
        return own if self.grain is None else np.where(np.isfinite(own), own, self.grain)

    def ends(self) -> tuple[FloatArray, FloatArray]:
        """Return the ends of the scale by row, nan where none are stated."""
        low, high = self.number("scale_min"), self.number("scale_max")
        if self.bounds is None:
            return low, high
        stated = np.isfinite(low) & np.isfinite(high)
        return np.where(stated, low, self.bounds[0]), np.where(stated, high, self.bounds[1])


# -- numbers that no sample can have -----------------------------------------------------------------------------------


def _counts(table: StudyTable) -> Iterator[Hit]:
    for arm in "tc":
        n, events = table.number(f"n_{arm}"), table.number(f"events_{arm}")
        for i in range(len(table)):
            if np.isfinite(n[i]) and n[i] < 1:
                yield Hit(f"{table.place(i)}: n_{arm} is {n[i]:g}")
            elif np.isfinite(n[i]) and n[i] != round(n[i]):
                yield Hit(
                    f"{table.place(i)}: n_{arm} is {n[i]:g}, not a whole number",
                    "warning",
                    "A control arm was halved, or a cluster trial's sample was reduced: say so, or enter whole counts.",
                )
            if np.isfinite(events[i]) and (events[i] < 0 or events[i] != round(events[i])):
                yield Hit(f"{table.place(i)}: events_{arm} is {events[i]:g}, not a whole number from 0 on")
            if events[i] > n[i]:
                yield Hit(f"{table.place(i)}: {events[i]:g} events in {n[i]:g} participants (arm {arm})")


def _spread(table: StudyTable) -> Iterator[Hit]:
    for name in ("sd_t", "sd_c", "se_t", "se_c", "se"):
        values = table.number(name)
        for i in np.flatnonzero(values <= 0):
            yield Hit(f"{table.place(int(i))}: {name} is {values[i]:g}")


def grim_consistent(mean: float, n: float, grain: float, unit: float) -> bool:
    """Whether a printed mean can be that of ``n`` scores that are multiples of ``grain``.

    Parameters
    ----------
    mean : float
        As printed.
    n : float
        Participants.
    grain : float
        Smallest step of one score: 1 for whole points, 1/items for the mean of several items.
    unit : float
        Value of the last printed decimal.

    References
    ----------
    Brown NJL, Heathers JAJ (2017). The GRIM test. Social Psychological and Personality Science 8:363-369.
    doi:10.1177/1948550616673876

    Examples
    --------
    >>> grim_consistent(5.19, 28, 1, 0.01), grim_consistent(5.18, 28, 1, 0.01)
    (False, True)
    """
    half, slack = unit / 2, 1e-9 * max(1.0, abs(mean))
    total = np.round(mean * n / grain)
    return bool(np.any(np.abs((total + np.array([-1.0, 0.0, 1.0])) * grain / n - mean) <= half + slack))


def grimmer_consistent(mean: float, sd: float, n: float, grain: float, mean_unit: float, sd_unit: float) -> bool:
    """Whether a printed mean and SD can be those of ``n`` scores that are multiples of ``grain``.

    In units of the grain the sum of squares is a whole number of the same parity as the sum.

    Parameters
    ----------
    mean, sd : float
        As printed.
    n : float
        Participants.
    grain : float
        Smallest step of one score.
    mean_unit, sd_unit : float
        Values of the last printed decimals.

    References
    ----------
    Anaya J (2016). The GRIMMER test. PeerJ Preprints 4:e2400v1. doi:10.7287/peerj.preprints.2400v1

    Examples
    --------
    Ten whole scores of mean 3.5: sums of squares are odd.

    >>> grimmer_consistent(3.5, 1.18, 10, 1, 0.1, 0.01), grimmer_consistent(3.5, 1.20, 10, 1, 0.1, 0.01)
    (True, False)
    """
    slack = 1e-7
    low_total, high_total = ((mean + sign * mean_unit / 2) * n / grain for sign in (-1, 1))
    # sums of squares beyond whole floats, and means too coarse to say anything
    if max(abs(low_total), abs(high_total), n * (sd + sd_unit) / grain) > 1e7 or high_total - low_total > 100:
        return True
    low_sd, high_sd = max(0.0, (sd - sd_unit / 2) / grain), (sd + sd_unit / 2) / grain
    for total in range(math.ceil(low_total - slack), math.floor(high_total + slack) + 1):
        low = (n - 1) * low_sd**2 + total**2 / n
        high = (n - 1) * high_sd**2 + total**2 / n
        first = math.ceil(low - slack * max(1.0, low))
        first += (first - total) % 2
        if first <= high + slack * max(1.0, high):
            return True
    return False


def _grim(table: StudyTable) -> Iterator[Hit]:
    grain = table.step()
    for arm in "tc":
        mean, n = table.number(f"mean_{arm}"), table.number(f"n_{arm}")
        unit = unit_of(mean)
        for i in np.flatnonzero(np.isfinite(mean + n + grain) & (n >= 1) & (grain > 0)):
            if not grim_consistent(float(mean[i]), float(n[i]), float(grain[i]), float(unit[i])):
                what = f"mean_{arm} {mean[i]:g} cannot be the mean of {n[i]:g} scores in steps of {grain[i]:g}"
                yield Hit(f"{table.place(int(i))}: {what}")


def _grimmer(table: StudyTable) -> Iterator[Hit]:
    grain = table.step()
    for arm in "tc":
        mean, sd, n = (table.number(f"{stem}_{arm}") for stem in ("mean", "sd", "n"))
        units = unit_of(mean), unit_of(sd)
        for i in np.flatnonzero(np.isfinite(mean + sd + n + grain) & (n >= 2) & (grain > 0) & (sd > 0)):
            mine = float(mean[i]), float(sd[i]), float(n[i]), float(grain[i]), float(units[0][i]), float(units[1][i])
            # a mean that is impossible itself is reported once, by the rule before this one
            if (
                n[i] == round(n[i])
                and grim_consistent(mine[0], mine[2], mine[3], mine[4])
                and not grimmer_consistent(*mine)
            ):
                what = f"sd_{arm} {sd[i]:g} cannot go with {n[i]:g} scores of mean {mean[i]:g} in steps of {grain[i]:g}"
                yield Hit(f"{table.place(int(i))}: {what}")


def _bounds(table: StudyTable) -> Iterator[Hit]:
    low, high = table.ends()
    for arm in "tc":
        mean, sd, n = (table.number(f"{stem}_{arm}") for stem in ("mean", "sd", "n"))
        for i in np.flatnonzero(np.isfinite(low + high + mean)):
            # some tables hold scores multiplied by -1
            value = -mean[i] if not low[i] <= mean[i] <= high[i] and low[i] <= -mean[i] <= high[i] else mean[i]
            scale = f"a scale from {low[i]:g} to {high[i]:g}"
            if not low[i] <= value <= high[i]:
                yield Hit(f"{table.place(int(i))}: mean_{arm} {mean[i]:g} is outside {scale}")
                continue
            if not (np.isfinite(sd[i] + n[i]) and n[i] > 1):
                continue
            # Popoviciu's bound with the mean known: all scores at the ends (doi:10.2307/2589180)
            middle, half = (low[i] + high[i]) / 2, float(unit_of(mean[i : i + 1])[0]) / 2
            inner = value + np.clip(middle - value, -half, half)
            most = math.sqrt((inner - low[i]) * (high[i] - inner) * n[i] / (n[i] - 1))
            if sd[i] > most + float(unit_of(sd[i : i + 1])[0]) / 2:
                yield Hit(
                    f"{table.place(int(i))}: sd_{arm} {sd[i]:g} is more than the {shown(most)} that {scale} allows"
                )


# -- arms --------------------------------------------------------------------------------------------------------------


def _arm(table: StudyTable, arm: str) -> list[tuple[float, ...] | None]:
    """Return each row's arm as its numbers, None where they are too few to know an arm by."""
    columns = [table.number(f"{stem}_{arm}") for stem in ("n", "mean", "sd", "events")]
    known: list[tuple[float, ...] | None] = []
    for n, mean, sd, events in zip(*columns, strict=True):
        if np.isfinite([n, mean, sd]).all():
            known.append((n, mean, sd))
        elif np.isfinite([n, events]).all():
            known.append((n, events))
        else:
            known.append(None)
    return known


def _telling(numbers: tuple[float, ...]) -> bool:
    """Whether an arm's numbers are many enough that two arms do not have them by chance."""
    return len(numbers) == 3 and sum(significant_digits(value) for value in numbers[1:]) >= 4


def _shared(table: StudyTable) -> Iterator[Hit]:
    arms = {arm: _arm(table, arm) for arm in "tc"}
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i in range(len(table)):
        groups[table.study[i], table.outcome[i], table.time[i]].append(i)
    for rows in groups.values():
        for first, second in combinations(rows, 2):
            for role_1, role_2 in (("c", "c"), ("t", "t"), ("t", "c"), ("c", "t")):
                one = arms[role_1][first]
                if (
                    one is None
                    or one != arms[role_2][second]
                    or not (_telling(one) or (len(one) == 2 and role_1 == role_2))
                ):
                    continue
                name_1, name_2 = table.arms[role_1][first], table.arms[role_2][second]
                what = f"{_NAMES[role_1]} arm {_numbers(one)} is the {_NAMES[role_2]} arm of the other row"
                if name_1 and name_1 == name_2:
                    yield Hit(
                        f"{table.places((first, second))}: {what}; both name it {name_1!r}",
                        "info",
                        "Nothing to do: rows that name their arms get the covariance of the shared one.",
                    )
                else:
                    yield Hit(f"{table.places((first, second))}: {what}")


def _numbers(arm: tuple[float, ...]) -> str:
    names = ("n", "mean", "SD") if len(arm) == 3 else ("n", "events")
    return ", ".join(f"{name} {value:g}" for name, value in zip(names, arm, strict=True))


def _borrowed(table: StudyTable) -> Iterator[Hit]:
    seen: dict[tuple[str, tuple[float, ...]], dict[str, int]] = defaultdict(dict)
    for arm in "tc":
        for i, numbers in enumerate(_arm(table, arm)):
            if numbers is not None and _telling(numbers):
                seen[table.outcome[i], numbers].setdefault(table.study[i], i)
    pairs: dict[tuple[str, str], list[tuple[int, int, tuple[float, ...]]]] = defaultdict(list)
    for (_, numbers), first in seen.items():
        for one, two in combinations(first, 2):
            pairs[one, two].append((first[one], first[two], numbers))
    for shared in pairs.values():
        i, j, numbers = shared[0]
        more = f", and {len(shared) - 1} more of their arms" if len(shared) > 1 else ""
        # a change of 0 with an SD from rounded numbers does come twice
        once = len(shared) == 1 and significant_digits(numbers[1]) < 2
        yield Hit(f"{table.places((i, j))}: both have an arm with {_numbers(numbers)}{more}", "info" if once else None)


def _equal_arms(table: StudyTable) -> Iterator[Hit]:
    for i, (one, two) in enumerate(zip(_arm(table, "t"), _arm(table, "c"), strict=True)):
        if one is None or two is None or not _telling(one) or one[1:] != two[1:]:
            continue
        same = one[0] == two[0]
        what = _numbers(one) if same else f"{_numbers(one)[_numbers(one).index('mean') :]}, n {one[0]:g} and {two[0]:g}"
        yield Hit(f"{table.place(i)}: both arms have {what}", None if same else "warning")


def _totals(table: StudyTable) -> Iterator[Hit]:
    n_t, n_c, total = (table.number(name) for name in ("n_t", "n_c", "n_total"))
    for i in np.flatnonzero(np.isfinite(n_t + n_c + total)):
        if n_t[i] == n_c[i] == total[i]:
            yield Hit(f"{table.place(int(i))}: {n_t[i]:g} in both arms, and {total[i]:g} in all")
        elif n_t[i] + n_c[i] != total[i]:
            what = f"arms of {n_t[i]:g} and {n_c[i]:g} are {n_t[i] + n_c[i]:g}, not {total[i]:g}"
            yield Hit(f"{table.place(int(i))}: {what}", "error" if n_t[i] + n_c[i] > total[i] else "warning")


def _repeated(table: StudyTable) -> Iterator[Hit]:
    numbers = np.abs([table.number(f"{stem}_{arm}") for arm in "tc" for stem in ("mean", "sd")])
    digits = np.array([[significant_digits(v) if np.isfinite(v) else 0 for v in column] for column in numbers])
    groups: dict[str, list[int]] = defaultdict(list)
    for i in range(len(table)):
        groups[table.study[i]].append(i)
    reported = set()
    for rows in groups.values():
        for first, second in combinations(rows, 2):
            here, there = ((table.outcome[i].strip(), table.time[i]) for i in (first, second))
            equal = numbers[:, first] == numbers[:, second]
            if here == there or not (equal[:2].all() or equal[2:].all()):
                continue
            stand = f"stand for both {' '.join(filter(None, here))!r} and {' '.join(filter(None, there))!r}"
            if equal.all() and digits[:, first].sum() >= 8:
                a, b, c, d = numbers[:, first]
                yield Hit(f"{table.places((first, second))}: mean {a:g} (SD {b:g}) and {c:g} ({d:g}) {stand}")
                continue
            for at, arm in ((slice(0, 2), "t"), (slice(2, 4), "c")):
                named = table.arms[arm][first] == table.arms[arm][second]
                if (
                    equal[at].all()
                    and not equal.all()
                    and named
                    and here[0] == there[0]
                    and digits[at, first].sum() >= 5
                ):
                    a, b = numbers[at, first]
                    # the arm may stand in several rows at each time
                    if (key := (table.study[first], here[0], table.arms[arm][first], a, b)) in reported:
                        continue
                    reported.add(key)
                    yield Hit(f"{table.places((first, second))}: {_NAMES[arm]} arm: mean {a:g} (SD {b:g}) {stand}")


def _opposite(table: StudyTable) -> Iterator[Hit]:
    mean_t, sd_t, mean_c, sd_c = (table.number(name) for name in ("mean_t", "sd_t", "mean_c", "sd_c"))
    apart = (mean_t * mean_c < 0) & (np.abs(mean_t) > sd_t) & (np.abs(mean_c) > sd_c)
    for i in np.flatnonzero(apart):
        what = f"means {mean_t[i]:g} (SD {sd_t[i]:g}) and {mean_c[i]:g} (SD {sd_c[i]:g}) have opposite signs"
        yield Hit(f"{table.place(int(i))}: {what}")


def _coding(table: StudyTable) -> Iterator[Hit]:
    coded = texts_of(table.frame, "coded_better")
    mean_t, sd_t, mean_c, sd_c = (table.number(name) for name in ("mean_t", "sd_t", "mean_c", "sd_c"))
    # scores, not changes: both arms further than one SD from zero
    sign = np.where((mean_t * mean_c > 0) & (np.abs(mean_t) > sd_t) & (np.abs(mean_c) > sd_c), np.sign(mean_t), 0)
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i in range(len(table)):
        if coded[i] and sign[i]:
            groups[table.study[i], table.outcome[i]].append(i)
    for rows in groups.values():
        for first, second in combinations(rows, 2):
            if (sign[first] != sign[second]) != (coded[first] != coded[second]):
                what = "means of opposite signs" if sign[first] != sign[second] else "means of the same sign"
                what += (
                    f" ({mean_t[first]:g} and {mean_t[second]:g}), coded_better {coded[first]!r} and {coded[second]!r}"
                )
                yield Hit(f"{table.places((first, second))}: {what}")


def _variances(table: StudyTable) -> Iterator[Hit]:
    sd_t, n_t, sd_c, n_c = (table.number(name) for name in ("sd_t", "n_t", "sd_c", "n_c"))
    usable = (sd_t > 0) & (sd_c > 0) & (n_t > 1) & (n_c > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (sd_t / sd_c) ** 2
        tail = np.minimum(special.fdtr(n_t - 1, n_c - 1, ratio), special.fdtrc(n_t - 1, n_c - 1, ratio))
    for i in np.flatnonzero(usable & (2 * tail < F_TEST)):
        what = f"SDs {sd_t[i]:g} (n {n_t[i]:g}) and {sd_c[i]:g} (n {n_c[i]:g}): F test p {2 * tail[i]:.1g}"
        yield Hit(f"{table.place(int(i))}: {what}")


def _one_sd(table: StudyTable) -> Iterator[Hit]:
    sd_t, sd_c = table.number("sd_t"), table.number("sd_c")
    for i in np.flatnonzero((sd_t == sd_c) & (sd_t > 0)):
        if significant_digits(float(sd_t[i])) >= 4:
            yield Hit(f"{table.place(int(i))}: SD {sd_t[i]:g} in both arms")


def _order(texts: list[str]) -> list[float]:
    """Return times as numbers where they are numbers or words with an order, nan elsewhere."""
    found = []
    for text in texts:
        try:
            found.append(_WORDS[text] if text in _WORDS else float(text))
        except ValueError:
            found.append(float("nan"))
    return found


def _growth(table: StudyTable) -> Iterator[Hit]:
    time = _order(table.time)
    groups: dict[Hashable, list[int]] = defaultdict(list)
    kinds = [texts_of(table.frame, name) for name in ("exercise", "comparator")]
    for i in range(len(table)):
        arms = (table.arms["t"][i], table.arms["c"][i], *(kind[i] for kind in kinds))
        if math.isfinite(time[i]):
            groups[table.study[i], table.outcome[i], arms].append(i)
    for rows in groups.values():
        rows.sort(key=lambda i: time[i])
        for first, second in pairwise(rows):
            for arm in "tc":
                n = table.number(f"n_{arm}")
                if time[first] < time[second] and n[second] > n[first] * (1 + GROWTH):
                    what = (
                        f"n_{arm} grows from {n[first]:g} ({table.time[first]}) to {n[second]:g} ({table.time[second]})"
                    )
                    yield Hit(f"{table.places((first, second))}: {what}")


ARM_RULES = (
    Rule(
        "impossible count",
        "error",
        "Are counts whole numbers, and events no more than participants?",
        "Correct the cell from the trial's report.",
        _counts,
    ),
    Rule(
        "impossible spread",
        "error",
        "Are standard deviations and errors positive?",
        "Correct the cell; an SD of 0 is usually an empty cell.",
        _spread,
    ),
    Rule(
        "GRIM",
        "warning",
        "Can the printed mean be that of so many scores?",
        "Check mean and n in the report: n of this outcome may be smaller, or the steps others.",
        _grim,
    ),
    Rule(
        "GRIMMER",
        "warning",
        "Can the printed SD go with the mean and n?",
        "Check SD, mean and n in the report: an adjusted or imputed SD fails this rule too.",
        _grimmer,
    ),
    Rule(
        "outside the scale",
        "error",
        "Do mean and SD fit the ends of the scale?",
        "Check the instrument, and whether these are changes, or an SD of another quantity.",
        _bounds,
    ),
    Rule(
        "arm used twice",
        "warning",
        "Is one arm entered in two rows of an analysis?",
        "Name the arms in columns arm_t and arm_c: rows that share one then get their covariance.",
        _shared,
    ),
    Rule(
        "arm in two studies",
        "warning",
        "Do two studies report the same arm?",
        "Two reports of one trial? Give them one study name, or exclude one.",
        _borrowed,
    ),
    Rule(
        "arms are equal",
        "error",
        "Are treated and control arm different samples?",
        "One arm was probably copied into the other's cells.",
        _equal_arms,
    ),
    Rule("total v arms", "error", "Do the arms add up to the total?", "Enter each arm's own participants.", _totals),
    Rule(
        "same numbers twice",
        "warning",
        "Does a study report the same numbers for two times or outcomes?",
        "Check the report for one measurement entered twice, or a copied row.",
        _repeated,
    ),
    Rule(
        "means of opposite sign",
        "warning",
        "Are both arms scored in the same direction?",
        "A minus sign was probably lost or added in one arm.",
        _opposite,
    ),
    Rule(
        "coding v sign",
        "warning",
        "Do rows of one scale agree on its direction?",
        "Where means were multiplied by -1, coded_better must change too.",
        _coding,
    ),
    Rule(
        "SDs of the arms differ",
        "warning",
        "Could both arms come from similar populations?",
        "Look for a standard error given as an SD in one arm, or a decimal point that moved.",
        _variances,
    ),
    Rule(
        "one SD for both arms",
        "info",
        "Was each arm's SD printed?",
        "The SD was probably derived from a test or an interval: check how.",
        _one_sd,
    ),
    Rule(
        "participants grow",
        "warning",
        "Do participants only get fewer?",
        "Check which analysis set each row reports.",
        _growth,
    ),
)
