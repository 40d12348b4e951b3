"""The sampling engine: PyMC models, sampled by nutpie with study effects integrated out where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.nuts.checks import (
        BFMI as BFMI,
    )
    from bayesmeta.nuts.checks import (
        ESS as ESS,
    )
    from bayesmeta.nuts.checks import (
        RHAT as RHAT,
    )
    from bayesmeta.nuts.checks import (
        checks_of as checks_of,
    )
    from bayesmeta.nuts.checks import (
        judge as judge,
    )
    from bayesmeta.nuts.checks import (
        until_sound as until_sound,
    )
    from bayesmeta.nuts.collapsed import (
        collapsible as collapsible,
    )
    from bayesmeta.nuts.collapsed import (
        condition as condition,
    )
    from bayesmeta.nuts.collapsed import (
        draw_coefficients as draw_coefficients,
    )
    from bayesmeta.nuts.collapsed import (
        study_draws as study_draws,
    )
    from bayesmeta.nuts.compiling import Graph as Graph
    from bayesmeta.nuts.counts import marginal_log_likelihood as marginal_log_likelihood
    from bayesmeta.nuts.engine import run_nuts as run_nuts
    from bayesmeta.nuts.graph import build_graph as build_graph
    from bayesmeta.nuts.graph import signature as signature
    from bayesmeta.nuts.posterior import DrawPosterior as DrawPosterior
    from bayesmeta.nuts.rows import (
        HierarchicalRows as HierarchicalRows,
    )
    from bayesmeta.nuts.rows import (
        build_rows as build_rows,
    )
    from bayesmeta.nuts.rows import (
        control_arms as control_arms,
    )
    from bayesmeta.nuts.rows import (
        effect_factor as effect_factor,
    )
    from bayesmeta.nuts.rows import (
        units_of as units_of,
    )
    from bayesmeta.nuts.running import SamplerOutput as SamplerOutput
    from bayesmeta.nuts.running import Settings as Settings
    from bayesmeta.nuts.running import run as run
    from bayesmeta.nuts.simulation import (
        crude_effect as crude_effect,
    )
    from bayesmeta.nuts.simulation import (
        is_proper as is_proper,
    )
    from bayesmeta.nuts.simulation import (
        log_priors as log_priors,
    )
    from bayesmeta.nuts.simulation import (
        new_study as new_study,
    )
    from bayesmeta.nuts.simulation import (
        priors_of as priors_of,
    )
    from bayesmeta.nuts.simulation import (
        sample_posterior_predictive as sample_posterior_predictive,
    )
    from bayesmeta.nuts.simulation import (
        sample_prior_predictive as sample_prior_predictive,
    )
    from bayesmeta.nuts.variables import Data as Data
    from bayesmeta.nuts.variables import deviation as deviation
    from bayesmeta.nuts.variables import family as family
    from bayesmeta.nuts.variables import variable as variable

__getattr__, __dir__ = exports(
    __name__,
    {
        "checks": (
            "BFMI",
            "ESS",
            "RHAT",
            "checks_of",
            "judge",
            "until_sound",
        ),
        "collapsed": (
            "collapsible",
            "condition",
            "draw_coefficients",
            "study_draws",
        ),
        "compiling": ("Graph",),
        "counts": ("marginal_log_likelihood",),
        "engine": ("run_nuts",),
        "graph": (
            "build_graph",
            "signature",
        ),
        "posterior": ("DrawPosterior",),
        "rows": (
            "HierarchicalRows",
            "build_rows",
            "control_arms",
            "effect_factor",
            "units_of",
        ),
        "running": (
            "SamplerOutput",
            "Settings",
            "run",
        ),
        "simulation": (
            "crude_effect",
            "is_proper",
            "log_priors",
            "new_study",
            "priors_of",
            "sample_posterior_predictive",
            "sample_prior_predictive",
        ),
        "variables": (
            "Data",
            "deviation",
            "family",
            "variable",
        ),
    },
)
