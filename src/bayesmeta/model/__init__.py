"""What is assumed: the model as plain data, and moderators turned into columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.model.curves import Line as Line
    from bayesmeta.model.design import (
        Columns as Columns,
    )
    from bayesmeta.model.design import (
        Design as Design,
    )
    from bayesmeta.model.design import (
        build_design as build_design,
    )
    from bayesmeta.model.design import (
        estimable as estimable,
    )
    from bayesmeta.model.specification import (
        Coefficient as Coefficient,
    )
    from bayesmeta.model.specification import (
        Exchangeable as Exchangeable,
    )
    from bayesmeta.model.specification import (
        Likelihood as Likelihood,
    )
    from bayesmeta.model.specification import (
        MissingLevels as MissingLevels,
    )
    from bayesmeta.model.specification import (
        MissingNumeric as MissingNumeric,
    )
    from bayesmeta.model.specification import (
        MissingSD as MissingSD,
    )
    from bayesmeta.model.specification import (
        Model as Model,
    )
    from bayesmeta.model.specification import (
        Monotone as Monotone,
    )
    from bayesmeta.model.specification import (
        OutlierEffects as OutlierEffects,
    )
    from bayesmeta.model.specification import (
        Spline as Spline,
    )
    from bayesmeta.model.specification import (
        StudentEffects as StudentEffects,
    )
    from bayesmeta.model.specification import (
        Term as Term,
    )

__getattr__, __dir__ = exports(
    __name__,
    {
        "curves": ("Line",),
        "design": (
            "Columns",
            "Design",
            "build_design",
            "estimable",
        ),
        "specification": (
            "Coefficient",
            "Exchangeable",
            "Likelihood",
            "MissingLevels",
            "MissingNumeric",
            "MissingSD",
            "Model",
            "Monotone",
            "OutlierEffects",
            "Spline",
            "StudentEffects",
            "Term",
        ),
    },
)
