"""Rows of a table that lack something, or say something beside their numbers, and what is proposed for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

__all__ = [
    "Lacking",
    "change_rows",
    "divided_controls",
    "filled",
    "noted",
    "placeless_rows",
    "rows_text",
    "rows_without_effect",
]

_CHANGE = r"\bchanges? (?:from|since|score|value)|\bchange scores?\b|^\s*changes?\s*$|change from baseline"
_DIVIDED, _GROUP = "(?:split|divided|halved)", "(?:control|comparator|arm|group)"
_SPLIT = rf"{_DIVIDED}[^.;]*{_GROUP}|{_GROUP}[^.;]*{_DIVIDED}"
_MEANS = ("MD", "SMD", "SMDH", "ROM")


@dataclass(frozen=True, slots=True)
class Lacking:
    """Something that rows lack or say beside their numbers, and what is proposed.

    Parameters
    ----------
    kind : {"one_sd", "exclude", "split", "change"}
    studies : tuple of str
    rows : tuple of int
    text : str
    """

    kind: Literal["one_sd", "exclude", "split", "change"]
    studies: tuple[str, ...]
    rows: tuple[int, ...]
    text: str


def filled(frame: pd.DataFrame, *names: str) -> np.ndarray:
    """Rows in which all of these columns are filled."""
    there = np.ones(len(frame), dtype=bool)
    for name in names:
        there &= frame[name].notna().to_numpy() if name in frame.columns else False
    return there


def _arm(frame: pd.DataFrame, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows in which an arm has its size and a mean or median, and those in which it has a spread too."""
    centre, spread = np.zeros(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
    for mean, spreads in (
        ("mean", ("sd", "se", "ci_low ci_high")),
        ("mean_change", ("sd_change", "se_change", "ci_low_change ci_high_change")),
        ("median", ("q1 q3", "low high")),
    ):
        has = filled(frame, f"{mean}_{arm}")
        centre |= has
        for names in spreads:
            spread |= has & filled(frame, *(f"{name}_{arm}" for name in names.split()))
    size = filled(frame, f"n_{arm}")
    return size & centre, size & centre & spread


def rows_without_effect(frame: pd.DataFrame, measure: str, there: np.ndarray) -> list[Lacking]:
    """Rows, of those that are there, from which an effect cannot be computed as they stand."""
    whole = np.zeros(len(frame), dtype=bool)
    for estimate in ("estimate", "md", "adjusted_difference"):
        for uncertain in ("se", "var", "ci_low ci_high", "t", "p", "f"):
            whole |= filled(frame, estimate, *uncertain.split())
    for statistic in ("d", "g", "t", "f", "p"):
        whole |= filled(frame, statistic, "n_t", "n_c") & ("sign" in frame.columns or statistic not in "fp")
    for counts in ("events_t n_t events_c n_c", "events_t time_t events_c time_c", "events n", "events time", "r n"):
        whole |= filled(frame, *counts.split())
    one = np.zeros(len(frame), dtype=bool)
    if measure in _MEANS:
        (centre_t, spread_t), (centre_c, spread_c) = _arm(frame, "t"), _arm(frame, "c")
        whole |= spread_t & spread_c
        one = ~whole & centre_t & centre_c & (spread_t ^ spread_c)
    if measure == "MN":
        whole |= filled(frame, "mean", "se") | filled(frame, "mean", "sd", "n")
        whole |= filled(frame, "mean", "ci_low", "ci_high")
    if "design" in frame.columns:
        whole |= frame["design"].notna().to_numpy()
    found = []
    for kind, rows, text in (
        ("one_sd", one & there, "the SD of one arm is not reported: that of the other arm stands for it"),
        ("exclude", ~whole & ~one & there, "no effect can be computed from what is reported: left out"),
    ):
        if rows.any():
            found.append(noted(kind, frame, rows, text))
    return found


def placeless_rows(
    frame: pd.DataFrame, grouped: np.ndarray, unnamed: np.ndarray, comparator: str | None
) -> list[Lacking]:
    """Rows that an empty cell keeps out of every analysis, each once, by the first such cell."""
    found, told = [], np.zeros(len(frame), dtype=bool)

    def empty(name: str) -> np.ndarray:
        return frame[name].isna().to_numpy() if name in frame.columns else np.zeros(len(frame), dtype=bool)

    for name, rows, text in (
        ("outcome", empty("outcome"), "its outcome is not stated"),
        ("horizon", empty("horizon"), "its horizon is not stated"),
        (
            "arm_c",
            empty("arm_c") & grouped & (comparator is not None),
            f"its comparator is not stated, and only rows with {comparator} are analysed",
        ),
        ("coded_better", empty("coded_better") & grouped, "the direction of its scale is not stated"),
        ("instrument", unnamed, "its instrument is not named, so that the direction of its scores is not known"),
    ):
        if (rows & ~told).any() and not empty(name).all():
            found.append(noted("exclude", frame, rows & ~told, f"{text}: left out"))
            told |= rows
    return found


def noted(kind: Any, frame: pd.DataFrame, rows: np.ndarray, text: str) -> Lacking:
    """Note the rows of a mask."""
    names = tuple(dict.fromkeys(frame["study"].astype(str).to_numpy()[rows].tolist()))
    return Lacking(kind, names, tuple(int(row) for row in frame.index[rows]), text)


def change_rows(frame: pd.DataFrame) -> np.ndarray:
    """Rows whose means are changes, by the column of scores or by remarks, in columns of final scores."""
    rows = np.zeros(len(frame), dtype=bool)
    if "score" in frame.columns:
        rows |= frame["score"].astype("str").str.casefold().str.contains("change", na=False).to_numpy(dtype=bool)
    if "note" in frame.columns:
        rows |= frame["note"].astype("str").str.contains(_CHANGE, case=False, na=False).to_numpy(dtype=bool)
    return rows & filled(frame, "mean_t")


def divided_controls(frame: pd.DataFrame, groups: Sequence[Sequence[int]]) -> list[Lacking]:
    """Trials with several rows in one analysis and one control: divided between rows, or shared."""
    found: dict[tuple[str, str], set[int]] = {}
    for group in groups:
        part = frame.loc[list(group)]
        for study, rows in part.groupby(part["study"].astype(str), sort=False):
            if len(rows) < 2:
                continue
            remarks = " ; ".join(rows["note"].dropna().astype(str)) if "note" in rows.columns else ""
            control = [name for name in ("mean_c", "sd_c") if name in rows.columns]
            same = bool(control) and all(len(set(rows[name])) == 1 for name in control)
            sizes = len(set(rows["n_c"])) if "n_c" in rows.columns else 1
            if re.search(_SPLIT, remarks, re.IGNORECASE) or (same and sizes > 1):
                found.setdefault(("split", str(study)), set()).update(map(int, rows.index))
    return [
        Lacking("split", (study,), tuple(sorted(rows)), "the control group was divided between these rows")
        for (_, study), rows in found.items()
    ]


def rows_text(item: Lacking) -> str:
    """Name rows and trials in words.

    Examples
    --------
    >>> rows_text(Lacking("split", ("A",), (6, 7), "the control was divided"))
    'rows 6, 7 (A): the control was divided'
    """
    rows = ", ".join(map(str, item.rows))
    return f"{'row' if len(item.rows) == 1 else 'rows'} {rows} ({', '.join(item.studies)}): {item.text}"
