"""Codes of annotation schemes are asked in full beside what was given."""

import pytest

from metaie_spacy.schema import parse_labels
from metaie_spacy.schema.codes import CODES, spelled_out


@pytest.mark.parametrize(
    "code, words",
    [
        ("PER", "person"),
        ("B-LOC", "location"),
        ("GPE", "country, city or state"),
        ("WORK_OF_ART", "work of art"),
        ("DATE-OF-BIRTH", "date of birth"),
        ("INVOICE NUMBER", "invoice number"),
        ("POLITICIAN", "politician"),
        ("DOB", "date of birth"),
    ],
)
def test_a_code_or_a_word_in_capitals_is_spelled_out(code, words):
    assert spelled_out(code) == words


@pytest.mark.parametrize(
    "query",
    ["person", "Person", "DNA", "RNA", "CEO", "", " ", "what is DNA?", "PER son", "ÖRG", "A" * 41, "3D", "X", "-", "_"],
)
def test_what_is_no_code_stays_as_it_is(query):
    assert spelled_out(query) is None


def test_the_code_itself_is_asked_too():
    (label,) = parse_labels(["PER"])
    assert label.query == "PER" and label.queries == ("PER", "person")
    assert parse_labels({"PER": "human"})[0].queries == ("human",)
    assert parse_labels({"who": ["PER", "person", "ORG"]})[0].queries == ("PER", "person", "ORG", "organization")
    assert parse_labels({"DOB": {"pattern": r"\d+"}})[0].queries == ()


def test_every_code_is_one():
    for code, words in CODES.items():
        assert spelled_out(code) == words and words == words.lower().replace("_", " ")
