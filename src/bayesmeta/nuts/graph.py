"""The model as a PyMC graph: study effects integrated out where the likelihood is normal, drawn with it where not.

The graph is written apart from `bayesmeta.nuts.rows`, which computes the same densities in numpy afterwards: a test
compares the two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesmeta.model import MissingNumeric, OutlierEffects, StudentEffects
from bayesmeta.nuts.collapsed import MIXING_PLACES, MIXING_STEP, collapsible
from bayesmeta.nuts.compiling import Graph
from bayesmeta.nuts.rows import HierarchicalRows, Spread, control_arms, effect_factor
from bayesmeta.nuts.variables import Data, deviation, family, log_density, variable, vector
from bayesmeta.priors import Normal, resolve

__all__ = ["build_graph", "signature"]

_LOG_2PI = math.log(2 * math.pi)
# width of the bend that keeps a risk inside 0 to 1 where a draw is placed
_BEND = 3e-4
# log weight of a place in a padded table that holds nothing
_NOTHING = -1e30


def signature(h: HierarchicalRows) -> tuple[Any, ...]:
    """All that decides the shape of the graph: fits that agree in it share one compilation."""
    model = h.model
    random = model.random
    shape: tuple[Any, ...] = (
        tuple((t.width, family(t.prior), family(t.sd), family(t.total), _unit(h, t)) for t in h.design.terms),
        family(model.tau) if model.tau is not None else None,
        family(model.cluster_tau) if model.cluster_tau is not None else None,
        model.likelihood,
        bool(h.turns),
    )
    if isinstance(random, StudentEffects):
        shape += ("student", family(random.df))
    if isinstance(random, OutlierEffects):
        shape += ("outliers", family(random.share), family(random.extra))
    if h.spread is not None:
        shape += tuple((name, *family(prior)) for name, prior in h.spread.priors.items())
        shape += tuple(tuple(members.tolist()) for members, _ in h.spread.mixed)
    for item in h.imputed:
        population = item.population
        shape += (
            item.name,
            item.column,
            population.family,
            family(population.mean),
            family(population.sd),
            len(item.trials),
        )
    for levels in h.levels:
        shape += (levels.name, levels.counts.size, levels.taken.shape)
    if h.levels or h.cluster is not None or isinstance(random, OutlierEffects):
        shape += ("grouped",)
    for polynomial in h.polynomials:
        shape += (polynomial.name, polynomial.y.shape[1], family(model.derived[polynomial.name]))
    if model.missing_sd is not None:
        shape += (
            "sd",
            h.effects.measure,
            h.sd_rows.size,
            family(model.missing_sd.meanlog),
            family(model.missing_sd.sdlog),
        )
    if h.one_arm:
        shape += ("one arm", h.effects.k)
    elif model.baseline is not None:
        shape += (family(model.baseline), h.effects.measure, control_arms(h.effects)[0].shape[0], h.effects.k)
    return shape


def _unit(h: HierarchicalRows, term: Any) -> bool:
    return bool(np.all(h.design.prior_scale[term.columns] == 1))


def _coefficients(h: HierarchicalRows, data: Data) -> tuple[Any, list[str]]:
    """All coefficients, shape ``(p,)``."""
    parts, keep = [], []
    for number, term in enumerate(h.design.terms):
        name = "mu" if number == 0 else f"b{number}"
        scale = h.design.prior_scale[term.columns]
        if term.prior is not None:
            parts.append(vector(name, term.prior, scale, data))
        elif term.sd is not None:
            spread = deviation(f"sd{number}", term.sd, data)
            keep.append(f"sd{number}")
            parts.append(spread * data(f"factor_{name}", scale) * pm.Normal(f"{name}_unit", shape=term.width))
        elif term.total is not None:
            shares = pm.Dirichlet(f"{name}_shares", a=np.ones(term.width))
            parts.append(variable(f"{name}_total", term.total, data) * shares)
    joined = parts[0] if len(parts) == 1 else pt.concatenate(parts)
    return pm.Deterministic("coefficients", joined), keep


def build_graph(h: HierarchicalRows) -> Graph:
    """Write the model down for PyMC."""
    data = Data()
    model = h.model
    collapsed = collapsible(h)
    with pm.Model() as graph:
        keep: list[str] = []
        beta: Any = None
        if not collapsed:
            beta, names = _coefficients(h, data)
            keep += ["coefficients", *names]
        tau: Any = pt.as_tensor_variable(0.0)
        if h.spread is not None:
            tau, names = _taus(h.spread, data)
            keep += names
        elif model.tau is not None:
            # under heavy tails tau stays clear of zero, and its two signs would be two separate modes
            make = variable if isinstance(model.random, StudentEffects) else deviation
            tau = make("tau", model.tau, data)
            keep.append("tau")
            if model.tau.name == "jeffreys":
                a, b = data("jeffreys_a", h.a), data("jeffreys_b", h.b)
                pm.Potential("jeffreys", pt.log(tau) + 0.5 * pt.log(pt.sum((b / (a + tau**2 * b)) ** 2)))
        if collapsed:
            keep += _collapsed(h, tau, data)
        elif h.one_arm:
            keep += _one_arm(h, beta, tau, data)
        elif model.likelihood == "binomial":
            keep += _binomial(h, beta, tau, data)
        else:
            keep += _normal(h, beta, tau, data)
    return Graph(graph, data.values, tuple(keep))


def _taus(spread: Spread, data: Data) -> tuple[Any, list[str]]:
    """Tau of every row, shape (E,), where it depends on a moderator."""
    if spread.z is not None:
        tau = deviation("tau", spread.priors["tau"], data)
        slope = variable("tau_slope", spread.priors["tau_slope"], data)
        return tau * pt.exp(slope * data("tau_z", spread.z)), ["tau", "tau_slope"]
    assert spread.number is not None
    each = pt.stack([deviation(name, prior, data) for name, prior in spread.priors.items()])
    return pt.dot(data("tau_level", _indicator(spread.number, len(spread.priors))), each), list(spread.priors)


def _mixed_rows(h: HierarchicalRows, rows: Any, residual: Any, tau: Any, data: Data) -> Any:
    """Log densities of rows; those of a block with several taus as one, at its first row."""
    assert h.spread is not None
    rho = data("rho", h.model.rho)
    for number, (members, S) in enumerate(h.spread.mixed):
        own = data(f"mixed_{number}", S)
        places = members.tolist()
        # Cholesky factor and forward substitution, written out: a block is a few rows
        L: list[list[Any]] = []
        solved: list[Any] = []
        total: Any = -0.5 * _LOG_2PI * len(places)
        for i, e in enumerate(places):
            row: list[Any] = []
            for j in range(i):
                V = own[i, j] + rho * tau[e] * tau[places[j]]
                row.append((V - sum(row[m] * L[j][m] for m in range(j))) / L[j][j])
            row.append(pt.sqrt(own[i, i] + tau[e] ** 2 - sum(value**2 for value in row)))
            solved.append((residual[e] - sum(row[m] * solved[m] for m in range(i))) / row[i])
            L.append(row)
            total = total - pt.log(row[i]) - 0.5 * solved[i] ** 2
        rows = pt.set_subtensor(rows[places], 0.0)
        rows = pt.set_subtensor(rows[places[0]], total)
    return rows


# -- normal likelihood, study effects integrated out -------------------------------------------------------------------


def _normal(h: HierarchicalRows, beta: Any, tau: Any, data: Data) -> list[str]:
    keep: list[str] = []
    eta = pt.dot(data("X", h.X), beta)
    for item in h.imputed:
        moved, names = _missing_numeric(item, data)
        keep += names
        eta = eta + moved * beta[item.column]
    y, a, scale, names = _estimates(h, data)
    keep += names
    residual = y - eta
    if h.turns:
        residual = pt.dot(data("forward", h.rotation_matrix), residual)
    # under a common effect nothing varies: data that the graph does not use would be refused when it is run
    b = 0.0 if h.model.tau is None else data("b", h.b)
    random = h.model.random
    within = tau
    if h.cluster is not None:
        assert h.model.cluster_tau is not None
        within = deviation("tau_within", h.model.cluster_tau, data)
        keep.append("tau_within")
    variances = [a + b * within**2]
    log_components: list[Any] = [0.0]
    logdet = data("logdet", h.logdet)
    if isinstance(random, StudentEffects):
        df = variable("df", random.df, data, positive=True)
        keep.append("df")
        return keep + _student(h, (a, b, residual, scale), tau, df, logdet, data)
    if isinstance(random, OutlierEffects):
        share = variable("share", random.share, data, positive=True)
        extra = deviation("extra", random.extra, data)
        variances.append(a + b * (tau**2 + extra**2))
        log_components = [pt.log1p(-share), pt.log(share)]
        keep += ["share", "extra"]
    rows = [-0.5 * (_LOG_2PI + pt.log(v) + residual**2 / v) + scale for v in variances]
    if h.spread is not None:
        rows = [_mixed_rows(h, rows[0], residual, tau, data)]
    if not (h.levels or h.cluster is not None or len(variances) > 1):
        pm.Potential("likelihood", pt.sum(rows[0]) - 0.5 * pt.sum(logdet))
        return keep
    group = data("group", _indicator(h.scenario, h.unit.size).T)
    weights = [pt.dot(group, row) - 0.5 * logdet for row in rows]
    if h.cluster is not None:
        g = data("cluster", h.cluster)
        s, t = pt.dot(group, g * g / variances[0]), pt.dot(group, g * residual / variances[0])
        shrink = 1 + tau**2 * s
        weights = [weights[0] - 0.5 * pt.log(shrink) + 0.5 * tau**2 * t**2 / shrink]
    table = pt.stack([weight + log for weight, log in zip(weights, log_components, strict=True)])
    return keep + _over_scenarios(h, table, data)


def _over_scenarios(h: HierarchicalRows, table: Any, data: Data) -> list[str]:
    """Sum over components and, where levels are missing, scenarios: ``table`` has shape (components, scenarios)."""
    summed = pm.math.logsumexp(table, axis=0, keepdims=False)
    if not h.levels:
        pm.Potential("likelihood", pt.sum(summed))
        return []
    prior, names = _scenarios(h, data)
    padded = pt.concatenate([summed + prior, pt.full((1,), _NOTHING)])
    places = data("places", _places(h))
    pm.Potential("likelihood", pt.sum(pm.math.logsumexp(padded[pt.cast(places, "int64")], axis=1, keepdims=False)))
    return names


def _student(h: HierarchicalRows, parts: tuple[Any, ...], tau: Any, df: Any, logdet: Any, data: Data) -> list[str]:
    """Student-t effects with the mixing scale of every unit integrated out on the nodes of `mixing_nodes`."""
    a, b, residual, scale = parts
    places = data("mixing_places", MIXING_PLACES)
    spread = pt.sqrt(2 / df + 3 / df**2)
    log_scale = 1 / df + spread * places
    half = df / 2
    log_density = half * pt.log(half) - pt.gammaln(half) - half * log_scale - half * pt.exp(-log_scale)
    variance = a + b * tau**2 * pt.exp(log_scale)[:, None]
    rows = -0.5 * (_LOG_2PI + pt.log(variance) + residual**2 / variance) + scale
    by_scenario = pt.dot(rows, data("group", _indicator(h.scenario, h.unit.size)))
    table = by_scenario - 0.5 * logdet + (log_density + pt.log(MIXING_STEP * spread))[:, None]
    return _over_scenarios(h, table, data)


def _collapsed(h: HierarchicalRows, tau: Any, data: Data) -> list[str]:
    """Normal likelihood with study effects and coefficients integrated out; only values and spreads are sampled."""
    keep: list[str] = []
    X = data("X", h.X)
    columns = [X[:, j] for j in range(h.design.p)]
    for item in h.imputed:
        moved, names = _missing_numeric(item, data)
        keep += names
        columns[item.column] = columns[item.column] + moved
    y, a, scale, names = _estimates(h, data)
    keep += names
    if h.turns:
        turn = data("forward", h.rotation_matrix)
        columns, y = [pt.dot(turn, column) for column in columns], pt.dot(turn, y)
    weight = 1 / (a if h.model.tau is None else a + data("b", h.b) * tau**2)
    precision, mean, names = _normal_priors(h, data)
    keep += names
    p = h.design.p
    A = [[pt.sum(columns[i] * weight * columns[j]) for j in range(i + 1)] for i in range(p)]
    right = [pt.sum(columns[i] * weight * y) + precision[i] * mean[i] for i in range(p)]
    for i in range(p):
        A[i][i] = A[i][i] + precision[i]
    # Cholesky factor and forward substitution, written out: p is the number of coefficients
    L: list[list[Any]] = []
    solved: list[Any] = []
    for i in range(p):
        row: list[Any] = []
        for j in range(i):
            row.append((A[i][j] - sum(row[m] * L[j][m] for m in range(j))) / L[j][j])
        row.append(pt.sqrt(A[i][i] - sum(value**2 for value in row)))
        solved.append((right[i] - sum(row[m] * solved[m] for m in range(i))) / row[i])
        L.append(row)
    total = pt.sum(0.5 * pt.log(weight) - 0.5 * weight * y**2 + scale) - 0.5 * pt.sum(data("logdet", h.logdet))
    for i in range(p):
        total = total + 0.5 * solved[i] ** 2 - pt.log(L[i][i]) - 0.5 * precision[i] * mean[i] ** 2
        if not isinstance(precision[i], float):
            total = total + 0.5 * pt.log(precision[i])
    pm.Potential("likelihood", total)
    return keep


def _normal_priors(h: HierarchicalRows, data: Data) -> tuple[list[Any], list[Any], list[str]]:
    """Prior precision and mean of every coefficient; a flat one has precision 0.0."""
    precision: list[Any] = []
    mean: list[Any] = []
    keep: list[str] = []
    for number, term in enumerate(h.design.terms):
        factor = h.design.prior_scale[term.columns]
        if term.sd is not None:
            spread = deviation(f"sd{number}", term.sd, data)
            keep.append(f"sd{number}")
            precision += [1 / (spread * value) ** 2 for value in factor.tolist()]
            mean += [0.0] * factor.size
            continue
        assert term.prior is not None
        kernel = resolve(term.prior)
        if isinstance(kernel, Normal):
            own = data(f"prior_b{number}_precision", 1 / np.square(kernel.sd * factor))
            precision += [own[i] for i in range(factor.size)]
            centre = data(f"prior_b{number}_mean", kernel.mean)
            mean += [centre] * factor.size
        else:
            precision += [0.0] * factor.size
            mean += [0.0] * factor.size
    return precision, mean, keep


def _indicator(labels: np.ndarray, count: int) -> np.ndarray:
    return (labels[:, None] == np.arange(count)).astype(float)


def _places(h: HierarchicalRows) -> np.ndarray:
    """Scenarios of every unit, padded with the place after the last, shape ``(units, most)``."""
    own = [np.flatnonzero(h.unit == number) for number in range(len(h.units))]
    table = np.full((len(own), max(len(item) for item in own)), h.unit.size)
    for number, item in enumerate(own):
        table[number, : item.size] = item
    return table


def _missing_numeric(item: Any, data: Data) -> tuple[Any, list[str]]:
    """What the imputed values add to the moderator's column of the design, shape (E,)."""
    population: MissingNumeric = item.population
    log = population.family == "lognormal"
    mean = variable(f"mean[{item.name}]", population.mean, data)
    sd = variable(f"sd[{item.name}]", population.sd, data, positive=True)
    stated = data(f"stated_{item.name}", np.log(item.stated) if log else item.stated)
    z = pm.Normal(f"missing[{item.name}]_unit", shape=len(item.trials))
    pm.Potential(
        f"stated[{item.name}]",
        pt.sum(-0.5 * _LOG_2PI - pt.log(sd) - 0.5 * ((stated - mean) / sd) ** 2),
    )
    x = mean + data(f"shift_{item.name}", population.shift) + sd * z
    x = pm.Deterministic(f"missing[{item.name}]", pt.exp(x) if log else x)
    scaled = (x - data(f"centre_{item.name}", item.centre)) / data(f"per_{item.name}", item.per)
    return pt.dot(data(f"place_{item.name}", item.place), scaled), [
        f"missing[{item.name}]",
        f"mean[{item.name}]",
        f"sd[{item.name}]",
    ]


def _scenarios(h: HierarchicalRows, data: Data) -> tuple[Any, list[str]]:
    """Log probability of the levels that each scenario assumes."""
    total: Any = 0.0
    keep = []
    for item in h.levels:
        p = pm.Dirichlet(
            f"levels[{item.name}]",
            a=data(f"prior_{item.name}", np.full(item.counts.size, item.population.concentration)),
        )
        keep.append(f"levels[{item.name}]")
        pm.Potential(f"counts[{item.name}]", pt.sum(data(f"counts_{item.name}", item.counts) * pt.log(p)))
        moved = pt.log(p) + data(f"shift_{item.name}", item.shift)
        moved = moved - pm.math.logsumexp(moved)
        taken = np.zeros((h.unit.size, item.counts.size))
        for position in range(len(item.trials)):
            column = item.taken[:, position]
            taken[np.flatnonzero(column >= 0), column[column >= 0]] += 1
        total = total + pt.dot(data(f"taken_{item.name}", taken), moved)
    return total, keep


def _estimates(h: HierarchicalRows, data: Data) -> tuple[Any, Any, Any, list[str]]:
    """Estimates and sampling variances, as they follow from derived numbers and imputed SDs.

    The third is what the log density of each row gains where a raw difference was observed and not ``y``: the scale
    between the two.
    """
    keep: list[str] = []
    y: Any = data("y", h.y)
    a: Any = data("a", h.a)
    scale: Any = 0.0
    for item in h.polynomials:
        value = variable(item.name, h.model.derived[item.name], data)
        keep.append(item.name)
        low, high = data(f"low_{item.name}", item.low), data(f"high_{item.name}", item.high)
        t = (2 * value - low - high) / (high - low)
        basis = [pt.as_tensor_variable(1.0), t]
        for _ in range(item.y.shape[1] - 2):
            basis.append(2 * t * basis[-1] - basis[-2])
        powers = pt.stack(basis)
        flag = data(f"moves_{item.name}", item.moving)
        scale = scale + flag * pt.dot(data(f"log_scale_{item.name}", item.log_scale), powers)
        y = pt.where(flag > 0, pt.dot(data(f"y_{item.name}", item.y), powers), y)
        a = pt.where(flag > 0, pt.dot(data(f"se_{item.name}", item.se), powers) ** 2, a)
    if h.model.missing_sd is not None:
        y, a, scale, names = _with_missing_sd(h, y, a, scale, data)
        keep += names
    return y, a, scale, keep


def _with_missing_sd(h: HierarchicalRows, y: Any, a: Any, scale: Any, data: Data) -> tuple[Any, Any, Any, list[str]]:
    effects, population = h.effects, h.model.missing_sd
    assert effects.spreads is not None
    assert effects.n is not None
    assert population is not None
    mean = variable("sd_meanlog", population.meanlog, data)
    spread = variable("sd_sdlog", population.sdlog, data, positive=True)
    known = ~np.isnan(effects.spreads.sd)
    total = effects.n.sum(axis=1)
    # a reported SD estimates its own log SD with variance 1 / (2 (n - 2))
    variance = spread**2 + data("sd_error", 0.5 / (total[known] - 2))
    log_sd = data("sd_known", np.log(effects.spreads.sd[known]))
    pm.Potential("sd_stated", pt.sum(-0.5 * (_LOG_2PI + pt.log(variance) + (log_sd - mean) ** 2 / variance)))
    sd = pm.Deterministic("sd", pt.exp(mean + spread * pm.Normal("sd_unit", shape=h.sd_rows.size)))
    rows = h.row[h.sd_rows]
    n_t, n_c = data("sd_n_t", effects.n[rows, 0]), data("sd_n_c", effects.n[rows, 1])
    difference = data("sd_difference", effects.spreads.difference[rows])
    base = 1 / n_t + 1 / n_c
    if effects.measure == "MD":
        value, error = difference, sd**2 * base
    else:
        m = n_t + n_c - 2
        J = pt.exp(pt.gammaln(m / 2) - 0.5 * pt.log(m / 2) - pt.gammaln((m - 1) / 2))
        value = J * difference / sd
        scale = scale - pt.dot(data("sd_place", _indicator(h.sd_rows, h.row.size).T), pt.log(sd))
        error = base + value**2 / (2 * (n_t + n_c))
    index = pt.cast(data("sd_rows", h.sd_rows), "int64")
    y, a = pt.set_subtensor(y[index], value), pt.set_subtensor(a[index], error)
    return y, a, scale, ["sd", "sd_meanlog", "sd_sdlog"]


# -- binomial likelihood -----------------------------------------------------------------------------------------------


def _binomial(h: HierarchicalRows, beta: Any, tau: Any, data: Data) -> list[str]:
    """Study effects and control risks are drawn with the rest; every control arm is counted once.

    What is sampled is each treated arm's log odds, so that no risk leaves 0 to 1; written as the mean and SD that it
    has given the rest by a normal approximation, plus a standard deviate: whether trials are large or small, that
    deviate is near standard normal.
    """
    effects, baseline = h.effects, h.model.baseline
    assert effects.counts is not None
    assert baseline is not None
    controls, arm = control_arms(effects)
    eta = pt.dot(data("X", h.X), beta)
    crude = np.log((controls[:, 0] + 0.5) / (controls[:, 1] - controls[:, 0] + 0.5))
    alpha = data("crude_baseline", crude) + pm.Flat("baseline_unit", shape=controls.shape[0])
    alpha = pm.Deterministic("baseline", alpha)
    pm.Potential("baseline_prior", pt.sum(log_density("baseline", baseline, alpha, data)))
    x_c, n_c = data("x_c", controls[:, 0]), data("n_c", controls[:, 1])
    pm.Potential("controls", pt.sum(x_c * alpha - n_c * pt.softplus(alpha)))
    own = pt.dot(data("arm", _indicator(arm, controls.shape[0])), alpha)
    x_t, n_t = data("x_t", effects.counts[:, 0]), data("n_t", effects.counts[:, 1])
    keep = ["baseline", "theta"]
    if h.model.tau is None:
        theta = pm.Deterministic("theta", eta)
        logit = _treated_logit(effects.measure, own, theta)
        pm.Potential("treated", pt.sum(x_t * logit - n_t * pt.softplus(logit)))
        return keep
    p = (x_t + 0.5) / (n_t + 1)
    guess = pt.log(p / (1 - p))
    # how an effect moves with the treated arm's log odds, at the crude risk
    slope = {"OR": pt.ones_like(p), "RR": 1 - p, "RD": p * (1 - p)}[effects.measure]
    variance = slope**2 / (n_t * p * (1 - p))
    target = _effect(effects.measure, guess, own)
    middle = (target * tau**2 + eta * variance) / (variance + tau**2)
    sd = tau * pt.sqrt(variance / (variance + tau**2)) / slope
    logit = _place(effects.measure, own, middle) + sd * pm.Flat("theta_unit", shape=effects.k)
    theta = pm.Deterministic("theta", _effect(effects.measure, logit, own))
    scaled = (theta - eta) / tau
    factor = effect_factor(h)
    if factor is not None:
        scaled = pt.dot(data("effect_whitening", np.linalg.inv(factor)), scaled)
    # log of the derivative of the effect by the log odds
    jacobian = {"OR": 0.0, "RR": -pt.softplus(logit), "RD": -pt.softplus(logit) - pt.softplus(-logit)}[effects.measure]
    pm.Potential("effects", pt.sum(-0.5 * scaled**2 - pt.log(tau) + pt.log(sd) + jacobian))
    pm.Potential("treated", pt.sum(x_t * logit - n_t * pt.softplus(logit)))
    return keep


def _one_arm(h: HierarchicalRows, beta: Any, tau: Any, data: Data) -> list[str]:
    """Logits of proportions are drawn with the rest, as those of treated arms in `_binomial`."""
    assert h.effects.counts is not None
    eta = pt.dot(data("X", h.X), beta)
    x, n = data("x", h.effects.counts[:, 0]), data("n", h.effects.counts[:, 1])
    if h.model.tau is None:
        theta = pm.Deterministic("theta", eta)
        pm.Potential("counts", pt.sum(x * theta - n * pt.softplus(theta)))
        return ["theta"]
    p = (x + 0.5) / (n + 1)
    variance = 1 / (n * p * (1 - p))
    middle = (pt.log(p / (1 - p)) * tau**2 + eta * variance) / (variance + tau**2)
    sd = tau * pt.sqrt(variance / (variance + tau**2))
    theta = pm.Deterministic("theta", middle + sd * pm.Flat("theta_unit", shape=h.effects.k))
    pm.Potential("effects", pt.sum(-0.5 * ((theta - eta) / tau) ** 2 - pt.log(tau) + pt.log(sd)))
    pm.Potential("counts", pt.sum(x * theta - n * pt.softplus(theta)))
    return ["theta"]


def _place(measure: str, control: Any, effect: Any) -> Any:
    """Log odds of the treated arm at an effect.

    A risk that would leave 0 to 1 is bent back inside: this says where draws are placed, and no density depends on it.
    As tau falls to zero the place must be exact, or the deviates that are left would need ever larger corrections.
    """
    if measure == "OR":
        return control + effect
    if measure == "RR":
        log_risk = -_bent(pt.softplus(-control) - effect)
        return log_risk - pt.log(-pt.expm1(log_risk))
    rest = _bent(1 - _bent(pt.sigmoid(control) + effect))
    return pt.log1p(-rest) - pt.log(rest)


def _bent(x: Any) -> Any:
    """``x`` where it is positive, to within ``exp(-x / _BEND)``; a small positive number where it is not."""
    return _BEND * pt.softplus(x / _BEND) + 1e-12


def _effect(measure: str, treated: Any, control: Any) -> Any:
    """Effect on the analysis scale from the log odds of both arms."""
    if measure == "OR":
        return treated - control
    if measure == "RR":
        return pt.softplus(-control) - pt.softplus(-treated)
    return pt.sigmoid(treated) - pt.sigmoid(control)


def _treated_logit(measure: str, control: Any, theta: Any) -> Any:
    """Log odds of the treated arm; a risk outside 0 to 1, which has no likelihood, is held just inside."""
    if measure == "OR":
        return control + theta
    risk = pt.exp(-pt.softplus(-control) + theta) if measure == "RR" else pt.sigmoid(control) + theta
    inside = pt.clip(risk, 1e-12, 1 - 1e-12)
    return pt.log(inside) - pt.log1p(-inside)
