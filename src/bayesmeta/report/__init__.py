"""The guideline report: one page, one Word file, and everything behind them as files."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.report.blocks import *
    from bayesmeta.report.files import *
    from bayesmeta.report.forms import *
    from bayesmeta.report.gather import *
    from bayesmeta.report.live import *
    from bayesmeta.report.methods import *
    from bayesmeta.report.page import *
    from bayesmeta.report.staging import *
    from bayesmeta.report.workers import *
    from bayesmeta.report.writing import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "blocks": "block_views extra_tables",
            "files": "Drawn IN_PAGE draw_part tables_of word_file word_sections",
            "forms": "packed_form serialised_form",
            "gather": "outcome_record",
            "live": "followed",
            "methods": "bibliography methods_text used_references",
            "page": "classical_checks live_text render_page summary_row template view_of",
            "staging": "staged",
            "workers": "begin",
            "writing": "WrittenReport write_fits write_report",
        },
    )
