"""Build data/cipn_effects.csv from what was extracted of each trial, by the library's own formulas.

Run: python3 -m uv run python tools/build_cipn.py

Reads data/cipn_extracted.csv (estimates as printed; rows with use = yes) and data/cipn_characteristics.csv (exercise,
timing, weeks and duration as printed). A test builds the table again and compares every byte.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from bayesmeta.measures import (
    Estimate,
    mean_sd_from_quantiles,
    odds_ratio,
    se_from_ci,
    se_from_p,
    small_sample_factor,
    smd_from_md_se,
)

DATA = Path(__file__).parent.parent / "data"
# months in a unit of duration
MONTHS = {"years": 12.0, "months": 1.0}
# from the logarithm of an odds ratio to a standardised difference (Borenstein 2009, ISBN 978-0-470-05724-7, eq. 7.1)
LOGISTIC = math.sqrt(3) / math.pi

Row = Mapping[str, str]


def number(row: Row, name: str) -> float:
    """Read one cell as a number."""
    return float(row[name])


def difference(row: Row) -> tuple[float, float, str]:
    """Difference of the arms in the instrument's own direction, its standard error, and where that comes from."""
    if row["value_kind"] == "change":
        arms = [se_from_ci(number(row, f"ci_{arm}_low"), number(row, f"ci_{arm}_high"))[0] for arm in "tc"]
        text = "difference of the arms' changes; se from their 95 % intervals (normal), arms independent"
        return number(row, "mean_t") - number(row, "mean_c"), math.hypot(*arms), text
    estimate = number(row, "estimate")
    if row["ci_low"]:
        return (
            estimate,
            se_from_ci(number(row, "ci_low"), number(row, "ci_high"))[0],
            "se from the 95 % interval (normal)",
        )
    return estimate, se_from_p(estimate, number(row, "p_value"))[0], "se from the two-sided p (normal)"


def from_events(row: Row) -> tuple[Estimate, str]:
    """Standardised difference by way of the log odds ratio, with the small-sample factor."""
    n_t, n_c = number(row, "n_t"), number(row, "n_c")
    log_odds = odds_ratio(number(row, "mean_t"), n_t, number(row, "mean_c"), n_c, zero="none")
    factor = small_sample_factor(n_t + n_c - 2) * LOGISTIC
    text = "log odds ratio times sqrt(3)/pi times J (Borenstein 2009, eq. 7.1, 7.2, 4.23, 4.24)"
    return Estimate(factor * log_odds.y, factor * log_odds.se, text), text


def months(row: Row, unit: str, n_t: float, n_c: float) -> float | None:
    """Mean duration of a trial in months, arms weighted by their sizes; None where unit or number is not there."""
    if unit not in MONTHS:
        return None
    if row["mean_all"]:
        return MONTHS[unit] * number(row, "mean_all")
    means = []
    for arm, n in (("t", n_t), ("c", n_c)):
        if row[f"mean_{arm}"]:
            means.append(number(row, f"mean_{arm}"))
        elif row[f"median_{arm}"]:
            ends = {end: number(row, f"{end}_{arm}") for end in ("low", "high")}
            means.append(float(mean_sd_from_quantiles(number(row, f"median_{arm}"), n, **ends).mean[0]))
    return MONTHS[unit] * (n_t * means[0] + n_c * means[1]) / (n_t + n_c) if len(means) == 2 else None


def cell(value: float | None) -> str:
    """Write a number with six decimals, the last of which no machine's rounding reaches."""
    return "" if value is None else f"{value:.6f}"


def built(effect: Row, trial: Row) -> dict[str, str]:
    """Make one row of the table."""
    n_t, n_c = number(effect, "n_t"), number(effect, "n_c")
    md = se = None
    if effect["value_kind"] == "events":
        made, derivation = from_events(effect)
    else:
        md, se, derivation = difference(effect)
        made = smd_from_md_se(md, se, n_t, n_c)
        derivation += "; g = J t sqrt(1/n_t + 1/n_c), t = difference/se"
    return {
        "study": effect["study"],
        "year": effect["year"],
        "instrument": effect["instrument"],
        "item": effect["outcome"],
        "coded_better": {"yes": "higher", "no": "lower"}[effect["higher_is_better"]],
        "exercise": trial["exercise"],
        "timing": trial["timing"],
        "weeks": trial["weeks"],
        "duration": cell(months(trial, trial["duration_unit"], n_t, n_c)),
        "duration_assumed": cell(months(trial, trial["duration_unit_assumed"], n_t, n_c)),
        "n_t": effect["n_t"],
        "n_c": effect["n_c"],
        "difference": cell(md),
        "difference_se": cell(se),
        "g": cell(float(made.y[0])),
        "g_se": cell(float(made.se[0])),
        "derivation": derivation,
        "doi": effect["doi"],
        "note": effect["reason"],
    }


def table() -> str:
    """Build the table as text."""
    with (DATA / "cipn_extracted.csv").open(encoding="utf-8", newline="") as file:
        effects = [row for row in csv.DictReader(file) if row["use"] == "yes"]
    with (DATA / "cipn_characteristics.csv").open(encoding="utf-8", newline="") as file:
        trials = {row["study"]: row for row in csv.DictReader(file)}
    rows = [built(effect, trials[effect["study"]]) for effect in effects]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    (DATA / "cipn_effects.csv").write_text(table(), encoding="utf-8", newline="")
