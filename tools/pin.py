"""Pin every distribution of the tested environment in pyproject.toml, transitive ones too.

Run: python3 -m uv run --no-sync python tools/pin.py

It resolves the newest versions that the bounds allow and writes them as [tool.uv] constraint-dependencies. Run the
tests after it: warnings are errors, so a release that starts to warn shows at once. Build requirements are not pinned.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
START, END = "# pinned by tools/pin.py\n", "# end of pins\n"


def main() -> None:
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    with tempfile.TemporaryDirectory() as folder:
        # resolved in a copy without pins, so that nothing in the project changes if it fails
        copy = Path(folder)
        (copy / "pyproject.toml").write_text(before + after, encoding="utf-8")
        for name in ("README.md", "LICENSE", ".python-version"):
            shutil.copy(ROOT / name, copy / name)
        for name in ("src/bayesmeta", "cli/bayesmeta_cli"):
            (copy / name).mkdir(parents=True)
            (copy / name / "__init__.py").touch()
        command = [sys.executable, "-m", "uv"] if shutil.which("uv") is None else ["uv"]
        options = ["--all-groups", "--all-extras", "--no-hashes", "--no-header", "--no-annotate", "--no-emit-project"]
        exported = subprocess.run(
            [*command, "export", "--quiet", "--directory", folder, *options], check=True, capture_output=True, text=True
        ).stdout
    pins = sorted(re.sub(r"\s*;\s*", " ; ", line.strip()) for line in exported.splitlines() if line.strip())
    block = "constraint-dependencies = [\n" + "".join(f'  "{pin.replace(chr(34), chr(39))}",\n' for pin in pins) + "]\n"
    path.write_text(before + START + block + END + after, encoding="utf-8")
    print(f"{len(pins)} distributions pinned")


if __name__ == "__main__":
    main()
