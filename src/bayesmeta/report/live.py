"""The data of the interactive page: posteriors, words and numbers of tables, recomputed at a new threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical import ClassicalFit, pool_check
from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.marginals import Marginals, NormalMixtures
from bayesmeta.measures import measure
from bayesmeta.questions import in_sentence, information_size, mix, spoken_direction, update
from bayesmeta.report.blocks import borrowing_weights
from bayesmeta.report.forms import kept_nodes, non_negligible, packed, packed_form, rule_gap, serialised_form
from bayesmeta.report.gather import live_record, natural_range, others, stated_threshold
from bayesmeta.report.panel import points_slider
from bayesmeta.report.summary import SummaryRow, said_words
from bayesmeta.sensitivity import SECTIONS

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis

__all__ = ["followed", "live_outcome", "live_tables", "points_of"]


def live_outcome(part: Analysis, row: SummaryRow, who: str) -> dict[str, Any]:
    """Give what the page needs to compute everything of one outcome anew.

    Parameters
    ----------
    part : Analysis
        With a direction and a threshold that is a number.
    row : SummaryRow
    who : str
        The intervention, as a sentence begins with it.

    Returns
    -------
    dict
        ``better scale reach analyses`` of `live_record`; ``label axis stated`` for sentences: the stated threshold as
        distances of benefit and harm, and as it is written; ``others``, analyses that have a line but cannot be
        chosen; ``yardsticks`` of the row, ``points`` where the first is one of an instrument, ``own``, the stated
        threshold as a number, and the ``slider`` of each; ``speak``, the words of its finding; ``tables`` of
        `live_tables`.
    """
    fit, item = part.pooled, part.primary
    assert item is not None
    kind = measure(fit.effects.measure)
    better = str(fit.effects.better)
    record = live_record(part, coarsened=True)
    for entry in record["analyses"]:
        entry["posterior"] = _small(entry["posterior"])
    return {
        **record,
        "measure": row.measure,
        "unit": row.unit,
        "random": fit.model.tau is not None,
        "own": stated_threshold(part),
        "slider": natural_range(part),
        "points": points_of(row),
        "yardsticks": [
            {
                "said": said_words(yard),
                "b": _few(yard.benefit),
                "h": _few(yard.worse),
                "w": _few(yard.weights),
            }
            for yard in row.yardsticks
        ],
        "speak": {
            "who": who,
            "whom": in_sentence(who),
            "what": in_sentence(row.short),
            **{name: dict(spoken_direction(better, benefit=name == "benefit")) for name in ("benefit", "harm")},
        },
        "label": fit.outcome.label if fit.outcome is not None else (fit.effects.name or kind.label),
        "axis": kind.axis,
        "stated": {
            "benefit": item.benefit_distance,
            "worse": item.worse_distance,
            "texts": [f"{item.benefit:g}", f"{item.worse:g}"],
        },
        "others": [
            {"id": other.id, "posterior": _small(serialised_form(other.fit, coarsened=True))} for other in others(part)
        ],
        "tables": live_tables(part),
    }


def points_of(row: SummaryRow) -> dict[str, Any] | None:
    """The minimal important difference in points, and the slider that moves it; None without one."""
    natural = row.natural
    if not row.yardsticks or not row.yardsticks[0].natural or natural is None or natural.mid is None:
        return None
    stated = natural.mid[0]
    return {"stated": stated, "slider": points_slider(stated)}


def _small(form: dict[str, Any]) -> dict[str, Any]:
    """A mixture in single precision: its probabilities keep six digits, of which three are printed."""
    return packed_form(form) if form["representation"] == "mixture" else form


def _few(values: NDArray[np.float64]) -> list[float] | str:
    return values.tolist() if values.size == 1 else packed(values)


def followed(part: Analysis) -> frozenset[str]:
    """Names of the tables that are recomputed at a new threshold; others stay at the stated one."""
    fit, tables = part.pooled, part.sections.tables
    if fit.effects.better is None or stated_threshold(part) is None:
        return frozenset()
    found = {"multiverse"} & set(tables) | {name for name in part.sections.fits if _lines(part, name)}
    if part.borrowing is not None and part.borrowing.better == fit.effects.better:
        found.add("borrowing")
    if fit.posterior.studies().mixtures is not None:
        found |= {"inconsistency", "grade"} if "inconsistency" in tables else set()
    return frozenset(found)


def live_tables(part: Analysis) -> dict[str, Any]:
    """Give the numbers from which the page computes its tables anew, by table.

    Returns
    -------
    dict
        Of the tables that `followed` names, and ``theta``, the true effects of the trials, where one of them needs it.
    """
    names = followed(part)
    makers = {"multiverse": _multiverse, "borrowing": _borrowing, "inconsistency": _inconsistency, "grade": _grade}
    found: dict[str, Any] = {name: makers[name](part) for name in makers if name in names}
    found |= {name: _lines(part, name) for name in part.sections.fits if name in names}
    if names & {"inconsistency", "grade"}:
        found["theta"] = _theta(part)
    return found


def _lines(part: Analysis, section: str) -> list[dict[str, Any] | None] | None:
    """Give the posterior of each line that the page shows of a section; None where one of them has none to give."""
    fits = part.sections.fits.get(section, ())
    table = SECTIONS[section].printed(part.sections.tables[section]) if fits else pd.DataFrame()
    if "p_important_benefit" not in table:
        return None
    # a line without a probability is not recomputed
    stated = table["p_important_benefit"].notna().tolist()
    lines = [_packed(fits[i]) if here else None for i, here in zip(table.index.tolist(), stated, strict=True)]
    return lines if any(stated) and all(line or not here for line, here in zip(lines, stated, strict=True)) else None


def _packed(found: Fit | ClassicalFit | None) -> dict[str, Any] | None:
    """What the page needs of a refit; nothing of one whose posterior is no mixture of normals."""
    if isinstance(found, ClassicalFit):
        return {"representation": "classical", "estimate": found.estimate, "se": found.se, "df": found.df}
    form = None if found is None else serialised_form(found, coarsened=True)
    return packed_form(form) if form is not None and form["representation"] == "mixture" else None


def _theta(part: Analysis) -> dict[str, Any]:
    """Estimates, and posteriors of the true effects behind them, on nodes that they share."""
    fit = part.pooled

    def question(form: Marginals) -> tuple[NormalMixtures, float]:
        assert form.mixtures is not None
        return form.mixtures, rule_gap(form.mixtures)

    form = fit.posterior.studies().settled(question)
    kept, weights = kept_nodes(form)
    centre = float(f"{fit.effects.y.mean():.6g}")
    return {
        "k": fit.effects.k,
        "y": fit.effects.y.tolist(),
        "centre": centre,
        "w": packed(weights),
        "m": packed(form.means[:, kept] - centre),
        "s": packed(form.sds[:, kept]),
    }


def _tau(table: pd.DataFrame) -> list[float]:
    """Lower end, median and upper end of tau, from its multiples of the first threshold."""
    line: Any = table.iloc[0]
    return [float(line[name] * line["benefit"]) for name in ("tau_units_lower", "tau_units", "tau_units_upper")]


def _inconsistency(part: Analysis) -> dict[str, Any]:
    table = part.sections.tables["inconsistency"]
    stated: Any = table[table["benefit"].notna()]
    pairs = stated[["benefit", "worse"]].to_numpy(float).tolist()
    return {"name": str(stated["threshold"].iloc[0]), "tau": _tau(table), "others": pairs[1:]}


def _grade(part: Analysis) -> dict[str, Any]:
    effects = part.pooled.effects
    try:
        found = pool_check(effects, rho=part.pooled.model.rho)
        classical = [found.lower, found.upper]
    except ModelError:
        classical = None
    standardised = effects.measure in ("SMD", "SMDH")
    return {
        "classical": classical,
        "people": effects.participants if standardised else None,
        "needed": information_size(1.0),
        "tau": _tau(part.sections.tables["inconsistency"]),
    }


def _multiverse(part: Analysis) -> list[dict[str, Any]]:
    """Estimates and intervals of every specification, in the order of their lines."""
    frame = part.sections.tables["multiverse"]
    found = []
    for (target, engine), lines in frame.groupby(["target", "engine"], sort=False):
        found.append(
            {
                "specifications": f"{target}, {engine}",
                **{name: packed(lines[name].to_numpy(float)) for name in ("estimate", "lower", "upper")},
            }
        )
    return found


def _borrowing(part: Analysis) -> dict[str, Any]:
    """What the review and what the trial alone says, and the weight of the latter in each line."""
    borrowing = part.borrowing
    assert borrowing is not None
    review, _ = update(borrowing.source, borrowing.y, borrowing.se)
    kept = non_negligible(review.weights)
    form = {"w": review.weights[kept], "m": review.means[kept], "s": review.sds[kept], "t": review.sds[kept]}
    vague = [
        update(mix(borrowing.source, weight, borrowing.vague), borrowing.y, borrowing.se)[0]
        for weight in borrowing_weights(borrowing)
    ]
    return {
        "review": packed_form(form),
        "alone": [float(borrowing.alone.means[0]), float(borrowing.alone.sds[0])],
        "vague": [float(item.weights[-1]) for item in vague],
    }
