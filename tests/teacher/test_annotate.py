"""Texts -> rows: every text once, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from helpers import ASSETS, CORPUS
from teacher_server import teacher_server

from metaie_spacy.data.rows import check_row
from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import PromptAnnotator, RulesAnnotator, agreed
from metaie_spacy.teacher.client import Teacher, TeacherError
from metaie_spacy.teacher.prompts import read_prompt

PROMPT = ASSETS / "prompt.jinja"
GOLD = [json.loads(line) for line in CORPUS.read_text(encoding="utf8").splitlines()]
TEXTS = [{"id": row["id"], "text": row["text"], "meta": {"n": i}} for i, row in enumerate(GOLD)]


def annotator_for(server, tmp_path, *, samples=1, prompt=PROMPT, **options):
    settings = {
        "api_key_env": None,
        "in_flight": 8,
        "timeout": 2.0,
        "cache": str(tmp_path / "teacher.sqlite"),
        **options,
    }
    return PromptAnnotator(Teacher("test", base_url=server.url, **settings), prompt, samples=samples)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


@pytest.mark.parametrize("form", ["json", "lines"])
def test_rows_follow_the_contract_and_hold_what_the_teacher_said(tmp_path, form):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS]) as server:
        counts = annotate(TEXTS[:60], out, annotator_for(server, tmp_path, form=form), progress=False)
    rows = {row["id"]: row for row in read(out)}
    found = gold = same = 0
    for text, expected in zip(TEXTS[:60], GOLD):
        row = rows[text["id"]]
        check_row(row)
        assert (
            row["text"] == text["text"]
            and row["meta"] == text["meta"]
            and row["teacher"] == "test"
            and len(row["prompt_sha"]) == 64
        )
        assert row["usage"]["completion_tokens"] > 0
        here, there = ({(s["start"], s["end"], s["label"]) for s in r["spans"]} for r in (row, expected))
        found, gold, same = found + len(here), gold + len(there), same + len(here & there)
    assert same >= 0.99 * gold and same >= 0.99 * found
    assert counts["annotated"] == 60 and counts["failed"] == counts["left"] == 0 and counts["spans"] == found
    assert not list(tmp_path.glob("*.failed.jsonl"))


def test_what_is_not_in_the_text_is_kept_under_dropped(tmp_path):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS], fault={"invented": 1.0}) as server:
        annotate(TEXTS[:5], out, annotator_for(server, tmp_path), progress=False)
    for row in read(out):
        assert row["dropped"] and all(set(entry) == {"label", "span", "why"} for entry in row["dropped"])


def test_a_second_call_asks_nothing_and_a_cut_row_is_made_again_from_the_cache(tmp_path):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS]) as server:
        annotate(TEXTS[:20], out, annotator_for(server, tmp_path), progress=False)
        whole = out.read_bytes()
        out.write_bytes(whole[:-30])
        counts = annotate(TEXTS[:20], out, annotator_for(server, tmp_path), progress=False)
        assert counts["done_before"] == 19 and counts["annotated"] == 1
        assert out.read_bytes() == whole
        out.write_bytes(whole[:-1])  # the row is whole, its line end is not
        assert annotate(TEXTS[:20], out, annotator_for(server, tmp_path), progress=False)["done_before"] == 20
        assert out.read_bytes() == whole
        assert server.stats()["completed"] == 20


def test_lines_that_cannot_be_read_stay_and_are_made_again(tmp_path, caplog):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS]) as server:
        annotate(TEXTS[:3], out, annotator_for(server, tmp_path), progress=False)
        lines = out.read_bytes().splitlines(keepends=True)
        out.write_bytes(lines[0] + b"\xff\xfe broken\n" + lines[2])
        annotate(TEXTS[:3], out, annotator_for(server, tmp_path), progress=False)
    assert "lines [2] cannot be read" in caplog.text
    assert b"\xff\xfe broken\n" in out.read_bytes()
    ids = [json.loads(line)["id"] for line in out.read_bytes().splitlines() if not line.startswith(b"\xff")]
    assert sorted(ids) == sorted(row["id"] for row in TEXTS[:3])


def test_texts_that_fail_are_kept_with_the_reason_and_asked_again(tmp_path):
    out, failed = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.failed.jsonl"
    texts = [*TEXTS[:3], {"id": "long", "text": "word " * 3000}]
    with teacher_server(corpus=[CORPUS], max_input=2000) as server:
        counts = annotate(texts, out, annotator_for(server, tmp_path), progress=False)
        assert counts["failed"] == 1 and counts["annotated"] == 3
        (row,) = read(failed)
        assert row["id"] == "long" and row["text"] == texts[3]["text"] and "maximum context length" in row["why"]
    with teacher_server(corpus=[CORPUS]) as server:
        assert annotate(texts, out, annotator_for(server, tmp_path), progress=False)["annotated"] == 1
        assert not failed.exists()


def test_one_id_for_two_texts_loses_neither(tmp_path):
    texts = [TEXTS[0], TEXTS[0], {**TEXTS[1], "id": TEXTS[0]["id"]}]
    with teacher_server(corpus=[CORPUS]) as server:
        counts = annotate(texts, tmp_path / "rows.jsonl", annotator_for(server, tmp_path), progress=False)
    assert counts["annotated"] == 1 and counts["repeated"] == 1 and counts["twice"] == 1
    assert read(tmp_path / "rows.jsonl.failed.jsonl")[0]["text"] == TEXTS[1]["text"]


def test_another_prompt_needs_another_file_and_another_teacher_does_not(tmp_path):
    other = tmp_path / "other.jinja"
    other.write_text("Annotate. <text>{{ text }}</text>", encoding="utf8")
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS]) as server:
        annotate(TEXTS[:2], out, annotator_for(server, tmp_path), progress=False)
        with pytest.raises(ValueError, match="line 1: a row of 'test' made with another prompt"):
            annotate(TEXTS[:2], out, annotator_for(server, tmp_path, prompt=other), progress=False)
        second = PromptAnnotator(Teacher("second", base_url=server.url, api_key_env=None), PROMPT)
        annotate(TEXTS[:2], out, second, progress=False)
    assert Counter(row["teacher"] for row in read(out)) == {"test": 2, "second": 2}


def test_samples_keep_what_most_agree_on(tmp_path):
    with teacher_server(corpus=[CORPUS]) as server:
        counts = annotate(
            TEXTS[:10],
            tmp_path / "rows.jsonl",
            annotator_for(server, tmp_path, samples=3, temperature=0.7),
            progress=False,
        )
        assert server.stats()["completed"] == 30
    rows = read(tmp_path / "rows.jsonl")
    assert all(0 < row["agreement"] <= 1 for row in rows) and any(row["agreement"] < 1 for row in rows)
    assert counts["dropped"] == sum(len(row.get("dropped", [])) for row in rows) > 0
    assert any(" of 3 samples" in entry["why"] for row in rows for entry in row.get("dropped", []))


def test_agreement_of_three_samples():
    text = "Ada met Marie."
    ada, marie = {"start": 0, "end": 3, "label": "person"}, {"start": 8, "end": 13, "label": "person"}
    other = {"start": 0, "end": 3, "label": "Person"}
    result = agreed([([ada, marie], ["city"], []), ([other], ["city"], []), ([ada], ["date"], [])], text)
    assert result.spans == [ada] and result.absent == ["city"]
    assert result.dropped == [{"label": "person", "span": "Marie", "why": "1 of 3 samples"}]
    assert result.agreement == round((3 + 1) / 6, 4)


def test_budget_stops_in_good_order_and_a_higher_one_goes_on(tmp_path):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS]) as server:
        counts = annotate(
            TEXTS[:30], out, annotator_for(server, tmp_path, budget_tokens=20_000, max_tokens=1000), progress=False
        )
        assert "budget is spent" in counts["stopped"] and 0 < counts["annotated"] < 30
        assert counts["left"] == 30 - counts["annotated"] and len(read(out)) == counts["annotated"]
        assert annotate(TEXTS[:30], out, annotator_for(server, tmp_path), progress=False)["left"] == 0
        assert server.stats()["completed"] == 30
    assert len({row["id"] for row in read(out)}) == len(read(out)) == 30


def test_a_dead_endpoint_keeps_what_was_written(tmp_path):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS]) as server:
        annotator = annotator_for(server, tmp_path, retries=0)
        annotate(TEXTS[:10], out, annotator, progress=False)
        server.process.kill()
        server.process.wait()
        with pytest.raises(TeacherError, match="does not answer"):
            annotate(TEXTS[:200], out, annotator, progress=False)
    assert len(read(out)) == 10


ANNOTATE = """
import json, sys
from pathlib import Path
from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import PromptAnnotator
from metaie_spacy.teacher.client import Teacher

texts, out, url, cache, prompt = sys.argv[1:]
teacher = Teacher("test", base_url=url, api_key_env=None, timeout=1.0, in_flight=8, cache=cache)
rows = [json.loads(line) for line in Path(texts).read_text(encoding="utf8").splitlines()]
counts = annotate(rows, Path(out), PromptAnnotator(teacher, prompt), progress=False)
assert counts["failed"] == counts["left"] == 0, counts
"""


@pytest.fixture
def command(tmp_path):
    """Starts a process that annotates the texts of a file. RETURNS (list): for a server's address."""

    def command(texts, url):
        files = [tmp_path / "texts.jsonl", tmp_path / "rows.jsonl", url, tmp_path / "teacher.sqlite", PROMPT]
        files[0].write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf8")
        return [sys.executable, "-c", ANNOTATE, *map(str, files)]

    return command


def test_two_processes_do_not_write_one_file(tmp_path, command):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS], delay=60) as server:
        first = subprocess.Popen(command(TEXTS[:1], server.url), stderr=subprocess.DEVNULL)
        while not server.stats()["requests"]:  # it has begun, and waits for its answer
            assert first.poll() is None
            time.sleep(0.05)
        second = subprocess.run(command(TEXTS[1:2], server.url), capture_output=True, text=True)
        first.kill()
        first.wait()
    assert second.returncode and "Another process is writing" in second.stderr
    assert not out.exists() or out.read_bytes() == b""


def test_kill_9_and_faults_lose_no_text_and_no_answer(tmp_path, command):
    out, texts = tmp_path / "rows.jsonl", TEXTS[:90]
    with teacher_server(corpus=[CORPUS], faults=0.3, delay=0.05, hang=1.5, seed=5) as server:
        start = command(texts, server.url)
        for goal in (25, 55):
            process = subprocess.Popen(start, stderr=subprocess.DEVNULL)
            while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < goal):
                time.sleep(0.01)
            assert process.poll() is None, "it ended before it was killed"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        result = subprocess.run(start, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        log = server.log()
    assert Counter(row["id"] for row in read(out)) == Counter(row["id"] for row in texts)
    completed = Counter(entry["key"] for entry in log if entry["completed"])
    lost = sum(completed.values()) - Teacher("x", cache=str(tmp_path / "teacher.sqlite")).store.totals("test")[0]
    assert lost <= 2 * 8 + sum(entry["kind"] in ("cut", "timeout") for entry in log)
    assert sum(n - 1 for n in completed.values()) <= lost  # only what did not reach the disk was asked again


def test_rules_are_a_teacher_without_a_network(tmp_path):
    patterns = tmp_path / "patterns.jsonl"
    rows = [
        {"label": "person", "pattern": "Ada"},
        {"label": "person", "pattern": [{"LOWER": "ada"}, {"LOWER": "lovelace"}]},
        {"label": "city", "pattern": "Paris"},
    ]
    patterns.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    out = tmp_path / "rows.jsonl"
    annotate(
        [{"id": "a", "text": "Ada Lovelace wrote."}, {"id": "b", "text": "Nobody."}],
        out,
        RulesAnnotator(patterns, exhaustive=True),
        progress=False,
    )
    one, two = read(out)
    assert one["spans"] == [{"start": 0, "end": 12, "label": "person"}] and one["absent"] == ["city"]
    assert two["spans"] == [] and two["absent"] == ["city", "person"]
    assert one["teacher"] == "rules:patterns.jsonl" and one["kind"] == "entity"
    patterns.write_text('{"label": "person"}\n', encoding="utf8")
    with pytest.raises(ValueError, match="line 1: expected"):
        RulesAnnotator(patterns)
    with pytest.raises(ValueError, match="no file of patterns"):
        RulesAnnotator(tmp_path / "none.jsonl")


def test_prompts_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no prompt"):
        read_prompt(tmp_path / "none.jinja")
    (tmp_path / "bad.jinja").write_text("{{ txet }}", encoding="utf8")
    with pytest.raises(ValueError, match="'txet' is undefined"):
        read_prompt(tmp_path / "bad.jinja", text="")


def test_texts_that_changed_under_their_id_are_refused(tmp_path):
    out = tmp_path / "rows.jsonl"
    with teacher_server(corpus=[CORPUS]) as server:
        annotate(TEXTS[:2], out, annotator_for(server, tmp_path), progress=False)
        before = out.read_bytes()
        with pytest.raises(ValueError, match="was annotated with other words before"):
            annotate([{**TEXTS[0], "text": TEXTS[2]["text"]}], out, annotator_for(server, tmp_path), progress=False)
    assert out.read_bytes() == before


def test_failures_of_another_source_stay_noted(tmp_path):
    out, failed = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.failed.jsonl"
    with teacher_server(corpus=[CORPUS], max_input=2000) as server:
        annotate([{"id": "long", "text": "word " * 3000}], out, annotator_for(server, tmp_path), progress=False)
        annotate(TEXTS[:2], out, annotator_for(server, tmp_path), progress=False)
    assert [row["id"] for row in read(failed)] == ["long"]


def test_an_output_that_holds_something_else_is_not_touched(tmp_path):
    out = tmp_path / "texts.txt"
    out.write_text("A text of mine.\nAnother, without a line end", encoding="utf8")
    with pytest.raises(ValueError, match="does not hold annotation rows"):
        annotate([], out, RulesAnnotator(_patterns(tmp_path)), progress=False)
    assert out.read_text(encoding="utf8").endswith("without a line end")


def _patterns(folder):
    (folder / "patterns.jsonl").write_text('{"label": "person", "pattern": "Ada"}\n', encoding="utf8")
    return folder / "patterns.jsonl"


def test_a_package_that_placing_needs_is_missed_before_anything_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(ImportError, match="rapidfuzz"):
        PromptAnnotator(Teacher("test", base_url="http://127.0.0.1:9/v1", api_key_env=None), PROMPT)
