"""Where the integrand is: the interval of one variable within 46 nats of the maximum, of many integrands at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import InferenceError

__all__ = ["NOWHERE", "WINDOW", "narrow", "seek"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

# exp(-46) = 1e-20: what lies beyond cannot be seen in double precision
WINDOW = 46.0
NOWHERE = "the posterior density is zero or undefined everywhere; check the scale of the data and priors."
# rounds in which a window is sought; the maximum and both ends are looked at more closely in each
_ROUNDS = 5
_AROUND, _BETWEEN = np.linspace(0, 1, 11)[1:-1], np.linspace(0, 1, 8)[1:-1]


def _at(values: FloatArray, index: IntArray) -> FloatArray:
    return values[np.arange(index.size), index]


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Where an integrand has its maximum, whether that stands out, and the points within 46 nats of it; per row."""

    best: IntArray
    sharp: BoolArray
    first: IntArray
    last: IntArray


def _look(f: FloatArray) -> _Look:
    size = f.shape[1]
    f = np.where(np.isnan(f), -np.inf, f)
    best = f.argmax(axis=1)
    top = _at(f, best)
    with np.errstate(invalid="ignore"):
        beside = np.minimum(_at(f, np.maximum(best - 1, 0)), _at(f, np.minimum(best + 1, size - 1)))
        inside = f >= top[:, None] - WINDOW
        sharp = top - beside >= 1.0
    return _Look(best, sharp, inside.argmax(axis=1), size - 1 - inside[:, ::-1].argmax(axis=1))


def _closer(z: FloatArray, look: _Look, *, low: bool) -> FloatArray:
    """Points around a sharp maximum and at the ends of the window; none but known ones where none help."""
    size = z.shape[1]
    best, after_last = look.best, np.minimum(look.last + 1, size - 1)
    sharp = look.sharp
    around = (np.where(sharp, np.maximum(best - 1, 0), best), np.where(sharp, np.minimum(best + 1, size - 1), best))
    pieces = [_between(z, *around, _AROUND), _between(z, look.last, after_last, _BETWEEN)]
    if low:
        pieces.append(_between(z, np.maximum(look.first - 1, 0), look.first, _BETWEEN))
    return np.concatenate(pieces, axis=1)


def _between(z: FloatArray, start: IntArray, stop: IntArray, shares: FloatArray) -> FloatArray:
    low = _at(z, start)[:, None]
    return low + (_at(z, stop)[:, None] - low) * shares


def seek(
    at: Callable[[FloatArray, BoolArray], Sequence[FloatArray]], scan: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Find the intervals in which integrands are within 46 nats of their maxima.

    Each round looks more closely around the maximum, until its neighbours are near its height, and at both ends.

    Parameters
    ----------
    at : callable
        From points (A, n) and which of the integrands these are of, a mask (F,), to the logarithms of the integrands
        (A, n) and, optionally, of the same times a moment, to whose window the upper end is moved.
    scan : array of shape (F, n)
        Ascending points to start from; windows are sought between their ends.

    Returns
    -------
    low, high : arrays of shape (F,)
    somewhere : array of bool of shape (F,)
        Whether the integrand is finite anywhere.
    """
    z, going = scan, np.ones(len(scan), bool)
    forms = at(z, going)
    somewhere = np.isfinite(forms[0]).any(axis=1)
    low, high = np.empty(somewhere.size), np.empty(somewhere.size)
    for step in range(_ROUNDS + 1):
        looks = [_look(f) for f in forms]
        size = z.shape[1]
        sharp, last = looks[0].sharp, looks[0].last
        for look in looks[1:]:
            sharp, last = sharp | look.sharp, np.maximum(last, look.last)
        goes = (step < _ROUNDS) & (sharp | ((step < 2) & ((last < size - 1) | (looks[0].first > 0))))
        if not goes.all():
            number, ended = np.flatnonzero(going), ~goes
            first, last = np.maximum(looks[0].first - 1, 0), np.minimum(last + 1, size - 1)
            low[number[ended]], high[number[ended]] = _at(z, first)[ended], _at(z, last)[ended]
            if ended.all():
                break
        more = np.concatenate([_closer(z, look, low=i == 0) for i, look in enumerate(looks)], axis=1)
        if not goes.all():
            going = np.isin(np.arange(going.size), number[goes])
            more, z, forms = more[goes], z[goes], [f[goes] for f in forms]
        added = at(more, going)
        z = np.concatenate([z, more], axis=1)
        order = (np.arange(len(z))[:, None], z.argsort(axis=1, kind="stable"))
        z = z[order]
        forms = [np.concatenate([f, new], axis=1)[order] for f, new in zip(forms, added, strict=True)]
    return low, high, somewhere


def narrow(log_integrand: Callable[[FloatArray], FloatArray], scan: FloatArray) -> tuple[float, float]:
    """Find the window in which one integrand is within 46 nats of its maximum.

    Parameters
    ----------
    log_integrand : callable
        From points of shape (n,) to values of shape (n,).
    scan : array
        Ascending points to start from; the window is sought between its ends.

    Raises
    ------
    InferenceError
        If the integrand is nowhere finite.
    """
    low, high, somewhere = seek(lambda z, _: [log_integrand(z[0])[None]], scan[None])
    if not somewhere[0]:
        raise InferenceError(NOWHERE)
    return float(low[0]), float(high[0])
