"""BIO tags and spans: decoding, overlap, scoring, and the functions that write to a doc."""

from typing import TYPE_CHECKING, Any, Iterable, Iterator, NamedTuple, Sequence

import numpy as np

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, SpanGroup


BLOCK = 1024  # tokens
STRAY_FIRST, STRAY_LAST = frozenset(",;:)!?»”"), frozenset(",;:(«“„–—")  # next to no span of the corpus has them there


class Logits(NamedTuple):
    """What the model says of one text for some of its labels.

    text (int): number of the text. labels (Sequence): the U labels, as they were asked.
    tokens (list[int]): the token indices of the W scored tokens; white space has none.
    values (ndarray): logits of B and I against O = 0, float32 (W, U, 2).
    """

    text: int
    labels: Sequence[Any]
    tokens: list[int]
    values: np.ndarray


class Answer(NamedTuple):
    """One found span: label, first token, end token (exclusive), score in [0, 1].

    rank (float | None): what `flatten` goes by; None: the score.
    """

    label: str
    start: int
    end: int
    score: float
    rank: float | None = None


def decode(
    logits: np.ndarray,
    labels: Sequence[str],
    thresholds: np.ndarray,
    tokens: Sequence[int],
    least: np.ndarray | None = None,
    generality: np.ndarray | None = None,
    dropped: list[Answer] | None = None,
) -> list[Answer]:
    """Read the spans off one text's logits.

    O's logit is shifted by logit(threshold), the best tag is taken, and `B I*` runs are spans; an I
    without a B starts one. At threshold 0.5 that is plain argmax.

    logits (ndarray): B and I against O = 0, float32 (W, U, 2).
    labels (Sequence[str]): the U labels. thresholds (ndarray): one per label in [0, 1], (U,).
    tokens (Sequence[int]): the token index of each of the W scored tokens; tokens between two
        scored ones (white space) belong to the span that runs over them.
    least (ndarray | None): drop spans that score less, one per label in [0, 1], (U,); at 1 all are.
    generality (ndarray | None): by how much, in log-odds, a label gives way to others where spans
        overlap, (U,); it sets the answers' rank. None: they rank by their scores.
    dropped (list | None): takes the spans that `least` drops.
    RETURNS (list[Answer]): ordered by label, then position; the score is the mean probability of
        the chosen tags under the unshifted softmax.
    """
    if not len(logits) or not len(labels):
        return []
    with np.errstate(divide="ignore"):  # 0 and 1 are minus and plus infinity
        shift = np.log(thresholds) - np.log1p(-thresholds)
    hot = np.flatnonzero(logits.max((0, 2)) > shift)  # few of many labels have a token that is not O
    if not len(hot):
        return []
    scaled = logits[:, hot].transpose(1, 0, 2)  # (hot labels, W, 2)
    tags = np.zeros((len(hot), len(logits) + 1), dtype="int8")  # an O stands before the first token
    tags[:, 1:] = np.where(scaled.max(-1) > shift[hot, None], np.where(scaled[..., 0] >= scaled[..., 1], 1, 2), 0)
    u, i = np.nonzero(tags[:, 1:])  # by label, then by position: the cells of a span stand together
    opens = (tags[u, i + 1] == 1) | (tags[u, i] == 0)
    cells = scaled[u, i].astype("float64")
    u = hot[u]
    peak = np.maximum(cells.max(-1), 0)
    probability = np.exp(cells.max(-1) - peak) / (np.exp(-peak) + np.exp(cells - peak[:, None]).sum(-1))
    starts = np.flatnonzero(opens)
    stops = np.append(starts[1:], len(u))
    scores = np.minimum(np.add.reduceat(probability, starts) / (stops - starts), 1.0)
    found = u[starts], i[starts], i[stops - 1], scores
    ranks = None
    if generality is not None:
        sure = np.clip(scores, 1e-9, 1 - 1e-9)
        ranks = np.log(sure) - np.log1p(-sure) - generality[found[0]]

    def answers(chosen: np.ndarray) -> list[Answer]:
        columns = [part[chosen].tolist() for part in found]
        own = [None] * len(columns[0]) if ranks is None else ranks[chosen].tolist()
        return [Answer(labels[u], tokens[i], tokens[j] + 1, score, rank) for u, i, j, score, rank in zip(*columns, own)]

    if least is None:
        return answers(np.ones(len(scores), dtype=bool))
    limits = least[found[0]]
    stays = (scores >= limits) & (limits < 1)
    if dropped is not None and not stays.all():
        dropped += answers(~stays)
    return answers(stays)


def open_runs(logits: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Where the run of tags begins that reaches the last token, and may go on behind it; (U,), W for labels without.

    logits, thresholds (ndarray): as in `decode`.
    """
    n = len(logits)
    with np.errstate(divide="ignore"):
        shift = np.log(thresholds) - np.log1p(-thresholds)
    starts = np.full(len(thresholds), n)
    for u in np.flatnonzero(logits[-1].max(-1) > shift) if n else ():
        own = logits[:, u]
        tagged = own.max(-1) > shift[u]
        opens = tagged & ((own[:, 0] >= own[:, 1]) | ~np.append(False, tagged[:-1]))  # a B, or an I without one
        starts[u] = np.flatnonzero(opens)[-1]
    return starts


def is_blank_line(word: str) -> bool:
    """Whether a token is white space with an empty line in it."""
    return word.isspace() and word.count("\n") > 1


def tidied(words: Sequence[str], answers: Iterable[Answer]) -> list[Answer]:
    """The answers, cut at blank lines and without the signs at their ends that no annotated span has.

    words (Sequence[str]): the tokens of the text.
    """
    found = []
    for answer in answers:
        start = answer.start
        for i in range(answer.start, answer.end):
            if is_blank_line(words[i]):
                found += _trimmed(words, answer, start, i)
                start = i + 1
        found += _trimmed(words, answer, start, answer.end)
    return found


def _trimmed(words: Sequence[str], answer: Answer, start: int, end: int) -> list[Answer]:
    while start < end and (words[start] in STRAY_FIRST or words[start].isspace()):
        start += 1
    while start < end and (words[end - 1] in STRAY_LAST or words[end - 1].isspace()):
        end -= 1
    if (start, end) == (answer.start, answer.end):
        return [answer]
    return [answer._replace(start=start, end=end)] if start < end else []


def better_logits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of two wordings' logits, (W, 2), for each token those of which one is the larger."""
    return np.where((one.max(-1) >= other.max(-1))[:, None], one, other)


def by_label(scored: Iterable[Logits], wanted: Sequence[tuple]) -> Iterator[Logits]:
    """The logits of queries as logits of what they are wordings of; of several wordings, each token's best ones.

    scored (Iterable[Logits]): of queries. wanted (Sequence[tuple]): what was asked of each text, each with `queries`.
    YIELDS (Logits): a text comes once per chunk of its queries, and once for each label of several wordings. Texts that
        were asked the same in the same chunk have the same list of labels.
    """
    plans: dict[tuple[int, int], tuple[Any, ...]] = {}  # by identity: thousands of labels take long to be hashed
    by_query: dict[int, dict[str, list[Any]]] = {}
    waiting: dict[tuple[int, Any], tuple[int, np.ndarray]] = {}  # labels with wordings that are yet to come
    for i, chunk, tokens, values in scored:
        place = id(wanted[i]), id(chunk)
        if place not in plans:
            if place[0] not in by_query:
                by_query[place[0]] = _by_query(wanted[i])
            plans[place] = (*_plan(chunk, by_query[place[0]]), chunk)  # kept, so that no other has its identity
        columns, alone, shared, _ = plans[place]
        if alone:
            yield Logits(i, alone, tokens, values if columns is None else values[:, columns])
        for u, label in shared:
            seen, best = waiting.pop((i, label), (0, values[:, u]))
            best = better_logits(best, values[:, u])
            if seen + 1 == len(label.queries):
                yield Logits(i, [label], tokens, best[:, None])
            else:
                waiting[i, label] = seen + 1, best


def _plan(
    chunk: Sequence[str], by_query: dict[str, list[Any]]
) -> tuple[list[int] | None, list[Any], list[tuple[int, Any]]]:
    """The columns of a chunk that answer for a label alone (None: all, in order), those labels, and the columns of
    labels with other wordings. One query may serve several labels, each with a threshold of its own."""
    pairs = [(u, label, len(label.queries) == 1) for u, query in enumerate(chunk) for label in by_query[query]]
    columns = [u for u, _, is_alone in pairs if is_alone]
    alone = [label for _, label, is_alone in pairs if is_alone]
    shared = [(u, label) for u, label, is_alone in pairs if not is_alone]
    return None if columns == list(range(len(chunk))) else columns, alone, shared


def _by_query(labels: Iterable[Any]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for label in labels:
        for query in label.queries:
            grouped.setdefault(query, []).append(label)
    return grouped


def flatten(answers: Iterable[Answer], taken: "Taken | None" = None) -> list[Answer]:
    """The best-ranked answers that do not overlap; ties go to the better score, the longer, the earlier, the name.

    taken (Taken | None): tokens that no answer may touch; those of the answers are added.
    """
    ordered = sorted(
        answers, key=lambda a: (-(a.score if a.rank is None else a.rank), -a.score, a.start - a.end, a.start, a.label)
    )
    kept, taken = [], Taken(max((answer.end for answer in ordered), default=0)) if taken is None else taken
    for answer in ordered:
        if taken.is_free(answer.start, answer.end):
            taken.add(answer.start, answer.end)
            kept.append(answer)
    return sorted(kept, key=lambda a: (a.start, a.end))


class Taken:
    """Which of a doc's tokens are taken. It is asked for stretches that may be long, so it keeps book of blocks too.

    size (int): number of tokens.
    """

    def __init__(self, size: int):
        self.tokens, self.blocks = bytearray(size), bytearray(size // BLOCK + 1)

    def is_free(self, start: int, end: int) -> bool:
        """Whether none of the tokens is taken; end exclusive."""
        first, last = -(-start // BLOCK), end // BLOCK  # the blocks that lie inside as a whole
        if first >= last:
            return self.tokens.find(1, start, end) < 0
        edges = self.tokens.find(1, start, first * BLOCK), self.tokens.find(1, last * BLOCK, end)
        return max(edges) < 0 and self.blocks.find(1, first, last) < 0

    def add(self, start: int, end: int) -> None:
        """Take tokens, of which none may be taken before."""
        first, last = start // BLOCK, -(-end // BLOCK)
        self.tokens[start:end] = b"\1" * (end - start)
        self.blocks[first:last] = b"\1" * (last - first)


def write_group(doc: "Doc", key: str, answers: Iterable[Answer], asked: Sequence[str]) -> "SpanGroup":
    """Set `doc.spans[key]`, ordered by position, with `attrs` "scores" (float32, (N,)) and "asked".

    The only place where this package writes its spans: also for a doc without an answer.
    """
    from spacy.tokens import Span, SpanGroup

    ordered = sorted(answers, key=lambda a: (a.start, a.end, a.label))
    spans = [Span(doc, a.start, a.end, label=a.label) for a in ordered]
    scores = np.array([a.score for a in ordered], dtype="float32")
    doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs={"scores": scores, "asked": list(asked)})
    return doc.spans[key]


def blocked_tokens(doc: "Doc") -> list["Span"]:
    """The tokens of a doc that no entity may touch, a span each."""
    return [doc[token.i : token.i + 1] for token in doc if token.ent_iob == 3 and not token.ent_type]


def write_ents(doc: "Doc", answers: Iterable[Answer], *, keep: bool = False) -> None:
    """Set `doc.ents` to the flat, best-ranked answers and those entities of the doc that none of them overlaps.

    Tokens that are blocked stay so, and no answer touches them. keep (bool): the doc's own entities win.
    """
    from spacy.tokens import Span

    blocked = blocked_tokens(doc)
    ents, taken = list(doc.ents), Taken(len(doc))
    for span in [*blocked, *(ents if keep else [])]:
        taken.add(span.start, span.end)
    flat = flatten(answer for answer in answers if taken.is_free(answer.start, answer.end))
    if not keep:
        for answer in flat:
            taken.add(answer.start, answer.end)
        ents = [ent for ent in ents if taken.is_free(ent.start, ent.end)]
    doc.set_ents([*ents, *(Span(doc, a.start, a.end, label=a.label) for a in flat)], blocked=blocked)
