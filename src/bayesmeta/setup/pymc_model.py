"""A model written plainly for PyMC: named dimensions, observed variables, true effects in sight.

The sampling engine (`bayesmeta.nuts`) integrates the true effects out for speed, so that its graph is made of
potentials. This one is for reading, drawing, sampling and extending, and a third way to the same posterior.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.model import (
    Columns,
    Design,
    Exchangeable,
    Model,
    OutlierEffects,
    StudentEffects,
    build_design,
    effect_correlations,
)
from bayesmeta.nuts import control_arms
from bayesmeta.priors import LogStudentT, Prior, Truncated, resolve

if TYPE_CHECKING:
    import pymc as pm

FloatArray = NDArray[np.float64]

__all__ = ["pymc_text", "to_pymc"]

#: Our families and fields by PyMC's names.
_FAMILIES: dict[str, tuple[str, dict[str, str]]] = {
    "normal": ("Normal", {"mean": "mu", "sd": "sigma"}),
    "studentt": ("StudentT", {"loc": "mu", "scale": "sigma", "df": "nu"}),
    "cauchy": ("Cauchy", {"loc": "alpha", "scale": "beta"}),
    "halfnormal": ("HalfNormal", {"scale": "sigma"}),
    "halfstudentt": ("HalfStudentT", {"scale": "sigma", "df": "nu"}),
    "halfcauchy": ("HalfCauchy", {"scale": "beta"}),
    "lognormal": ("LogNormal", {"meanlog": "mu", "sdlog": "sigma"}),
    "inversegamma": ("InverseGamma", {"shape": "alpha", "scale": "beta"}),
    "exponential": ("Exponential", {"rate": "lam"}),
    "uniform": ("Uniform", {"low": "lower", "high": "upper"}),
}


def to_pymc(effects: Effects, model: Model) -> pm.Model:
    r"""Write a model down for PyMC as its user would.

    .. math::
        y \sim N(\theta, S), \quad \theta = \mu + X\beta + \tau L z, \quad z \sim N(0, I), \quad L L' = R

    with S the sampling covariance and R the correlations of true effects of rows that share an arm; without such rows
    both are diagonal. A categorical moderator is a ``ZeroSumNormal`` over its levels, centred over the observed mix, so
    that every difference of two levels has the stated prior. Counts are observed as binomials.

    Parameters
    ----------
    effects : Effects
    model : Model

    Returns
    -------
    pymc.Model
        Dimensions ``estimate``, ``NAME_level`` of a categorical moderator, ``trial`` with clusters, ``control_arm``
        with counts. Variables ``mu``, ``tau``, ``z``, ``z_new``, ``theta``, ``theta_new``; one by each moderator's
        name; observed ``y``, or ``events_t`` and ``events_c``, or ``events``.

    Raises
    ------
    ModelError
        For imputed values (moderators, standard deviations, numbers that estimates were derived from), curves, a tau
        that differs by a moderator, counts on the scale of RR or RD, heavy tails with rows that share patients,
        and Jeffreys' prior.

    See Also
    --------
    bayesmeta.fit : The same model, exactly or by draws with the true effects integrated out.

    Examples
    --------
    >>> written = bm.to_pymc(effects, model)
    >>> [variable.name for variable in written.free_RVs], [variable.name for variable in written.observed_RVs]
    (['mu', 'tau', 'z', 'z_new'], ['y'])
    >>> list(written.coords["estimate"][:2])
    ['A', 'B']
    """
    import pymc as pm
    import pytensor.tensor as pt

    _refuse_unsupported(effects, model)
    design = build_design(effects, model)
    with pm.Model(coords={"estimate": list(effects.label)}) as written:
        location = _location(effects, model, design)
        theta = location
        tau: Any = None if model.tau is None else _prior("tau", model.tau, positive=True)
        if tau is not None:
            theta = pm.Deterministic("theta", location + _deviations(effects, model, tau), dims="estimate")
            _new_study(model, written["mu"], tau)
        else:
            theta = pm.Deterministic("theta", pt.broadcast_to(location, (effects.k,)), dims="estimate")
        _observe(effects, model, theta)
    return written


def _refuse_unsupported(effects: Effects, model: Model) -> None:
    terms = [name for name, term in model.beta.items() if type(term).__name__ in ("Spline", "Monotone")]
    shared = any(rows.size > 1 for rows, _ in effects.blocks)
    reasons = {
        "imputed moderators": bool(model.missing),
        "numbers that estimates were derived from, with a prior": bool(model.derived),
        "imputed standard deviations": model.missing_sd is not None,
        f"curves ({', '.join(terms)})": bool(terms),
        "a tau that differs by a moderator": model.tau_by is not None,
        "heavy-tailed true effects with rows that share patients": model.random is not None and shared,
        f"counts on the scale of {effects.measure}": model.likelihood == "binomial"
        and effects.measure not in ("OR", "PLO"),
        "counts without a prior of the control risks": model.likelihood == "binomial"
        and effects.measure == "OR"
        and model.baseline is None,
        "jeffreys()": model.tau is not None and model.tau.name == "jeffreys",
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise ModelError(
            f"to_pymc does not write {'; '.join(found)}. bayesmeta.fit answers such models; a plain graph can be "
            "extended by hand from that of the model without them."
        )


def _prior(name: str, prior: Prior, *, positive: bool = False, **options: Any) -> Any:
    """A variable with a prior, scalar unless ``options`` give dimensions."""
    import pymc as pm
    import pytensor.tensor as pt

    kernel = resolve(prior)
    if kernel.name == "flat":
        return (pm.HalfFlat if positive else pm.Flat)(name, **options)
    if isinstance(kernel, LogStudentT):
        log = pm.StudentT(f"log_{name}", nu=kernel.df, mu=kernel.loc, sigma=kernel.scale, **options)
        return pm.Deterministic(name, pt.exp(log), dims=options.get("dims"))
    if isinstance(kernel, Truncated):
        cls, parameters = _parameters(name, resolve(kernel.prior))
        low, high = (end if math.isfinite(end) else None for end in kernel.support)
        return pm.Truncated(name, cls.dist(**parameters), lower=low, upper=high, **options)
    cls, parameters = _parameters(name, kernel)
    return cls(name, **parameters, **options)


def _parameters(name: str, kernel: Prior) -> tuple[Any, dict[str, float]]:
    import pymc as pm

    if kernel.name not in _FAMILIES:
        raise ModelError(f"{name}: {kernel!r} has no counterpart in PyMC. Use one of {', '.join(_FAMILIES)}.")
    cls, names = _FAMILIES[kernel.name]
    return getattr(pm, cls), {
        names[item.name]: getattr(kernel, item.name) for item in fields(kernel) if item.name in names
    }


def pymc_text(name: str, prior: Prior, *, positive: bool = False) -> str:
    """A scalar variable with a prior, as a line of Python.

    Parameters
    ----------
    name : str
    prior : Prior
    positive : bool
        Of a flat prior: on the positive half-line.

    Raises
    ------
    ModelError
        For a family that PyMC does not have, and for a truncated one.

    Examples
    --------
    >>> from bayesmeta.setup import pymc_text
    >>> pymc_text("tau", bm.HalfNormal(0.5), positive=True)
    'pm.HalfNormal("tau", sigma=0.5)'
    """
    kernel = resolve(prior)
    if kernel.name == "flat":
        return f'pm.{"HalfFlat" if positive else "Flat"}("{name}")'
    if isinstance(kernel, LogStudentT):
        log = f'pm.StudentT("log_{name}", nu={kernel.df!r}, mu={kernel.loc!r}, sigma={kernel.scale!r})'
        return f'pm.Deterministic("{name}", pm.math.exp({log}))'
    if kernel.name not in _FAMILIES:
        raise ModelError(f"{name}: {kernel!r} is not written for PyMC. Use one of {', '.join(_FAMILIES)}.")
    cls, names = _FAMILIES[kernel.name]
    given = ", ".join(
        f"{names[item.name]}={float(getattr(kernel, item.name))!r}" for item in fields(kernel) if item.name in names
    )
    return f'pm.{cls}("{name}", {given})'


def _location(effects: Effects, model: Model, design: Design) -> Any:
    """Mean of every row's true effect: the mean over the observed mix, and what its moderators add."""
    total = _prior("mu", model.mu)
    for term in design.terms[1:]:
        total = total + _term(effects, model, design, term)
    return total


def _term(effects: Effects, model: Model, design: Design, term: Columns) -> Any:
    import pymc as pm
    import pytensor.tensor as pt

    kernel = None if term.prior is None else resolve(term.prior)
    factor = design.prior_scale[term.columns]
    columns = design.X[:, term.columns]
    whole = design.factors.get(term.name)
    if whole is not None and whole.levels:
        # the prior scale of orthonormal columns is that of the zero-sum vector of levels
        sigma: Any
        if isinstance(model.beta[term.name], Exchangeable):
            assert term.sd is not None
            sigma = _prior(f"sd_{term.name}", term.sd, positive=True) * factor[0]
        elif kernel is not None and kernel.name == "normal" and getattr(kernel, "mean", 0) == 0:
            sigma = getattr(kernel, "sd", math.nan) * factor[0]
        else:
            raise ModelError(f"moderator {term.name}: levels with the prior {term.prior!r}. Use normal(0, sd).")
        pm.modelcontext(None).add_coord(f"{term.name}_level", list(whole.levels))
        level = pm.ZeroSumNormal(term.name, sigma=sigma, dims=f"{term.name}_level")
        values = [str(value) for value in effects.moderators[term.name]]
        place = np.array([whole.levels.index(value) for value in values])
        return level[place] - pt.dot(whole.centre, level)
    if kernel is None:
        raise ModelError(f"moderator {term.name}: exchangeable coefficients of numbers are not written.")
    if columns.shape[1] == 1 and factor[0] == 1:
        return _prior(term.name, kernel) * columns[:, 0]
    if kernel.name != "normal":
        raise ModelError(f"moderator {term.name}: several columns with the prior {kernel!r}. Use normal(mean, sd).")
    mean, sd = getattr(kernel, "mean", 0.0), getattr(kernel, "sd", math.nan)
    coefficients = pm.Normal(term.name, mu=mean * factor, sigma=sd * factor, shape=columns.shape[1])
    return pt.dot(columns, coefficients)


def _deviations(effects: Effects, model: Model, tau: Any) -> Any:
    """What true effects differ by from their means."""
    import pymc as pm
    import pytensor.tensor as pt

    random = model.random
    if model.cluster_tau is not None:
        assert effects.cluster is not None
        names = list(dict.fromkeys(effects.cluster))
        pm.modelcontext(None).add_coord("trial", names)
        place = np.array([names.index(name) for name in effects.cluster])
        within = _prior("tau_within", model.cluster_tau, positive=True)
        return tau * pm.Normal("u", dims="trial")[place] + within * pm.Normal("z", dims="estimate")
    if isinstance(random, OutlierEffects):
        share = _prior("share", random.share, positive=True)
        extra = _prior("extra", random.extra, positive=True)
        spreads = pt.stack([tau, pt.sqrt(tau**2 + extra**2)])
        return pm.NormalMixture("deviation", w=pt.stack([1 - share, share]), mu=0.0, sigma=spreads, dims="estimate")
    z = pm.Normal("z", dims="estimate")
    if isinstance(random, StudentEffects):
        df = _prior("df", random.df, positive=True)
        return tau * z / pt.sqrt(pm.Gamma("mixing", alpha=df / 2, beta=df / 2, dims="estimate"))
    factor = _factor(effects, model)
    return tau * (z if factor is None else pt.dot(factor, z))


def _factor(effects: Effects, model: Model) -> FloatArray | None:
    """L with L L' = R, the correlations of true effects; None where they are independent."""
    R = np.eye(effects.k)
    if model.likelihood == "binomial" and effects.measure == "OR":
        # counts know shared arms; a divided control group divides no true effect
        _, arm = control_arms(effects, whole=True)
        R = np.where(arm[:, None] == arm[None, :], model.rho, 0.0)
        np.fill_diagonal(R, 1.0)
    else:
        for (rows, _), block in zip(effects.blocks, effect_correlations(effects, model.rho), strict=True):
            R[np.ix_(rows, rows)] = block
    if np.array_equal(R, np.eye(effects.k)):
        return None
    values, vectors = np.linalg.eigh(R)
    # rho = 1 leaves a singular matrix, whose zero eigenvalues rounding may make negative
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))


def _new_study(model: Model, mu: Any, tau: Any) -> None:
    """The true effect in a new study, for the observed mix of moderators."""
    import pymc as pm
    import pytensor.tensor as pt

    context = pm.modelcontext(None)
    if isinstance(model.random, StudentEffects):
        pm.StudentT("theta_new", nu=context["df"], mu=mu, sigma=tau)
    elif isinstance(model.random, OutlierEffects):
        weights = pt.stack([1 - context["share"], context["share"]])
        spreads = pt.stack([tau, pt.sqrt(tau**2 + context["extra"] ** 2)])
        pm.NormalMixture("theta_new", w=weights, mu=mu, sigma=spreads)
    else:
        spread = tau if model.cluster_tau is None else pt.sqrt(tau**2 + context["tau_within"] ** 2)
        pm.Deterministic("theta_new", mu + spread * pm.Normal("z_new"))


def _observe(effects: Effects, model: Model, theta: Any) -> None:
    import pymc as pm

    if model.likelihood == "normal":
        if effects.blocks:
            pm.MvNormal("y", mu=theta, cov=effects.covariance(), observed=effects.y, dims="estimate")
        else:
            pm.Normal("y", mu=theta, sigma=effects.se, observed=effects.y, dims="estimate")
        return
    assert effects.counts is not None
    counts = effects.counts.astype(int)
    if effects.measure == "PLO":
        pm.Binomial("events", n=counts[:, 1], logit_p=theta, observed=counts[:, 0], dims="estimate")
        return
    assert model.baseline is not None
    arms, place = control_arms(effects)
    first = [int(np.flatnonzero(place == number)[0]) for number in range(len(arms))]
    pm.modelcontext(None).add_coord("control_arm", [effects.label[row] for row in first])
    control = _prior("control_logit", model.baseline, dims="control_arm")
    events, people = arms.astype(int).T
    pm.Binomial("events_c", n=people, logit_p=control, observed=events, dims="control_arm")
    pm.Binomial("events_t", n=counts[:, 1], logit_p=control[place] + theta, observed=counts[:, 0], dims="estimate")
