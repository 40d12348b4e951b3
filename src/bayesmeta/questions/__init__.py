"""Questions asked of a fit: summaries, benefit, natural units, profiles, borrowing, the next trial."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.questions.benefit import *
    from bayesmeta.questions.best import *
    from bayesmeta.questions.borrowing import *
    from bayesmeta.questions.heterogeneity import *
    from bayesmeta.questions.hksj import *
    from bayesmeta.questions.information import *
    from bayesmeta.questions.instrument_sd import *
    from bayesmeta.questions.natural import *
    from bayesmeta.questions.natural_result import *
    from bayesmeta.questions.next_trial import *
    from bayesmeta.questions.profiles import *
    from bayesmeta.questions.sizes import *
    from bayesmeta.questions.statements import *
    from bayesmeta.questions.summary import *
    from bayesmeta.questions.thresholds import *
    from bayesmeta.questions.units import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "benefit": (
                "CAVEAT any_benefit_of band_table benefit_curve benefit_probabilities benefit_probabilities_of "
                "benefit_sentence "
                "benefit_table estimate_words interval_texts one_arm_words responder_table share_of_true_effects"
            ),
            "best": "ONE_TRIAL best_level_table",
            "borrowing": (
                "Borrowing WEIGHTS borrowing_probabilities borrowing_table conflict_table effective_size mix "
                "predictive_of robust_map update"
            ),
            "hksj": "hksj_remark",
            "heterogeneity": "TRIALS_PER_LEVEL heterogeneity_by_table",
            "information": "information_size information_table",
            "instrument_sd": "ReferenceSD reference_sd",
            "natural": "natural_answer natural_answers natural_threshold",
            "natural_result": "NaturalAnswer NaturalEffect",
            "next_trial": "next_trial_table planned_se updated_probability with_trial",
            "profiles": "NEW_TYPE compare_types_table curve_table imputed_table outlier_table profile_table",
            "sizes": "LITTLE NO_NULL between_words chance_notes chance_table size_table",
            "statements": ("CERTAINTY_WORDS SIZE_WORDS Spoken finding_sentence in_sentence size_of spoken_direction"),
            "summary": (
                "bayes_factor compare_table heterogeneity_table method_name "
                "predict probability study_table study_weights summarize typical_variance"
            ),
            "thresholds": (
                "direction numeric_distance required_threshold resolve_threshold resolve_thresholds threshold"
            ),
            "units": "STANDARDISED natural_table risk_table",
        },
    )
