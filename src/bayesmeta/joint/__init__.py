"""Several outcomes together: correlated within trials, and their true effects between trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.joint.sampling import JointFit as JointFit
    from bayesmeta.joint.sampling import fit_joint as fit_joint
    from bayesmeta.joint.stacking import JointEffects as JointEffects
    from bayesmeta.joint.stacking import JointModel as JointModel
    from bayesmeta.joint.stacking import stack as stack
    from bayesmeta.joint.tables import (
        at_least_table as at_least_table,
    )
    from bayesmeta.joint.tables import (
        borrowed_strength_table as borrowed_strength_table,
    )
    from bayesmeta.joint.tables import (
        correlation_table as correlation_table,
    )
    from bayesmeta.joint.tables import (
        without_harm_table as without_harm_table,
    )
    from bayesmeta.joint.tables import (
        working_correlation_table as working_correlation_table,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "sampling": (
            "JointFit",
            "fit_joint",
        ),
        "stacking": (
            "JointEffects",
            "JointModel",
            "stack",
        ),
        "tables": (
            "at_least_table",
            "borrowed_strength_table",
            "correlation_table",
            "without_harm_table",
            "working_correlation_table",
        ),
    },
)
