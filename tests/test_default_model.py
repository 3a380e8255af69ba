"""The packaged model that users get."""

import pytest
import spacy
from helpers import answers, packaged
from spacy.cli.find_threshold import find_threshold
from spacy.tokens import DocBin, Span

TEXT = "Ada Lovelace was born in London. "


@pytest.fixture(scope="module")
def nlp():
    return packaged()


def test_blank_pipeline_takes_the_default_weights(nlp):
    blank = spacy.blank("en")
    blank.add_pipe("metaie", config={"labels": ["person", "city"], "model": {"compute_dtype": "float32"}})
    nlp.get_pipe("metaie").labels = ["person", "city"]
    assert answers(blank(TEXT)) == answers(nlp(TEXT)) == [("Ada Lovelace", "person"), ("London", "city")]


PEOPLE = [
    "Ada Lovelace", "Charles Babbage", "Marie Curie", "Alan Turing", "Grace Hopper", "Isaac Newton", "Emmy Noether", "Niels Bohr",
]  # fmt: skip
CITIES = ["London", "Paris", "Warsaw", "Berlin", "Boston", "Vienna", "Madrid"]
BETWEEN = [
    "The weather stayed mild for the rest of the week and nothing else happened. ",
    "Most of the work was done by hand, slowly and with great care, as it had always been. ",
    "Nobody could say why it took so long, or what would come next. ",
]


@pytest.mark.parametrize("window, overlap", [(None, None), (64, 31), (53, 19), (40, 15)])
def test_spans_that_cross_the_edges_of_windows_are_found_once(nlp, window, overlap):
    parts, expected = [], []
    for i in range(40):
        person, city = PEOPLE[i % 8], CITIES[i % 7]
        parts += [f"{person} was born in {city}, far from the sea. ", BETWEEN[i % 3], BETWEEN[(i + 1) % 3]]
        expected += [(person, "person"), (city, "city")]
    nlp.get_pipe("metaie").labels = ["person", "city"]
    limits = nlp.get_pipe("metaie").model.shims[0].limits
    before = dict(limits)
    try:
        limits.update({"window": window, "overlap": overlap} if window else {})
        nlp.get_pipe("metaie").threshold = 0.1  # what is found, not how sure the model is of it
        assert answers(nlp("".join(parts))) == expected
    finally:
        limits.update(before)
        nlp.get_pipe("metaie").threshold = None


def test_set_ents_keeps_entities_that_do_not_overlap():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(
        "metaie", config={"labels": {"PER": "person", "WHO": "person", "CITY": "city"}, "set_ents": True}
    )
    doc = nlp.make_doc("Ada Lovelace was born in London on 10 December 1815.")
    doc.ents = [Span(doc, 1, 2, label="LOST"), Span(doc, 7, 10, label="DATE", kb_id="Q1")]
    doc = nlp(doc)
    assert [(ent.text, ent.label_, ent.kb_id_) for ent in doc.ents if ent.label_ == "DATE"] == [
        ("10 December 1815", "DATE", "Q1")
    ]
    assert {ent.text for ent in doc.ents} == {"Ada Lovelace", "London", "10 December 1815"}
    assert {label for text, label in answers(doc) if text == "Ada Lovelace"} == {"PER", "WHO"}  # doc.spans may overlap
    pipe.set_ents = False
    assert not nlp("Ada Lovelace was born in London.").ents


def test_spacys_own_find_threshold_tunes_a_closed_set(tmp_path):
    closed = packaged(labels=["person", "city"])
    doc = closed.make_doc("Ada Lovelace met Charles Babbage in London.")
    doc.spans["metaie"] = [Span(doc, 0, 2, "person"), Span(doc, 3, 5, "person"), Span(doc, 6, 7, "city")]
    DocBin(docs=[doc]).to_disk(tmp_path / "dev.spacy")
    closed.to_disk(tmp_path / "model")
    best, score, scores = find_threshold(
        tmp_path / "model", tmp_path / "dev.spacy", pipe_name="metaie", threshold_key="threshold",
        scores_key="spans_metaie_f", n_trials=3, silent=True,
    )  # fmt: skip
    assert list(scores) == [0.0, 0.5, 1.0]  # spaCy tries both ends
    assert (best, score) == (0.5, 1.0)
    assert scores[1.0] == 0.0


def test_package_says_what_it_was_made_from(nlp):
    names = {source["name"] for source in nlp.meta["sources"]}
    assert "all-MiniLM-L6-v2" in names and nlp.meta["license"] == "MIT"
