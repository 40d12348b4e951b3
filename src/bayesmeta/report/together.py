"""Several outcomes of a protocol together, as the panel's view shows them: benefit in m of n, and without harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesmeta.columns import percent
from bayesmeta.plan import Threshold

if TYPE_CHECKING:
    from bayesmeta.joint import JointFit
    from bayesmeta.report.summary import SummaryRow

__all__ = ["joint_view"]


def joint_view(joint: JointFit, rows: Sequence[SummaryRow]) -> dict[str, Any] | str:
    """Put the joint answer into cells; where it cannot be shown, why.

    Parameters
    ----------
    joint : JointFit
    rows : sequence of SummaryRow
        Of all outcomes of the report; the first yardstick of each says what is important.

    Returns
    -------
    dict or str
        ``words`` and ``lines``: a name, and four chances.
    """
    from bayesmeta.joint import at_least_table, without_harm_table

    if bad := [check for check in joint.checks if not check.ok]:
        return f"Several outcomes together: not shown, {bad[0].name} failed ({bad[0].advice})"
    known = {row.key: row for row in rows}
    if any(key not in known or not known[key].yardsticks for key in joint.names):
        return "Several outcomes together: not shown, not every one of them has a threshold."
    firsts = {key: known[key].yardsticks[0] for key in joint.names}
    # a threshold in points enters at its mean: the joint draws know nothing of the instrument's SD
    cuts = {}
    for key, item in firsts.items():
        benefit, worse = item.distance, item.worse_distance
        cuts[key] = Threshold(item.name, benefit, worse, benefit, worse, item.source, "panel", True)
    at_least, harmless = at_least_table(joint, cuts), without_harm_table(joint, cuts)
    n = len(joint.names)
    lines = []
    for m in range(1, n + 1):
        part = at_least[at_least["at_least"] == m]
        lines.append(
            [f"at least {m} of {n} outcomes", *_cells(part, "p_any_benefit"), *_cells(part, "p_important_benefit")]
        )
    some = harmless[harmless["outcome"] == "any"]
    lines.append(["one or more, and important harm in none", "", "", *_cells(some, "p_benefit_without_harm")])
    names = ", ".join(known[key].label for key in joint.names)
    important = ", ".join(dict.fromkeys(f"{item.words}" for item in firsts.values()))
    return {
        "words": f"{names}: one model of all, in which true effects of a trial correlate, and estimates of the same "
        f"patients by {joint.model.correlation:g} (an assumption). Important: beyond each outcome's own threshold "
        f"({important}). Sampled; every check passed.",
        "lines": lines,
    }


def _cells(table: Any, column: str) -> list[str]:
    """Chances for the mean effects and for new studies."""
    found: Mapping[str, float] = dict(zip(table["target"], table[column], strict=True))
    return [percent(found[name]) for name in ("mean effect", "new study")]
