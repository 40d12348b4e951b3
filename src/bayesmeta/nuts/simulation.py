"""Prior and posterior predictive simulation: parameters, study effects and data in turn.

Prior predictive checks and simulation-based calibration rest on it, and it shares no step with the engines that run the
model backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.model import Model, OutlierEffects, StudentEffects
from bayesmeta.nuts.collapsed import estimates, spreads
from bayesmeta.nuts.rows import HierarchicalRows, control_arms, effect_factor
from bayesmeta.priors import Cauchy, LogStudentT, Prior, StudentT, Truncated, resolve

__all__ = [
    "PriorPredictive",
    "crude_effect",
    "is_proper",
    "log_priors",
    "mix_tau",
    "new_study",
    "priors_of",
    "sample_posterior_predictive",
    "sample_prior_predictive",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PriorPredictive:
    """N prior predictive data sets.

    Attributes
    ----------
    parameters : mapping
        As `hierarchy.condition` takes them.
    theta : array of shape (k, N)
    y : array of shape (k, N)
        Estimates that the trials would report; for counts the events of the treated arm.
    controls : array of shape (arms, N) or None
        Events of each control arm.
    """

    parameters: Mapping[str, FloatArray]
    theta: FloatArray
    y: FloatArray
    controls: FloatArray | None = None


def priors_of(h: HierarchicalRows) -> list[Prior]:
    """Every prior that the model states."""
    model = h.model
    found: list[Prior | None] = [model.tau, model.cluster_tau, model.baseline, *model.derived.values()]
    found += [] if h.spread is None else h.spread.priors.values()
    for term in h.design.terms:
        found += [term.prior, term.sd, term.total]
    return [prior for prior in found if prior is not None]


def is_proper(h: HierarchicalRows) -> bool:
    """Whether data sets can be drawn: every prior is proper (those that could be improper are checked here)."""
    return all(prior.proper for prior in priors_of(h))


def _draw(prior: Prior, size: int | tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    return np.asarray(prior.ppf(rng.random(size)), float)


def _coefficients(h: HierarchicalRows, size: int, rng: np.random.Generator) -> tuple[FloatArray, dict[str, FloatArray]]:
    beta = np.empty((h.design.p, size))
    extra: dict[str, FloatArray] = {}
    for number, term in enumerate(h.design.terms):
        scale = h.design.prior_scale[term.columns][:, None]
        if term.prior is not None:
            kernel = resolve(term.prior)
            if term.width > 1 and kernel.name in ("studentt", "cauchy"):
                # levels share the mixing scale, as in the engines
                df = getattr(kernel, "df", 1.0)
                mixing = np.sqrt(rng.chisquare(df, size) / df)
                beta[term.columns] = scale * kernel.scale * rng.standard_normal((term.width, size)) / mixing  # type: ignore[attr-defined]
            else:
                beta[term.columns] = scale * _draw(term.prior, (term.width, size), rng)
        elif term.sd is not None:
            extra[f"sd{number}"] = _draw(term.sd, size, rng)
            beta[term.columns] = scale * extra[f"sd{number}"] * rng.standard_normal((term.width, size))
        elif term.total is not None:
            shares = rng.dirichlet(np.ones(term.width), size).T
            beta[term.columns] = _draw(term.total, size, rng) * shares
    return beta, extra


def sample_prior_predictive(h: HierarchicalRows, size: int, rng: np.random.Generator) -> PriorPredictive:
    """Draw N prior predictive data sets; all priors must be proper.

    Parameters
    ----------
    h : HierarchicalRows
        Its estimates are ignored; its standard errors, arms and stated moderators are kept.
    """
    model = h.model
    beta, extra = _coefficients(h, size, rng)
    draws: dict[str, FloatArray] = {"coefficients": beta, **extra}
    draws["tau"] = np.zeros(size) if model.tau is None else _draw(model.tau, size, rng)
    if h.spread is not None:
        draws |= {name: _draw(prior, size, rng) for name, prior in h.spread.priors.items()}
        draws["tau"] = mix_tau(h, draws)
    if model.cluster_tau is not None:
        draws["tau_within"] = _draw(model.cluster_tau, size, rng)
    if isinstance(model.random, StudentEffects):
        draws["df"] = _draw(model.random.df, size, rng)
    if isinstance(model.random, OutlierEffects):
        draws["share"], draws["extra"] = _draw(model.random.share, size, rng), _draw(model.random.extra, size, rng)
    for name, prior in model.derived.items():
        draws[name] = _draw(prior, size, rng)
    for item in h.imputed:
        mean, sd = _draw(item.population.mean, size, rng), _draw(item.population.sd, size, rng)
        x = mean + item.population.shift + sd * rng.standard_normal((len(item.trials), size))
        draws[f"missing[{item.name}]"] = np.exp(x) if item.population.family == "lognormal" else x
    for levels in h.levels:
        draws[f"levels[{levels.name}]"] = rng.dirichlet(
            np.full(levels.counts.size, levels.population.concentration), size
        ).T
    if model.missing_sd is not None:
        mean, sd = _draw(model.missing_sd.meanlog, size, rng), _draw(model.missing_sd.sdlog, size, rng)
        draws["sd"] = np.exp(mean + sd * rng.standard_normal((h.sd_rows.size, size)))
    return _binomial(h, draws, rng) if model.likelihood == "binomial" else _normal(h, draws, rng)


def mix_tau(h: HierarchicalRows, draws: Mapping[str, FloatArray]) -> FloatArray:
    """The tau of a new study: averaged over the levels of the rows, as a variance; along a line that at its middle."""
    if h.spread is None or h.spread.z is not None:
        return draws["tau"]
    first = [int(np.flatnonzero(h.row == row)[0]) for row in range(h.effects.k)]
    return np.sqrt(np.square(h.spread.taus(draws)[first]).mean(axis=0))


def _normal(h: HierarchicalRows, draws: dict[str, FloatArray], rng: np.random.Generator) -> PriorPredictive:
    size = draws["tau"].size
    eta = h.X @ draws["coefficients"]
    for item in h.imputed:
        x = draws[f"missing[{item.name}]"]
        eta = eta + item.place @ ((x - item.centre) / item.per) * draws["coefficients"][item.column]
    if isinstance(h.model.random, StudentEffects):
        # rows of one unit share their mixing scale
        scale = draws["df"] / rng.chisquare(draws["df"], (len(h.units), size))
        own = h.b[:, None] * draws["tau"] ** 2 * scale[h.row_unit]
    elif isinstance(h.model.random, OutlierEffects):
        spread = spreads(h, draws)
        own = np.where((rng.random((len(h.units), size)) < draws["share"])[h.row_unit], spread[1], spread[0])
    else:
        own = spreads(h, draws)[0]
    deviation = np.sqrt(own) * rng.standard_normal(eta.shape)
    if h.cluster is not None:
        deviation = (
            deviation + h.cluster[:, None] * (draws["tau"] * rng.standard_normal((h.unit.size, size)))[h.scenario]
        )
    if h.spread is not None:
        taus = h.spread.taus(draws)
        for members, _ in h.spread.mixed:
            R = np.full((members.size, members.size), h.model.rho)
            np.fill_diagonal(R, 1.0 + 1e-12)
            deviation[members] = taus[members] * (np.linalg.cholesky(R) @ rng.standard_normal((members.size, size)))
    _, a, _ = estimates(h, draws, size)
    noise = _sampling_errors(h, a, rng, size)
    theta = eta + h.unrotate(deviation)
    y = theta + h.unrotate(noise)
    chosen = _chosen_scenarios(h, draws, rng)
    k = h.effects.k
    result = np.empty((2, k, size))
    taken = chosen[h.row_unit] == h.scenario[:, None]
    for e, row in enumerate(h.row.tolist()):
        result[0, row, taken[e]], result[1, row, taken[e]] = theta[e, taken[e]], y[e, taken[e]]
    return PriorPredictive(draws, result[0], result[1])


def _sampling_errors(h: HierarchicalRows, a: FloatArray, rng: np.random.Generator, size: int) -> FloatArray:
    """Errors of the rows of h, rotated, shape (E, N)."""
    noise = rng.standard_normal((h.row.size, size))
    errors = np.sqrt(np.broadcast_to(a, noise.shape)) * noise
    for members, S in h.spread.mixed if h.spread is not None else ():
        errors[members] = np.linalg.cholesky(S) @ noise[members]
    return errors


def _chosen_scenarios(
    h: HierarchicalRows, draws: Mapping[str, FloatArray], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Scenario of every unit in every data set, shape (units, N)."""
    size = draws["tau"].size
    log_p = np.zeros((h.unit.size, size))
    for item in h.levels:
        moved = np.log(draws[f"levels[{item.name}]"]) + item.shift[:, None]
        moved = moved - special.logsumexp(moved, axis=0)
        for position in range(len(item.trials)):
            taken = item.taken[:, position]
            log_p += np.where((taken >= 0)[:, None], moved[taken], 0.0)
    gumbel = log_p - np.log(-np.log(rng.random(log_p.shape)))
    return np.array(
        [np.flatnonzero(h.unit == number)[gumbel[h.unit == number].argmax(axis=0)] for number in range(len(h.units))]
    )


def _binomial(h: HierarchicalRows, draws: dict[str, FloatArray], rng: np.random.Generator) -> PriorPredictive:
    effects, baseline = h.effects, h.model.baseline
    assert effects.counts is not None
    size = draws["tau"].size
    if h.one_arm:
        theta = h.X @ draws["coefficients"] + draws["tau"] * rng.standard_normal((effects.k, size))
        draws["theta"] = theta
        return PriorPredictive(draws, theta, _one_arm_events(h, theta, rng))
    assert baseline is not None
    controls, arm = control_arms(effects)
    draws["baseline"] = _draw(baseline, (controls.shape[0], size), rng)
    factor = effect_factor(h)
    z = rng.standard_normal((effects.k, size))
    theta = h.X @ draws["coefficients"] + draws["tau"] * (z if factor is None else factor @ z)
    draws["theta"] = theta
    events = rng.binomial(
        effects.counts[:, 1, None].astype(int), treated_risk(effects.measure, draws["baseline"][arm], theta)
    )
    in_control = rng.binomial(controls[:, 1, None].astype(int), special.expit(draws["baseline"]))
    return PriorPredictive(draws, theta, events.astype(float), in_control.astype(float))


def _one_arm_events(h: HierarchicalRows, theta: FloatArray, rng: np.random.Generator) -> FloatArray:
    assert h.effects.counts is not None
    return rng.binomial(h.effects.counts[:, 1, None].astype(int), special.expit(theta)).astype(float)


def treated_risk(measure: str, alpha: FloatArray, theta: FloatArray) -> FloatArray:
    """Risk in the treated arm from the control's log odds and the effect, kept between 0 and 1."""
    if measure == "OR":
        return special.expit(alpha + theta)
    risk = special.expit(alpha) * np.exp(theta) if measure == "RR" else special.expit(alpha) + theta
    return np.clip(risk, 0.0, 1.0)


def sample_posterior_predictive(
    h: HierarchicalRows, theta: FloatArray, draws: Mapping[str, FloatArray], rng: np.random.Generator
) -> FloatArray:
    """Estimates that the same trials would report again, given their study effects, shape (k, N).

    For counts, the log odds ratio, log risk ratio or risk difference of replicated counts, with one half added to every
    cell of a table that holds a zero, as the observed ones are shown.
    """
    effects = h.effects
    size = theta.shape[1]
    if h.one_arm:
        assert effects.counts is not None
        x, n = _one_arm_events(h, theta, rng), effects.counts[:, 1, None]
        half = np.where((x == 0) | (x == n), 0.5, 0.0)
        return np.log((x + half) / (n - x + half))
    if h.model.likelihood == "binomial":
        assert effects.counts is not None
        controls, arm = control_arms(effects)
        events = rng.binomial(
            effects.counts[:, 1, None].astype(int), treated_risk(effects.measure, draws["baseline"][arm], theta)
        )
        in_control = rng.binomial(controls[:, 1, None].astype(int), special.expit(draws["baseline"]))[arm]
        return crude_effect(effects.measure, events, effects.counts[:, 1, None], in_control, effects.counts[:, 3, None])
    _, a, _ = estimates(h, draws, size)
    first = np.array([np.flatnonzero(h.row == row)[0] for row in range(effects.k)])
    return theta + h.unrotate(_sampling_errors(h, a, rng, size))[first]


def crude_effect(measure: str, x_t: FloatArray, n_t: FloatArray, x_c: FloatArray, n_c: FloatArray) -> FloatArray:
    """Crude effect of counts on the analysis scale, halves added where a table holds a zero."""
    zero = (x_t == 0) | (x_c == 0) | (x_t == n_t) | (x_c == n_c)
    half = np.where(zero, 0.5, 0.0)
    a, b, c, d = x_t + half, n_t - x_t + half, x_c + half, n_c - x_c + half
    if measure == "OR":
        return np.log(a * d / (b * c))
    return np.log(a / (a + b) * (c + d) / c) if measure == "RR" else x_t / n_t - x_c / n_c


def new_study(model: Model, draws: Mapping[str, FloatArray], rng: np.random.Generator) -> dict[str, FloatArray]:
    """Deviation of a new study from its mean at every draw, by name.

    ``theta_new`` is the effect that one estimate of a new study is about; ``theta_trial``, where rows are in clusters,
    the mean effect of a new trial.
    """
    tau = draws["tau"]
    z = rng.standard_normal(tau.size)
    if isinstance(model.random, StudentEffects):
        return {"theta_new": tau * z / np.sqrt(rng.chisquare(draws["df"]) / draws["df"])}
    if isinstance(model.random, OutlierEffects):
        wide = rng.random(tau.size) < draws["share"]
        return {"theta_new": np.where(wide, np.hypot(tau, draws["extra"]), tau) * z}
    if model.cluster_tau is not None:
        return {"theta_new": tau * z + draws["tau_within"] * rng.standard_normal(tau.size), "theta_trial": tau * z}
    return {"theta_new": tau * z}


def log_priors(h: HierarchicalRows, coefficients: FloatArray, sds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Log prior density of each stated prior at draws, for the power-scaling of one prior at a time.

    Parameters
    ----------
    coefficients : array of shape (p, N)
    sds : mapping of str to array of shape (N,)
        ``tau`` and, where there are, ``tau_within``, ``sd[...]``, ``df``, ``share``, ``extra`` and derived numbers.

    Returns
    -------
    dict
        By the same names, ``mu`` and ``beta[term]``, shape (N,); improper priors are left out.
    """
    model = h.model
    found: dict[str, FloatArray] = {}
    for term in h.design.terms:
        own = coefficients[term.columns]
        if term.prior is not None and term.prior.proper:
            name = "mu" if term.name == "mu" else f"beta[{term.name}]"
            found[name] = _term_density(resolve(term.prior), own / h.design.prior_scale[term.columns][:, None])
        if term.total is not None:
            found[f"beta[{term.name}]"] = np.asarray(resolve(term.total).logpdf(own.sum(axis=0)))
        if term.sd is not None and f"sd[{term.name}]" in sds:
            found[f"sd[{term.name}]"] = np.asarray(resolve(term.sd).logpdf(sds[f"sd[{term.name}]"]))
    scalars: dict[str, Prior | None] = {"tau": model.tau, "tau_within": model.cluster_tau, **model.derived}
    if h.spread is not None:
        scalars = {**scalars, "tau": None, **h.spread.priors}
    if isinstance(model.random, StudentEffects):
        scalars["df"] = model.random.df
    if isinstance(model.random, OutlierEffects):
        scalars |= {"share": model.random.share, "extra": model.random.extra}
    for name, prior in scalars.items():
        if prior is None or not prior.proper:
            continue
        kernel = resolve(prior)
        # a density that is unbounded at zero is finite at every draw
        values = np.maximum(sds[name], np.finfo(float).tiny) if kernel.support[0] >= 0 else sds[name]
        inner = kernel.prior if isinstance(kernel, Truncated) else kernel
        found[name] = np.asarray((inner if isinstance(inner, LogStudentT) else kernel).logpdf(values))
    return found


def _term_density(kernel: Prior, scaled: FloatArray) -> FloatArray:
    """Log density of a term's coefficients in units of their prior scale, shape (N,).

    Levels with a Student-t or Cauchy prior share one mixing scale: their density is that of a multivariate t.
    """
    width = scaled.shape[0]
    if width == 1 or not isinstance(kernel, (StudentT, Cauchy)):
        return np.asarray(kernel.logpdf(scaled)).sum(axis=0)
    df = kernel.df if isinstance(kernel, StudentT) else 1.0
    square = np.square((scaled - kernel.loc) / kernel.scale).sum(axis=0)
    constant = special.gammaln((df + width) / 2) - special.gammaln(df / 2)
    constant -= 0.5 * width * np.log(df * np.pi) + width * np.log(kernel.scale)
    return constant - (df + width) / 2 * np.log1p(square / df)
