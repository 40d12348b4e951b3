"""Fits: choosing and running an engine, the posterior of every quantity by name, the tree, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.fits.agreement import agreement_table as agreement_table
    from bayesmeta.fits.by_name import (
        LEVEL as LEVEL,
    )
    from bayesmeta.fits.by_name import (
        SETTLED as SETTLED,
    )
    from bayesmeta.fits.by_name import (
        ask as ask,
    )
    from bayesmeta.fits.by_name import (
        central as central,
    )
    from bayesmeta.fits.by_name import (
        cut_marginal as cut_marginal,
    )
    from bayesmeta.fits.by_name import (
        distribution as distribution,
    )
    from bayesmeta.fits.by_name import (
        functional_of as functional_of,
    )
    from bayesmeta.fits.by_name import (
        linear_summary as linear_summary,
    )
    from bayesmeta.fits.by_name import (
        marginal as marginal,
    )
    from bayesmeta.fits.by_name import (
        quantities as quantities,
    )
    from bayesmeta.fits.by_name import (
        study_summary as study_summary,
    )
    from bayesmeta.fits.by_name import (
        summary_of as summary_of,
    )
    from bayesmeta.fits.by_name import (
        tail_mcse as tail_mcse,
    )
    from bayesmeta.fits.exact_tree import conditional_draws as conditional_draws
    from bayesmeta.fits.inference import fit as fit
    from bayesmeta.fits.inference import fit_many as fit_many
    from bayesmeta.fits.loading import load as load
    from bayesmeta.fits.many import (
        distributions as distributions,
    )
    from bayesmeta.fits.many import (
        main_quantiles as main_quantiles,
    )
    from bayesmeta.fits.many import (
        quantiles as quantiles,
    )
    from bayesmeta.fits.result import Fit as Fit
    from bayesmeta.fits.storage import dumps as dumps
    from bayesmeta.fits.storage import loads as loads
    from bayesmeta.fits.storage import read_tree as read_tree
    from bayesmeta.fits.storage import write_tree as write_tree
    from bayesmeta.fits.tree import CHAINS as CHAINS
    from bayesmeta.fits.tree import DRAWS as DRAWS
    from bayesmeta.fits.tree import SCHEMA_VERSION as SCHEMA_VERSION
    from bayesmeta.fits.worked_example import example as example

__getattr__, __dir__ = exports(
    __name__,
    {
        "agreement": ("agreement_table",),
        "by_name": (
            "LEVEL",
            "SETTLED",
            "ask",
            "central",
            "cut_marginal",
            "distribution",
            "functional_of",
            "linear_summary",
            "marginal",
            "quantities",
            "study_summary",
            "summary_of",
            "tail_mcse",
        ),
        "exact_tree": ("conditional_draws",),
        "inference": (
            "fit",
            "fit_many",
        ),
        "loading": ("load",),
        "many": (
            "distributions",
            "main_quantiles",
            "quantiles",
        ),
        "result": ("Fit",),
        "storage": (
            "dumps",
            "loads",
            "read_tree",
            "write_tree",
        ),
        "tree": (
            "CHAINS",
            "DRAWS",
            "SCHEMA_VERSION",
        ),
        "worked_example": ("example",),
    },
)
