"""A table to a protocol: answers taken, defaults named, files written whole, and read again as they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bayesmeta.boundary import replaced
from bayesmeta.errors import DataError, ModelError, ProtocolError, find_name
from bayesmeta.priors import parse
from bayesmeta.protocol import read_protocol
from bayesmeta.setup.looking import Look, look_at
from bayesmeta.setup.protocol_text import protocol_text, provenance_text
from bayesmeta.setup.questions import (
    ANSWERS,
    Question,
    checked_answer,
    columns_of,
    directions_of,
    next_question,
    seen_with,
)
from bayesmeta.studies import read_outcome

__all__ = ["Initialised", "checked_answers", "destinations", "initialise", "open_questions", "unanswered"]


_PROVENANCE = ".provenance.toml"


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `initialise` wrote.

    Parameters
    ----------
    protocol, provenance : Path
    answers : mapping of str to str
        Every answer, those too that were defaults.
    assumed : tuple of str
        Names of the answers that nobody gave.
    error : ProtocolError or DataError or None
        What must be corrected in the table before the protocol can be run.
    kept : bool
        Whether there was a provenance file already, which was left as it is.
    """

    protocol: Path
    provenance: Path
    answers: Mapping[str, str]
    assumed: tuple[str, ...]
    error: ProtocolError | DataError | None = None
    kept: bool = False


def destinations(table: str | Path, output: str | Path | None = None, *, force: bool = False) -> tuple[Path, Path]:
    """Return where the protocol and the provenance file of a table will lie.

    Parameters
    ----------
    table : str or Path
    output : str or Path, optional
        The protocol; default beside the table, under its name.
    force : bool
        Whether a protocol that is there may be replaced.

    Raises
    ------
    FileExistsError
        If the protocol is there, unless ``force``.
    ModelError
        If ``output`` is no ``.toml``, or has the name of a provenance file.

    Examples
    --------
    >>> [path.name for path in destinations("my trials.csv")]
    ['my trials.toml', 'my trials.provenance.toml']
    """
    table = Path(table)
    protocol = table.with_suffix(".toml") if output is None else Path(output)
    if protocol.suffix.lower() != ".toml":
        raise ModelError(f"{protocol}: a protocol is a .toml file. Call it {protocol.with_suffix('.toml').name}.")
    if protocol.name.lower().endswith(_PROVENANCE):
        plain = protocol.name[: -len(_PROVENANCE)] or table.stem
        raise ModelError(f"{protocol}: provenance files are called *{_PROVENANCE}. Name another with -o: {plain}.toml.")
    if protocol.exists() and not force:
        raise FileExistsError(f"{protocol}: there already. Name another with -o, or use --force.")
    return protocol, protocol.with_name(f"{table.stem}{_PROVENANCE}")


def open_questions(
    look: Look, answers: Mapping[str, str], *, confirm: bool = False
) -> tuple[dict[str, str], list[Question]]:
    """Take the defaults that are safe, and list the questions that nobody has answered and that have none.

    Parameters
    ----------
    look : Look
    answers : mapping of str to str
    confirm : bool
        Whether proposals about rows are taken too. A direction never is.

    Returns
    -------
    answers : dict of str to str
    open : list of Question
    """
    found, left = dict(answers), []
    trial = dict(answers)
    while (question := next_question(look, trial)) is not None:
        taken = question.safe or (confirm and question.key == "rows")
        if taken and question.default is not None:
            found[question.key] = trial[question.key] = checked_answer(look, question, "", trial)
        else:
            left.append(question)
            if question.default is None and question.key in ("columns", "measure"):
                # what follows depends on it
                break
            trial[question.key] = question.default or ""
            if not trial[question.key]:
                trial[question.key] = "all" if question.key == "comparator" else "?"
    return found, left


def checked_answers(look: Look, answers: Mapping[str, str]) -> dict[str, str]:
    """Return given answers in their plain form.

    Parameters
    ----------
    look : Look
    answers : mapping of str to str

    Raises
    ------
    ModelError
        For one that no question asks for, and one that is no answer.

    Examples
    --------
    >>> from bayesmeta.setup import look_at
    >>> checked_answers(look_at("data/metastatic_trials.csv"), {"threshold": "0.3; panel 2025"})
    {'threshold': '0.3; panel 2025'}
    """
    for name in answers:
        find_name("answer", name, ANSWERS)
    found = {name: answers[name] for name in ("mu", "tau", "outcome") if name in answers}
    for name in ("mu", "tau"):
        if name in found:
            parse(found[name])
    given = {name: text for name, text in answers.items() if name not in found}
    if "columns" in given:
        columns_of(look, given)
        found["columns"] = given.pop("columns")
    if "measure" in given:
        found["measure"] = find_name("measure", given.pop("measure"), seen_with(look, found).possible)
    trial = dict(found)
    while given and (question := next_question(look, trial)) is not None:
        if question.key in given:
            text = checked_answer(look, question, given.pop(question.key), trial)
            found[question.key] = trial[question.key] = text
        else:
            trial[question.key] = question.default or "?"
    if "better" in given:
        # of rows that agree a direction may be stated too
        found["better"] = _stated_better(look, found, given.pop("better"))
    for name in given:
        raise ModelError(f"{ANSWERS[name].split()[0]}: the table leaves nothing to decide there. Leave it out.")
    return found


def _stated_better(look: Look, answers: Mapping[str, str], text: str) -> str:
    given = directions_of(seen_with(look, answers), {"better": text})
    return "; ".join(f"{name}={way}" for name, way in given.items())


def initialise(
    table: str | Path,
    answers: Mapping[str, str] | None = None,
    *,
    output: str | Path | None = None,
    sheet: str | None = None,
    confirm: bool = False,
    force: bool = False,
) -> Initialised:
    """Write a protocol and a provenance file for a table of trials.

    Parameters
    ----------
    table : str or Path
        One row per estimate, columns under any names.
    answers : mapping of str to str, optional
        What the table does not say, by name: ``columns`` (``"yes"``, or ``"n_t=N exercise; sd_t=SD exercise"``),
        ``outcome``, ``comparator``, ``measure``, ``better`` (``"FACIT-F=higher; BFI=lower"``), ``ref_sd`` and
        ``threshold`` (``"10.5; source"``), ``moderators`` (``"timing; weeks"``), ``rows`` (``"proposed"`` or
        ``"exclude"``), ``mu``, ``tau``.
    output : str or Path, optional
        The protocol; default beside the table.
    sheet : str, optional
        Of a workbook in which several sheets have rows.
    confirm : bool
        Whether what is proposed for rows that lack something is taken without an answer.
    force : bool
        Whether a protocol that is there may be replaced. A provenance file is replaced only where nothing was filled
        in.

    Returns
    -------
    Initialised

    Raises
    ------
    ModelError
        For a question without a safe default that is not answered, and for an answer that is none; a direction is
        never taken without an answer.
    DataError
        If the table cannot be read.
    FileExistsError
        If the protocol is there already.

    Examples
    --------
    >>> import shutil, tempfile
    >>> from bayesmeta.studies import read_effects
    >>> with tempfile.TemporaryDirectory() as place:
    ...     table = shutil.copy("data/exercise_depression_10_trials.csv", place)
    ...     made = bm.initialise(table, {"measure": "SMD", "better": "lower", "columns": "estimate=smd; se=sesmd"})
    ...     read_effects(made.protocol, "exercise_depression_10_trials").k
    10
    """
    protocol, provenance = destinations(table, output, force=force)
    look = look_at(table, sheet=sheet)
    given = checked_answers(look, answers or {})
    found, left = open_questions(look, given, confirm=confirm)
    if left:
        raise ModelError(unanswered(left))
    seen = seen_with(look, found)
    text, beside = protocol_text(look, seen, found, protocol), provenance_text(look, seen)
    protocol.parent.mkdir(parents=True, exist_ok=True)
    kept = provenance.exists() and not (force and _untouched(provenance, beside))
    for path, content in ((protocol, text), *(() if kept else ((provenance, beside),))):
        with replaced(path) as place:
            place.write_text(content, encoding="utf-8")
    assumed = tuple(name for name in found if name not in (answers or {}))
    return Initialised(protocol, provenance, found, assumed, _error_of(protocol), kept)


def _untouched(path: Path, text: str) -> bool:
    """Whether a provenance file holds nothing but what was written there of the table, as it is or was before."""
    changing = ("sha256 = ", "rows = ", "trials = ")
    before = path.read_text(encoding="utf-8", errors="replace")
    one, two = ([line for line in x.splitlines() if not line.startswith(changing)] for x in (before, text))
    return one == two


def _error_of(protocol: Path) -> ProtocolError | DataError | None:
    """Read every outcome of a protocol; return what stands in the way."""
    try:
        stated = read_protocol(protocol)
        for key in stated.outcomes:
            read_outcome(stated, key)
    except (ProtocolError, DataError) as error:
        return error
    return None


def unanswered(left: list[Question]) -> str:
    """Say which answers are missing, each with what was seen and the flag that gives it."""
    parts = []
    for question in left:
        shown = "".join(f"\n  {line}" for line in question.lines)
        example = question.flag if question.default is None else f'{question.flag.split()[0]} "{question.default}"'
        parts.append(f"{question.text} ({question.why}){shown}\n  give: {example}")
    return "not stated, and nothing safe to assume:\n" + "\n".join(parts)
