"""What is asked, as plain values: outcomes, thresholds, uncertain numbers, the whole protocol."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.plan.bias import *
    from bayesmeta.plan.formula import *
    from bayesmeta.plan.judgements import *
    from bayesmeta.plan.modelling import *
    from bayesmeta.plan.outcome import *
    from bayesmeta.plan.protocol import *
    from bayesmeta.plan.registry import *
    from bayesmeta.plan.shapes import *
    from bayesmeta.plan.thresholds import *
    from bayesmeta.plan.uncertain import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "bias": (
                "BIAS_ENSEMBLES BIAS_FORMS BIAS_MODELS HIGH_RISK ROB_JUDGEMENTS BiasEnsemble BiasForm BiasModelKind "
                "BiasModelPlan BiasPlan BiasSize RiskOfBias RobTool"
            ),
            "formula": "parse_moderators",
            "judgements": "CERTAINTIES CONCERNS DOMAINS SYMBOLS Judgement Judgements concerns_of",
            "modelling": (
                "DEFAULT_COEFFICIENT_SOURCE ModelPlan Moderator TrialInteraction scaling_of stated_rows stated_values"
            ),
            "outcome": "DIVISIONS ControlArm Decision Exclusion Outcome Selection",
            "protocol": "Assumption Borrow DataSource JointPlan Protocol Sampling Sensitivity Unstated vary",
            "registry": "COMPARED MinimalDifference mid_registry minimal_difference",
            "shapes": "ARM_STEMS ArmColumns LongTable TableShape",
            "thresholds": (
                "Amount BaselineRisk BetaRisk Better Compared ControlMean Kind NaturalUnit PointsThreshold Threshold "
                "absolute_distances"
            ),
            "uncertain": "Quotient WeightedValues centre invert quotient ratio thinned weighted_values",
        },
    )
