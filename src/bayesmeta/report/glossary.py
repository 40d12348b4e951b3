"""The words of the page that are explained where they stand, each once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["GLOSSARY", "glossary_of"]

#: By name: the words, and what they mean.
GLOSSARY = MappingProxyType(
    {
        "mean": (
            "Mean effect",
            "the average of the true effects over studies like those that were found; what the intervention does on "
            "average.",
        ),
        "new": (
            "New study",
            "the true effect in a new study like these: the mean effect and the differences between studies together. "
            "It is not the result that such a study would print, which chance moves further.",
        ),
        "tau": (
            "tau",
            "the standard deviation of true effects between studies, on the scale of the effect. At 0 every study has "
            "the same true effect.",
        ),
        "credible": (
            "Credible interval",
            "given the studies, the model and the priors, the effect lies in it with a probability of 95 %.",
        ),
        "threshold": (
            "Threshold",
            "the smallest difference that matters to people, in the direction of benefit; harm counts from the same "
            "distance in the other direction, unless another is stated. Moving it changes no estimate. MID: the "
            "minimal important difference of an instrument, in its points.",
        ),
        "certainty": (
            "Certainty of the evidence (the panel's)",
            "GRADE: how sure the panel is that the true effect lies on one side of the threshold. It is chosen by the "
            "panel below, never by this program.",
        ),
        "nnt": (
            "NNTB and NNTH",
            "how many people have to be treated for one more to benefit (NNTB), or to be harmed (NNTH). An interval "
            "that holds no difference goes from one to the other through infinity.",
        ),
        "classical": (
            "Classical check",
            "the estimate without priors that is shown beside the Bayesian one: restricted maximum likelihood with the "
            "Hartung-Knapp interval, or the multilevel model where rows lie in clusters.",
        ),
    }
)

_OF_ONE_ARM = {
    "mean": ("Mean", "the average of the true values over studies like those that were found."),
    "new": (
        "New study",
        "the true value in a new study like these: the mean and the differences between studies together. It is not "
        "the result that such a study would print, which chance moves further.",
    ),
    "tau": (
        "tau",
        "the standard deviation of true values between studies, on the scale of the analysis. At 0 every study has the "
        "same true value.",
    ),
    "credible": (
        "Credible interval",
        "given the studies, the model and the priors, the true value lies in it with a probability of 95 %.",
    ),
    "threshold": ("Threshold", "the value that matters to people. One arm has no difference to set against it."),
    "certainty": (
        "Certainty of the evidence (the panel's)",
        "how sure the panel is that the true value lies on one side of the threshold. It is chosen by the panel below, "
        "never by this program.",
    ),
    "classical": GLOSSARY["classical"],
}


def glossary_of(*, compared: bool) -> Mapping[str, tuple[str, str]]:
    """The words as they are explained where arms are compared, or where every outcome is of one arm.

    Examples
    --------
    >>> glossary_of(compared=True)["mean"][0], glossary_of(compared=False)["mean"][0]
    ('Mean effect', 'Mean')
    """
    return GLOSSARY if compared else _OF_ONE_ARM
