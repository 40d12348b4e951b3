"""What a sceptic asks of a fit by either engine: sections like those of the sensitivity analyses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from bayesmeta.checking import overlap_table, power_scaling_table, ppc_table, predictive_table, prior_check_table
from bayesmeta.columns import columns_of, p_value, plural
from bayesmeta.sensitivity.predictive_loo import KHAT, loo_table
from bayesmeta.sensitivity.section import Computed, Section
from bayesmeta.sensitivity.verdicts import QUANTITIES, largest, listed

if TYPE_CHECKING:
    from bayesmeta.fits import Fit
    from bayesmeta.plan import Threshold

__all__ = ["CHECKS", "scaling_verdict"]

_BESIDE = (
    *columns_of("number", 3, observed="observed", median="median", lower="lower", upper="upper"),
    *columns_of("p", p_value="p"),
)


def _totals(table: pd.DataFrame) -> list[str]:
    exact = table.attrs["elpd_exact"]
    return [f"Sum: {table.attrs['elpd_psis']:.2f} by PSIS" + (f", {exact:.2f} exactly." if exact == exact else ".")]


#: Sensitivities from this on are worth a look (Kallioinen 2024).
LIMIT = 0.05
#: Two-sided p-values below this are named; a convention.
SMALL = 0.05


def _called(quantity: object) -> str:
    return QUANTITIES.get(str(quantity), str(quantity))


def scaling_verdict(table: pd.DataFrame) -> str:
    """Which prior the answers are sensitive to: those that the diagnosis calls influential."""
    priors = table[table["component"] != "likelihood"]
    values = priors["exact"].astype(float).fillna(priors["psense"].astype(float))
    if not values.notna().any():
        return "No sensitivity could be computed: these priors are not scaled."
    flagged = priors["diagnosis"].str.startswith("influential")
    if not flagged.any():
        return f"No answer is sensitive to a prior: the largest sensitivity is {values.max():.2g}, below {LIMIT:g}."
    said = [
        f"{_called(row['quantity'])} to the prior of {_called(row['component'])} ({value:.2g})"
        for row, value in zip(priors[flagged].to_dict("records"), values[flagged], strict=True)
    ]
    return f"Some answers are sensitive to a prior, from {LIMIT:g} up: {listed(said, 4)}."


def _small(table: pd.DataFrame, names: Sequence[str], fine: str, off: str) -> str:
    """Lines with a small p-value, named; else the smallest."""
    known = table["p_value"].notna()
    some, called = table[known], [name for name, here in zip(names, known, strict=True) if here]
    if not len(some):
        return "No p-value could be computed with these data."
    low = (some["p_value"] < SMALL).tolist()
    count = f"{sum(low)} of {plural(len(some), 'p-value')}"
    if not any(low):
        return f"{fine}: the smallest of {plural(len(some), 'p-value')} is {p_value(float(some['p_value'].min()))}."
    return f"{off}: {count} below {SMALL:g} ({listed([name for name, here in zip(called, low, strict=True) if here])})."


def _replicated(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    names = [f"{a} ({b})" for a, b in zip(table["statistic"], table["replicated"], strict=True)]
    return _small(table, names, "The model makes such data", "The model may not make such data")


def _predicted(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    said = _small(
        table,
        table["label"].tolist(),
        "No trial is far from predicted",
        "Some trials are far from predicted",
    )
    return f"{said} By chance alone {SMALL * len(table):.1f} would be below {SMALL:g}."


def _expected(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    return _small(
        table,
        table["quantity"].tolist(),
        "All statistics are what the priors expect",
        "Some statistics are not what the priors expect",
    )


def _learned(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    driven = table.loc[table["verdict"] == "prior-driven", "quantity"].map(_called).tolist()
    if driven:
        return f"The data taught little of {listed(driven)}: what is printed there is mostly the prior."
    known = table[table["overlap"].notna()]
    if not len(known):
        return "No prior is proper, so there is nothing to compare with."
    most = largest(known, known["overlap"])
    name, shared = _called(most["quantity"]), float(most["overlap"])
    return f"No answer is mostly its prior: the largest overlap of prior and posterior is {shared:.2f} ({name})."


def _left_out(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    flagged = table.loc[table["khat"] > KHAT, "left_out"].tolist()
    if flagged:
        return f"Importance sampling cannot stand in for a refit without {listed(flagged)} (khat above {KHAT:g})."
    return f"Importance sampling can be trusted for every trial: the largest khat is {table['khat'].max():.2f}."


#: Sections of `ppc`, in the order in which they are printed.
CHECKS: Mapping[str, Section] = MappingProxyType(
    {
        item.name: item
        for item in (
            Section(
                "predictive",
                "Do replicated estimates look like the observed? Statistics of both",
                lambda fit, options: Computed(ppc_table(fit)),
                (*columns_of("text", replicated="replicated", statistic="statistic"), *_BESIDE),
                "Same trials: given their own effects. New trials: effects drawn anew. Two-sided p-values; small ones "
                "say that the model does not make such data.",
                verdict=_replicated,
            ),
            Section(
                "trials",
                "Every estimate beside what the model predicts for a new trial with its standard error",
                lambda fit, options: Computed(predictive_table(fit)),
                (*columns_of("text", label="trial"), *_BESIDE),
                "Two-sided p-values. Sampling error and heterogeneity are both in the interval.",
                verdict=_predicted,
            ),
            Section(
                "prior",
                "What the priors say before any trial, and where the observed statistics lie in it",
                lambda fit, options: Computed(prior_check_table(fit)),
                (*columns_of("text", quantity="quantity"), *_BESIDE),
                "Range: 2.5 %, 50 % and 97.5 % of each quantity under the priors alone.",
                verdict=_expected,
            ),
            Section(
                "overlap",
                "What the data taught: overlap of prior and posterior",
                lambda fit, options: Computed(overlap_table(fit)),
                (
                    *columns_of("text", quantity="quantity", prior="prior"),
                    *columns_of("number", 3, overlap="overlap", sd_ratio="SD ratio", shift="shift in prior SDs"),
                    *columns_of("text", verdict="verdict"),
                ),
                "Overlap is 1 where the data taught nothing, 0 where prior and posterior exclude each other; a ratio "
                "near 1 says that the SD is the prior's.",
                verdict=_learned,
            ),
            Section(
                "scaling",
                "How the answers move when a prior or the likelihood is raised to a power (power-scaling)",
                lambda fit, options: Computed(power_scaling_table(fit)),
                (
                    *columns_of("text", quantity="quantity", component="scaled"),
                    *columns_of("number", 3, psense="sensitivity", exact="exact", change="change"),
                    *columns_of("text", diagnosis="diagnosis"),
                ),
                "Sensitivity above 0.05 is worth a look (Kallioinen 2024, doi:10.1007/s11222-023-10366-5). Change: of "
                "the mean or probability per doubling of the power.",
                verdict=lambda fit, table, threshold: scaling_verdict(table),
            ),
            Section(
                "loo",
                "How well every trial is predicted by the others: importance sampling (PSIS) and exact refits",
                lambda fit, options: Computed(loo_table(fit)),
                (
                    *columns_of("text", left_out="trial"),
                    *columns_of(
                        "number", 3, elpd_psis="PSIS", khat="khat", elpd_exact="exact", difference="difference"
                    ),
                ),
                "khat above 0.7: importance sampling cannot stand in for a refit of that trial.",
                notes=_totals,
                verdict=_left_out,
            ),
        )
    }
)
