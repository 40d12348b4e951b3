"""Classical pooling: one mean effect, its interval, heterogeneity and prediction intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.heterogeneity import Heterogeneity, heterogeneity_of, i2_h2
from bayesmeta.classical.intervals import (
    CI_METHODS,
    PI_FORMULAS,
    CiMethod,
    Pi,
    adhoc_beside,
    check_ci,
    hksj_mark,
    interval,
    prediction,
    scale_factor,
)
from bayesmeta.classical.printing import MeanResult
from bayesmeta.classical.rows import Rows, effect_rows, moments
from bayesmeta.classical.tau2 import TAU2_METHODS, Tau2, Tau2Method, log_likelihood, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name

__all__ = ["ClassicalFit", "defined_methods", "pool", "pool_rows", "pool_table"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClassicalFit(MeanResult):
    """A classical meta-analysis. Undefined numbers are None, and `notes` says why.

    Beside what a `MeanResult` has.

    Attributes
    ----------
    method, ci : str
        Estimator of tau2 and interval method.
    tau2 : float
        Between-study variance.
    i2_q, i2_tau2 : float or None
        I2 in percent, from Q and from tau2.
    h2 : float or None
        From tau2; from Q for EE.
    q, q_df, q_p
        Cochran's Q, its degrees of freedom and p value.
    pi_lower, pi_upper : float or None
        Prediction interval by `pi_formula`.
    pi_formula : str or None
        ``"t_km1"``: t(k - 1) with the SE of the interval; None for EE.
    se_tau2 : float or None
    loglik : float
        Log likelihood at the estimates: restricted for REML.
    pi : dict
        Every named prediction interval: normal, t_km1, hts_t_km2, hkpr_t_km2.
    mark : str or None
        What is wrong with the width of a Hartung-Knapp interval: "narrower than Wald" of the same tau2, or "no width".
    """

    method: Tau2Method
    ci: CiMethod
    tau2: float
    i2_q: float | None
    i2_tau2: float | None
    h2: float | None
    q: float
    q_df: int
    q_p: float | None
    pi_lower: float | None
    pi_upper: float | None
    pi_formula: str | None
    se_tau2: float | None
    loglik: float
    pi: Pi = field(hash=False)
    mark: str | None = None

    @property
    def adhoc_beside(self) -> bool:
        """Whether the ad hoc form must stand beside this Hartung-Knapp interval."""
        return self.ci == "hksj" and self.df is not None and adhoc_beside(self.mark, self.tau2, round(self.df) + 1)


@on_effects()
def pool(
    effects: Effects,
    *,
    method: Tau2Method = "REML",
    ci: CiMethod = "wald",
    level: float = 0.95,
    rho: float = 0.5,
) -> ClassicalFit:
    """Pool the estimates of one outcome.

    The mean effect is that of generalised least squares, ``(1'W1)^-1 1'Wy`` with W = (S + tau2 R)^-1.

    Parameters
    ----------
    effects : Effects
        Estimates and their dependence.
    method : {"EE", "DL", "PM", "EB", "REML", "ML", "HE", "HS", "SJ"}
        Estimator of tau2 (see `estimate_tau2`); "EE" is the common-effect model.
    ci : {"wald", "t", "hksj", "hksj_adhoc"}
        Normal; t with the classic SE; Hartung-Knapp-Sidik-Jonkman, never truncated; and its ad hoc form, whose SE is
        the larger of Hartung-Knapp's and the classic one. t has k - 1 degrees of freedom, where k counts trials if
        rows share patients.
    level : float
        Level of the intervals.
    rho : float
        Correlation of the true effects of rows in one block (arms of one trial). No effect without blocks.

    Returns
    -------
    ClassicalFit

    Raises
    ------
    ModelError
        For an option that is not one of those, a random-effects method with k = 1, HS and SJ with blocks, and an
        interval without degrees of freedom.

    References
    ----------
    Hartung-Knapp: doi:10.1002/sim.791; ad hoc form: doi:10.1186/s12874-015-0091-1. Agreement with R metafor
    (doi:10.18637/jss.v036.i03) is part of the tests.

    Examples
    --------
    >>> trials = bm.Effects(study=["A", "B", "C", "D"], y=[-0.30, -0.31, -0.29, -0.305],
    ...                     se=[0.2, 0.223606797749979, 0.173205080756888, 0.244948974278318], measure="SMD")
    >>> for ci in ("hksj", "hksj_adhoc"):
    ...     fit = pool(trials, ci=ci)
    ...     print(f"{fit.lower:.5f} {fit.upper:.5f}")
    -0.31374 -0.28521
    -0.62599 0.02704
    """
    return pool_table(effects, methods=(method,), cis=(ci,), level=level, rho=rho)[0]


@on_effects()
def pool_table(
    effects: Effects,
    methods: Sequence[Tau2Method] | None = None,
    cis: Sequence[CiMethod] = CI_METHODS,
    *,
    level: float = 0.95,
    rho: float = 0.5,
) -> list[ClassicalFit]:
    """`pool` for every pair of `methods` and `cis`; tau2 is estimated once per method.

    Parameters
    ----------
    effects : Effects
    methods : sequence of str, optional
        Every method that is defined for these data if left out (`defined_methods`).
    cis : sequence of str
    level, rho
        As in `pool`.

    Returns
    -------
    list of ClassicalFit
        Methods in the order given, intervals within methods.

    Raises
    ------
    ModelError
        As `pool`.

    Examples
    --------
    >>> [(found.method, found.ci) for found in pool_table(effects, ["EE", "DL"], ["wald"])]
    [('EE', 'wald'), ('DL', 'wald')]
    """
    rows, spread = _intercept(effects, float(rho))
    fits = []
    cis = [find_name("interval method", ci, CI_METHODS) for ci in cis]
    for name in defined_methods(effects) if methods is None else methods:
        method = find_name("estimator of tau2", name, TAU2_METHODS)
        if method != "EE" and rows.k == 1:
            raise ModelError(
                f"{method}: one estimate ({effects.label[0]}) says nothing about how trials differ. "
                'Use method="EE", or a Bayesian model with a prior on tau.'
            )
        tau2 = _tau2(rows, method)
        fits += [pool_rows(rows, spread, tau2, ci, level) for ci in cis]
    return fits


# Effects are frozen, and a page asks for the same pooled estimate many times. Few are kept, because they hold arrays.


@lru_cache(maxsize=4)
def _intercept(effects: Effects, rho: float) -> tuple[Rows, Heterogeneity]:
    rows = effect_rows(effects, rho=rho)
    return rows, heterogeneity_of(rows)


@lru_cache(maxsize=32)
def _tau2(rows: Rows, method: Tau2Method) -> Tau2:
    return tau2_of(rows, method)


def defined_methods(effects: Effects) -> tuple[Tau2Method, ...]:
    """Estimators of tau2 that are defined for these data: HS and SJ are not with blocks, none but EE for k = 1.

    Examples
    --------
    >>> defined_methods(bm.Effects(study=["A"], y=[0.1], se=[0.1], measure="SMD"))
    ('EE',)
    """
    if len(effects.y) == 1:
        return ("EE",)
    return tuple(method for method in TAU2_METHODS if not (effects.blocks and method in ("HS", "SJ")))


def pool_rows(rows: Rows, spread: Heterogeneity, tau2: Tau2, ci: CiMethod, level: float) -> ClassicalFit:
    """One fit of an intercept from rows, given tau2."""
    df = check_ci(ci, rows.units, 1, dependent=bool(rows.blocks))
    at = moments(rows, [tau2.value])
    scale = 1.0 / float(rows.triangle[0, 0])
    estimate = float(rows.start[0]) + float(at.gamma[0, 0]) * scale
    se_classic = float(at.cov[0, 0, 0]) ** 0.5 * abs(scale)
    rss = float(at.rss[0])
    factor = scale_factor(ci, rss, rows.k - 1)
    se = se_classic * factor**0.5
    mark = hksj_mark(ci, factor, df, level)
    found = interval(estimate, se, level, df)
    i2_q, i2_tau2, h2 = i2_h2(spread, tau2)
    notes = tau2.notes
    pi: Pi
    if tau2.method == "EE":
        pi = dict.fromkeys(PI_FORMULAS)
        notes += ("EE: a common effect has no distribution of effects to predict from",)
        if ci in ("hksj", "hksj_adhoc"):
            notes += ("EE: Hartung-Knapp intervals are meant for random effects",)
    else:
        se_hk = se_classic * scale_factor("hksj", rss, rows.k - 1) ** 0.5
        pi, why = prediction(estimate, tau2.value, se, se_classic, se_hk, rows.units, level)
        notes += why
    if spread.s2_typical is None:
        notes += ("one estimate: Q, I2 and H2 say nothing",)
    if se == 0.0:
        notes += (f"{ci}: all estimates are equal, so this SE is 0 and its test is not defined",)
    headline = pi["t_km1"]
    return ClassicalFit(
        method=tau2.method,
        ci=ci,
        level=level,
        k=rows.k,
        estimate=estimate,
        se=se,
        **found._asdict(),
        tau2=tau2.value,
        i2_q=i2_q,
        i2_tau2=i2_tau2,
        h2=h2,
        q=spread.q,
        q_df=spread.q_df,
        q_p=spread.q_p,
        pi_lower=None if headline is None else headline[0],
        pi_upper=None if headline is None else headline[1],
        pi_formula=None if tau2.method == "EE" else "t_km1",
        se_tau2=tau2.se,
        loglik=float(log_likelihood(rows, at, restricted=tau2.method == "REML")[0]),
        pi=pi,
        mark=mark,
        notes=notes,
    )
