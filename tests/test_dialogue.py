"""The state of a dialogue: set, corrected, cleared, carried over turns."""

import pytest
from spacy.language import Language

from metaie_spacy.dialogue import Change, Dialogue, Turn, changes, given_in, same_value, taken_back, turn_text, updated
from metaie_spacy.spans import Answer, write_group

SLOTS = {"city": {"query": "city", "description": "where to eat"}, "food": "kind of food"}
CITIES, FOODS = ("Oslo", "Lagos"), ("sushi", "pasta")


@Language.component("finds_slots")
def finds_slots(doc):
    """Stands for a trained model: finds what it knows, wherever it stands."""
    known = {**dict.fromkeys(CITIES, "city"), **dict.fromkeys(FOODS, "food")}
    found = [Answer(known[token.text], token.i, token.i + 1, 0.9) for token in doc if token.text in known]
    write_group(doc, "metaie", found, ["city", "food"])
    return doc


@pytest.fixture
def nlp(make_nlp):
    nlp = make_nlp(["city"])
    nlp.add_pipe("finds_slots", last=True)
    return nlp


def test_values_are_set_corrected_cleared_and_carried_over(nlp):
    dialogue = Dialogue(nlp, SLOTS)
    assert dialogue.turn("I want sushi in Oslo").given == {"food": "sushi", "city": "Oslo"}
    assert dialogue.turn("Thank you", "Which day?").given == {} and dialogue.state == {"food": "sushi", "city": "Oslo"}
    dialogue.turn("Lagos rather", "Oslo it is")
    assert dialogue.state == {"food": "sushi", "city": "Lagos"}
    assert dialogue.turn("Never mind the food").cleared == ["food"] and dialogue.state == {"city": "Lagos"}
    dialogue.turn("Forget the city, make it Oslo")
    assert dialogue.state == {"city": "Oslo"}
    assert dialogue.history[:3] == ["U: I want sushi in Oslo", "S: Which day?", "U: Thank you"]


def test_the_history_is_read_along_but_gives_nothing(nlp):
    text, start = turn_text(Turn("And pasta", "Sure", ["U: sushi in Oslo", "S: Fine"]))
    assert text == "U: sushi in Oslo\nS: Fine\nSure\nAnd pasta" and text[start:] == "Sure\nAnd pasta"
    assert turn_text(Turn("yes", "", ["U: a b c", "S: d"]), most=2) == ("S: d\nyes", 5)
    (change,) = changes(nlp, [(Turn("And pasta", "Sure", ["U: sushi in Oslo", "S: Fine"]), SLOTS)])
    assert change.given == {"food": "pasta"} and change.doc.text == text


def test_of_several_spans_the_surest_is_the_value_then_the_last(nlp):
    doc = nlp.make_doc("Oslo or Lagos or Paris")
    write_group(
        doc, "metaie", [Answer("city", 0, 1, 0.7), Answer("city", 2, 3, 0.9), Answer("city", 4, 5, 0.9)], ["city"]
    )
    assert given_in(doc, "metaie", 0) == {"city": "Paris"} and given_in(doc, "metaie", 20) == {}


@pytest.mark.parametrize(
    "said, slots",
    [
        ("Never mind the city.", ["city"]),
        ("I don't care about the food", ["food"]),
        ("any city will do", ["city"]),
        ("remove my city, and forget about the food", ["city", "food"]),
        ("I never mind walking to the city", []),
        ("the citylights, not any cityscape", []),
    ],
)
def test_what_is_taken_back_is_heard(said, slots):
    assert taken_back(said, ["city", "food"]) == slots


def test_a_value_that_is_given_wins_over_one_that_is_taken_back():
    assert updated({"a": "1", "b": "2"}, Change({"a": "3"}, ["a", "b"], None)) == {"a": "3"}


def test_values_are_the_same_but_for_case_and_article():
    assert (
        same_value("The  Ritz", ["ritz"]) and same_value("an inn", ["Inn"]) and not same_value("inn", ["ritz", "inner"])
    )
