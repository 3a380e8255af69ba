"""Spans of a text that comes in parts: those of the whole text, each as soon as no more text can change it."""

import pytest
import spacy
from helpers import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

import metaie_spacy
from metaie_spacy import StreamReader, stream
from metaie_spacy.data.open_text import OpenText, beginnings
from metaie_spacy.model.adapters import Adapter, hash_of

LABELS = [
    "person",
    "date",
    {"name": "P", "query": ["place", "airline"]},
    {"name": "W", "query": "drug", "keep": r"\w+"},
]
PIECES = [
    *SENTENCES, "\n\n", "\n", "\r\n", "\r\n\r\n", " ", "   ", "\t", "👩‍👩‍👧", "e\u0301", "don't", "(", ")!", "http://a.b/c?d", "\u200b",
    "U.S.", "x" * 50, "Ibuprofen 400mg", "...", "\u00a0", "\u3000",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
KINDS = {
    "blind": {"model": {"window": 24, "overlap": 8}},
    "sees labels": {"model": {"window": 24, "overlap": 8, "text_sees_labels": True, "label_budget": 6}},
    "cross encoder": {"architecture": "CrossEncoder", "model": {"window": 40, "overlap": 6}},
}
STEADY = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.fixture(scope="module", params=KINDS)
def nlp(request, make_nlp):
    return make_nlp(LABELS, threshold=0.25, **KINDS[request.param])


def cut(text, sizes):
    """The text in parts of these sizes, over and over."""
    at, number = 0, 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        yield text[at : at + size]
        at, number = at + size, number + 1


def assert_rows_of_whole(found, nlp, text, **options):
    whole = metaie_spacy.rows(nlp(text, component_cfg={"metaie": options}))
    found = sorted(found, key=lambda row: (row["start"], row["end"], row["label"]))
    assert [{**row, "score": None} for row in found] == [{**row, "score": None} for row in whole]
    assert all(abs(one["score"] - other["score"]) < 2e-4 for one, other in zip(found, whole))


@STEADY
@given(
    TEXTS,
    st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(any),
    st.sampled_from([0, 0.05, 0.25, 0.5, 1]),
    st.booleans(),
)
def test_a_stream_gives_the_rows_of_the_whole_text_however_it_is_cut(nlp, text, sizes, threshold, flat):
    found = stream(nlp, cut(text, sizes), threshold=threshold, flat=flat)
    assert_rows_of_whole(found, nlp, text, threshold=threshold, flat=flat)


def test_the_property_is_tried_on_texts_with_spans_over_the_edges_of_windows(make_nlp):
    nlp = make_nlp(LABELS, threshold=0.25, **KINDS["blind"])
    text = " ".join(SENTENCES * 3)
    reader = StreamReader(nlp, threshold=0.05)
    edges, add = [], reader.windows.add
    reader.windows.add = lambda *args, **more: [edges.append(w.own_end) or w for w in add(*args, **more)]
    rows = [*reader.feed(text), *reader.close()]
    doc = nlp.make_doc(text)
    assert any(row["start"] < doc[edge].idx < row["end"] for row in rows for edge in edges[:-1])
    assert_rows_of_whole(rows, nlp, text, threshold=0.05)


def test_a_span_comes_out_before_the_text_ends_and_is_never_taken_back(make_nlp):
    nlp = make_nlp(LABELS, threshold=0.25, **KINDS["blind"])
    paragraphs = [f"{text}\n\n" for text in SENTENCES * 4]
    text = "".join(paragraphs)
    reader, found, read = StreamReader(nlp), [], 0
    for paragraph in paragraphs:
        found += reader.feed(paragraph)
        read += len(paragraph)
        assert all(row["end"] <= read and text[row["start"] : row["end"]] == row["text"] for row in found)
    early = len(found)
    found += reader.close()
    assert early > len(found) / 2
    assert_rows_of_whole(found, nlp, text)


def test_what_is_kept_of_a_long_text_is_its_open_part(make_nlp):
    nlp = make_nlp(LABELS, threshold=0.5, **KINDS["blind"])
    reader, most = StreamReader(nlp, flat=True), 0
    for i in range(300):
        reader.feed(f"{SENTENCES[i % 5]} ")
        kept = len(reader.text.words), len(reader.text._text), len(reader.windows.words), len(reader.waiting)
        most = max(most, *kept)
        assert len(reader.edge.tokens) < 100
    assert most < 1000


def test_a_text_that_is_nothing_has_no_spans(make_nlp):
    nlp = make_nlp()
    assert list(stream(nlp, [])) == list(stream(nlp, ["", ""])) == list(stream(nlp, [" ", "\n\n", "\u200b"])) == []


def test_a_stream_may_ask_in_all_forms_and_an_own_adapter_or_schema(make_nlp):
    nlp = make_nlp(["date"], threshold=0.9)
    text = SENTENCES[0]
    for labels in (["person"], {"P": "person"}, {"labels": ["person"], "threshold": 0.05, "flat": True}):
        asked = {"labels": labels} if not isinstance(labels, dict) or "labels" not in labels else labels
        assert_rows_of_whole(stream(nlp, [text], labels=labels), nlp, text, **asked)
    found = list(stream(nlp, [text], labels={"labels": ["person"], "threshold": 0.9}, threshold=0.05))
    assert found and {row["label"] for row in found} == {"person"}
    assert nlp.get_pipe("metaie").labels == ("date",)


def test_labels_give_way_as_an_adapter_says_that_is_asked(make_nlp):
    nlp = make_nlp(LABELS[:2], threshold=0.05)
    shim = nlp.get_pipe("metaie").model.shims[0]
    shim.module.config.metaie["label_counts"] = {"date": 10**9}
    schema = {"labels": {"person": "person", "date": "date"}}
    shim.add_adapter("own", Adapter(hash_of(shim.module), {}, {}, {}, schema, ["date"]))
    found = {}
    for adapter in (None, "own"):
        found[adapter] = list(stream(nlp, [SENTENCES[0]], adapter=adapter, flat=True, threshold=0.05))
        assert_rows_of_whole(found[adapter], nlp, SENTENCES[0], adapter=adapter, flat=True, threshold=0.05)
    assert {row["label"] for row in found[None]} != {row["label"] for row in found["own"]}


def test_a_band_drops_what_it_drops_of_a_whole_text(make_nlp):
    nlp = make_nlp(LABELS, threshold=0.05)
    scores = [row["score"] for row in metaie_spacy.rows(nlp(SENTENCES[0]))]
    nlp.get_pipe("metaie").band = {"accept": None, "drop": sorted(scores)[len(scores) // 2] + 1e-3}
    found = list(stream(nlp, [SENTENCES[0]]))
    assert 0 < len(found) < len(scores)
    assert_rows_of_whole(found, nlp, SENTENCES[0])


@pytest.mark.parametrize("lang", ["es", "ru", "el", "id", "fa", "en"])
def test_tokens_are_those_of_the_whole_text_also_with_special_cases_of_several_words(lang):
    nlp = spacy.blank(lang)
    wide = [rule for rule in nlp.tokenizer.rules if len(rule.split()) > 1]
    assert bool(wide) == (lang not in ("en", "fa")) == bool(beginnings(wide))
    words = [*wide[:6], *(part for rule in wide[:6] for part in rule.split()), "word", "(", "\n", "U.S."]
    text = " ".join(words[i * 7 % len(words)] for i in range(150))
    for size in (1, 3, 17):
        growing = OpenText(nlp)
        found = [word for chunk in cut(text, [size]) for word in growing.add(chunk)]
        early = len(found)
        found += growing.end()
        assert found == [token.text for token in nlp.make_doc(text)]
        assert early > 0.8 * len(found)


def test_a_word_that_does_not_end_is_tokenized_once(make_nlp, monkeypatch):
    nlp = make_nlp()
    made, make = [], nlp.make_doc
    monkeypatch.setattr(nlp, "make_doc", lambda text: made.append(len(text)) or make(text))
    reader = StreamReader(nlp)
    for _ in range(3000):
        reader.feed("x")
    assert made == []
    reader.close()
    assert made == [3000]


def retokenizing():
    nlp = spacy.blank("en")
    nlp.add_pipe("merge_noun_chunks")
    return nlp


@pytest.mark.parametrize(
    "labels, message",
    [
        ((), "No labels are asked"),
        ({"MAIL": {"pattern": "@"}}, "The label 'MAIL' has a pattern"),
        ({"FOOD": {"children": ["fish"]}}, "The label 'fish' has a label above it"),
        ("person", "not the string"),
    ],
)
def test_labels_that_need_the_whole_text_are_refused_before_anything_is_read(make_nlp, labels, message):
    with pytest.raises(ValueError, match=message):
        stream(make_nlp(), iter(()), labels=labels)


def test_pipelines_that_need_the_whole_text_are_refused(make_nlp, encoders):
    with pytest.raises(ValueError, match="no active component 'other'"):
        stream(make_nlp(), [], name="other")
    nlp = make_nlp()
    nlp.add_pipe("merge_entities", first=True)
    with pytest.raises(ValueError, match="'merge_entities' before 'metaie' changes tokens"):
        stream(nlp, [])
    nlp.disable_pipe("merge_entities")
    assert list(stream(nlp, [])) == []
    nlp.tokenizer = lambda text: spacy.tokens.Doc(nlp.vocab, words=text.split())
    with pytest.raises(ValueError, match="The tokenizer is a function"):
        stream(nlp, [])
    shared = spacy.blank("en")
    shared.add_pipe("metaie", config={"labels": ["a"], "weights": None, "model": {"@architectures": "metaie-spacy.SharedTransformer.v1", "label_encoder": encoders["bert"], "tok2vec": {"@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 8, "depth": 1, "embed_size": 10, "window_size": 1, "maxout_pieces": 1, "subword_features": True}}})  # fmt: skip
    with pytest.raises(ValueError, match="reads the vectors of a tok2vec"):
        stream(shared, [])


def test_bytes_and_closed_texts_are_refused(make_nlp):
    reader = StreamReader(make_nlp())
    with pytest.raises(ValueError, match="must be a string, not bytes: decode"):
        reader.feed(b"Ada")
    reader.feed("Ada")
    reader.close()
    assert reader.close() == []
    with pytest.raises(ValueError, match="The text was closed"):
        reader.feed("Ada")


def test_half_of_a_character_is_refused_and_the_stream_goes_on(make_nlp):
    nlp = make_nlp(["person"], threshold=0.05)
    reader, text = StreamReader(nlp), SENTENCES[0]
    found = reader.feed(text[:20])
    with pytest.raises(ValueError, match=r"half of a surrogate pair, '.ud83d', at its character 4"):
        reader.feed("Ada \ud83d")
    assert_rows_of_whole([*found, *reader.feed(text[20:]), *reader.close()], nlp, text)


def test_links_are_left_out_with_a_warning(make_nlp):
    nlp = make_nlp(["person", "place"], threshold=0.05)
    nlp.get_pipe("metaie").links = {"lives_in": {"head": "person", "tail": "place"}}
    with pytest.warns(UserWarning, match="links and attributes of 'metaie' are left out"):
        found = list(stream(nlp, [SENTENCES[0]]))
    nlp.get_pipe("metaie").links = {}
    assert_rows_of_whole(found, nlp, SENTENCES[0])
