"""The command line: parse, call, print.

stdout carries results, stderr messages. Exit codes: 0 fine, 1 a bug, 2 usage or no such file, 3 protocol or data,
4 inference, 5 computed but not reportable, 130 stopped.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

import typer

from bayesmeta import BayesmetaError, InferenceError
from bayesmeta.boundary import escaped_output, streams_ready
from bayesmeta_cli import helping
from bayesmeta_cli.helping import Grouped
from bayesmeta_cli.messages import one_line_warnings, say, tell
from bayesmeta_cli.options import (
    FITTED,
    OF_A_TABLE,
    OF_OUTCOMES,
    PRINTED,
    Columns,
    Csv,
    Engine,
    Figure,
    Fits,
    Folder,
    Json,
    Measure,
    OutcomeNames,
    ProtocolFile,
    Sections,
    Sheet,
    Source,
    Table,
    Thresholds,
    taking,
)
from bayesmeta_cli.pictures import PICTURES, command_of
from bayesmeta_cli.terminal import colours

__all__ = ["app", "main", "run"]

OK, BUG, USAGE, INPUT, INFERENCE, UNREPORTABLE = range(6)
STOPPED = 130

app = typer.Typer(
    help="Exact Bayesian meta-analysis with the classical check beside it.",
    epilog="Start with `bayesmeta init TABLE`, or `bayesmeta example DIR`. Exit codes: 0 fine, 2 usage or no such "
    "file, 3 protocol or data, 4 inference, 5 computed but not reportable, 130 stopped.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # completion has options of its own, which take the name of a shell (`helping`)
    add_completion=False,
    cls=Grouped,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _of(module: str, shared: Mapping[str, Any] = MappingProxyType({})) -> Callable[[Callable[..., None]], Any]:
    """Let the function of the same name in a module run a command, with further options that it shares with others.

    The module is imported when the command runs.
    """

    def decorate(declared: Callable[..., None]) -> Callable[..., None]:
        if shared:
            taking(shared)(declared)
        lists = {name for name, kind in get_type_hints(declared).items() if kind == list[str] | None}

        @functools.wraps(declared)
        def command(**given: Any) -> None:
            body = getattr(importlib.import_module(f"bayesmeta_cli.{module}"), declared.__name__)
            raise typer.Exit(
                body(**{name: value or [] if name in lists else value for name, value in given.items()}) or 0
            )

        return command

    return decorate


def _version(requested: bool) -> None:
    if requested:
        import bayesmeta

        print(f"bayesmeta {bayesmeta.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    show_completion: Annotated[
        str | None,
        typer.Option(
            metavar="[SHELL]",
            callback=helping.show_completion,
            is_eager=True,
            help=f"Print a completion script: {' '.join(helping.SHELLS)}; this shell's if none is named.",
        ),
    ] = None,
    install_completion: Annotated[
        str | None,
        typer.Option(
            metavar="[SHELL]", callback=helping.install_completion, is_eager=True, help="Write it where shells look."
        ),
    ] = None,
) -> None:
    """Exact Bayesian meta-analysis with the classical check beside it."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
@_of("commands", PRINTED)
def check(
    path: Annotated[Path | None, typer.Argument(metavar="PROTOCOL|CSV", help="Protocol (.toml) or table.")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Write the data's SHA-256 into the protocol.")] = False,
    migrate: Annotated[bool, typer.Option("--migrate", help="Rewrite a protocol of schema 1 as schema 2.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of protocols and exit.")] = False,
    measure: Measure = None,
    column: Columns = None,
    sheet: Sheet = None,
    rows: Annotated[str, typer.Option("--rows", metavar="N", help="Derived rows to show.")] = "5",
    **shared: Any,
) -> None:
    """Is it valid? Lists the analyses, every fault at once, and the first derived rows."""


@app.command()
@taking(OF_A_TABLE)
def pool(path: Table, json: Json = False, csv: Csv = False, **options: Any) -> None:
    """Pool a table without a protocol: Bayesian and classical, with every trial."""
    from bayesmeta_cli import analyses, commands

    protocol = analyses.protocol_of(path, **options)
    for item in protocol.unstated:
        # everything else stands above each answer
        if item.kind in ("measure", "review", "refused", "unreadable"):
            say(f"note: {item.text}.")
    raise typer.Exit(commands.pool(analyses.from_protocol(protocol), json, csv))


@app.command()
@_of("commands", OF_OUTCOMES)
def fit(
    path: ProtocolFile,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="Folder for the fits and run.json; without it none is written."
        ),
    ] = None,
    engine: Engine = None,
    **shared: Any,
) -> None:
    """Fit every outcome, pooled and moderated; write one netCDF per fit and run.json."""


@app.command()
@_of("joint", PRINTED)
def joint(
    path: ProtocolFile,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Folder for joint.nc, the draws, and joint.png."),
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Also with working correlations 0.2, 0.5 and 0.8.")
    ] = False,
    **shared: Any,
) -> None:
    """Fit the outcomes under [joint] together: what borrowing changes, at least m of n, benefit without harm."""


@app.command()
@_of("checks", FITTED)
def ppc(
    path: Source,
    section: Annotated[
        list[str] | None,
        typer.Option("--section", metavar="NAME", help="predictive trials prior overlap scaling loo; repeatable."),
    ] = None,
    moderated: Annotated[bool, typer.Option("--moderated", help="Of the moderated analysis.")] = False,
    figure: Figure = None,
    **shared: Any,
) -> None:
    """Check a fit: replicated data, prior against posterior, power-scaling, leave-one-out."""


@app.command()
@_of("checks", FITTED)
def profiles(
    path: Source,
    moderator: Annotated[
        list[str] | None, typer.Option("--moderator", metavar="NAME", help="A categorical moderator; repeatable.")
    ] = None,
    figure: Figure = None,
    **shared: Any,
) -> None:
    """Effects and probabilities of benefit at every combination of levels, with the trials behind each."""


@app.command()
@_of("commands", FITTED)
def compare(
    path: Source,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Exchange our choices for those of revman5 revman2025 stata iqwig6 iqwig8 metafor meta i2_rule.",
        ),
    ] = None,
    **shared: Any,
) -> None:
    """Bayesian beside classical pooling, per outcome; or what another program's choices would change."""


@app.command()
@_of("commands", FITTED)
def benefit(path: Source, threshold: Thresholds = None, **shared: Any) -> None:
    """Probability of benefit and harm, for the mean effect and in a new study, per outcome."""


@app.command()
@_of("borrow", OF_OUTCOMES)
def borrow(
    path: ProtocolFile,
    weight: Annotated[
        str | None,
        typer.Option("--weight", metavar="W", help="Prior probability that the review says nothing; the protocol's."),
    ] = None,
    figure: Figure = None,
    **shared: Any,
) -> None:
    """One trial with the prior that a review gives it: alone, together, and when the review is discarded."""


@app.command()
@_of("sensitivity", OF_OUTCOMES)
def sensitivity(
    path: ProtocolFile,
    section: Sections = None,
    cut: Annotated[
        str,
        typer.Option("--cut", metavar="P", help="The probability of benefit that the panel wants, for tipping points."),
    ] = "0.8",
    order: Annotated[
        str | None, typer.Option("--order", metavar="rows|precision", help="In which order trials are added.")
    ] = None,
    alternative: Annotated[
        str | None, typer.Option(metavar="auto|greater|less|two-sided", help="Of one-sided small-study methods.")
    ] = None,
    output: Folder = None,
    **shared: Any,
) -> None:
    """Sensitivity analyses: declared analyses, priors, trials, methods, and all choices at once.

    Sections: declared concordance priors tipping scaling leave-one-out cumulative inconsistency small-study influence
    dependence counts heterogeneity heterogeneity-by best-level within-trials risk-of-bias credibility estimators
    multiverse; publication-bias when named or where the protocol has [bias]; permutation and gosh only when named.
    """


@app.command()
@_of("sensitivity", FITTED)
def influence(
    path: Source,
    gosh: Annotated[bool, typer.Option("--gosh", help="Also every subset of trials, or a stated sample.")] = False,
    figure: Figure = None,
    **shared: Any,
) -> None:
    """Influential trials: deletion diagnostics, leave-one-out, and all subsets."""


@app.command()
@_of("sensitivity", OF_OUTCOMES)
def multiverse(path: ProtocolFile, figure: Figure = None, **shared: Any) -> None:
    """Every combination of estimator, interval, prior and effect-size formula, and which choice moves the answer."""


@app.command()
@taking(OF_A_TABLE)
def bias(
    path: Annotated[Path, typer.Argument(metavar="PROTOCOL|CSV", help="Protocol (.toml) or table.")],
    ensemble: Annotated[
        str | None, typer.Option("--ensemble", metavar="psma|pp|2w|bma", help="Default: the protocol's, else psma.")
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option("--direction", metavar="higher|lower", help="Which effects are favoured; default the better."),
    ] = None,
    models: Annotated[bool, typer.Option("--models", help="Print every model, not the most probable alone.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder for pictures.")] = None,
    outcome: OutcomeNames = None,
    json: Json = False,
    csv: Csv = False,
    **options: Any,
) -> None:
    """Models with and without publication bias, averaged: estimates, chances of benefit, inclusion Bayes factors.

    Of a table without a protocol, options say what a protocol would; --mu and --tau are priors of the average.
    """
    from bayesmeta_cli import bias as commands

    raise typer.Exit(commands.bias(path, outcome or [], ensemble, direction, models, output, json, csv, options))


@app.command()
@_of("forensics", PRINTED)
def forensics(
    path: Annotated[Path | None, typer.Argument(metavar="PROTOCOL|CSV", help="Protocol (.toml) or table.")] = None,
    column: Columns = None,
    sheet: Sheet = None,
    grain: Annotated[
        str | None, typer.Option("--grain", metavar="X", help="Smallest step of one participant's score, for GRIM.")
    ] = None,
    bounds: Annotated[str | None, typer.Option("--bounds", metavar="LOW,HIGH", help="Ends of the scale.")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List the rules and exit.")] = False,
    **shared: Any,
) -> None:
    """What is improbable or impossible in a table: standard errors as SDs, flipped signs, arms used twice, and more."""


@app.command()
@_of("published", OF_OUTCOMES)
def reanalyse(
    path: Annotated[Path, typer.Argument(metavar="CSV", help="Published pooled results, one per row.")],
    mu: Annotated[str | None, typer.Option("--mu", metavar="PRIOR", help="Of the mean effect, normal.")] = None,
    tau: Annotated[str | None, typer.Option("--tau", metavar="PRIOR", help="Of tau, proper.")] = None,
    ref_sd: Annotated[str | None, typer.Option("--ref-sd", metavar="S", help="As in `pool`.")] = None,
    threshold: Thresholds = None,
    better: Annotated[
        list[str] | None,
        typer.Option("--better", metavar="[OUTCOME=]higher|lower", help="Which direction is benefit; repeatable."),
    ] = None,
    measure: Measure = None,
    model: Annotated[str, typer.Option("--model", metavar="random|fixed", help="Where none is stated.")] = "random",
    column: Columns = None,
    figure: Figure = None,
    **shared: Any,
) -> None:
    """Published pooled results again: what estimate, I2 and k leave possible for the mean and for a new study."""


@app.command()
@_of("published", PRINTED)
def audit(
    path: Annotated[Path | None, typer.Argument(metavar="PUBLISHED", help="Published results (.csv).")] = None,
    trials: Annotated[Path | None, typer.Argument(metavar="TRIALS", help="The review's list of trials (.csv).")] = None,
    column: Columns = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 5 where a finding is an error.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="List the rules and exit.")] = False,
    **shared: Any,
) -> None:
    """Can these published results be? Intervals, I2, directions, trials and patients counted twice, and more."""


for _picture in PICTURES:
    app.command(_picture.name)(command_of(_picture))


@app.command()
@taking(OF_A_TABLE)
def report(
    path: Annotated[Path, typer.Argument(metavar="PROTOCOL|CSV", help="Protocol (.toml) or table.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for page and files."),
    ] = Path("report"),
    outcome: OutcomeNames = None,
    engine: Engine = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Draw every picture as PDF too.")] = False,
    judgements: Annotated[
        Path | None, typer.Option("--judgements", metavar="FILE", help="What the panel judged, as the page saves it.")
    ] = None,
    joint: Annotated[bool, typer.Option("--joint/--no-joint", help="Joined outcomes together, sampled.")] = True,
    patients: Annotated[bool, typer.Option("--patients", help="A page for patients too.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    **options: Any,
) -> None:
    """Write the report: one page with all results, Word tables, and the files behind them.

    Of a table without a protocol, options say what a protocol would; the page states what was assumed.
    """
    from bayesmeta.report import begin

    begin(path, outcome or [])
    from bayesmeta_cli import report as commands

    ask = {"engine": engine, "pdf": pdf, "judgements": judgements, "joint": joint, "patients": patients}
    raise typer.Exit(commands.report(path, outcome or [], output, ask, show, options))


@app.command()
@_of("report")
def cite(
    path: Source,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="References only.")] = False,
    outcome: OutcomeNames = None,
    fits: Fits = None,
) -> None:
    """Print a methods paragraph and the references of what was run."""


@app.command()
@_of("report")
def export(
    path: Source,
    to: Annotated[str, typer.Option("--to", metavar="r|pymc|stan", help="Language of the scripts.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder in it per outcome.")] = Path(
        "export"
    ),
    outcome: OutcomeNames = None,
    fits: Fits = None,
) -> None:
    """Write scripts that reach the answer again in R, PyMC or Stan, with the data and our answer beside them."""


@app.command()
def example(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to copy the example into.")] = Path("example"),
) -> None:
    """Copy a small protocol with its table and provenance, to start from."""
    from bayesmeta_cli.files import copy_example

    for path in copy_example(folder):
        print(path)
    say(
        f"next: bayesmeta check {folder / 'protocol.toml'}\n"
        f"next: bayesmeta fit {folder / 'protocol.toml'} -o {folder / 'out'}"
    )


@app.command()
@_of("setting_up")
def explain(
    rule: Annotated[list[str] | None, typer.Argument(metavar="[RULE]", help="Its name, as faults show it.")] = None,
) -> None:
    """What a rule of tables and protocols is, why, with a wrong and a right example; without a name, all rules."""


@app.command()
@_of("setting_up")
def doctor(
    engines: Annotated[bool, typer.Option("--engines/--no-engines", help="A small fit by each engine.")] = True,
) -> None:
    """Is the installation sound? Versions, engines (a small fit by each), fonts, browser and caches."""


@app.command()
@_of("setting_up")
def template(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="Workbook to write (.xlsx).")] = Path("exercise.xlsx"),
    kind: Annotated[str, typer.Option("--kind", metavar="NAME", help="Which template: exercise.")] = "exercise",
) -> None:
    """Write a workbook to extract trials into: lists to choose from, and an example of every column."""


@app.command()
@_of("setting_up")
def init(
    path: Table,
    map: Annotated[
        list[str] | None, typer.Option("--map", metavar="OURS=THEIRS", help="Which column is what; repeatable.")
    ] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option("--outcome", metavar="NAME", help="Its name, or which of several."),
    ] = None,
    comparator: Annotated[str | None, typer.Option(metavar="LEVEL", help="Compared with what, or all.")] = None,
    measure: Measure = None,
    better: Annotated[
        list[str] | None,
        typer.Option("--better", metavar="WHAT=higher|lower", help="Of a scale or an outcome; repeatable."),
    ] = None,
    ref_sd: Annotated[str | None, typer.Option("--ref-sd", metavar='"SD; SOURCE"', help="Scales priors of MD.")] = None,
    moderator: Annotated[
        list[str] | None, typer.Option("--moderator", metavar="COLUMN", help="Or none; repeatable.")
    ] = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", metavar='"X; SOURCE"', help="Or mid (the registry's), 0.5, none.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="proposed|exclude", help="Rows with a gap: as proposed, or left out.")
    ] = None,
    mu: Annotated[str | None, typer.Option(metavar="PRIOR", help="Of the mean effect; else the published one.")] = None,
    tau: Annotated[str | None, typer.Option(metavar="PRIOR", help="Of tau; default the published one.")] = None,
    sheet: Sheet = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PROTOCOL", help="Default: beside the table.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing that has a safe answer.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a protocol that is there.")] = False,
) -> None:
    """Write a protocol for a table of trials: asks on a terminal what no option states."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with colours():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        helping.prepare_completion()
        if "" in (sys.argv[1:] if arguments is None else arguments):
            raise typer.BadParameter("an argument is empty. Give a value, or leave the option out.")
        with one_line_warnings(), escaped_output():
            code = app(
                args=None if arguments is None else list(arguments), prog_name=helping.PROGRAM, standalone_mode=False
            )
            sys.stdout.flush()
    except BayesmetaError as error:
        tell(str(error), named=True)
        return INFERENCE if isinstance(error, InferenceError) else INPUT
    except (RecursionError, MemoryError) as error:
        tell(f"the input is too large or nested too deep ({type(error).__name__}).")
        return INPUT
    except SystemExit as error:
        # the toolkit answers a closed pipe by leaving with 1 and a wrapper around stdout
        if type(sys.stdout).__name__ != "PacifyFlushWrapper":
            return error.code if isinstance(error.code, int) else BUG
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except BrokenPipeError:
        # the reader (such as `head`) has all it wants; python must not complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        named = error.filename is not None and error.strerror is not None
        tell(f"{error.filename}: {str(error.strerror).lower()}" if named else str(error))
        return USAGE
    except (typer.Abort, KeyboardInterrupt):
        tell("stopped")
        return STOPPED
    except typer.Exit as error:
        return error.exit_code
    except Exception as error:
        # usage errors have no public base class in common; they are told apart by how they present themselves
        if hasattr(error, "format_message"):
            tell(" ".join(str(error.format_message()).split()) + " See `bayesmeta COMMAND --help`.")
            return USAGE
        if os.environ.get("BAYESMETA_DEBUG"):
            raise
        tell(f"this is a bug: {type(error).__name__}: {' '.join(str(error).split())} (BAYESMETA_DEBUG=1 shows where)")
        return BUG
    if code == STOPPED:
        # the toolkit turns Ctrl-C into this code
        tell("stopped")
    return code if isinstance(code, int) else OK


def run() -> None:
    """Entry point of the `bayesmeta` command."""
    sys.exit(main() if streams_ready() else USAGE)


if __name__ == "__main__":
    run()
