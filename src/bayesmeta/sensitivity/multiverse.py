"""The multiverse: every defensible combination of choices at once, and which choice moves the answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical import (
    CI_METHODS,
    PI_FORMULAS,
    CiMethod,
    ClassicalFit,
    Tau2Method,
    defined_methods,
    pool_table,
)
from bayesmeta.columns import columns_of, derived, joined, unprinted
from bayesmeta.effects import Effects
from bayesmeta.errors import BayesmetaError, ModelError
from bayesmeta.fits import LEVEL, Fit, distributions, exactly, fit_many, main_quantiles
from bayesmeta.measures import measure
from bayesmeta.model import Model
from bayesmeta.plan import Threshold
from bayesmeta.priors import Flat, Prior, resolve
from bayesmeta.questions import benefit_probabilities_of, direction, numeric_distance, resolve_threshold
from bayesmeta.sensitivity.prior_bench import NamedPrior, named_priors
from bayesmeta.sensitivity.section import Computed, Section, SectionOptions
from bayesmeta.sensitivity.verdicts import Answer, concluded, in_words, listed, span

__all__ = ["CHOICES", "Variant", "data_choices", "multiverse_summary", "multiverse_table", "variants_of"]

#: Columns of the table that are choices, beside those of the data.
CHOICES = ("engine", "tau2_method", "interval", "prediction", "tau_prior", "mu_prior")
#: Pre-post correlations that are tried where one is assumed (Cochrane Handbook 6.5.2.8 asks to vary it).
CORRELATIONS = (0.3, 0.5, 0.7, 0.9)
_EMPTY = "-"
#: What does not concern a line.
_NOT_CHOSEN: Mapping[str, object] = dict.fromkeys(CHOICES, _EMPTY)


class Variant(NamedTuple):
    """The same trials with effects computed another way: what was chosen, in words, and the effects.

    Where they cannot be computed so, the reason stands in place of the effects.
    """

    choices: Mapping[str, str]
    effects: Effects | str


def data_choices(effects: Effects, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the options of effect sizes that the multiverse crosses, for one outcome.

    SMD: every variance formula, each with the small-sample factor it goes with. Counts: every policy for zero cells,
    where there are any. Where a pre-post correlation is assumed: 0.3, 0.5, 0.7 and 0.9 and the stated one.

    Parameters
    ----------
    effects : Effects
    options : mapping
        The stated ones; they come first.

    Returns
    -------
    list of dict
        Options to compute the effects with.

    Examples
    --------
    >>> [item["vtype"] for item in data_choices(effects, {})]
    ['LS', 'LS2', 'UB', 'AV', 'RevMan']
    """
    axes: list[list[dict[str, Any]]] = []
    if effects.measure == "SMD":
        first = {"vtype": options.get("vtype", "LS"), "j": options.get("j", "exact")}
        others = [{"vtype": name, "j": "exact"} for name in ("LS", "LS2", "UB", "AV")]
        axes.append(_unique([first, *others, {"vtype": "RevMan", "j": "approx"}]))
    if effects.measure in ("OR", "RR", "RD") and effects.counts is not None and _has_zero(effects):
        stated = options.get("zero", "half")
        axes.append(_unique([{"zero": stated}, *({"zero": name} for name in ("half", "half_all", "treatment_arm"))]))
    if options.get("correlation") is not None:
        axes.append(_unique([{"correlation": r} for r in (options["correlation"], *CORRELATIONS)]))
    return [{**options, **{k: v for part in parts for k, v in part.items()}} for parts in product(*axes)]


def _unique(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for i, item in enumerate(items) if item not in items[:i]]


def _has_zero(effects: Effects) -> bool:
    counts = effects.counts
    assert counts is not None
    events, n = counts[:, [0, 2]], counts[:, [1, 3]]
    return bool(((events == 0) | (events == n)).any())


def variants_of(
    effects: Effects, options: Mapping[str, Any], recompute: Callable[[Mapping[str, Any]], Effects] | None
) -> list[Variant]:
    """Compute the effects in every way of `data_choices`; only as they stand where nothing can be computed again.

    A way in which these rows cannot be computed (such as one that needs SDs where a row reports none) keeps its place,
    with the reason.

    Examples
    --------
    >>> [item.choices["vtype"] for item in variants_of(effects, {}, lambda options: effects)]
    ['LS', 'LS2', 'UB', 'AV', 'RevMan']
    """
    listed = data_choices(effects, options)
    if recompute is None or len(listed) < 2:
        return [Variant({}, effects)]
    names = [key for key in listed[0] if len({str(item.get(key)) for item in listed}) > 1]
    # the factor goes with the variance; it is a choice of its own only where one variance stands with both
    others = [key for key in names if key != "j"]
    if len({tuple(str(item[key]) for key in others) for item in listed}) == len(listed):
        names = others
    found = []
    for i, item in enumerate(listed):
        computed: Effects | str
        try:
            computed = effects if i == 0 else recompute(item)
        except BayesmetaError as error:
            computed = str(error)
        found.append(Variant({key: str(item[key]) for key in names}, computed))
    return found


def multiverse_table(
    fit: Fit,
    variants: Sequence[Variant] = (),
    threshold: Threshold | float | None = None,
    *,
    methods: Sequence[Tau2Method] | None = None,
    cis: Sequence[CiMethod] = CI_METHODS,
    tau: Sequence[NamedPrior] | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Answer one question under every combination of choices.

    Classical specifications cross estimators of tau2, intervals and formulas of the prediction interval; Bayesian ones
    priors of tau with the stated and a flat prior of mu; both are crossed with the ways in which effects were computed.
    What is the same by its formula stands once: EB solves the equation of PM, the prediction intervals beside Wald and
    t intervals have one standard error, and some have theirs whatever the interval.

    Parameters
    ----------
    fit : Fit
        The main analysis: exact, pooled.
    variants : sequence of Variant
        From `variants_of`; the first is the main one. Left out: the effects as they stand.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    methods, cis
        Default: all that are defined and differ.
    tau : sequence of NamedPrior, optional
        Default: `named_priors` of the measure; the stated prior is always the first.
    level : float

    Returns
    -------
    pandas.DataFrame
        One row per specification and target (``mean effect``, ``new study``). Columns ``target engine``, one per choice
        of data, ``tau2_method interval prediction tau_prior mu_prior estimate lower upper tau p_any_benefit
        p_important_benefit verdict stated level``. ``stated`` marks the main Bayesian analysis. ``verdict`` sets the
        interval against no effect and the threshold: ``important benefit``, ``benefit, perhaps important``, ``benefit,
        not important``, ``not clear``, ``harm``; ``benefit`` without a threshold that is a number, and ``above zero``,
        ``below zero``, ``not clear`` without a direction. Probabilities are those of Bayesian lines; in others, without
        a direction, or without a threshold, they are not numbers. A choice that does not concern a line is ``-``.
        ``attrs["left_out"]`` holds combinations that are not defined, with the reason.

    Raises
    ------
    ModelError
        For a fit with moderators, clusters or draws.

    References
    ----------
    Steegen S et al. Perspect Psychol Sci 2016;11:702-712. doi:10.1177/1745691616658637. Specification curves: Simonsohn
    U et al. Nat Hum Behav 2020;4:1208-1214. doi:10.1038/s41562-020-0912-z

    Examples
    --------
    >>> table = multiverse_table(fit)
    >>> table["verdict"].unique().tolist()
    ['not clear']
    """
    exactly(fit, "the multiverse")
    if fit.model.beta or fit.model.cluster_tau is not None:
        raise ModelError("the multiverse refits the pooled model: no moderators, no clusters.")
    chosen = resolve_threshold(fit, threshold)
    data = list(variants) or [Variant({}, fit.effects)]
    specifications: list[list[_Specification]] = []
    undefined: list[dict[str, str]] = [{} for _ in data]
    for number, (variant, reasons) in enumerate(zip(data, undefined, strict=True)):
        specifications.append(
            [] if isinstance(variant.effects, str) else _specifications(variant, fit, tau, number == 0, reasons)
        )
    answers = iter(_answers([specification for some in specifications for specification in some], fit, chosen, level))
    rows: list[dict[str, object]] = []
    left_out: dict[str, str] = {}
    # classical specifications before Bayesian ones, variant by variant
    for variant, some, reasons in zip(data, specifications, undefined, strict=True):
        if isinstance(variant.effects, str):
            left_out[", ".join(f"{key} = {value}" for key, value in variant.choices.items())] = variant.effects
            continue
        rows += _classical(variant, methods, cis, fit.model.rho, level, left_out)
        left_out |= reasons
        for specification in some:
            lines = next(answers)
            if isinstance(lines, ModelError):
                left_out[f"{specification.model.mu!r}, {specification.prior_name}"] = str(lines)
            else:
                rows += lines
    distance = numeric_distance(chosen)
    for row in rows:
        line = Answer("", *(float(row[name]) for name in ("estimate", "lower", "upper")))  # type: ignore[arg-type]
        row["verdict"] = concluded(fit, chosen, line)
    names = list(dict.fromkeys(name for variant in data for name in variant.choices))
    answer = ("estimate", "lower", "upper", "tau", "p_any_benefit", "p_important_benefit", "verdict", "stated")
    frame = pd.DataFrame(rows).reindex(columns=["target", "engine", *names, *CHOICES[1:], *answer])
    frame["level"] = level
    frame.attrs = {"left_out": left_out, "data_choices": names, "benefit": distance}
    return frame


def _classical(
    variant: Variant,
    methods: Sequence[Tau2Method] | None,
    cis: Sequence[CiMethod],
    rho: float,
    level: float,
    left_out: dict[str, str],
) -> Iterator[dict[str, object]]:
    """Every estimator, interval and prediction formula; what the formulas make equal stands once."""
    effects = variant.effects
    assert not isinstance(effects, str)
    if methods is None:
        methods = [method for method in defined_methods(effects) if method != "EB"]
    head: dict[str, object] = {**_NOT_CHOSEN, **variant.choices, "engine": "classical", "stated": False}
    for method in methods:
        for place, (ci, found) in enumerate(_pooled(effects, method, cis, level, rho)):
            if isinstance(found, ModelError):
                left_out[f"{method}, {ci}"] = str(found)
                continue
            line = {**head, "tau2_method": method, "estimate": found.estimate, "tau": math.sqrt(found.tau2)}
            yield {**line, "target": "mean effect", "interval": ci, "lower": found.lower, "upper": found.upper}
            for formula in PI_FORMULAS:
                limits = found.pi[formula]
                own = formula in ("normal", "t_km1")
                repeated = {"wald": "t", "t": "wald"}.get(ci) in cis[:place]
                if limits is None or (repeated if own else place > 0):
                    continue
                limit = {"prediction": formula, "lower": limits[0], "upper": limits[1]}
                yield {**line, "target": "new study", "interval": ci if own else _EMPTY, **limit}


def _pooled(
    effects: Effects, method: Tau2Method, cis: Sequence[CiMethod], level: float, rho: float
) -> list[tuple[CiMethod, ClassicalFit | ModelError]]:
    """One estimator with every interval; tau2 is estimated once, unless an interval is not defined for these data."""
    try:
        return list(zip(cis, pool_table(effects, (method,), cis, level=level, rho=rho), strict=True))
    except ModelError as error:
        if len(cis) == 1:
            return [(cis[0], error)]
    return [pair for ci in cis for pair in _pooled(effects, method, (ci,), level, rho)]


class _Specification(NamedTuple):
    """One Bayesian specification: how effects were computed, the priors, and whether it is the analysis as stated."""

    variant: Variant
    prior_name: str
    model: Model
    stated: bool


def _specifications(
    variant: Variant, fit: Fit, tau: Sequence[NamedPrior] | None, main: bool, left_out: dict[str, str]
) -> list[_Specification]:
    """Every prior of tau with the stated and a flat prior of mu."""
    stated = fit.model.tau
    taus: list[tuple[str, Prior | None]] = [(_EMPTY if stated is None else repr(stated), stated)]
    if stated is not None:
        if tau is None:
            try:
                tau = named_priors(fit.effects.measure)[1]
            except ModelError as error:
                tau = ()
                left_out["named priors of tau"] = str(error)
        taus += [(item.name, item.prior) for item in tau if resolve(item.prior) != resolve(stated)]
    mus = [fit.model.mu, *([] if isinstance(fit.model.mu, Flat) else [Flat()])]
    return [
        _Specification(
            variant, name, dataclasses.replace(fit.model, mu=mu, tau=prior), main and mu is mus[0] and place == 0
        )
        for (place, (name, prior)), mu in product(enumerate(taus), mus)
    ]


def _answers(
    specifications: Sequence[_Specification], fit: Fit, threshold: Threshold | None, level: float
) -> list[list[dict[str, object]] | ModelError]:
    """Fit all specifications together and ask them together; the lines of each, or why its posterior is improper."""
    others = [specification for specification in specifications if not specification.stated]
    solved = iter(
        fit_many([(_effects(specification), specification.model) for specification in others], outcome=fit.outcome)
    )
    found = [fit if specification.stated else next(solved) for specification in specifications]
    fits = [item for item in found if isinstance(item, Fit)]
    tables = iter(zip(main_quantiles(fits, level=level), _chances(fits, threshold), strict=True))
    lines: list[list[dict[str, object]] | ModelError] = []
    for specification, item in zip(specifications, found, strict=True):
        if isinstance(item, ModelError):
            lines.append(item)
            continue
        table, chances = next(tables)
        lines.append(
            [
                {
                    **_NOT_CHOSEN,
                    **specification.variant.choices,
                    "engine": "Bayesian",
                    "tau_prior": specification.prior_name,
                    "mu_prior": repr(specification.model.mu),
                    "stated": specification.stated,
                    "target": target,
                    **dict(zip(("lower", "estimate", "upper"), table[name], strict=True)),
                    "tau": table["tau"][1] if specification.model.tau is not None else 0.0,
                    "p_any_benefit": chances.get(f"p_any_benefit{end}", math.nan),
                    "p_important_benefit": chances.get(f"p_important_benefit{end}", math.nan),
                }
                for target, name, end in (("mean effect", "mu", ""), ("new study", "theta_new", "_new"))
            ]
        )
    return lines


def _effects(specification: _Specification) -> Effects:
    assert not isinstance(specification.variant.effects, str)
    return specification.variant.effects


def _chances(fits: Sequence[Fit], threshold: Threshold | None) -> list[dict[str, float]]:
    """Probabilities of benefit, as far as a direction and a threshold are stated."""
    if not fits or fits[0].effects.better is None:
        return [{} for _ in fits]
    if threshold is not None:
        return benefit_probabilities_of(fits, threshold)
    if measure(fits[0].effects.measure).single_arm:
        return [{} for _ in fits]
    upper = direction(fits[0]) > 0
    columns = {
        f"p_any_benefit{end}": distributions(fits, name, np.zeros(1), upper=upper)[:, 0].tolist()
        for name, end in (("mu", ""), ("theta_new", "_new"))
    }
    return [{name: column[i] for name, column in columns.items()} for i in range(len(fits))]


def multiverse_summary(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sum up a multiverse: how answers spread, and which choice spreads them.

    Parameters
    ----------
    table : pandas.DataFrame
        From `multiverse_table`.

    Returns
    -------
    spread : pandas.DataFrame
        One row per target, engine and verdict: ``target engine verdict specifications share estimate_min
        estimate_median estimate_max lower_min upper_max``; the row with the verdict ``all`` sums up target and engine.
    choices : pandas.DataFrame
        One row per target, engine and choice: ``target engine choice levels estimate_share width_share
        estimate_range verdicts``: the share of the variance of estimates, and of the logarithm of interval widths, that
        lies between the levels of the choice (eta squared); the distance between its extreme levels' mean estimates;
        and how many verdicts occur over its levels with everything else as in the first specification of the engine.
    """
    spread, choices = [], []
    names = [*table.attrs.get("data_choices", ()), *CHOICES[1:]]
    # whole numbers instead of labels: tables of many specifications are grouped dozens of times
    coded = {name: pd.factorize(table[name]) for name in names}
    empty = {name: np.flatnonzero(np.asarray(levels) == _EMPTY) for name, (_, levels) in coded.items()}
    numbers = {name: table[name].to_numpy(float) for name in ("estimate", "lower", "upper")}
    verdicts, labels = pd.factorize(table["verdict"])
    verdict_names = [str(label) for label in labels]
    stated = table["stated"].to_numpy(bool)
    for key, rows in table.groupby(["target", "engine"], sort=False).indices.items():
        target, engine = cast("tuple[str, str]", key)
        estimate, lower, upper = (numbers[name][rows] for name in ("estimate", "lower", "upper"))
        verdict = verdicts[rows]
        groups = [("all", np.ones(len(rows), bool)), *((verdict_names[v], verdict == v) for v in pd.unique(verdict))]
        for name, some in groups:
            spread.append(
                {
                    "target": target,
                    "engine": engine,
                    "verdict": name,
                    "specifications": int(some.sum()),
                    "share": float(some.mean()),
                    "estimate_min": float(estimate[some].min()),
                    "estimate_median": float(np.median(estimate[some])),
                    "estimate_max": float(estimate[some].max()),
                    "lower_min": float(lower[some].min()),
                    "upper_max": float(upper[some].max()),
                }
            )
        first = int(np.argmax(stated[rows]))
        # a choice that does not concern a line cannot differ there
        alike = {
            name: (codes[rows] == codes[rows[first]]) | np.isin(codes[rows], empty[name])
            for name, (codes, _) in coded.items()
        }
        width = np.log(np.maximum(upper - lower, 1e-300))
        for choice, (codes, _) in coded.items():
            levels, group = np.unique(codes[rows], return_inverse=True)
            if len(levels) < 2:
                continue
            same = np.logical_and.reduce([alike[other] for other in names if other != choice])
            means = np.bincount(group, estimate) / np.bincount(group)
            choices.append(
                {
                    "target": target,
                    "engine": engine,
                    "choice": choice,
                    "levels": len(levels),
                    "estimate_share": _eta_squared(estimate, group),
                    "width_share": _eta_squared(width, group),
                    "estimate_range": float(means.max() - means.min()),
                    "verdicts": len(np.unique(verdict[same])),
                }
            )
    return pd.DataFrame(spread), pd.DataFrame(choices)


def _eta_squared(x: NDArray[np.float64], group: NDArray[np.intp]) -> float:
    """Share of the sum of squares that lies between groups; 0 where nothing varies."""
    total = float(np.square(x - x.mean()).sum())
    if not total > 1e-24 * max(1.0, float(np.square(x).sum())):
        return 0.0
    means = (np.bincount(group, x) / np.bincount(group))[group]
    return min(1.0, float(np.square(means - x.mean()).sum() / total))


def _computed(fit: Fit, options: SectionOptions) -> Computed:
    variants = variants_of(fit.effects, options.options, options.recompute)
    return Computed(multiverse_table(fit, variants, options.threshold_of(fit), level=options.level))


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """One line per engine, target and verdict."""
    spread = multiverse_summary(table)[0]
    return spread.assign(which=joined(spread["target"], spread["engine"]))[spread["verdict"] != "all"]


def _driving(table: pd.DataFrame) -> list[str]:
    """Which choice spreads the estimates and which the intervals, for the mean effect."""
    choices, lines = multiverse_summary(table)[1], []
    for engine, part in choices[choices["target"] == "mean effect"].groupby("engine", sort=False):
        ordered = {
            what: part.sort_values(f"{what}_share", ascending=False, kind="stable") for what in ("estimate", "width")
        }
        by: Any = {what: lines_.iloc[0] for what, lines_ in ordered.items()}
        lines.append(
            f"{engine}, mean effect: the estimate is spread most by {by['estimate']['choice']} "
            f"({_part(by['estimate']['estimate_share'])} of its variance), the width by {by['width']['choice']} "
            f"({_part(by['width']['width_share'])})."
        )
    return lines


def _agreement(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    """How many specifications of the mean effect say what the stated analysis says."""
    some = table[table["target"] == "mean effect"]
    if not len(some):
        return "No specification could be computed with these data."
    main = some[some["stated"]] if some["stated"].any() else some
    ours = str(main["verdict"].iloc[0])
    counts = some["verdict"].value_counts()
    n, estimates = len(some), [Answer("", x, x, x) for x in some["estimate"].astype(float)]
    if counts[ours] == n:
        return (
            f"No combination of choices changes the conclusion: all {n} specifications of the mean effect show "
            f"{in_words(ours)}, with estimates {span(fit, estimates)}."
        )
    others = [f"{in_words(str(name))} in {count}" for name, count in counts.items() if name != ours]
    whose = "as the stated analysis does" if some["stated"].any() else "as the first does"
    return (
        f"The conclusion depends on choices: {counts[ours]} of {n} specifications of the mean effect show "
        f"{in_words(ours)}, {whose}; others show {listed(others)}. Estimates lie {span(fit, estimates)}."
    )


def _part(value: float) -> str:
    return "nearly all" if value > 0.995 else f"{100 * value:.0f} %" if value > 0.005 else "next to none"


_SPREAD = (
    *columns_of("text", verdict="verdict"),
    *columns_of("count", specifications="n"),
    *columns_of("share", share="share"),
    *columns_of("effect", estimate_min="least", estimate_median="median", estimate_max="most"),
)
SECTION = Section(
    "multiverse",
    "Would any combination of choices change it?",
    _computed,
    (
        *derived((*columns_of("text", which="specifications"), *_SPREAD)),
        *unprinted(text=" ".join(("target", *CHOICES, "verdict")), number="estimate lower upper tau level"),
        *unprinted(probability="p_any_benefit p_important_benefit", flag="stated"),
    ),
    "Verdicts set each specification's interval against no effect and the threshold; of one arm against the threshold.",
    printed=_verdicts,
    notes=_driving,
    verdict=_agreement,
    summary=lambda table: {**dict(zip(("spread", "choices"), multiverse_summary(table), strict=True)), **table.attrs},
    parts={
        "spread": (*unprinted(text="target engine", number="lower_min upper_max"), *_SPREAD),
        "choices": unprinted(
            text="target engine choice",
            count="levels verdicts",
            share="estimate_share width_share",
            number="estimate_range",
        ),
    },
    # which choices of data are crossed depends on the measure
    others={"type": "string"},
    references=("steegen2016",),
    at_threshold=True,
)
