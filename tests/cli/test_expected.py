"""What people expect of any program of the command line: help, completion, progress, colour, defaults, suggestions.

Authority: the shells, a terminal of the operating system's (pty), https://no-color.org, and the names themselves.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import typer.main

from bayesmeta_cli import files, messages
from bayesmeta_cli.helping import SHELLS
from bayesmeta_cli.main import app, main
from references import ROOT

DEPRESSION = ROOT / "models" / "exercise_depression.toml"
TABLE = ROOT / "data" / "exercise_depression_10_trials.csv"
PUBLISHED = ROOT / "data" / "cipn_published.csv"
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def on_a_terminal(*command, **environment):
    """What a terminal receives from a command, stdout and stderr together."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    known = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    done = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env={**known, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    received = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            # Linux: the other end is closed
            break
        if not part:
            break
        received += part
    done.wait()
    os.close(ours)
    return received.decode().replace("\r\n", "\n")


def program(*arguments):
    return [sys.executable, "-m", "bayesmeta_cli.main", *map(str, arguments)]


# -- completion --------------------------------------------------------------------------------------------------------

# what each shell calls to bind completions to a program
BINDS = {
    "bash": "complete -o default -F _bayesmeta_completion bayesmeta",
    "zsh": "compdef _bayesmeta_completion bayesmeta",
    "fish": "complete --command bayesmeta",
    "powershell": "Register-ArgumentCompleter -Native -CommandName bayesmeta",
    "pwsh": "Register-ArgumentCompleter -Native -CommandName bayesmeta",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(cli, shell):
    code, out, err = cli("--show-completion", shell)
    assert (code, err) == (0, "")
    assert BINDS[shell] in out
    assert f"complete_{shell.replace('pwsh', 'powershell')}" in out
    assert "_BAYESMETA_COMPLETE" in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "found"), [("bayesmeta for", {"forest", "forensics"}), ("bayesmeta fit --en", {"--engine"})]
)
def test_bash_completes_commands_and_options(tmp_path, typed, found):
    script = subprocess.run(program("--show-completion", "bash"), capture_output=True, text=True, check=True).stdout
    # the installed command may not be on the path of the tests
    (tmp_path / "bayesmeta").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bayesmeta_cli.main "$@"\n')
    (tmp_path / "bayesmeta").chmod(0o755)
    words = typed.split()
    lines = [
        script,
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}",
        "_bayesmeta_completion bayesmeta; printf '%s\\n' \"${COMPREPLY[@]}\"",
    ]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)], capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert set(done.stdout.split()) == found, done.stderr


def test_a_script_is_written_where_fish_looks(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    code, out, _ = cli("--install-completion", "fish")
    assert code == 0
    written = tmp_path / ".config" / "fish" / "completions" / "bayesmeta.fish"
    assert out == f"{written}\n"
    assert BINDS["fish"] in written.read_text()


def test_a_shell_that_is_not_known_is_answered_with_the_list(cli):
    code, _, err = cli("--show-completion", "fsh")
    assert code != 0
    assert "Did you mean fish" in err


# -- progress and colour -----------------------------------------------------------------------------------------------

STEPS = """
import time
from bayesmeta_cli import messages
messages.PATIENCE = {patience}
with messages.steps(2) as step:
    step("fitting pain")
    while {waits} and not messages._UNDER_WAY[0]._shown:
        time.sleep(0.01)
    step("fitting sleep: sampling")
    messages.say("note: said meanwhile")
print("done")
"""


def test_a_step_is_named_once_it_takes_its_time():
    """However slow the machine is: the first step goes on until it is shown."""
    shown = on_a_terminal(sys.executable, "-c", STEPS.format(patience=0.01, waits=True))
    assert "fitting pain (1 of 2)" in shown
    assert "fitting sleep: sampling (2 of 2)" in shown
    lines = shown.split("\n")
    # what is said and printed stands alone on its line: the step before it is wiped out
    assert [CONTROL.sub("", line).rpartition("\r")[2] for line in lines[:2]] == ["note: said meanwhile", "done"]


def test_what_takes_less_shows_nothing():
    """However slow the machine is: an hour is not over."""
    shown = on_a_terminal(sys.executable, "-c", STEPS.format(patience=3600, waits=False))
    assert shown == "note: said meanwhile\ndone\n"


def test_a_second_passes_before_a_step_is_named():
    """Nielsen 1993, Usability Engineering, chapter 5: up to a second a user's flow of thought is not interrupted."""
    assert messages.PATIENCE == 1


def test_without_a_terminal_nothing_is_shown(capsys, monkeypatch):
    monkeypatch.setattr(messages, "PATIENCE", 0.01)
    with messages.steps(2) as step:
        step("fitting pain")
        time.sleep(0.1)
    assert capsys.readouterr() == ("", "")


def test_commands_name_their_steps(monkeypatch, capsys, tmp_path):
    """Every command that may take long gives names to its steps: outcomes, sections, draws, subsets, the page."""
    named: list[str] = []
    monkeypatch.setattr(messages._Line, "step", lambda self, name: named.append(name))
    monkeypatch.setattr(messages, "is_terminal", lambda stream: True)
    monkeypatch.chdir(tmp_path)
    assert main(["fit", str(DEPRESSION)]) == 0
    assert main(["sensitivity", str(DEPRESSION), "--section", "counts", "--section", "estimators"]) == 0
    assert main(["influence", str(DEPRESSION), "--gosh"]) == 0
    capsys.readouterr()
    assert {"fitting depression", "depression: estimators", "depression: gosh"} <= set(named)


def test_draws_are_named_before_they_begin(monkeypatch):
    from bayesmeta import read_protocol
    from bayesmeta.analysis import fitting, read_outcomes

    class ReachedError(Exception):
        pass

    def stop(*args, **options):
        raise ReachedError

    monkeypatch.setattr(fitting, "fit", stop)
    protocol = read_protocol(DEPRESSION)
    outcome = protocol.outcomes["depression"]
    ((reading, _),) = read_outcomes(protocol).values()
    for engine, said in (("nuts", ["depression: sampling (pooled)"]), ("exact", []), ("auto", [])):
        told: list[str] = []
        with pytest.raises(ReachedError):
            fitting.fitted(
                protocol,
                outcome,
                reading.effects,
                outcome.model.on(),
                [],
                hashes={},
                engine=engine,
                progress=told.append,
            )
        assert told == said


PAINTED = "\x1b[31merror:\x1b[0m "


def test_colour_only_on_a_terminal_that_wants_it():
    command = program("pool", "nowhere.csv")
    assert on_a_terminal(*command).startswith(PAINTED)
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert on_a_terminal(*command, **environment).startswith("error: ")
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stderr.startswith("error: ")


def test_headings_of_the_help_are_bold_on_a_terminal():
    assert "\n\x1b[1mStart:\x1b[0m\n" in on_a_terminal(*program())


# -- where things are written ------------------------------------------------------------------------------------------


def test_pictures_are_written_without_being_told_where_and_opened(cli, tmp_path, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", opened.append)
    code, out, _ = cli("new-study", DEPRESSION, "--open")
    assert (code, out) == (0, "depression.new-study.png\n")
    assert (tmp_path / "depression.new-study.png").read_bytes().startswith(b"\x89PNG")
    assert opened == [str(tmp_path / "depression.new-study.png")]


def test_every_default_is_in_the_help(cli):
    for command, default in (
        ("report", "report"),
        ("export", "export"),
        ("forest", "{outcome}.forest.png"),
        ("mu-tau", "{outcome}.mu-tau.png"),
        ("example", "example"),
        ("template", "exercise.xlsx"),
    ):
        assert f"[default: {default}]" in " ".join(cli(command, "-h")[1].split()), command
    assert "without it none is written" in " ".join(cli("fit", "-h")[1].split())
    assert "Default: beside the table" in " ".join(cli("init", "-h")[1].split())


def test_example_and_template_have_places_of_their_own(cli, tmp_path):
    assert cli("example")[0] == 0
    assert (tmp_path / "example" / "protocol.toml").is_file()
    assert cli("template")[0] == 0
    assert (tmp_path / "exercise.xlsx").is_file()


# -- misspelt names ----------------------------------------------------------------------------------------------------

MAPPED = ["--column", "estimate=smd", "--column", "se=sesmd"]
POOL = ["pool", TABLE, *MAPPED, "--measure", "SMD"]
#: What is typed, and the name that was meant; every option that takes a name stands here.
MISSPELT = [
    (["forrest"], "'forest'"),
    (["fit", DEPRESSION, "--outcom", "x"], "--outcome"),
    (["fit", DEPRESSION, "--outcome", "depresion"], "Did you mean depression?"),
    (["fit", DEPRESSION, "--engine", "exat"], "Did you mean exact?"),
    (["pool", TABLE, *MAPPED, "--measure", "SDM"], "Did you mean SMD?"),
    ([*POOL, "--better", "highr"], "Did you mean higher?"),
    ([*POOL, "--scale", "naturl"], "Did you mean natural?"),
    ([*POOL, "--by", "it"], "Did you mean itt?"),
    ([*POOL, "--where", "itx=Yes"], "Did you mean itt?"),
    ([*POOL, "--where", "itt=Yess"], "Did you mean Yes?"),
    ([*POOL, "--exclude", "Mutri", "--reason", "x"], "Did you mean 'Mutrie'?"),
    ([*POOL, "--mu", "norml(0, 1)"], "Did you mean normal?"),
    ([*POOL, "--tau", "halfnorml(1)"], "Did you mean halfnormal?"),
    (["pool", TABLE, "--column", "estimate=smdd", "--column", "se=sesmd"], "Did you mean 'smd'?"),
    (["check", TABLE, "--measure", "SDM"], "Did you mean SMD?"),
    (["sensitivity", DEPRESSION, "--section", "prors"], "Did you mean priors?"),
    (["sensitivity", DEPRESSION, "--section", "priors", "--order", "precison"], "Did you mean precision?"),
    (["sensitivity", DEPRESSION, "--section", "priors", "--alternative", "graeter"], "Did you mean greater?"),
    (["ppc", DEPRESSION, "--section", "prio"], "Did you mean prior?"),
    (["compare", DEPRESSION, "--preset", "revmn5"], "Did you mean revman5?"),
    (["forest", DEPRESSION, "--style", "jurnal"], "Did you mean journal?"),
    (["forest", DEPRESSION, "--order", "precison"], "Did you mean precision?"),
    (["forest", DEPRESSION, "--subgroup", "durration"], "Did you mean duration?"),
    (["bubble", DEPRESSION, "--moderator", "durration"], "Did you mean duration?"),
    (["curve", DEPRESSION, "--moderator", "durration"], "Did you mean duration?"),
    (["funnel", DEPRESSION, "--fill", "LL0"], "Did you mean L0?"),
    (["profiles", "example/protocol.toml", "--moderator", "exercice"], "Did you mean exercise?"),
    (["export", DEPRESSION, "--to", "pymcc"], "Did you mean pymc?"),
    (["template", "t.xlsx", "--kind", "exercse"], "Did you mean exercise?"),
    (["init", "trials.csv", "--measure", "SDM"], "Did you mean SMD?"),
    (["init", "trials.csv", "--map", "estimate=smdd"], "Did you mean smd?"),
    (["init", "trials.csv", "--moderator", "durration"], "Did you mean duration?"),
    (["init", "trials.csv", "--better", "trials=highr"], "Did you mean higher?"),
    (["forensics", TABLE, "--column", "estimate=smdd"], "Did you mean 'smd'?"),
    (["reanalyse", PUBLISHED, "--model", "randm"], "Did you mean random?"),
    (["reanalyse", PUBLISHED, "--better", "highr"], "Did you mean higher?"),
    (["reanalyse", PUBLISHED, "--better", "balanc=higher"], "Did you mean balance?"),
    (["reanalyse", PUBLISHED, "--outcome", "balanc"], "Did you mean balance?"),
    (["bias", DEPRESSION, "--ensemble", "psmaa"], "Did you mean psma?"),
    (["bias", DEPRESSION, "--direction", "highr"], "Did you mean higher?"),
    (["explain", "ambigous-count"], "Did you mean ambiguous-count?"),
]


@pytest.mark.parametrize(("arguments", "meant"), MISSPELT)
def test_misspelt_names_are_answered_with_the_nearest(cli, tmp_path, arguments, meant):
    shutil.copy(TABLE, tmp_path / "trials.csv")
    files.copy_example(tmp_path / "example")
    code, out, err = cli(*arguments)
    assert code != 0
    assert out == ""
    assert meant in err


#: Options whose values are numbers, files, texts or pairs that no list of names holds.
NO_NAMES = {
    f"--{name}"
    for name in (
        *("output", "figure", "fits", "judgements", "sheet", "reason", "threshold", "ref-sd", "cut", "weight", "risk"),
        *("limits", "page", "grain", "bounds", "rows", "comparator", "show-completion", "install-completion"),
    )
}


def test_every_option_that_takes_a_name_was_misspelt():
    taken = {
        option
        for command in typer.main.get_command(app).commands.values()
        for item in command.params
        if item.param_type_name == "option" and not item.is_flag
        for option in item.opts
        if option.startswith("--")
    }
    tried = {word for arguments, _ in MISSPELT for word in arguments if str(word).startswith("--")}
    assert taken - NO_NAMES - tried == set()


# -- faults and the installation ---------------------------------------------------------------------------------------


def test_a_fault_names_its_rule_which_can_be_explained(cli, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("study,n_t,mean_t,sd_t,n_c,mean_c,sd_c\nA,20,1,0,20,2,2\nB,30,1.5,2,30,2,2\n")
    for command in ("pool", "check"):
        code, _, err = cli(command, path, "--measure", "SMD")
        assert code == 3
        assert err.splitlines()[0].endswith(" [sd-not-positive]")
    code, out, _ = cli("explain", "sd-not-positive")
    assert code == 0
    assert out.index("Wrong:") < out.index("Right:") < out.index("More: docs/data.md")
    code, out, _ = cli("explain")
    assert code == 0
    assert "ambiguous-count" in out
    assert max(map(len, out.splitlines())) <= 80


def test_doctor_says_what_is_installed_and_runs_both_engines(cli):
    code, out, err = cli("doctor")
    assert (code, err) == (0, "")
    for part in ("bayesmeta", "python", "pymc", "exact engine", "NUTS engine", "font: Latin", "browser", "cache"):
        assert re.search(rf"^(ok|note) +.*{part}", out, re.MULTILINE), part


def test_doctor_says_what_is_broken(cli, monkeypatch):
    import bayesmeta as bm

    def broken(*args, **options):
        raise OSError("no compiler")

    monkeypatch.setattr(bm, "fit", broken)
    code, out, _ = cli("doctor")
    assert code == 1
    assert re.search(r"^fault +exact engine +OSError: no compiler", out, re.MULTILINE)
