"""An analysis holds what was asked of it, whoever made it, and says what it cannot do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.analysis import with_threshold
from bayesmeta.report import write_fits
from bayesmeta_cli.main import main
from references import ROOT

TABLE = ROOT / "data" / "exercise_depression_10_trials.csv"
COLUMNS = {"estimate": "smd", "se": "sesmd"}


def one_trial() -> bm.Fit:
    effects = bm.Effects(["A"], [np.log(0.8)], [0.2], measure="OR", better="lower")
    return bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))


def test_a_fit_without_a_protocol_is_judged_by_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, fit = bm.example()
    judged = with_threshold(bm.analysis_of(fit), 0.2)
    assert judged.primary is not None
    assert judged.primary.benefit_distance == 0.2
    expected = bm.benefit_table(fit, 0.2)
    assert bm.benefit_table(judged.pooled)["p_important_benefit"].equals(expected["p_important_benefit"])
    path = fit.save(tmp_path / "fit.nc")
    assert main(["benefit", str(path), "--threshold", "0.2"]) == 0
    assert bm.percent(expected["p_important_benefit"].iloc[0]) in capsys.readouterr().out


def test_one_trial_prints_what_is_defined() -> None:
    text = repr(bm.analysis_of(one_trial()))
    assert "1 estimate of 1 trial, OR, lower is better" in text
    assert "not defined" not in text
    # effects of an analysis are odds ratios; a fit says that its own are on the log scale
    assert f"common effect  {0.8:.2f} (" in " ".join(text.split("  ")).replace("common effect ", "common effect  ")
    assert "OR, on the log scale, 1 estimate of 1 trial" in repr(one_trial())


def test_the_classical_check_of_an_analysis() -> None:
    _, _, fit = bm.example()
    analysis = bm.analysis_of(fit)
    line = analysis.methods.set_index("method").loc["REML + HKSJ"]
    assert analysis.classical.estimate == pytest.approx(line["estimate"], rel=1e-12)
    assert (analysis.classical.method, analysis.classical.ci) == ("REML", "hksj")
    assert bm.analysis_of(one_trial()).classical.method == "EE"


def test_a_table_states_its_defaults_and_a_threshold_needs_a_direction() -> None:
    protocol = bm.table_protocol(TABLE, measure="SMD", columns=COLUMNS, tau="halfnormal(1)")
    assert [text.split(":")[0] for text in protocol.assumptions] == ["mu normal(0, 1)", "no direction is stated"]
    (outcome,) = protocol.outcomes.values()
    assert outcome.model.sources["tau"] == "stated by the user"
    with pytest.raises(bm.ModelError, match="a threshold needs a direction"):
        bm.table_protocol(TABLE, measure="SMD", columns=COLUMNS, threshold=0.5)


def test_pool_and_a_protocol_of_the_same_table_agree() -> None:
    protocol = bm.table_protocol(TABLE, measure="SMD", better="lower", columns=COLUMNS)
    (pooled,) = bm.analyse_all(protocol)
    stated = bm.analyse(ROOT / "models" / "exercise_depression.toml", "depression", declared=False)
    assert pooled.pooled.model == stated.pooled.model
    np.testing.assert_array_equal(pooled.effects.y, stated.effects.y)
    assert pooled.summary_table.equals(stated.summary_table)


def test_analyses_of_one_key_are_not_written_over_each_other(tmp_path: Path) -> None:
    _, _, fit = bm.example()
    both = [bm.analysis_of(fit), bm.analysis_of(one_trial())]
    for write in (bm.write_report, write_fits):
        with pytest.raises(bm.ModelError, match="several analyses are called analysis"):
            write(both, tmp_path)
    with pytest.raises(bm.ModelError, match="no analysis"):
        write_fits([], tmp_path)
    assert not list(tmp_path.iterdir())
    apart = [both[0], dataclasses.replace(both[1], key="one")]
    assert write_fits(apart, tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"analysis.nc", "one.nc", "run.json"}


def test_analyses_of_several_protocols_have_a_report_each(tmp_path: Path) -> None:
    table = bm.table_protocol(TABLE, measure="SMD", better="lower", columns=COLUMNS)
    stated = bm.analyse(ROOT / "models" / "exercise_depression.toml", "depression", declared=False)
    with pytest.raises(bm.ModelError, match="of several protocols"):
        bm.write_report([*bm.analyse_all(table), stated], tmp_path)


# -- moderators that some trials do not state --------------------------------------------------------------------------


def partly_stated(folder: Path, keys: str) -> Path:
    """Eight rows of seven trials; two trials, three rows, do not state the weeks, and one has no site."""
    weeks = [4, 8, None, 12, 16, None, None, 10]
    sites = ["home", "home", "home", "gym", "gym", "", "gym", "gym"]
    study = ["A", "B", "C", "D", "E", "F", "F", "G"]
    lines = ["study,estimate,se,weeks,site,arm_t,arm_c"]
    for i, (name, value, site) in enumerate(zip(study, weeks, sites, strict=True)):
        lines.append(f"{name},{0.1 * i},0.2,{'' if value is None else value},{site},arm {i},control {i}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "p.toml"
    path.write_text(
        'schema = 2\ntitle = "T"\n[data]\npath = "t.csv"\n'
        '[outcome.x]\nlabel = "X"\nmeasure = "SMD"\nbetter = "higher"\n'
        f'priors.mu = "normal(0, 1)"\npriors.tau = "halfnormal(0.5)"\n{keys}\n',
        encoding="utf-8",
    )
    return path


@pytest.mark.filterwarnings("ignore::bayesmeta.BayesmetaWarning")
def test_exclude_touches_the_moderated_analysis_alone(tmp_path: Path) -> None:
    stated = bm.analyse(partly_stated(tmp_path, 'moderators = ["weeks"]\nmissing = "exclude"'), "x")
    without = bm.analyse(partly_stated(tmp_path, ""), "x")
    assert stated.pooled.effects.k == without.pooled.effects.k == 8
    assert bm.summarize(stated.pooled).equals(bm.summarize(without.pooled))
    assert stated.moderated is not None
    assert (stated.moderated.effects.k, stated.moderated.effects.n_trials) == (5, 5)
    assert "3 rows of 2 trials (C, F) not used here, because weeks is not reported" in stated.reason
    # the Bayes factor has both models of the five rows
    null = bm.fit(stated.moderated.effects, dataclasses.replace(stated.moderated.model, beta={}))
    tests = stated.moderators[stated.moderators["part"] == "test"]
    assert tests["bayes_factor"].iloc[0] == pytest.approx(bm.bayes_factor(stated.moderated, null), rel=1e-9)
    # and the scale of the slope is that of all trials that state it
    weeks = np.array([4, 8, 12, 16, 10.0])
    assert stated.moderated.model.beta["weeks"].prior.sd == pytest.approx(0.5 / (2 * weeks.std(ddof=1)))


@pytest.mark.filterwarnings("ignore::bayesmeta.BayesmetaWarning")
def test_subgroups_of_a_column_with_empty_cells_are_of_the_rows_that_state_it(tmp_path: Path) -> None:
    keys = 'subgroups = ["site"]\nmoderators = ["weeks"]\nmissing = "impute"\n[outcome.x.impute.weeks]\n'
    path = partly_stated(tmp_path, keys + 'mean = "normal(10, 5)"\nsd = "halfnormal(5)"')
    found = bm.analyse(path, "x", moderated=False)
    alone = {name: fit.effects.k for name, fit in found.declared.items()}
    assert alone == {"subgroup: site = home": 3, "subgroup: site = gym": 4}
    assert found.not_done == {"subgroup: site not reported": "1 row in no subgroup of site"}
