"""Labels, thresholds and schemas: what is understood, and what is refused with its place."""

import json

import pytest
import spacy
from helpers import SENTENCES, scored
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.schema import generality, move_threshold, parse_labels, plain


@pytest.mark.parametrize(
    "labels, message",
    [
        (["person", ""], r"labels\[1\] is empty"),
        (["person", 3], r"labels\[1\] must be a string, not int"),
        ("person", "not the string"),
        ({"PER": {"query": "person", "treshold": 0.5}}, "unknown keys"),
        ({"PER": {"query": "person", "threshold": 1.5}}, "between 0 and 1"),
        ({"PER": None}, "must be a string"),
        (7, "not int"),
    ],
)
def test_bad_labels_are_refused_with_their_place(make_nlp, labels, message):
    pipe = make_nlp().get_pipe("metaie")
    with pytest.raises(ValueError, match=message):
        pipe.labels = labels
    assert pipe.labels == ("person", "date")


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "high", float("nan"), True])
def test_bad_threshold_is_refused(make_nlp, threshold):
    with pytest.raises(ValueError, match="threshold"):
        make_nlp().get_pipe("metaie").threshold = threshold


def test_schema_comes_from_a_dict_or_a_json_file(make_nlp, tmp_path):
    pipe = make_nlp().get_pipe("metaie")
    schema = {
        "labels": {"DOB": {"query": "date of birth", "threshold": 0.2, "description": "as written"}, "PER": "person"},
        "flat": True,
        "threshold": 0.3,
    }
    pipe.schema = schema
    assert pipe.labels == ("DOB", "PER") and pipe.flat and pipe.threshold == 0.3 and not pipe.set_ents
    assert pipe.schema == schema | {"set_ents": False}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"labels": ["drug", {"name": "DOB", "query": "date of birth"}]}), encoding="utf8")
    pipe.schema = path
    assert pipe.label_data == {"drug": "drug", "DOB": {"query": "date of birth"}["query"]} and pipe.flat


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "schema.json, line 1, column 2: not JSON"),
        (
            '{"labels": {"A": {"query": "x", "threshold": 2}}}',
            r"schema.json: labels\['A'\]\['threshold'\] must be a number",
        ),
        ('{"labels": {"A": "x", "A": "y"}}', "schema.json: the key 'A' occurs twice"),
        (
            '{"labels": ["x"], "link": {}}',
            r"schema.json: the schema has the unknown keys \['link'\]; known are labels, threshold",
        ),
        ('{"labels": ["x"], "flat": "yes"}', "flat must be true or false"),
        ('["x"]', 'a schema is an object with "labels"'),
        ('{"labels": [{"query": "x"}]}', r'labels\[0\] has no "name"'),
        (
            '{"labels": [{"name": "A", "query": "x"}, {"name": "A", "query": "y"}]}',
            r"labels\[1\] names 'A' a second time",
        ),
        ('{"labels": {"A": {"description": 3}}}', r"labels\['A'\]\['description'\] must be a string"),
        ('{"labels": ["\\ud800"]}', r"labels\[0\] holds half of a surrogate pair"),
        ("\xff", "schema.json, line 1: not UTF-8 "),
        (None, "There is no schema file"),
    ],
)
def test_bad_schema_is_refused_with_its_place_and_changes_nothing(make_nlp, tmp_path, content, message):
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_bytes(content.encode("latin1"))
    pipe = make_nlp().get_pipe("metaie")
    before = pipe.schema
    with pytest.raises(ValueError, match=message):
        pipe.schema = path
    assert pipe.schema == before


@pytest.mark.parametrize(
    "labels",
    [
        ["U.S. state", "100%"],
        {"DOB": {"query": "date of birth", "threshold": 0.4, "description": "as written"}, "a.b": "query"},
        [{"name": "U.S. state: which?", "query": "state [of the USA]", "threshold": 0.6}, "person"],
    ],
)
def test_labels_of_a_config_survive_the_config(labels):
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"labels": labels, "weights": None})
    expected = nlp.get_pipe("metaie").label_data
    again = spacy.util.load_model_from_config(spacy.util.Config().from_str(nlp.config.to_str()))
    assert again.get_pipe("metaie").label_data == expected


@pytest.mark.parametrize("labels", [{"U.S. state": {"query": "state"}}, {"a=b": "x"}, {"x": "cost in ${usd}"}])
def test_labels_that_a_config_cannot_hold_are_refused_before_they_are_saved(make_nlp, labels):
    with pytest.raises(ValueError, match=r"cannot hold these labels .*\[\{\"name\""):
        spacy.blank("en").add_pipe("metaie", config={"labels": labels, "weights": None})
    nlp = make_nlp()
    nlp.get_pipe("metaie").labels = labels  # at run time everything goes
    assert nlp(SENTENCES[0]).spans["metaie"].attrs["asked"] == list(labels)


def test_any_run_time_label_is_saved_and_comes_back(make_nlp, tmp_path):
    nlp = make_nlp()
    nlp.get_pipe("metaie").labels = {"U.S. state": {"query": "place", "threshold": 0.01}, "a=b": "person"}
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again.get_pipe("metaie").label_data == nlp.get_pipe("metaie").label_data
    assert scored(again(SENTENCES[0])) == scored(nlp(SENTENCES[0]))


def test_labels_give_way_less_the_more_are_asked():
    counts = {"person": 5000}
    few, many = generality(["Person", "politician"], counts, 40), generality(["Person", "politician"], counts, 400)
    assert few == generality(["person", "politician"], counts, 2) and few[0] > 3 and few[1] == 0
    assert many == [pytest.approx(few[0] / 10), 0]


thresholds = st.floats(0.001, 0.999)
settings_of_a_label = st.fixed_dictionaries(
    {"query": st.just("q")}, optional={"threshold": thresholds, "description": st.text()}
)
label_names = st.text(min_size=1).filter(lambda name: name.strip() and name.isprintable())


@settings(max_examples=300)
@given(st.dictionaries(label_names, st.one_of(st.just("query"), settings_of_a_label)))
def test_plain_labels_parse_to_themselves(labels):
    parsed = parse_labels(labels)
    assert parse_labels(plain(parsed)) == parsed and [label.name for label in parsed] == list(labels)


@pytest.mark.parametrize("threshold", [0.0, 1e-9, 0.02, 0.5, 0.999, 1.0])
def test_moved_threshold_comes_back(threshold):
    moved = move_threshold(threshold, 3.0, -2.0)
    assert 0 <= moved <= 1
    assert move_threshold(moved, 1 / 3.0, 6.0) == pytest.approx(threshold, rel=1e-6)
    assert move_threshold(0.999, 0.001, 0.0) == 1.0 and move_threshold(0.001, 0.001, 0.0) == pytest.approx(0.0)
