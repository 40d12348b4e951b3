"""Study files to `Effects`, with provenance; the only reader of study files."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.studies.columns import *
    from bayesmeta.studies.files import *
    from bayesmeta.studies.formats.sheet import *
    from bayesmeta.studies.formats.spelled import *
    from bayesmeta.studies.reading import *
    from bayesmeta.studies.selecting import *
    from bayesmeta.studies.unread import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "columns": "STANDARD_COLUMNS TEXT_COLUMNS map_columns",
            "files": "parse_table read_table table_bytes",
            "formats.sheet": "FileAnalysis address",
            "formats.spelled": "ESCALC",
            "reading": "Reading effect_sizes possible_measures read_csv_effects read_effects read_outcome with_unread",
            "selecting": "RowRecord",
            "unread": "unread_columns",
        },
    )
