"""The boundary: whatever a user passes, a public function answers or raises an error of this project.

Every function that `bayesmeta` and the rooms used with their names export is called with wrong values in place of each
argument in turn. What is missing or not known by name is Python's own `TypeError`, and a file that is not there its
own `OSError`.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.boundary import guarded
from bayesmeta.boundary.guard import _tests

#: In place of every argument: texts, empty lists, wrong types, nothing, numbers that mean nothing.
WRONG: tuple[Any, ...] = (
    *("x", [], object(), None, {}, -1, float("nan"), [None], ["x"], 0, 2.5, True),
    *(np.array([]), np.full((2, 2), np.nan), float("inf"), b"x", lambda: None),
)
#: Seconds for one function: what has passed the boundary is answered in full, and some answers take long.
BUDGET = 1.0
#: Samples whatever it is given.
SLOW = {"fit_joint"}


def functions() -> dict[str, Callable[..., Any]]:
    found = {}
    for room in ("", "classical", "measures", "plots", "priors", "sensitivity"):
        module = getattr(bm, room) if room else bm
        for name in dir(module):
            if inspect.isfunction(getattr(module, name)) and name not in SLOW:
                found[f"{room}.{name}".lstrip(".")] = getattr(module, name)
    return found


FUNCTIONS = functions()


def sensible() -> dict[str, Any]:
    effects, model, fit = bm.example()
    return {
        **dict.fromkeys(("fit", "main", "exact", "first", "second", "fixed", "exchangeable"), fit),
        **dict.fromkeys(("benefit", "control_risk", "size"), 0.5),
        "cuts": [0.1, 0.2],
        "effects": effects,
        "source": effects,
        "fits": {"one": fit},
        "model": model,
        "name": "mu",
        "prior": model.mu,
        "row": bm.predict(fit).loc["mu"],
        "y": [0.1, 0.2, 0.3],
        "se": [0.1, 0.2, 0.1],
        "measure_name": "SMD",
        "better": "lower",
    }


def test_every_public_function_is_called() -> None:
    assert len(FUNCTIONS) > 200
    assert {"benefit_sentence", "plots.forest_plot", "classical.pool", "measures.smd"} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_arguments_raise_errors_of_this_project(
    name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what takes a path may write there
    monkeypatch.chdir(tmp_path_factory.mktemp("written"))
    function, known, end = FUNCTIONS[name], sensible(), time.monotonic() + BUDGET
    parameters = inspect.signature(function).parameters
    plain = [item for item in parameters.values() if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]
    others = {item.name: known.get(item.name) for item in plain if item.default is item.empty}
    raw = []
    for item in plain:
        for value in WRONG:
            if time.monotonic() > end:
                break
            if item.name == "progress" and callable(value):
                # what a function of the caller's own raises is the caller's
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    function(**{**others, item.name: value})
            except (bm.BayesmetaError, OSError):
                pass
            except Exception as error:
                raw.append(f"{item.name} = {value!r}: {type(error).__name__}: {error}")
    assert not raw


@pytest.mark.parametrize(
    "question",
    [
        lambda fit: bm.benefit_sentence(fit, 0.5),
        lambda fit: bm.power_scaling_table(fit, 0.5, draws=False),
        lambda fit: bm.grade_table(fit, 0.5),
        lambda fit: bm.next_trial_table(fit, 0.5, sizes=[100]),
        lambda fit: bm.sensitivity.tipping_table(fit, 0.5),
        lambda fit: bm.benefit_table(fit, 0.5),
        lambda fit: bm.benefit_table(fit, [0.5]),
        lambda fit: bm.plots.forest_plot(fit, thresholds=[0.5]),
        lambda fit: bm.plots.forest_plot(fit, thresholds=0.5),
        lambda fit: bm.sensitivity.inconsistency_table(fit, 0.5),
        lambda fit: bm.sensitivity.side_table(fit, 0.5),
        lambda fit: bm.sensitivity.multiverse_table(fit, threshold=0.5),
    ],
)
def test_a_number_is_a_threshold(question: Callable[[bm.Fit], Any]) -> None:
    _, _, fit = bm.example()
    assert question(fit) is not None


def test_a_number_is_on_the_scale_of_the_measure() -> None:
    """A ratio for a ratio measure, in the direction of benefit."""
    effects = bm.Effects("AB", np.log([0.7, 0.9]), [0.1, 0.2], measure="RR", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    stated = bm.threshold(0.8, measure_name="RR", better="lower")
    assert bm.benefit_table(fit, 0.8).equals(bm.benefit_table(fit, stated))
    with pytest.raises(bm.ModelError, match="give a ratio below 1"):
        bm.benefit_table(fit, 1.25)


def test_compare_table_takes_the_fit_alone() -> None:
    effects, _, fit = bm.example()
    with pytest.warns(DeprecationWarning, match="compare_table takes the fit alone"):
        assert bm.compare_table(effects, fit).equals(bm.compare_table(fit))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_annotation_is_understood(name: str) -> None:
    """What a name in an annotation means is found where the function's module imports it, for type checkers too."""
    function = getattr(FUNCTIONS[name], "__wrapped__", FUNCTIONS[name])
    positional = [
        item.name
        for item in inspect.signature(function).parameters.values()
        if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    assert list(_tests(function)) == positional


def test_messages_say_what_to_give() -> None:
    _, _, fit = bm.example()
    with pytest.raises(bm.ModelError, match="summarize: fit = 'x'; give a Fit"):
        bm.summarize("x")  # type: ignore[arg-type]
    with pytest.raises(bm.ModelError, match="summarize: interval = 5; give one of central, shortest"):
        bm.summarize(fit, interval=5)  # type: ignore[arg-type]
    assert guarded(3) == 3
