"""Risk of bias: judgements as lights beside a forest plot, and how many trials have each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.patches import Rectangle

from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.plots.forest.columns import own_frame
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    INK,
    LINE,
    MARGIN,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    text_width,
    wrap,
)
from bayesmeta.plots.wording import name_of

__all__ = ["JUDGEMENTS", "Judgement", "Lights", "judgement_table", "lights_of", "risk_of_bias_plot"]

# millimetres
_ROW, _BAR, _AXIS = 5.6, 3.8, 5.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a domain was judged, with its colour and the sign that says the same without colour."""

    name: str
    sign: str
    color: str
    ink: str = INK


# signs as robvis draws them (McGuinness & Higgins 2021, doi:10.1002/jrsm.1411); colours by Okabe & Ito
JUDGEMENTS: tuple[Judgement, ...] = (
    Judgement("low", "+", "#009E73"),
    Judgement("some concerns", "\u2212", "#F0E442"),
    Judgement("moderate", "\u2212", "#F0E442"),
    Judgement("high", "\u00d7", "#D55E00"),
    Judgement("serious", "\u00d7", "#D55E00"),
    Judgement("critical", "!", "#5c1a00", "white"),
    Judgement("unclear", "?", "#c4c4c4"),
    Judgement("no information", "?", "#c4c4c4"),
)
#: A domain that nobody judged.
UNJUDGED = Judgement("not judged", "", "white")
_BY_NAME = {item.name: item for item in JUDGEMENTS}
_ALSO = {"some": "some concerns", "some concern": "some concerns", "ni": "no information", "no info": "no information"}


@dataclass(frozen=True, slots=True)
class Lights:
    """Judgements of every row.

    Attributes
    ----------
    domains : tuple of str
    rows : mapping of str to tuple of Judgement
        By label of the row.
    """

    domains: tuple[str, ...]
    rows: Mapping[str, tuple[Judgement, ...]]

    @property
    def marks(self) -> tuple[str, ...]:
        """What stands above each column of lights: names that are short, else letters."""
        if max(map(text_width, self.domains)) <= 4.5:
            return self.domains
        return tuple("All" if _overall(name) else chr(ord("A") + i) for i, name in enumerate(self.domains))

    @property
    def note(self) -> str:
        """Which letter is which domain; empty where the names themselves stand there."""
        marked = [
            "All: overall judgement" if mark == "All" else f"{mark} {name}"
            for mark, name in zip(self.marks, self.domains, strict=True)
            if mark != name
        ]
        return f"Risk of bias: {'; '.join(marked)}." if marked else ""

    @property
    def used(self) -> tuple[Judgement, ...]:
        """Judgements that occur, from low to no information."""
        found = {item.name for row in self.rows.values() for item in row}
        return tuple(item for item in (*JUDGEMENTS, UNJUDGED) if item.name in found)


def _overall(name: str) -> bool:
    return name.strip().lower().startswith("overall")


def lights_of(frame: pd.DataFrame, fit: Fit) -> Lights:
    """Read judgements as people write them.

    Raises
    ------
    ModelError
        For another number of lines, no domain, and with every word that is no judgement.

    Examples
    --------
    >>> frame = pd.DataFrame({"D1": ["Low", "high risk", "Some_concerns", None]})
    >>> [row[0].name for row in lights_of(frame, fit).rows.values()]
    ['low', 'high', 'some concerns', 'not judged']
    """
    table = own_frame(frame, fit.effects, "risk_of_bias")
    if not len(table.columns):
        raise ModelError("risk_of_bias has no columns; give one per domain, with judgements as cells.")
    unknown: dict[str, None] = {}
    rows = {}
    for label, cells in zip(fit.effects.label, table.to_numpy(object).tolist(), strict=True):
        row = []
        for cell in cells:
            name = _name(cell)
            if name and name not in _BY_NAME:
                unknown[str(cell)] = None
            row.append(_BY_NAME.get(name, UNJUDGED))
        rows[label] = tuple(row)
    if unknown:
        listed = ", ".join(repr(text) for text in unknown)
        raise ModelError(
            f"risk_of_bias: {listed} is not a judgement. Allowed: {', '.join(_BY_NAME)}; empty: not judged."
        )
    return Lights(tuple(map(str, table.columns)), rows)


def _name(cell: object) -> str:
    if cell is None or cell is pd.NA or cell != cell:
        return ""
    words = re.sub(r"[_\s-]+", " ", str(cell)).strip().lower()
    words = re.sub(r" ?risk( of bias)?$", "", words)
    return _ALSO.get(words, words)


def judgement_table(fit: Fit, risk_of_bias: pd.DataFrame) -> pd.DataFrame:
    """How many trials have each judgement in each domain.

    A trial with several estimates counts once, with the worst of its judgements (a domain without information is worse
    than low, and better than some concerns).

    Parameters
    ----------
    fit : Fit
    risk_of_bias : pandas.DataFrame
        As in `forest_plot`.

    Returns
    -------
    pandas.DataFrame
        Columns ``domain judgement trials share``: one line per domain and judgement that occurs anywhere.

    Raises
    ------
    ModelError
        For another number of lines, and for words that are no judgement.

    Examples
    --------
    >>> frame = pd.DataFrame({"D1": ["low", "high", "low", "low"]})
    >>> judgement_table(fit, frame)["share"].tolist()
    [0.75, 0.25]
    """
    lights = lights_of(risk_of_bias, fit)
    trials: dict[str, list[tuple[Judgement, ...]]] = {}
    for study, row in zip(fit.effects.study, lights.rows.values(), strict=True):
        trials.setdefault(study, []).append(row)
    records = []
    for place, domain in enumerate(lights.domains):
        worst = [max((row[place] for row in rows), key=_WORSE.index).name for rows in trials.values()]
        records += [
            {
                "domain": domain,
                "judgement": item.name,
                "trials": worst.count(item.name),
                "share": worst.count(item.name) / len(trials),
            }
            for item in lights.used
        ]
    return pd.DataFrame(records)


_WORSE = [_BY_NAME[name] for name in ("low", "no information", "unclear")]
_WORSE = [UNJUDGED, *_WORSE, *(item for item in JUDGEMENTS if item not in _WORSE)]


def risk_of_bias_plot(
    fit: Fit, risk_of_bias: pd.DataFrame, *, title: str | None = None, width_mm: float = 180.0
) -> Plot:
    """Draw the share of trials with each judgement, by domain.

    Parameters
    ----------
    fit : Fit
        Whose trials they are.
    risk_of_bias : pandas.DataFrame
        As in `forest_plot`.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `judgement_table`.

    Raises
    ------
    ModelError
        As `judgement_table`, and for a width outside 80 to 420 mm.

    Examples
    --------
    >>> frame = pd.DataFrame({"Randomisation": ["low", "high", "low", "low"]})
    >>> risk_of_bias_plot(fit, frame, title="Fatigue").alt
    'Risk of bias of Fatigue in 4 trials. Randomisation: 3 low, 1 high.'
    """
    width = check_width(width_mm)
    table = judgement_table(fit, risk_of_bias)
    title = f"{title or name_of(fit)}: risk of bias"
    with drawing():
        sheet = _draw(table, fit.effects.n_trials, title, width)
    counted = [
        f"{domain}: {_counted(table[table['domain'] == domain])}" for domain in table["domain"].unique().tolist()
    ]
    trials = fit.effects.n_trials
    alt = f"Risk of bias of {title.removesuffix(': risk of bias')} in {trials} trial{'s' if trials > 1 else ''}. "
    return Plot(sheet.figure, table, alt + ". ".join(counted) + ".", title)


def _counted(rows: pd.DataFrame) -> str:
    return ", ".join(f"{row['trials']} {row['judgement']}" for row in rows.to_dict("records") if row["trials"])


def _draw(table: pd.DataFrame, trials: int, title: str, width: float) -> Sheet:
    looks = {item.name: item for item in (*JUDGEMENTS, UNJUDGED)}
    entries = [entry_of(looks[name]) for name in table["judgement"].unique()]
    domains = table["domain"].unique().tolist()
    # the overall judgement stands apart, below the domains that it sums up
    labels = min(max(text_width(name, bold=_overall(name)) for name in domains), 0.42 * width)
    words = {name: wrap(name, labels, bold=_overall(name)) for name in domains}
    heights = [max(_ROW, LINE * len(words[name]) + 1.0) for name in domains]
    head = [f"Share of {trials} trial{'s' if trials > 1 else ''}, by domain"]
    top = head_height(title, head, width) + 2.0
    end = top + sum(heights)
    sheet = Sheet(width, end + _AXIS + LINE + 1.5 + footer_height(entries, [], width))
    sheet.head(title, head)
    left = MARGIN + labels + 3.0
    axes = sheet.axes(left, top, width - MARGIN - 4.0 - left, sum(heights), "risk of bias")
    axes.set_xlim(0, 100)
    axes.set_ylim(end, top)
    axes.yaxis.set_visible(False)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_xticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    y = top
    for name, height in zip(domains, heights, strict=True):
        middle, bold = y + 0.5 * height, "bold" if _overall(name) else "normal"
        for i, line in enumerate(words[name]):
            sheet.text(MARGIN, middle + (i - 0.5 * (len(words[name]) - 1)) * LINE * 0.9, line, weight=bold)
        start = 0.0
        for row in table[table["domain"] == name].to_dict("records"):
            look, share = looks[row["judgement"]], 100 * row["share"]
            axes.add_patch(
                Rectangle(
                    (start, middle - 0.5 * _BAR),
                    share,
                    _BAR,
                    facecolor=look.color,
                    edgecolor=INK,
                    linewidth=0.5,
                    label=f"{name}: {look.name}",
                )
            )
            written = f"{look.sign} {row['trials']}".strip()
            if share / 100 * (width - MARGIN - 4.0 - left) > text_width(written) + 1.5:
                axes.text(
                    start + 0.5 * share, middle, written, ha="center", va="center_baseline", color=look.ink, size=7
                )
            start += share
        y += height
    axis = wrap("Trials", 40.0)[0]
    sheet.text(0.5 * (left + width - MARGIN - 4.0), end + _AXIS + 0.5 * LINE, axis, ha="center")
    sheet.legend(end + _AXIS + LINE + 1.5, entries)
    return sheet


def entry_of(item: Judgement) -> Entry:
    """Legend of a judgement."""
    words = f"{item.sign} {item.name[:1].upper()}{item.name[1:]}".strip()
    return Entry({"facecolor": item.color, "edgecolor": INK, "linewidth": 0.5}, words)
