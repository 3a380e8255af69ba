"""Texts of any source, and passages."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.bulk.chunks import Reading, Source, chunks_of
from metaie_spacy.data.passages import passage_cutter, passages
from metaie_spacy.data.texts import TextReader

CUT = passage_cutter(12)


def read(path, **kwargs):
    with TextReader(str(path), **kwargs) as reader:
        return [row for _, row in reader.rows()]


def test_parquet_brings_its_ids_and_meta(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    path = tmp_path / "texts.parquet"
    parquet.write_table(pa.table({"id": ["a", "b"], "text": ["Ada met Marie.", None], "other": [1, 2]}), path)
    with TextReader(str(path), errors=io.BytesIO()) as reader:
        assert [row for _, row in reader.rows()] == [{"id": "a", "text": "Ada met Marie."}]
        assert reader.total == 2 and reader.bad == 1  # a row without a text is reported like a bad line


def test_parquet_without_texts_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table({"body": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="no column \"text\", only \\['body'\\]"):
        read(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="is no Parquet file"):
        read(tmp_path / "y.parquet")


def test_long_texts_become_passages_at_sentence_ends():
    text = "Ada met Marie in Paris. They spoke of radium.\n\nLater, Charles came with a very long letter from London about engines. Bye."
    rows = list(passages([(1, {"id": "d", "text": text, "meta": {"page": 3}})], CUT))
    assert [row["id"] for row in rows] == ["d#0", "d#1", "d#2"]
    assert rows[0]["text"] == "Ada met Marie in Paris. They spoke of radium."
    for row in rows:
        start = row["meta"]["start"]
        assert text[start : start + len(row["text"])] == row["text"] and row["meta"]["page"] == 3


def test_ids_without_one_depend_on_the_words_alone():
    one = list(passages([(1, {"text": "Ada."}), (2, {"text": "Marie."})], CUT))
    other = list(passages([(1, {"text": "Marie."})], CUT))
    assert one[1]["id"] == other[0]["id"] != one[0]["id"]


def test_zero_leaves_texts_whole():
    text = "One. " * 500
    assert [row["text"] for row in passages([(1, {"text": text})], passage_cutter(0))] == [text.strip()]
    with pytest.raises(ValueError, match="max_words is -1"):
        passage_cutter(-1)


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(codec="utf8"), max_size=300))
def test_passages_hold_every_word_once(text):
    places = CUT(text)
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in places)
    assert "".join("".join(text[start:end].split()) for start, end in places) == "".join(text.split())


def test_rows_that_are_no_texts_are_kept(tmp_path):
    path, kept = tmp_path / "in.jsonl", io.BytesIO()
    path.write_bytes(b'{"text": "Ada."}\n{"txt": 1}\n' + json.dumps({"text": "Ma\ud800rie"}).encode() + b"\n\xff\n")
    assert [row["text"] for row in read(path, errors=kept)] == ["Ada."]
    assert len(kept.getvalue().splitlines()) == 3


def test_ids_that_are_none_and_marks_of_byte_order(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"id": null, "text": "Ada."}\n{"id": "", "text": "Marie."}\n{"id": 0, "text": "Eve."}\n'
    )
    rows = list(passages([(i, row) for i, row in enumerate(read(path))], CUT))
    assert (
        len({row["id"] for row in rows}) == 3 and rows[2]["id"] == "0" and all(len(row["id"]) == 12 for row in rows[:2])
    )


def test_tables_have_a_column_of_texts(tmp_path):
    (tmp_path / "a.csv").write_text('id,body,n\n7,"Ada, ""the""\nfirst",1\n8,Marie,2\n9,cut\n', encoding="utf8")
    with TextReader(str(tmp_path / "a.csv"), text_field="body", errors=io.BytesIO()) as reader:
        rows = [row for _, row in reader.rows()]
    assert [(row["id"], row["text"], row["n"]) for row in rows] == [
        ("7", 'Ada, "the"\nfirst', "1"),
        ("8", "Marie", "2"),
    ]
    assert reader.bad == 1
    with pytest.raises(ValueError, match=r"no column \"text\", only \['id', 'body', 'n'\].*--text-field"):
        read(tmp_path / "a.csv")
    (tmp_path / "b.tsv").write_text("text\nAda\t\n", encoding="utf8")
    with TextReader(str(tmp_path / "b.tsv"), errors=io.BytesIO()) as reader:
        assert [row for _, row in reader.rows()] == [] and reader.bad == 1
    (tmp_path / "c.csv").write_text('text\n"Ada', encoding="utf8")
    with pytest.raises(ValueError, match="c.csv, line 2: not CSV"):
        read(tmp_path / "c.csv")


def test_a_field_of_another_name_may_hold_the_text(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"body": "Ada.", "page": 3}) + "\n", encoding="utf8")
    assert read(tmp_path / "a.jsonl", text_field="body") == [{"body": "Ada.", "page": 3, "text": "Ada."}]


@pytest.mark.parametrize("source", ["texts.jsonl", "data/texts", "./a", "report.pdf", "a/b.txt"])
def test_what_looks_like_a_path_and_is_none_is_named(source):
    with pytest.raises(ValueError, match="There is no file .* pass it on stdin"):
        TextReader(source)


@pytest.mark.parametrize(
    "text", ["Ada met Marie.", "He used and/or, see a.txt", "U.S.", "Node.js", "e.g. this", "x" * 300]
)
def test_texts_that_are_no_paths_are_texts(text):
    assert read(text) == [{"text": text}]


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(ValueError, match="There is no file"):
        TextReader(f"{tmp_path}/my texts.csv")
    with pytest.raises(ValueError, match="is a folder"):
        TextReader(str(tmp_path))


@pytest.mark.parametrize("head", ["text,text", "text,n,n", "text,,"])
def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path, head):
    (tmp_path / "a.csv").write_text(f"{head}\n{','.join('abc'[: head.count(',') + 1])}\n", encoding="utf8")
    with pytest.raises(ValueError, match=r"a.csv' has 2 columns .* of which one would be lost.*name of its own"):
        read(tmp_path / "a.csv")


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pa.Table.from_arrays([pa.array(["Ada"])] * 2, names=["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match='a.parquet\' has 2 columns "text"'):
        read(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match='a.parquet\' has 2 columns "text"'):
        list(chunks_of(Source(0, str(tmp_path / "a.parquet")), Reading("text", 5)))


def test_a_text_of_a_table_may_be_longer_than_csv_has_it(tmp_path):
    text, most = "Ada met Marie. " * 10_000, csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f"text,n\n{text},1\nBo.,2\n", encoding="utf8")
    assert [row["text"] for row in read(tmp_path / "a.csv")] == [text, "Bo."] and len(text) > most
    assert csv.field_size_limit() == most
