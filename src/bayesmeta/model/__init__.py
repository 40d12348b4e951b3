"""What is assumed: the model as plain data, and moderators turned into columns."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.model.curves import *
    from bayesmeta.model.dependence import *
    from bayesmeta.model.design import *
    from bayesmeta.model.levels import *
    from bayesmeta.model.specification import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "curves": "Line",
            "dependence": "arm_role effect_correlations effect_links refuse_opposite_roles",
            "design": "BETWEEN Columns Contrast Design build_design estimable Factor",
            "levels": "level_shares levels_of",
            "specification": (
                "Coefficient Exchangeable Likelihood MissingLevels MissingNumeric MissingSD Model Monotone "
                "OutlierEffects Spline StudentEffects TauBy Term prior_text"
            ),
        },
    )
