"""Risk of bias: the answer without trials at high risk, and adjusted for a bias that they may have."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesmeta.columns import amount, columns_of, optional, percent, plural, unprinted
from bayesmeta.effects import Effects
from bayesmeta.errors import BayesmetaWarning, ModelError
from bayesmeta.fits import LEVEL, Fit, distributions, exactly, fit_many
from bayesmeta.measures import measure, require_null
from bayesmeta.model import effect_links
from bayesmeta.numerics import roots
from bayesmeta.plan import BIAS_FORMS, HIGH_RISK, BiasForm, BiasSize, Threshold
from bayesmeta.questions import benefit_probabilities_of, direction, numeric_distance, resolve_threshold, summarize
from bayesmeta.sensitivity.section import Computed, Fold, Section, SectionOptions, answers_of
from bayesmeta.sensitivity.verdicts import answers, compared

__all__ = ["bias_adjusted_effects", "risk_of_bias_table"]

FloatArray = NDArray[np.float64]

#: Multiples of the stated mean bias that are tried beside it.
MULTIPLES = (0.0, 0.5, 1.0, 2.0)
#: Mean biases at which a crossing is looked for, in each direction, and how far: in ranges of the estimates.
_POINTS, _REACH = 24, 4.0
#: A crossing is followed until the probability is this close to the cut-off.
_CLOSE = 1e-7

COLUMNS = (
    *columns_of("text", analysis="analysis"),
    *unprinted(text="kind form"),
    *columns_of("number", bias_mean="bias", bias_sd="its SD"),
    *columns_of("count", k="k"),
    *columns_of("effect", mu="mean", lower="lower", upper="upper"),
    *columns_of("number", tau="tau"),
    *unprinted(number="new_lower new_upper change level", flag="stated"),
    *optional(columns_of("probability", p_important_benefit="P(imp.)")),
    *optional(unprinted(probability="p_any_benefit p_important_harm p_any_benefit_new p_important_benefit_new")),
    *optional(unprinted(probability="p_important_harm_new")),
    *unprinted(text="note"),
)
Kind = Literal["main", "restricted", "adjusted", "tipping"]


def bias_adjusted_effects(
    effects: Effects, high: NDArray[np.bool_] | Sequence[bool] | ArrayLike, size: BiasSize
) -> Effects:
    """Take a bias out of estimates whose size is known up to a normal distribution, exactly.

    A row i of trial t(i) with ``h_i`` = 1 (0 for a row without bias) is ``y_i = theta_i + d h_i b_t(i) + e_i``, where
    d is 1 or -1 as higher or lower is better, so that b > 0 favours benefit. With ``b ~ N(m, s^2)`` independent of
    true effects and errors, integrating b out leaves the model as it was, for

        y_i - d m h_i,  with sampling covariance  S + s^2 B,

    ``B_ij = h_i h_j`` where i and j are rows of one trial, which share their bias (``form="trial"``), or for all i, j
    (``form="common"``, one bias of all trials); d drops out of B as its square. h is not centred: the mean is the
    effect at zero bias. Which true effects are correlated stays as it was, though rows come to share a block.

    Parameters
    ----------
    effects : Effects
        With a direction.
    high : array_like of shape (k,)
        Which rows are at high risk, or how much of the bias each has.
    size : BiasSize

    Returns
    -------
    Effects

    Raises
    ------
    ModelError
        Without a direction, and for estimates that depend on numbers that nobody reported.

    References
    ----------
    Turner RM, Spiegelhalter DJ, Smith GCS, Thompson SG. J R Stat Soc A 2009;172:21-47.
    doi:10.1111/j.1467-985X.2008.00547.x. Welton NJ, Ades AE, Carlin JB, Altman DG, Sterne JAC. J R Stat Soc A
    2009;172:119-136. doi:10.1111/j.1467-985X.2008.00548.x

    Examples
    --------
    >>> adjusted = bias_adjusted_effects(effects, [True, False, False, False], BiasSize(0.1, 0.2))
    >>> round(float(adjusted.y[0] - effects.y[0]), 12), round(float(adjusted.se[0]**2 - effects.se[0]**2), 12)
    (0.1, 0.04)
    """
    require_null(effects.measure, "the bias model")
    h = np.asarray(high, float).ravel()
    if h.shape != (effects.k,) or not np.isfinite(h).all():
        raise ModelError(f"high: shape {h.shape}; give one truth value or number per row, of {effects.k}.")
    if effects.better is None:
        raise ModelError("a bias towards benefit needs a direction: say whether higher or lower is better.")
    if effects.tabulated or effects.spreads is not None:
        raise ModelError("bias-adjusted analyses need estimates whose standard errors are all reported.")
    sign = 1 if effects.better == "higher" else -1
    blocks, links = _joined_blocks(effects, h, size.sd, size.form)
    se = np.sqrt(effects.se**2 + (size.sd * h) ** 2)
    with warnings.catch_warnings():
        # warnings about these rows were given when they were first made
        warnings.simplefilter("ignore", BayesmetaWarning)
        # counts would say what the estimates were before
        return dataclasses.replace(
            effects, y=effects.y - sign * size.mean * h, se=se, blocks=blocks, links=links, working=None, counts=None
        )


def _joined_blocks(
    effects: Effects, h: FloatArray, sd: float, form: BiasForm
) -> tuple[tuple[tuple[NDArray[np.intp], FloatArray], ...], tuple[FloatArray, ...]]:
    """Blocks of rows that share patients or a bias, each with its covariance and what rho is multiplied by in it."""
    biased = np.flatnonzero(h)
    number = {name: i for i, name in enumerate(effects.trials)}
    trial = np.array([number[name] for name in effects.study])
    shared = [biased[trial[biased] == one] for one in np.unique(trial[biased])] if form == "trial" else [biased]
    group = np.arange(effects.k)
    for rows in (*(rows for rows, _ in effects.blocks), *(shared if sd > 0 else ())):
        group[np.isin(group, group[rows])] = group[rows].min(initial=effects.k)
    old = list(zip(effects.blocks, effect_links(effects), strict=True))
    blocks, links = [], []
    for one in np.unique(group):
        rows = np.flatnonzero(group == one)
        if rows.size < 2:
            continue
        place = {int(row): i for i, row in enumerate(rows)}
        S, L = np.diag(effects.se[rows] ** 2), np.zeros((rows.size, rows.size))
        for (members, covariance), link in old:
            if int(members[0]) in place:
                here = np.array([place[int(row)] for row in members])
                S[np.ix_(here, here)], L[np.ix_(here, here)] = covariance, link
        same = np.ones_like(S) if form == "common" else (trial[rows][:, None] == trial[rows]).astype(float)
        blocks.append((rows, S + sd**2 * np.outer(h[rows], h[rows]) * same))
        links.append(L)
    return tuple(blocks), tuple(links)


def risk_of_bias_table(
    fit: Fit,
    judged: pd.DataFrame,
    threshold: Threshold | float | None = None,
    *,
    high: Sequence[str] = HIGH_RISK,
    bias: BiasSize | None = None,
    cut: float = 0.8,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Ask again without the rows at high risk of bias, and with their bias taken out.

    Parameters
    ----------
    fit : Fit
        Exact.
    judged : pandas.DataFrame
        One row per estimate, with a column ``overall``; empty where nothing was judged.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    high : sequence of str
        Judgements that count as high risk.
    bias : BiasSize, optional
        How large the bias is thought to be. Where it is not stated nothing is adjusted, and the bias that would change
        the conclusion is sought with an SD of zero.
    cut : float
        The probability that the panel wants.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``analysis kind form bias_mean bias_sd k mu lower upper tau new_lower new_upper change level stated``,
        the probabilities of `bayesmeta.questions.benefit_probabilities` where there are a direction and a threshold,
        and ``note``. ``kind`` is ``main``, ``restricted``, ``adjusted`` or ``tipping``; the last holds the mean bias at
        which a probability reaches the cut-off, and the answer there. ``change`` is in posterior SDs of the main one.

    Raises
    ------
    ModelError
        For a fit by draws, judgements of other rows, and where nothing is judged.

    Examples
    --------
    >>> judged = pd.DataFrame({"overall": ["high", "low", "low", "some concerns"]})
    >>> table = risk_of_bias_table(fit, judged, 0.2, bias=BiasSize(0.1, 0.1))
    >>> table["kind"].unique().tolist(), table["k"].tolist()[:3]
    (['main', 'restricted', 'adjusted', 'tipping'], [4, 3, 2])
    """
    return _table(fit, judged, resolve_threshold(fit, threshold), high, bias, cut, level).table


def _table(
    fit: Fit,
    judged: pd.DataFrame,
    threshold: Threshold | None,
    high: Sequence[str],
    bias: BiasSize | None,
    cut: float,
    level: float,
) -> Computed:
    exactly(fit, "risk of bias")
    effects = fit.effects
    if len(judged) != effects.k:
        raise ModelError(f"judgements of {len(judged)} rows, and the analysis has {effects.k}: give those of its rows.")
    words = judged["overall"].astype(str)
    if not (words != "").any():
        raise ModelError("no trial has an overall judgement of its risk of bias.")
    h = words.isin(list(high)).to_numpy()
    tasks: list[tuple[dict[str, object], Effects | str]] = [({"analysis": "all trials", "kind": "main"}, effects)]
    tasks += _restricted(effects, h, (words == "low").to_numpy())
    if bias is not None and h.any():
        tasks += _adjusted(fit, h, bias)
    solved = _solved(fit, [item for _, item in tasks])
    if h.any() and effects.better is not None:
        for row, item in _tips(fit, h, bias, threshold, cut):
            tasks.append((row, ""))
            solved.append(item)
    return Computed(_framed(fit, tasks, solved, threshold, level), tuple(solved))


def _restricted(effects: Effects, h: NDArray[np.bool_], low: NDArray[np.bool_]) -> list[tuple[dict[str, object], Any]]:
    made: list[tuple[dict[str, object], Any]] = []
    for name, kept in (("without those at high risk", ~h), ("low risk alone", low)):
        trials = len({study for study, here in zip(effects.study, kept, strict=True) if here})
        what: Effects | str = effects.subset(kept) if trials >= 2 else f"{plural(trials, 'trial')} left"
        if not kept.all():
            made.append(({"analysis": name, "kind": "restricted"}, what))
    return made


def _refuse_common(fit: Fit, form: str) -> None:
    if form == "common" and fit.model.cluster_tau is not None:
        raise ModelError("one bias of all trials links clusters, and is not computed for a model that has them.")


def _adjusted(fit: Fit, h: NDArray[np.bool_], bias: BiasSize) -> list[tuple[dict[str, object], Any]]:
    made: list[tuple[dict[str, object], Any]] = []
    forms = (bias.form, *(form for form in BIAS_FORMS if form != bias.form))
    for form in forms:
        for times in sorted(MULTIPLES, key=lambda x: x != 1):
            if bias.mean == 0 and times != 1:
                continue
            size = dataclasses.replace(bias, mean=times * bias.mean, form=form)
            try:
                _refuse_common(fit, form)
                what: Effects | str = bias_adjusted_effects(fit.effects, h, size)
            except ModelError as error:
                what = str(error)
            row = {"analysis": _words(form), "kind": "adjusted", "form": form, "bias_mean": size.mean}
            made.append(({**row, "bias_sd": size.sd, "stated": times == 1 and form == bias.form}, what))
    return made


def _words(form: str) -> str:
    return "adjusted, bias by trial" if form == "trial" else "adjusted, one bias of all"


def _solved(fit: Fit, items: Sequence[Effects | str]) -> list[Fit | None]:
    """The fit of each, with the first as it is; None where a reason stands in its place or it cannot be fitted."""
    others = [item for item in items[1:] if isinstance(item, Effects)]
    found = iter(fit_many([(item, fit.model) for item in others], outcome=fit.outcome))
    solved: list[Fit | None] = [fit]
    for item in items[1:]:
        made = next(found) if isinstance(item, Effects) else None
        solved.append(made if isinstance(made, Fit) else None)
    return solved


def _tips(
    fit: Fit, h: NDArray[np.bool_], bias: BiasSize | None, threshold: Threshold | None, cut: float
) -> list[tuple[dict[str, object], Fit | None]]:
    """The mean bias at which each probability reaches the cut-off, the smallest one there is."""
    size = BiasSize(0.0, 0.0) if bias is None else bias
    sign = direction(fit)
    distance = numeric_distance(threshold)
    asked = [("any benefit", 0.0), *([] if distance is None else [("important benefit", distance)])]
    made: list[tuple[dict[str, object], Fit | None]] = []
    effects = fit.effects
    width = float(np.ptp(effects.y)) + 2 * float(effects.se.max())

    def at(means: Sequence[float]) -> list[Fit | None]:
        tasks = [
            (bias_adjusted_effects(effects, h, dataclasses.replace(size, mean=float(mean))), fit.model)
            for mean in means
        ]
        return [item if isinstance(item, Fit) else None for item in fit_many(tasks, outcome=fit.outcome)]

    def chances(fits: Sequence[Fit | None], x: float) -> FloatArray:
        known = [item for item in fits if item is not None]
        values = iter(distributions(known, "mu", np.array([sign * x]), upper=sign > 0)[:, 0].tolist() if known else ())
        return np.array([math.nan if item is None else next(values) for item in fits])

    try:
        _refuse_common(fit, size.form)
        grid = _REACH * width * np.linspace(-1, 1, 2 * _POINTS + 1)
        fits = at(grid.tolist())
    except ModelError:
        return []
    for words, x in asked:
        values = chances(fits, x)
        now = values[_POINTS]
        row: dict[str, object] = {
            "analysis": f"P({words}) = {percent(cut, 0)}",
            "kind": "tipping",
            "form": size.form,
            "bias_sd": size.sd,
        }
        # away from no mean bias towards where the probability can change: more bias where it is reached now
        reached = bool(now >= cut)
        step = 1 if reached else -1
        path = np.arange(_POINTS, -1 if step < 0 else 2 * _POINTS + 1, step)
        sides = values[path] >= cut
        changed = np.flatnonzero(sides != reached)
        if not changed.size or np.isnan(values[path]).any():
            last = float(values[path[-1]])
            side = "stays above" if reached else "stays below"
            note = f"it {side} the cut-off: {percent(last)} at a mean bias of {amount(float(grid[path[-1]]))}"
            made.append(({**row, "note": note}, None))
            continue
        ends = sorted((int(path[changed[0] - 1]), int(path[changed[0]])))
        low, high = (grid[[end]] for end in ends)

        def gap(m: FloatArray, x: float = x) -> FloatArray:
            return chances(at(m.tolist()), x) - cut

        close = (values[[ends[0]]] - cut, values[[ends[1]]] - cut)
        tip = float(roots(gap, low, high, values=close, close=_CLOSE)[0])
        made.append(({**row, "bias_mean": tip}, at([tip])[0]))
    return made


def _framed(
    fit: Fit,
    tasks: Sequence[tuple[dict[str, object], Effects | str]],
    solved: Sequence[Fit | None],
    threshold: Threshold | None,
    level: float,
) -> pd.DataFrame:
    known = [item for item in solved if item is not None]
    found = iter(answers_of(known, level))
    directed = threshold is not None and fit.effects.better is not None
    chances = iter(
        benefit_probabilities_of(known, threshold) if threshold is not None and directed else ({} for _ in known)
    )
    reference: Any = summarize(fit, level=level).loc["mu"]
    centre, spread = float(reference["median"]), float(reference["sd"])
    rows = []
    for (head, what), item in zip(tasks, solved, strict=True):
        row: dict[str, object] = {"form": "", "stated": False, "note": "", **head}
        if item is None:
            rows.append(
                {**row, "note": row["note"] or (what if isinstance(what, str) else "") or "no proper posterior"}
            )
            continue
        answer = next(found)
        change = (answer["mu"] - centre) / spread if math.isfinite(spread) else math.nan
        rows.append({**row, "k": item.effects.k, **answer, **next(chances), "change": change})
    frame = pd.DataFrame(rows)
    names = [item.name for item in COLUMNS if not item.optional or item.name in frame]
    frame = frame.assign(level=level).reindex(columns=names)
    frame["k"] = frame["k"].astype("Int64")
    return frame


def _computed(fit: Fit, options: SectionOptions) -> Computed:
    if options.risk_of_bias is None:
        raise ModelError(
            "the table has no judgements of risk of bias: none are invented, so nothing is restricted or adjusted."
        )
    stated = None if fit.outcome is None else fit.outcome.selection.risk_of_bias
    high, bias = (HIGH_RISK, None) if stated is None else (stated.high, stated.bias)
    return _table(fit, options.risk_of_bias, options.threshold_of(fit), high, bias, options.cut, options.level)


def _verdict(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    mains = answers(table[table["kind"] == "main"], "analysis")
    if not mains:
        return "The main analysis has no numbers to compare with."
    main = mains[0]._replace(name="with all trials")
    said = []
    restricted, adjusted = answers(table[table["kind"] == "restricted"], "analysis"), table["kind"] == "adjusted"
    stated = answers(table[adjusted & table["stated"].astype(bool)], "analysis")
    for others, kept, lost in (
        (restricted, "The answer does not rest on trials at risk of bias: without them", "It rests on trials at risk:"),
        (stated, "With the stated bias taken out", "The stated bias changes the conclusion:"),
    ):
        if others:
            said.append(compared(fit, threshold, main, others, kept=kept, lost=lost, by="", with_main=False))
    tips = table[table["kind"] == "tipping"]
    if len(tips):
        last: Any = tips.iloc[-1]
        sd = f"with s = {amount(float(last['bias_sd']))}"
        if last["note"]:
            said.append(f"{last['analysis'].split(' = ')[0]}: {last['note']} ({sd}).")
        else:
            tip = float(last["bias_mean"])
            verb = "falls to" if tip > 0 else "rises to"
            said.append(f"{last['analysis'].replace('=', verb)} at a mean bias of m = {_size(fit, tip)} {sd}.")
    if not said:
        return "No trial is at high risk of bias."
    return " ".join(said)


def _size(fit: Fit, value: float) -> str:
    """A mean bias; on a log scale as the ratio that it multiplies effects by."""
    if not measure(fit.effects.measure).log:
        return f"{value:.2g}"
    sign = direction(fit)
    return f"{value:.2g} (log scale: a ratio of {math.exp(sign * value):.2g})"


SECTION = Section(
    "risk-of-bias",
    "Does it rest on trials at risk of bias?",
    _computed,
    COLUMNS,
    "Restricted: refitted without those trials. Adjusted: a bias of trials at high risk, positive towards benefit and "
    "on the scale of the analysis, is taken out; the mean is the effect at zero bias. A bias of each trial shifts its "
    "estimates and widens them; one bias of all is shared. P = the cut-off: the mean bias at which the probability of "
    "the mean effect is the one that the panel wants.",
    verdict=_verdict,
    fold=Fold(
        lambda fit, table, threshold: ((table["kind"] == "adjusted") & ~table["stated"].astype(bool)).tolist(),
        "biases of other sizes than the stated one",
        "mu",
    ),
    at_threshold=True,
)
