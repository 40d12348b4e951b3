"""Bayesian meta-analysis without simulation error, for the people behind exercise guidelines.

Nouns are frozen, verbs are functions: `Effects` say what was observed, a `Model` what is assumed, `fit` makes a
`Fit`, and every question is a function of a fit.

Names are imported when they are first used, so that a command pays only for what it needs.

Examples in docstrings assume two lines, `import bayesmeta as bm` and `effects, model, fit = bm.example()`, and the
function that they show.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "BayesmetaError": "errors",
    "BayesmetaWarning": "errors",
    "Cauchy": "priors",
    "Check": "errors",
    "Cochrane": "priors",
    "Coefficient": "model",
    "DataError": "errors",
    "Settings": "nuts",
    "Spreads": "effects",
    "Tabulated": "effects",
    "Effects": "effects",
    "Exponential": "priors",
    "Fault": "errors",
    "Finding": "errors",
    "Fit": "result",
    "Flat": "priors",
    "HONESTY": "decision",
    "HalfCauchy": "priors",
    "HalfNormal": "priors",
    "HalfStudentT": "priors",
    "InferenceError": "errors",
    "InverseGamma": "priors",
    "Jeffreys": "priors",
    "LogNormal": "priors",
    "LogStudentT": "priors",
    "Exchangeable": "model",
    "MissingLevels": "model",
    "MissingNumeric": "model",
    "JointModel": "joint",
    "MissingSD": "model",
    "Monotone": "model",
    "OutlierEffects": "model",
    "Spline": "model",
    "StudentEffects": "model",
    "Model": "model",
    "ModelError": "errors",
    "Normal": "priors",
    "Outcome": "outcome",
    "Protocol": "outcome",
    "ProtocolError": "errors",
    "Rhodes2015": "priors",
    "StudentT": "priors",
    "Threshold": "outcome",
    "Truncated": "priors",
    "Turner2015": "priors",
    "Uniform": "priors",
    "band_table": "decision",
    "agreement_table": "agreement",
    "bayes_factor": "posterior",
    "benefit_curve": "decision",
    "benefit_sentence": "decision",
    "benefit_table": "decision",
    "compare_coefficients": "posterior",
    "compare_table": "posterior",
    "contrast_table": "posterior",
    "effect_sizes": "studies",
    "estimable": "design",
    "estimate_words": "decision",
    "example": "examples",
    "fit": "inference",
    "fit_all": "inference",
    "fit_joint": "joint",
    "heterogeneity_table": "posterior",
    "load": "result",
    "marginal": "quantities",
    "percent": "decision",
    "predict": "posterior",
    "profile_table": "profiles",
    "curve_table": "profiles",
    "imputed_table": "profiles",
    "outlier_table": "profiles",
    "compare_types_table": "profiles",
    "ppc_table": "checking",
    "prior_check_table": "checking",
    "overlap_table": "checking",
    "power_scaling_table": "checking",
    "loo_table": "checking",
    "predictive_table": "checking",
    "probability": "posterior",
    "read_effects": "studies",
    "read_protocol": "protocol",
    "responder_table": "decision",
    "share_of_settings": "decision",
    "study_table": "posterior",
    "summarize": "posterior",
    "threshold": "decision",
    "Borrowing": "borrowing",
    "grade_table": "grade",
    "information_table": "information",
    "natural_table": "units",
    "next_trial_table": "nexttrial",
    "published_results": "published",
    "PublishedResult": "published",
    "reanalyse": "published",
    "reanalyse_all": "published",
    "reanalysis_table": "published",
    "risk_table": "units",
    "robust_map": "borrowing",
}
_MODULES = ("bench", "classical", "measures", "plots", "priors", "sensitivity")

if TYPE_CHECKING:
    from bayesmeta import bench, classical, measures, plots, priors, sensitivity
    from bayesmeta.agreement import agreement_table
    from bayesmeta.borrowing import Borrowing, robust_map
    from bayesmeta.checking import (
        loo_table,
        overlap_table,
        power_scaling_table,
        ppc_table,
        predictive_table,
        prior_check_table,
    )
    from bayesmeta.decision import (
        HONESTY,
        band_table,
        benefit_curve,
        benefit_sentence,
        benefit_table,
        estimate_words,
        percent,
        responder_table,
        share_of_settings,
        threshold,
    )
    from bayesmeta.design import estimable
    from bayesmeta.effects import Effects, Spreads, Tabulated
    from bayesmeta.errors import (
        BayesmetaError,
        BayesmetaWarning,
        Check,
        DataError,
        Fault,
        Finding,
        InferenceError,
        ModelError,
        ProtocolError,
    )
    from bayesmeta.examples import example
    from bayesmeta.grade import grade_table
    from bayesmeta.inference import fit, fit_all
    from bayesmeta.information import information_table
    from bayesmeta.joint import JointModel, fit_joint
    from bayesmeta.model import (
        Coefficient,
        Exchangeable,
        MissingLevels,
        MissingNumeric,
        MissingSD,
        Model,
        Monotone,
        OutlierEffects,
        Spline,
        StudentEffects,
    )
    from bayesmeta.nexttrial import next_trial_table
    from bayesmeta.nuts import Settings
    from bayesmeta.outcome import Outcome, Protocol, Threshold
    from bayesmeta.posterior import (
        bayes_factor,
        compare_coefficients,
        compare_table,
        contrast_table,
        heterogeneity_table,
        predict,
        probability,
        study_table,
        summarize,
    )
    from bayesmeta.priors import (
        Cauchy,
        Cochrane,
        Exponential,
        Flat,
        HalfCauchy,
        HalfNormal,
        HalfStudentT,
        InverseGamma,
        Jeffreys,
        LogNormal,
        LogStudentT,
        Normal,
        Rhodes2015,
        StudentT,
        Truncated,
        Turner2015,
        Uniform,
    )
    from bayesmeta.profiles import compare_types_table, curve_table, imputed_table, outlier_table, profile_table
    from bayesmeta.protocol import read_protocol
    from bayesmeta.published import (
        PublishedResult,
        published_results,
        reanalyse,
        reanalyse_all,
        reanalysis_table,
    )
    from bayesmeta.quantities import marginal
    from bayesmeta.result import Fit, load
    from bayesmeta.studies import effect_sizes, read_effects
    from bayesmeta.units import natural_table, risk_table

__all__ = [*_HOMES, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"bayesmeta.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"bayesmeta.{name}")
    else:
        raise AttributeError(f"module 'bayesmeta' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
