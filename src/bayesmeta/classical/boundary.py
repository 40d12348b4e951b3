"""What every classical function of effects checks before it begins."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Concatenate

from bayesmeta.classical.intervals import CI_METHODS, check_level
from bayesmeta.classical.tau2 import TAU2_METHODS
from bayesmeta.effects import Effects, HasEffects, effects_of
from bayesmeta.errors import find_name

__all__ = ["on_effects"]

_WORDS = {"method": "estimator of tau2", "ci": "interval method"}


def on_effects[**P, R](
    **names: Sequence[str],
) -> Callable[[Callable[Concatenate[Effects, P], R]], Callable[Concatenate[Effects | HasEffects, P], R]]:
    """Let a function take whatever carries effects, find its options without regard to case, and check its level.

    Parameters
    ----------
    **names : sequences of str
        Allowed values of options, by the names of these; estimators of tau2 for ``method`` and interval methods for
        ``ci`` where nothing else is said. None is passed on where it is the default.
    """
    allowed = {"method": TAU2_METHODS, "ci": CI_METHODS, **names}

    def decorate(function: Callable[Concatenate[Effects, P], R]) -> Callable[Concatenate[Effects | HasEffects, P], R]:
        parameters = inspect.signature(function).parameters

        @functools.wraps(function)
        def checked(effects: Effects | HasEffects, *args: P.args, **kwargs: P.kwargs) -> R:
            options: Any = kwargs
            for name, value in kwargs.items():
                if name in allowed and not (value is None and parameters[name].default is None):
                    what = _WORDS.get(name, f"{name} of {function.__name__}")
                    options[name] = find_name(what, value, allowed[name])
            if "level" in options:
                check_level(options["level"])
            return function(effects_of(effects), *args, **kwargs)

        return checked

    return decorate
