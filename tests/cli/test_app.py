"""The commands of the command line: what they print and write, and how they end."""

import json

import pytest
import spacy
import torch
from helpers import ASSETS, row

SAMPLE = ASSETS / "sample.txt"
BROKEN = [
    b'{"id": "a", "text": "Ada met Marie."}',
    b'{"text": "cut',
    b"\xff\xfe",
    b'{"id": 7}',
    b"",
    b'{"text": "\\ud800"}',
    b'{"id": "b", "text": ""}',
]


def test_text_argument_with_the_default_model(call):
    result = call("extract", "Ada Lovelace met Charles Babbage in London.", "--labels", "person, city")
    assert result.code == 0 and "score" in result.out
    assert all(part in result.out for part in ("Ada Lovelace", "Charles Babbage", "London"))


def test_jsonl_of_a_file_has_a_row_for_every_text(call):
    result = call("extract", SAMPLE, "--labels", "person, city", "--format", "jsonl")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [found["id"] for found in rows] == ["1", "2", "3"]
    for found in rows:
        for span in found["spans"]:
            assert found["text"][span["start"] : span["end"]] == span["text"] and 0 <= span["score"] <= 1
    assert ("Ada Lovelace", "person") in [(s["text"], s["label"]) for s in rows[0]["spans"]]


def test_jsonl_tells_which_labels_a_text_was_asked_where_some_were_not(call, tmp_path):
    texts = ["Ada Lovelace lived in London.", "It rained.", "It snowed."]
    rows = [{"text": text, "asked": ["weather"]} for text in texts[:2]] + [{"text": texts[2]}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    schema = {"labels": {"PERSON": {"query": "person", "children": {"CITY": "city"}}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema), encoding="utf8")
    out = call("extract", tmp_path / "in.jsonl", "--schema", tmp_path / "schema.json", "--format", "jsonl").out
    all_of_them, first, second = map(json.loads, out.splitlines())
    assert "asked" not in all_of_them and all_of_them["spans"], "what the source says was asked is not about these"
    assert first["asked"] == second["asked"] == ["PERSON"] and first["spans"] == []
    out = call("extract", tmp_path / "in.jsonl", "--labels", "person", "--format", "jsonl").out
    assert [json.loads(line).get("asked") for line in out.splitlines()] == [["weather"]] * 2 + [None], "never written"


def test_bad_lines_of_a_file_are_reported_kept_and_passed_over(call, tmp_path):
    source, bad = tmp_path / "in.jsonl", tmp_path / "bad"
    source.write_bytes(b"\n".join(BROKEN))
    result = call("extract", source, "--labels", "person", "--format", "jsonl", "--errors", bad)
    assert result.code == 0
    assert [json.loads(line)["id"] for line in result.out.splitlines()] == ["a", "b"]
    for message in ("line 2: not JSON", "line 3: not UTF-8", "line 4: expected an object", "line 6:", "4 bad line(s)"):
        assert message in result.err
    assert bad.read_bytes().splitlines() == [BROKEN[1], BROKEN[2], BROKEN[3], BROKEN[5]]


def test_html_marks_the_spans(call, tmp_path):
    result = call("extract", SAMPLE, "--labels", "person", "--format", "html", "--output", tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf8")
    assert result.code == 0 and page.startswith("<!DOCTYPE html>") and "person" in page and "Lovelace" in page


@pytest.mark.parametrize(
    "args, message",
    [
        (["extract", "x", "--labels", "person,,date"], "Empty label"),
        (["extract", "x", "--labels", ""], "Empty label"),
        (["extract", "x", "--threshold", "2"], "between 0 and 1"),
        (["extract", "x", "--model", "no_such_model"], "Cannot load the pipeline 'no_such_model'"),
        (["extract", "missing.jsonl"], "no file 'missing.jsonl'"),
        (["evaluate", "en_metaie_sm", "missing.jsonl"], "no corpus file"),
        (["distill", "missing.jsonl", "--output", "out"], "no corpus file"),
    ],
)
def test_mistakes_are_named(call, args, message, tmp_path):
    result = call(*(tmp_path / "out" if arg == "out" else arg for arg in args))
    assert result.code == 1 and message in result.err


def test_evaluate_prints_and_writes_scores(call, tmp_path):
    rows = tmp_path / "rows.jsonl"
    example = row("Ada Lovelace was born in London.", [("Ada Lovelace", "person")], absent=["drug"])
    rows.write_text(json.dumps(example), encoding="utf8")
    result = call("evaluate", "en_metaie_sm", rows, "--output", tmp_path / "scores.json")
    assert result.code == 0 and "F 1.000" in result.out
    assert json.loads((tmp_path / "scores.json").read_text())["f"] == 1.0


def test_a_schema_file_gives_names_and_queries(call, tmp_path):
    schema = tmp_path / "schema.json"
    labels = {"WHO": "person", "WHERE": {"query": "city", "threshold": 0.4}}
    schema.write_text(json.dumps({"labels": labels, "flat": True}), encoding="utf8")
    result = call("extract", "Ada Lovelace lived in London.", "--schema", schema, "--format", "jsonl")
    found = [(span["text"], span["label"]) for span in json.loads(result.out)["spans"]]
    assert found == [("Ada Lovelace", "WHO"), ("London", "WHERE")]


@pytest.mark.parametrize("extra, message", [((), "labels['WHO']['query'] is empty"), (("--labels", "x"), "not both")])
def test_a_bad_schema_file_is_refused_with_its_place(call, tmp_path, extra, message):
    schema = tmp_path / "schema.json"
    schema.write_text('{"labels": {"WHO": {"query": ""}}}', encoding="utf8")
    result = call("extract", "Ada.", "--schema", schema, *extra)
    assert result.code == 1 and message in result.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_asking_for_a_gpu_that_is_not_there_names_what_to_install(call):
    result = call("extract", "Ada.", "--gpu", "0")
    assert result.code == 1 and "cuda12x" in result.err


GOODS = ["nails", "cable", "paint", "screws", "sand"]
ORDERS = [
    "Send 3 kg of nails.", "We ordered 20 m of cable.", "2 l of paint, please.", "Add 5 boxes of screws.",
    "They want 7 bags of sand.", "No goods.",
]  # fmt: skip


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "examples.jsonl"
    rows = [row(text, [(word, "goods") for word in GOODS if word in text]) for text in ORDERS]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    return path


def test_fewshot_saves_the_adapted_pipeline_and_prints_its_scores(call, orders, tmp_path):
    result = call("fewshot", orders, tmp_path / "out", "--steps", "2", "--rehearsal", "0")
    assert result.code == 0 and "F after: 95 % interval" in result.out and "goods" in result.out
    nlp = spacy.load(tmp_path / "out")
    assert nlp.get_pipe("metaie").labels == ("goods",)
    assert nlp("Bring 3 kg of nails.").spans["metaie"].attrs["asked"] == ["goods"]


def test_fewshot_does_not_replace_what_is_no_pipeline(call, orders, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work", encoding="utf8")
    result = call("fewshot", orders, tmp_path / "full")
    assert result.code == 1 and "no spaCy pipeline" in result.err
    assert (tmp_path / "full" / "thesis.txt").read_text(encoding="utf8") == "years of work"
