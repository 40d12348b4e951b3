"""What docs show of other tools is run: ArviZ, a notebook, Snakemake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import arviz as az
import nbformat
import pytest
from nbclient import NotebookClient

import bayesmeta as bm
from pinned import PINS
from references import ROOT

DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in which pictures are drawn without a display."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# the stored sample is small and of three trials, of which PSIS-LOO rightly warns
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")
def test_the_page_on_arviz_runs_on_an_exact_and_on_a_sampled_fit(
    headless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(PINS / "fits" / "nuts_pooled.nc", headless / "sampled.nc")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "arviz.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    exact, sampled = names["fit"], names["sampled"]
    assert isinstance(exact, bm.Fit)
    assert isinstance(sampled, bm.Fit)
    assert (exact.engine, sampled.engine) == ("exact", "nuts")
    pictures = {path.stem for path in headless.glob("*.png") if path.stat().st_size > 5_000}
    assert pictures == {f"{first}_{kind}" for first, kind in (("arviz", "forest"), ("arviz", "dist"))} | {
        "sampled_forest",
        "sampled_dist",
    }
    printed = capsys.readouterr().out
    # one expected log density of each fit, whose points are the trials
    assert printed.count("elpd_loo") == 2
    for fit in (exact, sampled):
        assert az.loo(fit.tree).n_data_points == fit.effects.n_trials
    assert "random effects" in printed


def test_the_notebook_runs_and_shows_cards() -> None:
    """Its outputs are not stored: they are made here, by the kernel of this environment."""
    notebook = nbformat.read(DOCS / "notebooks" / "exercise.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = [output.data for cell in code for output in cell.outputs if output.output_type == "execute_result"]
    cards = [data["text/html"] for data in shown if 'class="bayesmeta"' in data.get("text/html", "")]
    # the analysis, two tables, of which one is of intervals, and a fit
    assert ["<svg" in card for card in cards] == [True, True, False, True]
    assert "REML + HKSJ" in cards[0]
    assert any("image/png" in data for data in shown)
    assert all("text/plain" in data for data in shown)


def snakemake(place: Path, *arguments: str) -> str:
    """Run the Snakefile of the docs on the small example; what it printed."""
    command = [str(BIN / "snakemake"), "--snakefile", str(DOCS / "snakemake" / "Snakefile"), "--cores", "1"]
    result = subprocess.run(
        [*command, *arguments, "--config", "protocol=small/protocol.toml"],
        cwd=place,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(place)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_the_snakefile_checks_and_fits_and_knows_what_the_report_needs(tmp_path: Path) -> None:
    """The report itself is written in `.ci/run`, by the same file."""
    shutil.copytree(ROOT / "src" / "bayesmeta" / "example", tmp_path / "small")
    planned = snakemake(tmp_path, "--dry-run")
    assert [rule for rule in ("check", "fit", "report") if f"rule {rule}:" in planned] == ["check", "fit", "report"]
    snakemake(tmp_path, "results/anxiety/fits")
    (stored,) = (tmp_path / "results" / "anxiety" / "fits").glob("anxiety.nc")
    assert bm.load(stored).outcome.key == "anxiety"  # type: ignore[union-attr]
    # nothing is made twice, and what the data change is made anew
    assert "Nothing to be done" in snakemake(tmp_path, "results/anxiety/fits", "--dry-run")
    table = tmp_path / "small" / "trials.csv"
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "rule fit:" in snakemake(tmp_path, "results/anxiety/fits", "--dry-run")
