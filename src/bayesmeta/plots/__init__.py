"""Pictures: each is drawn from a table, carries its alt text, and is a Matplotlib figure that pyplot never sees."""

from bayesmeta.plots.baujat import baujat_plot, influence_plot
from bayesmeta.plots.benefit import benefit_plot
from bayesmeta.plots.borrow import borrow_plot
from bayesmeta.plots.bubble import bubble_plot
from bayesmeta.plots.checks import ppc_plot, prior_posterior_plot
from bayesmeta.plots.curve import curve_plot
from bayesmeta.plots.deletion import cumulative_plot, deletion_plot
from bayesmeta.plots.drapery import drapery_plot, drapery_table
from bayesmeta.plots.forest import forest_plot
from bayesmeta.plots.funnel import funnel_plot
from bayesmeta.plots.heterogeneity import heterogeneity_plot
from bayesmeta.plots.joint import joint_plot
from bayesmeta.plots.ladder import ladder_plot, ladder_table
from bayesmeta.plots.outliers import outlier_plot
from bayesmeta.plots.picture import FORMATS, Plot, PlotFormat, plot_bytes, save_plot
from bayesmeta.plots.profile import profile_plot
from bayesmeta.plots.published import published_plot
from bayesmeta.plots.radial import radial_plot, radial_table
from bayesmeta.plots.specification import specification_plot
from bayesmeta.plots.subsets import gosh_plot
from bayesmeta.plots.tables import Order, bubble_table, forest_table, funnel_table, heterogeneity_curves

__all__ = [
    "FORMATS",
    "Order",
    "Plot",
    "PlotFormat",
    "baujat_plot",
    "benefit_plot",
    "borrow_plot",
    "bubble_plot",
    "bubble_table",
    "cumulative_plot",
    "curve_plot",
    "deletion_plot",
    "drapery_plot",
    "drapery_table",
    "forest_plot",
    "forest_table",
    "funnel_plot",
    "funnel_table",
    "gosh_plot",
    "heterogeneity_curves",
    "heterogeneity_plot",
    "influence_plot",
    "joint_plot",
    "ladder_plot",
    "ladder_table",
    "outlier_plot",
    "plot_bytes",
    "ppc_plot",
    "prior_posterior_plot",
    "profile_plot",
    "published_plot",
    "radial_plot",
    "radial_table",
    "save_plot",
    "specification_plot",
]
