"""Bayesian meta-analysis without simulation error, for the people behind exercise guidelines.

Nouns are frozen, verbs are functions: `Effects` say what was observed, a `Model` what is assumed, `fit` makes a
`Fit`, and every question is a function of a fit.

Names are imported when they are first used, so that a command pays only for what it needs.

Examples in docstrings assume two lines, `import bayesmeta as bm` and `effects, model, fit = bm.example()`, and the
function that they show.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from bayesmeta.lazy import exports

__version__ = "0.1.0"

#: Rooms whose names are used with theirs, as in ``bm.classical.pool``.
ROOMS = ("classical", "measures", "plots", "priors", "sensitivity")
#: Names of 0.1.0 that stay for one release.
RENAMED = {
    "HONESTY": "CAVEAT",
    "Spreads": "RawDifferences",
    "Tabulated": "ConditionalEstimates",
    "fit_all": "fit_many",
    "share_of_settings": "share_of_true_effects",
}

if TYPE_CHECKING:
    from bayesmeta import classical, measures, plots, priors, sensitivity
    from bayesmeta.checking import (
        overlap_table as overlap_table,
    )
    from bayesmeta.checking import (
        power_scaling_table as power_scaling_table,
    )
    from bayesmeta.checking import (
        ppc_table as ppc_table,
    )
    from bayesmeta.checking import (
        predictive_table as predictive_table,
    )
    from bayesmeta.checking import (
        prior_check_table as prior_check_table,
    )
    from bayesmeta.effects import (
        ConditionalEstimates as ConditionalEstimates,
    )
    from bayesmeta.effects import (
        Effects as Effects,
    )
    from bayesmeta.effects import (
        RawDifferences as RawDifferences,
    )
    from bayesmeta.errors import (
        BayesmetaError as BayesmetaError,
    )
    from bayesmeta.errors import (
        BayesmetaWarning as BayesmetaWarning,
    )
    from bayesmeta.errors import (
        Check as Check,
    )
    from bayesmeta.errors import (
        DataError as DataError,
    )
    from bayesmeta.errors import (
        Fault as Fault,
    )
    from bayesmeta.errors import (
        Finding as Finding,
    )
    from bayesmeta.errors import (
        InferenceError as InferenceError,
    )
    from bayesmeta.errors import (
        ModelError as ModelError,
    )
    from bayesmeta.errors import (
        ProtocolError as ProtocolError,
    )
    from bayesmeta.fits import (
        Fit as Fit,
    )
    from bayesmeta.fits import (
        agreement_table as agreement_table,
    )
    from bayesmeta.fits import (
        example as example,
    )
    from bayesmeta.fits import (
        fit as fit,
    )
    from bayesmeta.fits import (
        fit_many as fit_many,
    )
    from bayesmeta.fits import (
        load as load,
    )
    from bayesmeta.fits import (
        marginal as marginal,
    )
    from bayesmeta.joint import JointModel as JointModel
    from bayesmeta.joint import fit_joint as fit_joint
    from bayesmeta.model import (
        Coefficient as Coefficient,
    )
    from bayesmeta.model import (
        Exchangeable as Exchangeable,
    )
    from bayesmeta.model import (
        MissingLevels as MissingLevels,
    )
    from bayesmeta.model import (
        MissingNumeric as MissingNumeric,
    )
    from bayesmeta.model import (
        MissingSD as MissingSD,
    )
    from bayesmeta.model import (
        Model as Model,
    )
    from bayesmeta.model import (
        Monotone as Monotone,
    )
    from bayesmeta.model import (
        OutlierEffects as OutlierEffects,
    )
    from bayesmeta.model import (
        Spline as Spline,
    )
    from bayesmeta.model import (
        StudentEffects as StudentEffects,
    )
    from bayesmeta.model import (
        estimable as estimable,
    )
    from bayesmeta.nuts import Settings as Settings
    from bayesmeta.plan import Outcome as Outcome
    from bayesmeta.plan import Protocol as Protocol
    from bayesmeta.plan import Threshold as Threshold
    from bayesmeta.priors import (
        Cauchy as Cauchy,
    )
    from bayesmeta.priors import (
        Cochrane as Cochrane,
    )
    from bayesmeta.priors import (
        Exponential as Exponential,
    )
    from bayesmeta.priors import (
        Flat as Flat,
    )
    from bayesmeta.priors import (
        HalfCauchy as HalfCauchy,
    )
    from bayesmeta.priors import (
        HalfNormal as HalfNormal,
    )
    from bayesmeta.priors import (
        HalfStudentT as HalfStudentT,
    )
    from bayesmeta.priors import (
        InverseGamma as InverseGamma,
    )
    from bayesmeta.priors import (
        Jeffreys as Jeffreys,
    )
    from bayesmeta.priors import (
        LogNormal as LogNormal,
    )
    from bayesmeta.priors import (
        LogStudentT as LogStudentT,
    )
    from bayesmeta.priors import (
        Normal as Normal,
    )
    from bayesmeta.priors import (
        Rhodes2015 as Rhodes2015,
    )
    from bayesmeta.priors import (
        StudentT as StudentT,
    )
    from bayesmeta.priors import (
        Truncated as Truncated,
    )
    from bayesmeta.priors import (
        Turner2015 as Turner2015,
    )
    from bayesmeta.priors import (
        Uniform as Uniform,
    )
    from bayesmeta.protocol import read_protocol as read_protocol
    from bayesmeta.published import (
        PublishedResult as PublishedResult,
    )
    from bayesmeta.published import (
        published_results as published_results,
    )
    from bayesmeta.published import (
        reanalyse as reanalyse,
    )
    from bayesmeta.published import (
        reanalyse_all as reanalyse_all,
    )
    from bayesmeta.published import (
        reanalysis_table as reanalysis_table,
    )
    from bayesmeta.questions import (
        CAVEAT as CAVEAT,
    )
    from bayesmeta.questions import (
        Borrowing as Borrowing,
    )
    from bayesmeta.questions import (
        band_table as band_table,
    )
    from bayesmeta.questions import (
        bayes_factor as bayes_factor,
    )
    from bayesmeta.questions import (
        benefit_curve as benefit_curve,
    )
    from bayesmeta.questions import (
        benefit_sentence as benefit_sentence,
    )
    from bayesmeta.questions import (
        benefit_table as benefit_table,
    )
    from bayesmeta.questions import (
        compare_coefficients as compare_coefficients,
    )
    from bayesmeta.questions import (
        compare_table as compare_table,
    )
    from bayesmeta.questions import (
        compare_types_table as compare_types_table,
    )
    from bayesmeta.questions import (
        contrast_table as contrast_table,
    )
    from bayesmeta.questions import (
        curve_table as curve_table,
    )
    from bayesmeta.questions import (
        estimate_words as estimate_words,
    )
    from bayesmeta.questions import (
        heterogeneity_table as heterogeneity_table,
    )
    from bayesmeta.questions import (
        imputed_table as imputed_table,
    )
    from bayesmeta.questions import (
        information_table as information_table,
    )
    from bayesmeta.questions import (
        natural_table as natural_table,
    )
    from bayesmeta.questions import (
        next_trial_table as next_trial_table,
    )
    from bayesmeta.questions import (
        outlier_table as outlier_table,
    )
    from bayesmeta.questions import (
        percent as percent,
    )
    from bayesmeta.questions import (
        predict as predict,
    )
    from bayesmeta.questions import (
        probability as probability,
    )
    from bayesmeta.questions import (
        profile_table as profile_table,
    )
    from bayesmeta.questions import (
        responder_table as responder_table,
    )
    from bayesmeta.questions import (
        risk_table as risk_table,
    )
    from bayesmeta.questions import (
        robust_map as robust_map,
    )
    from bayesmeta.questions import (
        share_of_true_effects as share_of_true_effects,
    )
    from bayesmeta.questions import (
        study_table as study_table,
    )
    from bayesmeta.questions import (
        summarize as summarize,
    )
    from bayesmeta.questions import (
        threshold as threshold,
    )
    from bayesmeta.sensitivity import grade_table as grade_table
    from bayesmeta.sensitivity import loo_table as loo_table
    from bayesmeta.studies import effect_sizes as effect_sizes
    from bayesmeta.studies import read_effects as read_effects

_find, _names = exports(
    __name__,
    {
        "checking": (
            "overlap_table",
            "power_scaling_table",
            "ppc_table",
            "predictive_table",
            "prior_check_table",
        ),
        "effects": (
            "ConditionalEstimates",
            "Effects",
            "RawDifferences",
        ),
        "errors": (
            "BayesmetaError",
            "BayesmetaWarning",
            "Check",
            "DataError",
            "Fault",
            "Finding",
            "InferenceError",
            "ModelError",
            "ProtocolError",
        ),
        "fits": (
            "Fit",
            "agreement_table",
            "example",
            "fit",
            "fit_many",
            "load",
            "marginal",
        ),
        "joint": (
            "JointModel",
            "fit_joint",
        ),
        "model": (
            "Coefficient",
            "Exchangeable",
            "MissingLevels",
            "MissingNumeric",
            "MissingSD",
            "Model",
            "Monotone",
            "OutlierEffects",
            "Spline",
            "StudentEffects",
            "estimable",
        ),
        "nuts": ("Settings",),
        "plan": (
            "Outcome",
            "Protocol",
            "Threshold",
        ),
        "priors": (
            "Cauchy",
            "Cochrane",
            "Exponential",
            "Flat",
            "HalfCauchy",
            "HalfNormal",
            "HalfStudentT",
            "InverseGamma",
            "Jeffreys",
            "LogNormal",
            "LogStudentT",
            "Normal",
            "Rhodes2015",
            "StudentT",
            "Truncated",
            "Turner2015",
            "Uniform",
        ),
        "protocol": ("read_protocol",),
        "published": (
            "PublishedResult",
            "published_results",
            "reanalyse",
            "reanalyse_all",
            "reanalysis_table",
        ),
        "questions": (
            "Borrowing",
            "CAVEAT",
            "band_table",
            "bayes_factor",
            "benefit_curve",
            "benefit_sentence",
            "benefit_table",
            "compare_coefficients",
            "compare_table",
            "compare_types_table",
            "contrast_table",
            "curve_table",
            "estimate_words",
            "heterogeneity_table",
            "imputed_table",
            "information_table",
            "natural_table",
            "next_trial_table",
            "outlier_table",
            "percent",
            "predict",
            "probability",
            "profile_table",
            "responder_table",
            "risk_table",
            "robust_map",
            "share_of_true_effects",
            "study_table",
            "summarize",
            "threshold",
        ),
        "sensitivity": (
            "grade_table",
            "loo_table",
        ),
        "studies": (
            "effect_sizes",
            "read_effects",
        ),
    },
)

__all__ = [*_names(), *ROOMS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return importlib.import_module(f"bayesmeta.{name}")
    if name in RENAMED:
        message = f"bayesmeta.{name} is now bayesmeta.{RENAMED[name]}; the old name goes with the next release."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return _find(RENAMED[name])
    return _find(name)


def __dir__() -> list[str]:
    return sorted(__all__)
