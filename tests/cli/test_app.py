"""The command line, as a process."""

import json
import subprocess
import sys

import pytest
from helpers import ASSETS

SAMPLE = ASSETS / "sample.txt"


def run(*args, stdin=None):
    command = [sys.executable, "-m", "metaie_spacy", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def result_of_sample():
    return run("extract", SAMPLE, "--labels", "person, city", "--format", "jsonl")


def test_text_argument_with_the_default_model():
    result = run("extract", "Ada Lovelace met Charles Babbage in London.", "--labels", "person, city")
    table = result.stdout.decode()
    assert result.returncode == 0, result.stderr
    assert "Ada Lovelace" in table and "Charles Babbage" in table and "London" in table and "score" in table


def test_jsonl_of_a_file_has_a_row_for_every_text(result_of_sample):
    rows = [json.loads(line) for line in result_of_sample.stdout.decode().splitlines()]
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        for span in row["spans"]:
            assert row["text"][span["start"] : span["end"]] == span["text"] and 0 <= span["score"] <= 1
    assert ("Ada Lovelace", "person") in [(s["text"], s["label"]) for s in rows[0]["spans"]]


def test_stdin_and_bad_lines_are_reported_kept_and_passed_over(tmp_path):
    lines = [
        b'{"id": "a", "text": "Ada met Marie."}',
        b'{"text": "cut',
        b"\xff\xfe",
        b'{"id": 7}',
        b"",
        b'{"text": "\\ud800"}',
        b'{"id": "b", "text": ""}',
    ]
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join(lines))
    for result in (
        run("extract", source, "--labels", "person", "--format", "jsonl", "--errors", tmp_path / "bad"),
        run(
            "extract",
            "-",
            "--labels",
            "person",
            "--format",
            "jsonl",
            "--errors",
            tmp_path / "bad",
            stdin=source.read_bytes(),
        ),
    ):
        assert result.returncode == 0, result.stderr
        assert [json.loads(line)["id"] for line in result.stdout.splitlines()][0] == "a"
        message = result.stderr.decode()
        assert (
            "line 2: not JSON" in message
            and "line 3: not UTF-8" in message
            and "line 4: expected an object" in message
            and "line 6:" in message
        )
        kept = (tmp_path / "bad").read_bytes().splitlines()
        assert kept[:2] == [lines[1], lines[2]] and len(kept) == 4


def test_html_marks_the_spans(tmp_path):
    result = run("extract", SAMPLE, "--labels", "person", "--format", "html", "--output", tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf8")
    assert result.returncode == 0 and page.startswith("<!DOCTYPE html>") and "person" in page and "Lovelace" in page


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
def test_mistakes_end_with_a_message_and_no_traceback(args, message, tmp_path):
    args = [str(tmp_path / "out") if arg == "out" else arg for arg in args]
    result = run(*args)
    assert result.returncode != 0
    assert message in result.stderr.decode() and "Traceback" not in result.stderr.decode()


def test_evaluate_prints_and_writes_scores(tmp_path):
    rows = tmp_path / "rows.jsonl"
    row = {
        "text": "Ada Lovelace was born in London.",
        "spans": [{"start": 0, "end": 12, "label": "person"}],
        "absent": ["drug"],
    }
    rows.write_text(json.dumps(row), encoding="utf8")
    result = run("evaluate", "en_metaie_sm", rows, "--output", tmp_path / "scores.json")
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["f"] == 1.0 and "F 1.000" in result.stdout.decode()


def test_schema_file_gives_names_queries_and_flatness(tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text(
        json.dumps({"labels": {"WHO": "person", "WHERE": {"query": "city", "threshold": 0.4}}, "flat": True}),
        encoding="utf8",
    )
    result = run("extract", "Ada Lovelace lived in London.", "--schema", schema, "--format", "jsonl")
    assert [(s["text"], s["label"]) for s in json.loads(result.stdout)["spans"]] == [
        ("Ada Lovelace", "WHO"),
        ("London", "WHERE"),
    ]
    schema.write_text('{"labels": {"WHO": {"query": ""}}}', encoding="utf8")
    for extra, message in ((), "labels['WHO']['query'] is empty"), (("--labels", "x"), "not both"):
        result = run("extract", "Ada.", "--schema", schema, *extra)
        assert result.returncode == 1 and message in result.stderr.decode() and b"Traceback" not in result.stderr


def test_asking_for_a_gpu_that_is_not_there_names_what_to_install():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = run("extract", "Ada.", "--gpu", "0")
    assert result.returncode == 1 and "cuda12x" in result.stderr.decode()
