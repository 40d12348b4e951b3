"""What every test obeys, wherever it stands: skips, processes, memory, examples, other draws."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

#: Bytes that a process of the tests may need at most, where several share them.
LIMIT = 2e9


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Take our own option, and under ``-p no:xdist`` the two of pytest-xdist that pyproject.toml sets."""
    parser.addoption(
        "--other-draws",
        type=int,
        default=0,
        metavar="N",
        help="shift every seed of the sampler: the draws that another processor might give",
    )
    if not pluginmanager.hasplugin("xdist"):
        parser.addoption("--numprocesses", help="not used: pytest-xdist is off")
        parser.addoption("--dist", help="not used: pytest-xdist is off")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, so that what they share is made once; others say their own group."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None]:
    """Where CI is set a skipped test is a failed one: a check that does not run is not a check."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"


@pytest.fixture(scope="session", autouse=True)
def _draws(request: pytest.FixtureRequest) -> Iterator[None]:
    shift = request.config.getoption("--other-draws")
    if not shift:
        yield
        return
    from sampled import other_draws

    with other_draws(shift):
        yield


#: Bytes by which a process may grow before what its tests have left is looked for: figures refer to themselves.
_GROWTH = 1.5e8
_kept = 0.0


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Let what a file keeps (`functools.cache`) live as long as its tests, and give its memory back."""
    global _kept
    module = getattr(item, "module", None)
    ended = module is not None and module is not getattr(nextitem, "module", None)
    if not ended and resident() < _kept + _GROWTH:
        return
    for value in list(vars(module).values()) if ended else ():
        if hasattr(value, "cache_clear") and getattr(value, "__module__", "") == module.__name__:
            value.cache_clear()
    gc.collect()
    if sys.platform == "linux":
        # glibc keeps what threads have freed
        ctypes.CDLL(None).malloc_trim(0)
    _kept = resident()


# -- memory ------------------------------------------------------------------------------------------------------------


def peak() -> float:
    """Most memory that this process has had so far, in bytes: its own, not what a parent had before it began."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return float(line.split()[1]) * 1024
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def resident() -> float:
    """Memory that this process has now, in bytes; zero where the system does not say."""
    pages = Path("/proc/self/statm")
    return float(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0.0


_peaks: dict[str, float] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the main process."""
    worker = getattr(session.config, "workeroutput", None)
    if worker is not None:
        worker["peak"] = peak()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Hear it there."""
    _peaks[node.gateway.id] = node.workeroutput.get("peak", 0.0) if hasattr(node, "workeroutput") else 0.0


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the peak of each process."""
    found = {"main": peak(), **_peaks}
    parts = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in found.items())
    terminalreporter.write_line(f"peak memory: {parts} (limit of each of several: {LIMIT / 1e9:.0f} GB)")
    if any(size > LIMIT for size in _peaks.values()):
        terminalreporter.write_line("a process of the tests needed more than it may", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED


# the same examples on every machine of CI, new ones on every desk
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
