"""What a sceptic asks of a fit: does it predict its data, what did they teach, does one trial carry it."""

from bayesmeta.checking.learning import overlap_curves, overlap_table
from bayesmeta.checking.leaving import loo_table
from bayesmeta.checking.replicates import STATISTICS, ppc_table, predictive_table, prior_check_table
from bayesmeta.checking.scaling import power_scaling_table, powered

__all__ = [
    "STATISTICS",
    "loo_table",
    "overlap_curves",
    "overlap_table",
    "power_scaling_table",
    "powered",
    "ppc_table",
    "predictive_table",
    "prior_check_table",
]
