"""Several outcomes together: correlated within trials, and their true effects between trials."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.joint.sampling import *
    from bayesmeta.joint.stacking import *
    from bayesmeta.joint.tables import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "sampling": "JointFit fit_joint",
            "stacking": "JointEffects JointModel stack",
            "tables": (
                "at_least_table borrowed_strength_table correlation_table without_harm_table working_correlation_table"
            ),
        },
    )
