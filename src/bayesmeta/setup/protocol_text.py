"""The protocol that answers make, as commented TOML, and the provenance file beside it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from bayesmeta.boundary import file_bytes
from bayesmeta.errors import DataError, Fault
from bayesmeta.measures import MEASURES
from bayesmeta.priors import parse, published_priors
from bayesmeta.setup.lacking import Lacking, rows_text
from bayesmeta.setup.looking import Look, OutcomeRows, Seen
from bayesmeta.setup.questions import coded_ways, directions_of, measure_of, mid_of, numbered, parts_of, translated

__all__ = ["protocol_text", "provenance_text"]

_NORMAN = "Half a standard deviation: Norman 2003, doi:10.1097/01.MLR.0000062554.74615.4C. A convention"
_TOOLS = {
    "RoB 2": {"low", "some concerns", "high"},
    "ROBINS-I": {"low", "moderate", "serious", "critical", "no information"},
}
_COLUMNS = {
    "study": "name of the trial",
    "n": "participants",
    "mean": "mean",
    "sd": "standard deviation between people",
    "se": "standard error of the mean",
    "events": "people with the event",
    "ci": "confidence interval of the mean",
    "median_iqr": "median with its quartiles",
    "median_range": "median with its range",
    "mean_change": "mean change since baseline",
    "sd_change": "standard deviation of changes",
    "instrument": "instrument that the outcome was measured with",
    "risk_of_bias": "overall judgement of the risk of bias",
    "note": "remarks",
}


def toml_text(value: Any) -> str:
    r"""Write a value as TOML.

    Examples
    --------
    >>> toml_text({"study": 'O"Trial', "FACIT F": [1, 0.5]})
    '{ study = "O\\"Trial", "FACIT F" = [1, 0.5] }'
    >>> toml_text(0.1234567)
    '0.1234567'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # the shortest text that reads back to the same bits
        return repr(float(value))
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {toml_text(item)}" for name, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_text, value)) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {toml_text(value)}" for name, value in table.items()]


def _comment(*texts: str) -> list[str]:
    """Write sentences as comment lines of at most 110 characters."""
    lines = []
    for text in texts:
        line = "#"
        for word in text.split():
            if len(line) + len(word) > 108:
                lines.append(line)
                line = "#"
            line += f" {word}"
        lines.append(line)
    return lines


def moderator_names(seen: Seen, answers: Mapping[str, str]) -> dict[str, str]:
    """Our names of the chosen moderators, with the table's.

    Examples
    --------
    >>> from bayesmeta.setup import look_at
    >>> from bayesmeta.setup.questions import seen_with
    >>> seen = seen_with(look_at("data/hiit_trials.csv"), {})
    >>> moderator_names(seen, {"moderators": "category_age; men_ratio"})
    {'category_age': 'category_age', 'men_ratio': 'men_ratio'}
    """
    text = answers.get("moderators", "none")
    names = [] if text == "none" else parts_of(text, map(str, seen.frame.columns))
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        ours = stem = re.sub(r"\W+", "_", name.casefold()).strip("_") or "moderator"
        place = 2
        # a name that another column has, or of ours that means something else, would be read as that
        while ours in found or (ours in seen.frame.columns and ours != name):
            ours, place = f"{stem}_{place}", place + 1
        found[ours] = name
    return found


def _excluded(seen: Seen, answers: Mapping[str, str]) -> list[Lacking]:
    """What is left out: what lacks an effect, and with ``rows = exclude`` whatever needs an assumption."""
    everything = answers.get("rows") == "exclude"
    return [item for item in seen.lacking if everything or item.kind == "exclude"]


def _assumed(seen: Seen, answers: Mapping[str, str], kind: str) -> list[Lacking]:
    left = _excluded(seen, answers)
    return [item for item in seen.lacking if item.kind == kind and item not in left]


def _where(seen: Seen, answers: Mapping[str, str], item: Lacking) -> list[dict[str, Any]]:
    """Filters that choose the rows of an item, and no others but such as are left out anyway.

    Raises
    ------
    DataError
        If another row of the trial holds everything that a row of the item holds.
    """
    frame, found = seen.frame, []
    study = frame["study"].astype(str)
    gone = {*item.rows, *(row for left in _excluded(seen, answers) for row in left.rows)}
    # directions have other words in the protocol
    held = [name for name in map(str, frame.columns) if name != "coded_better"]
    numbers = [name for name in held if pd.api.types.is_numeric_dtype(frame[name])]
    texts = [name for name in held if name not in numbers]
    # names and levels first, as a reader would tell the rows apart
    preferred = ("outcome", "horizon", "arm_t", seen.arms, "arm_c", "instrument")
    names = [name for name in dict.fromkeys((*preferred, *texts, *numbers)) if name and name in frame.columns]
    for row in item.rows:
        others = frame[(study == study[row]) & ~frame.index.isin(gone)]
        where: dict[str, Any] = {"study": study[row]}
        for name in names:
            cell = frame[name][row]
            if pd.notna(cell) and not (alike := (others[name] == cell).fillna(False).astype(bool)).all():
                where[_column(seen, name)] = cell
                others = others[alike]
        if len(others):
            what = f"no filled cell of it differs from row {others.index[0]}, so that it cannot be left out alone"
            remedy = "Take one of the two out of the table, or add a column that distinguishes them."
            raise DataError([Fault(f"row {row} ({study[row]})", what, remedy)])
        if where not in found:
            found.append(where)
    return found


def _column(seen: Seen, name: str) -> str:
    """What the protocol calls a column: a comparator is an arm only where the other arm has a name too."""
    arms = "arm_t" in seen.frame.columns or seen.arms is not None
    return "comparator" if name == "arm_c" and name in seen.columns and not arms else name


def _not_analysed(seen: Seen) -> list[dict[str, Any]]:
    """Outcomes that were not chosen, where the direction of some of their rows is not known."""
    if seen.coded is None or not any("outcome" in group.where for group in seen.outcomes):
        return []
    left = seen.frame["outcome"][seen.frame[seen.coded].isna()].dropna().unique()
    chosen = {group.where["outcome"] for group in seen.outcomes}
    reason = "an outcome that is not analysed here"
    return [{"where": {"outcome": str(name)}, "reason": reason} for name in left if str(name) not in chosen]


def _listed(key: str, tables: list[dict[str, Any]]) -> list[str]:
    """Write an array of tables, one a line."""
    return [f"{key} = [", *(f"  {toml_text(item)}," for item in tables), "]"] if tables else []


# -- the protocol ------------------------------------------------------------------------------------------------------


def protocol_text(look: Look, seen: Seen, answers: Mapping[str, str], output: Path) -> str:
    """Write the protocol that the answers make.

    Parameters
    ----------
    look : Look
    seen : Seen
    answers : mapping of str to str
    output : Path
        Where it will lie; the table's path is written relative to it.
    """
    measure = measure_of(seen, answers)
    moderators = moderator_names(seen, answers)
    lines = _head(look, seen)
    lines += ["", *_data(look, seen, answers, output, moderators)]
    thresholds = {group.key: _threshold(seen, answers, group, measure) for group in seen.outcomes}
    alike = len(thresholds) > 1 and len({tuple(item) for item in thresholds.values()}) == 1
    shared = next(iter(thresholds.values())) if alike else []
    lines += ["", *_defaults(seen, answers, measure, moderators, shared)]
    for group in seen.outcomes:
        lines += ["", *_outcome(seen, answers, group), *([] if shared else thresholds[group.key])]
    lines += _sensitivities(seen, answers, measure)
    lines += [
        "",
        *_comment("What the report says beside the numbers; fill in."),
        "[report]",
        '# population = "Adults with cancer, during or after treatment"',
        '# intervention = "Exercise"',
        '# comparison = "Usual care"',
        '# searched = "to March 2026"',
        "",
        "[sampling]",
        "seed = 1",
    ]
    return "\n".join(lines) + "\n"


def _head(look: Look, seen: Seen) -> list[str]:
    title = " and ".join(group.label for group in seen.outcomes[:3]) + (" and others" if len(seen.outcomes) > 3 else "")
    return [
        "schema = 2",
        f"title = {toml_text(title)}",
        "",
        *_comment(
            f"Written from {look.path.name} by `bayesmeta init`. Everything here is a choice: read it, change it, "
            "and run `bayesmeta check` again. docs/data.md explains every key."
        ),
    ]


def _data(look: Look, seen: Seen, answers: Mapping[str, str], output: Path, moderators: Mapping[str, str]) -> list[str]:
    relative = Path(os.path.relpath(look.path.resolve(), output.resolve().parent)).as_posix()
    sha256 = hashlib.sha256(file_bytes(look.path)).hexdigest()
    columns = {_column(seen, ours): theirs for ours, theirs in seen.columns.items()}
    values: dict[str, str] = {}
    if seen.coded == "instrument":
        columns["coded_better"] = columns.get("instrument", "instrument")
        stated = directions_of(seen, answers)
        # every value needs a translation, of outcomes too that are not analysed
        values = {item.name: stated.get(item.name, item.better or "higher") for item in seen.scales}
    constants: dict[str, str] = {}
    if seen.arms is not None and "arm_t" not in seen.frame.columns:
        columns["arm_t"] = next((theirs for ours, theirs in columns.items() if ours == seen.arms), seen.arms)
    if seen.arms is not None and "arm_c" not in seen.frame.columns:
        constants["arm_c"] = "control"
    columns |= {ours: theirs for ours, theirs in moderators.items() if ours != theirs and theirs not in seen.columns}
    lines = [
        "[data]",
        f"path = {toml_text(relative)}",
        f'sha256 = "{sha256}"   # of the table; after a change: bayesmeta check {output.name} --pin',
    ]
    if look.sheet is not None:
        lines.append(f"sheet = {toml_text(look.sheet)}")
    if constants:
        lines += [f"constants = {toml_text(constants)}   # trials with several arms: their rows share a control"]
    excluded = [
        {"where": where, "reason": item.text}
        for item in _excluded(seen, answers)
        for where in _where(seen, answers, item)
    ]
    lines += _listed("exclude", [*excluded, *_not_analysed(seen)])
    if seen.coded == "instrument":
        lines += _listed(
            "assume",
            [
                {
                    "where": group.where,
                    "set": {"coded_better": stated[group.name]},
                    "reason": "no row of this outcome names an instrument: its direction is as stated",
                }
                for group in seen.outcomes
                if not group.scales
            ],
        )
    if columns:
        lines += ["", *_comment("Our column = the table's."), "[data.columns]", *_lines(columns)]
    if values:
        reasons = {item.name: item.reason for item in seen.scales}
        lines += ["", *_comment("Which scores of each scale are better, as confirmed; the reasons offered were:")]
        lines += _comment(*(f"{name}: {reasons[name]}" for name in values))
        lines += ["[data.values.coded_better]", *_lines(values)]
    elif seen.coded == "coded_better":
        ways = translated(seen)
        if set(ways) != set(ways.values()):
            lines += ["", "[data.values.coded_better]", *_lines(ways)]
    return lines


def _direction(seen: Seen, answers: Mapping[str, str], group: OutcomeRows) -> tuple[str, str]:
    """Which direction of the outcome is better, and why."""
    stated = directions_of(seen, answers)
    if seen.coded is None:
        return stated[group.name], "as stated"
    if seen.coded == "coded_better":
        ways = set(coded_ways(seen, group))
        if ways == {stated[group.name]}:
            return stated[group.name], "as its rows are coded"
        return stated[group.name], "as stated; rows that are coded otherwise are multiplied by -1"
    if not group.scales:
        return stated[group.name], "as stated"
    found = seen.frame.loc[list(group.rows), "instrument"].astype(str).map(stated).value_counts()
    one = "as its scale" if len(group.scales) == 1 else "as all its scales"
    if len(found) > 1:
        one = "as the scales of most rows; rows of the others are multiplied by -1"
    return str(found.index[0]), one


def _defaults(
    seen: Seen, answers: Mapping[str, str], measure: str, moderators: Mapping[str, str], thresholds: list[str]
) -> list[str]:
    lines = ["[defaults]", f"measure = {toml_text(measure)}"]
    if len(seen.scales) > 1 and measure == "SMD":
        lines[-1] += f"   # standardised: {len(seen.scales)} scales"
    if seen.log:
        lines += ['measure_options.scale = "log"   # by the name of the column the estimates are logarithms']
    if one := _assumed(seen, answers, "one_sd"):
        lines += _comment(*(f"An assumption. {rows_text(item)}." for item in one))
        lines += ['measure_options.sd_of_one_arm = "other"']
    if split := _assumed(seen, answers, "split"):
        lines += _comment(*(f"{rows_text(item)}." for item in split))
        lines += [f"control = {toml_text({name: 'split' for item in split for name in item.studies})}"]
    if moderators:
        lines += [f"moderators = {toml_text(list(moderators))}"]
        empty = [theirs for theirs in moderators.values() if seen.frame[theirs].isna().any()]
        if empty:
            text = f"A trial that does not report {' or '.join(empty)} leaves the moderated analysis alone."
            lines += [*_comment(text), 'missing = "exclude"']
    tool = _tool(seen)
    lines += [*thresholds, "", *_priors(answers, measure)]
    if tool:
        lines += ["", "[defaults.risk_of_bias]", f"tool = {toml_text(tool)}", 'overall = "risk_of_bias"']
    return lines


def _tool(seen: Seen) -> str | None:
    if "risk_of_bias" not in seen.frame.columns:
        return None
    words = {str(word).casefold() for word in seen.frame["risk_of_bias"].dropna().unique()}
    fitting = [tool for tool, known in _TOOLS.items() if words and words <= known]
    return fitting[0] if fitting else None


def _priors(answers: Mapping[str, str], measure: str) -> list[str]:
    """Priors of mu and tau: those published for the measure, with their sources, unless others were stated."""
    stated = {name: repr(parse(answers[name])) for name in ("mu", "tau") if name in answers}
    lines: list[str] = []
    reference: float | None = None
    if "ref_sd" in answers and len(stated) < 2:
        reference, source = numbered(answers["ref_sd"], "the standard deviation")
        lines += [f"ref_sd = {toml_text(reference)}", f"ref_sd_source = {toml_text(source)}"]
    if len(stated) == 2:
        return [*_comment("Priors as stated."), f"priors = {toml_text(stated)}"]
    found = published_priors(measure, ref_sd=reference)
    texts = {"mu": f"mu {found.mu!r}: {found.mu_source}.", "tau": f"tau {found.tau!r}: {found.tau_source}."}
    lines = [
        *_comment("Priors of the mean effect and of the SD between trials:"),
        *_comment(*(text for name, text in texts.items() if name not in stated)),
        *lines,
    ]
    return [*lines, f"priors = {toml_text({'published': True, **stated})}" if stated else 'priors = "published"']


def _outcome(seen: Seen, answers: Mapping[str, str], group: OutcomeRows) -> list[str]:
    better, why = _direction(seen, answers, group)
    lines = [f"[outcome.{group.key}]", f"label = {toml_text(group.label)}"]
    where = dict(group.where)
    if (chosen := answers.get("comparator", "all")) != "all":
        where[_column(seen, "arm_c")] = chosen
    if where:
        lines += [f"where = {toml_text(where)}"]
    lines += [f"better = {toml_text(better)}   # {why}"]
    return lines


def _threshold(seen: Seen, answers: Mapping[str, str], group: OutcomeRows, measure: str) -> list[str]:
    """The threshold of an important benefit, and the unit that people know where the registry has it."""
    text = answers.get("threshold", "none")
    if text == "none":
        return []
    found = mid_of(seen, group.scales, measure)
    entry: dict[str, Any] = {"name": "important"}
    lines: list[str] = []
    if text == "mid" and found is not None:
        listed, pooled = found
        points = listed.points if isinstance(listed.points, float) else None
        ends = {"low": listed.points[0], "high": listed.points[1]} if isinstance(listed.points, tuple) else None
        if pooled is None:
            entry |= {"benefit": ends or points, "worse": ends or points}
            source = listed.source
        else:
            sd = math.exp(pooled[0])
            amount: Any = round(points / sd, 2) if points else {n: round(x / sd, 2) for n, x in (ends or {}).items()}
            shown = f"{points:g}" if points else "{:g} to {:g}".format(*ends.values() if ends else ())
            entry |= {"benefit": amount, "worse": amount}
            source = f"{shown} points of {listed.instrument} divided by its SD {sd:.1f}; {listed.source}"
        entry |= {"source": source, "kind": listed.kind}
    elif text == "0.5" or (text == "mid" and measure in ("SMD", "SMDH")):
        entry |= {"benefit": 0.5, "worse": 0.5, "source": _NORMAN, "kind": "convention"}
    elif text == "mid":
        return []
    else:
        value, source = numbered(text, "the threshold")
        worse = round(1 / value, 4) if MEASURES[measure].log else value
        # a value of one arm needs no other side
        sides = {"benefit": value} if MEASURES[measure].single_arm else {"benefit": value, "worse": worse}
        entry |= {**sides, "source": source, "kind": "panel"}
    lines += [f"thresholds = [{toml_text(entry)}]"]
    if found is not None and found[1] is not None:
        meanlog, sdlog, source = found[1]
        unit = {
            "name": found[0].instrument,
            "sd": {"dist": "lognormal", "meanlog": round(meanlog, 3), "sdlog": max(round(sdlog, 3), 0.001)},
            "sd_source": source,
            "mid": found[0].instrument,
        }
        lines += [*_comment("Answers in points too."), f"natural_unit = {toml_text(unit)}"]
    return lines


def _sensitivities(seen: Seen, answers: Mapping[str, str], measure: str) -> list[str]:
    """What could have been chosen otherwise, stated before anything is run."""
    found: list[tuple[str, str, list[str]]] = []
    for item in (*_assumed(seen, answers, "change"), *_assumed(seen, answers, "one_sd")):
        wheres = [{"where": where, "reason": item.text} for where in _where(seen, answers, item)]
        kind = "change scores" if item.kind == "change" else "trials with the SD of one arm"
        found.append((f"without {kind}", rows_text(item), [f"exclude = {toml_text(wheres)}"]))
    if "tau" not in answers:
        reference = numbered(answers["ref_sd"], "")[0] if "ref_sd" in answers else None
        tau = published_priors(measure, ref_sd=reference).tau
        scale = float(getattr(tau, "scale", 0.5))
        for factor, why in ((0.5, "Trials differ less than is usual."), (2, "Trials may differ more.")):
            prior = {"dist": "halfnormal", "scale": scale * factor}
            found.append((f"tau half-normal({scale * factor:g})", why, [f"priors.tau = {toml_text(prior)}"]))
    lines = ["", *_comment("What could have been chosen otherwise, stated before anything is run.")] if found else []
    for name, reason, keys in found:
        lines += ["", "[[sensitivity]]", f"name = {toml_text(name)}", f"reason = {toml_text(reason)}", *keys]
    return lines


# -- provenance --------------------------------------------------------------------------------------------------------


def provenance_text(look: Look, seen: Seen) -> str:
    """Write where a table comes from, as far as it can be seen; the rest is left to fill in."""
    lines = [
        *_comment("Where the table comes from, so that others can trust it. Fill in what is empty."),
        "schema = 1",
        f"title = {toml_text(look.path.stem)}",
        f"file = {toml_text(look.path.name)}",
        f'sha256 = "{hashlib.sha256(file_bytes(look.path)).hexdigest()}"',
        f"rows = {len(look.frame)}",
        f"trials = {seen.frame['study'].nunique()}",
        'row = "one comparison of an arm with its control"',
        'licence = ""',
        'extracted_by = ""',
        'checked_by = ""',
        "",
        "[[source]]",
        'doi = ""',
        'what = ""',
    ]
    ours = {theirs: name for name, theirs in seen.columns.items()}
    for name in map(str, look.frame.columns):
        lines += ["", f"[column.{_key(name)}]", f"meaning = {toml_text(_meaning(ours.get(name, name)))}", 'unit = ""']
        lines += ['standing = ""   # read, inferred, computed or doubtful']
    return "\n".join(lines) + "\n"


def _meaning(ours: str) -> str:
    if ours in _COLUMNS:
        return _COLUMNS[ours]
    stem, _, arm = ours.rpartition("_")
    if stem in _COLUMNS and arm in ("t", "c"):
        return f"{_COLUMNS[stem]}, {'treated' if arm == 't' else 'control'} arm"
    return ""
