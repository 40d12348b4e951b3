"""The way in and the way out: a protocol made from a table, and what is written to take elsewhere."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.setup.examination import *
    from bayesmeta.setup.explaining import *
    from bayesmeta.setup.exporting import *
    from bayesmeta.setup.initialising import *
    from bayesmeta.setup.looking import *
    from bayesmeta.setup.names import *
    from bayesmeta.setup.next_step import *
    from bayesmeta.setup.pymc_model import *
    from bayesmeta.setup.questions import *
    from bayesmeta.setup.template import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "examination": "Examined examine_installation",
            "explaining": "ExplainedRule explained_rule explained_rules rule_of",
            "exporting": "LANGUAGES write_scripts",
            "initialising": "Initialised checked_answers destinations initialise open_questions unanswered",
            "looking": "Look OutcomeRows ScaleRows Seen look_at see",
            "names": "ColumnProposal Proposals propose_columns",
            "next_step": "next_after",
            "pymc_model": "pymc_text to_pymc",
            "questions": "ANSWERS Question checked_answer column_lines next_question",
            "template": "TEMPLATES write_template",
        },
        guard="bayesmeta.boundary",
    )
