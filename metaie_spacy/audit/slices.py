"""Where a model is better and where it is worse: slices of texts and of spans, each beside all that is not in it."""

from collections import Counter
from typing import Any, Callable, Sequence

from ..curate.names import gender_of
from ..data.rows import Place, Row
from ..measure.calibrate import BINS, reliability
from ..measure.scores import PRF, f_interval, rates
from . import traits
from .answers import Answered, by_document, scored
from .testing import corrected, gap

FEW = 30  # gold spans in and out of a slice, with fewer it is shown, not tested; found spans of a bin of scores
RARE, OFTEN = 3, 20  # texts: a label in at most 3 is rare, one in at least 20 frequent
MOST = 12  # values of a trait, the most frequent; domains may be many


def slices(answered: Sequence[Answered]) -> list[dict[str, Any]]:
    """F in each slice and the gap to the rest of the same texts and spans, the surest gap first.

    Documents are drawn anew for intervals, and p-values corrected over all slices that were tested.
    RETURNS (list): "trait", "value", figures as `rates` gives them, "f_low", "f_high", "gap", "low", "high", "p",
        "p_corrected", "is_found". p is None where a slice or its rest has fewer than 30 gold spans.
    """
    often = Counter(label for one in answered for label in {label for _, _, label in one.known.spans})
    found = []
    for trait, of in _traits(often).items():
        counts = by_document(answered, of)
        whole = sum(counts.values())
        largest = sorted(counts, key=lambda value: (-counts[value].sum(), value))[:MOST]
        if len(counts) < 2:
            continue
        for value in largest:
            part, rest = counts[value], whole - counts[value]
            low, high = f_interval(part)
            entry = {"trait": trait, "value": value, **rates(PRF(*map(int, part.sum(0)))), "f_low": low, "f_high": high}
            entry |= gap(part, rest)
            if min(part[:, [0, 2]].sum(), rest[:, [0, 2]].sum()) < FEW:
                entry["p"] = None
            found.append(entry)
    corrected(found)
    return sorted(found, key=lambda entry: (not entry.get("is_found", False), _sure(entry), entry["trait"]))


def _sure(entry: dict[str, Any]) -> float:
    return 1.0 if entry["p"] is None else entry["p"]


def _traits(often: Counter) -> dict[str, Callable[[Row, Place], str]]:
    def frequency(row: Row, place: Place) -> str:
        n = often[place[2]]
        return "in at most 3 texts" if n <= RARE else "in 20 texts or more" if n >= OFTEN else "in 4 to 19 texts"

    return {
        "length of the text": lambda row, place: traits.length(row),
        "casing of the text": lambda row, place: traits.casing(row),
        "casing of the span": lambda row, place: _span_case(row["text"][place[0] : place[1]]),
        "length of the span": lambda row, place: _span_length(row["text"][place[0] : place[1]]),
        "place of the span": traits.third,
        "frequency of the label": frequency,
        "kind of label": lambda row, place: traits.label_kind(place[2]),
        "dialect marker": lambda row, place: traits.dialect(row),
        "domain": lambda row, place: traits.domain(row),
        "origin of the name": traits.origin,
        "gender of the name": lambda row, place: gender_of(row["text"][place[0] : place[1]]) or "not known",
    }


def _span_case(words: str) -> str:
    if words.islower():
        return "lower"
    return "capitals" if words.isupper() else "title" if words[:1].isupper() else "other"


def _span_length(words: str) -> str:
    size = len(words.split())
    return "1 word" if size == 1 else "2 to 4 words" if size <= 4 else "5 words or more"


def calibration(answered: Sequence[Answered]) -> list[dict[str, Any]]:
    """How far scores are from probabilities, in all and by domain: expected calibration error over bins of equal mass.

    A bin has 30 spans or more: chance alone makes an error of bins of a few spans.
    RETURNS (list): "domain" ("all" first), "spans" (found), "score" (mean), "precision", "ece", "bins".
    """
    groups: dict[str, list[Answered]] = {"all": list(answered)}
    for one in answered:
        groups.setdefault(traits.domain(one.row), []).append(one)
    found = []
    for domain, own in groups.items():
        scores, correct = scored(own)
        if len(scores) < FEW:
            continue
        bins = reliability(scores, correct, min(BINS, len(scores) // FEW))
        error = sum(b["spans"] * abs(b["score"] - b["correct"]) for b in bins) / len(scores)
        figures = {"spans": len(scores), "score": float(scores.mean()), "precision": float(correct.mean())}
        found.append({"domain": domain, **figures, "ece": error, "bins": bins})
    return sorted(found, key=lambda entry: (entry["domain"] != "all", -entry["ece"]))
