"""Interactions that trials report themselves, pooled with what their rows say within trials, and with nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, fit
from bayesmeta.model import Coefficient, Model
from bayesmeta.moderators.quantities import Quantity, coefficients
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import TrialInteraction
from bayesmeta.priors import Normal, Prior
from bayesmeta.questions import direction

__all__ = ["within_trial_table"]

POOLED = "all trials"
_COLUMNS = (
    *("moderator", "contrast", "trial", "source", "estimate", "se", "lower", "upper", "tau", "p_below_null"),
    *("p_more_benefit", "mark", "level", "interval"),
)


def within_trial_table(
    moderated: Fit | None,
    published: Sequence[TrialInteraction] = (),
    *,
    pooled: Fit | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    r"""Pool within-trial differences: those of rows that compare levels in one trial, and those that trials print.

    A difference within a trial is between randomised patients; one between trials is not, and the two are never put
    into one likelihood. Of a trial with rows at both levels it is the difference by generalised least squares, with its
    sampling variance; a published interaction comes as it is. They are pooled as estimates are,
    :math:`d_i \sim N(\delta_i, s_i^2)`, :math:`\delta_i \sim N(\mu, \omega^2)`, with the prior of the moderator's
    coefficient for :math:`\mu` and that of tau for :math:`\omega`.

    Parameters
    ----------
    moderated : Fit or None
        A moderated fit of the rows; None where there is none, and published interactions alone are pooled.
    published : sequence of TrialInteraction
        On the scale of the analysis, in the direction of the outcome.
    pooled : Fit, optional
        Whose effects and prior of tau are used where there is no moderated fit.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator contrast trial source estimate se lower upper tau p_below_null p_more_benefit mark level
        interval``: a line per trial, then ``all trials`` (posterior median and interval), without a number and with the
        mark "one trial" where there is one.

    Raises
    ------
    ModelError
        Where a trial's interaction and its rows would both be counted, a trial is named twice, or there is no fit.

    References
    ----------
    Fisher DJ, Carpenter JR, Morris TP, Freeman SC, Tierney JF. BMJ 2017;356:j573. doi:10.1136/bmj.j573
    """
    main = moderated or pooled
    if main is None:
        raise ModelError("give the moderated fit, or the pooled one.")
    groups: dict[tuple[str, str], list[tuple[str, str, float, float]]] = {}
    for item in coefficients(moderated) if moderated is not None else ():
        if item.part in ("contrast", "slope"):
            found = _of_rows(main, item)
            if found:
                groups[item.moderator, item.name] = [(trial, "rows", y, se) for trial, y, se in found]
    for given in published:
        name, sign = _oriented(given, groups)
        group = groups.setdefault((given.moderator, name), [])
        if any(trial == given.study for trial, *_ in group):
            raise ModelError(
                f"{given.study}: its {given.moderator} ({given.contrast}) is in the table already, by its rows or by "
                "another entry. A trial counts once: leave one of the two out."
            )
        group.append((given.study, given.source, sign * given.estimate, given.se))
    rows = [line for (moderator, name), group in groups.items() for line in _lines(main, moderator, name, group, level)]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _of_rows(main: Fit, item: Quantity) -> list[tuple[str, float, float]]:
    """Difference, or slope, inside every trial that has both sides of it: estimate and standard error."""
    effects = main.effects
    S, found = effects.covariance(), []
    study = np.array(effects.study, dtype=object)
    for trial in effects.trials:
        here = study == trial
        if len(item.sides) == 2:
            rows = np.flatnonzero(here & (item.sides[0] | item.sides[1]))
            x = item.sides[1][rows].astype(float)
        else:
            rows = np.flatnonzero(here & item.sides[0])
            x = np.asarray(effects.moderators[item.moderator], float)[rows]
            x = x / main.design.factors[item.moderator].per
        if rows.size < 2 or np.ptp(x) == 0:
            continue
        X = np.column_stack([np.ones(rows.size), x])
        weighed = np.linalg.solve(S[np.ix_(rows, rows)], X)
        covariance = np.linalg.inv(X.T @ weighed)
        found.append((trial, float((covariance @ weighed.T @ effects.y[rows])[1]), float(np.sqrt(covariance[1, 1]))))
    return found


def _oriented(
    given: TrialInteraction, groups: dict[tuple[str, str], list[tuple[str, str, float, float]]]
) -> tuple[str, int]:
    """The contrast as the table has it, and the sign that a published one takes for it."""
    other = " - ".join(reversed(given.contrast.split(" - ")))
    return (other, -1) if (given.moderator, other) in groups and other != given.contrast else (given.contrast, 1)


def _lines(
    main: Fit, moderator: str, name: str, group: Sequence[tuple[str, str, float, float]], level: float
) -> list[dict[str, object]]:
    effects, better = main.effects, main.effects.better is not None
    half = float(special.ndtri((1 + level) / 2))
    base = {"moderator": moderator, "contrast": name, "mark": "", "level": level}
    lines: list[dict[str, object]] = [
        {
            **base,
            **{"trial": trial, "source": source, "estimate": y, "se": se, "interval": "normal"},
            **{"lower": y - half * se, "upper": y + half * se},
        }
        for trial, source, y, se in group
    ]
    whole: dict[str, object] = {**base, "trial": POOLED, "source": "", "interval": "central"}
    if len(group) < 2:
        return [*lines, {**whole, "mark": "one trial"}]
    trials, _, y, se = zip(*group, strict=True)
    differences = Effects(trials, y, se, measure=effects.measure, better=effects.better)
    found = fit(differences, Model(_prior(main, moderator), main.model.tau), seed=main.seed)
    form = found.posterior.quantities(np.ones((1, 1)))
    lower, median, upper = form.quantile(interval_ends(level))[0]
    below = float(form.cdf(np.array([0.0]))[0, 0])
    whole |= {"estimate": median, "lower": lower, "upper": upper, "p_below_null": below}
    if better:
        whole["p_more_benefit"] = 1 - below if direction(main) > 0 else below
    if main.model.tau is not None:
        whole["tau"] = float(found.posterior.named("tau").quantile(np.array([0.5]))[0])
    return [*lines, whole]


def _prior(main: Fit, moderator: str) -> Prior:
    """Of the mean difference: that of the moderator's coefficient, else the default of a contrast."""
    term = main.model.beta.get(moderator)
    return term.prior if isinstance(term, Coefficient) else Normal(0, 0.5)
