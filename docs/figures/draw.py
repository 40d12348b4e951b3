"""Draw the figures of the README again from the data in this repository: ``python docs/figures/draw.py``.

The alt text of each is printed, to be copied beside it.
"""

from __future__ import annotations

from pathlib import Path

import bayesmeta as bm
from bayesmeta.plots import benefit_plot, bubble_plot, forest_plot, funnel_plot, heterogeneity_plot, save_plot

HERE = Path(__file__).parent
MODELS = HERE.parents[1] / "models"


def fitted(protocol: str, key: str, *, moderated: bool = False) -> bm.Fit:
    """Fit one outcome of a protocol, pooled or with its moderators."""
    chosen = bm.read_protocol(MODELS / f"{protocol}.toml")
    outcome, effects = chosen.outcome(key), bm.read_effects(chosen, key)
    model = outcome.model.on(effects if moderated else None)
    return bm.fit(effects, model, outcome=outcome, analysis="moderated" if moderated else "pooled")


def main() -> None:
    """Draw every figure."""
    fatigue = fitted("cancer_exercise", "fatigue_short")
    favours = ("Favours exercise", "Favours no exercise")
    figures = {
        "fatigue_short_forest": forest_plot(fatigue, favours=favours),
        "fatigue_short_forest_by_exercise": forest_plot(
            fatigue,
            subgroup="exercise",
            moderated=fitted("cancer_exercise", "fatigue_short", moderated=True),
            favours=favours,
        ),
        "fatigue_short_heterogeneity": heterogeneity_plot(fatigue),
        "fatigue_short_benefit": benefit_plot(fatigue),
        "fatigue_short_funnel": funnel_plot(fatigue),
        "depression_by_weeks_bubble": bubble_plot(
            fitted("exercise_depression", "depression", moderated=True),
            "duration",
            x_label="Duration of the programme, weeks",
        ),
    }
    for name, plot in figures.items():
        path = save_plot(plot, HERE / f"{name}.png", dpi=200)
        print(f"{path.name}: {plot.alt}\n")


if __name__ == "__main__":
    main()
