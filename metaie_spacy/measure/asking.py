"""Links of annotated rows, asked of a pipeline: about the gold heads, and about those that it finds."""

from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from ..data.known_links import KnownLinks, Link, known_links
from ..data.rows import Row, labels_at, places
from ..linking.follow import Mention, Wanted, Weighed, follow
from ..linking.weak import weak_answers
from ..linking.words import calibration_of, scorer_of
from ..notes import note_of
from ..pipelines import active_pipe
from ..schema import LinkSchema, Relation, parse_links, wording
from ..spans import Answer
from .links import link_scores

BATCH = 128  # texts whose heads are asked at a time
CANDIDATE = "candidate answer"  # what answers are called that are given as candidates
UNNAMED = "span"  # what a head is called that is no span of its row


class Asked(NamedTuple):
    """A text, the spans that are given as heads and tails, their labels, and what is asked of them.

    weak (Sequence[Answer]): spans below their threshold, see `linking.weak.weak_answers`.
    """

    doc: Doc
    answers: list[Answer]
    labels: list[str]
    schema: LinkSchema
    weak: Sequence[Answer] = ()


def evaluate_links(nlp: Language, rows: Sequence[Row], docs: Sequence[Doc], *, name: str = "metaie") -> dict:
    """Exact-match scores of the links of rows.

    docs (Sequence[Doc]): of the rows, with the spans that the component found.
    RETURNS (dict): "gold_heads": the model is given the gold spans; "end_to_end": its own. Each with `p`, `r`, `f`,
        `f_low`, `f_high`, `links` (gold), `found`, `per_label` and `counts`, see `link_scores`. Links that the row
        did not ask, and those at unsure places, are left out.
    """
    pipe = active_pipe(nlp, name)
    own = parse_links({"links": pipe.links})
    known = [known_links(row) for row in rows]
    given = {
        "gold_heads": [gold_spans(doc, row, own) for doc, row in zip(docs, rows)],
        "end_to_end": [found_spans(pipe, doc, row_schema(row, own)) for doc, row in zip(docs, rows)],
    }
    results = {}
    for setting, asked in given.items():
        found = [
            one.counted(links, links) for one, links in zip(known, ask(pipe, asked, threshold=pipe.link_threshold))
        ]
        results[setting] = link_scores([one.links for one in known], found)
    return results


def ask(
    pipe: Any,
    asked: Sequence[Asked],
    *,
    threshold: float | None = None,
    calibration: Mapping[str, float] | None = None,
    weighed: list[Weighed] | None = None,
) -> Iterator[dict[Link, str]]:
    """The links of texts about spans that are given, each with the label of its head. An adapter that is set is asked.

    calibration (Mapping | None): None: as the component weighs them. weighed (list | None): takes all pairs that may
        be links, their `text` being the number in `asked`.
    """
    pipe.load()
    calibration = calibration_of(pipe) if calibration is None else calibration
    number = 0
    for batch in minibatch(asked, BATCH):
        pairs: list[Weighed] | None = None if weighed is None else []
        wanted = [Wanted(one.doc, one.answers, one.labels, one.schema, threshold, one.weak) for one in batch]
        with pipe.model.shims[0].using(pipe.adapter):
            answered = list(follow(wanted, scorer_of(pipe), calibration, pairs))
        for one, followed in zip(batch, answered):
            yield {
                (in_characters(one.doc, head), in_characters(one.doc, tail), label): head.label
                for head, label, tail, _ in followed.links
            }
        if weighed is not None:
            weighed += [pair._replace(text=pair.text + number) for pair in pairs or ()]
        number += len(batch)


def row_schema(row: Row, own: LinkSchema) -> LinkSchema:
    """The relations of a row. Those that the component asks by name are asked in its way, the others by their names.

    Heads are the labels of the row's spans where a relation was asked. own (LinkSchema): of the component.
    """
    by_place = labels_at(places(row))
    heads: dict[str, set[str]] = {}
    for link in row.get("links", []):
        place = link["head"][0], link["head"][1]
        heads.setdefault(link["label"], set()).update(by_place.get(place, [UNNAMED]))
    relations = []
    for name, labels in heads.items():
        known = [relation for relation in own.relations if relation.name == name]
        covered = {label for relation in known for label in relation.heads}
        relations += known
        if rest := labels - covered:
            relations.append(Relation(name, tuple(sorted(rest)), known[0].queries if known else (wording(name),)))
    return LinkSchema(tuple(relations))


def gold_spans(doc: Doc, row: Row, own: LinkSchema) -> Asked:
    """A row's spans as sure answers, and the heads of its links that are none of them. They take whole tokens."""
    spans = places(row)
    heads = {(link["head"][0], link["head"][1]) for link in row.get("links", [])}
    spans += [(*head, UNNAMED) for head in sorted(heads - {spot[:2] for spot in spans})]
    answers = []
    for start, end, label in spans:
        span = doc.char_span(start, end, label, alignment_mode="expand")
        answers.append(Answer(label, span.start, span.end, 1.0))
    return Asked(doc, answers, sorted({label for *_, label in spans}), row_schema(row, own))


def found_spans(pipe: Any, doc: Doc, schema: LinkSchema) -> Asked:
    """The spans that the component found, with their scores, and the weak ones where the component noted them."""
    group = doc.spans[pipe.spans_key]
    answers = [
        Answer(span.label_, span.start, span.end, float(score)) for span, score in zip(group, group.attrs["scores"])
    ]
    note, weak = note_of(doc, pipe.name), []
    if note is not None and pipe.may_be_weak(note.ask, note.ask):
        weak = weak_answers(doc, note.ask.labels, schema, answers, note.dropped, flat=bool(note.ask.flat))
    return Asked(doc, answers, list(group.attrs["asked"]), schema, weak)


def with_candidates(asked: Asked, row: Row) -> Asked:
    """The same questions where the answers to all questions of the row, and its heads, are the candidates, and no
    other words."""
    score = float(np.mean([answer.score for answer in asked.answers] or [1.0]))
    tails = {(start, end) for link in row.get("links", []) for start, end in link["tails"]}
    spans = [asked.doc.char_span(start, end, alignment_mode="expand") for start, end in sorted(tails)]
    answers = [Answer(CANDIDATE, span.start, span.end, score) for span in spans if span is not None]
    taken = {(answer.start, answer.end) for answer in answers}

    def others(given: Sequence[Answer]) -> list[Answer]:
        """Spans that answer nothing: a wrong tail is as a rule a span of the right kind."""
        return [answer._replace(label=CANDIDATE) for answer in given if (answer.start, answer.end) not in taken]

    relations = tuple(relation._replace(tails=(CANDIDATE,)) for relation in asked.schema.relations)
    return asked._replace(
        answers=[*asked.answers, *answers, *others(asked.answers)],
        labels=[*asked.labels, CANDIDATE],
        schema=asked.schema._replace(relations=relations),
        weak=[*asked.weak, *others(asked.weak)],
    )


def in_characters(doc: Doc, mention: Mention) -> tuple[int, int]:
    return doc[mention.start].idx, doc[mention.end - 1].idx + len(doc[mention.end - 1])


def decided(known: Sequence[KnownLinks], asked: Sequence[Asked], weighed: Sequence[Weighed]) -> list[bool | None]:
    """Whether each pair is a gold link; None: the annotation leaves that open."""
    results: list[bool | None] = []
    for pair in weighed:
        doc, one = asked[pair.text].doc, known[pair.text]
        link = in_characters(doc, pair.head), in_characters(doc, pair.tail), pair.label
        results.append(link in one.links if one.decides(link, pair.head.label) else None)
    return results
