"""The posterior of every quantity by name, of one fit or of many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError, find_name
from bayesmeta.fits.result import Fit
from bayesmeta.marginals import Joined, Marginal, Marginals, Separate
from bayesmeta.numerics import interval_ends

__all__ = [
    "LEVEL",
    "distribution",
    "distributions",
    "main_quantiles",
    "marginal",
    "quantiles",
    "quantities",
    "tail_mcse",
]

FloatArray = NDArray[np.float64]

LEVEL = 0.95


def quantities(fit: Fit) -> tuple[str, ...]:
    """Names of all quantities of a fit."""
    scalars, new = fit.posterior.scalars, fit.posterior.new_studies
    return (
        "mu",
        *(name for name in scalars if _is_tau(name)),
        *new,
        *(f"beta[{contrast.name}]" for contrast in fit.design.contrasts),
        *(name for name in scalars if not _is_tau(name)),
        *(f"theta[{label}]" for label in fit.effects.label),
    )


def _is_tau(name: str) -> bool:
    return name.partition("[")[0] in ("tau", "tau_slope")


def _asked(fit: Fit, name: str, at: Mapping[str, Any] | None) -> Marginals:
    """The posterior of one quantity, as a list of one."""
    posterior, design = fit.posterior, fit.design
    if name == "mu" or name in posterior.new_studies:
        return posterior.quantities(design.profile(at)[None, :], [None if name == "mu" else name])
    if name == "tau" and fit.model.tau is None:
        raise ModelError("tau: this is a common-effect model; it has none.")
    if name == "tau" and name not in posterior.scalars:
        raise ModelError(f"tau: it differs by level. Ask for {' or '.join(filter(_is_tau, posterior.scalars))}.")
    if at:
        raise ModelError(f"{name}: a profile (at) is for mu and theta_new.")
    if name in posterior.scalars:
        return Separate([posterior.named(name)])
    for contrast in design.contrasts:
        if name == f"beta[{contrast.name}]":
            return posterior.quantities(contrast.weights[None, :])
    if name.startswith("theta[") and name[6:-1] in fit.effects.label:
        return posterior.studies([fit.effects.label.index(name[6:-1])])
    return _asked(fit, find_name("quantity", name, quantities(fit)), at)


def marginal(fit: Fit, name: str, at: Mapping[str, Any] | None = None) -> Marginal:
    """Posterior of one quantity.

    Parameters
    ----------
    fit : Fit
    name : str
        ``mu``, ``tau``, ``theta_new``, ``beta[...]`` or ``theta[...]``.
    at : mapping, optional
        Moderator values for ``mu`` and ``theta_new``; those not named are averaged over the observed mix.

    Returns
    -------
    Marginal
        With ``mean sd cdf sf quantile density interval rvs``, on the analysis scale. Where tau differs by the levels of
        a moderator, ``tau[LEVEL]`` is that of a level, ``theta_new`` at a profile that names the level has its SD, and
        one that does not has the variance averaged over the observed mix.

    Raises
    ------
    ModelError
        For a name that the fit does not have, and a profile of a quantity that has none.

    Examples
    --------
    >>> common = bm.fit(effects, bm.Model(mu=bm.Flat(), tau=None))
    >>> round(7 * marginal(common, "mu").mean, 6)
    -1.0
    """
    return _asked(fit, name, at)[0]


def _together(fits: Sequence[Fit], name: str, at: Mapping[str, Any] | None) -> Marginals:
    """A quantity of many fits; one fit is a list of one, and takes the shortest way."""
    forms = [_asked(fit, name, at) for fit in fits]
    return forms[0] if len(forms) == 1 else Joined(forms)


def quantiles(fits: Sequence[Fit], name: str, p: ArrayLike) -> FloatArray:
    """Quantiles of a quantity of many fits.

    Parameters
    ----------
    fits : sequence of Fit
    name : str
        As of `marginal`.
    p : array of shape (P,)
        Probabilities strictly between 0 and 1.

    Returns
    -------
    array of shape (len(fits), P)
        Settled to 1e-8 in probability. Zero for tau of a common-effect model.

    Examples
    --------
    >>> common = bm.fit_many([(effects, bm.Model(bm.Flat(), tau=None))])
    >>> (7 * quantiles(common, "mu", np.array([0.5]))).round(6).tolist()
    [[-1.0]]
    """
    found = np.zeros((len(fits), np.size(p)))
    places = [i for i, fit in enumerate(fits) if name != "tau" or fit.model.tau is not None]
    if places:
        found[places] = _together([fits[i] for i in places], name, None).quantile(p)
    return found


def main_quantiles(fits: Sequence[Fit], *, level: float = LEVEL) -> list[dict[str, tuple[float, float, float]]]:
    """Lower end, median and upper end of the mean effect, a new study and tau of many fits, and no more.

    For tables of hundreds of refits, where moments and frames would take most of the time. The keys are ``mu``,
    ``theta_new`` and, where there is heterogeneity, ``tau``.

    Examples
    --------
    >>> common = bm.fit_many([(effects, bm.Model(bm.Flat(), tau=None))])
    >>> round(7 * main_quantiles(common)[0]["mu"][1], 6)
    -1.0
    """
    found: list[dict[str, tuple[float, float, float]]] = [{} for _ in fits]
    for name in ("mu", "theta_new", "tau"):
        # a common effect has no tau, and where it differs by level there are several
        places = [i for i, fit in enumerate(fits) if name != "tau" or name in fit.posterior.scalars]
        for i, row in zip(places, quantiles([fits[i] for i in places], name, interval_ends(level)), strict=True):
            found[i][name] = tuple(row.tolist())
    return found


def distributions(
    fits: Sequence[Fit], name: str, x: ArrayLike, *, at: Mapping[str, Any] | None = None, upper: bool = False
) -> FloatArray:
    """Distribution function (or upper tail) of a quantity of many fits, settled to 1e-8.

    Parameters
    ----------
    fits : sequence of Fit
    name : str
        As of `marginal`.
    x : array of shape (P,)
    at : mapping, optional
        A moderator profile.

    Returns
    -------
    array of shape (len(fits), P)

    Examples
    --------
    >>> common = bm.fit_many([(effects, bm.Model(bm.Flat(), tau=None))])
    >>> distributions(common, "mu", np.array([-1 / 7])).round(6).tolist()
    [[0.5]]
    """
    if not fits:
        return np.empty((0, np.size(x)))
    form = _together(fits, name, at)
    return form.sf(x) if upper else form.cdf(x)


def distribution(
    fit: Fit, name: str, x: ArrayLike, *, at: Mapping[str, Any] | None = None, upper: bool = False
) -> FloatArray:
    """Distribution function (or upper tail) of a quantity at points ``x``, of their shape; settled to 1e-8."""
    x = np.asarray(x, float)
    return distributions([fit], name, x.ravel(), at=at, upper=upper)[0].reshape(x.shape)


def tail_mcse(fit: Fit, name: str, x: ArrayLike, at: Mapping[str, Any] | None = None) -> FloatArray:
    """Monte Carlo standard errors of probabilities that `distribution` gives at ``x`` of shape (P,); zero if exact."""
    return _asked(fit, name, at).cdf_mcse(x)[0]
