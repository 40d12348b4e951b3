"""A protocol file to a `Protocol`."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from bayesmeta.boundary import file_bytes, require_plain_values
from bayesmeta.columns import plural
from bayesmeta.errors import DataError, Fault, ProtocolError, pick, warn
from bayesmeta.measures import MEASURES
from bayesmeta.plan import (
    ARM_STEMS,
    ArmColumns,
    Assumption,
    BiasModelPlan,
    BiasPlan,
    Borrow,
    DataSource,
    JointPlan,
    LongTable,
    Outcome,
    Protocol,
    Sampling,
    Sensitivity,
    TableShape,
)
from bayesmeta.protocol.faults import Faults, check_section
from bayesmeta.protocol.keys import (
    SCHEMA,
    SECTIONS,
    AnalysisKeys,
    BiasKeys,
    BorrowKeys,
    ClassicalKeys,
    DataKeys,
    DefaultKeys,
    JointKeys,
    OutcomeKeys,
    ReportKeys,
    SamplingKeys,
    SensitivityKeys,
    TopKeys,
)
from bayesmeta.protocol.migration import changed_meanings
from bayesmeta.protocol.places import data_file, require_protocol
from bayesmeta.protocol.rules import exclusions, make_outcome, merge

__all__ = ["read_protocol"]

_ROOT_MARKS = ("models", ".git", "pyproject.toml")


def _root(folder: Path) -> Path:
    return next(
        (place for place in (folder, *folder.parents) if any((place / mark).exists() for mark in _ROOT_MARKS)), folder
    )


def _data(raw: Any, path: Path, faults: Faults) -> DataSource | None:
    keys, _, broken = check_section(DataKeys, raw, "data", faults)
    if keys.path is None:
        if "path" not in broken:
            faults.add("data.path", "the key is missing", "Name the file of trials, relative to this protocol.")
        return None
    named = keys.path
    if PureWindowsPath(named).drive:
        faults.add(
            "data.path", f"{named!r} names a drive", "Name the file relative to this protocol: data/trials.xlsx."
        )
        return None
    file = data_file(path.parent, named).resolve()
    root = _root(path.parent)
    if not file.is_relative_to(root):
        faults.add(
            "data.path",
            f"{keys.path!r} leaves the project ({root.name})",
            "Keep the data inside the folder that holds models/, .git or pyproject.toml.",
        )
    return DataSource(
        path=file,
        sha256=keys.sha256,
        columns=keys.columns,
        constants=keys.constants,
        values=keys.values,
        exclude=exclusions(keys.exclude),
        assume=tuple(Assumption(item.where, item.set, item.reason) for item in keys.assume),
        encoding=keys.encoding,
        delimiter=keys.delimiter,
        decimal=keys.decimal,
        sheet=keys.sheet,
        format=keys.format,
        shape=_shape(keys, faults),
    )


def _shape(keys: DataKeys, faults: Faults) -> TableShape:
    if keys.long is not None and keys.arms:
        faults.add("data", "long and arms are both stated", "A table has one row per arm, or several arms in a row.")
    if keys.arms and (sum(item.control for item in keys.arms) != 1 or len(keys.arms) < 2):
        what = f"{sum(item.control for item in keys.arms)} of {len(keys.arms)} arms are the control"
        faults.add("data.arms", what, "State control = true for one arm, and name another arm beside it.")
        return TableShape()
    known = set(ARM_STEMS)
    for item in keys.arms:
        if unknown := sorted(set(item.columns) - known):
            what = f"{', '.join(unknown)} is not known of an arm"
            faults.add(f"data.arms ({item.arm})", what, pick(unknown[0], ARM_STEMS))
    return TableShape(
        tuple((outcome, tuple(columns.items())) for outcome, columns in keys.wide.items()),
        None if keys.long is None else LongTable(keys.long.arm, tuple(keys.long.control), tuple(keys.long.by)),
        tuple(ArmColumns(item.arm, tuple(item.columns.items()), item.control) for item in keys.arms),
    )


#: Tables and lists in each other; the deepest key of the language lies at 6.
_DEEPEST = 30


def _depth(value: Any) -> int:
    """How deep tables and lists lie in each other; no deeper than matters."""
    depth, level = 0, [value]
    while level and depth <= _DEEPEST:
        inner = [item for item in level if isinstance(item, (dict, list))]
        level = [item for held in inner for item in (held.values() if isinstance(held, dict) else held)]
        depth += bool(inner)
    return depth


def _tables(content: bytes, name: str) -> dict[str, Any]:
    """Decode and parse TOML; a byte-order mark is accepted, any other encoding than UTF-8 is not."""
    try:
        found = tomllib.loads(content.decode("utf-8-sig"))
        # how deep the parser itself can go depends on where it is called from
        if _depth(found) > _DEEPEST:
            raise RecursionError
        require_plain_values(found, name)
    except DataError as error:
        raise ProtocolError(error.faults) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        fault = Fault(f"{name} line {line}", "the file is not UTF-8", "Save it as UTF-8.")
    except RecursionError:
        fault = Fault(name, "not valid TOML: brackets stand in each other too deep", "Correct that place.")
    except ValueError as error:
        # also of a whole number with thousands of digits
        fault = Fault(name, f"not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}", "Correct that place.")
    else:
        return found
    raise ProtocolError([fault])


def read_protocol(path: str | Path) -> Protocol:
    """Read a protocol and check every rule.

    Parameters
    ----------
    path : str or Path
        A TOML file. Paths in it are relative to it.

    Returns
    -------
    Protocol
        With defaults inherited, priors and thresholds read, and each sensitivity analysis worked out. The data are not
        read.

    Raises
    ------
    ProtocolError
        If any rule is broken; ``faults`` lists all of them, with key, value, rule and remedy.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> protocol = read_protocol("models/cancer_exercise.toml")
    >>> protocol.outcomes["fatigue_short"].model.tau
    halfnormal(0.5)
    """
    path = Path(path)
    try:
        content = file_bytes(path)
    except DataError as error:
        raise ProtocolError(error.faults) from error
    path = path.resolve()
    faults = Faults(path.name)
    raw = _tables(content, path.name)
    require_protocol(path, raw)
    version = raw.get("schema")
    if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA:
        faults.add("schema", f"{version} is newer than this bayesmeta reads ({SCHEMA})", "Update bayesmeta.")
        faults.raise_if_any()
    if version == 1 and not isinstance(version, bool):
        changed = changed_meanings(raw)
        faults.add(
            "schema",
            "1 is that of earlier versions, and "
            + (f"{plural(len(changed), 'key')} of this file mean something else now" if changed else "nothing changed"),
            f"`bayesmeta check --migrate {path.name}` writes schema = {SCHEMA}.",
        )
        for key, what, remedy in changed:
            faults.add(key, what, remedy)
        faults.raise_if_any()
    top = {key: value for key, value in raw.items() if key not in SECTIONS}
    named, _, broken_top = check_section(TopKeys, top, "", faults)
    if named.schema_ != SCHEMA and "schema" not in broken_top:
        faults.add(
            "schema",
            "the key is missing" if version is None else f"{version!r} is not {SCHEMA}",
            f"Write schema = {SCHEMA}.",
        )
    if named.title is None and "title" not in broken_top:
        faults.add("title", "the key is missing", 'Add title = "...".')
    if "data" not in raw:
        faults.add("data", "the table is missing", 'Add [data] with path = "...".')
    data = _data(raw["data"], path, faults) if "data" in raw else None
    _, defaults, broken_defaults = check_section(DefaultKeys, raw.get("defaults", {}), "defaults", faults)
    outcomes, merged = _outcomes(raw, defaults, broken_defaults, faults)
    stated_joint = raw.get("joint")
    joint = None if stated_joint is None else _joint(stated_joint, "joint", merged, faults)
    sensitivities = _sensitivities(raw.get("sensitivity", []), merged, stated_joint, faults)
    borrow = _borrow(raw.get("borrow", {}), merged, path, faults)
    plain = {
        name: check_section(model, raw.get(name, {}), name, faults)[0].model_dump(exclude_none=True)
        for name, model in (
            ("classical", ClassicalKeys),
            ("report", ReportKeys),
        )
    }
    bias = _bias(raw["bias"], faults) if "bias" in raw else None
    sampling = None
    if "sampling" in raw:
        keys, _, broken = check_section(SamplingKeys, raw["sampling"], "sampling", faults)
        if keys.seed is None and "seed" not in broken:
            faults.add("sampling.seed", "the key is missing", "Add seed = 1, or any other whole number.")
        sampling = Sampling(**{**keys.model_dump(), "seed": keys.seed or 0})
    faults.raise_if_any()
    if data is None or named.title is None:
        raise AssertionError("a missing key raises above")
    _warn_of_unused(raw, path)
    return Protocol(
        title=named.title,
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        data=data,
        outcomes=outcomes,
        sensitivities=sensitivities,
        sampling=sampling,
        classical=plain["classical"],
        bias=bias,
        joint=joint,
        report=plain["report"],
        borrow=borrow,
    )


def _warn_of_unused(raw: Mapping[str, Any], path: Path) -> None:
    """Name the keys that are part of the protocol's language but that nothing in this version reads."""
    if raw.get("classical"):
        warn(f"{path.name}: [classical]: read and checked, but this version computes nothing from it.")


def _bias(raw: Any, faults: Faults) -> BiasPlan | None:
    """Check which models of publication bias are averaged, and under which priors."""
    keys, _, broken = check_section(BiasKeys, raw, "bias", faults)
    if keys.ensemble is not None and keys.model:
        faults.add("bias", "ensemble and model are both stated", "Name an ensemble, or state models of your own.")
    for name, stated in (("mu", keys.mu), ("tau", keys.tau)):
        if stated is None:
            continue
        if not stated.prior.proper:
            what = f"{stated.prior!r} is improper, and models under it have no evidence to be averaged by"
            faults.add(f"bias.{name}", what, "Write a proper prior, such as normal(0, 1).")
            broken.add(name)
        elif name == "tau" and stated.prior.support[0] < 0:
            what = f"{stated.prior!r} is not of positive numbers, and tau is an SD"
            faults.add("bias.tau", what, "Write one such as halfnormal(0.5) or inversegamma(1, 0.15).")
            broken.add(name)
    for index, item in enumerate(keys.model):
        where = f"bias.model[{index}]"
        if item.kind == "selection" and (not item.steps or item.steps != sorted(set(item.steps))):
            what = "selection needs steps" if not item.steps else f"steps = {item.steps} do not ascend"
            faults.add(f"{where}.steps", what, "Write p values in ascending order, such as [0.025, 0.5].")
            broken.add("model")
        elif item.kind != "selection" and (item.steps or item.sides):
            faults.add(where, f"{item.kind} has no steps and sides", 'Remove them, or write kind = "selection".')
            broken.add("model")
    if broken:
        return None
    return BiasPlan(
        keys.ensemble or "psma",
        keys.direction,
        None if keys.mu is None else keys.mu.prior,
        None if keys.tau is None else keys.tau.prior,
        tuple(BiasModelPlan(item.kind, tuple(item.steps), item.sides or "one", item.weight) for item in keys.model),
    )


def _outcomes(
    raw: Mapping[str, Any], defaults: dict[str, Any], broken_defaults: set[str], faults: Faults
) -> tuple[dict[str, Outcome], dict[str, tuple[dict[str, Any], set[str]]]]:
    stated = raw.get("outcome", {})
    if not isinstance(stated, dict) or not stated:
        faults.add("outcome", "there is no outcome", "Add at least one table [outcome.NAME].")
        return {}, {}
    outcomes, merged = {}, {}
    for key, table in stated.items():
        if not (key[:1].isalpha() and key.isascii() and key.islower() and key.replace("_", "a").isalnum()):
            faults.add(
                f"outcome.{key}", f"{key!r} is not a name", "Use lower-case letters, digits and _, a letter first."
            )
        _, own, broken_own = check_section(OutcomeKeys, table, f"outcome.{key}", faults)
        whole = merge(defaults, own)
        broken = broken_own | (broken_defaults - set(own))

        def at(name: str, own: Mapping[str, Any] = own, key: str = key) -> str:
            return f"outcome.{key}.{name}" if name in own else f"defaults.{name}"

        merged[key] = (whole, broken)
        if (outcome := make_outcome(key, whole, broken, at, faults)) is not None:
            outcomes[key] = outcome
            _note_idle(outcome, own, f"outcome.{key}.impute", "", faults)
    used = {item.name for outcome in outcomes.values() for item in outcome.model.moderators}
    for name in defaults.get("impute", {}):
        if name not in used and len(outcomes) == len(stated):
            faults.add(f"defaults.impute.{name}", f"{name!r} is a moderator of no outcome", pick(name, used))
    return outcomes, merged


def _joint(
    raw: Any, place: str, merged: Mapping[str, tuple[dict[str, Any], set[str]]], faults: Faults
) -> JointPlan | None:
    """Check the joint analysis: outcomes that exist and say which way is better, and a matrix that can be."""
    keys, _, broken = check_section(JointKeys, raw, place, faults)
    if keys.outcomes is None:
        if "outcomes" not in broken:
            faults.add(f"{place}.outcomes", "the key is missing", "Name two or more outcomes.")
        return None
    names = keys.outcomes
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add(f"{place}.outcomes", f"outcome {name!r} stands twice", "Remove one.")
    for name in names:
        if name not in merged:
            faults.add(f"{place}.outcomes", f"{name!r} is not an outcome", pick(name, merged))
        elif merged[name][0].get("better") is None and "better" not in merged[name][1]:
            faults.add(
                f"{place}.outcomes",
                f"{name!r} does not say which direction is better, and the correlation is in that of benefit",
                'Add better = "lower" or "higher" to it.',
            )
    correlation = 0.5 if keys.correlation is None else keys.correlation
    least = -1 / (len(names) - 1)
    if correlation <= least:
        faults.add(
            f"{place}.correlation",
            f"{correlation:g} between every two of {len(names)} outcomes is impossible",
            f"Give a correlation above {least:.3g}.",
        )
    return None if broken else JointPlan(tuple(names), correlation, 2.0 if keys.eta is None else keys.eta)


def _borrow(
    stated: Any, merged: Mapping[str, tuple[dict[str, Any], set[str]]], path: Path, faults: Faults
) -> dict[str, Borrow]:
    """Check where outcomes may borrow strength from: files and outcomes that exist, on a scale that can be matched."""
    if not isinstance(stated, dict):
        faults.add("borrow", "it is not a table", "Write [borrow.OUTCOME] and its keys below it.")
        return {}
    made: dict[str, Borrow] = {}
    for key, table in stated.items():
        place = f"borrow.{key}"
        keys, _, broken = check_section(BorrowKeys, table, place, faults)
        before = len(faults.found)
        if key not in merged:
            faults.add(place, f"{key!r} is not an outcome", pick(key, merged))
        for name, value, remedy in (
            ("from", keys.from_, "Name a protocol, relative to this file."),
            ("outcome", keys.outcome, "Name the outcome of that protocol to borrow from."),
        ):
            if value is None and name not in broken:
                faults.add(f"{place}.{name}", "the key is missing", remedy)
        if (keys.sd is None) != (keys.sd_source is None) and not {"sd", "sd_source"} & broken:
            lacking = "sd" if keys.sd is None else "sd_source"
            faults.add(f"{place}.{lacking}", "the key is missing", "sd and sd_source go together.")
        if keys.from_ is not None and keys.outcome is not None and key in merged:
            _check_source(keys, merged[key][0], place, path, faults)
        if len(faults.found) == before and not broken:
            assert keys.from_ is not None
            assert keys.outcome is not None
            source = (path.parent / keys.from_).resolve()
            made[key] = Borrow(
                source, keys.outcome, keys.weight, keys.sd, keys.sd_source or "", keys.vague, keys.reason
            )
    return made


def _check_source(keys: BorrowKeys, target: Mapping[str, Any], place: str, path: Path, faults: Faults) -> None:
    """Check the source's file, outcome, measure and direction; its own faults are reported when it is read whole."""
    assert keys.from_ is not None
    file, root = (path.parent / keys.from_).resolve(), _root(path.parent)
    if file.suffix.lower() != ".toml" or not file.is_relative_to(root) or not file.is_file():
        faults.add(
            f"{place}.from",
            f"{keys.from_!r} is no protocol inside the project ({root.name})",
            "Name a file that ends in .toml, relative to this one.",
        )
        return
    raw = _tables(file_bytes(file), file.name)
    defaults, outcomes = raw.get("defaults", {}), raw.get("outcome", {})
    if keys.outcome not in outcomes:
        faults.add(
            f"{place}.outcome", f"{keys.outcome!r} is not an outcome of {file.name}", pick(str(keys.outcome), outcomes)
        )
        return
    source = {**defaults, **outcomes[keys.outcome]}
    ours, theirs = target.get("measure"), source.get("measure")
    if ours in MEASURES and theirs in MEASURES and ours != theirs:
        if not (ours == "MD" and theirs in ("SMD", "SMDH")):
            faults.add(
                f"{place}.outcome",
                f"the source is {theirs} and this outcome {ours}",
                "Borrow between one measure, or from SMD to MD with sd.",
            )
        elif keys.sd is None and keys.sd_source is None:
            faults.add(
                f"{place}.sd",
                f"the key is missing: the source is {theirs} and this outcome {ours}",
                "State the SD that divides an effect in points, with sd_source.",
            )
    elif ours == theirs and keys.sd is not None:
        faults.add(f"{place}.sd", f"source and outcome are both {ours}: nothing is divided", "Remove sd and sd_source.")
    for side, table in (("this outcome", target), ("the source", source)):
        if table.get("better") is None:
            faults.add(
                place, f"{side} does not say which direction is better", 'Add better = "lower" or "higher" to it.'
            )


_DESCRIPTIVE = ("name", "outcomes", "source", "reason")


def _sensitivities(
    stated: Any, merged: Mapping[str, tuple[dict[str, Any], set[str]]], joint: Any, faults: Faults
) -> tuple[Sensitivity, ...]:
    if not isinstance(stated, list):
        faults.add("sensitivity", "it is not a list of tables", "Write [[sensitivity]], with two brackets.")
        return ()
    made: list[Sensitivity] = []
    for index, table in enumerate(stated):
        place = f"sensitivity[{index}]"
        keys, own, broken = check_section(SensitivityKeys, table, place, faults)
        changed = {name: value for name, value in own.items() if name not in _DESCRIPTIVE}
        if keys.name is None and "name" not in broken:
            faults.add(f"{place}.name", "the key is missing", 'Add name = "...".')
        if not changed and not broken:
            allowed = ", ".join([*AnalysisKeys.model_fields, "where", "joint"])
            faults.add(place, "it changes nothing", f"Add one of {allowed}.")
        if keys.name in [item.name for item in made]:
            faults.add(
                f"{place}.name", f"two sensitivity analyses are named {keys.name!r}", "Give each a name of its own."
            )
        for name in keys.outcomes or []:
            if name not in merged:
                faults.add(f"{place}.outcomes", f"{name!r} is not an outcome", pick(name, merged))
        varied = {}
        jointly = None
        if "joint" in changed and not isinstance(joint, dict):
            faults.add(f"{place}.joint", "there is no joint analysis to change", "Add [joint] with outcomes = [...].")
        elif "joint" in changed:
            jointly = _joint({**joint, **changed["joint"]}, f"{place}.joint", merged, faults)
        alone = {name: value for name, value in changed.items() if name != "joint"}
        for key in (keys.outcomes or merged) if alone else ():
            if key in merged and not broken:
                whole, broken_outcome = merged[key]
                if broken_outcome:
                    continue

                def at(name: str, place: str = place) -> str:
                    return f"{place}.{name}"

                # faults of the outcome itself are reported once, under the outcome
                trial = Faults(faults.file)
                if make_outcome(key, whole, set(), at, trial) is None:
                    continue
                if (outcome := make_outcome(key, merge(whole, alone), set(), at, faults)) is not None:
                    varied[key] = outcome
                    _note_idle(
                        outcome, alone, f"{place}.impute", "Name the outcomes it concerns: outcomes = [...].", faults
                    )
        made.append(Sensitivity(keys.name or "", _changes(changed), varied, keys.source, keys.reason, jointly))
    return tuple(made)


_TABLES = ("priors", "measure_options", "impute", "joint")


def _note_idle(outcome: Outcome, own: Mapping[str, Any], place: str, remedy: str, faults: Faults) -> None:
    """Note populations of what is no moderator of an outcome."""
    names = [item.name for item in outcome.model.moderators]
    for name in own.get("impute", {}):
        if name not in names:
            faults.add(
                f"{place}.{name}", f"{name!r} is not a moderator of {outcome.key}", f"{pick(name, names)} {remedy}"
            )


def _changes(changed: Mapping[str, Any]) -> tuple[str, ...]:
    names: list[str] = []
    for key, value in changed.items():
        names += [f"{key}.{name}" for name in value] if key in _TABLES else [key]
    return tuple(names)
