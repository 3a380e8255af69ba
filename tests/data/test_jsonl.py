"""The reader of JSON lines, and those that use it."""

import json

import pytest

from metaie_spacy.curate.sources import read_sources
from metaie_spacy.data.jsonl import BadLine, parse_json, read_jsonl, write_jsonl
from metaie_spacy.data.ledger import Ledger
from metaie_spacy.data.rows import read_rows
from metaie_spacy.data.texts import TextReader

BAD = [
    (b'{"text": "cut', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"text": "Ada", "spans": [], "x": NaN}', "not JSON"),
    (b'{"text": "Ada", "spans": [], "x": -Infinity}', "not JSON"),
    (b'{"text": "Ada", "spans": [], "x": 1e999}', "not JSON"),
    (b'{"text": "Ad\xff", "spans": []}', "not UTF-8"),
    (b'{"text": "Ad\\ud83d", "spans": []}', "half a character"),
    (b'{"text": "Ada", "spans": [], "x": ["\\uDE00"]}', "half a character"),
]
GOOD = {"id": "1", "text": "Zoë 😀", "spans": [], "meta": {"n": 1.5}}


def test_lines_come_with_number_raw_bytes_and_value_or_reason(tmp_path):
    lines = [line for bad, _ in BAD for line in (bad, b"  ")]
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([*lines, json.dumps(GOOD).encode(), b'{"te']))
    found = list(read_jsonl(tmp_path / "rows.jsonl"))
    assert [line.number for line in found] == [*range(1, 2 * len(BAD), 2), 2 * len(BAD) + 1, 2 * len(BAD) + 2]
    assert [line.error and line.error.reason for line in found] == [*(why for _, why in BAD), None, "cut line"]
    assert [line.raw for line in found[: len(BAD)]] == [bad for bad, _ in BAD] and found[-2].value == GOOD


@pytest.mark.parametrize("line, reason", BAD)
def test_every_reader_names_the_same_fault_of_a_line(tmp_path, capsys, line, reason):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(BadLine, match=reason):
        parse_json(line)
    with pytest.raises(ValueError, match=f"rows.jsonl, line 1: {reason} "):
        list(read_rows(path))
    ledger = Ledger()
    assert not list(read_sources([path], ledger)) and ledger.rows == {reason: 1}
    with TextReader(str(path)) as reader:
        assert not list(reader) and reader.bad == 1
    assert f"line 1: {reason} " in capsys.readouterr().err


def test_rows_that_are_written_are_read_again(tmp_path):
    assert write_jsonl(tmp_path / "rows.jsonl", [GOOD, GOOD]) == 2
    assert [line.value for line in read_jsonl(tmp_path / "rows.jsonl")] == [GOOD, GOOD]
