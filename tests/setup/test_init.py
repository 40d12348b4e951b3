"""From a table to a protocol, a fit and a report, by `init` alone.

Authorities: the table ``messy_trials.csv`` (its provenance file says what is wrong with it); effects computed anew here
from its cells by the formulas of their sources (Hedges 1981; Luo 2018, doi:10.1177/0962280216669183, and Wan 2014,
doi:10.1186/1471-2288-14-135, for medians; the t interval of a mean; variance 1/n1 + 1/n2 + g^2/(2 (n1 + n2))); the
protocol's own checker; the registry of minimal important differences.
"""

from __future__ import annotations

import hashlib
import math
import os
import pty
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.setup import look_at, next_after, next_question, see
from bayesmeta.studies import read_outcome
from bayesmeta_cli.main import main
from references import ROOT, tool

MESSY = Path(__file__).with_name("messy_trials.csv")
NAME = "Übersicht 试验.csv"
# both sides are the same closed forms in double precision
CLOSED = 1e-9
DIRECTIONS = ["--better", "FACIT-F=higher", "--better", "BFI=lower", "--better", "PFS=lower"]


@pytest.fixture
def cli(capsys):
    """Run a command without a terminal; return its exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a table into an empty folder, which becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="trials.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return Path(name)

    return write


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Five answers at a terminal, in a folder that holds nothing but the table: the folder, and what was printed."""
    folder = tmp_path_factory.mktemp("empty")
    shutil.copy(MESSY, folder / NAME)
    master, slave = pty.openpty()
    try:
        # columns, directions, moderators, threshold, rows
        os.write(master, b"\n\nTiming\nmid\n\n")
        command = [sys.executable, "-m", "bayesmeta_cli.main", "init", NAME]
        done = subprocess.run(
            command, stdin=slave, capture_output=True, text=True, cwd=folder, timeout=120, check=False
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 0, done.stderr
    return folder, done


def g_of(n1, m1, s1, n2, m2, s2):
    """Hedges' g and its standard error."""
    df = n1 + n2 - 2
    pooled = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    j = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    g = j * (m1 - m2) / pooled
    return g, math.sqrt(1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)))


def of_quartiles(n, median, q1, q3):
    w = 0.7 + 0.39 / n
    spread = (q3 - q1) / (2 * stats.norm.ppf((0.75 * n - 0.125) / (n + 0.25)))
    return w * (q1 + q3) / 2 + (1 - w) * median, spread


def of_interval(n, low, high):
    return math.sqrt(n) * (high - low) / (2 * stats.t.ppf(0.975, n - 1))


# -- the messy table ---------------------------------------------------------------------------------------------------


def test_five_answers_make_a_protocol_that_check_accepts(asked, cli, monkeypatch):
    folder, done = asked
    monkeypatch.chdir(folder)
    assert done.stderr.count("Answer: ") == 5
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [NAME, "Übersicht 试验.toml", "Übersicht 试验.provenance.toml"]
    )
    # what was proposed stood there before it was confirmed
    for shown in ("n_t          = N exercise", "BFI: lower", "FACIT-F: higher", "row 3 (Peña B)", "rows 6, 7 (试验 E)"):
        assert shown in done.stderr
    assert all(len(line) <= 80 for line in done.stderr.splitlines())
    assert "next: bayesmeta check 'Übersicht 试验.toml'" in done.stderr
    code, out, err = cli("check", "Übersicht 试验.toml")
    assert code == 0
    assert "9 estimates of 8 trials" in out
    assert err.splitlines()[-2:] == [
        "next: bayesmeta fit 'Übersicht 试验.toml' -o out",
        "next: bayesmeta report 'Übersicht 试验.toml' -o report",
    ]


def test_every_cell_of_the_messy_table_is_read_as_it_says(asked):
    reading = read_outcome(asked[0] / "Übersicht 试验.toml", "fatigue")
    bfi = [of_quartiles(25, 3.2, 2.1, 4.8), of_quartiles(27, 4.1, 2.9, 5.9)]
    expected = [
        g_of(45, 38.2, 9.1, 44, 34.6, 10.3),
        g_of(30, 40.1, 8.7, 31, 37.9, 8.7),  # the control's SD is not reported
        g_of(25, -bfi[0][0], bfi[0][1], 27, -bfi[1][0], bfi[1][1]),  # lower is better
        g_of(60, 4.1, 7.9, 58, 0.6, 8.4),
        g_of(33, 39.8, 9.9, 16, 35.1, 10.8),
        g_of(34, 38.6, 10.2, 17, 35.1, 10.8),
        g_of(22, 36.9, of_interval(22, 32.8, 41.0), 21, 33.0, of_interval(21, 28.5, 37.5)),
        g_of(40, -4.2, 1.9, 41, -5.0, 2.1),
        g_of(18, 37.5, 8.8, 19, 36.4, 9.4),
    ]
    assert reading.effects.y == pytest.approx([y for y, _ in expected], rel=CLOSED)
    assert reading.effects.se == pytest.approx([se for _, se in expected], rel=CLOSED)
    # a divided control shares no patients: nothing is correlated, and both parts are counted
    assert all(np.count_nonzero(block) == len(rows) for rows, block in reading.effects.blocks)
    people = (45, 44, 30, 31, 25, 27, 60, 58, 33, 16, 34, 17, 22, 21, 40, 41, 18, 19)
    assert reading.effects.participants == sum(people)
    # "During" is "during", and the trial that does not say stays in the pooled analysis
    assert [level for level in reading.effects.moderators["timing"] if level is not None] == [
        "during",
        "after",
        "during",
        "after",
        "after",
        "during",
        "after",
        "during",
    ]
    assert reading.risk_of_bias is not None
    assert reading.risk_of_bias["overall"].tolist()[2] == "high"


def test_the_same_table_as_a_workbook_gives_the_same_bits(asked, tmp_path):
    """Numbers as numbers, beside a second sheet; the chosen one stands in the protocol."""
    header, *records = [line.split(";") for line in MESSY.read_text(encoding="utf-8-sig").splitlines()]
    book = openpyxl.Workbook()
    book.active.title = "About"
    book.active.append(["who", "extracted what"])
    book.active.append(["AB", "all of it"])
    sheet = book.create_sheet("Trials")
    sheet.append(header)
    number = re.compile(r"-?\d+(,\d+)?")
    for record in records:
        sheet.append([float(cell.replace(",", ".")) if number.fullmatch(cell) else cell or None for cell in record])
    book.save(tmp_path / "trials.xlsx")
    better = "FACIT-F=higher; BFI=lower; PFS=lower"
    answers = {"columns": "yes", "better": better, "moderators": "Timing", "threshold": "mid", "rows": "proposed"}
    with pytest.raises(bm.DataError, match="About, Trials"):
        bm.initialise(tmp_path / "trials.xlsx", answers)
    made = bm.initialise(tmp_path / "trials.xlsx", answers, sheet="Trials")
    assert made.error is None
    assert tomllib.loads(made.protocol.read_text(encoding="utf-8"))["data"]["sheet"] == "Trials"
    one, two = (read_outcome(path, "fatigue") for path in (made.protocol, asked[0] / "Übersicht 试验.toml"))
    assert np.array_equal(one.effects.y, two.effects.y)
    assert np.array_equal(one.effects.se, two.effects.se)
    assert one.effects.label == two.effects.label


def test_the_protocol_states_every_assumption(asked):
    folder, _ = asked
    text = (folder / "Übersicht 试验.toml").read_text(encoding="utf-8")
    stated = tomllib.loads(text)
    assert stated["data"]["path"] == NAME
    assert stated["data"]["sha256"] == hashlib.sha256(MESSY.read_bytes()).hexdigest()
    assert stated["defaults"]["priors"] == "published"
    assert stated["defaults"]["measure_options"] == {"sd_of_one_arm": "other"}
    assert stated["defaults"]["control"] == {"试验 E": "split"}
    assert stated["defaults"]["missing"] == "exclude"
    (threshold,) = stated["outcome"]["fatigue"]["thresholds"]
    listed = bm.minimal_difference("FACIT-Fatigue")
    sds = [(45, 9.1), (44, 10.3), (33, 9.9), (34, 10.2), (16, 10.8), (17, 10.8), (18, 8.8), (19, 9.4)]
    sd = math.sqrt(sum((n - 1) * s**2 for n, s in sds) / sum(n - 1 for n, _ in sds))
    # the protocol rounds to two decimals
    assert threshold["benefit"] == pytest.approx(listed.points / sd, abs=0.005)
    assert listed.source in threshold["source"]
    # the sources of the published priors stand beside them
    published = bm.priors.published_priors("SMD")
    comments = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    assert published.mu_source in comments
    assert published.tau_source in comments
    names = [item["name"] for item in stated["sensitivity"]]
    assert names[:2] == ["without change scores", "without trials with the SD of one arm"]
    assert stated["sensitivity"][0]["exclude"][0]["where"] == {"study": "Trial D et al."}
    provenance = tomllib.loads((folder / "Übersicht 试验.provenance.toml").read_text(encoding="utf-8"))
    header = MESSY.read_text(encoding="utf-8").splitlines()[0].split(";")
    assert list(provenance["column"]) == header
    assert (provenance["rows"], provenance["trials"], provenance["sha256"]) == (9, 8, stated["data"]["sha256"])


def test_it_goes_to_a_fit_and_a_report(asked, cli, monkeypatch):
    folder, _ = asked
    monkeypatch.chdir(folder)
    code, out, _ = cli("fit", "Übersicht 试验.toml", "-o", "out")
    assert code == 0
    assert "Fatigue" in out
    assert (folder / "out" / "fatigue.nc").exists()
    code, _, err = cli("report", "Übersicht 试验.toml", "--no-joint", "-o", "report")
    assert code == 0, err
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    for words in ("FACIT-Fatigue", "without change scores", "O&#39;Trial H", "试验 E"):
        assert words in page or words.replace("&#39;", "'") in page


# -- flags, and nothing else, without a terminal -----------------------------------------------------------------------


def test_a_direction_is_never_taken_without_an_answer(cli, table):
    path = table(MESSY.read_text(encoding="utf-8"))
    for more in ([], ["--yes"]):
        code, out, err = cli("init", path, *more)
        assert (code, out) == (3, "")
        assert '--better "FACIT-F=higher; BFI=lower; PFS=lower"' in err
        assert list(Path().iterdir()) == [path]
    # what the rows lack is confirmed too, by --yes or by a flag
    code, _, err = cli("init", path, *DIRECTIONS)
    assert code == 3
    assert '--rows "proposed"' in err
    assert cli("init", path, *DIRECTIONS, "--rows", "proposed")[0] == 0
    assert read_outcome("trials.toml", "fatigue").effects.k == 9


def test_rows_that_need_an_assumption_can_be_left_out(cli, table):
    path = table(MESSY.read_text(encoding="utf-8"))
    assert cli("init", path, *DIRECTIONS, "--rows", "exclude")[0] == 0
    reading = read_outcome("trials.toml", "fatigue")
    assert {"Peña B", "Trial D et al.", "试验 E"} == {record.study for record in reading.excluded}
    assert reading.effects.k == 5
    # that a control group was divided is an assumption too, which none of the rows left needs
    stated = tomllib.loads(Path("trials.toml").read_text(encoding="utf-8"))
    assert not {"control", "measure_options"} & set(stated["defaults"])
    assert [item["name"] for item in stated["sensitivity"] if item["name"].startswith("without")] == []


def test_nothing_is_overwritten_without_force(cli, table):
    path = table(MESSY.read_text(encoding="utf-8"))
    Path("trials.toml").write_text("mine", encoding="utf-8")
    code, _, err = cli("init", path, *DIRECTIONS, "--yes")
    assert code == 2
    assert "--force" in err
    assert Path("trials.toml").read_text(encoding="utf-8") == "mine"
    assert cli("init", path, *DIRECTIONS, "--yes", "--force")[0] == 0
    assert cli("init", path, *DIRECTIONS, "--yes", "-o", "models/own.toml")[0] == 0
    assert tomllib.loads(Path("models/own.toml").read_text(encoding="utf-8"))["data"]["path"] == "../trials.csv"


def test_a_provenance_file_is_never_lost(cli, table):
    path = table(MESSY.read_text(encoding="utf-8"))
    ways = [*DIRECTIONS, "--yes"]
    # its name is not one of a protocol, which would be overwritten by it
    for name in ("trials.provenance.toml", "models/X.Provenance.TOML"):
        code, _, err = cli("init", path, *ways, "-o", name)
        assert code == 3
        assert "provenance files are called *.provenance.toml" in err
        assert list(Path().iterdir()) == [path]
    assert cli("init", path, *ways)[0] == 0
    beside = Path("trials.provenance.toml")
    # as it was written it is made anew
    path.write_text(MESSY.read_text(encoding="utf-8").replace("Größe A;2012", "Größe A;2013"), encoding="utf-8")
    code, _, err = cli("init", path, *ways, "--force")
    assert (code, "kept: " in err) == (0, False)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert tomllib.loads(beside.read_text(encoding="utf-8"))["sha256"] == sha256
    # one line that someone has filled in is enough
    mine = beside.read_text(encoding="utf-8").replace('extracted_by = ""', 'extracted_by = "AB"')
    beside.write_text(mine, encoding="utf-8")
    for more in (["--force"], ["-o", "own.toml"]):
        code, out, err = cli("init", path, *ways, *more)
        assert (code, out.splitlines()[1]) == (0, "trials.provenance.toml")
        assert "kept: trials.provenance.toml" in err
        assert beside.read_text(encoding="utf-8") == mine
    assert bm.read_protocol("own.toml").outcomes.keys() == {"fatigue"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--map", "n_t=Nobody"], "there is no column 'Nobody'"),
        (["--better", "FACIT-F=up"], "there is no direction 'up'"),
        (["--better", "SF-36=higher"], "there is no scale or outcome 'SF-36'"),
        (["--better", "BFI=lower"], "the direction of FACIT-F, PFS is not stated"),
        ([*DIRECTIONS, "--moderator", "Colour"], "there is no column 'Colour'"),
        ([*DIRECTIONS, "--threshold", "0.3"], "has no source"),
        ([*DIRECTIONS, "--threshold", "-1; panel"], "is not > 0"),
        ([*DIRECTIONS, "--measure", "OR"], "there is no measure 'OR'"),
        ([*DIRECTIONS, "--rows", "all"], "there is no rows 'all'"),
        ([*DIRECTIONS, "--comparator", "none"], "nothing to decide"),
        ([*DIRECTIONS, "--tau", "halfnormal(x)"], "halfnormal"),
        (["-o", "own.txt"], ".toml"),
    ],
)
def test_an_answer_that_is_none_is_refused_and_nothing_written(cli, table, flags, words):
    path = table(MESSY.read_text(encoding="utf-8"))
    code, out, err = cli("init", path, "--yes", *flags)
    assert (code, out) == (3, "")
    assert words in err
    assert list(Path().iterdir()) == [path]


# -- other tables ------------------------------------------------------------------------------------------------------

COUNTS = "Trial,Events (exercise),N (exercise),Events (control),N (control),Setting\n" + "".join(
    f"T{i},{3 + i},{40 + i},{6 + i},{41 + i},{'home' if i % 2 else 'ward'}\n" for i in range(6)
)
SEVERAL = "Study,Outcome,N exp,Mean (intervention),SD.t,N ctrl,Mean (control),SD.c\n" + "".join(
    f"S{i},{name},{20 + i},{10 + i},{4},{21 + i},{11 + i},{5}\n"
    for i in range(4)
    for name in ("Fatigue", "Quality of life", "6-minute walk")
)


def test_counts_and_a_stated_threshold(cli, table):
    path = table(COUNTS, "my trials.csv")
    flags = ["--better", "lower", "--outcome", "Falls", "--threshold", "0.75; panel of 2025", "--moderator", "Setting"]
    assert cli("init", path, *flags)[0] == 0
    stated = tomllib.loads(Path("my trials.toml").read_text(encoding="utf-8"))
    assert stated["defaults"]["measure"] == "RR"
    assert stated["defaults"]["moderators"] == ["setting"]
    threshold = (stated["defaults"].get("thresholds") or stated["outcome"]["falls"]["thresholds"])[0]
    # ratios: as much harm as benefit is the inverse, to four decimals
    assert (threshold["benefit"], threshold["worse"]) == (0.75, pytest.approx(4 / 3, abs=5e-5))
    effects = read_outcome("my trials.toml", "falls").effects
    assert effects.y[0] == pytest.approx(math.log((3 / 40) / (6 / 41)), rel=CLOSED)
    assert cli("check", "my trials.toml")[0] == 0


def test_several_outcomes_have_a_direction_each(cli, table):
    path = table(SEVERAL)
    code, _, err = cli("init", path)
    assert code == 3
    assert all(name in err for name in ("Fatigue", "Quality of life", "6-minute walk"))
    directions = ("Fatigue=lower", "quality of life=higher", "6-minute walk=higher")
    assert cli("init", path, *(x for item in directions for x in ("--better", item)))[0] == 0
    protocol = bm.read_protocol("trials.toml")
    assert {key: item.selection.better for key, item in protocol.outcomes.items()} == {
        "fatigue": "lower",
        "quality_of_life": "higher",
        "outcome_6_minute_walk": "higher",
    }
    assert all(read_outcome(protocol, key).effects.k == 4 for key in protocol.outcomes)
    assert cli("init", path, "--outcome", "Fatigue", "--better", "lower", "--force")[0] == 0
    assert list(bm.read_protocol("trials.toml").outcomes) == ["fatigue"]


def test_points_need_a_standard_deviation_from_outside(cli, table):
    text = SEVERAL.replace("Study,Outcome", "Study,Scale")
    path = table("\n".join(line for line in text.splitlines() if "walk" in line or "Study" in line))
    code, _, err = cli("init", path, "--better", "higher")
    assert code == 3
    assert "--ref-sd" in err
    assert cli("init", path, "--better", "higher", "--ref-sd", "90; a cohort")[0] == 0
    stated = tomllib.loads(Path("trials.toml").read_text(encoding="utf-8"))
    assert stated["defaults"]["measure"] == "MD"
    assert (stated["defaults"]["ref_sd"], stated["defaults"]["ref_sd_source"]) == (90, "a cohort")
    # the registry's difference, in metres
    listed = bm.minimal_difference("6-minute walk")
    (threshold,) = next(iter(stated["outcome"].values())).get("thresholds") or stated["defaults"]["thresholds"]
    assert threshold["benefit"] == {"low": listed.points[0], "high": listed.points[1]}
    assert cli("check", "trials.toml")[0] == 0


def test_estimates_by_the_name_of_their_column(cli, table):
    path = table("Author (year),Odds ratio,Lower,Upper\nA 2001,0.8,0.5,1.28\nB 2002,0.9,0.6,1.35\nC 2003,0.7,0.4,1.2\n")
    assert cli("init", path, "--better", "lower")[0] == 0
    effects = read_outcome("trials.toml", "trials").effects
    assert effects.measure == "OR"
    assert effects.y[0] == pytest.approx(math.log(0.8), rel=CLOSED)
    path = table("study,log OR,se\nA,-0.2,0.1\nB,-0.3,0.2\n", "logs.csv")
    assert cli("init", path, "--better", "lower")[0] == 0
    assert read_outcome("logs.toml", "logs").effects.y.tolist() == [-0.2, -0.3]


def test_a_scale_outside_its_range_is_not_taken_for_it(table):
    text = "Study,Scale,n exp,mean exp,sd exp,n con,mean con,sd con\nA,FACIT-F,20,120,20,20,118,21\n"
    look = look_at(table(text))
    (scale,) = see(look, {item.ours: item.theirs for item in look.proposals.columns}).scales
    assert scale.better is None
    assert "0 to 52" in scale.reason


def test_remarks_that_contradict_the_registry_leave_the_direction_open(table):
    text = "Study,Scale,n exp,mean exp,sd exp,n con,mean con,sd con,Notes\nA,HADS-D,20,8,3,20,9,3,higher is better\n"
    look = look_at(table(text))
    (scale,) = see(look, {item.ours: item.theirs for item in look.proposals.columns}).scales
    assert scale.better is None
    assert "disagree" in scale.reason


def test_one_author_with_two_years_is_two_trials_and_a_fault(cli, table):
    text = "Author,Year,n exp,mean exp,sd exp,n con,mean con,sd con\nLi,2010,20,1,1,20,2,1\nLi,2015,20,1,1,20,2,1\n"
    code, _, err = cli("init", table(text), "--better", "lower", "--measure", "SMD")
    assert code == 3
    assert "rows 2, 3" in err
    assert "2010, 2015" in err


def test_outcomes_with_scales_of_their_own(cli, table):
    scales = {"Fatigue": ("FACIT-Fatigue", "BFI"), "Depression": ("PHQ-9", "HADS-D")}
    rows = [
        f"S{i},{outcome},{scale},{20 + i},{10 + i},4,{21 + i},{11 + i},5"
        for outcome, names in scales.items()
        for i, scale in enumerate(names)
    ]
    path = table("\n".join(["Study,Outcome,Scale,N exp,Mean exp,SD exp,N ctrl,Mean ctrl,SD ctrl", *rows]) + "\n")
    ways = {"FACIT-Fatigue": "higher", "BFI": "lower", "PHQ-9": "lower", "HADS-D": "lower"}
    assert cli("init", path, *(x for name, way in ways.items() for x in ("--better", f"{name}={way}")))[0] == 0
    protocol = bm.read_protocol("trials.toml")
    found = {key: [f"{x:.6f}" for x in read_outcome(protocol, key).effects.y] for key in protocol.outcomes}
    for key, outcome in (("fatigue", "Fatigue"), ("depression", "Depression")):
        better = protocol.outcomes[key].selection.better
        signs = [1 if ways[name] == better else -1 for name in scales[outcome]]
        plain = [g_of(20 + i, 10 + i, 4, 21 + i, 11 + i, 5)[0] for i in range(2)]
        assert found[key] == [f"{sign * g:.6f}" for sign, g in zip(signs, plain, strict=True)]
    assert protocol.outcomes["depression"].selection.better == "lower"
    assert protocol.outcomes["depression"].decision.natural_unit.name in scales["Depression"]


def test_a_threshold_of_one_arm_is_a_value(cli, table):
    path = table("study,events,n\nA,5,40\nB,7,50\nC,4,35\n")
    flags = ["--measure", "PLO", "--better", "lower", "--outcome", "Dropout", "--threshold", "0.2; panel"]
    assert cli("init", path, *flags)[0] == 0
    (threshold,) = bm.read_protocol("trials.toml").outcomes["dropout"].decision.thresholds
    assert threshold.benefit == 0.2
    code, _, err = cli("init", table(COUNTS), "--better", "higher", "--threshold", "0.75; panel", "--force")
    assert code == 3
    assert "is not a ratio > 1" in err


def test_a_table_that_needs_correcting_says_where(cli, table):
    path = table("study,mean 1,sd 1,n 1,mean 2,sd 2,n 2\nA,1,0,20,2,1,20\nB,1,1,20,2,1,20\n")
    code, out, err = cli("init", path, "--better", "lower", "--measure", "SMD")
    assert (code, out.splitlines()) == (3, ["trials.toml", "trials.provenance.toml"])
    assert "row 2, column sd 1: 0 is not > 0" in err
    assert "next: correct trials.csv row 2, column sd 1 first" in err


def test_in_python_the_same_questions_are_answered_by_name(table):
    path = table(MESSY.read_text(encoding="utf-8"))
    look, answers = look_at(path), {}
    keys = []
    while (question := next_question(look, answers)) is not None:
        keys.append(question.key)
        answers[question.key] = question.default
    assert keys == ["columns", "better", "moderators", "threshold", "rows"]
    made = bm.initialise(path, {"better": answers["better"], "rows": "proposed"})
    assert made.assumed == ("columns", "moderators", "threshold")
    with pytest.raises(bm.ModelError, match="--better"):
        bm.initialise(path, force=True)
    with pytest.raises(bm.ModelError, match="Did you mean"):
        bm.initialise(path, {"beter": "lower"}, force=True)


def test_the_page_about_it_shows_what_runs(cli, table):
    text = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    command = next(line[2:] for line in text.splitlines() if line.startswith("$ bayesmeta init") and "--yes" in line)
    table(MESSY.read_text(encoding="utf-8"), "messy.csv")
    assert cli(*command.split()[1:])[0] == 0
    options = set(re.findall(r"(--[a-z-]+|-o)\b", cli("init", "--help")[1])) - {"--help", "--output"}
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `-")]
    assert {name for row in rows for name in re.findall(r"`(--?[a-z-]+)", row)} == options
    # what the script prints stands on the page
    for words, _, _ in tool("first_report").steps(Path()):
        assert re.search(rf"^\| {re.escape(words)} \| \d+ \| \d+ \|$", text, flags=re.MULTILINE), words


@pytest.mark.parametrize("flag", [(), ("--migrate",), ("--pin",)])
def test_a_provenance_file_is_no_protocol(cli, table, flag):
    path = table(MESSY.read_text(encoding="utf-8"))
    Path("broken.toml").write_text("x = ", encoding="utf-8")
    assert cli("init", path, *DIRECTIONS, "--yes")[0] == 0
    before = Path("trials.provenance.toml").read_bytes()
    code, out, err = cli("check", "trials.provenance.toml", *flag)
    assert (code, out) == (3, "")
    assert "it is the provenance file of trials.csv" in err
    assert "Name the protocol: trials.toml." in err
    assert "schema" not in err
    assert "migrate" not in err
    assert Path("trials.provenance.toml").read_bytes() == before
    Path("trials.toml").rename("other.toml")
    with pytest.raises(bm.ProtocolError, match=r"Name the protocol: other\.toml\."):
        bm.read_protocol("trials.provenance.toml")
    Path("other.toml").unlink()
    with pytest.raises(bm.ProtocolError, match=r"bayesmeta init trials\.csv writes one"):
        bm.read_protocol("trials.provenance.toml")


def test_what_to_do_next():
    fault = bm.DataError([bm.Fault("t.csv row 2", "it is empty", "Fill it."), bm.Fault("t.csv row 3", "x", "y")])
    assert next_after("a b.toml", fault) == (
        "correct t.csv row 2 first (the first of 2 faults), then bayesmeta check 'a b.toml'",
    )
    assert next_after("t.csv") == ("bayesmeta init t.csv",)
