"""One-dimensional posteriors: normal mixtures, tabulated densities, draws; one interface for all."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.marginals.draws import *
    from bayesmeta.marginals.mixture import *
    from bayesmeta.marginals.orthants import *
    from bayesmeta.marginals.several import *
    from bayesmeta.marginals.tabulated import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "draws": "Draws",
            "mixture": (
                "IntervalKind Marginal NormalMixture check_interval check_probabilities mixture_cdf mixture_quantile "
                "shortest"
            ),
            "orthants": "Orthant both_positive largest orthant",
            "several": "SETTLED Joined Marginals NormalMixtures Separate Summary",
            "tabulated": "Gridded Variable VariableKind from_density grid_quantiles",
        },
    )
