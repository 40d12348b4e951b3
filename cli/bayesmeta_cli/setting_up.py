"""To begin and to be helped: `init`, a protocol for a table; `template`, a workbook; `explain`; `doctor`."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import bayesmeta as bm
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import say, steps, tell
from bayesmeta_cli.render import WIDTH, title, wrapped

if TYPE_CHECKING:
    from bayesmeta.setup import Look, Question

BUG, INPUT = 1, 3


def init(
    path: Path,
    map: Sequence[str],
    outcome: Sequence[str],
    comparator: str | None,
    measure: str | None,
    better: Sequence[str],
    ref_sd: str | None,
    moderator: Sequence[str],
    threshold: str | None,
    rows: str | None,
    mu: str | None,
    tau: str | None,
    sheet: str | None,
    output: Path | None,
    yes: bool,
    force: bool,
) -> int:
    """Write a protocol and a provenance file; on a terminal what no option states is asked."""
    existing(path, ("table",))
    from bayesmeta.setup import checked_answers, destinations, initialise, look_at, next_after, next_question

    destinations(path, output, force=force)
    lists = {"columns": map, "outcome": outcome, "better": better, "moderators": moderator}
    texts = {"comparator": comparator, "measure": measure, "ref_sd": ref_sd, "threshold": threshold, "rows": rows}
    # a semicolon behind each, because a name may hold a comma
    given = {name: "".join(f"{item};" for item in items) for name, items in lists.items() if items}
    given |= {name: text for name, text in {**texts, "mu": mu, "tau": tau}.items() if text is not None}
    look = look_at(path, sheet=sheet)
    answers = checked_answers(look, given)
    if sys.stdin.isatty():
        answers = _asked(look, answers, yes)
    made = initialise(path, answers, output=output, sheet=sheet, confirm=yes, force=force)
    for name in made.assumed:
        say(wrapped(f"not asked: {name} = {made.answers[name]}"))
        question = next_question(look, {key: text for key, text in made.answers.items() if key != name})
        if name in ("columns", "rows") and question is not None:
            # what was agreed to; the lines of other questions are choices
            say("\n".join(wrapped(line, "  ") for line in question.lines))
    print(made.protocol)
    print(made.provenance)
    if made.kept:
        say(wrapped(f"kept: {made.provenance} was there already; see whether it still tells of this table"))
    if made.error is not None:
        tell(str(made.error), named=True)
        say(f"next: {next_after(made.protocol, made.error)[0]} --pin")
        return INPUT
    say(f"next: bayesmeta check {shlex.quote(str(made.protocol))}\nthen: fill in {made.provenance.name}")
    return 0


def _asked(look: Look, answers: Mapping[str, str], yes: bool) -> dict[str, str]:
    """Ask one question after the other until a protocol can be written; what `yes` answers is left out."""
    from bayesmeta.setup import checked_answer, next_question

    found, assumed = dict(answers), set()
    while (question := next_question(look, found)) is not None:
        if yes and question.default is not None and (question.safe or question.key == "rows"):
            found[question.key] = checked_answer(look, question, "", found)
            assumed.add(question.key)
            continue
        try:
            found[question.key] = checked_answer(look, question, _prompted(question), found)
        except bm.ModelError as error:
            say(wrapped(f"error: {error}"))
    return {name: text for name, text in found.items() if name not in assumed}


def _prompted(question: Question) -> str:
    say("")
    for line in question.lines:
        say(wrapped(line, "  "))
    say(wrapped(f"{question.text} ({question.why})"))
    say(wrapped(f"Answer: {question.form}."))
    return str(typer.prompt(">", default=question.default or "", show_default=bool(question.default), err=True))


def template(path: Path, kind: str) -> None:
    """Write a workbook to extract into, and say what follows."""
    from bayesmeta.setup import write_template

    print(write_template(path, kind))
    say(f"next: fill it in, then bayesmeta init {shlex.quote(str(path))} --sheet Scores")


def explain(rule: Sequence[str]) -> None:
    """Print a rule with its examples, or the names of all."""
    from bayesmeta.setup import explained_rule, explained_rules

    if not rule:
        groups: dict[str, list[str]] = {}
        for item in explained_rules().values():
            groups.setdefault(item.group, []).append(item.name)
        print("\n\n".join(f"{title(name)}\n{wrapped('  '.join(names), '  ')}" for name, names in groups.items()))
        say("next: bayesmeta explain NAME")
        return
    found = explained_rule(" ".join(rule))
    print(f"{title(found.name)}\n{wrapped(found.why)}")
    for word, text in (("Wrong", found.wrong), ("Right", found.right)):
        print(f"\n{word}:\n" + textwrap.indent(text.rstrip(), "  "))
    print(f"\nMore: {found.docs}")


def doctor(engines: bool) -> int:
    """Print what was found of the installation; return the exit code."""
    from bayesmeta.setup import examine_installation

    with steps(4 + engines) as step:
        found = examine_installation(engines=engines, progress=step)
    for item in found:
        line = f"{item.state:<6}{item.part:<20}{item.found}{f'. {item.remedy}' if item.remedy else ''}"
        print("\n".join(textwrap.wrap(line, WIDTH, subsequent_indent=" " * 26, break_long_words=False)))
    return BUG if any(item.state == "fault" for item in found) else 0
