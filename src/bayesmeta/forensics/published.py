"""Audit of published results: every rule over a table of pooled results and its list of trials."""

from __future__ import annotations

import pandas as pd

from bayesmeta.errors import Finding
from bayesmeta.forensics.literature import literature_of
from bayesmeta.forensics.pooled import POOLED_RULES
from bayesmeta.forensics.rules import Rule, run_rules
from bayesmeta.forensics.trial_lists import LIST_RULES

__all__ = ["AUDIT_RULES", "audit"]

#: Every rule over published results, in the order in which they are applied.
AUDIT_RULES: tuple[Rule, ...] = (*LIST_RULES, *POOLED_RULES)


def audit(published: pd.DataFrame, trials: pd.DataFrame | None = None) -> tuple[Finding, ...]:
    """Ask every rule of published pooled results and of the list of trials they rest on.

    Nothing is re-analysed: the rules see what is printed. Rules whose columns are not there find nothing.

    Parameters
    ----------
    published : pandas.DataFrame
        One row per result, as `bayesmeta.studies.read_table` reads it. Columns: ``outcome``; and where known
        ``review``, ``subgroup``, ``k``, ``n``, ``scope`` ("review" where k and n are those of the whole review),
        ``measure``, ``estimate ci_low ci_high p``, ``i2`` (percent), ``model`` ("fixed" or "random"),
        ``studies_cited`` (numbers), ``studies_named`` (names in the same order, between semicolons), ``outcome_code``
        (as in the list of trials), ``instrument``, ``scale_better`` and ``called_better`` ("higher" or "lower": which
        direction of the scale is benefit, and which the review calls so).
    trials : pandas.DataFrame, optional
        One row per trial. Columns: ``study``, ``ref``, ``n_t`` (several treated arms between semicolons or commas),
        ``n_c``; and where known ``n_randomised`` and ``n_analysed`` (from the trial's own report), ``roles_t`` (for
        each treated arm "treatment" or "other"), ``outcome_codes``.

    Returns
    -------
    tuple of Finding
        ``error`` for what cannot be, ``warning`` for what changes the answer or is improbable, ``info`` for the rest.

    Raises
    ------
    DataError
        If a table has no column that names its rows.

    Examples
    --------
    >>> table = pd.DataFrame({"outcome": ["IL-6"], "k": [18], "ci_low": [38.4], "ci_high": [77.6], "i2": [71.3]})
    >>> audit(table)[0].rule
    'interval of I2'
    """
    return run_rules(AUDIT_RULES, literature_of(published, trials))
