"""Choose an engine, run it, check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from bayesmeta.effects import Effects
from bayesmeta.errors import Check, ModelError
from bayesmeta.model import Model
from bayesmeta.outcome import Outcome
from bayesmeta.quadrature import TOLERANCE, solve
from bayesmeta.result import Fit

__all__ = ["Engine", "fit"]

Engine = Literal["auto", "exact"]


def fit(
    effects: Effects,
    model: Model,
    *,
    engine: Engine = "auto",
    seed: int = 1,
    outcome: Outcome | None = None,
    analysis: str = "pooled",
    hashes: Mapping[str, str] | None = None,
) -> Fit:
    """Fit a model to effects.

    Parameters
    ----------
    effects : Effects
    model : Model
    engine : {"auto", "exact"}
        ``"auto"`` is the exact engine wherever it covers the model.
    seed : int
        Seed of the draws in ``Fit.tree``; no summary depends on it.
    outcome, analysis, hashes
        What was asked, carried along for tables and files.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        Where the posterior is improper, or the model is beyond the engine; the message says which and what to do.
    InferenceError
        Where the integral does not settle to 1e-8.

    Notes
    -----
    Given tau the model is Gaussian; one integral over tau remains, taken by nested Clenshaw-Curtis rules that are
    doubled until log evidence, moments and tail probabilities agree to 1e-8.

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal, Normal
    >>> effects = Effects(["A", "B", "C"], [-0.4, -0.1, -0.3], [0.2, 0.1, 0.2], measure="SMD", better="lower")
    >>> fitted = fit(effects, Model(mu=Normal(0, 1), tau=HalfNormal(0.5)))
    >>> fitted.ok, round(fitted.log_evidence, 4)
    (True, -1.4755)
    """
    if engine not in get_args(Engine):
        raise ModelError(f"unknown engine {engine!r}. Allowed: {', '.join(get_args(Engine))}.")
    quadrature = solve(effects, model)
    checks = (
        Check(
            "quadrature error",
            quadrature.error <= TOLERANCE,
            quadrature.error,
            TOLERANCE,
            "Largest relative difference between nested rules. Use a smoother prior if it fails.",
        ),
    )
    return Fit(effects, model, "exact", checks, seed, quadrature, outcome, analysis, dict(hashes or {}))
