"""Questions asked of a fit: what tables hold, closed forms where tau is known, and identities between verbs.

Authorities: scipy.stats for common-effect models, in which every posterior is one normal; R metafor 5.1.12 (pinned) for
the classical lines beside the Bayesian one; Higgins & Thompson 2002 (Stat Med 21:1539) for I2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.fits import marginal, quantities
from references import effects_of, reference

# closed forms of one normal
CLOSED = 1e-9
# metafor iterates to 1e-10; tests/reference/README.md asks for 1e-6
METAFOR = 1e-6
# two verbs that read the same nodes
SAME = 1e-9

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
LEVELS = [0.5, 0.8, 0.95, 0.999]


def make(measure: str = "SMD", **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(5)], Y, SE, measure=measure, **options)


def moderated(mu: Any = None, prior: Any = None) -> bm.Fit:
    moderators = {"kind": list("abacb"), "weeks": [6.0, 12, 8, 24, 10]}
    beta = {"kind": prior or bm.Normal(0, 0.5), "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)}
    model = bm.Model(mu or bm.Normal(0, 1), bm.HalfNormal(0.5), beta)
    return bm.fit(make(moderators=moderators), model)


# ------------------------------------------------------------------------------------------------------- summarize


def test_summary_has_one_form() -> None:
    table = bm.summarize(moderated())
    names = ["mu", "tau", "theta_new", "beta[kind: b - a]", "beta[kind: c - a]", "beta[weeks per 6]"]
    assert table.index.tolist() == names
    assert table.index.name == "quantity"
    assert table.columns.tolist() == ["mean", "sd", "median", "lower", "upper", "level", "interval", "mcse"]
    assert (table["level"] == 0.95).all()
    assert (table["interval"] == "central").all()
    assert (table["mcse"] == 0).all()
    assert "tau" not in bm.summarize(bm.fit(make(), bm.Model(bm.Flat(), None))).index


@pytest.mark.parametrize("level", LEVELS)
def test_common_effect_summary_is_one_normal(level: float) -> None:
    """Conjugate normal: precision sum(1/se^2) + 1, for any level; a new effect is the mean effect."""
    w = SE**-2
    normal = stats.norm(w @ Y / (w.sum() + 1), (w.sum() + 1) ** -0.5)
    table = bm.summarize(bm.fit(make(), bm.Model(bm.Normal(0, 1), None)), level=level)
    expected = [normal.mean(), normal.std(), normal.median(), *normal.interval(level)]
    for name in ("mu", "theta_new"):
        ours = table.loc[name, ["mean", "sd", "median", "lower", "upper"]].to_numpy(float)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=CLOSED)
    assert (table["level"] == level).all()


@pytest.mark.parametrize("interval", ["central", "shortest"])
@pytest.mark.parametrize("level", LEVELS)
def test_intervals_hold_their_probability(level: float, interval: Any) -> None:
    fit = moderated()
    table = bm.summarize(fit, level=level, interval=interval)
    for name, row in table.iterrows():
        inside = bm.probability(fit, str(name), between=(row["lower"], row["upper"]))
        assert inside == pytest.approx(level, abs=SAME)
        if interval == "central":
            assert bm.probability(fit, str(name), below=row["lower"]) == pytest.approx((1 - level) / 2, abs=SAME)
        assert bm.probability(fit, str(name), below=row["median"]) == pytest.approx(0.5, abs=SAME)
    central = bm.summarize(fit, level=level)
    assert ((table["upper"] - table["lower"]) <= (central["upper"] - central["lower"]) + 1e-9).all()
    assert (table["interval"] == interval).all()


def test_every_quantity_has_one_answer() -> None:
    """summarize, predict, marginal and probability read one distribution."""
    fit = moderated()
    table = bm.summarize(fit)
    for name in table.index:
        form = marginal(fit, name)
        ours = [form.mean, form.sd, *form.quantile([0.5, 0.025, 0.975])]
        np.testing.assert_allclose(
            table.loc[name, ["mean", "sd", "median", "lower", "upper"]].to_numpy(float), ours, rtol=0, atol=SAME
        )
        assert bm.probability(fit, name, above=0.05) == pytest.approx(float(form.sf(0.05)), abs=SAME)
    columns = ["mean", "sd", "median", "lower", "upper"]
    np.testing.assert_allclose(
        bm.predict(fit)[columns].to_numpy(float), table.loc[["mu", "theta_new"], columns].to_numpy(float), atol=SAME
    )
    at = {"kind": "b", "weeks": 20}
    row = bm.predict(fit, at, level=0.8).loc["theta_new"]
    form = marginal(fit, "theta_new", at)
    assert [row["lower"], row["upper"]] == pytest.approx(form.interval(0.8), abs=SAME)
    short = bm.predict(fit, at, interval="shortest").loc["mu"]
    assert [short["lower"], short["upper"]] == pytest.approx(
        marginal(fit, "mu", at).interval(0.95, "shortest"), abs=1e-6
    )


def test_ratios_are_told_back_transformed() -> None:
    """Quantiles pass through exp; means and SDs have no simple counterpart and are left out; tau stays."""
    fit = bm.fit(make("OR"), MODEL)
    log, ratio = bm.summarize(fit), bm.summarize(fit, scale="natural")
    columns = ["median", "lower", "upper"]
    assert "mean" not in ratio.columns
    assert "sd" not in ratio.columns
    for name in ("mu", "theta_new"):
        np.testing.assert_allclose(
            ratio.loc[name, columns].to_numpy(float), np.exp(log.loc[name, columns].to_numpy(float)), rtol=1e-12
        )
    assert ratio.loc["tau", columns].tolist() == log.loc["tau", columns].tolist()
    np.testing.assert_allclose(bm.predict(fit, scale="natural")[columns], np.exp(bm.predict(fit)[columns]), rtol=1e-12)
    assert bm.probability(fit, "mu", below=0.8, scale="natural") == bm.probability(fit, "mu", below=math.log(0.8))
    between = bm.probability(fit, "theta_new", between=(0.5, 2), scale="natural")
    assert between == bm.probability(fit, "theta_new", between=(-math.log(2), math.log(2)))
    studies, logs = bm.study_table(fit, scale="natural"), bm.study_table(fit)
    for column in ("y", "lower", "upper", "theta", "theta_lower", "theta_upper"):
        np.testing.assert_allclose(studies[column], np.exp(logs[column]), rtol=1e-12)
    assert studies["se"].tolist() == logs["se"].tolist()


def test_natural_scale_of_a_plain_measure_changes_nothing() -> None:
    fit = bm.fit(make("MD"), MODEL)
    assert bm.summarize(fit, scale="natural").equals(bm.summarize(fit))
    assert bm.study_table(fit, scale="natural").equals(bm.study_table(fit))


@pytest.mark.parametrize("verb", [bm.summarize, bm.predict, bm.study_table, lambda f, **k: bm.compare_table(f, **k)])
def test_levels_and_scales_are_checked(verb: Any) -> None:
    fit = bm.fit(make("OR"), MODEL)
    for level in (0.0, 1.0, 95, -0.5):
        with pytest.raises(bm.ModelError, match="between 0 and 1"):
            verb(fit, level=level)
    with pytest.raises(bm.ModelError, match="Allowed: analysis, natural"):
        verb(fit, scale="log")


def test_unknown_interval_kinds_are_refused() -> None:
    fit = bm.fit(make(), MODEL)
    for verb in (bm.summarize, bm.predict):
        with pytest.raises(bm.ModelError, match="Allowed: central, shortest"):
            verb(fit, interval="hdi")  # type: ignore[operator]


# ----------------------------------------------------------------------------------------------------- probability


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one"),
        ({"below": 0, "above": 0}, "exactly one"),
        ({"below": math.nan}, "thresholds are numbers"),
        ({"between": (0.2, 0.1)}, "ascend"),
        ({"between": (0.2, 0.2)}, "ascend"),
        ({"between": (0.2, math.nan)}, "thresholds are numbers"),
        ({"between": (0.1, 0.2, 0.3)}, "give a pair"),
        ({"below": 0, "scale": "ratio"}, "Allowed: analysis, natural"),
        ({"below": 0, "at": {"dose": 3}}, "no moderator 'dose' in the model. Allowed: none"),
    ],
)
def test_bad_probability_questions(options: dict[str, Any], message: str) -> None:
    with pytest.raises(bm.ModelError, match=message):
        bm.probability(bm.fit(make(), MODEL), "mu", **options)


def test_probability_at_infinity_and_of_unknown_names() -> None:
    fit = bm.fit(make(), MODEL)
    for name in ("mu", "tau", "theta_new", "theta[trial 2]"):
        # weights sum to one, but for the rounding of their sum
        assert bm.probability(fit, name, below=math.inf) == pytest.approx(1.0, abs=1e-15)
        assert bm.probability(fit, name, above=math.inf) == pytest.approx(0.0, abs=1e-15)
        assert bm.probability(fit, name, above=-math.inf) == pytest.approx(1.0, abs=1e-15)
    with pytest.raises(bm.ModelError, match=r"no quantity 'delta'. Allowed: mu, tau"):
        bm.probability(fit, "delta", below=0)
    common = bm.fit(make(), bm.Model(bm.Flat(), None))
    with pytest.raises(bm.ModelError, match="common-effect model"):
        bm.probability(common, "tau", below=0.1)
    assert "tau" not in quantities(common)


def test_far_tails_keep_their_relative_accuracy() -> None:
    """A common effect is one normal, whose upper tail scipy knows at 25 SDs."""
    fit = bm.fit(make(), bm.Model(bm.Flat(), None))
    w = SE**-2
    normal = stats.norm(w @ Y / w.sum(), w.sum() ** -0.5)
    x = normal.mean() + 25 * normal.std()
    assert bm.probability(fit, "mu", above=x) == pytest.approx(normal.sf(x), rel=1e-9)


# ---------------------------------------------------------------------------------------------------- study table


def test_study_table() -> None:
    table = bm.study_table(bm.fit(make(), MODEL), level=0.9)
    columns = "label study y se lower upper theta theta_lower theta_upper weight level"
    assert table.columns.tolist() == columns.split()
    np.testing.assert_allclose(table["lower"], stats.norm(Y, SE).ppf(0.05), atol=CLOSED)
    np.testing.assert_allclose(table["upper"], stats.norm(Y, SE).ppf(0.95), atol=CLOSED)
    assert table["weight"].sum() == pytest.approx(100)
    # shrinkage estimates lie between the reported one and the mean
    mean = bm.summarize(bm.fit(make(), MODEL)).loc["mu", "median"]
    low, high = np.minimum(Y, mean), np.maximum(Y, mean)
    assert ((table["theta"] > low - 0.02) & (table["theta"] < high + 0.02)).all()


def test_study_table_under_a_common_effect() -> None:
    """Every study's effect is the mean effect, and weights are inverse variances."""
    fit = bm.fit(make(), bm.Model(bm.Flat(), None))
    table, mu = bm.study_table(fit), bm.summarize(fit).loc["mu"]
    np.testing.assert_allclose(table["weight"], 100 * SE**-2 / (SE**-2).sum(), rtol=1e-10)
    np.testing.assert_allclose(table["theta"], mu["median"], atol=CLOSED)
    np.testing.assert_allclose(table["theta_lower"], mu["lower"], atol=CLOSED)
    np.testing.assert_allclose(table["theta_upper"], mu["upper"], atol=CLOSED)


def test_study_effects_tend_to_the_estimates_when_heterogeneity_is_large() -> None:
    table = bm.study_table(bm.fit(make(), bm.Model(bm.Flat(), bm.Uniform(1e3, 1e4))))
    np.testing.assert_allclose(table["theta"], Y, atol=1e-5)
    np.testing.assert_allclose(table["weight"], 20.0, atol=1e-4)
    np.testing.assert_allclose(table["theta_upper"], table["upper"], atol=1e-5)


def test_weights_make_the_posterior_mean() -> None:
    """Given tau and a flat mu the mean is sum(w y); averaged over tau so are weights, when they do not depend on y."""
    fit = bm.fit(make(), bm.Model(bm.Flat(), bm.Uniform(0.3, 0.3 + 1e-9)))
    weights = bm.study_table(fit)["weight"].to_numpy() / 100
    expected = 1 / (SE**2 + 0.09)
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-7)
    assert bm.summarize(fit).loc["mu", "mean"] == pytest.approx(weights @ Y, abs=1e-9)


# ------------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("name", ["bcg_rr", "normand_smd", "raudenbush_smd"])
def test_heterogeneity_table(name: str) -> None:
    """I2 = tau2 / (tau2 + (k-1) sum(w) / (sum(w)^2 - sum(w^2))), monotone in tau; at REML's tau2 it is metafor's."""
    effects = effects_of(name)
    fit = bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(0.5)))
    table = bm.heterogeneity_table(fit)
    w = effects.se**-2
    typical = (effects.k - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum())
    tau = bm.summarize(fit).loc["tau", ["median", "lower", "upper"]].to_numpy(float)
    columns = ["median", "lower", "upper"]
    np.testing.assert_allclose(table.loc["tau", columns].to_numpy(float), tau, rtol=1e-9)
    np.testing.assert_allclose(table.loc["tau2", columns].to_numpy(float), tau**2, rtol=1e-9)
    np.testing.assert_allclose(table.loc["i2", columns].to_numpy(float), 100 * tau**2 / (tau**2 + typical), rtol=1e-9)
    reml = reference(name)["classical"]["REML"]
    assert 100 * reml["tau2"] / (reml["tau2"] + typical) == pytest.approx(reml["I2"], rel=METAFOR)
    with pytest.raises(bm.ModelError, match="common-effect"):
        bm.heterogeneity_table(bm.fit(effects, bm.Model(bm.Flat(), None)))


@pytest.mark.parametrize(
    "mu", [bm.Normal(0, 1), bm.StudentT(0, 1, 4), bm.Truncated(bm.Normal(0, 1), -1, 0.5)], ids=repr
)
def test_contrast_table(mu: Any) -> None:
    """All pairs of levels and every slope; each is the difference of two profiles."""
    fit = moderated(mu)
    table = bm.contrast_table(fit)
    assert table["moderator"].tolist() == ["kind", "kind", "kind", "weeks"]
    assert table["contrast"].tolist() == ["b - a", "c - a", "c - b", "slope per 6"]
    indexed = table.set_index("contrast")
    for contrast, name in (
        ("b - a", "beta[kind: b - a]"),
        ("c - a", "beta[kind: c - a]"),
        ("slope per 6", "beta[weeks per 6]"),
    ):
        form, row = marginal(fit, name), indexed.loc[contrast]
        np.testing.assert_allclose(
            row[["mean", "sd", "lower", "median", "upper"]].to_numpy(float),
            [form.mean, form.sd, *form.quantile([0.025, 0.5, 0.975])],
            rtol=0,
            atol=1e-7,
        )
        assert row["p_below_null"] == pytest.approx(float(form.cdf(0.0)), abs=1e-9)
        assert row["p_below_null"] + row["p_above_null"] == pytest.approx(1, abs=1e-12)
    assert indexed.loc["c - b", "mean"] == pytest.approx(
        indexed.loc["c - a", "mean"] - indexed.loc["b - a", "mean"], abs=1e-7
    )
    means = {v: bm.predict(fit, {"kind": v}).loc["mu", "mean"] for v in "abc"}
    assert indexed.loc["b - a", "mean"] == pytest.approx(means["b"] - means["a"], abs=1e-7)


def test_contrast_table_without_moderators_is_empty() -> None:
    assert bm.contrast_table(bm.fit(make(), MODEL)).empty


@pytest.mark.parametrize("name", ["bcg_rr", "normand_smd", "crins_or"])
def test_compare_table_against_metafor(name: str) -> None:
    effects = effects_of(name)
    fit = bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(0.5)))
    table = bm.compare_table(fit).set_index("method")
    pinned = reference(name)["classical"]
    keys = {
        "common effect": "EE",
        "DL": "DL",
        "REML": "REML",
        "PM": "PM",
        "REML + HKSJ": "REML_knha",
        "REML + HKSJ ad hoc": "REML_adhoc",
    }
    assert table.index.tolist() == ["Bayesian", *keys]
    mu = bm.summarize(fit).loc["mu"]
    assert table.loc["Bayesian", ["estimate", "lower", "upper"]].tolist() == mu[["median", "lower", "upper"]].tolist()
    assert table.loc["Bayesian", "p_below_null"] == bm.probability(fit, "mu", below=0)
    for method, key in keys.items():
        row, theirs = table.loc[method], pinned[key]
        scale = theirs["se"]
        for ours, value in (
            (row["estimate"], theirs["estimate"]),
            (row["lower"], theirs["ci_low"]),
            (row["upper"], theirs["ci_high"]),
        ):
            assert abs(ours - value) < METAFOR * scale
        assert row["tau"] ** 2 == pytest.approx(theirs["tau2"], rel=METAFOR, abs=1e-12)
        assert row["p_value"] == pytest.approx(theirs["pval"], rel=1e-5)
        difference = (theirs["estimate"] - mu["median"]) / theirs["se"]
        assert row["difference_se"] == pytest.approx(difference, abs=1e-5)


def test_compare_table_of_several_fits_and_of_ratios() -> None:
    effects = effects_of("bcg_rr")
    fits = {"wide": bm.fit(effects, MODEL), "flat": bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(1)))}
    log, ratio = bm.compare_table(fits), bm.compare_table(fits, scale="natural")
    assert log["method"].tolist()[:2] == ["wide", "flat"]
    columns = ["estimate", "lower", "upper", "pi_lower", "pi_upper"]
    np.testing.assert_allclose(ratio[columns].to_numpy(float), np.exp(log[columns].to_numpy(float)), rtol=1e-12)
    np.testing.assert_array_equal(ratio["tau"], log["tau"])


# ----------------------------------------------------------------------------------------------------- Bayes factor


def test_bayes_factor_of_a_common_effect_is_a_ratio_of_normals() -> None:
    """Two priors of mu: the data are multivariate normal under both (scipy)."""
    wide, narrow = (bm.fit(make(), bm.Model(bm.Normal(0, sd), None)) for sd in (1.0, 0.1))
    log = [stats.multivariate_normal(np.zeros(5), np.diag(SE**2) + sd**2).logpdf(Y) for sd in (1.0, 0.1)]
    assert bm.bayes_factor(wide, narrow) == pytest.approx(math.exp(log[0] - log[1]), rel=1e-9)


def test_bayes_factors_that_mean_nothing_are_refused() -> None:
    proper = bm.fit(make(), MODEL)
    for model in (bm.Model(bm.Flat(), bm.HalfNormal(0.5)), bm.Model(bm.Normal(0, 1), bm.Flat())):
        improper = bm.fit(make(), model)
        assert improper.log_evidence is None
        for pair in ((proper, improper), (improper, proper)):
            with pytest.raises(bm.ModelError, match="improper prior"):
                bm.bayes_factor(*pair)
    with pytest.raises(bm.ModelError, match="same effects"):
        bm.bayes_factor(proper, bm.fit(make().subset([0, 1, 2]), MODEL))
    shifted = Effects(make().study, Y, 2 * SE, measure="SMD")
    with pytest.raises(bm.ModelError, match="same effects"):
        bm.bayes_factor(proper, bm.fit(shifted, MODEL))


# ------------------------------------------------------------------------------------------------------------- fit


def test_fit_names_its_engines_and_checks_itself() -> None:
    fit = bm.fit(make(), MODEL, engine="exact")
    assert fit.engine == "exact"
    assert fit.ok
    (check,) = fit.checks
    assert check.name == "quadrature error"
    assert check.value <= check.limit == 1e-8
    with pytest.raises(bm.ModelError, match="Allowed: auto, exact"):
        bm.fit(make(), MODEL, engine="stan")  # type: ignore[arg-type]
    heading, model, *table = repr(fit).splitlines()
    assert heading == "Fit: SMD, 5 estimates of 5 trials, engine exact"
    assert model == "Model(mu=normal(0, 1), tau=halfnormal(0.5))"
    summary, frame = bm.summarize(fit), fit.to_frame()
    np.testing.assert_allclose(frame, summary.loc[frame.index, list(frame.columns)], rtol=1e-8)
    assert [line.split()[0] for line in table[2:]] == ["mu", "theta_new", "tau"]
    assert f"{summary.loc['mu', 'median']:.3f}" in table[2]
    assert "mean effect" in (fit._repr_html_() or "")


def test_seed_moves_no_summary() -> None:
    a, b = bm.fit(make(), MODEL, seed=1), bm.fit(make(), MODEL, seed=2)
    assert bm.summarize(a).equals(bm.summarize(b))
    assert a.log_evidence == b.log_evidence


def test_moderators_stand_beside_metafor_s_regression() -> None:
    """BCG by allocation, REML with Knapp-Hartung (R metafor, pinned): contrasts against "alternate"."""
    spec = reference("bcg_rr")["metareg"]["alloc"]
    effects = effects_of("bcg_rr", moderators={"alloc": spec["values"]})
    coefficient = bm.Coefficient(bm.Normal(0, 0.5), reference="alternate")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5), {"alloc": coefficient}))
    table = bm.compare_coefficients(fit).set_index("contrast")
    pinned = spec["REML_knha"]
    assert spec["terms"] == ["intercept", "alloc[random]", "alloc[systematic]"]
    for position, contrast in ((1, "random - alternate"), (2, "systematic - alternate")):
        row = table.loc[contrast]
        for ours, theirs in (
            ("classical", "estimate"),
            ("classical_lower", "ci_low"),
            ("classical_upper", "ci_high"),
            ("p_value", "pval"),
        ):
            assert row[ours] == pytest.approx(pinned[theirs][position], rel=METAFOR)
    assert table.attrs["qm"] == pytest.approx(pinned["QM"], rel=METAFOR)
    assert table.attrs["qm_p"] == pytest.approx(pinned["QM_p"], rel=METAFOR)
    assert table.attrs["tau"] ** 2 == pytest.approx(pinned["tau2"], rel=METAFOR)
    # the third contrast is the difference of the other two
    difference = table.loc["systematic - alternate", "classical"] - table.loc["random - alternate", "classical"]
    assert table.loc["systematic - random", "classical"] == pytest.approx(difference, rel=CLOSED)


def test_moderators_beside_classical_need_moderators() -> None:
    with pytest.raises(bm.ModelError, match="no moderators"):
        bm.compare_coefficients(bm.fit(make(), MODEL))
