"""One table of every method for small-study effects, beside the unadjusted estimate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pandas as pd

from bayesmeta.classical.asymmetry import dependence_note, egger_test, harbord_test, pet_peese, peters_test
from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.failsafe import FAIL_SAFE_FORMS, fail_safe_n
from bayesmeta.classical.intervals import interval
from bayesmeta.classical.limit import limit_meta_analysis
from bayesmeta.classical.pooling import pool
from bayesmeta.classical.ranks import begg_test
from bayesmeta.classical.selection import MARK_BEGINS, Alternative, SelectionModel, selection_model
from bayesmeta.classical.tau2 import Tau2Method
from bayesmeta.classical.trimfill import trim_and_fill
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.measures import require_null

__all__ = ["SMALL_STUDY_COLUMNS", "small_study_table"]

# Tests with fewer trials cannot tell chance from asymmetry: Sterne 2011, recommendation 1.
ENOUGH = 10
SMALL_STUDY_COLUMNS = (
    "method",
    "form",
    "kind",
    "k",
    "estimate",
    "lower",
    "upper",
    "se",
    "stat",
    "df",
    "p",
    "k0",
    "shift",
    "interpretable",
    "note",
    "mark",
    "bounded_estimate",
    "bounded_lower",
    "bounded_upper",
    "bounded_p",
)
_GUARD = {
    "test": (
        "tests have little power with so few trials: a large p value does not show that small-study effects are absent "
        "(Sterne 2011; Cochrane Handbook 13.3.5.4)"
    ),
    "adjusted estimate": (
        "an adjusted estimate from so few trials is driven by one or two of them: read it as a sensitivity analysis "
        "(Sterne 2011; Cochrane Handbook 13.3.5.4)"
    ),
    "count": "a count from so few trials says nothing of how many are missing",
}


@on_effects()
def small_study_table(
    effects: Effects, *, level: float = 0.95, method: Tau2Method = "REML", alternative: Alternative = "auto"
) -> pd.DataFrame:
    """Tests of small-study effects, estimates adjusted for them, and counts of missing trials.

    Parameters
    ----------
    effects : Effects
        Rows are taken as independent, except in the mixed form of Egger's test, which uses `blocks`; `note` says so.
    level : float
    method : str
        Estimator of tau2 wherever a method has a choice, and of the unadjusted estimate.
    alternative : {"auto", "greater", "less", "two-sided"}
        Which p decides in the selection model, as `selection_model` has it.

    Returns
    -------
    DataFrame
        One row per method and form: ``method form kind k estimate lower upper se stat df p k0 shift interpretable
        note mark bounded_estimate bounded_lower bounded_upper bounded_p``. `kind` is "test" (`estimate` is a slope or
        Kendall's tau, `p` that of no small-study effects), "adjusted estimate" (`stat` and `p` are of a zero effect) or
        "count" (`k0` is the number of missing trials). `shift` is the adjusted less the unadjusted estimate in units of
        the unadjusted SE. `interpretable` is False with fewer than ten trials. `mark` says that a weight of the
        selection model is above 1, and the `bounded_` columns hold its result with weights of at most 1. A method that
        is not defined for these data has nan throughout and the reason in `note`;
        numbers that a method does not have by its kind are nan too.

    References
    ----------
    Sterne 2011, doi:10.1136/bmj.d4002.

    Examples
    --------
    >>> table = small_study_table(effects)
    >>> table.loc[1, ["method", "form", "kind"]].tolist(), table.loc[1, "note"].partition(":")[0]
    (['Egger', 'mixed', 'test'], 'k < 10')
    """
    require_null(effects.measure, "small-study effects")
    try:
        # the same reading of the rows as every adjusted estimate: as independent
        plain = pool(_independent(effects), method=method, level=level)
        unadjusted: tuple[float, float] | None = (plain.estimate, plain.se)
    except (ModelError, InferenceError):
        unadjusted = None
    rows: list[dict[str, Any]] = []

    def add(name: str, form: str, kind: str, compute: Callable[[], dict[str, Any]]) -> None:
        row: dict[str, Any] = dict.fromkeys(SMALL_STUDY_COLUMNS, math.nan)
        row.update(method=name, form=form, kind=kind, k=effects.k, mark="", interpretable=effects.n_trials >= ENOUGH)
        notes: Sequence[str] = ()
        try:
            numbers = compute()
            notes = numbers.pop("notes")
            row.update({key: math.nan if value is None else value for key, value in numbers.items()})
            if kind == "adjusted estimate":
                if unadjusted is None:
                    notes = (*notes, f"shift: there is no unadjusted estimate by {method}")
                else:
                    row["shift"] = (row["estimate"] - unadjusted[0]) / unadjusted[1]
        except (ModelError, InferenceError) as error:
            notes = (str(error), *(note for note in dependence_note(effects)))
        if effects.n_trials < ENOUGH:
            notes = (f"k < {ENOUGH}: {_GUARD[kind]}", *notes)
        row["note"] = "; ".join(dict.fromkeys(note.rstrip(".") for note in notes))
        rows.append(row)

    def taken(found: Any, *names: str) -> dict[str, Any]:
        return {name: getattr(found, name) for name in (*names, "notes")}

    @cache
    def selection() -> SelectionModel:
        return selection_model(effects, alternative=alternative, level=level)

    test = ("k", "estimate", "lower", "upper", "se", "stat", "df", "p")
    add("Egger", "weighted", "test", lambda: taken(egger_test(effects, level=level), *test))
    add("Egger", "mixed", "test", lambda: taken(egger_test(effects, form="mixed", method=method, level=level), *test))
    add("Peters", "weighted", "test", lambda: taken(peters_test(effects, level=level), *test))
    add("Harbord", "weighted", "test", lambda: taken(harbord_test(effects, level=level), *test))
    add("Begg", "exact", "test", lambda: taken(begg_test(effects), *test))
    add("selection model", "one step at .025, likelihood ratio", "test", lambda: _lrt(selection()))
    for name in ("L0", "R0"):
        add("trim and fill", name, "adjusted estimate", lambda name=name: _filled(effects, name, method, level))  # type: ignore[misc]
    for name in ("PET", "PEESE"):
        add(name, "weighted", "adjusted estimate", lambda name=name: _at_zero(effects, name, level))  # type: ignore[misc]
    add("PET-PEESE", "weighted", "adjusted estimate", lambda: taken(pet_peese(effects, level=level), *test))
    add(
        "selection model",
        "one step at .025",
        "adjusted estimate",
        lambda: {
            **taken(selection(), "k", "estimate", "lower", "upper", "se", "stat", "p"),
            **_bounded(selection()),
            "notes": _unmarked(selection()),
        },
    )
    add(
        "limit meta-analysis",
        "beta0",
        "adjusted estimate",
        lambda: taken(
            limit_meta_analysis(effects, method=method, level=level),
            "k",
            "estimate",
            "lower",
            "upper",
            "se",
            "stat",
            "p",
        ),
    )
    for form in FAIL_SAFE_FORMS:
        add("fail-safe N", form, "count", lambda form=form: _count(effects, form))  # type: ignore[misc]
    return pd.DataFrame(rows, columns=list(SMALL_STUDY_COLUMNS)).astype({"k": int, "interpretable": bool})


def _independent(effects: Effects) -> Effects:
    if not effects.blocks:
        return effects
    return Effects([f"row {row}" for row in range(effects.k)], effects.y, effects.se, measure=effects.measure)


def _lrt(fit: SelectionModel) -> dict[str, Any]:
    notes = (*_unmarked(fit), "estimate: relative probability that a trial with one-sided p above .025 is seen")
    return {"k": fit.k, "estimate": fit.delta[1], "se": fit.se_delta[1], "stat": fit.lrt, "df": fit.lrt_df} | {
        "p": fit.lrt_p,
        "notes": notes,
        "mark": fit.mark or "",
        "bounded_estimate": fit.bounded_delta[1],
        "bounded_p": fit.bounded_lrt_p,
    }


def _bounded(fit: SelectionModel) -> dict[str, Any]:
    """The result with weights of at most 1, and whether one was above."""
    names = ("estimate", "lower", "upper")
    test = interval(fit.bounded_estimate, fit.bounded_se, fit.level, None)
    return {
        "mark": fit.mark or "",
        **{f"bounded_{n}": getattr(fit, f"bounded_{n}") for n in names},
        "bounded_p": test.p,
    }


def _unmarked(fit: SelectionModel) -> tuple[str, ...]:
    """Notes but that of a weight above 1, which has a column of its own."""
    return tuple(note for note in fit.notes if not note.startswith(MARK_BEGINS))


def _filled(effects: Effects, estimator: Any, method: Tau2Method, level: float) -> dict[str, Any]:
    found = trim_and_fill(effects, estimator=estimator, method=method, level=level)
    fit = found.fit
    return {"k": found.k, "estimate": fit.estimate, "lower": fit.lower, "upper": fit.upper, "se": fit.se} | {
        "stat": fit.stat,
        "df": fit.df,
        "p": fit.p,
        "k0": found.k0,
        "notes": (*found.notes, f"k0 trials filled in on the {found.side}"),
    }


def _at_zero(effects: Effects, name: str, level: float) -> dict[str, Any]:
    fit = egger_test(effects, predictor="se" if name == "PET" else "variance", level=level)
    stat = fit.limit / fit.limit_se if fit.limit is not None and fit.limit_se else None
    return {"k": fit.k, "estimate": fit.limit, "lower": fit.limit_lower, "upper": fit.limit_upper} | {
        "se": fit.limit_se,
        "stat": stat,
        "df": fit.df,
        "p": fit.limit_p,
        "notes": fit.notes,
    }


def _count(effects: Effects, form: Any) -> dict[str, Any]:
    found = fail_safe_n(effects, form=form)
    return {"k": found.k, "p": found.p, "k0": found.n, "notes": found.notes}
