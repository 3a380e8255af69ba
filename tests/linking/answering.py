"""A scorer that knows its answers, and short ways to ask it."""

import numpy as np
import spacy
from spacy.tokens import Doc

from metaie_spacy.linking.follow import Wanted, follow
from metaie_spacy.schema import parse_links
from metaie_spacy.spans import Answer, Logits

SURE = 6.0
NLP = spacy.blank("en")


class Answering:
    """Answers questions from a table {(text of the head, query): texts of the answers}, and notes what it was asked.

    near (int): tokens on each side of a head that it scores. chunk (int): queries that it answers at once.
    """

    def __init__(self, facts, near=1000, chunk=1000):
        self.facts, self.near, self.chunk, self.calls = facts, near, chunk, []

    def __call__(self, docs, heads, queries):
        self.calls.append([(docs[i][a:b].text, own) for (i, a, b), own in zip(heads, queries)])
        assert len(set(heads)) == len(heads), "a head is asked twice"
        for number, ((i, start, end), own) in enumerate(zip(heads, queries)):
            doc = docs[i]
            tokens = [t.i for t in doc[max(0, start - self.near) : end + self.near] if not t.is_space]
            for first in range(0, len(own), self.chunk):
                chunk = tuple(sorted(own))[first : first + self.chunk]
                values = np.full((len(doc), len(chunk), 2), -SURE, dtype="float32")
                for u, query in enumerate(chunk):
                    for fact in self.facts.get((doc[start:end].text, query), ()):
                        text, logit = fact if isinstance(fact, tuple) else (fact, SURE)
                        at = doc.text.index(text)
                        span = doc.char_span(at, at + len(text))
                        values[span.start, u, 0] = values[span.start + 1 : span.end, u, 1] = logit
                yield Logits(number, chunk, tokens, values[tokens])


def mentions(doc, **labels):
    """Answers of the labels, by the texts given; (text, score) gives another score than 0.9."""
    found = []
    for label, texts in labels.items():
        for text in texts:
            text, score = text if isinstance(text, tuple) else (text, 0.9)
            at = doc.text.index(text)
            span = doc.char_span(at, at + len(text))
            found.append(Answer(label, span.start, span.end, score))
    return found


def wanted(text, schema, threshold=None, **labels):
    doc = text if isinstance(text, Doc) else NLP.make_doc(text)
    return Wanted(doc, mentions(doc, **labels), list(labels), parse_links(schema), threshold)


def found_in(doc, followed):
    """(head, label, tail) as texts."""
    return [
        (doc[head.start : head.end].text, label, doc[tail.start : tail.end].text)
        for head, label, tail, _ in followed.links
    ]


def ask(text, schema, facts, threshold=None, near=1000, chunk=1000, **labels):
    """The links of one text, as texts, and what came of it."""
    one = wanted(text, schema, threshold, **labels)
    (followed,) = follow([one], Answering(facts, near, chunk))
    return found_in(one.doc, followed), followed
