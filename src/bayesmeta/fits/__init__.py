"""Fits: choosing and running an engine, the posterior of every quantity by name, the tree, files."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.fits.agreement import *
    from bayesmeta.fits.by_name import *
    from bayesmeta.fits.exact_tree import *
    from bayesmeta.fits.inference import *
    from bayesmeta.fits.loading import *
    from bayesmeta.fits.many import *
    from bayesmeta.fits.result import *
    from bayesmeta.fits.storage import *
    from bayesmeta.fits.tree import *
    from bayesmeta.fits.worked_example import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "agreement": "agreement_table",
            "by_name": (
                "LEVEL SETTLED ask central cut_marginal distribution functional_of linear_summary marginal quantities "
                "study_summary summary_of tail_mcse"
            ),
            "exact_tree": "conditional_draws",
            "inference": "Engine fit fit_many",
            "loading": "load",
            "many": "distributions main_quantiles quantiles",
            "result": "Fit",
            "storage": "dumps loads read_tree write_tree",
            "tree": "CHAINS DRAWS SCHEMA_VERSION",
            "worked_example": "example",
        },
    )
