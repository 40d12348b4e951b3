"""Leave one trial out: by importance sampling, and exactly."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.exact import why_unsupported
from bayesmeta.fits import Fit
from bayesmeta.fits import fit as fit_model
from bayesmeta.sensitivity.trials import leave_one_out

__all__ = ["KHAT", "loo_table"]

#: Pareto shape above which the importance sampling of a trial cannot be trusted.
KHAT = 0.7


def loo_table(fit: Fit, *, exact: bool = True) -> pd.DataFrame:
    """How well every trial is predicted by the others: Pareto-smoothed importance sampling beside exact refits.

    PSIS reuses the draws of the full fit; a trial that moves the posterior much gets a Pareto shape ``khat`` above 0.7,
    and its value is then not to be used. Where the exact engine covers the model, every trial is left out, the model
    refitted by quadrature, and the trial's rows predicted: no approximation is needed.

    Parameters
    ----------
    fit : Fit
        By either engine.
    exact : bool
        Whether to refit exactly where that is possible; one refit per trial.

    Returns
    -------
    pandas.DataFrame
        One row per trial: ``left_out rows elpd_psis khat elpd_exact difference p_value note``. ``elpd`` are log
        predictive densities of the trial's rows given the other trials; ``p_value`` is the two-sided p-value of a
        single estimate in its exact prediction from the others. ``attrs`` hold the totals ``elpd_psis`` with its
        ``se``, ``p_loo``, ``elpd_exact``, and ``flagged``, how many trials lie above 0.7.

    Raises
    ------
    ModelError
        With fewer than two trials.

    References
    ----------
    Vehtari A, Gelman A, Gabry J. Stat Comput 2017;27:1413-1432. doi:10.1007/s11222-016-9696-4. Vehtari A, Simpson D,
    Gelman A, Yao Y, Gabry J. J Mach Learn Res 2024;25:72. https://www.jmlr.org/papers/v25/19-556.html (khat).

    Examples
    --------
    >>> table = loo_table(fit)
    >>> bool((table["difference"].abs() < 0.05).all()), table.attrs["flagged"]
    (True, 0)
    """
    from arviz_stats import loo

    if len(fit.tree["log_likelihood"]["study"]) < 2:
        raise ModelError("leave-one-out needs at least two trials.")
    with warnings.catch_warnings():
        # what the warning says stands in the table, trial by trial
        warnings.simplefilter("ignore", UserWarning)
        found = loo(fit.tree, var_name="y", pointwise=True)
    names = [str(name) for name in found.elpd_i["study"].values]
    frame = pd.DataFrame(
        {"left_out": names, "elpd_psis": np.asarray(found.elpd_i, float), "khat": np.asarray(found.pareto_k, float)}
    )
    attrs = {
        "elpd_psis": float(found.elpd),
        "se": float(found.se),
        "p_loo": float(found.p),
        "elpd_exact": math.nan,
        "flagged": int((frame["khat"] > KHAT).sum()),
    }
    refits = _refits(fit) if exact else None
    columns = ["left_out", "rows", "elpd_psis", "khat", "elpd_exact", "difference", "p_value", "note"]
    if refits is not None:
        other = refits.set_index("left_out").reindex(names)
        frame["rows"] = other["rows"].to_numpy()
        if "log_predictive" in other:
            frame["elpd_exact"], frame["p_value"] = other["log_predictive"].to_numpy(), other["p_value"].to_numpy()
            frame["difference"] = frame["elpd_psis"] - frame["elpd_exact"]
        frame["note"] = other["note"].to_numpy()
        attrs["elpd_exact"] = refits.attrs["elpd"]
    else:
        inside = {str(name) for name in fit.effects.study}
        frame["note"] = ""
        frame["rows"] = [
            sum(study == name for study in fit.effects.study) if name in inside else np.nan for name in names
        ]
    frame = frame.reindex(columns=columns)
    frame["note"] = [
        "; ".join(part for part in (str(note or ""), _advice(khat, value)) if part)
        for note, khat, value in zip(frame["note"], frame["khat"], frame["elpd_exact"], strict=True)
    ]
    frame.attrs.update(attrs)
    return frame


def _refits(fit: Fit) -> pd.DataFrame | None:
    """Exact leave-one-out where the exact engine covers the model; None elsewhere."""
    # a part of a joint fit has other outcomes in its likelihood
    if fit.analysis == "joint" or why_unsupported(fit.effects, fit.model) is not None:
        return None
    main = fit if not fit.simulated else fit_model(fit.effects, fit.model, engine="exact", outcome=fit.outcome)
    return leave_one_out(main)


def _advice(khat: float, exact: float) -> str:
    if not khat > KHAT:
        return ""
    remedy = "use elpd_exact" if math.isfinite(exact) else "refit without the trial"
    return f"khat {khat:.2f} above {KHAT:g}: the trial moves the posterior; {remedy}"
