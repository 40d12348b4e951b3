"""Write the JSON Schemas of the sensitivity bench from the tables themselves; run after a column is added.

``uv run python tools/schemas.py``. Every column of every section becomes a property; its type is what occurs in the
shipped protocols and in trials with counts, and a number may be null.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

import bayesmeta as bm
from bayesmeta.records import bench_record, output_schema, preset_record
from bayesmeta.sensitivity import GRADE_COLUMNS, SECTIONS, sensitivity_analyses

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "src" / "bayesmeta" / "records" / "schemas"


def fits() -> list[bm.Fit]:
    """Outcomes with shared controls, independent trials, counts with zero cells, and one trial."""
    found = []
    for name, key in (
        ("cancer_exercise", "fatigue_short"),
        ("cancer_exercise", "anxiety_long"),
        ("exercise_depression", "depression"),
    ):
        protocol = bm.read_protocol(ROOT / "models" / f"{name}.toml")
        outcome = protocol.outcomes[key]
        found.append(bm.fit(bm.read_effects(protocol, key), outcome.model.on(), outcome=outcome))
    counts = pd.DataFrame(
        {
            "study": list("ABCDEFGHIJKL"),
            "events_t": [0, 3, 5, 8, 2, 6, 1, 9, 4, 7, 0, 12],
            "n_t": [20] * 12,
            "events_c": [2, 6, 9, 10, 5, 8, 4, 12, 8, 9, 0, 13],
            "n_c": [22] * 12,
        }
    )
    effects = bm.effect_sizes(counts, "OR", better="lower")
    found.append(bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5))))
    return found


def kinds(values: list[Any]) -> list[str]:
    """JSON types that occur."""
    found = set()
    for value in values:
        if value is None:
            found.add("null")
        elif isinstance(value, bool):
            found.add("boolean")
        elif isinstance(value, int):
            found.add("integer")
        elif isinstance(value, float):
            found.add("number")
        elif isinstance(value, str):
            found.add("string")
        elif isinstance(value, list):
            found.add("array")
        else:
            found.add("object")
    if "number" in found:
        found -= {"integer"}
        found |= {"null"}
    if found == {"null"}:
        found = {"number", "null"}
    return sorted(found)


def rows_schema(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Schema of the rows of one table: every column, closed, present in every row that holds it."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    always = [column for column in columns if all(column in row for row in rows)]
    properties = {c: {"type": kinds([row[c] for row in rows if c in row])} for c in columns}
    return {"type": "object", "additionalProperties": False, "required": always, "properties": properties}


def _write_report(parts: dict[str, Any], defs: dict[str, Any]) -> None:
    """Schema of the report's results.json: each outcome is what `fit` prints, with everything the page adds."""
    fit = output_schema("fit")
    check = output_schema("check")
    one = fit["$defs"]["analysis"]
    text, rows = {"type": "string"}, {"type": "array", "items": {"type": "object"}}
    numbers = {"type": "array", "items": {"type": "number"}}
    grid = {
        "type": "object",
        "additionalProperties": False,
        "required": ["x", "cdf", "density"],
        "properties": dict.fromkeys(("x", "cdf", "density"), numbers),
    }
    forms = [
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["form", *keys],
            "properties": {"form": {"const": form}, **keys},
        }
        for form, keys in (
            ("mixture", dict.fromkeys("wmst", numbers)),
            ("grid", {"mu": grid, "theta_new": grid}),
            ("draws", {"mu": numbers, "theta_new": numbers}),
        )
    ]
    extra = {
        "declared": rows,
        "priors_only": {"type": "array", "items": text},
        "not_done": {"type": "object", "additionalProperties": text},
        "sections": {"type": "object", "additionalProperties": False, "properties": parts},
        "grade": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": list(GRADE_COLUMNS),
                "properties": dict.fromkeys(GRADE_COLUMNS, text),
            },
        },
        "grade_not_done": text,
        "findings": {"type": "array", "items": output_schema("forensics")["$defs"]["finding"]},
        "ledger": check["$defs"]["analysis"]["properties"]["rows"],
        "natural_units": rows,
        "absolute_risks": rows,
        "borrowing": rows,
        "next_trial": rows,
        "posteriors": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "label", "kind", "posterior"],
                "properties": {
                    "id": text,
                    "label": text,
                    "kind": {"enum": ["main", "prior", "declared", "subgroup", "level", "engine"]},
                    "posterior": {"anyOf": forms},
                },
            },
        },
        "figures": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["title", "alt", "svg", "pdf", "not_drawn"],
                "properties": {
                    key: {"type": ["string", "null"]} for key in ("title", "alt", "svg", "pdf", "not_drawn")
                },
            },
        },
    }
    outcome = {**one, "required": [*one["required"], *extra], "properties": {**one["properties"], **extra}}
    heads = {
        key: one["properties"][key] for key in ("schema_version", "bayesmeta", "level", "interval", "scale", "warnings")
    }
    hashes = {"type": ["string", "null"]}
    whole = {
        **heads,
        "title": text,
        "protocol_sha256": text,
        "data_sha256": hashes,
        "data_pinned": {"type": "boolean"},
        "seed": {"type": "integer"},
        "reportable": {"type": "boolean"},
        "reasons": {"type": "array", "items": text},
        "methods": text,
        "references": {"type": "array", "items": text},
        "outcomes": {"type": "object", "additionalProperties": {"$ref": "#/$defs/outcome"}},
    }
    others = {
        **{k: v for k, v in check["$defs"].items() if k != "analysis"},
        **{k: v for k, v in fit["$defs"].items() if k != "analysis"},
    }
    assert not set(others) & set(defs), set(others) & set(defs)
    schema = {
        "$schema": fit["$schema"],
        "title": "bayesmeta report: results.json",
        "description": "Everything that the report shows, at full precision, on the scale of the analysis.",
        "type": "object",
        "additionalProperties": False,
        "required": list(whole),
        "properties": whole,
        "$defs": {"outcome": outcome, **others, **defs},
    }
    (FOLDER / "report.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Write the schemas."""
    warnings.simplefilter("ignore")
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS}
    spread: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    presets: list[dict[str, Any]] = []
    for fit in fits():
        record = bench_record(fit, "x", sensitivity_analyses(fit, list(SECTIONS)))
        for name, part in record["sections"].items():
            sections[name] += part["rows"]
        summary = record["sections"]["multiverse"]["summary"]
        spread += summary["spread"]
        choices += summary["choices"]
        for name in ("revman5", "i2_rule", "iqwig6"):
            item = bm.classical.preset(name)
            presets += preset_record(fit, "x", item, bm.classical.preset_table(fit.effects, item))["rows"]
    base = output_schema("benefit")
    definition = next(item for item in base["$defs"].values() if "honesty" in item.get("properties", {}))
    heads = {k: v for k, v in definition["properties"].items() if k not in ("benefit", "sentence", "honesty", "note")}
    always = [key for key in definition["required"] if key in heads]
    defs: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for name, rows in sections.items():
        key = name.replace("-", "_")
        defs[key] = rows_schema(rows)
        if name == "multiverse":
            # which choices of data are crossed depends on the measure
            defs[key]["additionalProperties"] = {"type": "string"}
        summary_schema: dict[str, Any] = {"type": "object"}
        if name == "multiverse":
            defs["spread"], defs["choice"] = rows_schema(spread), rows_schema(choices)
            summary_schema["properties"] = {
                "spread": {"type": "array", "items": {"$ref": "#/$defs/spread"}},
                "choices": {"type": "array", "items": {"$ref": "#/$defs/choice"}},
            }
        parts[name] = {
            "type": "object",
            "additionalProperties": False,
            "required": ["question", "rows", "summary"],
            "properties": {
                "question": {"type": "string", "description": SECTIONS[name]},
                "rows": {"type": "array", "items": {"$ref": f"#/$defs/{key}"}},
                "summary": summary_schema,
            },
        }
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    sections_schema = {"type": "object", "additionalProperties": False, "properties": parts}

    def write(name: str, title: str, description: str, properties: dict[str, Any], local: dict[str, Any]) -> None:
        one = {
            "type": "object",
            "additionalProperties": False,
            "required": [*always, *properties],
            "properties": {**heads, **properties},
        }
        schema = {
            **{k: base[k] for k in ("$schema", "oneOf")},
            "title": title,
            "description": description,
            "$defs": {"analysis": one, **local},
        }
        order = ["$schema", "title", "description", "oneOf", "$defs"]
        text = json.dumps({k: schema[k] for k in order}, indent=2, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    honesty = {"honesty": {"type": "string"}}
    write(
        "bench",
        "bayesmeta influence and multiverse --json",
        "Sections of the sensitivity bench of one outcome, or several under analyses.",
        {"sections": sections_schema, "not_done": texts, **honesty},
        defs,
    )
    named = {key: {"type": "string"} for key in ("name", "label", "source", "remark")}
    choice_texts = {"choices": texts, "ours": texts, "unverified": {"type": "array", "items": {"type": "string"}}}
    about = {
        "type": "object",
        "additionalProperties": False,
        "required": [*named, *choice_texts],
        "properties": {**named, **choice_texts},
    }
    write(
        "preset",
        "bayesmeta compare --preset --json",
        "Our choices exchanged for another program's one at a time, for one outcome or several under analyses.",
        {"preset": about, "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}}, "not_done": {"type": "string"}},
        {"row": rows_schema(presets)},
    )
    _write_report(parts, defs)
    sensitivity = output_schema("sensitivity")
    analysis = sensitivity["$defs"]["analysis"]
    keep = {name: part for name, part in parts.items() if name not in ("leave-one-out", "cumulative")}
    analysis["properties"]["sections"] = {**sections_schema, "properties": keep}
    analysis["required"] = list(dict.fromkeys([*analysis["required"], "sections"]))
    own = {name: item for name, item in defs.items() if name not in ("leave_one_out", "cumulative")}
    sensitivity["$defs"] = {**{k: v for k, v in sensitivity["$defs"].items() if k not in defs}, **own}
    text = json.dumps(sensitivity, indent=2, ensure_ascii=False)
    (FOLDER / "sensitivity.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
