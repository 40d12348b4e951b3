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
    from bayesmeta.plots.forest.bias import *
    from bayesmeta.plots.forest.columns import *
    from bayesmeta.plots.forest.plot import *
    from bayesmeta.plots.forest.table import *
    from bayesmeta.plots.funnel import *
    from bayesmeta.plots.heterogeneity import *
    from bayesmeta.plots.icons import *
    from bayesmeta.plots.joint import *
    from bayesmeta.plots.ladder import *
    from bayesmeta.plots.mu_tau import *
    from bayesmeta.plots.new_study import *
    from bayesmeta.plots.outliers import *
    from bayesmeta.plots.overview import *
    from bayesmeta.plots.picture import *
    from bayesmeta.plots.profile import *
    from bayesmeta.plots.publication_bias import *
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
            "fonts": "FAMILY missing_letters",
            "forest.bias": "risk_of_bias_plot judgement_table",
            "forest.columns": "arms_table",
            "forest.plot": "forest_plot",
            "forest.table": "forest_table",
            "funnel": "funnel_plot",
            "heterogeneity": "heterogeneity_plot",
            "icons": "icon_array icon_table",
            "joint": "joint_plot",
            "ladder": "ladder_plot ladder_table",
            "mu_tau": "mu_tau_plot mu_tau_table",
            "new_study": "new_study_plot new_study_table",
            "outliers": "outlier_plot",
            "overview": "overview_plot overview_table",
            "picture": "FORMATS Plot PlotFormat drawing plot_bytes save_plot",
            "profile": "profile_plot",
            "publication_bias": ("averaged_mean_plot inclusion_plot p_value_plot weight_function_plot z_curve_plot"),
            "published": "published_plot",
            "radial": "radial_plot radial_table",
            "sheet": "BAYES CLASSICAL text_width tick_positions",
            "specification": "specification_plot",
            "subsets": "gosh_plot",
            "tables": "bubble_table funnel_table heterogeneity_curves",
        },
        guard="bayesmeta.boundary",
    )
