"""Effect measures: formulas from what trials report to estimates, standard errors and covariances.

Numbers go in as arrays by the names of columns (``mean_t sd_t n_t mean_c sd_c n_c``, ``events_t n_t events_c n_c``) and
come out as :class:`Estimate`. :func:`effect_rows` chooses the formula for each row of a table and keeps a ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.measures.arms import ArmMoments as ArmMoments
    from bayesmeta.measures.arms import arm_moments as arm_moments
    from bayesmeta.measures.continuous import (
        correlation_z as correlation_z,
    )
    from bayesmeta.measures.continuous import (
        hazard_ratio as hazard_ratio,
    )
    from bayesmeta.measures.continuous import (
        mean_difference as mean_difference,
    )
    from bayesmeta.measures.continuous import (
        ratio_of_means as ratio_of_means,
    )
    from bayesmeta.measures.continuous import (
        small_sample_factor as small_sample_factor,
    )
    from bayesmeta.measures.continuous import (
        smd as smd,
    )
    from bayesmeta.measures.continuous import (
        smd_from_md_se as smd_from_md_se,
    )
    from bayesmeta.measures.continuous import (
        smdh as smdh,
    )
    from bayesmeta.measures.continuous import (
        uisd as uisd,
    )
    from bayesmeta.measures.counts import (
        ZERO_POLICIES as ZERO_POLICIES,
    )
    from bayesmeta.measures.counts import (
        odds_ratio as odds_ratio,
    )
    from bayesmeta.measures.counts import (
        risk_difference as risk_difference,
    )
    from bayesmeta.measures.counts import (
        risk_ratio as risk_ratio,
    )
    from bayesmeta.measures.derive import (
        DerivedMoments as DerivedMoments,
    )
    from bayesmeta.measures.derive import (
        change_sd as change_sd,
    )
    from bayesmeta.measures.derive import (
        correlation_from_sds as correlation_from_sds,
    )
    from bayesmeta.measures.derive import (
        mean_sd_from_quantiles as mean_sd_from_quantiles,
    )
    from bayesmeta.measures.derive import (
        sd_from_ci as sd_from_ci,
    )
    from bayesmeta.measures.derive import (
        sd_from_se as sd_from_se,
    )
    from bayesmeta.measures.derive import (
        se_from_ci as se_from_ci,
    )
    from bayesmeta.measures.derive import (
        se_from_p as se_from_p,
    )
    from bayesmeta.measures.derive import (
        se_from_t as se_from_t,
    )
    from bayesmeta.measures.derive import (
        se_from_var as se_from_var,
    )
    from bayesmeta.measures.estimates import Estimate as Estimate
    from bayesmeta.measures.ledger import Derivation as Derivation
    from bayesmeta.measures.ledger import EffectRows as EffectRows
    from bayesmeta.measures.ledger import Ledger as Ledger
    from bayesmeta.measures.prepost import (
        mean_change_difference as mean_change_difference,
    )
    from bayesmeta.measures.prepost import (
        smcr as smcr,
    )
    from bayesmeta.measures.prepost import (
        smd_change as smd_change,
    )
    from bayesmeta.measures.registry import MEASURES as MEASURES
    from bayesmeta.measures.registry import Measure as Measure
    from bayesmeta.measures.registry import measure as measure
    from bayesmeta.measures.rows import effect_rows as effect_rows
    from bayesmeta.measures.rules import RowFault as RowFault
    from bayesmeta.measures.sharing import shared_control_covariance as shared_control_covariance

__getattr__, __dir__ = exports(
    __name__,
    {
        "arms": (
            "ArmMoments",
            "arm_moments",
        ),
        "continuous": (
            "correlation_z",
            "hazard_ratio",
            "mean_difference",
            "ratio_of_means",
            "small_sample_factor",
            "smd",
            "smd_from_md_se",
            "smdh",
            "uisd",
        ),
        "counts": (
            "ZERO_POLICIES",
            "odds_ratio",
            "risk_difference",
            "risk_ratio",
        ),
        "derive": (
            "DerivedMoments",
            "change_sd",
            "correlation_from_sds",
            "mean_sd_from_quantiles",
            "sd_from_ci",
            "sd_from_se",
            "se_from_ci",
            "se_from_p",
            "se_from_t",
            "se_from_var",
        ),
        "estimates": ("Estimate",),
        "ledger": (
            "Derivation",
            "EffectRows",
            "Ledger",
        ),
        "prepost": (
            "mean_change_difference",
            "smcr",
            "smd_change",
        ),
        "registry": (
            "MEASURES",
            "Measure",
            "measure",
        ),
        "rows": ("effect_rows",),
        "rules": ("RowFault",),
        "sharing": ("shared_control_covariance",),
    },
)
