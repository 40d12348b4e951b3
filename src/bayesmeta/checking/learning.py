"""What the data taught: every posterior beside its prior."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.fits import Fit, marginal, quantities
from bayesmeta.marginals import Draws, Marginal
from bayesmeta.model import OutlierEffects, StudentEffects
from bayesmeta.nuts import build_rows, is_proper, new_study, sample_prior_predictive
from bayesmeta.priors import Cauchy, Normal, Prior, StudentT, resolve

__all__ = ["A_LOT", "NOTHING", "learned_names", "overlap_curves", "overlap_table", "prior_forms"]

FloatArray = NDArray[np.float64]
Form = Prior | Draws

#: Overlap of prior and posterior below which the data taught a lot: Garrett and Zeger 2000 call parameters with more
#: than 0.35 weakly identified.
A_LOT = 0.35
#: Overlap above which they taught next to nothing; a judgement. For two normals of one mean the posterior SD is then
#: 0.73 of the prior's.
NOTHING = 0.85
# draws of the prior where it has no closed form
_PRIOR_DRAWS = 40000
_TAIL = 5e-4


def learned_names(fit: Fit) -> tuple[str, ...]:
    """Quantities that the trials as a whole inform: all but those of single trials, and ratios of others."""
    single = ("theta[", "missing[", "missing_sd[", "outlier[")
    return tuple(name for name in quantities(fit) if not (name.startswith(single) or "] / tau[" in name))


def prior_forms(fit: Fit, names: Sequence[str]) -> dict[str, Form | None]:
    """Prior of every quantity: in closed form where it has one, else by draws; None where it is improper."""
    model, design = fit.model, fit.design
    stated: dict[str, Prior | None] = {"mu": model.mu, "tau": model.tau, "tau_within": model.cluster_tau}
    stated |= {f"sd[{term.name}]": term.sd for term in design.terms}
    h = build_rows(fit.effects, model)
    if h.spread is not None:
        stated = {**stated, "tau": None, **h.spread.priors}
    if isinstance(model.random, StudentEffects):
        stated["df"] = model.random.df
    if isinstance(model.random, OutlierEffects):
        stated |= {"share": model.random.share, "extra": model.random.extra}
    stated |= dict(model.derived)
    found: dict[str, Form | None] = {name: prior for name, prior in stated.items() if prior is not None}
    for contrast in design.contrasts:
        for term in design.terms:
            inside = np.zeros(design.p, bool)
            inside[term.columns] = True
            if term.prior is not None and not contrast.weights[~inside].any():
                form = _of_contrast(term.prior, design.prior_scale * contrast.weights)
                if form is not None:
                    found[f"beta[{contrast.name}]"] = form
    found = {name: resolve(form) if isinstance(form, Prior) else form for name, form in found.items()}
    improper = {name for name, form in found.items() if isinstance(form, Prior) and not form.proper}
    open_ones = [name for name in names if name not in found]
    if open_ones and is_proper(h):
        rng = np.random.default_rng([fit.seed, 6])
        drawn = sample_prior_predictive(h, _PRIOR_DRAWS, rng).parameters
        coefficients = drawn["coefficients"]
        fresh = new_study(model, drawn, rng)
        for contrast in design.contrasts:
            found.setdefault(f"beta[{contrast.name}]", Draws(contrast.weights @ coefficients))
        for name, deviation in fresh.items():
            found[name] = Draws(coefficients[0] + deviation)
    return {name: None if name in improper else found.get(name) for name in names}


def _of_contrast(prior: Prior, weights: FloatArray) -> Prior | None:
    """Prior of a weighted sum of coefficients of one stated prior: normal, or Student-t with one mixing scale."""
    kernel, size, total = resolve(prior), float(np.linalg.norm(weights)), float(weights.sum())
    if isinstance(kernel, Normal):
        return Normal(kernel.mean * total, kernel.sd * size)
    if isinstance(kernel, StudentT):
        return StudentT(kernel.loc * total, kernel.scale * size, kernel.df)
    if isinstance(kernel, Cauchy):
        return Cauchy(kernel.loc * total, kernel.scale * size)
    # a truncated or flat slope is its own coefficient
    return kernel if np.count_nonzero(weights) == 1 and total == 1 else None


def _moments(form: Form) -> tuple[float, float]:
    """Mean and SD; infinite where they do not exist."""
    if isinstance(form, Draws):
        # draws always have an SD; one ruled by a few of them stands for one that does not exist
        ruled = np.square(form.values - form.mean)
        return (form.mean, form.sd) if ruled.max() < 0.2 * ruled.sum() else (math.nan, math.inf)
    if form.tail[0] <= 3:
        return math.nan, math.inf
    z = np.linspace(-8.2, 8.2, 4001)
    weights = np.exp(-0.5 * z * z)
    weights = weights / weights.sum()
    x = np.asarray(form.ppf(special.ndtr(z)))
    mean = float(weights @ x)
    return mean, math.sqrt(float(weights @ np.square(x - mean)))


def _density(form: Form | Marginal, x: FloatArray) -> FloatArray:
    if isinstance(form, Prior):
        return np.exp(form.logpdf(x))
    if isinstance(form, Draws):
        # the kernel's width is that of the middle; a far draw must not widen it
        low, high = form.quantile(np.array([_TAIL, 1 - _TAIL]))
        inside = form.values[(form.values >= low) & (form.values <= high)]
        return (1 - 2 * _TAIL) * Draws(inside, low=form.low, high=form.high).density(x)
    return form.density(x)


def _quantiles(form: Form | Marginal, p: FloatArray) -> FloatArray:
    if isinstance(form, Prior):
        return np.asarray(form.ppf(p), float)
    return form.quantile(np.clip(p, _TAIL, 1 - _TAIL) if isinstance(form, Draws) else p)


def _grid(first: Form | Marginal, second: Form | Marginal) -> FloatArray:
    """Points that are dense where either distribution is: few quantiles, which cost most, and steps between them."""
    p = special.ndtr(np.linspace(-6.5, 6.5, 27))
    x = [_quantiles(form, p) for form in (first, second)]
    part = np.linspace(0, 1, 24, endpoint=False)
    fine = [(a[:-1, None] + np.diff(a)[:, None] * part).ravel() for a in (values[np.isfinite(values)] for values in x)]
    return np.unique(np.concatenate(fine))


def overlap(prior: Form, posterior: Marginal) -> float:
    """Overlapping coefficient, the integral of the smaller density: 1 for equals, 0 where they exclude each other.

    Between two closed forms by their distribution functions on cells of a fine grid; with draws by their densities.

    Examples
    --------
    >>> from bayesmeta.marginals import NormalMixture
    >>> shifted = NormalMixture([1.0], [1.0], [1.0])
    >>> round(overlap(bm.Normal(0, 1), shifted), 4), round(2 * float(special.ndtr(-0.5)), 4)
    (0.6171, 0.6171)
    """
    x = _grid(prior, posterior)
    if isinstance(prior, Prior) and not isinstance(posterior, Draws):
        cells = [np.diff(np.concatenate([[0.0], form.cdf(x), [1.0]])) for form in (prior, posterior)]
        return float(np.minimum(*cells).sum())
    smaller = np.minimum(_density(prior, x), _density(posterior, x))
    return float(min(np.trapezoid(smaller, x), 1.0))


def overlap_table(fit: Fit) -> pd.DataFrame:
    """What the data taught, quantity by quantity: how far each posterior is from its prior.

    Parameters
    ----------
    fit : Fit
        By either engine.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity prior overlap sd_ratio width_ratio shift verdict by``. ``overlap`` is the integral of the
        smaller of the two densities; ``sd_ratio`` and ``width_ratio`` the posterior SD and 95 % interval over the
        prior's; ``shift`` the change of the mean in prior SDs. Verdicts by the overlap: ``learned a lot`` below 0.35,
        ``learned something`` to 0.85, above it ``prior-driven``: what is printed for such a quantity is mostly its
        prior. An improper prior has no density, and nothing to compare. ``by`` is ``closed forms`` or ``draws``.

    References
    ----------
    Garrett ES, Zeger SL. Biometrics 2000;56:1055-1067. doi:10.1111/j.0006-341X.2000.01055.x (the cut-off of 0.35).

    Examples
    --------
    >>> table = overlap_table(fit)
    >>> table[["quantity", "overlap", "verdict"]].round(2)
        quantity  overlap            verdict
    0         mu     0.28      learned a lot
    1        tau     0.66  learned something
    2  theta_new     0.41  learned something
    """
    names = learned_names(fit)
    rows = []
    for name, prior in prior_forms(fit, names).items():
        posterior = marginal(fit, name)
        row: dict[str, object] = {"quantity": name, "prior": _words(prior)}
        if prior is None:
            rows.append({**row, "verdict": "no proper prior to compare with", "by": ""})
            continue
        mean, sd = _moments(prior)
        ends = np.array([0.025, 0.975])
        shared = overlap(prior, posterior)
        rows.append(
            {
                **row,
                "overlap": shared,
                "sd_ratio": posterior.sd / sd if math.isfinite(sd) and math.isfinite(posterior.sd) else math.nan,
                "width_ratio": float(np.ptp(posterior.quantile(ends)) / np.ptp(_quantiles(prior, ends))),
                "shift": (posterior.mean - mean) / sd if math.isfinite(sd) else math.nan,
                "verdict": _verdict(shared),
                "by": "draws" if isinstance(prior, Draws) or isinstance(posterior, Draws) else "closed forms",
            }
        )
    columns = ["quantity", "prior", "overlap", "sd_ratio", "width_ratio", "shift", "verdict", "by"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _words(prior: Form | None) -> str:
    if prior is None:
        return "improper"
    return repr(_rounded(prior)) if isinstance(prior, Prior) else "implied by others"


def _rounded(prior: Prior) -> Prior:
    """Take the rounding of a computed parameter away, which differs from processor to processor."""
    given = {item.name: getattr(prior, item.name) for item in dataclasses.fields(prior) if item.init}
    return dataclasses.replace(
        prior, **{name: float(f"{value:.12g}") for name, value in given.items() if isinstance(value, float)}
    )


def _verdict(shared: float) -> str:
    if shared < A_LOT:
        return "learned a lot"
    return "learned something" if shared <= NOTHING else "prior-driven"


def overlap_curves(fit: Fit, names: Sequence[str] | None = None, *, points: int = 201) -> pd.DataFrame:
    """Densities of prior and posterior of each quantity, to be drawn.

    Parameters
    ----------
    names : sequence of str, optional
        Default: all that `overlap_table` has.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity x prior posterior``, over the middle 99 % of the posterior and 95 % of the prior; a prior
        that is much wider is cut where it would flatten the picture, at eight widths of the posterior.
    """
    parts = []
    for name, prior in prior_forms(fit, names or learned_names(fit)).items():
        posterior = marginal(fit, name)
        low, high = (float(v) for v in posterior.quantile(np.array([0.005, 0.995])))
        width = high - low
        if prior is not None:
            a, b = (float(v) for v in _quantiles(prior, np.array([0.025, 0.975])))
            low, high = min(low, max(a, low - 3.5 * width)), max(high, min(b, high + 3.5 * width))
            if isinstance(prior, Prior) and prior.support[0] == 0.0 and a < 0.2 * high:
                low = 0.0
        x = np.linspace(low, high, points)
        with np.errstate(divide="ignore"):
            prior_density = np.full(points, np.nan) if prior is None else _density(prior, x)
        density = _density(posterior, x)
        if isinstance(posterior, Draws) and x[0] == 0.0 == density[0]:
            # the estimate starts at the smallest draw, just above zero
            density[0] = density[1]
        parts.append(pd.DataFrame({"quantity": name, "x": x, "prior": prior_density, "posterior": density}))
    return pd.concat(parts, ignore_index=True)
