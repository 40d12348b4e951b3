"""Build what would be published and try it: python3 -m uv run --group docs python tools/release.py

Version, changelog and CITATION.cff must agree; the public names must be the frozen ones; wheel and source distribution
are built and looked into; the wheel alone is installed on every Python of VERSIONS that is found, and a small protocol
goes to a report there. Nothing is published. A version that is not found is named; those of NEEDED must be there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
VERSIONS = ("3.12", "3.13", "3.14")
NEEDED = ("3.12", "3.13")
UV = [sys.executable, "-m", "uv"] if shutil.which("uv") is None else ["uv"]
#: Settings of this session that would lead a fresh Python elsewhere.
FRESH = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}


def disagreements() -> Iterator[str]:
    """Say where version, changelog and citation say something else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    package = re.search(
        r'^__version__ = "(.+)"', (ROOT / "src/bayesmeta/__init__.py").read_text(encoding="utf-8"), re.M
    )
    if package is None or package[1] != version:
        yield f"bayesmeta.__version__ is not {version}"
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    if cited is None or cited[1].strip("\"'") != version:
        yield f"CITATION.cff does not say version: {version}"
    if f'title: "{project["name"]}: ' not in (ROOT / "CITATION.cff").read_text(encoding="utf-8"):
        yield f"CITATION.cff does not name {project['name']}"
    heading = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    if heading is None or not heading[1].startswith(version):
        yield f"the first heading of CHANGELOG.md is {heading[1] if heading else 'missing'!r}, not {version}"


def missing_from(wheel: Path, source: Path, version: str) -> Iterator[str]:
    """Say what the built files lack."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (place,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = message_from_string(archive.read(place).decode("utf-8"))
    wanted = {"Name": "bayesmeta", "Version": version, "Requires-Python": ">=3.12"}
    yield from (f"{wheel.name}: {key} is {metadata[key]}" for key, value in wanted.items() if metadata[key] != value)
    if not metadata.get_payload():
        yield f"{wheel.name}: no description"
    for part in ("bayesmeta/py.typed", "bayesmeta_cli/main.py", "bayesmeta/plan/minimal_differences.toml"):
        if part not in names:
            yield f"{wheel.name} lacks {part}"
    if foreign := sorted({name.split("/")[0] for name in names} - {"bayesmeta", "bayesmeta_cli", place.split("/")[0]}):
        yield f"{wheel.name} holds {foreign} too"
    with tarfile.open(source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for part in ("src/bayesmeta/__init__.py", "models/cancer_exercise.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        if part not in held:
            yield f"{source.name} lacks {part}"


def smoke(python: str, wheel: Path) -> None:
    """Install the wheel alone, and go from the small protocol to its report."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(*UV, "venv", "--quiet", "--python", python, f"{folder}/venv")
        bin_ = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        pins = place / "pins.txt"
        run(
            *UV,
            "export",
            "--quiet",
            "--no-default-groups",
            "--no-hashes",
            "--no-header",
            "--no-emit-project",
            "-o",
            str(pins),
        )
        run(*UV, "pip", "install", "--quiet", "--python", str(bin_ / "python"), "-r", str(pins), str(wheel))
        program = str(bin_ / "bayesmeta")
        for words in (
            ["--version"],
            ["example", "small"],
            ["check", "small/protocol.toml"],
            ["fit", "small/protocol.toml", "-o", "out"],
            ["report", "small/protocol.toml", "-o", "report"],
            ["forest", "small/protocol.toml", "-o", "forest.png"],
        ):
            run(program, *words, where=place)
        code = "import bayesmeta as bm, glob; bm.summarize(bm.load(sorted(glob.glob('out/*.nc'))[0])).loc['mu']"
        run(str(bin_ / "python"), "-W", "error", "-c", code, where=place)
        for made in ("report/index.html", "forest.png"):
            if not (place / made).stat().st_size:
                raise SystemExit(f"{python}: {made} is empty")


def run(*command: str, where: Path = ROOT) -> str:
    """Run a command; where it fails, say what it printed."""
    ended = subprocess.run(command, cwd=where, env=FRESH, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}")
    return ended.stdout


def found(version: str) -> str | None:
    """Give a Python of a version: one that uv knows, on the path, or of pyenv. None is downloaded."""
    search = [*UV, "python", "find", "--no-python-downloads", "--no-project", "--system", version]
    known = subprocess.run(search, env=FRESH, capture_output=True, text=True, check=False).stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (known, shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        # what lies on a path may be a stand-in that finds nothing
        probe = [str(candidate), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if candidate and subprocess.run(probe, capture_output=True, text=True, check=False).stdout.strip() == version:
            return str(candidate)
    return None


def main() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    faults = list(disagreements())
    import public_api

    if json.loads(public_api.FROZEN.read_text(encoding="utf-8")) != public_api.frozen():
        faults.append("public names differ from tests/public_api.json: run tools/public_api.py")
    shutil.rmtree(DIST, ignore_errors=True)
    run(*UV, "build", "--quiet", "--out-dir", str(DIST), ".")
    (wheel,), (source,) = list(DIST.glob("*.whl")), list(DIST.glob("*.tar.gz"))
    faults += missing_from(wheel, source, version)
    print(f"built {wheel.name} and {source.name}", flush=True)
    for number in VERSIONS:
        python = found(number)
        if python is None:
            print(f"Python {number}: not found, not tried", flush=True)
            if number in NEEDED:
                faults.append(f"Python {number} is needed and was not found")
            continue
        smoke(python, wheel)
        print(f"Python {number}: a protocol went to its report ({python})", flush=True)
    for fault in faults:
        print(f"error: {fault}")
    if faults:
        raise SystemExit(1)
    print(f"{version} is ready: dist/ holds it, and nothing was published")


if __name__ == "__main__":
    main()
