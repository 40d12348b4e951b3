"""Reporting checklists, filled from what was run, each item with a link to where the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesmeta.measures import measure

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis


__all__ = ["checklists"]


def _item(name: str, asks: str, answer: str, link: str = "") -> dict[str, str]:
    return {"item": name, "asks": asks, "answer": answer, "link": link}


def _priors(parts: Sequence[Analysis]) -> str:
    texts = dict.fromkeys(f"mu {part.pooled.model.mu!r}, tau {part.pooled.model.tau!r}" for part in parts)
    return "; ".join(texts)


def _sources(parts: Sequence[Analysis]) -> str:
    stated = (part.sources.get(role) for part in parts for role in ("mu", "tau"))
    texts = dict.fromkeys(text for text in stated if text)
    return "; ".join(texts) or "not stated in the protocol"


def _likelihoods(parts: Sequence[Analysis]) -> str:
    """The likelihoods of the main analyses, each once."""
    words = {
        "normal": "normal likelihood of each estimate around its true effect",
        "binomial": "binomial likelihood of the events of each arm",
    }
    return "; ".join(dict.fromkeys(words[part.pooled.model.likelihood] for part in parts))


def checklists(
    parts: Sequence[Analysis], shown: Mapping[str, str], reasons: Sequence[str], *, hashes: dict[str, str], seed: int
) -> list[dict[str, Any]]:
    """Fill BARG, ROBUST and the synthesis items of PRISMA 2020.

    Parameters
    ----------
    parts : sequence of Analysis
    shown : mapping of str to str
        Where the page shows a sensitivity analysis first, by its name.
    reasons : sequence of str
        Why the run is not reportable; empty if it is.
    hashes : dict
        SHA-256 of ``protocol`` and ``data``.
    seed : int

    Returns
    -------
    list of dict
        ``id title source rows``; a row has ``item asks answer link``. An item that software cannot fill says so.

    References
    ----------
    BARG: Kruschke 2021, doi:10.1038/s41562-021-01177-7. ROBUST: Sung 2005, doi:10.1016/j.jclinepi.2004.08.010. PRISMA
    2020: doi:10.1136/bmj.n71
    """
    first = parts[0]
    at = f"#{first.key}"
    simulated = any(fit.simulated for part in parts for fit in part.fits)
    engine = (
        "quadrature where a model allows it; else NUTS (PyMC, nutpie), R-hat at most 1.01, 400 effective draws of "
        "every quantity"
        if simulated
        else "quadrature to 1e-8; no simulation, so no convergence to judge"
    )
    outcome = "none failed" if not reasons else f"failed: {len(reasons)}"
    varied = len(first.priors_only) - 1
    thresholds = "; ".join(
        dict.fromkeys(
            f"{item.name} {item.benefit!r}"
            for part in parts
            for item in (part.pooled.outcome.decision.thresholds if part.pooled.outcome else ())
        )
    )
    priors = shown.get("priors", "")
    others = [
        f"{varied} declared priors",
        *(text for name, text in (("priors", "every named one"), ("tipping", "tipping points")) if shown.get(name, "")),
    ]
    elsewhere = priors or shown.get("tipping", "") or at
    panel = "for the authors: software cannot fill this"
    compared = not all(measure(part.effects.measure).single_arm for part in parts)
    moderated = sum(part.moderated is not None for part in parts)
    in_whom = "#whom" if moderated else at
    barg = [
        _item(
            "preamble",
            "why Bayesian; goals of the analysis",
            f"probabilities {'of benefit ' if compared else ''}beyond stated thresholds, for the mean and a new study",
            "#answer",
        ),
        _item(
            "1 model",
            "data, likelihood, parameters",
            f"{_likelihoods(parts)}; true effects around a mean with SD tau",
            "#methods",
        ),
        _item("1 prior", "priors and their justification", f"{_priors(parts)}. {_sources(parts)}", at),
        _item(
            "1 prior predictive",
            "what the priors imply before any trial",
            "prior probability of an important benefit under every named prior"
            if priors
            else "named priors were not run",
            priors or at,
        ),
        _item(
            "2 computation", "software, convergence, effective sample size", f"{engine}; checks: {outcome}", "#methods"
        ),
        _item(
            "3 posterior",
            "central tendency and uncertainty",
            "medians with central 95 % intervals of the mean, a new study and tau",
            at,
        ),
        _item("4 decision", "thresholds or loss stated before", thresholds or "no threshold is stated", "#answer"),
        _item("5 sensitivity", "other priors and models", "; ".join(others), elsewhere),
        _item(
            "6 reproducibility",
            "code, data, seed",
            f"protocol {hashes.get('protocol', '')[:12]}, data "
            f"{hashes.get('data', '')[:12]}, seed {seed}; results.json, fits and tables lie beside this page",
        ),
    ]
    robust = [
        _item("prior: specification", "the prior of every parameter", _priors(parts), at),
        _item("prior: justification", "why this prior", _sources(parts), at),
        _item("prior: sensitivity", "other priors", "; ".join(others), elsewhere),
        _item(
            "analysis: model",
            "the statistical model",
            "random effects, "
            + _likelihoods(parts)
            + (f"; {moderated} outcomes also regressed on moderators" if moderated else ""),
            "#methods",
        ),
        _item("analysis: technique", "how it was computed", engine, "#methods"),
        _item("results: central tendency", "posterior mean, median or mode", "medians", at),
        _item("results: variance", "SD or interval", "central 95 % credible intervals; SDs in results.json", at),
    ]
    prisma = [
        _item(
            "13a",
            "which studies enter each synthesis",
            "rows selected by the protocol, each in the ledger",
            f"{at}-ledger",
        ),
        _item(
            "13b",
            "preparing data: conversions, missing statistics",
            "every derived number with its formula and what was assumed",
            f"{at}-ledger",
        ),
        _item("13c", "tabulating and displaying results", "forest plots and tables for every outcome", at),
        _item(
            "13d",
            "synthesis: model, heterogeneity, software",
            "Bayesian random effects beside REML with Hartung-Knapp; tau, I2, prediction intervals",
            "#methods",
        ),
        _item(
            "13e",
            "causes of heterogeneity",
            f"{moderated} moderated analyses" if moderated else "no moderated analysis was estimable",
            in_whom,
        ),
        _item(
            "13f",
            "sensitivity analyses",
            "declared analyses, trials left out, methods, multiverse",
            shown.get("multiverse", "") or at,
        ),
        _item("15", "certainty assessment", "numbers for GRADE's domains; the rating is the panel's", "#sure"),
        _item("20a", "characteristics and risk of bias of the studies", panel),
        _item(
            "20b",
            "each synthesis: estimate, precision, heterogeneity",
            "median, 95 % credible interval, tau, and the classical estimate beside it",
            "#answer",
        ),
        _item(
            "20c",
            "investigations of heterogeneity",
            "effects by level, differences and tests of moderators; inconsistency",
            in_whom if in_whom != at else shown.get("inconsistency", "") or at,
        ),
        _item("20d", "sensitivity analyses: results", "tables for every outcome", elsewhere),
        _item("22", "certainty in the evidence for each outcome", "the panel's choice, never the program's", "#sure"),
    ]
    return [
        {
            "id": "barg",
            "title": "BARG: Bayesian analysis reporting guidelines",
            "rows": barg,
            "source": "Kruschke 2021, doi:10.1038/s41562-021-01177-7",
        },
        {
            "id": "robust",
            "title": "ROBUST: reporting of Bayes used in clinical studies",
            "rows": robust,
            "source": "Sung 2005, doi:10.1016/j.jclinepi.2004.08.010",
        },
        {
            "id": "prisma",
            "title": "PRISMA 2020: items on synthesis",
            "rows": prisma,
            "source": "Page 2021, doi:10.1136/bmj.n71",
        },
    ]
