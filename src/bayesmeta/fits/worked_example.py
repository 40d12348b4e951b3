"""The example of the documentation: four made-up trials, a model of them, and its fit."""

from __future__ import annotations

from typing import NamedTuple

from bayesmeta.effects import Effects
from bayesmeta.fits.inference import fit
from bayesmeta.fits.result import Fit
from bayesmeta.model import Model
from bayesmeta.priors import HalfNormal, Normal

__all__ = ["Example", "example"]


class Example(NamedTuple):
    """What `example` makes, in the order of its making."""

    effects: Effects
    model: Model
    fit: Fit


def example() -> Example:
    """Effects, model and fit with which the examples of all docstrings begin.

    Four made-up trials, A to D, of exercise for fatigue: standardised differences of -0.4, -0.1, -0.3 and 0.1, lower is
    better, with standard errors of 0.2, 0.1, 0.2 and 0.2. Answers can be checked by hand: weights of 25, 100, 25 and 25
    give a common effect of -25 / 175 = -1 / 7, and the effects lie on the line -0.7 + 0.05 weeks.

    Examples
    --------
    >>> import bayesmeta as bm
    >>> effects, model, fit = bm.example()
    >>> model
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    >>> bm.study_table(fit)[["label", "y", "se"]]
      label    y   se
    0     A -0.4  0.2
    1     B -0.1  0.1
    2     C -0.3  0.2
    3     D  0.1  0.2
    >>> round(7 * bm.classical.pool(effects, method="EE", ci="wald").estimate, 12)
    -1.0
    """
    effects = Effects(
        study=["A", "B", "C", "D"],
        y=[-0.4, -0.1, -0.3, 0.1],
        se=[0.2, 0.1, 0.2, 0.2],
        measure="SMD",
        better="lower",
        n=[[50, 50], [200, 200], [50, 50], [50, 50]],
        moderators={
            "weeks": [6, 12, 8, 16],
            "type": ["walk", "yoga", "walk", "yoga"],
            "timing": ["during", "during", "after", "during"],
        },
    )
    model = Model(Normal(0, 1), HalfNormal(0.5))
    return Example(effects, model, fit(effects, model))
