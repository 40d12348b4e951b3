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

from bayesmeta.lazy import exports, shown_as_html

__version__ = "0.1.0"

#: Rooms whose names are used with theirs, as in ``bm.classical.pool``.
ROOMS = ("bias", "classical", "measures", "plots", "priors", "sensitivity")
#: Names of 0.1.0 that stay for one release.
RENAMED = {
    "HONESTY": "CAVEAT",
    "Spreads": "RawDifferences",
    "Tabulated": "ConditionalEstimates",
    "fit_all": "fit_many",
    "share_of_settings": "share_of_true_effects",
}

if TYPE_CHECKING:
    from bayesmeta import bias, classical, measures, plots, priors, sensitivity
    from bayesmeta.analysis import Analysis, analyse, analyse_all, analysis_of, headline_table, table_protocol
    from bayesmeta.bias import average
    from bayesmeta.checking import (
        overlap_table,
        power_scaling_table,
        ppc_table,
        predictive_table,
        prior_check_table,
        prior_conflict_table,
    )
    from bayesmeta.columns import as_text, percent
    from bayesmeta.effects import (
        ConditionalEstimates,
        Effects,
        RawDifferences,
    )
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
    from bayesmeta.fits import (
        Fit,
        agreement_table,
        example,
        fit,
        fit_many,
        load,
        marginal,
    )
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
        TauBy,
        estimable,
    )
    from bayesmeta.moderators import (
        compare_coefficients,
        contrast_table,
        inclusion_table,
        moderator_table,
        within_between_table,
        within_trial_table,
    )
    from bayesmeta.nuts import Settings
    from bayesmeta.plan import (
        MinimalDifference,
        Outcome,
        Protocol,
        Threshold,
        TrialInteraction,
        mid_registry,
        minimal_difference,
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
    from bayesmeta.protocol import read_protocol
    from bayesmeta.published import (
        PublishedResult,
        published_results,
        reanalyse,
        reanalyse_all,
        reanalysis_table,
    )
    from bayesmeta.questions import (
        CAVEAT,
        Borrowing,
        NaturalAnswer,
        band_table,
        bayes_factor,
        benefit_curve,
        benefit_sentence,
        benefit_table,
        best_level_table,
        chance_table,
        compare_table,
        compare_types_table,
        curve_table,
        estimate_words,
        heterogeneity_by_table,
        heterogeneity_table,
        hksj_remark,
        imputed_table,
        information_table,
        natural_answer,
        natural_answers,
        natural_table,
        natural_threshold,
        next_trial_table,
        outlier_table,
        predict,
        probability,
        profile_table,
        reference_sd,
        responder_table,
        risk_table,
        robust_map,
        share_of_true_effects,
        size_table,
        study_table,
        summarize,
        threshold,
    )
    from bayesmeta.report import as_html, glance, tidy, write_report
    from bayesmeta.sensitivity import grade_table, loo_table
    from bayesmeta.setup import initialise, to_pymc
    from bayesmeta.studies import effect_sizes, read_effects

_find, _names = exports(
    __name__,
    {
        "analysis": "Analysis analyse analyse_all analysis_of headline_table table_protocol",
        "bias": "average",
        "checking": "overlap_table power_scaling_table ppc_table predictive_table prior_check_table "
        "prior_conflict_table",
        "columns": "as_text percent",
        "effects": "ConditionalEstimates Effects RawDifferences",
        "errors": (
            "BayesmetaError BayesmetaWarning Check DataError Fault Finding InferenceError ModelError ProtocolError"
        ),
        "fits": "Fit agreement_table example fit fit_many load marginal",
        "joint": "JointModel fit_joint",
        "model": (
            "Coefficient Exchangeable MissingLevels MissingNumeric MissingSD Model Monotone OutlierEffects Spline "
            "StudentEffects TauBy estimable"
        ),
        "moderators": (
            "compare_coefficients contrast_table inclusion_table moderator_table within_between_table "
            "within_trial_table"
        ),
        "nuts": "Settings",
        "plan": "MinimalDifference Outcome Protocol Threshold TrialInteraction mid_registry minimal_difference",
        "priors": (
            "Cauchy Cochrane Exponential Flat HalfCauchy HalfNormal HalfStudentT InverseGamma Jeffreys LogNormal "
            "LogStudentT Normal Rhodes2015 StudentT Truncated Turner2015 Uniform"
        ),
        "protocol": "read_protocol",
        "published": "PublishedResult published_results reanalyse reanalyse_all reanalysis_table",
        "questions": (
            "Borrowing CAVEAT NaturalAnswer band_table bayes_factor benefit_curve benefit_sentence benefit_table "
            "best_level_table chance_table compare_table compare_types_table curve_table estimate_words "
            "heterogeneity_by_table heterogeneity_table hksj_remark imputed_table information_table natural_answer "
            "natural_answers natural_table natural_threshold next_trial_table outlier_table predict probability "
            "profile_table reference_sd responder_table risk_table robust_map share_of_true_effects size_table "
            "study_table summarize threshold"
        ),
        "report": "as_html glance tidy write_report",
        "sensitivity": "grade_table loo_table",
        "setup": "initialise to_pymc",
        "studies": "effect_sizes read_effects",
    },
    guard="bayesmeta.boundary",
)

# what a notebook shows of a fit is made by a room above the fit's
shown_as_html("bayesmeta.report", "as_html")

__all__ = [*_names(), *ROOMS, "__version__"]


# type checkers see the imports above, and say so where a name does not exist
if not TYPE_CHECKING:

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
