"""What would change the answer: other priors, other models, other choices, fewer trials."""

from bayesmeta.sensitivity.concordance import concordance_sentence, concordance_table
from bayesmeta.sensitivity.inconsistency import across_trials_index, decision_index, inconsistency_table, side_table
from bayesmeta.sensitivity.multiverse import (
    Variant,
    data_choices,
    multiverse_summary,
    multiverse_table,
    variants_of,
)
from bayesmeta.sensitivity.prior_bench import NamedPrior, conflict, named_priors, prior_bench_table
from bayesmeta.sensitivity.tipping import prior_probability, tipping_table
from bayesmeta.sensitivity.trials import cumulative_table, leave_one_out
from bayesmeta.sensitivity.variations import SUBGROUP, contrast_variations, prior_range, variation_table

__all__ = [
    "SUBGROUP",
    "NamedPrior",
    "Variant",
    "across_trials_index",
    "concordance_sentence",
    "concordance_table",
    "conflict",
    "contrast_variations",
    "cumulative_table",
    "data_choices",
    "decision_index",
    "inconsistency_table",
    "leave_one_out",
    "multiverse_summary",
    "multiverse_table",
    "named_priors",
    "prior_bench_table",
    "prior_probability",
    "prior_range",
    "side_table",
    "tipping_table",
    "variants_of",
    "variation_table",
]
