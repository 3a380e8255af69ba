"""Unknown is never negative: what an annotation leaves open is neither learned nor scored, wherever it comes from."""

import json
import random

import pytest
import spacy
import torch
from helpers import annotated, row
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin, Span, SpanGroup
from spacy.training import Example

from metaie_spacy.data.corpus import make_corpus
from metaie_spacy.data.items import Item, blank_tokenizer, example_item, rows_to_items, survey
from metaie_spacy.data.known import Known, Stretches, known_of
from metaie_spacy.data.rows import check_row, places, read_rows, trimmed
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.measure.scores import check_score_weights, metaie_score
from metaie_spacy.model.pieces import WordPieces, load_tokenizer
from metaie_spacy.model.windows import cut_items
from metaie_spacy.schema import parse_labels
from metaie_spacy.train.batches import LabelSpace, closed_batch, open_batch, own_batch

NLP = spacy.blank("en")
TEXT = "Ola Brandt joined Norcom and met Kim Yates."
FIRM = (18, 24, "firm")


@pytest.fixture(scope="module")
def pieces(encoders):
    return WordPieces(load_tokenizer(encoders["bert"]))


def masked(batch, column=0):
    """The numbers of the tokens that do not count."""
    return (batch.weights[:, column] == 0).nonzero().flatten().tolist()


def item_of(annotation, text=TEXT):
    (item,) = rows_to_items([{"id": "1", "text": text, **annotation}], blank_tokenizer(), "test")
    return item


def span(start, end, label="firm"):
    return {"start": start, "end": end, "label": label}


@pytest.mark.parametrize(
    "text, place, kept",
    [
        ("Led Norcom team.", (4, 11), "Norcom"),
        ("at\u00a0Veltrix since", (2, 10), "Veltrix"),
        ("Bluefin Labs\u200b, Oslo", (0, 13), "Bluefin Labs"),
        ("a\ufeff\t\nTarn \u2003", (1, 10), "Tarn"),
        ("Tarn", (0, 4), "Tarn"),
    ],
)
def test_spans_lose_the_white_space_and_the_widthless_signs_at_their_ends(text, place, kept):
    (found,) = trimmed({"id": "1", "text": text, "spans": [span(*place)]})["spans"]
    assert text[found["start"] : found["end"]] == kept


def test_a_span_of_nothing_but_white_space_is_an_open_place():
    found = trimmed({"id": "1", "text": "a \u200b b", "spans": [span(1, 4), span(0, 1, "x")]})
    assert found["spans"] == [span(0, 1, "x")] and found["unsure"] == [span(1, 4)]


def test_spans_that_become_equal_are_one_and_rows_that_need_nothing_stay():
    row = {"id": "1", "text": "a b ", "spans": [span(0, 1), span(0, 2)]}
    assert trimmed(row)["spans"] == [span(0, 1)]
    row["spans"] = row["spans"][:1]
    assert trimmed(row) is row


def test_a_link_whose_answers_are_nothing_but_white_space_is_not_a_link_without_answers():
    links = [{"head": [0, 1], "label": "x", "tails": tails} for tails in ([[1, 2]], [[1, 2], [2, 3]], [])]
    found = trimmed({"id": "1", "text": "a b ", "spans": [], "links": links})["links"]
    assert [link["tails"] for link in found] == [[[2, 3]], []]


@pytest.mark.parametrize("place", [(18, 22), (19, 24), (17, 28), (0, 9)])
def test_a_span_that_meets_no_token_border_is_masked_and_shown(pieces, caplog, place):
    item = item_of({"spans": [span(*place), span(*FIRM[:2], "firm") if place[0] == 0 else span(33, 42)]})
    batch = closed_batch([item], parse_labels(["firm"]), pieces)
    words = [
        i
        for i, token in enumerate(NLP(TEXT))
        if token.idx < place[1] and place[0] < token.idx + len(token) and batch.tags[i, 0] == 0
    ]
    assert masked(batch) == words != []
    assert "1 do not begin and end with a token" in caplog.text and repr(TEXT[slice(*place)]) in caplog.text


def test_what_is_left_of_a_span_that_overlaps_a_longer_one_of_its_label_is_masked(pieces):
    item = item_of({"spans": [span(0, 24), span(18, 32)]})
    batch = closed_batch([item], parse_labels(["firm"]), pieces)
    assert masked(batch) == [4, 5] and batch.tags[:, 0].tolist() == [1, 2, 2, 2, 0, 0, 0, 0, 0]


def test_unsure_places_are_masked_for_their_label_or_for_all(pieces):
    spans = [span(*FIRM[:2])]
    one = item_of({"spans": spans, "unsure": [span(0, 10, "person")], "absent": ["person"]})
    every = item_of({"spans": spans, "unsure": [{"start": 0, "end": 10}], "absent": ["person"]})
    firm, person = range(2)
    for item, masks in ((one, [[], [0, 1]]), (every, [[0, 1], [0, 1]])):
        for batch in (closed_batch([item], parse_labels(["firm", "person"]), pieces), own_batch([item], pieces)):
            assert [masked(batch, column) for column in (firm, person)] == masks


def test_labels_that_a_row_does_not_answer_are_not_asked_of_it(pieces):
    item = item_of({"spans": [span(*FIRM[:2]), span(33, 42, "person")], "asked": ["firm", "drug"]})
    assert item.spans == [(3, 4, "firm")] and item.absent == ["drug"] and item.unknown == {"person"}
    batch = closed_batch([item], parse_labels(["person", "firm", "drug", "place"]), pieces)
    assert batch.asked[0].tolist() == [True, True, False, False]  # drug, firm, person, place
    assert (batch.weights[:, 2:] == 0).all() and batch.weights[:, :2].all()


def test_a_query_of_several_names_is_asked_where_all_of_them_were(pieces):
    labels = parse_labels({"PER": "person", "HUMAN": "person", "ORG": "firm"})
    items = [item_of({"spans": [], "asked": asked}) for asked in (["PER", "ORG"], ["PER", "HUMAN"])]
    batch = closed_batch(items, labels, pieces)
    assert batch.asked.tolist() == [[True, False], [False, True]]  # firm, person


def test_a_label_of_which_not_every_place_is_known_is_never_a_sampled_negative(pieces):
    partial = item_of({"spans": [span(33, 42, "person")], "asked": ["firm"]})
    other = item_of({"spans": [span(33, 42, "person"), span(*FIRM[:2])]})
    items = [partial, other]
    for seed in range(10):
        batch = open_batch(items, pieces, LabelSpace(items), random.Random(seed))
        person = [i for i in range(batch.asked.shape[1]) if (batch.tags[9:, i] > 0).sum() == 2]
        assert person and not batch.asked[0, person].any()


def test_windows_of_a_long_text_keep_what_is_open(pieces):
    words = [f"w{i}" for i in range(60)]
    item = Item("1", words, [(50, 51, "a")], ["b"], None, [(8, 12, "b"), (25, 26, None), (3, 4, "c")])
    parts = cut_items([item], lambda words: [(1,)] * len(words), 20, 4)
    assert len(parts) > 2 and all(part.unknown == {"c"} for part in parts)
    seen = {(part.words[i], label) for part in parts for s, e, label in part.unsure for i in range(s, e)}
    assert seen == {*((f"w{i}", "b") for i in range(8, 12)), ("w25", None), ("w3", "c")}


def reference(spans, **attrs):
    doc = NLP.make_doc(TEXT)
    found = [doc.char_span(s, e, label=label) for s, e, label in spans]
    doc.spans["metaie"] = SpanGroup(doc, name="metaie", spans=found, attrs=attrs)
    return Example(NLP.make_doc(TEXT), doc)


def test_groups_say_what_was_asked_and_what_is_open():
    item = example_item(reference([FIRM], asked=["firm", "drug"], unsure=[[0, 10, ""], [33, 36, "firm"]]), "metaie")
    assert item.spans == [(3, 4, "firm")] and item.absent == ["drug"] and item.asked == ["firm", "drug"]
    assert sorted(item.unsure) == [(0, 2, None), (6, 7, "firm")]


def test_gold_spans_that_meet_no_predicted_token_are_open():
    doc = NLP.make_doc(TEXT)
    doc.spans["metaie"] = [doc.char_span(*FIRM[:2], label="firm"), doc.char_span(0, 10, label="firm")]
    words = ["Ola", "Brandt", "joined", "Nor", "com", "and", "met", "KimYates", "."]
    other = spacy.tokens.Doc(NLP.vocab, words=words, spaces=[True, True, True, False, True, True, True, False, False])
    doc2 = spacy.tokens.Doc(NLP.vocab, words=["Kim", "Yates"], spaces=[False, False])
    doc2.spans["metaie"] = [Span(doc2, 0, 1, label="first")]
    assert example_item(Example(other, doc), "metaie").spans == [(0, 2, "firm"), (3, 5, "firm")]
    found = example_item(Example(spacy.tokens.Doc(NLP.vocab, words=["KimYates"]), doc2), "metaie")
    assert found.spans == [] and list(found.unsure) == [(0, 1, "first")]


def test_docs_that_were_never_annotated_teach_nothing(pieces, caplog):
    eg = Example(NLP.make_doc(TEXT), NLP.make_doc(TEXT))
    batch = closed_batch([example_item(eg, "metaie")], parse_labels(["firm"]), pieces)
    assert not batch.asked.any() and not batch.weights.any()
    items, labels, _ = survey([eg, reference([FIRM])], "metaie")
    assert len(items) == 1 and labels == ["firm"] and "1 of 2 docs have no doc.spans['metaie']" in caplog.text


def test_docs_that_were_never_annotated_change_no_weight(make_nlp):
    nlp = make_nlp(["firm"])
    pipe = nlp.get_pipe("metaie")
    nlp.initialize(lambda: [annotated(nlp, TEXT, [("Norcom", "firm")])])
    before = {key: value.clone() for key, value in pipe.model.shims[0].module.state_dict().items()}
    optimizer = nlp.resume_training()
    nlp.update([Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT))], sgd=optimizer)
    after = pipe.model.shims[0].module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    nlp.update([annotated(nlp, TEXT, [("Norcom", "firm")])], sgd=optimizer)
    assert not all(torch.equal(before[key], value) for key, value in pipe.model.shims[0].module.state_dict().items())


@pytest.fixture
def partly(tmp_path):
    """Two docs whose entities are known in part, one without any, one that was never annotated."""
    docs = [NLP.make_doc(TEXT) for _ in range(4)]
    docs[0].set_ents([Span(docs[0], 3, 4, label="firm")], default="missing")
    docs[1].set_ents([Span(docs[1], 6, 8, label="person")], default="outside")
    docs[2].set_ents([])
    DocBin(docs=docs).to_disk(tmp_path / "ents.spacy")
    return tmp_path / "ents.spacy"


def test_missing_entities_of_a_docbin_stay_missing(partly, pieces, caplog):
    examples = list(make_corpus(partly, from_key="ents", closed=True)(NLP))
    assert len(examples) == 3 and "1 of 4 docs were never annotated" in caplog.text
    items = [example_item(eg, "metaie") for eg in examples]
    batch = closed_batch(items, parse_labels(["firm", "person"]), pieces)
    assert masked(batch, 0) == masked(batch, 1)[:0] + [0, 1, 2, 4, 5, 6, 7, 8] == masked(batch, 1)
    assert batch.asked.all() and [int((batch.tags[:, i] > 0).sum()) for i in (0, 1)] == [1, 2]


def test_reader_and_converter_of_a_docbin_say_the_same(partly, tmp_path):
    from metaie_spacy.convert.convert import convert

    convert(partly, tmp_path / "rows.jsonl")
    through_rows = list(make_corpus(tmp_path / "rows.jsonl", closed=True)(NLP))
    direct = list(make_corpus(partly, from_key="ents", closed=True)(NLP))
    for a, b in zip(direct, through_rows, strict=True):
        one, other = example_item(a, "metaie"), example_item(b, "metaie")
        assert one.spans == other.spans and sorted(set(one.unsure)) == sorted(set(other.unsure))
    rows = list(read_rows(tmp_path / "rows.jsonl"))
    assert [row["absent"] for row in rows] == [[], ["firm"], ["firm", "person"]]
    assert rows[0]["asked"] == ["firm", "person"] and {row["teacher"] for row in rows} == {"unknown"}
    convert(tmp_path / "rows.jsonl", tmp_path / "back.spacy", spans_key="ents")
    first, *_ = DocBin().from_disk(tmp_path / "back.spacy").get_docs(NLP.vocab)
    assert [token.ent_iob_ for token in first] == ["", "", "", "B", "", "", "", "", ""]


def test_rows_come_through_a_docbin_with_what_they_leave_open(tmp_path):
    from metaie_spacy.convert.convert import convert

    rows = [
        {"id": "1", "text": TEXT, "spans": [span(*FIRM[:2])], "absent": [], "asked": ["firm", "drug"], "unsure": [{"start": 0, "end": 10}]},
        {"id": "2", "text": TEXT, "spans": [span(*FIRM[:2]), span(0, 8)], "absent": ["drug"]},
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    convert(tmp_path / "rows.jsonl", tmp_path / "rows.spacy")
    direct = [example_item(eg, "metaie") for eg in make_corpus(tmp_path / "rows.jsonl", closed=True)(NLP)]
    binary = [example_item(eg, "metaie") for eg in make_corpus(tmp_path / "rows.spacy", closed=True)(NLP)]
    for one, other in zip(direct, binary, strict=True):
        assert one.spans == other.spans and set(one.unsure) == set(other.unsure)
    assert list(binary[0].asked) == ["firm", "drug"]


def test_entities_for_ner_are_missing_where_the_rows_leave_them_open(tmp_path):
    row = {"text": TEXT, "spans": [span(*FIRM[:2])], "unsure": [span(0, 12, "person")]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    (eg,) = make_corpus(tmp_path / "rows.jsonl", closed=True, ents=True)(NLP)
    assert [token.ent_iob_ for token in eg.reference] == ["", "", "", "B", "O", "O", "O", "O", "O"]


def test_spans_at_open_places_and_of_labels_not_asked_are_not_scored():
    found = [FIRM, (0, 10, "firm"), (33, 42, "person"), (25, 28, "firm")]
    eg = reference([FIRM], asked=["firm"], unsure=[[0, 3, ""]])
    eg.predicted.spans["metaie"] = [eg.predicted.char_span(s, e, label=label) for s, e, label in found]
    scores = metaie_score([eg], spans_key="metaie")
    assert (
        scores["spans_metaie_p"] == 0.5
        and scores["spans_metaie_r"] == 1
        and "person" not in scores["spans_metaie_per_type"]
    )
    eg.reference.spans["metaie"].attrs.clear()
    assert metaie_score([eg], spans_key="metaie")["spans_metaie_p"] == 0.25
    del eg.reference.spans["metaie"]
    assert metaie_score([eg], spans_key="metaie")["spans_metaie_f"] is None


def test_evaluate_counts_only_what_is_known(make_nlp, monkeypatch):
    nlp = make_nlp(["firm"])
    answers = [FIRM, (0, 10, "firm"), (33, 42, "person")]

    def answered(nlp, pairs, **kwargs):
        for text, _ in pairs:
            doc = nlp.make_doc(text)
            doc.spans["metaie"] = [doc.char_span(s, e, label=label) for s, e, label in answers]
            yield doc

    monkeypatch.setattr("metaie_spacy.measure.evaluate.pipe_with_labels", answered)
    gold = {"id": "1", "text": TEXT, "spans": [span(*FIRM[:2])]}
    labels = ["firm", "person"]
    assert evaluate_rows(nlp, [gold], labels=labels)["found"] == 3
    assert evaluate_rows(nlp, [gold | {"asked": ["firm"]}], labels=labels)["found"] == 2
    assert evaluate_rows(nlp, [gold | {"unsure": [{"start": 2, "end": 5}]}], labels=labels)["found"] == 2
    assert evaluate_rows(nlp, [gold | {"asked": ["drug"]}], labels=labels)["spans"] == 0


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=8),
    st.integers(0, 20),
    st.integers(1, 6),
)
def test_stretches_meet_what_overlaps_one_of_them(found, start, size):
    spots = [(s, s + n) for s, n in found]
    stretches = Stretches(spots)
    assert stretches.meet(start, start + size) == any(s < start + size and start < e for s, e in spots)
    inside = {i for s, e in spots for i in range(s, e)}
    assert {i for s, e in stretches.gaps(30) for i in range(s, e)} == set(range(30)) - inside


def test_a_sure_span_is_right_also_at_an_open_place():
    known = Known([FIRM], None, [(0, 42, None)])
    assert known.decides(FIRM) and not known.decides((0, 10, "firm"))


def test_a_closed_set_asks_all_of_a_row_that_does_not_say():
    row = {"id": "1", "text": TEXT, "spans": [span(*FIRM[:2])]}
    assert known_of(row, ["firm", "drug"]).decides((0, 3, "drug"))
    assert not known_of(row | {"asked": ["firm"]}, ["firm", "drug"]).decides((0, 3, "drug"))
    assert not known_of(row).decides((0, 3, "drug"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"asked": "firm"}, '"asked" must be a list'),
        ({"asked": [" "]}, '"asked" must be a list'),
        ({"unsure": {}}, '"unsure" must be a list'),
        ({"unsure": [{"start": 0, "end": 99}]}, "unsure place 0:99 lies outside"),
        ({"unsure": [{"start": 0, "end": True}]}, "whole numbers"),
        ({"unsure": [{"start": 0, "end": 3, "label": ""}]}, 'non-empty string "label", or none'),
        ({"links": [{"head": [0, 3], "tails": []}]}, 'non-empty string "label"'),
        ({"links": [{"head": [0, 3], "label": "a", "tails": None}]}, 'a list "tails"'),
        ({"links": [{"head": [0, 99], "label": "a", "tails": []}]}, r"places \[start, end\] inside"),
        ({"links": [{"head": [0, 3], "label": "a", "tails": [[1, True]]}]}, r"places \[start, end\]"),
    ],
)
def test_rows_that_say_it_wrongly_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_row({"text": TEXT, "spans": []} | change)
    check_row({"text": TEXT, "spans": [], "asked": [], "unsure": [{"start": 0, "end": 3}], "links": []})


def test_a_training_that_would_choose_by_nothing_is_refused_with_the_lines_to_change():
    weights = {"spans_metaie_f": 1.0, "spans_metaie_p": 0.0}
    with pytest.raises(ValueError, match="spans_metaie_f = null\nspans_sc_f = 1.0"):
        check_score_weights(weights, "sc", {"sc"})
    check_score_weights(weights, "metaie", {"metaie"})
    check_score_weights({"spans_metaie_f": None, "spans_sc_f": 1.0}, "sc", {"sc"})
    check_score_weights(weights, "sc", {"sc", "metaie"})  # another component of the pipeline writes them
    check_score_weights({"ents_f": 1.0}, "sc", {"sc"})


def test_few_shot_examples_that_were_never_annotated_are_left_out(make_nlp, caplog):
    from metaie_spacy.fewshot import read_examples

    nlp = make_nlp(["firm"])
    eg = annotated(nlp, TEXT, [("Norcom", "firm")])
    eg.reference.spans["metaie"].attrs.update(asked=["firm", "drug"], unsure=[[0, 10, ""]])
    rows = read_examples([Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT)), eg], "metaie")
    assert [places(row) for row in rows] == [[FIRM]] and "1 of 2 docs" in caplog.text
    assert rows[0]["asked"] == ["firm", "drug"] and rows[0]["unsure"] == [{"start": 0, "end": 10}]


def test_examples_with_spans_are_held_out_or_none():
    from metaie_spacy.fewshot import hold_out, nothing_held

    few = [row(f"Please call Ida Moe {i}.", [("Ida Moe", "signer")], id=str(i)) for i in range(5)]
    empty = [row(f"Nothing new {i}.", [], id=f"n{i}") for i in range(10)]
    for seed in range(20):
        kept, held = hold_out(few + empty, 0.2, seed)
        assert any(r["spans"] for r in held) and any(r["spans"] for r in kept) and len(held) == 3
        assert hold_out(few[:1] + empty, 0.2, seed) == (few[:1] + empty, [])
    assert "the only one of a label" in nothing_held(few[:1] + empty, 0.2)


def test_windows_of_texts_with_many_labels_take_steps_that_grow_with_them():
    from counting import assert_grows_evenly

    def cut(n):
        item = Item("1", ["w"] * n, [(i, i + 1, f"label {i}") for i in range(0, n, 2)], [], None, [(1, 2, "open")])
        cut_items([item], lambda words: [(1,)] * len(words), 20, 4)

    assert_grows_evenly(cut, 200, most=3)
