"""Ids, offsets and switches of a wrong kind are refused by name; what can be read is read the same everywhere."""

import json

import pytest

from metaie_spacy.data.passages import passages
from metaie_spacy.data.rows import check_row, read_chosen, read_rows, row_id
from metaie_spacy.data.texts import TextReader
from metaie_spacy.fewshot import read_examples

SPAN = {"start": 0, "end": 3, "label": "person"}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


@pytest.mark.parametrize("given, expected", [("a", "a"), (7, "7"), (0, "0"), (None, None), ("", None), ("1.5", "1.5")])
def test_an_id_is_a_string_or_a_whole_number_or_not_there(given, expected):
    assert row_id(given) == expected


@pytest.mark.parametrize("given", [True, False, 1.5, ["a"], {"a": 1}])
def test_any_other_id_is_refused_by_every_reader(tmp_path, capsys, given):
    row = {"id": given, "text": "Ada", "spans": [SPAN]}
    path = write(tmp_path / "rows.jsonl", row)
    for read in (row_id, lambda value: list(read_rows(path)), lambda value: read_examples([row], "metaie")):
        with pytest.raises(ValueError, match="the id .* must be a string or a whole number"):
            read(given)
    with TextReader(str(path)) as reader:
        assert not list(reader) and reader.bad == 1 and "the id" in capsys.readouterr().err


def test_whole_numbers_and_nothing_are_ids_that_every_reader_understands(tmp_path):
    path = write(tmp_path / "rows.jsonl", *({"id": i, "text": f"Ada {i}", "spans": [SPAN]} for i in (7, None, "", "x")))
    assert [row["id"] for row in read_rows(path)] == ["7", "2", "3", "x"]
    with TextReader(str(path)) as reader:
        assert [id for id, _ in reader] == ["7", "2", "3", "x"]
    only = write(tmp_path / "only.jsonl", {"id": 7}, {"id": "x"})
    assert [row["id"] for row in read_chosen(path, only)] == ["7", "x"]
    assert [row["id"] for row in read_examples([{"id": 3, "text": "Ada", "spans": [SPAN]}], "metaie")] == ["3"]
    assert next(passages([(1, {"id": 3, "text": "Ada"})], lambda text: [(0, 3)]))["id"] == "3"


@pytest.mark.parametrize(
    "span", [SPAN | {"start": False}, SPAN | {"end": True}, SPAN | {"end": 3.0}, SPAN | {"end": "3"}]
)
def test_offsets_are_whole_numbers(span):
    with pytest.raises(ValueError, match='must have whole numbers "start" and "end"'):
        check_row({"text": "Ada", "spans": [span]})


@pytest.mark.parametrize("name", ["flat", "set_ents"])
@pytest.mark.parametrize("value", ["no", 0, 1, None, "false"])
def test_switches_are_true_or_false(make_nlp, name, value):
    pipe = make_nlp().get_pipe("metaie")
    allowed = "true or false" if name == "flat" else 'true, false or "keep"'
    with pytest.raises(ValueError, match=f"{name} must be {allowed}, not {value!r}"):
        setattr(pipe, name, value)
    with pytest.raises(ValueError, match=f"{name} must be {allowed}"):
        pipe.schema = {"labels": ["x"], name: value}
    assert getattr(pipe, name) is False


@pytest.mark.parametrize(
    "limits",
    [{"label_budget": 0}, {"token_budget": 0}, {"window": -1}, {"window": 7}, {"overlap": -1}, {"label_cache": -1}],
)
def test_limits_of_an_architecture_are_checked_when_it_is_built(make_nlp, limits):
    ((name, value),) = limits.items()
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least .*, not {value}"):
        make_nlp(model=limits)
