"""Every key of a protocol, as pydantic models, and their JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema

from bayesmeta.measures import MEASURES
from bayesmeta.plan import BiasEnsemble, BiasModelKind
from bayesmeta.protocol.values import (
    PUBLISHED,
    amount_value,
    borrowed_prior_value,
    cells_value,
    chosen_value,
    knots_value,
    measure_value,
    mid_value,
    moderators_value,
    named_value,
    prior_value,
    priors_value,
    random_value,
    risk_value,
    risks_value,
    scale_value,
    shift_value,
    threshold_value,
    where_value,
)

#: The version of the protocol's keys that this bayesmeta reads.
SCHEMA = 2

_ANY_TABLE = {"type": "object"}
_PRIOR_SCHEMA = {
    "description": 'A prior: a table with "dist" and its fields (and a "source"), or its text form.',
    "anyOf": [{"type": "string"}, {"type": "object", "required": ["dist"], "properties": {"dist": {"type": "string"}}}],
}
_AMOUNT_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {
            "type": "object",
            "required": ["low", "high"],
            "additionalProperties": False,
            "properties": {"low": {"type": "number"}, "high": {"type": "number"}},
        },
        *_PRIOR_SCHEMA["anyOf"],
    ]
}

_THRESHOLD_SCHEMA = {"anyOf": [{"type": "number"}, *_AMOUNT_SCHEMA["anyOf"][1:]]}
_RISK_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {
            "type": "object",
            "required": ["dist", "a", "b"],
            "additionalProperties": False,
            "properties": {
                "dist": {"const": "beta"},
                "a": {"type": "number", "exclusiveMinimum": 0},
                "b": {"type": "number", "exclusiveMinimum": 0},
            },
        },
        *_AMOUNT_SCHEMA["anyOf"][1:],
    ]
}
_RANDOM_SCHEMA = {
    "description": "How true effects vary around their mean.",
    "anyOf": [
        {"const": "normal"},
        {
            "type": "object",
            "required": ["dist", "df"],
            "additionalProperties": False,
            "properties": {"dist": {"const": "student"}, "df": _PRIOR_SCHEMA},
        },
        {
            "type": "object",
            "required": ["dist", "share", "extra"],
            "additionalProperties": False,
            "properties": {"dist": {"const": "outliers"}, "share": _PRIOR_SCHEMA, "extra": _PRIOR_SCHEMA},
        },
    ],
}
_KNOTS_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 3, "maximum": 10},
        {"type": "array", "minItems": 3, "items": {"type": "number"}},
    ]
}
_SHIFT_SCHEMA = {
    "anyOf": [
        {"type": "number"},
        {"type": "object", "minProperties": 1, "additionalProperties": {"type": "number"}},
    ]
}

_PriorKey = Annotated[Any, PlainValidator(prior_value), WithJsonSchema(_PRIOR_SCHEMA)]
_AmountKey = Annotated[Any, PlainValidator(amount_value), WithJsonSchema(_AMOUNT_SCHEMA)]
_ThresholdKey = Annotated[Any, PlainValidator(threshold_value), WithJsonSchema(_THRESHOLD_SCHEMA)]
_ScaleKey = Annotated[
    Any,
    PlainValidator(scale_value),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
_RiskKey = Annotated[Any, PlainValidator(risk_value), WithJsonSchema(_RISK_SCHEMA)]
_VagueKey = Annotated[Any, PlainValidator(borrowed_prior_value), WithJsonSchema(_PRIOR_SCHEMA)]
_WhereKey = Annotated[Any, PlainValidator(where_value), WithJsonSchema(_ANY_TABLE)]
_ChosenKey = Annotated[Any, PlainValidator(chosen_value), WithJsonSchema({**_ANY_TABLE, "minProperties": 1})]
_CellsKey = Annotated[Any, PlainValidator(cells_value), WithJsonSchema(_ANY_TABLE)]
_RandomKey = Annotated[Any, PlainValidator(random_value), WithJsonSchema(_RANDOM_SCHEMA)]
_KnotsKey = Annotated[Any, PlainValidator(knots_value), WithJsonSchema(_KNOTS_SCHEMA)]
_ShiftKey = Annotated[Any, PlainValidator(shift_value), WithJsonSchema(_SHIFT_SCHEMA)]
_MeasureKey = Annotated[Any, PlainValidator(measure_value), WithJsonSchema({"enum": list(MEASURES)})]
_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_Positive = Annotated[float, Field(gt=0)]
_Correlation = Annotated[float, Field(ge=0, le=1)]
_Texts = list[_Text]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ExclusionKeys(_Keys):
    """Rows left out, with the reason."""

    where: _ChosenKey
    reason: _Text


class AssumptionKeys(_Keys):
    """Cells filled, with the reason."""

    where: _WhereKey
    set: _CellsKey
    reason: _Text


class LongKeys(_Keys):
    """A table with one row per arm."""

    arm: _Text = Field(description="column that names the arm")
    control: _Texts = Field(min_length=1, description="which of its values are the control")
    by: _Texts = Field([], description="columns that, with study, tell which rows belong together")


class ArmKeys(_Keys):
    """One of several arms in a row."""

    arm: _Text = Field(description="what it is, or the column that says so")
    columns: dict[str, _Text] = Field(min_length=1, description="n, mean, sd, events = the file's columns")
    control: bool = False


class DataKeys(_Keys):
    """The study file and how it is read."""

    path: _Text | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    columns: dict[str, _Text] = Field({}, description="our column name = the file's")
    constants: Annotated[Any, PlainValidator(cells_value), WithJsonSchema(_ANY_TABLE)] = Field(
        {}, description="our column name = one value for all rows"
    )
    values: dict[str, _CellsKey] = Field({}, description="column = { the file's value = ours }")
    exclude: list[ExclusionKeys] = []
    assume: list[AssumptionKeys] = []
    encoding: _Text | None = None
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    decimal: Literal[".", ","] | None = None
    sheet: _Text | None = Field(None, description="of a workbook, where several have rows")
    format: Literal["table", "metafor", "revman", "cochrane"] | None = Field(
        None, description="what made the columns, where their names do not tell"
    )
    long: LongKeys | None = Field(None, description="a table with one row per arm")
    wide: dict[str, dict[str, _Text]] = Field({}, description="outcome = { our column name = the file's }")
    arms: list[ArmKeys] = Field([], description="several arms in one row")


class ThresholdKeys(_Keys):
    """The smallest effect that matters."""

    name: _Text
    benefit: _ThresholdKey
    worse: _ThresholdKey = Field(None, description="needed but for measures of one arm, where it is benefit")
    source: _Text
    kind: Literal["anchor", "distribution", "convention", "panel"]
    primary: bool = False


class ModeratorKeys(_Keys):
    """A moderator with its unit or reference, and how it enters."""

    name: _Text
    kind: Literal["numeric", "categorical"] | None = None
    per: _Positive | None = None
    reference: _Text | None = None
    pooling: Literal["exchangeable"] | None = Field(None, description="levels are draws from a population of levels")
    curve: Literal["spline", "monotone"] | None = Field(None, description="in place of a straight line")
    knots: _KnotsKey = Field(None, description="of a curve: how many (4), or their places")


class ImputeKeys(_Keys):
    """The population of a moderator with empty cells: numeric (mean, sd) or categorical (concentration)."""

    family: Literal["normal", "lognormal"] | None = None
    mean: _PriorKey = None
    sd: _PriorKey = None
    concentration: _Positive | None = None
    shift: _ShiftKey = Field(None, description="missing not at random: of the mean, or log odds per level")


class DerivedKeys(_Keys):
    """Priors of numbers that estimates are derived from and that nobody reported."""

    correlation: _PriorKey = Field(None, description="of baseline with follow-up, where the table has none")
    icc: _PriorKey = Field(None, description="of clusters, where the table has cluster_size and no icc")


class MissingSDKeys(_Keys):
    """The population of standard deviations, for rows that do not report theirs."""

    meanlog: _PriorKey
    sdlog: _PriorKey


class PriorKeys(_Keys):
    """Priors by role."""

    published: bool = Field(False, description="mu and tau, where not stated, are the default of the measure")
    mu: _PriorKey = None
    tau: _PriorKey = None
    beta: dict[str, _PriorKey] = {}
    cluster_tau: _PriorKey = Field(None, description="SD between the true effects of rows of one cluster")
    baseline: _PriorKey = Field(None, description="control risk on the logit scale; binomial likelihood only")
    curve: dict[str, _PriorKey] = Field({}, description="moderator = the size of its spline's departure from a line")
    tau_by: dict[str, _PriorKey] = Field({}, description="level of heterogeneity_by = the SD there, if not as tau")
    tau_slope: _PriorKey = Field(None, description="numeric heterogeneity_by: change of log(tau) per unit")
    derived: DerivedKeys = DerivedKeys()
    missing_sd: MissingSDKeys | None = None


class OptionKeys(_Keys):
    """How effects are computed."""

    vtype: Literal["LS", "LS2", "UB", "AV", "RevMan"] | None = None
    j: Literal["exact", "approx"] | None = None
    zero: Literal["half", "half_all", "none", "treatment_arm"] | None = None
    correlation: Annotated[float, Field(gt=-1, lt=1)] | None = None
    icc: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="of clusters, where the table has cluster_size and no icc"
    )
    sd_of_one_arm: Literal["refuse", "other"] | None = Field(
        None, description="whether the SD of one arm stands for that of the other, where only one is reported"
    )
    ci_level: Annotated[float, Field(gt=0, lt=1)] | None = None
    scale: Literal["natural", "log"] | None = None
    form: Literal["pairwise", "pooled"] | None = Field(None, description="how SMDs that share an arm were standardised")


class PointsKeys(_Keys):
    """The smallest difference that matters in the points of an instrument."""

    benefit: _AmountKey
    worse: _AmountKey = Field(None, description="as benefit, unless stated")
    source: _Text
    kind: Literal["anchor", "distribution", "convention", "panel"]
    compared: Literal["within", "between", "both"] | None = Field(
        None, description="found within people over time, between groups, or by both"
    )
    instrument: _Text | None = Field(None, description="whose it is, if not the unit's; a bare name states it")


class ControlMeanKeys(_Keys):
    """A mean score without treatment."""

    points: _AmountKey
    source: _Text


class ControlShareKeys(_Keys):
    """A share of responders without treatment."""

    share: _RiskKey
    source: _Text


class NaturalUnitKeys(_Keys):
    """A familiar instrument."""

    name: _Text
    sd: _AmountKey = Field(description="a number, a range or a distribution")
    sd_source: _Text
    sd_se: _Positive | None = Field(None, description="standard error of an sd that is a number")
    better: Literal["higher", "lower"] | None = Field(
        None, description="which scores are better, if not as the registry says, or as the outcome"
    )
    mid: Annotated[PointsKeys | None, BeforeValidator(mid_value)] = Field(
        None, description="its minimal important difference; a name reads that of the registry"
    )
    scale: _ScaleKey = Field(None, description="lowest and highest score, if not as the registry says")
    control_mean: ControlMeanKeys | None = None
    control_share: ControlShareKeys | None = Field(None, description="makes a number needed to treat of scores")


class RiskKeys(_Keys):
    """A risk without treatment."""

    name: _Text
    risk: _RiskKey
    source: str = ""


class TrialInteractionKeys(_Keys):
    """How an effect differs inside one trial, as the trial reports it."""

    study: _Text
    moderator: _Text
    contrast: _Text = Field(description='"after - during", or "slope per 10"')
    estimate: float = Field(description="on the scale of the analysis, in the outcome's direction")
    se: _Positive
    source: _Text


class BiasSizeKeys(_Keys):
    """How large the bias of trials at high risk is thought to be, positive towards benefit."""

    mean: float = Field(description="on the scale of the analysis (log for ratios)")
    sd: Annotated[float, Field(ge=0)]
    form: Literal["trial", "common"] = Field("trial", description="a bias of each trial's own, or one for all")
    source: _Text


class RiskOfBiasKeys(_Keys):
    """Where the judgements of trials stand, and what is done with them."""

    tool: Literal["RoB 2", "ROBINS-I"] = "RoB 2"
    overall: _Text = Field("risk_of_bias", description="column of the overall judgement")
    domains: dict[str, _Text] = Field({}, description="what a domain is called = its column")
    high: Annotated[_Texts, Field(min_length=1)] | None = Field(
        None, description="judgements that count as high risk; default high, serious and critical"
    )
    bias: BiasSizeKeys | None = None


class AnalysisKeys(_Keys):
    """What a sensitivity analysis may change too."""

    moderators: Annotated[
        list[Annotated[ModeratorKeys, BeforeValidator(named_value)]] | None, BeforeValidator(moderators_value)
    ] = Field(None, description='columns that effects may depend on, or text: "exercise * timing + weeks"')
    reference: dict[str, _Text] = Field(
        {}, description="categorical moderator = the level contrasts are printed against"
    )
    interactions: _Texts | None = Field(None, description='pairs of moderators, such as "exercise:timing"')
    working_correlation: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="sampling correlation of rows that share all their patients"
    )
    control: Literal["shared", "split"] | dict[str, Literal["shared", "split"]] | None = Field(
        None, description="the control arm that rows of a trial name: one group, or divided between them; or by trial"
    )
    small_study_alternative: Literal["auto", "greater", "less", "two-sided"] | None = Field(
        None, description="which p decides in the selection model of small-study effects (auto: the better direction)"
    )
    comparators: Literal["same", "mixed"] | None = Field(
        None, description="whether rows of a trial with an arm in common may have different controls"
    )
    rho: _Correlation | None = Field(None, description="correlation of the true effects of rows that share an arm")
    cluster: _Text | None = Field(None, description="column whose rows depend on each other beyond sampling")
    likelihood: Literal["normal", "binomial"] | None = None
    random: _RandomKey = None
    missing: Literal["fault", "exclude", "level", "impute"] | None = Field(
        None, description="a moderator's empty cell: a fault, the row is left out, a level of its own, or imputed"
    )
    impute: dict[str, ImputeKeys] = Field({}, description="moderator = its population, where missing is impute")
    priors: Annotated[PriorKeys, BeforeValidator(priors_value)] = PriorKeys()
    ref_sd: _Positive | None = Field(
        None, description="SD of the outcome from outside the data; scales the published priors of MD, generic and MN"
    )
    ref_sd_source: _Text | None = Field(None, description="where ref_sd comes from")
    measure_options: OptionKeys = OptionKeys()
    exclude: list[ExclusionKeys] = []


class DefaultKeys(AnalysisKeys):
    """What every outcome inherits."""

    measure: _MeasureKey = None
    better: Literal["higher", "lower"] | None = None
    unit: _Text | None = None
    subgroups: _Texts | None = None
    thresholds: list[ThresholdKeys] | None = None
    natural_unit: NaturalUnitKeys | None = None
    baseline_risk: Annotated[list[RiskKeys], BeforeValidator(risks_value)] | None = None
    risk_of_bias: RiskOfBiasKeys | None = None
    heterogeneity_by: _Text | None = Field(None, description="a moderator: does the heterogeneity differ by it?")
    engine: Literal["auto", "exact", "nuts", "both"] | None = None


class OutcomeKeys(DefaultKeys):
    """One outcome at one horizon."""

    trial_interactions: list[TrialInteractionKeys] | None = Field(
        None, description="differences inside trials that they report themselves"
    )
    label: _Text | None = None
    where: _WhereKey = Field({})


class JointKeys(_Keys):
    """Several outcomes judged together."""

    outcomes: Annotated[_Texts, Field(min_length=2)] | None = None
    correlation: Annotated[float, Field(gt=-1, lt=1)] | None = Field(
        None, description="sampling correlation within a trial, in the direction of benefit (0.5)"
    )
    eta: _Positive | None = Field(None, description="shape of the LKJ prior of the correlations of true effects (2)")


class SensitivityKeys(AnalysisKeys):
    """One declared departure from the main analysis."""

    name: _Text | None = None
    outcomes: _Texts | None = Field(None, description="the outcomes it concerns; all if left out")
    source: str = ""
    reason: str = ""
    where: _WhereKey = Field({})
    joint: JointKeys | None = None


class SamplingKeys(_Keys):
    """Seed and size of simulations."""

    seed: Annotated[int, Field(ge=0)] | None = None
    chains: Annotated[int, Field(ge=1)] = 4
    draws: Annotated[int, Field(ge=1)] = 1000
    tune: Annotated[int, Field(ge=0)] = 1000
    target_accept: Annotated[float, Field(gt=0, lt=1)] = 0.9


class ClassicalKeys(_Keys):
    """Classical methods."""

    preset: _Text | None = None


class BiasModelKeys(_Keys):
    """One model of publication bias."""

    kind: BiasModelKind
    steps: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [], description="of a selection model: p values at which the chance of being seen changes, ascending"
    )
    sides: Literal["one", "two"] | None = Field(None, description="of a selection model: which p (one)")
    weight: _Positive = Field(1.0, description="prior probability given bias, up to the sum of all")


class BiasKeys(_Keys):
    """Models of publication bias that are averaged."""

    ensemble: BiasEnsemble | None = Field(
        None, description="psma (RoBMA's 36 models; the default), pp (PET and PEESE), 2w (two-sided p), bma (no bias)"
    )
    direction: Literal["higher", "lower"] | None = Field(
        None, description="which effects are favoured by selection; default the better ones"
    )
    mu: _PriorKey = Field(None, description="of the models with an effect")
    tau: _PriorKey = Field(None, description="of the models with heterogeneity")
    model: list[BiasModelKeys] = Field([], description="bias models of one's own, in place of an ensemble's")


class BorrowKeys(_Keys):
    """Where an outcome with few trials may borrow strength from."""

    from_: _Text | None = Field(None, alias="from", description="a protocol, relative to this file")
    outcome: _Text | None = Field(None, description="the key of its outcome there")
    weight: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="prior probability that the source says nothing about this outcome"
    )
    sd: _Positive | None = Field(None, description="divides an effect in points, where the source is standardised")
    sd_source: _Text | None = None
    vague: _VagueKey = Field(None, description="normal, on the source's scale; default unit information")
    reason: str = ""


class ReportKeys(_Keys):
    """What the report prints beside the results."""

    authors: _Texts = []
    question: str = ""
    note: str = ""
    population: str = Field("", description="who the trials are of")
    setting: str = ""
    intervention: str = Field("", description="what is compared, as a sentence begins with it: Exercise")
    comparison: str = Field("", description="with what")
    searched: str = Field("", description="when the literature was searched")


class TopKeys(_Keys):
    """The tables of a protocol, each checked apart so that one fault hides no other."""

    schema_: int | None = Field(None, alias="schema")
    title: _Text | None = None


class FileKeys(TopKeys):
    """A bayesmeta protocol."""

    data: DataKeys
    defaults: DefaultKeys = DefaultKeys()
    outcome: dict[str, OutcomeKeys]
    sensitivity: list[SensitivityKeys] = []
    classical: ClassicalKeys = ClassicalKeys()
    bias: BiasKeys = BiasKeys()
    joint: JointKeys = JointKeys()
    borrow: dict[str, BorrowKeys] = Field({}, description="outcome = where it may borrow strength from")
    report: ReportKeys = ReportKeys()
    sampling: SamplingKeys = SamplingKeys()


SECTIONS = ("data", "defaults", "outcome", "sensitivity", "classical", "bias", "joint", "borrow", "report", "sampling")


def protocol_schema() -> dict[str, Any]:
    """JSON Schema of a protocol file (of the tables that TOML makes).

    Returns
    -------
    dict
        JSON Schema, draft 2020-12.

    Examples
    --------
    >>> sorted(protocol_schema()["required"])
    ['data', 'outcome', 'schema', 'title']
    """
    # the keys are optional to pydantic, so that one missing key hides no other fault; here they are required again
    schema = FileKeys.model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "bayesmeta protocol"
    schema["required"] = ["schema", "title", "data", "outcome"]
    schema["properties"]["schema"] = {"const": SCHEMA, "description": "version of the keys"}
    schema["properties"]["outcome"]["propertyNames"] = {"pattern": "^[a-z][a-z0-9_]*$"}
    for name, required in {
        "DataKeys": ["path"],
        "SensitivityKeys": ["name"],
        "OutcomeKeys": ["label"],
        "BorrowKeys": ["from", "outcome"],
    }.items():
        schema["$defs"][name]["required"] = required
    moderator = schema["$defs"]["ModeratorKeys"]
    schema["$defs"]["ModeratorKeys"] = {"anyOf": [{"type": "string", "minLength": 1}, moderator]}
    mid = schema["$defs"]["NaturalUnitKeys"]["properties"]["mid"]
    mid["anyOf"] = [{"type": "string", "minLength": 1}, *mid["anyOf"]]
    for model in ("DefaultKeys", "OutcomeKeys"):
        risks = schema["$defs"][model]["properties"]["baseline_risk"]
        risks["anyOf"] = [{"type": "number"}, *risks["anyOf"]]
    for model in ("AnalysisKeys", "DefaultKeys", "OutcomeKeys", "SensitivityKeys"):
        if model in schema["$defs"]:
            priors = schema["$defs"][model]["properties"]["priors"]
            schema["$defs"][model]["properties"]["priors"] = {"anyOf": [{"const": PUBLISHED}, priors]}
            moderators = schema["$defs"][model]["properties"]["moderators"]
            moderators["anyOf"] = [{"type": "string", "minLength": 1}, *moderators["anyOf"]]
    return schema
