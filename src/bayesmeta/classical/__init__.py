"""Classical meta-analysis: the check that stands beside every Bayesian answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.classical.alternatives import (
        alternatives_table as alternatives_table,
    )
    from bayesmeta.classical.alternatives import (
        henmi_copas as henmi_copas,
    )
    from bayesmeta.classical.alternatives import (
        ivhet as ivhet,
    )
    from bayesmeta.classical.alternatives import (
        kenward_roger as kenward_roger,
    )
    from bayesmeta.classical.asymmetry import (
        PREDICTORS as PREDICTORS,
    )
    from bayesmeta.classical.asymmetry import (
        dependence_note as dependence_note,
    )
    from bayesmeta.classical.asymmetry import (
        egger_test as egger_test,
    )
    from bayesmeta.classical.asymmetry import (
        harbord_test as harbord_test,
    )
    from bayesmeta.classical.asymmetry import (
        pet_peese as pet_peese,
    )
    from bayesmeta.classical.asymmetry import (
        peters_test as peters_test,
    )
    from bayesmeta.classical.asymmetry import (
        weighted_line as weighted_line,
    )
    from bayesmeta.classical.baselines import baseline_likelihood as baseline_likelihood
    from bayesmeta.classical.binomial import BINOMIAL_MODELS as BINOMIAL_MODELS
    from bayesmeta.classical.binomial import binomial_normal as binomial_normal
    from bayesmeta.classical.bootstrap import bootstrap_prediction as bootstrap_prediction
    from bayesmeta.classical.deletion import (
        cumulative_table as cumulative_table,
    )
    from bayesmeta.classical.deletion import (
        leave_one_out_table as leave_one_out_table,
    )
    from bayesmeta.classical.dependence import (
        CHE_COLUMNS as CHE_COLUMNS,
    )
    from bayesmeta.classical.dependence import (
        CORRELATIONS as CORRELATIONS,
    )
    from bayesmeta.classical.dependence import (
        DEPENDENCE_COLUMNS as DEPENDENCE_COLUMNS,
    )
    from bayesmeta.classical.dependence import (
        aggregate_trials as aggregate_trials,
    )
    from bayesmeta.classical.dependence import (
        correlated_hierarchical as correlated_hierarchical,
    )
    from bayesmeta.classical.dependence import (
        dependence_table as dependence_table,
    )
    from bayesmeta.classical.dependence import (
        working_covariance as working_covariance,
    )
    from bayesmeta.classical.failsafe import FAIL_SAFE_FORMS as FAIL_SAFE_FORMS
    from bayesmeta.classical.failsafe import fail_safe_n as fail_safe_n
    from bayesmeta.classical.heterogeneity import (
        HeterogeneityInterval as HeterogeneityInterval,
    )
    from bayesmeta.classical.heterogeneity import (
        q_profile as q_profile,
    )
    from bayesmeta.classical.heterogeneity import (
        tau2_interval as tau2_interval,
    )
    from bayesmeta.classical.influence import influence_table as influence_table
    from bayesmeta.classical.intervals import CI_METHODS as CI_METHODS
    from bayesmeta.classical.intervals import PI_FORMULAS as PI_FORMULAS
    from bayesmeta.classical.intervals import CiMethod as CiMethod
    from bayesmeta.classical.limit import limit_meta_analysis as limit_meta_analysis
    from bayesmeta.classical.multilevel import cluster_numbers as cluster_numbers
    from bayesmeta.classical.multilevel import pool_multilevel as pool_multilevel
    from bayesmeta.classical.nested import nested_rows as nested_rows
    from bayesmeta.classical.nested import nested_sums as nested_sums
    from bayesmeta.classical.permutation import permutation_test as permutation_test
    from bayesmeta.classical.pooling import (
        ClassicalFit as ClassicalFit,
    )
    from bayesmeta.classical.pooling import (
        defined_methods as defined_methods,
    )
    from bayesmeta.classical.pooling import (
        pool as pool,
    )
    from bayesmeta.classical.pooling import (
        pool_table as pool_table,
    )
    from bayesmeta.classical.presets import (
        OURS as OURS,
    )
    from bayesmeta.classical.presets import (
        PRESETS as PRESETS,
    )
    from bayesmeta.classical.presets import (
        Preset as Preset,
    )
    from bayesmeta.classical.presets import (
        apply_preset as apply_preset,
    )
    from bayesmeta.classical.presets import (
        preset as preset,
    )
    from bayesmeta.classical.presets import (
        preset_choices as preset_choices,
    )
    from bayesmeta.classical.presets import (
        preset_table as preset_table,
    )
    from bayesmeta.classical.quadratic_forms import (
        WeightedQ as WeightedQ,
    )
    from bayesmeta.classical.quadratic_forms import (
        weighted_chi2_cdf as weighted_chi2_cdf,
    )
    from bayesmeta.classical.quadratic_forms import (
        weighted_q as weighted_q,
    )
    from bayesmeta.classical.ranks import begg_test as begg_test
    from bayesmeta.classical.ranks import kendall_distribution as kendall_distribution
    from bayesmeta.classical.refits import refit as refit
    from bayesmeta.classical.regression import MetaRegression as MetaRegression
    from bayesmeta.classical.regression import metaregression as metaregression
    from bayesmeta.classical.robust import (
        ROBUST_KINDS as ROBUST_KINDS,
    )
    from bayesmeta.classical.robust import (
        cluster_robust as cluster_robust,
    )
    from bayesmeta.classical.robust import (
        coefficient_table as coefficient_table,
    )
    from bayesmeta.classical.rows import moments as moments
    from bayesmeta.classical.rows import rows_of as rows_of
    from bayesmeta.classical.selection import selection_model as selection_model
    from bayesmeta.classical.smallstudy import (
        SMALL_STUDY_COLUMNS as SMALL_STUDY_COLUMNS,
    )
    from bayesmeta.classical.smallstudy import (
        small_study_table as small_study_table,
    )
    from bayesmeta.classical.subgroups import subgroup_test as subgroup_test
    from bayesmeta.classical.subsets import (
        Subsets as Subsets,
    )
    from bayesmeta.classical.subsets import (
        gosh as gosh,
    )
    from bayesmeta.classical.subsets import (
        gosh_summary as gosh_summary,
    )
    from bayesmeta.classical.subsets import (
        gosh_table as gosh_table,
    )
    from bayesmeta.classical.tau2 import (
        TAU2_METHODS as TAU2_METHODS,
    )
    from bayesmeta.classical.tau2 import (
        Tau2Method as Tau2Method,
    )
    from bayesmeta.classical.tau2 import (
        estimate_tau2 as estimate_tau2,
    )
    from bayesmeta.classical.tau2 import (
        log_likelihood as log_likelihood,
    )
    from bayesmeta.classical.tau2 import (
        tau2_of as tau2_of,
    )
    from bayesmeta.classical.tau2_intervals import (
        generalised_q_interval as generalised_q_interval,
    )
    from bayesmeta.classical.tau2_intervals import (
        profile_interval as profile_interval,
    )
    from bayesmeta.classical.tau2_intervals import (
        tau2_intervals_table as tau2_intervals_table,
    )
    from bayesmeta.classical.trimfill import FillEstimator as FillEstimator
    from bayesmeta.classical.trimfill import trim_and_fill as trim_and_fill
    from bayesmeta.classical.two_by_two import (
        counts_of as counts_of,
    )
    from bayesmeta.classical.two_by_two import (
        mantel_haenszel as mantel_haenszel,
    )
    from bayesmeta.classical.two_by_two import (
        no_contrast as no_contrast,
    )
    from bayesmeta.classical.two_by_two import (
        peto as peto,
    )
    from bayesmeta.classical.zeros import ZERO_COLUMNS as ZERO_COLUMNS
    from bayesmeta.classical.zeros import zero_cell_table as zero_cell_table

__getattr__, __dir__ = exports(
    __name__,
    {
        "alternatives": (
            "alternatives_table",
            "henmi_copas",
            "ivhet",
            "kenward_roger",
        ),
        "asymmetry": (
            "PREDICTORS",
            "dependence_note",
            "egger_test",
            "harbord_test",
            "pet_peese",
            "peters_test",
            "weighted_line",
        ),
        "baselines": ("baseline_likelihood",),
        "binomial": (
            "BINOMIAL_MODELS",
            "binomial_normal",
        ),
        "bootstrap": ("bootstrap_prediction",),
        "deletion": (
            "cumulative_table",
            "leave_one_out_table",
        ),
        "dependence": (
            "CHE_COLUMNS",
            "CORRELATIONS",
            "DEPENDENCE_COLUMNS",
            "aggregate_trials",
            "correlated_hierarchical",
            "dependence_table",
            "working_covariance",
        ),
        "failsafe": (
            "FAIL_SAFE_FORMS",
            "fail_safe_n",
        ),
        "heterogeneity": (
            "HeterogeneityInterval",
            "q_profile",
            "tau2_interval",
        ),
        "influence": ("influence_table",),
        "intervals": (
            "CI_METHODS",
            "CiMethod",
            "PI_FORMULAS",
        ),
        "limit": ("limit_meta_analysis",),
        "multilevel": (
            "cluster_numbers",
            "pool_multilevel",
        ),
        "nested": (
            "nested_rows",
            "nested_sums",
        ),
        "permutation": ("permutation_test",),
        "pooling": (
            "ClassicalFit",
            "defined_methods",
            "pool",
            "pool_table",
        ),
        "presets": (
            "OURS",
            "PRESETS",
            "Preset",
            "apply_preset",
            "preset",
            "preset_choices",
            "preset_table",
        ),
        "quadratic_forms": (
            "WeightedQ",
            "weighted_chi2_cdf",
            "weighted_q",
        ),
        "ranks": (
            "begg_test",
            "kendall_distribution",
        ),
        "refits": ("refit",),
        "regression": (
            "MetaRegression",
            "metaregression",
        ),
        "robust": (
            "ROBUST_KINDS",
            "cluster_robust",
            "coefficient_table",
        ),
        "rows": (
            "moments",
            "rows_of",
        ),
        "selection": ("selection_model",),
        "smallstudy": (
            "SMALL_STUDY_COLUMNS",
            "small_study_table",
        ),
        "subgroups": ("subgroup_test",),
        "subsets": (
            "Subsets",
            "gosh",
            "gosh_summary",
            "gosh_table",
        ),
        "tau2": (
            "TAU2_METHODS",
            "Tau2Method",
            "estimate_tau2",
            "log_likelihood",
            "tau2_of",
        ),
        "tau2_intervals": (
            "generalised_q_interval",
            "profile_interval",
            "tau2_intervals_table",
        ),
        "trimfill": (
            "FillEstimator",
            "trim_and_fill",
        ),
        "two_by_two": (
            "counts_of",
            "mantel_haenszel",
            "no_contrast",
            "peto",
        ),
        "zeros": (
            "ZERO_COLUMNS",
            "zero_cell_table",
        ),
    },
)
