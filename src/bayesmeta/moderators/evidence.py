"""Tests of moderators, Bayes factors, and the average over the models that leave some of them out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd

from bayesmeta.classical import MetaRegression, coefficient_test, metaregression, subgroup_test
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.fits import LEVEL, Fit, fit_many
from bayesmeta.model import Line, Model
from bayesmeta.plan import stated_rows

__all__ = [
    "ALL",
    "MOST_TERMS",
    "classical_regression",
    "inclusion_table",
    "moderator_test_table",
    "subgroup_tests",
    "varies_within",
]

#: What the line of all moderators together is called.
ALL = "all moderators"
#: Terms of which every allowed combination is fitted.
MOST_TERMS = 8


def classical_regression(fit: Fit, *, level: float = LEVEL) -> tuple[MetaRegression | None, str]:
    """Fit the meta-regression of the same rows on the same columns; or say why there is none.

    Its coefficients are those of the fit's design, so that a linear function of these means the same in both.

    Raises
    ------
    ModelError
        If the fit has no moderators.

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"type": bm.Normal(0, 0.5)}))
    >>> found, reason = classical_regression(moderated)
    >>> len(found.terms), reason
    (2, '')
    """
    factors = fit.design.factors
    if not factors:
        raise ModelError("the fit has no moderators: there is nothing to say of them. Fit with beta = {name: prior}.")
    if any(factor.missing.any() for factor in factors.values()):
        return None, "moderators that some trials do not state are imputed, which it cannot do"
    if not all(factor.levels or isinstance(factor.curve, Line) for factor in factors.values()):
        return None, "a curve with estimated smoothness has no classical counterpart here"
    if fit.model.cluster_tau is not None:
        return None, "rows in clusters have two standard deviations: see bayesmeta.classical.pool_multilevel"
    try:
        found = metaregression(fit.effects, X=fit.design.X, method="REML", ci="hksj", level=level, rho=fit.model.rho)
    except (ModelError, InferenceError) as error:
        return None, str(error).rstrip(".")
    return found, ""


def subgroup_tests(fit: Fit) -> dict[str, tuple[float, int, float]]:
    """Test of each categorical moderator alone, with one tau: Q, its degrees of freedom and p.

    Where levels share arms, only the model with one tau keeps their covariance.
    """
    found = {}
    for name, factor in fit.design.factors.items():
        if factor.levels and not factor.missing.any() and fit.model.cluster_tau is None:
            try:
                test = subgroup_test(fit.effects, name, common_tau2=True, rho=fit.model.rho)
            except (ModelError, InferenceError):
                continue
            found[name] = (test.q_between, test.df, test.p)
    return found


def varies_within(effects: Effects, name: str) -> list[str]:
    """Trials whose rows have several values of a moderator.

    Examples
    --------
    >>> varies_within(effects, "weeks")  # one row per trial
    []
    """
    values = effects.moderators[name]
    seen: dict[str, set[object]] = {}
    for study, value, stated in zip(effects.study, values.tolist(), stated_rows(values), strict=True):
        if stated:
            seen.setdefault(study, set()).add(value)
    return [study for study, found in seen.items() if len(found) > 1]


def _with(fit: Fit, name: str) -> list[str]:
    """Terms that go with a moderator: itself and its interactions; all of them for the line of all."""
    return [entry for entry in fit.model.beta if name == ALL or entry == name or name in entry.split(":")]


def _without(fit: Fit, terms: Iterable[str]) -> Model:
    """The same priors without some terms."""
    gone = set(terms)
    beta = {name: term for name, term in fit.model.beta.items() if name not in gone}
    missing = {name: item for name, item in fit.model.missing.items() if name in beta}
    return dataclasses.replace(fit.model, beta=beta, missing=missing)


def moderator_test_table(fit: Fit, *, regression: MetaRegression | None = None) -> pd.DataFrame:
    """Test of each moderator, of each interaction and of all together, with Bayes factors.

    Parameters
    ----------
    fit : Fit
        With moderators.
    regression : MetaRegression, optional
        That of the same design.

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator part name k trials mark f df1 df2 p_value bayes_factor p_inclusion
        inclusion_bayes_factor``. A moderator is tested with its interactions. Both models of a Bayes factor are of the
        same rows and priors; it is missing where evidence is not known (draws) or means nothing (improper priors), and
        inclusion also where there are more than 8 terms.
    """
    names = list(fit.model.beta)
    lines = [*names, *([ALL] if len(names) > 1 else [])]
    evidence = _evidences(fit, [_with(fit, name) for name in lines])
    averaged = fit.log_evidence is not None and len(names) <= MOST_TERMS
    inclusion = inclusion_table(fit).set_index("term") if averaged else None
    columns = {term.name: term.columns for term in fit.design.terms}
    rows = []
    for name, other in zip(lines, evidence, strict=True):
        places = np.concatenate([np.arange(fit.design.p)[columns[entry]] for entry in _with(fit, name)])
        row: dict[str, object] = {
            **{"moderator": name, "part": "test", "name": "", "k": fit.effects.k, "trials": fit.effects.n_trials},
            "mark": "",
        }
        # a design that fits every estimate exactly has no test
        if regression is not None and regression.qm is not None:
            row |= dict(zip(("f", "df1", "df2", "p_value"), coefficient_test(regression, places.tolist()), strict=True))
        if fit.log_evidence is not None and other is not None:
            row["bayes_factor"] = math.exp(min(fit.log_evidence - other, 700.0))
        if inclusion is not None and name in inclusion.index:
            row |= {key: inclusion.loc[name, key] for key in ("p_inclusion", "inclusion_bayes_factor")}
        rows.append(row)
    return pd.DataFrame(rows)


def _evidences(fit: Fit, dropped: list[list[str]]) -> list[float | None]:
    """Log evidence of the model without each group of terms."""
    if fit.log_evidence is None:
        return [None] * len(dropped)
    made = fit_many([(fit.effects, _without(fit, terms)) for terms in dropped])
    return [item.log_evidence if isinstance(item, Fit) else None for item in made]


def inclusion_table(fit: Fit) -> pd.DataFrame:
    r"""Average over every model that keeps some of the terms: how probable is it that each belongs to it.

    All models are of the same rows under the same priors, and equally probable beforehand. An interaction comes only
    with both of its moderators (marginality).

    Parameters
    ----------
    fit : Fit
        With moderators, and a known evidence.

    Returns
    -------
    pandas.DataFrame
        Columns ``term prior_inclusion p_inclusion inclusion_bayes_factor models``. The inclusion Bayes factor is the
        posterior odds of the models with the term over their prior odds.

    Raises
    ------
    ModelError
        Where evidence is not known, or there are more than 8 terms.

    References
    ----------
    Hinne M, Gronau QF, van den Bergh D, Wagenmakers EJ. Adv Methods Pract Psychol Sci 2020;3:200-215.
    doi:10.1177/2515245919898657

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"type": bm.Normal(0, 0.5)}))
    >>> found = inclusion_table(moderated)
    >>> alone = bm.bayes_factor(moderated, bm.fit(effects, model))
    >>> bool(abs(found["inclusion_bayes_factor"][0] / alone - 1) < 1e-6), found["models"].tolist()
    (True, [2])
    """
    terms = list(fit.model.beta)
    if not terms:
        raise ModelError("the fit has no moderators: there is nothing to include.")
    if fit.log_evidence is None:
        raise ModelError("inclusion needs the evidence, which draws and improper priors do not give.")
    if len(terms) > MOST_TERMS:
        raise ModelError(f"{len(terms)} terms make {2 ** len(terms)} models; at most {MOST_TERMS} terms.")
    models = [
        kept
        for size in range(len(terms) + 1)
        for kept in combinations(terms, size)
        if all(set(entry.split(":")) <= set(kept) for entry in kept if ":" in entry)
    ]
    found = _evidences(fit, [[name for name in terms if name not in kept] for kept in models])
    logs = np.array([-math.inf if item is None else item for item in found])
    share = np.exp(logs - logs.max())
    share /= share.sum()
    rows = []
    for name in terms:
        inside = np.array([name in kept for kept in models])
        prior, posterior, rest = float(inside.mean()), float(share[inside].sum()), float(share[~inside].sum())
        factor = posterior / rest / (prior / (1 - prior)) if rest > 0 else math.inf
        rows.append([name, prior, posterior, factor, len(models)])
    return pd.DataFrame(rows, columns=["term", "prior_inclusion", "p_inclusion", "inclusion_bayes_factor", "models"])
