"""What a panel judges: the certainty of evidence by GRADE's domains; plain values that people made, never a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["CERTAINTIES", "CONCERNS", "DOMAINS", "SYMBOLS", "Judgement", "Judgements", "concerns_of"]

#: Domains of GRADE that can lower the certainty of evidence from trials, in the order of an evidence profile.
DOMAINS = ("risk of bias", "inconsistency", "indirectness", "imprecision", "publication bias")
#: What may be said of a domain.
CONCERNS = ("not serious", "serious", "very serious", "extremely serious")
_UNPUBLISHED = ("undetected", "strongly suspected")
#: Certainty of evidence, and the symbol of each (GRADE guidelines 3, doi:10.1016/j.jclinepi.2010.07.015).
CERTAINTIES = ("high", "moderate", "low", "very low")
SYMBOLS = MappingProxyType({name: "\u2295" * (4 - i) + "\u25ef" * i for i, name in enumerate(CERTAINTIES)})
_NONE: Mapping[str, str] = MappingProxyType({})


def concerns_of(domain: str) -> tuple[str, ...]:
    """What may be said of a domain.

    Examples
    --------
    >>> concerns_of("publication bias"), concerns_of("imprecision")[:2]
    (('undetected', 'strongly suspected'), ('not serious', 'serious'))
    """
    return _UNPUBLISHED if domain == "publication bias" else CONCERNS


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a panel says of the evidence for one outcome.

    Parameters
    ----------
    certainty : {"high", "moderate", "low", "very low"}, optional
        The overall certainty; None where the panel has not said it.
    domains : mapping of str to str
        Of `DOMAINS`, what was said of each (`concerns_of`).
    reasons : mapping of str to str
        Why, by domain, and under ``certainty``; footnotes of a summary of findings.
    threshold : str
        The smallest important difference at which it was judged, in words; certainty is that the true effect lies on
        one side of it (doi:10.1016/j.jclinepi.2017.05.006).

    Examples
    --------
    >>> Judgement("low", {"imprecision": "serious"}).symbol
    '\u2295\u2295\u25ef\u25ef'
    """

    certainty: str | None = None
    domains: Mapping[str, str] = _NONE
    reasons: Mapping[str, str] = _NONE
    threshold: str = ""

    @property
    def symbol(self) -> str:
        """GRADE's symbol of the certainty; empty where there is none."""
        return SYMBOLS[self.certainty] if self.certainty is not None else ""


@dataclass(frozen=True, slots=True)
class Judgements:
    """The judgements of a panel on the outcomes of one protocol.

    Parameters
    ----------
    outcomes : mapping of str to Judgement
        By the key of the outcome.
    panel, date : str
        Who judged, and when.
    data : str
        SHA-256 of the data that were before the panel; empty where the file does not say.

    Examples
    --------
    >>> Judgements({"pain": Judgement("high")}).of("sleep").certainty is None
    True
    """

    outcomes: Mapping[str, Judgement] = field(default_factory=dict)
    panel: str = ""
    date: str = ""
    data: str = ""

    def of(self, key: str) -> Judgement:
        """The judgement on an outcome; an empty one where the panel made none."""
        return self.outcomes.get(key, Judgement())
