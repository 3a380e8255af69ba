"""Whatever a command is given, it works or ends with one line."""

import inspect
import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest
import typer

from metaie_spacy.cli.app import app, main

TEXT = "Ada Lovelace met Charles Babbage in London on Monday."
SPANS = [{"start": 0, "end": 12, "label": "person"}, {"start": 36, "end": 42, "label": "city"}]
PATHS = (
    "rows.jsonl", "two.jsonl", "bad.jsonl", "nested.jsonl", "binary", "empty.jsonl", "schema.json", "labels.json", "texts.txt",
    "folder", "pipe", "weights", "encoder", "pipe/metaie/model", "missing", "missing/file.jsonl", "rows.jsonl:0", "rows.jsonl:nan",
    "rows.jsonl:2", "", ".", "/", "/dev/null", "a" * 300, "\udcff", "x\ny", "pipe/config.cfg", "teacher.cfg", "prompt.jinja", "patterns.jsonl",
)  # fmt: skip
WORDS = (
    "person", "person, city", ",", "", " ", "a" * 300, "\U0001f600", "auto", "rows", "spacy", "prodigy", "label-studio", "conll", "jsonl",
    "html", "en", "xx", "zz", "float16", "no", "fp16", "LabelToSpan", "CrossEncoder", "en_metaie_none", "ents", "../x", "\udcff", "1.5",
)  # fmt: skip
QUICK = {"distill": ["--steps", "1"], "fewshot": ["--steps", "1", "--rehearsal", "0"]}
NUMBERS = ("-5", "-1", "0", "1", "2", "3", "0.1", "0.5", "nan", "inf", "-inf", "1e6", "x", "", "1e999", "9" * 30)
COMMANDS = {info.callback.__name__: info.callback for info in app.registered_commands}


@pytest.fixture
def place(make_nlp, encoders, tmp_path, monkeypatch):
    """A folder with files of every kind, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    make_nlp(["person", "city"], threshold=0.05).to_disk("pipe")
    shutil.copytree(encoders["bert"], "encoder")
    shutil.copytree(encoders["bert"], "weights")
    Path("folder").mkdir()
    rows = [json.dumps({"id": f"r{i}", "text": f"{TEXT} {i}", "spans": SPANS, "absent": ["drug"]}) for i in range(12)]
    Path("rows.jsonl").write_text("\n".join(rows))
    Path("two.jsonl").write_text("\n".join(rows[:2]))
    Path("bad.jsonl").write_text('{"id": true, "text": 1}\n{"text": "x", "spans": [{"start": true}]}\n{\n')
    Path("nested.jsonl").write_text('{"text": "x", "spans": ' + "[" * 50_000 + "\n")
    Path("binary").write_bytes(bytes(range(256)))
    Path("empty.jsonl").write_text("")
    Path("schema.json").write_text('{"labels": {"WHO": "person"}, "flat": true}')
    Path("labels.json").write_text('{"labels": {"person": 3}}')
    Path("texts.txt").write_text(TEXT)
    Path("teacher.cfg").write_text('[teacher]\n@misc = "metaie-spacy.Teacher.v1"\nmodel = "m"\n')
    Path("prompt.jinja").write_text("{{ text }}")
    Path("patterns.jsonl").write_text('{"label": "person", "pattern": "Ada"}\n')
    return tmp_path


def mixed(rng, command):
    """Arguments for a command: each of its parameters now and then, with a value of its kind or of any other."""
    args = []
    for name, param in inspect.signature(COMMANDS[command]).parameters.items():
        info, kind = param.default, str(param.annotation)
        if not isinstance(info, (typer.models.OptionInfo, typer.models.ArgumentInfo)):
            continue  # the context
        is_option, is_needed = isinstance(info, typer.models.OptionInfo), info.default is ...
        pool = NUMBERS if "int" in kind or "float" in kind else WORDS if "str" in kind and is_option else PATHS
        value = rng.choice(pool if rng.random() < 0.9 else PATHS + WORDS + NUMBERS)
        flag = (info.param_decls or [f"--{name.replace('_', '-')}"])[0] if is_option else ""
        if not is_option:
            args += [rng.choice((value, "pipe", "rows.jsonl")) for _ in range(2 if "list" in kind else 1)]
        elif rng.random() < (0.9 if is_needed else 0.2):
            args += [flag] if "bool" in kind else [flag, value]
    return [command, *args, *QUICK.get(command, [])]


def test_any_mix_of_arguments_works_or_ends_with_one_line(place, capsys, monkeypatch):
    rng, codes, failures = random.Random(0), {}, []
    # A server would answer until it is told to stop.
    monkeypatch.setattr("metaie_spacy.serving.server.serve", lambda service, listening, ready: listening.close())
    monkeypatch.setattr("metaie_spacy.serving.server.run", lambda app, listening, ready: listening.close())
    for _number in range(500):
        args = mixed(rng, rng.choice(sorted(COMMANDS)))
        monkeypatch.setattr(sys, "argv", ["metaie", *args])
        os.chdir(place)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            failures.append((args, repr(error)))
            continue
        finally:
            out, err = capsys.readouterr()
        codes[code] = codes.get(code, 0) + 1
        if code not in (0, 1, 2) or "Traceback" in err + out or (code == 1 and not err.strip()):
            failures.append((args, code, err[-300:]))
    assert not failures, failures[:5]
    assert codes[0] >= 10 and codes[1] >= 150 and sum(codes.values()) == 500
