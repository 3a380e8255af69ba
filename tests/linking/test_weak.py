"""Spans below the threshold of the weights that links begin or end at."""

import numpy as np
import pytest
from answering import NLP, Answering, found_in, mentions
from helpers import answers

import metaie_spacy
from metaie_spacy import pipe_with_labels
from metaie_spacy.linking.follow import Wanted, follow
from metaie_spacy.linking.weak import weak_answers
from metaie_spacy.measure import asking
from metaie_spacy.notes import noting, take_note
from metaie_spacy.router.features import facts_of
from metaie_spacy.schema import parse_labels, parse_links
from metaie_spacy.spans import Logits
from metaie_spacy.teacher.choosing import read

TEXT = "Ada Lovelace works for the Royal Society in London, and Bob Smith for KLM in Paris."
LABELS = {"PER": "person", "ORG": "company", "CITY": "city"}
WORKS = {"links": {"works_for": {"head": "PER", "query": "employer", "tail": "ORG"}}}
EMPLOYERS = {("Ada Lovelace", "employer"): ["Royal Society"], ("Bob Smith", "employer"): ["KLM"]}
SURE, WEAK = 0.9, 0.4
THRESHOLD, TAG = 0.6, 0.1
SCORES = {
    "PER": {"Ada Lovelace": SURE, "Bob Smith": WEAK},
    "ORG": {"Royal Society": SURE, "KLM": WEAK},
    "CITY": {"Paris": WEAK},
}
STRONG = [("Ada Lovelace", "PER"), ("Royal Society", "ORG")]
ALL = [("Ada Lovelace", "PER"), ("Royal Society", "ORG"), ("Bob Smith", "PER"), ("KLM", "ORG")]


def weak_of(kept, dropped, *, flat=False, labels=LABELS, links=WORKS):
    doc = NLP.make_doc(TEXT)
    found = weak_answers(
        doc, parse_labels(labels), parse_links(links), mentions(doc, **kept), mentions(doc, **dropped), flat=flat
    )
    return [(doc[one.start : one.end].text, one.label) for one in found]


def test_only_labels_that_links_begin_or_end_at_have_weak_spans():
    assert weak_of({}, {"PER": ["Ada Lovelace"], "ORG": ["KLM"], "CITY": ["Paris"]}) == [
        ("Ada Lovelace", "PER"),
        ("KLM", "ORG"),
    ]


def test_labels_whose_threshold_was_chosen_have_none():
    labels = LABELS | {"PER": {"query": "person", "threshold": 0.2}}
    assert weak_of({}, {"PER": ["Ada Lovelace"], "ORG": ["KLM"]}, labels=labels) == [("KLM", "ORG")]


def test_weak_spans_stand_beside_those_of_their_label_and_where_all_is_flat_beside_all():
    kept, dropped = {"PER": ["Ada Lovelace"]}, {"PER": ["Lovelace works"], "ORG": ["Lovelace", "KLM"]}
    assert weak_of(kept, dropped) == [("Lovelace", "ORG"), ("KLM", "ORG")]
    assert weak_of(kept, dropped, flat=True) == [("KLM", "ORG")]


@pytest.mark.parametrize(
    ("flat", "found"), [(True, [("KLM in Paris", "ORG")]), (False, [("KLM", "PER"), ("KLM in Paris", "ORG")])]
)
def test_of_weak_spans_that_overlap_the_best_stays(flat, found):
    dropped = {"PER": [("KLM", 0.2)], "ORG": [("KLM in Paris", 0.3), ("Paris", 0.25)]}
    assert weak_of({}, dropped, flat=flat) == found


def test_weak_spans_that_their_label_does_not_keep_are_none():
    labels = LABELS | {"PER": {"query": "person", "keep": r"\w+ \w+"}}
    assert weak_of({}, {"PER": ["Ada Lovelace", "Smith"]}, labels=labels) == [("Ada Lovelace", "PER")]


def followed(strong, weak, schema=WORKS, facts=EMPLOYERS, threshold=None):
    """Links as texts, the weak spans that they begin or end at, and all that came of it."""
    doc = NLP.make_doc(TEXT)
    one = Wanted(doc, mentions(doc, **strong), list(LABELS), parse_links(schema), threshold, mentions(doc, **weak))
    (found,) = follow([one], Answering(facts))
    return found_in(doc, found), {(doc[start:end].text, label) for start, end, label in found.weak_ends}, found


def test_a_link_brings_its_weak_ends_and_no_other_span():
    links, ends, found = followed(
        {"PER": ["Ada Lovelace"], "ORG": ["Royal Society"]},
        {"PER": [("Bob Smith", 0.3)], "ORG": [("KLM", 0.2), ("Paris", 0.2)]},
    )
    assert links == [("Ada Lovelace", "works_for", "Royal Society"), ("Bob Smith", "works_for", "KLM")]
    assert ends == {("Bob Smith", "PER"), ("KLM", "ORG")} and found.answers == []


def test_where_no_link_holds_nothing_is_brought():
    weak = {"PER": [("Bob Smith", 0.3)], "ORG": [("KLM", 0.2)]}
    assert followed({}, weak, threshold=1.0)[:2] == ([], set())
    assert followed({}, weak, facts={})[:2] == ([], set())


def test_of_a_weak_span_options_are_told_only_if_a_link_holds():
    schema = WORKS | {"attributes": {"tone": {"head": "PER", "options": ["glad", "sad"]}}}
    facts = EMPLOYERS | {("Ada Lovelace", "sad"): ["works"], ("Bob Smith", "glad"): ["works"]}
    _, _, found = followed({"PER": ["Ada Lovelace"]}, {"PER": [("Bob Smith", 0.3)]}, schema, facts)
    assert [option for _, _, option, _ in found.attributes] == ["sad"]
    _, _, found = followed({"PER": ["Ada Lovelace"], "ORG": ["KLM"]}, {"PER": [("Bob Smith", 0.3)]}, schema, facts)
    assert [option for _, _, option, _ in found.attributes] == ["sad", "glad"]


def test_a_weak_span_gives_way_to_another_at_its_place():
    schema = {"links": {"works_for": {"head": "PER", "query": "employer", "tail": ["CITY", "ORG"]}}}
    strong = {"PER": ["Bob Smith"], "CITY": [("KLM", 0.1)]}
    _, ends, found = followed(strong, {"ORG": [("KLM", 0.3)]}, schema)
    assert ends == set() and [link.tail.label for link in found.links] == ["CITY"]


def test_words_that_one_link_makes_a_span_are_no_free_answer_of_another():
    schema = {
        "links": WORKS["links"] | {"pays": {"head": "ORG", "query": "payee"}, "boss": {"head": "PER", "query": "boss"}}
    }
    facts = EMPLOYERS | {("Bob Smith", "boss"): ["KLM"], ("Ada Lovelace", "boss"): ["Paris"]}
    links, ends, found = followed({"PER": ["Ada Lovelace", "Bob Smith"]}, {"ORG": [("KLM", 0.3)]}, schema, facts)
    assert set(links) == {
        ("Ada Lovelace", "boss", "Paris"),
        ("Bob Smith", "boss", "KLM"),
        ("Bob Smith", "works_for", "KLM"),
    }
    assert ends == {("KLM", "ORG")} and [answer.label for answer in found.answers] == ["boss"]


@pytest.fixture
def nlp(make_nlp, monkeypatch):
    """A pipeline that scores the spans of SCORES so, and knows who works where."""
    nlp = make_nlp(LABELS)
    pipe = nlp.get_pipe("metaie")
    shim, scorer = pipe.model.shims[0], Answering(EMPLOYERS)
    shim.module.config.metaie |= {"threshold": THRESHOLD, "tag_threshold": TAG}
    monkeypatch.setattr(type(shim), "binds", True, raising=False)
    pipe.model.attrs["score_links"] = lambda model, docs, heads, queries, kept=None: scorer(docs, heads, queries)

    def score_labels(self, docs, wanted, kept=None):
        for number, (doc, labels) in enumerate(zip(docs, wanted)):
            values = np.full((len(doc), len(labels), 2), -9.0, dtype="float32")
            for u, label in enumerate(labels):
                for text, score in SCORES[label.name].items():
                    span = doc.char_span(at := doc.text.index(text), at + len(text))
                    logit = np.log(score / (1 - score))
                    values[span.start, u, 0] = values[span.start + 1 : span.end, u, 1] = logit
            yield Logits(number, labels, list(range(len(doc))), values)

    monkeypatch.setattr(type(pipe), "score_labels", score_labels)
    return nlp


def test_a_doc_has_the_weak_ends_of_its_links_as_spans_with_their_own_scores(nlp):
    pipe = nlp.get_pipe("metaie")
    assert answers(nlp(TEXT)) == STRONG
    pipe.links = WORKS["links"]
    doc = nlp(TEXT)
    assert answers(doc) == ALL
    assert np.allclose(doc.spans["metaie"].attrs["scores"], [SURE, SURE, WEAK, WEAK], atol=0.01)
    assert [(link.head.text, link.tail.text) for link in metaie_spacy.links(doc)] == [
        ("Ada Lovelace", "Royal Society"),
        ("Bob Smith", "KLM"),
    ]
    assert [record["text"] for record in metaie_spacy.records(doc)] == ["Ada Lovelace", "Bob Smith"]
    assert len(doc.spans["metaie_answers"]) == 0


def test_ends_of_a_tree_of_links_keep_their_own_scores(nlp):
    pipe = nlp.get_pipe("metaie")
    pipe.links = WORKS["links"] | {"based_in": {"head": "works_for", "query": "city", "tail": "CITY"}}
    pipe.model.attrs["score_links"] = lambda model, docs, heads, queries, kept=None: Answering(
        EMPLOYERS | {("KLM", "city"): ["Paris"]}
    )(docs, heads, queries)
    doc = nlp(TEXT)
    assert answers(doc) == [*ALL, ("Paris", "CITY")]
    assert np.allclose(doc.spans["metaie"].attrs["scores"], [SURE, SURE, WEAK, WEAK, WEAK], atol=0.01)


def test_entities_are_spans_over_the_threshold_before_those_that_a_link_brought(nlp, monkeypatch):
    monkeypatch.setitem(SCORES, "CITY", {"for KLM": 0.65})
    pipe = nlp.get_pipe("metaie")
    pipe.links, pipe.set_ents = WORKS["links"], True
    doc = nlp(TEXT)
    assert ("KLM", "ORG") in answers(doc)
    assert ("for KLM", "CITY") in [(ent.text, ent.label_) for ent in doc.ents]


def test_a_threshold_that_somebody_chose_holds_for_the_ends_of_links_too(nlp):
    pipe = nlp.get_pipe("metaie")
    asked = {"labels": LABELS, **WORKS}
    asks = [
        asked,
        asked | {"threshold": 0.5},
        asked | {"labels": LABELS | {"PER": {"query": "person", "threshold": 0.5}}},
    ]
    docs = list(pipe_with_labels(nlp, [(TEXT, ask) for ask in asks]))
    assert [answers(doc) for doc in docs] == [ALL, STRONG, STRONG]
    assert answers(nlp(TEXT, component_cfg={"metaie": asked})) == ALL
    assert answers(nlp(TEXT, component_cfg={"metaie": asked | {"threshold": 0.6}})) == STRONG
    pipe.threshold = 0.6
    assert answers(nlp(TEXT, component_cfg={"metaie": asked})) == STRONG
    pipe.threshold, pipe.band = None, {"accept": 0.8, "drop": 0.3}
    assert answers(nlp(TEXT, component_cfg={"metaie": asked})) == STRONG


def test_weights_that_are_asked_in_words_have_no_weak_ends(nlp, monkeypatch):
    pipe = nlp.get_pipe("metaie")
    pipe.links = WORKS["links"]
    monkeypatch.setattr(type(pipe.model.shims[0]), "binds", False)
    monkeypatch.setattr(type(pipe), "_head_scorer", lambda self, kept: Answering(EMPLOYERS))
    assert answers(nlp(TEXT)) == STRONG


def test_a_note_tells_what_a_link_brought_and_routers_count_it_as_dropped(nlp):
    pipe = nlp.get_pipe("metaie")
    pipe.notes = True
    plain = nlp(TEXT)
    before = facts_of([plain], [take_note(plain, "metaie")], "metaie")
    pipe.links = WORKS["links"]
    doc = nlp(TEXT)
    note = take_note(doc, "metaie")
    assert answers(doc) == ALL and {one.label for one in note.weak} == {"PER", "ORG"}
    assert facts_of([doc], [note], "metaie")[2:5] == before[2:5]


def test_answers_from_elsewhere_keep_weak_ends_of_labels_that_were_not_asked_there(nlp):
    pipe = nlp.get_pipe("metaie")
    pipe.links, pipe.notes = WORKS["links"], True
    for asked, found in ((["ORG"], ALL), (["ORG", "PER"], STRONG + ALL[3:])):
        doc = nlp(TEXT)
        own = mentions(doc, PER=["Ada Lovelace"], ORG=["Royal Society", "KLM"])
        pipe.replace(doc, own, take_note(doc, "metaie"), asked)
        assert answers(doc) == found


def test_a_choice_of_texts_counts_spans_below_the_threshold(nlp):
    found = read(nlp, [TEXT], LABELS).scores
    assert [sorted(round(score, 2) for score in found[0][label]) for label in LABELS] == [
        [WEAK, SURE],
        [WEAK, SURE],
        [WEAK],
    ]


def test_a_measure_end_to_end_sees_the_links_that_users_get(nlp):
    pipe = nlp.get_pipe("metaie")
    at = {name: (TEXT.index(name), TEXT.index(name) + len(name)) for names in SCORES.values() for name in names}
    links = [("Ada Lovelace", "Royal Society"), ("Bob Smith", "KLM")]
    row = {
        "id": "1", "text": TEXT, "absent": ["ORG", "CITY"],
        "spans": [{"start": at[name][0], "end": at[name][1], "label": "PER"} for name in SCORES["PER"]],
        "links": [{"head": list(at[head]), "label": "employer", "tails": [list(at[tail])]} for head, tail in links],
    }  # fmt: skip
    for threshold, right in ((None, 2), (0.6, 1)):
        pipe.threshold = threshold
        with noting(pipe):
            docs = list(pipe_with_labels(nlp, [(TEXT, LABELS)]))
        assert not pipe.notes and answers(docs[0]) == STRONG
        found = asking.evaluate_links(nlp, [row], docs)["end_to_end"]
        assert found["r"] == right / 2 and found["p"] == 1
