"""Fonts: which of the installed ones draw a text, how wide it is, and which letters none of them has.

Pictures are in DejaVu Sans, which comes with Matplotlib and knows Latin, Greek, Cyrillic and Arabic. For other letters
the fonts of the computer are asked; none is shipped.
"""

from __future__ import annotations

import contextlib
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

__all__ = ["FAMILY", "GENERIC", "drawable", "families", "missing_letters", "quiet", "unlogged", "width_per_size"]

FAMILY = "DejaVu Sans"
#: What stands last in every list: a viewer of SVG without DejaVu takes Verdana, whose widths are nearly the same.
GENERIC = "sans-serif"
# what XML allows can be drawn; a tab has no glyph, and a text of a picture is one line
_FORBIDDEN = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACES = re.compile("[\t\n\r\x0b\x0c\x85\u2028\u2029]")
#: Chooses between forms of the letter before it.
_STYLE = re.compile("[\ufe00-\ufe0f]")
#: Made to show that letters are missing, or to set formulas by a coding of their own.
_NOT_FOR_TEXT = re.compile(r"last ?resort|adobe blank|^cm\w+10$|^STIX", re.IGNORECASE)


def drawable(text: str) -> str:
    r"""Make one line of a text, and exchange what has no form, such as a bell, for the sign that says so.

    Examples
    --------
    >>> drawable("a trial"), drawable("a\x07trial") == "a\ufffdtrial"
    ('a trial', True)
    """
    return _FORBIDDEN.sub("\ufffd", _SPACES.sub(" ", text))


def families(text: str, *, bold: bool = False) -> list[str]:
    """Families that draw a text together, in the order in which Matplotlib asks them for each letter.

    Examples
    --------
    >>> families("Fatigue, \u03c4 = 0.2")
    ['DejaVu Sans', 'sans-serif']
    """
    return [FAMILY, *_further(_lacking(text, bold), bold)[0], GENERIC]


def missing_letters(text: str, *, bold: bool = False) -> str:
    """Letters of a text that no installed font has, each once.

    Examples
    --------
    >>> missing_letters("Fatigue, \u03c4 = 0.2")
    ''
    """
    return _further(_lacking(text, bold), bold)[1]


@lru_cache(maxsize=8192)
def width_per_size(text: str, *, bold: bool = False) -> float:
    """How long a line of text is, in sizes of its font.

    Examples
    --------
    >>> 0.9 < width_per_size("m") < 1.0
    True
    """
    text = drawable(text)
    font = FontProperties(family=families(text, bold=bold), size=1.0, weight="bold" if bold else "normal")
    with quiet(missing_letters(text, bold=bold)):
        return float(text_to_path.get_text_width_height_descent(text, font, False)[0])


@contextlib.contextmanager
def quiet(letters: str) -> Iterator[None]:
    """Keep Matplotlib from warning of each of these letters; one sentence of ours names them all."""
    if not letters:
        yield
        return
    with warnings.catch_warnings():
        for letter in letters:
            warnings.filterwarnings("ignore", rf"Glyph {ord(letter)} .*missing from font", UserWarning)
        yield


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """Keep Matplotlib from saying on stderr that it takes another weight where a family has no bold letters."""
    logger = logging.getLogger("matplotlib.font_manager")
    logger.addFilter(_not_of_weight)
    try:
        yield
    finally:
        logger.removeFilter(_not_of_weight)


def _not_of_weight(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("findfont: Failed to find font weight")


@lru_cache(maxsize=8192)
def _lacking(text: str, bold: bool) -> str:
    """Letters that the pictures' own font lacks, in order and each once; what only joins or turns others is none."""
    if text.isascii():
        return ""
    own = _own_letters(bold)
    return "".join(
        letter
        for letter in dict.fromkeys(text)
        if ord(letter) not in own and unicodedata.category(letter) not in ("Cc", "Cf") and not _STYLE.match(letter)
    )


@cache
def _own_letters(bold: bool) -> frozenset[int]:
    return frozenset(_letters_of(FAMILY, bold).tolist())


@lru_cache(maxsize=1024)
def _further(letters: str, bold: bool) -> tuple[tuple[str, ...], str]:
    """Families that have these letters, as few as it takes, and the letters that none has."""
    found = []
    wanted = np.array([ord(letter) for letter in letters], dtype=np.uint32)
    while wanted.size:
        best, there = "", np.zeros(wanted.size, dtype=bool)
        for name in _candidates(letters):
            having = np.isin(wanted, _letters_of(name, bold))
            if having.sum() > there.sum():
                best, there = name, having
                if there.all():
                    break
        if not best:
            listed = len(font_manager.fontManager.ttflist)
            _list_again()
            if len(font_manager.fontManager.ttflist) > listed:
                continue
            break
        found.append(best)
        wanted = wanted[~there]
    return tuple(found), "".join(map(chr, wanted))


@cache
def _list_again() -> None:
    """Tell Matplotlib of fonts that were installed since it listed them, once in a process."""
    listed = {str(entry.fname) for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(map(str, font_manager.findSystemFonts())) - listed):
        # fonts made of dots, and damaged files
        with contextlib.suppress(OSError, RuntimeError, ValueError, NotImplementedError):
            font_manager.fontManager.addfont(path)


def _candidates(letters: str) -> list[str]:
    """Every installed family that is meant for text, the likeliest first.

    Chinese, Japanese and Korean write some characters in forms of their own under one code; fonts for all of them come
    in one version per country, told by the end of their names.
    """
    names = " ".join(unicodedata.name(letter, "") for letter in letters)
    country = "JP" if re.search("HIRAGANA|KATAKANA", names) else "KR" if "HANGUL" in names else "SC"
    installed = {entry.name for entry in font_manager.fontManager.ttflist if not _NOT_FOR_TEXT.search(entry.name)}
    return sorted(
        installed, key=lambda name: (not name.endswith(f" {country}"), "Mono" in name, "Sans" not in name, name)
    )


@lru_cache(maxsize=512)
def _letters_of(name: str, bold: bool) -> NDArray[np.uint32]:
    """Codes of the letters that a family has in one weight; none where its file cannot be read."""
    try:
        with unlogged():
            font = FontProperties(family=[name], weight="bold" if bold else "normal")
            path = font_manager.findfont(font, fallback_to_default=False)
        codes = font_manager.get_font(path).get_charmap()
    except (OSError, RuntimeError, ValueError):
        return np.empty(0, dtype=np.uint32)
    return np.fromiter(codes, dtype=np.uint32, count=len(codes))
