"""How far several teachers of one text agree, label by label, and what that says of each of them."""

import re
from collections import defaultdict
from itertools import combinations
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np

from ..data.known import Known, common_labels, common_spans, known_of
from ..data.ledger import Sourced
from ..data.rows import Row
from ..measure.scores import PRF, exact_matches, f_interval, scores_of
from ..router.pools import agreement_errors
from .testing import corrected

LABELS = 30  # that teachers were asked most often get figures of their own
DRAWS = 200  # of the bootstrap of alpha
LEAST = 5  # texts; a label or a teacher with fewer gets no figures
TOKEN = re.compile(r"\w+|[^\w\s]")
Spots = set[tuple[int, int, str]]


class Shared(NamedTuple):
    """A text that several teachers annotated: the ids of their rows, its words in characters, what each says of it."""

    ids: dict[str, str]
    words: list[tuple[int, int]]
    known: dict[str, Known]

    def both(self, teachers: Iterable[str]) -> list[Spots]:
        """The spans of teachers that can be compared, see `common_spans`."""
        return common_spans([self.known[name] for name in teachers])

    def have_common(self, teachers: Iterable[str]) -> bool:
        """Whether there is a label that all were asked."""
        return bool(common_labels([self.known[name] for name in teachers]))


def shared_texts(items: Iterable[Sourced]) -> tuple[list[Shared], list[tuple[str, Row, Row]]]:
    """Texts with rows of several teachers, and pairs of rows of one teacher on one text: samples.

    RETURNS (tuple): the texts, and (teacher, first row, other row) for every further sample.
    """
    groups: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        groups[item.row["text"]][item.row.get("teacher", "")].append(item.row)
    texts, samples = [], []
    for text, by_teacher in groups.items():
        samples += [(name, rows[0], other) for name, rows in by_teacher.items() for other in rows[1:]]
        if len(by_teacher) > 1:
            words = [match.span() for match in TOKEN.finditer(text)]
            known = {name: known_of(rows[0]) for name, rows in by_teacher.items()}
            texts.append(Shared({name: rows[0]["id"] for name, rows in by_teacher.items()}, words, known))
    return texts, samples


def agreement(texts: Sequence[Shared], samples: Sequence[tuple[str, Row, Row]], rows: Iterable[Row]) -> dict[str, Any]:
    """Agreement of teachers.

    RETURNS (dict): "texts" with several teachers; "pairs": span F of every two; "labels": span F and Krippendorff's
        alpha of each label; "teachers": `teacher_errors`; "samples": `self_consistency`.
    """
    return {
        "texts": len(texts),
        "pairs": list(_pairs(texts)),
        "labels": _labels(texts),
        "teachers": teacher_errors(texts),
        "samples": self_consistency(samples, rows),
    }


def _pairs(texts: Sequence[Shared]) -> Iterable[dict[str, Any]]:
    together: dict[tuple[str, str], list[list[Spots]]] = defaultdict(list)
    for text in texts:
        for pair in combinations(sorted(text.known), 2):
            if text.have_common(pair):
                together[pair].append(text.both(pair))
    for (one, other), answers in sorted(together.items()):
        scores = scores_of([a for a, _ in answers], [b for _, b in answers])
        yield {"teachers": [one, other], "texts": len(answers)} | {k: scores[k] for k in ("f", "f_low", "f_high")}


def _labels(texts: Sequence[Shared]) -> list[dict[str, Any]]:
    often: dict[str, list[Shared]] = defaultdict(list)
    for text in texts:
        asked = [label for known in text.known.values() for label in known.asked or ()]
        for label in sorted({label for label in asked if asked.count(label) > 1}):
            often[label].append(text)
    ranked = sorted(often.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:LABELS]
    return [_label(label, own) for label, own in ranked if len(own) >= LEAST]


def _label(label: str, texts: Sequence[Shared]) -> dict[str, Any]:
    """Span F over all pairs of teachers, and alpha over words: in a span of the label or not."""
    counts, tables = [], []
    for text in texts:
        names = sorted(name for name, known in text.known.items() if label in (known.asked or ()))
        pairs = [text.both(pair) for pair in combinations(names, 2)]
        kept = [[{spot for spot in spots if spot[2] == label} for spots in pair] for pair in pairs]
        counts.append(np.sum([exact_matches([a], [b]) for a, b in kept], axis=0))
        tables.append(_votes(text, names, label))
    low, high = f_interval(counts)
    alpha, alpha_low, alpha_high = alpha_of(tables)
    figures = {"f": PRF(*np.sum(counts, axis=0)).fscore, "f_low": low, "f_high": high}
    return (
        {"label": label, "texts": len(texts)}
        | figures
        | {
            "alpha": alpha,
            "alpha_low": alpha_low,
            "alpha_high": alpha_high,
        }
    )


def _votes(text: Shared, names: Sequence[str], label: str) -> np.ndarray:
    """Per word how many teachers leave it out of a span of the label and how many take it in, (words, 2)."""
    votes = np.zeros((len(text.words), 2), dtype="int64")
    for name in names:
        known = text.known[name]
        spans = [spot for spot in known.spans if spot[2] == label]
        for i, (start, end) in enumerate(text.words):
            inside = any(s < end and start < e for s, e, _ in spans)
            if inside or known.decides((start, end, label)):
                votes[i, int(inside)] += 1
    return votes


def alpha_of(tables: Sequence[np.ndarray], *, draws: int = DRAWS, seed: int = 0) -> tuple[float | None, ...]:
    """Krippendorff's alpha (2004, "Content Analysis"), nominal, and its 95 % interval from texts drawn anew.

    tables (Sequence[ndarray]): per text how many chose each value for each unit, int64 (units, values).
    RETURNS (tuple): None three times where all chose the same value everywhere: alpha is not defined there.
    """
    import krippendorff

    def alpha(counts: np.ndarray) -> float | None:
        counts = counts[counts.sum(1) > 1]
        if (counts.sum(0) > 0).sum() < 2:
            return None
        return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))

    value = alpha(np.concatenate(tables))
    if value is None:
        return None, None, None
    rng = np.random.default_rng(seed)
    picks = (rng.integers(0, len(tables), len(tables)) for _ in range(draws))
    drawn = [one for pick in picks if (one := alpha(np.concatenate([tables[i] for i in pick]))) is not None]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return value, float(low), float(high)


def teacher_errors(texts: Sequence[Shared]) -> list[dict[str, Any]]:
    """The error of every teacher as the others' answers tell it, worst first (Smoothie, arXiv 2412.04692).

    RETURNS (list): "teacher", "error" (0 to 1, of 1 - F, on texts of three teachers or more), its 95 % interval,
        "texts", "others" (their mean error on the same texts), and p of no difference, corrected.
    """
    from scipy.stats import bootstrap, ttest_rel

    groups: dict[tuple[str, ...], list[list[Spots]]] = defaultdict(list)
    for text in texts:
        names = tuple(sorted(text.known))
        if len(names) > 2 and text.have_common(names):
            groups[names].append(text.both(names))
    own: dict[str, list[float]] = defaultdict(list)
    others: dict[str, list[float]] = defaultdict(list)
    for names, answers in groups.items():
        errors = agreement_errors(list(zip(*answers)))
        for i, name in enumerate(names):
            own[name] += errors[i].tolist()
            others[name] += np.delete(errors, i, axis=0).mean(0).tolist()
    found = []
    for name, errors in own.items():
        if len(errors) < LEAST:
            continue
        interval = bootstrap((errors,), np.mean, method="percentile", n_resamples=1000, rng=0).confidence_interval
        p = float(ttest_rel(errors, others[name], alternative="greater").pvalue)
        found.append(
            {"teacher": name, "error": float(np.mean(errors)), "low": float(interval.low), "high": float(interval.high)}
            | {"texts": len(errors), "others": float(np.mean(others[name])), "p": None if np.isnan(p) else p}
        )
    return sorted(corrected(found), key=lambda entry: (others_first(entry), entry["teacher"]))


def others_first(entry: dict[str, Any]) -> float:
    """What errors are ranked by: the excess over those of the others, largest first."""
    return entry["others"] - entry["error"]


def self_consistency(samples: Sequence[tuple[str, Row, Row]], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """How far a teacher's samples of one text agree: span F of its first row with its others, and the "agreement"
    that rows bring."""
    counts: dict[str, list] = defaultdict(list)
    for teacher, first, other in samples:
        one, two = common_spans([known_of(first), known_of(other)])
        counts[teacher].append(exact_matches([one], [two]))
    noted: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.get("agreement") is not None:
            noted[row.get("teacher", "")].append(row["agreement"])
    found = []
    for teacher in sorted({*counts, *noted}):
        entry: dict[str, Any] = {"teacher": teacher, "samples": len(counts[teacher]), "rows": len(noted[teacher])}
        if counts[teacher]:
            low, high = f_interval(counts[teacher])
            entry |= {"f": PRF(*np.sum(counts[teacher], axis=0)).fscore, "low": low, "high": high}
        if noted[teacher]:
            entry["agreement"] = float(np.mean(noted[teacher]))
        found.append(entry)
    return found


def disputes(texts: Sequence[Shared]) -> dict[tuple[str, str], float]:
    """Id of a row and its teacher -> 1 - F of the teacher's spans against those of the others."""
    found: dict[tuple[str, str], float] = {}
    for text in texts:
        for name in text.known:
            pairs = [text.both((name, other)) for other in text.known if other != name]
            total = exact_matches([a for a, _ in pairs], [b for _, b in pairs])
            found[text.ids[name], name] = 1 - total.fscore if sum(total) else 0.0
    return found
