"""Which models the exact engine covers, and what it says of the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.model import Coefficient, Exchangeable, Model, Monotone, Spline
from bayesmeta.priors import Cauchy, Normal, Prior, StudentT, Truncated, Uniform, resolve

__all__ = ["location", "require_supported", "why_unsupported"]

# two scale integrals beside tau are a few hundred thousand nodes; a third is out of reach of a tensor grid
MAX_SCALES = 2
MAX_AXES = 3


def location(prior: Prior) -> tuple[float, float, float, tuple[float, float] | None, float]:
    """Give ``(mean, scale, df, cut, log_mass)`` of a location prior; scale infinite is flat, df infinite is normal.

    Raises
    ------
    ModelError
        For a prior that has no location of that kind.
    """
    kernel = resolve(prior)
    if isinstance(kernel, Uniform):
        return 0.0, math.inf, math.inf, (kernel.low, kernel.high), math.log(kernel.high - kernel.low)
    if isinstance(kernel, Truncated):
        mean, scale, df, cut, _ = location(kernel.prior)
        if cut is not None:
            raise ModelError(f"{prior!r}: write uniform({kernel.support[0]:g}, {kernel.support[1]:g}) instead.")
        return mean, scale, df, (kernel.low, kernel.high), math.log(kernel.mass)
    if isinstance(kernel, Normal):
        return kernel.mean, kernel.sd, math.inf, None, 0.0
    if isinstance(kernel, StudentT):
        return kernel.loc, kernel.scale, kernel.df, None, 0.0
    if isinstance(kernel, Cauchy):
        return kernel.loc, kernel.scale, 1.0, None, 0.0
    return 0.0, math.inf, math.inf, None, 0.0


def _missing(values: NDArray[Any]) -> bool:
    if values.dtype.kind == "f":
        return bool(np.isnan(values).any())
    return any(value is None or value == "" for value in values.tolist())


def why_unsupported(effects: Effects, model: Model) -> str | None:
    """Say why the exact engine does not cover a model, or None where it does.

    It looks at the model's parts only, and does not judge whether the model suits the effects.

    Examples
    --------
    >>> why_unsupported(effects, model)
    """
    if model.likelihood == "binomial" and effects.measure == "PLO":
        return _beyond_one_arm(effects, model)
    if model.likelihood != "normal":
        return f"the {model.likelihood} likelihood has no closed form given the standard deviations"
    if model.random is not None:
        return f"{type(model.random).__name__} are not normal given the standard deviations"
    parts = dict.fromkeys(part for name in model.beta for part in name.split(":"))
    imputed = [name for name in parts if name in model.missing and name in effects.moderators]
    imputed = [name for name in imputed if _missing(effects.moderators[name])]
    if imputed:
        return f"moderator {', '.join(imputed)} has missing values, which are imputed jointly with everything else"
    if model.derived:
        return f"{', '.join(model.derived)}: estimates depend on numbers that nobody reported"
    if model.missing_sd is not None:
        return "standard deviations that trials do not report are imputed jointly with everything else"
    monotone = [name for name, term in model.beta.items() if isinstance(term, Monotone)]
    if monotone:
        return f"moderator {', '.join(monotone)}: a monotone curve has shares, which are not normal"
    stated = [model.mu]
    stated += [term.prior for term in model.beta.values() if isinstance(term, Coefficient)]
    stated += [term.slope for term in model.beta.values() if isinstance(term, Spline)]
    locations = [location(prior) for prior in stated]
    if sum(cut is not None for *_, cut, _ in locations) > 1:
        return "only one coefficient can have a truncated or uniform prior; use normal priors for the others"
    if model.tau_by is not None and any(cut is not None for *_, cut, _ in locations):
        return "tau differs between levels, and a coefficient has a truncated or uniform prior"
    if model.tau_by is not None and model.tau_by.slope is not None:
        return f"tau changes along {model.tau_by.moderator}, whose slope is not integrated over"
    mixtures = sum(math.isfinite(scale) and math.isfinite(df) for _, scale, df, _, _ in locations)
    if mixtures > MAX_SCALES:
        return (
            f"{mixtures} coefficients have Student-t or Cauchy priors, and at most {MAX_SCALES} are integrated over; "
            "use normal priors for the others"
        )
    hierarchical = sum(isinstance(term, (Exchangeable, Spline)) for term in model.beta.values())
    axes = _taus(effects, model) + (model.cluster_tau is not None) + hierarchical + mixtures
    if axes > MAX_AXES:
        return f"{axes} standard deviations and scales of Student-t priors, and at most {MAX_AXES} are integrated over"
    return None


def _beyond_one_arm(effects: Effects, model: Model) -> str | None:
    """Say why proportions of one arm, by their counts, are beyond this engine, or None where they are not."""
    if model.beta:
        return f"the binomial likelihood with moderators ({', '.join(model.beta)}) is not integrated over"
    if model.random is not None or model.cluster_tau is not None or effects.blocks or effects.cluster is not None:
        return "the binomial likelihood is integrated over for normal effects of independent rows"
    if model.tau is not None and (model.tau.name == "jeffreys" or math.isfinite(resolve(model.tau).tail[0])):
        return f"{model.tau!r} of tau has a tail that falls as a power, in which counts are not integrated over"
    if resolve(model.mu).name in ("uniform", "truncated"):
        return f"{model.mu!r} of mu has ends, which the binomial likelihood is not integrated up to; use a normal prior"
    return None


def _taus(effects: Effects, model: Model) -> int:
    """How many taus there are: one per level that tau differs by."""
    if model.tau_by is None:
        return int(model.tau is not None)
    return len({str(value) for value in effects.moderators.get(model.tau_by.moderator, ())})


def require_supported(effects: Effects, model: Model) -> None:
    """Refuse what the exact engine does not cover, and clusters without a model."""
    reason = why_unsupported(effects, model)
    if reason is not None:
        raise ModelError(f'{reason}. The exact engine does not cover this model: use engine="nuts".')
    if model.cluster_tau is None:
        _refuse_clusters(effects)
        return
    for name in ("tau", "cluster_tau"):
        if getattr(model, name).name == "jeffreys":
            raise ModelError(f"{name}: jeffreys() is defined for tau alone, not with clusters. Use a proper prior.")


def _refuse_clusters(effects: Effects) -> None:
    """Rows of one cluster outside a block depend on each other in a way that no model here describes."""
    if effects.cluster is None:
        return
    block = {int(row): number for number, (rows, _) in enumerate(effects.blocks) for row in rows}
    seen: dict[str, int] = {}
    for row, name in enumerate(effects.cluster):
        place = block.get(row, -1 - row)
        if seen.setdefault(name, place) != place:
            raise ModelError(
                f"cluster {name!r} has several rows that share no covariance, and the model says nothing of how they "
                "differ. Give it cluster_tau=, the prior of the SD between rows of one cluster; or state a "
                "working_correlation, keep one row per cluster, or leave cluster out."
            )
