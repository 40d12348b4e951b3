"""Several outcomes together: correlated within trials, and their true effects between trials."""

from bayesmeta.joint.sampling import JointFit, fit_joint
from bayesmeta.joint.stacking import JointEffects, JointModel, stack
from bayesmeta.joint.tables import (
    at_least_table,
    borrowing_table,
    correlation_table,
    without_harm_table,
    working_correlation_table,
)

__all__ = [
    "JointEffects",
    "JointFit",
    "JointModel",
    "at_least_table",
    "borrowing_table",
    "correlation_table",
    "fit_joint",
    "stack",
    "without_harm_table",
    "working_correlation_table",
]
