"""Results as plain records: what `--json` prints and `run.json` holds.

Every record starts with ``schema_version bayesmeta level interval scale warnings``; numbers are on the analysis scale
at full precision, and an undefined number is None, never NaN or infinity. The committed schemas are
`output_schema`'s.
"""

from bayesmeta.records.bench import bench_record, preset_record, sensitivity_record
from bayesmeta.records.form import (
    SCHEMA_VERSION,
    dumps,
    envelope,
    head,
    output_schema,
    plain,
    scale_name,
    small_k_note,
    table_records,
)
from bayesmeta.records.levels import level_table
from bayesmeta.records.outputs import (
    benefit_record,
    check_record,
    compare_record,
    finding_rows,
    fit_record,
    forensics_record,
    joint_record,
    pool_record,
    ppc_record,
    profiles_record,
    run_record,
)
from bayesmeta.records.parts import classical_record, data_notes, unreportable
from bayesmeta.records.published import audit_record, reanalyse_record

__all__ = [
    "SCHEMA_VERSION",
    "audit_record",
    "bench_record",
    "benefit_record",
    "check_record",
    "classical_record",
    "compare_record",
    "data_notes",
    "dumps",
    "envelope",
    "finding_rows",
    "fit_record",
    "forensics_record",
    "head",
    "joint_record",
    "level_table",
    "output_schema",
    "plain",
    "pool_record",
    "ppc_record",
    "preset_record",
    "profiles_record",
    "reanalyse_record",
    "run_record",
    "scale_name",
    "sensitivity_record",
    "small_k_note",
    "table_records",
    "unreportable",
]
