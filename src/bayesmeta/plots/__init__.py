"""Pictures: each is drawn from a table, carries its alt text, and is a Matplotlib figure that pyplot never sees."""

from bayesmeta.plots.benefit import benefit_plot
from bayesmeta.plots.bubble import bubble_plot
from bayesmeta.plots.checks import ppc_plot, prior_posterior_plot
from bayesmeta.plots.curve import curve_plot
from bayesmeta.plots.forest import forest_plot
from bayesmeta.plots.funnel import funnel_plot
from bayesmeta.plots.heterogeneity import heterogeneity_plot
from bayesmeta.plots.joint import joint_plot
from bayesmeta.plots.outliers import outlier_plot
from bayesmeta.plots.picture import FORMATS, Plot, PlotFormat, plot_bytes, save_plot
from bayesmeta.plots.profile import profile_plot
from bayesmeta.plots.tables import Order, bubble_table, forest_table, funnel_table, heterogeneity_curves

__all__ = [
    "FORMATS",
    "Order",
    "Plot",
    "PlotFormat",
    "benefit_plot",
    "bubble_plot",
    "bubble_table",
    "curve_plot",
    "forest_plot",
    "forest_table",
    "funnel_plot",
    "funnel_table",
    "heterogeneity_curves",
    "heterogeneity_plot",
    "joint_plot",
    "outlier_plot",
    "plot_bytes",
    "ppc_plot",
    "prior_posterior_plot",
    "profile_plot",
    "save_plot",
]
