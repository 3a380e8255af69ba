"""The command line as others start it: a process that takes bytes and ends with a status."""

import json
import subprocess
import sys

from helpers import ROOT


def run(*args, stdin=b""):
    command = [sys.executable, "-m", "metaie_spacy", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=ROOT, timeout=300)


def test_bytes_come_in_by_stdin_and_bad_ones_are_passed_over():
    stdin = b'{"id": "a", "text": "Ada Lovelace met Marie."}\n{"text": "cut\n\xff\xfe\n{"id": "b", "text": ""}\n'
    result = run("extract", "-", "--labels", "person", "--format", "jsonl", stdin=stdin)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert "Ada Lovelace" in [span["text"] for span in rows[0]["spans"]]
    message = result.stderr.decode()
    assert "stdin, line 2: not JSON" in message and "stdin, line 3: not UTF-8" in message


def test_a_mistake_ends_with_a_message_a_status_and_no_traceback(tmp_path):
    result = run("curate", "nowhere.jsonl", "--output", tmp_path)
    assert result.returncode == 1 and result.stdout == b""
    assert b"no annotations file 'nowhere.jsonl'" in result.stderr and b"Traceback" not in result.stderr


def test_an_unknown_command_is_refused_with_a_hint():
    result = run("extrakt")
    assert result.returncode == 2 and b"extrakt" in result.stderr and b"Traceback" not in result.stderr
