"""Questions never know the engine: held by reading the syntax trees, and by a posterior that no engine made."""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import bayesmeta as bm
from bayesmeta.fits import Posterior
from bayesmeta.marginals import Marginal, Marginals, NormalMixture, Separate
from bayesmeta.model import Design
from bayesmeta.questions import benefit_probabilities
from references import ROOT

FloatArray = NDArray[np.float64]
ENGINES = ("exact", "nuts", "fits")
KINDS = {"NodePosterior", "ExactPosterior", "DrawPosterior"}
#: The joint model samples too: it makes a posterior by draws of every outcome.
MAKERS = {"joint/sampling.py"}
# two quadratures, each settled to 1e-8
SETTLED = 1e-7


def branches(path: Path) -> list[str]:
    """Where a file asks which engine made a fit."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in {"quadrature", "sample"}:
            found.append(f"{path.name}:{node.lineno}: .{node.attr}")
        if isinstance(node, ast.Attribute) and node.attr == "exact":
            text = ast.unparse(node)
            # the room, and whether a permutation test went through every sign
            if text != "bayesmeta.exact" and (path.name, text) != ("classical_sections.py", "found.exact"):
                found.append(f"{path.name}:{node.lineno}: {text}")
        if (
            isinstance(node, (ast.Name, ast.alias))
            and (getattr(node, "id", None) or getattr(node, "name", None)) in KINDS
        ):
            found.append(f"{path.name}:{node.lineno}: a kind of posterior")
        if isinstance(node, ast.Compare) and any(
            isinstance(part, ast.Attribute) and part.attr == "engine" for part in (node.left, *node.comparators)
        ):
            found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_no_question_asks_which_engine_answered() -> None:
    source = ROOT / "src" / "bayesmeta"
    asking = [
        path
        for path in sorted(source.rglob("*.py"))
        if path.relative_to(source).parts[0] not in ENGINES and path.relative_to(source).as_posix() not in MAKERS
    ]
    found = [line for path in (*asking, *sorted((ROOT / "cli").rglob("*.py"))) for line in branches(path)]
    assert not found


def test_a_branch_is_found(tmp_path: Path) -> None:
    path = tmp_path / "question.py"
    path.write_text("if fit.exact or fit.engine == 'nuts':\n    fit.sample, isinstance(fit.posterior, DrawPosterior)\n")
    assert len(branches(path)) == 4


# -- a third posterior: a weighted list of posteriors ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Weighted:
    """A mixture of one-dimensional posteriors, atoms among them."""

    weights: FloatArray
    forms: Sequence[Marginal]

    def _sum(self, value: Callable[[Marginal], Any]) -> Any:
        return sum(w * value(form) for w, form in zip(self.weights, self.forms, strict=True))

    @property
    def mean(self) -> float:
        return float(self._sum(lambda form: form.mean))

    @property
    def sd(self) -> float:
        return math.sqrt(self._sum(lambda form: form.sd**2 + (form.mean - self.mean) ** 2))

    @property
    def mcse(self) -> float:
        return math.sqrt(sum((w * form.mcse) ** 2 for w, form in zip(self.weights, self.forms, strict=True)))

    def cdf(self, x: Any) -> FloatArray:
        return np.asarray(self._sum(lambda form: form.cdf(x)))

    def sf(self, x: Any) -> FloatArray:
        return np.asarray(self._sum(lambda form: form.sf(x)))

    def density(self, x: Any) -> FloatArray:
        return np.asarray(self._sum(lambda form: form.density(x)))

    def quantile(self, p: Any) -> FloatArray:
        p = np.asarray(p, float)
        low, high = np.full(p.shape, -1e3), np.full(p.shape, 1e3)
        for _ in range(100):
            middle = 0.5 * (low + high)
            above = self.cdf(middle) >= p
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return high

    def interval(self, level: float = 0.95, kind: str = "central") -> tuple[float, float]:
        assert kind == "central"
        low, high = self.quantile([(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class Average:
    """A model average: the posteriors of several models, weighted by their evidence."""

    shares: FloatArray
    parts: Sequence[Posterior]
    log_evidence: float | None = None
    settings: Mapping[str, Any] = MappingProxyType({})

    @property
    def design(self) -> Design:
        return self.parts[0].design

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("tau",)

    @property
    def new_studies(self) -> tuple[str, ...]:
        return ("theta_new",)

    def _mixed(self, found: Sequence[Marginals]) -> Marginals:
        return Separate([Weighted(self.shares, [form[i] for form in found]) for i in range(len(found[0]))])

    def quantities(
        self,
        rows: FloatArray,
        new: Sequence[str | None] | None = None,
        *,
        spread: tuple[str, float] | None = None,
        seed: int = 1,
    ) -> Marginals:
        return self._mixed([part.quantities(rows, new, spread=spread, seed=seed) for part in self.parts])

    def studies(self, chosen: Sequence[int] | None = None) -> Marginals:
        return self._mixed([part.studies(chosen) for part in self.parts])

    def named(self, name: str) -> Marginal:
        # a common effect has its tau at zero
        atom = NormalMixture([1.0], [0.0], [0.0])
        return Weighted(self.shares, [p.named(name) if name in p.scalars else atom for p in self.parts])

    def share_beyond(
        self, row: FloatArray, distance: float, sign: int, p: FloatArray, shares: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        found = [part.share_beyond(row, distance, sign, p, shares) for part in self.parts]
        mean = float(self.shares @ [item[0] for item in found])
        return mean, np.full(p.size, np.nan), self.shares @ np.array([item[2] for item in found])

    def largest(self, rows: FloatArray, above: float | None = None) -> tuple[FloatArray, FloatArray]:
        found = [part.largest(rows, above) for part in self.parts]
        return self.shares @ np.array([p for p, _ in found]), np.zeros(len(rows))

    def draws(self, rng: np.random.Generator, shape: tuple[int, int]) -> Mapping[str, FloatArray]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def fits() -> list[bm.Fit]:
    effects, model, fit = bm.example()
    return [fit, bm.fit(effects, bm.Model(model.mu, None))]


def averaged(fits: Sequence[bm.Fit]) -> bm.Fit:
    evidence = np.exp([fit.log_evidence for fit in fits])  # type: ignore[arg-type]
    posterior: Any = Average(evidence / evidence.sum(), [fit.posterior for fit in fits])
    return dataclasses.replace(fits[0], engine="average", posterior=posterior)


def test_a_weighted_list_of_posteriors_answers_every_question(fits: list[bm.Fit]) -> None:
    """Means and probabilities of a mixture are the weighted ones of its parts."""
    average = averaged(fits)
    weights = average.posterior.shares  # type: ignore[attr-defined]
    table = bm.summarize(average)
    assert table.loc["mu", "mean"] == pytest.approx(
        sum(w * bm.summarize(fit).loc["mu", "mean"] for w, fit in zip(weights, fits, strict=True)), abs=SETTLED
    )
    for name in ("mu", "theta_new"):
        each = [bm.probability(fit, name, below=-0.1) for fit in fits]
        assert bm.probability(average, name, below=-0.1) == pytest.approx(weights @ each, abs=SETTLED)
        assert bm.probability(average, name, below=table.loc[name, "upper"]) == pytest.approx(0.975, abs=SETTLED)
    # the atom of the common effect
    assert bm.probability(average, "tau", below=0.0) == pytest.approx(weights[1])
    rows, ours = [bm.benefit_table(fit, 0.2) for fit in fits], bm.benefit_table(average, 0.2)
    for column in ("p_any_benefit", "p_important_benefit", "p_important_harm"):
        mixed = sum(w * row[column].to_numpy() for w, row in zip(weights, rows, strict=True))
        np.testing.assert_allclose(ours[column], mixed, atol=SETTLED)
    assert ours["mcse"].max() == 0
    assert benefit_probabilities(average, 0.2)["p_any_benefit"] == pytest.approx(ours["p_any_benefit"][0])
    assert len(bm.predict(average)) == 2
    effects = fits[0].effects
    by_type = [bm.fit(effects, bm.Model(fit.model.mu, fit.model.tau, {"type": bm.Normal(0, 0.5)})) for fit in fits]
    best = [bm.best_level_table(fit, "type", 0.2) for fit in by_type]
    mixed = averaged(by_type)
    shares = mixed.posterior.shares  # type: ignore[attr-defined]
    for column in ("p_best", "p_best_beyond"):
        expected = sum(w * table[column].to_numpy() for w, table in zip(shares, best, strict=True))
        np.testing.assert_allclose(bm.best_level_table(mixed, "type", 0.2)[column], expected, atol=SETTLED)
    with pytest.raises(bm.ModelError, match="exact refits"):
        bm.sensitivity.tipping_table(average)
