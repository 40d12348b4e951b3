"""Study files to `Effects`, with provenance; the only reader of study files."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.studies.columns import *
    from bayesmeta.studies.files import *
    from bayesmeta.studies.reading import *
    from bayesmeta.studies.selecting import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "columns": "map_columns",
            "files": "read_table",
            "reading": "Reading effect_sizes possible_measures read_csv_effects read_effects read_outcome",
            "selecting": "RowRecord",
        },
    )
