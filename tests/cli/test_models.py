"""The command line on models that are sampled: engines, failed checks, files, joint outcomes.

Authorities: the exact engine, the exit codes and files that docs and `--help` promise, and the library's own functions,
whose numbers are tested elsewhere against brute force.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.analysis import fitting, sampling_of
from bayesmeta_cli.main import main
from references import ROOT
from sampled import command

CIPN, CANCER, ROBUST = (ROOT / "models" / f"{name}.toml" for name in ("cipn", "cancer_exercise", "cancer_robust"))
DURATION = ["--outcome", "symptoms_by_duration"]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fits")
    assert command(["fit", str(CIPN), *DURATION, "-o", str(out)]) == 0
    return out


def test_fit_writes_what_was_sampled_and_says_how(sampled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(path.name for path in sampled.iterdir()) == [
        "run.json",
        "symptoms_by_duration.moderated.nc",
        "symptoms_by_duration.nc",
    ]
    fit = bm.load(sampled / "symptoms_by_duration.moderated.nc")
    assert (fit.engine, fit.ok, fit.exact) == ("nuts", True, False)
    run = json.loads((sampled / "run.json").read_text())
    names = {check["name"] for check in run["outcomes"]["symptoms_by_duration"]["checks"]}
    assert {"quadrature error", "R-hat", "bulk ESS", "tail ESS", "divergences", "BFMI", "tree depth"} == names
    assert command(["fit", str(CIPN), *DURATION], capsys.readouterr) == 0
    out = capsys.readouterr().out
    assert "Sampled by NUTS: 4 x 1000 draws" in out
    # the three trials without a duration in data/cipn_effects.csv
    for trial in ("Kleckner 2018", "MI-Walk 2021", "Bland 2019"):
        assert f"duration: {trial}" in out


def test_fits_are_read_instead_of_sampled_again(sampled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = bm.load(sampled / "symptoms_by_duration.nc")
    capsys.readouterr()
    assert main(["compare", str(CIPN), *DURATION, "--fits", str(sampled), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["methods"][0]["estimate"] == bm.summarize(fit).loc["mu", "median"]
    # an imputed moderator has no classical counterpart, and the text says so
    rows = found["moderators"]["rows"]
    assert rows
    assert all(row["classical"] is None and row["f"] is None for row in rows)
    assert main(["compare", str(CIPN), *DURATION, "--fits", str(sampled)]) == 0
    assert "Classical: not defined, because moderators that some trials do not state are imputed" in " ".join(
        capsys.readouterr().out.split()
    )


def test_both_engines_print_their_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", str(CANCER), "--outcome", "anxiety_long", "--engine", "both"]
    assert command([*arguments, "-o", str(tmp_path / "out")], capsys.readouterr) == 0
    text = capsys.readouterr().out
    assert "Both engines: exact, and sampled by NUTS" in text
    assert "Monte Carlo standard errors (limit 4)" in " ".join(text.split())
    exact, drawn = (bm.load(tmp_path / "out" / f"anxiety_long{end}.nc") for end in ("", ".nuts"))
    assert (exact.engine, drawn.engine) == ("exact", "nuts")
    assert bm.agreement_table(exact, drawn)["difference"].abs().max() <= 4
    files = json.loads((tmp_path / "out" / "run.json").read_text())["outcomes"]["anxiety_long"]["files"]
    assert set(files.values()) <= {path.name for path in (tmp_path / "out").iterdir()}


def test_what_only_draws_cover_cannot_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(ROBUST), "--outcome", "fatigue_student", "--engine", "both"]) == 3
    assert "the exact engine does not cover this model" in capsys.readouterr().err


def test_a_failed_check_stops_the_command_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        fitting, "sampling_of", lambda *_, **__: (bm.Settings(draws=100, tune=100, retry_accept=0.9), 1)
    )
    out = tmp_path / "out"
    assert main(["fit", str(CIPN), *DURATION, "-o", str(out)]) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert not out.exists()
    lines = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert any("bulk ESS is" in line and "limit 400" in line and "Draw more" in line for line in lines)


def test_sampling_settings_come_from_the_protocol() -> None:
    settings, seed = sampling_of(bm.read_protocol(CIPN))
    assert seed == bm.read_protocol(CIPN).sampling.seed
    assert (settings.chains, settings.draws, settings.tune, settings.target_accept) == (4, 1000, 1000, 0.9)


def test_joint_prints_tables_and_writes_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import xarray as xr

    assert command(["joint", str(CANCER), "-o", str(tmp_path / "out"), "--json"], capsys.readouterr) == 0
    found = json.loads(capsys.readouterr().out)
    tree = xr.load_datatree(tmp_path / "out" / "joint.nc", engine="h5netcdf")
    names = [item["outcome"] for item in found["outcomes"]]
    assert list(tree["posterior"]["outcome"].values) == names
    # four outcomes make six pairs
    assert len(found["correlations"]) == 6
    medians = np.median(tree["posterior"]["omega"].values, axis=(0, 1))
    printed = {(row["first"], row["second"]): row["median"] for row in found["correlations"]}
    for i, first in enumerate(names):
        for j in range(i + 1, 4):
            assert printed[first, names[j]] == pytest.approx(medians[i, j], abs=1e-12)
    # at least one, at least two, ... can only fall
    for target in ("mean effect", "new study"):
        p = [row["p_any_benefit"] for row in found["at_least"] if row["target"] == target]
        assert p == sorted(p, reverse=True)


def test_joint_needs_joined_outcomes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["joint", str(CIPN)]) == 3
    assert "Add [joint]" in capsys.readouterr().err


def test_variations_of_what_is_imputed_change_the_moderated_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["sensitivity", str(CIPN), *DURATION, "--json"], capsys.readouterr) == 0
    found = json.loads(capsys.readouterr().out)
    names = [row["analysis"] for row in found["sections"]["declared"]["summary"]["contrasts"]]
    assert names[0] == "main analysis, moderated"
    assert {"durations that are not printed are twice as long", "durations that are not printed are half as long"} <= {
        *names
    }


def test_pictures_of_models_come_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dose = ROOT / "models" / "depression_dose.toml"
    commands = [
        ["curve", str(dose), "--outcome", "spline", "--moderator", "duration", "-o", str(tmp_path / "curve.svg")],
        ["outliers", str(ROBUST), "--outcome", "fatigue_outliers", "-o", str(tmp_path / "outliers.png")],
        ["profiles", str(CANCER), "--outcome", "fatigue_short", "--figure", str(tmp_path / "profiles.pdf")],
        ["ppc", str(dose), "--outcome", "line", "--section", "predictive", "--figure", str(tmp_path / "ppc.png")],
    ]
    for arguments in commands:
        assert command(arguments, capsys.readouterr) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"curve.svg", "outliers.png", "profiles.pdf", "ppc.png"}
    assert all(path.stat().st_size > 1000 for path in tmp_path.iterdir())


def test_outliers_need_a_model_that_has_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outliers", str(CANCER), "--outcome", "anxiety_long", "-o", str(tmp_path / "x.png")]) == 3
    assert "outlier" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
