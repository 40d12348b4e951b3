"""In whom the effect differs: coefficients, effects at levels and values, tests and evidence of moderators."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.moderators.answer import *
    from bayesmeta.moderators.evidence import *
    from bayesmeta.moderators.explained import *
    from bayesmeta.moderators.quantities import *
    from bayesmeta.moderators.reading import *
    from bayesmeta.moderators.trial_interactions import *
    from bayesmeta.moderators.within import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "answer": "MODERATOR_COLUMNS compare_coefficients contrast_table moderator_table moderators_alone",
            "evidence": "classical_regression inclusion_table moderator_test_table varies_within",
            "explained": "explained_share",
            "quantities": "Quantity coefficients effects_at",
            "reading": "ReadableBlock moderator_blocks",
            "trial_interactions": "within_trial_table",
            "within": "within_between_table",
        },
        guard="bayesmeta.boundary",
    )
