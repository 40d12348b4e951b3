"""What was done, in a paragraph and in references, from what was run: nothing here is written by hand per report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata, resources
from typing import TYPE_CHECKING

from bayesmeta.classical import is_clustered
from bayesmeta.model import effect_correlations
from bayesmeta.priors import Cochrane, Prior, Rhodes2015, Turner2015, resolve
from bayesmeta.sensitivity import SECTIONS

if TYPE_CHECKING:
    from bayesmeta.fits import Fit

__all__ = ["bibliography", "methods_text", "reference_texts", "used_references"]


def _of_prior(prior: Prior | None) -> list[str]:
    if isinstance(prior, Rhodes2015):
        return ["rhodes2015"]
    if isinstance(prior, Turner2015):
        return ["turner2015"]
    if isinstance(prior, Cochrane):
        return ["bartos2021"]
    return ["friede2017"] if prior is not None and type(resolve(prior)).__name__ == "HalfNormal" else []


def used_references(fits: Sequence[Fit], sections: Sequence[str] = ()) -> list[str]:
    """List the references of what a run used, by their keys.

    Examples
    --------
    >>> used_references([fit], ["multiverse"])
    ['bayesmeta', 'roever2020', 'friede2017', 'hedges1981', 'viechtbauer2010', 'knapp2003', 'steegen2016']
    """
    keys = ["bayesmeta", "roever2020"]
    for fit in fits:
        keys += _of_prior(fit.model.tau) + [key for key in _of_prior(fit.model.mu) if key == "bartos2021"]
        if fit.effects.measure in ("SMD", "SMDH"):
            keys.append("hedges1981")
        if fit.simulated or fit.second is not None:
            keys.append("salvatier2016")
        if fit.effects.better is not None and fit.outcome is not None and fit.outcome.decision.thresholds:
            keys.append("hultcrantz2017")
        if fit.effects.k > 1:
            keys += ["viechtbauer2010", "knapp2003"]
    keys += [key for name in sections for key in SECTIONS[name].references]
    return list(dict.fromkeys(keys))


def bibliography(keys: Sequence[str]) -> str:
    """Write references as BibTeX.

    Examples
    --------
    >>> print(bibliography(["bayesmeta"]).splitlines()[0])
    @software{bayesmeta,
    """
    text = resources.files("bayesmeta").joinpath("report", "references.bib").read_text("utf-8")
    entries = {entry.partition("{")[2].partition(",")[0]: entry.strip() for entry in text.split("\n\n")}
    version = f"  version = {{{metadata.version('bayesmeta')}}},\n  year"
    found = [entries[key].replace("  year", version, 1) if key == "bayesmeta" else entries[key] for key in keys]
    return "\n\n".join(found) + "\n"


def reference_texts(keys: Sequence[str]) -> list[str]:
    """Write references as people read them: authors, title, journal, DOI.

    Examples
    --------
    >>> reference_texts(["knapp2003"])[0].partition(". ")[0]
    'Knapp G, Hartung J'
    """
    found = []
    for entry in bibliography(keys).strip().split("\n\n"):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.MULTILINE))
        plain = {name: _plain(text) for name, text in fields.items()}
        people = [_author(name) for name in plain["author"].split(" and ")]
        where = " ".join(filter(None, (plain.get("journal") or plain.get("publisher", ""), plain.get("year", ""))))
        volume = plain.get("volume", "") + (f"({plain['number']})" if plain.get("number") else "")
        place = ":".join(filter(None, (volume, plain.get("pages", ""))))
        doi = f". doi:{plain['doi']}" if plain.get("doi") else ""
        version = f" Version {plain['version']}." if plain.get("version") else ""
        found.append(f"{', '.join(people)}. {plain['title']}.{version} {where}{';' + place if place else ''}{doi}")
    return found


_ACCENTS = {
    '\\"o': "\u00f6",
    '\\"a': "\u00e4",
    '\\"u': "\u00fc",
    "\\'e": "\u00e9",
    "\\'c": "\u0107",
    "\\v{s}": "\u0161",
}


def _plain(text: str) -> str:
    for accent, letter in _ACCENTS.items():
        text = text.replace("{" + accent + "}", letter).replace(accent, letter)
    return text.replace("{", "").replace("}", "").replace("--", "\u2013").replace("\\&", "&")


def _author(name: str) -> str:
    """A family name with initials."""
    family, _, given = name.partition(", ")
    return f"{family} {''.join(part[0] for part in given.replace('-', ' ').split())}".strip()


def methods_text(fits: Sequence[Fit], sections: Sequence[str] = ()) -> str:
    """Describe what was run in one paragraph, for a methods section.

    Parameters
    ----------
    fits : sequence of Fit
        Of every outcome.
    sections : sequence of str
        Sensitivity analyses that were made.

    Examples
    --------
    >>> methods_text([fit]).split(".")[0]
    'Estimates of one outcome (SMD) were pooled in a Bayesian random-effects model'
    """
    pooled = [fit for fit in fits if fit.analysis == "pooled"] or list(fits)
    moderated = [fit for fit in fits if fit.analysis == "moderated"]
    measures = " and ".join(dict.fromkeys(fit.effects.measure for fit in pooled))
    count = "one outcome" if len(pooled) == 1 else f"{len(pooled)} outcomes"
    mus = "; ".join(dict.fromkeys(repr(fit.model.mu) for fit in pooled))
    taus = "; ".join(dict.fromkeys(repr(fit.model.tau) for fit in pooled if fit.model.tau is not None))
    parts = [f"Estimates of {count} ({measures}) were pooled in a Bayesian random-effects model."]
    if any(fit.model.likelihood == "binomial" for fit in pooled):
        parts.append("Events entered by a binomial likelihood, without a correction for zeros.")
    if any(fit.effects.measure == "SMD" for fit in pooled):
        parts.append("Standardised mean differences are Hedges' g with the exact small-sample factor (Hedges 1981).")
    parts.append(
        f"The prior of the mean effect was {mus}" + (f" and that of the heterogeneity SD {taus}." if taus else ".")
    )
    if any(fit.effects.blocks for fit in pooled):
        rho = ", ".join(dict.fromkeys(f"{fit.model.rho:g}" for fit in pooled if fit.effects.blocks))
        parts.append(
            "Rows of one trial that share patients entered with their sampling covariance, and their true effects "
            "with a "
            f"correlation of {rho}."
        )
        opposite = [(effect_correlations(fit.effects, fit.model.rho), fit) for fit in pooled]
        if any((R < 0).any() for found, fit in opposite if fit.model.cluster_tau is None for R in found):
            parts.append(
                "The sign of that correlation is turned where an arm is treated in one row and control in another."
            )
        if any(fit.effects.split is not None and fit.effects.split.any() for fit in pooled):
            parts.append("Parts of a control group that was divided between rows share no patients.")
    if moderated:
        names = ", ".join(dict.fromkeys(name for fit in moderated for name in fit.model.beta))
        parts.append(f"Where estimable, effects were regressed on {names}.")
    if not any(fit.simulated for fit in fits):
        parts.append(
            "Posteriors were integrated by nested quadrature to 1e-8; nothing was simulated (R\u00f6ver 2020)."
        )
    else:
        parts.append(
            "Posteriors were integrated by nested quadrature where a model allows it, and sampled by NUTS (PyMC, "
            "nutpie) where it does not, with R-hat at most 1.01 and 400 effective draws of every quantity."
        )
    parts.append(
        "Intervals are central at 95 %. Beside each stands restricted maximum likelihood with the "
        "Hartung-Knapp-Sidik-Jonkman interval (Knapp & Hartung 2003), checked against R metafor (Viechtbauer 2010)."
    )
    if any(is_clustered(fit.effects) for fit in pooled):
        parts.append(
            "Where rows lie in clusters it has one variance between and one within them, t on clusters minus one "
            "degrees of freedom, and a cluster-robust interval beside it (CR2; Pustejovsky & Tipton 2022)."
        )
    if any(fit.outcome is not None and fit.outcome.decision.thresholds for fit in pooled):
        parts.append(
            "Probabilities of benefit and harm are posterior probabilities beyond thresholds that were stated before "
            "the analysis, for the mean effect and for the effect in a new study."
        )
    if sections:
        parts.append(f"Sensitivity analyses: {', '.join(sections)}.")
    parts.append(f"Analyses were run with bayesmeta {metadata.version('bayesmeta')}.")
    return " ".join(parts)
