"""Power-scaling: what a little more or less of one prior, or of the data, would change."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit, distribution, exactly, marginal
from bayesmeta.fits import fit as fit_model
from bayesmeta.measures import measure
from bayesmeta.model import Coefficient, Exchangeable, Model, Spline, Term
from bayesmeta.plan import Threshold
from bayesmeta.priors import (
    Cauchy,
    Exponential,
    Flat,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    LogNormal,
    Normal,
    Prior,
    StudentT,
    Uniform,
    resolve,
)
from bayesmeta.questions import direction, numeric_distance, resolve_threshold

__all__ = ["LIMIT", "power_scaling_table", "powered"]

FloatArray = NDArray[np.float64]

#: Sensitivity from which a component matters: Kallioinen et al. 2024, section 3.3; about a mean that moves by 0.3
#: posterior SDs when the component's power is doubled or halved.
LIMIT = 0.05
ALPHAS = (0.99, 1.01)
LIKELIHOOD = "likelihood"
#: Range of a log density over the draws below which it is constant: far above rounding, far below any effect.
FLAT = 1e-9


def powered(prior: Prior, alpha: float) -> Prior | None:
    """Give the prior whose density is proportional to ``density**alpha``, where that has a closed form.

    Normal and half-normal: the SD divided by ``sqrt(alpha)``. Student-t (also half, and Cauchy) with ``df`` degrees of
    freedom: ``alpha (df + 1) - 1`` of them and the scale that keeps ``df scale**2``. Log-normal, exponential and
    inverse gamma stay in their families too; uniform and flat stay what they are. None for truncated priors.

    Examples
    --------
    >>> powered(Normal(0, 1), 4.0), powered(HalfCauchy(0.5), 2.0)
    (normal(0, 0.5), halfstudentt(0.28867513459481287, 3))
    """
    kernel, root = resolve(prior), math.sqrt(alpha)
    if isinstance(kernel, (Uniform, Flat)):
        return kernel
    if isinstance(kernel, Normal):
        return Normal(kernel.mean, kernel.sd / root)
    if isinstance(kernel, HalfNormal):
        return HalfNormal(kernel.scale / root)
    if isinstance(kernel, Exponential):
        return Exponential(kernel.rate * alpha)
    if isinstance(kernel, LogNormal):
        return LogNormal(kernel.meanlog + (1 - alpha) * kernel.sdlog**2 / alpha, kernel.sdlog / root)
    if isinstance(kernel, InverseGamma):
        shape = alpha * (kernel.shape + 1) - 1
        return InverseGamma(shape, alpha * kernel.scale) if shape > 0 else None
    if isinstance(kernel, (StudentT, Cauchy, HalfStudentT, HalfCauchy)):
        df = float(getattr(kernel, "df", 1.0))
        new = alpha * (df + 1) - 1
        if not new > 0:
            return None
        scale = kernel.scale * math.sqrt(df / new)
        return StudentT(kernel.loc, scale, new) if isinstance(kernel, (StudentT, Cauchy)) else HalfStudentT(scale, new)
    return None


def _scaled_term(term: Term, alpha: float, part: str) -> Term | None:
    """One moderator with its prior to a power; ``part`` is ``beta`` or ``sd``."""
    if part == "beta":
        if isinstance(term, Coefficient):
            prior = powered(term.prior, alpha)
            return None if prior is None else dataclasses.replace(term, prior=prior)
        if isinstance(term, Spline):
            slope = powered(term.slope, alpha)
            return None if slope is None else dataclasses.replace(term, slope=slope)
        return None
    if isinstance(term, (Exchangeable, Spline)):
        sd = powered(term.sd, alpha)
        return None if sd is None else dataclasses.replace(term, sd=sd)
    return None


def scaled_model(fit: Fit, component: str, alpha: float) -> Model | None:
    """Give the model with one prior raised to a power; None where no model of this package is that."""
    model = fit.model
    stated = {"mu": ("mu", model.mu), "tau": ("tau", model.tau), "tau_within": ("cluster_tau", model.cluster_tau)}
    if component in stated:
        key, prior = stated[component]
        new = None if prior is None else powered(prior, alpha)
        return None if new is None else dataclasses.replace(model, **{key: new})  # type: ignore[arg-type]
    part, _, rest = component.partition("[")
    name = rest.removesuffix("]").removesuffix(": curve")
    if name not in model.beta:
        return None
    columns = next(term for term in fit.design.terms if term.name == name).width
    term = model.beta[name]
    if part == "beta" and isinstance(term, Coefficient) and columns > 1 and not isinstance(resolve(term.prior), Normal):
        # levels with one mixing scale are a multivariate Student-t, whose power has other degrees of freedom
        return None
    new_term = _scaled_term(term, alpha, part)
    return None if new_term is None else dataclasses.replace(model, beta={**model.beta, name: new_term})


def _distance(x: FloatArray, p: FloatArray, q: FloatArray) -> float:
    """Cumulative Jensen-Shannon distance between two distribution functions on a grid (as ArviZ takes it)."""

    def one(a: FloatArray, b: FloatArray) -> float:
        middle = 0.5 * (a + b)
        inner = special.xlogy(a, a) - special.xlogy(a, middle)
        return float(np.trapezoid(inner, x)) / math.log(2) + 0.5 / math.log(2) * float(np.trapezoid(b - a, x))

    bound = float(np.trapezoid(p + q, x))
    return math.sqrt(max(one(p, q), 0.0) + max(one(q, p), 0.0)) / math.sqrt(bound)


def exact_sensitivity(base: Fit, others: Mapping[float, Fit], name: str) -> float:
    """Sensitivity of a quantity from exact refits, defined as ArviZ defines it from draws.

    The distance is taken over the range in which 4000 draws would lie, because it depends on the range.
    """
    low, high = (float(v) for v in marginal(base, name).quantile(np.array([1 / 4000, 1 - 1 / 4000])))
    x = np.linspace(low, high, 801)
    total = 0.0
    here = distribution(base, name, x)
    for alpha, other in others.items():
        there = distribution(other, name, x)
        # below the range of the draws, and above it, ArviZ has nothing either
        worst = max(_distance(x, here, there), _distance(x, 1 - here, 1 - there))
        total += worst / abs(math.log2(alpha)) / len(others)
    return total


def power_scaling_table(
    fit: Fit, threshold: Threshold | float | None = None, *, exact: bool = True, draws: bool = True
) -> pd.DataFrame:
    """Sensitivity of the answers to each prior, and to the data, raised to a power near one.

    A prior's power above one strengthens it, below one weakens it. Values are those of ArviZ's ``psense``: the
    cumulative Jensen-Shannon distance that the posterior moves per doubling of the power, by Pareto-smoothed importance
    sampling. For an exact fit the same number is also found by exact refits, wherever the powered prior is a prior
    again (`powered`).

    Parameters
    ----------
    fit : Fit
        By either engine.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome; without a direction or a threshold there are no probabilities.
    exact : bool
        Whether to refit an exact fit with powered priors: two refits per prior.
    draws : bool
        Whether to find it from draws too. Without them an exact fit costs a hundredth of the time; the likelihood,
        which has no refit, is then left out, and with it what tells weak data from conflict.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity component psense exact change exact_change diagnosis``. Components are ``mu``, ``tau``,
        ``tau_within``, ``beta[...]``, ``sd[...]`` and ``likelihood``. ``change`` is the derivative by log2 of the
        power: of the posterior mean in posterior SDs, for probabilities in probability; ``exact_change`` the same from
        the refits. From 0.05 up a prior is called influential: with the likelihood influential too it may
        conflict with the data, without it the data are weak. Priors of ``df``, shares, imputed values and monotone
        curves are not scaled.

    References
    ----------
    Kallioinen N, Paananen T, Buerkner P-C, Vehtari A. Stat Comput 2024;34:57. doi:10.1007/s11222-023-10366-5

    Examples
    --------
    >>> table = power_scaling_table(fit)
    >>> table.query("quantity == 'tau' and component == 'tau'")["diagnosis"].item()
    'influential prior; possible conflict with the data'
    """
    quantities = ["mu", *(["tau"] if fit.model.tau is not None else []), "theta_new"]
    asked: dict[str, tuple[str, _Chance | None]] = {name: (name, None) for name in quantities} | _chances(
        fit, threshold
    )
    if not draws:
        return _exact_table(fit, asked)
    tree = fit.tree
    log_prior = tree["log_prior"].to_dataset() if "log_prior" in tree else {}
    variables: dict[str, str | None] = {log_prior[name].attrs["prior"]: str(name) for name in log_prior}
    variables[LIKELIHOOD] = None
    posterior = tree["posterior"].to_dataset()
    rows: list[dict[str, object]] = []
    for component, variable in variables.items():
        if variable is None:
            log = tree["log_likelihood"].to_dataset()["y"].sum("study").values
        else:
            log = log_prior[variable].values
        # a constant density stays what it is under every power; Pareto smoothing has no tail to fit there
        found = dict.fromkeys(quantities, 0.0) if np.ptp(log) < FLAT else _psense(fit, quantities, variable)
        others = _refits(fit, component) if exact and not fit.simulated and variable is not None else {}
        for words, (name, chance) in asked.items():
            values = posterior[name].values
            if chance is None:
                change = _slope(values, log) / values.std() if values.std() > 0 else 0.0
            else:
                change = _slope(((values < chance.x) == chance.below).astype(float), log)
            row = {"quantity": words, "component": component, "psense": found.get(words, math.nan), "change": change}
            rows.append(row | _by_refits(fit, others, name, chance))
    frame = _framed(rows)
    frame["diagnosis"] = _diagnoses(frame)
    return frame


def _framed(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = ["quantity", "component", "psense", "exact", "change", "exact_change"]
    return pd.DataFrame(rows).reindex(columns=columns).astype(dict.fromkeys(columns[2:], float))


def _by_refits(fit: Fit, others: Mapping[float, Fit], name: str, chance: _Chance | None) -> dict[str, object]:
    """Sensitivity and change from exact refits, of a quantity or of a probability; nothing without refits."""
    if not others:
        return {}
    if chance is not None:
        x, upper = chance.x, not chance.below
        return {"exact_change": _difference(others, lambda f: float(distribution(f, name, x, upper=upper)))}
    change = _difference(others, lambda f: marginal(f, name).mean) / marginal(fit, name).sd
    return {"exact": exact_sensitivity(fit, others, name), "exact_change": change}


def _exact_table(fit: Fit, asked: Mapping[str, tuple[str, _Chance | None]]) -> pd.DataFrame:
    """Sensitivity to each prior by refits alone."""
    exactly(fit, "power-scaling without draws")
    components = [
        "mu",
        *(["tau"] if fit.model.tau is not None else []),
        *(["tau_within"] if fit.model.cluster_tau is not None else []),
        *(f"beta[{term.name}]" for term in fit.design.terms),
    ]
    rows: list[dict[str, object]] = []
    for component in components:
        others = _refits(fit, component)
        for words, (name, chance) in asked.items() if others else ():
            rows.append({"quantity": words, "component": component, **_by_refits(fit, others, name, chance)})
    frame = _framed(rows)
    verdict = np.where(frame["exact"] >= LIMIT, "influential prior", "not influential")
    frame["diagnosis"] = np.where(frame["exact"].isna(), "", verdict)
    return frame


class _Chance(NamedTuple):
    """A probability: of lying below a value, or above it."""

    x: float
    below: bool


def _chances(fit: Fit, threshold: Threshold | float | None) -> dict[str, tuple[str, _Chance | None]]:
    """Probabilities that are computed, by their words."""
    if fit.effects.better is None:
        return {}
    sign = direction(fit)
    found: dict[str, tuple[str, _Chance | None]] = {
        f"P(any benefit), {words}": (name, _Chance(0.0, sign < 0))
        for name, words in (() if measure(fit.effects.measure).single_arm else _TARGETS)
    }
    chosen = resolve_threshold(fit, threshold)
    if chosen is not None:
        distance = numeric_distance(chosen)
        if distance is None:
            raise ModelError(f"threshold {chosen.name}: power-scaling needs one that is a number.")
        x = sign * distance
        what = "beyond the threshold" if measure(fit.effects.measure).single_arm else "important benefit"
        found |= {f"P({what}), {words}": (name, _Chance(x, sign < 0)) for name, words in _TARGETS}
    return found


_TARGETS = (("mu", "mean effect"), ("theta_new", "new study"))


def _psense(fit: Fit, quantities: list[str], prior: str | None) -> dict[str, float]:
    """Sensitivity to the prior whose log density is that variable; to the likelihood where None."""
    from arviz_stats import psense

    group = "likelihood" if prior is None else "prior"
    chosen = {} if prior is None else {"group_var_names": [prior]}
    try:
        found = psense(fit.tree, var_names=quantities, group=group, alphas=ALPHAS, **chosen)
    except ValueError:
        # under heavy tails the log densities of far draws can be beyond what Pareto smoothing takes
        return dict.fromkeys(quantities, math.nan)
    return {name: float(found[name]) for name in quantities}


def _refits(fit: Fit, component: str) -> dict[float, Fit]:
    models = {alpha: scaled_model(fit, component, alpha) for alpha in ALPHAS}
    kept = {alpha: model for alpha, model in models.items() if model is not None}
    if len(kept) < len(ALPHAS):
        return {}
    return {alpha: fit_model(fit.effects, model, engine="exact") for alpha, model in kept.items()}


def _slope(values: FloatArray, log: FloatArray) -> float:
    """Derivative of an expectation by log2 of the power: ``ln 2 cov(value, log density)``."""
    return math.log(2) * float(np.mean((values - values.mean()) * (log - log.mean())))


def _difference(others: Mapping[float, Fit], question: Callable[[Fit], float]) -> float:
    low, high = ALPHAS
    return (question(others[high]) - question(others[low])) / math.log2(high / low)


def _diagnoses(frame: pd.DataFrame) -> list[str]:
    data = frame[frame["component"] == LIKELIHOOD].set_index("quantity")["psense"]
    words = []
    for row in frame.to_dict("records"):
        value = row["exact"] if math.isfinite(row["exact"]) else row["psense"]
        if math.isnan(value):
            words.append("")
        elif row["component"] == LIKELIHOOD:
            words.append("informative data" if value >= LIMIT else "little sensitivity")
        elif value < LIMIT:
            words.append("not influential")
        else:
            conflict = data[row["quantity"]] >= LIMIT
            words.append("influential prior; " + ("possible conflict with the data" if conflict else "weak data"))
    return words
