"""Priors against the data: whether they would have predicted estimates like these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical import weighted_chi2_cdf
from bayesmeta.columns import number
from bayesmeta.errors import Finding
from bayesmeta.fits import Fit
from bayesmeta.nuts import HierarchicalRows, build_rows
from bayesmeta.priors import Normal, Prior, resolve

__all__ = ["CONFLICT", "STRONG_CONFLICT", "prior_conflict_table", "prior_conflicts"]

FloatArray = NDArray[np.float64]

#: Prior predictive p below which priors and data are said to conflict, and below which a headline is not reportable.
CONFLICT, STRONG_CONFLICT = 0.01, 0.001
# a prior scale of tau this many times below the median SE, and an SD of mu this many times below the SE of the mean
_NARROW_TAU, _NARROW_MU = 10.0, 2.0
#: Estimates up to which Q has its distribution computed, which takes the cube of their number.
_MOST = 500
# the scale of a half-normal is its quantile at this probability, and the SD of a normal half its central width
_ONE_SD = float(special.erf(0.5**0.5))
# probits beyond this hold 2e-16 of a prior
_REACH = 8.2
# the first step of the rule in the probit, how often it is halved, and what it then changes by
_STEP, _HALVINGS, _SETTLED = 0.4, 6, 1e-7
_COLUMNS = [
    *("quantity", "prior", "statistic", "observed", "p_lower", "p_upper", "p", "verdict", "scale", "limit", "note"),
]
_RULE = "prior against data"
_found: WeakKeyDictionary[Fit, pd.DataFrame] = WeakKeyDictionary()


def prior_conflict_table(fit: Fit) -> pd.DataFrame:
    r"""Prior predictive check of the priors of mu and tau, computed without simulation.

    ``mu`` is checked by the mean ``T = sum(y / se^2) / sum(1 / se^2)``: its place under the prior of mu convolved
    with ``N(0, Var(T | tau))``, averaged over the prior of tau. ``tau`` is checked by Cochran's
    ``Q = y' (W - W 1 1' W / 1' W 1) y``, ``W = S^-1``, which does not depend on mu: given tau it is a weighted sum of
    chi-squared variables, whose distribution is inverted (`bayesmeta.classical.weighted_chi2_cdf`) and averaged over
    the prior of tau. Rows that share patients enter with S and ``tau^2 R``.

    Parameters
    ----------
    fit : Fit
        By either engine: estimates and priors are all that is asked of it.

    Returns
    -------
    pandas.DataFrame
        Rows ``mu`` and, where the model has one, ``tau``. Columns ``quantity prior statistic observed``;
        ``p_lower p_upper``, the probabilities of a statistic at most and at least as large; ``p``, twice the smaller
        of them; ``verdict``: ``agrees``, ``conflict`` (p below 0.01), ``strong conflict`` (p below 0.001) or ``not
        checked``, with the reason in ``note``; ``scale``, the SD of the prior of mu (half its central 68.3 %) and the
        scale of that of tau (its 68.3 % quantile, as of a half-normal), and ``limit``, below which it is narrow beside
        the data: half the SE of T, a tenth of the median SE. All on the analysis scale. p has an error below 1e-6
        (1e-5 for a mu that is cut).

    References
    ----------
    Evans M, Moshonov H. Bayesian Anal 2006;1:893-914. doi:10.1214/06-BA129

    Examples
    --------
    >>> prior_conflict_table(fit)[["quantity", "p", "verdict"]].round(2).values.tolist()
    [['mu', 0.89, 'agrees'], ['tau', 0.51, 'agrees']]
    """
    if fit not in _found:
        _found[fit] = pd.DataFrame(_rows(fit)).reindex(columns=_COLUMNS)
    return _found[fit].copy()


def prior_conflicts(fit: Fit) -> tuple[Finding, ...]:
    """What `prior_conflict_table` has to say, as findings; none where priors and data agree.

    Returns
    -------
    tuple of Finding
        ``error`` where p is below 0.001: a headline under such priors is not reportable; ``warning`` below 0.01, and
        for a prior that is narrow beside the precision of the data.

    Examples
    --------
    >>> wrong = bm.fit(effects, bm.Model(bm.Normal(2, 0.2), bm.HalfNormal(0.1)))
    >>> [(finding.rule, finding.severity) for finding in prior_conflicts(wrong)]
    [('prior against data', 'error')]
    """
    found = []
    for row in prior_conflict_table(fit).to_dict("records"):
        name, prior, p = row["quantity"], row["prior"], row["p"]
        if p < CONFLICT:
            found.append(_conflict(fit, row))
        if row["scale"] < row["limit"]:
            what, than = (
                (f"SD {number(row['scale'], 2)}", f"half the standard error of their mean ({number(row['limit'], 2)})")
                if name == "mu"
                else (
                    f"scale {number(row['scale'], 2)}",
                    f"a tenth of their median standard error ({row['limit']:.2g})",
                )
            )
            found.append(
                Finding(
                    "narrow prior",
                    "warning",
                    f"the prior of {name}, {prior}, has {what}, on the scale of the estimates less than {than}",
                    "It decides the answer. Is it meant for another scale than that of the estimates?",
                )
            )
    if fit.effects.n_trials == 1 and fit.model.tau is not None and not resolve(fit.model.mu).proper:
        found.append(
            Finding(
                "one trial",
                "warning",
                f"with one trial and {fit.model.mu!r} for mu the data say nothing of tau: its posterior is its prior "
                f"{fit.model.tau!r}, and the interval of the mean is as wide as that prior makes it",
                "Read the trial's own result, or give mu a proper prior.",
            )
        )
    return tuple(found)


def _conflict(fit: Fit, row: dict[Any, Any]) -> Finding:
    # what is left of a difference of probabilities holds no digits below this
    p = f"= {row['p']:.2g}" if row["p"] > 1e-12 else "< 1e-12"
    observed, prior = number(row["observed"]), row["prior"]
    severity = "error" if row["verdict"] == "strong conflict" else "warning"
    if row["note"]:
        evidence = f"tau: Q = {observed} of {fit.effects.k} estimates, p {p} under {prior}; {row['note']}"
        return Finding("estimates alike", "warning", evidence, "Check them, and whether rows repeat each other.")
    if row["quantity"] == "mu":
        evidence = (
            f"mu: the weighted mean of the estimates, {observed} on the analysis scale, is improbable under the "
            f"priors {prior} of mu and {fit.model.tau!r} of tau: prior predictive p {p}"
        )
    else:
        more = "more" if row["p_upper"] < row["p_lower"] else "less"
        evidence = (
            f"tau: the estimates differ {more} (Q = {observed}) than the prior {prior} of tau holds probable: prior "
            f"predictive p {p}"
        )
    remedy = (
        "Is the prior on the scale of the estimates, and in their direction? State one for this scale, from outside "
        "these data; the other may stand as a declared sensitivity analysis."
    )
    return Finding(_RULE, severity, evidence, remedy)  # type: ignore[arg-type]


def _rows(fit: Fit) -> list[dict[str, Any]]:
    """One row per prior that is checked."""
    model, effects = fit.model, fit.effects
    weights = effects.se**-2.0
    share = weights / weights.sum()
    mean = float(share @ effects.y)
    rows: list[dict[str, Any]] = [{"quantity": "mu", "prior": repr(model.mu), "statistic": "T", "observed": mean}]
    rows += [
        {"quantity": name, "prior": repr(prior), "statistic": "Q"}
        for name, prior in (("tau", model.tau), ("tau_within", model.cluster_tau))
        if prior is not None
    ]
    for row, prior in zip(rows, (model.mu, model.tau, model.cluster_tau), strict=False):
        row |= {"verdict": "not checked", "note": _why_not(fit)}
        proper = resolve(prior) if prior is not None else None
        if proper is not None and proper.proper:
            low = 0.0 if row["quantity"] != "mu" else 0.5 - 0.5 * _ONE_SD
            ends = np.asarray(proper.ppf(np.array([low, low + _ONE_SD])), float)
            row["scale"] = 0.5 * float(np.ptp(ends)) if low else float(ends[1])
        row["limit"] = float(np.median(effects.se)) / _NARROW_TAU
    if rows[0]["note"]:
        # the precision of estimates that are not normal, or not known, says nothing of a scale
        return [{**row, "limit": np.nan} for row in rows]
    h = build_rows(effects, model)
    parts = _variance_of_mean(h, share)
    rows[0]["limit"] = parts[0] ** 0.5 / _NARROW_MU
    _judge(rows[0], _mean_tails, fit, mean, parts)
    for row in rows[1:]:
        if model.cluster_tau is not None:
            row["note"] = "with clusters Q depends on two SDs; mu is checked with both"
        elif effects.k < 2:
            row["note"] = "one estimate says nothing about tau"
        elif effects.k > _MOST:
            row["note"] = f"more than {_MOST} estimates: no prior of tau that allows for their differences stands out"
        else:
            q, spread = _q_and_weights(h)
            row["observed"] = q
            _judge(row, _q_tails, fit, q, spread)
            # the upper tail at tau = 0 is the largest chance of so small a Q that any prior of tau could give it
            largest = float(special.gammainc(0.5 * (effects.k - 1), 0.5 * q))
            if row.get("p", 1.0) < CONFLICT and row["p_lower"] < row["p_upper"] and 2 * largest < CONFLICT:
                row["note"] = "the estimates agree better than their standard errors allow, whatever tau is"
                row["verdict"] = "conflict"
    return rows


def _why_not(fit: Fit) -> str:
    """Why there is no check, where there is none."""
    model = fit.model
    if model.likelihood != "normal":
        return f"the {model.likelihood} likelihood has no normal estimates to compare with"
    if model.beta:
        return "with moderators the mean is one of several coefficients; the pooled analysis is checked"
    if model.random is not None:
        return f"{type(model.random).__name__}: true effects are not normal given tau"
    if model.derived or model.missing_sd is not None:
        return "estimates depend on numbers that nobody reported"
    return ""


def _judge(row: dict[str, Any], tails: Callable[..., tuple[float, float]], fit: Fit, *numbers: object) -> None:
    """Put probabilities and verdict into a row, or the reason why there are none."""
    model = fit.model
    asked = [model.tau, model.cluster_tau] if row["quantity"] == "tau" else [model.mu, model.tau, model.cluster_tau]
    improper = [repr(prior) for prior in asked if prior is not None and not resolve(prior).proper]
    if improper:
        row["note"] = f"{', '.join(improper)} is improper: it has no prior predictive distribution"
        return
    lower, upper = tails(fit, *numbers)
    p = min(1.0, 2.0 * min(lower, upper))
    verdict = "strong conflict" if p < STRONG_CONFLICT else "conflict" if p < CONFLICT else "agrees"
    row |= {"p_lower": lower, "p_upper": upper, "p": p, "verdict": verdict}


def _variance_of_mean(h: HierarchicalRows, share: FloatArray) -> tuple[float, float, float]:
    """Var(T) at both SDs zero, and what tau^2 and the SD within clusters squared add to it."""
    # what gives T of the rotated rows: U' g = share, block by block
    g = share.copy()
    for rows, _, backward in h.turns:
        g[rows] = backward.T @ share[rows]
    apart, common = float(g**2 @ h.a), float(g**2 @ h.b)
    if h.cluster is None:
        return apart, common, 0.0
    total: dict[str, float] = {}
    for name, value in zip(h.effects.cluster or (), g * h.cluster, strict=True):
        total[name] = total.get(name, 0.0) + float(value)
    return apart, float(np.square(list(total.values())).sum()), common


def _mean_tails(fit: Fit, observed: float, parts: tuple[float, float, float]) -> tuple[float, float]:
    """P(T_rep <= T) and P(T_rep >= T)."""
    model, prior = fit.model, resolve(fit.model.mu)
    z = np.linspace(-_REACH, _REACH, 1025)
    density = np.exp(-0.5 * z * z)
    density /= density.sum()

    def at(tau: FloatArray, within: FloatArray) -> FloatArray:
        variance = parts[0] + tau**2 * parts[1] + within**2 * parts[2]
        if isinstance(prior, Normal):
            distance = (observed - prior.mean) / np.sqrt(prior.sd**2 + variance)
            return np.array([special.ndtr(distance), special.ndtr(-distance)])
        below = np.array([density @ prior.cdf(observed - sd * z) for sd in np.sqrt(variance)])
        return np.array([below, 1.0 - below])

    lower, upper = _averaged((model.tau, model.cluster_tau), at, fit)
    return lower, upper


def _q_and_weights(h: HierarchicalRows) -> tuple[float, FloatArray]:
    """Cochran's Q, and eigenvalues d for which Q is a sum of (1 + tau^2 d) chi2(1) variables, k - 1 of each."""
    u, x = (h.rotate(column) / np.sqrt(h.a) for column in (h.y, np.ones(h.y.size)))
    x = x / np.linalg.norm(x)
    rest = u - x * (x @ u)
    # an orthonormal basis of what is left beside x: the other columns of a full QR decomposition
    beside = np.linalg.qr(x[:, None], mode="complete")[0][:, 1:]
    spread = np.linalg.eigvalsh((beside.T * (h.b / h.a)) @ beside)
    q = float(rest @ rest)
    # equal estimates leave rounding
    return q if q > 1e-28 * float(u @ u) else 0.0, np.maximum(spread, 0.0)


def _q_tails(fit: Fit, q: float, spread: FloatArray) -> tuple[float, float]:
    """P(Q_rep <= Q) and P(Q_rep >= Q)."""

    def at(tau: FloatArray, within: FloatArray) -> FloatArray:
        below = weighted_chi2_cdf(np.full(tau.size, q), 1.0 + tau[:, None] ** 2 * spread)
        return np.array([below, 1.0 - below])

    lower, upper = _averaged((fit.model.tau, None), at, fit)
    return lower, upper


def _averaged(
    priors: tuple[Prior | None, Prior | None], at: Callable[[FloatArray, FloatArray], FloatArray], fit: Fit
) -> tuple[float, float]:
    """Average two tails over the priors of one or two SDs, by the trapezoidal rule in their probits.

    The rule converges geometrically for a smooth integrand; it is halved until it settles.
    """
    effects = fit.effects
    # a heavy tail reaches further than any number: beyond this both tails are at their limits
    most = 1e7 * (float(np.abs(effects.y).max()) + float(effects.se.max()))
    stated = [resolve(prior) for prior in priors if prior is not None]
    before = np.full(2, np.inf)
    for halving in range(_HALVINGS + 1 if len(stated) < 2 else 3):
        step = _STEP / 2**halving
        z = step * np.arange(-int(_REACH / step), int(_REACH / step) + 1)
        weight = np.exp(-0.5 * z * z) / np.exp(-0.5 * z * z).sum()
        nodes = [np.minimum(np.asarray(prior.ppf(special.ndtr(z)), float), most) for prior in stated]
        if len(stated) == 2:
            first, second = (grid.ravel() for grid in np.meshgrid(*nodes, indexing="ij"))
            weight = np.outer(weight, weight).ravel()
        else:
            first = nodes[0] if nodes else np.zeros(1)
            second, weight = np.zeros(first.size), weight if nodes else np.ones(1)
        now = at(first, second) @ weight
        if not stated or np.abs(now - before).max() < _SETTLED * max(float(now.min()), 1e-3):
            break
        before = now
    return float(now[0]), float(now[1])
