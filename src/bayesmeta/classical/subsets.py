"""The pooled effect in every subset of the trials, to see whether the answer hangs on some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.refits import refit
from bayesmeta.classical.rows import FloatArray, effect_rows
from bayesmeta.classical.tau2 import Tau2Method
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = ["Subsets", "gosh", "gosh_summary", "gosh_table"]

BoolArray = NDArray[np.bool_]
# beyond this many trials a subset has no number in 64 bits; random subsets are drawn as rows of bits there
NUMBERED = 62


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Subsets(ClassicalResult):
    """Fits of m subsets of n trials. Numbers that are not defined are nan.

    Attributes
    ----------
    trials : tuple of str, length n
        Units that are in or out together (``Effects.units``).
    member : ndarray of bool, shape (m, n)
        Trials of each subset.
    k : ndarray of int, shape (m,)
        Number of estimates.
    estimate, tau, i2, h2, q : ndarray, shape (m,)
        Mean effect; SD between trials; I2 in percent and H2 (from tau2, from Q for EE); Cochran's Q. tau, I2 and H2 of
        one estimate are nan.
    method : str
    exhaustive : bool
        Every subset of at least one trial, else a random sample without repetition.
    total : int
        How many subsets there are.
    seed : int or None
        Of the sample; None where every subset was fitted.
    notes : tuple of str
    """

    trials: tuple[str, ...]
    member: BoolArray
    k: NDArray[np.intp]
    estimate: FloatArray
    tau: FloatArray
    i2: FloatArray
    h2: FloatArray
    q: FloatArray
    method: Tau2Method
    exhaustive: bool
    total: int
    seed: int | None
    notes: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """One line per subset: ``subset trials k estimate tau2 tau i2 h2 q note``.

        ``subset`` lists its members as text of 0 and 1 in the order of ``Subsets.trials``.
        """
        bits = np.where(self.member, "1", "0")
        alone = self.k == 1
        undefined = np.isnan(self.tau) & ~alone
        note = np.where(alone, "one estimate: how trials differ is not known", "")
        return pd.DataFrame(
            {
                "subset": ["".join(line) for line in bits],
                "trials": self.member.sum(axis=1),
                "k": self.k,
                "estimate": self.estimate,
                "tau2": self.tau**2,
                "tau": self.tau,
                "i2": self.i2,
                "h2": self.h2,
                "q": self.q,
                "note": np.where(undefined, "tau2 is not identified from these rows", note),
            }
        )


@on_effects()
def gosh(
    effects: Effects,
    *,
    method: Tau2Method = "REML",
    max_subsets: int = 200_000,
    seed: int = 1,
    rho: float = 0.5,
) -> Subsets:
    """Pool every subset of the trials: all ``2^n - 1`` of at least one trial, in the order of their size, as metafor.

    With more than `max_subsets` of them, a seeded sample of that many *distinct* subsets: each trial is in with
    probability one half, independently. (metafor's sample may repeat subsets.)

    Parameters
    ----------
    effects : Effects
        Rows of one trial, and trials that share patients, are in or out together.
    method : {"EE", "DL", "PM", "EB", "REML", "ML", "HE", "HS", "SJ"}
    max_subsets : int
    seed : int
        Used only where a sample is drawn.
    rho : float
        Correlation of the true effects of rows in one block.

    Returns
    -------
    Subsets

    Raises
    ------
    ModelError
        With fewer than two trials, or `max_subsets` below 1.

    References
    ----------
    Olkin, Dahabreh & Trikalinos 2012, doi:10.1002/jrsm.1053. Agrees with ``gosh`` of R metafor; where a likelihood has
    several maxima the highest is reported here.

    Examples
    --------
    >>> trials = bm.Effects(study=list("ABC"), y=[0.0, 1.0, 5.0], se=[0.5, 0.5, 0.5], measure="MD")
    >>> found = gosh(trials, method="DL")
    >>> found.exhaustive, found.estimate.round(4).tolist()
    (True, [0.0, 1.0, 5.0, 0.5, 2.5, 3.0, 2.0])
    """
    if max_subsets < 1:
        raise ModelError(f"max_subsets = {max_subsets}: at least 1.")
    names, unit = effects.units
    n = len(names)
    if n < 2:
        raise ModelError(f"subsets need at least two trials; there is {n} ({names[0]}).")
    total = 2**n - 1
    exhaustive = total <= max_subsets
    if exhaustive:
        member = _bits(np.arange(1, total + 1, dtype=np.int64), n)
    else:
        member = _sample(n, max_subsets, np.random.default_rng(seed))
    member = member[np.argsort(member.sum(axis=1), kind="stable")]
    rows = effect_rows(effects, rho=rho)
    fits = refit(rows, member[:, unit], method)
    estimate = fits.estimate[:, 0].copy()
    # one estimate is its own mean, whatever the method
    alone = np.flatnonzero(fits.k == 1)
    first = np.argmax(member[alone][:, unit], axis=1)
    estimate[alone] = effects.y[first]
    several = fits.k > 1
    notes = () if exhaustive else (f"a random sample of {len(member)} of {total} subsets, seed {seed}",)
    return Subsets(
        trials=names,
        member=member,
        k=fits.k,
        estimate=estimate,
        tau=np.where(several, np.sqrt(fits.tau2), np.nan),
        i2=np.where(several, fits.i2, np.nan),
        h2=np.where(several, fits.h2, np.nan),
        q=fits.q,
        method=method,
        exhaustive=exhaustive,
        total=total,
        seed=None if exhaustive else seed,
        notes=notes,
    )


@on_effects()
def gosh_table(
    effects: Effects,
    *,
    method: Tau2Method = "REML",
    max_subsets: int = 200_000,
    seed: int = 1,
    rho: float = 0.5,
) -> pd.DataFrame:
    """`gosh` as a table: one line per subset.

    Parameters
    ----------
    effects, method, max_subsets, seed, rho
        As in `gosh`.

    Returns
    -------
    pandas.DataFrame
        ``subset trials k estimate tau2 tau i2 h2 q note``. Where `gosh` is not defined there are no lines and
        ``attrs["note"]`` says why; else that holds what should be known of the sample.

    Examples
    --------
    >>> trials = bm.Effects(study=list("AB"), y=[0.0, 1.0], se=[0.5, 0.5], measure="MD")
    >>> gosh_table(trials, method="EE")[["subset", "estimate"]].round(4).values.tolist()
    [['10', 0.0], ['01', 1.0], ['11', 0.5]]
    """
    columns = ["subset", "trials", "k", "estimate", "tau2", "tau", "i2", "h2", "q", "note"]
    try:
        found = gosh(effects, method=method, max_subsets=max_subsets, seed=seed, rho=rho)
    except ModelError as error:
        table = pd.DataFrame(columns=columns)
        table.attrs["note"] = str(error)
        return table
    table = found.table()
    table.attrs["note"] = "; ".join(found.notes)
    return table


def gosh_summary(subsets: Subsets, *, null: float = 0.0) -> pd.DataFrame:
    """What each trial does to the mean effect and to heterogeneity over all subsets.

    Parameters
    ----------
    subsets : Subsets
        From `gosh`.
    null : float
        The effect that means nothing, on the analysis scale.

    Returns
    -------
    pandas.DataFrame
        One line per trial: ``trial with_subsets without_subsets with_estimate without_estimate difference
        with_below_null without_below_null with_i2 without_i2 note``: medians of the estimates and of I2 over subsets
        with and without the trial, and the shares of their estimates below `null`. Subsets of one estimate count for
        the estimates, not for I2.

    Examples
    --------
    >>> trials = bm.Effects(study=list("ABC"), y=[0.0, 1.0, 5.0], se=[0.5, 0.5, 0.5], measure="MD")
    >>> table = gosh_summary(gosh(trials, method="DL"))
    >>> table[["trial", "with_estimate", "without_estimate"]].round(4).values.tolist()
    [['A', 1.25, 3.0], ['B', 1.5, 2.5], ['C', 2.75, 0.5]]
    """
    lines = []
    for number, trial in enumerate(subsets.trials):
        line: dict[str, object] = {"trial": trial}
        inside = subsets.member[:, number]
        for name, which in (("with", inside), ("without", ~inside)):
            estimate, i2 = subsets.estimate[which], subsets.i2[which]
            estimate, i2 = estimate[~np.isnan(estimate)], i2[~np.isnan(i2)]
            line[f"{name}_subsets"] = int(which.sum())
            line[f"{name}_estimate"] = float(np.median(estimate)) if estimate.size else np.nan
            line[f"{name}_below_null"] = float((estimate < null).mean()) if estimate.size else np.nan
            line[f"{name}_i2"] = float(np.median(i2)) if i2.size else np.nan
        line["difference"] = float(line["with_estimate"]) - float(line["without_estimate"])  # type: ignore[arg-type]
        empty = [name for name in ("with", "without") if np.isnan(line[f"{name}_i2"])]  # type: ignore[call-overload]
        line["note"] = f"no subset of two estimates {' or '.join(empty)} this trial" if empty else ""
        lines.append(line)
    order = [f"{name}_{what}" for what in ("subsets", "estimate") for name in ("with", "without")]
    order += ["difference"] + [f"{name}_{what}" for what in ("below_null", "i2") for name in ("with", "without")]
    return pd.DataFrame(lines)[["trial", *order, "note"]]


def _bits(numbers: NDArray[np.int64], n: int) -> BoolArray:
    return (numbers[:, None] >> np.arange(n) & 1).astype(bool)


def _sample(n: int, size: int, rng: np.random.Generator) -> BoolArray:
    """Distinct subsets, each trial in with probability one half, none empty."""
    if n <= NUMBERED and 2**n <= 4 * size:
        # most subsets are wanted: drawing until enough are new would take long
        return _bits(np.sort(rng.choice(2**n - 1, size, replace=False)).astype(np.int64) + 1, n)
    found = np.zeros((0, n), bool)
    while len(found) < size:
        drawn = rng.integers(0, 2, (size - len(found) + 8, n), dtype=np.int8).astype(bool)
        drawn = drawn[drawn.any(axis=1)]
        both = np.concatenate([found, drawn])
        _, first = np.unique(np.packbits(both, axis=1), axis=0, return_index=True)
        found = both[np.sort(first)]
    return found[:size]
