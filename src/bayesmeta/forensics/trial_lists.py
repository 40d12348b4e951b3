"""Rules over published results and the list of trials they rest on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from bayesmeta.forensics.literature import Literature, Result, Trial, named_pairs
from bayesmeta.forensics.rules import Hit, Rule

__all__ = ["LIST_RULES", "expected_error"]

# a printed standard error below this share of the least that the participants allow; adjustment for baseline explains
# some narrowing, but not in standardised differences of scores
NARROW, WIDE = 0.85, 1.3
# as NARROW, for a random-effects interval with its I2: estimators of tau differ
RANDOM = 0.75


def _total(literature: Literature) -> Iterator[Hit]:
    listed = [trial for trial in literature.trials if math.isfinite(trial.total)]
    for r in literature.results:
        if not math.isfinite(r.n):
            continue
        if r.whole:
            complete = len(listed) == len(literature.trials) > 0 and (math.isnan(r.k) or r.k == len(listed))
            trials: Sequence[Trial] = listed if complete else ()
        else:
            trials = literature.trials_of(r) or ()
        total = sum(trial.total for trial in trials)
        if not trials or total == r.n:
            continue
        what = f"{r.n:,.0f} participants are printed, but the arms of {len(trials)} trials add up to {total:,.0f}"
        yield Hit(f"{r.place}: {what}{_explained(trials, total - r.n)}")


def _explained(trials: Sequence[Trial], difference: float) -> str:
    """Name the single arm that is the difference: first one that is not the treatment."""
    arms = [(trial, n, role) for trial in trials for n, role in zip(trial.n_t, trial.roles, strict=True)]
    arms += [(trial, trial.n_c, "control") for trial in trials]
    fitting = [(trial, role) for trial, n, role in arms if n == difference]
    others = [trial for trial, role in fitting if role not in ("treatment", "control")]
    if others:
        return f"; the difference of {difference:g} is the arm of {others[0].study} that is not the treatment"
    if len(fitting) == 1:
        return f"; the difference of {difference:g} is the {fitting[0][1]} arm of {fitting[0][0].study}"
    return f"; the difference is {difference:+g}"


def _report(literature: Literature) -> Iterator[Hit]:
    for t in literature.trials:
        known = [n for n in (t.randomised, t.analysed) if math.isfinite(n)]
        arms = f"arms of {', '.join(f'{n:g}' for n in (*t.n_t, t.n_c))}"
        if not known or not math.isfinite(t.total):
            continue
        if all(n == t.randomised for n in (*t.n_t, t.n_c)):
            yield Hit(
                f"{t.place}: {arms}, but the trial reports {t.randomised:g} in all: the total stands in every arm"
            )
        elif t.total > max(known):
            yield Hit(f"{t.place}: {arms} are {t.total:g}, but the trial reports {max(known):g}")
        elif len(known) == 2 and t.total not in known:
            what = f"{arms} are {t.total:g}, neither the {t.randomised:g} randomised nor the {t.analysed:g} analysed"
            yield Hit(f"{t.place}: {what}", "warning")


def _cited(literature: Literature) -> Iterator[Hit]:
    for r in literature.results:
        if not r.cited or r.whole:
            continue
        if twice := sorted(ref for ref, number in Counter(r.cited).items() if number > 1):
            yield Hit(f"{r.place}: cites {', '.join(twice)} more than once")
        if math.isfinite(r.k) and r.k != len(set(r.cited)):
            names = ", ".join(f"{ref} {name}".strip() for ref, name in named_pairs(r))
            yield Hit(f"{r.place}: {r.k:g} studies, but {len(set(r.cited))} citations ({names})")


def _listed(literature: Literature) -> Iterator[Hit]:
    if not literature.trials:
        return
    numbered: dict[tuple[str, str], list[str]] = {}
    cited: set[str] = set()
    for r in literature.results:
        for ref, name in named_pairs(r):
            trial = literature.find(ref, name)
            if trial is None:
                named = f", named {name!r}" if name else ""
                yield Hit(f"{r.place}: cites {ref}{named}, which is not in the list of trials")
                continue
            cited.add(trial.ref)
            if trial.ref != ref:
                numbered.setdefault((ref, trial.ref), []).append(f"{r.place}: cites {trial.study} as {ref}")
    for (_, listed), places in numbered.items():
        more = f" (and {len(places) - 1} more results)" if len(places) > 1 else ""
        yield Hit(f"{places[0]}{more}, the list has {listed}", "info", "Cite one number.")
    for trial in literature.trials:
        if cited and trial.ref not in cited:
            yield Hit(f"{trial.place}: number {trial.ref} is in no result", "info", "Ask why it was not pooled.")


def _codes(literature: Literature) -> Iterator[Hit]:
    for r in literature.results:
        if not r.code:
            continue
        trials = [trial for ref, name in named_pairs(r) if (trial := literature.find(ref, name)) is not None]
        for trial in trials:
            if trial.codes and r.code not in trial.codes:
                yield Hit(
                    f"{r.place}: pools {trial.study} ({trial.ref}), which the list gives {trial.codes}, not {r.code}"
                )
        if r.cited and r.subgroup in ("", "overall", "total"):
            left = [f"{t.study} ({t.ref})" for t in literature.trials if r.code in t.codes and t not in trials]
            if left:
                what = f"the list gives the outcome {r.code} for {', '.join(left)} too, which it does not pool"
                yield Hit(f"{r.place}: {what}", "info", "Ask why: not reported, or reported without numbers?")


def _arms(literature: Literature) -> Iterator[Hit]:
    for trial in literature.trials:
        others = [n for n, role in zip(trial.n_t, trial.roles, strict=True) if role != "treatment"]
        if others:
            used = _users(literature, trial)
            what = f"{len(others)} of {len(trial.n_t)} treated arms (n {others[0]:g}) is not the treatment under review"
            yield Hit(f"{trial.place}: {what}{used}")


def _users(literature: Literature, trial: Trial) -> str:
    used = [r.label for r in literature.results if any(literature.find(*pair) == trial for pair in named_pairs(r))]
    return f"; pooled in {'; '.join(used)}" if used else ""


def _shared(literature: Literature) -> Iterator[Hit]:
    for trial in literature.trials:
        if len(trial.n_t) < 2 or not math.isfinite(trial.total):
            continue
        arms = ", ".join(f"{n:g}" for n in trial.n_t)
        what = f"{len(trial.n_t)} treated arms ({arms}) and one control arm of {trial.n_c:g}: as separate comparisons "
        twice = trial.total + (len(trial.n_t) - 1) * trial.n_c
        what += f"it counts {twice:g} participants where there are {trial.total:g}"
        yield Hit(f"{trial.place}: {what}{_users(literature, trial)}")


# -- what so many participants can know --------------------------------------------------------------------------------


def expected_error(
    result: Result, trials: Sequence[Trial], *, control_twice: bool = False
) -> tuple[float, float | None]:
    """Return the standard errors that a standardised difference from these trials can have.

    Every trial's variance is that of its sizes and the pooled estimate, 1/information + g^2/(2N). With I2 and
    Q = (k - 1)/(1 - I2), tau^2 by DerSimonian and Laird follows, and with it the random-effects standard error.

    Parameters
    ----------
    result : Result
        With its estimate and I2.
    trials : sequence of Trial
        In it.
    control_twice : bool
        Whether each treated arm is compared with the whole control arm.

    Returns
    -------
    fixed : float
        With one common effect.
    random : float or None
        With the heterogeneity that I2 says; None without I2, or with one trial.

    References
    ----------
    DerSimonian R, Laird N (1986). Controlled Clinical Trials 7:177-188. doi:10.1016/0197-2456(86)90046-2

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmeta.forensics import literature_of
    >>> result = literature_of(pd.DataFrame({"outcome": ["pain"], "estimate": [0.0], "i2": [50.0]})).results[0]
    >>> trial = Trial("A", "1", (50.0,), 50.0, ("treatment",), "", math.nan, math.nan, "row 2")
    >>> [round(se, 4) for se in expected_error(result, [trial] * 4)]
    [0.1, 0.1414]
    """
    rows = [(trial.information(control_twice=control_twice), trial.total) for trial in trials]
    variance = np.array([1 / information + result.estimate**2 / (2 * n) for information, n in rows])
    w = 1 / variance
    fixed = 1 / math.sqrt(w.sum())
    if not 0 <= result.i2 < 100 or len(trials) < 2:
        return fixed, None
    df = len(trials) - 1
    excess = df / (1 - result.i2 / 100) - df
    tau2 = excess / (w.sum() - (w**2).sum() / w.sum())
    return fixed, 1 / math.sqrt((1 / (variance + tau2)).sum())


def _usable(literature: Literature) -> Iterator[tuple[Result, tuple[Trial, ...]]]:
    for r in literature.results:
        trials = literature.trials_of(r)
        if trials and r.standardised and r.has_interval and not r.whole:
            yield r, trials


def _narrow(literature: Literature) -> Iterator[Hit]:
    for r, trials in _usable(literature):
        fixed, _ = expected_error(r, trials)
        most = r.errors()[1]
        if most < NARROW * fixed:
            what = (
                f"[{r.low:g}, {r.high:g}] has SE {most:.3f} at most, but {sum(t.total for t in trials):g} participants "
            )
            what += f"of {len(trials)} trials give {fixed:.3f} at least: "
            what += f"as if there were {(fixed / most) ** 2:.1f} times as many"
            twice, _ = expected_error(r, trials, control_twice=True)
            if twice < fixed and most >= twice:
                what += "; it fits if shared control arms are counted twice"
            yield Hit(f"{r.place}: {what}")


def _wide(literature: Literature) -> Iterator[Hit]:
    for r, trials in _usable(literature):
        fixed, _ = expected_error(r, trials)
        least = r.errors()[0]
        if r.model.startswith(("fixed", "common")) and least > WIDE * fixed:
            what = f"[{r.low:g}, {r.high:g}] has SE {least:.3f} at least, but the participants of all {len(trials)} "
            yield Hit(f"{r.place}: {what}trials give {fixed:.3f} with a fixed effect")


def _random(literature: Literature) -> Iterator[Hit]:
    for r, trials in _usable(literature):
        fixed, random = expected_error(r, trials)
        most = r.errors()[1]
        if r.model.startswith("random") and random is not None and most < RANDOM * random:
            what = f"[{r.low:g}, {r.high:g}] has SE {most:.3f} at most, but I2 {r.i2:g} % of these trials means "
            yield Hit(f"{r.place}: {what}{random:.3f}; a fixed effect would give {fixed:.3f}")


LIST_RULES = (
    Rule(
        "participants v arms",
        "warning",
        "Do the arms add up to the printed participants?",
        "Find out which arms or trials were counted.",
        _total,
    ),
    Rule(
        "sizes v report",
        "error",
        "Are the sizes those that the trial reports?",
        "Correct the sizes; weights and intervals of every result with this trial change.",
        _report,
    ),
    Rule(
        "studies v citations",
        "warning",
        "Are as many trials cited as counted?",
        "Find out from the forest plot which were pooled.",
        _cited,
    ),
    Rule(
        "cited, not listed",
        "warning",
        "Is every cited study a trial of the review?",
        "Look it up: a review, or a wrong number.",
        _listed,
    ),
    Rule(
        "outcome v list",
        "warning",
        "Does the list of trials give every pooled trial this outcome?",
        "Check the trial's report for the outcome.",
        _codes,
    ),
    Rule(
        "arm that is not the treatment",
        "warning",
        "Are all treated arms given the treatment under review?",
        "Leave the arm out, and re-analyse the results with this trial.",
        _arms,
    ),
    Rule(
        "control shared by arms",
        "warning",
        "Is every control arm counted once?",
        "Join the treated arms, or use the covariance of comparisons that share an arm.",
        _shared,
    ),
    Rule(
        "narrower than participants allow",
        "error",
        "Can so many participants give so narrow an interval?",
        "Look for patients counted twice, a standard error taken for an SD, or several rows per trial.",
        _narrow,
    ),
    Rule(
        "wider than participants explain",
        "warning",
        "Did all cited trials contribute?",
        "Find out from the forest plot which trials were pooled with which weights.",
        _wide,
    ),
    Rule(
        "random-effects interval v I2",
        "warning",
        "Does the interval hold the heterogeneity that I2 says?",
        "The interval is probably that of a fixed effect: re-analyse.",
        _random,
    ),
)
