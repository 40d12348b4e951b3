"""Effect measures: formulas from what trials report to estimates, standard errors and covariances.

Numbers go in as arrays by the names of columns (``mean_t sd_t n_t mean_c sd_c n_c``, ``events_t n_t events_c n_c``) and
come out as :class:`Estimate`. :func:`effect_rows` chooses the formula for each row of a table and keeps a ledger.
"""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.measures.arms import *
    from bayesmeta.measures.cells import *
    from bayesmeta.measures.clustered import *
    from bayesmeta.measures.continuous import *
    from bayesmeta.measures.conversions import *
    from bayesmeta.measures.counts import *
    from bayesmeta.measures.derive import *
    from bayesmeta.measures.estimates import *
    from bayesmeta.measures.ledger import *
    from bayesmeta.measures.prepost import *
    from bayesmeta.measures.rates import *
    from bayesmeta.measures.registry import *
    from bayesmeta.measures.rows import *
    from bayesmeta.measures.rules import *
    from bayesmeta.measures.sharing import *
    from bayesmeta.measures.single import *
    from bayesmeta.measures.standardised import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "arms": "ArmMoments arm_moments",
            "cells": "designs_of signs_of",
            "clustered": "design_effect",
            "continuous": (
                "correlation_z hazard_ratio mean_difference ratio_of_means small_sample_factor smd smd_from_md_se "
                "smdh uisd"
            ),
            "conversions": (
                "correlation_z_from_smd log_odds_ratio_from_smd smd_from_correlation_z smd_from_log_odds_ratio"
            ),
            "counts": "ZERO_POLICIES odds_ratio risk_difference risk_ratio",
            "derive": (
                "DerivedMoments change_sd correlation_from_sds mean_sd_from_quantiles sd_from_ci sd_from_se "
                "se_from_ci se_from_p se_from_t se_from_var"
            ),
            "estimates": "Estimate",
            "ledger": "Derivation EffectRows Ledger",
            "prepost": "mean_change_difference smcr smd_change",
            "rates": "RATE_ZERO_POLICIES incidence_rate_ratio",
            "registry": "MEASURES Measure measure require_null",
            "rows": "effect_rows",
            "rules": "RowFault",
            "sharing": "shared_control_covariance",
            "single": "SINGLE_ZERO_POLICIES arm_mean log_incidence_rate logit_proportion",
            "standardised": "smd_from_ancova smd_from_d smd_from_paired_t smd_from_raw_sd smd_from_t",
        },
        guard="bayesmeta.boundary",
    )
