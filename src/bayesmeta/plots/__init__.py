"""Pictures: each is drawn from a table, carries its alt text, and is a Matplotlib figure that pyplot never sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.plots.baujat import baujat_plot as baujat_plot
    from bayesmeta.plots.baujat import influence_plot as influence_plot
    from bayesmeta.plots.benefit import benefit_plot as benefit_plot
    from bayesmeta.plots.borrow import borrow_plot as borrow_plot
    from bayesmeta.plots.bubble import bubble_plot as bubble_plot
    from bayesmeta.plots.checks import ppc_plot as ppc_plot
    from bayesmeta.plots.checks import prior_posterior_plot as prior_posterior_plot
    from bayesmeta.plots.curve import curve_plot as curve_plot
    from bayesmeta.plots.deletion import cumulative_plot as cumulative_plot
    from bayesmeta.plots.deletion import deletion_plot as deletion_plot
    from bayesmeta.plots.drapery import drapery_plot as drapery_plot
    from bayesmeta.plots.drapery import drapery_table as drapery_table
    from bayesmeta.plots.fonts import FAMILY as FAMILY
    from bayesmeta.plots.forest import forest_plot as forest_plot
    from bayesmeta.plots.funnel import funnel_plot as funnel_plot
    from bayesmeta.plots.heterogeneity import heterogeneity_plot as heterogeneity_plot
    from bayesmeta.plots.joint import joint_plot as joint_plot
    from bayesmeta.plots.ladder import ladder_plot as ladder_plot
    from bayesmeta.plots.ladder import ladder_table as ladder_table
    from bayesmeta.plots.outliers import outlier_plot as outlier_plot
    from bayesmeta.plots.picture import (
        FORMATS as FORMATS,
    )
    from bayesmeta.plots.picture import (
        Plot as Plot,
    )
    from bayesmeta.plots.picture import (
        PlotFormat as PlotFormat,
    )
    from bayesmeta.plots.picture import (
        drawing as drawing,
    )
    from bayesmeta.plots.picture import (
        plot_bytes as plot_bytes,
    )
    from bayesmeta.plots.picture import (
        save_plot as save_plot,
    )
    from bayesmeta.plots.profile import profile_plot as profile_plot
    from bayesmeta.plots.published import published_plot as published_plot
    from bayesmeta.plots.radial import radial_plot as radial_plot
    from bayesmeta.plots.radial import radial_table as radial_table
    from bayesmeta.plots.sheet import (
        BAYES as BAYES,
    )
    from bayesmeta.plots.sheet import (
        CLASSICAL as CLASSICAL,
    )
    from bayesmeta.plots.sheet import (
        text_width as text_width,
    )
    from bayesmeta.plots.sheet import (
        tick_positions as tick_positions,
    )
    from bayesmeta.plots.specification import specification_plot as specification_plot
    from bayesmeta.plots.subsets import gosh_plot as gosh_plot
    from bayesmeta.plots.tables import (
        Order as Order,
    )
    from bayesmeta.plots.tables import (
        bubble_table as bubble_table,
    )
    from bayesmeta.plots.tables import (
        forest_table as forest_table,
    )
    from bayesmeta.plots.tables import (
        funnel_table as funnel_table,
    )
    from bayesmeta.plots.tables import (
        heterogeneity_curves as heterogeneity_curves,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "baujat": (
            "baujat_plot",
            "influence_plot",
        ),
        "benefit": ("benefit_plot",),
        "borrow": ("borrow_plot",),
        "bubble": ("bubble_plot",),
        "checks": (
            "ppc_plot",
            "prior_posterior_plot",
        ),
        "curve": ("curve_plot",),
        "deletion": (
            "cumulative_plot",
            "deletion_plot",
        ),
        "drapery": (
            "drapery_plot",
            "drapery_table",
        ),
        "fonts": ("FAMILY",),
        "forest": ("forest_plot",),
        "funnel": ("funnel_plot",),
        "heterogeneity": ("heterogeneity_plot",),
        "joint": ("joint_plot",),
        "ladder": (
            "ladder_plot",
            "ladder_table",
        ),
        "outliers": ("outlier_plot",),
        "picture": (
            "FORMATS",
            "Plot",
            "PlotFormat",
            "drawing",
            "plot_bytes",
            "save_plot",
        ),
        "profile": ("profile_plot",),
        "published": ("published_plot",),
        "radial": (
            "radial_plot",
            "radial_table",
        ),
        "sheet": (
            "BAYES",
            "CLASSICAL",
            "text_width",
            "tick_positions",
        ),
        "specification": ("specification_plot",),
        "subsets": ("gosh_plot",),
        "tables": (
            "Order",
            "bubble_table",
            "forest_table",
            "funnel_table",
            "heterogeneity_curves",
        ),
    },
)
