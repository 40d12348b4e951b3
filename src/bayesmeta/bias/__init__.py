"""Publication bias: models of how results are selected, averaged with those of effect and heterogeneity."""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.bias.averaging import *
    from bayesmeta.bias.companions import *
    from bayesmeta.bias.ensembles import *
    from bayesmeta.bias.fisher import *
    from bayesmeta.bias.specification import *
    from bayesmeta.bias.stated import *
    from bayesmeta.bias.strength import *
    from bayesmeta.bias.tables import *
    from bayesmeta.bias.worst_case import *
    from bayesmeta.bias.z_values import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "averaging": "AveragePosterior average average_of favoured models_of turn_of",
            "companions": "bias_companions_table",
            "ensembles": "ENSEMBLES ensemble planned_ensemble with_moderators",
            "fisher": "fishers_z halved",
            "specification": "PEESE PET PublicationBias CandidateModel Ensemble StepSelection",
            "stated": "CopasSelection ExponentialSelection StatedSelection",
            "strength": "selection_needed stated_selection_table",
            "tables": (
                "BIAS_CHOICES FEW averaged_table bias_benefit_table bias_prior_table candidate_table given_models "
                "given_moderators model_inclusion_table weight_table"
            ),
            "worst_case": "s_value worst_case_table",
            "z_values": "ZCurve z_curve",
        },
        guard="bayesmeta.boundary",
    )
