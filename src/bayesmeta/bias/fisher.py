"""Standardised mean differences analysed on Fisher's z scale, with priors that are of d: what RoBMA does by default."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from bayesmeta.bias.specification import PEESE, Ensemble
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.priors import LogNormal, LogStudentT, Prior, Truncated, Uniform, resolve

__all__ = ["fishers_z", "halved"]


def fishers_z(effects: Effects) -> Effects:
    """Turn standardised mean differences into correlations on Fisher's z scale.

    ``r = d / sqrt(d^2 + 4)``, ``z = atanh(r)`` with variance ``1 / (n - 3)``, n the size of two equal arms whose
    variance of d is ``4 / n + d^2 / (2 n)``.

    Parameters
    ----------
    effects : Effects
        Of measure SMD, independent rows.

    Returns
    -------
    Effects
        Of measure ZCOR.

    Raises
    ------
    ModelError
        For another measure, rows that share patients, and a standard error that belongs to three people or fewer.

    References
    ----------
    Borenstein 2009, Introduction to Meta-Analysis, chapter 7, doi:10.1002/9780470743386.

    Examples
    --------
    >>> z = fishers_z(bm.Effects(["A"], [0.5], [0.2], measure="SMD"))
    >>> z.measure, round(float(z.y[0]), 4), round(float(z.se[0]), 4)
    ('ZCOR', 0.2475, 0.0999)
    """
    if effects.measure != "SMD":
        raise ModelError(f"Fisher's z of {effects.measure}: only standardised mean differences (SMD) become z.")
    if effects.blocks or effects.cluster is not None:
        raise ModelError("Fisher's z needs independent rows, and some of these share patients.")
    n = (effects.y**2 + 8.0) / (2.0 * effects.se**2)
    if (n <= 3.0).any():
        raise ModelError("Fisher's z has no variance for three people or fewer, of whom a standard error here is.")
    return Effects(
        effects.study,
        np.arctanh(effects.y / np.sqrt(effects.y**2 + 4.0)),
        1.0 / np.sqrt(n - 3.0),
        measure="ZCOR",
        label=effects.label,
        moderators=effects.moderators,
        name=effects.name,
        better=effects.better,
    )


def halved(ensemble: Ensemble) -> Ensemble:
    """The same models for Fisher's z, which is near ``d / 2``: priors of effects have half their location and scale.

    PET has no scale; the slope of PEESE is the ratio of an effect to a variance, and so its prior is doubled.

    Examples
    --------
    >>> halved(bm.bias.ensemble("bma")).models[-1].mu
    normal(0, 0.5)
    """
    models = []
    for model in ensemble.models:
        bias = model.bias
        models.append(
            replace(
                model,
                mu=None if model.mu is None else _scaled(resolve(model.mu), 0.5),
                tau=None if model.tau is None else _scaled(resolve(model.tau), 0.5),
                bias=PEESE(_scaled(bias.slope, 2.0)) if isinstance(bias, PEESE) else bias,
            )
        )
    return Ensemble(f"{ensemble.name}, on Fisher's z scale", models, ensemble.source)


def _scaled(prior: Prior, factor: float) -> Prior:
    """The prior of so many times x."""
    if isinstance(prior, Truncated):
        return Truncated(_scaled(prior.prior, factor), factor * prior.low, factor * prior.high)
    if isinstance(prior, Uniform):
        return Uniform(factor * prior.low, factor * prior.high)
    if isinstance(prior, LogNormal):
        return LogNormal(prior.meanlog + float(np.log(factor)), prior.sdlog)
    if isinstance(prior, LogStudentT):
        return replace(prior, loc=prior.loc + float(np.log(factor)))
    names = {field.name for field in fields(prior)} & {"mean", "sd", "loc", "scale"}
    if not names:
        raise ModelError(f"{prior!r} has no scale that could be halved. Use another prior.")
    return replace(prior, **{name: factor * getattr(prior, name) for name in names})
