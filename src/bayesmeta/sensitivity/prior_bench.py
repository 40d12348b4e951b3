"""The prior bench: every named prior against every other, what each believed beforehand, and prior-data conflict."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.columns import columns_of, derived, optional, p_value, p_words, unprinted
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, exactly, fit_many, main_quantiles, marginal
from bayesmeta.marginals import Marginal, NormalMixture
from bayesmeta.measures import MEASURES
from bayesmeta.numerics import probit_rule
from bayesmeta.plan import Threshold
from bayesmeta.priors import (
    SCALED_MEASURES,
    Cochrane,
    Flat,
    HalfCauchy,
    HalfNormal,
    Normal,
    Prior,
    Rhodes2015,
    Turner2015,
    published_priors,
    resolve,
)
from bayesmeta.questions import benefit_probabilities_of, direction, summarize
from bayesmeta.sensitivity.section import Computed, Fold, Section, SectionOptions
from bayesmeta.sensitivity.tipping import prior_probability
from bayesmeta.sensitivity.verdicts import Answer, answers, chances_between, compared, left_out, little_moved

FloatArray = NDArray[np.float64]

__all__ = ["NamedPrior", "conflict", "named_priors", "prior_bench_table"]

_GRID = "declared grid: Friede 2017, doi:10.1002/jrsm.1217; Roever 2021, doi:10.1002/jrsm.1475"
_RHODES_KIND = "general physical health and adverse event and pain and quality of life / functioning"
_TURNER_KIND = "quality of life / functioning (dichotomized)"


class NamedPrior(NamedTuple):
    """A prior with what it is called and where it comes from."""

    name: str
    prior: Prior
    source: str


def named_priors(measure: str, *, ref_sd: float | None = None) -> tuple[tuple[NamedPrior, ...], tuple[NamedPrior, ...]]:
    """List the priors of mu and of tau that a reviewer may ask about, for one effect measure.

    SMD: half-normal 0.25, 0.5 and 1, half-Cauchy 0.5, Rhodes 2015 (general; other areas; cancer), Cochrane (all; pain,
    palliative and supportive care). Log ratios: the same half-normals and half-Cauchy, Turner 2015 (OR), Cochrane (OR,
    RR, HR). Other measures: half-normals of half, once and twice the scale of the published default, and a half-Cauchy
    of that scale; on scales that have no unit of their own that is 0.5 ``ref_sd``. Mu: flat, the published default
    (SD 1 for an SMD, 2 for log ratios), one a fifth as wide, and Cochrane's effects.

    Parameters
    ----------
    measure : str
    ref_sd : float, optional
        A fixed external SD, for measures on the outcome's own scale (MD, generic, MN).

    Returns
    -------
    mu, tau : tuple of NamedPrior

    Raises
    ------
    ModelError
        For a measure without general priors, where no ``ref_sd`` is given.

    Examples
    --------
    >>> [item.name for item in named_priors("HR")[1]]
    ['halfnormal(0.25)', 'halfnormal(0.5)', 'halfnormal(1)', 'halfcauchy(0.5)', 'Cochrane, all fields']
    """
    if measure not in MEASURES:
        raise ModelError(f"measure {measure!r} is not one of {', '.join(MEASURES)}.")
    if ref_sd is None and measure in SCALED_MEASURES:
        raise ModelError(
            f"{measure}: there are no general priors, because the scale of the outcome decides. Give ref_sd."
        )
    # the published default is the middle of the grid
    advice = published_priors(measure, ref_sd=ref_sd)
    if not (isinstance(advice.mu, Normal) and isinstance(advice.tau, HalfNormal)):
        raise TypeError(f"the defaults of {measure} are not normal and half-normal")
    wide, scale = advice.mu.sd, advice.tau.scale
    grid: list[Prior] = [*(HalfNormal(c * scale) for c in (0.5, 1.0, 2.0)), HalfCauchy(scale)]
    tau = [NamedPrior(repr(item), item, _GRID) for item in grid]
    mu = [
        NamedPrior("flat", Flat(), "no information on the mean; comparable with classical pooling"),
        NamedPrior(repr(Normal(0, wide)), Normal(0, wide), "weakly informative"),
    ]
    if not MEASURES[measure].single_arm:
        # one arm has no null, so that nobody doubts an effect
        sceptic = Normal(0, 0.2 * wide)
        mu.append(NamedPrior(repr(sceptic), sceptic, "a sceptic: a fifth of the width"))
    if ref_sd is not None:
        return tuple(mu), tuple(tau)
    if measure in ("SMD", "SMDH"):
        for area, words in (("any", "general"), ("other", "other areas"), ("cancer", "cancer")):
            rhodes = Rhodes2015() if area == "any" else Rhodes2015(area, _RHODES_KIND, "non-pharmacological (any)")
            kind = "" if area == "any" else ", non-pharmacological, pain and quality of life"
            tau.append(NamedPrior(f"Rhodes 2015, {words}{kind}", rhodes, rhodes.source))
        for field in ("Cochrane", "Pain, Palliative and Supportive Care"):
            cochrane = Cochrane("smd", field)
            words = "all fields" if field == "Cochrane" else field
            tau.append(NamedPrior(f"Cochrane, {words}", cochrane, cochrane.source))
    if measure == "OR":
        turner = Turner2015()
        tau.append(NamedPrior("Turner 2015, general", turner, turner.source))
        turner = Turner2015(_TURNER_KIND, "non-pharmacological vs. placebo / control")
        tau.append(NamedPrior("Turner 2015, non-pharmacological, quality of life", turner, turner.source))
    name = {"SMD": "smd", "SMDH": "smd", "OR": "logor", "RR": "logrr", "HR": "loghr"}.get(measure)
    if name is None:
        return tuple(mu), tuple(tau)
    if name != "smd":
        cochrane = Cochrane(name, "Cochrane")
        tau.append(NamedPrior("Cochrane, all fields", cochrane, cochrane.source))
    effect = Cochrane(name, "Cochrane", "mu")
    mu.append(NamedPrior("Cochrane, all fields", effect, effect.source))
    return tuple(mu), tuple(tau)


def conflict(prior: Prior, data: Fit, name: str) -> float:
    """Two-sided p-value of a prior against the data, asking whether both can be about one quantity.

    The quantity is drawn once from the prior and once from what the data say of it under a flat prior; the p-value is
    twice the smaller of the probabilities that one exceeds the other.

    Parameters
    ----------
    prior : Prior
    data : Fit
        With a flat prior of the quantity.
    name : {"mu", "tau"}

    Returns
    -------
    float
        Not a number under an improper prior, which cannot conflict with the data.

    References
    ----------
    Presanis AM et al. Stat Sci 2013;28:376-397. doi:10.1214/13-STS426. Evans M, Moshonov H. Bayesian Anal
    2006;1:893-914. doi:10.1214/06-BA129

    Examples
    --------
    >>> data = bm.fit(bm.Effects(["A"], [1.96], [1e-9], measure="SMD"), bm.Model(bm.Flat(), None))
    >>> round(conflict(bm.Normal(0, 1), data, "mu"), 4)
    0.05
    """
    return _clash(resolve(prior), _Said(marginal(data, name)))


@dataclass(frozen=True, eq=False)
class _Said:
    """What the data say of a quantity, with its quantiles, which every prior is held against, found once."""

    form: Marginal

    @cached_property
    def quantiles(self) -> FloatArray:
        return np.asarray(self.form.quantile(probit_rule(129)[0]), float)

    @cached_property
    def middle(self) -> float:
        return float(np.ptp(self.form.quantile(_MIDDLE)))


_MIDDLE = np.array([0.25, 0.75])


def _clash(kernel: Prior, said: _Said) -> float:
    if not kernel.proper:
        return math.nan
    form = said.form
    if isinstance(kernel, Normal) and isinstance(form, NormalMixture):
        z = (kernel.mean - form.means) / np.sqrt(kernel.sd**2 + form.sds**2)
        below = float(form.weights @ special.ndtr(z))
        return min(1.0, max(0.0, 2 * min(below, 1 - below)))
    p, weights = probit_rule(129)
    # the narrower of the two is integrated over, by its quantiles, so that the other's distribution function is smooth
    if said.middle < float(np.ptp(np.asarray(kernel.ppf(_MIDDLE)))):
        below = float(weights @ (1 - np.asarray(kernel.cdf(said.quantiles))))
    else:
        below = float(weights @ form.cdf(np.asarray(kernel.ppf(p), float)))
    return min(1.0, max(0.0, 2 * min(below, 1 - below)))


def prior_bench_table(
    fit: Fit,
    threshold: Threshold | float | None = None,
    *,
    mu: Sequence[NamedPrior] | None = None,
    tau: Sequence[NamedPrior] | None = None,
    ref_sd: float | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Refit under every pair of a prior of mu and a prior of tau.

    Parameters
    ----------
    fit : Fit
        Exact, with heterogeneity; its stated priors make the first line.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    mu, tau : sequence of NamedPrior, optional
        Default: `named_priors` of the measure. The stated priors are always among them.
    ref_sd : float, optional
        For measures without general priors.

    Returns
    -------
    pandas.DataFrame
        Columns ``mu_prior tau_prior mu_source tau_source stated mu lower upper tau tau_lower tau_upper new_lower
        new_upper p_any_benefit p_important_benefit p_important_harm`` (and these with ``_new``)
        ``prior_p_important prior_p_important_new conflict_mu conflict_tau log_bayes_factor change note level``.
        ``prior_p_important`` is what the priors said before any trial; ``conflict_*`` are the p-values of `conflict`;
        ``log_bayes_factor`` is the log evidence less that of the stated priors; ``change`` the shift of the median of
        mu from the main analysis in its posterior SDs. A pair under which the posterior is improper says so in
        ``note``. Without a direction or a threshold the probabilities are left out. ``conflict_*`` is not a number for
        an improper prior, and where the data alone say too little (``conflict_tau`` of one trial), ``log_bayes_factor``
        under an improper prior.

    Raises
    ------
    ModelError
        For a fit by draws, one without heterogeneity, and a measure without general priors where none are given.

    Examples
    --------
    >>> table = prior_bench_table(fit)
    >>> len(table), table["stated"].tolist()[:2]
    (36, [True, False])
    """
    return _computed(fit, SectionOptions(threshold, ref_sd=ref_sd, level=level), mu, tau).table


def _computed(
    fit: Fit,
    options: SectionOptions,
    mu: Sequence[NamedPrior] | None = None,
    tau: Sequence[NamedPrior] | None = None,
) -> Computed:
    """The table, and the fit behind each pair."""
    exactly(fit, "the prior bench")
    if fit.model.tau is None:
        raise ModelError("the prior bench is of models with heterogeneity; this one has a common effect.")
    chosen, level = options.threshold_of(fit), options.level
    if mu is None or tau is None:
        found = named_priors(fit.effects.measure, ref_sd=options.ref_sd)
        mu, tau = mu if mu is not None else found[0], tau if tau is not None else found[1]
    mus = _with_stated(fit.model.mu, mu)
    taus = _with_stated(fit.model.tau, tau)
    main: Any = summarize(fit, level=level).loc["mu"]
    pairs = list(product(taus, mus))
    stated = [centre.prior == fit.model.mu and spread.prior == fit.model.tau for spread, centre in pairs]
    # what the data say of tau: flat priors of both, else of tau alone, else nothing; of mu: a flat prior of it
    priors: list[tuple[Prior, Prior]] = [(Flat(), Flat()), *((Flat(), spread.prior) for spread in taus)]
    priors += [(centre.prior, spread.prior) for (spread, centre), own in zip(pairs, stated, strict=True) if not own]
    models = [dataclasses.replace(fit.model, mu=centre, tau=spread) for centre, spread in priors]
    solved = iter(fit_many([(fit.effects, model) for model in models], outcome=fit.outcome))
    of_tau = next(solved)
    if isinstance(of_tau, ModelError):
        of_tau = fit_many([(fit.effects, dataclasses.replace(fit.model, tau=Flat()))])[0]
    said_of_tau = _Said(marginal(of_tau, "tau")) if isinstance(of_tau, Fit) else None
    said_of_mu = {
        spread: _Said(marginal(item, "mu")) if isinstance(item, Fit) else None
        for spread, item in zip(taus, [next(solved) for _ in taus], strict=True)
    }
    conflict_tau_of = {
        spread: math.nan if said_of_tau is None else _clash(resolve(spread.prior), said_of_tau) for spread in taus
    }
    items = [fit if own else next(solved) for own in stated]
    answers = iter(_answers([item for item in items if isinstance(item, Fit)], fit, chosen, level, main))
    rows = []
    for (spread, centre), own, item in zip(pairs, stated, items, strict=True):
        row: dict[str, object] = {
            "mu_prior": centre.name,
            "tau_prior": spread.name,
            "mu_source": centre.source,
            "tau_source": spread.source,
            "stated": own,
        }
        if isinstance(item, ModelError):
            rows.append({**row, "note": str(item)})
            continue
        data = said_of_mu[spread]
        row |= next(answers)
        row |= {
            "conflict_mu": math.nan if data is None else _clash(resolve(centre.prior), data),
            "conflict_tau": conflict_tau_of[spread],
            "note": "",
        }
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["level"] = level
    frame = frame.sort_values("stated", ascending=False, kind="stable")
    fits = [None if isinstance(items[i], ModelError) else items[i] for i in frame.index]
    return Computed(frame.reset_index(drop=True), tuple(fits))


def _with_stated(stated: Prior, others: Sequence[NamedPrior]) -> list[NamedPrior]:
    """Put the stated prior first; one that resolves to the same is not repeated."""
    first = next((item for item in others if item.prior == stated), NamedPrior(repr(stated), stated, "stated"))
    return [first, *(item for item in others if resolve(item.prior) != resolve(stated))]


def _answers(
    items: Sequence[Fit], main: Fit, threshold: Threshold | None, level: float, summary: pd.Series[Any]
) -> list[dict[str, object]]:
    centre, width = float(summary["median"]), float(summary["sd"])
    if main.effects.better is None:
        threshold = None
    chances = [{}] * len(items) if threshold is None else benefit_probabilities_of(items, threshold)
    distance = None if threshold is None else threshold.benefit_distance
    rows = []
    for item, table, found in zip(items, main_quantiles(items, level=level), chances, strict=True):
        row: dict[str, object] = {
            **dict(zip(("lower", "mu", "upper"), table["mu"], strict=True)),
            **dict(zip(("tau_lower", "tau", "tau_upper"), table["tau"], strict=True)),
            "new_lower": table["theta_new"][0],
            "new_upper": table["theta_new"][2],
            **found,
        }
        if isinstance(distance, (int, float)) and not item.model.beta:
            sign = direction(item)
            row["prior_p_important"] = prior_probability(item.model, "mu", distance, sign)
            row["prior_p_important_new"] = prior_probability(item.model, "theta_new", distance, sign)
        ours, theirs = main.log_evidence, item.log_evidence
        row["log_bayes_factor"] = math.nan if ours is None or theirs is None else theirs - ours
        row["change"] = (table["mu"][1] - centre) / width if math.isfinite(width) else math.nan
        rows.append(row)
    return rows


def _one_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    """The lines that exchange one prior, with what was exchanged and whether it conflicts with the data."""
    stated: Any = table[table["stated"]].iloc[0]
    same_mu, same_tau = table["mu_prior"] == stated["mu_prior"], table["tau_prior"] == stated["tau_prior"]
    words, conflicts = ("tau " + table["tau_prior"]).where(same_mu, "mu " + table["mu_prior"]), table["conflict_tau"]
    return table.assign(
        prior=words.mask(table["stated"], "as stated"),
        conflict=conflicts.where(same_mu, table["conflict_mu"]).mask(table["stated"]),
    )[same_mu | same_tau]


def _stated_conflict(table: pd.DataFrame) -> list[str]:
    stated: Any = table[table["stated"]].iloc[0]
    p = [p_value(float(stated[name])) for name in ("conflict_mu", "conflict_tau")]
    return [f"The stated priors: p = {p[0]} for mu, {p[1]} for tau."]


#: p-value of conflict below which the verdict names it; a convention.
CONFLICT = 0.05


def _bench_verdict(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    """Over every pair, not only those that exchange one prior."""
    named = table.assign(pair="mu " + table["mu_prior"] + ", tau " + table["tau_prior"])
    mains, others = answers(named[named["stated"]], "pair"), answers(named[~named["stated"]], "pair")
    if not mains or not others:
        return "No other prior could be tried."
    said = compared(
        fit,
        threshold,
        Answer("under the stated priors", *mains[0][1:]),
        others,
        kept=f"No prior changes the conclusion, alone or in any of {len(table)} pairs:",
        lost="The answer depends on the prior:",
        by="under",
    )
    p = {name: float(table[f"conflict_{name}"][table["stated"]].iloc[0]) for name in ("mu", "tau")}
    clash = [
        f"The stated prior of {name} conflicts with the data ({p_words(value)})."
        for name, value in p.items()
        if value < CONFLICT
    ]
    lost = left_out(table, mains + others, "pair")
    return " ".join([said, *chances_between(table, "over all pairs"), *clash, *([lost] if lost else [])])


SECTION = Section(
    "priors",
    "Would another prior change it?",
    _computed,
    (
        *derived(columns_of("text", prior="prior")),
        *unprinted(text="mu_prior tau_prior mu_source tau_source", flag="stated"),
        *columns_of("effect", mu="mean", lower="lower", upper="upper"),
        *columns_of("number", tau="tau"),
        *unprinted(number="tau_lower tau_upper new_lower new_upper"),
        *optional(columns_of("probability", p_important_benefit="P(imp.)", p_important_benefit_new="P(imp. new)")),
        *optional(unprinted(probability="p_any_benefit p_important_harm p_any_benefit_new p_important_harm_new")),
        *optional(unprinted(probability="prior_p_important prior_p_important_new")),
        *unprinted(number="log_bayes_factor change", p="conflict_mu conflict_tau"),
        *derived(columns_of("p", conflict="conflict p")),
        *unprinted(text="note", number="level"),
    ),
    "One prior exchanged at a time; the files of this table hold every pair, what each prior said beforehand and Bayes "
    "factors. Conflict p: can prior and data be about the same quantity?",
    printed=_one_exchanged,
    notes=_stated_conflict,
    verdict=_bench_verdict,
    fold=Fold(
        lambda fit, table, threshold: little_moved(fit, table, threshold).tolist(),
        "the conclusion stays, the mean moves by less than a tenth of its SD and P(important benefit) by less than one "
        "percentage point",
        "mu",
    ),
    at_threshold=True,
)
