"""The command `borrow`: one trial with the prior that a review gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import bayesmeta as bm
from bayesmeta_cli.analyses import Analysis, from_protocol
from bayesmeta_cli.commands import show, stacked
from bayesmeta_cli.files import existing, plot_paths
from bayesmeta_cli.messages import say
from bayesmeta_cli.render import table, title, together, wrapped
from bayesmeta_cli.views import counts, plural

if TYPE_CHECKING:
    from bayesmeta.plan import Borrow
    from bayesmeta.questions import Borrowing


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One outcome with its review."""

    item: Analysis
    stated: Borrow
    source: Analysis
    borrowing: Borrowing


def borrow(path: Path, names: Sequence[str], weight: str | None, figure: Path | None, json: bool, csv: bool) -> None:
    """Print what each outcome under [borrow] says alone, with its review, and when the review is discarded."""
    from bayesmeta.questions import borrowing_table
    from bayesmeta.records import borrow_record

    existing(path, ("protocol",))
    found = borrowed(bm.read_protocol(path), path, names, _weight(weight))
    if figure is not None:
        _draw(found, figure)
    show(
        json,
        csv,
        lambda: [
            borrow_record(
                one.borrowing,
                one.item.pooled,
                one.source.pooled,
                one.item.key,
                one.item.primary,
                stated=_stated(one),
                warnings=one.item.warned,
            )
            for one in found
        ],
        lambda: stacked(
            (one.item.key, one.item.pooled.effects, borrowing_table(one.borrowing, one.item.primary)) for one in found
        ),
        lambda: "\n".join(_view(one) for one in found),
    )


def _stated(one: Found) -> dict[str, object]:
    stated = one.stated
    return {
        "protocol": stated.path.name,
        "sd": stated.sd,
        "sd_source": stated.sd_source or None,
        "reason": stated.reason or None,
    }


def _weight(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise typer.BadParameter(f"--weight {text}: give a probability between 0 and 1, such as 0.2.")
    return value


def borrowed(protocol: bm.Protocol, path: Path, names: Sequence[str], weight: float | None = None) -> list[Found]:
    """Fit every trial and its review, and put them together."""
    from bayesmeta.questions import robust_map

    for name in names:
        protocol.outcome(name)
    keys = [key for key in protocol.outcomes if key in protocol.borrow and (not names or key in names)]
    lacking = [name for name in names if name not in protocol.borrow] if names else []
    if lacking or not keys:
        raise bm.ModelError(
            f"{path.name}: nothing says where {', '.join(lacking) or 'an outcome'} may borrow from. Add "
            f'[borrow.{lacking[0] if lacking else "OUTCOME"}] with from = "..." and outcome = "...".'
        )
    made = []
    for item in from_protocol(protocol, keys, moderated=False):
        stated, effects = protocol.borrow[item.key], item.pooled.effects
        if effects.k != 1:
            raise bm.ModelError(
                f"{item.key}: borrowing is for one trial; these are {effects.k} rows. Pool them instead."
            )
        (source,) = from_protocol(bm.read_protocol(stated.path), [stated.outcome], moderated=False)
        same = source.pooled.effects.better == effects.better
        borrowing = robust_map(
            source.pooled,
            float(effects.y[0]),
            float(effects.se[0]),
            weight=stated.weight if weight is None else weight,
            vague=stated.vague,
            n=effects.participants,
            scale=(stated.sd or 1.0) * (1 if same else -1),
        )
        made.append(Found(item, stated, source, borrowing))
    return made


def _draw(found: Sequence[Found], figure: Path) -> None:
    from bayesmeta.plots import borrow_plot

    paths = plot_paths(figure, [one.item.key for one in found], "borrow")
    for one, path in zip(found, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = borrow_plot(one.borrowing, one.item.pooled, one.item.primary, source=one.source.label)
        bm.plots.save_plot(picture, path)
        say(f"wrote {path}")


def _interval(one: Found, values: Sequence[float]) -> list[str]:
    """Write effects back-transformed, with shared decimals."""
    back = bm.measures.measure(one.item.pooled.effects.measure).back
    return [str(text) for (text,) in together([[float(back(value))] for value in values])]


def _view(one: Found) -> str:
    from bayesmeta.questions import borrowing_table

    item, found = one.item, one.borrowing
    effects, source = item.pooled.effects, one.source.pooled.effects
    unit = f" {effects.unit}" if effects.unit else ""
    lines = [title(f"{item.label} ({item.key})"), wrapped(counts(effects))]
    lower, median, upper = _interval(one, found.source.quantile([0.025, 0.5, 0.975]).tolist())
    lines.append(
        wrapped(
            f"Review: {one.source.label} ({one.stated.outcome} of {one.stated.path.name}), "
            f"{plural(source.k, 'estimate')} of {plural(source.n_trials, 'trial')}. In a new study it predicts "
            f"{median}{unit} (95 % central interval {lower} to {upper}), worth "
            f"{plural(round(found.ess_source), 'participant')}."
        )
    )
    if one.stated.sd is not None:
        lines.append(wrapped(f"Put on its scale by a standard deviation of {one.stated.sd:g}: {one.stated.sd_source}."))
    if one.stated.reason:
        lines.append(wrapped(f"Why: {one.stated.reason}"))
    lines.append(
        wrapped(
            f"Prior: with probability {bm.percent(1 - found.weight, 0)} what the review predicts, else "
            f"normal({found.vague.mean:.3g}, {found.vague.sd:.3g}){unit}; worth "
            f"{plural(round(found.ess_prior), 'participant')}."
        )
    )
    weights = sorted({0.0, 0.1, 0.2, 0.5, 0.8, 1.0, found.weight})
    frame = borrowing_table(found, item.primary, weights=weights)
    columns = [frame[name].tolist() for name in ("median", "lower", "upper")]
    back = bm.measures.measure(effects.measure).back
    texts = list(zip(*together([[float(back(v)) for v in column] for column in columns]), strict=True))
    rows = [
        [
            f"{weight:g}" + (" *" if weight == found.weight else ""),
            *cells,
            bm.percent(p_any),
            "" if p_imp != p_imp else bm.percent(p_imp),
            "" if p_harm != p_harm else bm.percent(p_harm),
            "" if weight in (0.0, 1.0) else bm.percent(discarded),
        ]
        for weight, cells, p_any, p_imp, p_harm, discarded in zip(
            frame["weight"],
            texts,
            frame["p_any_benefit"],
            frame["p_important_benefit"],
            frame["p_important_harm"],
            frame["vague_weight"],
            strict=True,
        )
    ]
    heads = ["weight", "median", "lower", "upper", "P(any)", "P(important)", "P(harm)", "discarded"]
    lines += ["", table(heads, rows), wrapped(_note(one)), "", wrapped(_sentence(one)), ""]
    return "\n".join(lines)


def _note(one: Found) -> str:
    item = one.item
    threshold = "" if item.primary is None else f' Important: threshold "{item.primary.name}".'
    return (
        "Weight: prior probability that the review says nothing about this trial: 0 takes it at its word, 1 is the "
        "trial on its own, * is the protocol's or that of --weight. Discarded: that probability after the trial. "
        f"Medians with 95 % central credible intervals of the effect in this trial.{threshold}"
    )


def _sentence(one: Found) -> str:
    from bayesmeta.questions import borrowing_probabilities

    found, item = one.borrowing, one.item
    unit = f" {item.pooled.effects.unit}" if item.pooled.effects.unit else ""
    own, both = (borrowing_probabilities(found, item.primary, form) for form in (found.alone, found.posterior))
    key = "p_any_benefit" if item.primary is None else "p_important_benefit"
    what = "any benefit" if item.primary is None else "an important benefit"
    gained = round(found.ess_gained)
    adds = f"adds the information of {plural(gained, 'participant')}" if gained >= 0 else "takes information away"
    text = (
        f"The probability of {what} is {bm.percent(own[key])} by the trial alone and {bm.percent(both[key])} with the "
        f"review, which {adds} and is discarded with probability {bm.percent(found.vague_weight)} "
        f"(prior-data conflict p = {found.conflict_p:.2g})."
    )
    ends = [(end, word) for end, word in ((found.kept_lower, "below"), (found.kept_upper, "above")) if end is not None]
    if ends:
        back = bm.measures.measure(item.pooled.effects.measure).back
        texts = [text for (text,) in together([[float(back(end))] for end, _ in ends])]
        bounds = " or ".join(f"{word} {end}" for end, (_, word) in zip(texts, ends, strict=True)) + unit
        text += f" An estimate {bounds} would discard the review (probability above one half)."
    return " ".join([text, *(f"Note: {note}." for note in found.notes)])
