"""Make the fonts that pictures are drawn with: the letters of DejaVu Sans that they need, without layout tables.

Run: python3 -m uv run python tools/make_fonts.py

A PDF holds a subset of its font; finding it in the whole of DejaVu takes longer than drawing the picture. Shapes,
widths and kerning stay DejaVu's; the name differs, as its licence asks of changed fonts. Other letters still come from
DejaVu.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib as mpl
from fontTools import subset

SOURCE = Path(mpl.get_data_path()) / "fonts" / "ttf"
TARGET = Path(__file__).resolve().parents[1] / "src" / "bayesmeta" / "plots" / "fonts"
FAMILY = "Bayesmeta Sans"
RANGES = ((0x20, 0x7E), (0xA0, 0x17F), (0x384, 0x3CF), (0x2010, 0x202F), (0x2070, 0x2094), (0x2190, 0x2194))
SINGLE = (0x2030, 0x2032, 0x2033, 0x2039, 0x203A, 0x20AC, 0x2113, 0x2211, 0x2212, 0x221A, 0x221E, 0x2248, 0x2260,
          0x2264, 0x2265, 0x25A0, 0x25C6, 0x25CF)  # fmt: skip


def main() -> None:
    """Write both fonts and their licence."""
    letters = [code for low, high in RANGES for code in range(low, high + 1)] + list(SINGLE)
    TARGET.mkdir(exist_ok=True)
    for name, style in (("DejaVuSans", "Regular"), ("DejaVuSans-Bold", "Bold")):
        options = subset.Options()
        options.drop_tables += ["GSUB", "GPOS", "GDEF"]
        options.name_IDs = ["*"]
        options.legacy_kern = True
        options.notdef_outline = True
        font = subset.load_font(str(SOURCE / f"{name}.ttf"), options)
        worker = subset.Subsetter(options)
        worker.populate(unicodes=letters)
        worker.subset(font)
        for record in list(font["name"].names):
            if record.nameID in (1, 4, 6, 16):
                text = f"BayesmetaSans-{style}" if record.nameID == 6 else FAMILY
                font["name"].setName(text, record.nameID, record.platformID, record.platEncID, record.langID)
        font.recalcTimestamp = False
        font.save(TARGET / f"BayesmetaSans-{style}.ttf")
    shutil.copy(SOURCE / "LICENSE_DEJAVU", TARGET / "LICENSE")


if __name__ == "__main__":
    main()
