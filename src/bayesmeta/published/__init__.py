"""Published pooled results: read as printed, rebuilt as far as the numbers allow, and analysed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.published.answers import (
        NO_THRESHOLD as NO_THRESHOLD,
    )
    from bayesmeta.published.answers import (
        TARGETS as TARGETS,
    )
    from bayesmeta.published.answers import (
        NotAnalysed as NotAnalysed,
    )
    from bayesmeta.published.answers import (
        Reanalysis as Reanalysis,
    )
    from bayesmeta.published.answers import (
        reanalyse as reanalyse,
    )
    from bayesmeta.published.answers import (
        reanalyse_all as reanalyse_all,
    )
    from bayesmeta.published.answers import (
        reanalysis_table as reanalysis_table,
    )
    from bayesmeta.published.integration import (
        mean_and_heterogeneity as mean_and_heterogeneity,
    )
    from bayesmeta.published.integration import (
        mean_posterior as mean_posterior,
    )
    from bayesmeta.published.rebuilding import Reconstruction as Reconstruction
    from bayesmeta.published.rebuilding import reconstruct as reconstruct
    from bayesmeta.published.results import (
        PublishedResult as PublishedResult,
    )
    from bayesmeta.published.results import (
        directed as directed,
    )
    from bayesmeta.published.results import (
        measures_of as measures_of,
    )
    from bayesmeta.published.results import (
        published_results as published_results,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "answers": (
            "NO_THRESHOLD",
            "NotAnalysed",
            "Reanalysis",
            "TARGETS",
            "reanalyse",
            "reanalyse_all",
            "reanalysis_table",
        ),
        "integration": (
            "mean_and_heterogeneity",
            "mean_posterior",
        ),
        "rebuilding": (
            "Reconstruction",
            "reconstruct",
        ),
        "results": (
            "PublishedResult",
            "directed",
            "measures_of",
            "published_results",
        ),
    },
)
