"""Values of a protocol that are more than text or a number: priors, distances, filters, measures."""

from __future__ import annotations

import difflib
import math
import sys
from typing import Any, Literal, NamedTuple

from bayesmeta import priors
from bayesmeta.errors import ModelError
from bayesmeta.measures import MEASURES
from bayesmeta.model import OutlierEffects, StudentEffects
from bayesmeta.plan import Amount, BetaRisk, minimal_difference, parse_moderators
from bayesmeta.priors import Prior

__all__ = [
    "BrokenRuleError",
    "Stated",
    "amount_value",
    "borrowed_prior_value",
    "cells_value",
    "chosen_value",
    "is_number",
    "knots_value",
    "measure_value",
    "mid_value",
    "moderators_value",
    "named_value",
    "prior_value",
    "random_value",
    "risk_value",
    "risks_value",
    "scale_value",
    "shift_value",
    "where_value",
]

_WRITE_A_PRIOR = 'Write it like { dist = "halfnormal", scale = 0.5 } or "halfnormal(0.5)".'


class BrokenRuleError(ValueError):
    """A broken rule: what is wrong, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(what)


class Stated(NamedTuple):
    """A prior as stated, with its source."""

    prior: Prior
    source: str


def prior_value(value: Any) -> Stated:
    """Read a prior in its table or text form."""
    source = ""
    try:
        if isinstance(value, str):
            prior = priors.parse(value)
        elif isinstance(value, dict):
            source = value.get("source", "")
            prior = priors.from_dict({key: item for key, item in value.items() if key != "source"})
        else:
            raise BrokenRuleError(f"{value!r} is not a prior", _WRITE_A_PRIOR)
    except ModelError as error:
        raise BrokenRuleError(str(error).rstrip("."), _WRITE_A_PRIOR) from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise BrokenRuleError(
            f"{value!r} is not a prior: a field has the wrong type or size", _WRITE_A_PRIOR
        ) from error
    if not isinstance(source, str):
        raise BrokenRuleError(f"source {source!r} is not text", "Write the citation as text.")
    return Stated(prior, source or getattr(prior, "source", ""))


def is_number(value: Any) -> bool:
    """Say whether it is a finite number (true and false are not)."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, float) and math.isfinite(value)


def amount_value(value: Any) -> Amount:
    """Read one side of a threshold: a number, a range or a prior."""
    if is_number(value):
        if value <= 0:
            raise BrokenRuleError(
                f"{value:g} is not > 0", "State a positive distance from no effect; `better` says which way it points."
            )
        return float(value)
    if isinstance(value, dict) and "dist" not in value and set(value) <= {"low", "high"}:
        low, high = value.get("low"), value.get("high")
        if low is None or high is None or not (is_number(low) and is_number(high) and 0 < low < high):
            raise BrokenRuleError(f"{value!r} is not a range with 0 < low < high", "Write { low = 0.3, high = 0.5 }.")
        return (float(low), float(high))
    if isinstance(value, (dict, str)):
        prior = prior_value(value).prior
        if not prior.proper or not prior.support[0] >= 0:
            raise BrokenRuleError(
                f"{prior!r} is not a proper distribution of positive distances",
                "Use one on positive numbers, such as uniform(0.3, 0.7), or a range { low = 0.3, high = 0.7 }.",
            )
        return prior
    raise BrokenRuleError(
        f"{value!r} is neither a number, a range nor a prior", "Write 0.5, { low = 0.3, high = 0.5 } or a prior."
    )


def threshold_value(value: Any) -> Amount:
    """Read one side of a threshold: as `amount_value`, and of either sign, which the measure judges."""
    if is_number(value):
        return float(value)
    ends = isinstance(value, dict) and set(value) == {"low", "high"} and all(map(is_number, value.values()))
    if ends and value["low"] < value["high"] and value["low"] <= 0:
        return (float(value["low"]), float(value["high"]))
    return amount_value(value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool)) or is_number(value)


def where_value(value: Any) -> dict[str, Any]:
    """Read a filter: column = value, or a list of values."""
    if not isinstance(value, dict) or not all(
        _is_scalar(item) or (isinstance(item, list) and item and all(map(_is_scalar, item))) for item in value.values()
    ):
        raise BrokenRuleError(
            f"{value!r} is not a table of column = value",
            'Write { outcome = "fatigue", horizon = ["short", "medium"] }.',
        )
    return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}


def chosen_value(value: Any) -> dict[str, Any]:
    """Read a filter that must choose something: without a column it would choose every row."""
    if not value and isinstance(value, dict):
        raise BrokenRuleError("{} chooses every row", 'Say which rows: { study = "Smith 2019" }.')
    return where_value(value)


def cells_value(value: Any) -> dict[str, Any]:
    """Read cells: column = value."""
    if not isinstance(value, dict) or not value or not all(map(_is_scalar, value.values())):
        raise BrokenRuleError(f"{value!r} is not a table of column = value", 'Write { coded_better = "lower" }.')
    return dict(value)


def measure_value(value: Any) -> str:
    """Read the name of an effect measure."""
    if not isinstance(value, str) or value not in MEASURES:
        near = difflib.get_close_matches(str(value).upper(), MEASURES, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise BrokenRuleError(f"measure {value!r} is not known", f"{hint}Allowed: {', '.join(MEASURES)}.")
    return value


def moderators_value(value: Any) -> Any:
    """Refuse moderators as text that cannot be read; text that can was written as keys before this is asked."""
    if isinstance(value, str):
        try:
            parse_moderators(value)
        except ModelError as error:
            what, _, remedy = str(error).partition(": ")[2].partition(". ")
            raise BrokenRuleError(f"{value!r}: {what}", remedy) from error
        raise BrokenRuleError(
            f"{value!r} states interactions, and so does the key interactions", "Remove the key interactions."
        )
    return value


def mid_value(value: Any) -> Any:
    """Turn the name of an instrument into the keys of its minimal important difference in the registry."""
    if not isinstance(value, str):
        return value
    try:
        found = minimal_difference(value)
    except ModelError as error:
        what, _, remedy = str(error).partition(" in the registry. ")
        raise BrokenRuleError(f"{what} in the registry", f"{remedy} Or state it: {_WRITE_A_MID}") from error
    ends = found.points
    benefit = {"low": ends[0], "high": ends[1]} if isinstance(ends, tuple) else ends
    keys = {"benefit": benefit, "source": found.source, "kind": found.kind, "instrument": found.instrument}
    return keys if found.compared is None else {**keys, "compared": found.compared}


_WRITE_A_MID = '{ benefit = 3, source = "...", kind = "anchor" }.'


def scale_value(value: Any) -> tuple[float, float]:
    """Read the lowest and the highest score of an instrument."""
    if isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]:
        return (float(value[0]), float(value[1]))
    raise BrokenRuleError(f"{value!r} is no lowest and highest score", "Write [0, 52].")


def named_value(value: Any) -> Any:
    """Turn a bare name into a table with a name."""
    return {"name": value} if isinstance(value, str) else value


_WRITE_A_RISK = (
    'Write 0.2, { low = 0.1, high = 0.3 }, { dist = "beta", a = 20, b = 80 } (20 events, 80 without), or a prior '
    "between 0 and 1 such as uniform(0.1, 0.3)."
)


def risk_value(value: Any) -> Amount | BetaRisk:
    """Read a risk without treatment: a number, a range or a distribution between 0 and 1."""
    if isinstance(value, dict) and value.get("dist") == "beta":
        if set(value) != {"dist", "a", "b"} or not all(is_number(value[key]) and value[key] > 0 for key in ("a", "b")):
            raise BrokenRuleError(f"{value!r} is not a beta distribution with a > 0 and b > 0", _WRITE_A_RISK)
        return BetaRisk(float(value["a"]), float(value["b"]))
    try:
        amount = amount_value(value)
    except BrokenRuleError as error:
        raise BrokenRuleError(error.what, _WRITE_A_RISK) from error
    ends = amount.support if isinstance(amount, Prior) else amount if isinstance(amount, tuple) else (amount, amount)
    inside = ends[1] <= 1 if isinstance(amount, Prior) else ends[1] < 1
    if not inside:
        raise BrokenRuleError(f"{value!r} is not between 0 and 1", _WRITE_A_RISK)
    return amount


def borrowed_prior_value(value: Any) -> Any:
    """Read what is believed where the source of borrowing says nothing: a normal."""
    prior = prior_value(value).prior
    if not isinstance(prior, priors.Normal):
        raise BrokenRuleError(f"{prior!r} is not a normal", "Write a normal on the source's scale: normal(0, 2).")
    return prior


def risks_value(value: Any) -> Any:
    """Turn a bare risk into a list of one named risk."""
    return [{"name": "baseline", "risk": value, "source": ""}] if is_number(value) else value


_RANDOM: dict[str, tuple[type[StudentEffects | OutlierEffects], tuple[str, ...]]] = {
    "student": (StudentEffects, ("df",)),
    "outliers": (OutlierEffects, ("share", "extra")),
}
_WRITE_RANDOM = (
    'Write "normal", { dist = "student", df = PRIOR } or { dist = "outliers", share = PRIOR, extra = PRIOR }; for '
    'example df = "truncated(exponential(0.0345), 1, inf)", share = "uniform(0, 0.5)", extra = "halfnormal(1)".'
)


def random_value(value: Any) -> StudentEffects | OutlierEffects | Literal["normal"]:
    """Read how true effects vary around their mean."""
    if value == "normal":
        return "normal"
    if not isinstance(value, dict) or value.get("dist") not in _RANDOM:
        raise BrokenRuleError(f"{value!r} is not a distribution of true effects", _WRITE_RANDOM)
    kind, names = _RANDOM[value["dist"]]
    unknown = [name for name in value if name not in ("dist", *names)]
    lacking = [name for name in names if name not in value]
    if unknown or lacking:
        what = f"{unknown[0]!r} is not a key here" if unknown else f"{lacking[0]} is missing"
        raise BrokenRuleError(f"{value['dist']}: {what}", f"Allowed: dist, {', '.join(names)}. {_WRITE_RANDOM}")
    try:
        return kind(**{name: prior_value(value[name]).prior for name in names})
    except ModelError as error:
        raise BrokenRuleError(str(error).rstrip("."), _WRITE_RANDOM) from error


def knots_value(value: Any) -> int | tuple[float, ...]:
    """Read the knots of a curve: their number, or their places."""
    if isinstance(value, int) and not isinstance(value, bool) and 3 <= value <= 10:
        return value
    if isinstance(value, list) and len(value) >= 3 and all(map(is_number, value)) and value == sorted(set(value)):
        return tuple(float(place) for place in value)
    raise BrokenRuleError(f"{value!r} are not knots", "Give a number from 3 to 10, or at least 3 ascending places.")


def shift_value(value: Any) -> float | dict[str, float]:
    """Read a departure from missing at random: of a mean, or of levels."""
    if is_number(value):
        return float(value)
    if isinstance(value, dict) and value and all(map(is_number, value.values())):
        return {str(level): float(amount) for level, amount in value.items()}
    raise BrokenRuleError(
        f"{value!r} is neither a number nor a table of level = number",
        "Write 0.5 for a numeric moderator, { after = 0.7 } (log odds) for a categorical one.",
    )


#: In place of a table of priors: mu and tau are the default of the measure.
PUBLISHED = "published"


def priors_value(value: Any) -> Any:
    """A table of priors, or the text that stands for the published ones."""
    if value == PUBLISHED:
        return {"published": True}
    if isinstance(value, str):
        raise BrokenRuleError(
            f"{value!r} is no table of priors",
            f'Write priors = "{PUBLISHED}", or priors.mu = ... and priors.tau = ....',
        )
    return value
