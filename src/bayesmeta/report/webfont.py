"""The letters of a page's pictures as a font inside the page, so that they are everywhere as wide as when laid out.

The text of the pictures is text. A browser without their font would set it in another one, and columns would overlap.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from functools import lru_cache

from bayesmeta.plots import FAMILY

__all__ = ["font_faces", "font_part"]

#: Weights that pictures use, as CSS counts them.
WEIGHTS = (400, 700)
#: Always inside, so that most reports share one font and its making.
ALWAYS = frozenset(map(chr, range(0x20, 0x7F)))


def font_faces(letters: Iterable[str]) -> str:
    """CSS that brings the pictures' font with these letters, under the name by which the pictures ask for it.

    Examples
    --------
    >>> font_faces("\u03c4 = 0.2")[:45]
    '@font-face{font-family:"DejaVu Sans";font-wei'
    """
    wanted = "".join(sorted(ALWAYS.union(letters)))
    faces = []
    for weight in WEIGHTS:
        data = base64.b64encode(font_part(wanted, weight)).decode("ascii")
        faces.append(
            f'@font-face{{font-family:"{FAMILY}";font-weight:{weight};'
            f'src:url(data:font/woff;base64,{data}) format("woff")}}'
        )
    return "".join(faces)


@lru_cache(maxsize=16)
def font_part(letters: str, weight: int) -> bytes:
    """Cut a font down to some letters, with the rules by which they are joined and kerned, as WOFF.

    Letters that the font lacks are left out: a browser looks for them elsewhere.

    Examples
    --------
    >>> font_part("abc", 700)[:4]
    b'wOFF'
    """
    from fontTools import subset
    from matplotlib.font_manager import FontProperties, findfont

    path = findfont(FontProperties(family=[FAMILY], weight=weight), fallback_to_default=False)
    options = subset.Options(flavor="woff", hinting=False, notdef_outline=True, name_IDs=[1, 2, 4, 6, 13, 14])
    # a note of the program that made the font; it would be printed on stderr otherwise
    options.drop_tables += ["FFTM"]
    font = subset.load_font(path, options)
    cut = subset.Subsetter(options)
    cut.populate(text=letters)
    cut.subset(font)
    file = io.BytesIO()
    subset.save_font(font, file, options)
    font.close()
    return file.getvalue()
