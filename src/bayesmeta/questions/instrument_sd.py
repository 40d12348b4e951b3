"""The standard deviation of an instrument, from the arms of a table, with what is not known of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical import pool
from bayesmeta.columns import plural
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name
from bayesmeta.priors import LogNormal

__all__ = ["ReferenceSD", "reference_sd"]

FloatArray = NDArray[np.float64]
#: Scores whose SD is one of people; SDs of changes are smaller, by the correlation of the two times.
_SCORES = ("final", "baseline")
_REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class ReferenceSD:
    """A reference SD pooled over arms, its standard error, and how SDs differ between trials.

    Parameters
    ----------
    sd : float
        ``sqrt(sum (n - 1) sd^2 / sum (n - 1))`` over the arms.
    se : float
        Its standard error, with the variation between trials.
    between : float
        SD of the logarithms of the trials' true SDs (REML); 0 from one trial, where it cannot be known.
    df, arms : int
    trials : tuple of str
    left_out : tuple of str
        Rows that were not used, with the reason.

    Examples
    --------
    >>> found = ReferenceSD(10.0, 0.5, 0.12, 300, 6, ("A", "B", "C"))
    >>> found.amount
    lognormal(2.302585092994046, 0.13)
    """

    sd: float
    se: float
    between: float
    df: int
    arms: int
    trials: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def amount(self) -> LogNormal:
        """The SD in a population like those of the trials, log-normal around the pooled SD.

        Its variance on the log scale is that of the pooled SD's logarithm and that between trials.
        """
        return LogNormal(math.log(self.sd), math.hypot(self.se / self.sd, self.between))

    @property
    def source(self) -> str:
        """One sentence: how many arms of how many trials, and the range that holds 95 % of such SDs."""
        low, high = self.amount.ppf([0.025, 0.975])
        where = f"{plural(self.arms, 'arm')} of {plural(len(self.trials), 'trial')}, {self.df} degrees of freedom"
        return f"pooled over {where}: {self.sd:.1f}; 95 % of populations {low:.1f} to {high:.1f}"


def reference_sd(table: pd.DataFrame, instrument: str | None = None) -> ReferenceSD:
    r"""The standard deviation of an instrument over the arms of a table, for `bayesmeta.natural_answer`.

    Parameters
    ----------
    table : DataFrame
        One row per comparison, with columns ``study n_t sd_t n_c sd_c``; ``mean_t`` and ``mean_c`` where there are any.
        An arm that stands in several rows of a study (of the same number of people, SD and mean but for its sign)
        counts once. Column ``instrument`` says what was used; ``score`` whether it is a ``final``, ``baseline`` or
        ``change`` score, and ``sd_from`` whether the SD was ``reported`` or derived from something else (a standard
        error, an interval). Without these two columns every SD is taken to be a reported one of such scores.
    instrument : str, optional
        The rows that are used; default all.

    Returns
    -------
    ReferenceSD
        Change scores and derived SDs are left out, and named.

    Notes
    -----
    Where :math:`s_i` is the pooled SD of trial i with :math:`f_i` degrees of freedom, :math:`\log s_i` has bias
    :math:`(\psi(f_i/2) - \log(f_i/2))/2` and variance :math:`\psi'(f_i/2)/4` about the logarithm of the trial's true
    SD. True SDs are taken to be log-normal between trials; the variance :math:`\tau^2` of their logarithms is estimated
    by REML. The pooled SD weights trials by :math:`w_i = f_i/\sum f`, so that the variance of its logarithm is
    :math:`\sum w_i^2 (\tau^2 + 1/(2 f_i))`, which is :math:`1/(2 \sum f)` where trials do not differ.

    Raises
    ------
    ModelError
        For an instrument or a column that the table lacks, and where no arm is left.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"study": ["A", "B"], "n_t": [30, 41], "sd_t": [9.0, 11.0], "n_c": [30, 41],
    ...                       "sd_c": [10.0, 12.0], "instrument": "FACIT-Fatigue"})
    >>> found = reference_sd(table, "FACIT-Fatigue")
    >>> round(found.sd, 3), found.arms, found.df
    (10.717, 4, 138)
    """
    needed = ["study", "n_t", "sd_t", "n_c", "sd_c"]
    if missing := [name for name in needed if name not in table.columns]:
        raise ModelError(f"the table lacks the column {', '.join(missing)}. A reference SD needs {', '.join(needed)}.")
    rows = table
    if instrument is not None:
        if "instrument" not in table.columns:
            raise ModelError("the table lacks the column instrument, which says what each row was measured by.")
        name = find_name("instrument", instrument, dict.fromkeys(map(str, table["instrument"].dropna())))
        rows = table[table["instrument"] == name]
    rows, left_out = _usable(rows)
    arms: dict[tuple[str, int, float, float], None] = {}
    for row in rows.to_dict("records"):
        for side in ("t", "c"):
            mean = abs(float(row.get(f"mean_{side}", math.nan)))
            # without a mean, equal arms are not known to be one
            mark = mean if math.isfinite(mean) else -1.0 - len(arms)
            arms[(str(row["study"]), int(row[f"n_{side}"]), float(row[f"sd_{side}"]), mark)] = None
    bad = [f"{study}: n {n}, SD {sd:g}" for study, n, sd, _ in arms if not (n > 1 and sd > 0 and math.isfinite(sd))]
    if bad:
        raise ModelError(f"an arm needs two people and a positive SD: {'; '.join(bad)}.")
    if not arms:
        reasons = f" ({'; '.join(left_out)})" if left_out else ""
        raise ModelError(f"no arm is left for a reference SD{reasons}. State a published one with its source.")
    return _pooled(list(arms), left_out)


def _usable(rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows with reported SDs of final or baseline scores, and what the others are."""
    left_out = []
    for column, wanted in (("score", _SCORES), ("sd_from", (_REPORTED,))):
        if column in rows.columns:
            fits = rows[column].isin(wanted)
            left_out += [f"{study}: {column} {value}" for study, value in rows.loc[~fits, ["study", column]].to_numpy()]
            rows = rows[fits]
    return rows, tuple(dict.fromkeys(left_out))


def _pooled(arms: Sequence[tuple[str, int, float, float]], left_out: tuple[str, ...]) -> ReferenceSD:
    trials = tuple(dict.fromkeys(study for study, *_ in arms))
    f = np.array([sum(n - 1 for study, n, *_ in arms if study == trial) for trial in trials], float)
    squares = np.array([sum((n - 1) * sd**2 for study, n, sd, _ in arms if study == trial) for trial in trials])
    tau2 = 0.0
    if len(trials) > 1:
        log_sd = 0.5 * np.log(squares / f) - 0.5 * (special.digamma(f / 2) - np.log(f / 2))
        se = np.sqrt(special.polygamma(1, f / 2)) / 2
        tau2 = pool(Effects(trials, log_sd, se, measure="MD"), method="REML").tau2
    weight = f / f.sum()
    sd = math.sqrt(squares.sum() / f.sum())
    se_log = math.sqrt(float(np.sum(weight**2 * (tau2 + 0.5 / f))))
    return ReferenceSD(sd, sd * se_log, math.sqrt(tau2), int(f.sum()), len(arms), trials, left_out)
