"""The command line: what it prints, where, with which exit code, and what it leaves on disk.

Authorities: the library (numbers printed are the library's), tests/reference/bcg_rr.json (R metafor 5.1.12) and
tests/reference/published.md section 6.1 (quadrature on log tau).
"""

from __future__ import annotations

import doctest
import importlib
import io
import json
import re
import subprocess
import sys
from importlib import metadata

import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.analysis import fitting
from bayesmeta_cli import files, helping, messages, render
from bayesmeta_cli.main import main
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"
DEPRESSION = ROOT / "models" / "exercise_depression.toml"
HIIT = ROOT / "models" / "hiit.toml"
DEPRESSION_CSV = ROOT / "data" / "exercise_depression_10_trials.csv"
MAPPED = ["--column", "estimate=smd", "--column", "se=sesmd"]
# a printed number with d decimals is within half a unit of its last decimal of what it stands for
HALF_UNIT = 0.5 + 1e-9
# published.md prints six decimals
SIX_DECIMALS = 5.1e-7

COMMANDS = {
    "check": ["PROTOCOL|CSV", "--pin", "--schema", "--measure", "--column", "--json", "--csv"],
    "pool": ["CSV", "--measure", "--mu", "--tau", "--by", "--better", "--threshold", "--ref-sd", "--json", "--csv"],
    "fit": ["PROTOCOL", "--outcome", "--engine", "-o", "--json", "--csv"],
    "curve": ["PROTOCOL|FIT", "-o", "--moderator", "--outcome", "--fits", "--json", "--csv"],
    "outliers": ["PROTOCOL|FIT", "-o", "--outcome", "--fits", "--json", "--csv"],
    "ppc": ["PROTOCOL|FIT", "--section", "--moderated", "--figure", "--outcome", "--fits", "--json", "--csv"],
    "profiles": ["PROTOCOL|FIT", "--moderator", "--figure", "--outcome", "--fits", "--json", "--csv"],
    "joint": ["PROTOCOL", "-o", "--sensitivity", "--json", "--csv"],
    "borrow": ["PROTOCOL", "--weight", "--figure", "--outcome", "--json", "--csv"],
    "compare": ["PROTOCOL|FIT", "--preset", "--outcome", "--fits", "--json", "--csv"],
    "benefit": ["PROTOCOL|FIT", "--threshold", "--outcome", "--fits", "--json", "--csv"],
    "sensitivity": ["PROTOCOL", "--section", "--outcome", "--cut", "--order", "-o", "--json", "--csv"],
    "bias": ["PROTOCOL|CSV", "--ensemble", "--direction", "--models", "--outcome", "--measure", "--json", "--csv"],
    "influence": ["PROTOCOL|FIT", "--gosh", "--figure", "--outcome", "--fits", "--json", "--csv"],
    "multiverse": ["PROTOCOL", "--figure", "--outcome", "--json", "--csv"],
    "forensics": ["PROTOCOL|CSV", "--column", "--grain", "--bounds", "--rules", "--json", "--csv"],
    "reanalyse": ["CSV", "--mu", "--tau", "--threshold", "--better", "--outcome", "--figure", "--json", "--csv"],
    "audit": ["PUBLISHED", "TRIALS", "--strict", "--rules", "--json", "--csv"],
    "report": ["PROTOCOL", "-o", "--outcome", "--engine"],
    "cite": ["PROTOCOL|FIT", "--bibtex", "--outcome", "--fits"],
    "forest": ["PROTOCOL|FIT", "-o", "--outcome", "--fits", "--subgroup", "--style", "--order", "--limits", "--page"],
    "mu-tau": ["PROTOCOL|FIT", "-o", "--outcome", "--fits"],
    "new-study": ["PROTOCOL|FIT", "-o", "--outcome", "--fits"],
    "icons": ["PROTOCOL|FIT", "-o", "--risk", "--outcome", "--fits"],
    "heterogeneity": ["PROTOCOL|FIT", "-o", "--outcome", "--fits"],
    "benefit-curve": ["PROTOCOL|FIT", "-o", "--outcome", "--fits", "--threshold"],
    "funnel": ["PROTOCOL|FIT", "-o", "--fill", "--outcome", "--fits"],
    "bubble": ["PROTOCOL|FIT", "-o", "--outcome", "--fits", "--moderator"],
    "example": ["DIR"],
    "explain": ["RULE"],
    "doctor": ["--no-engines"],
    "template": ["FILE"],
    "export": ["PROTOCOL|FIT", "--to", "-o", "--outcome", "--fits"],
    "init": ["TABLE", "--map", "--outcome", "--measure", "--better", "--moderator", "--threshold", "--yes", "--force"],
}


@pytest.fixture
def cli(capsys):
    """Run a command; return its exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def bcg():
    return json.loads((ROOT / "tests" / "reference" / "bcg_rr.json").read_text())


@pytest.fixture
def bcg_csv(bcg, tmp_path):
    path = tmp_path / "bcg.csv"
    pd.DataFrame([{"study": name, **raw} for name, raw in zip(bcg["label"], bcg["raw"], strict=True)]).to_csv(
        path, index=False
    )
    return path


def table(tmp_path, text, name="trials.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def read_back(text):
    """A printed CSV with every number as Python reads it, which is correctly rounded."""
    frame = pd.read_csv(io.StringIO(text), dtype=str)

    def numbers(column):
        try:
            return column.map(float, na_action="ignore").astype(float)
        except ValueError:
            return column

    return frame.apply(numbers)


# -- help and start-up -------------------------------------------------------------------------------------------------


def test_help_lists_every_command(cli):
    code, out, err = cli("--help")
    assert (code, err) == (0, "")
    listed = re.findall(r"^  ([a-z-]+)  ", out.split("Start:")[1], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    assert " ".join(helping.GROUPS.values()).split() == listed
    assert re.findall(r"^([A-Z][a-z]+):$", out, re.MULTILINE)[1:] == list(helping.GROUPS)
    assert max(map(len, out.splitlines())) <= 80
    assert "..." not in out.split("Start:")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_names_its_arguments(cli, command):
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert [word for word in COMMANDS[command] if word not in out] == []


def test_no_arguments_prints_the_help(cli):
    assert cli() == cli("--help") == cli("-h")
    assert cli()[0] == 0
    assert cli("pool", "-h") == cli("pool", "--help")


def test_version(cli):
    assert cli("--version") == (0, f"bayesmeta {metadata.version('bayesmeta')}\n", "")


def modules_after(*arguments):
    """Modules loaded by a command in a fresh interpreter."""
    script = (
        "import sys; from bayesmeta_cli.main import main; code = main(sys.argv[1:]); "
        "print('\\n'.join(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stderr.split()), done.stdout


def test_help_imports_nothing_heavy():
    loaded, out = modules_after("--help")
    heavy = {"numpy", "pandas", "scipy", "xarray", "matplotlib", "pydantic", "pymc", "arviz", "netCDF4", "rich"}
    assert "Publish:" in out
    assert loaded & heavy == set()


def test_pool_imports_only_what_the_answer_needs():
    loaded, out = modules_after("pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD")
    heavy = {"scipy.stats", "scipy.optimize", "xarray", "matplotlib", "pydantic", "pymc", "arviz", "netCDF4"}
    if any(item.startswith("pydantic") for item in metadata.requires("typer") or []):
        # this typer checks its own arguments with pydantic; bayesmeta does not ask for it here
        heavy -= {"pydantic"}
    assert "mean effect (mu)" in out
    assert loaded & heavy == set()
    assert "bayesmeta.protocol" not in loaded


def test_what_is_exact_does_not_load_the_sampler(tmp_path):
    loaded, _ = modules_after("fit", DEPRESSION, "-o", tmp_path / "fits")
    assert loaded & {"pymc", "pytensor", "numba", "nutpie"} == set()
    assert "bayesmeta.exact.quadrature" in loaded


# -- exit codes --------------------------------------------------------------------------------------------------------

REFUSED = [
    (["nonsense"], 2, "nonsense"),
    (["pool"], 2, "TABLE"),
    (["pool", "nowhere.csv"], 2, "nowhere.csv: no such file"),
    (["pool", "nowhere.xlsx"], 2, "nowhere.xlsx: no such file"),
    (["fit", "nowhere.toml", "-o", "out"], 2, "nowhere.toml: no such file"),
    (["fit", DEPRESSION_CSV], 2, "is not a protocol"),
    (["pool", DEPRESSION], 2, "is not a table"),
    (["pool", ROOT / "data"], 2, "is a folder"),
    (["pool", DEPRESSION_CSV, *MAPPED], 3, "--ref-sd"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SDM"], 3, "SMD"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--tau", "halfnormal(-1)"], 3, "halfnormal"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--mu", "gaussian(0, 1)"], 3, "normal"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--better", "up"], 2, "higher, lower"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--threshold", "0.5"], 2, "--better"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--ref-sd", "ten"], 2, "not a number"),
    (["pool", DEPRESSION_CSV, "--column", "estimate", "--measure", "SMD"], 2, "NAME=VALUE"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--json", "--csv"], 2, "choose one"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--by", "colour"], 3, "colour"),
    (["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--where", "itt=Perhaps"], 3, "No, Yes"),
    (["fit", DEPRESSION, "--outcome", "depresion"], 3, "Did you mean depression"),
    (["fit", DEPRESSION, "--engine", "magic"], 3, "Allowed: auto, exact"),
    (["benefit", DEPRESSION, "--threshold", "-0.5"], 3, "positive distance"),
    (["compare", DEPRESSION, "--fits", "nowhere"], 2, "bayesmeta fit"),
    (["forest", DEPRESSION, "-o", "picture.gif"], 2, ".png, .svg, .pdf"),
    (["forest", DEPRESSION, "-o", "picture.svg", "--limits", "1"], 2, "write LOW,HIGH"),
    (["forest", DEPRESSION, "-o", "picture.svg", "--style", "nejm"], 3, "Allowed: journal, revman, jama, bmj"),
    (["forest", CANCER, "-o", "picture.png"], 2, "{outcome}"),
    (["bubble", DEPRESSION, "--moderator", "weeks", "-o", "b.png"], 3, "weeks"),
    (["check"], 2, "PROTOCOL or a CSV"),
    (["check", DEPRESSION_CSV, "--pin"], 2, "--pin"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED)
def test_refusals_are_one_line_on_stderr(cli, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    found, out, err = cli(*arguments)
    told = [line for line in err.splitlines() if not line.startswith(("note: ", "warning: "))]
    assert (found, out) == (code, "")
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert words in told[0]
    assert list(tmp_path.iterdir()) == []


HEADER = "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c\n"
SOUND = "A,20,1.0,2.0,20,2.0,2.0\nB,30,1.5,2.0,30,2.0,2.0\n"
BAD_TABLES = {
    "empty": ("", ["it is empty"]),
    "header alone": (HEADER, ["no rows"]),
    "sd is zero": (HEADER + "A,20,1,0,20,2,2\n", ["row 2, column sd_t"]),
    "two faults": (HEADER + "A,20,1,0,20,2,2\nB,30,x,2,30,2,2\n", ["row 2, column sd_t", "row 3, column mean_t"]),
    "a cell too few": (HEADER + "A,20,1,2,20,2\n", ["6 cells"]),
    "a row twice": (HEADER + "A,20,1,2,20,2,2\n" * 2, ["rows 2, 3 (A)"]),
    "no columns of means": ("study,height\nA,3\n", ["no columns to make SMD from"]),
    "negative se": ("study,estimate,se\nA,0.1,-0.2\n", ["row 2, column se"]),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_tell_every_fault_in_a_line_of_its_own(cli, tmp_path, name):
    text, faults = BAD_TABLES[name]
    path = table(tmp_path, text)
    code, out, err = cli("pool", path, "--measure", "SMD")
    assert (code, out) == (3, "")
    lines = err.splitlines()
    assert len(lines) == len(faults)
    for line, words in zip(lines, faults, strict=True):
        assert line.startswith("error: trials.csv")
        assert words in line


def broken_protocol(tmp_path, old, new):
    """Copy of the example with one text replaced, beside its table."""
    files.copy_example(tmp_path)
    path = tmp_path / "protocol.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ('better = "lower"', 'better = "down"', ["outcome.anxiety.better"]),
        ('path = "trials.csv"', 'path = "trials.csv"\nsha265 = "x"', ["data.sha265"]),
        ("scale = 0.25", "scale = -0.25", ["priors.tau"]),
        ('title = "Example', 'tilte = "Example', ["tilte", "title"]),
        ("schema = 2", "schema = 3", ["Update bayesmeta"]),
        ("schema = 2", "schema = ", ["not valid TOML"]),
        ('measure = "SMD"', 'measure = "OR"', ["thresholds[0].worse", "thresholds[1].worse"]),
        ('reference = { exercise = "aerobic"', 'reference = { exercise = "swimming"', ["swimming"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "fit"])
def test_bad_protocols_tell_every_fault_and_write_nothing(cli, tmp_path, command, old, new, faults):
    path = broken_protocol(tmp_path / "example", old, new)
    out_folder = tmp_path / "out"
    code, out, err = cli(command, path, *(["-o", out_folder] if command == "fit" else []))
    assert (code, out) == (3, "")
    for words in faults:
        assert any(words in line for line in err.splitlines())
    told, last = err.splitlines(), []
    if command == "check":
        # check ends with what to do about the first fault
        told, last = told[:-1], told[-1:]
        where = told[0].removeprefix("error: ").partition(": ")[0]
        assert last[0].startswith(f"next: correct {where} first")
    assert all(line.startswith("error: ") for line in told)
    assert not out_folder.exists()


def test_check_reads_the_sensitivity_analyses_too(cli, tmp_path):
    path = broken_protocol(
        tmp_path,
        'name = "mu flat"',
        'name = "without nobody"\nexclude = [{ where = { study = "Nobody 1900" }, reason = "a slip" }]\n'
        '[[sensitivity]]\nname = "mu flat"',
    )
    code, _, err = cli("check", path)
    assert code == 3
    assert "sensitivity 'without nobody'" in err
    assert "Nobody 1900" in err


def test_a_bug_is_one_line_and_says_so(cli, monkeypatch):
    monkeypatch.setattr("bayesmeta_cli.commands.pool", lambda *_: 1 / 0)
    arguments = ["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD"]
    monkeypatch.delenv("BAYESMETA_DEBUG", raising=False)
    code, out, err = cli(*arguments)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "this is a bug" in err
    monkeypatch.setenv("BAYESMETA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli(*arguments)


def test_inference_that_fails_is_exit_4(cli, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise bm.InferenceError("the integral did not settle")

    monkeypatch.setattr(fitting, "fit", fail)
    code, out, err = cli("fit", DEPRESSION, "-o", tmp_path / "out")
    assert (code, out, err) == (4, "", "error: depression: the integral did not settle\n")
    assert not (tmp_path / "out").exists()


def test_a_broken_pipe_is_no_fault():
    command = f"{sys.executable} -m bayesmeta_cli.main check models/cancer_exercise.toml | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=ROOT)
    # what to do next is said beside what is printed
    assert all(line.startswith("next: ") for line in done.stderr.splitlines())
    assert done.stdout.startswith("Exercise in cancer")


# -- pool --------------------------------------------------------------------------------------------------------------


def row_of(out, name):
    """Numbers of the first printed line that starts with a name."""
    line = next(line for line in out.splitlines() if line.startswith(name))
    return re.findall(r"-?\d+\.\d+", line.removeprefix(name))


def is_printed(text, value):
    decimals = len(text.partition(".")[2])
    return abs(float(text) - value) <= HALF_UNIT * 10**-decimals


def test_pool_prints_what_quadrature_on_log_tau_and_metafor_give(cli, bcg, bcg_csv):
    code, out, err = cli(
        "pool",
        bcg_csv,
        "--measure",
        "RR",
        "--mu",
        "flat()",
        "--tau",
        "halfnormal(0.5)",
        "--better",
        "lower",
        "--threshold",
        "0.8",
    )
    assert (code, err) == (0, "")
    from math import exp

    # published.md 6.1, "Bayes HN(0.5), flat mu, exact quadrature"
    for name, values in {
        "mean effect (mu)": [exp(-0.709151), exp(-1.091197), exp(-0.347000)],
        "heterogeneity SD (tau)": [0.553754, 0.345504, 0.901895],
        "REML + HKSJ": [exp(bcg["classical"]["REML_knha"][key]) for key in ("estimate", "ci_low", "ci_high")],
    }.items():
        printed = row_of(out, name)
        assert len(printed) == 3
        assert all(map(is_printed, printed, values))
    assert row_of(out, "  its prediction interval") == ["0.14", "1.76"]
    # 0.994136 and 0.800262
    assert row_of(out, "important benefit") == ["99.4", "80.0"]
    assert "95 % central credible interval" in out
    assert "t_km1" in out
    assert out.rstrip().replace("\n", " ").endswith(bm.CAVEAT)


def test_pool_states_its_default_priors_with_their_source(cli):
    _, out, _ = cli("pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD")
    text = " ".join(out.split())
    assert "Prior of mu: normal(0, 1)" in text
    assert "Prior of tau: halfnormal(0.5)" in text
    assert "doi:10.1002/jrsm.1217" in text
    # without a direction there is no benefit, only sides
    assert "any benefit" not in text
    assert "the probability that it is below 0" in text


def test_pool_of_bare_estimates_says_generic_and_needs_a_scale(cli, tmp_path):
    path = table(tmp_path, "study,estimate,se\nA,5,2\nB,7,3\nC,1,2\n")
    code, out, err = cli("pool", path, "--ref-sd", "10")
    assert code == 0
    assert "measure generic" in err
    # normal(0, 1) and halfnormal(0.5) of a standardised difference, in units of which 10 are an SD
    assert "normal(0, 10)" in out
    assert "halfnormal(5)" in out


def test_pool_never_mixes_outcomes(cli):
    arguments = [
        "pool",
        ROOT / "data" / "cancer_exercise_trials.csv",
        "--measure",
        "SMD",
        "--better",
        "lower",
        "--column",
        "arm_t=exercise",
        "--column",
        "arm_c=comparator",
    ]
    code, _, err = cli(*arguments)
    assert code == 3
    assert "--by outcome" in err
    code, out, err = cli(
        *arguments, "--where", "outcome=fatigue", "--where", "comparator=no exercise", "--by", "horizon", "--csv"
    )
    assert (code, err) == (0, "")
    read = read_back(out).set_index(["outcome", "method"])
    protocol = bm.read_protocol(CANCER)
    for horizon in ("short", "medium", "long"):
        effects = bm.read_effects(protocol, f"fatigue_{horizon}")
        expected = bm.classical.pool(effects, method="REML", ci="hksj")
        assert read.loc[(horizon, "REML + HKSJ"), "estimate"] == expected.estimate
        assert read.loc[(horizon, "REML + HKSJ"), "upper"] == expected.upper


@pytest.mark.parametrize(
    ("rows", "words"),
    [(1, "One trial: nothing is pooled"), (2, "Two trials: a sensitivity analysis only"), (4, "Three or four trials")],
)
def test_pool_says_what_few_trials_allow(cli, tmp_path, rows, words):
    lines = "".join(f"T{i},{-0.1 * i},{0.1 + 0.02 * i}\n" for i in range(rows))
    path = table(tmp_path, "study,estimate,se\n" + lines)
    code, out, _ = cli("pool", path, "--measure", "SMD", "--better", "lower", "--threshold", "0.3")
    assert code == 0
    assert words in " ".join(out.split())
    assert "nan" not in out


def peak_of(*command):
    """A finished command and its peak memory in MB."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "peak.py"), *command], capture_output=True, text=True, check=True
    )
    return done, int(re.fullmatch(r"peak (\d+) MB", done.stderr.splitlines()[-1])[1])


def test_the_peak_of_a_command_is_its_own():
    """Not that of the process which started it, such as this one while it holds 300 MB."""
    held = b"x" * 300_000_000
    assert peak_of(sys.executable, "-c", "pass")[1] < 50
    # an interpreter takes some 10 MB
    assert peak_of(sys.executable, "-c", "b'x' * 300_000_000")[1] in range(300, 350)
    assert len(held) == 300_000_000


def test_pool_of_ten_thousand_rows_answers_within_a_gigabyte(tmp_path):
    # a regular grid of estimates: any table of this size will do
    lines = "".join(f"trial {i},{(i % 97) / 97 - 0.8:.6f},{0.05 + (i % 31) / 62:.6f}\n" for i in range(10_000))
    path = table(tmp_path, "study,estimate,se\n" + lines, "big.csv")
    script = "import sys; from bayesmeta_cli.main import main; sys.exit(main(sys.argv[1:]))"
    done, peak = peak_of(sys.executable, "-c", script, "pool", str(path), "--measure", "SMD")
    assert peak < 1000
    assert "20 of 10000 rows are shown" in " ".join(done.stdout.split())
    assert len(done.stdout.splitlines()) < 80


# -- fit ---------------------------------------------------------------------------------------------------------------


def test_fit_prints_counts_quantities_probabilities_and_contrasts(cli):
    code, out, _ = cli("fit", CANCER, "--outcome", "anxiety_short", "--outcome", "anxiety_medium")
    assert code == 0
    text = " ".join(out.split())
    # counted in data/cancer_exercise_trials.csv: START's control group once
    assert "12 estimates of 11 trials, 994 participants. SMD; lower is better." in text
    assert "Moderated: not estimable: 2 trials, 2 coefficients, rank 2; 4 trials are needed." in text
    effects = bm.read_effects(CANCER, "anxiety_short")
    outcome = bm.read_protocol(CANCER).outcomes["anxiety_short"]

    fit = bm.fit(effects, outcome.model.on(), outcome=outcome)
    found = bm.summarize(fit)
    for name, label in (("mu", "mean effect (mu)"), ("theta_new", "new study (theta_new)")):
        printed = row_of(out, label)
        assert all(map(is_printed, printed, found.loc[name, ["median", "lower", "upper"]]))
    p = bm.benefit_table(fit, [outcome.decision.primary]).set_index("target")["p_important_benefit"]
    assert bm.percent(p["mean effect"]) in out
    assert bm.percent(p["new study"]) in out
    for words in (
        "exercise: resistance - aerobic",
        "exercise: yoga - aerobic",
        "timing: after - during",
        "exercise: yoga",
        "timing: during",
    ):
        assert any(line.startswith(words) for line in out.splitlines())


# -- what every command keeps to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", CANCER],
        ["check", HIIT],
        ["check", DEPRESSION_CSV],
        ["fit", CANCER],
        ["fit", HIIT, "--outcome", "vo2max", "--outcome", "hba1c"],
        ["compare", CANCER],
        ["benefit", HIIT, "--outcome", "crp"],
        ["sensitivity", CANCER, "--outcome", "fatigue_long"],
        ["sensitivity", CANCER, "--outcome", "qol_long", "--section", "permutation", "--section", "gosh"],
        ["sensitivity", DEPRESSION],
        ["influence", HIIT, "--outcome", "hba1c"],
        ["forensics", CANCER],
        ["forensics", HIIT],
        ["forensics", "--rules"],
        ["multiverse", CANCER, "--outcome", "anxiety_long"],
        ["compare", CANCER, "--preset", "i2_rule"],
        ["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--by", "itt"],
    ],
    ids=lambda arguments: " ".join(str(getattr(item, "name", item)) for item in arguments),
)
def test_text_fits_80_columns_without_colour_or_certainty(cli, arguments):
    code, out, _ = cli(*arguments)
    assert code == 0
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert "\x1b" not in out
    assert re.findall(r"(?<![\d.])(?<!I2 = )(?:100|0)(?:\.0+)? %|\bnan\b|\binf\b|None", " ".join(out.split())) == []


def test_warnings_are_one_line_on_stderr_and_stdout_stays_clean(cli):
    code, out, err = cli("fit", HIIT, "--outcome", "vo2max", "--json")
    assert code == 0
    told = [line.removeprefix("warning: ") for line in err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 1
    # notes on what was done to the rows follow the warnings
    assert json.loads(out)["warnings"][0] == told[0]
    assert any("share patients" in note for note in json.loads(out)["warnings"][1:])
    assert "row 385 (Wisløff 2007, 4.37)" in err


def test_warnings_that_nobody_collects_are_one_line_too(cli, monkeypatch):
    import warnings

    def warn(*_):
        warnings.warn("look at this", bm.BayesmetaWarning, stacklevel=1)

    monkeypatch.setattr("bayesmeta_cli.commands.pool", warn)
    assert cli("pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD") == (0, "", "warning: look at this\n")


def test_progress_is_for_terminals(monkeypatch):
    """What a terminal shows is tested through one (test_expected)."""
    items = [1, 2, 3]
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert list(messages.track(items, "counting")) == items
    with messages.steps(2) as step:
        step("writing the page")
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("module", ["render"])
def test_examples_in_the_helpers(module):
    found = doctest.testmod(
        importlib.import_module(f"bayesmeta_cli.{module}"), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert found.attempted > 0
    assert found.failed == 0


def test_long_names_wrap_and_numbers_keep_their_columns():
    text = render.table(
        ["", "median"], [["a name that is much longer than the page is wide " * 3, "-0.28"], ["b", "1.00"]]
    )
    lines = text.splitlines()
    assert max(map(len, lines)) <= render.WIDTH
    assert lines[-1].endswith("1.00")
    assert len(lines[-1]) == len(lines[-2])


def test_csv_reads_back_to_the_same_bits(cli):
    code, out, _ = cli("compare", DEPRESSION, "--csv")
    assert code == 0
    read = read_back(out)
    fit = bm.fit(bm.read_effects(DEPRESSION, "depression"), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    expected = bm.compare_table(fit)
    columns = ["estimate", "lower", "upper", "tau", "pi_lower", "pi_upper", "p_value"]
    pd.testing.assert_frame_equal(read[columns], expected[columns].astype(float), check_exact=True)


# -- benefit, sensitivity ----------------------------------------------------------------------------------------------


def test_benefit_takes_thresholds_as_people_state_them(cli, bcg_csv):
    code, out, _ = cli("benefit", CANCER, "--outcome", "anxiety_short", "--threshold", "0.3")
    assert code == 0
    assert "benefit at least 0.3, harm at least 0.3" in " ".join(out.split())
    code, out, _ = cli("pool", bcg_csv, "--measure", "RR", "--better", "lower", "--threshold", "0.75")
    assert code == 0
    assert "benefit at least 0.75, harm at least 1.333" in " ".join(out.split())
    code, _, err = cli("pool", bcg_csv, "--measure", "RR", "--better", "lower", "--threshold", "1.25")
    assert code == 3
    assert "give a ratio below 1" in err


RANGE = "benefit = { low = 0.3, high = 0.6 }, worse = { low = 0.3, high = 0.6 }, primary = true"
SPREAD = (
    'benefit = { dist = "lognormal", meanlog = -0.7, sdlog = 0.3 }, '
    'worse = { dist = "lognormal", meanlog = -0.7, sdlog = 0.3 }, primary = true'
)


@pytest.mark.parametrize(
    ("stated", "names"),
    [(RANGE, ["(low end)", "(high end)"]), (SPREAD, ["(averaged)", "(low end)", "(high end)"])],
    ids=["range", "distribution"],
)
def test_thresholds_may_be_ranges_and_distributions(cli, tmp_path, stated, names):
    path = broken_protocol(tmp_path, "benefit = 0.5, worse = 0.5, primary = true", stated)
    for command in ("fit", "benefit"):
        code, out, err = cli(command, path)
        assert code == 0, err
        assert re.findall(r'Threshold "important (\(.*?\))"', out) == names
        assert "nan" not in out
        assert "not defined" not in out
    code, out, _ = cli("fit", path, "--csv")
    assert code == 0
    assert read_back(out)["threshold"].tolist() == [f"important {names[0]}"]


def test_sensitivity_runs_what_is_declared_and_flags_a_change_of_category(cli):
    code, out, _ = cli("sensitivity", CANCER, "--outcome", "fatigue_short", "--section", "declared", "--csv")
    assert code == 0
    read = read_back(out)
    declared = [item.name for item in bm.read_protocol(CANCER).sensitivities_of("fatigue_short")]
    crossed = "exercise type differs between during and after treatment"
    others = [name for name in declared if name != crossed]
    assert read["analysis"].tolist() == ["main analysis", *others, "main analysis, moderated", crossed]
    line = read.set_index("analysis").loc["without Hu 2020 and Cantarero-Villanueva 2013"]
    # data/cancer_exercise_trials.provenance.toml names these two as outliers; each has one row here
    assert line["k"] == 33
    code, out, _ = cli("sensitivity", CANCER, "--outcome", "fatigue_short", "--section", "declared")
    prior, everything, _ = (
        re.findall(r"P\(important benefit\), new study .*(yes|no)", part)[0]
        for part in out.split("\nrange over priors")[1].split("\nrange over all")
    )
    assert (prior, everything) == ("no", "yes")


def test_sensitivity_leaves_out_and_adds_every_trial(cli):
    code, out, _ = cli("sensitivity", DEPRESSION, "--section", "leave-one-out", "--section", "cumulative")
    assert code == 0
    for trial in pd.read_csv(DEPRESSION_CSV)["study"]:
        # once in each of the two tables
        assert len([line for line in out.splitlines() if line.startswith(f"{trial} ")]) == 2


def test_a_trial_is_left_out_of_a_table_with_a_reason(cli):
    arguments = ["pool", DEPRESSION_CSV, *MAPPED, "--measure", "SMD", "--better", "lower"]
    code, out, err = cli(*arguments, "--exclude", "Mutrie", "--reason", "no control group", "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert (record["k"], record["trials"]) == (9, 9)
    assert "no control group" in out
    code, out, _ = cli(*arguments, "--exclude", "Mutrie", "--reason", "no control group")
    assert code == 0
    assert "Mutrie" in out
    assert "no control group" in out
    code, _, err = cli(*arguments, "--exclude", "Mutrie")
    assert code != 0
    assert "a trial is left out for a reason" in err
    code, _, err = cli(*arguments, "--exclude", "Nobody", "--reason", "no control group")
    assert code == 3
    assert "no row has study = 'Nobody'" in err


def test_the_direction_of_small_study_methods_is_an_option(cli):
    told = [
        cli("sensitivity", DEPRESSION, "--section", "small-study", "--alternative", way, "--json")[1]
        for way in ("less", "two-sided")
    ]
    assert told[0] != told[1]
    code, _, err = cli("sensitivity", DEPRESSION, "--section", "small-study", "--alternative", "smaller")
    assert code != 0
    assert "auto, greater, less, two-sided" in err
