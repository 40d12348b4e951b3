"""Classical meta-analysis: the check that stands beside every Bayesian answer.

Names are imported when they are first used, so that pooling pays for pooling alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Alternative": "alternatives",
    "AsymmetryTest": "asymmetry",
    "BinomialNormalFit": "binomial",
    "BootstrapPrediction": "bootstrap",
    "CI_METHODS": "intervals",
    "CiMethod": "intervals",
    "ClassicalFit": "pooling",
    "FailSafe": "failsafe",
    "HeterogeneityInterval": "heterogeneity",
    "LimitMetaAnalysis": "limit",
    "MantelHaenszelFit": "two_by_two",
    "MetaRegression": "regression",
    "MultilevelFit": "multilevel",
    "OURS": "presets",
    "PI_FORMULAS": "intervals",
    "PRESETS": "presets",
    "PermutationTest": "permutation",
    "PetPeese": "asymmetry",
    "PetoFit": "two_by_two",
    "Preset": "presets",
    "RobustFit": "robust",
    "SelectionModel": "selection",
    "SubgroupTest": "subgroups",
    "Subsets": "subsets",
    "TAU2_METHODS": "tau2",
    "Tau2": "tau2",
    "Tau2Method": "tau2",
    "TrimFill": "trimfill",
    "aggregate_trials": "dependence",
    "alternatives_table": "alternatives",
    "apply_preset": "presets",
    "begg_test": "ranks",
    "binomial_normal": "binomial",
    "bootstrap_prediction": "bootstrap",
    "cluster_robust": "robust",
    "correlated_hierarchical": "dependence",
    "cumulative_table": "deletion",
    "defined_methods": "pooling",
    "dependence_table": "dependence",
    "egger_test": "asymmetry",
    "estimate_tau2": "tau2",
    "fail_safe_n": "failsafe",
    "generalised_q_interval": "tau2_intervals",
    "gosh": "subsets",
    "gosh_summary": "subsets",
    "gosh_table": "subsets",
    "harbord_test": "asymmetry",
    "henmi_copas": "alternatives",
    "influence_table": "influence",
    "ivhet": "alternatives",
    "kenward_roger": "alternatives",
    "leave_one_out_table": "deletion",
    "limit_meta_analysis": "limit",
    "mantel_haenszel": "two_by_two",
    "metaregression": "regression",
    "permutation_test": "permutation",
    "pet_peese": "asymmetry",
    "peters_test": "asymmetry",
    "peto": "two_by_two",
    "pool": "pooling",
    "pool_multilevel": "multilevel",
    "pool_table": "pooling",
    "preset": "presets",
    "preset_choices": "presets",
    "preset_table": "presets",
    "profile_interval": "tau2_intervals",
    "q_profile": "heterogeneity",
    "selection_model": "selection",
    "small_study_table": "smallstudy",
    "subgroup_test": "subgroups",
    "tau2_interval": "heterogeneity",
    "tau2_intervals_table": "tau2_intervals",
    "trim_and_fill": "trimfill",
    "working_covariance": "dependence",
    "zero_cell_table": "zeros",
}

if TYPE_CHECKING:
    from bayesmeta.classical.alternatives import Alternative, alternatives_table, henmi_copas, ivhet, kenward_roger
    from bayesmeta.classical.asymmetry import AsymmetryTest, PetPeese, egger_test, harbord_test, pet_peese, peters_test
    from bayesmeta.classical.binomial import BinomialNormalFit, binomial_normal
    from bayesmeta.classical.bootstrap import BootstrapPrediction, bootstrap_prediction
    from bayesmeta.classical.deletion import cumulative_table, leave_one_out_table
    from bayesmeta.classical.dependence import (
        aggregate_trials,
        correlated_hierarchical,
        dependence_table,
        working_covariance,
    )
    from bayesmeta.classical.failsafe import FailSafe, fail_safe_n
    from bayesmeta.classical.heterogeneity import HeterogeneityInterval, q_profile, tau2_interval
    from bayesmeta.classical.influence import influence_table
    from bayesmeta.classical.intervals import CI_METHODS, PI_FORMULAS, CiMethod
    from bayesmeta.classical.limit import LimitMetaAnalysis, limit_meta_analysis
    from bayesmeta.classical.multilevel import MultilevelFit, pool_multilevel
    from bayesmeta.classical.permutation import PermutationTest, permutation_test
    from bayesmeta.classical.pooling import ClassicalFit, defined_methods, pool, pool_table
    from bayesmeta.classical.presets import OURS, PRESETS, Preset, apply_preset, preset, preset_choices, preset_table
    from bayesmeta.classical.ranks import begg_test
    from bayesmeta.classical.regression import MetaRegression, metaregression
    from bayesmeta.classical.robust import RobustFit, cluster_robust
    from bayesmeta.classical.selection import SelectionModel, selection_model
    from bayesmeta.classical.smallstudy import small_study_table
    from bayesmeta.classical.subgroups import SubgroupTest, subgroup_test
    from bayesmeta.classical.subsets import Subsets, gosh, gosh_summary, gosh_table
    from bayesmeta.classical.tau2 import TAU2_METHODS, Tau2, Tau2Method, estimate_tau2
    from bayesmeta.classical.tau2_intervals import generalised_q_interval, profile_interval, tau2_intervals_table
    from bayesmeta.classical.trimfill import TrimFill, trim_and_fill
    from bayesmeta.classical.two_by_two import MantelHaenszelFit, PetoFit, mantel_haenszel, peto
    from bayesmeta.classical.zeros import zero_cell_table

__all__ = [
    "CI_METHODS",
    "OURS",
    "PI_FORMULAS",
    "PRESETS",
    "TAU2_METHODS",
    "Alternative",
    "AsymmetryTest",
    "BinomialNormalFit",
    "BootstrapPrediction",
    "CiMethod",
    "ClassicalFit",
    "FailSafe",
    "HeterogeneityInterval",
    "LimitMetaAnalysis",
    "MantelHaenszelFit",
    "MetaRegression",
    "MultilevelFit",
    "PermutationTest",
    "PetPeese",
    "PetoFit",
    "Preset",
    "RobustFit",
    "SelectionModel",
    "SubgroupTest",
    "Subsets",
    "Tau2",
    "Tau2Method",
    "TrimFill",
    "aggregate_trials",
    "alternatives_table",
    "apply_preset",
    "begg_test",
    "binomial_normal",
    "bootstrap_prediction",
    "cluster_robust",
    "correlated_hierarchical",
    "cumulative_table",
    "defined_methods",
    "dependence_table",
    "egger_test",
    "estimate_tau2",
    "fail_safe_n",
    "generalised_q_interval",
    "gosh",
    "gosh_summary",
    "gosh_table",
    "harbord_test",
    "henmi_copas",
    "influence_table",
    "ivhet",
    "kenward_roger",
    "leave_one_out_table",
    "limit_meta_analysis",
    "mantel_haenszel",
    "metaregression",
    "permutation_test",
    "pet_peese",
    "peters_test",
    "peto",
    "pool",
    "pool_multilevel",
    "pool_table",
    "preset",
    "preset_choices",
    "preset_table",
    "profile_interval",
    "q_profile",
    "selection_model",
    "small_study_table",
    "subgroup_test",
    "tau2_interval",
    "tau2_intervals_table",
    "trim_and_fill",
    "working_covariance",
    "zero_cell_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bayesmeta.classical' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bayesmeta.classical.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
