"""Published pooled results: read as printed, rebuilt as far as the numbers allow, and analysed again."""

from bayesmeta.published.answers import (
    NO_THRESHOLD,
    TARGETS,
    NotAnalysed,
    Reanalysis,
    reanalyse,
    reanalyse_all,
    reanalysis_table,
)
from bayesmeta.published.integration import mean_and_heterogeneity, mean_posterior
from bayesmeta.published.rebuilding import Reconstruction, reconstruct
from bayesmeta.published.results import PublishedResult, directed, measures_of, published_results

__all__ = [
    "NO_THRESHOLD",
    "TARGETS",
    "NotAnalysed",
    "PublishedResult",
    "Reanalysis",
    "Reconstruction",
    "directed",
    "mean_and_heterogeneity",
    "mean_posterior",
    "measures_of",
    "published_results",
    "reanalyse",
    "reanalyse_all",
    "reanalysis_table",
    "reconstruct",
]
