"""Audit of published results: it finds what one review shows, and is quiet on results that were pooled honestly.

Authority: the numbers of one published review and the list of its trials (data/cipn_published*.csv) with what can be
counted in them by hand, written beside each; standard errors against fixed-effect and DerSimonian-Laird pooling written
out; intervals of I2 against the formula of Higgins and Thompson 2002. Clean tables are simulated: trials drawn, pooled,
printed.
"""

import math

import numpy as np
import pandas as pd
import pytest

from bayesmeta.errors import DataError
from bayesmeta.forensics import AUDIT_RULES, audit, expected_error, findings_table, i2_interval, literature_of
from bayesmeta.studies import read_table

CLOSED = 1e-9
TABLES = 300
FALSE_ALARMS = 0.02


def pooled(y: np.ndarray, v: np.ndarray, *, random: bool = True) -> tuple[float, float, float]:
    """Estimate, standard error and I2 in percent."""
    w = 1 / v
    q = float(np.sum(w * (y - np.average(y, weights=w)) ** 2))
    df = y.size - 1
    tau2 = max(0.0, (q - df) / (w.sum() - (w**2).sum() / w.sum())) if random else 0.0
    w = 1 / (v + tau2)
    return float(np.average(y, weights=w)), float(w.sum() ** -0.5), 100 * max(0.0, 1 - df / q)


def clean(seed: int, *, random: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twelve trials, four outcomes with two disjoint subgroups and a total each, pooled and printed to two decimals."""
    rng = np.random.default_rng(seed)
    n = rng.integers(15, 90, (12, 2))
    trials = pd.DataFrame(
        {
            "study": [f"Author{i} et al." for i in range(12)],
            "ref": [str(20 + i) for i in range(12)],
            "n_t": n[:, 0],
            "n_c": n[:, 1],
            "n_randomised": n.sum(1),
            "outcome_codes": "abcd",
        }
    )
    rows = [{"outcome": "participants", "scope": "review", "k": 12, "n": int(n.sum())}]
    for code in "abcd":
        members = rng.permutation(12)[: rng.integers(6, 11)]
        y, v = np.empty(12), np.empty(12)
        for i in members:
            theta = rng.normal(-0.3, 0.2)
            v[i] = 1 / n[i, 0] + 1 / n[i, 1] + theta**2 / (2 * n[i].sum())
            y[i] = rng.normal(theta, math.sqrt(v[i]))
        half = len(members) // 2
        for subgroup, rows_of in (("during", members[:half]), ("after", members[half:]), ("overall", members)):
            estimate, se, i2 = pooled(y[rows_of], v[rows_of], random=random)
            p = math.erfc(abs(estimate / se) / math.sqrt(2))
            rows.append(
                {
                    "review": "a review",
                    "outcome": f"outcome {code}",
                    "subgroup": subgroup,
                    "scope": "result",
                    "k": len(rows_of),
                    "n": int(n[rows_of].sum()),
                    "measure": "SMD",
                    "estimate": round(estimate, 2),
                    "ci_low": round(estimate - 1.96 * se, 2),
                    "ci_high": round(estimate + 1.96 * se, 2),
                    "i2": round(i2, 1),
                    "p": "<0.001" if p < 0.001 else f"{p:.3f}",
                    "model": "random" if random else "fixed",
                    "studies_cited": " ".join(str(20 + i) for i in rows_of),
                    "studies_named": "; ".join(f"Author{i}" for i in rows_of),
                    "outcome_code": code,
                    "scale_better": "lower",
                    "called_better": "lower",
                    "instrument": f"scale {code}",
                }
            )
    return pd.DataFrame(rows).assign(review="a review"), trials


def rules(published: pd.DataFrame, trials: pd.DataFrame | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in audit(published, trials):
        if finding.severity != "info":
            found.setdefault(finding.rule, []).append(finding.evidence)
    return found


@pytest.fixture(scope="module")
def review():
    published, trials = (read_table(f"data/{name}.csv") for name in ("cipn_published", "cipn_trials"))
    return rules(published, trials)


def test_rules_have_names_questions_and_remedies():
    assert len({rule.name for rule in AUDIT_RULES}) == len(AUDIT_RULES) == 20
    assert all(rule.question.endswith("?") for rule in AUDIT_RULES)
    assert all(rule.remedy for rule in AUDIT_RULES)


@pytest.mark.parametrize("random", [True, False])
def test_false_alarms_in_honest_reviews(random):
    alarms: dict[str, int] = {}
    for seed in range(TABLES):
        for rule in rules(*clean(seed, random=random)):
            alarms[rule] = alarms.get(rule, 0) + 1
    assert {rule: n for rule, n in alarms.items() if n >= FALSE_ALARMS * TABLES} == {}


# -- what the review shows ---------------------------------------------------------------------------------------------


def test_all_that_the_review_shows_is_found(review):
    assert set(review) == {
        "participants v arms",
        "sizes v report",
        "studies v citations",
        "cited, not listed",
        "outcome v list",
        "arm that is not the treatment",
        "control shared by arms",
        "narrower than participants allow",
        "wider than participants explain",
        "random-effects interval v I2",
        "same I2 twice",
        "same result twice",
        "model chosen by I2",
        "direction v scale",
        "patients counted twice",
    }


def test_participants(review):
    # 90 + 355 + 39 + 79 + 41 + 45 + 163 + 22 + 36 + 30 + 66 + 46 + 38 + 56 + 48 = 1154; 1124 without Şimşek's second 30
    (text,) = review["participants v arms"]
    assert "1,124 participants are printed" in text
    assert "add up to 1,154; the difference of 30 is the arm of Şimşek et al. that is not the treatment" in text
    (arm,) = review["arm that is not the treatment"]
    assert "Şimşek" in arm
    assert "pain" in arm


def test_total_entered_in_both_arms(review):
    mueller, visovsky = review["sizes v report"]
    assert "Visovsky" in visovsky
    assert "reports 19 in all: the total stands in every arm" in visovsky
    assert "163, neither the 170 randomised nor the 159 analysed" in mueller


def test_citations(review):
    (text,) = review["studies v citations"]
    assert "(pain, overall): 7 studies, but 8 citations" in text
    (text,) = review["cited, not listed"]
    assert "(tingling, foot): cites 11, named '(review, not a trial)'" in text
    assert [("Şimşek" in t, "Vollmers" in t) for t in review["outcome v list"]] == [(True, False), (False, True)]


def test_a_number_in_the_text_that_differs_from_the_list_is_known_by_name():
    published, trials = (read_table(f"data/{name}.csv") for name in ("cipn_published", "cipn_trials"))
    infos = [f.evidence for f in audit(published, trials) if f.severity == "info" and f.rule == "cited, not listed"]
    assert len(infos) == 1
    assert "Streckmann et al. as 14 (and 1 more results), the list has 34" in infos[0]


def test_copied_numbers(review):
    (text,) = review["same I2 twice"]
    assert "(quality of life, physical)" in text
    assert "(quality of life, functional): I2 82.4 % twice" in text
    (text,) = review["same result twice"]
    assert "(numbness, hand)" in text
    assert "(numbness, foot): -0.19 [-0.35, -0.03] twice, from 4 and 5 studies" in text


def test_trials_left_out_after_their_heterogeneity_was_seen():
    published, trials = (read_table(f"data/{name}.csv") for name in ("cipn_published", "cipn_trials"))
    (text,) = [f.evidence for f in audit(published, trials) if f.rule == "heterogeneity removed"]
    assert "I2 71.6 % becomes 0 % without 20, 22" in text
    # the subgroups of an outcome are no such thing
    honest = [f for seed in range(50) for f in audit(*clean(seed)) if f.rule == "heterogeneity removed"]
    assert not honest


@pytest.mark.parametrize(
    ("whole", "part", "cited", "without", "found"),
    [
        # a fall of 50 percentage points, and one trial in three, are the least that is worth a remark
        (60.0, 10.0, 6, 2, True),
        (60.0, 10.5, 6, 2, False),
        (70.0, 5.0, 6, 3, False),
        (70.0, 5.0, 7, 3, False),
    ],
)
def test_which_falls_of_heterogeneity_are_remarked(whole, part, cited, without, found):
    results = pd.DataFrame(
        {
            "outcome": ["pain", "pain"],
            "measure": "SMD",
            "studies_cited": [" ".join(map(str, range(1, n + 1))) for n in (cited, cited - without)],
            "k": [cited, cited - without],
            "i2": [whole, part],
        }
    )
    assert any(finding.rule == "heterogeneity removed" for finding in audit(results)) == found


@pytest.mark.parametrize(("low", "high", "apart"), [(46.0, 76.0, False), (34.0, 97.0, True), (37.9, 80.0, True)])
def test_which_printed_intervals_of_heterogeneity_are_another(low, high, apart):
    """I2 = 71.3 % of 18 studies: 53.8 to 82.2 %. One end within 10 points will do, unless the lower misses by 15."""
    row = {"outcome": ["pain"], "measure": "SMD", "k": [18], "i2": [71.3], "ci_low": [low], "ci_high": [high]}
    (text,) = rules(pd.DataFrame(row | {"estimate": [math.nan]}))["interval of I2"]
    assert ("nor is it the interval of that I2" in text) == apart


def test_direction(review):
    (text,) = review["direction v scale"]
    assert "(FACT/GOG-NTX, overall): -0.68 is called better because lower, but higher is better" in text
    both = pd.concat([read_table("data/cipn_published.csv"), read_table("data/published_other.csv")])
    assert any("-0.68 and 0.5 on one scale" in text for text in rules(both)["direction v scale"])


def test_hand_and_foot_of_the_same_patients(review):
    # numbness: SE 0.32/3.92 = 0.082 twice, 0.058 if independent; printed 0.22/3.92 = 0.056
    one, two = review["patients counted twice"]
    assert "(numbness, hands and feet together)" in one
    assert "Bao, Kleckner, Müller, Şimşek are in both" in one
    assert "(tingling, hands and feet together)" in two
    assert len(review["narrower than participants allow"]) == 2
    assert all("hands and feet together" in text for text in review["narrower than participants allow"])


def test_shared_control_arms(review):
    simsek, mueller = review["control shared by arms"]
    assert "two" not in simsek
    assert "(30, 30) and one control arm of 30" in simsek
    assert "(49, 57) and one control arm of 57" in mueller
    assert "counts 220 participants where there are 163" in mueller


def test_model_chosen_by_i2(review):
    (text,) = review["model chosen by I2"]
    assert "12 results with I2 up to 45.9 % are fixed, 3 from 71.6 % on random" in text


def test_random_effects_that_are_not(review):
    # physical, refs 24, 26, 33: information 19*20/39 + 32*34/66 + 17*13/30 = 33.6, SE 0.17 for an effect of 0
    assert len(review["random-effects interval v I2"]) == 2
    assert all("quality of life" in text for text in review["random-effects interval v I2"])


def test_interval_of_heterogeneity_where_an_effect_belongs():
    found = rules(read_table("data/published_other.csv"))
    assert list(found) == ["interval of I2"]
    (text,) = found["interval of I2"]
    assert "38.4 to 77.6 holds I2 = 71.3 % and no estimate" in text


# -- planted slips in honest reviews -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "column", "value"),
    [
        ("pooled interval v estimate", "estimate", 3.0),
        ("interval of I2", "estimate", math.nan),
        ("impossible I2", "i2", 100.0),
        ("studies v citations", "k", 40),
        ("cited, not listed", "studies_cited", "20 21 99"),
        ("participants v arms", "n", 1),
        ("pooled p v interval", "p", "0.9999"),
        ("direction v scale", "called_better", "higher"),
    ],
)
def test_planted_cells(rule, column, value):
    published, trials = clean(3)
    assert rule not in rules(published, trials)
    row = 9
    if rule == "interval of I2":
        published.loc[row, ["ci_low", "ci_high", "i2"]] = [20.0, 80.0, 55.0]
    if rule == "pooled p v interval":
        published.loc[row, ["estimate", "ci_low", "ci_high"]] = [-0.5, -0.7, -0.3]
    published[column] = published[column].astype(object)
    published.loc[row, column] = value
    (text,) = rules(published, trials)[rule]
    assert f"published row {row} (outcome {published.loc[row, 'outcome_code']}" in text


def test_planted_trials():
    published, trials = clean(4)
    trials = trials.astype({"n_t": object, "n_c": object})
    trials.loc[2, ["n_t", "n_c", "n_randomised"]] = [31, 31, 31]
    assert "31 in all: the total stands in every arm" in rules(published, trials)["sizes v report"][0]
    trials.loc[2, ["n_t", "n_c", "n_randomised"]] = ["20; 21", 20, 61]
    found = rules(published.drop(columns="n"), trials)
    assert set(found) == {"control shared by arms"}
    trials["roles_t"] = ["treatment"] * 2 + ["treatment; other"] + ["treatment"] * 9
    assert "(n 21) is not the treatment" in rules(published, trials)["arm that is not the treatment"][0]


def test_one_model_for_all_is_not_chosen_by_i2_and_a_mixture_without_a_threshold_neither():
    published, trials = clean(5)
    assert "model chosen by I2" not in rules(published, trials)
    shuffled = published.assign(model=["fixed", "random"] * 6 + ["fixed"])
    assert "model chosen by I2" not in rules(shuffled)
    chosen = published.assign(model=np.where(published["i2"] > published["i2"].median(), "random", "fixed"))
    assert "model chosen by I2" in rules(chosen)


def parts(correlation: float) -> pd.DataFrame:
    """Hand and foot of eight trials, and their mean per patient with the correlation that they have."""
    se = 0.1
    rows = []
    for subgroup, estimate, error in (
        ("hand", -0.25, se),
        ("foot", -0.31, se),
        ("both", -0.28, se * math.sqrt((1 + correlation) / 2)),
    ):
        rows.append(
            {
                "outcome": "tingling",
                "subgroup": subgroup,
                "measure": "SMD",
                "estimate": estimate,
                "model": "fixed",
                "ci_low": round(estimate - 1.96 * error, 2),
                "ci_high": round(estimate + 1.96 * error, 2),
                "studies_cited": "1 2 3 4 5 6 7 8",
            }
        )
    return pd.DataFrame(rows)


def test_patients_are_counted_twice_only_if_the_correlation_is_ignored():
    assert "patients counted twice" in rules(parts(0.0))
    assert "patients counted twice" not in rules(parts(0.5))
    # subgroups of different patients are independent
    apart = parts(0.0).assign(studies_cited=["1 2 3 4", "5 6 7 8", "1 2 3 4 5 6 7 8"])
    assert "patients counted twice" not in rules(apart)


# -- the arithmetic ----------------------------------------------------------------------------------------------------


def test_expected_errors_are_those_of_pooling():
    published, trials = clean(6)
    rng = np.random.default_rng(1)
    literature = literature_of(published, trials)
    result = literature.results[3]
    listed = literature.trials_of(result)
    n = np.array([[*trial.n_t, trial.n_c] for trial in listed])
    v = 1 / n[:, 0] + 1 / n[:, 1] + result.estimate**2 / (2 * n.sum(1))
    y = rng.normal(0, 0.6, len(listed))
    _, fixed, _ = pooled(y, v, random=False)
    _, random, i2 = pooled(y, v)
    again = literature_of(published.assign(i2=i2), trials).results[3]
    np.testing.assert_allclose(expected_error(again, listed), [fixed, random], rtol=CLOSED)


def test_control_counted_twice_has_more_information():
    trials = pd.DataFrame({"study": ["A"], "ref": ["1"], "n_t": ["30; 30"], "n_c": [30]})
    (trial,) = literature_of(pd.DataFrame({"outcome": ["x"]}), trials).trials
    # 60*30/90 and 2 * 30*30/60
    assert trial.information() == pytest.approx(20.0, rel=CLOSED)
    assert trial.information(control_twice=True) == pytest.approx(30.0, rel=CLOSED)


@pytest.mark.parametrize(("q", "k"), [(43.0, 33), (0.7, 3), (59.23, 18), (9.0, 4), (32.5, 33), (17.9, 18)])
def test_interval_of_i2_is_the_formula_of_the_paper(q, k):
    i2 = 100 * max(0.0, 1 - (k - 1) / q)
    found = i2_interval(i2, k)
    df = k - 1
    h = max(1.0, math.sqrt(q / df))
    qq = h**2 * df
    if qq > k:
        se = 0.5 * (math.log(qq) - math.log(df)) / (math.sqrt(2 * qq) - math.sqrt(2 * k - 3))
    else:
        se = math.sqrt(1 / (2 * (k - 2)) * (1 - 1 / (3 * (k - 2) ** 2)))
    ends = [math.exp(math.log(h) + sign * 1.959963984540054 * se) for sign in (-1, 1)]
    np.testing.assert_allclose(
        found, [100 * max(0.0, 1 - max(end, 1.0) ** -2) for end in ends], rtol=CLOSED, atol=CLOSED
    )
    assert 0 <= found[0] <= i2 <= found[1] <= 100


# -- degenerate tables -------------------------------------------------------------------------------------------------


def test_scale_and_sign_do_not_change_findings():
    published, trials = clean(8)
    assert rules(published, trials) == {}
    turned = published.assign(
        estimate=-published["estimate"], ci_low=-published["ci_high"], ci_high=-published["ci_low"]
    )
    assert rules(turned, trials) == {}
    mean = published.assign(measure="MD", **{c: published[c] * 1e3 for c in ("estimate", "ci_low", "ci_high")})
    assert rules(mean, trials) == {}


def test_ratios():
    table = pd.DataFrame(
        {
            "outcome": ["a", "b"],
            "measure": "OR",
            "estimate": [0.5, 0.62],
            "ci_low": 0.25,
            "ci_high": 1.0,
            "p": ["0.05", ""],
        }
    )
    (text,) = rules(table)["pooled interval v estimate"]
    assert "row 1 (b)" in text


def test_nothing_but_outcomes():
    assert audit(pd.DataFrame({"outcome": ["pain"]})) == ()
    assert findings_table(()).columns.tolist() == ["rule", "severity", "evidence", "remedy"]


def test_tables_are_checked():
    published, trials = clean(0)
    with pytest.raises(DataError, match="outcome"):
        audit(published.drop(columns="outcome"))
    with pytest.raises(DataError, match="n_c"):
        audit(published, trials.drop(columns="n_c"))
    with pytest.raises(DataError, match="several rows with ref"):
        audit(published, trials.assign(ref="1"))
    with pytest.raises(DataError, match="not a size"):
        audit(published, trials.assign(n_t="30 women"))
    with pytest.raises(DataError, match="roles_t names 2 arms"):
        audit(published, trials.assign(roles_t="treatment; other"))
