"""The sampling engine: PyMC models, sampled by nutpie with study effects integrated out where that is possible."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.nuts.checks import *
    from bayesmeta.nuts.collapsed import *
    from bayesmeta.nuts.compiling import *
    from bayesmeta.nuts.counts import *
    from bayesmeta.nuts.engine import *
    from bayesmeta.nuts.graph import *
    from bayesmeta.nuts.posterior import *
    from bayesmeta.nuts.rows import *
    from bayesmeta.nuts.running import *
    from bayesmeta.nuts.simulation import *
    from bayesmeta.nuts.variables import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "checks": "BFMI ESS RHAT checks_of judge until_sound",
            "collapsed": "collapsible condition draw_coefficients study_draws",
            "compiling": "Graph",
            "counts": "marginal_log_likelihood",
            "engine": "run_nuts",
            "graph": "build_graph signature",
            "posterior": "DrawPosterior",
            "rows": "HierarchicalRows build_rows control_arms effect_factor units_of",
            "running": "SamplerOutput Settings run",
            "simulation": (
                "crude_effect is_proper log_priors new_study priors_of sample_posterior_predictive "
                "sample_prior_predictive"
            ),
            "variables": "Data deviation family variable",
        },
    )
