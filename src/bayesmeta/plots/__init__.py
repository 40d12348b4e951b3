"""Pictures: each is drawn from a table, carries its alt text, and is a Matplotlib figure that pyplot never sees."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.plots.baujat import *
    from bayesmeta.plots.benefit import *
    from bayesmeta.plots.borrow import *
    from bayesmeta.plots.bubble import *
    from bayesmeta.plots.checks import *
    from bayesmeta.plots.curve import *
    from bayesmeta.plots.deletion import *
    from bayesmeta.plots.drapery import *
    from bayesmeta.plots.fonts import *
    from bayesmeta.plots.forest import *
    from bayesmeta.plots.funnel import *
    from bayesmeta.plots.heterogeneity import *
    from bayesmeta.plots.joint import *
    from bayesmeta.plots.ladder import *
    from bayesmeta.plots.outliers import *
    from bayesmeta.plots.picture import *
    from bayesmeta.plots.profile import *
    from bayesmeta.plots.published import *
    from bayesmeta.plots.radial import *
    from bayesmeta.plots.sheet import *
    from bayesmeta.plots.specification import *
    from bayesmeta.plots.subsets import *
    from bayesmeta.plots.tables import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "baujat": "baujat_plot influence_plot",
            "benefit": "benefit_plot",
            "borrow": "borrow_plot",
            "bubble": "bubble_plot",
            "checks": "ppc_plot prior_posterior_plot",
            "curve": "curve_plot",
            "deletion": "cumulative_plot deletion_plot",
            "drapery": "drapery_plot drapery_table",
            "fonts": "FAMILY",
            "forest": "forest_plot",
            "funnel": "funnel_plot",
            "heterogeneity": "heterogeneity_plot",
            "joint": "joint_plot",
            "ladder": "ladder_plot ladder_table",
            "outliers": "outlier_plot",
            "picture": "FORMATS Plot PlotFormat drawing plot_bytes save_plot",
            "profile": "profile_plot",
            "published": "published_plot",
            "radial": "radial_plot radial_table",
            "sheet": "BAYES CLASSICAL text_width tick_positions",
            "specification": "specification_plot",
            "subsets": "gosh_plot",
            "tables": "Order bubble_table forest_table funnel_table heterogeneity_curves",
        },
        guard="bayesmeta.boundary",
    )
