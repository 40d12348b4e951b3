"""Fits by draws in tests: what a check promises, on any processor.

Which draws a seed gives depends on the processor (compiled sums round differently), so that no test may rest on one
machine's draws. What the sampling engine promises is: a fit whose checks pass has the right numbers, within Monte Carlo
error. A right engine still fails a check (R-hat just above 1.01, a tail with few effective draws) in about one fit of a
hundred, and one comparison at four standard errors in some ten thousand. What fails is therefore drawn once more, with
another seed and four times the draws: a right engine fails twice with a chance of about one in ten thousand per fit.
``pytest --other-draws N`` gives the draws that another processor might give.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import bayesmeta as bm
from bayesmeta.errors import Check

__all__ = ["AGAIN", "DIVERGENCES", "LIMIT", "command", "drawn_until", "other_draws", "unsound"]

#: Monte Carlo standard errors; passed by chance with probability 6.3e-5.
LIMIT = 4.0
#: How many times the draws of a second attempt.
AGAIN = 4
#: Share of draws that may diverge: that one in two thousand does not move a number is what the comparison shows; that a
#: fit with any is not ok is tested in nuts/test_trust.py.
DIVERGENCES = 5e-4
#: Exit code of a command whose fit failed a check.
INFERENCE = 4


def unsound(checks: Sequence[Check], settings: bm.Settings) -> str:
    """Say which checks failed, a few divergences aside; empty where none did."""
    few = DIVERGENCES * settings.chains * settings.draws
    failed = [check for check in checks if not check.ok and not (check.name == "divergences" and check.value <= few)]
    return ", ".join(f"{check.name} {check.value:.4g} (limit {check.limit:g})" for check in failed)


def drawn_until[T](
    make: Callable[[int, bm.Settings], T],
    wrong: Callable[[T], str] | None = None,
    settings: bm.Settings | None = None,
    seed: int = 1,
) -> T:
    """Draw a fit whose checks pass and of which nothing is wrong; once more where something is.

    Parameters
    ----------
    make : callable
        From a seed and settings to anything with `checks`.
    wrong : callable, optional
        Says what is wrong with the numbers; an empty text where nothing is.
    """
    settings = settings or bm.Settings(target_accept=0.99)
    more = dataclasses.replace(settings, draws=AGAIN * settings.draws, target_accept=max(0.99, settings.target_accept))
    found = ""
    for number, given in ((seed, settings), (seed + 1000, more)):
        made: Any = make(number, given)
        found = unsound(made.checks, given) or (wrong(made) if wrong else "")
        if not found:
            return made
    raise AssertionError(f"drawn twice, with another seed and {AGAIN} times the draws: {found}")


@contextmanager
def other_draws(shift: int) -> Iterator[None]:
    """Give other draws for the same seeds, as another processor does."""
    import nutpie

    original = nutpie.sample

    def shifted(*arguments: Any, seed: int, **options: Any) -> Any:
        return original(*arguments, seed=seed + shift, **options)

    with mock.patch.object(nutpie, "sample", shifted):
        yield


def command(arguments: Sequence[str], reset: Callable[[], object] = lambda: None) -> int:
    """Run a command that samples; with other draws where a check failed.

    Parameters
    ----------
    reset : callable
        Forgets what the first attempt printed.
    """
    from bayesmeta_cli.main import main

    code = main(list(arguments))
    if code != INFERENCE:
        return code
    reset()
    with other_draws(1000):
        return main(list(arguments))
