"""Study files to `Effects`, with provenance; the only reader of study files."""

from bayesmeta.studies.columns import map_columns, split_table
from bayesmeta.studies.files import read_table
from bayesmeta.studies.reading import (
    Reading,
    effect_sizes,
    possible_measures,
    read_csv_effects,
    read_effects,
    read_outcome,
)
from bayesmeta.studies.selecting import RowRecord

__all__ = [
    "Reading",
    "RowRecord",
    "effect_sizes",
    "map_columns",
    "possible_measures",
    "read_csv_effects",
    "read_effects",
    "read_outcome",
    "read_table",
    "split_table",
]
