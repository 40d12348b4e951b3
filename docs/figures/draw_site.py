"""Draw the pictures that only the site shows: ``python docs/figures/draw_site.py FOLDER``.

They are of the real trials in this repository, and of the table of docs/tutorials/workbook.md; tools/site.py makes them
in every build, so that none can be older than the program. Needs chromium with its driver, and LibreOffice Calc.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAME_TABLE = ["--measure", "SMD", "--better", "lower", "--threshold", "0.5"]


def tutorial_table(folder: Path) -> Path:
    """Write the table of the clinician's tutorial."""
    sys.path.insert(0, str(ROOT / "tools"))
    import pages

    text = (ROOT / "docs" / "tutorials" / "workbook.md").read_text(encoding="utf-8")
    (table,) = [block for block in pages.blocks(text) if block.title == "trials.csv"]
    path = folder / "trials.csv"
    path.write_text(table.code, encoding="utf-8")
    return path


def bayesmeta(folder: Path, *words: str) -> str:
    """Run a command in a folder; give what it prints, messages too."""
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "bayesmeta_cli.main", *words]
    run = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return run.stdout


def terminal(path: Path, command: str, printed: str) -> None:
    """Draw a command and what it printed as a window of a terminal."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=82, file=io.StringIO(), color_system="truecolor")
    console.print(Text(f"$ {command}", style="bold green"))
    console.print(Text(printed.rstrip("\n")))
    # without the fonts of a network: the reader's own
    start, end = CONSOLE_SVG_FORMAT.index("@font-face"), CONSOLE_SVG_FORMAT.index(".{unique_id}-matrix")
    offline = (CONSOLE_SVG_FORMAT[:start] + CONSOLE_SVG_FORMAT[end:]).replace("Fira Code, ", "")
    path.write_text(console.export_svg(title="Terminal", code_format=offline, unique_id="terminal"), encoding="utf-8")


def terminal_pool(path: Path) -> None:
    """Draw what `pool` prints of the tutorial's table, to the end of the probabilities."""
    with tempfile.TemporaryDirectory() as folder:
        tutorial_table(Path(folder))
        words = ["pool", "trials.csv", *SAME_TABLE]
        printed = bayesmeta(Path(folder), *words)
    terminal(path, "bayesmeta " + " ".join(words), printed.split("\n\nmethod ")[0])


def terminal_fault(path: Path) -> None:
    """Draw how a wrong cell is reported."""
    with tempfile.TemporaryDirectory() as folder:
        table = tutorial_table(Path(folder))
        table.write_text(table.read_text(encoding="utf-8").replace(",9.4,", ",-9.4,", 1), encoding="utf-8")
        words = ["check", "trials.csv", "--measure", "SMD"]
        terminal(path, "bayesmeta " + " ".join(words), bayesmeta(Path(folder), *words))


def workbook(path: Path) -> None:
    """Let LibreOffice draw the tutorial's table as a workbook, with its grid and the letters of its columns."""
    office, paint = shutil.which("soffice"), shutil.which("pdftoppm")
    if office is None or paint is None:
        raise SystemExit("LibreOffice (soffice) or poppler (pdftoppm) is not installed")
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from PIL import Image, ImageChops

    with tempfile.TemporaryDirectory() as folder:
        book = Workbook()
        sheet = book.active
        sheet.title = "Trials"
        lines = tutorial_table(Path(folder)).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            cells = line.split(",")
            sheet.append(cells if number == 0 else [*cells[:2], *map(float, cells[2:])])
        for cell in sheet[1]:
            cell.font = Font(name="Calibri", size=11, bold=True)
        sheet.column_dimensions["A"].width = 26
        sheet.print_options.gridLines = sheet.print_options.headings = True
        sheet.page_setup.orientation = "landscape"
        book.save(f"{folder}/trials.xlsx")
        options = [f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", "pdf"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([office, *options, "--outdir", folder, f"{folder}/trials.xlsx"], **quiet)
        subprocess.run([paint, "-png", "-r", "110", "-singlefile", f"{folder}/trials.pdf", f"{folder}/trials"], **quiet)
        page = Image.open(f"{folder}/trials.png").convert("RGB")
        # most of the page is empty
        box = ImageChops.difference(page, Image.new("RGB", page.size, "white")).getbbox()
        if box is None:
            raise SystemExit("LibreOffice drew nothing")
        page.crop((max(box[0] - 12, 0), max(box[1] - 12, 0), box[2] + 12, box[3] + 12)).save(path)


def report(path: Path) -> None:
    """Take a picture of the first screen of the tutorial's report."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browsers import chromium

    with tempfile.TemporaryDirectory() as folder:
        tutorial_table(Path(folder))
        bayesmeta(Path(folder), "report", "trials.csv", *SAME_TABLE, "-o", "report")
        browser = chromium()
        try:
            size = {"width": 1280, "height": 760, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(f"file://{folder}/report/index.html")
            browser.save_screenshot(str(path))
        finally:
            browser.quit()


def fatigue() -> object:
    """Fit short fatigue of the cancer protocol."""
    import bayesmeta as bm

    return bm.analyse(ROOT / "models" / "cancer_exercise.toml", "fatigue_short", declared=False, moderated=False).pooled


def mean_and_new(path: Path) -> None:
    """Draw the posterior of the mean effect above that of a new study, with the sides of a threshold."""
    import numpy as np
    from matplotlib.figure import Figure

    import bayesmeta as bm

    fit = fatigue()
    x = np.linspace(-1.4, 1.1, 800)
    figure = Figure(figsize=(8, 5), layout="constrained")
    titles = {"mu": "Mean effect, over all studies like these", "theta_new": "Effect in a new study like these"}
    for axes, (name, title) in zip(figure.subplots(2, sharex=True), titles.items(), strict=True):
        density = bm.marginal(fit, name).density(x)
        axes.plot(x, density, color="black")
        for low, high, colour, words in (
            (-9.0, -0.2, "#0072B2", "benefit of at least 0.2"),
            (-0.2, 0.2, "#BBBBBB", "little to no effect"),
            (0.2, 9.0, "#D55E00", "harm of at least 0.2"),
        ):
            chance = bm.probability(fit, name, between=(low, high))
            inside = (x >= low) & (x <= high)
            axes.fill_between(
                x[inside], density[inside], color=colour, alpha=0.7, lw=0, label=f"{words}: {bm.percent(chance)}"
            )
        for threshold in (-0.2, 0.2):
            axes.axvline(threshold, color="black", lw=0.8, ls=":")
        axes.axvline(0, color="black", lw=0.8)
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_yticks([])
        axes.legend(loc="upper right", fontsize=9, frameon=False)
    axes.set_xlabel("Hedges' g; lower is better")
    figure.savefig(path, dpi=150)


def benefit_curve(path: Path) -> None:
    """Draw the probability of a benefit beyond every threshold."""
    from bayesmeta.plots import benefit_plot, save_plot

    save_plot(benefit_plot(fatigue()), path, dpi=150)


def priors_tau(path: Path) -> None:
    """Draw priors of tau for standardised differences."""
    import numpy as np
    from matplotlib.figure import Figure

    import bayesmeta as bm

    x = np.linspace(0.002, 1.6, 600)
    priors = {
        "half-normal(0.25)": bm.HalfNormal(0.25),
        "half-normal(0.5), the default": bm.HalfNormal(0.5),
        "half-normal(1)": bm.HalfNormal(1),
        "half-Cauchy(0.5)": bm.HalfCauchy(0.5),
        "Cochrane, pain and palliative care": bm.Cochrane("smd", "Pain, Palliative and Supportive Care"),
    }
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for (name, prior), style in zip(priors.items(), ("--", "-", "-.", ":", (0, (5, 1))), strict=True):
        median, high = prior.ppf(0.5), prior.ppf(0.95)
        axes.plot(
            x, np.exp(prior.logpdf(x)), ls=style, lw=2, label=f"{name}: median {median:.2f}, 95 % below {high:.2f}"
        )
    axes.set_xlabel("tau, SD of true effects between trials (standardised difference)")
    axes.set_yticks([])
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


PICTURES: dict[str, Callable[[Path], None]] = {
    "benefit_curve.png": benefit_curve,
    "mean_and_new.png": mean_and_new,
    "priors_tau.png": priors_tau,
    "report_of_a_table.png": report,
    "terminal_fault.svg": terminal_fault,
    "terminal_pool.svg": terminal_pool,
    "workbook.png": workbook,
}


def main() -> None:
    """Draw every picture into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        draw(folder / name)
        print(name, flush=True)


if __name__ == "__main__":
    main()
