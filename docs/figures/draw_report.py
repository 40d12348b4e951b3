"""Take the picture of the report again: ``python docs/figures/draw_report.py`` (needs chromium and its driver)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1280, 1180


def main() -> None:
    """Make a report of two outcomes, open it, and keep its first screen."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        raise SystemExit("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.add_argument("--headless=new")
    options.add_argument("--hide-scrollbars")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    with tempfile.TemporaryDirectory() as folder:
        protocol = HERE.parents[1] / "models" / "cancer_exercise.toml"
        command = [sys.executable, "-m", "bayesmeta_cli.main", "report", str(protocol), "-o", f"{folder}/out"]
        for name in ("fatigue_short", "qol_short"):
            command += ["--outcome", name]
        subprocess.run(command, check=True)
        page = webdriver.Chrome(options=options, service=Service(driver))
        try:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            page.get(f"file://{folder}/out/index.html")
            page.save_screenshot(str(HERE / "report.png"))
        finally:
            page.quit()


if __name__ == "__main__":
    main()
