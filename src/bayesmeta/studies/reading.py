"""A table of trials to `Effects`: rows chosen, directions aligned, effects computed, shared arms found."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import DataError, Fault, Finding, ModelError, find_name, warn
from bayesmeta.measures import MEASURES, Derivation, effect_rows
from bayesmeta.measures import measure as find_measure
from bayesmeta.plan import DIVISIONS, ControlArm, ModelPlan, Moderator, Outcome, Selection
from bayesmeta.priors import Flat
from bayesmeta.studies.cells import as_typed
from bayesmeta.studies.choosing import SelectedRows, choose, chosen_once, prepare, prepared_once
from bayesmeta.studies.columns import TEXT_COLUMNS, FrameFaults, map_columns, note_row_faults, note_text_cells
from bayesmeta.studies.files import parse_table, read_table, table_bytes
from bayesmeta.studies.formats.sheet import address
from bayesmeta.studies.origin import Noted, as_read, known_scale
from bayesmeta.studies.risk_of_bias import differing, read_risk_of_bias, undescribed_risk_of_bias
from bayesmeta.studies.selecting import RowRecord, records_of, row_numbers
from bayesmeta.studies.sharing import check_comparators, shared_blocks, split_rows
from bayesmeta.studies.unread import note_warnings, unread_columns
from bayesmeta.studies.unreported import assumed_numbers, check_apart, counts_of, sizes_of, stand_in, tabulate

if TYPE_CHECKING:
    from bayesmeta.plan import Protocol

__all__ = [
    "Reading",
    "effect_sizes",
    "possible_measures",
    "read_csv_effects",
    "read_effects",
    "read_outcome",
    "with_unread",
]

# |SMD| that is noticed, and beyond which a standard error given as an SD is the likelier cause
EXTREME_SMD, IMPLAUSIBLE_SMD = 2.0, 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Effects with everything that was done to the table to get them.

    Parameters
    ----------
    effects : Effects
        The estimates.
    source : str
        Name of the file.
    sha256 : str or None
        Hash of its bytes.
    rows : tuple of int
        The file's row of each estimate.
    table : pandas.DataFrame
        The rows used, as they were after assumptions and turning.
    excluded, assumed, turned : tuple of RowRecord
        Rows of this outcome that were left out, cells that were filled, rows whose means were multiplied by -1.
    findings : tuple of Finding
        What someone should look at.
    risk_of_bias : pandas.DataFrame or None
        Judgements by the label of each estimate: one column per domain, the last is ``overall``; None where the table
        has none.
    unread : tuple of str
        Columns that mean nothing to this outcome.
    """

    effects: Effects
    source: str
    sha256: str | None
    rows: tuple[int, ...]
    table: pd.DataFrame
    excluded: tuple[RowRecord, ...] = ()
    assumed: tuple[RowRecord, ...] = ()
    turned: tuple[RowRecord, ...] = ()
    findings: tuple[Finding, ...] = ()
    risk_of_bias: pd.DataFrame | None = None
    unread: tuple[str, ...] = ()


# -- effects -----------------------------------------------------------------------------------------------------------


def _compute(chosen: SelectedRows, outcome: Outcome) -> Reading:
    """Make effects of chosen rows; faults are raised together at the end of each stage."""
    part, raw, reversed_rows, moderators = chosen.part, chosen.raw, chosen.reversed_rows, chosen.moderators
    faults = chosen.faults.copy()
    options = {name: value for name, value in outcome.selection.measure_options.items() if name != "form"}
    options = assumed_numbers(known_scale(options, faults), outcome.model.derived)
    findings = _imputed(part, moderators, outcome)
    filled = (
        stand_in(part, outcome.selection.measure, options, faults, findings)
        if outcome.model.missing_sd is not None
        else None
    )
    try:
        made = effect_rows(part if filled is None else filled.frame, outcome.selection.measure, options=options)
    except DataError as error:
        what, _, remedy = str(error).partition(". ")
        note_text_cells(raw, faults)
        if not faults.found:
            faults.add(f"{what[:1].lower()}{what[1:]}", f"{remedy} Columns: {', '.join(map(str, part.columns))}.")
        faults.raise_if_any()
        raise
    note_row_faults(made.faults, raw, faults)
    stated = outcome.selection.risk_of_bias
    judged = undescribed_risk_of_bias(part) if stated is None else read_risk_of_bias(part, stated, faults)
    if outcome.selection.cluster is not None and outcome.selection.cluster not in part.columns:
        faults.missing_column(outcome.selection.cluster, part)
    elif outcome.selection.cluster is not None:
        for i in np.flatnonzero(part[outcome.selection.cluster].isna().to_numpy()):
            faults.add("the cell is empty", "Name the row's cluster.", row=int(i), column=outcome.selection.cluster)
    counts = counts_of(part, outcome.selection.measure, outcome.model.likelihood, made.independent, faults)
    faults.raise_if_any()
    note_warnings(part, made, outcome, faults, findings)
    tabulated = {
        name: table
        for name, prior in outcome.model.derived.items()
        if (table := tabulate(name, part, outcome.selection.measure, options, prior, made, faults, findings))
        is not None
    }
    check_apart(tabulated, faults)
    arms = None
    if {"arm_t", "arm_c"} <= set(part.columns):
        for name in ("arm_t", "arm_c"):
            for i in np.flatnonzero(part[name].isna().to_numpy()):
                faults.add("the cell is empty", "Name the arm.", row=int(i), column=name)
        faults.raise_if_any()
        arms = tuple(zip(part["arm_t"].astype(str).tolist(), part["arm_c"].astype(str).tolist(), strict=True))
    elif {"arm_t", "arm_c"} & set(part.columns):
        lacking = ({"arm_t", "arm_c"} - set(part.columns)).pop()
        faults.missing_column(lacking, part, "Name both arms of every row, or neither.")
        faults.raise_if_any()
    check_comparators(part, arms, outcome.selection.comparators, faults)
    faults.raise_if_any()
    control = outcome.selection.control
    blocks, working = shared_blocks(
        part,
        outcome.selection.measure,
        made.y,
        made.se,
        arms,
        options=outcome.selection.measure_options,
        findings=findings,
        working_correlation=outcome.selection.working_correlation,
        control=control,
        faults=faults,
        factor=made.factor,
    )
    faults.raise_if_any()
    ledger: Sequence[Derivation] = made.ledger
    if reversed_rows.any():
        findings.append(
            Finding(
                "direction reversed",
                "info",
                f"{int(reversed_rows.sum())} of {len(part)} rows are coded in the other direction: multiplied by -1",
                "Check the signs of the derived rows.",
            )
        )
        text = f"multiplied by -1: the outcome's better direction is {outcome.selection.better}"
        ledger = Noted(ledger, [(text,) if row else () for row in reversed_rows])
    elif "coded_better" not in part.columns and outcome.selection.better is not None:
        findings.append(
            Finding(
                "direction not in the data",
                "info",
                "there is no column coded_better: every row is taken as coded so that "
                f"{outcome.selection.better} is better",
                "Check the signs of the derived rows.",
            )
        )
    if filled is not None:
        ledger = Noted(ledger, [(filled.note,) if row else () for row in filled.rows])
    typed, more = as_typed(part, {faults.theirs.get(name, name) for name in _columns_of_levels(outcome)}, faults.attrs)
    findings += more
    if any(typed):
        ledger = Noted(ledger, typed)
    done, more = as_read(part, faults)
    findings += more
    if any(done):
        ledger = Noted(ledger, done)
    _look_for_extremes(part, outcome, made.y, faults, findings)
    effects = Effects(
        tuple(part["study"]),
        made.y,
        made.se,
        measure=outcome.selection.measure,
        blocks=blocks,
        working=working,
        moderators=moderators,
        cluster=None if outcome.selection.cluster is None else tuple(part[outcome.selection.cluster].astype(str)),
        arms=arms,
        n=sizes_of(part, outcome.selection.measure),
        counts=counts,
        split=split_rows(control, part["study"].tolist()),
        tabulated=tabulated,
        spreads=None if filled is None else filled.spreads,
        ledger=ledger,
        name=outcome.label or None,
        better=outcome.selection.better,
        unit=outcome.selection.unit,
    )
    reason = f"coded in the other direction: multiplied by -1, so that {outcome.selection.better} is better"
    # other readings may use the same rows
    own = part.copy()
    own.attrs = copy.deepcopy(faults.attrs)
    if judged is not None:
        findings += differing(judged, effects.study)
        judged = judged.set_axis(pd.Index(effects.label, name="label"))
    return Reading(
        effects,
        faults.source,
        own.attrs.get("sha256"),
        tuple(row_numbers(part)),
        own,
        chosen.excluded,
        chosen.assumed,
        tuple(records_of(part, reversed_rows, reason)),
        tuple(findings),
        judged,
        unread_columns(own, outcome),
    )


def _columns_of_levels(outcome: Outcome) -> set[str]:
    """Columns whose levels choose rows, or distinguish them: filters, moderators, arms, clusters."""
    selection = outcome.selection
    named = {"arm_t", "arm_c", "coded_better", "outcome", "horizon", *selection.where, *selection.subgroups}
    named |= {name for item in selection.exclude for name in item.where}
    named |= {item.name for item in outcome.model.moderators}
    return named | ({selection.cluster} if selection.cluster else set())


def _imputed(part: pd.DataFrame, moderators: Mapping[str, NDArray[Any]], outcome: Outcome) -> list[Finding]:
    """Say which trials do not state a moderator that the model draws."""
    found = []
    for name, values in moderators.items():
        empty = pd.isna(values)
        # one without a population is a fault, which is raised with the others
        if outcome.selection.missing != "impute" or not empty.any() or name not in outcome.model.impute:
            continue
        studies = list(dict.fromkeys(part["study"].to_numpy(dtype=object)[empty]))
        shown = ", ".join(map(str, studies[:10])) + (" ..." if len(studies) > 10 else "")
        what = f"{name} is not stated by {shown}: drawn from {outcome.model.impute[name]!r} with everything else"
        found.append(Finding("moderator imputed", "info", what, "Look for it in the trials' reports."))
    return found


def _look_for_extremes(
    part: pd.DataFrame, outcome: Outcome, y: NDArray[np.float64], faults: FrameFaults, findings: list[Finding]
) -> None:
    if outcome.selection.measure not in ("SMD", "SMDH"):
        return
    # an SMD that the table gives itself was not made from a standard deviation
    given = pd.to_numeric(part["estimate"], errors="coerce").notna() if "estimate" in part.columns else None
    derived = np.ones(len(part), dtype=bool) if given is None else ~given.to_numpy()
    rows = np.flatnonzero((np.abs(y) > EXTREME_SMD) & derived).tolist()
    numbers = row_numbers(part)
    for i in rows:
        findings.append(
            Finding(
                "large SMD",
                "warning" if abs(y[i]) > IMPLAUSIBLE_SMD else "info",
                f"{address(faults.attrs, numbers[i])} ({part['study'].iloc[i]}): SMD {y[i]:.2f}",
                "Was a standard error given as a standard deviation?"
                if abs(y[i]) > IMPLAUSIBLE_SMD
                else "Check the row against the report.",
            )
        )
    if rows:
        listed = ", ".join(f"row {numbers[i]} ({part['study'].iloc[i]}, {y[i]:.2f})" for i in rows[:10])
        asked = ""
        if np.abs(y[rows]).max() > IMPLAUSIBLE_SMD:
            asked = " Was a standard error given as a standard deviation?"
        warn(f"{faults.source}: |SMD| > {EXTREME_SMD:g} in {listed}{' ...' if len(rows) > 10 else ''}.{asked}")


# -- what callers ask --------------------------------------------------------------------------------------------------


def possible_measures(frame: pd.DataFrame) -> tuple[str, ...]:
    """List the effect measures that the columns of a table could make.

    Returns
    -------
    tuple of str
        In the order of `bayesmeta.measures.MEASURES`; only ``("generic",)`` where a table has estimates alone, because
        nothing says what they are.

    Examples
    --------
    >>> possible_measures(pd.DataFrame(columns=["study", "events_t", "n_t", "events_c", "n_c"]))
    ('OR', 'RR', 'RD')
    >>> possible_measures(pd.DataFrame(columns=["study", "estimate", "se"]))
    ('generic',)
    """
    names = set(map(str, frame.columns))
    found: set[str] = set()
    if {"events_t", "n_t", "events_c", "n_c"} <= names:
        found |= {"OR", "RR", "RD"}
    for stem, measures in (
        ("mean", {"MD", "SMD", "SMDH", "ROM"}),
        ("median", {"MD", "SMD", "SMDH", "ROM"}),
        ("mean_change", {"MD", "SMD"}),
        ("mean_pre", {"MD", "SMD"}),
    ):
        if {"n_t", "n_c", f"{stem}_t", f"{stem}_c"} <= names:
            found |= measures
    for columns, name in (("events_t time_t events_c time_c", "IRR"), ("events n", "PLO"), ("events time", "IRLN")):
        if set(columns.split()) <= names:
            found.add(name)
    if "mean" in names and ({"sd", "n"} <= names or "se" in names or {"ci_low", "ci_high"} <= names):
        found.add("MN")
    if {"r", "n"} <= names:
        found.add("ZCOR")
    uncertain = bool(names & {"se", "var", "t", "f", "p"}) or {"ci_low", "ci_high"} <= names
    sized = {"n_t", "n_c"} <= names or "design" in names
    if names & {"md", "adjusted_difference"} and uncertain:
        found.add("MD")
        if names & {"sd", "sd_t", "r_squared"} and sized:
            found.add("SMD")
    if "design" in names and {"mean_t", "mean_c"} <= names and names & {"n", "n_t"}:
        found |= {"MD", "SMD"}
    if {"n_t", "n_c"} <= names and (names & {"d", "g", "t"} or (names & {"f", "p"} and "sign" in names)):
        found.add("SMD")
    if not found and "estimate" in names:
        found.add("generic")
    return tuple(name for name in MEASURES if name in found)


def effect_sizes(
    frame: pd.DataFrame,
    measure: str,
    *,
    better: Literal["higher", "lower"] | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    moderators: Sequence[str] = (),
    cluster: str | None = None,
    working_correlation: float | None = None,
    control: ControlArm | None = None,
    comparators: Literal["same", "mixed"] = "same",
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
    unit: str | None = None,
) -> Effects:
    """Compute effects from a table of arm summaries, counts, or estimates.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per estimate, with a column ``study`` and the columns of `bayesmeta.measures.effect_rows`. With
        ``arm_t`` and ``arm_c``, rows of one trial (and ``outcome`` and ``horizon``, where there are such columns) that
        name the same arm share it, and get its covariance. A column ``coded_better`` says per row whether ``lower`` or
        ``higher`` numbers are better.
    measure : str
        A name of `bayesmeta.measures.MEASURES`.
    better : {"higher", "lower"}, optional
        The outcome's direction. Rows coded otherwise are multiplied by -1 before anything is computed.
    columns : mapping, optional
        Our column name to the table's.
    where : mapping, optional
        Column to the value, or tuple of values, of the rows to use.
    moderators : sequence of str
        Columns to carry along.
    cluster : str, optional
        Column of clusters.
    working_correlation : float, optional
        Sampling correlation of rows that share all their patients.
    control : {"shared", "split"}, or mapping of trials to these, optional
        ``"split"``: the control group that several rows of a trial name was divided between them, so that they share no
        patients. ``"shared"``: it is one group; this is also assumed, and asked about, where nothing is stated.
    comparators : {"same", "mixed"}
        ``"mixed"``: rows of one trial that share an arm may have different controls.
    options : mapping, optional
        ``vtype``, ``j``, ``zero``, ``correlation``, ``ci_level``, ``scale``, ``icc``, ``sd_of_one_arm`` of
        `bayesmeta.measures.effect_rows` and ``form`` of `bayesmeta.measures.shared_control_covariance`.
    name, unit : str, optional
        What the outcome is called, and its unit.

    Returns
    -------
    Effects

    Raises
    ------
    DataError
        With all faults, each with row and column.
    ModelError
        If the measure or an option is not known.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "study": ["A", "B"], "n_t": [30, 40], "mean_t": [10.0, 9.0], "sd_t": [4.0, 5.0],
    ...     "n_c": [30, 38], "mean_c": [12.0, 11.0], "sd_c": [4.0, 5.0]})
    >>> effect_sizes(table, "SMD", better="lower").y.round(3)
    array([-0.494, -0.396])
    """
    if better not in (None, "higher", "lower"):
        raise ModelError(f"better={better!r} is not one of higher, lower.")
    if isinstance(control, Mapping):
        control = {name: find_name("control", value, DIVISIONS) for name, value in control.items()}
    elif control is not None:
        control = find_name("control", control, DIVISIONS)
    comparators = find_name("comparators", comparators, ("same", "mixed"))
    frame = map_columns(frame, columns or {})
    selection = Selection(
        measure=find_measure(measure).name,
        better=better,
        where=where or {},
        cluster=cluster,
        working_correlation=working_correlation,
        measure_options=options or {},
        unit=unit,
        control=control,
        comparators=comparators,
    )
    # no model is asked for: of one, only the names of its moderators concern the table
    plan = ModelPlan(Flat(), None, moderators=tuple(Moderator(item) for item in moderators))
    requested = Outcome("NAME", name or "", selection, plan)
    return _compute(choose(prepare(frame), requested), requested).effects


def read_csv_effects(path: str | Path, measure: str | None = None, **arguments: Any) -> Effects:
    """Read effects from a file without a protocol.

    Parameters
    ----------
    path : str or Path
        As for `read_table`.
    measure : str, optional
        Needed unless the table has bare estimates only, which are then ``generic``.
    **arguments
        As for `effect_sizes`; ``sheet``, ``format`` and ``shape`` as for `read_table`.

    Returns
    -------
    Effects

    Raises
    ------
    DataError
        With all faults, each with row and column.
    ModelError
        If the measure must be stated; the message lists those that the columns could make.

    Examples
    --------
    >>> effects = read_csv_effects("data/exercise_depression_10_trials.csv",
    ...                            columns={"estimate": "smd", "se": "sesmd"})
    >>> effects.measure, effects.k
    ('generic', 10)
    """
    columns = arguments.pop("columns", None)
    reading = {name: arguments.pop(name) for name in ("sheet", "format", "shape") if name in arguments}
    frame = read_table(path, columns=columns, **reading)
    if measure is None:
        possible = possible_measures(frame)
        if possible != ("generic",):
            listed = ", ".join(possible) or f"none; columns: {', '.join(map(str, frame.columns))}"
            raise ModelError(f"{Path(path).name}: state the measure. Its columns could make {listed}.")
        measure = "generic"
    return effect_sizes(frame, measure, **arguments)


def read_outcome(protocol: Protocol | str | Path, outcome: str) -> Reading:
    """Read one outcome of a protocol, with everything that was done to its rows.

    Parameters
    ----------
    protocol : Protocol, str or Path
        A protocol or its file.
    outcome : str
        Key of one of its outcomes.

    Returns
    -------
    Reading

    Raises
    ------
    DataError
        With all faults of the data, each with row and column; also if the file is not the one that was pinned.
    ProtocolError
        If the protocol breaks a rule.
    FileNotFoundError
        If the data are not there.

    Examples
    --------
    >>> reading = read_outcome("models/cancer_exercise.toml", "fatigue_short")
    >>> reading.effects.k, reading.effects.n_trials
    (35, 32)
    """
    if isinstance(protocol, (str, Path)):
        # only here: without a protocol its checker need not be loaded
        from bayesmeta.protocol import read_protocol

        protocol = read_protocol(protocol)
    asked, data = protocol.outcome(outcome), protocol.data
    text = TEXT_COLUMNS | {data.columns[name] for name in TEXT_COLUMNS if name in data.columns}
    frame = parse_table(
        table_bytes(data.path),
        data.path.name,
        encoding=data.encoding,
        delimiter=data.delimiter,
        decimal=data.decimal,
        text_columns=text,
        sheet=data.sheet,
        format=data.format,
        shape=data.shape,
        columns=data.columns,
    )
    found = frame.attrs["sha256"]
    if data.sha256 is not None and found != data.sha256:
        what = f"its SHA-256 is {found}, but the protocol pins {data.sha256}"
        remedy = "Restore the file, or check what changed and run `bayesmeta check --pin`."
        raise DataError([Fault(data.path.name, what, remedy)])
    selection = dataclasses.replace(asked.selection, exclude=(*data.exclude, *asked.selection.exclude))
    requested = dataclasses.replace(asked, selection=selection)
    reading = _compute(chosen_once(prepared_once(frame, data), requested), requested)
    if data.sha256 is None:
        note = Finding("data not pinned", "info", f"{data.path.name}: SHA-256 {found}", "`bayesmeta check --pin`")
        reading = dataclasses.replace(reading, findings=(*reading.findings, note))
    return reading


def read_effects(protocol: Protocol | str | Path, outcome: str) -> Effects:
    """Read the effects of one outcome of a protocol; `read_outcome` tells what was done to get them.

    Parameters
    ----------
    protocol : Protocol, str or Path
        A protocol or its file.
    outcome : str
        Key of one of its outcomes.

    Returns
    -------
    Effects

    Raises
    ------
    DataError, ProtocolError, FileNotFoundError
        As `read_outcome`.

    Examples
    --------
    >>> read_effects("models/exercise_depression.toml", "depression").k
    10
    """
    return read_outcome(protocol, outcome).effects


def with_unread[Key](readings: Mapping[Key, Reading]) -> dict[Key, Reading]:
    """Add to the first of several readings of one file a finding that lists the columns that none of them reads.

    Examples
    --------
    >>> from bayesmeta.studies import read_outcome
    >>> reading = read_outcome("models/cancer_exercise.toml", "fatigue_short")
    >>> with_unread({"fatigue_short": reading})["fatigue_short"].findings[-1].rule
    'columns not read'
    """
    found = dict(readings)
    if not found:
        return found
    first = next(iter(found))
    unread = [name for name in found[first].unread if all(name in other.unread for other in found.values())]
    if unread:
        remedy = "Nothing to do if none of them holds what an effect is made from."
        item = Finding("columns not read", "info", f"{', '.join(unread)}: no outcome reads them", remedy)
        found[first] = dataclasses.replace(found[first], findings=(*found[first].findings, item))
    return found
