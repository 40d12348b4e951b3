"""The rules that tables, protocols and published results are held against, each with a wrong and a right example."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

from bayesmeta.errors import Fault, find_name

__all__ = ["ExplainedRule", "explained_rule", "explained_rules", "rule_of"]

RuleKind = Literal["table", "estimates", "protocol", "examined", "published"]
#: Headings of the list.
GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "table": "Faults of tables",
        "estimates": "Faults of tables",
        "protocol": "Faults of protocols",
        "examined": "What `forensics` and `check` ask of a table",
        "published": "What `audit` asks of published results",
    }
)


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """A rule, as someone reads it whose table or protocol breaks it.

    Parameters
    ----------
    name : str
        As it is typed, and as it stands in brackets behind a fault.
    kind : {"table", "estimates", "protocol", "examined", "published"}
        What the examples are: a table of arms or of estimates, a protocol of such a table, a table whose findings are
        shown, a table of published results.
    why : str
        What the rule is, and why.
    wrong, right : str
        The content of a file that breaks it, and of one that does not.
    docs : str
        Where the documentation speaks of it.
    measure : str
        The measure with which a table breaks it.
    finding : str
        The name of the rule in findings; empty for faults.
    pattern : str
        A regular expression of the faults that break it; empty for findings.

    Examples
    --------
    >>> explained_rule("rows-equal").kind
    'table'
    """

    name: str
    kind: RuleKind
    why: str
    wrong: str
    right: str
    docs: str
    measure: str = "SMD"
    finding: str = ""
    pattern: str = ""

    @property
    def group(self) -> str:
        """The heading under which it is listed."""
        return GROUPS[self.kind]


@cache
def _stated() -> dict[str, Any]:
    text = resources.files("bayesmeta.setup").joinpath("rules.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _made(name: str, stated: Mapping[str, Any], examples: Mapping[str, str]) -> ExplainedRule:
    found = {key: stated[key] for key in ("kind", "why", "docs", "measure", "finding", "pattern") if key in stated}
    right = stated.get("right", examples.get(stated["kind"], examples["table"]))
    wrong = stated["wrong"] if "wrong" in stated else right.replace(stated["old"], stated["new"], 1)
    return ExplainedRule(name=name, wrong=wrong.lstrip("\n"), right=right.lstrip("\n"), **found)


@cache
def explained_rules() -> Mapping[str, ExplainedRule]:
    """Every rule that has a name to be typed, by that name; faults in the order in which they are recognised.

    Examples
    --------
    >>> explained_rules()["sd-not-positive"].docs
    'docs/data.md: A table of trials'
    """
    examples = _stated()["examples"]
    return MappingProxyType(
        {name: _made(name, stated, examples) for name, stated in _stated().items() if name != "examples"}
    )


def explained_rule(name: str) -> ExplainedRule:
    """Find a rule by the name behind a fault, or by that of a finding.

    Raises
    ------
    ModelError
        If there is none; the message lists those there are, the nearest first.

    Examples
    --------
    >>> explained_rule("SE given as SD").name
    'se-given-as-sd'
    >>> explained_rule("row-equal")
    Traceback (most recent call last):
    ...
    bayesmeta.errors.ModelError: there is no rule 'row-equal'. Did you mean rows-equal? Allowed: ...
    """
    rules = explained_rules()
    typed = re.sub(r"[^a-z0-9]+", "-", name.strip().strip("[]").casefold()).strip("-")
    return rules[typed] if typed in rules else rules[find_name("rule", name, rules)]


def rule_of(fault: Fault | str) -> str | None:
    """Name the rule that a fault breaks; None where it has no name of its own.

    Examples
    --------
    >>> rule_of("trials.csv row 14, column sd_t: 0 is not > 0. Correct the row.")
    'sd-not-positive'
    """
    text = str(fault)
    return next(
        (rule.name for rule in explained_rules().values() if rule.pattern and re.search(rule.pattern, text)), None
    )
