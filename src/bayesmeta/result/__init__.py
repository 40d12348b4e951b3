"""A fit and its tree of labelled arrays: the only place that names groups, dims and variables."""

from bayesmeta.result.exact import conditional_draws
from bayesmeta.result.fit import Fit
from bayesmeta.result.reading import load
from bayesmeta.result.tree import CHAINS, DRAWS, SCHEMA_VERSION

__all__ = ["CHAINS", "DRAWS", "SCHEMA_VERSION", "Fit", "conditional_draws", "load"]
