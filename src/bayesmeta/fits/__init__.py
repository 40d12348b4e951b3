"""Fits: choosing and running an engine, the posterior of every quantity by name, the tree, files."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.fits.agreement import *
    from bayesmeta.fits.by_name import *
    from bayesmeta.fits.inference import *
    from bayesmeta.fits.loading import *
    from bayesmeta.fits.posterior import *
    from bayesmeta.fits.result import *
    from bayesmeta.fits.storage import *
    from bayesmeta.fits.tree import *
    from bayesmeta.fits.worked_example import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "agreement": "agreement_table",
            "by_name": ("LEVEL distribution distributions main_quantiles marginal quantiles quantities tail_mcse"),
            "inference": "Engine exactly fit fit_many predict_left_out",
            "loading": "load",
            "posterior": "Posterior",
            "result": "Fit",
            "storage": "dumps loads read_tree write_tree",
            "tree": "CHAINS DRAWS SCHEMA_VERSION parameters",
            "worked_example": "example",
        },
    )
