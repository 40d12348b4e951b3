"""The exact engine: everything is Gaussian given the standard deviations, which are integrated by quadrature."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.exact.axes import *
    from bayesmeta.exact.likelihood import *
    from bayesmeta.exact.problem import *
    from bayesmeta.exact.quadrature import *
    from bayesmeta.exact.supported import *
    from bayesmeta.exact.windows import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "axes": "TOLERANCE moment_limit power_count tau_axis tau_log_prior",
            "likelihood": "rotate",
            "problem": (
                "Functional NodePosterior build_problem left_out_covariance linear log_interval node_draws "
                "row_weights studies"
            ),
            "quadrature": "refined solve solve_all",
            "supported": "location why_unsupported",
            "windows": "narrow",
        },
    )
