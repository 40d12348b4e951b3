"""Study files to `Effects`, with provenance; the only reader of study files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.studies.columns import map_columns as map_columns
    from bayesmeta.studies.columns import split_table as split_table
    from bayesmeta.studies.files import read_table as read_table
    from bayesmeta.studies.reading import (
        Reading as Reading,
    )
    from bayesmeta.studies.reading import (
        effect_sizes as effect_sizes,
    )
    from bayesmeta.studies.reading import (
        possible_measures as possible_measures,
    )
    from bayesmeta.studies.reading import (
        read_csv_effects as read_csv_effects,
    )
    from bayesmeta.studies.reading import (
        read_effects as read_effects,
    )
    from bayesmeta.studies.reading import (
        read_outcome as read_outcome,
    )
    from bayesmeta.studies.selecting import RowRecord as RowRecord

__getattr__, __dir__ = exports(
    __name__,
    {
        "columns": (
            "map_columns",
            "split_table",
        ),
        "files": ("read_table",),
        "reading": (
            "Reading",
            "effect_sizes",
            "possible_measures",
            "read_csv_effects",
            "read_effects",
            "read_outcome",
        ),
        "selecting": ("RowRecord",),
    },
)
