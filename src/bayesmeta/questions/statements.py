"""The finding in a sentence without numbers: how sure (the verb) and how large (the object), after GRADE guidelines 26.

The size is that of the estimate against the panel's thresholds in their order; the certainty is the panel's own, and
where it has not said it the sentence says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

__all__ = ["CERTAINTY_WORDS", "SIZE_WORDS", "Spoken", "finding_sentence", "in_sentence", "size_of", "spoken_direction"]

Spoken = Mapping[str, str]
_TEMPLATES = {
    "little": "{results} in little to no difference in {what}",
    "slight": "{verbs} {what} slightly",
    "effect": "{verbs} {what}",
    "large": "{results} in a large {noun} in {what}",
}
#: By size: the statement, where the verb stands in the third person, and after "may".
SIZE_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        size: (
            text.replace("{results}", "results"),
            text.replace("{results}", "result").replace("{verbs}", "{verb}"),
        )
        for size, text in _TEMPLATES.items()
    }
)
#: By certainty: how the statement begins, and whether its verb stands in the third person; "" is not judged.
CERTAINTY_WORDS: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "": ("{who} [certainty?] ", True),
        "high": ("{who} ", True),
        "moderate": ("{who} likely ", True),
        "low": ("{who} may ", False),
        "very low": ("The evidence is very uncertain about the effect of {whom} on {what}", True),
    }
)
_LESS = {"verbs": "reduces", "verb": "reduce", "noun": "reduction"}
_MORE = {"verbs": "increases", "verb": "increase", "noun": "increase"}
_IMPROVED = {"verbs": "improves", "verb": "improve", "noun": "improvement"}


def size_of(estimate: float, distances: Sequence[float]) -> str:
    """Size of an effect against thresholds, in their order.

    Below the smallest important difference T1 there is little to no difference; from T1 a slight effect where a T2 is
    stated, else an effect; from T2 an effect; from T3, where one is stated, a large one.

    Parameters
    ----------
    estimate : float
        Its distance from no effect.
    distances : sequence of float
        Smallest important differences on the same side, on the same scale, in any order.

    Returns
    -------
    {"little", "slight", "effect", "large"}

    Examples
    --------
    >>> [size_of(x, [0.5, 0.2]) for x in (0.1, 0.3, 0.6)], size_of(0.3, [0.2]), size_of(0.9, [0.2, 0.5, 0.8])
    (['little', 'slight', 'effect'], 'effect', 'large')
    """
    passed = sum(abs(estimate) >= cut for cut in set(distances))
    if passed == 0:
        return "little"
    if len(set(distances)) == 1:
        return "effect"
    return ("slight", "effect", "large")[min(passed, 3) - 1]


def spoken_direction(better: str, *, benefit: bool) -> Spoken:
    """Verbs and noun of an effect: less or more of what is better lower, better or less of what is better higher.

    Examples
    --------
    >>> spoken_direction("higher", benefit=True)["noun"], spoken_direction("lower", benefit=False)["verb"]
    ('improvement', 'increase')
    """
    if better == "lower":
        return _LESS if benefit else _MORE
    return _IMPROVED if benefit else _LESS


def in_sentence(name: str) -> str:
    """A name as it stands inside a sentence: what begins as a word does so with a small letter.

    Examples
    --------
    >>> in_sentence("Quality of life"), in_sentence("HDL cholesterol"), in_sentence("VO2max")
    ('quality of life', 'HDL cholesterol', 'VO2max')
    """
    return name[:1].lower() + name[1:] if name[1:2].islower() or name[1:2] in ("", " ") else name


def finding_sentence(who: str, what: str, size: str, spoken: Spoken, certainty: str | None = None) -> str:
    """Say what was found, without numbers.

    Parameters
    ----------
    who, what : str
        The intervention, as a sentence begins with it, and the outcome.
    size : str
        Of `size_of`.
    spoken : mapping
        Of `spoken_direction`.
    certainty : {"high", "moderate", "low", "very low"}, optional
        The panel's; None where it is not judged.

    References
    ----------
    Santesso N et al. GRADE guidelines 26. J Clin Epidemiol 2020;119:126-135. doi:10.1016/j.jclinepi.2019.10.014

    Examples
    --------
    >>> less = spoken_direction("lower", benefit=True)
    >>> finding_sentence("Exercise", "Fatigue", "slight", less)
    'Exercise [certainty?] reduces fatigue slightly.'
    >>> finding_sentence("Exercise", "Fatigue", "large", less, "low")
    'Exercise may result in a large reduction in fatigue.'
    >>> finding_sentence("Exercise", "Fatigue", "effect", less, "very low")
    'The evidence is very uncertain about the effect of exercise on fatigue.'
    """
    start, third = CERTAINTY_WORDS[certainty or ""]
    text = start if certainty == "very low" else start + SIZE_WORDS[size][0 if third else 1]
    return text.format(who=who, whom=in_sentence(who), what=in_sentence(what), **spoken) + "."
