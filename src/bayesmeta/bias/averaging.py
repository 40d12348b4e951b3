"""Models averaged by their evidence: a posterior like any other, and what its models say one by one."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.bias.ensembles import ensemble as named_ensemble
from bayesmeta.bias.integration import Table, integrate
from bayesmeta.bias.mixing import atom, mixed
from bayesmeta.bias.posterior import draws_of, mean_of, new_study_of, share_above, slope_of, study_of, tau_of
from bayesmeta.bias.specification import PEESE, PET, CandidateModel, Ensemble, StepSelection
from bayesmeta.bias.stated import StatedSelection
from bayesmeta.effects import Effects
from bayesmeta.errors import Check, ModelError, find_name
from bayesmeta.fits import Fit
from bayesmeta.marginals import Marginal, Marginals, Separate
from bayesmeta.measures import require_null
from bayesmeta.model import Design, Model, build_design
from bayesmeta.numerics import roots
from bayesmeta.plan import Outcome
from bayesmeta.priors import Cauchy, Normal, Prior, StudentT, Truncated, Uniform

__all__ = ["AveragePosterior", "average", "models_of", "turn_of"]

FloatArray = NDArray[np.float64]
#: Beyond this normal quantile a share is zero or one in double precision.
_FAR = 8.3
_WHERE = ("higher", "lower")
#: Largest change of an answer between nested rules.
_LIMIT = 1e-6


@dataclass(frozen=True, eq=False)
class AveragePosterior:
    """The posterior of an average of models; implements `bayesmeta.fits.Posterior`.

    Attributes
    ----------
    design : Design
    ensemble : Ensemble
    tables : tuple of Table
        One per model of the ensemble, of turned effects.
    shares : array of shape (N,)
        Posterior probabilities of the models.
    sign : {1.0, -1.0}
        What effects were multiplied by so that the direction of selection is positive.
    """

    design: Design
    ensemble: Ensemble
    tables: tuple[Table, ...]
    shares: FloatArray
    sign: float
    _tabulated: dict[tuple[float, str | None], Marginal] = field(default_factory=dict, init=False, repr=False)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of a sampler: none, nothing is simulated."""
        return MappingProxyType({})

    @property
    def prior_shares(self) -> FloatArray:
        """Prior probabilities of the models, shape (N,)."""
        return np.array([model.weight for model in self.ensemble.models])

    @property
    def log_evidence(self) -> float:
        """Log density of the data under the average."""
        return float(special.logsumexp([table.log_evidence for table in self.tables], b=self.prior_shares))

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of all parameters beyond the mean; weights of p stand in `weight_table`."""
        slopes = dict.fromkeys(model.bias.name for model in self.ensemble.models if isinstance(model.bias, PET | PEESE))
        tau = ("tau",) if any(model.tau is not None for model in self.ensemble.models) else ()
        return (*tau, *slopes)

    @property
    def new_studies(self) -> tuple[str, ...]:
        """The effect in a new study."""
        return ("theta_new",)

    def quantities(
        self,
        rows: FloatArray,
        new: Sequence[str | None] | None = None,
        *,
        spread: tuple[str, float] | None = None,
        seed: int = 1,
    ) -> Marginals:
        """Multiples of the mean effect: see `bayesmeta.fits.Posterior`; nothing is drawn.

        Raises
        ------
        ModelError
            For a deviation beyond that of a new study.
        """
        if spread is not None:
            raise ModelError("an average of models has no deviation beyond that of a new study.")
        flags = [None] * len(rows) if new is None else new
        return Separate([self._multiple(float(row[0]), flag) for row, flag in zip(rows, flags, strict=True)])

    def _multiple(self, factor: float, new: str | None) -> Marginal:
        """A multiple of the mean effect, or of the effect in a new study; tabulated once."""
        if (factor, new) not in self._tabulated:
            self._tabulated[factor, new] = self._tabulate(factor, new)
        return self._tabulated[factor, new]

    def _tabulate(self, factor: float, new: str | None) -> Marginal:
        scale = self.sign * factor
        if new is None:
            return atom(0.0) if scale == 0 else mean_of(self.tables, self.shares, scale)
        if scale == 0:
            raise ModelError("the effect in a new study has the weight of its mean, which is not zero.")
        common = [i for i, table in enumerate(self.tables) if table.model.tau is None]
        varied = [i for i, table in enumerate(self.tables) if table.model.tau is not None and self.shares[i] > 1e-13]
        forms = [new_study_of(self.tables[i], scale) for i in varied]
        shares = [float(self.shares[i]) for i in varied]
        if common and self.shares[common].sum() > 0:
            forms.append(mean_of([self.tables[i] for i in common], self.shares[common], scale))
            shares.append(float(self.shares[common].sum()))
        return mixed(np.array(shares) / sum(shares), forms)

    def studies(self, chosen: Sequence[int] | None = None) -> Marginals:
        """True effects of the trials, all in row order or those chosen."""
        rows = range(self.tables[0].rows.y.size) if chosen is None else chosen
        kept = np.flatnonzero(self.shares > 1e-13)
        shares = self.shares[kept] / self.shares[kept].sum()
        return Separate([mixed(shares, [study_of(self.tables[i], row, self.sign) for i in kept]) for row in rows])

    def named(self, name: str) -> Marginal:
        """One of `scalars`, with an atom at zero for models that lack it."""
        if name == "tau":
            return mixed(self.shares, [tau_of(table) for table in self.tables])
        biased = [i for i, table in enumerate(self.tables) if _is(table.model, name) and self.shares[i] > 0]
        rest = 1.0 - float(self.shares[biased].sum())
        forms = [slope_of(self.tables[i]) for i in biased]
        return mixed(np.array([*self.shares[biased], rest]), [*forms, atom(0.0)])

    def share_beyond(
        self, row: FloatArray, distance: float, sign: int, p: FloatArray, shares: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Posterior of the share of true effects beyond a distance: see `bayesmeta.fits.Posterior`.

        Under a common effect all true effects lie on one side.
        """
        scale = sign * self.sign * float(row[0])
        new = self.quantities(row[None, :], ["theta_new"])
        mean = float((new.sf(distance) if sign > 0 else new.cdf(-distance))[0, 0])
        kept = np.flatnonzero(self.shares > 1e-13)

        def at_most(z: FloatArray) -> FloatArray:
            # a share of Phi(z) or more is a mean beyond the distance by z standard deviations
            above = sum(self.shares[i] * share_above(self.tables[i], np.full(z.size, distance), z, scale) for i in kept)
            return 1.0 - np.asarray(above)

        z = roots(
            lambda z: np.where(at_most(z) >= p, 1.0, -1.0), np.full(p.size, -_FAR), np.full(p.size, _FAR), width=1e-9
        )
        return mean, special.ndtr(z), 1.0 - at_most(special.ndtri(shares))

    def largest(self, rows: FloatArray, above: float | None = None) -> tuple[FloatArray, FloatArray]:
        """Not available: an average has one mean.

        Raises
        ------
        ModelError
            Always.
        """
        raise ModelError("an average of models has one mean effect: none of several is the largest.")

    def weights(self, effects: Effects) -> FloatArray:
        """Inverse variances of the estimates, averaged over models and tau, up to a factor, shape (k,)."""
        total = np.zeros(effects.k)
        for share, table in zip(self.shares, self.tables, strict=True):
            precision = 1.0 / (table.rows.se**2 + table.tau[:, None] ** 2)
            total += share * (table.mass.sum(axis=1) @ (precision / precision.sum(axis=1, keepdims=True)))
        return total

    def draws(self, rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, FloatArray]:
        """Draws of mean and between-study SD together, of shape (..., chains, draws)."""
        counts = rng.multinomial(shape[0] * shape[1], self.shares / self.shares.sum())
        found = [draws_of(table, n, rng) for table, n in zip(self.tables, counts.tolist(), strict=True) if n]
        mu, tau = (np.concatenate([pair[i] for pair in found]) for i in (0, 1))
        order = rng.permutation(mu.size)
        return {"coefficients": (self.sign * mu[order]).reshape(1, *shape), "tau": tau[order].reshape(shape)}


def _is(model: CandidateModel, name: str) -> bool:
    return model.bias is not None and model.bias.name == name


def turn_of(effects: Effects, ensemble: Ensemble, direction: str | None = None) -> float:
    """What effects are multiplied by so that the direction of selection is positive.

    Parameters
    ----------
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection; default is the better direction of the effects.

    Raises
    ------
    ModelError
        Where a bias model needs a direction and none is stated.
    """
    stated = effects.better if direction is None else find_name("direction", direction, _WHERE)
    if stated is not None:
        return 1.0 if stated == "higher" else -1.0
    two_sided = (StepSelection, StatedSelection)
    if all(m.bias is None or (isinstance(m.bias, two_sided) and m.bias.sides == "two") for m in ensemble.models):
        return 1.0
    raise ModelError(
        "one-sided selection, PET and PEESE need to know which results are favoured, and these effects do not say "
        'which direction is better. Give direction = "higher" or "lower", or use the ensemble "2w" (two-sided p).'
    )


def average(
    effects: Effects,
    ensemble: Ensemble | str = "psma",
    *,
    mu: Prior | None = None,
    tau: Prior | None = None,
    direction: str | None = None,
    outcome: Outcome | None = None,
) -> Fit:
    """Average models of an effect, of heterogeneity and of publication bias, by quadrature.

    Each model is an integral of at most five dimensions: over mean, between-study SD, and the weights of p or the slope
    on the standard error. All of them are taken by nested rules until answers settle to 1e-7; nothing is simulated.

    Parameters
    ----------
    effects : Effects
        Independent rows of a measure that has a null.
    ensemble : Ensemble or str
        A name of `bayesmeta.bias.ENSEMBLES`, or models of one's own.
    mu, tau : Prior, optional
        Of a named ensemble, in place of its own. Priors of mu are of effects in their own direction, and symmetric
        ones are the same either way.
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection. Default: the better direction of the effects.
    outcome : Outcome, optional
        Stored with the fit for tables.

    Returns
    -------
    Fit
        Engine ``"average"``; every question that does not need refits is answered. `models_of` gives its models.

    Raises
    ------
    ModelError
        For rows that depend on each other, a measure without a null, and one-sided models without a direction.
    InferenceError
        Where an integral does not settle.

    References
    ----------
    Bartos F, Maier M, Wagenmakers EJ, Doucouliagos H, Stanley TD. Res Synth Methods 2023;14:99-116.
    doi:10.1002/jrsm.1594

    Examples
    --------
    >>> averaged = bm.average(effects, "bma")
    >>> averaged.engine, len(averaged.posterior.tables)
    ('average', 4)
    """
    require_null(effects.measure, "an average over models of publication bias")
    if isinstance(ensemble, str):
        ensemble = named_ensemble(ensemble, mu=mu, tau=tau)
    elif mu is not None or tau is not None:
        raise ModelError("mu and tau are of a named ensemble; one of one's own has priors in its models.")
    require_independent(effects)
    sign = turn_of(effects, ensemble, direction)
    turned = [CandidateModel(turned_prior(m.mu, sign), m.tau, m.bias, m.weight) for m in ensemble.models]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # arrays are summed without the interpreter's lock; each model is computed alone, so that none depends on others
        tables = tuple(pool.map(lambda model: integrate(sign * effects.y, effects.se, model), turned))
    log = np.log([m.weight for m in ensemble.models]) + np.array([table.log_evidence for table in tables])
    shares = np.exp(log - special.logsumexp(log))
    # where no model has an effect, what stands in the place of its prior is used by nothing
    model = Model(
        mu=next((m.mu for m in ensemble.models if m.mu is not None), None) or Normal(0, 1),
        tau=next((m.tau for m in ensemble.models if m.tau is not None), None),
    )
    posterior = AveragePosterior(build_design(effects, model), ensemble, tables, shares, sign)
    worst = max(table.error for table in tables)
    check = Check(
        "quadrature error",
        worst <= _LIMIT,
        worst,
        _LIMIT,
        "Largest change of an answer between nested rules, over all models.",
    )
    return Fit(effects, model, "average", (check,), 1, posterior, outcome)


def require_independent(effects: Effects) -> None:
    repeated = effects.n_trials < effects.k
    if effects.blocks or effects.cluster is not None or repeated:
        raise ModelError(
            f"publication bias: {effects.k} rows of {effects.n_trials} trials depend on each other, and the models of "
            "selection take them as independent. Choose one row per trial, or combine the rows of a trial first."
        )


def turned_prior(prior: Prior | None, sign: float) -> Prior | None:
    """A prior of the turned mean."""
    if prior is None or sign > 0:
        return prior
    return _mirrored(prior)


def _mirrored(prior: Prior) -> Prior:
    """The prior of -x."""
    if isinstance(prior, Truncated):
        return dataclasses.replace(prior, prior=_mirrored(prior.prior), low=-prior.high, high=-prior.low)
    if isinstance(prior, Uniform):
        return Uniform(-prior.high, -prior.low)
    if isinstance(prior, Normal):
        return Normal(-prior.mean, prior.sd)
    if isinstance(prior, Cauchy | StudentT):
        return dataclasses.replace(prior, loc=-prior.loc)
    raise ModelError(
        f'{prior!r} has no mirror image, which a better direction of "lower" needs. Use a truncated one, such as '
        "truncated(normal(0, 1), -inf, 0)."
    )


def models_of(fit: Fit) -> AveragePosterior:
    """The models of an average.

    Raises
    ------
    ModelError
        For a fit of one model.
    """
    if not isinstance(fit.posterior, AveragePosterior):
        raise ModelError("this fit is of one model. Average several with `bayesmeta.average`.")
    return fit.posterior


def log_bayes_factor(prior: FloatArray, posterior: FloatArray, included: NDArray[np.bool_]) -> float:
    """Logarithm of the inclusion Bayes factor: posterior odds of the included models over their prior odds."""
    with np.errstate(divide="ignore"):
        odds = [math.log(p[included].sum()) - math.log(p[~included].sum()) for p in (posterior, prior)]
    return odds[0] - odds[1]
