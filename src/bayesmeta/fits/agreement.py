"""Two engines on one model: the differences in Monte Carlo standard errors."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bayesmeta.errors import Check, ModelError
from bayesmeta.fits.by_name import marginal, quantities
from bayesmeta.fits.result import Fit
from bayesmeta.marginals import Draws

__all__ = ["LIMIT", "agreement_check", "agreement_table"]

#: Monte Carlo standard errors beyond which two engines disagree.
LIMIT = 4.0
_QUANTILES = (0.025, 0.5, 0.975)


def agreement_table(exact: Fit, drawn: Fit | None = None) -> pd.DataFrame:
    """Compare an exact fit with draws of the same model.

    Parameters
    ----------
    exact : Fit
    drawn : Fit, optional
        Default: the exact fit's ``second``, as ``fit(..., engine="both")`` makes it.

    Returns
    -------
    pandas.DataFrame
        One row per quantity and statistic. Columns ``quantity statistic exact drawn mcse difference``: the posterior
        mean, where a variance exists; and the probability of lying below the exact 2.5 %, 50 % and 97.5 % points,
        which is that percentage. ``difference`` is in Monte Carlo standard errors. Study effects are compared by
        their means.

    Raises
    ------
    ModelError
        Where there are no draws, or the two are not of one model and one set of effects.
    """
    drawn = drawn or exact.second
    if drawn is None or drawn.exact or not exact.exact:
        raise ModelError("compare an exact fit with one by draws: fit(..., engine='both').")
    if repr(exact.model) != repr(drawn.model) or not np.array_equal(exact.effects.y, drawn.effects.y):
        raise ModelError("the two fits are not of one model and one set of effects.")
    rows = []
    for name in quantities(exact):
        form, draws = marginal(exact, name), marginal(drawn, name)
        assert isinstance(draws, Draws)
        if math.isfinite(form.sd):
            rows.append((name, "mean", form.mean, draws.mean, draws.mcse))
        if name.startswith("theta["):
            continue
        for p, point in zip(_QUANTILES, form.quantile(np.array(_QUANTILES)), strict=True):
            rows.append(
                (name, f"P(below {100 * p:g} % point)", p, float(draws.cdf(point)), draws.cdf_mcse(float(point)))
            )
    table = pd.DataFrame(rows, columns=["quantity", "statistic", "exact", "drawn", "mcse"])
    table["difference"] = (table["drawn"] - table["exact"]) / table["mcse"]
    return table


def agreement_check(exact: Fit, drawn: Fit) -> Check:
    """Judge whether two engines agree: no difference above four Monte Carlo standard errors."""
    table = agreement_table(exact, drawn)
    worst = table.iloc[int(np.argmax(np.abs(table["difference"].to_numpy(float))))]
    value = abs(float(worst["difference"]))
    return Check(
        "engines agree",
        value <= LIMIT,
        value,
        LIMIT,
        f"Largest difference, in Monte Carlo standard errors: {worst['statistic']} of {worst['quantity']}. Run again "
        "with another seed and more draws; if it stays, one engine is wrong: please report it.",
    )
