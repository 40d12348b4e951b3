"""What an answer would be under selection of a stated strength, and how strong it would have to be to change it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from scipy import optimize

from bayesmeta.bias.averaging import turn_of, turned_prior
from bayesmeta.bias.dependence import pairs_of
from bayesmeta.bias.integration import Table, integrate
from bayesmeta.bias.posterior import mean_of, new_study_of, share_above
from bayesmeta.bias.specification import CandidateModel, Ensemble
from bayesmeta.bias.stated import Stated, StatedSelection
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL
from bayesmeta.measures import require_null
from bayesmeta.model import Model
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Threshold
from bayesmeta.questions import numeric_distance
from bayesmeta.questions import threshold as threshold_of

__all__ = ["selection_needed", "stated_selection_table"]

#: Weights at which the probability is looked at before a crossing is followed; the last stands for none at all.
_WEIGHTS = (1.0, 0.5, 0.2, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12)
_TARGETS = ("mean effect", "new study")


class _Question:
    """Estimates and priors, turned, and a benefit: its probability under any stated selection."""

    def __init__(
        self, effects: Effects, model: Model, threshold: Threshold | float | None, direction: str | None, bias: Stated
    ) -> None:
        require_null(effects.measure, "selection of a stated strength")
        self.pairs = pairs_of(effects, model.rho)
        if model != Model(model.mu, model.tau, rho=model.rho):
            raise ModelError(
                "selection of a stated strength needs a model of a mean and a between-study SD alone: no moderators, "
                "normal effects, a normal likelihood."
            )
        self.sign = turn_of(effects, Ensemble("", [CandidateModel(None, None, bias)]), direction)
        if effects.better is None and threshold is not None:
            raise ModelError(
                'a threshold needs a direction of benefit: set better = "higher" or "lower" in the effects.'
            )
        # without a direction of benefit it is the favoured one
        better = self.sign if effects.better is None else 1.0 if effects.better == "higher" else -1.0
        self.scale = better * self.sign
        self.effects, self.model = effects, model
        self.distance = 0.0
        if threshold is not None:
            if not isinstance(threshold, Threshold):
                threshold = threshold_of(threshold, measure_name=effects.measure, better=effects.better or "")
            distance = numeric_distance(threshold)
            if distance is None:
                raise ModelError(f"threshold {threshold.name!r} is a range or a distribution; give one number.")
            self.distance = distance

    def table(self, bias: Stated | None) -> Table:
        mu = turned_prior(self.model.mu, self.sign)
        found = CandidateModel(mu, self.model.tau, bias)
        return integrate(self.sign * self.effects.y, self.effects.se, found, self.pairs)

    def chances(self, table: Table, distance: float) -> tuple[float, float]:
        """P(benefit beyond a distance), of the mean effect and in a new study."""
        mean = float(share_above(table, [distance], [0.0], self.scale)[0])
        return mean, float(new_study_of(table, self.scale).sf(distance))


def stated_selection_table(
    effects: Effects,
    model: Model,
    selections: Sequence[Stated | float],
    threshold: Threshold | float | None = None,
    *,
    direction: str | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """The answer under each of several stated selections, beside that without any.

    Parameters
    ----------
    effects : Effects
        Independent rows, or twos that share patients.
    model : Model
        Priors of the mean effect and of the between-study SD.
    selections : sequence of StatedSelection, ExponentialSelection, CopasSelection or float
        A number is the weight of results with one-sided p above 0.025.
    threshold : Threshold or float, optional
        Smallest important benefit, on the measure's own scale.
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection. Default: the better direction of the effects.
    level : float

    Returns
    -------
    DataFrame
        Rows "none" and one per selection: ``selection median lower upper p_any_benefit p_any_benefit_new
        p_important_benefit p_important_benefit_new log_evidence level``, of the mean effect and, with ``_new``, of the
        effect in a new study. All are exact to the tolerance of the integrals.

    Raises
    ------
    ModelError
        For rows that depend on each other, a model with more than a mean and a between-study SD, a measure without a
        null, and where a direction is needed.

    Examples
    --------
    >>> table = stated_selection_table(effects, model, [0.5, 0.1])
    >>> table["selection"].tolist()
    ['none', 'one-sided p: .025, weights 1, 0.5', 'one-sided p: .025, weights 1, 0.1']
    """
    forms = [StatedSelection((0.025,), (1.0, item)) if isinstance(item, int | float) else item for item in selections]
    if not forms:
        raise ModelError("selections: give at least one, such as 0.2 for results with one-sided p above 0.025.")
    question = _Question(effects, model, threshold, direction, forms[0])
    rows = []
    for form in (None, *forms):
        table = question.table(form)
        lower, median, upper = mean_of([table], [1.0], question.sign).quantile(interval_ends(level)).tolist()
        row: dict[str, Any] = {"selection": "none" if form is None else form.name}
        row |= {"median": median, "lower": lower, "upper": upper}
        for name, distance in (("any", 0.0), ("important", question.distance)):
            if name == "any" or threshold is not None:
                row[f"p_{name}_benefit"], row[f"p_{name}_benefit_new"] = question.chances(table, distance)
        rows.append({**row, "log_evidence": table.log_evidence, "level": level})
    return pd.DataFrame(rows)


def selection_needed(
    effects: Effects,
    model: Model,
    threshold: Threshold | float | None = None,
    *,
    cut: float = 0.8,
    direction: str | None = None,
) -> pd.DataFrame:
    """How strong selection would have to be to move a probability of benefit below the panel's cut-off.

    Results with a one-sided p above 0.025 in the favoured direction are seen with a weight w relative to the others.
    For each w the posterior is exact, and w is followed down from 1.

    Parameters
    ----------
    effects : Effects
        Independent rows, or twos that share patients.
    model : Model
        Priors of the mean effect and of the between-study SD.
    threshold : Threshold or float, optional
        Smallest important benefit, on the measure's own scale. Default: any benefit.
    cut : float
        The probability below which the answer changes.
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection. Default: the better direction of the effects.

    Returns
    -------
    DataFrame
        Rows for ``target`` "mean effect" and "new study": ``cutoff without_selection weight ratio at_limit answer``.
        `weight` is the largest below which the probability is below the cut-off, `ratio` its inverse (how many times
        likelier significant results are seen), `at_limit` the probability where w is one in 10^12. `answer` is
        "weight"; "not possible" (`weight` nan, `ratio` infinite) where the probability stays at the cut-off or above;
        or "without selection" (`weight` and `ratio` 1) where it is below anyway.

    Raises
    ------
    ModelError
        As `stated_selection_table`, and for a cut-off that is not between 0 and 1.

    Examples
    --------
    >>> found = selection_needed(effects, model, cut=0.8)
    >>> found["answer"].tolist()
    ['weight', 'without selection']
    """
    if not 0 < cut < 1:
        raise ModelError(f"cut = {cut}: a probability between 0 and 1, such as 0.8.")
    question = _Question(effects, model, threshold, direction, StatedSelection((0.025,), (1.0, 0.5)))
    known: dict[float, tuple[float, float]] = {}

    def at(weight: float) -> tuple[float, float]:
        if weight not in known:
            form = None if weight == 1.0 else StatedSelection((0.025,), (1.0, weight))
            known[weight] = question.chances(question.table(form), question.distance)
        return known[weight]

    rows = []
    for i, target in enumerate(_TARGETS):
        row: dict[str, Any] = {"target": target, "cutoff": cut, "without_selection": at(1.0)[i]}
        crossed = next((n for n, weight in enumerate(_WEIGHTS) if at(weight)[i] < cut), None)
        if crossed == 0:
            row |= {"weight": 1.0, "ratio": 1.0, "answer": "without selection"}
        elif crossed is None:
            row |= {"weight": math.nan, "ratio": math.inf, "answer": "not possible"}
        else:
            low, high = math.log(_WEIGHTS[crossed]), math.log(_WEIGHTS[crossed - 1])
            log = optimize.brentq(lambda log, i=i: at(math.exp(log))[i] - cut, low, high, xtol=1e-7)
            row |= {"weight": math.exp(log), "ratio": math.exp(-log), "answer": "weight"}
        rows.append({**row, "at_limit": at(_WEIGHTS[-1])[i]})
    columns = ["target", "cutoff", "without_selection", "weight", "ratio", "at_limit", "answer"]
    return pd.DataFrame(rows, columns=columns)
