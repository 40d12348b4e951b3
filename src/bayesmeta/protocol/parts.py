"""Parts of a model beyond mean and heterogeneity: how moderators enter, what is imputed, clusters, counts, curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bayesmeta.errors import ModelError, pick
from bayesmeta.measures import MEASURES
from bayesmeta.model import MissingLevels, MissingNumeric, MissingSD, TauBy
from bayesmeta.plan import DEFAULT_COEFFICIENT_SOURCE, HIGH_RISK, ROB_JUDGEMENTS, BiasSize, Moderator, RiskOfBias
from bayesmeta.priors import Prior, Truncated, Uniform
from bayesmeta.protocol.faults import Faults
from bayesmeta.protocol.keys import ImputeKeys, ModeratorKeys, OutcomeKeys

__all__ = [
    "At",
    "check_heterogeneity_by",
    "check_parts",
    "default_source",
    "derived_priors",
    "missing_sd",
    "moderators",
    "populations",
    "risk_of_bias",
]

At = Callable[[str], str]

COUNTED = ("OR", "RR", "RD", "PLO")
FROM_MEANS = ("MD", "SMD")
#: The range of a correlation that estimates are tabulated over: at -1 and 1 standard errors vanish.
CORRELATIONS = (-0.99, 0.99)
#: By name: the range that estimates are tabulated over, what it is, and a prior of it as an example.
DERIVED = {
    "correlation": (CORRELATIONS, "correlation", "truncated(normal(0.5, 0.2), -0.99, 0.99)"),
    "icc": ((0.0, 1.0), "intracluster correlation", "truncated(normal(0.02, 0.02), 0, 0.2)"),
}


# -- moderators --------------------------------------------------------------------------------------------------------


def _contradiction(item: ModeratorKeys, reference: str | None) -> tuple[str, str] | None:
    """Say what two keys of one moderator contradict each other, and what to do."""
    numeric = item.per is not None or item.curve is not None or item.kind == "numeric"
    categorical = reference is not None or item.pooling is not None or item.kind == "categorical"
    if numeric and categorical:
        what = f"{item.name!r} is given both as numeric (per, curve) and as categorical (reference, pooling)"
        return what, "Keep one of the two."
    if item.knots is not None and item.curve is None:
        return f"{item.name!r} has knots and no curve", 'Add curve = "spline" or "monotone", or remove knots.'
    if item.curve == "monotone" and item.per is not None:
        what = f"{item.name!r} is a monotone curve, which has no slope per unit"
        return what, "Remove per: its prior is of the difference between the outer knots."
    return None


def moderators(keys: OutcomeKeys, at: At, faults: Faults) -> tuple[Moderator, ...]:
    """Make the moderators of an outcome, and check the other keys that name them."""
    made = []
    for index, item in enumerate(keys.moderators or []):
        reference = item.reference or keys.reference.get(item.name)
        if found := _contradiction(item, reference):
            faults.add(f"{at('moderators')}[{index}]", *found)
            continue
        kind = item.kind
        if item.per is not None or item.curve is not None:
            kind = "numeric"
        elif reference is not None or item.pooling is not None:
            kind = "categorical"
        made.append(Moderator(item.name, kind, item.per or 1.0, reference, item.pooling, item.curve, item.knots or 4))
    names = [item.name for item in made]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add(at("moderators"), f"moderator {name!r} stands twice", "Remove one.")
    for name in keys.reference:
        if name not in names:
            faults.add(at("reference"), f"{name!r} is not a moderator of this outcome", pick(name, names))
    curved = [item.name for item in made if item.curve is not None]
    for term in keys.interactions or []:
        parts = term.split(":")
        if len(parts) != 2 or parts[0] == parts[1] or not set(parts) <= set(names):
            faults.add(
                at("interactions"),
                f"{term!r} is not a pair of this outcome's moderators",
                f'Write it as "a:b". Moderators: {", ".join(names) or "none"}.',
            )
        elif set(parts) & set(curved):
            faults.add(at("interactions"), f"{term!r}: a curve has no interactions", "Remove it, or make it a line.")
    splines = [item.name for item in made if item.curve == "spline"]
    for name in keys.priors.curve:
        if name not in splines:
            faults.add(f"{at('priors')}.curve.{name}", f"{name!r} is not a spline of this outcome", pick(name, splines))
    return tuple(made)


def default_source(made: tuple[Moderator, ...]) -> str:
    """Say where the default priors of these moderators come from."""
    more = []
    if any(item.pooling for item in made):
        more.append("SD of exchangeable levels half-normal(0.35)")
    if any(item.curve == "spline" for item in made):
        more.append("departure of a spline from its line half-normal(0.25)")
    if any(item.curve == "monotone" for item in made):
        more.append("total of a monotone curve normal(0, 0.5)")
    return ", ".join([DEFAULT_COEFFICIENT_SOURCE, *more])


# -- missing values ----------------------------------------------------------------------------------------------------


def _population(name: str, item: ImputeKeys, where: str, faults: Faults) -> MissingNumeric | MissingLevels | None:
    of_levels = item.concentration is not None or isinstance(item.shift, Mapping)
    of_numbers = any(part is not None for part in (item.family, item.mean, item.sd)) or isinstance(item.shift, float)
    if of_levels == of_numbers:
        faults.add(
            where,
            f"the population of {name!r} is {'both numeric and categorical' if of_levels else 'not stated'}",
            "Numeric: mean and sd (priors), and family, shift = 0.5. Categorical: concentration = 1.0, and "
            "shift = { level = 0.7 }.",
        )
        return None
    if of_levels:
        return MissingLevels(item.concentration or 1.0, item.shift or {})
    lacking = [part for part in ("mean", "sd") if getattr(item, part) is None]
    for part in lacking:
        log = " of its logarithm" if item.family == "lognormal" else ""
        faults.add(f"{where}.{part}", "the key is missing", f"State the prior of the {part} over trials{log}.")
    if lacking:
        return None
    try:
        return MissingNumeric(item.mean.prior, item.sd.prior, item.family or "normal", item.shift or 0.0)
    except ModelError as error:
        faults.add(where, str(error).rstrip("."), "Correct the population.")
        return None


def populations(
    keys: OutcomeKeys, made: tuple[Moderator, ...], at: At, faults: Faults
) -> dict[str, MissingNumeric | MissingLevels]:
    """Make the populations of this outcome's moderators; tables for moderators of other outcomes are passed over."""
    by_name = {item.name: item for item in made}
    found = {}
    for name, item in keys.impute.items():
        where = f"{at('impute')}.{name}"
        if name not in by_name:
            continue
        moderator = by_name[name]
        population = _population(name, item, where, faults)
        if moderator.curve is not None:
            faults.add(where, f"{name!r} is a curve, on which nothing can be imputed", "Make it a straight line.")
        elif population is not None:
            kind = "numeric" if isinstance(population, MissingNumeric) else "categorical"
            if moderator.kind not in (None, kind):
                what = f"{name!r} is a {moderator.kind} moderator, and its population is {kind}"
                faults.add(where, what, "Correct one of the two.")
            found[name] = population
    if found and keys.missing is None:
        faults.add(at("impute"), "nothing is imputed", 'State missing = "impute", or remove the tables.')
    return found


def missing_sd(keys: OutcomeKeys, at: At, faults: Faults) -> MissingSD | None:
    """Make the population of standard deviations, if one is stated."""
    item = keys.priors.missing_sd
    if item is None:
        return None
    try:
        return MissingSD(item.meanlog.prior, item.sdlog.prior)
    except ModelError as error:
        faults.add(f"{at('priors')}.missing_sd", str(error).rstrip("."), "Correct the priors.")
        return None


def derived_priors(keys: OutcomeKeys, at: At, faults: Faults) -> dict[str, Prior]:
    """Priors of numbers that nobody reported, cut to the range over which estimates are tabulated."""
    found = {}
    for name, (ends, what, example) in DERIVED.items():
        stated = getattr(keys.priors.derived, name)
        if stated is None:
            continue
        try:
            found[name] = _cut(stated.prior, *ends)
        except ModelError as error:
            remedy = f'Give a proper prior of a{"n" if what[0] == "i" else ""} {what}, such as "{example}".'
            faults.add(f"{at('priors')}.derived.{name}", str(error).rstrip("."), remedy)
    return found


def _cut(prior: Prior, low: float, high: float) -> Prior:
    if not prior.proper:
        raise ModelError(f"{prior!r} is improper.")
    start, end = prior.support
    low, high = max(low, start), min(high, end)
    if (low, high) == (start, end):
        return prior
    if isinstance(prior, Uniform) and low < high:
        return Uniform(low, high)
    return Truncated(prior.prior if isinstance(prior, Truncated) else prior, low, high)


# -- risk of bias ------------------------------------------------------------------------------------------------------


def risk_of_bias(keys: OutcomeKeys, at: At, faults: Faults) -> RiskOfBias | None:
    """Where judgements stand, if anywhere; those that count as high are judgements of the tool."""
    item = keys.risk_of_bias
    if item is None:
        return None
    known = ROB_JUDGEMENTS[item.tool]
    high = tuple(word.lower() for word in item.high or HIGH_RISK if item.high or word in known)
    for word in (word for word in high if word not in known):
        faults.add(f"{at('risk_of_bias')}.high", f"{word!r} is not a judgement of {item.tool}", pick(word, known))
    if item.bias is not None and keys.better is None:
        faults.add(
            f"{at('risk_of_bias')}.bias",
            "it is positive towards benefit, and the outcome does not say which direction is better",
            'Add better = "lower" or "higher".',
        )
    bias = None if item.bias is None else BiasSize(**item.bias.model_dump())
    return RiskOfBias(item.tool, item.overall, item.domains, high, bias)


# -- what goes together ------------------------------------------------------------------------------------------------


def check_heterogeneity_by(keys: OutcomeKeys, made: Sequence[Moderator], at: At, faults: Faults) -> None:
    """A moderator that tau may differ by enters the mean effect too, by contrasts or a line, and has its priors."""
    name, priors = keys.heterogeneity_by, keys.priors
    chosen = next((item for item in made if item.name == name), None)
    if name is None:
        for key in [key for key in ("tau_by", "tau_slope") if getattr(priors, key)]:
            faults.add(f"{at('priors')}.{key}", "there is no heterogeneity_by", "Name the moderator, or remove it.")
        return
    if chosen is None:
        names = [item.name for item in made]
        faults.add(at("heterogeneity_by"), f"{name!r} is not a moderator of this outcome", pick(name, names))
    elif chosen.pooling is not None or chosen.curve is not None:
        faults.add(
            at("heterogeneity_by"),
            f"{name!r} enters the mean effect by {'a curve' if chosen.curve else 'exchangeable levels'}",
            "The mean effect differs by contrasts or along a line: remove pooling or curve.",
        )
    if keys.priors.cluster_tau is not None or keys.likelihood == "binomial" or keys.random not in (None, "normal"):
        faults.add(
            at("heterogeneity_by"),
            "it goes with normal effects of independent trials, without cluster_tau and random and from estimates",
            "Remove it from this outcome.",
        )
    try:
        TauBy(name, {level: item.prior for level, item in priors.tau_by.items()})
        TauBy(name, slope=priors.tau_slope.prior if priors.tau_slope else None)
    except ModelError as error:
        faults.add(at("priors"), str(error).rstrip("."), "Correct the prior.")
    if priors.tau_slope is not None and priors.tau_by:
        faults.add(f"{at('priors')}.tau_slope", "it is for a numeric moderator, and tau_by for levels", "Remove one.")


def check_parts(keys: OutcomeKeys, broken: set[str], at: At, faults: Faults) -> None:
    """Rules of clusters, the binomial likelihood, and priors of what was not reported."""
    priors = keys.priors
    if priors.cluster_tau is not None and keys.cluster is None and "cluster" not in broken:
        faults.add(
            f"{at('priors')}.cluster_tau",
            "there is no cluster",
            'Name the column whose rows belong together, such as cluster = "study".',
        )
    stated = priors.cluster_tau is not None or keys.working_correlation is not None
    if keys.cluster is not None and not stated and not {"priors", "working_correlation"} & broken:
        faults.add(
            at("cluster"),
            "rows of one cluster depend on each other, and nothing says how",
            "State priors.cluster_tau (SD between their true effects), working_correlation (their sampling "
            "correlation), or both.",
        )
    if keys.random not in (None, "normal") and priors.cluster_tau is not None:
        faults.add(at("random"), "clusters have normal random effects", "Remove random, or priors.cluster_tau.")
    measure = keys.measure
    if priors.missing_sd is not None and measure is not None and measure not in FROM_MEANS:
        faults.add(f"{at('priors')}.missing_sd", f"it is for {' and '.join(FROM_MEANS)}, not {measure}", "Remove it.")
    if priors.derived.correlation is not None and measure is not None and measure not in FROM_MEANS:
        faults.add(
            f"{at('priors')}.derived.correlation",
            f"{measure} is never derived from means before and after; {' and '.join(FROM_MEANS)} are",
            "Remove it.",
        )
    if keys.likelihood == "binomial":
        _check_binomial(keys, broken, at, faults)
    elif priors.baseline is not None and keys.likelihood is None:
        faults.add(
            f"{at('priors')}.baseline",
            "the prior of control risks belongs to the binomial likelihood",
            'State likelihood = "binomial", or remove it.',
        )


def _check_binomial(keys: OutcomeKeys, broken: set[str], at: At, faults: Faults) -> None:
    if keys.measure is not None and keys.measure not in COUNTED:
        shown = f"{keys.measure} ({MEASURES[keys.measure].label})"
        faults.add(at("likelihood"), f"the binomial likelihood is for {', '.join(COUNTED)}, not {shown}", "Remove it.")
    one_arm = keys.measure == "PLO"
    if one_arm and keys.priors.baseline is not None:
        faults.add(f"{at('priors')}.baseline", "one arm has no control risks", "Remove it.")
    elif not one_arm and keys.priors.baseline is None and "priors" not in broken:
        faults.add(
            at("likelihood"),
            "the binomial likelihood needs the prior of the control risks",
            'Add priors.baseline, on the logit scale; "normal(0, 1.5)" is nearly flat between 5 % and 95 %.',
        )
    unlike = {
        "random": keys.random not in (None, "normal"),
        "missing": keys.missing == "impute",
        "priors.cluster_tau": keys.priors.cluster_tau is not None,
        "priors.derived": any(getattr(keys.priors.derived, name) is not None for name in DERIVED),
        "priors.missing_sd": keys.priors.missing_sd is not None,
    }
    for name in [name for name, there in unlike.items() if there]:
        table, _, rest = name.partition(".")
        faults.add(
            f"{at(table)}.{rest}" if rest else at(table),
            "the binomial likelihood goes with normal effects of independent trials, nothing else",
            'Remove it, or state likelihood = "normal".',
        )
