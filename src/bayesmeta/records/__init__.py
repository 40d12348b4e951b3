"""Results as plain records: what `--json` prints and `run.json` holds.

Every record starts with ``schema_version bayesmeta level interval scale warnings``; numbers are on the analysis scale
at full precision, and an undefined number is None, never NaN or infinity. The committed schemas are
`output_schema`'s.
"""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.records.borrow import *
    from bayesmeta.records.form import *
    from bayesmeta.records.outputs import *
    from bayesmeta.records.parts import *
    from bayesmeta.records.published import *
    from bayesmeta.records.sensitivity import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "sensitivity": "bias_record preset_record sensitivity_record",
            "borrow": "borrow_record",
            "form": "SCHEMA_VERSION envelope head json_text output_schema plain scale_name small_k_note table_records",
            "outputs": (
                "benefit_record check_record compare_record fit_record forensics_record joint_record "
                "pool_record ppc_record profiles_record run_record"
            ),
            "parts": "classical_record failed_checks finding_rows size_rows unreportable",
            "published": "audit_record reanalyse_record",
        },
    )
