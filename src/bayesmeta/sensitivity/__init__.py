"""What would change the answer: other priors, other models, other choices, fewer trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.sensitivity.concordance import (
        NEGLIGIBLE as NEGLIGIBLE,
    )
    from bayesmeta.sensitivity.concordance import (
        concordance_sentence as concordance_sentence,
    )
    from bayesmeta.sensitivity.concordance import (
        concordance_table as concordance_table,
    )
    from bayesmeta.sensitivity.grade import GRADE_COLUMNS as GRADE_COLUMNS
    from bayesmeta.sensitivity.grade import grade_table as grade_table
    from bayesmeta.sensitivity.inconsistency import (
        across_trials_index as across_trials_index,
    )
    from bayesmeta.sensitivity.inconsistency import (
        decision_index as decision_index,
    )
    from bayesmeta.sensitivity.inconsistency import (
        inconsistency_table as inconsistency_table,
    )
    from bayesmeta.sensitivity.inconsistency import (
        side_table as side_table,
    )
    from bayesmeta.sensitivity.multiverse import (
        CHOICES as CHOICES,
    )
    from bayesmeta.sensitivity.multiverse import (
        Variant as Variant,
    )
    from bayesmeta.sensitivity.multiverse import (
        data_choices as data_choices,
    )
    from bayesmeta.sensitivity.multiverse import (
        multiverse_summary as multiverse_summary,
    )
    from bayesmeta.sensitivity.multiverse import (
        multiverse_table as multiverse_table,
    )
    from bayesmeta.sensitivity.multiverse import (
        variants_of as variants_of,
    )
    from bayesmeta.sensitivity.predictive_loo import loo_table as loo_table
    from bayesmeta.sensitivity.prior_bench import (
        NamedPrior as NamedPrior,
    )
    from bayesmeta.sensitivity.prior_bench import (
        conflict as conflict,
    )
    from bayesmeta.sensitivity.prior_bench import (
        named_priors as named_priors,
    )
    from bayesmeta.sensitivity.prior_bench import (
        prior_bench_table as prior_bench_table,
    )
    from bayesmeta.sensitivity.robustness import (
        SECTIONS as SECTIONS,
    )
    from bayesmeta.sensitivity.robustness import (
        SLOW as SLOW,
    )
    from bayesmeta.sensitivity.robustness import (
        SensitivityAnalyses as SensitivityAnalyses,
    )
    from bayesmeta.sensitivity.robustness import (
        estimators_table as estimators_table,
    )
    from bayesmeta.sensitivity.robustness import (
        permutation_table as permutation_table,
    )
    from bayesmeta.sensitivity.robustness import (
        sensitivity_analyses as sensitivity_analyses,
    )
    from bayesmeta.sensitivity.sections import read_section as read_section
    from bayesmeta.sensitivity.tipping import (
        prior_probability as prior_probability,
    )
    from bayesmeta.sensitivity.tipping import (
        probit_rule as probit_rule,
    )
    from bayesmeta.sensitivity.tipping import (
        tipping_table as tipping_table,
    )
    from bayesmeta.sensitivity.trials import (
        cumulative_fits_table as cumulative_fits_table,
    )
    from bayesmeta.sensitivity.trials import (
        leave_one_out as leave_one_out,
    )
    from bayesmeta.sensitivity.variations import (
        SUBGROUP as SUBGROUP,
    )
    from bayesmeta.sensitivity.variations import (
        contrast_variations as contrast_variations,
    )
    from bayesmeta.sensitivity.variations import (
        prior_range as prior_range,
    )
    from bayesmeta.sensitivity.variations import (
        variation_table as variation_table,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "concordance": (
            "NEGLIGIBLE",
            "concordance_sentence",
            "concordance_table",
        ),
        "grade": (
            "GRADE_COLUMNS",
            "grade_table",
        ),
        "inconsistency": (
            "across_trials_index",
            "decision_index",
            "inconsistency_table",
            "side_table",
        ),
        "multiverse": (
            "CHOICES",
            "Variant",
            "data_choices",
            "multiverse_summary",
            "multiverse_table",
            "variants_of",
        ),
        "predictive_loo": ("loo_table",),
        "prior_bench": (
            "NamedPrior",
            "conflict",
            "named_priors",
            "prior_bench_table",
        ),
        "robustness": (
            "SECTIONS",
            "SLOW",
            "SensitivityAnalyses",
            "estimators_table",
            "permutation_table",
            "sensitivity_analyses",
        ),
        "sections": ("read_section",),
        "tipping": (
            "prior_probability",
            "probit_rule",
            "tipping_table",
        ),
        "trials": (
            "cumulative_fits_table",
            "leave_one_out",
        ),
        "variations": (
            "SUBGROUP",
            "contrast_variations",
            "prior_range",
            "variation_table",
        ),
    },
)
