"""Effects at each level of a moderator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.fits import LEVEL
from bayesmeta.questions import benefit_probabilities, predict, resolve_thresholds
from bayesmeta.records.parts import headline

if TYPE_CHECKING:
    from bayesmeta.fits import Fit

__all__ = ["level_table"]


def level_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Effects at each level of each categorical moderator, averaged over the observed mix of the others.

    Parameters
    ----------
    fit : Fit
        A moderated fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator level k trials median lower upper new_lower new_upper`` on the analysis scale and, where a
        direction and a threshold are stated, ``p_any_benefit p_important_benefit p_important_harm`` with ``_new`` for
        a new study.
    """
    thresholds = resolve_thresholds(fit)
    primary = headline(thresholds)
    rows = []
    for name, factor in fit.design.factors.items():
        values = np.array([str(value) for value in fit.effects.moderators[name]], dtype=object)
        for value in factor.levels:
            table = predict(fit, {name: value}, level=level)
            here = values == value
            row: dict[str, Any] = {
                "moderator": name,
                "level": value,
                "k": int(here.sum()),
                "trials": len({study for study, used in zip(fit.effects.study, here, strict=True) if used}),
                **{column: table.loc["mu", column] for column in ("median", "lower", "upper")},
                "new_lower": table.loc["theta_new", "lower"],
                "new_upper": table.loc["theta_new", "upper"],
            }
            if primary is not None and fit.effects.better is not None:
                row |= benefit_probabilities(fit, primary, at={name: value})
            rows.append(row)
    return pd.DataFrame(rows)
