"""What a sceptic asks of a fit: does it predict its data, what did they teach, does one trial carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.checking.learning import overlap_curves as overlap_curves
    from bayesmeta.checking.learning import overlap_table as overlap_table
    from bayesmeta.checking.replicates import (
        STATISTICS as STATISTICS,
    )
    from bayesmeta.checking.replicates import (
        new_trials as new_trials,
    )
    from bayesmeta.checking.replicates import (
        ppc_table as ppc_table,
    )
    from bayesmeta.checking.replicates import (
        predictive_table as predictive_table,
    )
    from bayesmeta.checking.replicates import (
        prior_check_table as prior_check_table,
    )
    from bayesmeta.checking.replicates import (
        statistics as statistics,
    )
    from bayesmeta.checking.scaling import power_scaling_table as power_scaling_table
    from bayesmeta.checking.scaling import powered as powered

__getattr__, __dir__ = exports(
    __name__,
    {
        "learning": (
            "overlap_curves",
            "overlap_table",
        ),
        "replicates": (
            "STATISTICS",
            "new_trials",
            "ppc_table",
            "predictive_table",
            "prior_check_table",
            "statistics",
        ),
        "scaling": (
            "power_scaling_table",
            "powered",
        ),
    },
)
