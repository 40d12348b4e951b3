"""Scripts for other programs: those for metafor and PyMC are run, and fail by themselves where the answers differ."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.setup import write_scripts
from bayesmeta_cli.main import main

ROOT = Path(__file__).parents[2]


def written(fit: bm.Fit, to: str, place: Path) -> Path:
    return write_scripts([bm.analysis_of(fit)], to, place)[0]


def run(*command: str, folder: Path) -> str:
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def tampered(folder: Path, quantity: str) -> None:
    """Move our answer, so that a script that compares must fail."""
    expected = pd.read_csv(folder / "expected.csv", index_col=0)
    expected.loc[quantity, "value"] += 0.01
    expected.to_csv(folder / "expected.csv")


def test_metafor_agrees_with_a_real_outcome_whose_trials_share_control_arms(tmp_path: Path) -> None:
    """The command line's folder, run by R as a reviewer would; and the script can fail."""
    protocol = ROOT / "models" / "cancer_exercise.toml"
    assert main(["export", str(protocol), "--to", "r", "--outcome", "qol_short", "-o", str(tmp_path)]) == 0
    folder = tmp_path / "qol_short"
    assert "because rows share patients" in (folder / "README.md").read_text()
    assert sorted(path.name for path in folder.glob("*.R")) == ["metafor.R"]
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("R is not installed")
    assert "metafor and bayesmeta agree." in run(rscript, "metafor.R", folder=folder)
    tampered(folder, "classical estimate")
    found = subprocess.run([rscript, "metafor.R"], cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode != 0


def test_metafor_agrees_with_independent_rows(tmp_path: Path) -> None:
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("R is not installed")
    folder = written(bm.example()[2], "r", tmp_path)
    assert "metafor and bayesmeta agree." in run(rscript, "metafor.R", folder=folder)


def test_the_pymc_script_agrees_and_can_fail(tmp_path: Path) -> None:
    """Rows that share patients, so that S and R are written and read; five Monte Carlo standard errors."""
    effects = bm.Effects(
        ["A", "A", "B", "C", "D"],
        [-0.4, -0.2, -0.1, -0.5, 0.1],
        [0.2, 0.25, 0.15, 0.3, 0.2],
        measure="SMD",
        label=["A [1]", "A [2]", "B", "C", "D"],
        blocks=[([0, 1], [[0.04, 0.02], [0.02, 0.0625]])],
    )
    folder = written(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))), "pymc", tmp_path)
    S = np.loadtxt(folder / "covariance.csv", delimiter=",")
    assert np.array_equal(S, effects.covariance())
    assert "PyMC and bayesmeta agree." in run(sys.executable, "model.py", folder=folder)


@pytest.mark.parametrize(
    ("prior", "stan", "r", "pymc"),
    [
        (bm.HalfCauchy(0.5), "tau ~ cauchy(0, 0.5);", "2 * dcauchy(t, 0, 0.5)", 'pm.HalfCauchy("tau", beta=0.5)'),
        (bm.LogNormal(-1, 0.5), "tau ~ lognormal(-1.0, 0.5);", "dlnorm(t, -1.0, 0.5)", "mu=-1.0, sigma=0.5"),
        (bm.Uniform(0, 2), "real<lower=0, upper=2> tau;", "dunif(t, 0.0, 2.0)", "lower=0.0, upper=2.0"),
        (bm.InverseGamma(1, 0.15), "tau ~ inv_gamma(1.0, 0.15);", "exp(-0.15 / t)", "alpha=1.0, beta=0.15"),
        (bm.Rhodes2015(), "student_t_lpdf(log(tau) |", "dt((log(t) -", 'pm.Deterministic("tau", pm.math.exp('),
    ],
)
def test_every_prior_is_written_in_each_language(
    tmp_path: Path, prior: bm.priors.Prior, stan: str, r: str, pymc: str
) -> None:
    """Parametrisations by the manuals of Stan, R and PyMC: scales, not variances; half distributions by a bound."""
    effects = bm.example()[0]
    fit = bm.fit(effects, bm.Model(bm.Flat(), prior))
    assert stan in (written(fit, "stan", tmp_path / "s") / "model.stan").read_text()
    assert r in (written(fit, "r", tmp_path / "r") / "bayesmeta.R").read_text()
    assert pymc in (written(fit, "pymc", tmp_path / "p") / "model.py").read_text()


@pytest.mark.parametrize(
    ("mu", "tau", "stan", "brms"),
    [
        (
            bm.Uniform(-0.75, 2),
            bm.Uniform(0.1, 1.0000001),
            ["real<lower=-0.75, upper=2> mu;", "real<lower=0.1, upper=1.0000001> tau;"],
            ['class = "Intercept", lb = -0.75, ub = 2', 'class = "sd", lb = 0.1, ub = 1.0000001'],
        ),
        (
            bm.priors.Truncated(bm.Normal(0, 1), -1, math.inf),
            bm.priors.Truncated(bm.HalfNormal(0.5), 0, 3),
            ["real<lower=-1> mu;", "mu ~ normal(0.0, 1.0);", "real<lower=0, upper=3> tau;", "tau ~ normal(0, 0.5);"],
            ['"normal(0.0, 1.0)", class = "Intercept", lb = -1)', '"normal(0, 0.5)", class = "sd", lb = 0, ub = 3)'],
        ),
        (bm.Normal(0, 1), bm.HalfNormal(0.5), ["real mu;", "real<lower=0> tau;"], ['class = "Intercept")', '"sd")']),
    ],
)
def test_a_prior_with_ends_bounds_its_parameter(
    tmp_path: Path, mu: bm.priors.Prior, tau: bm.priors.Prior, stan: list[str], brms: list[str]
) -> None:
    """Stan's reference manual: a parameter must have every value between its declared bounds. brms: lb, ub."""
    fit = bm.fit(bm.example()[0], bm.Model(mu, tau))
    text = (written(fit, "stan", tmp_path / "s") / "model.stan").read_text()
    assert [line for line in stan if line not in text] == []
    text = (written(fit, "r", tmp_path / "r") / "brms.R").read_text()
    assert [words for words in brms if words not in text] == []


def test_what_one_language_lacks_keeps_no_other_from_being_written(tmp_path: Path) -> None:
    """Jeffreys' prior is in none of the samplers; metafor knows no priors."""
    fit = bm.fit(bm.example()[0], bm.Model(bm.Flat(), bm.priors.Jeffreys()))
    folder = written(fit, "r", tmp_path / "r")
    assert sorted(path.name for path in folder.glob("*.R")) == ["metafor.R"]
    readme = " ".join((folder / "README.md").read_text().split())
    assert "`brms.R`, because jeffreys() is not among Stan's families; it takes normal, studentt, cauchy," in readme
    assert "`bayesmeta.R`, because" in readme
    for to in ("stan", "pymc"):
        with pytest.raises(bm.ModelError, match=r"jeffreys\(\) is not written for .* Use one of normal, "):
            write_scripts([bm.analysis_of(fit)], to, tmp_path / to)
        assert not (tmp_path / to).exists()
    # cut priors are not written for PyMC, and are for R
    cut = bm.fit(bm.example()[0], bm.Model(bm.Normal(0, 1), bm.priors.Truncated(bm.HalfNormal(0.5), 0, 1)))
    assert "brms.R" in {path.name for path in written(cut, "r", tmp_path / "cut").iterdir()}


def test_densities_written_for_r_are_ours(tmp_path: Path) -> None:
    """By R's own functions, at five values of tau."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("R is not installed")
    priors = (bm.HalfNormal(0.5), bm.HalfCauchy(0.3), bm.HalfStudentT(0.4, 3), bm.LogNormal(-1, 0.5), bm.Rhodes2015())
    priors = (*priors, bm.InverseGamma(1.3, 0.15), bm.Exponential(2), bm.Uniform(0, 2))
    t = np.array([0.05, 0.2, 0.5, 1.0, 1.7])
    lines = []
    for number, prior in enumerate(priors):
        fit = bm.fit(bm.example()[0], bm.Model(bm.Normal(0, 1), prior))
        script = (written(fit, "r", tmp_path / str(number)) / "bayesmeta.R").read_text()
        density = next(line for line in script.splitlines() if "tau.prior" in line).split("function(t) ")[1]
        lines.append(f"cat(sprintf('%.15g', {density}), '\\n')")
    (tmp_path / "d.R").write_text("t <- c(0.05, 0.2, 0.5, 1.0, 1.7)\n" + "\n".join(lines))
    out = run(rscript, "d.R", folder=tmp_path)
    for prior, line in zip(priors, out.splitlines(), strict=True):
        # fifteen digits are printed; gamma functions lose one or two
        assert np.fromstring(line, sep=" ") == pytest.approx(np.exp(prior.logpdf(t)), rel=1e-12)


def test_what_scripts_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    effects, model, _ = bm.example()
    plain = bm.fit(effects, model)
    moderated = bm.Effects(list("ABC"), [0.1, 0.2, 0.3], [0.1] * 3, measure="SMD", moderators={"weeks": [1.0, 2, 3]})
    fit = bm.fit(moderated, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"weeks": bm.Normal(0, 1)}))
    with pytest.raises(bm.ModelError, match="it has moderators"):
        write_scripts([bm.analysis_of(plain), bm.analysis_of(fit)], "r", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(bm.ModelError, match="not one of r, pymc, stan"):
        write_scripts([bm.analysis_of(plain)], "julia", tmp_path)  # type: ignore[arg-type]
    assert main(["export", str(ROOT / "models" / "cancer_exercise.toml"), "--to", "julia"]) == 2
