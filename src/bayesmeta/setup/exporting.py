"""An analysis with its answer, and short scripts that reach the answer again in R, PyMC or Stan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from bayesmeta.analysis import Analysis
from bayesmeta.boundary import staged
from bayesmeta.classical import pool
from bayesmeta.columns import csv_text
from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.measures import measure
from bayesmeta.model import Model, effect_correlations
from bayesmeta.priors import LogStudentT, Normal, Prior, Truncated, resolve
from bayesmeta.questions import summarize
from bayesmeta.setup.pymc_model import pymc_text

__all__ = ["LANGUAGES", "write_scripts"]

Language = Literal["r", "pymc", "stan"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_SCRIPTS: Mapping[Language, Mapping[str, str]] = {
    "r": {
        "metafor.R": "the classical answer, by metafor; it fails where the two differ.",
        "bayesmeta.R": "the Bayesian answer, by R's bayesmeta. Not run when it was written.",
        "brms.R": "the Bayesian answer, by Stan through brms.",
    },
    "pymc": {"model.py": "the model and its draws, by PyMC; it fails beyond five Monte Carlo standard errors."},
    "stan": {
        "model.stan": "the model.",
        "stan.R": "its draws, by rstan; it fails beyond five Monte Carlo standard errors.",
    },
}


def write_scripts(analyses: Sequence[Analysis], to: Language, folder: Path | str) -> tuple[Path, ...]:
    """Write a folder per analysis with its data, its answer and scripts that reach the answer again.

    The pooled model is written: normal estimates, rows that share patients among them, a common or a random effect.

    Parameters
    ----------
    analyses : sequence of Analysis
    to : {"r", "pymc", "stan"}
    folder : path
        Made where it is not there; a folder in it per analysis, by its key.

    Returns
    -------
    tuple of Path
        The folders.

    Raises
    ------
    ModelError
        For a language that is not one of those, for a prior that it has no words for, and for an analysis whose model
        the scripts cannot hold (counts, clusters, heavy tails, imputed values); nothing is written then.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> analysis = bm.analysis_of(fit)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     (made,) = write_scripts([analysis], "pymc", place)
    ...     print(made.name, sorted(path.name for path in made.iterdir()))
    analysis ['README.md', 'data.csv', 'expected.csv', 'model.py']
    """
    if to not in LANGUAGES:
        raise ModelError(f"scripts for {to!r}: not one of {', '.join(LANGUAGES)}.")
    made = {item.key: _files(item.pooled, item.label, to) for item in analyses}
    target = Path(folder)
    with staged(target) as place:
        for key, files in made.items():
            (place / key).mkdir()
            for name, text in files.items():
                (place / key / name).write_text(text, encoding="utf-8", newline="\n")
    return tuple(target / key for key in made)


def _files(fit: Fit, title: str, to: Language) -> dict[str, str]:
    """The files of one analysis by their names."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    effects, model = fit.effects, fit.model
    _refuse_unsupported(title, model)
    shared = any(rows.size > 1 for rows, _ in effects.blocks)
    files = {
        "data.csv": csv_text(
            pd.DataFrame(
                {
                    "label": list(effects.label),
                    "study": list(effects.study),
                    "yi": effects.y,
                    "vi": np.square(effects.se),
                    "sei": effects.se,
                }
            )
        ),
        "expected.csv": csv_text(_expected(fit)),
    }
    if shared:
        R = np.eye(effects.k)
        for (rows, _), block in zip(effects.blocks, effect_correlations(effects, model.rho), strict=True):
            R[np.ix_(rows, rows)] = block
        files["covariance.csv"], files["correlation.csv"] = _matrix(effects.covariance()), _matrix(R)
    words = _words(title, fit, shared) | _PRIORS_IN[to](*map(_resolved, (fit.model.mu, fit.model.tau)))
    scripts = dict(_SCRIPTS[to])
    refused = []
    for name in list(scripts):
        if reason := _unwritten(name, words):
            refused.append(f"`{name}`, because {reason}.")
            del scripts[name]
    environment = Environment(
        loader=PackageLoader("bayesmeta.setup", "scripts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # scripts, and no page
    )
    words |= {"scripts": list(scripts.items()), "refused": refused}
    for name in (*scripts, "README.md"):
        files[name] = environment.get_template(f"{name}.jinja").render(words)
    return files


def _refuse_unsupported(title: str, model: Model) -> None:
    reasons = {
        "its likelihood is of counts": model.likelihood != "normal",
        "it has clusters with two variances": model.cluster_tau is not None,
        "its true effects are heavy-tailed": model.random is not None,
        "it imputes values": bool(model.missing or model.derived) or model.missing_sd is not None,
        "it has moderators": bool(model.beta),
    }
    if found := [reason for reason, holds in reasons.items() if holds]:
        raise ModelError(
            f"{title}: {' and '.join(found)}, which the scripts do not hold. bayesmeta.to_pymc writes more models, for "
            "PyMC in this process."
        )


def _expected(fit: Fit) -> pd.DataFrame:
    table: Any = summarize(fit)
    values = {
        f"{name} {column}": float(table.loc[name, column])
        for name in ("mu", "tau", "theta_new")
        if name in table.index
        for column in ("mean", "sd", "median", "lower", "upper")
    }
    if fit.effects.n_trials > 1:
        classical = pool(fit.effects, method="REML", ci="hksj", rho=fit.model.rho)
        values |= {
            f"classical {name}": float(getattr(classical, name))
            for name in ("estimate", "tau2", "se", "lower", "upper")
        }
    return pd.DataFrame({"quantity": list(values), "value": list(values.values())})


def _matrix(values: Any) -> str:
    return "".join(",".join(repr(float(value)) for value in row) + "\n" for row in values)


def _words(title: str, fit: Fit, shared: bool) -> dict[str, Any]:
    """What the templates of every language know of an analysis."""
    model, kind = fit.model, measure(fit.effects.measure)
    return {
        "title": " ".join(title.replace('"', "'").replace("\\", "/").split()),
        "version": metadata.version("bayesmeta"),
        "engine": fit.engine,
        "k": fit.effects.k,
        "measure": kind.label,
        "log": kind.log,
        "shared": shared,
        "common": model.tau is None,
        "alone": fit.effects.n_trials < 2,
        "mu_text": repr(model.mu),
        "tau_text": None if model.tau is None else repr(model.tau),
    }


def _in_r(mu: Prior, tau: Prior | None) -> dict[str, Any]:
    parts = [(part, prior) for part, prior in (("Intercept", mu), ("sd", tau)) if prior is not None]
    unknown = [repr(prior) for _, prior in parts if _stan_density(prior) is None]
    return {
        "mu": mu,
        "flat_mu": mu.name == "flat",
        "tau_r": None if tau is None else _r_density(tau),
        "brms_priors": ", ".join(_brms(part, prior) for part, prior in parts),
        "brms_unknown": " and ".join(unknown),
    }


def _in_pymc(mu: Prior, tau: Prior | None) -> dict[str, Any]:
    return {
        "mu_pymc": pymc_text("mu", mu),
        "tau_pymc": None if tau is None else pymc_text("tau", tau, positive=True),
    }


def _in_stan(mu: Prior, tau: Prior | None) -> dict[str, Any]:
    lines = [_stan(name, prior) for name, prior in (("mu", mu), ("tau", tau)) if prior is not None]
    return {
        "stan_priors": [line for line in lines if line],
        "mu_bounds": _bounded(*mu.support),
        "tau_bounds": "" if tau is None else _bounded(max(tau.support[0], 0.0), tau.support[1]),
    }


#: What the templates of one language know of the priors.
_PRIORS_IN: Mapping[Language, Callable[[Any, Any], dict[str, Any]]] = {"r": _in_r, "pymc": _in_pymc, "stan": _in_stan}


def _resolved(prior: Prior | None) -> Prior | None:
    return None if prior is None else resolve(prior)


def _unwritten(name: str, words: Mapping[str, Any]) -> str:
    """Why a script cannot hold this analysis, and what it can; empty where it can."""
    if name == "metafor.R" and words["alone"]:
        return "one trial has no heterogeneity to estimate"
    if name in ("bayesmeta.R", "brms.R") and words["shared"]:
        return "rows share patients, which it does not know"
    if name == "bayesmeta.R" and not (words["flat_mu"] or isinstance(words["mu"], Normal)):
        return "it takes a normal or a flat prior of the mean"
    if name == "bayesmeta.R" and words["common"]:
        return "the model has a common effect"
    if name == "bayesmeta.R" and words["tau_r"] is None:
        return f"the prior of tau has no density in closed form there; it takes {', '.join(_R_DENSITIES)}"
    if name == "brms.R" and words["brms_unknown"]:
        return f"{words['brms_unknown']} is not among Stan's families; it takes {', '.join(_STAN)}, flat"
    return ""


#: Density of tau in R, by family and fields.
_R_DENSITIES = {
    "halfnormal": "2 * dnorm(t, 0, {scale!r})",
    "halfcauchy": "2 * dcauchy(t, 0, {scale!r})",
    "halfstudentt": "2 * dt(t / {scale!r}, {df!r}) / {scale!r}",
    "lognormal": "dlnorm(t, {meanlog!r}, {sdlog!r})",
    "logstudentt": "dt((log(t) - {loc!r}) / {scale!r}, {df!r}) / ({scale!r} * t)",
    "inversegamma": "{scale!r}^{shape!r} / gamma({shape!r}) * t^(-{shape!r} - 1) * exp(-{scale!r} / t)",
    "exponential": "dexp(t, {rate!r})",
    "uniform": "dunif(t, {low!r}, {high!r})",
    "flat": "rep(1, length(t))",
}
#: Distributions in Stan's words; a half distribution is the whole one with a bound.
_STAN = {
    "normal": "normal({mean!r}, {sd!r})",
    "studentt": "student_t({df!r}, {loc!r}, {scale!r})",
    "cauchy": "cauchy({loc!r}, {scale!r})",
    "halfnormal": "normal(0, {scale!r})",
    "halfcauchy": "cauchy(0, {scale!r})",
    "halfstudentt": "student_t({df!r}, 0, {scale!r})",
    "lognormal": "lognormal({meanlog!r}, {sdlog!r})",
    "inversegamma": "inv_gamma({shape!r}, {scale!r})",
    "exponential": "exponential({rate!r})",
    "uniform": "uniform({low!r}, {high!r})",
}


def _fields(prior: Prior) -> dict[str, float]:
    values = {item.name: getattr(prior, item.name) for item in fields(prior)}
    return {name: float(value) for name, value in values.items() if not isinstance(value, str)}


def _r_density(prior: Prior) -> str | None:
    text = _R_DENSITIES.get(prior.name)
    return None if text is None else text.format(**_fields(prior))


def _stan_density(prior: Prior) -> str | None:
    """A density in Stan's words, empty of a flat one; None where Stan has none. Bounds cut a truncated one."""
    kernel = resolve(prior.prior) if isinstance(prior, Truncated) else prior
    if kernel.name == "flat":
        return ""
    return _STAN[kernel.name].format(**_fields(kernel)) if kernel.name in _STAN else None


def _stan(name: str, prior: Prior) -> str:
    """The line that gives a parameter its prior; empty of a flat one."""
    kernel = resolve(prior.prior) if isinstance(prior, Truncated) else prior
    if isinstance(kernel, LogStudentT):
        density = f"student_t_lpdf(log({name}) | {kernel.df!r}, {kernel.loc!r}, {kernel.scale!r})"
        return f"target += {density} - log({name});"
    if (known := _stan_density(prior)) is None:
        families = f"{', '.join(_STAN)}, logstudentt, truncated, flat"
        raise ModelError(f"{name}: {prior!r} is not written for Stan. Use one of {families}.")
    return f"{name} ~ {known};" if known else ""


def _ends(low: float, high: float) -> dict[str, str]:
    """Finite ends of a parameter, as Stan and R write numbers."""
    return {
        side: repr(float(end)).removesuffix(".0")
        for side, end in (("lower", low), ("upper", high))
        if math.isfinite(end)
    }


def _bounded(low: float, high: float) -> str:
    found = ", ".join(f"{side}={end}" for side, end in _ends(low, high).items())
    return f"<{found}>" if found else ""


def _brms(part: str, prior: Prior) -> str:
    """A prior for brms, which has defaults of its own where nothing is set, and no bounds but 0 of ``sd``."""
    ends = _ends(*prior.support) if prior.name in ("uniform", "truncated") or part == "Intercept" else {}
    bounds = "".join(f", {'lb' if side == 'lower' else 'ub'} = {end}" for side, end in ends.items())
    return f'set_prior("{_stan_density(prior) or ""}", class = "{part}"{bounds})'
