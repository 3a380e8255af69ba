"""The callable for batches: the same answers in every kind of batch, and nothing else changed."""

import json
import multiprocessing
import pickle

import pytest
import spacy
from helpers import SENTENCES
from spacy.language import Language

from metaie_spacy import rows
from metaie_spacy.bulk import Extractor
from metaie_spacy.bulk.loaded import loaded

LABELS = ["person", "city"]
TEXTS = [SENTENCES[0], None, SENTENCES[1], "", SENTENCES[3]]
LINKS = {"labels": {"WHO": "person"}, "links": {"lives_in": {"head": "WHO", "query": "city"}}}
CHILDREN = {"CODE": {"pattern": r"AB\d+", "children": {"WHO": {"pattern": "Ada", "children": ["date"]}}}}
ORDERS = ["Order AB12 went to Ada.", "Order went to Ada.", None, "Order AB12 went to Bob.", "half \ud800"]
ASKED = [None, ["CODE"], None, ["CODE", "WHO"], None]


@Language.component("fails_a_batch")
def fails_a_batch(doc):
    if "KLM" in doc.text:
        raise ValueError("no airlines")
    return doc


@pytest.fixture(scope="module")
def expected():
    nlp = spacy.load("en_metaie_sm")
    nlp.get_pipe("metaie").labels = LABELS
    docs = nlp.pipe(text or "" for text in TEXTS)
    return [None if text is None else rows(doc) for text, doc in zip(TEXTS, docs)]


@pytest.fixture
def pipeline(make_nlp, tmp_path):
    """The directory of a pipeline whose first component refuses some texts."""
    nlp = make_nlp(["person"], threshold=0.01)
    nlp.add_pipe("fails_a_batch", first=True)
    nlp.to_disk(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def columns():
    return {"n": [5, 4, 3, 2, 1], "text": list(TEXTS)}


def batch_of(kind):
    if kind == "rows":
        return [dict(zip(columns(), values)) for values in zip(*columns().values())]
    if kind == "lists":
        return columns()
    if kind == "arrays":
        import numpy as np

        return {name: np.array(values, dtype=object) for name, values in columns().items()}
    if kind == "frame":
        pandas = pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
        return pandas.DataFrame(columns(), index=list("abcde"))
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'metaie-spacy[bulk]'")
    table = pa.table(columns())
    return table if kind == "table" else table.to_batches()[0]


def columns_of(batch):
    """Any batch as a mapping from name to list."""
    if isinstance(batch, list):
        return {name: [row[name] for row in batch] for name in batch[0]}
    if hasattr(batch, "to_pydict"):
        return batch.to_pydict()
    return {name: list(batch[name]) for name in batch}


@pytest.mark.parametrize("kind", ["rows", "lists", "arrays", "frame", "table", "record batch"])
def test_every_kind_of_batch_gets_the_answers_of_the_pipeline_and_keeps_its_own_columns(kind, expected):
    batch = batch_of(kind)
    result = Extractor("en_metaie_sm", LABELS)(batch)
    assert type(result) is type(batch)
    found = columns_of(result)
    assert list(found) == ["n", "text", "spans", "error"]
    assert (
        found["n"] == [5, 4, 3, 2, 1] and [text if isinstance(text, str) else None for text in found["text"]] == TEXTS
    )
    assert found["spans"] == expected and any(expected) and [None] * 5 == found["error"]
    assert list(columns_of(batch_of(kind))) == ["n", "text"] == list(columns_of(batch)), "the batch given is as it was"
    if kind == "frame":
        assert list(result.index) == list("abcde")


def test_batches_without_an_answer_have_the_types_of_those_with_some():
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'metaie-spacy[bulk]'")
    for schema in (LABELS, LINKS):
        extract = Extractor("en_metaie_sm", schema)
        empty, none, some = (extract(pa.table({"text": pa.array(texts, pa.string())})) for texts in ([], [None], TEXTS))
        assert empty.schema == none.schema == some.schema and some.num_rows == 5


def test_links_stand_beside_the_spans_that_they_number():
    extract = Extractor("en_metaie_sm", LINKS)
    (row,) = extract([{"text": "Ada Lovelace lives in London."}])
    assert list(row) == ["text", "spans", "links", "error"]
    facts = [(row["spans"][a]["text"], name, row["spans"][b]["text"]) for a, name, b in map(ends, row["links"])]
    assert facts == [("Ada Lovelace", "lives_in", "London")]
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'metaie-spacy[bulk]'")
    (same,) = extract(pa.table({"text": [row["text"]]})).to_pylist()
    assert same["links"] == row["links"] and [span["answer"] for span in same["spans"]] == [False, True]


def test_labels_that_were_not_asked_for_want_of_the_one_above_them_are_told_from_those_not_found(pipeline):
    result = Extractor(pipeline, CHILDREN)([{"text": text} for text in ORDERS])
    assert list(result[0]) == ["text", "spans", "asked", "error"]
    assert [row["asked"] for row in result] == ASKED
    assert [row["error"] is None for row in result] == [True] * 4 + [False]
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'metaie-spacy[bulk]'")
    extract = Extractor(pipeline, CHILDREN, output="found")
    tables = [extract(pa.table({"text": pa.array(texts, pa.string())})) for texts in ([], [None], ORDERS[:4])]
    assert {table.schema for table in tables} == {tables[0].schema}
    assert tables[2].column("found_asked").to_pylist() == ASKED[:4]


def test_a_column_of_what_was_asked_is_there_if_labels_below_others_may_be_asked(pipeline, make_nlp, tmp_path):
    deep = {"labels": CHILDREN, "threshold": 0.5}
    asks = (["person"], {"children": "child"}, {"labels": ["person"]}, LINKS, CHILDREN, deep, None)
    assert ["asked" in Extractor(pipeline, ask).columns for ask in asks] == [False] * 4 + [True] * 3
    by_row = Extractor(pipeline, ["person"], labels_from="ask")
    cells = [json.dumps(CHILDREN), json.dumps(deep), "person", None]
    result = by_row([{"text": text, "ask": cell} for text in ORDERS[:2] for cell in cells])
    assert [row["asked"] for row in result] == [None] * 4 + [["CODE"]] * 2 + [None] * 2
    make_nlp(CHILDREN).to_disk(tmp_path / "own")
    for threshold in (None, 0.5):
        result = Extractor(str(tmp_path / "own"), threshold=threshold)([{"text": text} for text in ORDERS])
        assert [row["asked"] for row in result] == ASKED
    with pytest.raises(ValueError, match="has a column 'asked' already.*another name"):
        Extractor(pipeline, CHILDREN)([{"text": "Ada.", "asked": ["person"]}])


def test_a_text_that_is_read_alone_tells_what_it_was_asked(pipeline, monkeypatch):
    monkeypatch.setattr(Extractor, "_found", lambda *batch: iter(()))
    result = Extractor(pipeline, CHILDREN)([{"text": text} for text in ORDERS])
    assert [row["asked"] for row in result] == ASKED


def ends(link):
    return link["head"], link["label"], link["tail"]


def test_a_row_may_bring_labels_of_its_own():
    asks = ["city", ["person"], '{"labels": {"WHO": "person"}, "threshold": 0.5}', None, "", "[", '{"WHO": "person"}']
    batch = [{"text": SENTENCES[0], "ask": ask} for ask in asks]
    result = Extractor("en_metaie_sm", ["airline"], labels_from="ask")(batch)
    names = [row["spans"] and sorted({span["label"] for span in row["spans"]}) for row in result]
    assert names == [["city"], ["person"], ["WHO"], [], [], None, ["WHO"]]
    assert [row["error"] is None for row in result] == [True] * 5 + [False, True]
    assert "not JSON" in result[5]["error"] and [row["ask"] for row in result] == asks


def test_a_text_that_fails_costs_itself_and_says_why(pipeline):
    texts = [SENTENCES[0], "half \ud800", 7, SENTENCES[1], "x" * 1_000_001, b"\xff", SENTENCES[3]]
    result = Extractor(pipeline, ["person"])([{"text": text} for text in texts])
    assert [row["spans"] is None for row in result] == [False, True, True, True, True, True, False]
    assert [row["error"] is None for row in result] == [True, False, False, False, False, False, True]
    assert (
        "no airlines" in result[3]["error"] and "nlp.max_length" in result[4]["error"] and "int" in result[2]["error"]
    )
    nlp = loaded(pipeline).nlp
    with pytest.raises(ValueError, match="no airlines"):  # the pipeline's own handlers are back
        list(nlp.pipe(texts[3:4]))


def test_extractors_of_one_model_share_a_pipeline_and_do_not_change_it():
    ready = loaded("en_metaie_sm")
    before = ready.pipe.schema
    person, city = (Extractor("en_metaie_sm", [label]) for label in LABELS)
    found = [extract([{"text": SENTENCES[0]}])[0]["spans"] for extract in (person, city, person)]
    assert found[0] == found[2] != found[1]
    assert loaded("en_metaie_sm") is ready and ready.pipe.schema == before


def test_it_travels_as_names_to_another_process(expected):
    extract = Extractor("en_metaie_sm", LABELS)
    extract([{"text": "Ada."}])
    assert len(pickle.dumps(extract)) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (result,) = pool.map(extract, [{"text": TEXTS}])
    assert result["spans"] == expected


def test_columns_that_would_be_lost_or_are_missing_are_told():
    with pytest.raises(ValueError, match="has a column 'spans' already"):
        Extractor("en_metaie_sm", LABELS)({"text": ["Ada."], "spans": [[]]})
    named = Extractor("en_metaie_sm", LABELS, output="found")({"text": ["Ada."], "spans": [[]]})
    assert list(named) == ["text", "spans", "found", "found_error"]
    with pytest.raises(ValueError, match=r"no column 'words', only \['text'\]"):
        Extractor("en_metaie_sm", LABELS, text="words")({"text": ["Ada."]})
    with pytest.raises(TypeError, match="not str"):
        Extractor("en_metaie_sm", LABELS)("Ada.")
    with pytest.raises(ValueError, match="Cannot load the pipeline"):
        Extractor("nowhere/at_all", LABELS)({"text": ["Ada."]})
    with pytest.raises(ValueError, match="Empty label"):
        Extractor("en_metaie_sm", "person,,city")


@pytest.mark.parametrize("kind", ["pandas", "pyarrow"])
def test_a_column_that_is_there_twice_is_refused(pipeline, kind):
    package = pytest.importorskip(kind)
    if kind == "pandas":
        batch = package.DataFrame([["Ada.", "Bo."]] * 2, columns=["text", "text"])
    else:
        batch = package.Table.from_arrays([package.array(["Ada."]), package.array(["Bo."])], names=["text", "text"])
    with pytest.raises(ValueError, match="has 2 columns 'text'.*name of its own"):
        Extractor(pipeline, ["person"])(batch)


@pytest.mark.parametrize("value", ["Ada met Marie.", b"Ada", None])
def test_one_row_in_place_of_a_batch_is_refused(pipeline, value):
    with pytest.raises(TypeError, match="'text' is a single value.*batched=True"):
        Extractor(pipeline, ["person"])({"text": value})


def test_a_row_whose_cell_of_labels_is_empty_is_asked_what_all_are_asked(pipeline):
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
    cells = ["date", pandas.NA, pandas.NaT, float("nan"), None, "", " ", [], "[]", {}, "{}", ()]
    result = Extractor(pipeline, ["person"], labels_from="ask")([{"text": SENTENCES[0], "ask": cell} for cell in cells])
    assert [row["error"] for row in result] == [None] * len(cells)
    assert [{span["label"] for span in row["spans"]} for row in result] == [{"date"}, *[{"person"}] * (len(cells) - 1)]


def test_a_text_that_is_asked_nothing_has_null_spans_and_an_error(pipeline, make_nlp, tmp_path):
    make_nlp([]).to_disk(tmp_path / "asks_nothing")
    rows = [{"text": SENTENCES[0], "ask": None}, {"text": SENTENCES[0], "ask": '{"labels": []}'}]
    for extract in (Extractor(str(tmp_path / "asks_nothing")), Extractor(pipeline, []), Extractor(pipeline, {})):
        (row,) = extract(rows[:1])
        assert row["spans"] is None and "no labels are asked" in row["error"]
    both = Extractor(pipeline, ["person"], labels_from="ask")(rows)
    assert both[0]["spans"] and both[1]["spans"] is None and "no labels are asked" in both[1]["error"]


@pytest.mark.parametrize("threshold", [2, float("nan"), "0.5", True])
def test_a_threshold_that_is_none_is_refused_at_once(threshold):
    for labels in (["person"], None):
        with pytest.raises(ValueError, match="threshold must be a number between 0 and 1"):
            Extractor("en_metaie_sm", labels, threshold=threshold)
