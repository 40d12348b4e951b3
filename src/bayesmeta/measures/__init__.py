"""Effect measures: formulas from what trials report to estimates, standard errors and covariances.

Numbers go in as arrays by the names of columns (``mean_t sd_t n_t mean_c sd_c n_c``, ``events_t n_t events_c n_c``) and
come out as :class:`Estimate`. :func:`effect_rows` chooses the formula for each row of a table and keeps a ledger.
"""

from __future__ import annotations

from bayesmeta.measures.arms import ArmMoments, arm_moments
from bayesmeta.measures.continuous import (
    correlation_z,
    hazard_ratio,
    mean_difference,
    ratio_of_means,
    small_sample_factor,
    smd,
    smd_from_md_se,
    smdh,
    uisd,
)
from bayesmeta.measures.counts import ZERO_POLICIES, odds_ratio, risk_difference, risk_ratio
from bayesmeta.measures.derive import (
    Moments,
    change_sd,
    correlation_from_sds,
    mean_sd_from_quantiles,
    sd_from_ci,
    sd_from_se,
    se_from_ci,
    se_from_p,
    se_from_t,
    se_from_var,
)
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.ledger import Derivation, EffectRows, Ledger
from bayesmeta.measures.prepost import mean_change_difference, smcr, smd_change
from bayesmeta.measures.registry import MEASURES, Measure, measure
from bayesmeta.measures.rows import effect_rows
from bayesmeta.measures.rules import RowFault
from bayesmeta.measures.sharing import shared_control_covariance

__all__ = [
    "MEASURES",
    "ZERO_POLICIES",
    "ArmMoments",
    "Derivation",
    "EffectRows",
    "Estimate",
    "Ledger",
    "Measure",
    "Moments",
    "RowFault",
    "arm_moments",
    "change_sd",
    "correlation_from_sds",
    "correlation_z",
    "effect_rows",
    "hazard_ratio",
    "mean_change_difference",
    "mean_difference",
    "mean_sd_from_quantiles",
    "measure",
    "odds_ratio",
    "ratio_of_means",
    "risk_difference",
    "risk_ratio",
    "sd_from_ci",
    "sd_from_se",
    "se_from_ci",
    "se_from_p",
    "se_from_t",
    "se_from_var",
    "shared_control_covariance",
    "small_sample_factor",
    "smcr",
    "smd",
    "smd_change",
    "smd_from_md_se",
    "smdh",
    "uisd",
]
