"""The levels at which the between-study SD differs: of rows, of a new study, and their priors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name
from bayesmeta.model.design import Design
from bayesmeta.model.specification import Model
from bayesmeta.priors import Prior

__all__ = ["level_shares", "levels_of"]

FloatArray = NDArray[np.float64]


def levels_of(design: Design, model: Model, effects: Effects) -> tuple[dict[str, Prior], NDArray[np.intp]]:
    """The prior of the SD of every level of ``model.tau_by``, and the level of each row.

    Raises
    ------
    ModelError
        For a numeric moderator, a slope, and a level with a prior that is not in the data.

    Examples
    --------
    >>> from bayesmeta.model import build_design
    >>> by = bm.Model(model.mu, bm.HalfNormal(0.5), {"type": bm.Normal(0, 0.5)}, tau_by=bm.TauBy("type"))
    >>> levels_of(build_design(effects, by), by, effects)[0]
    {'walk': halfnormal(0.5), 'yoga': halfnormal(0.5)}
    """
    assert model.tau_by is not None
    assert model.tau is not None
    name = model.tau_by.moderator
    levels = design.factors[name].levels
    if not levels:
        raise ModelError(
            f"tau_by: {name} is numeric. Give the prior of its slope: TauBy({name!r}, slope=Normal(0, 1))."
        )
    if model.tau_by.slope is not None:
        raise ModelError(f"tau_by: {name} is categorical and has no slope; every level has its own tau.")
    priors = dict.fromkeys(levels, model.tau)
    for level, prior in model.tau_by.priors.items():
        priors[find_name(f"level of {name}", level, levels, place="in the data")] = prior
    values = [str(value) for value in effects.moderators[name]]
    return priors, np.array([levels.index(value) for value in values], np.intp)


def level_shares(design: Design, moderator: str, rows: FloatArray) -> FloatArray:
    """Share of every level of a categorical moderator in rows of a design, shape (M, L): 1 and 0 where it is fixed.

    A row that averages over the observed mix has its frequencies.

    Examples
    --------
    >>> from bayesmeta.model import build_design
    >>> design = build_design(effects, bm.Model(model.mu, model.tau, {"timing": bm.Normal(0, 0.5)}))
    >>> rows = np.array([design.profile(), design.profile({"timing": "after"})])
    >>> level_shares(design, "timing", rows).round(12).tolist()
    [[0.25, 0.75], [1.0, 0.0]]
    """
    columns = next(term.columns for term in design.terms if term.name == moderator)
    fixed = np.array([design.profile({moderator: level})[columns] for level in design.factors[moderator].levels])
    # the columns are those of the levels averaged by their shares, which add up to one
    system = np.vstack([fixed.T, np.ones(len(fixed))])
    shares = np.linalg.solve(system, np.vstack([rows[:, columns].T, np.ones(len(rows))])).T
    shares[np.abs(shares) < 1e-12] = 0.0
    return shares
