"""Which column is what, proposed from its name.

Authorities: the spellings that trials' tables are written in (arms and quantities in every order and notation below),
the argument names of metafor's ``escalc`` (its manual), and the column names of the R package meta (``metacont``:
n.e mean.e sd.e n.c mean.c sd.c; ``metabin``: event.e n.e event.c n.c).
"""

from __future__ import annotations

import itertools

import pytest

from bayesmeta.setup import propose_columns

QUANTITIES = {
    "n": ["N", "n", "No. of participants", "Total", "Sample size", "Number"],
    "mean": ["Mean", "mean", "M", "Average"],
    "sd": ["SD", "sd", "Standard deviation", "Std. Dev.", "S.D."],
    "se": ["SE", "SEM", "Standard error"],
    "events": ["Events", "events", "Number of events"],
    "mean_change": ["Mean change", "Change mean", "\u0394 mean"],
    "sd_change": ["SD change", "Change SD"],
    "median_iqr": ["Median (IQR)", "median IQR"],
    "median_range": ["Median (range)"],
    "ci": ["95% CI", "CI"],
    "ci_low": ["CI low", "95% CI lower"],
}
GROUPS = [
    ("exp", "control"),
    ("exercise", "usual care"),
    ("intervention", "control"),
    ("Treatment", "Comparator"),
    ("Exp", "Con"),
    ("experimental", "ctrl"),
    ("E", "C"),
    ("T", "C"),
    ("t", "c"),
    ("I", "C"),
    ("1", "2"),
    ("trt", "ctl"),
]
FORMS = ["{q} {g}", "{q} ({g})", "{q}.{g}", "{q}_{g}", "{g} {q}", "{g}: {q}", "{q}, {g} group", "{q} [{g}]"]


@pytest.mark.parametrize("form", FORMS)
def test_arms_and_quantities_in_every_spelling(form):
    wrong = []
    for (ours, words), groups in itertools.product(QUANTITIES.items(), GROUPS):
        for word in words:
            names = [form.format(q=word, g=group) for group in groups]
            found = {item.theirs: item.ours for item in propose_columns(["Study", *names]).columns}
            if found != {"Study": "study", names[0]: f"{ours}_t", names[1]: f"{ours}_c"}:
                wrong.append((names, found))
    assert not wrong, wrong[:8]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("study m1i sd1i n1i m2i sd2i n2i", "study mean_t sd_t n_t mean_c sd_c n_c"),
        ("trial ai n1i ci n2i", "study events_t n_t events_c n_c"),
        ("author yi vi", "study estimate var"),
        ("study yi sei", "study estimate se"),
        ("author n.e mean.e sd.e n.c mean.c sd.c", "study n_t mean_t sd_t n_c mean_c sd_c"),
        ("author event.e n.e event.c n.c", "study events_t n_t events_c n_c"),
        ("Trial|Hedges' g|95% CI", "study estimate ci"),
        ("Study|Odds ratio|Lower|Upper", "study estimate ci_low ci_high"),
        ("First author|Risk of bias (overall)|Questionnaire|Endpoint", "study risk_of_bias instrument outcome"),
        ("Study ID|Scale|Comments|Time point", "study instrument note horizon"),
        ("Study|nExp|nCtrl|meanExp|meanCtrl", "study n_t n_c mean_t mean_c"),
    ],
)
def test_other_columns_and_other_programs(names, expected):
    names = names.split("|") if "|" in names else names.split()
    assert [item.ours for item in propose_columns(names).columns] == expected.split()


def test_what_an_estimate_is_comes_from_its_name_alone():
    def measure(name):
        return [(x.measure, x.log) for x in propose_columns(["study", name, "se"]).columns if x.ours == "estimate"]

    assert [measure(name) for name in ("SMD", "OR", "log OR", "lnRR", "effect size")] == [
        [("SMD", False)],
        [("OR", False)],
        [("OR", True)],
        [("RR", True)],
        [(None, False)],
    ]


def test_what_is_not_certain_stays_unmapped_with_the_reason():
    found = propose_columns(
        [
            "Study",
            "Fatigue mean exp",
            "QoL mean exp",
            "Fatigue mean con",
            "QoL mean con",
            "Total exercise minutes",
            "SD exp",
            "Baseline mean exp",
            "Baseline mean con",
        ]
    )
    left = dict(found.left)
    assert dict(found.ambiguous) == {
        "mean_t": ("Fatigue mean exp", "QoL mean exp"),
        "mean_c": ("Fatigue mean con", "QoL mean con"),
    }
    assert [item.ours for item in found.columns] == ["study"]
    assert left["SD exp"] == "may be sd_t, but nothing is sd_c"
    assert "baseline" in left["Baseline mean exp"]
    assert "moderator" in left["Total exercise minutes"]


def test_an_arm_with_a_name_of_its_own_is_the_other_one_and_two_such_are_not_guessed():
    found = propose_columns(["Study", "N exercise", "Mean exercise", "N stretching", "Mean stretching"])
    assert [item.ours for item in found.columns] == ["study", "n_t", "mean_t", "n_c", "mean_c"]
    found = propose_columns(["Study", "N yoga", "Mean yoga", "N walking", "Mean walking"])
    assert [item.ours for item in found.columns] == ["study"]
    assert all("nothing says which of yoga and walking is treated" in why for _, why in found.left)


def test_of_two_columns_the_better_named_is_taken_and_our_own_names_stand():
    names = ["study", "N (randomised) exp", "N analysed exp", "N (randomised) con", "N analysed con", "Arm size", "n"]
    found = {item.ours: item.theirs for item in propose_columns(names, reserved={"study", "n"}).columns}
    assert (found["n_t"], found["n_c"], found["n"]) == ("N analysed exp", "N analysed con", "n")
