"""What 0.1.0 gave, kept in ``reference/pinned_0_1_0``: the questions and commands behind it, and how answers compare.

One table each says which keys and which words have changed since; a change of either is a line there and nowhere else.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

import bayesmeta as bm
from bayesmeta.fits import marginal, quantities
from bayesmeta.protocol import migrate
from bayesmeta_cli.main import main

PINS = Path(__file__).parent / "reference" / "pinned_0_1_0"

# -- what has changed its name since 0.1.0 -----------------------------------------------------------------------------

#: Keys and columns: old to new; a dot leads into an object ("a.b"), None is no longer given (say why beside it). An old
#: key that means several things is named with the key before it ("posterior.form").
KEYS: dict[str, str | None] = {
    # JSON schema 2
    "cut": "cutoff",
    "printed.analyses_run": "sections.declared.rows",
    "printed.contrasts": "sections.declared.summary.contrasts",
    "printed.prior_range": "sections.declared.summary.prior_range",
    "printed.range": "sections.declared.summary.range",
    "printed.cumulative": "sections.cumulative.rows",
    "printed.elpd": "sections.leave-one-out.summary.elpd",
    "printed.leave_one_out": "sections.leave-one-out.rows",
    "honesty": "caveat",
    "new_setting": "new_study",
    "p_setting": "p_new",
    "posterior.form": "representation",
    "turned": "sign_reversed",
    "universes": "specifications",
    # tables of benefit do not repeat a column: the share's mean is the probability of important benefit in a new study,
    # that it is a majority is that of the mean effect; the share itself still has both
    ".p_majority": "p_majority",
    ".share_mean": "share_mean",
    "p_majority": None,
    "share_mean": None,
    # moderators have one table, in `moderated.moderators.rows` (tests/moderators); contrasts are still asked of fits
    "moderated.contrasts": None,
    "moderated.levels": None,
    "moderators.contrasts": None,
    "moderators.method": None,
    "moderators.qm": None,
    "moderators.qm_df": None,
    "moderators.qm_p": None,
    "moderators.tau": None,
}
#: Severities of findings, by rule: what was one may be another. An SMD between 2 and 3 is a remark today.
SEVERITIES: dict[str, tuple[str, ...]] = dict.fromkeys(("large SMD", "large effect"), ("warning", "info"))
#: Words inside values that name things (targets, quantities, methods): old to new.
WORDS: dict[str, str] = {
    "new setting": "new study",
    "direction turned": "direction reversed",
    "Which trials pull?": "Which trials are influential?",
    "How sure is tau, classically?": "What are the classical confidence intervals of tau?",
    # the default of a slope is another; of contrasts, which these pins have, it is the same
    "a contrast between levels normal(0, 0.5), a slope per stated unit normal(0, 0.25)": (
        "normal(0, 0.5) for a contrast between levels and for a slope over two SDs of the moderator, as Gelman 2008, "
        "doi:10.1002/sim.3107, makes the two comparable"
    ),
}
#: Sentences for people: only the numbers in them are compared, in order. Their words are tested elsewhere.
PROSE = frozenset(
    {
        "advice",
        "alt",
        "assumptions",
        "caveat",
        "evidence",
        "formula",
        "honesty",
        "left_out",
        "methods",
        "moderated",
        "not_drawn",
        "note",
        "notes",
        "rationale",
        "reason",
        "reasons",
        "references",
        "remedy",
        "sentence",
        "title",
        "tried",
        "verdict",
        "warnings",
        "why",
    }
)
#: What may differ from one version, or one run, to the next: versions, and where a picture was put.
NEVER = frozenset({"schema_version", "bayesmeta", "versions", "protocol_sha256", "file"})
#: What a sampler says of one run: no answer, and not the same on two processors.
OF_THE_RUN = frozenset({"checks", "sampler"})

#: What answers another question since, by fit. With clusters the classical check is the multilevel model: two more
#: lines of `compare_table`, and its interval in the support of GRADE (authority: tests/classical/test_check.py).
CHANGED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("exact_clusters", "nuts_clusters"), ("compare_table.rows.length", "grade_table.rows.1.value")),
    # interactions are among the contrasts (authority: tests/moderators/test_answer.py)
    **dict.fromkeys(("exact_interaction", "interaction"), ("contrast_table.rows.length",)),
}

# -- how close is the same ---------------------------------------------------------------------------------------------

#: Nodes, sums and roots are the same on every processor up to rounding; a sum over thousands of nodes and a root near
#: a flat stretch magnify it. The floor is for differences of numbers of order one.
EXACT = 1e-9
#: A fit that is read holds the same nodes and draws in every bit; what follows is the same up to rounding.
READ = 1e-12
FLOOR = 1e-10

Leaf = tuple[tuple[str | int, ...], Any]


def meant(name: str, lines: Sequence[str]) -> list[str]:
    """Differences of a fit's answers without those of questions that changed their meaning."""
    return [line for line in lines if not line.replace(": ", ".", 1).startswith(CHANGED.get(name, ()))]


def asked(verb: Callable[[bm.Fit], Any], fit: bm.Fit) -> Any:
    """A verb's answer as plain values; where it does not apply, the kind of refusal."""
    try:
        return values(verb(fit))
    except bm.BayesmetaError as error:
        return {"refused": type(error).__name__}


def values(found: Any) -> Any:
    """Plain values of an answer; what JSON lacks is text."""
    if isinstance(found, pd.DataFrame):
        frame = found if isinstance(found.index, pd.RangeIndex) else found.reset_index(names="row")
        return {
            "rows": [values(row) for row in frame.to_dict("records")],
            "attrs": {str(key): values(item) for key, item in found.attrs.items()},
        }
    if isinstance(found, Mapping):
        return {str(key): values(item) for key, item in found.items()}
    if isinstance(found, np.ndarray | np.generic):
        return values(found.tolist())
    if isinstance(found, Sequence) and not isinstance(found, str):
        return [values(item) for item in found]
    if found is pd.NA or found is None:
        return None
    if isinstance(found, float) and not math.isfinite(found):
        return str(found)
    if isinstance(found, str | int | float):
        return found
    raise TypeError(f"{type(found).__name__} is no answer")


def _forms(fit: bm.Fit) -> dict[str, Any]:
    """Of every quantity: moments, quantiles, a density, an interval."""
    found = {}
    for name in quantities(fit):
        form = marginal(fit, name)
        x = float(form.quantile(0.6))
        found[name] = {
            "mean": form.mean,
            "sd": form.sd,
            "mcse": form.mcse,
            "quantiles": form.quantile([0.025, 0.1, 0.5, 0.975]),
            "below": bm.probability(fit, name, below=x),
            "between": bm.probability(fit, name, between=(x - 0.3, x)),
            "density": float(form.density(x)),
            "interval": form.interval(0.9),
        }
    return found


def _at(fit: bm.Fit) -> dict[str, Any] | None:
    """The profile of the second row, where the model has moderators whose values are all known."""
    names = dict.fromkeys(part for name in fit.model.beta for part in name.split(":"))
    found = {name: fit.effects.moderators[name][1] for name in names}
    return {name: item.item() if isinstance(item, np.generic) else item for name, item in found.items()} or None


def _thresholds(fit: bm.Fit) -> tuple[bm.Threshold, ...]:
    if fit.outcome is not None:
        return fit.outcome.decision.thresholds
    return (bm.threshold(0.8, measure_name=fit.effects.measure, better="lower"),)


QUESTIONS: dict[str, Callable[[bm.Fit], Any]] = {
    "what was fitted": lambda fit: {
        "engine": fit.engine,
        "analysis": fit.analysis,
        "seed": fit.seed,
        "k": fit.effects.k,
        "study": fit.effects.study,
        "label": fit.effects.label,
        "y": fit.effects.y,
        "se": fit.effects.se,
        "participants": fit.effects.participants,
        "hashes": fit.hashes,
        "ok": fit.ok,
    },
    "log_evidence": lambda fit: fit.log_evidence,
    "checks": lambda fit: [[check.name, check.ok, check.value, check.limit] for check in fit.checks],
    "summarize": bm.summarize,
    "summarize, shortest": lambda fit: bm.summarize(fit, level=0.8, interval="shortest"),
    "forms": _forms,
    "predict": lambda fit: bm.predict(fit, _at(fit)),
    "study_table": bm.study_table,
    "heterogeneity_table": bm.heterogeneity_table,
    "contrast_table": bm.contrast_table,
    "compare_table": lambda fit: bm.compare_table(fit),
    "compare_coefficients": bm.compare_coefficients,
    "benefit_table": lambda fit: bm.benefit_table(fit, _thresholds(fit)),
    "benefit_table, at": lambda fit: bm.benefit_table(fit, _thresholds(fit)[:1], at=_at(fit)),
    "benefit_curve": lambda fit: bm.benefit_curve(fit, np.linspace(-1, 1, 9)),
    "band_table": lambda fit: bm.band_table(fit, [-0.2, 0.2, 0.5]),
    "responder_table": lambda fit: bm.responder_table(fit, 0.3),
    "share_of_settings": lambda fit: bm.share_of_true_effects(fit, 0.3),
    "benefit_sentence": lambda fit: {"sentence": bm.benefit_sentence(fit, _thresholds(fit)[0])},
    "information_table": bm.information_table,
    "natural_table": bm.natural_table,
    "risk_table": bm.risk_table,
    "next_trial_table": bm.next_trial_table,
    "grade_table": bm.grade_table,
    "profile_table": bm.profile_table,
    "curve_table": lambda fit: bm.curve_table(fit, next(iter(fit.model.beta), "none")),
    "imputed_table": bm.imputed_table,
    "predictive_table": bm.predictive_table,
    "ppc_table": bm.ppc_table,
    "prior_check_table": bm.prior_check_table,
    "overlap_table": bm.overlap_table,
    "power_scaling_table": bm.power_scaling_table,
    "loo_table": lambda fit: bm.loo_table(fit, exact=fit.exact),
}

#: Questions of seconds, asked of these fits alone.
LONG = dict.fromkeys(
    ("natural_table", "next_trial_table", "power_scaling_table", "overlap_table"),
    ("exact_pooled", "exact_ratio", "nuts_pooled"),
)

#: Answers that are differences over a small step, which loses digits; roots, which rounding moves (quantiles of
#: products are followed to 1e-11 on the probit scale).
LOOSE = {"power_scaling_table": 1e-6, **dict.fromkeys(("natural_table", "next_trial_table", "risk_table"), EXACT)}
#: A tipping point is followed until the probability is within 1e-7 of the cut-off; the prior there moves by as much
#: over the slope of the probability.
FOLLOWED = {"tipping": 1e-5}
#: Questions of the draws in a tree, of which the pinned exact fits hold few.
OF_THE_TREE = frozenset({"ppc_table", "prior_check_table", "loo_table"})


def answers(name: str, fit: bm.Fit) -> dict[str, Any]:
    """Answers of a pinned fit, by question."""
    return {key: asked(verb, fit) for key, verb in QUESTIONS.items() if name in LONG.get(key, (name,))}


# -- commands ----------------------------------------------------------------------------------------------------------

_TEN = ["{data}/exercise_depression_10_trials.csv", "--column", "estimate=smd", "--column", "se=sesmd"]
_CANCER, _DEPRESSION, _HIIT = (f"{{models}}/{name}.toml" for name in ("cancer_exercise", "exercise_depression", "hiit"))

#: By name: arguments; each command at least once, sampled models by their pinned fits.
COMMANDS: dict[str, list[str]] = {
    "check": ["check", "{models}/metastatic.toml"],
    "check_hiit": ["check", _HIIT],
    "check_table": ["check", *_TEN, "--measure", "SMD"],
    "check_columns": ["check", _TEN[0]],
    "pool": ["pool", *_TEN, "--measure", "SMD", "--better", "lower", "--threshold", "0.5"],
    "pool_by": ["pool", *_TEN, "--measure", "SMD", "--by", "itt"],
    "fit": ["fit", _DEPRESSION],
    "fit_cancer": ["fit", _CANCER, "--outcome", "anxiety_short", "--outcome", "qol_long"],
    "fit_clusters": ["fit", "{models}/cancer_horizons.toml", "--outcome", "anxiety"],
    "compare": ["compare", _CANCER, "--outcome", "anxiety_short"],
    "compare_preset": ["compare", _CANCER, "--preset", "iqwig8", "--outcome", "qol_short"],
    "benefit": ["benefit", _HIIT, "--outcome", "hba1c", "--outcome", "bmi"],
    "borrow": ["borrow", "{models}/metastatic.toml"],
    "sensitivity": ["sensitivity", _CANCER, "--outcome", "anxiety_medium"],
    "sensitivity_depression": ["sensitivity", _DEPRESSION],
    "influence": ["influence", _CANCER, "--outcome", "qol_long", "--gosh"],
    "multiverse": ["multiverse", _HIIT, "--outcome", "hba1c"],
    "ppc": ["ppc", _DEPRESSION],
    "ppc_drawn": ["ppc", "{fits}/nuts_missing_numeric.nc", "--moderated"],
    "profiles": ["profiles", _CANCER, "--outcome", "fatigue_short"],
    "forensics": ["forensics", _CANCER],
    "reanalyse": ["reanalyse", "{data}/published_other.csv"],
    "reanalyse_cipn": ["reanalyse", "{data}/cipn_published.csv"],
    "audit": ["audit", "{data}/cipn_published.csv", "{data}/cipn_trials.csv"],
    "forest": ["forest", _DEPRESSION, "-o", "{place}/forest.png"],
    "heterogeneity": ["heterogeneity", _DEPRESSION, "-o", "{place}/heterogeneity.png"],
    "benefit_curve": ["benefit-curve", _DEPRESSION, "-o", "{place}/benefit.png"],
    "funnel": ["funnel", _DEPRESSION, "-o", "{place}/funnel.png"],
    "bubble": ["bubble", _DEPRESSION, "--moderator", "duration", "-o", "{place}/bubble.png"],
    "curve": [
        "curve",
        "{models}/depression_dose.toml",
        "--outcome",
        "spline",
        "--moderator",
        "duration",
        "-o",
        "{place}/curve.png",
    ],
    "curve_drawn": ["curve", "{fits}/nuts_monotone.nc", "--moderator", "x", "-o", "{place}/drawn.png"],
    "outliers": ["outliers", "{fits}/nuts_outliers.nc", "-o", "{place}/outliers.png"],
}

#: These of them sample again what they compare a trial with, which takes a compilation: by command, the columns of it.
REFITS = {"outliers": frozenset({"others_share", "bayes_factor", "alt"})}

#: Those that sample; ``{models}`` is a folder whose protocols have the seed of the run.
SAMPLED: dict[str, list[str]] = {
    "joint": ["joint", _CANCER],
    "fit_imputed": ["fit", "{models}/cipn.toml", "--outcome", "symptoms_by_duration"],
}

# 0.1.0 drew PDFs without being asked
REPORT = ["report", _CANCER, "--pdf", "--outcome", "qol_medium", "--outcome", "anxiety_long", "-o", "{place}/report"]


def slope_prior_then(numeric: bool, share: float) -> bm.Normal:
    """Default priors of coefficients in 0.1.0: of a slope per stated unit, whatever share of its spread that is."""
    return bm.Normal(0, 0.25) if numeric else bm.Normal(0, 0.5)


def migrated(folder: Path) -> Path:
    """Copy the pinned protocols and their data into a folder, in the keys of today; where the protocols are."""
    shutil.copytree(PINS / "data", folder / "data")
    (folder / "models").mkdir()
    for path in sorted((PINS / "models").glob("*.toml")):
        shutil.copy(path, folder / "models")
        migrate(folder / "models" / path.name)
    return folder / "models"


@cache
def models_of_today() -> Path:
    """`migrated`, once in a process."""
    return migrated(Path(tempfile.mkdtemp()))


def run(arguments: Sequence[str], place: Path, *, models: Path | None = None) -> dict[str, Any]:
    """Run a command on the pinned protocols; what it printed, and its exit code."""
    folders = {"models": models or models_of_today(), "data": PINS / "data", "fits": PINS / "fits", "place": place}
    told, warned = io.StringIO(), io.StringIO()
    then = mock.patch("bayesmeta.plan.modelling._scaled", slope_prior_then)
    with then, contextlib.redirect_stdout(told), contextlib.redirect_stderr(warned):
        code = main([item.format(**folders) for item in arguments])
    if code not in (0, 5):
        raise AssertionError(f"{' '.join(arguments)}: exit code {code}: {warned.getvalue()}")
    return {"exit": code, "printed": json.loads(told.getvalue()) if "--json" in arguments else told.getvalue()}


# -- files -------------------------------------------------------------------------------------------------------------


def read(name: str) -> Any:
    """A pinned document."""
    return json.loads(gzip.decompress((PINS / name).read_bytes()))


def write(name: str, document: Any) -> None:
    """Pin a document; the same document gives the same bytes."""
    target = PINS / name
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    target.write_bytes(gzip.compress(text.encode(), mtime=0))


# -- comparing ---------------------------------------------------------------------------------------------------------


def leaves(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """Every value of a document with the way to it; a list also tells its length."""
    if isinstance(document, Mapping):
        for key, item in document.items():
            if key not in NEVER:
                yield from leaves(item, (*path, key))
    elif isinstance(document, list):
        yield (*path, "length"), len(document)
        for number, item in enumerate(document):
            yield from leaves(item, (*path, number))
    else:
        yield path, document


def renamed(path: tuple[str | int, ...], keys: Mapping[str, str | None]) -> tuple[str | int, ...] | None:
    """The way as it is today; None where a key on it is no longer given."""
    found: list[str | int] = []
    for before, part in zip(("", *path), path, strict=False):
        new = keys.get(f"{before}.{part}", keys.get(part, part)) if isinstance(part, str) else part
        if new is None:
            return None
        found += new.split(".") if isinstance(part, str) and new != part else [new]
    return tuple(found)


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def alike(found: str, pinned: str, tolerance: float, prose: bool) -> bool:
    """Whether two texts hold the same numbers, as close as others, and unless they are prose the same words."""
    ours, theirs = (list(map(float, _NUMBER.findall(text))) for text in (found, pinned))
    return found == pinned or (
        (prose or _NUMBER.sub("#", found) == _NUMBER.sub("#", pinned))
        and len(ours) == len(theirs)
        and all(close(one, other, tolerance) for one, other in zip(ours, theirs, strict=True))
    )


def worded(text: str, words: Mapping[str, str]) -> str:
    """A value with the words of today."""
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def is_prose(path: tuple[str | int, ...]) -> bool:
    """Whether a way leads to a sentence for people: by its last key, or as why something was not done."""
    keys = [part for part in path if isinstance(part, str)]
    return bool(PROSE.intersection(keys[-1:])) or "not_done" in keys[-2:]


def close(found: Any, pinned: Any, tolerance: float) -> bool:
    """Whether two numbers are the same up to a relative tolerance."""
    limit = max(FLOOR * tolerance / EXACT, tolerance * abs(pinned))
    return found == pinned or (isinstance(found, int | float) and abs(found - pinned) <= limit)


def differences(
    pinned: Any,
    found: Any,
    *,
    tolerance: float = EXACT,
    limit: float = 0.0,
    skip: frozenset[str] = frozenset(),
    keys: Mapping[str, str | None] | None = None,
    words: Mapping[str, str] | None = None,
) -> list[str]:
    """What is no longer as it was: values that differ and ways that lead nowhere. New keys are no difference.

    Parameters
    ----------
    limit : float
        By how much a probability (``p_...``, ``below``, ...) may differ: by half a draw, where none or all lay beyond.
        Sentences that quote them are then left to their tables.
    skip : frozenset of str
        Keys below which nothing is compared.
    keys, words : mapping, optional
        What has changed its name; `KEYS` and `WORDS`.
    """
    keys, words = KEYS if keys is None else keys, WORDS if words is None else words
    today = dict(leaves(found))
    told = []
    for path, value in leaves(pinned):
        way = None if skip.intersection(map(str, path)) else renamed(path, keys)
        if way is None:
            continue
        name = ".".join(map(str, way))
        if way not in today:
            told.append(f"{name}: is gone, was {value!r}")
            continue
        now = today[way]
        if path[-1:] == ("severity",) and {value, now} <= set(SEVERITIES.get(str(today.get((*way[:-1], "rule"))), ())):
            continue
        near = max([tolerance, *(FOLLOWED.get(str(part), 0.0) for part in path)])
        if isinstance(value, str) and isinstance(now, str):
            same = (limit > 0 and is_prose(path)) or alike(
                now, value if is_prose(path) else worded(value, words), near, is_prose(path)
            )
        elif isinstance(value, int | float) and not isinstance(value, bool):
            same = not isinstance(now, bool) and close(now, value, near)
            same = same or (
                str(way[-1]).startswith(("p_", "below", "above", "between"))
                and isinstance(now, float)
                and abs(now - value) <= limit
            )
        else:
            same = type(now) is type(value) and now == value
        if not same:
            told.append(f"{name}: {now!r}, was {value!r}")
    return told
