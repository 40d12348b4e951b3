"""Results as plain records: what `--json` prints and `run.json` holds.

Every record starts with ``schema_version bayesmeta level interval scale warnings``; numbers are on the analysis scale
at full precision, and an undefined number is None, never NaN or infinity. The committed schemas are
`output_schema`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.records.bench import (
        bench_record as bench_record,
    )
    from bayesmeta.records.bench import (
        preset_record as preset_record,
    )
    from bayesmeta.records.bench import (
        sensitivity_record as sensitivity_record,
    )
    from bayesmeta.records.borrow import borrow_record as borrow_record
    from bayesmeta.records.form import (
        SCHEMA_VERSION as SCHEMA_VERSION,
    )
    from bayesmeta.records.form import (
        envelope as envelope,
    )
    from bayesmeta.records.form import (
        head as head,
    )
    from bayesmeta.records.form import (
        json_text as json_text,
    )
    from bayesmeta.records.form import (
        output_schema as output_schema,
    )
    from bayesmeta.records.form import (
        plain as plain,
    )
    from bayesmeta.records.form import (
        scale_name as scale_name,
    )
    from bayesmeta.records.form import (
        small_k_note as small_k_note,
    )
    from bayesmeta.records.form import (
        table_records as table_records,
    )
    from bayesmeta.records.levels import level_table as level_table
    from bayesmeta.records.outputs import (
        benefit_record as benefit_record,
    )
    from bayesmeta.records.outputs import (
        check_record as check_record,
    )
    from bayesmeta.records.outputs import (
        compare_record as compare_record,
    )
    from bayesmeta.records.outputs import (
        finding_rows as finding_rows,
    )
    from bayesmeta.records.outputs import (
        fit_record as fit_record,
    )
    from bayesmeta.records.outputs import (
        forensics_record as forensics_record,
    )
    from bayesmeta.records.outputs import (
        joint_record as joint_record,
    )
    from bayesmeta.records.outputs import (
        pool_record as pool_record,
    )
    from bayesmeta.records.outputs import (
        ppc_record as ppc_record,
    )
    from bayesmeta.records.outputs import (
        profiles_record as profiles_record,
    )
    from bayesmeta.records.outputs import (
        run_record as run_record,
    )
    from bayesmeta.records.parts import (
        classical_record as classical_record,
    )
    from bayesmeta.records.parts import (
        data_notes as data_notes,
    )
    from bayesmeta.records.parts import (
        unreportable as unreportable,
    )
    from bayesmeta.records.published import audit_record as audit_record
    from bayesmeta.records.published import reanalyse_record as reanalyse_record

__getattr__, __dir__ = exports(
    __name__,
    {
        "bench": (
            "bench_record",
            "preset_record",
            "sensitivity_record",
        ),
        "borrow": ("borrow_record",),
        "form": (
            "SCHEMA_VERSION",
            "envelope",
            "head",
            "json_text",
            "output_schema",
            "plain",
            "scale_name",
            "small_k_note",
            "table_records",
        ),
        "levels": ("level_table",),
        "outputs": (
            "benefit_record",
            "check_record",
            "compare_record",
            "finding_rows",
            "fit_record",
            "forensics_record",
            "joint_record",
            "pool_record",
            "ppc_record",
            "profiles_record",
            "run_record",
        ),
        "parts": (
            "classical_record",
            "data_notes",
            "unreportable",
        ),
        "published": (
            "audit_record",
            "reanalyse_record",
        ),
    },
)
