"""Is the installation sound? Versions, a small fit by each engine, fonts, browser, and the folders that are written."""

from __future__ import annotations

import os
import platform
import sys
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

__all__ = ["Examined", "examine_installation"]

#: What computes, draws and reads; their versions belong into every report of a fault.
PACKAGES = (
    "numpy scipy pandas xarray netcdf4 pymc pytensor nutpie numba matplotlib pydantic typer openpyxl odfpy lxml "
    "python-docx jinja2"
)
#: A text of each script that names of trials are written in.
SCRIPTS = {
    "Latin": "Şimşek Müller Łódź",
    "Greek": "Παπαδόπουλος",
    "Cyrillic": "Иванов",
    "Chinese": "王伟",
    "Korean": "김",
}
# of the posterior SD: the mean of 4,000 draws is within 0.05 of it with effective draws above 400, as checks demand
_APART = 0.25


@dataclass(frozen=True, slots=True)
class Examined:
    """One part of an installation.

    Parameters
    ----------
    part : str
        What was looked at: ``"exact engine"``.
    state : {"ok", "note", "fault"}
        ``note`` is what only some people need; ``fault`` is what keeps bayesmeta from working.
    found : str
        A version, a result, a folder, or what went wrong.
    remedy : str
        What to do; empty where nothing need be done.

    Examples
    --------
    >>> Examined("python", "ok", "3.13.1").remedy
    ''
    """

    part: str
    state: Literal["ok", "note", "fault"]
    found: str
    remedy: str = ""


def examine_installation(
    *, engines: bool = True, progress: Callable[[str], None] | None = None
) -> tuple[Examined, ...]:
    """Look at every part of the installation; what fails is said, never raised.

    Parameters
    ----------
    engines : bool
        Whether a small fit is run by each engine; the first by NUTS compiles its model, for about a minute.
    progress : callable, optional
        Is given the name of each part before it is looked at.

    Examples
    --------
    >>> [item.part for item in examine_installation(engines=False)][:2]
    ['bayesmeta', 'python']
    """
    parts: list[tuple[str, Callable[[], Iterator[Examined]]]] = [("versions", _versions)]
    if engines:
        parts.append(("engines", _engines))
    parts += [("fonts", _fonts), ("browser", _browser), ("caches", _caches)]
    found: list[Examined] = []
    for name, look in parts:
        if progress is not None:
            progress(f"looking at {name}")
        try:
            found += look()
        except Exception as error:
            # whatever is broken is what is asked for
            found.append(_fault(name, error))
    return tuple(found)


def _fault(part: str, error: Exception) -> Examined:
    what = " ".join(str(error).split())[:300]
    return Examined(part, "fault", f"{type(error).__name__}: {what}", "Install bayesmeta anew, in a fresh environment.")


def _versions() -> Iterator[Examined]:
    yield Examined("bayesmeta", "ok", metadata.version("bayesmeta"))
    yield Examined("python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in PACKAGES.split():
        try:
            yield Examined(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Examined(name, "fault", "not installed", "Install bayesmeta anew; it brings this package.")


def _engines() -> Iterator[Examined]:
    import bayesmeta as bm
    from bayesmeta.fits import marginal

    effects, model, _ = bm.example()
    names = {"exact": "exact engine", "nuts": "NUTS engine"}
    means: dict[str, float] = {}
    for engine, part in names.items():
        try:
            fit = bm.fit(effects, model, engine=engine)  # type: ignore[arg-type]
            mu = marginal(fit, "mu")
            mean, sd = float(mu.mean), float(mu.sd)
        except Exception as error:
            yield _fault(part, error)
            continue
        failed = [check.name for check in fit.checks if not check.ok]
        off = "exact" in means and abs(mean - means["exact"]) > _APART * sd
        means[engine] = mean
        what = f"mean {mean:.3f}, SD {sd:.3f} of four trials"
        if failed or off:
            why = f"; failed: {', '.join(failed)}" if failed else "; the engines disagree"
            yield Examined(part, "fault", what + why, "Report this with the versions above.")
        else:
            yield Examined(part, "ok", f"{what}; {len(fit.checks)} checks passed")


def _fonts() -> Iterator[Examined]:
    from bayesmeta.plots import missing_letters

    for script, text in SCRIPTS.items():
        if lacking := missing_letters(text):
            remedy = f"Only for pictures with {script} names: install a font that has them, such as Noto Sans."
            yield Examined(f"font: {script}", "note", f"no font has {lacking}", remedy)
        else:
            yield Examined(f"font: {script}", "ok", "found")


def _browser() -> Iterator[Examined]:
    try:
        name = getattr(webbrowser.get(), "name", "") or "the system's"
    except webbrowser.Error:
        yield Examined("browser", "note", "none found", "--open does nothing; open the page's file in any browser.")
    else:
        yield Examined("browser", "ok", name)


def _caches() -> Iterator[Examined]:
    import matplotlib

    yield _folder("Matplotlib's cache", Path(matplotlib.get_cachedir()), "MPLCONFIGDIR")
    if "pytensor" in sys.modules:
        yield _folder(
            "compiled models", Path(sys.modules["pytensor"].config.compiledir), "PYTENSOR_FLAGS=base_compiledir=FOLDER"
        )


def _folder(part: str, path: Path, variable: str) -> Examined:
    if os.access(path, os.W_OK):
        return Examined(part, "ok", str(path))
    return Examined(part, "note", f"{path} cannot be written", f"Every start is slower; name a folder by {variable}.")
