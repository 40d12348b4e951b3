"""One-dimensional posteriors: normal mixtures, tabulated densities, draws; one interface for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.marginals.draws import Draws as Draws
    from bayesmeta.marginals.mixture import (
        IntervalKind as IntervalKind,
    )
    from bayesmeta.marginals.mixture import (
        Marginal as Marginal,
    )
    from bayesmeta.marginals.mixture import (
        NormalMixture as NormalMixture,
    )
    from bayesmeta.marginals.mixture import (
        check_interval as check_interval,
    )
    from bayesmeta.marginals.mixture import (
        check_probabilities as check_probabilities,
    )
    from bayesmeta.marginals.mixture import (
        mixture_cdf as mixture_cdf,
    )
    from bayesmeta.marginals.mixture import (
        mixture_quantile as mixture_quantile,
    )
    from bayesmeta.marginals.mixture import (
        probit as probit,
    )
    from bayesmeta.marginals.mixture import (
        shortest as shortest,
    )
    from bayesmeta.marginals.tabulated import (
        Gridded as Gridded,
    )
    from bayesmeta.marginals.tabulated import (
        Variable as Variable,
    )
    from bayesmeta.marginals.tabulated import (
        VariableKind as VariableKind,
    )
    from bayesmeta.marginals.tabulated import (
        from_density as from_density,
    )
    from bayesmeta.marginals.tabulated import (
        grid_quantiles as grid_quantiles,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "draws": ("Draws",),
        "mixture": (
            "IntervalKind",
            "Marginal",
            "NormalMixture",
            "check_interval",
            "check_probabilities",
            "mixture_cdf",
            "mixture_quantile",
            "probit",
            "shortest",
        ),
        "tabulated": (
            "Gridded",
            "Variable",
            "VariableKind",
            "from_density",
            "grid_quantiles",
        ),
    },
)
