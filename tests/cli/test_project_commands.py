"""The commands of the project: their options, the configs and the keys in the environment."""

import json
from dataclasses import fields

import pytest
from helpers import ASSETS, CORPUS
from teacher_server import teacher_server

from metaie_spacy.curate.settings import CurateSettings

TEXTS = ASSETS / "texts.sample.jsonl"


@pytest.fixture
def annotations(tmp_path):
    """A folder with a file of 60 rows and a last line that was cut."""
    folder = tmp_path / "in"
    folder.mkdir()
    lines = CORPUS.read_bytes().splitlines(keepends=True)[:60]
    (folder / "a.jsonl").write_bytes(b"".join(lines) + lines[0][:-20])
    return folder


def test_curate_takes_folders_and_its_settings_as_options(call, annotations, tmp_path):
    out = tmp_path / "out"
    result = call("curate", annotations, "--test-share", "0.2", "--near-duplicates=0", "--output", out)
    assert result.code == 0, result.err
    splits = {name: len((out / f"{name}.jsonl").read_bytes().splitlines()) for name in ("train", "dev", "test")}
    assert sum(splits.values()) == 60 and splits["test"] > splits["dev"] > 0
    report = json.loads((out / "report.json").read_text(encoding="utf8"))
    assert report["settings"]["near_duplicates"] == 0 and sum(report["rows"]["dropped"].values()) == 1


@pytest.mark.parametrize(
    "args, message",
    [
        (["--no-such", "1"], "--no-such"),
        (["--dev-share", "much"], "--dev-share"),
        (["--seed"], "--seed"),
    ],
)
def test_settings_that_curate_cannot_take_are_named(call, annotations, tmp_path, args, message):
    result = call("curate", annotations, *args, "--output", tmp_path / "out")
    assert result.code == 2 and message in result.err


def test_curate_lists_every_setting_with_its_default(call):
    shown = call("curate", "--help").out
    for field in fields(CurateSettings):
        assert f"--{field.name.replace('_', '-')}"[:18] in shown
    assert str(CurateSettings.linked) in shown


@pytest.fixture(scope="module")
def server():
    with teacher_server(corpus=[CORPUS], key="secret-key") as running:
        yield running


def test_annotate_by_the_config_of_the_project_and_its_key_from_the_environment(call, server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    result = call("annotate", TEXTS, tmp_path / "rows.jsonl", "--teacher.base_url", server.url)
    assert result.code == 0 and "secret-key" not in result.out + result.err, result.err
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open(encoding="utf8")]
    assert len(rows) == 18 and {"long-report#0", "long-report#1", "long-report#2"} < {row["id"] for row in rows}


def test_annotate_names_the_variable_of_a_wrong_key_and_not_the_key(call, server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "wrong-key-wrong-key")
    result = call("annotate", TEXTS, tmp_path / "rows.jsonl", "--teacher.base_url", server.url)
    assert result.code == 1 and "refuses the key in OPENAI_API_KEY" in result.err
    assert "wrong-key-wrong-key" not in result.out + result.err


def test_annotate_stops_where_its_budget_ends(call, server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    limits = ["--teacher.budget_tokens", "10", "--annotate.max_words", "40"]
    result = call("annotate", TEXTS, tmp_path / "rows.jsonl", "--teacher.base_url", server.url, *limits)
    assert result.code == 1 and "the budget is spent" in result.err


@pytest.mark.parametrize(
    "args, message",
    [
        (["--config", "none.cfg"], "There is no config 'none.cfg'"),
        (["--teacher.in_flight", "many"], "in_flight"),
        (["--teacher.colour", "red"], "colour"),
        (["--rules", "none.jsonl"], "no file of patterns 'none.jsonl'"),
        (["--teacher.api_key_env", "NO_SUCH_VARIABLE"], "The environment variable NO_SUCH_VARIABLE is not set"),
        (["--annotate.prompt", "none.jinja"], "no prompt 'none.jinja'"),
        (["--annotate.samples", "3"], "temperature above 0"),
    ],
)
def test_mistakes_of_annotate_are_named(call, tmp_path, args, message):
    result = call("annotate", TEXTS, tmp_path / "rows.jsonl", *args)
    assert result.code == 1 and message in result.err


def test_rules_annotate_stdin(call, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"label": "person", "pattern": "Ada"}\n', encoding="utf8")
    stdin = b"Ada came.\n\xff\n\nNobody.\n"
    result = call("annotate", "-", tmp_path / "rows.jsonl", "--rules", tmp_path / "p.jsonl", stdin=stdin)
    assert result.code == 0 and "bad lines 1" in result.out
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open(encoding="utf8")]
    assert sorted(len(row["spans"]) for row in rows) == [0, 1]


@pytest.mark.parametrize(
    "args",
    [
        ("select", "a.jsonl", "b.jsonl", "--student", "m", "--count", "-1"),
        ("route", "fit", "m", "a.jsonl", "--output", "o", "--k", "-1"),
        ("route", "report", "m", "a.jsonl", "--fitted", "f", "--output", "o", "--examples", "-1"),
    ],
)
def test_numbers_below_the_least_are_refused_before_anything_is_read(call, args):
    result = call(*args)
    assert result.code == 2 and args[-2] in result.err
