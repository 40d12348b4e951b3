"""Values and integrals of Chebyshev series: ours beside numpy's, by points and terms.

Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python3 -m uv run python benchmarks/series.py

Polynomials at points by cosines, which is what `numerics.evaluate` does up to `numerics.MANY` points, and `chebval`,
which it takes beyond. `antiderivative` and `chebint`. Machines differ and are noisy: read the ratios.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
from numpy.polynomial.chebyshev import chebint

from bayesmeta import numerics


def microseconds(function: Callable[[], object]) -> float:
    number = max(1, int(0.02 / timeit.timeit(function, number=1)))
    return 1e6 * min(timeit.repeat(function, number=number, repeat=5)) / number


def main() -> None:
    rng = np.random.default_rng(0)
    many = numerics.MANY
    print(f"{'terms':>8}{'points':>8}{'cosines, us':>14}{'chebval, us':>14}{'ratio':>8}")
    for terms in (65, 129, 257, 1025):
        series = rng.normal(size=terms) / np.arange(1, terms + 1) ** 2
        for points in (1, 10, 100, 200, 1000, 10_000):
            t = rng.uniform(-1, 1, points)
            found = []
            for numerics.MANY in (points, 0):
                found.append(microseconds(lambda t=t, series=series: numerics.evaluate(t, series)))
            print(f"{terms:8}{points:8}{found[0]:14.1f}{found[1]:14.1f}{found[1] / found[0]:8.2f}")
    numerics.MANY = many
    print(f"{'terms':>8}{'series':>8}{'ours, us':>14}{'chebint, us':>14}{'ratio':>8}")
    for terms in (65, 129, 257, 1025):
        for number in (1, 30):
            series = rng.normal(size=(number, terms))
            ours = microseconds(lambda series=series: numerics.antiderivative(series))
            theirs = microseconds(lambda series=series: chebint(series, lbnd=-1, axis=-1))
            print(f"{terms:8}{number:8}{ours:14.1f}{theirs:14.1f}{theirs / ours:8.1f}")


if __name__ == "__main__":
    main()
