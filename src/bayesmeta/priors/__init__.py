"""Prior distributions: families, published tables of empirical priors, and their text form."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.priors.empirical import *
    from bayesmeta.priors.families import *
    from bayesmeta.priors.naming import *
    from bayesmeta.priors.published import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "empirical": "Cochrane Rhodes2015 Turner2015 resolve",
            "families": (
                "Cauchy Exponential Flat HalfCauchy HalfNormal HalfStudentT InverseGamma Jeffreys LogNormal "
                "LogStudentT Normal Prior StudentT Truncated Uniform"
            ),
            "naming": "from_dict parse to_dict",
            "published": "SCALED_MEASURES PublishedPriors published_priors",
        },
        guard="bayesmeta.boundary",
    )
