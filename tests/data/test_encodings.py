"""Files of any encoding: what is declared is read rightly, and what is not is refused with file, line and cure."""

import codecs
import io
import json
import sys
import tracemalloc

import pytest
from helpers import ASSETS
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.curate.contamination import read_words
from metaie_spacy.data.jsonl import numbered_lines, read_json_file, read_jsonl, read_text
from metaie_spacy.data.rows import read_chosen, read_rows
from metaie_spacy.data.texts import TextReader
from metaie_spacy.encodings import check_encoding, utf8_lines
from metaie_spacy.schema import read_schema
from metaie_spacy.teacher.prompts import read_prompt

MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
SINGLE = ["cp1252", "latin-1", "iso8859-15", "cp1251", "koi8-r", "cp850", "mac-roman"]
TEXT = "Müller joined Norcom in Köln.\r\nIda Moe left Veltrix.\r\nZoë flew to Oslo.\r\n"
ROWS = [
    {"id": "1", "text": "Müller joined Norcom.", "spans": [{"start": 14, "end": 20, "label": "company"}]},
    {"id": "2", "text": "Ida left.", "spans": []},
]
WORDS = st.text(st.characters(codec="utf8", exclude_categories=["Cc", "Cn", "Co"]), max_size=30)


def lines(data, encoding=None):
    return list(utf8_lines(io.BytesIO(data), "data", encoding))


def texts(source, **options):
    with TextReader(None if source is None else str(source), **options) as reader:
        found = [text for _, text in reader]
        assert not reader.bad
        return found


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    found=st.lists(WORDS, max_size=6), end=st.sampled_from(["\n", "\r\n", ""]), codec=st.sampled_from(sorted(MARKED))
)
def test_whatever_stands_behind_a_byte_order_mark_is_read_as_it_was_written(found, end, codec):
    text = (end or "\n").join(found) + end
    wrong = "cp1252" if codec == "utf-8" else None  # a mark says more than a name
    read = lines(MARKED[codec] + text.encode(codec), wrong)
    assert b"".join(read).decode() == text and all(line.endswith(b"\n") for line in read[:-1])


@settings(derandomize=True, deadline=None, max_examples=100)
@given(data=st.data(), codec=st.sampled_from([*SINGLE, "gb18030", "shift_jis", "utf-16-le", "utf-32-be", "iso2022_jp"]))
def test_what_an_encoding_can_write_is_read_by_its_name_or_refused(data, codec):
    text = data.draw(
        st.text(st.characters(codec=codec, exclude_categories=["Cc", "Cn", "Co"], exclude_characters="¥‾"), max_size=40)
    )
    raw = f"a line\n{text}\nan end".encode(codec)
    try:
        read = b"".join(lines(raw, codec)).decode()
    except ValueError as error:  # by chance its bytes are UTF-8
        assert codec in SINGLE and "Leave --encoding out" in str(error) and raw.decode("utf8")
    else:
        assert read == raw.decode(codec)


@pytest.mark.parametrize("codec", MARKED)
def test_every_input_file_may_have_a_byte_order_mark(tmp_path, codec):
    def save(name, text):
        (tmp_path / name).write_bytes(MARKED[codec] + text.encode(codec))
        return tmp_path / name

    jsonl = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in ROWS)
    assert texts(save("a.txt", TEXT)) == [line for line in TEXT.split("\r\n") if line]
    assert texts(save("a.jsonl", jsonl)) == [row["text"] for row in ROWS]
    assert list(read_rows(tmp_path / "a.jsonl")) == ROWS
    assert [line.value for line in read_jsonl(tmp_path / "a.jsonl")] == ROWS
    assert read_chosen(tmp_path / "a.jsonl", save("ids.jsonl", '{"id": "2"}\n')) == ROWS[1:]
    assert read_schema(save("s.json", '{"labels":\r\n {"ORG": "größe"}}')) == {"labels": {"ORG": "größe"}}
    assert read_json_file(tmp_path / "s.json") == {"labels": {"ORG": "größe"}}
    assert read_prompt(save("p.jinja", "Grüße {{ text }}"), text="")[0].render(text="Ada") == "Grüße Ada"
    assert ["müller", "joined"] == next(read_words(tmp_path / "a.txt"))[0][:2]


@pytest.mark.parametrize("codec", MARKED)
def test_a_config_and_a_list_of_labels_may_have_a_byte_order_mark(tmp_path, codec):
    from metaie_spacy.cli.options import frequent_labels, read_config

    (tmp_path / "a.cfg").write_bytes(MARKED[codec] + '[teacher]\r\nmodel = "Größe"\r\n'.encode(codec))
    assert read_config(tmp_path / "a.cfg", [])["teacher"]["model"] == "Größe"
    (tmp_path / "labels.json").write_bytes(MARKED[codec] + '{"labels": {"Größe": 3}}'.encode(codec))
    assert frequent_labels(tmp_path / "labels.json", 5) == ["Größe"]


@pytest.mark.parametrize("codec", [*SINGLE[:3], "gb18030", "utf-16-le", "utf-16-be"])
def test_a_declared_encoding_is_read_from_files_and_from_stdin(tmp_path, monkeypatch, codec):
    (tmp_path / "a.txt").write_bytes(TEXT.encode(codec))
    expected = [line for line in TEXT.split("\r\n") if line]
    assert texts(tmp_path / "a.txt", encoding=codec) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode(codec))))
    assert texts("-", encoding=codec) == expected


@pytest.mark.parametrize("codec", [*SINGLE, "gb18030", "shift_jis", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_file_in_another_encoding_is_refused_with_its_line_and_the_cure(tmp_path, codec):
    text = "Nobody came.\nДа, конечно.\nIda left.\n" if codec in ("cp1251", "koi8-r", "shift_jis") else "Ida.\nKöln.\n"
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(codec, "replace" if codec != "gb18030" else "strict"))
    number = 1 if codec.startswith("utf") else 2
    pattern = rf"a\.txt, line {number}: .*(Convert|convert).* UTF-8|--encoding"
    for read in (lambda: texts(path), lambda: read_text(path), lambda: list(numbered_lines(path))):
        with pytest.raises(ValueError, match=pattern) as error:
            read()
        assert "\n" not in str(error.value) and "--encoding" in str(error.value)
        assert ("NUL" in str(error.value) and codec in str(error.value)) == codec.startswith("utf")


@pytest.mark.parametrize(
    "codec, declared, message",
    [
        ("utf-16-le", "utf-16-be", "line 1: .*NUL bytes where utf-16-le"),
        ("utf-16-be", "cp1252", "line 1: .*NUL bytes where utf-16-be"),
        ("utf-16-le", "utf-16", "line 1: there is no byte order mark.*--encoding utf-16-le"),
        ("utf-8", "cp1252", "line 1: this is UTF-8, not cp1252. Leave"),
        ("cp1252", "ascii", "line 1: not ASCII"),
        ("cp1252", "utf-8", "line 1: not UTF-8"),
        ("cp1252", "utf-16-le", "line 1: not UTF-16-LE"),
        ("cp1252", "shift_jis", "line 1: not SHIFT"),
    ],
)
def test_a_wrong_name_is_told_and_never_read_as_if_it_were_right(codec, declared, message):
    with pytest.raises(ValueError, match=f"data, {message}"):
        lines((TEXT + "\n" * (len(TEXT) % 2)).encode(codec), declared)


def test_letters_of_windows_are_not_taken_for_controls_of_latin_1():
    with pytest.raises(ValueError, match="line 2: byte 0x93 .*--encoding cp1252"):
        lines("Ada.\n“Köln”\n".encode("cp1252"), "latin-1")


def test_a_file_that_ends_inside_a_character_is_refused_not_cut():
    for codec in ("utf-16-le", "utf-32-be"):
        with pytest.raises(ValueError, match=f"data, line 4: not {codec.upper()}"):
            lines(MARKED[codec] + (TEXT + "Ada").encode(codec)[:-1])


@pytest.mark.parametrize("name", ["cp-1252x", "utf17", "klingon", "", "base64", "rot13", "idna", "undefined", "a\0b"])
def test_an_encoding_that_is_none_is_refused_with_one_that_is(tmp_path, name):
    (tmp_path / "a.txt").write_bytes(b"Ada.\n")
    with pytest.raises(ValueError, match="no encoding .*Did you mean [a-z0-9_-]+"):
        texts(tmp_path / "a.txt", encoding=name)
    with pytest.raises(ValueError, match="Did you mean cp1252"):
        check_encoding("cp-1252x")
    assert check_encoding("windows-1252") == "cp1252"


def test_a_damaged_line_of_a_utf_8_file_costs_that_line_alone(tmp_path, capsys):
    path = tmp_path / "a.txt"
    good = "Zoë flew.\nKöln.\n".encode()
    for data in (
        b"Ada.\n\xff\n",
        b"Ada\xfcr.\n" + good,
        good + b"Ada\xfcr.\n",
        b"one NUL\0 in a line of many\n" + good,
    ):
        path.write_bytes(data)
        with TextReader(str(path)) as reader:
            assert len(list(reader)) == data.count(b"\n") - 1 and reader.bad == 1
    assert "line 1: NUL bytes (the first at byte 7" in capsys.readouterr().err


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    data=st.binary(max_size=60), encoding=st.sampled_from([None, "cp1252", "utf-16-le", "gb18030", "utf-7", "cp037"])
)
def test_any_bytes_become_utf_8_or_one_line_of_error(data, encoding):
    try:
        read = lines(data, encoding)
    except ValueError as error:
        assert str(error).startswith("data, line ") and "\n" not in str(error)
    else:
        if encoding:
            b"".join(read).decode("utf8")
        elif not data.startswith(tuple(MARKED.values())):
            assert b"".join(read) == data


class Trickle(io.RawIOBase):
    """A pipe whose writer waits until what it wrote is read."""

    def __init__(self, parts):
        self.parts, self.given = iter(parts), 0

    def readable(self):
        return True

    def readinto(self, buffer):
        part = next(self.parts, b"")
        self.given += bool(part)
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-8", "cp1252"])
def test_a_stream_is_answered_line_by_line(codec):
    mark = MARKED.get(codec, b"")
    pipe = Trickle([mark + "Köln.\n".encode(codec), *("Zoë.\n".encode(codec) for _ in range(5))])
    read = utf8_lines(io.BufferedReader(pipe), "stdin", codec)
    for number in range(5):
        assert next(read).decode() == ("Zoë.\n" if number else "Köln.\n") and pipe.given <= number + 3


def test_a_large_file_of_utf_16_is_not_in_memory_at_once(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(codecs.BOM_UTF16_LE + ("Zoë flew to Oslo. " * 5 + "\r\n").encode("utf-16-le") * 40_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in numbered_lines(path)) == 40_000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 4
    finally:
        tracemalloc.stop()


def test_the_commands_take_an_encoding_and_end_with_one_line_without_it(call, tmp_path):
    (tmp_path / "p.jsonl").write_bytes(codecs.BOM_UTF16_BE + '{"label": "city", "pattern": "Köln"}'.encode("utf-16-be"))
    (tmp_path / "a.txt").write_bytes(TEXT.encode("cp1252"))
    args = ("annotate", tmp_path / "a.txt", tmp_path / "rows.jsonl", "--rules", tmp_path / "p.jsonl")
    result = call(*args)
    assert result.code == 1 and result.err.count("\n") == 1 and "a.txt, line 1: not UTF-8" in result.err
    assert not (tmp_path / "rows.jsonl").exists()
    assert "no encoding 'cp-1252x'" in call(*args, "--encoding", "cp-1252x").err
    assert call(*args, "--encoding", "cp1252").code == 0
    rows = list(read_rows(tmp_path / "rows.jsonl"))
    assert {row["text"]: len(row["spans"]) for row in rows} == dict(zip(TEXT.split("\r\n"), (1, 0, 0)))
    stdin = (ASSETS / "sample.txt").read_text(encoding="utf8").encode("utf-16")
    result = call("extract", "-", "--labels", "person", "--format", "jsonl", stdin=stdin)
    assert result.code == 0 and "Ada Lovelace" in result.out
    for command in (("evaluate", "en_metaie_sm"), ("curate", "--output", tmp_path / "out")):
        (tmp_path / "rows.jsonl").write_bytes(json.dumps(ROWS[0], ensure_ascii=False).encode("cp1252") + b"\n")
        result = call(*command, tmp_path / "rows.jsonl")
        assert (
            result.code == 1 and "rows.jsonl, line 1: not UTF-8" in result.err and "Convert it to UTF-8" in result.err
        )
