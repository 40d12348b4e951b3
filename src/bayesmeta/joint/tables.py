"""What a panel asks of several outcomes together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, fit
from bayesmeta.joint.sampling import JointFit, fit_joint
from bayesmeta.marginals import Draws
from bayesmeta.numerics import interval_ends
from bayesmeta.nuts import Settings
from bayesmeta.plan import Threshold
from bayesmeta.questions import required_threshold, summarize

__all__ = [
    "at_least_table",
    "borrowed_strength_table",
    "correlation_table",
    "without_harm_table",
    "working_correlation_table",
]

FloatArray = NDArray[np.float64]
_TARGETS = (("mean effect", "mu"), ("new study", "new"))


def _distances(joint: JointFit, thresholds: Mapping[str, Threshold | float]) -> tuple[FloatArray, FloatArray]:
    """Smallest important benefit and harm of every outcome, as positive distances; shape (O,) each."""
    lacking = [name for name in joint.names if name not in thresholds]
    if lacking:
        raise ModelError(f"no threshold for {', '.join(lacking)}. Give one per outcome.")
    items = [required_threshold(joint.fits[name], thresholds[name]) for name in joint.names]
    found = [(item.benefit_distance, item.worse_distance) for item in items]
    if not all(isinstance(value, (int, float)) for pair in found for value in pair):
        raise ModelError("joint probabilities need thresholds that are numbers, not ranges or distributions.")
    table = np.array(found, float)
    return table[:, 0], table[:, 1]


def correlation_table(joint: JointFit, *, level: float = LEVEL) -> pd.DataFrame:
    """Correlation of true effects between trials, for every two outcomes, in the direction of benefit.

    Returns
    -------
    pandas.DataFrame
        Columns ``first second trials median lower upper p_positive mcse level``; ``trials`` report both outcomes.
    """
    rows = []
    for i, first in enumerate(joint.names):
        for j in range(i + 1, len(joint.names)):
            form = Draws(joint.omega[i, j])
            lower, median, upper = form.quantile(interval_ends(level))
            both = set(joint.effects.trial[joint.effects.outcome == i]) & set(
                joint.effects.trial[joint.effects.outcome == j]
            )
            rows.append(
                {
                    "first": first,
                    "second": joint.names[j],
                    "trials": len(both),
                    "median": median,
                    "lower": lower,
                    "upper": upper,
                    "p_positive": float(form.sf(0.0)),
                    "mcse": form.mcse,
                    "level": level,
                }
            )
    return pd.DataFrame(rows)


def borrowed_strength_table(joint: JointFit, *, level: float = LEVEL) -> pd.DataFrame:
    """Borrowing between outcomes: every mean effect alone (exactly) and jointly.

    Returns
    -------
    pandas.DataFrame
        One row per outcome. Columns ``outcome trials alone alone_lower alone_upper joint joint_lower joint_upper shift
        width_ratio alone_tau joint_tau mcse level``. Medians and central intervals in the outcome's own direction;
        ``shift`` is the change of the posterior mean in posterior SDs of the analysis alone; ``width_ratio`` the width
        of the joint interval over that alone.
    """
    rows = []
    for name, part in joint.fits.items():
        alone = summarize(fit(part.effects, part.model), level=level)
        together = summarize(part, level=level)
        a, b = alone.loc["mu"], together.loc["mu"]
        rows.append(
            {
                "outcome": name,
                "trials": part.effects.n_trials,
                "alone": a["median"],
                "alone_lower": a["lower"],
                "alone_upper": a["upper"],
                "joint": b["median"],
                "joint_lower": b["lower"],
                "joint_upper": b["upper"],
                "shift": (b["mean"] - a["mean"]) / a["sd"],
                "width_ratio": (b["upper"] - b["lower"]) / (a["upper"] - a["lower"]),
                "alone_tau": alone.loc["tau", "median"],
                "joint_tau": together.loc["tau", "median"],
                "mcse": b["mcse"],
                "level": level,
            }
        )
    return pd.DataFrame(rows)


def at_least_table(joint: JointFit, thresholds: Mapping[str, Threshold | float]) -> pd.DataFrame:
    """Probability that at least m of the n outcomes benefit, for every m.

    Parameters
    ----------
    thresholds : mapping of str to Threshold or float
        Smallest important benefit of every outcome.

    Returns
    -------
    pandas.DataFrame
        Columns ``target at_least outcomes p_any_benefit p_important_benefit mcse if_independent``; ``if_independent``
        is what the important-benefit probabilities would give if the outcomes were independent.
    """
    benefit, _ = _distances(joint, thresholds)
    rows = []
    for target, attribute in _TARGETS:
        values = getattr(joint, attribute)
        any_count = (values > 0).sum(axis=0)
        important = values >= benefit[:, None, None]
        count = important.sum(axis=0)
        independent = _independent(important.mean(axis=(1, 2)))
        for m in range(1, len(joint.names) + 1):
            enough = Draws((count >= m).astype(float))
            rows.append(
                {
                    "target": target,
                    "at_least": m,
                    "outcomes": len(joint.names),
                    "p_any_benefit": float((any_count >= m).mean()),
                    "p_important_benefit": enough.mean,
                    "mcse": enough.mcse or 1.0 / enough.values.size,
                    "if_independent": float(independent[m:].sum()),
                }
            )
    return pd.DataFrame(rows)


def _independent(p: FloatArray) -> FloatArray:
    """Distribution of the number of successes of independent trials with probabilities p, shape (n + 1,)."""
    total = np.ones(1)
    for value in p:
        total = np.convolve(total, [1 - value, value])
    return total


def without_harm_table(joint: JointFit, thresholds: Mapping[str, Threshold | float]) -> pd.DataFrame:
    """Probability that an outcome benefits importantly and none is importantly worse.

    Returns
    -------
    pandas.DataFrame
        Columns ``target outcome p_important_benefit p_no_harm p_benefit_without_harm mcse``; the last row of each
        target, ``any``, is that at least one outcome benefits and none is worse.
    """
    benefit, worse = _distances(joint, thresholds)
    rows = []
    for target, attribute in _TARGETS:
        values = getattr(joint, attribute)
        safe = (values > -worse[:, None, None]).all(axis=0)
        helped = values >= benefit[:, None, None]
        for name, good in [*zip(joint.names, helped, strict=True), ("any", helped.any(axis=0))]:
            both = Draws((good & safe).astype(float))
            rows.append(
                {
                    "target": target,
                    "outcome": name,
                    "p_important_benefit": float(good.mean()),
                    "p_no_harm": float(safe.mean()),
                    "p_benefit_without_harm": both.mean,
                    "mcse": both.mcse or 1.0 / both.values.size,
                }
            )
    return pd.DataFrame(rows)


def working_correlation_table(
    joint: JointFit,
    effects: Mapping[str, Effects],
    correlations: Sequence[float] = (0.2, 0.5, 0.8),
    *,
    settings: Settings | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """How the answers move with the working correlation, which no trial reports.

    Returns
    -------
    pandas.DataFrame
        One row per correlation and outcome: ``correlation outcome mu lower upper tau mcse ok level``.
    """
    rows = []
    for value in correlations:
        same = value == joint.model.correlation
        other = (
            joint
            if same
            else fit_joint(
                effects, dataclasses.replace(joint.model, correlation=value), seed=joint.seed, settings=settings
            )
        )
        for name, part in other.fits.items():
            table = summarize(part, level=level)
            rows.append(
                {
                    "correlation": value,
                    "outcome": name,
                    "mu": table.loc["mu", "median"],
                    "lower": table.loc["mu", "lower"],
                    "upper": table.loc["mu", "upper"],
                    "tau": table.loc["tau", "median"],
                    "mcse": table.loc["mu", "mcse"],
                    "ok": other.ok,
                    "level": level,
                }
            )
    return pd.DataFrame(rows)
