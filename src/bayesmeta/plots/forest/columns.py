"""Columns of text beside a forest plot: what the arms had, and what someone adds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.effects import Effects, HasEffects, effects_of
from bayesmeta.errors import ModelError
from bayesmeta.measures import arm_moments
from bayesmeta.plots.sheet import INK, signed
from bayesmeta.plots.wording import arm_names

__all__ = ["Column", "OwnColumns", "arm_columns", "arms_table", "own_columns", "own_frame"]

#: Columns that someone adds: a frame, or texts or numbers by heading; one per estimate.
OwnColumns = pd.DataFrame | Mapping[str, Sequence[Any]]
_STEMS = ("n", "mean", "sd", "events")


@dataclass(frozen=True, slots=True)
class Column:
    """Texts beside the rows.

    Attributes
    ----------
    heading, over : str
        Of the column, and of several columns together.
    texts : mapping of str to str
        By the label of the row; rows that are not in it are empty.
    color : str
    left : bool
        Flush left, as words are.
    """

    heading: str
    texts: Mapping[str, str]
    over: str = ""
    color: str = INK
    left: bool = False


def own_frame(given: OwnColumns | None, effects: Effects, what: str) -> pd.DataFrame:
    """Make a frame with one line per estimate of what someone gives, or say what is wrong with it."""
    if given is None:
        return pd.DataFrame(index=range(effects.k))
    if not isinstance(given, pd.DataFrame):
        for name, values in given.items():
            if isinstance(values, str) or np.ndim(values) != 1 or len(values) != effects.k:
                raise ModelError(
                    f"{what}: {name!r} does not hold {effects.k} values; give one per estimate, in the order of "
                    "fit.effects.label."
                )
        return pd.DataFrame({str(name): pd.Series(list(values), dtype=object) for name, values in given.items()})
    if len(given) != effects.k:
        raise ModelError(
            f"{what}: {len(given)} lines for {effects.k} estimates; give one per estimate, in the order of "
            "fit.effects.label."
        )
    if not given.columns.is_unique:
        raise ModelError(f"{what}: two columns have one name.")
    return given.rename(columns=str).reset_index(drop=True)


def arms_table(effects: Effects | HasEffects) -> pd.DataFrame:
    """What the arms of every estimate had, as far as the rows say it.

    Parameters
    ----------
    effects : Effects, Fit, Analysis, ...
        Its ledger holds the numbers that estimates were made of, in the direction of the analysis; means and SDs that
        were derived (from standard errors, intervals, quantiles) are those that were used.

    Returns
    -------
    pandas.DataFrame
        One line per estimate in the order of the rows. Of the columns ``n_t mean_t sd_t events_t n_c mean_c sd_c
        events_c`` those that hold a number; ``attrs["change"]`` says whether means are of changes.

    Examples
    --------
    >>> effects = bm.Effects(["A"], [-0.7], [0.3], measure="RR", counts=[[10, 100, 20, 100]])
    >>> arms_table(effects).to_dict("records")
    [{'n_t': 100.0, 'events_t': 10.0, 'n_c': 100.0, 'events_c': 20.0}]
    """
    effects = effects_of(effects)
    names = [f"{stem}_{arm}" for arm in "tc" for stem in _STEMS]
    found = pd.DataFrame(math.nan, index=range(effects.k), columns=names)
    raw = pd.DataFrame([dict(item.raw) for item in effects.ledger or ()], index=range(len(effects.ledger or ())))
    change = "mean_change_t" in raw and "mean_t" not in raw
    raw = raw.rename(columns=lambda name: name.replace("_change_", "_") if change else name)
    if len(raw) == effects.k:
        if any(str(name).startswith(("mean_", "median_")) for name in raw):
            moments = arm_moments(raw)
            raw = raw.assign(**{name: getattr(moments, name) for name in ("mean_t", "sd_t", "mean_c", "sd_c")})
        found = found.fillna(raw.reindex(columns=names))
    if effects.counts is not None:
        counts = pd.DataFrame(effects.counts, columns=["events_t", "n_t", "events_c", "n_c"])
        found = counts.reindex(columns=names).combine_first(found)[names]
    if effects.n is not None:
        found = found.fillna(pd.DataFrame(effects.n, columns=["n_t", "n_c"]))
    found = found.dropna(axis=1, how="all")
    found.attrs["change"] = change
    return found


def arm_columns(arms: pd.DataFrame, effects: Effects, *, split: bool) -> list[Column]:
    """Columns of both arms: means with SDs, or events, and participants; each number alone if ``split``."""
    allowed = [f"{stem}_{arm}" for arm in "tc" for stem in _STEMS]
    if not set(arms) & set(allowed):
        raise ModelError(
            f"arms: none of the columns {', '.join(allowed)}; it has {', '.join(map(str, arms)) or 'none'}."
        )
    numbers = arms.reindex(columns=allowed).apply(pd.to_numeric, errors="coerce").to_numpy(float)
    # trials whose arms stand in several rows would be counted several times
    total = not effects.blocks
    mean = "Mean change" if arms.attrs.get("change") else "Mean"
    columns: list[Column] = []
    for name, block in zip(arm_names(effects), (numbers[:, :4], numbers[:, 4:]), strict=True):
        n, means, sds, events = block.T
        counted, known = _counts(n, effects), np.isfinite(means)
        if total and np.isfinite(n).all():
            counted = {**counted, "": f"{n.sum():,.0f}"}
        if known.any():
            pairs = dict(zip(effects.label, map(_mean_sd, means, sds), strict=True))
            parts = {f"{mean} (SD)": {label: f"{a} ({b})" if b else a for label, (a, b) in pairs.items()}}
            if split:
                parts = {mean: {k: a for k, (a, _) in pairs.items()}, "SD": {k: b for k, (_, b) in pairs.items()}}
        elif np.isfinite(events).any():
            parts = {"Events": _counts(events, effects)}
            if total and np.isfinite(events).all():
                parts["Events"][""] = f"{events.sum():,.0f}"
            if not split:
                parts = {"Events/n": {k: f"{v}/{counted[k]}" for k, v in parts["Events"].items() if k in counted}}
                counted = {}
        else:
            parts = {}
        if counted:
            parts["Total" if split else "n"] = counted
        over = name[:1].upper() + name[1:]
        columns += [Column(heading, {k: signed(v) for k, v in texts.items()}, over) for heading, texts in parts.items()]
    return columns


def _counts(values: Any, effects: Effects) -> dict[str, str]:
    return {label: f"{n:,.0f}" for label, n in zip(effects.label, values, strict=True) if math.isfinite(n)}


def _mean_sd(mean: float, sd: float) -> tuple[str, str]:
    """Mean and SD with two or three digits of the SD."""
    if not math.isfinite(mean):
        return "", ""
    known = math.isfinite(sd) and sd > 0
    digits = int(np.clip(1 - math.floor(math.log10(sd / 2)), 0, 4)) if known else 2
    digits = max(digits, 1) if known and sd < 100 else digits
    return f"{mean:.{digits}f}", f"{sd:.{digits}f}" if known else ""


def own_columns(frame: pd.DataFrame, effects: Effects) -> list[Column]:
    """Columns of what someone adds; numbers are flush right."""
    columns = []
    for name in frame:
        texts = [_cell(value) for value in frame[name].tolist()]
        numeric = pd.to_numeric(pd.Series([text or None for text in texts], dtype=object), errors="coerce").notna()
        left = not all(known or not text for known, text in zip(numeric, texts, strict=True))
        columns.append(Column(str(name), dict(zip(effects.label, map(signed, texts), strict=True)), left=left))
    return columns


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
