"""What is improbable or impossible in study tables and in published results: findings, never corrections."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.forensics.arms import *
    from bayesmeta.forensics.effects import *
    from bayesmeta.forensics.estimates import *
    from bayesmeta.forensics.literature import *
    from bayesmeta.forensics.pooled import *
    from bayesmeta.forensics.published import *
    from bayesmeta.forensics.rules import *
    from bayesmeta.forensics.tables import *
    from bayesmeta.forensics.trial_lists import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "arms": "F_TEST grim_consistent grimmer_consistent",
            "effects": "left_out",
            "estimates": "z_of_p",
            "literature": "literature_of",
            "pooled": "i2_interval",
            "published": "AUDIT_RULES audit",
            "rules": "Hit Rule findings_table numbers_of texts_of unit_of",
            "tables": "RULES examine_reading examine_table",
            "trial_lists": "expected_error",
        },
    )
