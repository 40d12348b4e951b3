"""Published pooled results: read as printed, rebuilt as far as the numbers allow, and analysed again."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.published.answers import *
    from bayesmeta.published.integration import *
    from bayesmeta.published.rebuilding import *
    from bayesmeta.published.results import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "answers": "NO_THRESHOLD NotAnalysed Reanalysis TARGETS reanalyse reanalyse_all reanalysis_table",
            "integration": "mean_and_heterogeneity mean_posterior",
            "rebuilding": "Reconstruction reconstruct",
            "results": "PublishedResult directed measures_of published_results",
        },
    )
