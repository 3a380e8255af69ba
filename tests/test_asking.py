"""What a label may say, and what may be said for one call or one text."""

import numpy as np
import pytest
import spacy
from helpers import answers, logits_of, packaged
from spacy.tokens import Span

from metaie_spacy import pipe_with_labels
from metaie_spacy.rules import kept_answers, rule_answers
from metaie_spacy.schema import Ask, Label, ask_names, parse_ask, parse_labels, plain, plain_ask
from metaie_spacy.spans import Answer

TEXT = "Ada Lovelace wrote to ada@example.org from London in 1843, and to bob@example.com too."


@pytest.fixture(scope="module")
def nlp(make_nlp):
    return make_nlp(["person"])


def test_of_several_wordings_each_token_takes_the_best(nlp):
    labels = {"place": ["city", "country"]}
    found = logits_of(nlp, [TEXT], labels)[TEXT, "place"]
    one, other = (logits_of(nlp, [TEXT], [word])[TEXT, word] for word in labels["place"])
    for token, (a, b) in enumerate(zip(one, other)):
        assert np.allclose(found[token], a if a.max() >= b.max() else b, atol=1e-4)
    assert not np.allclose(found, one, atol=1e-3) and not np.allclose(found, other, atol=1e-3)


def test_wordings_in_different_passes_are_put_together(make_nlp):
    narrow, wide = (make_nlp(model={"label_budget": size}) for size in (8, 256))
    labels = {f"label {i}": [f"wording {i}", f"another {i}", f"third {i}"] for i in range(5)} | {"plain": "plain"}
    one, other = (logits_of(pipeline, [TEXT, "Short."], labels) for pipeline in (narrow, wide))
    assert one.keys() == other.keys() and len(one) == 12


def test_a_wording_that_two_labels_share_serves_both(nlp):
    found = logits_of(nlp, [TEXT], {"a": ["city", "town"], "b": "city", "c": "town"})
    assert np.allclose(
        found[TEXT, "a"].max(-1), np.maximum(found[TEXT, "b"].max(-1), found[TEXT, "c"].max(-1)), atol=1e-4
    )


def test_the_packaged_model_finds_more_with_several_wordings():
    nlp = packaged()
    text = "She moved from Oslo to Norway's coast."
    nlp.get_pipe("metaie").labels = {"place": "river"}
    assert ("Oslo", "place") not in answers(nlp(text))
    nlp.get_pipe("metaie").labels = {"place": ["river", "city"]}
    assert ("Oslo", "place") in answers(nlp(text))


def test_labels_keep_what_they_say_in_json():
    labels = {
        "place": ["city", "country"],
        "MAIL": {"pattern": r"\S+@\S+"},
        "year": {"query": "year", "keep": r"\d{4}", "threshold": 0.5, "description": "of an event"},
        "plain": "plain",
    }
    parsed = parse_labels(labels)
    assert [label.queries for label in parsed] == [("city", "country"), (), ("year",), ("plain",)]
    assert parse_labels(plain(parsed)) == parsed and plain(parsed)["place"] == ["city", "country"]
    assert parse_labels([{"name": "place", "query": ["city", "country"]}]) == parsed[:1]
    assert Label("a", "b", others=("b", "c")).queries == ("b", "c")


@pytest.mark.parametrize(
    "label, message",
    [
        ({"query": []}, r"labels\['x'\]\['query'\] is an empty list"),
        ([], r"labels\['x'\] is an empty list"),
        (["a", ""], r"labels\['x'\]\[1\] is empty"),
        ({"pattern": "("}, r"labels\['x'\]\['pattern'\] is no regular expression"),
        ({"keep": "[a"}, r"labels\['x'\]\['keep'\] is no regular expression"),
        ({"pattern": "misc:f"}, "only 'keep' takes a registered function"),
        ({"pattern": 3}, r"labels\['x'\]\['pattern'\] must be a string"),
    ],
)
def test_what_a_label_cannot_say_is_named(label, message):
    with pytest.raises(ValueError, match=message):
        parse_labels({"x": label})


def test_labels_in_one_string_are_shown_as_the_list_they_should_be():
    with pytest.raises(ValueError, match=r"Write \['person', 'city'\]"):
        parse_labels("person, city")


def test_a_pattern_answers_by_rule_and_is_not_asked_of_the_model(nlp):
    cfg = {"metaie": {"labels": {"MAIL": {"pattern": r"[\w.]+@[\w.]+\w"}}, "flat": True}}
    doc = nlp(TEXT, component_cfg=cfg)
    assert answers(doc) == [("ada@example.org", "MAIL"), ("bob@example.com", "MAIL")]
    assert doc.spans["metaie"].attrs["scores"].tolist() == [1, 1] and doc.spans["metaie"].attrs["asked"] == ["MAIL"]


def found_in(doc, *words):
    return [Answer("x", token.i, token.i + 1, 0.5) for token in doc if token.text in words]


def test_a_pattern_with_a_query_adds_to_what_the_model_finds(nlp):
    (label,) = parse_labels({"x": {"query": "person", "pattern": "Ada Lovelace"}})
    doc = nlp.make_doc(TEXT)
    answers = [*rule_answers(doc, [label]), *found_in(doc, "Lovelace", "London")]
    kept = kept_answers(doc, answers, [label])
    assert label.queries == ("person",) and [doc[a.start : a.end].text for a in kept] == ["Ada Lovelace", "London"]


def test_answers_that_a_label_does_not_keep_are_dropped(nlp):
    @spacy.registry.misc("test_asking.capital")
    def capital():
        return lambda text: text[0].isupper()

    doc = nlp.make_doc(TEXT)
    answers = [*found_in(doc, "Ada", "wrote", "1843"), Answer("free", 0, 1, 0.5)]
    for keep, kept in (
        ("[a-z]+", ["wrote"]),
        (r"\d", []),
        (r"\d{4}|Ada", ["Ada", "1843"]),
        ("misc:test_asking.capital", ["Ada"]),
    ):
        labels = parse_labels({"x": {"query": "person", "keep": keep}, "free": "free"})
        found = kept_answers(doc, answers, labels)
        assert [doc[a.start : a.end].text for a in found if a.label == "x"] == kept and found[-1].label == "free"


def test_what_a_label_keeps_holds_in_the_pipeline(nlp):
    labels = {"x": {"pattern": r"\S+", "keep": r"[A-Z]\w+"}}
    doc = nlp(TEXT, component_cfg={"metaie": {"labels": labels}})
    assert [span.text for span in doc.spans["metaie"]] == ["Ada", "Lovelace", "London"]


def test_a_function_that_nobody_registered_is_named(nlp):
    with pytest.raises(ValueError, match="registry misc has no 'nobody'.*Import the module"):
        nlp(
            TEXT,
            component_cfg={"metaie": {"labels": {"x": {"query": "person", "threshold": 0.0, "keep": "misc:nobody"}}}},
        )


def test_threshold_and_flat_hold_for_one_call(nlp):
    pipe = nlp.get_pipe("metaie")
    labels = {"a": "person", "b": "human"}
    many = nlp(TEXT, component_cfg={"metaie": {"labels": labels, "threshold": 0.0}})
    none = nlp(TEXT, component_cfg={"metaie": {"labels": labels, "threshold": 1.0}})
    flat = nlp(TEXT, component_cfg={"metaie": {"labels": labels, "threshold": 0.0, "flat": True}})
    assert len(many.spans["metaie"]) > len(flat.spans["metaie"]) > 0 == len(none.spans["metaie"])
    assert pipe.threshold is None and not pipe.flat
    (again,) = nlp.pipe([TEXT], component_cfg={"metaie": {"labels": labels, "threshold": 0.0, "flat": True}})
    assert answers(again) == answers(flat)
    for bad in ({"threshold": 2}, {"flat": "no"}):
        with pytest.raises(ValueError, match="must be"):
            nlp(TEXT, component_cfg={"metaie": {"labels": labels, **bad}})


def test_threshold_and_flat_hold_for_one_text(nlp):
    labels = {"a": "person", "b": "human"}
    pairs = [
        (TEXT, {"labels": labels, "threshold": 0.0}),
        (TEXT, {"labels": labels, "threshold": 1.0}),
        (TEXT, {"labels": list(labels.values()), "threshold": 0.0, "flat": True}),
        (TEXT, labels),
    ]
    sizes = [len(doc.spans["metaie"]) for doc in pipe_with_labels(nlp, pairs)]
    assert sizes[0] > sizes[2] > 0 == sizes[1]
    doc = nlp.make_doc(TEXT)
    doc._.metaie_labels = {"labels": ["person"], "threshold": 0.0}
    assert len(nlp(doc).spans["metaie"]) > 0


@pytest.mark.parametrize(
    "value, names",
    [
        ({"labels": "what is written on it"}, ["labels"]),
        ({"labels": {"query": "what is written on it"}}, ["labels"]),
        ({"labels": "a", "threshold": "b"}, ["labels", "threshold"]),
        ({"labels": ["a"]}, ["a"]),
        ({"labels": {"PER": "person"}, "flat": True}, ["PER"]),
        (["labels", "flat"], ["labels", "flat"]),
        ({"labels": [{"name": "query", "query": "question"}], "flat": True}, ["query"]),
        (None, None),
    ],
)
def test_labels_called_labels_are_labels(value, names):
    assert ask_names(value) == names
    if value is not None:
        assert parse_ask(plain_ask(parse_ask(value))) == parse_ask(value)


def test_settings_of_a_text_are_checked():
    assert parse_ask({"labels": ["a"], "threshold": 0.5}) == Ask(parse_labels(["a"]), 0.5, None)
    with pytest.raises(ValueError, match="threshold must be a number"):
        parse_ask({"labels": ["a"], "threshold": "high"})


def with_ents(nlp, **settings):
    pipe = nlp.get_pipe("metaie")
    pipe.labels, pipe.threshold = {"x": {"pattern": "Ada Lovelace|London|1843"}}, None
    pipe.set_ents = settings["set_ents"]
    doc = nlp.make_doc(TEXT)
    at = doc.char_span(TEXT.index("London"), TEXT.index("London") + 6)
    doc.set_ents([Span(doc, 1, 3, label="old")], blocked=[at])
    doc = pipe(doc)
    return [(ent.text, ent.label_) for ent in doc.ents], [token.ent_iob for token in at]


def test_earlier_entities_win_where_they_are_to_be_kept_and_blocked_tokens_stay_blocked(make_nlp):
    nlp = make_nlp()
    assert with_ents(nlp, set_ents=True) == ([("Ada Lovelace", "x"), ("1843", "x")], [3])
    assert with_ents(nlp, set_ents="keep") == ([("Lovelace wrote", "old"), ("1843", "x")], [3])
    with pytest.raises(ValueError, match='set_ents must be true, false or "keep"'):
        nlp.get_pipe("metaie").set_ents = "kept"


def test_keep_is_saved_and_may_stand_in_a_config(make_nlp, tmp_path):
    nlp = make_nlp(set_ents="keep")
    nlp.to_disk(tmp_path / "nlp")
    assert spacy.load(tmp_path / "nlp").get_pipe("metaie").set_ents == "keep"


def test_two_components_on_one_key_are_warned_of(make_nlp):
    nlp = make_nlp()
    with pytest.warns(UserWarning, match=r"'second' writes doc.spans\['metaie'\], as another component"):
        nlp.add_pipe("metaie", name="second", config={"labels": ["a"], "weights": None})
    nlp.add_pipe("span_ruler", config={"spans_key": "ruler"})
    with pytest.warns(UserWarning, match=r"'third' writes doc.spans\['ruler'\]"):
        nlp.add_pipe("metaie", name="third", config={"labels": ["a"], "spans_key": "ruler", "weights": None})


def test_few_shot_teaches_every_wording_and_no_pattern(make_nlp):
    from metaie_spacy.data.items import Item
    from metaie_spacy.train.batches import closed_batch

    pieces = make_nlp().get_pipe("metaie").model.shims[0].pieces
    labels = parse_labels({"PER": ["person", "human"], "MAIL": {"pattern": "@"}})
    item = Item("1", ["Ada", "wrote"], [(0, 1, "PER"), (1, 2, "MAIL")], [])
    batch = closed_batch([item], labels, pieces)
    assert batch.asked.shape == (1, 2) and batch.tags.tolist() == [[1, 1], [0, 0]]
