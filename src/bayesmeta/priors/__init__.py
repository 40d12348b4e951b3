"""Prior distributions: families, published tables of empirical priors, and their text form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.priors.families import (
        Cauchy as Cauchy,
    )
    from bayesmeta.priors.families import (
        Exponential as Exponential,
    )
    from bayesmeta.priors.families import (
        Flat as Flat,
    )
    from bayesmeta.priors.families import (
        HalfCauchy as HalfCauchy,
    )
    from bayesmeta.priors.families import (
        HalfNormal as HalfNormal,
    )
    from bayesmeta.priors.families import (
        HalfStudentT as HalfStudentT,
    )
    from bayesmeta.priors.families import (
        InverseGamma as InverseGamma,
    )
    from bayesmeta.priors.families import (
        Jeffreys as Jeffreys,
    )
    from bayesmeta.priors.families import (
        LogNormal as LogNormal,
    )
    from bayesmeta.priors.families import (
        LogStudentT as LogStudentT,
    )
    from bayesmeta.priors.families import (
        Normal as Normal,
    )
    from bayesmeta.priors.families import (
        Prior as Prior,
    )
    from bayesmeta.priors.families import (
        StudentT as StudentT,
    )
    from bayesmeta.priors.families import (
        Truncated as Truncated,
    )
    from bayesmeta.priors.families import (
        Uniform as Uniform,
    )
    from bayesmeta.priors.naming import from_dict as from_dict
    from bayesmeta.priors.naming import parse as parse
    from bayesmeta.priors.naming import to_dict as to_dict
    from bayesmeta.priors.published import (
        Cochrane as Cochrane,
    )
    from bayesmeta.priors.published import (
        Rhodes2015 as Rhodes2015,
    )
    from bayesmeta.priors.published import (
        Suggestion as Suggestion,
    )
    from bayesmeta.priors.published import (
        Turner2015 as Turner2015,
    )
    from bayesmeta.priors.published import (
        resolve as resolve,
    )
    from bayesmeta.priors.published import (
        suggested as suggested,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "families": (
            "Cauchy",
            "Exponential",
            "Flat",
            "HalfCauchy",
            "HalfNormal",
            "HalfStudentT",
            "InverseGamma",
            "Jeffreys",
            "LogNormal",
            "LogStudentT",
            "Normal",
            "Prior",
            "StudentT",
            "Truncated",
            "Uniform",
        ),
        "naming": (
            "from_dict",
            "parse",
            "to_dict",
        ),
        "published": (
            "Cochrane",
            "Rhodes2015",
            "Suggestion",
            "Turner2015",
            "resolve",
            "suggested",
        ),
    },
)
