"""Rules over study tables: each fires on its planted slip, and all are quiet on clean tables.

Authority: the slips are planted, so the answer is known. GRIM and GRIMMER are held against every possible sample; the
bound of an SD against the sample that reaches it; the leave-one-out prediction against a refit written out; F tails
against scipy.stats. False alarms are counted in simulated tables of twenty clean trials.
"""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesmeta.errors import DataError
from bayesmeta.forensics import (
    F_TEST,
    RULES,
    examine_reading,
    examine_table,
    findings_table,
    grim_consistent,
    grimmer_consistent,
    left_out,
    unit_of,
    z_of_p,
)
from bayesmeta.studies import read_outcome, read_table

# closed forms
CLOSED = 1e-9
TABLES = 300
TRIALS = 20
NONE = math.nan
# share of clean tables of twenty rows in which a rule may warn
FALSE_ALARMS = 0.02

INSTRUMENTS = (("FACIT-F", 35.0, 10.5), ("BFI", 4.2, 2.1), ("PFS", 5.1, 2.3), ("QLQ-C30", 36.0, 21.0))


def clean(seed: int, k: int = TRIALS, *, given: bool = False) -> pd.DataFrame:
    """Twenty honest trials: true samples of normal scores, printed to two decimals, direction stated."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(k):
        name, mean, sd = INSTRUMENTS[rng.integers(len(INSTRUMENTS))]
        n_t, n_c = (int(n) for n in rng.integers(12, 90, 2))
        effect = rng.normal(-0.3, 0.2)
        arms = [rng.normal(mean + effect * sd * (arm == 0), sd, n) for arm, n in enumerate((n_t, n_c))]
        values = [round(float(f(x)), 2) for x in arms for f in (np.mean, lambda x: np.std(x, ddof=1))]
        rows.append(
            {
                "study": f"Trial {i}",
                "outcome": "fatigue",
                "instrument": name,
                "coded_better": "lower",
                "n_total": n_t + n_c,
                "n_t": n_t,
                "mean_t": values[0],
                "sd_t": values[1],
                "n_c": n_c,
                "mean_c": values[2],
                "sd_c": values[3],
            }
        )
    frame = pd.DataFrame(rows, index=pd.RangeIndex(2, k + 2))
    if given:
        difference = frame["mean_t"] - frame["mean_c"]
        df = frame["n_t"] + frame["n_c"] - 2
        pooled = np.sqrt(((frame["n_t"] - 1) * frame["sd_t"] ** 2 + (frame["n_c"] - 1) * frame["sd_c"] ** 2) / df)
        se = pooled * np.sqrt(1 / frame["n_t"] + 1 / frame["n_c"])
        quantile = stats.t.ppf(0.975, df)
        frame = frame.assign(
            measure="MD",
            estimate=difference.round(2),
            se=se.round(3),
            ci_low=(difference - quantile * se).round(2),
            ci_high=(difference + quantile * se).round(2),
            t=(difference / se).round(2),
            p=(2 * stats.t.sf(abs(difference / se), df)).round(3),
        )
    return frame


def rules(frame: pd.DataFrame, **options) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in examine_table(frame, **options):
        if finding.severity != "info":
            found.setdefault(finding.rule, []).append(finding.evidence)
    return found


def test_rules_have_names_questions_and_remedies():
    assert len({rule.name for rule in RULES}) == len(RULES) == 23
    assert all(rule.question.endswith("?") and rule.remedy.endswith(".") for rule in RULES)


@pytest.mark.parametrize("given", [False, True])
def test_false_alarms_in_clean_tables(given):
    alarms: dict[str, int] = {}
    for seed in range(TABLES):
        for rule in rules(clean(seed, given=given), bounds=(-100, 150)):
            alarms[rule] = alarms.get(rule, 0) + 1
    assert {rule: n for rule, n in alarms.items() if n >= FALSE_ALARMS * TABLES} == {}
    assert sum(alarms.values()) < 2 * FALSE_ALARMS * TABLES


def test_grim_is_quiet_on_whole_scores():
    rng = np.random.default_rng(1)
    frame = clean(0)
    for i in frame.index:
        for arm in "tc":
            scores = rng.integers(0, 53, int(frame.loc[i, f"n_{arm}"]))
            frame.loc[i, f"mean_{arm}"] = round(float(scores.mean()), 2)
            frame.loc[i, f"sd_{arm}"] = round(float(scores.std(ddof=1)), 2)
    frame["coded_better"], frame["instrument"] = "lower", "FACIT-F"
    assert not {"GRIM", "GRIMMER", "outside the scale"} & set(rules(frame, grain=1, bounds=(0, 52)))


# -- planted slips -----------------------------------------------------------------------------------------------------


def planted(change, *, k: int = TRIALS, given: bool = False, seed: int = 7) -> pd.DataFrame:
    frame = clean(seed, k, given=given)
    frame = frame.astype(dict.fromkeys(("n_t", "n_c", "n_total"), float))
    return frame if (new := change(frame)) is None else new


def fires(rule: str, change, *words: str, row: int | None = 5, given: bool = False, **options) -> None:
    assert rule not in rules(
        planted(lambda frame: None, given=given), **{k: v for k, v in options.items() if k != "grain"}
    )
    found = rules(planted(change, given=given), **options)
    assert rule in found, (rule, found)
    text = " ".join(found[rule])
    assert all(word in text for word in words), text
    if row is not None:
        assert f"row {row} " in text or f"rows {row} " in text or f"and {row} " in text, text


def put(row: int, **cells):
    def change(frame: pd.DataFrame) -> None:
        for name, value in cells.items():
            frame.loc[row, name] = value

    return change


def test_count_rules():
    fires("impossible count", put(5, n_t=0), "n_t is 0")
    fires("impossible count", put(5, n_c=17.5), "17.5")
    events = clean(3).assign(events_t=3.0, events_c=4.0)
    events.loc[5, "events_t"] = events.loc[5, "n_t"] + 1
    events.loc[6, "events_c"] = 2.5
    assert len(rules(events)["impossible count"]) == 2
    fires("impossible spread", put(5, sd_t=0.0), "sd_t is 0")


def test_standard_error_entered_as_sd():
    def change(frame: pd.DataFrame) -> None:
        frame.loc[5, ["mean_t", "mean_c", "n_t", "n_c"]] = [31.0, 35.0, 40, 41]
        frame.loc[5, "instrument"] = "other"
        frame.loc[5, ["sd_t", "sd_c"]] = [round(10.4 / math.sqrt(40), 2), round(10.6 / math.sqrt(41), 2)]

    fires("SE given as SD", change, "read as standard errors")
    # beyond 2 it is a remark, beyond 3 the question is asked
    assert {item.severity for item in examine_table(planted(change)) if item.rule == "large effect"} == {"info"}

    def extreme(frame: pd.DataFrame) -> None:
        change(frame)
        frame.loc[5, ["sd_t", "sd_c"]] = [1.2, 1.2]

    fires("large effect", extreme, "SMD -3.")


def test_standard_error_entered_as_sd_is_seen_in_the_instrument_even_without_an_effect():
    def change(frame: pd.DataFrame) -> None:
        frame["instrument"] = "FACIT-F"
        frame.loc[:, ["sd_t", "sd_c"]] = frame[["sd_t", "sd_c"]].to_numpy() * 0 + 10.5
        frame.loc[5, ["mean_t", "mean_c", "n_t", "n_c", "sd_t", "sd_c"]] = [35.0, 35.1, 40, 41, 1.66, 1.64]

    fires("SE given as SD", change, "1.66", "10.5")


def test_direction_flipped():
    def change(frame: pd.DataFrame) -> None:
        frame["mean_t"] = frame["mean_c"] - 0.6 * frame["sd_c"]
        frame.loc[5, ["n_t", "n_c"]] = 80
        frame.loc[5, "mean_t"] = frame.loc[5, "mean_c"] + 0.6 * frame.loc[5, "sd_c"]

    fires("direction flipped", change, "sign reversed")
    # said to be coded in the other direction, it is none
    told = planted(change)
    told.loc[5, "coded_better"] = "higher"
    assert "direction flipped" not in rules(told)


def test_sign_rules():
    fires("means of opposite sign", lambda f: put(5, mean_c=-f.loc[5, "mean_c"])(f), "opposite signs")

    def change(frame: pd.DataFrame) -> None:
        frame.loc[5, ["study", "outcome", "instrument"]] = frame.loc[6, ["study", "outcome", "instrument"]].tolist()
        frame.loc[5, ["mean_t", "mean_c"]] = [-40.0, -41.0]
        frame.loc[6, ["mean_t", "mean_c"]] = [40.0, 41.0]
        frame.loc[[5, 6], ["sd_t", "sd_c"]] = 10.5

    fires("coding v sign", change, "-40 and 40")
    told = planted(change)
    told.loc[5, "coded_better"] = "higher"
    assert "coding v sign" not in rules(told)


def test_arms_used_twice():
    def change(frame: pd.DataFrame) -> None:
        for name in ("study", "instrument", "n_c", "mean_c", "sd_c"):
            frame.loc[6, name] = frame.loc[5, name]

    fires("arm used twice", change, "control arm")
    named = planted(change).assign(arm_t=[f"arm {i}" for i in range(TRIALS)], arm_c="none")
    assert "arm used twice" not in rules(named)
    assert [f.severity for f in examine_table(named) if f.rule == "arm used twice"] == ["info"]


def test_arm_in_two_studies_and_equal_arms():
    def change(frame: pd.DataFrame) -> None:
        for name in ("instrument", "n_c", "mean_c", "sd_c"):
            frame.loc[6, name] = frame.loc[5, name]

    fires("arm in two studies", change, "Trial 3, Trial 4")

    def copied(frame: pd.DataFrame) -> None:
        for stem in ("n", "mean", "sd"):
            frame.loc[5, f"{stem}_c"] = frame.loc[5, f"{stem}_t"]

    fires("arms are equal", copied)


def test_totals():
    fires("total v arms", put(5, n_t=19, n_c=19, n_total=19), "19 in both arms")
    fires("total v arms", lambda f: put(5, n_total=f.loc[5, "n_total"] + 2)(f), "not")


def test_same_numbers_at_two_times_and_sign_turned():
    def change(frame: pd.DataFrame) -> None:
        frame["horizon"] = "short"
        for name in ("study", "instrument", "sd_t", "sd_c", "n_t", "n_c"):
            frame.loc[6, name] = frame.loc[5, name]
        frame.loc[6, "horizon"] = "medium"
        for name in ("mean_t", "mean_c"):
            frame.loc[6, name] = -frame.loc[5, name]

    fires("same numbers twice", change, "medium")

    def one_arm(frame: pd.DataFrame) -> None:
        change(frame)
        frame.loc[6, "mean_t"] += 0.37

    fires("same numbers twice", one_arm, "control arm")


def test_grain_bounds_and_variances():
    fires("GRIM", lambda f: f.assign(n_t=28, mean_t=5.19), "5.19", grain=1)
    fires("GRIMMER", lambda f: f.assign(n_t=10, mean_t=3.5, sd_t=1.21), "1.21", grain=1)
    fires("outside the scale", put(5, mean_t=54.0), "54", bounds=(-20, 53))
    fires("outside the scale", put(5, mean_t=51.2, sd_t=14.0), "14", bounds=(-20, 52))
    fires("SDs of the arms differ", put(5, sd_t=30.0, sd_c=3.0, n_t=40, n_c=40), "F test")
    own = clean(4).assign(grain=np.nan)
    own.loc[5, ["n_t", "mean_t", "grain"]] = [28, 5.19, 1.0]
    assert rules(own)["GRIM"][0].startswith("table row 5 (Trial 3): mean_t 5.19")


def test_participants_grow():
    def change(frame: pd.DataFrame) -> None:
        frame["horizon"] = 12.0
        for name in ("study", "instrument"):
            frame.loc[6, name] = frame.loc[5, name]
        frame.loc[6, "horizon"] = 26.0
        frame.loc[[5, 6], "n_t"] = [16, 18]

    fires("participants grow", change, "from 16 (12) to 18 (26)")


@pytest.mark.parametrize(
    ("cells", "rule", "word"),
    [
        ({"ci_low": 1.0, "estimate": -4.0}, "interval v estimate", "outside"),
        ({"ci_low": 2.0, "ci_high": -2.0}, "interval v estimate", "upside down"),
        ({"ci_low": -9.0, "estimate": -1.0, "ci_high": 1.0}, "interval v estimate", "off its middle"),
        ({"estimate": -4.0, "se": 1.0, "p": 0.3, "t": NONE, "ci_low": NONE}, "statistics contradict", "p 1.0"),
        ({"estimate": -4.0, "se": 1.0, "t": -1.4, "p": NONE, "ci_low": NONE}, "statistics contradict", "t 1.4"),
        (
            {"estimate": -4.0, "ci_low": -6.0, "ci_high": -2.0, "se": 4.0, "t": NONE, "p": NONE},
            "statistics contradict",
            "error 1",
        ),
    ],
)
def test_estimates_that_contradict_each_other(cells, rule, word):
    fires(rule, put(5, **cells), word, given=True)


def test_estimates_against_their_arms():
    fires(
        "estimate v arms",
        lambda f: put(5, estimate=6.0, mean_t=30.0, mean_c=36.0, ci_low=2.0)(f),
        "30 and 36",
        given=True,
    )
    arms = clean(6).assign(ci_low_t=lambda f: f["mean_t"] - 2, ci_high_t=lambda f: f["mean_t"] + 2)
    assert "interval v arm mean" not in rules(arms)
    arms.loc[5, "ci_low_t"] = arms.loc[5, "mean_t"] + 1
    assert "row 5 " in rules(arms)["interval v arm mean"][0]


def test_ratios_are_centred_on_the_log_scale():
    frame = pd.DataFrame(
        {"study": ["A", "B"], "measure": "OR", "estimate": [2.0, 2.5], "ci_low": [1.0, 1.0], "ci_high": 4.0}
    )
    assert [text.startswith("table row 1 (B)") for text in rules(frame)["interval v estimate"]] == [True]
    # without a measure either scale will do
    assert rules(frame.drop(columns="measure")) == {}


def test_variance_against_participants():
    frame = clean(2).drop(columns=["mean_t", "sd_t", "mean_c", "sd_c"]).assign(measure="SMD", estimate=-0.3)
    frame["se"] = np.sqrt(1 / frame["n_t"] + 1 / frame["n_c"])
    assert rules(frame) == {}
    frame.loc[5, "se"] = frame.loc[5, "se"] ** 2
    assert "row 5 " in rules(frame)["variance v participants"][0]
    odds = frame.assign(measure="OR", estimate=0.7, se=0.1)
    assert (
        len([f for f in examine_table(odds) if f.rule == "variance v participants" and f.severity == "error"]) == TRIALS
    )


# -- the arithmetic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 5, 6])
def test_grim_and_grimmer_against_every_sample(n):
    # all samples of n whole scores from 0 to 6, printed to two and one decimals
    samples = [np.array(s, float) for s in itertools.combinations_with_replacement(range(7), n)]
    for digits in (1, 2):
        unit = 10.0**-digits
        printed = {(round(float(s.mean()), digits), round(float(s.std(ddof=1)), digits)) for s in samples}
        means = {mean for mean, _ in printed}
        assert all(grim_consistent(mean, n, 1, unit) for mean in means)
        assert all(grimmer_consistent(mean, sd, n, 1, unit, unit) for mean, sd in printed)
        grid = np.round(np.arange(0, 6 + unit / 2, unit), digits)
        assert {float(m) for m in grid if grim_consistent(float(m), n, 1, unit)} == means
        # impossible SDs are found (the rule is necessary, not sufficient: some impossible ones pass)
        mean = sorted(means)[len(means) // 2]
        tried = np.round(np.arange(unit, 3, unit), digits)
        refused = {float(sd) for sd in tried if not grimmer_consistent(mean, float(sd), n, 1, unit, unit)}
        assert not refused & {sd for m, sd in printed if m == mean}
        assert digits == 1 or len(refused) > len(tried) / 2


def test_grain_scales():
    for mean in np.round(np.arange(1, 3, 0.01), 2):
        assert grim_consistent(float(mean) / 4, 20, 0.25, 0.0025) == grim_consistent(float(mean), 20, 1, 0.01)


def test_the_largest_sd_of_a_scale_is_allowed_and_no_larger():
    scores = np.array([0.0] * 6 + [10.0] * 4)
    frame = pd.DataFrame({"study": ["A"], "n_t": [10], "mean_t": [scores.mean()], "sd_t": [scores.std(ddof=1)]})
    assert "outside the scale" not in rules(frame, bounds=(0, 10))
    assert "outside the scale" in rules(frame.assign(mean_t=3.95, sd_t=6.5), bounds=(0, 10))
    # scores that a reviewer multiplied by -1
    assert rules(frame.assign(mean_t=-4.0), bounds=(0, 10)) == {}


def test_left_out_against_a_refit_written_out():
    rng = np.random.default_rng(5)
    y, se = rng.normal(size=9), rng.uniform(0.1, 0.6, 9)
    mu, tau2, var = left_out(y, se)
    for i in range(9):
        yy, w = np.delete(y, i), 1 / np.delete(se, i) ** 2
        q = np.sum(w * (yy - np.average(yy, weights=w)) ** 2)
        t2 = max(0.0, (q - 7) / (w.sum() - (w**2).sum() / w.sum()))
        weights = 1 / (1 / w + t2)
        expected = [np.average(yy, weights=weights), t2, 1 / weights.sum()]
        np.testing.assert_allclose([mu[i], tau2[i], var[i]], expected, rtol=CLOSED, atol=CLOSED)


def test_f_tails_are_those_of_scipy_stats():
    # the smallest ratio of SDs that the rule finds, with 40 in each arm
    ratio = math.sqrt(stats.f.isf(F_TEST / 2, 39, 39))
    frame = pd.DataFrame(
        {
            "study": ["A", "B"],
            "n_t": 40,
            "mean_t": 1.0,
            "sd_t": [ratio * 1.001, ratio * 0.999],
            "n_c": 40,
            "mean_c": 1.1,
            "sd_c": 1.0,
        }
    )
    assert [text.startswith("table row 0") for text in rules(frame)["SDs of the arms differ"]] == [True]


def test_printed_p_values():
    low, high = z_of_p("0.04")
    np.testing.assert_allclose([low, high], stats.norm.isf([0.0225, 0.0175]), rtol=CLOSED)
    assert z_of_p("P < .001") == (pytest.approx(stats.norm.isf(0.0005)), math.inf)
    assert z_of_p(">.99")[0] == 0
    assert z_of_p("ns") is None
    assert z_of_p("1.4") is None


def test_units_of_numbers():
    assert unit_of(np.array([5.0, 2.5, 0.125, np.nan])).tolist()[:3] == [1.0, 0.1, 0.001]


# -- degenerate tables, and the tables that ship -----------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3])
def test_few_rows(k):
    assert rules(clean(11, k)) == {}


def test_scale_and_sign_do_not_change_findings():
    frame = planted(put(5, n_t=19, n_c=19, n_total=19, sd_t=0.4))
    big = frame.assign(**{name: frame[name] * 1e3 for name in ("mean_t", "sd_t", "mean_c", "sd_c")})
    turned = frame.assign(mean_t=-frame["mean_t"], mean_c=-frame["mean_c"], coded_better="higher")
    assert set(rules(frame)) == set(rules(big)) == set(rules(turned))


def test_all_equal_effects_and_one_tiny_se():
    frame = clean(2).drop(columns=["mean_t", "sd_t", "mean_c", "sd_c"]).assign(measure="SMD", estimate=-0.3)
    frame["se"] = np.sqrt(1 / frame["n_t"] + 1 / frame["n_c"])
    frame.loc[5, "se"] = 1e-9
    assert list(rules(frame)) == ["variance v participants"]


def test_columns_and_arguments_are_checked():
    with pytest.raises(DataError, match="study"):
        examine_table(pd.DataFrame({"n_t": [1]}))
    with pytest.raises(DataError, match="grain"):
        examine_table(clean(0), grain=0)
    with pytest.raises(DataError, match="lower end"):
        examine_table(clean(0), bounds=(3, 1))


def test_findings_come_gravest_first():
    frame = planted(put(5, n_t=19, n_c=19, n_total=19)).assign(arm_t="a", arm_c="b")
    frame.loc[5, ["sd_t", "sd_c"]] = 10.5312
    table = findings_table(examine_table(frame))
    assert list(table.columns) == ["rule", "severity", "evidence", "remedy"]
    assert table["severity"].tolist() == ["error", "info"]
    assert findings_table(()).empty


def test_the_cancer_table_shows_its_known_traps():
    # data/cancer_exercise_trials.provenance.toml, [[trap]]: Cramer 2016 in four outcomes, one SD for Dhillon 2017
    table = read_table("data/cancer_exercise_trials.csv", columns={"arm_t": "exercise", "arm_c": "comparator"})
    found = examine_table(table)
    whole = [f.evidence for f in found if f.rule == "same numbers twice" and "arm:" not in f.evidence]
    assert len(whole) == 4
    assert all("Cramer 2016" in text for text in whole)
    assert sum("Dhillon 2017" in f.evidence for f in found if f.rule == "one SD for both arms") == 4
    assert {f.severity for f in found if f.rule == "arm used twice"} == {"info"}
    assert not [f for f in found if f.severity == "error"]
    assert not [f for f in found if f.rule in ("coding v sign", "means of opposite sign")]


def test_readings_of_ratios_on_either_scale(tmp_path):
    natural = pd.DataFrame({"study": list("ABC"), "estimate": 2.0, "ci_low": 1.25, "ci_high": 3.2})
    logs = natural.assign(**{name: np.log(natural[name]).round(4) for name in ("estimate", "ci_low", "ci_high")})
    protocol = """
schema = 2
title = "ratios"
[data]
path = "trials.csv"
[outcome.death]
label = "Death"
measure = "OR"
better = "lower"
measure_options = { scale = "SCALE" }
[outcome.death.priors]
mu = { dist = "normal", mean = 0, sd = 1, source = "a test" }
tau = { dist = "halfnormal", scale = 0.5, source = "a test" }
"""
    for frame, scale in ((natural, "natural"), (logs, "log")):
        frame.to_csv(tmp_path / "trials.csv", index=False)
        (tmp_path / "p.toml").write_text(protocol.replace("SCALE", scale))
        assert examine_reading(read_outcome(tmp_path / "p.toml", "death")) == ()


def test_a_reading_is_examined_in_its_own_direction():
    # START's long fatigue rows are coded in opposite directions: reversed when read, and no conflict afterwards
    found = examine_reading(read_outcome("models/cancer_exercise.toml", "fatigue_long"))
    assert not [f for f in found if f.rule in ("coding v sign", "direction flipped")]
    assert [f.severity for f in found if f.rule == "arm used twice"] == ["info"] * len(
        [f for f in found if f.rule == "arm used twice"]
    )
