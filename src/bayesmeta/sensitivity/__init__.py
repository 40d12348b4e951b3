"""What would change the answer: other priors, other models, other choices, fewer trials."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.sensitivity.bias import *
    from bayesmeta.sensitivity.classical_sections import *
    from bayesmeta.sensitivity.concordance import *
    from bayesmeta.sensitivity.credibility import *
    from bayesmeta.sensitivity.grade import *
    from bayesmeta.sensitivity.inconsistency import *
    from bayesmeta.sensitivity.model_checks import *
    from bayesmeta.sensitivity.multiverse import *
    from bayesmeta.sensitivity.predictive_loo import *
    from bayesmeta.sensitivity.prior_bench import *
    from bayesmeta.sensitivity.publication_bias import *
    from bayesmeta.sensitivity.robustness import *
    from bayesmeta.sensitivity.section import *
    from bayesmeta.sensitivity.tipping import *
    from bayesmeta.sensitivity.trials import *
    from bayesmeta.sensitivity.variations import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "bias": "bias_adjusted_effects risk_of_bias_table",
            "classical_sections": "estimators_table permutation_table",
            "concordance": "NEGLIGIBLE concordance_sentence concordance_table",
            "credibility": "credibility_table",
            "grade": "GRADE_COLUMNS GRADE_RULES grade_table",
            "inconsistency": "SURE across_trials_index decision_index inconsistency_table side_table",
            "model_checks": "CHECKS",
            "multiverse": "CHOICES Variant data_choices multiverse_summary multiverse_table variants_of",
            "predictive_loo": "loo_table",
            "prior_bench": "NamedPrior conflict named_priors prior_bench_table",
            "publication_bias": "BIAS_TABLES average_sentence bias_tables",
            "robustness": (
                "SECTIONS SLOW ReadableSection SensitivityAnalyses check_model read_section sensitivity_analyses "
                "usual_sections"
            ),
            "section": "Computed Section SectionOptions trial_order",
            "tipping": "prior_probability tipping_table",
            "trials": "cumulative_fits_table leave_one_out",
            "variations": "MAIN MODERATED_MAIN SUBGROUP contrast_variations declared_table prior_range variation_table",
        },
        guard="bayesmeta.boundary",
    )
