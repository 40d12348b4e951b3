"""Classical meta-analysis: the check that stands beside every Bayesian answer."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.classical.alternatives import *
    from bayesmeta.classical.asymmetry import *
    from bayesmeta.classical.baselines import *
    from bayesmeta.classical.binomial import *
    from bayesmeta.classical.bootstrap import *
    from bayesmeta.classical.check import *
    from bayesmeta.classical.confounding import *
    from bayesmeta.classical.deletion import *
    from bayesmeta.classical.dependence import *
    from bayesmeta.classical.failsafe import *
    from bayesmeta.classical.heterogeneity import *
    from bayesmeta.classical.influence import *
    from bayesmeta.classical.intervals import *
    from bayesmeta.classical.limit import *
    from bayesmeta.classical.multilevel import *
    from bayesmeta.classical.nested import *
    from bayesmeta.classical.pcurve import *
    from bayesmeta.classical.permutation import *
    from bayesmeta.classical.pooling import *
    from bayesmeta.classical.presets import *
    from bayesmeta.classical.printing import *
    from bayesmeta.classical.quadratic_forms import *
    from bayesmeta.classical.ranks import *
    from bayesmeta.classical.refits import *
    from bayesmeta.classical.regression import *
    from bayesmeta.classical.robust import *
    from bayesmeta.classical.rows import *
    from bayesmeta.classical.scales import *
    from bayesmeta.classical.selection import *
    from bayesmeta.classical.smallstudy import *
    from bayesmeta.classical.subgroups import *
    from bayesmeta.classical.subsets import *
    from bayesmeta.classical.tau2 import *
    from bayesmeta.classical.tau2_intervals import *
    from bayesmeta.classical.trimfill import *
    from bayesmeta.classical.two_by_two import *
    from bayesmeta.classical.zeros import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "alternatives": "alternatives_table henmi_copas ivhet kenward_roger",
            "asymmetry": "PREDICTORS dependence_note egger_test harbord_test pet_peese peters_test weighted_line",
            "baselines": "baseline_likelihood",
            "binomial": "BINOMIAL_MODELS binomial_normal",
            "bootstrap": "bootstrap_prediction",
            "check": "CheckWords MultilevelMean check_name check_words is_clustered pool_check pool_clustered",
            "confounding": "CONFOUNDED gvif",
            "deletion": "cumulative_table leave_one_out_table",
            "dependence": (
                "CHE_COLUMNS CORRELATIONS DEPENDENCE_COLUMNS aggregate_trials correlated_hierarchical "
                "dependence_table working_covariance"
            ),
            "failsafe": "FAIL_SAFE_FORMS fail_safe_n",
            "heterogeneity": "HeterogeneityInterval q_profile tau2_interval",
            "influence": "influence_table",
            "intervals": "CI_METHODS CiMethod NARROW NO_WIDTH PI_FORMULAS adhoc_beside hksj_mark",
            "limit": "limit_meta_analysis",
            "multilevel": "cluster_numbers pool_multilevel",
            "nested": "nested_rows nested_sums",
            "pcurve": "PCurve p_curve",
            "permutation": "permutation_test",
            "pooling": "ClassicalFit defined_methods pool pool_table",
            "presets": "OURS PRESETS Preset apply_preset preset preset_choices preset_table",
            "printing": "ClassicalResult CoefficientsResult MeanResult",
            "quadratic_forms": "WeightedQ weighted_chi2_cdf weighted_q",
            "ranks": "begg_test kendall_distribution",
            "refits": "refit",
            "regression": "MetaRegression coefficient_test metaregression",
            "robust": "ROBUST_KINDS cluster_robust coefficient_table",
            "rows": "moments rows_of",
            "scales": "LocationScale location_scale",
            "selection": "ALTERNATIVES selection_model",
            "smallstudy": "SMALL_STUDY_COLUMNS small_study_table",
            "subgroups": "subgroup_test",
            "subsets": "Subsets gosh gosh_summary gosh_table",
            "tau2": "TAU2_METHODS Tau2Method estimate_tau2 log_likelihood tau2_of",
            "tau2_intervals": "generalised_q_interval profile_interval tau2_intervals_table",
            "trimfill": "FillEstimator trim_and_fill",
            "two_by_two": "counts_of mantel_haenszel no_contrast peto",
            "zeros": "ZERO_COLUMNS zero_cell_table",
        },
        guard="bayesmeta.boundary",
    )
