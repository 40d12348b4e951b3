"""Differences within trials and between them, estimated separately."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, fit
from bayesmeta.model import BETWEEN, Coefficient
from bayesmeta.moderators.evidence import varies_within
from bayesmeta.moderators.quantities import Quantity, coefficients
from bayesmeta.numerics import interval_ends
from bayesmeta.priors import Prior
from bayesmeta.questions import direction

__all__ = ["NEEDED", "SPLIT", "within_between_table"]

#: The three kinds of differences, as tables call them.
SPLIT = ("within trials", "between trials", BETWEEN.strip())

#: Trials that must compare two levels, or two values, themselves before a difference within trials is a number.
NEEDED = 2


def within_between_table(
    found: Fit, priors: Mapping[str, Prior] | None = None, *, level: float = LEVEL
) -> pd.DataFrame:
    r"""Tell the differences within trials from those between them, for moderators of which some trials have several.

    With :math:`\bar x_i` the mean of trial i over its rows, a moderator enters as
    :math:`x_{ij} b_W + \bar x_i \delta`, which is :math:`(x_{ij} - \bar x_i) b_W + \bar x_i b_B` with
    :math:`b_B = b_W + \delta`. Patients were randomised within trials, so that :math:`b_W` is not confounded by what
    else differs between them; levels of a category likewise, by their indicators.

    Parameters
    ----------
    found : Fit
        A moderated fit.
    priors : mapping of str to Prior, optional
        Moderator to the prior of :math:`\delta`; default the prior of its coefficient.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator part name k trials mark median lower upper p_below_null p_more_benefit level interval``;
        ``part`` is "within trials", "between trials" or "between - within", and ``trials`` counts those that compare
        the two levels (or several values) themselves. Where fewer than two do, ``mark`` is "within: one trial" (or "no
        trial") and there is no number. Empty where no trial has several values of any moderator.

    Raises
    ------
    ModelError
        For a moderator that the fit does not have.

    References
    ----------
    Fisher DJ, Carpenter JR, Morris TP, Freeman SC, Tierney JF. BMJ 2017;356:j573. doi:10.1136/bmj.j573
    """
    unknown = set(priors or {}) - set(found.model.beta)
    if unknown:
        raise ModelError(f"{', '.join(sorted(unknown))}: not a moderator of the fit. {', '.join(found.model.beta)}.")
    parts = []
    for name, term in found.model.beta.items():
        if not isinstance(term, Coefficient) or ":" in name or name in found.model.missing:
            continue
        if varies_within(found.effects, name):
            parts.append(_one(found, name, term, (priors or {}).get(name, term.prior), level))
    columns = ["moderator", "part", "name", "k", "trials", "mark", "median", "lower", "upper", "p_below_null"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    if found.effects.better is not None and len(table):
        below = table["p_below_null"]
        table["p_more_benefit"] = 1 - below if direction(found) > 0 else below
        # that one difference is larger than another is no benefit
        table.loc[table["part"] == SPLIT[2], "p_more_benefit"] = np.nan
    table["level"], table["interval"] = level, "central"
    return table


def _one(found: Fit, name: str, term: Coefficient, prior: Prior, level: float) -> pd.DataFrame:
    """Refit with one moderator split, and read its three kinds of differences."""
    split = dataclasses.replace(term, between=prior)
    model = dataclasses.replace(found.model, beta={**found.model.beta, name: split})
    linear = [item for item in coefficients(found) if item.moderator == name and item.part in ("contrast", "slope")]
    inside = [_comparing(found, item, name) for item in linear]
    rows = []
    enough = [trials >= NEEDED for trials in inside]
    second = fit(found.effects, model, seed=found.seed) if any(enough) else None
    for item, trials, ok in zip(linear, inside, enough, strict=True):
        k = int(np.any(item.sides, axis=0).sum())
        mark = "" if ok else f"within: {'one' if trials else 'no'} trial"
        base = {"moderator": name, "name": item.name, "k": k, "trials": trials, "mark": mark}
        for part, row in _rows(second if ok else None, item, name).items():
            answer = dict.fromkeys(("median", "lower", "upper", "p_below_null"), np.nan)
            if ok and second is not None:
                form = second.posterior.quantities(row[None, :])
                lower, median, upper = form.quantile(interval_ends(level))[0]
                below = float(form.cdf(np.array([0.0]))[0, 0])
                answer = {"median": median, "lower": lower, "upper": upper, "p_below_null": below}
            rows.append({**base, "part": part, **answer})
    order = ["moderator", "part", "name", "k", "trials", "mark", "median", "lower", "upper", "p_below_null"]
    return pd.DataFrame(rows)[order]


def _rows(second: Fit | None, item: Quantity, name: str) -> dict[str, np.ndarray]:
    """Rows of the split design: within trials, between them, and their difference."""
    if second is None:
        return {SPLIT[0]: item.row}
    both = next(other for other in coefficients(second) if other.moderator == name and other.name == item.name).row
    columns = next(term.columns for term in second.design.terms if term.name == f"{name}{BETWEEN}")
    difference = np.zeros_like(both)
    difference[columns] = both[columns]
    return dict(zip(SPLIT, (both - difference, both, difference), strict=True))


def _comparing(found: Fit, item: Quantity, name: str) -> int:
    """Trials that have both levels of a contrast, or several values."""
    if len(item.sides) == 1:
        return len(varies_within(found.effects, name))
    study = np.array(found.effects.study, dtype=object)
    return len(set(study[item.sides[0]]) & set(study[item.sides[1]]))
