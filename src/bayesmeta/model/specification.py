"""What is assumed: pure data, no sampler."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from bayesmeta.errors import ModelError
from bayesmeta.priors import Cauchy, Normal, Prior, StudentT, Truncated, Uniform, resolve

__all__ = [
    "Coefficient",
    "Exchangeable",
    "Likelihood",
    "MissingLevels",
    "MissingNumeric",
    "MissingSD",
    "Model",
    "Monotone",
    "OutlierEffects",
    "Spline",
    "StudentEffects",
    "TauBy",
    "Term",
    "prior_text",
]

# priors of a location that the engines can integrate: normal kernels, scale mixtures of them, and cut ones
_LOCATION = "normal, studentt, cauchy, flat, uniform, truncated, cochrane(..., parameter='mu')"


def _check_location(prior: object, where: str) -> None:
    if not isinstance(prior, Prior):
        raise ModelError(f"{where}: {prior!r} is not a prior. Give one, for example Normal(0, 1).")
    kernel = resolve(prior)
    if isinstance(kernel, Truncated):
        kernel = resolve(kernel.prior)
    if not (isinstance(kernel, (Normal, StudentT, Cauchy, Uniform)) or kernel.name == "flat"):
        raise ModelError(f"{where}: {prior!r} is not a prior of a location. Allowed: {_LOCATION}.")


@dataclass(frozen=True, slots=True)
class Coefficient:
    """The prior of one moderator's coefficient, and what the coefficient is of.

    Parameters
    ----------
    prior : Prior
        Numeric moderator: of the slope per ``per`` units. Categorical: of the contrast between any two levels.
        Interaction: of the difference between two such slopes or contrasts.
    per : float
        The unit of a numeric moderator, for example 6 for "per 6 weeks".
    reference : str, optional
        The level that contrasts are printed against; it changes no number of the fit. Default: the first in
        alphabetical order.
    between : Prior, optional
        The coefficients within trials and between them are separate: ``x_ij b + mean_i(x) d``, with ``prior`` of
        b, the difference within a trial, and this of d, by how much the difference between trials is another. Default:
        one coefficient for both.

    References
    ----------
    Neuhaus JM, Kalbfleisch JD. Biometrics 1998;54:638-645. doi:10.2307/3109770
    """

    prior: Prior
    per: float = 1.0
    reference: str | None = None
    between: Prior | None = field(default=None, metadata={"later": True})

    @property
    def text(self) -> str:
        """The prior in words."""
        return repr(self.prior) + (f", between - within {self.between!r}" if self.between else "")

    def __post_init__(self) -> None:
        _check_location(self.prior, "coefficient")
        if self.between is not None:
            _check_location(self.between, "coefficient, between")
        if not (math.isfinite(self.per) and self.per > 0):
            raise ModelError(f"per = {self.per} is not a positive number.")


def prior_text(term: Term) -> str:
    """Write the prior of a term for people, with four digits and the unit of a slope.

    Examples
    --------
    >>> prior_text(Coefficient(Normal(0, 0.02975544), per=6))
    'normal(0, 0.02976) per 6'
    """
    rounded = re.sub(r"\d+\.\d{5,}(e-?\d+)?", lambda found: f"{float(found.group()):.4g}", term.text)
    per = getattr(term, "per", 1.0)
    return rounded if per == 1 else f"{rounded} per {per:g}"


def _check_positive(prior: object, where: str) -> None:
    """Refuse what cannot be the prior of a standard deviation or another positive number."""
    if not isinstance(prior, Prior):
        raise ModelError(f"{where}: {prior!r} is not a prior. Give one, for example HalfNormal(0.5).")
    if prior.name != "flat" and resolve(prior).support[0] < 0:
        raise ModelError(
            f"{where}: {prior!r} reaches below zero. Use a half-family, such as halfnormal(0.5), or cut it at 0."
        )


def _check_proper(prior: Prior, where: str) -> None:
    if not prior.proper:
        raise ModelError(f"{where}: {prior!r} is improper. Use a proper prior.")


def _check_positive_number(value: float, where: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ModelError(f"{where} = {value} is not a positive number.")


@dataclass(frozen=True, slots=True)
class Exchangeable:
    """A categorical moderator whose levels are draws from a population of levels: class effects.

    Level l deviates by ``d_l ~ N(0, s**2)`` with ``s`` estimated, so that levels borrow from each other as far as the
    data say that they are alike; a `Coefficient` fixes ``s`` instead. A contrast of two levels has SD ``s * sqrt(2)``.

    Parameters
    ----------
    sd : Prior
        Of ``s``; proper.
    reference : str, optional
        The level that contrasts are printed against.

    References
    ----------
    Dias S, Sutton AJ, Welton NJ, Ades AE. Med Decis Making 2013;33:618-640. doi:10.1177/0272989X13485157
    """

    sd: Prior
    reference: str | None = None

    @property
    def text(self) -> str:
        """The prior in words."""
        return f"levels exchangeable, SD {self.sd!r}"

    def __post_init__(self) -> None:
        _check_positive(self.sd, "exchangeable sd")
        _check_proper(self.sd, "exchangeable sd")


def _check_knots(knots: tuple[float, ...] | int) -> tuple[float, ...] | int:
    if isinstance(knots, int):
        if not 3 <= knots <= 10:
            raise ModelError(f"knots = {knots}: give 3 to 10 of them, or their places.")
        return knots
    places = tuple(float(value) for value in knots)
    if len(places) < 3 or any(not a < b for a, b in pairwise(places)):
        raise ModelError(f"knots = {places}: places ascend, and there are at least three.")
    return places


@dataclass(frozen=True, slots=True)
class Spline:
    """A numeric moderator with a smooth dose-response: a straight line and a departure of estimated size.

    The departure is a natural cubic spline in its mixed-model form: coefficients ``u_j ~ N(0, s**2)`` of a basis that
    is orthogonal to the line and scaled so that ``s`` is the size of the departure (its root mean square at the knots),
    on the scale of the effect; ``s = 0`` is the line.

    Parameters
    ----------
    slope : Prior
        Of the slope per ``per`` units.
    sd : Prior
        Of ``s``; proper.
    per : float
        Unit of the slope.
    knots : int or tuple of float
        Their number, placed at quantiles of the distinct observed values, or their places.

    References
    ----------
    Ruppert D, Wand MP, Carroll RJ. Semiparametric Regression. Cambridge 2003, ch. 4. doi:10.1017/CBO9780511755453
    """

    slope: Prior
    sd: Prior
    per: float = 1.0
    knots: tuple[float, ...] | int = 4

    @property
    def text(self) -> str:
        """The prior in words."""
        return f"line {self.slope!r}, departure SD {self.sd!r}"

    def __post_init__(self) -> None:
        _check_location(self.slope, "spline slope")
        _check_positive(self.sd, "spline sd")
        _check_proper(self.sd, "spline sd")
        _check_positive_number(self.per, "per")
        object.__setattr__(self, "knots", _check_knots(self.knots))


@dataclass(frozen=True, slots=True)
class Monotone:
    """A numeric moderator whose effect only rises or only falls: ``total * sum(share_j ramp_j(x))``.

    The ramps rise from 0 to 1, each between two knots; the shares are from a Dirichlet(1, ..., 1), and the sign of
    ``total`` is the direction, which is estimated too.

    Parameters
    ----------
    total : Prior
        Of the difference between the highest and the lowest knot.
    knots : int or tuple of float
        Their number, placed at quantiles of the distinct observed values, or their places.

    References
    ----------
    Buerkner PC, Charpentier E. Br J Math Stat Psychol 2020;73:420-451. doi:10.1111/bmsp.12195
    """

    total: Prior
    knots: tuple[float, ...] | int = 4

    @property
    def text(self) -> str:
        """The prior in words."""
        return f"monotone, total {self.total!r}"

    def __post_init__(self) -> None:
        _check_location(self.total, "monotone total")
        _check_proper(self.total, "monotone total")
        object.__setattr__(self, "knots", _check_knots(self.knots))


#: How one moderator enters.
Term = Coefficient | Exchangeable | Spline | Monotone


@dataclass(frozen=True, slots=True)
class MissingNumeric:
    """The population of a numeric moderator that some trials do not state.

    Missing values are drawn from a normal (or log-normal) with estimated mean and SD, jointly with everything else.

    Parameters
    ----------
    mean, sd : Prior
        Of the mean and SD of the moderator over trials; of its logarithm where ``family`` is ``"lognormal"``. Proper.
    family : {"normal", "lognormal"}
    shift : float
        Missing not at random: the mean of the trials that do not state the value is this much higher.
    """

    mean: Prior
    sd: Prior
    family: Literal["normal", "lognormal"] = "normal"
    shift: float = 0.0

    def __post_init__(self) -> None:
        _check_location(self.mean, "missing mean")
        _check_positive(self.sd, "missing sd")
        for name in ("mean", "sd"):
            _check_proper(getattr(self, name), f"missing {name}")
        if self.family not in ("normal", "lognormal"):
            raise ModelError(f"unknown family {self.family!r}. Allowed: normal, lognormal.")
        if not math.isfinite(self.shift):
            raise ModelError(f"shift = {self.shift} is not a number.")


@dataclass(frozen=True, slots=True)
class MissingLevels:
    """The frequencies of a categorical moderator that some trials do not state.

    Levels of such trials are summed over, with probabilities from a Dirichlet that the stated levels update.

    Parameters
    ----------
    concentration : float
        Of the symmetric Dirichlet.
    shift : mapping of str to float
        Missing not at random: log odds by which a level is likelier among the trials that do not state it.
    """

    concentration: float = 1.0
    shift: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_positive_number(self.concentration, "concentration")
        shift = {str(level): float(value) for level, value in dict(self.shift).items()}
        if not all(math.isfinite(value) for value in shift.values()):
            raise ModelError(f"shift = {shift}: not all are numbers.")
        object.__setattr__(self, "shift", MappingProxyType(shift))


@dataclass(frozen=True, slots=True)
class MissingSD:
    """Standard deviations that some trials do not report: log-normal over trials with estimated mean and spread.

    Parameters
    ----------
    meanlog, sdlog : Prior
        Of the mean and SD over trials of the logarithm of the outcome's standard deviation. Proper.
    """

    meanlog: Prior
    sdlog: Prior

    def __post_init__(self) -> None:
        _check_location(self.meanlog, "missing sd, meanlog")
        _check_positive(self.sdlog, "missing sd, sdlog")
        for name in ("meanlog", "sdlog"):
            _check_proper(getattr(self, name), f"missing sd, {name}")


@dataclass(frozen=True, slots=True)
class StudentEffects:
    """True effects from a Student-t around their mean, with estimated degrees of freedom; ``tau`` is its scale.

    Parameters
    ----------
    df : Prior
        Of the degrees of freedom; ``truncated(exponential(0.0345), 1, inf)`` is the shifted exponential of mean 30 that
        Kruschke (2013, doi:10.1037/a0029146) uses.
    """

    df: Prior

    def __post_init__(self) -> None:
        _check_positive(self.df, "df")
        _check_proper(self.df, "df")


@dataclass(frozen=True, slots=True)
class OutlierEffects:
    """True effects from two populations with one mean: most with SD ``tau``, a share with a wider spread.

    A trial is an outlier with probability ``share``; its true effects then have variance ``tau**2 + extra**2``. Rows of
    one trial are outliers together.

    Parameters
    ----------
    share : Prior
        Of the share of outliers; on 0 to 1.
    extra : Prior
        Of the SD that an outlier has in addition.

    References
    ----------
    Beath KJ. Res Synth Methods 2014;5:285-293. doi:10.1002/jrsm.1114
    """

    share: Prior
    extra: Prior

    def __post_init__(self) -> None:
        for name in ("share", "extra"):
            _check_positive(getattr(self, name), f"outliers, {name}")
            _check_proper(getattr(self, name), f"outliers, {name}")
        if resolve(self.share).support[1] > 1:
            raise ModelError(f"outliers, share: {self.share!r} reaches above 1. Use uniform(0, 0.5), or cut it there.")


@dataclass(frozen=True, slots=True)
class TauBy:
    """A moderator that the between-study SD depends on, as the mean effect does.

    Of a categorical one every level has its own SD. Along a numeric one ``log(tau)`` is a line, of which `Model.tau` is
    the SD at the mean of the moderator.

    Parameters
    ----------
    moderator : str
        Enters the mean effect too (`Model.beta`): a difference of means that is left out would be taken for
        heterogeneity.
    priors : mapping of str to Prior
        Categorical: of the SD at a level; a level that is not named has `Model.tau`.
    slope : Prior, optional
        Numeric: of the change of ``log(tau)`` per unit of the moderator's coefficient; proper.

    References
    ----------
    Viechtbauer W, Lopez-Lopez JA. Res Synth Methods 2022;13:697-715. doi:10.1002/jrsm.1562

    Examples
    --------
    >>> TauBy("supervised", {"home": bm.HalfNormal(0.3)})
    TauBy('supervised', {'home': halfnormal(0.3)})
    """

    moderator: str
    priors: Mapping[str, Prior] = field(default_factory=dict)
    slope: Prior | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.moderator, str) or not self.moderator:
            raise ModelError(f"tau_by: {self.moderator!r} is not the name of a moderator.")
        for level, prior in self.priors.items():
            _check_positive(prior, f"tau_by[{level}]")
        if self.slope is not None:
            _check_location(self.slope, "tau_by, slope")
            _check_proper(self.slope, "tau_by, slope")
            if self.priors:
                raise ModelError("tau_by: a numeric moderator has a slope and a categorical one has priors; give one.")
        object.__setattr__(self, "priors", MappingProxyType({str(k): v for k, v in self.priors.items()}))

    def __repr__(self) -> str:
        stated = f", {dict(self.priors)!r}" if self.priors else "" if self.slope is None else f", slope={self.slope!r}"
        return f"TauBy({self.moderator!r}{stated})"


Likelihood = Literal["normal", "binomial"]


@dataclass(frozen=True, slots=True)
class Model:
    """A hierarchical model: estimates around study effects, study effects around a mean or a regression.

    ``y ~ N(theta, S)`` and ``theta ~ N(X beta, tau**2 R)``, where ``R`` is 1 on the diagonal and ``rho`` between
    rows of one block of dependent rows, ``-rho`` where an arm is treated in one and control in the other
    (`effect_correlations`). With ``cluster_tau``, ``theta_ij = x_ij beta + u_i + w_ij``, ``u_i ~ N(0,
    tau**2)`` for trial (cluster) i and ``w_ij ~ N(0, cluster_tau**2)`` for its rows; ``rho`` then plays no part. With
    ``tau_by``, ``theta ~ N(X beta, T R T)``, T diagonal with the tau of each row's level.

    Parameters
    ----------
    mu : Prior
        Of the mean effect, averaged over the observed mix of moderators.
    tau : Prior or None
        Of the between-study SD (never its square); None is the common-effect model.
    beta : mapping of str to Prior, Coefficient, Exchangeable, Spline or Monotone, optional
        The moderators that enter, each with the prior of its coefficient; ``"a:b"`` is an interaction.
    rho : float
        Correlation of the true effects of rows that share an arm or patients, from 0 to 1; opposite roles turn its
        sign.
    cluster_tau : Prior, optional
        Of the SD between the true effects of rows of one cluster.
    likelihood : {"normal", "binomial"}
        Of the data given the study effects; ``"binomial"`` takes the effects' counts as they are, without correction.
    random : StudentEffects or OutlierEffects, optional
        How true effects vary around their mean; default normally.
    missing : mapping of str to MissingNumeric or MissingLevels
        Moderators with missing values, each with its population.
    derived : mapping of str to Prior
        Numbers that estimates were derived from and that nobody reported, such as the pre-post ``"correlation"``.
    missing_sd : MissingSD, optional
        The population of standard deviations, for trials that do not report theirs.
    baseline : Prior, optional
        Of each trial's control-arm risk on the scale of the link; with the binomial likelihood of two arms only, which
        needs it.
    tau_by : TauBy, optional
        A moderator at whose levels tau differs.

    Notes
    -----
    There are no default priors: the scale of tau is a judgement. `bayesmeta.priors.published_priors` gives those that
    are recommended for a measure, with their sources.

    Examples
    --------
    >>> bm.Model(mu=bm.Normal(0, 1), tau=bm.HalfNormal(0.5))
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    """

    mu: Prior
    tau: Prior | None
    beta: Mapping[str, Term] = field(default_factory=dict)
    rho: float = 0.5
    cluster_tau: Prior | None = None
    likelihood: Likelihood = "normal"
    random: StudentEffects | OutlierEffects | None = None
    missing: Mapping[str, MissingNumeric | MissingLevels] = field(default_factory=dict)
    derived: Mapping[str, Prior] = field(default_factory=dict)
    missing_sd: MissingSD | None = None
    baseline: Prior | None = None
    # files of earlier versions lack it
    tau_by: TauBy | None = field(default=None, metadata={"later": True})

    if TYPE_CHECKING:
        # a bare prior may stand for a coefficient
        def __init__(
            self,
            mu: Prior,
            tau: Prior | None,
            beta: Mapping[str, Prior | Term] | None = None,
            rho: float = 0.5,
            cluster_tau: Prior | None = None,
            likelihood: Likelihood = "normal",
            random: StudentEffects | OutlierEffects | None = None,
            missing: Mapping[str, MissingNumeric | MissingLevels] = ...,
            derived: Mapping[str, Prior] = ...,
            missing_sd: MissingSD | None = None,
            baseline: Prior | None = None,
            tau_by: TauBy | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_location(self.mu, "mu")
        if self.tau is not None:
            _check_positive(self.tau, "tau")
        beta = {
            name: Coefficient(value) if isinstance(value, Prior) else value for name, value in (self.beta or {}).items()
        }
        for name, term in beta.items():
            if not isinstance(term, Term):
                raise ModelError(
                    f"beta[{name}]: {term!r} is not a prior, Coefficient, Exchangeable, Spline or Monotone."
                )
            if ":" in name and isinstance(term, Coefficient) and term.between is not None:
                raise ModelError(f"beta[{name}]: an interaction is not split into within and between trials.")
            if isinstance(term, Coefficient) and term.between is not None and name in self.missing:
                raise ModelError(f"beta[{name}]: an imputed moderator is not split into within and between trials.")
            if ":" in name and not isinstance(term, Coefficient):
                raise ModelError(f"beta[{name}]: an interaction takes a prior, not {type(term).__name__}.")
        object.__setattr__(self, "beta", MappingProxyType(beta))
        object.__setattr__(self, "missing", MappingProxyType(dict(self.missing)))
        object.__setattr__(self, "derived", MappingProxyType(dict(self.derived)))
        if not (0 <= self.rho <= 1):
            raise ModelError(f"rho = {self.rho} is not between 0 and 1.")
        if self.likelihood not in get_args(Likelihood):
            raise ModelError(f"unknown likelihood {self.likelihood!r}. Allowed: {', '.join(get_args(Likelihood))}.")
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse parts that have nothing to act on."""
        if self.cluster_tau is not None:
            _check_positive(self.cluster_tau, "cluster_tau")
        if self.tau is None and (self.cluster_tau is not None or self.random is not None):
            raise ModelError("a common effect (tau = None) has no random effects: leave cluster_tau and random out.")
        if self.random is not None and self.cluster_tau is not None:
            raise ModelError("random and cluster_tau: choose one; clusters have normal random effects.")
        if self.likelihood != "binomial" and self.baseline is not None:
            raise ModelError("baseline, the prior of the control risks, belongs to likelihood='binomial'.")
        if self.baseline is not None:
            _check_location(self.baseline, "baseline")
            _check_proper(self.baseline, "baseline")
        if self.tau_by is not None:
            self._check_tau_by(self.tau_by)
        for name in self.missing:
            if name not in self.beta:
                raise ModelError(
                    f"missing[{name}]: no moderator of that name enters. Moderators: {', '.join(self.beta)}."
                )
        for name, prior in self.derived.items():
            if not isinstance(prior, Prior):
                raise ModelError(f"derived[{name}]: {prior!r} is not a prior.")
            _check_proper(prior, f"derived[{name}]")

    def _check_tau_by(self, by: TauBy) -> None:
        if self.tau is None:
            raise ModelError("tau_by: a common effect (tau = None) has no heterogeneity that could differ.")
        for name, given in (("cluster_tau", self.cluster_tau), ("random", self.random), ("baseline", self.baseline)):
            if given is not None:
                raise ModelError(f"tau_by and {name}: choose one; normal study effects alone differ by level.")
        if not isinstance(self.beta.get(by.moderator), Coefficient):
            raise ModelError(
                f"tau_by: {by.moderator} is no moderator of the mean effect, so that a difference of means would be "
                f"taken for heterogeneity. Add it to beta with the prior of its contrast."
            )
        if by.moderator in self.missing:
            raise ModelError(f"tau_by: the level of {by.moderator} must be known; its missing values are not imputed.")
        for name, prior in (("tau", self.tau), *((f"tau_by[{key}]", item) for key, item in by.priors.items())):
            if prior.name == "jeffreys":
                raise ModelError(f"{name}: jeffreys() is defined for one tau. Use a proper prior.")

    def __repr__(self) -> str:
        parts = [f"mu={self.mu!r}", f"tau={self.tau!r}"]
        if self.beta:
            shown = {
                name: t.prior if isinstance(t, Coefficient) and t.between is None else t
                for name, t in self.beta.items()
            }
            inside = ", ".join(f"{name!r}: {item!r}" for name, item in shown.items())
            parts.append(f"beta={{{inside}}}")
        if self.rho != 0.5:
            parts.append(f"rho={self.rho:g}")
        if self.likelihood != "normal":
            parts.append(f"likelihood={self.likelihood!r}")
        for name in ("cluster_tau", "random", "missing_sd", "baseline", "tau_by"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={getattr(self, name)!r}")
        for name in ("missing", "derived"):
            if getattr(self, name):
                parts.append(f"{name}={dict(getattr(self, name))!r}")
        return f"Model({', '.join(parts)})"
