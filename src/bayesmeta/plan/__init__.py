"""What is asked, as plain values: outcomes, thresholds, uncertain numbers, the whole protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.plan.outcome import (
        DEFAULT_COEFFICIENT_SOURCE as DEFAULT_COEFFICIENT_SOURCE,
    )
    from bayesmeta.plan.outcome import (
        Assumption as Assumption,
    )
    from bayesmeta.plan.outcome import (
        Borrow as Borrow,
    )
    from bayesmeta.plan.outcome import (
        DataSource as DataSource,
    )
    from bayesmeta.plan.outcome import (
        Exclusion as Exclusion,
    )
    from bayesmeta.plan.outcome import (
        JointPlan as JointPlan,
    )
    from bayesmeta.plan.outcome import (
        Moderator as Moderator,
    )
    from bayesmeta.plan.outcome import (
        Outcome as Outcome,
    )
    from bayesmeta.plan.outcome import (
        Protocol as Protocol,
    )
    from bayesmeta.plan.outcome import (
        Sampling as Sampling,
    )
    from bayesmeta.plan.outcome import (
        Sensitivity as Sensitivity,
    )
    from bayesmeta.plan.outcome import (
        analysis_model as analysis_model,
    )
    from bayesmeta.plan.outcome import (
        coefficient_priors as coefficient_priors,
    )
    from bayesmeta.plan.outcome import (
        vary as vary,
    )
    from bayesmeta.plan.thresholds import (
        Amount as Amount,
    )
    from bayesmeta.plan.thresholds import (
        BaselineRisk as BaselineRisk,
    )
    from bayesmeta.plan.thresholds import (
        BetaRisk as BetaRisk,
    )
    from bayesmeta.plan.thresholds import (
        Better as Better,
    )
    from bayesmeta.plan.thresholds import (
        NaturalUnit as NaturalUnit,
    )
    from bayesmeta.plan.thresholds import (
        PointsThreshold as PointsThreshold,
    )
    from bayesmeta.plan.thresholds import (
        Threshold as Threshold,
    )
    from bayesmeta.plan.uncertain import (
        WeightedValues as WeightedValues,
    )
    from bayesmeta.plan.uncertain import (
        centre as centre,
    )
    from bayesmeta.plan.uncertain import (
        invert as invert,
    )
    from bayesmeta.plan.uncertain import (
        ratio as ratio,
    )
    from bayesmeta.plan.uncertain import (
        thinned as thinned,
    )
    from bayesmeta.plan.uncertain import (
        weighted_values as weighted_values,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "outcome": (
            "Assumption",
            "Borrow",
            "DEFAULT_COEFFICIENT_SOURCE",
            "DataSource",
            "Exclusion",
            "JointPlan",
            "Moderator",
            "Outcome",
            "Protocol",
            "Sampling",
            "Sensitivity",
            "analysis_model",
            "coefficient_priors",
            "vary",
        ),
        "thresholds": (
            "Amount",
            "BaselineRisk",
            "BetaRisk",
            "Better",
            "NaturalUnit",
            "PointsThreshold",
            "Threshold",
        ),
        "uncertain": (
            "WeightedValues",
            "centre",
            "invert",
            "ratio",
            "thinned",
            "weighted_values",
        ),
    },
)
