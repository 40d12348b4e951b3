"""What is improbable or impossible in study tables and in published results: findings, never corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.forensics.arms import (
        F_TEST as F_TEST,
    )
    from bayesmeta.forensics.arms import (
        grim_consistent as grim_consistent,
    )
    from bayesmeta.forensics.arms import (
        grimmer_consistent as grimmer_consistent,
    )
    from bayesmeta.forensics.effects import left_out as left_out
    from bayesmeta.forensics.estimates import z_of_p as z_of_p
    from bayesmeta.forensics.literature import literature_of as literature_of
    from bayesmeta.forensics.pooled import i2_interval as i2_interval
    from bayesmeta.forensics.published import AUDIT_RULES as AUDIT_RULES
    from bayesmeta.forensics.published import audit as audit
    from bayesmeta.forensics.rules import (
        Hit as Hit,
    )
    from bayesmeta.forensics.rules import (
        Rule as Rule,
    )
    from bayesmeta.forensics.rules import (
        findings_table as findings_table,
    )
    from bayesmeta.forensics.rules import (
        numbers_of as numbers_of,
    )
    from bayesmeta.forensics.rules import (
        texts_of as texts_of,
    )
    from bayesmeta.forensics.rules import (
        unit_of as unit_of,
    )
    from bayesmeta.forensics.tables import (
        RULES as RULES,
    )
    from bayesmeta.forensics.tables import (
        examine_reading as examine_reading,
    )
    from bayesmeta.forensics.tables import (
        examine_table as examine_table,
    )
    from bayesmeta.forensics.trial_lists import expected_error as expected_error

__getattr__, __dir__ = exports(
    __name__,
    {
        "arms": (
            "F_TEST",
            "grim_consistent",
            "grimmer_consistent",
        ),
        "effects": ("left_out",),
        "estimates": ("z_of_p",),
        "literature": ("literature_of",),
        "pooled": ("i2_interval",),
        "published": (
            "AUDIT_RULES",
            "audit",
        ),
        "rules": (
            "Hit",
            "Rule",
            "findings_table",
            "numbers_of",
            "texts_of",
            "unit_of",
        ),
        "tables": (
            "RULES",
            "examine_reading",
            "examine_table",
        ),
        "trial_lists": ("expected_error",),
    },
)
