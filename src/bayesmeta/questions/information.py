"""How much information there is: participants beside the optimal information size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.measures import require_null
from bayesmeta.plan import BaselineRisk, centre
from bayesmeta.questions.units import RISK_MEASURES, STANDARDISED, noted, risks_of

__all__ = ["information_size", "information_size_binary", "information_table"]

_INFORMATION_COLUMNS = ["form", "assumption", "needed", "participants", "ratio", "source", "note"]
_GRADE_6 = "GRADE guidelines 6, doi:10.1016/j.jclinepi.2011.01.012"


def _error_quantiles(alpha: float, power: float) -> tuple[float, float]:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ModelError(f"information size: alpha = {alpha}, power = {power}; both lie between 0 and 1.")
    return float(special.ndtri(1 - alpha / 2)), float(special.ndtri(power))


def information_size(delta: float, *, alpha: float = 0.05, power: float = 0.80) -> float:
    """Participants of two equal arms that detect a standardised difference: the optimal information size.

    ``N = 4 (z_{1 - alpha/2} + z_power)^2 / delta^2``.

    Parameters
    ----------
    delta : float
        The difference in standard deviations.
    alpha, power : float
        Two-sided error and power.

    Raises
    ------
    ModelError
        For a difference of zero, and error rates that are no probabilities.

    References
    ----------
    Guyatt GH et al. GRADE guidelines 6. J Clin Epidemiol 2011;64:1283-1293. doi:10.1016/j.jclinepi.2011.01.012

    Examples
    --------
    >>> round(information_size(0.2))
    785
    """
    z_alpha, z_power = _error_quantiles(alpha, power)
    if not (math.isfinite(delta) and delta > 0):
        raise ModelError(f"information size: delta = {delta}; give a positive difference in standard deviations.")
    return 4 * (z_alpha + z_power) ** 2 / (delta * delta)


def information_size_binary(
    control_risk: float, reduction: float = 0.25, *, alpha: float = 0.05, power: float = 0.80
) -> float:
    """Participants of two equal arms that detect a relative risk reduction: the optimal information size.

    With ``p_c`` the control risk, ``p_t = p_c (1 - reduction)`` and ``p`` their mean,

        ``N = 2 [z_a sqrt(2 p (1 - p)) + z_b sqrt(p_c (1 - p_c) + p_t (1 - p_t))]^2 / (p_c - p_t)^2``,

    the formula of R's ``power.prop.test``.

    Parameters
    ----------
    control_risk : float
        Risk without treatment.
    reduction : float
        Relative risk reduction; GRADE suggests 0.20 to 0.25. Negative for an increase.
    alpha, power : float
        Two-sided error and power.

    Raises
    ------
    ModelError
        For risks and error rates that are no probabilities.

    References
    ----------
    Guyatt GH et al. GRADE guidelines 6. J Clin Epidemiol 2011;64:1283-1293. doi:10.1016/j.jclinepi.2011.01.012

    Examples
    --------
    >>> round(information_size_binary(0.2, 0.25))
    1811
    """
    z_alpha, z_power = _error_quantiles(alpha, power)
    other = control_risk * (1 - reduction)
    if not (0 < control_risk < 1 and 0 < other < 1 and reduction != 0):
        raise ModelError(
            f"information size: control risk {control_risk} and reduction {reduction} make a risk of {other:.4g}; both "
            "risks lie between 0 and 1 and differ."
        )
    mean = 0.5 * (control_risk + other)
    apart = z_alpha * math.sqrt(2 * mean * (1 - mean))
    apart += z_power * math.sqrt(control_risk * (1 - control_risk) + other * (1 - other))
    return 2 * (apart / (control_risk - other)) ** 2


def information_table(
    fit: Fit,
    delta: float | None = None,
    *,
    risks: Sequence[BaselineRisk] | float | None = None,
    reductions: Sequence[float] = (0.20, 0.25),
    alpha: float = 0.05,
    power: float = 0.80,
) -> pd.DataFrame:
    """The participants there are beside the optimal information size.

    Parameters
    ----------
    fit : Fit
    delta : float, optional
        Standardised outcomes: the difference to detect; default the primary threshold of the fit's outcome.
    risks : sequence of BaselineRisk or float, optional
        OR, RR, RD, HR: risks without treatment; default those of the fit's outcome. A distribution enters by its mean.
    reductions : sequence of float
        Relative risk reductions to detect.

    Returns
    -------
    pandas.DataFrame
        Columns ``form assumption needed participants ratio source note``; ``ratio`` is participants over needed.

    Examples
    --------
    >>> table = information_table(fit, 0.2)
    >>> table[["participants", "ratio"]].round(2).values.tolist()
    [[700.0, 0.89]]
    """
    require_null(fit.effects.measure, "the optimal information size")
    kind = fit.effects.measure
    cases: list[tuple[str, str, Callable[[], float]]] = []
    note = ""
    if kind in STANDARDISED:
        stated = fit.outcome.decision.primary if delta is None and fit.outcome is not None else None
        value = delta if stated is None else stated.benefit_distance
        if isinstance(value, (int, float)):
            size = float(value)
            cases = [
                ("two means", f"a difference of {size:g} SD", partial(information_size, size, alpha=alpha, power=power))
            ]
        else:
            note = "no difference to detect: give delta, or a primary threshold that is a number."
    elif kind in RISK_MEASURES:
        for item in risks_of(fit, risks):
            for drop in reductions:
                risk = centre(item.risk)
                cases.append(
                    (
                        "two risks",
                        f"{item.name}: risk {risk:g}, relative reduction {100 * drop:g} %",
                        partial(information_size_binary, risk, drop, alpha=alpha, power=power),
                    )
                )
        note = "" if cases else "no risk without treatment is stated: give risks."
    else:
        note = f"{kind}: the information size needs a standardised difference or a risk."
    people = fit.effects.participants
    if not cases:
        return noted(_INFORMATION_COLUMNS, note)
    rows = []
    for form, words, size_of in cases:
        row: dict[str, Any] = {
            "form": form,
            "assumption": f"{words}, alpha {alpha:g}, power {power:g}",
            "source": _GRADE_6,
            "note": "",
        }
        try:
            needed = size_of()
        except ModelError as error:
            rows.append({**row, "note": str(error)})
            continue
        row |= {"needed": needed, "participants": math.nan if people is None else float(people)}
        row |= {"ratio": row["participants"] / needed, "note": "" if people is not None else "participants not stated"}
        rows.append(row)
    return pd.DataFrame(rows, columns=_INFORMATION_COLUMNS)
