"""Classical methods that are asked of publication bias, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from bayesmeta.classical import egger_test, p_curve, small_study_table
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL

__all__ = ["bias_companions_table"]

_COLUMNS = ("method", "form", "kind", "k", "estimate", "lower", "upper", "stat", "df", "p", "k0", "note")
#: Rows of the table of small-study effects that say nothing of publication bias beside the others.
_LEFT_OUT = ("Begg", "fail-safe N")
_STANDARDISED = ("SMD", "SMDH")
_SELECTION = "selection model"


def bias_companions_table(effects: Effects, *, level: float = LEVEL) -> pd.DataFrame:
    """Classical companions of an average over bias models: tests, adjusted estimates, and the p-curve.

    Parameters
    ----------
    effects : Effects
        Rows are taken as independent; `note` says so where they are not.
    level : float

    Returns
    -------
    DataFrame
        One row per method and form: ``method form kind k estimate lower upper stat df p k0 note level``. `kind` is
        "test" (`estimate` is a slope, a relative chance of being seen, or nan; `p` that of no small-study effects, or
        of no selection), "evidence" (p-curve: small `p` speaks for true effects, or against more than 33 % power),
        "power" (its estimate with a 90 % interval) or "adjusted estimate" (`p` is of a zero effect). The
        three-parameter selection model stands as estimated and with a weight of at most 1. Egger's test of
        standardised differences has a row with ``sqrt(1 / n_t + 1 / n_c)`` in place of their SE, and counts have
        Peters' and Harbord's tests. A method that is not defined for these data has nan throughout and the reason in
        `note`.

    Raises
    ------
    ModelError
        For a measure without a null.

    References
    ----------
    `bayesmeta.classical.small_study_table`, `egger_test` and `p_curve` name those of the methods.

    Examples
    --------
    >>> table = bias_companions_table(effects)
    >>> table.loc[table["kind"] == "adjusted estimate", "method"].unique().tolist()
    ['trim and fill', 'PET', 'PEESE', 'PET-PEESE', 'selection model', 'limit meta-analysis']
    """
    table = small_study_table(effects, level=level)
    rows: list[dict[str, Any]] = []
    for row in table.to_dict("records"):
        if row["method"] in _LEFT_OUT or (row["method"] in ("Peters", "Harbord") and effects.counts is None):
            continue
        rows.append({str(name): row[name] for name in _COLUMNS})
        if row["method"] == _SELECTION:
            bounded = {name: row[f"bounded_{name}"] for name in ("estimate", "lower", "upper", "p")}
            form = f"{row['form']}, weight at most 1"
            rows.append({**rows[-1], "form": form, "stat": math.nan, "df": math.nan, **bounded})
            rows[-2]["note"] = "; ".join(part for part in (row["mark"], row["note"]) if part)
        if row["method"] == "Egger" and row["form"] == "mixed" and effects.measure in _STANDARDISED:
            rows += [
                _row("Egger", f"{form}, modified SE", "test", effects.k, _modified(effects, form, level))
                for form in ("weighted", "mixed")
            ]
    found = p_curve(effects)
    note = "; ".join(found.notes)
    for form, z, p in (
        ("right skew, full curve", found.right_z, found.right_p),
        ("right skew, half curve", found.right_half_z, found.right_half_p),
        ("flatter than 33 % power, full curve", found.flat_z, found.flat_p),
        ("flatter than 33 % power, half curve", found.flat_half_z, found.flat_half_p),
    ):
        k = found.k_half if "half" in form else found.k_full
        rows.append({"method": "p-curve", "form": form, "kind": "evidence", "k": k, "stat": z, "p": p, "note": note})
    power = {"estimate": found.power, "lower": found.power_lower, "upper": found.power_upper}
    rows.append(
        {"method": "p-curve", "form": "average power", "kind": "power", "k": found.k_full, **power, "note": note}
    )
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    numbers = list(_COLUMNS[4:11])
    return frame.astype({"k": int, **dict.fromkeys(numbers, float)}).assign(level=level)


def _modified(effects: Effects, form: Any, level: float) -> Callable[[], Any]:
    return lambda: egger_test(effects, form=form, predictor="modified_se", level=level)


def _row(method: str, form: str, kind: str, k: int, compute: Callable[[], Any]) -> dict[str, Any]:
    """One row of a test, nan where it is not defined."""
    row: dict[str, Any] = {"method": method, "form": form, "kind": kind, "k": k}
    try:
        found = compute()
    except ModelError as error:
        return {**row, "note": str(error).rstrip(".")}
    numbers = {name: getattr(found, name) for name in ("k", "estimate", "lower", "upper", "stat", "df", "p")}
    return {**row, **numbers, "note": "; ".join(found.notes)}
