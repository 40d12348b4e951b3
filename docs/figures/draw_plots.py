"""Draw the figures of docs/plots.md and docs/publication-bias.md again: ``python docs/figures/draw_plots.py``.

The alt text of each is printed, to be copied beside it. Judgements of risk of bias are made up, and say so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import bayesmeta as bm
from bayesmeta.bias import average_of
from bayesmeta.plots import (
    averaged_mean_plot,
    forest_plot,
    icon_array,
    mu_tau_plot,
    new_study_plot,
    overview_plot,
    save_plot,
    weight_function_plot,
    z_curve_plot,
)

HERE = Path(__file__).parent
MODELS = HERE.parents[1] / "models"


def main() -> None:
    """Draw every figure."""
    analyses = bm.analyse_all(MODELS / "cancer_exercise.toml", declared=False, moderated=False)
    fatigue = next(item.pooled for item in analyses if item.key == "fatigue_short")
    chance, domains = np.random.default_rng(1), ("Randomisation", "Deviations", "Missing data", "Overall")
    made_up = pd.DataFrame({name: chance.choice(["low", "some concerns", "high"], 35) for name in domains})
    figures = {
        "plots_revman": forest_plot(
            fatigue,
            arms=True,
            risk_of_bias=made_up,
            order="effect",
            style="revman",
            title="Fatigue, up to 12 weeks (judgements of risk of bias are made up)",
        ),
        "plots_overview": overview_plot(analyses, title="Exercise in cancer: all outcomes"),
        "plots_mu_tau": mu_tau_plot(fatigue),
        "plots_new_study": new_study_plot(fatigue),
        "plots_icons": icon_array(fatigue),
    }
    (depression,) = bm.analyse_all(MODELS / "exercise_depression.toml", declared=False, moderated=False)
    averaged = average_of(depression.pooled)
    figures |= {
        "bias_mean": averaged_mean_plot(averaged),
        "bias_weights": weight_function_plot(averaged),
        "bias_z_curve": z_curve_plot(averaged),
    }
    for name, plot in figures.items():
        path = save_plot(plot, HERE / f"{name}.png", dpi=150)
        print(f"{path.name}: {plot.alt}\n")


if __name__ == "__main__":
    main()
