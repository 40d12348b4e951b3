"""The command `borrow`: one trial with the prior that a review gives it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bayesmeta as bm
from bayesmeta.columns import columns_of, readable
from bayesmeta.questions import WEIGHTS, borrowing_table
from bayesmeta_cli.analyses import from_protocol, number
from bayesmeta_cli.commands import show_each
from bayesmeta_cli.files import existing
from bayesmeta_cli.render import laid_out, title, together, wrapped
from bayesmeta_cli.sensitivity import write_each
from bayesmeta_cli.views import counts, plural

if TYPE_CHECKING:
    from bayesmeta.analysis import BorrowedReview
    from bayesmeta.plots import Plot


def borrow(path: Path, weight: str | None, figure: Path | None, outcome: Sequence[str], json: bool, csv: bool) -> None:
    """Print what each outcome under [borrow] says alone, with its review, and when the review is discarded."""
    from bayesmeta.analysis import borrow_review
    from bayesmeta.plots import borrow_plot
    from bayesmeta.records import borrow_record

    protocol = bm.read_protocol(existing(path, ("protocol",)))
    keys = [protocol.outcome(name).key for name in outcome] or list(protocol.borrow)
    if not keys:
        raise bm.ModelError(
            f"{path.name}: nothing says where an outcome may borrow from. Add [borrow.OUTCOME] with from and outcome."
        )
    chance = number(weight, "--weight", chance=True)
    found = from_protocol(protocol, keys, moderated=False)
    reviews = {item.key: borrow_review(protocol, item, weight=chance) for item in found}

    def record(item: bm.Analysis) -> dict[str, Any]:
        review, stated = reviews[item.key], reviews[item.key].stated
        return borrow_record(
            review.borrowing,
            item.pooled,
            review.source.pooled,
            item.key,
            item.primary,
            stated={
                "protocol": stated.path.name,
                "sd": stated.sd,
                "sd_source": stated.sd_source or None,
                "reason": stated.reason or None,
            },
            warnings=item.warned,
        )

    def picture(item: bm.Analysis) -> Plot:
        review = reviews[item.key]
        return borrow_plot(review.borrowing, item.pooled, item.primary, source=review.source.label)

    write_each(figure, "borrow", {item.key: item for item in found}, picture)
    show_each(
        found,
        json,
        csv,
        record,
        lambda item: borrowing_table(reviews[item.key].borrowing, item.primary),
        lambda item: _view(item, reviews[item.key]),
    )


def _interval(item: bm.Analysis, values: Sequence[float]) -> list[str]:
    """Write effects back-transformed, with shared decimals."""
    back = bm.measures.measure(item.pooled.effects.measure).back
    return [str(text) for (text,) in together([[float(back(value))] for value in values])]


_COLUMNS = (
    *columns_of("text", mark="weight"),
    *columns_of("effect", median="median", lower="lower", upper="upper"),
    *columns_of("probability", p_any_benefit="P(any)", p_important_benefit="P(important)", p_important_harm="P(harm)"),
    *columns_of("probability", vague_weight="discarded"),
)


def _view(item: bm.Analysis, review: BorrowedReview) -> str:
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
    frame = borrowing_table(found, item.primary, weights=sorted({*WEIGHTS, 0.0, 1.0, found.weight}))
    marks = [f"{weight:g}{' *' if weight == found.weight else ''}" for weight in frame["weight"]]
    given = frame["vague_weight"].where(~frame["weight"].isin([0.0, 1.0]))
    lines += [
        "",
        laid_out(readable(frame.assign(mark=marks, vague_weight=given), _COLUMNS, effects.measure), _note(item)),
    ]
    return "\n".join([*lines, "", wrapped(_sentence(item, review)), ""])


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
