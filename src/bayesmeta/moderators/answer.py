"""One answer to what moderators do: every coefficient and every effect at a level, Bayesian and classical."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical import MetaRegression, gvif
from bayesmeta.columns import Column, columns_of, p_words, percent, unprinted
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.moderators.evidence import (
    classical_regression,
    moderator_test_table,
    subgroup_tests,
    varies_within,
)
from bayesmeta.moderators.explained import explained_share
from bayesmeta.moderators.quantities import Quantity, coefficients, effects_at
from bayesmeta.moderators.within import SPLIT, within_between_table
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Threshold
from bayesmeta.questions import direction, numeric_distance, resolve_threshold

__all__ = [
    "MODERATOR_COLUMNS",
    "compare_coefficients",
    "contrast_table",
    "moderator_table",
    "moderators_alone",
]

FloatArray = NDArray[np.float64]
_COEFFICIENTS = ("contrast", "slope", "interaction", "simple effect")
_EFFECTS = ("level", "value", "cell")
_NUMBERS = (
    *("median", "lower", "upper", "new_lower", "new_upper", "p_more_benefit", "p_below_null", "p_any_benefit"),
    *("p_any_benefit_new", "p_important_benefit", "p_important_benefit_new", "p_important_harm"),
    *("p_important_harm_new", "r2", "explained", "explained_lower", "explained_upper", "inflation"),
    *("classical", "classical_lower", "classical_upper", "p_value", "f", "df1", "df2", "bayes_factor"),
    *("p_inclusion", "inclusion_bayes_factor"),
)
#: What `moderator_table` holds, for JSON and its schema.
MODERATOR_COLUMNS: tuple[Column, ...] = (
    *columns_of("text", moderator="moderator", part="what", name="which"),
    *columns_of("count", k="rows", trials="trials"),
    *columns_of("note", mark="mark"),
    *unprinted(number="median lower upper new_lower new_upper"),
    *unprinted(probability="p_more_benefit p_below_null p_any_benefit p_any_benefit_new p_important_benefit"),
    *unprinted(probability="p_important_benefit_new p_important_harm p_important_harm_new"),
    *unprinted(number="classical classical_lower classical_upper", p="p_value"),
    *unprinted(number="f df1 df2 bayes_factor", probability="p_inclusion"),
    *unprinted(number="inclusion_bayes_factor inflation level", text="model interval", note="confounded_with"),
    *unprinted(share="r2 explained explained_lower explained_upper"),
)


def moderator_table(fit: Fit, threshold: Threshold | float | None = None, *, level: float = LEVEL) -> pd.DataFrame:
    r"""Everything that a moderated fit says of its moderators, Bayesian and classical, line by line.

    Parameters
    ----------
    fit : Fit
        With moderators.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator part name k trials mark``, numbers, ``model level interval``; ``model`` is "together", of
        all moderators (`moderators_alone` makes it of each). ``part`` says what a line is:

        - ``test``: of a moderator with its interactions (of an interaction, of ``all moderators``): ``f`` on
          ``df1, df2`` and its ``p_value``, the ``bayes_factor`` against the model without it, and, averaged over the
          models that its terms allow, ``p_inclusion`` and ``inclusion_bayes_factor``; ``inflation``, by which its
          standard errors are wider because of the others, and ``confounded_with`` where it is above sqrt(5)
          (`bayesmeta.classical.gvif`); of all together the classical ``r2`` and the posterior median and interval of
          `explained_share`;
        - ``contrast``, ``slope``, ``interaction``, ``simple effect``: differences, with ``p_more_benefit``;
        - ``level``, ``value``, ``cell``: effects, with those of a new study and probabilities of benefit;
        - ``within trials``, ``between trials``, ``between - within``: one by one, where trials have several
          values of a moderator (`within_between_table`; not from draws).

        ``k`` and ``trials`` are behind a line, on both sides of a difference; ``mark`` is "one trial" where a side has
        one, "no trial" where it has none. ``classical`` is REML meta-regression with the Knapp-Hartung interval.
        ``attrs["notes"]`` are sentences that belong to the table.

    Notes
    -----
    With the classical coefficients b and their covariance V_b before scaling, a moderator of m coefficients is tested
    by :math:`F = b' V_b^{-1} b / (m s^2)`, :math:`s^2 = y' P y / (k - p)`, on m and (trials - p) degrees of freedom.

    Raises
    ------
    ModelError
        If the fit has no moderators.

    References
    ----------
    Knapp G, Hartung J. Stat Med 2003;22:2693-2710. doi:10.1002/sim.1482

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"type": bm.Normal(0, 0.5)}))
    >>> moderator_table(moderated)[["part", "name", "trials", "mark"]]
           part         name  trials mark
    0      test                    4
    1  contrast  yoga - walk       4
    2     level         walk       2
    3     level         yoga       2
    """
    regression, reason = classical_regression(fit, level=level)
    tests = moderator_test_table(fit, regression=regression)
    linear = [*coefficients(fit), *effects_at(fit)]
    answers = _answers(fit, linear, regression, _distance(fit, threshold), level)
    # a split is one more fit for each such moderator, which takes a sampler minutes
    split = pd.DataFrame() if fit.simulated else within_between_table(fit, level=level)
    table = pd.concat([part for part in (tests, answers, split) if len(part)], ignore_index=True)
    order = {name: place for place, name in enumerate([*fit.model.beta, "all moderators"])}
    parts = {name: place for place, name in enumerate(("test", *_COEFFICIENTS, *_EFFECTS, *SPLIT))}
    keys = [(order[m], parts[p]) for m, p in zip(table["moderator"], table["part"], strict=True)]
    table = table.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)
    columns = ["moderator", "part", "name", "k", "trials", "mark", *_NUMBERS]
    table = table.reindex(columns=columns)
    table[list(_NUMBERS)] = table[list(_NUMBERS)].astype(float)
    table["confounded_with"] = ""
    _add_whole(fit, table, regression)
    table[["k", "trials"]] = table[["k", "trials"]].astype(int)
    table["model"], table["level"], table["interval"] = "together", level, "central"
    table.attrs["notes"] = _notes(fit, table, regression, reason)
    return table


def moderators_alone(fits: Mapping[str, Fit], *, level: float = LEVEL) -> pd.DataFrame:
    """`moderator_table` of fits with one moderator each, where a model of all of them is not estimable.

    Parameters
    ----------
    fits : mapping of str to Fit
        By moderator.

    Returns
    -------
    pandas.DataFrame
        Of `moderator_table`; ``model`` names the moderator with "alone".

    Raises
    ------
    ModelError
        If there is no fit, or one without moderators.
    """
    if not fits:
        raise ModelError("there is no fit; give one or more by moderator.")
    tables = [moderator_table(item, level=level).assign(model=f"{name} alone") for name, item in fits.items()]
    notes = [
        "All moderators together are not estimable here, so each is analysed alone: what one seems to explain may be "
        "due to another"
    ]
    for name, table in zip(fits, tables, strict=True):
        notes += [f"{name} alone: {text}" for text in table.attrs.pop("notes")]
    whole = pd.concat(tables, ignore_index=True)
    whole.attrs["notes"] = tuple(notes)
    return whole


def _add_whole(fit: Fit, table: pd.DataFrame, regression: MetaRegression | None) -> None:
    """What is of all moderators together, and how far each is confounded with another."""
    tests = table["part"] == "test"
    last = table.index[tests][-1]
    if regression is not None and regression.r2 is not None:
        table.loc[last, "r2"] = regression.r2 / 100
    if not fit.model.missing:
        with suppress(ModelError):
            table.loc[last, ["explained_lower", "explained", "explained_upper"]] = explained_share(fit)
    mains = [name for name in fit.model.beta if ":" not in name]
    if regression is None or len(mains) < 2:
        return
    with suppress(ModelError, InferenceError):
        for line in gvif(fit.effects, mains, rho=fit.model.rho).to_dict("records"):
            place = table.index[tests & (table["moderator"] == line["moderator"])]
            table.loc[place, "inflation"] = line["inflation"]
            if line["confounded"]:
                table.loc[place, "confounded_with"] = line["with"]


def _distance(fit: Fit, threshold: Threshold | float | None) -> tuple[float, float] | None:
    """Smallest important benefit and harm as distances; None where none is stated as a number."""
    chosen = resolve_threshold(fit, threshold)
    if chosen is None or fit.effects.better is None:
        return None
    benefit, harm = numeric_distance(chosen), chosen.worse_distance
    return (benefit, float(harm)) if benefit is not None and isinstance(harm, (int, float)) else None


def _answers(
    fit: Fit,
    linear: list[Quantity],
    regression: MetaRegression | None,
    distances: tuple[float, float] | None,
    level: float,
) -> pd.DataFrame:
    rows = np.array([item.row for item in linear])
    p = interval_ends(level)
    compared = np.array([item.part in _COEFFICIENTS for item in linear])
    whole = fit.posterior.quantities(rows)
    quantiles, below = whole.quantile(p), whole.cdf(np.array([0.0]))[:, 0]
    table = pd.DataFrame(
        {
            "moderator": [item.moderator for item in linear],
            "part": [item.part for item in linear],
            "name": [item.name for item in linear],
            **_behind(fit, linear),
            "median": quantiles[:, 1],
            "lower": quantiles[:, 0],
            "upper": quantiles[:, 2],
            "p_below_null": below,
        }
    )
    if compared.all():
        new = mean = None
    else:
        mean = fit.posterior.quantities(rows[~compared])
        new = fit.posterior.quantities(rows[~compared], ["theta_new"] * int((~compared).sum()))
        table.loc[~compared, ["new_lower", "new_upper"]] = new.quantile(p)[:, [0, 2]]
    if fit.effects.better is not None:
        sign = direction(fit)
        better = 1.0 - below if sign > 0 else below
        table["p_more_benefit"] = np.where(compared, better, np.nan)
        none = measure(fit.effects.measure).single_arm
        table["p_any_benefit"] = np.where(compared | none, np.nan, better)
        if new is not None and not none:
            null = np.array([0.0])
            table.loc[~compared, "p_any_benefit_new"] = (new.sf(null) if sign > 0 else new.cdf(null))[:, 0]
        if distances is not None and new is not None:
            at = np.array([sign * distances[0], -sign * distances[1]])
            for form, end in ((mean, ""), (new, "_new")):
                names = [f"p_important_benefit{end}", f"p_important_harm{end}"]
                table.loc[~compared, names] = np.column_stack(_beyond(form, at, sign))
    if regression is not None:
        estimate = rows @ regression.estimate
        se = np.sqrt(np.einsum("ij,jk,ik->i", rows, regression.vcov, rows))
        df = float(regression.df or np.inf)
        half = special.stdtrit(df, (1 + level) / 2) * se
        table["classical"] = estimate
        table["classical_lower"], table["classical_upper"] = estimate - half, estimate + half
        with np.errstate(divide="ignore"):
            table["p_value"] = np.where(compared & (se > 0), 2 * special.stdtr(df, -np.abs(estimate / se)), np.nan)
    return table


def _beyond(found: Any, at: FloatArray, sign: int) -> tuple[FloatArray, FloatArray]:
    """Probabilities of an effect beyond the first place in the direction of benefit, and the second in that of harm."""
    below, above = found.cdf(at), found.sf(at)
    return (above[:, 0], below[:, 1]) if sign > 0 else (below[:, 0], above[:, 1])


def _behind(fit: Fit, linear: list[Quantity]) -> dict[str, list[Any]]:
    """Rows and trials behind each line, and what is to be marked of them."""
    study = np.array(fit.effects.study, dtype=object)
    counts, trials, marks = [], [], []
    for item in linear:
        rows = np.any(item.sides, axis=0)
        fewest = min(len(set(study[side])) for side in item.sides)
        counts.append(int(rows.sum()))
        trials.append(len(set(study[rows])))
        marks.append({0: "no trial", 1: "one trial"}.get(fewest, ""))
    return {"k": counts, "trials": trials, "mark": marks}


def contrast_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Differences between every two levels of each categorical moderator, slopes of numeric ones, and interactions.

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator contrast mean sd median lower upper p_below_null p_above_null level interval``. Without
        moderators it is empty. `moderator_table` has the classical answer beside these, and effects at levels.
    """
    chosen = [item for item in coefficients(fit) if item.part != "simple effect"]
    columns = ["mean", "sd", "median", "lower", "upper"]
    if not chosen:
        return pd.DataFrame(columns=["moderator", "contrast", *columns, "p_below_null", "p_above_null"])
    form = fit.posterior.quantities(np.array([item.row for item in chosen]))
    summary, below = form.summary(interval_ends(level)), form.cdf(np.array([0.0]))[:, 0]
    values = np.column_stack([summary.mean, summary.sd, summary.quantiles[:, [1, 0, 2]]])
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, "moderator", [item.moderator for item in chosen])
    table.insert(1, "contrast", [item.name for item in chosen])
    table["p_below_null"], table["p_above_null"] = below, 1 - below
    table["level"], table["interval"] = level, "central"
    return table


def compare_coefficients(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Contrasts, slopes and interactions of a moderated fit beside classical meta-regression (REML, Knapp-Hartung).

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator contrast median lower upper p_above_null classical classical_lower classical_upper
        p_value level``: these lines of `moderator_table`. ``attrs`` hold the joint test of all moderators (``qm``,
        ``qm_df``, ``qm_p``) and the residual heterogeneity (``tau``) of the classical fit.

    Raises
    ------
    ModelError
        Where there are no moderators, or the classical regression is not defined.
    """
    regression, reason = classical_regression(fit, level=level)
    if regression is None:
        raise ModelError(f"classical meta-regression has no counterpart of this fit: {reason}.")
    chosen = [item for item in coefficients(fit) if item.part != "simple effect"]
    table = _answers(fit, chosen, regression, None, level).rename(columns={"name": "contrast"})
    table["p_above_null"] = 1 - table["p_below_null"]
    columns = ["moderator", "contrast", "median", "lower", "upper", "p_above_null", "classical", "classical_lower"]
    table = table[[*columns, "classical_upper", "p_value"]].assign(level=level)
    table.attrs.update(qm=regression.qm, qm_df=regression.qm_df, qm_p=regression.qm_p)
    table.attrs.update(tau=float(np.sqrt(regression.tau2)), method="REML + HKSJ")
    return table


# -- what belongs to the table -----------------------------------------------------------------------------------------


def _notes(fit: Fit, table: pd.DataFrame, regression: MetaRegression | None, reason: str) -> tuple[str, ...]:
    """Sentences that a moderator table must not be read without."""
    notes = [*_within_notes(fit)]
    if regression is not None:
        notes.append(
            f"Classical: REML meta-regression of the same {fit.effects.k} rows, residual tau "
            f"{np.sqrt(regression.tau2):.3f}, Knapp-Hartung intervals and F with trials - coefficients = "
            f"{regression.df} denominator degrees of freedom (metafor's rma.mv counts rows, not trials)"
        )
        notes += [f"Classical: {note}" for note in regression.notes]
        notes += [
            f"Subgroup test of {name} alone, one tau for all levels: Q({df}) = {q:.2f}, {p_words(p)}"
            for name, (q, df, p) in subgroup_tests(fit).items()
        ]
        if regression.r2 is not None:
            share = "none" if round(regression.r2) == 0 else f"{regression.r2:.0f} %"
            notes.append(
                f"Heterogeneity explained, classically: {share} of tau squared (by REML, against the same rows without "
                "moderators; none where it does not fall)"
            )
        notes += _confounding_notes(table)
    elif reason:
        notes.append(f"Classical: not defined, because {reason}")
    if any(":" in name for name in fit.model.beta):
        notes.append(
            "A difference of one moderator is averaged over the observed mix of the others; its test takes its "
            "interactions with it"
        )
    marked = table.loc[table["mark"] == "one trial", "name"].tolist()
    if marked:
        notes.append("One trial: what is so marked rests on a single trial on one side, and differs in all else too")
    if (table["mark"] == "no trial").any():
        notes.append("No trial: nobody studied it; the number comes from the model's form and its prior")
    whole = table[table["explained"].notna()]
    for row in whole.to_dict("records"):
        low, middle, high = (percent(row[name], 0) for name in ("explained_lower", "explained", "explained_upper"))
        notes.append(
            f"Share of the variance of true effects that goes with the moderators, posterior: {middle} ({low} to "
            f"{high}); it is never below 0, so that with few trials its prior shows"
        )
    notes += _unit_notes(table)
    return tuple(notes)


def _confounding_notes(table: pd.DataFrame) -> list[str]:
    """Which moderators say the same."""
    tests = table[(table["part"] == "test") & table["inflation"].notna()]
    if not len(tests):
        return []
    confounded = tests[tests["confounded_with"] != ""]
    notes = [
        f"Confounded: {row['moderator']} with {row['confounded_with']}: its standard errors are {row['inflation']:.1f} "
        "times as wide as without the other moderators (GVIF^(1/(2 df)), limit 2.24). Look at each alone"
        for row in confounded.to_dict("records")
    ]
    listed = ", ".join(f"{row['moderator']} {row['inflation']:.2f}" for row in tests.to_dict("records"))
    return notes or [f"Confounding: GVIF^(1/(2 df)) {listed}; none above 2.24, where standard errors widen by that"]


def _within_notes(fit: Fit) -> list[str]:
    """Whether differences are between trials, or a mixture of those between and within them."""
    mixed = {name: trials for name in fit.design.factors if (trials := varies_within(fit.effects, name))}
    if not mixed:
        return ["Differences between trials, not within them: trials differ in more than their moderators"]
    notes = []
    for name, trials in mixed.items():
        shown = ", ".join(trials[:3]) + (" ..." if len(trials) > 3 else "")
        count = "one trial compares" if len(trials) == 1 else f"{len(trials)} trials compare"
        notes.append(
            f"{name}: {count} several of its values ({shown}), so that its coefficient is a mixture of differences "
            "within trials and between them"
        )
    others = [name for name in fit.design.factors if name not in mixed]
    if others:
        notes.append(f"{', '.join(others)}: differences between trials, not within them")
    return notes


def _unit_notes(table: pd.DataFrame) -> list[str]:
    """Propose a unit for slopes that print as nothing."""
    notes = []
    slopes = table[table["part"] == "slope"]
    for row in slopes.to_dict("records"):
        ends = max(abs(row["lower"]), abs(row["upper"]))
        if 0 < ends < 0.005:
            power = 10 ** int(np.ceil(np.log10(0.05 / ends)))
            notes.append(
                f"{row['moderator']}: the slope is small in its unit ({row['name']}); state per = {power:g} times that "
                "to read it"
            )
    return notes
