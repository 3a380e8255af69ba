"""When to believe a score: risk and coverage, and a band of scores with a promise."""

from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
from spacy.language import Language

from ..bands import Band, plain_band
from ..data.documents import document_of, is_dev
from ..measure.bounds import is_at_most, last_safe_cut, upper_bound
from ..measure.page import curves, html_page, html_table, shown
from ..pipelines import active_pipe
from .answers import Answered, answer
from .model import read_sample

OWN = 200  # found spans that a label needs for a band of its own
LABELS = 30  # with figures, those that were found most often
ERRORS = 2  # that the first cut that is tested may hold: with none allowed, one by chance would end all
GRID = np.linspace(0, 1, 51)


def audit_scores(
    nlp: Language,
    sources: Sequence[str | Path],
    *,
    precision: float = 0.9,
    confidence: float = 0.95,
    foreign: Sequence[str | Path] = (),
    limit: int = 0,
    name: str = "metaie",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Fit a band to half of the documents, and show it on the other half and on other domains.

    A band that the component has is set aside meanwhile, and is there again afterwards.
    precision (float): of the accepted spans. confidence (float): of that promise, see `fit_band`. foreign (Sequence):
        files of other domains; what was promised need not hold there.
    RETURNS (dict): "band", as `MetaIE.band` takes it; "curve" and "aurc" of risk by coverage, "labels" with an AURC
        each, of the half that was not fitted to; "shown": what the band does there and on each foreign file.
    RAISES (ValueError): no rows, a promise that is none, or no such component.
    """
    if not 0 < precision < 1 or not 0.5 <= confidence < 1:
        raise ValueError(f"precision is {precision} and confidence {confidence}; give e.g. 0.9 and 0.95.")
    pipe = active_pipe(nlp, name)
    before, pipe.band = pipe.band, None
    try:
        answered = answer(nlp, read_sample(sources, limit, seed), name=name, note="rows" if progress else "")
        others = {str(path): answer(nlp, read_sample([path], limit, seed), name=name) for path in foreign}
    finally:
        pipe.band = before
    fitted = [one for one in answered if is_dev(document_of(one.row), 0.5, seed)]
    held_out = [one for one in answered if not is_dev(document_of(one.row), 0.5, seed)]
    band = fit_band(*_scored(fitted), precision=precision, confidence=confidence)
    scores, correct, labels = _scored(held_out)
    own = sorted(set(labels), key=lambda label: (-labels.count(label), label))[:LABELS]
    picked = {label: np.array([one == label for one in labels], dtype=bool) for label in own}
    return {
        "band": plain_band(band),
        "fitted": len(fitted),
        "aurc": aurc(scores, correct),
        "curve": curve(scores, correct),
        "labels": [
            {
                "label": label,
                "spans": int(at.sum()),
                "precision": float(correct[at].mean()),
                "aurc": aurc(scores[at], correct[at]),
            }
            for label, at in picked.items()
        ],
        "shown": [
            show(band, one, on) for on, one in [("documents that were not fitted to", held_out), *others.items()]
        ],
    }


def _scored(answered: Sequence[Answered]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Score, whether right, and label of every found span."""
    found = [(score, spot in one.known.spans, spot[2]) for one in answered for spot, score in one.found.items()]
    scores = np.array([score for score, _, _ in found], dtype="float64")
    return scores, np.array([is_right for _, is_right, _ in found], dtype=bool), [label for *_, label in found]


def fit_band(
    scores: np.ndarray, correct: np.ndarray, labels: Sequence[str], *, precision: float = 0.9, confidence: float = 0.95
) -> Band:
    """Scores from which spans are accepted and below which they are dropped.

    Of spans like these, drawn independently, a share `precision` of the accepted ones is right, with this confidence,
    and at most 1 - precision of the dropped ones. Cuts are tested from the surest on, and the first that fails ends it
    (fixed sequence testing, arXiv 2110.01052, with Clopper and Pearson's bound). The promise is about one cut: labels
    of 200 found spans or more have their own, each with this confidence, all others share one.
    scores (ndarray), correct (ndarray): float64 (N,), bool (N,). labels (Sequence[str]): of each span.
    """
    by_label: dict[str, list[int]] = defaultdict(list)
    for i, label in enumerate(labels):
        by_label[label].append(i)
    own = {label: at for label, at in by_label.items() if len(at) >= OWN}
    rest = [i for label, at in by_label.items() if label not in own for i in at]
    accept, drop = _cuts(scores[rest], correct[rest], precision, confidence)
    cuts = {label: _cuts(scores[at], correct[at], precision, confidence) for label, at in sorted(own.items())}
    return Band(accept, drop, cuts, precision, confidence)


def _cuts(scores: np.ndarray, correct: np.ndarray, precision: float, confidence: float) -> tuple[float | None, float]:
    """Least accepted score, None where nothing can be promised, and least score that is not dropped."""
    risk = 1 - precision
    least = next(n for n in count(ERRORS + 1) if is_at_most(risk, ERRORS, n, confidence))
    accept = -last_safe_cut(-scores, ~correct, risk, confidence, least=least)
    drop = last_safe_cut(scores, correct, risk, confidence, least=least)
    lowest = 0.0 if not np.isfinite(drop) else float(min(1.0, np.nextafter(drop, 2.0)))
    return (float(accept), min(lowest, float(accept))) if np.isfinite(accept) else (None, lowest)


def show(band: Band, answered: Sequence[Answered], on: str) -> dict[str, Any]:
    """What a band does to spans of which it is known whether they are right.

    RETURNS (dict): "on", "spans", shares "accept", "ask" and "drop", "precision" of the accepted ones (None: there are
        none), "precision_low" (one-sided bound), "right_dropped" (share of the right spans that were dropped), and
        "is_held": whether the precision is the promised one or more.
    """
    scores, correct, labels = _scored(answered)
    accepts, drops = np.array([band.of(label) for label in labels], dtype="float64").reshape(-1, 2).T
    is_kept = scores >= drops
    is_accepted = is_kept & (scores >= np.where(np.isnan(accepts), np.inf, accepts))
    n, right = int(is_accepted.sum()), int(correct[is_accepted].sum())
    size = max(1, len(scores))
    return {
        "on": on,
        "spans": len(scores),
        "accept": n / size,
        "ask": int((is_kept & ~is_accepted).sum()) / size,
        "drop": int((~is_kept).sum()) / size,
        "precision": right / n if n else None,
        "precision_low": 1 - upper_bound(n - right, n, band.confidence) if n else None,
        "right_dropped": int(correct[~is_kept].sum()) / max(1, int(correct.sum())),
        "is_held": right / n >= band.precision if n else None,
    }


def risks(scores: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Share of wrong spans among the k best-scored ones, for k = 1 to N; equal scores in a fixed mixed order, (N,)."""
    order = np.lexsort((np.random.default_rng(0).permutation(len(scores)), -scores))
    return np.cumsum(~correct[order]) / np.arange(1, len(scores) + 1)


def aurc(scores: np.ndarray, correct: np.ndarray) -> float | None:
    """The area under the curve of risk by coverage of found spans (Geifman et al. 2019, arXiv 1805.08206); lower is
    better. Spans that were missed are not in it. None: nothing was found."""
    return float(risks(scores, correct).mean()) if len(scores) else None


def curve(scores: np.ndarray, correct: np.ndarray) -> dict[str, list[float]]:
    """Risk at 51 coverages from 0 to 1."""
    if not len(scores):
        return {"coverage": [], "risk": []}
    found = risks(scores, correct)
    at = np.maximum(1, np.ceil(GRID * len(found))).astype(int) - 1
    return {"coverage": GRID.round(4).tolist(), "risk": found[at].round(4).tolist()}


def selective_page(result: Mapping[str, Any], model: str) -> str:
    """An HTML page of what `audit_scores` found."""
    band = result["band"]
    drawn = result["curve"]
    keys = ("on", "spans", "accept", "ask", "drop", "precision", "precision_low", "right_dropped", "is_held")
    header = ("on", "spans found", "accept", "ask", "drop", "precision", "at least", "right ones dropped", "held")
    parts = [
        f"<h1>Scores of {shown(model)}</h1>",
        f"<p>Promised: a precision of {band['precision']} of the accepted spans, with a confidence of "
        f"{band['confidence']}, on texts like those that were fitted to. Accepted from "
        f"{shown(band['accept']) or 'no score'} on, dropped below {band['drop']:.3f}.</p>",
        html_table(header, [[one[key] for key in keys] for one in result["shown"]]),
        "<h2>Risk by coverage</h2>",
        "<p>Share of wrong spans among the best-scored ones.</p>",
        curves({"all labels": (drawn["coverage"], drawn["risk"])}, "risk by coverage") if drawn["risk"] else "",
        html_table(
            ("label", "spans found", "precision", "AURC", "accepted from"),
            [
                (one["label"], one["spans"], one["precision"], one["aurc"], _own(band, one["label"]))
                for one in result["labels"]
            ],
        ),
    ]
    return html_page(f"Scores of {model}", parts)


def _own(band: Mapping[str, Any], label: str) -> float | None:
    return band["labels"].get(label, [band["accept"]])[0]
