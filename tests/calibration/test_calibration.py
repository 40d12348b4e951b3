"""Simulation-based calibration: a truth from the prior lies anywhere in the posterior of its own data, uniformly.

Authority: the theorem itself (Cook, Gelman, Rubin 2006, doi:10.1198/106186006X136976; Talts et al. 2018,
arXiv:1804.06788), with a test quantity that depends on the data (Modrak et al. 2023, doi:10.1214/23-BA1404), judged by
simultaneous bands (Saeilynoja et al. 2022, doi:10.1007/s11222-022-10090-6). An hour of simulations is stored;
``calibration/generate.py`` makes it again, and slow tests run a part of it afresh.
"""

import dataclasses
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from calibration import judge
from calibration.generate import PACKAGES, PINNED, RESULTS, SEED, engines, fingerprint
from calibration.power import MISTAKES, POWER
from calibration.ranks import BINS, LIKELIHOOD, graph_density, place
from calibration.worlds import DESIGNS, world

# an integral settled to 1e-8, sums in another order; stored with nine digits
REPRODUCED = 1e-6
# worlds per cell below which a miscalibration of practical size would pass
FEWEST = {"exact": 4000, "nuts": 200}
# worlds in which each mistake below is seen with this seed; how often in general says power.json
ENOUGH = 400
AGAIN = "Run: python3 -m uv run python tests/calibration/generate.py"

STORED = json.loads(RESULTS.read_text(encoding="utf-8"))
CELLS = STORED["cells"]
GRID = {f"{name} / {engine}": (name, engine) for name in DESIGNS for engine in engines(name)}


def every_cell():
    return [
        (f"{key}: {quantity}", counts) for key, cell in CELLS.items() for quantity, counts in cell["places"].items()
    ]


def test_every_model_engine_and_quantity_is_there():
    assert set(CELLS) == set(GRID)
    # pooled to heavy priors, regressions, blocks, clusters, learned SDs by both; 14 more by NUTS
    assert len(CELLS) == 30
    for key, (name, engine) in GRID.items():
        cell = CELLS[key]
        assert set(cell["places"]) == {*world(name, 0, SEED).truth, LIKELIHOOD}, key
        assert cell["worlds"] >= FEWEST[engine], key
        assert all(sum(counts) == cell["worlds"] for counts in cell["places"].values()), key


def test_both_engines_are_calibrated():
    # one percent for all cells together: a right engine fails one regeneration in a hundred
    assert judge.flagged(every_cell()) == []


@pytest.mark.parametrize("key", GRID)
def test_the_stored_worlds_and_numbers_are_still_those_of_the_engine(key):
    """Freshness by behaviour: comments, names and refactoring change nothing here, other numbers do."""
    name, engine = GRID[key]
    found, stored = fingerprint(name, engine), CELLS[key]["pinned"]
    assert len(stored) == PINNED
    for here, there in zip(found, stored, strict=True):
        assert set(here) == set(there)
        for quantity, value in here.items():
            assert value == pytest.approx(there[quantity], rel=REPRODUCED, abs=REPRODUCED), (
                f"{quantity}. {AGAIN} --only '{name}'"
            )


@pytest.mark.parametrize("name", DESIGNS)
def test_a_compiled_graph_serves_all_worlds_of_its_shape(name):
    """Compilations are kept by shape, so that no number of the data may be a constant of the graph."""
    first, other = world(name, 0, SEED), world(name, 1, SEED)
    assert graph_density(other, compiled=first)["graph"] == pytest.approx(graph_density(other)["graph"], rel=1e-12)


def test_the_stored_draws_are_of_these_samplers():
    for key, (_, engine) in GRID.items():
        packages = CELLS[key]["packages"]
        assert set(packages) == set(PACKAGES)
        for package in ("pymc", "nutpie") if engine == "nuts" else ():
            ours, stored = (version.split(".")[:2] for version in (metadata.version(package), packages[package]))
            assert ours == stored, f"{key}: drawn with {package} {'.'.join(stored)}. {AGAIN} --engine nuts"


# -- the judge ---------------------------------------------------------------------------------------------------------


def test_the_judge_passes_uniform_places_as_often_as_it_says():
    rng = np.random.default_rng(3)
    p = np.array([judge.p_value(judge.counted(rng.integers(BINS, size=60), BINS)) for _ in range(300)])
    # p values are uniform up to ties; Kolmogorov-Smirnov at 1 in 1000, once with this seed
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_the_band_is_the_closed_form_where_there_is_one_point():
    # one point at one half: the depth is a two-sided binomial tail
    counts = [2, 10]
    assert judge.depth(counts) == pytest.approx(stats.binomtest(2, 12, 0.5).pvalue, rel=1e-12)
    assert judge.p_value(counts) == pytest.approx(stats.binomtest(2, 12, 0.5).pvalue, rel=1e-12)


@pytest.mark.parametrize("wrong", [pytest.param(mistake, id=name) for name, mistake in MISTAKES.items()])
def test_a_wrong_engine_is_flagged_by_the_same_judge(wrong):
    places = []
    for number in range(ENOUGH):
        made = world("pooled", number, SEED)
        places.append(place(dataclasses.replace(made, effects=wrong(made.effects)), "exact", SEED + number).places)
    cells = [(name, judge.counted((item[name] for item in places), BINS)) for name in places[0]]
    # at the level of a cell of the whole grid
    assert judge.flagged(cells, number=len(every_cell()))


def test_the_power_that_the_page_states_is_what_was_found():
    page = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    found = json.loads(POWER.read_text(encoding="utf-8"))["flagged"]
    assert set(found) == set(MISTAKES)
    for name, shares in found.items():
        assert f"| {name} | {' | '.join(f'{100 * share:.0f} %' for share in shares.values())} |" in page
        # thousands of worlds of the exact engine see what a few hundred do not
        assert shares["200"] < shares["400"] <= shares["4000"]


# -- afresh ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine"),
    [("regression", "exact"), ("clusters", "exact"), ("clusters", "nuts"), ("missing levels", "nuts")],
)
def test_a_part_is_calibrated_afresh(name, engine):
    """Fifty other worlds; beside the stored ones, so that a change since then is seen."""
    found = [place(world(name, number, SEED + 1), engine, number) for number in range(50)]
    cells = [(q, judge.counted((item.places[q] for item in found), BINS)) for q in found[0].places]
    assert judge.flagged(cells) == []


@pytest.mark.slow
def test_the_generator_makes_the_stored_places_again(tmp_path):
    """Exact places do not depend on the machine."""
    code = (
        "import sys; sys.path.insert(0, 'tests')\nfrom calibration import generate\nimport json\n"
        f"print(json.dumps(generate.calibrate('pooled', 'exact', {CELLS['pooled / exact']['worlds']})['places']))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout.splitlines()[-1])["mu"] == CELLS["pooled / exact"]["places"]["mu"]
