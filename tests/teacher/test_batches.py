"""Questions by the batch API: at its price, each once, whatever ends the run or a batch."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import ASSETS, CORPUS, ROOT
from teacher_server import teacher_server

from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import PromptAnnotator
from metaie_spacy.teacher.client import Teacher, TeacherError

ROWS = [json.loads(line) for line in CORPUS.read_text(encoding="utf8").splitlines()[:30]]
TEXTS = [{"id": row["id"], "text": row["text"]} for row in ROWS]


def teacher_for(server, tmp_path, **options):
    settings = {"api_key_env": None, "timeout": 20.0, "cache": str(tmp_path / "t.sqlite"), "batch_poll": 0.05}
    return Teacher("test", base_url=server.url, batch=True, **{**settings, **options})


def run(server, tmp_path, texts=TEXTS, **options):
    teacher = teacher_for(server, tmp_path, **options)
    counts = annotate(texts, tmp_path / "rows.jsonl", PromptAnnotator(teacher, ASSETS / "prompt.jinja"), progress=False)
    return teacher, counts


def sent(server):
    """Bodies of the batches that the server has, newest first."""
    import openai

    return list(openai.OpenAI(api_key="none", base_url=server.url).batches.list())


def spans_of(path):
    return {row["id"]: row["spans"] for row in map(json.loads, path.read_text(encoding="utf8").splitlines())}


def test_batches_bring_the_rows_that_single_questions_bring_at_half_the_price(tmp_path):
    (tmp_path / "one").mkdir()
    with teacher_server(corpus=[CORPUS]) as server:
        teacher, counts = run(server, tmp_path, price_in=1.0, price_out=2.0)
        assert counts["annotated"] == 30 and len(sent(server)) == 1
        single = Teacher("test", base_url=server.url, api_key_env=None, price_in=1.0, price_out=2.0)
        out = tmp_path / "one" / "rows.jsonl"
        annotate(TEXTS, out, PromptAnnotator(single, ASSETS / "prompt.jinja"), progress=False)
        assert spans_of(out) == spans_of(tmp_path / "rows.jsonl")
        assert teacher.meter.tokens == single.meter.tokens > 0
        assert teacher.meter.cost == pytest.approx(single.meter.cost / 2)
        again = teacher_for(server, tmp_path, price_in=1.0, price_out=2.0)
        assert again.meter.cost == pytest.approx(teacher.meter.cost), "what a batch saved is known to the next run"
        assert server.stats()["completed"] == 60


def test_what_a_batch_had_no_time_for_is_sent_again_and_what_came_is_kept(tmp_path):
    with teacher_server(corpus=[CORPUS], batch_limit=20) as server:
        _, counts = run(server, tmp_path)
        assert counts["annotated"] == 30 and [batch.status for batch in sent(server)] == ["completed", "expired"]
        assert server.stats()["completed"] == 30, "no question was answered twice"


def test_questions_that_fail_in_a_batch_are_asked_one_by_one(tmp_path):
    with teacher_server(corpus=[CORPUS], fault={"500": 0.3, "prose": 0.2}, seed=2) as server:
        _, counts = run(server, tmp_path, attempts=12)
        assert counts["annotated"] == 30 and counts["failed"] == 0 and len(sent(server)) == 1


def test_an_endpoint_without_schemas_is_asked_for_lines_in_the_next_batch(tmp_path):
    with teacher_server(corpus=[CORPUS], no_json_schema=True) as server:
        teacher, counts = run(server, tmp_path)
        assert counts["annotated"] == 30 and teacher.form == "lines" and len(sent(server)) == 2
        assert server.stats()["completed"] == 30


def test_no_batch_is_sent_that_may_exceed_the_budget(tmp_path):
    prices = {"price_in": 0.0001, "price_out": 1.0}
    (tmp_path / "all").mkdir()
    with teacher_server(corpus=[CORPUS]) as server:
        cost = run(server, tmp_path / "all", **prices)[0].meter.cost
        budget = cost / 2 + 2048 * 0.5 / 1e6  # half of it, and the longest answer that one more could have
        teacher, counts = run(server, tmp_path, budget_money=budget, **prices)
        first = len(spans_of(tmp_path / "rows.jsonl"))
        assert 0 < first < 30 and counts["left"] == 30 - first and counts["stopped"]
        assert teacher.meter.cost <= budget
        _, counts = run(server, tmp_path)
        assert counts["annotated"] + first == 30 and server.stats()["completed"] == 60


def test_an_endpoint_without_a_batch_api_is_told(tmp_path):
    with teacher_server(corpus=[CORPUS], no_batches=True) as server:
        with pytest.raises(TeacherError, match="set the teacher's batch to false"):
            run(server, tmp_path)


def test_a_batch_that_nobody_noted_is_found_by_its_name(tmp_path):
    with teacher_server(corpus=[CORPUS]) as server:
        teacher = teacher_for(server, tmp_path)
        teacher.store.name_batch = lambda *batch: os.kill(os.getpid(), signal.SIGKILL)
        pid = os.fork()
        if not pid:
            annotate(TEXTS, tmp_path / "rows.jsonl", PromptAnnotator(teacher, ASSETS / "prompt.jinja"), progress=False)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL and len(sent(server)) == 1
        _, counts = run(server, tmp_path)
        assert counts["annotated"] == 30 and len(sent(server)) == 1 and server.stats()["completed"] == 30


def test_after_kill_9_the_same_command_takes_the_batch_in(tmp_path):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TEXTS), encoding="utf8")
    with teacher_server(corpus=[CORPUS], batch_looks=40) as server:
        options = {"base_url": server.url, "api_key_env": "null", "model": "test", "batch": "true", "batch_poll": "0.1"}
        command = [sys.executable, "-m", "metaie_spacy", "annotate", tmp_path / "texts.jsonl", tmp_path / "rows.jsonl"]
        command += [part for name, value in options.items() for part in (f"--teacher.{name}", value)]
        process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.DEVNULL)
        while not sent(server) and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL and not spans_of(tmp_path / "rows.jsonl")
        result = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        assert len(sent(server)) == 1 and server.stats()["completed"] == 30
    assert sorted(spans_of(tmp_path / "rows.jsonl")) == sorted(row["id"] for row in TEXTS)


def test_settings_that_cannot_be_are_told():
    for options in ({"batch_price": 1.5}, {"batch_poll": 0.0}):
        with pytest.raises(ValueError, match="batch_price is .* batch_poll"):
            Teacher("test", **options)
