"""The packaged model that users get."""
import pytest
import spacy
from conftest import answers

TEXT = "Ada Lovelace was born in London. "


@pytest.fixture(scope="module")
def nlp():
    return spacy.load("en_metaie_sm")


def test_blank_pipeline_takes_the_default_weights(nlp):
    blank = spacy.blank("en")
    blank.add_pipe("metaie", config={"labels": ["person", "city"]})
    nlp.get_pipe("metaie").labels = ["person", "city"]
    assert answers(blank(TEXT)) == answers(nlp(TEXT)) == [("Ada Lovelace", "person"), ("London", "city")]


def test_spans_that_cross_the_edges_of_windows_are_found_once(nlp):
    nlp.get_pipe("metaie").labels = ["person", "city"]
    limits = nlp.get_pipe("metaie").model.shims[0].limits
    before = dict(limits)
    try:
        for window in (64, 53, 40):
            limits["window"], limits["overlap"] = window, 19
            assert answers(nlp(TEXT * 40)) == [("Ada Lovelace", "person"), ("London", "city")] * 40
    finally:
        limits.update(before)


def test_package_says_what_it_was_made_from(nlp):
    names = {source["name"] for source in nlp.meta["sources"]}
    assert "all-MiniLM-L6-v2" in names and nlp.meta["license"] == "MIT"
