"""Choose an engine, run it, check it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import Check, ModelError, find_name
from bayesmeta.exact import (
    TOLERANCE,
    ExactPosterior,
    NodePosterior,
    OneArmPosterior,
    build_problem,
    predict_rows,
    solve,
    solve_all,
    solve_one_arm,
    why_unsupported,
)
from bayesmeta.fits.result import Fit
from bayesmeta.model import Model
from bayesmeta.plan import Outcome

if TYPE_CHECKING:
    from bayesmeta.nuts import Settings

__all__ = ["Engine", "exactly", "fit", "fit_many", "predict_left_out"]

Engine = Literal["auto", "exact", "nuts", "both"]


def fit(
    effects: Effects,
    model: Model,
    *,
    engine: Engine = "auto",
    seed: int = 1,
    outcome: Outcome | None = None,
    analysis: str = "pooled",
    hashes: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> Fit:
    """Fit a model to effects.

    Parameters
    ----------
    effects : Effects
    model : Model
    engine : {"auto", "exact", "nuts", "both"}
        ``"auto"`` is the exact engine wherever it covers the model, else NUTS. ``"both"`` gives the exact fit with the
        sampled one as its ``second``, and a check that they agree (see `agreement_table`).
    seed : int
        Seed of the draws; no summary of an exact fit depends on it.
    outcome, analysis, hashes
        Stored with the fit for tables and files.
    settings : Settings, optional
        How the sampler is run (`bayesmeta.Settings`).

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        Where the posterior is improper, or the model is beyond the engine; the message says which and what to do.
    InferenceError
        Where the integral does not settle to 1e-8, or sampling does not start.

    Notes
    -----
    Exact: given the standard deviations the model is Gaussian; the integrals over them are taken by nested
    Clenshaw-Curtis rules that are doubled until log evidence, moments and tail probabilities agree to 1e-8.
    NUTS: a fit whose draws fail a check is returned with that check, never silently.

    Examples
    --------
    >>> fitted = bm.fit(effects, bm.Model(mu=bm.Normal(0, 1), tau=bm.HalfNormal(0.5)))
    >>> fitted.ok, fitted.log_evidence == fit.log_evidence
    (True, True)
    """
    engine = cast(Engine, find_name("engine", engine, get_args(Engine)))
    described = {"outcome": outcome, "analysis": analysis, "hashes": dict(hashes or {})}
    beyond = why_unsupported(effects, model) if engine != "exact" else None
    if engine == "both" and beyond is not None:
        raise ModelError(
            f"the exact engine does not cover this model ({beyond}), so there is nothing to compare. Use engine='nuts'."
        )
    if engine == "nuts" and beyond is None:
        # what is improper, or has no meaning, is refused whoever would answer: draws of it may look converged
        _exact(effects, model) if model.likelihood == "binomial" else build_problem(effects, model)
    if engine == "nuts" or beyond is not None:
        return _sampled(effects, model, seed, settings, described)
    posterior = _exact(effects, model)
    checks = _checks(posterior.nodes)
    exact = Fit(effects, model, "exact", checks, seed, posterior, **described)  # type: ignore[arg-type]
    if engine != "both":
        return exact
    from bayesmeta.fits.agreement import agreement_check

    second = _sampled(effects, model, seed, settings, described)
    agreed = agreement_check(exact, second)
    return dataclasses.replace(exact, checks=(*checks, *second.checks, agreed), second=second)


def fit_many(tasks: Sequence[tuple[Effects, Model]], *, outcome: Outcome | None = None) -> list[Fit | ModelError]:
    """Fit many models: the fits that `fit` would give one by one, in a fraction of the time where they are exact.

    Refits that differ in a prior or in a few rows take the same steps, and take them together.

    Parameters
    ----------
    tasks : sequence of (Effects, Model)
    outcome : Outcome, optional
        The outcome of all of them.

    Returns
    -------
    list of Fit or ModelError
        In the order of the tasks; where a posterior is improper, or a model is not one that can be fitted, the error
        that says so stands in its place.

    Raises
    ------
    InferenceError
        Where an integral does not settle to 1e-8.

    Examples
    --------
    >>> found = bm.fit_many([(effects, bm.Model(bm.Flat(), tau)) for tau in (model.tau, bm.HalfNormal(1), None)])
    >>> [round(item.quadrature.error, 6) for item in found]
    [0.0, 0.0, 0.0]
    """
    found: list[Fit | ModelError | None] = []
    covered: list[tuple[Effects, Model]] = []
    for effects, model in tasks:
        try:
            if why_unsupported(effects, model) is None and model.likelihood == "normal":
                covered.append((effects, model))
                found.append(None)
            else:
                found.append(fit(effects, model, outcome=outcome))
        except ModelError as error:
            found.append(error)
    solved = iter(solve_all(covered))
    given: list[Fit | ModelError] = []
    for (effects, model), other in zip(tasks, found, strict=True):
        item = next(solved) if other is None else other
        if isinstance(item, NodePosterior):
            item = Fit(effects, model, "exact", _checks(item), 1, ExactPosterior(effects, model, item), outcome)
        given.append(item)
    return given


def _exact(effects: Effects, model: Model) -> ExactPosterior:
    """The posterior on nodes, by the likelihood that the model states."""
    if model.likelihood == "binomial":
        if effects.counts is None:
            raise ModelError("the binomial likelihood needs counts: events and participants (Effects.counts).")
        return OneArmPosterior(effects, model, solve_one_arm(effects, model))
    return ExactPosterior(effects, model, solve(effects, model))


def exactly(fit: Fit, what: str) -> Fit:
    """The fit, for a question that is answered by exact refits.

    Parameters
    ----------
    what : str
        Asks the question; begins the message.

    Raises
    ------
    ModelError
        For a fit that the exact engine did not make.
    """
    if not fit.exact:
        raise ModelError(f"{what}: answered by exact refits, and this fit is by draws. Fit with engine='exact'.")
    return fit


def predict_left_out(rest: Fit, left: Effects, X: NDArray[np.float64]) -> tuple[float, float]:
    """Predict rows that were not fitted: their joint log density, and the p-value of their inverse-variance mean.

    Of counts it is the log probability of the trial's events, and twice the smaller probability of so many or fewer, or
    so many or more, at most 1.

    Parameters
    ----------
    rest : Fit
        Exact, of the other rows.
    left : Effects
    X : array of shape (rows, p)
        Of the design of ``rest``.

    Raises
    ------
    ModelError
        With a truncated coefficient, for a fit by draws, and for two rows of counts in one trial.
    """
    posterior = exactly(rest, "leave-one-out").posterior
    if isinstance(posterior, OneArmPosterior):
        return posterior.predict_events(left)
    nodes = rest.quadrature
    if nodes.problem.cut is not None:
        raise ModelError("leave-one-out is not available with a truncated or uniform prior; use a normal prior.")
    return predict_rows(nodes, left, X, rest.model.rho)


def _checks(quadrature: NodePosterior) -> tuple[Check, ...]:
    return (
        Check(
            "quadrature error",
            quadrature.error <= TOLERANCE,
            quadrature.error,
            TOLERANCE,
            "Largest relative difference between nested rules. Use a smoother prior if it fails.",
        ),
    )


def _sampled(
    effects: Effects, model: Model, seed: int, settings: Settings | None, described: Mapping[str, object]
) -> Fit:
    from bayesmeta.nuts import run_nuts

    drawn, checks = run_nuts(effects, model, seed=seed, settings=settings)
    return Fit(effects, model, "nuts", checks, seed, drawn, **described)  # type: ignore[arg-type]
