"""What would change the answer: other priors, other models, other choices, fewer trials."""

from bayesmeta.sensitivity.trials import cumulative_table, leave_one_out
from bayesmeta.sensitivity.variations import contrast_variations, prior_range, variation_table

__all__ = [
    "contrast_variations",
    "cumulative_table",
    "leave_one_out",
    "prior_range",
    "variation_table",
]
