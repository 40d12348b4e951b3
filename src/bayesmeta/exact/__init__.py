"""The exact engine: everything is Gaussian given the standard deviations, which are integrated by quadrature."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.exact.answers import *
    from bayesmeta.exact.axes import *
    from bayesmeta.exact.likelihood import *
    from bayesmeta.exact.one_arm import *
    from bayesmeta.exact.posterior import *
    from bayesmeta.exact.problem import *
    from bayesmeta.exact.quadrature import *
    from bayesmeta.exact.supported import *
    from bayesmeta.exact.windows import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "answers": "ExactPosterior",
            "axes": "TOLERANCE moment_limit power_count tau_axis tau_log_prior",
            "likelihood": "rotate",
            "one_arm": "OneArmPosterior arm_log_marginal arm_study_draws one_arm_problem solve_one_arm",
            "posterior": (
                "Functional NodePosterior conditional_draws left_out_covariance linear node_draws predict_rows "
                "row_weights studies"
            ),
            "problem": "build_problem log_interval rotation_of",
            "quadrature": "refined solve solve_all",
            "supported": "location why_unsupported",
            "windows": "narrow",
        },
    )
