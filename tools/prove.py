"""Run the slow proofs whose sources have changed, and keep what they gave.

Run: python3 -m uv run python tools/prove.py [--all]

A slow proof (``pytest -m slow``) takes minutes, so that CI does not run it. Its result stands in tests/proofs.json with
a hash of the sources that it speaks of; tests/test_proofs.py fails where one of them has changed since. Hashes are of
the syntax tree without docstrings: comments, formatting and words change none.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "tests" / "proofs.json"
PACKAGES = ("numpy", "scipy", "pymc", "pytensor", "nutpie")

SHARED = ("numerics.py", "priors", "effects.py", "model")
EXACT = (*SHARED, "exact", "marginals")
SAMPLED = (*SHARED, "nuts", "marginals", "fits/agreement.py")


@dataclass(frozen=True, slots=True)
class Proof:
    """What is shown by which slow tests, about which sources.

    Attributes
    ----------
    shows : str
    tests : tuple of str
        Test files.
    modules : tuple of str
        Rooms and files of ``src/bayesmeta``.
    files : tuple of str
        Other files, as patterns from the root.
    """

    shows: str
    tests: tuple[str, ...]
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


PROOFS = {
    "random problems": Proof(
        "300 random problems by the exact engine and by a plain sum",
        ("tests/exact/test_random_problems.py",),
        EXACT,
    ),
    "both engines": Proof(
        "NUTS and the exact engine on every protocol, prior and kind of level",
        ("tests/nuts/test_against_exact.py",),
        (*EXACT, *SAMPLED),
        ("models/*.toml", "data/*.csv"),
    ),
    "brute force": Proof(
        "sampled models by sums that share nothing with the library",
        ("tests/nuts/test_against_brute_force.py", "tests/joint/test_joint.py"),
        (*SAMPLED, "joint"),
        ("tests/oracle*.py",),
    ),
    "calibration": Proof(
        "other worlds than the stored ones, and the stored ones again",
        ("tests/calibration/test_calibration.py",),
        (*EXACT, *SAMPLED),
        ("tests/calibration/*.py",),
    ),
    "grids": Proof(
        "the sums themselves, on finer grids", ("tests/nuts/test_brute_force.py",), (), ("tests/oracle*.py",)
    ),
    "interrupt": Proof("Ctrl-C ends a sampler and leaves no file", ("tests/nuts/test_trust.py",), ("nuts",)),
    "pinned draws": Proof(
        "commands that sample, against what 0.1.0 drew with sixteen seeds", ("tests/fits/test_pinned.py",), SAMPLED
    ),
    "fuzzing": Proof(
        "damaged tables, protocols, fits and options: one line and a known exit code, 1,500 rounds",
        ("tests/cli/test_hostile.py",),
        (
            "boundary",
            "protocol",
            "studies/files.py",
            "studies/cells.py",
            "fits/storage.py",
            "fits/digest.py",
            "errors.py",
        ),
    ),
    "page of models": Proof(
        "the code of docs/models.md prints what the page shows",
        ("tests/plots/test_model_plots.py",),
        (*SAMPLED, "questions/profiles.py"),
        ("docs/models.md", "docs/figures/draw_models.py"),
    ),
}


def sources(proof: Proof) -> list[Path]:
    """Every file that a proof speaks of, its tests among them."""
    found = [ROOT / name for name in proof.tests]
    for name in proof.modules:
        place = ROOT / "src" / "bayesmeta" / name
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    for pattern in proof.files:
        matched = sorted(ROOT.glob(pattern))
        if not matched:
            raise FileNotFoundError(f"{pattern}: no such file")
        found += matched
    return sorted(set(found))


def fingerprint(proof: Proof) -> str:
    """Hash of the sources of a proof."""
    digest = hashlib.sha256()
    for path in sources(proof):
        text = path.read_text(encoding="utf-8")
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update((meaning(text) if path.suffix == ".py" else text).encode())
    return digest.hexdigest()


def meaning(text: str) -> str:
    """Give the syntax tree of a file as text, without docstrings, comments and places."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                body[0] = ast.Pass()
    return ast.dump(tree)


def stored() -> dict[str, dict[str, object]]:
    """Give what the last runs gave."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def stale(found: dict[str, dict[str, object]]) -> list[str]:
    """Names of proofs that were never run on these sources."""
    return [name for name, proof in PROOFS.items() if found.get(name, {}).get("sources") != fingerprint(proof)]


def run(proof: Proof) -> dict[str, object]:
    """Run a proof's slow tests."""
    print(f"== {proof.shows}: {', '.join(proof.tests)}", flush=True)
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-o", "console_output_style=count", *proof.tests]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    last = next((line for line in reversed(ended.stdout.splitlines()) if re.search(r"\d+ (passed|failed)", line)), "")
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", last)}
    if ended.returncode or not counts.get("passed") or set(counts) - {"passed"}:
        print(ended.stdout[-20_000:] + ended.stderr[-5_000:])
        raise SystemExit(f"not proved: {proof.shows} ({last.strip()})")
    return {
        "shows": proof.shows,
        "passed": counts["passed"],
        "seconds": round(time.monotonic() - start),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "sources": fingerprint(proof),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="run those that are up to date too")
    everything = parser.parse_args().all
    found = stored()
    for name in PROOFS if everything else stale(found):
        found[name] = run(PROOFS[name])
        kept = {key: found[key] for key in PROOFS if key in found}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(f"   {found[name]['passed']} passed in {found[name]['seconds']} s", flush=True)
    print("every proof speaks of these sources")


if __name__ == "__main__":
    main()
