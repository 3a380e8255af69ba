"""Ways to find links: a rule, questions in words, and the component's own."""

import math
from itertools import product
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from benchmarks.lib.link_data import Relation, Schema, Text
from metaie_spacy.data.known_links import Link
from metaie_spacy.data.rows import Place
from metaie_spacy.linking import decode as decode_links
from metaie_spacy.linking.follow import Wanted, follow
from metaie_spacy.linking.results import entries
from metaie_spacy.measure.asking import Asked, found_spans, scorer_of
from metaie_spacy.measure.links import Choice, support
from metaie_spacy.measure.scores import found_links
from metaie_spacy.notes import noting
from metaie_spacy.schema import parse_links
from metaie_spacy.spans import Answer, better_logits, decode, tidied
from metaie_spacy.streams import pipe_with_labels

SETTINGS = {
    "gold_heads": "gold heads, free tails",
    "gold_spans": "gold heads and tails given",
    "end_to_end": "from the text alone",
}
FALLS = (0, 100, 30)  # characters over which a link's score falls to 1 / e; 0: distance does not count


class Scored(NamedTuple):
    """A candidate: the link, the head's label, its answer's support, that of the inverse question, the distance."""

    link: Link
    head_label: str
    answer: float
    inverse: float
    distance: int


class Knobs(NamedTuple):
    """How candidates are kept, chosen on dev.

    threshold (float): the least score. fall (int): characters over which a score falls to 1 / e; 0: distance does not
    count. inverse (bool): whether the support of the inverse question is a factor. one_head (bool): whether a tail goes
    to its best head alone.
    """

    threshold: float
    fall: int
    inverse: bool
    one_head: bool

    def score(self, found: Scored) -> float:
        score = found.answer * (found.inverse if self.inverse else 1.0)
        return score * math.exp(-found.distance / self.fall) if self.fall else score


class Given(NamedTuple):
    """What a text's links are made of: heads and tails by label. Labels that are not in `tails` have free tails."""

    heads: dict[str, list[Place]]
    tails: dict[str, list[Place]]


def between(one: Sequence, other: Sequence) -> int:
    """Characters between two places; 0 where they touch or overlap."""
    return max(0, one[0] - other[1], other[0] - one[1])


def given_of(texts: Sequence[Text], found: Sequence[Sequence[Place]], schema: Schema, setting: str) -> list[Given]:
    """Heads and tails of a setting: gold ones, or those that the model found.

    Where tails are free, spans of labels that no link begins at are not given.
    """
    labels = schema.labels
    heads = {label for relation in schema.relations for label in relation.heads}.union(schema.signed)
    gold = [{label: sorted(s for s in text.spans if s[2] == label) for label in labels} for text in texts]
    own = [{label: sorted(s for s in spans if s[2] == label) for label in labels} for spans in found]
    if setting == "gold_heads":
        return [Given({label: own for label, own in spans.items() if label in heads}, {}) for spans in gold]
    chosen = gold if setting == "gold_spans" else own
    return [Given(spans, spans) for spans in chosen]


def pairs_of(given: Given, relation: Relation) -> Iterator[tuple[Place, Place]]:
    """Heads and tails of a relation's types; no head is its own tail."""
    for head in (h for label in relation.heads for h in given.heads.get(label, ())):
        for tail in (t for label in relation.tails for t in given.tails.get(label, ())):
            if head[1] <= tail[0] or tail[1] <= head[0]:
                yield head, tail


# Rules


def nearest_tail(pairs: Sequence[tuple[Place, Place]]) -> set[tuple[Place, Place]]:
    """Each head with its nearest tail."""
    return _nearest(pairs, lambda pair: pair[0])


def nearest_head(pairs: Sequence[tuple[Place, Place]]) -> set[tuple[Place, Place]]:
    """Each tail with its nearest head."""
    return _nearest(pairs, lambda pair: pair[1])


def _nearest(pairs: Sequence[tuple[Place, Place]], side: Callable) -> set[tuple[Place, Place]]:
    best: dict = {}
    for pair in sorted(pairs, key=lambda pair: (between(*pair), pair)):
        best.setdefault(side(pair), pair)
    return set(best.values())


RULES: dict[str, Callable[[Sequence[tuple[Place, Place]]], Iterable[tuple[Place, Place]]]] = {
    "nearest tail of each head": nearest_tail,
    "nearest head of each tail": nearest_head,
    "all typed pairs": set,
}


def by_rule(given: Given, relations: Iterable[Relation], rule: str) -> set[tuple[Link, str]]:
    """Links by a rule, each with its head's label."""
    found = set()
    for relation in relations:
        for head, tail in RULES[rule](list(pairs_of(given, relation))):
            found.add(((head[:2], tail[:2], relation.name), head[2]))
    return found


# The model


def find_spans(nlp: Language, texts: Sequence[Text], labels: Mapping[str, Sequence[str]]) -> list[list[Place]]:
    """Spans that the model finds of labels, flat, at its own thresholds."""
    asked = {"labels": {name: list(wordings) for name, wordings in labels.items()}, "flat": True}
    key = nlp.get_pipe("metaie").spans_key
    return [places_in(doc, key) for doc in pipe_with_labels(nlp, [(text.text, asked) for text in texts])]


def places_in(doc: Doc, key: str) -> list[Place]:
    """Start and end in characters and label of the spans of a group."""
    return [(span.start_char, span.end_char, span.label_) for span in doc.spans[key]]


def find_ends(nlp: Language, texts: Sequence[Text], schema: Schema) -> list[Asked]:
    """The spans of each text that the links of a schema may begin or end at, weak ones too, with their scores."""
    pipe, links = nlp.get_pipe("metaie"), parse_links({"links": schema.plain["links"]})
    asked = {"labels": schema.plain["labels"], "flat": True}
    with noting(pipe):
        return [found_spans(pipe, doc, links) for doc in pipe_with_labels(nlp, [(text.text, asked) for text in texts])]


class Answers:
    """What a model says to questions about texts, read by token.

    found (dict): (text's number, question) -> logits (W, 2); tokens (dict): text's number -> its W tokens.
    """

    def __init__(self, nlp: Language, texts: Sequence[Text], questions: Sequence[Iterable[str]]):
        pipe = nlp.get_pipe("metaie")
        pipe.load()
        self.docs: list[Doc] = [nlp.make_doc(text.text) for text in texts]
        self.found: dict[tuple[int, str], np.ndarray] = {}
        self.tokens: dict[int, list[int]] = {}
        self.limits = pipe.effective_threshold, pipe.model.shims[0].tag_threshold
        wanted = [tuple(dict.fromkeys(own)) for own in questions]
        asked = [i for i, own in enumerate(wanted) if own]
        for block in range(0, len(asked), 32):  # texts whose questions are encoded at once
            chosen = asked[block : block + 32]
            scored = pipe.model.attrs["score"](pipe.model, [self.docs[i] for i in chosen], [wanted[i] for i in chosen])
            for i, names, tokens, values in scored:
                self.tokens[chosen[i]] = tokens
                for u, name in enumerate(names):
                    self.found[chosen[i], name] = values[:, u]

    def logits(self, i: int, questions: Sequence[str]) -> np.ndarray:
        """Of several wordings the better ones by token, (W, 2)."""
        best = self.found[i, questions[0]]
        for question in questions[1:]:
            best = better_logits(best, self.found[i, question])
        return best

    def support(self, i: int, questions: Sequence[str], place: Sequence) -> float:
        """Mean P(B or I) on a place in characters."""
        if i not in self.tokens:
            return 0.0
        doc, tokens = self.docs[i], self.tokens[i]
        inside = [w for w, t in enumerate(tokens) if doc[t].idx < place[1] and doc[t].idx + len(doc[t]) > place[0]]
        return support(self.logits(i, questions)[inside])

    def spans(self, i: int, questions: Sequence[str]) -> list[tuple[int, int, float]]:
        """Free answers, down to the model's boundary of tags: start and end in characters, score."""
        if i not in self.tokens:
            return []
        doc, tag = self.docs[i], self.limits[1]
        found = decode(self.logits(i, questions)[:, None], [""], np.array([tag]), self.tokens[i])
        found = tidied([token.text for token in doc], found)
        return [(doc[a.start].idx, doc[a.end - 1].idx + len(doc[a.end - 1]), a.score) for a in found]


def in_words(text: Text, queries: Iterable[str], place: Sequence) -> tuple[str, ...]:
    """Questions that name the head."""
    return tuple(f"{query} of {' '.join(text.text[place[0] : place[1]].split())}" for query in queries)


def ask_words(
    nlp: Language, texts: Sequence[Text], given: Sequence[Given], relations: Sequence[Relation]
) -> list[list[Scored]]:
    """Candidates of every text by questions in words: "{query} of {head}", as labels of the text."""
    questions: list[list[str]] = []
    for text, parts in zip(texts, given):
        own: list[str] = []
        for relation in relations:
            for head in _heads(parts, relation):
                own += in_words(text, relation.queries, head)
            if relation.inverse and parts.tails:
                for label in relation.tails:
                    for tail in parts.tails.get(label, ()):
                        own += in_words(text, relation.inverse, tail)
        questions.append(own)
    answers = Answers(nlp, texts, questions)
    return [_candidates(answers, i, text, parts, relations) for i, (text, parts) in enumerate(zip(texts, given))]


def _heads(given: Given, relation: Relation) -> list[Place]:
    return [head for label in relation.heads for head in given.heads.get(label, ())]


def _candidates(answers: Answers, i: int, text: Text, given: Given, relations: Sequence[Relation]) -> list[Scored]:
    found = []
    for relation in relations:
        if relation.tails and given.tails:
            for head, tail in pairs_of(given, relation):
                answer = answers.support(i, in_words(text, relation.queries, head), tail)
                inverse = answers.support(i, in_words(text, relation.inverse, tail), head) if relation.inverse else 1.0
                link = head[:2], tail[:2], relation.name
                found.append(Scored(link, head[2], answer, inverse, between(head, tail)))
            continue
        for head in _heads(given, relation):
            for start, end, score in answers.spans(i, in_words(text, relation.queries, head)):
                if end <= head[0] or head[1] <= start:
                    link = head[:2], (start, end), relation.name
                    found.append(Scored(link, head[2], score, 1.0, between(head, (start, end))))
    return found


def kept_by(candidates: Iterable[Scored], knobs: Knobs) -> set[tuple[Link, str]]:
    scored = [(knobs.score(found), found) for found in candidates]
    kept = [(score, found) for score, found in scored if score >= knobs.threshold]
    if knobs.one_head:
        best: dict = {}
        for score, found in sorted(kept, key=lambda entry: (-entry[0], entry[1].link)):
            best.setdefault(found.link[1:], (score, found))
        kept = list(best.values())
    return {(found.link, found.head_label) for _, found in kept}


def knobs_to_try(relations: Iterable[Relation], setting: str) -> list[Knobs]:
    """Without inverse questions where none are asked."""
    thresholds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, *(round(0.05 * i, 2) for i in range(2, 19))]
    has_inverse = setting != "gold_heads" and any(relation.inverse for relation in relations)
    ways = product(thresholds, FALLS, (False, True) if has_inverse else (False,), (False, True))
    return [Knobs(*values) for values in ways]


def nearest_of_same(found: Iterable[tuple[Link, str]], given: Given, relations: Iterable[Relation]) -> set:
    """The same answers, each bound to the nearest head of its relation instead of the one that was asked."""
    by_name = {relation.name: relation for relation in relations}
    bound = set()
    for tail, name in {(link[1], link[2]) for link, _ in found}:
        heads = [h for h in _heads(given, by_name[name]) if h[1] <= tail[0] or tail[1] <= h[0]]
        if heads:
            head = min(heads, key=lambda h: (between(h, tail), h))
            bound.add(((head[:2], tail, name), head[2]))
    return bound


def plain_answers(nlp: Language, texts: Sequence[Text], relations: Sequence[Relation]) -> list[dict[str, list[Place]]]:
    """Spans of the relations' wordings as labels of the text, about no head."""
    wordings = {relation.name: relation.queries for relation in relations}
    asked = {"labels": {name: list(queries) for name, queries in wordings.items()}, "flat": False}
    key = nlp.get_pipe("metaie").spans_key
    found: list[dict[str, list[Place]]] = []
    for doc in pipe_with_labels(nlp, [(text.text, asked) for text in texts]):
        own: dict[str, list[Place]] = {name: [] for name in wordings}
        for span in doc.spans[key]:
            own[span.label_].append((span.start_char, span.end_char, span.label_))
        found.append(own)
    return found


def signs_in_words(
    nlp: Language, texts: Sequence[Text], heads: Sequence[Iterable[Place]], signs: Mapping
) -> list[dict]:
    """The sentiment of every aspect: the option whose question has most support on the aspect itself."""
    wanted = [list(dict.fromkeys(own)) for own in heads]
    questions = [[query for wordings in signs.values() for query in wordings] if own else [] for own in wanted]
    answers = Answers(nlp, texts, questions)
    return [
        {head[:2]: max(signs, key=lambda name: answers.support(i, signs[name], head)) for head in own}
        for i, own in enumerate(wanted)
    ]


# The component's own links


def ask_links(
    nlp: Language, texts: Sequence[Text], given: Sequence[Given], schema: Schema, setting: str
) -> tuple[list[set[tuple[Link, str]]], list[dict], dict]:
    """Links by the component, about heads (and tails) that are given.

    RETURNS (tuple): links with their heads' labels, and head -> sentiment, a set and a dict a text; what they were made
        with.
    """
    pipe = nlp.get_pipe("metaie")
    pipe.load()
    asked = parse_links({key: schema.plain[key] for key in ("links", "attributes") if key in schema.plain})
    if setting == "gold_heads":
        asked = asked._replace(relations=tuple(relation._replace(tails=()) for relation in asked.relations))
    docs = [nlp.make_doc(text.text) for text in texts]
    wanted = []
    for doc, own in zip(docs, given):
        places = {place for part in (own.heads, own.tails) for spans in part.values() for place in spans}
        wanted.append(Wanted(doc, answers_at(doc, places), list(schema.labels), asked, None))
    calibration = getattr(pipe.model.shims[0], "link_calibration", None)
    if setting == "gold_heads":  # that an answer is a given head, too, says nothing for it
        calibration = {**decode_links.WEIGHTS, **(calibration or {}), "tail": 0.0}
    found, signs = [], []
    for i in range(0, len(wanted), 128):
        for one in follow(wanted[i : i + 128], scorer_of(pipe), calibration):
            doc = docs[len(found)]
            links = {
                ((in_characters(doc, head), in_characters(doc, tail), label), head.label)
                for head, label, tail, _ in one.links
            }
            found.append(links)
            signs.append({in_characters(doc, head): option for head, _, option, _ in one.attributes})
    return found, signs, weights_facts(pipe)


def weights_facts(pipe: Any) -> dict[str, Any]:
    """What the links of a component with its weights are made with."""
    shim = pipe.model.shims[0]
    return {"binds": bool(getattr(shim, "binds", False)), "calibration": getattr(shim, "link_calibration", None)}


def links_of_texts(
    nlp: Language, texts: Sequence[Text], schema: Schema
) -> tuple[list[set[tuple[Link, str]]], list[dict], list[Given], dict]:
    """Links by the component as users call it, from the text alone: labels, flat, and links in one call.

    RETURNS (tuple): as `ask_links`, and before the last the spans that were found.
    """
    pipe = nlp.get_pipe("metaie")
    asked = {key: schema.plain[key] for key in ("labels", "links", "attributes") if key in schema.plain}
    found, signs, spans = [], [], []
    for doc in pipe_with_labels(nlp, [(text.text, asked | {"flat": True}) for text in texts]):
        found.append(set(found_links(doc, pipe.spans_key).items()))
        chosen = entries(doc, pipe.spans_key, "attributes")
        signs.append({(start, end): option for _, start, end, _, _, option, _ in chosen})
        spans.append(places_in(doc, pipe.spans_key))
    return found, signs, given_of(texts, spans, schema, "end_to_end"), weights_facts(pipe)


def answers_at(doc: Doc, places: Iterable[Place]) -> list[Answer]:
    """Places in characters as answers that are sure, on the tokens that they touch."""
    spans = [doc.char_span(start, end, label, alignment_mode="expand") for start, end, label in sorted(places)]
    return [Answer(span.label_, span.start, span.end, 1.0) for span in spans]


def in_characters(doc: Doc, mention: Any) -> tuple[int, int]:
    return doc[mention.start].idx, doc[mention.end - 1].idx + len(doc[mention.end - 1])


# Which head


def head_supports(
    nlp: Language, texts: Sequence[Text], schemas: Sequence[Schema], cases: Sequence[tuple], way: str
) -> list[Choice]:
    """The support of each head for a gold tail.

    cases (Sequence[tuple]): text's number, label, tail, heads, number of the right one. way (str): "rule": nearness.
    """
    if way == "rule":
        return [Choice(right, [-between(head, tail) for head in heads]) for _, _, tail, heads, right in cases]
    queries = [{relation.name: relation.queries for relation in schema.relations} for schema in schemas]
    if way == "words":
        questions: list[list[str]] = [[] for _ in texts]
        for i, label, _, heads, _ in cases:
            questions[i] += [q for head in heads for q in in_words(texts[i], queries[i][label], head)]
        answers = Answers(nlp, texts, questions)
        return [
            Choice(right, [answers.support(i, in_words(texts[i], queries[i][label], head), tail) for head in heads])
            for i, label, tail, heads, right in cases
        ]
    return _supports_of_links(nlp, texts, queries, cases)


def _supports_of_links(
    nlp: Language, texts: Sequence[Text], queries: Sequence[Mapping], cases: Sequence[tuple]
) -> list[Choice]:
    pipe = nlp.get_pipe("metaie")
    pipe.load()
    docs = [nlp.make_doc(text.text) for text in texts]
    asked: dict[tuple[int, int, int], dict[str, None]] = {}  # head -> wordings, each once

    def head_at(i: int, place: Sequence) -> tuple[int, int, int]:
        span = docs[i].char_span(place[0], place[1], alignment_mode="expand")
        return i, span.start, span.end

    for i, label, _, heads, _ in cases:
        for head in heads:
            asked.setdefault(head_at(i, head), {}).update(dict.fromkeys(queries[i][label]))
    order = list(asked)
    found: dict[tuple[tuple[int, int, int], str], tuple[list[int], np.ndarray]] = {}
    for number, names, tokens, values in scorer_of(pipe)(docs, order, [tuple(asked[head]) for head in order]):
        for u, name in enumerate(names):
            found[order[number], name] = tokens, values[:, u]

    def support_of(i: int, label: str, head: Sequence, tail: Sequence) -> float:
        best, doc = None, docs[i]
        for query in queries[i][label]:
            tokens, values = found.get((head_at(i, head), query), ([], np.zeros((0, 2))))
            inside = [w for w, t in enumerate(tokens) if doc[t].idx < tail[1] and doc[t].idx + len(doc[t]) > tail[0]]
            values = np.asarray(values)[inside]
            best = values if best is None else better_logits(best, values)
        return support(best)

    return [Choice(right, [support_of(i, label, h, tail) for h in heads]) for i, label, tail, heads, right in cases]
