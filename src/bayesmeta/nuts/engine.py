"""Effects and model to a `DrawPosterior`: sample the parameters, then draw what was integrated out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import Check
from bayesmeta.model import Model, OutlierEffects
from bayesmeta.nuts.checks import checks_of, until_sound
from bayesmeta.nuts.collapsed import CollapsedLikelihood, component_count, condition, draw_coefficients, study_draws
from bayesmeta.nuts.counts import marginal_log_likelihood
from bayesmeta.nuts.graph import build_graph, signature
from bayesmeta.nuts.posterior import DrawPosterior
from bayesmeta.nuts.rows import HierarchicalRows, Spread, build_rows
from bayesmeta.nuts.running import SamplerOutput, Settings, run
from bayesmeta.nuts.simulation import mix_tau, new_study

__all__ = ["run_nuts"]

FloatArray = NDArray[np.float64]
# numbers that are worked on at once
MAX_ELEMENTS = 4e6


def run_nuts(
    effects: Effects, model: Model, *, seed: int = 1, settings: Settings | None = None
) -> tuple[DrawPosterior, tuple[Check, ...]]:
    """Sample the posterior; a run that fails a check is repeated once with a higher target acceptance.

    Parameters
    ----------
    effects : Effects
    model : Model
    seed : int
        Same seed, same draws.
    settings : Settings, optional

    Returns
    -------
    sample : DrawPosterior
    checks : tuple of Check
        R-hat, effective sample sizes, divergences, BFMI, tree depth, each with its limit and advice.

    Raises
    ------
    ModelError
        For a combination that the engine does not cover.
    InferenceError
        Where sampling does not start.
    """
    settings = settings or Settings()
    h = build_rows(effects, model)
    graph = build_graph(h)
    key = signature(h)

    def attempt(accept: float, made: Mapping[str, object]) -> tuple[DrawPosterior, tuple[Check, ...]]:
        result = complete(h, run(key, lambda: graph, graph.data, settings, seed, accept), seed, made)
        return result, checks_of(result, settings.max_depth)

    return until_sound(attempt, settings, effects.name or effects.measure)


def _flat(values: FloatArray) -> FloatArray:
    """Join chains and draws."""
    return values.reshape(*values.shape[:-2], -1)


def complete(h: HierarchicalRows, raw: SamplerOutput, seed: int, settings: Mapping[str, object]) -> DrawPosterior:
    """Draw study effects and a new study's deviation given the sampled parameters, and name every quantity."""
    model = h.model
    shape = next(iter(raw.draws.values())).shape[-2:]
    size = shape[0] * shape[1]
    # a stream of its own, so that the sampler's and this one's numbers never coincide
    rng = np.random.default_rng([seed, 1])
    draws = {name: _flat(values) for name, values in raw.draws.items()}
    draws["tau"] = mix_tau(h, draws) if h.spread is not None else draws.get("tau", np.zeros(size))
    if "coefficients" not in draws:
        draws["coefficients"] = draw_coefficients(h, draws, rng)
    others: dict[str, FloatArray]
    if model.likelihood == "binomial":
        theta, others = draws["theta"], {}
        log_likelihood = marginal_log_likelihood(h, draws)
    else:
        theta, log_likelihood, others = _integrated(h, draws, rng)
    others |= _named(h, draws)
    deviations = new_study(model, draws, rng)

    def back(values: FloatArray) -> FloatArray:
        return values.reshape(*values.shape[:-1], *shape)

    return DrawPosterior(
        h.design,
        model,
        back(draws["coefficients"]),
        back(draws["tau"]),
        back(theta),
        {name: back(values) for name, values in deviations.items()},
        {name: back(values) for name, values in others.items()},
        h.units,
        back(log_likelihood),
        raw.stats,
        dict(settings),
        back(draws["baseline"]) if "baseline" in draws else None,
    )


def _integrated(
    h: HierarchicalRows, draws: Mapping[str, FloatArray], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, dict[str, FloatArray]]:
    """Study effects, log likelihoods and quantities of single trials, in pieces that fit in memory."""
    size = draws["tau"].size
    step = max(1, int(MAX_ELEMENTS // (h.row.size * component_count(h))))
    parts = []
    for start in range(0, size, step):
        piece = {name: values[..., start : start + step] for name, values in draws.items()}
        conditional = condition(h, piece)
        theta, _, scenario = study_draws(h, conditional, rng)
        parts.append((theta, conditional.log_likelihood, _of_trials(h, conditional, scenario)))
    names = parts[0][2]
    return (
        np.concatenate([part[0] for part in parts], axis=1),
        np.concatenate([part[1] for part in parts], axis=1),
        {name: np.concatenate([part[2][name] for part in parts]) for name in names},
    )


def _of_trials(
    h: HierarchicalRows, conditional: CollapsedLikelihood, scenario: NDArray[np.intp]
) -> dict[str, FloatArray]:
    """Probability that a trial is an outlier, and the levels drawn for trials that do not state theirs."""
    found: dict[str, FloatArray] = {}
    if isinstance(h.model.random, OutlierEffects):
        # the probability of the wider population at every draw has less noise than a drawn indicator
        weight = conditional.log_weight
        top = weight.max(axis=(0, 1))
        wide = h.by_unit(np.exp(weight[1] - top))
        total = h.by_unit(np.exp(weight[0] - top)) + wide
        found |= {f"outlier[{name}]": wide[i] / total[i] for i, name in enumerate(h.units)}
    for item in h.levels:
        for position, trial in enumerate(item.trials):
            taken = item.taken[:, position]
            unit = int(h.unit[np.flatnonzero(taken >= 0)[0]])
            chosen = scenario[unit]
            for number, level in enumerate(item.levels):
                found[f"missing[{item.name}: {trial} = {level}]"] = (taken[chosen] == number).astype(float)
    return found


def _ratio(spread: Spread) -> list[str] | None:
    """The two taus whose ratio is a quantity."""
    return list(spread.priors) if spread.z is None and len(spread.priors) == 2 else None


def _named(h: HierarchicalRows, draws: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Every sampled scalar under the name that users ask for."""
    named = {name: draws[name] for name in ("tau_within", "df", "share", "extra", *h.model.derived) if name in draws}
    if h.spread is not None:
        named |= {name: draws[name] for name in h.spread.priors if name != "tau"}
        if (ratio := _ratio(h.spread)) is not None:
            named[f"{ratio[1]} / {ratio[0]}"] = draws[ratio[1]] / draws[ratio[0]]
    for number, term in enumerate(h.design.terms):
        if f"sd{number}" in draws:
            named[f"sd[{term.name}]"] = draws[f"sd{number}"]
    for item in h.imputed:
        values = draws[f"missing[{item.name}]"]
        named |= {f"missing[{item.name}: {trial}]": values[i] for i, trial in enumerate(item.trials)}
    if h.sd_rows.size:
        named |= {f"missing_sd[{h.effects.label[h.row[e]]}]": draws["sd"][i] for i, e in enumerate(h.sd_rows.tolist())}
    return named
