"""What must be said beside a Hartung-Knapp interval wherever it is printed."""

from __future__ import annotations

from bayesmeta.classical import NARROW, NO_WIDTH, is_clustered, pool
from bayesmeta.columns import ratios, together
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure

__all__ = ["hksj_remark"]


def hksj_remark(fit: Fit, *, level: float = LEVEL) -> str:
    """Say what is wrong with the width of REML + HKSJ, and give its ad hoc interval.

    Parameters
    ----------
    fit : Fit
        Whose rows are pooled.
    level : float

    Returns
    -------
    str
        Empty where the interval may stand alone (`bayesmeta.classical.adhoc_beside`) or is not defined; effects on the
        natural scale. So it is for rows in clusters, whose classical check is another.

    Examples
    --------
    >>> alike = bm.Effects(["A", "B", "C"], [0.5, 0.5, 0.5], [0.1, 0.2, 0.1], measure="SMD")
    >>> hksj_remark(bm.fit(alike, model))
    'no width: all estimates are equal; ad hoc 0.213 to 0.787'
    """
    if is_clustered(fit.effects):
        return ""
    try:
        found, adhoc = (
            pool(fit.effects, method="REML", ci=ci, level=level, rho=fit.model.rho) for ci in ("hksj", "hksj_adhoc")
        )
    except ModelError:
        return ""
    if not found.adhoc_beside:
        return ""
    kind = measure(fit.effects.measure)
    ends = [[kind.back(end).item()] for end in (adhoc.lower, adhoc.upper)]
    (lower,), (upper,) = (ratios if kind.log else together)(ends)
    why = {NARROW: "narrower than the Wald interval of the same tau", NO_WIDTH: "no width: all estimates are equal"}
    said = [why[found.mark]] if found.mark else ["tau estimated as 0 from few trials"]
    return "; ".join([*said, f"ad hoc {lower} to {upper}"])
