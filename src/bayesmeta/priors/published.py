"""The default priors of mu and tau by effect measure, with where each comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bayesmeta.errors import ModelError
from bayesmeta.priors.families import HalfNormal, Normal, Prior

__all__ = ["SCALED_MEASURES", "PublishedPriors", "published_priors"]

_HALF_NORMAL = "Friede et al. 2017, doi:10.1002/jrsm.1217; Roever 2020, doi:10.18637/jss.v093.i06"
_ROBMA = "weakly informative for an SMD; the default of RoBMA"
_RATIOS = "weakly informative: 95 % of ratios between 0.02 and 50"
_AS_RATIO = f"convention, as for other log ratios: {_HALF_NORMAL}"
_HALVED = "half the scale of an SMD, as Fisher's z of a correlation relates to it (metaBMA, RoBMA)"
#: Measures with a unit of their own, whose priors are scaled by a reference SD.
SCALED_MEASURES = ("MD", "generic", "MN")


@dataclass(frozen=True, slots=True)
class PublishedPriors:
    """The default priors of one effect measure, with their sources.

    Parameters
    ----------
    mu, tau : Prior
        On the scale of the analysis.
    mu_source, tau_source : str
        A publication, or that it is a convention.

    Examples
    --------
    >>> published_priors("OR").mu
    normal(0, 2)
    """

    mu: Prior
    tau: Prior
    mu_source: str
    tau_source: str


_STANDARDISED = PublishedPriors(Normal(0, 1), HalfNormal(0.5), _ROBMA, _HALF_NORMAL)
_LOG_RATIO = PublishedPriors(Normal(0, 2), HalfNormal(0.5), _RATIOS, _HALF_NORMAL)
_OTHER_RATIO = PublishedPriors(Normal(0, 2), HalfNormal(0.5), _RATIOS, _AS_RATIO)
_PUBLISHED: Mapping[str, PublishedPriors] = MappingProxyType(
    {
        "SMD": _STANDARDISED,
        "SMDH": _STANDARDISED,
        "OR": _LOG_RATIO,
        "RR": _LOG_RATIO,
        "HR": _LOG_RATIO,
        "IRR": _OTHER_RATIO,
        "ROM": _OTHER_RATIO,
        "ZCOR": PublishedPriors(Normal(0, 0.5), HalfNormal(0.25), f"convention: {_HALVED}", f"convention: {_HALVED}"),
        "RD": PublishedPriors(
            Normal(0, 0.25),
            HalfNormal(0.1),
            "convention: 95 % of risk differences between -0.49 and 0.49",
            "Bartos et al. 2023, doi:10.1002/sim.9831, whose normal prior of tau over Cochrane reviews has SD 0.099",
        ),
        "PLO": PublishedPriors(
            Normal(0, 2),
            HalfNormal(1),
            "convention: 95 % of proportions between 0.02 and 0.98",
            f"the wider of the two scales for log odds of {_HALF_NORMAL}",
        ),
    }
)


def published_priors(measure: str, *, ref_sd: float | None = None) -> PublishedPriors:
    """Look up the default priors of mu and tau of an effect measure.

    =======================  =============  ==================
    measure                  mu             tau
    =======================  =============  ==================
    SMD, SMDH                N(0, 1)        half-normal(0.5)
    OR, RR, HR, IRR, ROM     N(0, 2)        half-normal(0.5)
    ZCOR                     N(0, 0.5)      half-normal(0.25)
    RD                       N(0, 0.25)     half-normal(0.1)
    PLO                      N(0, 2)        half-normal(1)
    MD, generic, MN          N(0, S)        half-normal(0.5 S)
    =======================  =============  ==================

    All on the scale of the analysis (logarithms of ratios, Fisher's z, logits). The last row is that of an SMD in the
    points of the outcome, so that the same trials answer alike as MD and as SMD; it needs S. Other measures have none.

    Parameters
    ----------
    measure : str
        A name of `bayesmeta.measures.MEASURES`.
    ref_sd : float, optional
        S, a standard deviation of the outcome in its own units from outside these data; for MD, generic and MN only.

    Returns
    -------
    PublishedPriors

    Raises
    ------
    ModelError
        If the measure has no default, needs ``ref_sd`` or has no use for it, or ``ref_sd`` is not positive.

    Examples
    --------
    >>> published_priors("SMD").tau
    halfnormal(0.5)
    >>> published_priors("MD", ref_sd=10).mu, published_priors("MD", ref_sd=10).tau
    (normal(0, 10), halfnormal(5))
    """
    if ref_sd is not None:
        if measure not in SCALED_MEASURES:
            raise ModelError(
                f"{measure}: a reference SD scales the priors of {', '.join(SCALED_MEASURES)}, not of {measure}. "
                "Leave ref_sd out."
            )
        if isinstance(ref_sd, bool) or not (math.isfinite(ref_sd) and ref_sd > 0):
            raise ModelError(f"ref_sd = {ref_sd} is not a positive number.")
        text = f"that of an SMD times the reference SD {ref_sd:g}"
        return PublishedPriors(
            Normal(0, ref_sd), HalfNormal(0.5 * ref_sd), f"{text}; {_ROBMA}", f"{text}; {_HALF_NORMAL}"
        )
    if measure in _PUBLISHED:
        return _PUBLISHED[measure]
    need = ", or a reference SD" if measure in SCALED_MEASURES else ""
    raise ModelError(
        f"{measure}: there is no general recommendation, because the scale of the outcome decides. State both priors "
        f"(mu and tau){need}."
    )
