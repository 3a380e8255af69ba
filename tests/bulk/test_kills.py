"""The command as others start it, killed: real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from helpers import ROOT, SENTENCES

ROWS = [{"id": i, "text": f"{SENTENCES[i % 4]} {i}"} for i in range(120)]
# A component that ends its process, as a fault of a library would.
DEADLY = """
import os
from spacy.language import Language

def deadly(doc):
    if "deadly" in doc.text:
        os._exit(11)
    return doc

if not Language.has_factory("deadly"):
    Language.component("deadly", func=deadly)
"""


@pytest.fixture
def place(tmp_path, make_nlp, monkeypatch):
    """A folder with texts and a pipeline, whose processes know its component."""
    nlp = make_nlp(["person"], threshold=0.01)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "code"), str(ROOT)]))
    exec(DEADLY)
    nlp.add_pipe("deadly", first=True)
    nlp.to_disk(tmp_path / "pipe")
    return tmp_path


def write_texts(place, rows):
    (place / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def start(place, *options):
    names = ("texts.jsonl", "--labels", "person", "--model", "pipe", "--output", "out/")
    command = [sys.executable, "-m", "metaie_spacy", "extract", *names, *map(str, options)]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out.decode()
    return out.decode()


def rows_of(place):
    shards = sorted((place / "out").glob("part-*.jsonl"))
    return [json.loads(line) for shard in shards for line in shard.read_text(encoding="utf8").splitlines()]


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(word) for word in found.split()]


def lives(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks for processes in /proc")
def test_after_kill_9_the_same_command_goes_on_and_every_row_is_there_once(place):
    write_texts(place, ROWS)
    process = start(place, "--workers", 2, "--shard-rows", 5)
    while len(list((place / "out").glob("part-*"))) < 2 and process.poll() is None:
        time.sleep(0.002)
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 60
    while any(map(lives, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(lives, children)), "a process went on without its parent"
    before = len(list((place / "out").glob("part-*")))
    assert 1 <= before < 24
    told = finish(start(place, "--workers", 2, "--shard-rows", 5))
    assert "120 rows in 24 shards" in told
    assert [(row["id"], row["text"]) for row in rows_of(place)] == [tuple(row.values()) for row in ROWS]
    summary = json.loads((place / "out" / "_summary.json").read_text())
    assert summary["rows"] == 120 and summary["rows_of_this_call"] == 5 * (24 - before)
    assert summary["spans"] == sum(len(row["spans"]) for row in rows_of(place)) > 0
    stamps = {path: path.stat().st_mtime_ns for path in (place / "out").glob("part-*")}
    finish(start(place, "--workers", 1, "--shard-rows", 5))  # all is done: nothing is made again
    assert stamps == {path: path.stat().st_mtime_ns for path in (place / "out").glob("part-*")}


def test_a_text_that_kills_its_process_costs_its_own_row(place):
    rows = [{"id": i, "text": "a deadly text" if i == 7 else SENTENCES[0]} for i in range(20)]
    write_texts(place, rows)
    finish(start(place, "--workers", 1, "--shard-rows", 10))
    found = rows_of(place)
    assert [row["id"] for row in found] == list(range(20))
    assert [row["id"] for row in found if row["spans"] is None] == [7] and "died" in found[7]["error"]
    assert Counter(map(str, (row["spans"] for row in found))).most_common(1)[0][1] == 19


def test_a_pipeline_that_is_missing_and_a_folder_of_others_end_with_a_message(place):
    write_texts(place, ROWS[:1])
    for options, message in (
        (("--model", "nowhere"), "Cannot find the weights 'nowhere'"),
        (("--format", "csv", "--workers", "1"), "A folder takes --format jsonl or parquet"),
        (("--errors", "bad.jsonl"), "In a folder a bad line is a row"),
    ):
        (place / "out").mkdir(exist_ok=True)
        process = start(place, *options)
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 1 and message in out.decode() and "Traceback" not in out.decode()
