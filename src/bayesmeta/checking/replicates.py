"""Replicated data: from the posterior, and from the prior, beside the data that were observed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, parameters
from bayesmeta.marginals import Draws, NormalMixtures, mixture_cdf
from bayesmeta.model import OutlierEffects, StudentEffects, effect_correlations
from bayesmeta.numerics import interval_ends
from bayesmeta.nuts import HierarchicalRows, build_rows, effect_factor, priors_of, sample_posterior_predictive

__all__ = ["STATISTICS", "new_trials", "ppc_table", "predictive_table", "prior_check_table", "statistics"]

FloatArray = NDArray[np.float64]

#: Test statistics of a set of estimates, in the order of the tables.
STATISTICS = ("mean", "SD", "smallest", "largest", "Q", "significant", "skewness")
_Z = 1.959963984540054
SAME, NEW = "same trials", "new trials"


def statistics(effects: Effects, y: FloatArray) -> dict[str, FloatArray]:
    """Test statistics of sets of estimates; those that need more estimates than there are, are left out.

    Parameters
    ----------
    y : array of shape (k, ...)

    Returns
    -------
    dict
        By name, arrays of shape (...). Q is Cochran's, of the whole sampling covariance; ``significant`` counts
        estimates more than 1.96 observed standard errors from no effect.
    """
    k = effects.k
    found = {"mean": y.mean(axis=0)}
    centred = y - found["mean"]
    second = np.square(centred).mean(axis=0)
    if k > 1:
        found["SD"] = np.sqrt(second * k / (k - 1))
    found["smallest"], found["largest"] = y.min(axis=0), y.max(axis=0)
    if k > 1:
        weights = np.linalg.inv(effects.covariance())
        total = weights.sum(axis=0)
        flat = y.reshape(k, -1)
        mean = total @ flat / total.sum()
        residual = flat - mean
        found["Q"] = (residual * (weights @ residual)).sum(axis=0).reshape(y.shape[1:])
    found["significant"] = (np.abs(y) > _Z * effects.se.reshape(k, *[1] * (y.ndim - 1))).sum(axis=0).astype(float)
    if k > 2:
        with np.errstate(divide="ignore", invalid="ignore"):
            found["skewness"] = np.nan_to_num((centred**3).mean(axis=0) / second**1.5)
    return {name: found[name] for name in STATISTICS if name in found}


def _compared(observed: float, replicated: FloatArray, p: FloatArray) -> dict[str, float]:
    """Where an observed value lies among replicated ones, shape (chains, draws); ties count half."""
    form = Draws(replicated)
    lower, median, upper = form.quantile(p)
    share = Draws((replicated < observed) + 0.5 * (replicated == observed))
    below = share.mean
    return {
        "observed": observed,
        "median": float(median),
        "lower": float(lower),
        "upper": float(upper),
        "below": below,
        "p_value": 2 * min(below, 1 - below),
        # no draw on one side: the standard error of one there
        "mcse": 2 * (1.0 / replicated.size if share.constant else share.mcse),
    }


def ppc_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Posterior predictive check: statistics of the observed estimates among those of replicated estimates.

    Two replications. ``same trials``: the trials again, each with its own true effect, ``y_rep ~ N(theta, S)``; it
    checks the sampling model. ``new trials``: other trials with the same standard errors and moderators, whose true
    effects are drawn anew, ``theta_rep ~ N(X beta, tau**2 R)``, then ``y_rep ~ N(theta_rep, S)``; it checks the model
    of the true effects, and is the sharper of the two there (mixed predictive checks).

    Parameters
    ----------
    fit : Fit
        By either engine.
    level : float
        Of the interval of the replicated statistic.

    Returns
    -------
    pandas.DataFrame
        Columns ``replicated statistic observed median lower upper below p_value mcse level``. ``below`` is the share of
        replications below the observed value; ``p_value`` is two-sided, ``2 min(below, 1 - below)``; ``mcse`` its
        Monte Carlo standard error. Replications use the data twice, so that p-values pull towards 1: a small one is a
        warning, a large one is no proof.

    References
    ----------
    Marshall EC, Spiegelhalter DJ. Bayesian Anal 2007;2:409-444. doi:10.1214/07-BA218 (mixed predictive checks).
    Gelman A, Meng X-L, Stern H. Stat Sin 1996;6:733-807. https://www.jstor.org/stable/24306036

    Examples
    --------
    >>> table = ppc_table(fit)
    >>> table.loc[0, "statistic"], round(float(table.loc[0, "observed"]), 3)
    ('mean', -0.175)
    """
    p = interval_ends(level)
    effects = fit.effects
    same = np.moveaxis(fit.tree["posterior_predictive"].to_dataset()["y"].values, -1, 0)
    rows = []
    observed = {name: float(value) for name, value in statistics(effects, effects.y).items()}
    for kind, y in ((SAME, same), (NEW, new_trials(fit))):
        replicated = statistics(effects, y)
        rows += [
            {"replicated": kind, "statistic": name, **_compared(value, replicated[name], p)}
            for name, value in observed.items()
        ]
    frame = pd.DataFrame(rows)
    frame["level"] = level
    return frame


def predictive_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Every estimate beside what the model predicts for a new trial with its standard error and moderators.

    Returns
    -------
    pandas.DataFrame
        Columns ``label study observed median lower upper below p_value mcse level``; two-sided p-values of the mixed
        predictive distribution. An exact fit integrates it, and ``mcse`` is zero. In a set of k estimates about k / 20
        p-values lie below 0.05 by chance. `bayesmeta.loo_table` has those of the prediction without the trial.

    References
    ----------
    Marshall EC, Spiegelhalter DJ. Bayesian Anal 2007;2:409-444. doi:10.1214/07-BA218

    Examples
    --------
    >>> predictive_table(fit)["p_value"].round(2).tolist()
    [0.42, 0.8, 0.62, 0.4]
    """
    p = interval_ends(level)
    effects = fit.effects
    found = fit.posterior.quantities(fit.design.X, ["theta_new"] * effects.k).mixtures
    rows: Any
    if found is None:
        rows = [_compared(y, values, p) for y, values in zip(effects.y.tolist(), new_trials(fit), strict=True)]
    else:
        sds = np.sqrt(np.square(found.sds) + np.square(effects.se)[:, None])
        form = NormalMixtures(found.weights, found.coarse, found.means, sds, found.moments)
        below = mixture_cdf(effects.y[:, None], found.weights, found.means, sds)[:, 0]
        lower, median, upper = form.quantiles(p)[0].T
        columns = {"observed": effects.y, "median": median, "lower": lower, "upper": upper, "below": below}
        rows = {**columns, "p_value": 2 * np.minimum(below, 1 - below), "mcse": 0.0}
    frame = pd.DataFrame(rows)
    frame.insert(0, "label", list(effects.label))
    frame.insert(1, "study", list(effects.study))
    frame["level"] = level
    return frame


def new_trials(fit: Fit) -> FloatArray:
    """Estimates of new trials with the moderators and standard errors of the observed, shape (k, chains, draws)."""
    rng = np.random.default_rng([fit.seed, 4])
    h = build_rows(fit.effects, fit.model)
    draws, shape = parameters(fit.posterior, h, rng)
    theta = _mean_effects(h, draws) + _new_deviations(h, draws, rng)
    return sample_posterior_predictive(h, theta, draws, rng).reshape(-1, *shape)


def _mean_effects(h: HierarchicalRows, draws: dict[str, FloatArray]) -> FloatArray:
    """Mean of every trial's true effect, imputed moderators included, shape (k, N)."""
    beta = draws["coefficients"]
    eta = h.design.X @ beta
    study = np.array(h.effects.study, object)
    for item in h.imputed:
        missing = h.design.factors[item.name].missing
        for trial in item.trials:
            x = (draws[f"missing[{item.name}: {trial}]"] - item.centre) / item.per
            eta[missing & (study == trial)] += x * beta[item.column]
    for levels in h.levels:
        factor = h.design.factors[levels.name]
        columns = next(term.columns for term in h.design.terms if term.name == levels.name)
        effect = factor.columns(np.array(factor.levels, object)) @ beta[columns]
        for trial in levels.trials:
            chosen = [draws[f"missing[{levels.name}: {trial} = {level}]"] for level in levels.levels]
            eta[factor.missing & (study == trial)] += (np.array(chosen) * effect).sum(axis=0)
    return eta


def _new_deviations(h: HierarchicalRows, draws: dict[str, FloatArray], rng: np.random.Generator) -> FloatArray:
    """Deviations of new trials' true effects from their means, dependent as those of the observed, shape (k, N)."""
    effects, model, tau = h.effects, h.model, draws["tau"]
    z = rng.standard_normal((effects.k, tau.size))
    if h.spread is not None:
        tau = h.spread.taus(draws)[[int(np.flatnonzero(h.row == row)[0]) for row in range(effects.k)]]
    if model.cluster_tau is not None:
        assert effects.cluster is not None
        names = list(dict.fromkeys(effects.cluster))
        own = rng.standard_normal((len(names), tau.size))[[names.index(name) for name in effects.cluster]]
        return tau * own + draws["tau_within"] * z
    if model.likelihood == "binomial":
        factor = effect_factor(h)
        return tau * (z if factor is None else factor @ z)
    for (rows, _), R in zip(effects.blocks, effect_correlations(effects, model.rho), strict=True):
        z[rows] = np.linalg.cholesky(R + 1e-12 * np.eye(rows.size)) @ z[rows]
    unit = np.zeros(effects.k, np.intp)
    unit[h.row] = h.row_unit
    size = (len(h.units), tau.size)
    if isinstance(model.random, StudentEffects):
        return tau * z / np.sqrt(rng.chisquare(draws["df"], size) / draws["df"])[unit]
    if isinstance(model.random, OutlierEffects):
        wide = (rng.random(size) < draws["share"])[unit]
        return np.where(wide, np.hypot(tau, draws["extra"]), tau) * z
    return tau * z


def require_proper(fit: Fit) -> HierarchicalRows:
    """Refuse a model from whose priors nothing can be drawn.

    Raises
    ------
    ModelError
        With the improper priors and the remedy.
    """
    h = build_rows(fit.effects, fit.model)
    improper = list(dict.fromkeys(repr(prior) for prior in priors_of(h) if not prior.proper))
    if improper:
        raise ModelError(
            f"{', '.join(improper)} is improper: nothing can be drawn from it, so there is no prior prediction. Use a "
            "proper prior, however wide, such as normal(0, 1) for an SMD."
        )
    return h


def prior_check_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Prior predictive check: what the priors say before any trial, and where the observed statistics lie in it.

    Parameters
    ----------
    fit : Fit
        With proper priors.
    level : float
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        Columns ``kind quantity observed median lower upper below p_value mcse level``. Rows of kind ``range``: mean
        effect, heterogeneity, effect in a new study, and the estimate of the trial with the median standard error;
        of kind ``statistic``: the statistics of `ppc_table` in data simulated from the priors. A prior that puts the
        observed statistic in its tail conflicts with the data; ranges that no clinician believes say that a prior is
        too wide.

    Raises
    ------
    ModelError
        For an improper prior.

    References
    ----------
    Box GEP. J R Stat Soc A 1980;143:383-430. doi:10.2307/2982063
    """
    p = interval_ends(level)
    require_proper(fit)
    effects = fit.effects
    prior = fit.tree["prior"].to_dataset()
    y = np.moveaxis(fit.tree["prior_predictive"].to_dataset()["y"].values, -1, 0)
    rows: list[dict[str, object]] = []
    names = [name for name in ("mu", "tau", "theta_trial", "theta_new") if name in prior]
    for name in names if fit.model.tau is not None else ["mu"]:
        lower, median, upper = Draws(prior[name].values).quantile(p)
        rows.append(
            {
                "kind": "range",
                "quantity": name,
                "observed": np.nan,
                "median": median,
                "lower": lower,
                "upper": upper,
                "below": np.nan,
                "p_value": np.nan,
                "mcse": np.nan,
            }
        )
    typical = int(np.argsort(effects.se, kind="stable")[(effects.k - 1) // 2])
    quantity = f"y[{effects.label[typical]}]"
    rows.append({"kind": "range", "quantity": quantity, **_compared(float(effects.y[typical]), y[typical], p)})
    replicated = statistics(effects, y)
    for name, value in statistics(effects, effects.y).items():
        rows.append({"kind": "statistic", "quantity": name, **_compared(float(value), replicated[name], p)})
    frame = pd.DataFrame(rows)
    frame["level"] = level
    return frame
