"""What a sceptic asks of a fit: does it predict its data, what did they teach, does one trial carry it."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.checking.conflict import *
    from bayesmeta.checking.learning import *
    from bayesmeta.checking.replicates import *
    from bayesmeta.checking.scaling import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "conflict": "CONFLICT STRONG_CONFLICT prior_conflict_table prior_conflicts",
            "learning": "overlap_curves overlap_table",
            "replicates": "STATISTICS new_trials ppc_table predictive_table prior_check_table statistics",
            "scaling": "power_scaling_table powered",
        },
    )
