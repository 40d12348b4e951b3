"""The guideline report: one page, one Word file, and everything behind them as files."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.report.blocks import *
    from bayesmeta.report.exports import *
    from bayesmeta.report.files import *
    from bayesmeta.report.findings import *
    from bayesmeta.report.forms import *
    from bayesmeta.report.gather import *
    from bayesmeta.report.live import *
    from bayesmeta.report.methods import *
    from bayesmeta.report.notebook.cards import *
    from bayesmeta.report.notebook.tidying import *
    from bayesmeta.report.page import *
    from bayesmeta.report.panel import *
    from bayesmeta.report.patients import *
    from bayesmeta.report.summary import *
    from bayesmeta.report.word import *
    from bayesmeta.report.workers import *
    from bayesmeta.report.writing import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "blocks": "block_views extra_tables",
            "exports": "findings_frame findings_markdown take_away",
            "files": "Drawn IN_PAGE draw_part tables_of",
            "findings": "FindingsTable evidence_profile summary_of_findings",
            "forms": "packed_form serialised_form",
            "gather": "outcome_record",
            "live": "followed",
            "methods": "bibliography methods_text reference_texts used_references",
            "notebook.cards": "Html as_html",
            "notebook.tidying": "glance tidy",
            "page": "live_text render_page template view_of",
            "panel": "classical_checks",
            "patients": "PatientAnswer PatientGroup patient_groups patients_page",
            "summary": "SummaryRow asked_of summary_of",
            "word": "word_findings word_profile word_sections",
            "workers": "begin",
            "writing": "WrittenReport write_fits write_report",
        },
    )
