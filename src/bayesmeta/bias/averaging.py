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

from bayesmeta.bias.dependence import Pairs, pairs_of, precision_times
from bayesmeta.bias.ensembles import ensemble as named_ensemble
from bayesmeta.bias.ensembles import planned_ensemble, with_moderators
from bayesmeta.bias.importance import LIMIT, Sampled, sample_model
from bayesmeta.bias.integration import Table, integrate
from bayesmeta.bias.mixing import atom, mixed
from bayesmeta.bias.posterior import draws_of, mean_of, new_study_of, share_above, slope_of, study_of, tau_of
from bayesmeta.bias.regression import Columns, Regression, regress
from bayesmeta.bias.specification import PEESE, PET, CandidateModel, Ensemble, StepSelection
from bayesmeta.bias.stated import StatedSelection
from bayesmeta.effects import Effects
from bayesmeta.errors import Check, ModelError, find_name
from bayesmeta.fits import Fit
from bayesmeta.marginals import Marginal, Marginals, Separate
from bayesmeta.measures import require_null
from bayesmeta.model import Coefficient, Design, Model, build_design
from bayesmeta.numerics import roots
from bayesmeta.plan import BiasPlan, Outcome
from bayesmeta.priors import Cauchy, HalfCauchy, Normal, Prior, StudentT, Truncated, Uniform, resolve

__all__ = ["AveragePosterior", "average", "average_of", "favoured", "models_of", "turn_of"]

FloatArray = NDArray[np.float64]
Part = Table | Regression | Sampled
#: A model that holds less changes no digit.
_LIGHT = 1e-13
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
    tables : tuple of Table, Regression or Sampled
        One per model of the ensemble, of turned effects: on nodes of mean and tau; with moderators analytic given tau
        or, where there is selection by p, by importance sampling.
    shares : array of shape (N,)
        Posterior probabilities of the models.
    sign : {1.0, -1.0}
        What effects were multiplied by so that the direction of selection is positive.
    """

    design: Design
    ensemble: Ensemble
    tables: tuple[Part, ...]
    shares: FloatArray
    sign: float
    _tabulated: dict[tuple[tuple[float, ...], str | None], Marginal] = field(
        default_factory=dict, init=False, repr=False
    )

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
        """Linear functions of the coefficients: see `bayesmeta.fits.Posterior`.

        Raises
        ------
        ModelError
            For a deviation beyond that of a new study.
        """
        if spread is not None:
            raise ModelError("an average of models has no deviation beyond that of a new study.")
        flags = [None] * len(rows) if new is None else new
        return Separate([self._quantity(tuple(row.tolist()), flag) for row, flag in zip(rows, flags, strict=True)])

    def _quantity(self, row: tuple[float, ...], new: str | None) -> Marginal:
        """A linear function of the coefficients, with the deviation of a new study; tabulated once."""
        if (row, new) not in self._tabulated:
            self._tabulated[row, new] = self._tabulate(np.array(row), new)
        return self._tabulated[row, new]

    def _tabulate(self, row: FloatArray, new: str | None) -> Marginal:
        if new is not None and row[0] == 0:
            raise ModelError("the effect in a new study has the weight of its mean, which is not zero.")
        scale = self.sign * float(row[0])
        forms: list[Marginal] = []
        shares: list[float] = []
        means = []
        for share, part in zip(self.shares.tolist(), self.tables, strict=True):
            if share <= _LIGHT:
                continue
            if isinstance(part, Table) and (new is None or part.model.tau is None):
                # tabulated together
                means.append((share, part))
                continue
            forms.append(
                new_study_of(part, scale)
                if isinstance(part, Table)
                else part.quantity(row, self.sign, new=new is not None)
            )
            shares.append(share)
        if means:
            held = [share for share, _ in means]
            forms.append(atom(0.0) if scale == 0 else mean_of([part for _, part in means], held, scale))
            shares.append(math.fsum(held))
        return mixed(np.array(shares) / math.fsum(shares), forms)

    def studies(self, chosen: Sequence[int] | None = None) -> Marginals:
        """True effects of the trials, all in row order or those chosen."""
        rows = range(self.tables[0].rows.y.size) if chosen is None else chosen
        kept = np.flatnonzero(self.shares > _LIGHT)
        shares = self.shares[kept] / self.shares[kept].sum()
        return Separate([mixed(shares, [_study(self.tables[i], row, self.sign) for i in kept]) for row in rows])

    def named(self, name: str) -> Marginal:
        """One of `scalars`, with an atom at zero for models that lack it."""
        if name == "tau":
            return mixed(self.shares, [_tau(part) for part in self.tables])
        biased = [i for i, table in enumerate(self.tables) if _is(table.model, name) and self.shares[i] > 0]
        rest = 1.0 - float(self.shares[biased].sum())
        forms = [_slope(self.tables[i]) for i in biased]
        return mixed(np.array([*self.shares[biased], rest]), [*forms, atom(0.0)])

    def share_beyond(
        self, row: FloatArray, distance: float, sign: int, p: FloatArray, shares: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Posterior of the share of true effects beyond a distance: see `bayesmeta.fits.Posterior`.

        Under a common effect all true effects lie on one side.
        """
        new = self.quantities(row[None, :], ["theta_new"])
        mean = float((new.sf(distance) if sign > 0 else new.cdf(-distance))[0, 0])
        kept = np.flatnonzero(self.shares > _LIGHT)

        def at_most(z: FloatArray) -> FloatArray:
            # a share of Phi(z) or more is a mean beyond the distance by z standard deviations
            beyond = np.full(z.size, distance)
            above = sum(self.shares[i] * _above(self.tables[i], row, beyond, z, sign * self.sign) for i in kept)
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
        for share, part in zip(self.shares, self.tables, strict=True):
            held = part.mass.sum(axis=1) if isinstance(part, Table) else part.weights
            ones = np.ones((effects.k, 1))
            precision = precision_times(part.rows.se, part.rows.pairs, part.tau, ones)[:, :, 0]
            total += share * (held @ (precision / precision.sum(axis=1, keepdims=True)))
        return total

    def draws(self, rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, FloatArray]:
        """Draws of the coefficients and of the between-study SD together, of shape (..., chains, draws)."""
        counts = rng.multinomial(shape[0] * shape[1], self.shares / self.shares.sum())
        found = [self._draws(part, n, rng) for part, n in zip(self.tables, counts.tolist(), strict=True) if n]
        beta, tau = (np.concatenate([pair[i] for pair in found], axis=-1) for i in (0, 1))
        order = rng.permutation(tau.size)
        return {"coefficients": self.sign * beta[:, order].reshape(-1, *shape), "tau": tau[order].reshape(shape)}

    def _draws(self, part: Part, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draws of the design's coefficients (p, size), whose first is the mean over the observed mix, and of tau."""
        if isinstance(part, Table):
            mu, tau = draws_of(part, size, rng)
            return np.vstack([mu, np.zeros((self.design.p - 1, size))]), tau
        beta, tau = part.draws(size, rng)
        beta[0] += part.columns.shift @ beta[1:]
        return beta, tau


def _study(part: Part, row: int, sign: float) -> Marginal:
    return study_of(part, row, sign) if isinstance(part, Table) else part.study(row, sign)


def _tau(part: Part) -> Marginal:
    if isinstance(part, Table):
        return tau_of(part)
    return atom(0.0) if part.tau_marginal is None else part.tau_marginal


def _slope(part: Part) -> Marginal:
    assert not isinstance(part, Sampled)
    return slope_of(part) if isinstance(part, Table) else part.slope_of()


def _above(part: Part, row: FloatArray, distance: FloatArray, z: FloatArray, sign: float) -> FloatArray:
    if isinstance(part, Table):
        return share_above(part, distance, z, sign * float(row[0]))
    return part.share_above(row, distance, z, sign)


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
    if not _directed(ensemble):
        return 1.0
    raise ModelError(
        "one-sided selection, PET and PEESE need to know which results are favoured, and these effects do not say "
        'which direction is better. Give direction = "higher" or "lower", or use the ensemble "2w" (two-sided p).'
    )


def _directed(ensemble: Ensemble) -> bool:
    """Whether some model favours one direction."""
    return any(
        m.bias is not None and not (isinstance(m.bias, StepSelection | StatedSelection) and m.bias.sides == "two")
        for m in ensemble.models
    )


def favoured(fit: Fit) -> str:
    """Which effects are favoured by the models of selection of an average.

    Parameters
    ----------
    fit : Fit
        Of `average`.

    Returns
    -------
    str
        "higher" or "lower"; "neither" where all models of selection are two-sided, or there are none.

    Raises
    ------
    ModelError
        For a fit of one model.

    Examples
    --------
    >>> favoured(bm.average(effects, "2w"))
    'neither'
    """
    posterior = models_of(fit)
    if not _directed(posterior.ensemble):
        return "neither"
    return "higher" if posterior.sign > 0 else "lower"


#: Measures of which the priors of the published averages are.
_STANDARDISED = ("SMD", "SMDH")


def average_of(fit: Fit, plan: BiasPlan | None = None) -> Fit:
    """Average models of publication bias for the rows of an analysis, as a plan states it.

    Parameters
    ----------
    fit : Fit
        The pooled analysis, whose rows, direction and thresholds are used.
    plan : BiasPlan, optional
        Default: RoBMA's 36 models. Priors that it does not state are those of the ensemble for standardised mean
        differences, of which these are, and those of the analysis for other measures. There the slope of PEESE is in
        their unit: half-Cauchy(5 / s), with s half the width of the central 68.3 % of the prior of mu.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        As `average`, and where neither the plan nor an analysis of another measure has a prior of tau.
    InferenceError
        Where an integral does not settle.

    Examples
    --------
    >>> from bayesmeta.plan import BiasPlan
    >>> average_of(fit, BiasPlan("bma")).engine
    'average'
    """
    plan = BiasPlan() if plan is None else plan
    require_null(fit.effects.measure, "an average over models of publication bias")
    if fit.effects.measure not in _STANDARDISED:
        tau = plan.tau or fit.model.tau
        if tau is None:
            raise ModelError(
                f"publication bias: the ensemble's prior of tau is of standardised mean differences, not of "
                f"{fit.effects.measure}, and the analysis has none. State tau in [bias]."
            )
        plan = dataclasses.replace(plan, mu=plan.mu or fit.model.mu, tau=tau)
    ensemble = planned_ensemble(plan)
    if fit.effects.measure not in _STANDARDISED and plan.mu is not None:
        low, high = plan.mu.ppf(special.ndtr([-1.0, 1.0])).tolist()
        slope = HalfCauchy(5.0 / (0.5 * (high - low)))
        models = [
            dataclasses.replace(m, bias=PEESE(slope)) if isinstance(m.bias, PEESE) else m for m in ensemble.models
        ]
        ensemble = dataclasses.replace(ensemble, models=tuple(models))
    return average(fit.effects, ensemble, direction=plan.direction, rho=fit.model.rho, outcome=fit.outcome)


def average(
    effects: Effects,
    ensemble: Ensemble | str = "psma",
    *,
    mu: Prior | None = None,
    tau: Prior | None = None,
    moderators: Mapping[str, Prior | Coefficient] = MappingProxyType({}),
    direction: str | None = None,
    rho: float = 0.5,
    outcome: Outcome | None = None,
) -> Fit:
    """Average models of an effect, of heterogeneity and of publication bias, by quadrature.

    Each model is an integral of at most five dimensions: over mean, between-study SD, and the weights of p or the slope
    on the standard error. All of them are taken by nested rules until answers settle to 1e-7; nothing is simulated.

    Parameters
    ----------
    effects : Effects
        Of a measure that has a null. Rows that share patients in twos enter by their bivariate normal density, and are
        selected by both p values; larger blocks and clusters are refused.
    ensemble : Ensemble or str
        A name of `bayesmeta.bias.ENSEMBLES`, or models of one's own.
    mu, tau : Prior, optional
        Of a named ensemble, in place of its own. Priors of mu are of effects in their own direction, and symmetric
        ones are the same either way.
    moderators : mapping of str to Prior or Coefficient, optional
        Each with a normal prior around zero: of the deviation of every level from the mean of the levels, or of the
        slope. Every model is taken with and without each of them, one half a priori. Coefficients are integrated
        analytically, but under selection by p, where importance sampling gives the evidence to one percent and a
        draw stands for a kernel of a tenth of a posterior SD.
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection. Default: the better direction of the effects.
    rho : float
        Correlation of the true effects of two rows that share patients, as of `bayesmeta.Model`.
    outcome : Outcome, optional
        Stored with the fit for tables.

    Returns
    -------
    Fit
        Engine ``"average"``; every question that does not need refits is answered. `models_of` gives its models.

    Raises
    ------
    ModelError
        For rows that depend on each other otherwise, a measure without a null, one-sided models without a direction.
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
    pairs = pairs_of(effects, rho)
    sign = turn_of(effects, ensemble, direction)
    if moderators:
        ensemble = with_moderators(ensemble, list(moderators))
    # where no model has an effect, what stands in the place of its prior is used by nothing
    model = Model(
        mu=next((m.mu for m in ensemble.models if m.mu is not None), None) or Normal(0, 1),
        tau=next((m.tau for m in ensemble.models if m.tau is not None), None),
        beta=dict(moderators),
        rho=rho,
    )
    design = build_design(effects, model)
    columns = _columns(design, moderators)
    turned = [
        dataclasses.replace(m, mu=turned_prior(m.mu, sign), tau=None if m.tau is None else resolve(m.tau))
        for m in ensemble.models
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # arrays are summed without the interpreter's lock; each model is computed alone, so that none depends on others
        tables = tuple(pool.map(lambda m: _part(sign * effects.y, effects.se, pairs, m, design, columns), turned))
    log = np.log([m.weight for m in ensemble.models]) + np.array([table.log_evidence for table in tables])
    shares = np.exp(log - special.logsumexp(log))
    posterior = AveragePosterior(design, ensemble, tables, shares, sign)
    worst = max((part.error for part in tables if not isinstance(part, Sampled)), default=0.0)
    text = "Largest change of an answer between nested rules, over all models."
    checks = [Check("quadrature error", worst <= _LIMIT, worst, _LIMIT, text)]
    if any(isinstance(part, Sampled) for part in tables):
        worst = max(part.error for part in tables if isinstance(part, Sampled))
        text = "Largest relative standard error of the evidence of a model with moderators and selection by p."
        checks.append(Check("importance sampling error", worst <= LIMIT, worst, LIMIT, text))
    return Fit(effects, model, "average", tuple(checks), 1, posterior, outcome)


def _part(y: FloatArray, se: FloatArray, pairs: Pairs, model: CandidateModel, design: Design, columns: Columns) -> Part:
    """One model, by the cheapest integral that is exact, or else by importance sampling."""
    if not model.moderators:
        return integrate(y, se, model, pairs)
    chosen = [term.columns for term in design.terms if term.name in model.moderators]
    used = [0] * (model.mu is not None) + [i for part in chosen for i in range(part.start, part.stop)]
    if isinstance(model.bias, StepSelection):
        return sample_model(y, se, columns, model, np.array(used), pairs)
    return regress(y, se, columns, model, np.array(used), pairs)


def _columns(design: Design, moderators: Mapping[str, Prior | Coefficient]) -> Columns:
    """Columns in which every level's deviation from the mean of the levels has the stated prior."""
    sd, shift = np.ones(design.p - 1), np.zeros(design.p - 1)
    for term in design.terms[1:]:
        prior = moderators.get(term.name)
        prior = prior.prior if isinstance(prior, Coefficient) else prior
        if not isinstance(prior, Normal) or prior.mean != 0 or ":" in term.name:
            raise ModelError(
                f"moderator {term.name}: an average takes single moderators with a normal prior around zero, such as "
                "normal(0, 0.25)."
            )
        factor, here = design.factors[term.name], slice(term.columns.start - 1, term.columns.stop - 1)
        levels = len(factor.levels)
        # of an orthonormal basis of K levels the deviation of one has 1 - 1 / K of the coefficients' variance
        sd[here] = prior.sd / math.sqrt(1.0 - 1.0 / levels) if levels else prior.sd
        shift[here] = factor.centre @ factor.basis if levels else 0.0
    X = design.X.copy()
    X[:, 1:] += shift
    return Columns(X, sd, shift)


def turned_prior(prior: Prior | None, sign: float) -> Prior | None:
    """A prior of the turned mean."""
    if prior is None:
        return None
    return resolve(prior) if sign > 0 else _mirrored(resolve(prior))


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
