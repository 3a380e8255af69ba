"""Labels below other labels: asked of the texts in which the label above them was found."""

import json
import subprocess
import sys

import pytest
import spacy
from helpers import SENTENCES, assert_same, scored

from metaie_spacy import pipe_with_labels, read_schema
from metaie_spacy.schema import parse_ask, parse_labels, plain, plain_ask

CODE, OTHER = "Order AB12 went to Ada.", "Order went to Ada."
BY_RULE = {
    "CODE": {"pattern": r"AB\d+", "children": {"whose": "person", "DAY": {"pattern": "Ada", "children": ["date"]}}}
}
DEEP = {
    "person": {"query": "name of a person", "children": ["date", {"name": "D", "query": "drug", "children": ["place"]}]}
}


def asked(doc):
    return doc.spans["metaie"].attrs["asked"]


def test_children_are_asked_of_the_texts_in_which_their_parent_was_found(make_nlp):
    nlp = make_nlp(BY_RULE, threshold=0.01)
    found, not_found = nlp.pipe([CODE, OTHER])
    assert asked(found) == ["CODE", "whose", "DAY", "date"] and asked(not_found) == ["CODE"]
    assert "whose" in {span.label_ for span in found.spans["metaie"]}
    assert len(not_found.spans["metaie"]) == 0
    assert len(nlp(OTHER, component_cfg={"metaie": {"labels": {"whose": "person"}}}).spans["metaie"])


def test_a_child_of_a_label_that_was_not_asked_is_not_asked(make_nlp):
    nlp = make_nlp({"CODE": {"pattern": r"AB\d+", "children": {"WHO": {"pattern": "Ada", "children": ["date"]}}}})
    assert asked(nlp(OTHER)) == ["CODE"]  # though "Ada" is there


@pytest.mark.parametrize("kind", [{}, {"architecture": "CrossEncoder"}, {"model": {"text_sees_labels": True}}])
def test_a_parent_without_an_answer_costs_its_children_their_pass(make_nlp, kind, monkeypatch):
    nlp = make_nlp(BY_RULE, threshold=0.01, **kind)
    pipe = nlp.get_pipe("metaie")
    seen, score = [], pipe.model.attrs["score"]
    pipe.model.attrs["score"] = lambda model, docs, queries, *more: (
        seen.append(queries) or score(model, docs, queries, *more)
    )
    nlp(OTHER)
    assert seen == ([[("person", "date")]] if not kind else [[()]])  # blind texts are read once in any case


def test_a_level_at_a_time_gives_what_all_labels_at_once_give(make_nlp):
    nlp = make_nlp(threshold=0.7, architecture="CrossEncoder")  # whose scores do not depend on what else is asked
    flat = {label.name: list(label.queries) for label in parse_labels(DEEP)}
    together = list(pipe_with_labels(nlp, [(text, flat) for text in SENTENCES]))
    by_level = list(pipe_with_labels(nlp, [(text, DEEP) for text in SENTENCES]))
    assert len({tuple(asked(doc)) for doc in by_level}) > 1
    expected = [
        {key: score for key, score in scored(one).items() if key[2] in asked(other)}
        for one, other in zip(together, by_level)
    ]
    assert_same([scored(doc) for doc in by_level], expected)
    for doc in by_level:
        found = {span.label_ for span in doc.spans["metaie"]}
        assert ("date" in asked(doc)) == ("D" in asked(doc)) == ("person" in found)
        assert ("place" in asked(doc)) == ("D" in asked(doc) and "D" in found)


def test_a_parent_that_gives_way_to_its_child_has_answered_all_the_same(make_nlp):
    nlp = make_nlp({"CODE": {"pattern": "AB12", "children": {"ORDER": {"pattern": "Order AB12"}}}}, flat=True)
    doc = nlp(CODE)
    assert [(span.text, span.label_) for span in doc.spans["metaie"]] == [("Order AB12", "ORDER")]
    assert asked(doc) == ["CODE", "ORDER"]


def test_children_are_saved_and_come_back(make_nlp, tmp_path):
    nlp = make_nlp(threshold=0.3)
    nlp.get_pipe("metaie").labels = DEEP
    expected = plain(parse_labels(DEEP))
    assert nlp.get_pipe("metaie").label_data == expected and nlp.get_pipe("metaie").labels == (
        "person",
        "date",
        "D",
        "place",
    )
    nlp.to_disk(tmp_path)
    for again in (spacy.load(tmp_path), make_nlp().from_bytes(nlp.to_bytes())):
        assert again.get_pipe("metaie").label_data == expected
        assert [asked(doc) for doc in again.pipe(SENTENCES)] == [asked(doc) for doc in nlp.pipe(SENTENCES)]
    nlp.get_pipe("metaie").add_label("airline")
    assert nlp.get_pipe("metaie").label_data == expected | {"airline": "airline"}


def test_children_of_a_config_survive_it():
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"labels": DEEP, "weights": None})
    again = spacy.util.load_model_from_config(spacy.util.Config().from_str(nlp.config.to_str()))
    assert again.get_pipe("metaie").label_data == nlp.get_pipe("metaie").label_data == plain(parse_labels(DEEP))


@pytest.mark.parametrize("labels", [DEEP, {"children": "child"}, {"children": ["son", "daughter"]}])
def test_what_a_text_asks_goes_through_json(labels):
    for value in (labels, {"labels": labels, "threshold": 0.3}):
        ask = parse_ask(value)
        assert parse_ask(json.loads(json.dumps(plain_ask(ask)))) == ask
        assert ask.labels == parse_labels(labels)


def test_a_schema_may_ask_attributes_of_children():
    schema = {"labels": {"FOOD": {"query": "food", "children": {"FISH": {"attributes": {"taste": ["good", "bad"]}}}}}}
    found = read_schema(schema)
    assert found["labels"] == {"FOOD": {"query": "food", "children": {"FISH": "FISH"}}}
    assert found["attributes"] == {"taste": {"head": "FISH", "options": {"good": "good", "bad": "bad"}}}
    assert read_schema(found) == found | {"links": {}}


def test_processes_and_docbin_keep_what_was_asked(make_nlp):
    nlp = make_nlp(BY_RULE, threshold=0.01)
    texts = [CODE, OTHER] * 3
    expected = [["CODE", "whose", "DAY", "date"], ["CODE"]] * 3
    docs = list(nlp.pipe(texts, n_process=2, batch_size=2))
    assert [asked(doc) for doc in docs] == expected
    store = spacy.tokens.DocBin(docs=docs)
    assert [asked(doc) for doc in spacy.tokens.DocBin().from_bytes(store.to_bytes()).get_docs(nlp.vocab)] == expected


def test_the_command_line_takes_children(make_nlp, tmp_path):
    make_nlp(threshold=0.01).to_disk(tmp_path / "model")
    (tmp_path / "schema.json").write_text(json.dumps({"labels": BY_RULE, "threshold": 0.01}), encoding="utf8")
    command = [
        sys.executable,
        "-m",
        "metaie_spacy",
        "extract",
        "--model",
        str(tmp_path / "model"),
        "--schema",
        str(tmp_path / "schema.json"),
        "--format",
        "jsonl",
    ]
    with_code, without = (
        json.loads(subprocess.run([*command, text], capture_output=True, text=True, check=True).stdout)
        for text in (CODE, OTHER)
    )
    assert {span["label"] for span in with_code["spans"]} >= {"CODE", "whose", "DAY"} and without["spans"] == []


CIRCLE = {"a": {"children": {}}}
CIRCLE["a"]["children"]["b"] = {"children": CIRCLE}
TALL = ["x9"]
for number in range(8, 0, -1):
    TALL = [{"name": f"x{number}", "children": TALL}]


@pytest.mark.parametrize(
    "labels, message",
    [
        ({"a": {"children": ["b", ""]}}, r"labels\['a'\]\['children'\]\[1\] is empty"),
        ({"a": {"children": "b, c"}}, r"labels\['a'\]\['children'\] must be a list or a mapping, not the string"),
        ({"a": {"children": 3}}, r"labels\['a'\]\['children'\] must be a list of strings or a mapping, not int"),
        ({"a": {"children": []}}, r"labels\['a'\]\['children'\] is empty. Give at least one label"),
        ({"a": {"children": {"b": {"treshold": 1}}}}, r"labels\['a'\]\['children'\]\['b'\] has the unknown keys \['treshold'\]; known are .*children"),
        ({"a": {"children": ["b"]}, "b": "b"}, r"labels\['b'\] names 'b' a second time, below another label"),
        ({"a": {"children": ["a"]}}, r"labels\['a'\]\['children'\]\[0\] names 'a' a second time"),
        (CIRCLE, r"labels\['a'\]\['children'\]\['b'\]\['children'\]\['a'\] names 'a' a second time"),
        (TALL, r"is level 9 of labels below each other; at most 8 are"),
    ],
)  # fmt: skip
def test_bad_children_are_refused_with_their_place(labels, message):
    with pytest.raises(ValueError, match=message):
        parse_labels(labels)
    with pytest.raises(ValueError, match=message):
        read_schema({"labels": labels})


def test_short_forms_have_no_children():
    with pytest.raises(ValueError, match=r"aspects\['food'\] has the unknown keys \['children'\]"):
        read_schema({"aspects": {"food": {"query": "food", "children": ["fish"]}}})
