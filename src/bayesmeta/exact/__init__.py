"""The exact engine: everything is Gaussian given the standard deviations, which are integrated by quadrature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.exact.likelihood import rotate as rotate
    from bayesmeta.exact.nodes import (
        TOLERANCE as TOLERANCE,
    )
    from bayesmeta.exact.nodes import (
        moment_limit as moment_limit,
    )
    from bayesmeta.exact.nodes import (
        narrow as narrow,
    )
    from bayesmeta.exact.nodes import (
        power_count as power_count,
    )
    from bayesmeta.exact.nodes import (
        tau_axis as tau_axis,
    )
    from bayesmeta.exact.nodes import (
        tau_log_prior as tau_log_prior,
    )
    from bayesmeta.exact.problem import (
        Functional as Functional,
    )
    from bayesmeta.exact.problem import (
        NodePosterior as NodePosterior,
    )
    from bayesmeta.exact.problem import (
        build_problem as build_problem,
    )
    from bayesmeta.exact.problem import (
        left_out_covariance as left_out_covariance,
    )
    from bayesmeta.exact.problem import (
        linear as linear,
    )
    from bayesmeta.exact.problem import (
        log_interval as log_interval,
    )
    from bayesmeta.exact.problem import (
        node_draws as node_draws,
    )
    from bayesmeta.exact.problem import (
        row_weights as row_weights,
    )
    from bayesmeta.exact.problem import (
        studies as studies,
    )
    from bayesmeta.exact.quadrature import refined as refined
    from bayesmeta.exact.quadrature import solve as solve
    from bayesmeta.exact.quadrature import solve_all as solve_all
    from bayesmeta.exact.supported import location as location
    from bayesmeta.exact.supported import why_unsupported as why_unsupported

__getattr__, __dir__ = exports(
    __name__,
    {
        "likelihood": ("rotate",),
        "nodes": (
            "TOLERANCE",
            "moment_limit",
            "narrow",
            "power_count",
            "tau_axis",
            "tau_log_prior",
        ),
        "problem": (
            "Functional",
            "NodePosterior",
            "build_problem",
            "left_out_covariance",
            "linear",
            "log_interval",
            "node_draws",
            "row_weights",
            "studies",
        ),
        "quadrature": (
            "refined",
            "solve",
            "solve_all",
        ),
        "supported": (
            "location",
            "why_unsupported",
        ),
    },
)
