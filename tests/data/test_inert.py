"""Text from outside is shown and never obeyed: on terminals, in Markdown, in HTML, in JSON lines."""

import html
import json
import re
import sys

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Span, SpanGroup

from metaie_spacy.cli.app import main
from metaie_spacy.cli.output import render_html, table
from metaie_spacy.convert.convert import convert
from metaie_spacy.curate.curate import curate
from metaie_spacy.curate.settings import CurateSettings
from metaie_spacy.data.inert import for_markdown, for_terminal, markdown_table
from metaie_spacy.data.jsonl import json_text, parse_json
from metaie_spacy.data.texts import TextReader
from metaie_spacy.linking.found import found_in
from metaie_spacy.results import rows

HOSTILE = "<script>alert(1)</script>|a`b\x1b[31m\x9b2J[x](javascript:1)\u202e*_e_*\x07"


def bare_markup(text):
    """HTML tags and escape sequences that something would obey."""
    return re.findall(r"<\w|</\w|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text):
    shown = for_terminal(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert shown == text or len(shown) > len(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_cell_of_markdown_stays_one_cell_without_markup(text):
    line = markdown_table(("a", "b"), [(text, 1)]).splitlines()
    assert len(line) == 3 and len(re.findall(r"(?<!\\)(?:\\\\)*\|", line[2])) == 3
    assert "<" not in for_markdown(text) and not re.search(r"(?<!\\)(?:\\\\)*[`\[]", for_markdown(text))


@given(st.recursive(st.none() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)))
def test_json_lines_mean_what_they_meant_and_hold_no_control(value):
    line = json_text(value)
    assert json.loads(line) == value and not bare_markup(line.replace("<", ""))


def test_numbers_that_json_has_not_are_refused():
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            json_text({"score": number})


def hostile_doc(score=0.5):
    nlp = spacy.blank("en")
    doc = nlp(f"Ada <b>met</b> {HOSTILE} Bob")
    spans = [Span(doc, 0, 1, label=HOSTILE)]
    doc.spans["metaie"] = SpanGroup(doc, name="metaie", spans=spans, attrs={"scores": [score], "asked": [HOSTILE]})
    doc.user_data["title"] = "<script>title</script>"
    return doc


def test_a_page_shows_labels_and_texts_and_runs_none():
    page = render_html(iter([("1", hostile_doc(), {})]), "metaie")
    assert "<script>" not in page and html.escape("<script>alert(1)</script>") in page and "<b>" not in page


def test_a_table_for_a_terminal_holds_no_escape_sequence():
    shown = table(hostile_doc().text, found_in(hostile_doc(), "metaie"))
    assert "\x1b" not in shown and "\x9b" not in shown and "\\x1b" in shown and "\u202e" not in shown


def test_a_score_that_is_no_number_is_null_in_json_and_none_in_a_table():
    doc = hostile_doc(float("nan"))
    (row,) = rows(doc, "metaie")
    assert row["score"] is None and json.loads(json_text(row))["score"] is None
    assert "none" in table("x", found_in(doc, "metaie"))


def test_messages_show_what_stands_in_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["metaie", "evaluate", "en_metaie_sm", "no\x1b[31m\nsuch"])
    with pytest.raises(SystemExit) as end:
        main()
    err = capsys.readouterr().err
    assert end.value.code == 1 and "\x1b" not in err and len(err.strip().splitlines()) == 1
    (tmp_path / "a\x1b[31m.jsonl").write_text("{")
    with TextReader(str(tmp_path / "a\x1b[31m.jsonl")) as reader:
        assert not list(reader) and "\x1b" not in capsys.readouterr().err


def test_a_report_of_curate_shows_labels_teachers_and_file_names(tmp_path):
    source = tmp_path / "rows <img src=x onerror=alert(1)>|\x1b.jsonl"
    row = {"id": "1", "text": "Ada met Bob.", "spans": [{"start": 0, "end": 3, "label": HOSTILE}], "teacher": HOSTILE}
    source.write_text(json.dumps(row) + "\n", encoding="utf8")
    curate([source], tmp_path / "out", CurateSettings(near_duplicates=0, linked=0, normal_labels=False))
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf8")
    assert "alert(1)" in report and not bare_markup(report)
    rows = [line for line in report.splitlines() if "alert" in line and line.startswith("|")]
    assert len(rows) == 3 and {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {3, 4}


def test_what_a_file_of_another_tool_keeps_for_us_never_replaces_its_text_or_spans(tmp_path):
    kept = {
        "id": "1",
        "asked": ["person"],
        "text": "another",
        "spans": [{"start": 0, "end": 1, "label": "x"}],
        "meta": {"doc": "d"},
    }
    task = {
        "text": "Ada met Bob.",
        "spans": [{"start": 0, "end": 3, "label": "person"}],
        "answer": "accept",
        "metaie": kept,
    }
    (tmp_path / "tasks.jsonl").write_text(json.dumps(task) + "\n")
    convert(tmp_path / "tasks.jsonl", tmp_path / "rows.jsonl", from_format="prodigy")
    row = parse_json((tmp_path / "rows.jsonl").read_bytes().splitlines()[0])
    assert (row["text"], row["spans"][0]["label"], row["meta"]) == ("Ada met Bob.", "person", {"doc": "d"})


def test_bytes_of_a_parquet_file_are_text_and_what_is_no_utf8_is_rejected(tmp_path, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = [b"Ada", "Zo\u00eb".encode(), b"\xff\xfe", None]
    columns = {"text": pyarrow.array(texts, pyarrow.binary()), "meta": [{"score": float("nan"), "raw": b"Bob"}] * 4}
    parquet.write_table(pyarrow.table(columns), tmp_path / "texts.parquet")
    with TextReader(str(tmp_path / "texts.parquet")) as reader:
        rows = [row for _, row in reader.rows()]
    assert [row["text"] for row in rows] == ["Ada", "Zo\u00eb"] and reader.bad == 2
    assert rows[0]["meta"] == {"score": None, "raw": "Bob"}
    parquet.write_table(pyarrow.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    with pytest.raises(ValueError, match='column "text" of .*numbers.parquet.* holds int64'):
        TextReader(str(tmp_path / "numbers.parquet"))
