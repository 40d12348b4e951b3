"""Pandas in and out: Series, whatever their index, answer as lists do; every table is a plain frame."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm

EFFECTS, MODEL, FIT = bm.example()
#: Samples or fits again many times, writes files, or asks for data sets; their tables are those of others here.
LONG = {"fit_joint", "write_report", "multiverse_table", "sensitivity_analyses", "power_scaling_table", "overlap_table"}
#: Arguments by name, for whatever takes them; of three trials where they are per trial.
KNOWN: dict[str, Any] = {
    **dict.fromkeys(("fit", "main", "exact", "first", "second", "fixed", "exchangeable"), FIT),
    **dict.fromkeys(("effects", "source"), EFFECTS),
    **dict.fromkeys(("benefit", "control_risk", "size", "x"), 0.5),
    "fits": {"one": FIT},
    "model": MODEL,
    "name": "mu",
    "prior": MODEL.mu,
    "measure_name": "SMD",
    "better": "lower",
    "thresholds": 0.5,
    "threshold": 0.5,
    "moderator": "weeks",
    "moderators": ["weeks"],
    "by": "type",
}
#: Numbers of three trials by the first letters of an argument's name: the longest that fits.
NUMBERS: dict[str, list[float]] = {
    **{key: [1.2, 0.4, 0.9] for key in ("mean", "median", "md", "estimate", "y", "d", "g")},
    **{key: [20.0, 25.0, 30.0] for key in ("n", "n_t", "n_c", "n1", "n2")},
    **{key: [0.5, 0.8, 0.6] for key in ("sd", "se", "var", "time")},
    **{key: [3.0, 5.0, 4.0] for key in ("events", "a", "b", "c")},
    **{key: [0.2, 0.5, 0.3] for key in ("r", "correlation", "rho", "icc", "p")},
    **{key: [0.1, 0.2, 0.3] for key in ("ci_low", "low", "q1", "lower")},
    **{key: [2.1, 1.2, 2.3] for key in ("ci_high", "high", "q3", "upper")},
    **{key: [2.0, 1.5, 1.8] for key in ("t", "stat", "df")},
    "cuts": [0.1, 0.2, 0.4],
    "levels": [0.1, 0.2, 0.4],
}


def functions() -> dict[str, Callable[..., Any]]:
    """Every public function, by its room and name."""
    rooms = {"": bm, **{room: getattr(bm, room) for room in bm.ROOMS}}
    found = {
        f"{room}.{name}".lstrip("."): getattr(module, name) for room, module in rooms.items() for name in dir(module)
    }
    return {
        name: item for name, item in found.items() if inspect.isfunction(item) and name.rpartition(".")[2] not in LONG
    }


FUNCTIONS = functions()


def numbers_for(name: str) -> list[float] | None:
    fitting = [start for start in NUMBERS if name == start or name.startswith(f"{start}_")]
    return NUMBERS[max(fitting, key=len)] if fitting else None


def quietly(call: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(**arguments)


def leaves(value: Any) -> Iterator[Any]:
    """Numbers and texts of an answer, in their order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, pd.DataFrame | pd.Series):
        yield from value.to_numpy().ravel().tolist()
    elif isinstance(value, np.ndarray):
        yield from value.ravel().tolist()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, int | float | str):
        yield value


def per_trial(function: Callable[..., Any]) -> dict[str, list[float]]:
    """The arguments of a function that are numbers of trials."""
    found = {}
    for name, item in inspect.signature(function).parameters.items():
        many = any(word in str(item.annotation) for word in ("ArrayLike", "NDArray", "FloatArray", "Sequence[float]"))
        if many and (numbers := numbers_for(name)) is not None and (item.default is item.empty or name == "cuts"):
            found[name] = numbers
    return found


def test_series_answer_as_lists_do() -> None:
    """A walk: every public function of numbers per trial, with lists and with Series of an odd index."""
    index, asked, wrong = ["z", "a", "m"], [], []
    for name, function in FUNCTIONS.items():
        many = per_trial(function)
        if not many:
            continue
        needed = [n for n, item in inspect.signature(function).parameters.items() if item.default is item.empty]
        others = {n: KNOWN[n] for n in needed if n not in many and n in KNOWN}
        try:
            expected = list(leaves(quietly(function, {**others, **many})))
        except (bm.BayesmetaError, TypeError):
            # other arguments are needed than those that stand above
            continue
        asked.append(name)
        given = {n: pd.Series(values, index=index) for n, values in many.items()}
        found = list(leaves(quietly(function, {**others, **given})))
        if repr(found) != repr(expected):
            wrong.append(name)
    assert not wrong
    assert len(asked) >= 15
    assert {"measures.smd", "measures.odds_ratio", "band_table"} <= set(asked)


def test_effects_take_the_columns_of_a_frame() -> None:
    frame = pd.DataFrame(
        {
            "study": ["A", "B", "C"],
            "y": [0.1, 0.3, 0.2],
            "se": [0.1, 0.2, 0.1],
            "weeks": [6, 12, 8],
            "kind": list("xyx"),
        },
        index=[7, 3, 5],
    )
    columns = {name: frame[name] for name in ("study", "y", "se")}
    moderators = {name: frame[name] for name in ("weeks", "kind")}
    ours = bm.Effects(**columns, measure="SMD", moderators=moderators)
    lists = bm.Effects(
        **{name: values.tolist() for name, values in columns.items()},
        measure="SMD",
        moderators={name: values.tolist() for name, values in moderators.items()},
    )
    assert bm.summarize(bm.fit(ours, MODEL)).equals(bm.summarize(bm.fit(lists, MODEL)))
    # categories and nullable numbers are columns of frames too
    other = bm.Effects(frame["study"].astype("category"), frame["y"].astype("Float64"), frame["se"], measure="SMD")
    assert bm.summarize(bm.fit(other, MODEL)).equals(bm.summarize(bm.fit(lists, MODEL)))


def plain(table: pd.DataFrame) -> list[str]:
    """What is not plain in a table: levels of columns, names, types."""
    told = [f"{name!r} is no text" for name in table.columns if not isinstance(name, str)]
    told += ["a column stands twice"] * (not table.columns.is_unique)
    told += ["columns have levels"] * (table.columns.nlevels > 1)
    for name in table.columns[: 0 if told else None]:
        kind = table[name].dtype
        # counts that may be missing are pandas' own whole numbers
        if (isinstance(kind, np.dtype) and kind.kind in "ifb") or kind == pd.Int64Dtype():
            continue
        if not (pd.api.types.is_string_dtype(kind) or kind.kind == "O"):
            told.append(f"{name}: {kind}")
        elif bad := {type(x).__name__ for x in table[name] if not isinstance(x, str | bool | int | float | None)}:
            told.append(f"{name} holds {', '.join(sorted(bad))}")
    return told


def tables_of(value: Any) -> Iterator[pd.DataFrame]:
    if isinstance(value, pd.DataFrame):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tables_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tables_of(item)
    elif isinstance(getattr(value, "table", None), pd.DataFrame):
        yield value.table
    elif callable(getattr(value, "to_frame", None)):
        yield value.to_frame()


@pytest.fixture(scope="module")
def tables() -> dict[str, list[pd.DataFrame]]:
    """Tables of every public function that answers from the example, by its name."""
    found = {}
    for name, function in FUNCTIONS.items():
        parameters = inspect.signature(function).parameters
        needed = [n for n, item in parameters.items() if item.default is item.empty and item.kind not in (2, 4)]
        needed += [n for n in ("thresholds", "threshold") if n in parameters and n not in needed]
        arguments = {n: KNOWN.get(n, numbers_for(n)) for n in needed}
        try:
            found[name] = list(tables_of(quietly(function, arguments)))
        except (bm.BayesmetaError, OSError, TypeError, AttributeError):
            continue
    return {name: items for name, items in found.items() if items}


def test_every_table_is_a_plain_frame(tables: dict[str, list[pd.DataFrame]]) -> None:
    faults = {name: told for name, items in tables.items() for item in items if (told := plain(item))}
    assert not faults
    assert len(tables) >= 50
    known = {
        "summarize",
        "benefit_table",
        "study_table",
        "compare_table",
        "tidy",
        "plots.forest_plot",
        "classical.pool",
    }
    assert known <= {*tables, "tidy"}
