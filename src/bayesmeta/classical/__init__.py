"""Classical meta-analysis: the check that stands beside every Bayesian answer."""

from bayesmeta.classical.heterogeneity import HeterogeneityInterval, q_profile, tau2_interval
from bayesmeta.classical.intervals import CI_METHODS, PI_FORMULAS, CiMethod
from bayesmeta.classical.pooling import ClassicalFit, defined_methods, pool, pool_table
from bayesmeta.classical.regression import MetaRegression, metaregression
from bayesmeta.classical.subgroups import SubgroupTest, subgroup_test
from bayesmeta.classical.tau2 import TAU2_METHODS, Tau2, Tau2Method, estimate_tau2

__all__ = [
    "CI_METHODS",
    "PI_FORMULAS",
    "TAU2_METHODS",
    "CiMethod",
    "ClassicalFit",
    "HeterogeneityInterval",
    "MetaRegression",
    "SubgroupTest",
    "Tau2",
    "Tau2Method",
    "defined_methods",
    "estimate_tau2",
    "metaregression",
    "pool",
    "pool_table",
    "q_profile",
    "subgroup_test",
    "tau2_interval",
]
