"""Other people's defaults by name, and what changes when ours are exchanged for theirs, choice by choice."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.intervals import CiMethod
from bayesmeta.classical.pooling import ClassicalFit, pool_table
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.tau2 import Tau2Method
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name

__all__ = ["OURS", "PRESETS", "Preset", "apply_preset", "preset", "preset_choices", "preset_table"]

PiFormula = Literal["normal", "t_km1", "v_t_km1", "hts_t_km2", "hkpr_t_km2"]

_METHODS = {
    "EE": "none: a common effect",
    "DL": "DerSimonian-Laird",
    "REML": "restricted maximum likelihood",
    "ML": "maximum likelihood",
    "PM": "Paule-Mandel",
    "EB": "empirical Bayes",
    "HE": "Hedges",
    "HS": "Hunter-Schmidt",
    "SJ": "Sidik-Jonkman",
}
_INTERVALS = {
    "wald": "normal (Wald)",
    "t": "t(k - 1), classic standard error",
    "hksj": "Hartung-Knapp-Sidik-Jonkman, t(k - 1)",
    "hksj_adhoc": "Hartung-Knapp, ad hoc: never a smaller standard error than the classic one",
    "iqwig6": "Hartung-Knapp; ad hoc where its interval is narrower than that of DerSimonian-Laird",
}
_PREDICTIONS = {
    None: "none",
    "normal": "normal, with the interval's standard error",
    "t_km1": "t(k - 1), with the interval's standard error",
    "v_t_km1": "t(k - 1), classic standard error (Veroniki and others)",
    "hts_t_km2": "t(k - 2), classic standard error (Higgins, Thompson & Spiegelhalter)",
    "hkpr_t_km2": "t(k - 2), Hartung-Knapp standard error (Partlett & Riley)",
}
_I2 = {"q": "from Q", "tau2": "from tau2"}
_VARIANCES = {
    "LS": "1/n_t + 1/n_c + g^2/(2N)",
    "LS2": "J^2 (1/n_t + 1/n_c + d^2/(2N))",
    "UB": "unbiased",
    "AV": "average effect",
    "RevMan": "N/(n_t n_c) + g^2/(2(N - 3.94))",
}
_J = {"exact": "exact (gamma functions)", "approx": "1 - 3/(4 df - 1)"}
_ZEROS = {
    "half": "1/2 added to all cells of tables with a zero",
    "half_all": "1/2 added to every table",
    "treatment_arm": "by the size of the other arm",
    "none": "nothing added",
}
_EMPTY = {"kept": "kept, corrected like other zero cells", "left_out": "left out"}


@dataclass(frozen=True, slots=True)
class Preset:
    """Every choice that a program or a guideline makes for a random-effects meta-analysis.

    Attributes
    ----------
    name, label : str
    method : str
        Estimator of tau2.
    ci : str
        Interval method of `pool`, or ``"iqwig6"``.
    pi : str or None
        Formula of the prediction interval, as `ClassicalFit.pi` names them, or ``"v_t_km1"``: t(k - 1) with the classic
        standard error whatever the interval (R meta's "V"); None where none is printed.
    i2 : {"q", "tau2"}
        Which I2 is printed.
    vtype, j : str
        Variance and small-sample factor of standardised mean differences.
    zero : str
        What is done about zero cells.
    empty : {"kept", "left_out"}
        Trials without events in both arms, or with nothing but events, where the measure is an odds or a risk ratio.
    common_up_to_i2 : float or None
        A rule that chooses the model by the data: a common effect where I2 is at most this, in percent.
    fewest : int
        Trials below which a random-effects analysis is not made.
    source : str
        Where the choices were read.
    unverified : tuple of str
        Choices that were not read in a primary source.
    remark : str
        What a reader must know.
    """

    name: str
    label: str
    method: Tau2Method = "REML"
    ci: CiMethod | Literal["iqwig6"] = "wald"
    pi: PiFormula | None = None
    i2: Literal["q", "tau2"] = "q"
    vtype: str = "LS"
    j: str = "exact"
    zero: str = "half"
    empty: Literal["kept", "left_out"] = "kept"
    common_up_to_i2: float | None = None
    fewest: int = 2
    source: str = ""
    unverified: tuple[str, ...] = ()
    remark: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """Options of the effect sizes, as `bayesmeta.effect_sizes` and protocols take them."""
        return {"vtype": self.vtype, "j": self.j, "zero": self.zero}


def _read_presets() -> dict[str, Preset]:
    text = resources.files("bayesmeta.classical").joinpath("presets.toml").read_text(encoding="utf-8")
    read = {}
    for name, item in tomllib.loads(text).items():
        item["unverified"] = tuple(item.get("unverified", ()))
        read[name] = Preset(name, **item)
    return read


_NAMED = _read_presets()
#: What bayesmeta does by default.
OURS = _NAMED["bayesmeta"]
PRESETS: Mapping[str, Preset] = MappingProxyType({name: item for name, item in _NAMED.items() if item is not OURS})
"""The presets by name."""


def preset(name: str) -> Preset:
    """Look up a preset.

    Raises
    ------
    ModelError
        If there is none of that name; the message lists those there are.

    Examples
    --------
    >>> preset("revman5").method
    'DL'
    """
    return _NAMED[find_name("preset", name, _NAMED)]


def preset_choices(item: Preset, measure: str) -> dict[str, str]:
    """List every choice of a preset that concerns an effect measure, in words.

    Examples
    --------
    >>> preset_choices(preset("metafor"), "HR")["heterogeneity variance"]
    'restricted maximum likelihood'
    """
    found = {}
    if measure == "SMD":
        found["small-sample factor"] = _J[item.j]
        found["variance of g"] = _VARIANCES[item.vtype]
    if measure in ("OR", "RR", "RD"):
        found["zero cells"] = _ZEROS[item.zero]
    if measure in ("OR", "RR"):
        found["trials without events"] = _EMPTY[item.empty]
    found["heterogeneity variance"] = _METHODS[item.method]
    found["model"] = (
        "random effects"
        if item.common_up_to_i2 is None
        else f"common effect if I2 <= {item.common_up_to_i2:g} %, else random effects"
    )
    found["interval"] = _INTERVALS[item.ci]
    found["prediction interval"] = _PREDICTIONS[item.pi]
    found["I2"] = _I2[item.i2]
    return found


@dataclass(frozen=True, slots=True, repr=False)
class PresetFit(ClassicalResult):
    """What a preset prints.

    Attributes
    ----------
    fit : ClassicalFit
    i2 : float or None
        As the preset defines it, in percent.
    pi_lower, pi_upper : float or None
        None where the preset prints no prediction interval, or a common effect was chosen.
    notes : tuple of str
        What the rules of the preset did.
    """

    fit: ClassicalFit
    i2: float | None
    pi_lower: float | None
    pi_upper: float | None
    notes: tuple[str, ...] = field(default=())


@on_effects()
def apply_preset(effects: Effects, item: Preset, *, level: float = 0.95, rho: float = 0.5) -> PresetFit:
    """Pool effects as a preset does.

    Parameters
    ----------
    effects : Effects
        Computed with the preset's options where they concern the measure (`Preset.options`).
    item : Preset
    level, rho
        As in `pool`.

    Raises
    ------
    ModelError
        Where there are fewer trials than the preset pools.

    Examples
    --------
    >>> apply_preset(effects, preset("i2_rule")).notes  # Q = 55 / 14 on 3 degrees of freedom
    ('I2 = 23.6 % <= 50 %: the rule took a common effect',)
    """
    notes: list[str] = []
    kept = _informative(effects) if item.empty == "left_out" else np.ones(effects.k, bool)
    trials = len({effects.study[row] for row in np.flatnonzero(kept)})
    if trials < item.fewest:
        raise ModelError(
            f"{item.label}: no random-effects analysis of {trials} trials; it takes {item.fewest}. {item.remark}"
        )
    if not kept.all():
        names = ", ".join(effects.label[row] for row in np.flatnonzero(~kept))
        notes.append(f"left out, because both arms have no events or nothing but events: {names}")
        effects = effects.subset(kept)
    wanted: CiMethod = item.ci if item.ci != "iqwig6" else "hksj"
    found = pool_table(effects, (item.method,), (wanted,), level=level, rho=rho)[0]
    if item.ci == "iqwig6":
        classic = pool_table(effects, ("DL",), ("wald",), level=level, rho=rho)[0]
        if found.upper - found.lower < classic.upper - classic.lower:
            found = pool_table(effects, (item.method,), ("hksj_adhoc",), level=level, rho=rho)[0]
            notes.append(
                "the Hartung-Knapp interval is narrower than that of DerSimonian-Laird: the ad hoc form is used"
            )
    i2 = found.i2_q if item.i2 == "q" else found.i2_tau2
    if item.common_up_to_i2 is not None and i2 is not None:
        common = i2 <= item.common_up_to_i2
        sign, which = ("<=", "a common effect") if common else (">", "random effects")
        notes.append(f"I2 = {i2:.1f} % {sign} {item.common_up_to_i2:g} %: the rule took {which}")
        if common:
            found = pool_table(effects, ("EE",), (wanted,), level=level, rho=rho)[0]
    limits = None
    if item.pi == "v_t_km1" and found.method != "EE":
        limits = pool_table(effects, (item.method,), ("t",), level=level, rho=rho)[0].pi["t_km1"]
    elif item.pi is not None and found.method != "EE":
        limits = found.pi[item.pi]
    lower, upper = (None, None) if limits is None else limits
    return PresetFit(found, i2, lower, upper, tuple(notes))


def _informative(effects: Effects) -> NDArray[np.bool_]:
    """Rows that say something of an odds or a risk ratio: all but those without events, or without anything else."""
    if effects.counts is None or effects.measure not in ("OR", "RR"):
        return np.ones(effects.k, bool)
    events, n = effects.counts[:, [0, 2]], effects.counts[:, [1, 3]]
    found: NDArray[np.bool_] = ~((events == 0).all(axis=1) | (events == n).all(axis=1))
    return found


@on_effects()
def preset_table(
    effects: Effects,
    item: Preset,
    recompute: Callable[[Mapping[str, Any]], Effects] | None = None,
    *,
    level: float = 0.95,
    rho: float = 0.5,
) -> pd.DataFrame:
    """Exchange our choices for a preset's one at a time, until the answer is the preset's.

    Parameters
    ----------
    effects : Effects
        With our options.
    item : Preset
    recompute : callable, optional
        From options of the effect sizes (``vtype``, ``j``, ``zero``) to the effects of the same trials. Left out where
        the table holds estimates, not what they are made of: the choices that concern effect sizes then say so.
    level, rho
        As in `pool`.

    Returns
    -------
    pandas.DataFrame
        Columns ``choice ours theirs same estimate lower upper p tau i2 pi_lower pi_upper shift_se width_ratio note
        level``. The first line is our analysis and the last the preset's; each line between exchanges one choice more.
        ``shift_se`` is the change of the estimate from the line before in units of our standard error,
        ``width_ratio`` that of the interval's width.

    Raises
    ------
    ModelError
        Where the preset does not pool so few trials.

    Examples
    --------
    >>> preset_table(effects, preset("revman5"))["choice"].tolist()[-5:]
    ['model', 'interval', 'prediction interval', 'I2', 'Review Manager 5']
    """
    if effects.n_trials < item.fewest:
        apply_preset(effects, item, level=level, rho=rho)
    ours_words, their_words = preset_choices(OURS, effects.measure), preset_choices(item, effects.measure)
    now, rows = OURS, effects
    first = apply_preset(rows, now, level=level, rho=rho)
    unit = first.fit.se
    lines: list[dict[str, object]] = [{"choice": OURS.label, "ours": "", "theirs": "", "same": True, **_numbers(first)}]
    sizes = {
        "small-sample factor": {"j": item.j},
        "variance of g": {"vtype": item.vtype},
        "zero cells": {"zero": item.zero},
    }
    steps: dict[str, dict[str, Any]] = {
        **sizes,
        "trials without events": {"empty": item.empty},
        "heterogeneity variance": {"method": item.method},
        "model": {"common_up_to_i2": item.common_up_to_i2, "i2": now.i2 if item.common_up_to_i2 is None else "q"},
        "interval": {"ci": item.ci},
        "prediction interval": {"pi": item.pi},
        "I2": {"i2": item.i2},
    }
    for choice, ours in ours_words.items():
        wanted = their_words[choice]
        line: dict[str, object] = {"choice": choice, "ours": ours, "theirs": wanted, "same": ours == wanted}
        note = ""
        if choice in sizes and ours != wanted and recompute is None:
            note = "not exchanged: the table holds estimates, not the numbers they were made of"
        else:
            now = replace(now, **steps[choice])
            if choice in sizes and ours != wanted and recompute is not None:
                rows = recompute(now.options)
        found = apply_preset(rows, now, level=level, rho=rho)
        lines.append({**line, **_numbers(found), "note": "; ".join(filter(None, (note, *found.notes)))})
    last = {"choice": item.label, "ours": "", "theirs": "", "same": True}
    lines.append({**lines[-1], **last, "note": item.remark})
    frame = pd.DataFrame(lines)
    frame["note"] = frame["note"].fillna("")
    width = frame["upper"] - frame["lower"]
    frame["shift_se"] = frame["estimate"].diff() / unit if unit > 0 else math.nan
    frame["width_ratio"] = width / width.shift()
    frame["level"] = level
    order = [
        "choice",
        "ours",
        "theirs",
        "same",
        "estimate",
        "lower",
        "upper",
        "p",
        "tau",
        "i2",
        "pi_lower",
        "pi_upper",
        "shift_se",
        "width_ratio",
        "note",
        "level",
    ]
    return frame.reindex(columns=order)


def _numbers(found: PresetFit) -> dict[str, object]:
    fit = found.fit
    values = {
        "estimate": fit.estimate,
        "lower": fit.lower,
        "upper": fit.upper,
        "p": fit.p,
        "tau": math.sqrt(fit.tau2),
        "i2": found.i2,
        "pi_lower": found.pi_lower,
        "pi_upper": found.pi_upper,
    }
    return {name: math.nan if value is None else value for name, value in values.items()}
