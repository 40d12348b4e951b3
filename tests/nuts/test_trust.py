"""What happens when draws are not to be trusted: one repetition, failed checks, and no file of a run that broke off.

Authority: Vehtari 2021 (doi:10.1214/20-BA1221) for R-hat and effective sample sizes, Betancourt 2018 (arXiv:1701.02434)
for divergences and BFMI; the forms of broken chains are made here.
"""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.nuts import BFMI, ESS, RHAT, SamplerOutput, checks_of, engine, judge

EFFECTS = bm.Effects(
    list("abcdef"),
    [-0.9, -0.2, -0.5, 0.1, -0.35, -0.6],
    [0.3, 0.2, 0.25, 0.4, 0.15, 0.3],
    measure="SMD",
    better="lower",
    name="Fatigue",
)
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
# seconds that a sampler gets to end after an interrupt, and that an import and a compilation may take on a busy machine
PATIENCE = 300


def changing(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[int, SamplerOutput], SamplerOutput] = lambda number, raw: raw
) -> list[float]:
    """Let independent draws from the exact posterior stand in for the sampler's, and a function change them.

    What is tested is what is made of a run; that the sampler's draws are right is tested elsewhere. Gives the target
    acceptances that were asked for, run by run.
    """
    asked: list[float] = []
    posterior = bm.fit(EFFECTS, MODEL).tree["posterior"]
    mu, tau = (posterior[name].values.ravel() for name in ("mu", "tau"))

    def run(key: Any, build: Any, data: Any, settings: bm.Settings, seed: int, accept: float) -> SamplerOutput:
        asked.append(accept)
        rng = np.random.default_rng([seed, round(1000 * accept)])
        shape = settings.chains, settings.draws
        order = rng.permutation(mu.size).reshape(shape)
        no = np.zeros(shape, bool)
        stats = {"diverging": no, "energy": rng.standard_normal(shape), "reached_max_treedepth": no}
        return change(len(asked), SamplerOutput({"coefficients": mu[order][None], "tau": tau[order]}, stats))

    monkeypatch.setattr(engine, "run", run)
    return asked


def diverging(raw: SamplerOutput) -> SamplerOutput:
    flags = np.zeros_like(raw.stats["diverging"])
    flags[1, 2] = True
    return dataclasses.replace(raw, stats={**raw.stats, "diverging": flags})


# -- one repetition ----------------------------------------------------------------------------------------------------


def test_a_divergence_is_sampled_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a higher target acceptance, told by a warning and kept in the settings; the second run is what counts."""
    asked = changing(monkeypatch, lambda number, raw: diverging(raw) if number == 1 else raw)
    message = r"Fatigue: divergences failed with target acceptance 0.9; sampled once more with 0.99\."
    with pytest.warns(bm.BayesmetaWarning, match=message) as caught:
        fit = bm.fit(EFFECTS, MODEL, engine="nuts", seed=3)
    assert len(caught) == 1
    assert asked == [0.9, 0.99]
    assert fit.ok
    assert (fit.sample.settings["attempts"], fit.sample.settings["target_accept"]) == (2, 0.99)
    again = bm.fit(EFFECTS, MODEL, engine="nuts", seed=3, settings=bm.Settings(target_accept=0.99))
    np.testing.assert_array_equal(fit.sample.coefficients, again.sample.coefficients)


def test_what_fails_twice_is_given_with_its_failed_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = changing(monkeypatch, lambda number, raw: diverging(raw))
    with pytest.warns(bm.BayesmetaWarning, match="sampled once more"):
        fit = bm.fit(EFFECTS, MODEL, engine="nuts", seed=3)
    assert asked == [0.9, 0.99]
    assert not fit.ok
    (check,) = [check for check in fit.checks if not check.ok]
    assert (check.name, check.value, check.limit) == ("divergences", 1.0, 0.0)
    assert "target_accept" in check.advice
    # and stays so in the file
    loaded = bm.load(fit.save(tmp_path / "fit.nc"))
    assert not loaded.ok
    assert loaded.checks == fit.checks
    assert loaded.sample.settings["attempts"] == 2


def test_what_passes_is_not_repeated_nor_what_was_asked_at_the_last_target(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = changing(monkeypatch, lambda number, raw: raw if number == 1 else diverging(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = bm.fit(EFFECTS, MODEL, engine="nuts", seed=3)
        assert fit.ok
        assert fit.sample.settings["attempts"] == 1
        other = bm.fit(EFFECTS, MODEL, engine="nuts", seed=3, settings=bm.Settings(target_accept=0.99))
    assert not other.ok
    assert asked == [0.9, 0.99]


def test_settings_are_refused_by_name() -> None:
    for name, value, message in (
        ("chains", 1, "chains = 1: at least 2"),
        ("draws", 99, "draws = 99: at least 100"),
        ("tune", 0, "tune = 0: at least 100"),
        ("max_depth", 0, "max_depth = 0: at least 1"),
        ("target_accept", 1.0, "target_accept = 1.0 is not between 0 and 1"),
        ("retry_accept", 0.0, "retry_accept = 0.0 is not between 0 and 1"),
    ):
        with pytest.raises(bm.ModelError, match=message):
            bm.Settings(**{name: value})


# -- two engines -------------------------------------------------------------------------------------------------------


def test_both_engines_carry_both_sets_of_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    changing(monkeypatch)
    fit = bm.fit(EFFECTS, MODEL, engine="both", seed=3)
    names = [check.name for check in fit.checks]
    assert names == [
        "quadrature error",
        "R-hat",
        "bulk ESS",
        "tail ESS",
        "divergences",
        "BFMI",
        "tree depth",
        "engines agree",
    ]
    assert fit.ok
    assert fit.exact
    assert fit.second is not None
    assert fit.second.checks == fit.checks[1:-1]
    # numbers are the exact engine's, whatever was drawn beside them
    assert bm.summarize(fit).equals(bm.summarize(bm.fit(EFFECTS, MODEL)))


@pytest.mark.parametrize("wrong", ["coefficients", "tau"])
def test_a_wrong_sample_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean that is off by a fifth of its SD, and a heterogeneity that is 20 % too large, pass every other check."""

    def change(number: int, raw: SamplerOutput) -> SamplerOutput:
        moved = raw.draws[wrong] * 1.2 if wrong == "tau" else raw.draws[wrong] + 0.03
        return dataclasses.replace(raw, draws={**raw.draws, wrong: moved})

    changing(monkeypatch, change)
    fit = bm.fit(EFFECTS, MODEL, engine="both", seed=3)
    assert not fit.ok
    (check,) = [check for check in fit.checks if not check.ok]
    assert check.name == "engines agree"
    assert check.value > check.limit == 4.0
    assert "one engine is wrong" in check.advice


def test_only_one_model_on_one_set_of_effects_can_be_compared() -> None:
    exact = bm.fit(EFFECTS, MODEL)
    drawn = bm.fit(EFFECTS, MODEL, engine="nuts", seed=3)
    with pytest.raises(bm.ModelError, match="engine='both'"):
        bm.agreement_table(exact)
    with pytest.raises(bm.ModelError, match="engine='both'"):
        bm.agreement_table(drawn, exact)
    for other in (
        bm.fit(EFFECTS, dataclasses.replace(MODEL, tau=bm.HalfNormal(0.4))),
        bm.fit(EFFECTS.subset([0, 1, 2, 3, 4]), MODEL),
    ):
        with pytest.raises(bm.ModelError, match="not of one model and one set of effects"):
            bm.agreement_table(other, drawn)


# -- every check by itself ---------------------------------------------------------------------------------------------

RNG = np.random.default_rng(20261122)
GOOD = RNG.standard_normal((4, 1000))
STATS: dict[str, np.ndarray] = {
    "diverging": np.zeros((4, 1000), bool),
    "energy": RNG.standard_normal((4, 1000)),
    "reached_max_treedepth": np.zeros((4, 1000), bool),
}


def judged(values: np.ndarray, **stats: np.ndarray) -> dict[str, bm.Check]:
    found = judge([("fine", GOOD), ("suspect", values)], {**STATS, **stats}, 10)
    return {check.name: check for check in found if not check.ok}


def correlated(rho: float) -> np.ndarray:
    """Chains that remember: effective sample size about 4000 (1 - rho) / (1 + rho)."""
    chain = np.empty((4, 1000))
    noise = np.random.default_rng(2).standard_normal((4, 1000))
    chain[:, 0] = noise[:, 0]
    for i in range(1, 1000):
        chain[:, i] = rho * chain[:, i - 1] + np.sqrt(1 - rho**2) * noise[:, i]
    return chain


def test_the_limits_are_the_published_ones() -> None:
    assert (RHAT, ESS, BFMI) == (1.01, 400.0, 0.3)
    assert judged(GOOD) == {}
    assert {check.name for check in judge([("fine", GOOD)], STATS, 10)} == {
        "R-hat",
        "bulk ESS",
        "tail ESS",
        "divergences",
        "BFMI",
        "tree depth",
    }


def test_one_chain_elsewhere() -> None:
    apart = GOOD + np.array([0, 0, 0, 0.5])[:, None]
    failed = judged(apart)
    assert "R-hat" in failed
    assert "suspect" in failed["R-hat"].advice


def test_one_chain_wider_than_the_others() -> None:
    """Rank-normalised R-hat of the folded draws sees what that of the draws does not."""
    assert "R-hat" in judged(GOOD * np.array([1, 1, 1, 3])[:, None])


def test_stuck_chains() -> None:
    """Each at its own value: R-hat is infinite, and what has no number is not a pass."""
    stuck = np.repeat(np.arange(4.0)[:, None], 1000, axis=1)
    assert "R-hat" in judged(stuck)
    one = GOOD.copy()
    one[2] = 0.1
    assert {"R-hat", "tail ESS"} & set(judged(one))


def test_autocorrelated_draws() -> None:
    """At 0.9 some 210 effective draws of 4,000, at 0.5 some 1,300."""
    failed = judged(correlated(0.9))
    assert "bulk ESS" in failed
    assert 100 < failed["bulk ESS"].value < 400
    assert "suspect" in failed["bulk ESS"].advice
    assert "bulk ESS" not in judged(correlated(0.5))


def test_indicators_have_no_tails() -> None:
    """A rare event is 0 in nearly all draws: the tail of an indicator says nothing, its mean's does."""
    assert judged((np.random.default_rng(3).random((4, 1000)) < 0.01).astype(float)) == {}


def test_statistics_of_the_sampler() -> None:
    one = np.zeros((4, 1000), bool)
    one[3, 999] = True
    assert set(judged(GOOD, diverging=one)) == {"divergences"}
    assert set(judged(GOOD, reached_max_treedepth=one)) == {"tree depth"}
    # one chain whose energy hardly changes from draw to draw
    energy = STATS["energy"].copy()
    energy[1] = np.cumsum(energy[1])
    failed = judged(GOOD, energy=energy)
    assert set(failed) == {"BFMI"}
    assert failed["BFMI"].value < 0.3


def test_every_reported_quantity_is_judged() -> None:
    """What a table may print is looked at, not only the sampler's own variables."""
    fit = bm.fit(EFFECTS, MODEL, engine="nuts", seed=3)
    sample = fit.sample
    assert checks_of(sample, 10) == fit.checks
    apart = np.arange(4.0)[:, None]
    for name in ("theta", "deviations"):
        if name == "theta":
            bad = sample.theta.copy()
            bad[2] = bad[2] + apart
            changed = dataclasses.replace(sample, theta=bad)
        else:
            changed = dataclasses.replace(sample, deviations={"theta_new": sample.deviations["theta_new"] + 5 * apart})
        failed = [check for check in checks_of(changed, 10) if not check.ok]
        assert failed[0].name == "R-hat"
        assert ("theta row 3" if name == "theta" else "theta_new") in failed[0].advice


# -- interrupts --------------------------------------------------------------------------------------------------------

RUN = """
import signal
import sys
from pathlib import Path

import nutpie

import bayesmeta as bm

# where the tests run in the background, interrupts are ignored from the start
signal.signal(signal.SIGINT, signal.default_int_handler)
original = nutpie.sample

def announced(*arguments, **options):
    sampler = original(*arguments, **options)
    print("sampling", flush=True)
    return sampler

nutpie.sample = announced
effects = bm.Effects(list("abcdef"), [-0.9, -0.2, -0.5, 0.1, -0.35, -0.6], [0.3, 0.2, 0.25, 0.4, 0.15, 0.3],
                     measure="SMD")
model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
fit = bm.fit(effects, model, engine="nuts", settings=bm.Settings(draws=5_000_000))
print("sampled", flush=True)
fit.save(Path(sys.argv[1]) / "fit.nc")
"""


# once in five runs on a loaded machine the signal met the start of the sampler; it waits now, and stays a slow proof
@pytest.mark.slow
def test_an_interrupt_ends_a_run_and_leaves_no_file(tmp_path: Path) -> None:
    """A real process, interrupted while nutpie samples, as by Ctrl-C: it ends by the interrupt, without a fit."""
    script = tmp_path / "run.py"
    script.write_text(RUN, encoding="utf-8")
    folder = tmp_path / "out"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "sampling"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        try:
            output, error = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode in (1, 130, -signal.SIGINT), error
    assert "KeyboardInterrupt" in error
    assert output == ""
    assert list(folder.iterdir()) == []
