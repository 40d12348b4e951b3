"""What the command line writes: fits and run.json, pins, the example, pictures; whole, or not at all.

Authorities: the library (what is read back answers as before) and the committed data with their provenance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import tomllib
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.analysis import fitting
from bayesmeta_cli import files
from bayesmeta_cli.main import main
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"
DEPRESSION = ROOT / "models" / "exercise_depression.toml"


@pytest.fixture
def cli(capsys):
    """Run a command; return its exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Fits of one small outcome, as `fit -o` writes them."""
    out = tmp_path_factory.mktemp("fits") / "out"
    assert main(["fit", str(CANCER), "--outcome", "anxiety_short", "-o", str(out)]) == 0
    return out


# -- fits --------------------------------------------------------------------------------------------------------------


def test_fit_writes_fits_that_answer_as_before(fitted):
    assert sorted(path.name for path in fitted.iterdir()) == [
        "anxiety_short.moderated.nc",
        "anxiety_short.nc",
        "run.json",
    ]
    record = json.loads((fitted / "run.json").read_text())
    assert record["outcomes"]["anxiety_short"]["files"] == {
        "pooled": "anxiety_short.nc",
        "moderated": "anxiety_short.moderated.nc",
    }
    protocol = bm.read_protocol(CANCER)
    assert record["protocol_sha256"] == protocol.sha256
    assert record["data_sha256"] == protocol.data.sha256
    assert record["data_pinned"] is True
    assert record["seed"] == protocol.sampling.seed
    loaded = bm.load(fitted / "anxiety_short.nc")
    assert loaded.hashes == {"protocol": protocol.sha256, "data": protocol.data.sha256}
    again = bm.fit(bm.read_effects(protocol, "anxiety_short"), protocol.outcomes["anxiety_short"].model.on())
    pd.testing.assert_frame_equal(bm.summarize(loaded), bm.summarize(again), check_exact=True)


def test_a_run_that_fails_leaves_what_was_there(cli, monkeypatch, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "depression.nc").write_text("an earlier fit")
    save = bm.Fit.save

    def fail_late(self, path):
        if self.analysis == "moderated":
            raise OSError("no space left on device")
        return save(self, path)

    monkeypatch.setattr(bm.Fit, "save", fail_late)
    code, printed, err = cli("fit", DEPRESSION, "-o", out)
    assert (code, printed, err) == (2, "", "error: no space left on device\n")
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("depression.nc", "an earlier fit")]


def test_fits_are_read_and_refused_by_name(cli, fitted, tmp_path):
    fresh = cli("compare", CANCER, "--outcome", "anxiety_short", "--csv")
    assert cli("compare", CANCER, "--outcome", "anxiety_short", "--csv", "--fits", fitted) == fresh
    assert cli("compare", fitted / "anxiety_short.nc", "--csv") == fresh
    code, out, err = cli("compare", CANCER, "--outcome", "anxiety_long", "--fits", fitted)
    assert (code, out) == (2, "")
    assert "anxiety_long.nc" in err
    files.copy_example(tmp_path)
    shutil.copy(fitted / "anxiety_short.nc", tmp_path / "anxiety.nc")
    code, out, err = cli("compare", tmp_path / "protocol.toml", "--fits", tmp_path)
    assert (code, out) == (3, "")
    assert "anxiety.nc: fitted from another protocol" in err


def test_a_fit_knows_no_outcomes_to_choose(cli, fitted):
    code, _, err = cli("compare", fitted / "anxiety_short.nc", "--outcome", "anxiety_short")
    assert code == 2
    assert "--outcome" in err


def test_computed_but_not_reportable_is_exit_5(cli, monkeypatch, tmp_path):
    sound = bm.fit
    check = bm.Check("quadrature error", False, 1e-3, 1e-8, "Use a smoother prior.")
    monkeypatch.setattr(fitting, "fit", lambda *a, **k: dataclasses.replace(sound(*a, **k), checks=(check,)))
    code, out, err = cli("fit", DEPRESSION, "-o", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert code == 5
    assert "mean effect (mu)" in out
    assert record["reportable"] is False
    # the pooled and the moderated fit each fail
    assert len(record["reasons"]) == 2
    assert [line for line in err.splitlines() if line.startswith("not reportable")] == [
        f"not reportable: {reason}" for reason in record["reasons"]
    ]


# -- check -------------------------------------------------------------------------------------------------------------


def test_check_shows_rows_directions_and_everything_done_to_them(cli):
    code, out, _ = cli("check", CANCER)
    assert code == 0
    text = " ".join(out.split())
    assert "Exercise in cancer" in text
    assert "35 estimates of 32 trials, 3102 participants. SMD; lower is better." in text
    assert "coded in the other direction: multiplied by -1" in text


def test_pin_writes_the_hash_and_changes_nothing_else(cli, tmp_path):
    files.copy_example(tmp_path)
    path = tmp_path / "protocol.toml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    before = path.read_bytes().decode()
    code, _, err = cli("check", path, "--pin")
    assert code == 0
    found = bm.read_protocol(path).data.sha256
    assert f"pinned: sha256 = {found}" in err
    added = f'sha256 = "{found}"\r\n'
    after = path.read_bytes().decode()
    assert after.count(added) == 1
    assert after.replace(added, "") == before
    # data that changed are refused until they are pinned again
    data = tmp_path / "trials.csv"
    data.write_text(data.read_text().replace("16.5", "16.6"))
    code, out, err = cli("fit", path, "-o", tmp_path / "out")
    assert (code, out) == (3, "")
    assert found in err
    assert "check --pin" in err
    assert cli("check", path, "--pin")[0] == 0
    assert path.read_bytes().decode().replace(f'sha256 = "{bm.read_protocol(path).data.sha256}"\r\n', "") == before


def test_check_of_a_table_lists_columns_and_measures(cli):
    code, out, _ = cli("check", ROOT / "data" / "cancer_exercise_trials.csv")
    assert code == 0
    assert "could make: MD, SMD, SMDH, ROM" in " ".join(out.split())


# -- example and plots -------------------------------------------------------------------------------------------------


def test_the_example_runs_from_start_to_end(cli, tmp_path):
    folder = tmp_path / "example"
    code, out, err = cli("example", folder)
    assert code == 0
    assert sorted(Path(line).name for line in out.splitlines()) == [
        "protocol.toml",
        "trials.csv",
        "trials.provenance.toml",
    ]
    for line in err.splitlines():
        assert cli(*line.removeprefix("next: bayesmeta ").split())[0] == 0
    code, out, err = cli("example", folder)
    assert (code, out) == (2, "")
    assert "there already" in err


def test_the_example_is_part_of_the_real_data():
    folder = resources.files("bayesmeta").joinpath("example")
    content = folder.joinpath("trials.csv").read_bytes()
    rows = pd.read_csv(io.BytesIO(content), dtype=str)
    whole = pd.read_csv(ROOT / "data" / "cancer_exercise_trials.csv", dtype=str)
    part = whole.query("outcome == 'anxiety' and horizon == 'short' and comparator == 'no exercise'")
    pd.testing.assert_frame_equal(rows, part[list(rows.columns)].reset_index(drop=True))
    provenance = tomllib.loads(folder.joinpath("trials.provenance.toml").read_text("utf-8"))
    assert provenance["sha256"] == hashlib.sha256(content).hexdigest()
    assert set(provenance["column"]) == set(rows.columns)


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["forest", CANCER, "--outcome", "anxiety_short", "--subgroup", "exercise"], b"<?xml"),
        (["heterogeneity", DEPRESSION], b"\x89PNG"),
        (["benefit-curve", DEPRESSION, "--threshold", "0.4"], b"%PDF"),
        (["funnel", DEPRESSION], b"<?xml"),
        (["bubble", DEPRESSION, "--moderator", "duration"], b"\x89PNG"),
    ],
    ids=lambda item: item[0] if isinstance(item, list) else "",
)
def test_plots_are_written_in_the_format_of_their_suffix(cli, tmp_path, arguments, start):
    suffix = {b"<?xml": ".svg", b"\x89PNG": ".png", b"%PDF": ".pdf"}[start]
    path = tmp_path / "new" / f"picture{suffix}"
    code, out, err = cli(*arguments, "-o", path)
    assert (code, out, err) == (0, f"{path}\n", "")
    assert path.read_bytes().startswith(start)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_plots_of_a_fit_and_of_several_outcomes(cli, fitted, tmp_path):
    path = tmp_path / "one.svg"
    assert cli("forest", fitted / "anxiety_short.nc", "-o", path)[:2] == (0, f"{path}\n")
    several = ["--outcome", "anxiety_medium", "--outcome", "anxiety_long"]
    code, out, _ = cli("funnel", CANCER, *several, "-o", tmp_path / "{outcome}.svg")
    assert code == 0
    assert out.split() == [str(tmp_path / f"anxiety_{name}.svg") for name in ("medium", "long")]
    code, out, _ = cli("funnel", CANCER, *several, "-o", tmp_path / "folder")
    assert code == 0
    assert sorted(item.name for item in (tmp_path / "folder").iterdir()) == [
        "anxiety_long.funnel.png",
        "anxiety_medium.funnel.png",
    ]


def test_outcomes_without_a_regression_are_named_not_drawn(cli, tmp_path):
    code, out, err = cli("bubble", CANCER, "--outcome", "anxiety_medium", "--moderator", "timing", "-o", tmp_path)
    assert (code, out) == (3, "")
    assert "not drawn: anxiety_medium: not estimable" in err


def test_pinning_what_is_not_a_protocol_says_where(cli, tmp_path):
    path = tmp_path / "protocol.toml"
    path.write_text("schema = ")
    code, out, err = cli("check", path, "--pin")
    assert (code, out) == (3, "")
    assert err.startswith("error: protocol.toml: not valid TOML")
    path.write_text('schema = 2\ntitle = "x"\ndata.path = "t.csv"\n')
    (tmp_path / "t.csv").write_text("study\n")
    code, _, err = cli("check", path, "--pin")
    assert code == 3
    assert "by hand" in err
    assert "sha256" not in path.read_text()
