"""What a notebook shows: a fit or an analysis as a card with its forest, a table with its intervals drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.analysis import Analysis, analysis_of, heading_of, headline_texts
from bayesmeta.classical import ClassicalResult
from bayesmeta.columns import percent, ratios, rounded, together, with_minus
from bayesmeta.fits import Fit
from bayesmeta.measures import Measure, measure
from bayesmeta.questions import CAVEAT, direction, numeric_distance, study_table
from bayesmeta.report.notebook.marks import Mark, Shape, axis_of, axis_svg, mark_svg
from bayesmeta.report.notebook.tidying import tidy

__all__ = ["Html", "as_html"]

#: Trials of a card, and rows of a table: what is longer says how many more there are.
TRIALS, ROWS = 20, 60
_CELL = "padding:0 .6em;border:0;vertical-align:middle"
_LEFT = f'style="text-align:left;{_CELL}"'
_RIGHT = f'style="text-align:right;white-space:nowrap;{_CELL}"'
_CENTRES = ("median", "estimate", "y", "mean")


class Html(str):
    """A text of HTML that a notebook shows as such; nothing in it is loaded from elsewhere.

    Examples
    --------
    >>> Html("<b>3</b>")._repr_html_()
    '<b>3</b>'
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def as_html(x: Any, *, decimals: int = 2) -> Html:
    """Show a fit, an analysis, any result or any table as HTML, with its intervals drawn.

    A notebook shows fits and analyses so by itself; a table of this library is a plain data frame, and becomes readable
    by it: numbers rounded, probabilities in percent that are never 0 or 100.

    Parameters
    ----------
    x : Fit, Analysis, JointFit, result of `bayesmeta.classical`, list or mapping of these, or pandas.DataFrame
        Fits and analyses with the headline on the natural scale, the classical check beside it, and what must be read
        with it; a list or mapping by its `tidy` table.
    decimals : int
        Of the numbers of a table.

    Returns
    -------
    Html
        A text, to be shown or written to a file. It has no scripts, no styles of its own and no addresses, and takes
        its colours from the page, light or dark.

    Raises
    ------
    ModelError
        For anything else.

    Examples
    --------
    >>> card = bm.as_html(fit)
    >>> "mean effect" in card, card.count("<svg")
    (True, 8)
    >>> "&gt;99.9 %" in bm.as_html(pd.DataFrame({"p_any_benefit": [0.99998]}))
    True
    """
    if isinstance(x, pd.DataFrame):
        return Html(_framed(_table_html(x, decimals)))
    if isinstance(x, Fit):
        return Html(_framed(_card(analysis_of(x), x)))
    if isinstance(x, Analysis):
        return Html(_framed(_card(x, x.pooled)))
    if isinstance(x, ClassicalResult):
        return Html(_framed(x._repr_html_()))
    return Html(_framed(_table_html(tidy(x), decimals)))


def _framed(inside: str) -> str:
    return f'<div class="bayesmeta" style="color:inherit;background:transparent;overflow-x:auto">{inside}</div>'


def _card(item: Analysis, fit: Fit) -> str:
    """Heading, forest, further numbers, and what must be read with them."""
    kind = measure(fit.effects.measure)
    texts, marks = {**headline_texts(item), **_any_benefit(fit)}, _headline_marks(item)
    trials, more = _trials(fit, kind)
    axis = axis_of([*(mark for _, mark, _ in trials), *marks.values()], _lines(item, kind))
    rows = [_row(name, mark_svg(mark, axis), text) for name, mark, text in trials]
    if more:
        rows.append(_row(f"and {more} of smaller weight", mark_svg(None, axis), ""))
    rows += [
        _row(name, mark_svg(marks[name], axis), text, strong=name == "mean effect")
        for name, text in texts.items()
        if name in marks
    ]
    rows.append(_row("", axis_svg(axis, kind), kind.axis))
    rows += [_row(name, "", text) for name, text in texts.items() if name not in marks]
    rows += _coefficients(item)
    engine = f"engine {fit.engine}; {fit.model!r}"
    noticed = [f"{found.severity}: {found.rule}: {found.evidence}. {found.remedy}" for found in item.notices]
    return (
        f"<p><b>{_text(heading_of(item))}</b></p>{_paragraphs([item.own_result] if item.own_result else [])}"
        f'<table style="border-collapse:collapse;border:0">{"".join(rows)}</table>'
        f"{_paragraphs([*fit.failed, *noticed, *item.warnings, engine, CAVEAT])}"
    )


def _headline_marks(item: Analysis) -> dict[str, Mark]:
    """Marks of the mean effect, a new study and the classical check, by their names in the headline."""
    summary, methods = item.summary_table, item.methods.set_index("method")
    found = {}
    terms: tuple[tuple[str, str, Shape], ...] = (("mean effect", "mu", "diamond"), ("new study", "theta_new", "bar"))
    for name, term, shape in terms:
        found[name] = Mark(*_numbers(summary.loc[term], "median"), shape=shape, posterior=True)
    for name in headline_texts(item):
        if name in methods.index and name not in found:
            found[name] = Mark(*_numbers(methods.loc[name], "estimate"), shape="diamond")
    return found


def _any_benefit(fit: Fit) -> dict[str, str]:
    """Probability of any benefit, where a direction is stated and something is compared."""
    if fit.effects.better is None or measure(fit.effects.measure).single_arm:
        return {}
    table = tidy(fit).set_index("term")["p_benefit"]
    return {"P(any benefit)": f"{percent(table['mu'])} on average, {percent(table['theta_new'])} in a new study"}


def _numbers(row: Any, centre: str) -> tuple[float, float, float]:
    return float(row[centre]), float(row["lower"]), float(row["upper"])


def _trials(fit: Fit, kind: Measure) -> tuple[list[tuple[str, Mark, str]], int]:
    """Reported estimates with marks and texts, those of the largest weight where there are many; how many are left."""
    table = study_table(fit)
    weights = np.abs(table["weight"].to_numpy(float))
    kept = np.sort(np.argsort(-weights, kind="stable")[:TRIALS])
    shown: Any = table.iloc[kept]
    back = [np.asarray(kind.back(shown[name].to_numpy(float)), float).tolist() for name in ("y", "lower", "upper")]
    written = zip(*(ratios if kind.log else together)(back), strict=True)
    sizes = 3.0 + 7.0 * np.sqrt(weights[kept] / max(float(weights.max()), 1e-12))
    return [
        (str(row.label), Mark(row.y, row.lower, row.upper, size=float(size)), f"{a} ({b} to {c})")
        for row, size, (a, b, c) in zip(shown.itertuples(), sizes, written, strict=True)
    ], len(table) - len(kept)


def _lines(item: Analysis, kind: Measure) -> list[tuple[float, bool]]:
    """Places of no effect, which one arm has not, and of the primary threshold of benefit where it is a number."""
    null = [] if kind.single_arm else [(0.0, False)]
    distance = numeric_distance(item.primary)
    if distance is None or item.effects.better is None:
        return null
    return [*null, (direction(item.pooled) * distance, True)]


def _coefficients(item: Analysis) -> list[str]:
    """Contrasts of the moderated fit, in numbers."""
    if item.moderated is None:
        return []
    table = tidy(item.moderated)
    found = table[table["term"].str.startswith("beta[")]
    written = together([found[name].tolist() for name in ("estimate", "lower", "upper")])
    return [
        _row(str(term), "", f"{a} ({b} to {c}), on the scale of the analysis")
        for term, a, b, c in zip(found["term"], *written, strict=True)
    ]


def _row(name: str, picture: str, text: str, *, strong: bool = False) -> str:
    first, second = (f"<b>{_text(part)}</b>" if strong else _text(part) for part in (name, text))
    return (
        f'<tr style="background:transparent"><th scope="row" style="text-align:left;font-weight:normal;{_CELL}">{first}'
        f'</th><td style="{_CELL}">{picture}</td><td {_LEFT}>{second}</td></tr>'
    )


def _text(text: str) -> str:
    """A text from outside, which stays a text and keeps its writing direction to itself."""
    return f"<bdi>{escape(with_minus(text))}</bdi>" if text else ""


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f'<p style="margin:.3em 0;font-size:smaller">{_text(text)}</p>' for text in texts)


def _table_html(table: pd.DataFrame, decimals: int) -> str:
    """A table as HTML; where rows have an estimate and its ends, these are drawn behind the first column."""
    shown = table.head(ROWS)
    if len(shown) and isinstance(shown.index[0], str):
        shown = shown.set_axis(pd.Index(shown.index, name=shown.index.name or "")).reset_index(allow_duplicates=True)
    empty = shown.isna().to_numpy()
    numeric = [pd.api.types.is_numeric_dtype(shown[name]) for name in shown.columns]
    heads = [
        f'<th scope="col" {_RIGHT if number else _LEFT}>{_text(str(name))}</th>'
        for name, number in zip(shown.columns, numeric, strict=True)
    ]
    cells = [
        [
            f"<td {_RIGHT if number else _LEFT}>{'' if gap else _text(_cell(value, decimals))}</td>"
            for number, gap, value in zip(numeric, gaps, row, strict=True)
        ]
        for gaps, row in zip(empty, rounded(shown, decimals).itertuples(index=False), strict=True)
    ]
    marks = _marks_of(shown)
    if marks:
        axis = axis_of(marks)
        axis = replace(axis, lines=((0.0, False),) if axis.low < 0 < axis.high else ())
        heads.insert(1, "<td></td>")
        for row, mark in zip(cells, marks, strict=True):
            row.insert(1, f'<td style="{_CELL}">{mark_svg(mark, axis)}</td>')
    lines = "".join(f'<tr style="background:transparent">{"".join(row)}</tr>' for row in (heads, *cells))
    more = len(table) - len(shown)
    return (
        f'<table style="border-collapse:collapse;border:0">{lines}</table>'
        f"{_paragraphs([f'and {more} more rows'] if more else [])}"
    )


def _marks_of(table: pd.DataFrame) -> list[Mark]:
    """Marks of the rows; none where the columns are not an estimate and its ends."""
    centre = next((name for name in _CENTRES if name in table), None)
    needed = [centre, "lower", "upper"]
    if centre is None or not all(name in table and pd.api.types.is_numeric_dtype(table[name]) for name in needed):
        return []
    columns = (table[name].to_numpy(float).tolist() for name in needed)
    return [Mark(*row) for row in zip(*columns, strict=True)]


def _cell(value: Any, decimals: int) -> str:
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)
