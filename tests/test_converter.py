"""What people give as arrays: nothing is lost, paired by position, or taken for a number that is none.

Authority: what the arrays themselves say (a mask, an index, a type).
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta import measures

NAMES, ONES = ["A", "B"], [1.0, 1.0]


def effects(**changed: Any) -> bm.Effects:
    given = {"study": NAMES, "y": [0.1, 0.2], "se": ONES} | changed
    return bm.Effects(given.pop("study"), given.pop("y"), given.pop("se"), measure="SMD", **given)


NO_NUMBERS = {
    "truth values": [True, False],
    "array of truth values": np.array([True, False]),
    "a truth value among numbers": [True, 0.5],
    "nullable truth values": pd.array([True, False], dtype="boolean"),
    "dates": np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"),
    "days": np.array(["2020-01-01", "2020-01-02"], "datetime64[D]"),
    "Series of dates": pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
    "dates with a zone": pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True)),
    "Python's dates": [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
    "durations": np.array([1, 2], "timedelta64[D]"),
    "texts": ["a", "b"],
    "numbers as texts": ["0.1", "0.2"],
    "bytes": [b"1", b"2"],
    "complex numbers": [1 + 2j, 1],
    "a number beyond every float": [10**400, 1],
    "a dictionary": {"A": 0.1, "B": 0.2},
    "a set": {0.1, 0.2},
    "a generator": (x for x in (0.1, 0.2)),
    "records": np.array([(1, 2), (3, 4)], [("a", "i4"), ("b", "i4")]),
    "rows of several lengths": [[1], [1, 2]],
    "objects": [object(), object()],
}


@pytest.mark.parametrize("name", ["y", "se"])
@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(bm.DataError, match=rf"^{name}"):
        effects(**{name: value})


@pytest.mark.parametrize(
    "value",
    [
        np.ma.array([0.1, 0.2], mask=[False, True]),
        np.ma.array([1, 2], mask=[False, True]),
        [0.1, np.ma.masked],
        [0.1, None],
        pd.array([0.1, pd.NA], dtype="Float64"),
        pd.Series([0.1, None], dtype="object"),
        [0.1, pd.NaT],
    ],
)
def test_a_missing_cell_is_missing(value: Any) -> None:
    for name in ("y", "se"):
        with pytest.raises(bm.DataError, match=rf"row 2 \(B\), {name}"):
            effects(**{name: value})
    assert np.isnan(effects(moderators={"x": value}).moderators["x"][1])
    sizes = effects(n=np.ma.array([[10, 9], [8, 7]], mask=[[False, True], [False, False]])).n
    np.testing.assert_array_equal(sizes, [[10, np.nan], [8, 7]])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        [0.5, 2],
        (Fraction(1, 2), Decimal(2)),
        np.array([0.5, 2], np.float32),
        pd.array([0.5, 2], dtype="Float64"),
        pd.Series([0.5, 2], index=["x", "y"]),
        np.ma.array([0.5, 2], mask=False),
        pd.Series([0.5, 2], dtype="object"),
    ],
)
def test_numbers_of_any_kind_are_taken(value: Any) -> None:
    assert effects(y=value).y.tolist() == [0.5, 2.0]


@pytest.mark.parametrize("value", [None, np.nan, pd.NA, np.ma.masked, "", "  ", b"A", True], ids=repr)
@pytest.mark.parametrize("name", ["study", "cluster", "label"])
def test_what_is_no_name_names_nothing(name: str, value: Any) -> None:
    with pytest.raises(bm.DataError, match=f"{name}, row 2"):
        effects(**{name: ["A", value]})


def test_a_masked_name_is_none() -> None:
    with pytest.raises(bm.DataError, match="study, row 1: there is no name"):
        effects(study=np.ma.array(NAMES, mask=[True, False]))
    with pytest.raises(bm.DataError, match="arms, row 2"):
        effects(arms=[("x", None), ("x", "y")])
    assert effects(study=[2019, 2020]).study == ("2019", "2020")


def test_series_of_different_indexes_are_not_paired() -> None:
    y = pd.Series([0.1, 0.2], index=NAMES)
    for name, other in {
        "se": pd.Series([0.3, 0.4], index=["B", "A"]),
        "study": pd.Series(NAMES),
        "cluster": pd.Series(NAMES),
        "n": pd.DataFrame({"t": [1, 2], "c": [1, 2]}),
    }.items():
        with pytest.raises(bm.DataError, match=r"its index is not that of"):
            effects(y=y, **{name: other})
    with pytest.raises(bm.DataError, match="moderator x: its index is not that of y"):
        effects(y=y, moderators={"x": pd.Series([1, 2])})
    assert effects(y=y, se=pd.Series([0.3, 0.4], index=NAMES)).se.tolist() == [0.3, 0.4]


def test_dates_are_no_levels_and_truth_values_are() -> None:
    with pytest.raises(bm.DataError, match=r"moderator when, row 1: .* is a date"):
        effects(moderators={"when": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    found = effects(moderators={"x": [True, False], "y": [None, "b"], "z": pd.array([1, pd.NA])}).moderators
    assert found["x"].tolist() == [1.0, 0.0]
    assert found["y"].tolist() == [None, "b"]
    assert str(found["z"].tolist()) == "[1.0, nan]"


TABLE = {"study": NAMES, "estimate": [0.1, 0.2], "se": ONES}


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("estimate", [True, False]),
        ("estimate", pd.array([True, pd.NA], dtype="boolean")),
        ("se", pd.Series([True, 2.0], dtype=object)),
        ("estimate", pd.to_datetime(["2020-01-01", "2020-01-02"])),
        ("se", pd.to_timedelta([1, 2])),
        ("estimate", [1j, 2]),
        ("study", [True, False]),
    ],
)
def test_a_frame_holds_what_a_file_could(column: str, cells: Any) -> None:
    with pytest.raises(bm.DataError, match=rf"column {column}, row 1"):
        bm.effect_sizes(pd.DataFrame(TABLE | {column: cells}), "SMD")
    mapped = pd.DataFrame(TABLE | {column: cells}).rename(columns={column: "theirs"})
    with pytest.raises(bm.DataError, match=r"column theirs, row 1"):
        bm.effect_sizes(mapped, "SMD", columns={column: "theirs"})


def test_a_frame_with_two_columns_of_a_name_is_refused() -> None:
    frame = pd.DataFrame([["A", 1, 0.1, 0.2]], columns=["study", "estimate", "se", "se"])
    with pytest.raises(bm.DataError, match="2 columns are named 'se'"):
        bm.effect_sizes(frame, "SMD")
    empty = pd.DataFrame(TABLE | {"study": [None, "B"]})
    with pytest.raises(bm.DataError, match="column study: the cell is empty"):
        bm.effect_sizes(empty, "SMD")


@pytest.mark.parametrize(
    "value",
    [np.ma.array([0.3, 0.4], mask=[False, True]), [True, False], np.array([1, 2], "datetime64[D]"), ["0.1", "0.2"]],
)
def test_functions_of_arrays_refuse_the_same(value: Any) -> None:
    with pytest.raises(bm.ModelError, match="give numbers"):
        measures.se_from_var(value)
    with pytest.raises(bm.DataError, match=r"^S"):
        bm.Effects.from_cov([0.1, 0.2], np.array([[True, False], [False, True]]))
