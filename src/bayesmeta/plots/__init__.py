"""Pictures: each is drawn from a table, carries its alt text, and is a Matplotlib figure that pyplot never sees."""

from bayesmeta.plots.forest import forest_plot
from bayesmeta.plots.picture import FORMATS, Plot, PlotFormat, plot_bytes, save_plot
from bayesmeta.plots.tables import bubble_table, forest_table, funnel_table, heterogeneity_curves
