"""What tests of pictures ask of them: their visible texts, and axes and lines by label."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from bayesmeta.plots import Plot, drawing


def texts(plot: Plot) -> list[tuple[Text, object]]:
    """Every visible text with its box, at the resolution of print."""
    figure = plot.figure
    with drawing():
        figure.set_dpi(300)
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        found = [
            (text, text.get_window_extent(renderer))
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip()
        ]
    hidden = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if not (axis.get_visible() and axes.axison)
        for label in [*axis.get_ticklabels(), axis.get_label(), axis.get_offset_text()]
    }
    return [(text, box) for text, box in found if id(text) not in hidden]


def axes_of(plot: Plot, label: str) -> Axes:
    (found,) = [axes for axes in plot.figure.axes if axes.get_label() == label]
    return found


def line(axes: Axes, label: str) -> Line2D:
    (found,) = [item for item in axes.lines if item.get_label() == label]
    return found


def assert_texts_apart(plot: Plot, touch: float) -> None:
    """Every text is on the page, and none lies on another by more than `touch` mm."""
    found = texts(plot)
    assert len(found) > 8
    per_mm, page = 300 / 25.4, plot.figure.bbox
    for text, box in found:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= page.x1, text
        assert box.y1 <= page.y1, text
    for (first, a), (second, b) in itertools.combinations(found, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        along = min(a.y1, b.y1) - max(a.y0, b.y0)
        # boxes hold the room of ascenders and descenders, so that lines above each other may share a little of it
        overlap = across > touch * per_mm and along > 0.6 * per_mm
        assert not overlap, f"{first.get_text()!r} and {second.get_text()!r}"
