"""Numbers and sentences on pictures and in alt text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesmeta.columns import percent
from bayesmeta.effects import Effects
from bayesmeta.fits import Fit, marginal
from bayesmeta.measures import Measure, measure
from bayesmeta.plan import Threshold
from bayesmeta.questions import benefit_table, direction, hksj_remark, one_arm_words, predict, resolve_thresholds

__all__ = [
    "Numbers",
    "arm_names",
    "axis_label",
    "benefit_sentence",
    "effect_sentence",
    "heterogeneity_sentence",
    "hksj_notes",
    "level_text",
    "name_of",
    "numbers_of",
    "pooled_labels",
    "scale_of",
    "size_line",
    "stated_thresholds",
]


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers of one outcome are written: back-transformed, with the digits that its standard errors support.

    Examples
    --------
    >>> ratios = Numbers(measure("RR"), 2)
    >>> ratios.value(-0.6931), ratios.interval(-1.0, 0.0), ratios.value(-3.5)
    ('0.50', '0.37 to 1.00', '0.030')
    """

    kind: Measure
    digits: int

    def value(self, x: float) -> str:
        """One effect, given on the scale of the analysis."""
        return self.natural(float(self.kind.back(x)))

    def natural(self, x: float) -> str:
        """One effect, given on the natural scale."""
        if not math.isfinite(x):
            return "not finite" if math.isnan(x) else ("infinity" if x > 0 else "-infinity")
        digits = self.digits
        if self.kind.log and 0 < abs(x) < 0.1:
            digits += 1
        if self.kind.log and x >= 1000:
            return f"{x:.2e}"
        text = f"{x:.{digits}f}"
        return text.removeprefix("-") if float(text) == 0 else text

    def interval(self, lower: float, upper: float) -> str:
        """``lower to upper``, given on the scale of the analysis."""
        return f"{self.value(lower)} to {self.value(upper)}"

    def cell(self, estimate: float, lower: float, upper: float) -> str:
        """``estimate [lower, upper]`` as in a table."""
        return f"{self.value(estimate)} [{self.value(lower)}, {self.value(upper)}]"


def numbers_of(effects: Effects) -> Numbers:
    """Digits so that a typical standard error has two significant ones; two for standardised effects and ratios.

    Examples
    --------
    >>> numbers_of(bm.Effects(["A"], [12.0], [3.4], measure="MD")).digits
    1
    """
    kind = measure(effects.measure)
    if kind.transformed or effects.measure in ("SMD", "SMDH"):
        return Numbers(kind, 2)
    typical = float(np.median(effects.se))
    return Numbers(kind, int(np.clip(1 - math.floor(math.log10(typical)), 0, 6)))


def level_text(level: float) -> str:
    """Write a level as ``95 %``.

    Examples
    --------
    >>> level_text(0.95), level_text(0.999)
    ('95 %', '99.9 %')
    """
    return f"{100 * level:.6g} %"


def name_of(fit: Fit) -> str:
    """What the outcome is called."""
    if fit.outcome is not None:
        return fit.outcome.label
    return fit.effects.name or measure(fit.effects.measure).label.capitalize()


def axis_label(effects: Effects, *, scale: bool = True) -> str:
    """Label of an axis of effects, with the unit and the scale.

    Examples
    --------
    >>> axis_label(bm.Effects(["A"], [0.1], [0.2], measure="RR"))
    'Risk ratio (log scale)'
    """
    kind = measure(effects.measure)
    unit = f" ({effects.unit})" if effects.unit else ""
    return f"{kind.axis}{unit}{' (log scale)' if scale and kind.log else ''}"


def arm_names(effects: Effects) -> tuple[str, str]:
    """Names of the treated and the control arm where all rows agree on one, else ``treatment`` and ``control``.

    Examples
    --------
    >>> arms = [("yoga", "usual care"), ("running", "usual care")]
    >>> arm_names(bm.Effects(["A", "B"], [0.1, 0.2], [0.2, 0.2], measure="SMD", arms=arms))
    ('treatment', 'usual care')
    """
    named = effects.arms or [("", "")]
    first, second = ({pair[side] for pair in named} for side in (0, 1))
    one, other = next(iter(first)), next(iter(second))
    return (one if len(first) == 1 and one else "treatment"), (other if len(second) == 1 and other else "control")


def scale_of(effects: Effects) -> str:
    """Name the scale that tau and standard errors are on, where it is not that of the axis.

    Examples
    --------
    >>> scale_of(bm.Effects(["A"], [0.1], [0.2], measure="RR")), scale_of(bm.Effects(["A"], [0.1], [0.2], measure="MD"))
    ('log scale', '')
    """
    kind = measure(effects.measure)
    return "log scale" if kind.log else ("scale of the analysis" if kind.transformed else "")


def size_line(effects: Effects) -> str:
    """Estimates, trials and participants.

    Examples
    --------
    >>> size_line(bm.Effects(["A", "B"], [0.1, 0.3], [0.2, 0.2], measure="SMD", n=[[20, 20], [700, 300]]))
    '2 estimates from 2 trials, 1,040 participants'
    """
    participants = effects.participants
    people = "number of participants not stated" if participants is None else f"{participants:,} participants"
    estimates, trials = effects.k, effects.n_trials
    return (
        f"{estimates} estimate{'s' if estimates > 1 else ''} from {trials} trial{'s' if trials > 1 else ''}, {people}"
    )


def stated_thresholds(
    fit: Fit, thresholds: Threshold | float | Sequence[Threshold | float] | None, *, primary: bool = False
) -> tuple[Threshold, ...]:
    """Return the thresholds given, else those of the outcome; none where no direction is stated."""
    return () if fit.effects.better is None else resolve_thresholds(fit, thresholds, primary=primary)


def _better(effects: Effects) -> str:
    return "no direction stated" if effects.better is None else f"{effects.better} is better"


#: The definition in a picture that shows a new study.
NEW_STUDY = "New study: the true effect in a new study like these, not its result."


def new_study(fit: Fit) -> list[str]:
    """Define a new study in a note; no note under a common effect, where there is none."""
    return [] if fit.model.tau is None else [NEW_STUDY]


def hksj_notes(fit: Fit, level: float) -> list[str]:
    """What is wrong with the width of the classical interval of all trials, where a picture shows it."""
    remark = hksj_remark(fit, level=level)
    return [f"REML, HKSJ, all trials: {remark}."] if remark else []


def effect_sentence(fit: Fit, level: float) -> str:
    """Mean effect and effect in a new study, with their intervals."""
    numbers, table = numbers_of(fit.effects), predict(fit, level=level)
    mu, new = (table.loc[name].to_dict() for name in ("mu", "theta_new"))
    text = (
        f"Bayesian mean effect: {numbers.kind.axis} {numbers.value(mu['median'])} "
        f"({level_text(level)} central credible interval {numbers.interval(mu['lower'], mu['upper'])}; "
        f"{_better(fit.effects)})."
    )
    if fit.model.tau is None:
        return f"{text} Common-effect model: one true effect in all studies."
    return (
        f"{text} True effect in a new study like these, not its result: {numbers.value(new['median'])} "
        f"({level_text(level)} central prediction interval {numbers.interval(new['lower'], new['upper'])})."
    )


def heterogeneity_sentence(fit: Fit, level: float) -> str:
    """Posterior of tau."""
    if fit.model.tau is None:
        return "No heterogeneity is allowed for."
    numbers = Numbers(measure("generic"), numbers_of(fit.effects).digits)
    tau = marginal(fit, "tau")
    low, high = tau.interval(level)
    scale = scale_of(fit.effects)
    scale = f" ({scale})" if scale else ""
    return (
        f"Heterogeneity tau{scale} {numbers.value(float(tau.quantile(0.5)))} "
        f"({level_text(level)} central credible interval {numbers.interval(low, high)})."
    )


def benefit_sentence(fit: Fit, thresholds: tuple[Threshold, ...]) -> str:
    """Probabilities of benefit against each threshold; empty without a direction or a threshold."""
    if fit.effects.better is None or not thresholds:
        return ""
    table, numbers = benefit_table(fit, thresholds), numbers_of(fit.effects)
    parts = []
    for name, rows in table.groupby("threshold", sort=False):
        mean, new = rows["p_important_benefit"].to_numpy(float)
        where = numbers.value(direction(fit) * float(rows["benefit"].iloc[0]))
        parts.append(f"of a benefit beyond {where} ({name}) {percent(mean)} and {percent(new)}")
    if numbers.kind.single_arm:
        items = resolve_thresholds(fit, thresholds)
        chances = table["p_important_benefit"].to_numpy(float).reshape(-1, 2).tolist()
        pairs = zip(items, chances, strict=False)
        said = [f"that it is {one_arm_words(fit, item)[0]} {percent(a)} and {percent(b)}" for item, (a, b) in pairs]
        return f"Probability for the mean and in a new study: {'; '.join(said)}."
    any_mean, any_new = table["p_any_benefit"].to_numpy(float)[:2]
    return (
        f"Probability of any benefit: {percent(any_mean)} for the mean effect and {percent(any_new)} in a new study; "
        f"{'; '.join(parts)}."
    )


def pooled_labels(fit: Fit) -> tuple[str, str]:
    """What the pooled mean and a new study are called; of one arm there is no effect."""
    if measure(fit.effects.measure).single_arm:
        return "Bayesian mean", "Value in a new study"
    return "Bayesian mean effect", "Effect in a new study"
