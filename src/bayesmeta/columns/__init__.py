"""How tables are written: what their columns hold, and the digits of numbers, for terminal, page and files."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.columns.digits import *
    from bayesmeta.columns.tables import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "digits": (
                "DIGITS UNDEFINED amount bayes_factor_text is_number number numbers p_value p_words percent plural "
                "ratios together with_minus"
            ),
            "tables": (
                "LEAST_SHARE Column ColumnKind Readable as_text columns_of csv_text derived joined names_of optional "
                "readable rounded rows_schema unprinted"
            ),
        },
    )
