"""One outcome, read, fitted and answered: the whole of it, as a value."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.analysis.fitting import *
    from bayesmeta.analysis.reading import *
    from bayesmeta.analysis.result import *
    from bayesmeta.analysis.running import *
    from bayesmeta.analysis.together import *
    from bayesmeta.analysis.unstated import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "fitting": "NO_MODERATORS moderated_model sampling_of",
            "reading": "collected examined read_outcomes recompute",
            "result": "Analysis BorrowedReview heading_of headline_table headline_texts with_threshold",
            "running": "analyse analyse_all analysis_of borrow_review read_analyses",
            "together": "analyse_joint",
            "unstated": "table_protocol",
        },
    )
