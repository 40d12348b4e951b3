"""The command `borrow`: one trial with the prior that a review gives it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bayesmeta as bm
from bayesmeta_cli.analyses import from_protocol, number
from bayesmeta_cli.commands import show, stacked
from bayesmeta_cli.files import existing, plot_paths
from bayesmeta_cli.messages import say
from bayesmeta_cli.render import table, title, together, wrapped
from bayesmeta_cli.views import counts, plural

if TYPE_CHECKING:
    from bayesmeta.analysis import BorrowedReview


def borrow(path: Path, weight: str | None, figure: Path | None, outcome: Sequence[str], json: bool, csv: bool) -> None:
    """Print what each outcome under [borrow] says alone, with its review, and when the review is discarded."""
    from bayesmeta.questions import borrowing_table
    from bayesmeta.records import borrow_record

    existing(path, ("protocol",))
    found = _borrowed(path, outcome, number(weight, "--weight", chance=True))
    if figure is not None:
        _draw(found, figure)
    show(
        json,
        csv,
        lambda: [
            borrow_record(
                review.borrowing,
                item.pooled,
                review.source.pooled,
                item.key,
                item.primary,
                stated=_stated(review),
                warnings=item.warned,
            )
            for item, review in found
        ],
        lambda: stacked(
            (item.key, item.pooled.effects, borrowing_table(review.borrowing, item.primary)) for item, review in found
        ),
        lambda: "\n".join(_view(item, review) for item, review in found),
    )


def _stated(review: BorrowedReview) -> dict[str, object]:
    stated = review.stated
    return {
        "protocol": stated.path.name,
        "sd": stated.sd,
        "sd_source": stated.sd_source or None,
        "reason": stated.reason or None,
    }


def _borrowed(path: Path, names: Sequence[str], weight: float | None) -> list[tuple[bm.Analysis, BorrowedReview]]:
    """Fit every trial and its review, and put them together."""
    from bayesmeta.analysis import borrow_review

    protocol = bm.read_protocol(path)
    keys = [protocol.outcome(name).key for name in names] or [
        key for key in protocol.outcomes if key in protocol.borrow
    ]
    if not keys:
        raise bm.ModelError(
            f"{path.name}: nothing says where an outcome may borrow from. Add [borrow.OUTCOME] with from = ... and "
            "outcome = ...."
        )
    found = from_protocol(protocol, keys, moderated=False)
    return [(item, borrow_review(protocol, item, weight=weight)) for item in found]


def _draw(found: Sequence[tuple[bm.Analysis, BorrowedReview]], figure: Path) -> None:
    from bayesmeta.plots import borrow_plot

    paths = plot_paths(figure, [item.key for item, review in found], "borrow")
    for (item, review), path in zip(found, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = borrow_plot(review.borrowing, item.pooled, item.primary, source=review.source.label)
        bm.plots.save_plot(picture, path)
        say(f"wrote {path}")


def _interval(item: bm.Analysis, values: Sequence[float]) -> list[str]:
    """Write effects back-transformed, with shared decimals."""
    back = bm.measures.measure(item.pooled.effects.measure).back
    return [str(text) for (text,) in together([[float(back(value))] for value in values])]


def _view(item: bm.Analysis, review: BorrowedReview) -> str:
    from bayesmeta.questions import borrowing_table

    found = review.borrowing
    effects, source = item.pooled.effects, review.source.pooled.effects
    unit = f" {effects.unit}" if effects.unit else ""
    lines = [title(f"{item.label} ({item.key})"), wrapped(counts(effects))]
    lower, median, upper = _interval(item, found.source.quantile([0.025, 0.5, 0.975]).tolist())
    lines.append(
        wrapped(
            f"Review: {review.source.label} ({review.stated.outcome} of {review.stated.path.name}), "
            f"{plural(source.k, 'estimate')} of {plural(source.n_trials, 'trial')}. In a new study it predicts "
            f"{median}{unit} (95 % central interval {lower} to {upper}), worth "
            f"{plural(round(found.ess_source), 'participant')}."
        )
    )
    if review.stated.sd is not None:
        lines.append(
            wrapped(f"Put on its scale by a standard deviation of {review.stated.sd:g}: {review.stated.sd_source}.")
        )
    if review.stated.reason:
        lines.append(wrapped(f"Why: {review.stated.reason}"))
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
    lines += ["", table(heads, rows), wrapped(_note(item)), "", wrapped(_sentence(item, review)), ""]
    return "\n".join(lines)


def _note(item: bm.Analysis) -> str:
    threshold = "" if item.primary is None else f' Important: threshold "{item.primary.name}".'
    return (
        "Weight: prior probability that the review says nothing about this trial: 0 takes it at its word, 1 is the "
        "trial on its own, * is the protocol's or that of --weight. Discarded: that probability after the trial. "
        f"Medians with 95 % central credible intervals of the effect in this trial.{threshold}"
    )


def _sentence(item: bm.Analysis, review: BorrowedReview) -> str:
    from bayesmeta.questions import borrowing_probabilities

    found = review.borrowing
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
