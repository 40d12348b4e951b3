"""One compilation serves every problem of its shape: no number of one data set may stay in the graph of another.

Authority: the graph that is built for the second data set itself. The first one's graph, given the second one's data,
must have the same log density everywhere; whatever was baked in would show. Found by simulation-based calibration:
centres of imputed moderators once were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytest

import bayesmeta as bm
from bayesmeta.joint import stack
from bayesmeta.joint.sampling import _graph as joint_graph
from bayesmeta.numerics import rule
from bayesmeta.nuts import build_graph, build_rows, signature
from bayesmeta.priors import parse

# the same operations on the same numbers, perhaps in another order
ROUNDING = 1e-9
STUDY = [f"trial {i}" for i in range(8)]

Problem = tuple[bm.Effects, bm.Model]


def numbers(seed: int) -> dict[str, Any]:
    """Everything that may differ between two data sets of one shape."""
    rng = np.random.default_rng(seed)
    return {
        "rng": rng,
        "y": rng.normal(size=8),
        "se": rng.uniform(0.1, 0.5, 8),
        "weeks": rng.uniform(4, 30, 8),
        "n": rng.integers(20, 90, (8, 2)).astype(float),
        "scale": rng.uniform(0.3, 2),
    }


def plain(seed: int) -> Problem:
    d = numbers(seed)
    return bm.Effects(STUDY, d["y"], d["se"], measure="SMD"), bm.Model(
        bm.Normal(0.1 * seed, d["scale"]), bm.HalfNormal(d["scale"])
    )


def blocks(seed: int) -> Problem:
    d = numbers(seed)
    covariance = np.outer(d["se"][:2], d["se"][:2]) * np.array([[1, 0.4], [0.4, 1]])
    effects = bm.Effects(["a", "a", *STUDY[2:]], d["y"], d["se"], measure="SMD", blocks=[([0, 1], covariance)])
    return effects, bm.Model(bm.Normal(0, 1), bm.HalfCauchy(d["scale"]), rho=0.2 + 0.1 * seed)


def clusters(seed: int) -> Problem:
    d = numbers(seed)
    names = ["a", "a", "b", "b", "c", "c", "d", "d"]
    effects = bm.Effects(names, d["y"], d["se"], measure="SMD", cluster=names)
    return effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(d["scale"]), cluster_tau=bm.HalfNormal(0.5 * d["scale"]))


def moderated(term: Callable[[float], Any]) -> Callable[[int], Problem]:
    def made(seed: int) -> Problem:
        d = numbers(seed)
        kind = np.array(list("abcabcab"))[d["rng"].permutation(8)]
        effects = bm.Effects(STUDY, d["y"], d["se"], measure="SMD", moderators={"weeks": d["weeks"], "kind": kind})
        item = term(d["scale"])
        name = "weeks" if isinstance(item, (bm.Spline, bm.Monotone)) else "kind"
        return effects, bm.Model(bm.Normal(0, 1), parse(f"lognormal({-d['scale']}, 1)"), {name: item})

    return made


def imputed(family: str, plain_effects: bool) -> Callable[[int], Problem]:
    def made(seed: int) -> Problem:
        d = numbers(seed)
        weeks = d["weeks"].copy()
        weeks[[1, 4]] = np.nan
        effects = bm.Effects(STUDY, d["y"], d["se"], measure="SMD", moderators={"weeks": weeks})
        population = bm.MissingNumeric(bm.Normal(2 + seed, d["scale"]), bm.HalfNormal(d["scale"]), family, 0.1 * seed)  # type: ignore[arg-type]
        random = None if plain_effects else bm.OutlierEffects(parse("uniform(0, 0.5)"), bm.HalfNormal(d["scale"]))
        term = bm.Coefficient(bm.Normal(0, d["scale"]), per=2.0 + seed)
        return effects, bm.Model(
            bm.Normal(0, 1), bm.HalfNormal(1), {"weeks": term}, missing={"weeks": population}, random=random
        )

    return made


def levels(seed: int) -> Problem:
    d = numbers(seed)
    kind = np.array(list("abbaabab"), object)
    kind[[0, 3]] = None
    if seed % 2:
        kind[5] = "a"
    effects = bm.Effects(STUDY, d["y"], d["se"], measure="SMD", moderators={"kind": kind})
    missing = {"kind": bm.MissingLevels(1.0 + seed, shift={"b": 0.2 * seed})}
    return effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(1), {"kind": bm.Normal(0, d["scale"])}, missing=missing)


def heavy(seed: int) -> Problem:
    d = numbers(seed)
    random = bm.StudentEffects(parse(f"truncated(exponential({0.02 * (seed + 1)}), {1 + 0.1 * seed}, inf)"))
    return bm.Effects(STUDY, d["y"], d["se"], measure="SMD"), bm.Model(bm.Normal(0, 1), bm.HalfNormal(1), random=random)


def derived(seed: int) -> Problem:
    d = numbers(seed)
    low, high = 0.05 * seed, 0.9 - 0.05 * seed
    r = low + (rule(17)[0] + 1) / 2 * (high - low)
    factor = 1 / np.sqrt(2 - 2 * r)
    table = bm.ConditionalEstimates(
        low, high, np.outer(d["y"], factor), np.outer(d["se"], factor), np.log(np.tile(factor, (8, 1)))
    )
    effects = bm.Effects(STUDY, d["y"], d["se"], measure="SMD", tabulated={"correlation": table})
    prior = parse(f"truncated(normal(0.5, {d['scale']}), {low}, {high})")
    return effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(1), derived={"correlation": prior})


def spreads(seed: int) -> Problem:
    d = numbers(seed)
    sd = d["rng"].uniform(5, 12, 8)
    sd[[2 + seed % 2, 6]] = np.nan
    effects = bm.Effects(STUDY, d["y"], d["se"], measure="SMD", n=d["n"], spreads=bm.RawDifferences(10 * d["y"], sd))
    return effects, bm.Model(
        bm.Normal(0, 1), bm.HalfNormal(1), missing_sd=bm.MissingSD(bm.Normal(2, d["scale"]), bm.HalfNormal(1))
    )


def counts(measure: str) -> Callable[[int], Problem]:
    def made(seed: int) -> Problem:
        d = numbers(seed)
        events = d["rng"].binomial(d["n"].astype(int), 0.3)
        table = np.column_stack([events[:, 0], d["n"][:, 0], events[:, 1], d["n"][:, 1]])
        effects = bm.Effects(STUDY, d["y"], d["se"], measure=measure, counts=table)
        model = bm.Model(
            bm.Normal(0, d["scale"]), bm.HalfNormal(1), likelihood="binomial", baseline=bm.Normal(-1, 1 + d["scale"])
        )
        return effects, model

    return made


CASES: dict[str, Callable[[int], Problem]] = {
    "plain": plain,
    "blocks": blocks,
    "clusters": clusters,
    "fixed types": moderated(lambda s: bm.Coefficient(bm.Normal(0, s))),
    "heavy types": moderated(lambda s: bm.Coefficient(bm.StudentT(0, s, 3 + s))),
    "exchangeable types": moderated(lambda s: bm.Exchangeable(bm.HalfNormal(s))),
    "spline": moderated(lambda s: bm.Spline(bm.Normal(0, s), bm.HalfNormal(s), per=1 + s)),
    "monotone": moderated(lambda s: bm.Monotone(bm.Normal(0, s))),
    "imputed": imputed("normal", True),
    "imputed, log-normal": imputed("lognormal", True),
    "imputed, outliers": imputed("normal", False),
    "missing levels": levels,
    "Student-t": heavy,
    "derived": derived,
    "missing SD": spreads,
    "OR": counts("OR"),
    "RR": counts("RR"),
    "RD": counts("RD"),
}


def density(graph: pm.Model) -> Callable[[dict[str, np.ndarray]], float]:
    from pytensor.compile.mode import Mode

    # interpreted: nothing here is worth a compilation
    return graph.compile_logp(mode=Mode(linker="py", optimizer=None))  # type: ignore[no-any-return]


def points(graph: pm.Model, seed: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    start = graph.initial_point()
    return [
        {name: value + 0.4 * rng.standard_normal(np.shape(value)) for name, value in start.items()} for _ in range(3)
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_the_graph_of_one_data_set_serves_another(name: str) -> None:
    first, second = (build_rows(*CASES[name](seed)) for seed in (1, 2))
    assert signature(first) == signature(second)
    one, two = build_graph(first), build_graph(second)
    assert set(one.data) == set(two.data)
    own, given = density(two.model), density(one.model)
    places = points(two.model, 5)
    with one.model:
        pm.set_data(dict(two.data))
    for place in places:
        # a chance agreement is excluded: the densities of the two data sets differ
        assert np.isfinite(own(place))
        assert given(place) == pytest.approx(own(place), rel=ROUNDING, abs=ROUNDING)


@pytest.mark.filterwarnings("ignore")
def test_the_joint_graph_of_one_data_set_serves_another() -> None:
    def made(seed: int) -> Any:
        d, e = numbers(seed), numbers(seed + 10)
        effects = {
            "pain": bm.Effects(STUDY, d["y"], d["se"], measure="SMD", better="lower"),
            "sleep": bm.Effects(STUDY[:5], e["y"][:5], e["se"][:5], measure="SMD", better="higher"),
        }
        model = bm.JointModel(
            {key: bm.Model(bm.Normal(0, d["scale"]), bm.HalfNormal(e["scale"])) for key in effects},
            0.2 * seed,
            1.0 + seed,
        )
        return joint_graph(stack(effects, correlation=model.correlation), model)

    one, two = made(1), made(2)
    own, given = density(two.model), density(one.model)
    places = points(two.model, 5)
    with one.model:
        pm.set_data(dict(two.data))
    for place in places:
        assert given(place) == pytest.approx(own(place), rel=ROUNDING, abs=ROUNDING)
