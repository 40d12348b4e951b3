"""Questions asked of a fit: summaries, benefit, natural units, profiles, borrowing, the next trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.questions.benefit import (
        CAVEAT as CAVEAT,
    )
    from bayesmeta.questions.benefit import (
        band_table as band_table,
    )
    from bayesmeta.questions.benefit import (
        benefit_curve as benefit_curve,
    )
    from bayesmeta.questions.benefit import (
        benefit_probabilities as benefit_probabilities,
    )
    from bayesmeta.questions.benefit import (
        benefit_probabilities_of as benefit_probabilities_of,
    )
    from bayesmeta.questions.benefit import (
        benefit_sentence as benefit_sentence,
    )
    from bayesmeta.questions.benefit import (
        benefit_table as benefit_table,
    )
    from bayesmeta.questions.benefit import (
        direction as direction,
    )
    from bayesmeta.questions.benefit import (
        estimate_words as estimate_words,
    )
    from bayesmeta.questions.benefit import (
        percent as percent,
    )
    from bayesmeta.questions.benefit import (
        responder_table as responder_table,
    )
    from bayesmeta.questions.benefit import (
        share_of_true_effects as share_of_true_effects,
    )
    from bayesmeta.questions.benefit import (
        threshold as threshold,
    )
    from bayesmeta.questions.borrowing import (
        WEIGHTS as WEIGHTS,
    )
    from bayesmeta.questions.borrowing import (
        Borrowing as Borrowing,
    )
    from bayesmeta.questions.borrowing import (
        borrowing_probabilities as borrowing_probabilities,
    )
    from bayesmeta.questions.borrowing import (
        borrowing_table as borrowing_table,
    )
    from bayesmeta.questions.borrowing import (
        conflict_table as conflict_table,
    )
    from bayesmeta.questions.borrowing import (
        effective_size as effective_size,
    )
    from bayesmeta.questions.borrowing import (
        mix as mix,
    )
    from bayesmeta.questions.borrowing import (
        predictive_of as predictive_of,
    )
    from bayesmeta.questions.borrowing import (
        robust_map as robust_map,
    )
    from bayesmeta.questions.borrowing import (
        update as update,
    )
    from bayesmeta.questions.information import (
        information_size as information_size,
    )
    from bayesmeta.questions.information import (
        information_table as information_table,
    )
    from bayesmeta.questions.next_trial import (
        next_trial_table as next_trial_table,
    )
    from bayesmeta.questions.next_trial import (
        planned_se as planned_se,
    )
    from bayesmeta.questions.next_trial import (
        updated_probability as updated_probability,
    )
    from bayesmeta.questions.next_trial import (
        with_trial as with_trial,
    )
    from bayesmeta.questions.profiles import (
        NEW_TYPE as NEW_TYPE,
    )
    from bayesmeta.questions.profiles import (
        compare_types_table as compare_types_table,
    )
    from bayesmeta.questions.profiles import (
        curve_table as curve_table,
    )
    from bayesmeta.questions.profiles import (
        imputed_table as imputed_table,
    )
    from bayesmeta.questions.profiles import (
        outlier_table as outlier_table,
    )
    from bayesmeta.questions.profiles import (
        profile_table as profile_table,
    )
    from bayesmeta.questions.summary import (
        bayes_factor as bayes_factor,
    )
    from bayesmeta.questions.summary import (
        comparable as comparable,
    )
    from bayesmeta.questions.summary import (
        compare_coefficients as compare_coefficients,
    )
    from bayesmeta.questions.summary import (
        compare_table as compare_table,
    )
    from bayesmeta.questions.summary import (
        contrast_table as contrast_table,
    )
    from bayesmeta.questions.summary import (
        heterogeneity_table as heterogeneity_table,
    )
    from bayesmeta.questions.summary import (
        predict as predict,
    )
    from bayesmeta.questions.summary import (
        probability as probability,
    )
    from bayesmeta.questions.summary import (
        study_table as study_table,
    )
    from bayesmeta.questions.summary import (
        study_weights as study_weights,
    )
    from bayesmeta.questions.summary import (
        summarize as summarize,
    )
    from bayesmeta.questions.summary import (
        typical_variance as typical_variance,
    )
    from bayesmeta.questions.units import natural_table as natural_table
    from bayesmeta.questions.units import risk_table as risk_table

__getattr__, __dir__ = exports(
    __name__,
    {
        "benefit": (
            "CAVEAT",
            "band_table",
            "benefit_curve",
            "benefit_probabilities",
            "benefit_probabilities_of",
            "benefit_sentence",
            "benefit_table",
            "direction",
            "estimate_words",
            "percent",
            "responder_table",
            "share_of_true_effects",
            "threshold",
        ),
        "borrowing": (
            "Borrowing",
            "WEIGHTS",
            "borrowing_probabilities",
            "borrowing_table",
            "conflict_table",
            "effective_size",
            "mix",
            "predictive_of",
            "robust_map",
            "update",
        ),
        "information": (
            "information_size",
            "information_table",
        ),
        "next_trial": (
            "next_trial_table",
            "planned_se",
            "updated_probability",
            "with_trial",
        ),
        "profiles": (
            "NEW_TYPE",
            "compare_types_table",
            "curve_table",
            "imputed_table",
            "outlier_table",
            "profile_table",
        ),
        "summary": (
            "bayes_factor",
            "comparable",
            "compare_coefficients",
            "compare_table",
            "contrast_table",
            "heterogeneity_table",
            "predict",
            "probability",
            "study_table",
            "study_weights",
            "summarize",
            "typical_variance",
        ),
        "units": (
            "natural_table",
            "risk_table",
        ),
    },
)
