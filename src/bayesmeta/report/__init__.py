"""The guideline report: one page, one Word file, and everything behind them as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.report.blocks import block_views as block_views
    from bayesmeta.report.blocks import extra_tables as extra_tables
    from bayesmeta.report.files import (
        IN_PAGE as IN_PAGE,
    )
    from bayesmeta.report.files import (
        Drawn as Drawn,
    )
    from bayesmeta.report.files import (
        draw_part as draw_part,
    )
    from bayesmeta.report.files import (
        tables_of as tables_of,
    )
    from bayesmeta.report.files import (
        word_file as word_file,
    )
    from bayesmeta.report.forms import (
        packed_form as packed_form,
    )
    from bayesmeta.report.forms import (
        shipped_form as shipped_form,
    )
    from bayesmeta.report.forms import (
        shipped_probability as shipped_probability,
    )
    from bayesmeta.report.gather import MAIN as MAIN
    from bayesmeta.report.gather import Part as Part
    from bayesmeta.report.gather import outcome_record as outcome_record
    from bayesmeta.report.live import Refits as Refits
    from bayesmeta.report.live import followed as followed
    from bayesmeta.report.methods import (
        bibliography as bibliography,
    )
    from bayesmeta.report.methods import (
        methods_text as methods_text,
    )
    from bayesmeta.report.methods import (
        used_references as used_references,
    )
    from bayesmeta.report.page import (
        live_text as live_text,
    )
    from bayesmeta.report.page import (
        render_page as render_page,
    )
    from bayesmeta.report.page import (
        summary_row as summary_row,
    )
    from bayesmeta.report.page import (
        template as template,
    )
    from bayesmeta.report.page import (
        view_of as view_of,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "blocks": (
            "block_views",
            "extra_tables",
        ),
        "files": (
            "Drawn",
            "IN_PAGE",
            "draw_part",
            "tables_of",
            "word_file",
        ),
        "forms": (
            "packed_form",
            "shipped_form",
            "shipped_probability",
        ),
        "gather": (
            "MAIN",
            "Part",
            "outcome_record",
        ),
        "live": (
            "Refits",
            "followed",
        ),
        "methods": (
            "bibliography",
            "methods_text",
            "used_references",
        ),
        "page": (
            "live_text",
            "render_page",
            "summary_row",
            "template",
            "view_of",
        ),
    },
)
