"""Several outcomes of a protocol, read and fitted together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.analysis.fitting import sampling_of
from bayesmeta.analysis.reading import collected, read_outcomes
from bayesmeta.errors import ModelError
from bayesmeta.model import Model

if TYPE_CHECKING:
    from bayesmeta.joint import JointFit
    from bayesmeta.plan import Protocol

__all__ = ["analyse_joint"]


def analyse_joint(protocol: Protocol, *, progress: bool = False) -> tuple[JointFit, list[str]]:
    """Fit the outcomes that a protocol joins, by NUTS.

    Parameters
    ----------
    protocol : Protocol
    progress : bool
        Whether draws show their progress.

    Returns
    -------
    JointFit, list of str
        And what was warned of.

    Raises
    ------
    ModelError
        Where the protocol joins none.
    DataError, InferenceError
        As `bayesmeta.fit_joint`.
    """
    from bayesmeta.joint import JointModel, fit_joint

    plan = protocol.joint
    if plan is None:
        remedy = 'Add [joint] with outcomes = ["...", "..."] and a correlation.'
        raise ModelError(f"{protocol.path.name}: no outcomes are joined. {remedy}")
    found = read_outcomes(protocol, plan.outcomes)
    outcomes = {key: protocol.outcomes[key] for key in plan.outcomes}
    models = {key: Model(item.model.mu, item.model.tau, rho=item.model.rho) for key, item in outcomes.items()}
    settings, seed = sampling_of(protocol, progress=progress)
    warned = [text for _, some in found.values() for text in some]
    with collected(warned):
        fit = fit_joint(
            {key: found[key][0].effects for key in plan.outcomes},
            JointModel(models, correlation=plan.correlation, eta=plan.eta),
            seed=seed,
            settings=settings,
            outcomes=outcomes,
        )
    return fit, warned
