"""The rows of a forest plot."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical import ClassicalFit, check_words, is_clustered, pool, pool_check
from bayesmeta.columns import plural
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.plots.forest.columns import OwnColumns, own_frame
from bayesmeta.plots.tables import CREDIBLE, PREDICTION, prediction_words
from bayesmeta.plots.wording import level_text, numbers_of, pooled_labels
from bayesmeta.questions import predict, study_table, study_weights

__all__ = ["forest_table"]

_ORDERS = ("given", "effect", "estimate", "precision", "weight", "year")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


def forest_table(
    fit: Fit,
    *,
    subgroup: str | None = None,
    moderated: Fit | None = None,
    order: str = "given",
    columns: OwnColumns | None = None,
    common_effect: bool = False,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Rows of a forest plot from top to bottom.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    subgroup : str, optional
        A categorical moderator of the effects; rows are grouped by its levels.
    moderated : Fit, optional
        A fit in which ``subgroup`` is a moderator, of the same estimates or of those that state it. Then everything is
        from this one model: the shrinkage estimates of trials, the mean of each level, the mean over the observed mix
        and a new study.
    order : str
        Of the estimates within a group: ``given``, ``effect`` (from the lowest), ``precision`` (the most precise
        first), ``weight`` (the heaviest first), ``year`` (of the label, the earliest first), or the name of one of
        ``columns`` or of a moderator. A minus sign before it turns it round.
    columns : pandas.DataFrame or mapping, optional
        Further columns that rows may be ordered by, one line per estimate of ``fit`` in its order.
    common_effect : bool
        Add the classical common-effect (inverse-variance) mean.
    level : float
        Of every interval.

    Returns
    -------
    pandas.DataFrame
        Columns ``kind group label estimate lower upper theta theta_lower theta_upper weight level interval text
        theta_text``. ``kind`` is ``heading``, ``estimate``, ``level mean``, ``mean``, ``new study``,
        ``classical mean``, ``common effect`` or ``classical prediction``. Numbers are on the scale of the analysis,
        ``text`` and ``theta_text`` on the natural scale; ``weight`` is in percent. A classical row that these data
        do not define has the reason under ``text``.

    Raises
    ------
    ModelError
        If the moderator is unknown or numeric, ``moderated`` does not belong to these effects, there is no such order,
        or a column has another length.

    Examples
    --------
    >>> forest_table(fit)["kind"].tolist()[3:]
    ['estimate', 'mean', 'new study', 'classical mean', 'classical prediction']
    """
    keys = _keys(fit, order, own_frame(columns, fit.effects, "columns"))
    if subgroup is not None:
        subgroup = find_name("subgroup", subgroup, fit.effects.moderators, place="among the moderators")
    if moderated is not None:
        _check_moderated(fit, moderated, subgroup)
        fit = moderated
    effects, numbers = fit.effects, numbers_of(fit.effects)
    groups = _groups(effects, subgroup)
    studies = study_table(fit, level=level)
    reported = f"{level_text(level)} normal confidence interval"
    credible = f"{level_text(level)} {CREDIBLE}"
    rows: list[dict[str, Any]] = []
    for group, members in groups:
        if group:
            counted = f" (k = {int(members.sum())})"
            rows.append({"kind": "heading", "group": group, "label": f"{_words(subgroup)}: {group}{counted}"})
        part = studies[members]
        if keys is not None:
            part = part.loc[part["label"].map(keys).sort_values(ascending=order[0] != "-", kind="stable").index]
        for item in part.to_dict("records"):
            rows.append(
                {
                    "kind": "estimate",
                    "group": group,
                    "label": item["label"],
                    "estimate": item["y"],
                    "lower": item["lower"],
                    "upper": item["upper"],
                    **{name: item[name] for name in ("theta", "theta_lower", "theta_upper", "weight")},
                    "interval": reported,
                    "text": numbers.cell(item["y"], item["lower"], item["upper"]),
                    "theta_text": numbers.cell(item["theta"], item["theta_lower"], item["theta_upper"]),
                }
            )
        if group and moderated is not None:
            mean = predict(moderated, {str(subgroup): group}, level=level).loc["mu"]
            trials = len({study for study, inside in zip(effects.study, members, strict=True) if inside})
            label = f"Mean effect, {group} ({plural(trials, 'trial')})"
            rows.append(_summary("level mean", label, mean, credible, numbers.cell, group))
    table = predict(fit, level=level)
    mean_label, new_label = pooled_labels(fit)
    mean_label += "" if moderated is None else ", over this mix"
    rows.append(_summary("mean", mean_label, table.loc["mu"], credible, numbers.cell))
    if fit.model.tau is not None:
        new = table.loc["theta_new"]
        rows.append(_summary("new study", new_label, new, f"{level_text(level)} {PREDICTION}", numbers.cell))
    # a classical mean of the pooled model would not belong to the same picture
    rows += _classical_rows(fit, level, common_effect) if moderated is None else []
    names = ["kind", "group", "label", "estimate", "lower", "upper", "theta", "theta_lower", "theta_upper", "weight"]
    frame = pd.DataFrame(rows).reindex(columns=[*names, "interval", "text", "theta_text"])
    for name in ("group", "interval", "text", "theta_text"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "")
    frame.insert(frame.columns.get_loc("interval"), "level", level)  # type: ignore[arg-type]
    return frame


def _keys(fit: Fit, order: str, columns: pd.DataFrame) -> pd.Series[Any] | None:
    """What rows are sorted by, ascending, by label; None for the order in which they are given."""
    effects = fit.effects
    name = find_name("order", order.removeprefix("-"), dict.fromkeys([*_ORDERS, *columns, *effects.moderators]))
    if name == "given":
        return None
    values: Any
    if name in ("effect", "estimate"):
        values = effects.y
    elif name == "precision":
        values = effects.se
    elif name == "weight":
        values = -study_weights(fit)
    elif name == "year":
        found = [_YEAR.search(label) for label in effects.label]
        values = [float(year.group()) if year else np.nan for year in found]
    else:
        values = columns[name].tolist() if name in columns else effects.moderators[name].tolist()
        numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce")
        given = [value is not None and value == value for value in values]
        texts = [str(value) if there else None for value, there in zip(values, given, strict=True)]
        values = numbers if numbers.notna().tolist() == given else texts
    return pd.Series(list(values), index=list(effects.label))


def _words(name: str | None) -> str:
    """Write a column's name as words: ``age_group`` as ``Age group``."""
    text = (name or "").replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def _summary(kind: str, label: str, row: Any, interval: str, cell: Any, group: str = "") -> dict[str, Any]:
    median, lower, upper = float(row["median"]), float(row["lower"]), float(row["upper"])
    return {
        "kind": kind,
        "group": group,
        "label": label,
        "estimate": median,
        "lower": lower,
        "upper": upper,
        "interval": interval,
        "text": cell(median, lower, upper),
    }


def _groups(effects: Effects, subgroup: str | None) -> list[tuple[str, NDArray[np.bool_]]]:
    if subgroup is None:
        return [("", np.ones(effects.k, bool))]
    values = effects.moderators[subgroup]
    if values.dtype.kind == "f":
        raise ModelError(f"subgroup {subgroup!r} is numeric; a forest plot groups by categories. Use bubble_plot.")
    names = np.array([str(value) for value in values])
    return [(level, names == level) for level in dict.fromkeys(sorted(names.tolist()))]


def _check_moderated(fit: Fit, moderated: Fit, subgroup: str | None) -> None:
    if subgroup is None:
        raise ModelError("moderated is given without subgroup; name the moderator whose levels are to be shown.")
    if subgroup not in moderated.design.factors:
        allowed = ", ".join(moderated.design.factors) or "none"
        raise ModelError(f"the moderated fit has no moderator {subgroup!r}. It has: {allowed}.")
    ours = dict(zip(fit.effects.label, fit.effects.y, strict=True))
    if any(ours.get(label) != y for label, y in zip(moderated.effects.label, moderated.effects.y, strict=True)):
        raise ModelError("the moderated fit is of other estimates; give one of the same effects.")


def _classical_rows(fit: Fit, level: float, common_effect: bool) -> list[dict[str, Any]]:
    effects, numbers, words = fit.effects, numbers_of(fit.effects), check_words(fit.effects)
    rows: list[dict[str, Any]] = []
    if common_effect:
        common = pool(effects, method="EE", ci="wald", level=level)
        rows.append(
            {
                "kind": "common effect",
                "label": "Common effect (classical)",
                "estimate": common.estimate,
                "lower": common.lower,
                "upper": common.upper,
                "interval": f"{level_text(level)} normal confidence interval",
                "text": numbers.cell(common.estimate, common.lower, common.upper),
            }
        )
    try:
        classical = pool_check(effects, level=level, rho=fit.model.rho)
    except ModelError as error:
        return [*rows, {"kind": "classical mean", "label": "Classical mean (REML)", "text": f"not defined: {error}"}]
    star = " *" if isinstance(classical, ClassicalFit) and classical.mark else ""
    rows.append(
        {
            "kind": "classical mean",
            "label": f"Classical mean ({words.model}, {words.interval}){star}",
            "estimate": classical.estimate,
            "lower": classical.lower,
            "upper": classical.upper,
            "interval": f"{level_text(level)} {words.interval} confidence interval",
            "text": numbers.cell(classical.estimate, classical.lower, classical.upper),
        }
    )
    if classical.pi_lower is not None and classical.pi_upper is not None:
        rows.append(
            {
                "kind": "classical prediction",
                "label": f"REML prediction, t({'clusters' if is_clustered(effects) else 'k'} \u2212 1)",
                "estimate": classical.estimate,
                "lower": classical.pi_lower,
                "upper": classical.pi_upper,
                "interval": f"{level_text(level)} {prediction_words(effects)}",
                "text": f"[{numbers.value(classical.pi_lower)}, {numbers.value(classical.pi_upper)}]",
            }
        )
    return rows
