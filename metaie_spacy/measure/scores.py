"""Exact-match scores: counts, rates, intervals, and spaCy's scorer."""

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Callable, Collection, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from ..data.known import Known
from ..data.known_links import Link, group_known_links
from ..data.questions import ASKED, LINKS, QUESTIONS

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.training import Example


class PRF(NamedTuple):
    """Counts of exact matches: true positives, false positives, false negatives."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        return self.tp / max(1, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return self.tp / max(1, self.tp + self.fn)

    @property
    def fscore(self) -> float:
        return 2 * self.tp / max(1, 2 * self.tp + self.fp + self.fn)


def scores_of(gold: Sequence[set], found: Sequence[set]) -> dict:
    """Every figure of exact match from the gold and the found spans of N texts.

    RETURNS (dict): `p`, `r`, `f`, `spans`, `f_low` and `f_high` (95 % bootstrap interval over the
        texts), `per_label`, and `counts` (N, 3).
    """
    counts = [list(exact_matches([g], [p])) for g, p in zip(gold, found)]
    low, high = f_interval(counts)
    return {
        **rates(exact_matches(gold, found)),
        "f_low": low,
        "f_high": high,
        "per_label": per_label(gold, found),
        "counts": counts,
    }


def f_interval(counts: Sequence[Sequence[int]], *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of F, by drawing texts with replacement (Efron 1979, "Bootstrap methods").

    counts (Sequence): true positives, false positives and false negatives per text, (N, 3).
    """
    low, high = np.quantile(f_of(bootstrap_sums(counts, draws=draws, seed=seed)), (0.025, 0.975))
    return float(low), float(high)


def f_of(sums: np.ndarray) -> np.ndarray:
    """F of counts of true positives, false positives and false negatives, (..., 3)."""
    tp, fp, fn = np.moveaxis(np.asarray(sums, dtype="float64"), -1, 0)
    return 2 * tp / np.maximum(1, 2 * tp + fp + fn)


def bootstrap_sums(counts: Sequence[Sequence[int]], *, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Counts summed over texts that are drawn with replacement; the same seed draws the same texts.

    RETURNS (ndarray): int64 (draws, 3).
    """
    table = np.asarray(counts, dtype="int64").reshape(-1, 3)
    rng = np.random.default_rng(seed)
    if not len(table):
        return np.zeros((draws, 3), "int64")
    share = np.full(len(table), 1 / len(table))
    block = max(1, 2**22 // len(table))  # draws at a time: a million texts would need gigabytes at once
    sizes = [block] * (draws // block) + [draws % block]
    return np.concatenate([rng.multinomial(len(table), share, size=size) @ table for size in sizes])


def rates(counts: PRF) -> dict:
    """Precision, recall and F as numbers from 0 to 1, with the numbers of gold, found and right spans."""
    numbers = {"spans": counts.tp + counts.fn, "found": counts.tp + counts.fp, "tp": counts.tp}
    return {"p": counts.precision, "r": counts.recall, "f": counts.fscore, **numbers}


def per_label(gold: Iterable[set], found: Iterable[set]) -> dict[str, dict]:
    """`rates` of every label that occurs."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for g, p in zip(gold, found):
        for i, part in enumerate((g & p, p - g, g - p)):
            for _, _, label in part:
                counts[label][i] += 1
    return {label: rates(PRF(*numbers)) for label, numbers in sorted(counts.items())}


def exact_matches(gold: Iterable[set], predicted: Iterable[set]) -> PRF:
    """Micro counts over texts of sets of (start, end, label)."""
    pairs = list(zip(gold, predicted))
    return PRF(sum(len(g & p) for g, p in pairs), sum(len(p - g) for g, p in pairs), sum(len(g - p) for g, p in pairs))


def metaie_score(examples: Iterable["Example"], *, spans_key: str, **kwargs) -> dict[str, Any]:
    """Exact-match precision, recall and F of the spans under a key, keyed `spans_<key>_p` and so on.

    Docs without the key are left out; so are labels that a reference's group says were not asked (`attrs["asked"]`),
    and found spans at places that it leaves open (`attrs["unsure"]`). Where references say what was asked about their
    spans (`data.questions`), links are scored as well, keyed `links_<key>_p` and so on: head span, label, tail span.
    """
    from spacy.scorer import Scorer

    examples = list(examples)
    counted: dict[int, list] = {}  # by the doc
    for eg in examples:
        if spans_key in eg.reference.spans:
            counted[id(eg.reference)], counted[id(eg.predicted)] = _counted(eg, spans_key)
    kwargs = {
        "attr": f"spans_{spans_key}",
        "allow_overlap": True,
        "getter": lambda doc, _: counted.get(id(doc), []),
        "has_annotation": lambda doc: id(doc) in counted,
        **kwargs,
    }
    return Scorer.score_spans(examples, **kwargs) | _link_scores(examples, spans_key)


def _link_scores(examples: Sequence["Example"], key: str) -> dict[str, Any]:
    """Scores of links; none where no reference has a question. Links that were not asked are left out."""
    noted = {QUESTIONS, ASKED, LINKS}
    asked = [eg for eg in examples if key in eg.reference.spans and noted & set(eg.reference.spans[key].attrs)]
    if not asked:
        return {}
    gold, found = [], []
    for eg in asked:
        known = group_known_links(eg.reference.spans[key])
        head_labels = found_links(eg.predicted, key)
        gold.append(known.links)
        found.append(known.counted(head_labels, head_labels))
    total = exact_matches(gold, found)
    by_type = {label: {name: row[name] for name in ("p", "r", "f")} for label, row in per_label(gold, found).items()}
    figures = {"p": total.precision, "r": total.recall, "f": total.fscore, "per_type": by_type}
    return {f"links_{key}_{name}": value for name, value in figures.items()}


def found_links(doc: "Doc", key: str) -> dict[Link, str]:
    """The links that a group of found spans notes, each with the label of its head."""
    entries = doc.spans[key].attrs.get("links", []) if key in doc.spans else []
    return {
        ((start, end), (tail_start, tail_end), name): label
        for _, start, end, label, name, _, tail_start, tail_end, *_ in entries
    }


def _counted(eg: "Example", key: str) -> tuple[list, list]:
    """The gold spans of an example, and those found ones of which it is known whether they are right."""
    from ..data.items import group_asked, group_unsure

    gold = eg.reference.spans[key]
    found = list(eg.predicted.spans[key]) if key in eg.predicted.spans else []
    asked, unsure = group_asked(gold), group_unsure(gold)
    if asked is None and not unsure:
        return list(gold), found
    known = Known(((span.start_char, span.end_char, span.label_) for span in gold), asked, unsure)
    return [span for span in gold if asked is None or span.label_ in known.asked], [
        span for span in found if known.decides((span.start_char, span.end_char, span.label_))
    ]


def check_score_weights(weights: Mapping[str, float | None], spans_key: str, keys: Collection[str]) -> None:
    """RAISES (ValueError): training would choose by the spans of a key that no component writes, so by 0.00 throughout.

    weights (Mapping): `training.score_weights` of a config. spans_key (str): of the component. keys (Collection): those
        that any component of the pipeline writes.
    """
    counted = {name: weight for name, weight in weights.items() if weight}
    found = {name: re.fullmatch(r"spans_(.+)_[prf]", name) for name in counted}
    wrong = sorted(name for name, match in found.items() if match and match[1] not in keys)
    if wrong and not any(match and match[1] == spans_key for match in found.values()):
        raise ValueError(
            f"The score of this training would be 0.00 at every step: [training.score_weights] counts {wrong[0]}, and "
            f"the spans are written under '{spans_key}'. Change two lines there:\n"
            f"{wrong[0]} = null\nspans_{spans_key}_f = {counted[wrong[0]]}"
        )


def make_metaie_scorer() -> Callable:
    """`metaie-spacy.scorer.v1`"""
    return metaie_score
