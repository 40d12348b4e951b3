"""Begg and Mazumdar's test: the rank correlation of effects and their variances."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from scipy import special

from bayesmeta.classical.asymmetry import AsymmetryTest, at_least_three, dependence_note
from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.rows import FloatArray
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.measures import require_null

__all__ = ["BEGG_FORMS", "begg_test", "kendall_distribution"]

BeggForm = Literal["exact", "normal", "normal_corrected"]
BEGG_FORMS: tuple[BeggForm, ...] = get_args(BeggForm)

# Beyond this the exact distribution of Kendall's tau costs seconds and its normal limit is good to many digits.
EXACT_UP_TO = 500


def kendall_distribution(k: int) -> FloatArray:
    """Probability of 0, 1, ..., k(k - 1)/2 concordant pairs among k ranks in random order.

    Examples
    --------
    >>> (6 * kendall_distribution(3)).round(12).tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    found = np.ones(1)
    for size in range(2, k + 1):
        # inserting one more rank adds 0 ... size - 1 concordant pairs, each equally likely
        total = np.cumsum(np.concatenate([found, np.zeros(size - 1)]))
        total[size:] -= total[:-size].copy()
        found = np.maximum(total, 0.0) / size
    return found


@on_effects(form=BEGG_FORMS)
def begg_test(effects: Effects, *, form: BeggForm = "exact") -> AsymmetryTest:
    """Rank correlation of standardised effects and their variances (Begg and Mazumdar's test).

    Kendall's tau of ``(y - mean) / sqrt(se^2 - 1 / sum(w))`` and se^2, with w = 1 / se^2 and the weighted mean.

    Parameters
    ----------
    effects : Effects
    form : {"exact", "normal", "normal_corrected"}
        "exact": the permutation distribution; with ties, or k > 500, its normal limit (``ranktest`` of R metafor).
        "normal": z = S / sd(S), as published. "normal_corrected": the same with the size of S lowered by 1.

    Returns
    -------
    AsymmetryTest
        `estimate` is tau (tau-b with ties), `stat` is z, None where p is exact.

    Raises
    ------
    ModelError
        For fewer than three estimates, or where all effects or all SEs are equal.

    References
    ----------
    Begg & Mazumdar 1994, doi:10.2307/2533446. Variance with ties: Kendall & Gibbons 1990, p. 66.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCD"), [0.1, 0.3, 0.4, 0.9], [0.1, 0.15, 0.25, 0.4], measure="SMD")
    >>> test = begg_test(trials)
    >>> round(test.estimate, 6), round(test.p, 4)
    (1.0, 0.0833)
    """
    require_null(effects.measure, "Begg's test")
    k = effects.k
    at_least_three(k, "Begg's test")
    notes = dependence_note(effects)
    w = effects.se**-2
    # sums over the other trials, never a difference of nearly equal numbers where one trial has all the weight
    before = np.concatenate([[0.0], np.cumsum(w)[:-1]])
    after = np.concatenate([np.cumsum(w[::-1])[::-1][1:], [0.0]])
    total = float(w.sum())
    residual = (effects.y[:, None] - effects.y[None, :]) @ w / total
    z = residual / (effects.se * ((before + after) / total) ** 0.5)
    pairs = np.triu_indices(k, 1)
    left = np.sign(z[pairs[0]] - z[pairs[1]])
    right = np.sign(effects.se[pairs[0]] - effects.se[pairs[1]])
    n_left, n_right = float(np.abs(left).sum()), float(np.abs(right).sum())
    if n_left == 0.0 or n_right == 0.0:
        which = "standardised effects" if n_left == 0.0 else "standard errors"
        raise ModelError(f"Begg's test: all {which} are equal, and a rank correlation is not defined.")
    score = float((left * right).sum())
    ties = n_left < len(left) or n_right < len(right)
    estimate = score / (n_left * n_right) ** 0.5
    stat: float | None
    if form == "exact" and not ties and k <= EXACT_UP_TO:
        concordant = round((score + len(left)) / 2.0)
        chance = kendall_distribution(k)
        stat, p = None, 2.0 * min(float(chance[: concordant + 1].sum()), float(chance[concordant:].sum()))
        notes += ("p is exact, over all orders of the trials",)
    else:
        if form == "exact":
            notes += (f"normal limit: {'there are ties' if ties else f'k > {EXACT_UP_TO}'}",)
        if form == "normal_corrected":
            score = np.sign(score) * (abs(score) - 1.0)
        stat = score / _score_variance(k, z, effects.se) ** 0.5
        p = 2.0 * float(special.ndtr(-abs(stat)))
    return AsymmetryTest(
        name="Begg",
        form=form,
        predictor="variance",
        level=0.95,
        k=k,
        estimate=estimate,
        se=None,
        lower=None,
        upper=None,
        stat=stat,
        df=None,
        p=min(1.0, p),
        notes=(*notes, "a rank correlation predicts no effect, and no interval is given for tau"),
    )


def _score_variance(k: int, *variables: FloatArray) -> float:
    """Variance of Kendall's score in random order, with ties in both variables."""
    t, u = (np.unique(values, return_counts=True)[1].astype(float) for values in variables)
    v0 = k * (k - 1.0) * (2.0 * k + 5.0)
    vt, vu = (float((c * (c - 1.0) * (2.0 * c + 5.0)).sum()) for c in (t, u))
    v1 = float((t * (t - 1.0)).sum() * (u * (u - 1.0)).sum())
    v2 = float((t * (t - 1.0) * (t - 2.0)).sum() * (u * (u - 1.0) * (u - 2.0)).sum())
    return (v0 - vt - vu) / 18.0 + v1 / (2.0 * k * (k - 1.0)) + v2 / (9.0 * k * (k - 1.0) * (k - 2.0))
