"""From answers to links: which heads are asked what, depth by depth, for all texts of a batch together."""

from functools import lru_cache
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
from spacy.tokens import Doc

from ..schema import Attribute, LinkSchema, Record, Relation
from ..spans import Answer, Logits, by_label, tidied
from ..spans import decode as decode_spans
from . import decode

Place = tuple[int, int]  # start, end token (exclusive)
Head = tuple[int, int, int]  # number of the doc, start, end
Scorer = Callable[[list[Doc], list[Head], list[tuple[str, ...]]], Iterable[Logits]]


class Mention(NamedTuple):
    """A span of a text that is head or tail: its tokens (end exclusive), label and score in [0, 1].

    is_free (bool): it answers a link and is no span of an asked label; its label is the link's then.
    is_weak (bool): it scores below its label's threshold, and stands only if a link holds that begins or ends at it.
    """

    start: int
    end: int
    label: str
    score: float
    is_free: bool = False
    is_weak: bool = False


class FoundLink(NamedTuple):
    """A link between two mentions, with the probability that all of it is right."""

    head: Mention
    label: str
    tail: Mention
    score: float


class Weighed(NamedTuple):
    """A pair that may be a link, with what speaks for it by the names of `decode.WEIGHTS`, and its probability."""

    text: int
    head: Mention
    label: str
    tail: Mention
    parts: dict[str, float]
    score: float


class Followed(NamedTuple):
    """What came of the links that were asked of one text.

    attributes (list): of a mention the name of the attribute, its option and the option's probability.
    asked (list[tuple[str, str]]): labels of heads with the links and attributes that were asked of them.
    free (list[str]): those links whose answers may be any words. asked_attributes (list[str]): the attributes.
    records (tuple[Record, ...]): as the schema has them.
    """

    links: list[FoundLink]
    attributes: list[tuple[Mention, str, str, float]]
    asked: list[tuple[str, str]]
    free: list[str]
    asked_attributes: list[str]
    records: tuple[Record, ...]

    @property
    def weak_ends(self) -> set[tuple[int, int, str]]:
        """Start, end and label of the weak spans that links begin or end at."""
        return {end[:3] for head, _, tail, _ in self.links for end in (head, tail) if end.is_weak}

    def standing(self, weak: Sequence[Answer]) -> list[Answer]:
        """Those of the weak spans that links begin or end at."""
        ends = self.weak_ends
        return [one for one in weak if (one.start, one.end, one.label) in ends]

    @property
    def answers(self) -> list[Answer]:
        """The tails that are no span of an asked label, each once, with the score of its best link."""
        best: dict[tuple[int, int, str], float] = {}
        for _, _, tail, score in self.links:
            if tail.is_free:
                place = tail.start, tail.end, tail.label
                best[place] = max(score, best.get(place, 0.0))
        return [Answer(label, start, end, score) for (start, end, label), score in best.items()]


class Wanted(NamedTuple):
    """A text whose heads are to be asked: its doc, answers, asked labels, links, and the call's threshold of links.

    weak (Sequence[Answer]): spans below their threshold that links may begin or end at, see `weak.weak_answers`.
    """

    doc: Doc
    answers: Sequence[Answer]
    labels: Sequence[str]
    schema: LinkSchema
    threshold: float | None = None
    weak: Sequence[Answer] = ()


def follow(
    wanted: Sequence[Wanted],
    score: Scorer,
    calibration: Mapping[str, float] | None = None,
    weighed: list[Weighed] | None = None,
) -> list[Followed]:
    """Ask heads for their links, links of links one depth later.

    All heads of all texts at one depth are asked in one call, all that is asked of one head together;
    answers that are to be asked back follow in a second one.

    score (Scorer): (docs, heads, queries of each head) -> Logits whose `text` is the number of the head.
    calibration (Mapping | None): replaces `decode.WEIGHTS`, and has the weights' own "threshold" and "tag", at which
        tokens of free answers are tagged. weighed (list | None): takes the pairs that the threshold decides about.
    RETURNS (list[Followed]): one a text.
    """
    texts = [_Text(number, *one, calibration, weighed) for number, one in enumerate(wanted)]
    docs = [one.doc for one in wanted]
    for depth in range(max((len(text.levels) for text in texts), default=0)):
        asked = [question for text in texts for question in text.at(depth)]
        _ask(score, docs, asked)
        _ask(score, docs, [back for question in asked for back in question.backwards()])
        _compare([question for question in asked if isinstance(question, _Links)])
        for question in asked:
            question.close()
    return [text.result() for text in texts]


@lru_cache(256)
def levels(schema: LinkSchema) -> list[list[Relation | Attribute]]:
    """What is asked at each depth: links of labels and attributes first, then links of the answers of those.

    RAISES (ValueError): links go in a circle.
    """
    waiting, found = list(schema.relations), [[*schema.attributes]]
    while waiting:
        names = {relation.name for relation in waiting}
        ready = [relation for relation in waiting if not names.intersection(relation.heads)]
        if not ready:
            raise ValueError(f"The links go in a circle: {', '.join(sorted(names))}. Begin one of them at a label.")
        found.append(ready)
        waiting = [relation for relation in waiting if names.intersection(relation.heads)]
    found[:2] = [[part for level in found[:2] for part in level]]
    return found


def _ask(score: Scorer, docs: list[Doc], asked: Sequence["_Links | _Options | _Backwards"]) -> None:
    """Give questions what the model says of their heads."""
    jobs: dict[Head, dict[Any, tuple[Any, int]]] = {}
    for question in asked:
        for row, place in question.places():
            jobs.setdefault((question.text.number, *place), {}).update((w, (question, row)) for w in question.wordings)
    if not jobs:
        return
    heads, own = list(jobs), list(jobs.values())
    queries = [tuple(dict.fromkeys(query for wording in job for query in wording.queries)) for job in own]
    for number, wordings, tokens, values in by_label(score(docs, heads, queries), [tuple(job) for job in own]):
        together: dict[int, list[tuple[Any, int, Any, int]]] = {}
        for u, wording in enumerate(wordings):
            question, row = own[number][wording]
            together.setdefault(id(question.shared), []).append((question, row, wording, u))
        inside, places = decode.presence(values), np.asarray(tokens)
        for group in together.values():
            columns = [u for *_, u in group]
            group[0][0].take(
                [part[:3] for part in group], _Said(values[:, columns], inside[:, columns], places, heads[number][1:])
            )


def _compare(asked: Sequence["_Links"]) -> None:
    """Give questions by how much other relations and other heads claim what may be their answers.

    Answers of one head to several relations, and of several heads to one relation, are seldom the same.
    """
    asked = [question for question in asked if len(question.done.support)]
    if not asked:
        return
    heads: dict[Head, int] = {}
    relations: dict[str, int] = {}
    parts = []
    for number, question in enumerate(asked):
        ids = [heads.setdefault((question.text.number, *head[:2]), len(heads)) for head in question.heads]
        name = relations.setdefault(question.relation.name, len(relations))
        rows, columns, support, _ = question.done
        starts, ends = (np.array([tail[side] for tail in question.tails])[columns] for side in (0, 1))
        numbers = (np.full(len(rows), one) for one in (number, name))
        parts.append((*numbers, np.array(ids)[rows], starts, ends, decode.log_odds(support)))
    questions, names, places, *spans = (np.concatenate(part) for part in zip(*parts))
    of_relations = decode.claims(places, names, *spans)
    of_heads = decode.claims(questions, places, *spans)
    for number, question in enumerate(asked):
        own = questions == number
        question.claims = {"other_relation": of_relations[own], "other_head": of_heads[own]}


class _Said(NamedTuple):
    """What the model said when one head was asked: logits (W, U, 2), presence (W, U), tokens (W,), the head's place."""

    values: np.ndarray
    inside: np.ndarray
    tokens: np.ndarray
    head: Place


class _Wording(NamedTuple):
    """What has wordings and is no relation: an option of an attribute, or a relation that is asked back."""

    of: Any
    name: str
    queries: tuple[str, ...]


class _Text:
    """One text: its mentions by label or link, and what was found so far."""

    def __init__(self, number, doc, answers, labels, schema, threshold, weak, calibration, weighed=None):
        self.number, self.doc, self.schema = number, doc, schema
        self.threshold, self.calibration, self.weighed = threshold, calibration, weighed
        self.tag = (calibration or {}).get("tag")
        self.labels = set(labels)
        self.mentions: dict[str, dict[Place, Mention]] = {}
        self.entities: dict[Place, Mention] = {}
        self.levels = levels(schema)
        self.links: list[FoundLink] = []
        self.attributes: list[tuple[Mention, str, str, float]] = []
        self.asked: dict[tuple[str, str], None] = {}
        self.candidates: dict[tuple[str, ...], _Candidates] = {}
        self._words: list[str] | None = None
        self._edges: tuple[np.ndarray, np.ndarray] | None = None
        self.starts = {name for one in (*schema.relations, *schema.attributes) for name in one.heads}
        used = self.starts.union(name for relation in schema.relations for name in relation.tails)
        for answer in answers:
            mention = Mention(answer.start, answer.end, answer.label, answer.score)
            _put(self.entities, mention)
            if answer.label in used:
                _put(self.mentions.setdefault(answer.label, {}), mention)
        for answer in weak:
            mention = Mention(answer.start, answer.end, answer.label, answer.score, is_weak=True)
            _put(self.mentions.setdefault(answer.label, {}), mention)

    @property
    def words(self) -> list[str]:
        if self._words is None:
            self._words = [token.text for token in self.doc]
        return self._words

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each token starts and ends, in characters."""
        if self._edges is None:
            starts = np.array([token.idx for token in self.doc])
            self._edges = starts, starts + [len(word) for word in self.words]
        return self._edges

    def at(self, depth: int) -> Iterator["_Links | _Options"]:
        """What is to be asked at a depth; what has no head here is noted as asked all the same."""
        for one in self.levels[depth] if depth < len(self.levels) else ():
            names = [name for name in one.heads if self._is_known(name)]
            is_relation = isinstance(one, Relation)
            if not names or (is_relation and one.tails and not self.labels.intersection(one.tails)):
                continue
            self.asked.update(dict.fromkeys((name, one.name) for name in names))
            heads = self.united(names)
            if heads:
                yield _Links(self, one, heads) if is_relation else _Options(self, one, heads)

    def _is_known(self, name: str) -> bool:
        return name in self.labels or any(name == link for _, link in self.asked)

    def united(self, names: Iterable[str]) -> list[Mention]:
        """The mentions of these labels or links in the text's order; of those at one place the best."""
        found: dict[Place, Mention] = {}
        for name in names:
            for mention in self.mentions.get(name, {}).values():
                _put(found, mention)
        return [found[place] for place in sorted(found)]

    def candidates_of(self, tails: tuple[str, ...]) -> "_Candidates":
        if tails not in self.candidates:
            self.candidates[tails] = _Candidates(self.united(tails))
        return self.candidates[tails]

    def with_words(self, heads: Sequence[Mention]) -> Iterator[tuple[int, Place]]:
        """The numbers and places of heads that are more than white space."""
        for row, head in enumerate(heads):
            if not all(word.isspace() for word in self.words[head.start : head.end]):
                yield row, (head.start, head.end)

    def at_place(self, names: Iterable[str], place: Place) -> list[Mention]:
        """The mentions of these labels at one place."""
        found = (self.mentions.get(name, {}).get(place) for name in names)
        return [mention for mention in found if mention is not None]

    def columns(self, mentions: Sequence[Mention]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The scores of mentions, and where they start and end in characters."""
        starts, ends, scores = (np.array([mention[i] for mention in mentions]) for i in (0, 1, 3))
        return scores, self.edges[0][starts], self.edges[1][ends - 1]

    def result(self) -> Followed:
        order = {relation: number for number, relation in enumerate(r.name for r in self.schema.relations)}
        links = sorted(self.links, key=lambda link: (link.head[:2], order[link.label], link.tail[:2], link.head.label))
        ends = [end for head, _, tail, _ in links for end in (head, tail)]
        linked, weak = {end[:3] for end in ends}, {end[:2]: end for end in ends if end.is_weak}
        if weak:  # words that are a span by one link are that span in others too
            links = [FoundLink(_at(weak, head), label, _at(weak, tail), score) for head, label, tail, score in links]
        attributes = [found for found in self.attributes if not found[0].is_weak or found[0][:3] in linked]
        attributes.sort(key=lambda found: (found[0][:3], found[1]))
        names = {name for _, name in self.asked}
        free = [one.name for one in self.schema.relations if not one.tails and one.name in names]
        options = [one.name for one in self.schema.attributes if one.name in names]
        free, options = (list(dict.fromkeys(part)) for part in (free, options))
        return Followed(links, attributes, list(self.asked), free, options, self.schema.records)


def _at(weak: Mapping[Place, Mention], mention: Mention) -> Mention:
    """The weak span at the place of an answer that is no span."""
    return weak.get(mention[:2], mention) if mention.is_free else mention


def _put(mentions: dict[Place, Mention], mention: Mention) -> None:
    """Keep the better of two at one place, of equals the first by label, so that no order of asking decides; a weak one
    gives way to any other."""
    other = mentions.setdefault((mention.start, mention.end), mention)
    if (mention.is_weak, -mention.score, mention.label) < (other.is_weak, -other.score, other.label):
        mentions[mention.start, mention.end] = mention


class _Candidates:
    """Spans that may be tails."""

    def __init__(self, mentions: list[Mention]):
        self.mentions = mentions
        self.starts = np.array([mention.start for mention in mentions], dtype="int64")
        self.ends = np.array([mention.end for mention in mentions], dtype="int64")


class _Links:
    """One relation that is asked of its heads in one text."""

    def __init__(self, text: _Text, relation: Relation, heads: list[Mention]):
        self.text, self.relation, self.heads = text, relation, heads
        self.threshold = decode.threshold_of(relation.threshold, text.threshold, text.calibration)
        own = min(self.threshold, decode.THRESHOLD)  # a calibrated threshold is no boundary for tokens
        self.tag = own if text.tag is None else text.tag
        self.wordings = (relation,)
        self.found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # rows, columns and support of pairs
        if relation.tails:
            self.shared: Any = text.candidates_of(relation.tails)
            self.tails = self.shared.mentions
        else:
            self.shared, self.tails = text, []
            self.columns: dict[Place, int] = {}  # of the words that were found

    def places(self) -> Iterator[tuple[int, Place]]:
        """The heads, if there is something to find."""
        return self.text.with_words(self.heads if self.tails or not self.relation.tails else [])

    def take(self, parts: list[tuple["_Links", int, Any]], said: _Said) -> None:
        """What one head answers to several relations with the same candidates."""
        start, end = said.head
        if not self.relation.tails:
            self._take_free(parts, said)
            return
        candidates = self.shared
        seen = decode.support(said.inside, said.tokens, candidates.starts, candidates.ends)
        seen[(candidates.starts < end) & (candidates.ends > start)] = np.nan  # no head is its own tail
        for u, (question, row, _) in enumerate(parts):
            columns = np.flatnonzero(seen[:, u] >= min(decode.FLOOR, question.threshold))
            question.found.append((np.full(len(columns), row), columns, seen[columns, u]))

    def _take_free(self, parts: list[tuple["_Links", int, Any]], said: _Said) -> None:
        start, end = said.head
        tags = np.array([question.tag for question, *_ in parts])
        answers = decode_spans(said.values, range(len(parts)), tags, said.tokens.tolist())
        rows: dict[int, dict[int, float]] = {}
        for answer in tidied(self.text.words, answers):
            if answer.start >= end or answer.end <= start:
                question = parts[answer.label][0]
                own, column = rows.setdefault(answer.label, {}), question._column(answer.start, answer.end)
                own[column] = max(answer.score, own.get(column, 0.0))
        for u, own in rows.items():
            question, row, _ = parts[u]
            question.found.append((np.full(len(own), row), np.array([*own]), np.array([*own.values()])))

    def _column(self, start: int, end: int) -> int:
        """The number of the words that answer: an entity where they are one."""
        if (start, end) not in self.columns:
            self.columns[start, end] = len(self.tails)
            entity = self.text.entities.get((start, end))
            self.tails.append(entity or Mention(start, end, self.relation.name, 0.0, True))
        return self.columns[start, end]

    @property
    def pairs(self) -> decode.Pairs:
        parts = [np.concatenate(part) for part in zip(*self.found)] or [np.zeros(0, dtype="int64")] * 3
        return decode.Pairs(parts[0], parts[1], parts[2], np.full(len(parts[0]), np.nan))

    def backwards(self) -> Iterator["_Backwards"]:
        """The question asked back of the answers that may be right."""
        self.done = self.pairs
        if self.relation.inverse and len(self.done.support):
            yield _Backwards(self)

    def close(self) -> None:
        """Settle which pairs are links; their tails are heads from now on."""
        pairs, text, name = self.done, self.text, self.relation.name
        if not len(pairs.support):
            return
        heads, tails = text.columns(self.heads), text.columns(self.tails)
        gap = decode.gaps(*(part[pairs.heads] for part in heads[1:]), *(part[pairs.tails] for part in tails[1:]))
        tail_scores = np.where([tail.is_free for tail in self.tails], np.nan, tails[0])[pairs.tails]
        free = np.full(len(pairs.tails), not self.relation.tails)
        parts = decode.features(heads[0][pairs.heads], pairs.support, pairs.inverse, gap, tail_scores, free)
        parts |= self.claims
        scores = decode.probability(parts, {**decode.WEIGHTS, **(text.calibration or {})})
        if text.weighed is not None:
            text.weighed += self._weighed(parts, scores)
        kept = decode.chosen(
            pairs, scores, threshold=self.threshold, most=self.relation.max, one_head=self.relation.one_head
        )
        own = text.mentions.setdefault(name, {})
        for i in kept.tolist():
            tail = self.tails[pairs.tails[i]]
            text.links.append(FoundLink(self.heads[pairs.heads[i]], name, tail, float(scores[i])))
            if name in text.starts:
                _put(own, tail._replace(score=float(scores[i])))

    def _weighed(self, parts: Mapping[str, np.ndarray], scores: np.ndarray) -> Iterator[Weighed]:
        pairs, number, name = self.done, self.text.number, self.relation.name
        for i, (row, column) in enumerate(zip(pairs.heads.tolist(), pairs.tails.tolist())):
            own = {part: float(values[i]) for part, values in parts.items()}
            yield Weighed(number, self.heads[row], name, self.tails[column], own, float(scores[i]))


class _Backwards:
    """One relation that is asked back of what may be its answers."""

    def __init__(self, question: _Links):
        self.text, self.question, self.shared = question.text, question, question
        self.wordings = (_Wording(question.relation, question.relation.name, question.relation.inverse),)
        pairs = question.done
        best = np.zeros(len(question.tails))
        np.maximum.at(best, pairs.tails, pairs.support)
        self.asked = np.flatnonzero(best >= min(decode.MAYBE, question.threshold))
        order = np.argsort(pairs.tails, kind="stable")
        bounds = np.searchsorted(pairs.tails[order], np.arange(len(best) + 1))
        self.pairs_of = [order[first:last] for first, last in zip(bounds, bounds[1:])]
        self.starts, self.ends = (np.array([head[side] for head in question.heads]) for side in (0, 1))

    def places(self) -> Iterator[tuple[int, Place]]:
        for column in self.asked.tolist():
            tail = self.question.tails[column]
            yield column, (tail.start, tail.end)

    def take(self, parts: list[tuple["_Backwards", int, Any]], said: _Said) -> None:
        for u, (_, column, _) in enumerate(parts):
            at = self.pairs_of[column]
            rows = self.question.done.heads[at]
            seen = decode.support(said.inside[:, u : u + 1], said.tokens, self.starts[rows], self.ends[rows])
            self.question.done.inverse[at] = seen[:, 0]


class _Options:
    """One attribute that is asked of its heads in one text."""

    def __init__(self, text: _Text, attribute: Attribute, heads: list[Mention]):
        self.text, self.attribute, self.heads, self.shared = text, attribute, heads, _Options
        self.wordings = tuple(_Wording(attribute, name, queries) for name, queries in attribute.options if queries)
        self.names = [wording.name for wording in self.wordings]
        self.names += [name for name, queries in attribute.options if not queries]  # where none of the others is said
        self.peaks = np.full((len(heads), len(self.names)), np.nan)
        self.peaks[:, len(self.wordings) :] = decode.UNSAID

    def places(self) -> Iterator[tuple[int, Place]]:
        return self.text.with_words(self.heads)

    def take(self, parts: list[tuple["_Options", int, Any]], said: _Said) -> None:
        peaks = decode.peak_near(said.inside, said.tokens, *said.head)
        for peak, (question, row, wording) in zip(peaks.tolist(), parts):
            question.peaks[row, question.wordings.index(wording)] = peak

    def backwards(self) -> Iterator[_Backwards]:
        return iter(())

    def close(self) -> None:
        """Give every mention of a head's place the option that is most said of it."""
        rows = np.flatnonzero(~np.isnan(self.peaks).any(1))
        if not len(rows):
            return
        found = decode.shares(self.peaks[rows])
        for row, best, share in zip(rows.tolist(), found.argmax(1).tolist(), found.max(1).tolist()):
            place = self.heads[row][:2]
            for mention in self.text.at_place(self.attribute.heads, place):
                self.text.attributes.append((mention, self.attribute.name, self.names[best], share))
