"""project.yml, the configs and the command line of the stages fit together."""

import json
import os
import subprocess
import sys

import pytest
from helpers import CORPUS, ROOT
from teacher_server import teacher_server

from metaie_spacy.cli.app import main


def run(*args, cwd=ROOT, env=None):
    command = [sys.executable, "-m", "metaie_spacy", *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **(env or {})}, timeout=300
    )


@pytest.fixture
def call(monkeypatch, capsys):
    """The command line in this process: exit status and standard error."""

    def call(*args):
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["metaie_spacy", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr().err

    return call


def test_curate_takes_folders_and_its_settings_as_options(tmp_path, call):
    (tmp_path / "in").mkdir()
    lines = CORPUS.read_bytes().splitlines(keepends=True)[:60]
    (tmp_path / "in" / "a.jsonl").write_bytes(b"".join(lines) + lines[0][:-20])  # a last line that was cut
    result = run("curate", tmp_path / "in", "--test-share", "0.2", "--near-duplicates=0", "--output", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    splits = {
        name: len((tmp_path / "out" / f"{name}.jsonl").read_bytes().splitlines()) for name in ("train", "dev", "test")
    }
    assert sum(splits.values()) == 60 and splits["test"] > splits["dev"] > 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf8"))
    assert report["settings"]["near_duplicates"] == 0 and sum(report["rows"]["dropped"].values()) == 1
    for args, message in (
        (["--no-such", "1"], "There is no setting '--no-such'"),
        (["--dev-share", "much"], "must be a number"),
        (["--keep-empty", "1"], "true or false"),
        (["--seed"], "has no value"),
    ):
        code, err = call("curate", tmp_path / "in", *args, "--output", tmp_path / "out")
        assert code == 1 and message in err


def test_annotate_by_the_config_of_the_project_and_its_key_from_the_environment(tmp_path):
    with teacher_server(corpus=[CORPUS], key="secret-key") as server:
        common = [
            "annotate",
            ROOT / "assets" / "texts.sample.jsonl",
            tmp_path / "rows.jsonl",
            "--teacher.base_url",
            server.url,
        ]
        result = run(*common, env={"OPENAI_API_KEY": "wrong-key-wrong-key"})
        assert result.returncode == 1 and "refuses the key in OPENAI_API_KEY" in result.stderr
        assert "wrong-key-wrong-key" not in result.stderr + result.stdout and "Traceback" not in result.stderr
        result = run(*common, env={"OPENAI_API_KEY": "secret-key"})
        assert result.returncode == 0 and "secret-key" not in result.stderr + result.stdout, result.stderr
        rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open(encoding="utf8")]
        assert len(rows) == 18 and {"long-report#0", "long-report#1", "long-report#2"} < {row["id"] for row in rows}
        common[2] = tmp_path / "other.jsonl"
        result = run(
            *common, "--teacher.budget_tokens", "10", "--annotate.max_words", "40", env={"OPENAI_API_KEY": "secret-key"}
        )
        assert result.returncode == 1 and "the budget is spent" in result.stderr


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
def test_mistakes_of_annotate_are_named(tmp_path, call, args, message):
    code, err = call("annotate", ROOT / "assets" / "texts.sample.jsonl", tmp_path / "rows.jsonl", *args)
    assert code == 1 and message in err


def test_rules_annotate_stdin(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"label": "person", "pattern": "Ada"}\n', encoding="utf8")
    command = [
        sys.executable,
        "-m",
        "metaie_spacy",
        "annotate",
        "-",
        str(tmp_path / "rows.jsonl"),
        "--rules",
        str(tmp_path / "p.jsonl"),
    ]
    result = subprocess.run(command, input=b"Ada came.\n\xff\n\nNobody.\n", capture_output=True, cwd=ROOT, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "bad lines 1" in result.stdout.decode()
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open(encoding="utf8")]
    assert sorted(len(row["spans"]) for row in rows) == [0, 1]
