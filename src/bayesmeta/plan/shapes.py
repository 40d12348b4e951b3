"""Shapes of tables that are not one row per comparison: one row per arm, columns per outcome, several arms in a row."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ARM_STEMS", "ArmColumns", "LongTable", "TableShape"]

#: What is known of an arm; ``_t`` and ``_c`` after it say which.
ARM_STEMS = (
    "n",
    "mean",
    "sd",
    "se",
    "events",
    "time",
    "mean_change",
    "sd_change",
    "se_change",
    "ci_low_change",
    "ci_high_change",
    "mean_pre",
    "sd_pre",
    "mean_post",
    "sd_post",
    "median",
    "q1",
    "q3",
    "low",
    "high",
    "ci_low",
    "ci_high",
)

type _Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LongTable:
    """A table with one row per arm.

    Parameters
    ----------
    arm : str
        Column that names the arm.
    control : tuple of str
        Which of its values are the control.
    by : tuple of str
        Columns that, with ``study``, tell which rows belong together; default ``outcome`` and ``horizon``, where there
        are such columns.
    """

    arm: str
    control: tuple[str, ...]
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArmColumns:
    """One of several arms in a row.

    Parameters
    ----------
    arm : str
        What it is, or the column that says so.
    columns : tuple of (str, str)
        ``n``, ``mean``, ``sd`` and so on, each with the file's column.
    control : bool
        Whether it is the control.
    """

    arm: str
    columns: _Pairs
    control: bool = False


@dataclass(frozen=True, slots=True)
class TableShape:
    """How a table becomes one row per comparison.

    Parameters
    ----------
    wide : tuple of (str, pairs)
        Outcome, with our columns and the file's columns of it.
    long : LongTable, optional
    arms : tuple of ArmColumns

    Examples
    --------
    >>> TableShape(long=LongTable("group", ("usual care",))).long.control
    ('usual care',)
    """

    wide: tuple[tuple[str, _Pairs], ...] = ()
    long: LongTable | None = None
    arms: tuple[ArmColumns, ...] = ()
