"""What is asked, as plain values: outcomes, thresholds, uncertain numbers, the whole protocol."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.plan.formula import *
    from bayesmeta.plan.modelling import *
    from bayesmeta.plan.outcome import *
    from bayesmeta.plan.protocol import *
    from bayesmeta.plan.thresholds import *
    from bayesmeta.plan.uncertain import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "formula": "parse_moderators",
            "modelling": (
                "DEFAULT_COEFFICIENT_SOURCE ModelPlan Moderator TrialInteraction scaling_of stated_rows stated_values"
            ),
            "outcome": "DIVISIONS ControlArm Decision Exclusion Outcome Selection",
            "protocol": "Assumption Borrow DataSource JointPlan Protocol Sampling Sensitivity vary",
            "thresholds": "Amount BaselineRisk BetaRisk Better NaturalUnit PointsThreshold Threshold",
            "uncertain": "WeightedValues centre invert ratio thinned weighted_values",
        },
    )
