"""What a sceptic asks of a fit by either engine: sections like those of the sensitivity analyses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from bayesmeta.checking import overlap_table, power_scaling_table, ppc_table, predictive_table, prior_check_table
from bayesmeta.columns import columns_of
from bayesmeta.sensitivity.predictive_loo import loo_table
from bayesmeta.sensitivity.section import Computed, Section

__all__ = ["CHECKS"]

_BESIDE = (
    *columns_of("number", 3, observed="observed", median="median", lower="lower", upper="upper"),
    *columns_of("p", p_value="p"),
)


def _totals(table: pd.DataFrame) -> list[str]:
    exact = table.attrs["elpd_exact"]
    return [f"Sum: {table.attrs['elpd_psis']:.2f} by PSIS" + (f", {exact:.2f} exactly." if exact == exact else ".")]


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
            ),
            Section(
                "trials",
                "Every estimate beside what the model predicts for a new trial with its standard error",
                lambda fit, options: Computed(predictive_table(fit)),
                (*columns_of("text", label="trial"), *_BESIDE),
                "Two-sided p-values. Sampling error and heterogeneity are both in the interval.",
            ),
            Section(
                "prior",
                "What the priors say before any trial, and where the observed statistics lie in it",
                lambda fit, options: Computed(prior_check_table(fit)),
                (*columns_of("text", quantity="quantity"), *_BESIDE),
                "Range: 2.5 %, 50 % and 97.5 % of each quantity under the priors alone.",
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
            ),
        )
    }
)
