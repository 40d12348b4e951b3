"""Which moderators say the same: generalised variance inflation factors of a meta-regression."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.coding import treatment_design
from bayesmeta.classical.rows import FloatArray, moments, rows_of
from bayesmeta.classical.tau2 import tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = ["CONFOUNDED", "gvif"]

#: ``GVIF**(1 / (2 df))`` above which moderators are called confounded: standard errors are sqrt(5) times as wide.
CONFOUNDED = math.sqrt(5)


def _gvif(correlation: FloatArray, own: NDArray[np.bool_]) -> float:
    """Determinant of the correlations of a moderator's columns, times that of the others', over that of all."""
    logs = [np.linalg.slogdet(correlation[np.ix_(part, part)])[1] for part in (own, ~own, np.ones_like(own))]
    return math.exp(logs[0] + logs[1] - logs[2])


def _correlation(cov: FloatArray) -> FloatArray:
    scale = np.sqrt(np.diagonal(cov))
    return cov / np.outer(scale, scale)


@on_effects()
def gvif(effects: Effects, moderators: Sequence[str], *, rho: float = 0.5) -> pd.DataFrame:
    r"""How much wider the coefficients of each moderator are because of the others, and which other it is.

    With R the correlation matrix of the reference-coded coefficients under ``V^-1`` weights, V at the REML tau2, the
    intercept left out,

    .. math:: GVIF = \frac{\det R_{own} \det R_{others}}{\det R},

    which does not depend on the reference level. No prior enters.

    Parameters
    ----------
    effects : Effects
    moderators : sequence of str
        At least two.
    rho : float
        Correlation of the true effects of rows that share an arm.

    Returns
    -------
    pandas.DataFrame
        One line per moderator: ``moderator df gvif inflation confounded with pair_inflation``. ``inflation`` is
        ``gvif**(1 / (2 df))``, the factor by which its standard errors are wider (for one coefficient);
        ``confounded`` whether it is above sqrt(5). ``with`` is the other moderator that in a regression on the two
        alone inflates it most, by ``pair_inflation``.

    Raises
    ------
    ModelError
        For fewer than two moderators, interactions, and whatever `metaregression` refuses: without full column rank
        moderators determine each other, and are confounded beyond any number.

    References
    ----------
    Fox J, Monette G. J Am Stat Assoc 1992;87:178-183. doi:10.1080/01621459.1992.10475190

    Examples
    --------
    >>> gvif(effects, ["weeks", "timing"])[["moderator", "df", "gvif", "with"]].round(3)
      moderator  df   gvif    with
    0     weeks   1  1.224  timing
    1    timing   1  1.224   weeks
    """
    if isinstance(moderators, str) or len(moderators) < 2:
        raise ModelError("gvif compares moderators: name at least two, as a list.")
    if crossed := [name for name in moderators if ":" in name]:
        raise ModelError(
            f"gvif: an interaction ({crossed[0]}) inflates its main effects whatever the trials are; name the "
            "moderators alone."
        )
    coded = treatment_design(effects.moderators, moderators, effects.k)
    # the moderator of each column after the intercept
    owner = np.array([term.partition("[")[0] if term not in moderators else term for term in coded.terms[1:]])
    blocks = effects.blocks
    tau2 = tau2_of(rows_of(effects.y, effects.se, coded.X, blocks=blocks, rho=rho), "REML").value

    def inflations(names: Sequence[str]) -> dict[str, float]:
        """GVIF of each moderator in a regression on these, the weights being those of the regression on all."""
        columns = np.flatnonzero(np.isin(owner, names))
        rows = rows_of(effects.y, effects.se, coded.X[:, [0, *(1 + columns)]], blocks=blocks, rho=rho)
        inverse = np.linalg.inv(rows.triangle)
        correlation = _correlation((inverse @ moments(rows, [tau2]).cov[0] @ inverse.T)[1:, 1:])
        inside = owner[columns]
        return {name: _gvif(correlation, inside == name) for name in names}

    found, lines = inflations(moderators), []
    for name in moderators:
        df = int((owner == name).sum())
        pairs = {other: inflations([name, other])[name] for other in moderators if other != name}
        worst = max(pairs, key=lambda other: pairs[other])
        inflation, pair = (value ** (1 / (2 * df)) for value in (found[name], pairs[worst]))
        lines.append([name, df, found[name], inflation, inflation > CONFOUNDED, worst, pair])
    columns = ["moderator", "df", "gvif", "inflation", "confounded", "with", "pair_inflation"]
    return pd.DataFrame(lines, columns=columns)
