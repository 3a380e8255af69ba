"""Commands replace what they write as a whole, and never what they read: under kill -9, on a full disk, by any mistake."""

import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch

from metaie_spacy.cli.app import main
from metaie_spacy.data.files import restored

TEXT = "Ada Lovelace met Charles Babbage in London on Monday."
SPANS = [{"start": 0, "end": 12, "label": "person"}, {"start": 36, "end": 42, "label": "city"}]
WRITES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.copyfile")


def write_rows(path, n=60):
    rows = [{"id": f"r{i}", "text": f"{TEXT} {i}", "spans": SPANS, "absent": ["drug"]} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


@pytest.fixture
def place(make_nlp, encoders, tmp_path, monkeypatch):
    """A folder with a pipeline, rows, texts and weights, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    nlp = make_nlp(["person", "city"], threshold=0.05)
    nlp.to_disk("pipe")
    Path("pipe/LICENSE").write_text("MIT")
    write_rows(Path("rows.jsonl"))
    Path("texts.txt").write_text(f"{TEXT}\n" * 3)
    Path("patterns.jsonl").write_text('{"label": "person", "pattern": "Ada Lovelace"}\n')
    return tmp_path


def run(*args):
    """Exit code of a command in this process."""
    sys.argv = ["metaie", *map(str, args)]
    try:
        main()
    except SystemExit as error:
        return error.code or 0
    return 0


def snapshot(path):
    """Contents of a file or of all files under a folder."""
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def forked(args, prepare):
    """Wait status of a command in a fork, where `prepare()` has run before."""
    pid = os.fork()
    if not pid:
        code = 70
        try:
            sys.stdout = sys.stderr = open(os.devnull, "w")
            torch.set_num_threads(1)  # threads that the parent has are not there, and would be waited for
            prepare()
            code = run(*args)
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def kill_at(number, root):
    """Die at the event of this number that changes a file under `root`; events are those of Python's audit hooks."""
    left = [number]

    def hook(event, args):
        if event not in WRITES:
            return
        flags = args[2] if event == "open" and isinstance(args[2], int) else os.O_WRONLY
        if (flags & (os.O_WRONLY | os.O_RDWR) and str(args[0]).startswith(str(root))) or event != "open":
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(hook)


COMMANDS = {
    "fewshot": (
        ["fewshot", "rows.jsonl", "out", "--model", "pipe", "--steps", "1", "--held-out", "0", "--rehearsal", "0"],
        "out",
    ),
    "calibrate": (["calibrate", "pipe", "rows.jsonl", "out", "--report", "report.json"], "out"),
    "assemble": (["assemble", "pipe", "out", "--include", "pipe/LICENSE"], "out"),
    "extract": (
        ["extract", "texts.txt", "--model", "pipe", "--labels", "person", "--format", "jsonl", "--output", "out"],
        "out",
    ),
    "evaluate": (["evaluate", "pipe", "rows.jsonl", "--output", "out"], "out"),
    "convert": (["convert", "rows.jsonl", "out", "--from", "rows", "--to", "prodigy"], "out"),
    "convert to spaCy": (["convert", "rows.jsonl", "out", "--from", "rows", "--to", "spacy"], "out"),
    "select": (["select", "rows.jsonl", "out", "--student", "pipe", "--count", "3"], "out"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_kill_at_any_write_leaves_the_old_result_or_the_new_one(place, name):
    args, output = COMMANDS[name]
    assert forked(args, lambda: None) == 0
    new = snapshot(Path(output))
    assert new
    old = dict.fromkeys(new, b"old")

    def put_old():
        shutil.rmtree(output, ignore_errors=True)
        for key, content in old.items():
            file = Path(output) if key == "." else Path(output) / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    sources = {part: snapshot(Path(part)) for part in ("pipe", "rows.jsonl", "texts.txt")}
    number, killed, found_old, found_new = 1, 0, 0, 0
    while True:
        if Path(output).is_file():
            Path(output).unlink()
        put_old()
        status = forked(args, kill_at(number, place))
        found = snapshot(restored(output))
        assert found is not None and (found == old or (found.keys() == new.keys() and b"old" not in found.values())), (
            number
        )
        found_old, found_new = found_old + (found == old), found_new + (found != old)
        assert {part: snapshot(Path(part)) for part in sources} == sources
        if status == 0:
            break
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        killed += 1
        number += 1 if number < 4 else max(1, number // 4)
    assert killed >= 2 and found_old and found_new


@pytest.mark.parametrize("name", ["fewshot", "calibrate", "assemble", "extract", "convert"])
def test_a_full_disk_leaves_the_old_result_and_ends_with_one_line(place, name):
    args, output = COMMANDS[name]
    Path(output).mkdir() if name in ("fewshot", "calibrate", "assemble") else Path(output).write_text("old")
    if Path(output).is_dir():
        shutil.copytree("pipe", output, dirs_exist_ok=True)
    before = snapshot(Path(output))

    def fill():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    status = forked(args, fill)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1 and snapshot(Path(output)) == before


@pytest.mark.parametrize(
    "args",
    [
        ["extract", "texts.txt", "--model", "pipe", "--output", "texts.txt"],
        ["extract", "texts.txt", "--model", "pipe", "--errors", "link.txt"],
        ["extract", "texts.txt", "--model", "pipe", "--output", "a.txt", "--errors", "a.txt"],
        ["evaluate", "pipe", "rows.jsonl", "--output", "./rows.jsonl"],
        ["fewshot", "rows.jsonl", "pipe", "--model", "pipe"],
        ["fewshot", "rows.jsonl", "folder_link", "--model", "pipe"],
        ["fewshot", "pipe/rows.jsonl", "pipe"],
        ["calibrate", "pipe", "rows.jsonl", "pipe/../pipe"],
        ["calibrate", "pipe", "rows.jsonl", "out", "--report", "rows.jsonl"],
        ["assemble", "pipe", "pipe"],
        ["average", "pipe", "other", "--output", "other"],
        ["annotate", "texts.txt", "texts.txt", "--rules", "patterns.jsonl"],
        ["annotate", "texts.txt", "out.jsonl", "--rules", "patterns.jsonl", "--errors", "patterns.jsonl"],
        ["convert", "rows.jsonl", "rows.jsonl", "--to", "prodigy"],
        ["convert", "rows.jsonl", "out.jsonl", "--to", "prodigy", "--errors", "rows.jsonl"],
        ["select", "rows.jsonl", "rows.jsonl", "--student", "pipe"],
        ["curate", "train.jsonl", "--output", "."],
        ["distill", "rows.jsonl", "--output", "run", "--dev", "run/dev.jsonl"],
    ],
)
def test_an_output_that_is_read_is_refused_and_nothing_is_changed(place, args, capsys):
    Path("link.txt").symlink_to("texts.txt")
    Path("folder_link").symlink_to("pipe")
    for copy in ("pipe/rows.jsonl", "train.jsonl", "run/dev.jsonl"):
        Path(copy).parent.mkdir(exist_ok=True)
        shutil.copy("rows.jsonl", copy)
    shutil.copytree("pipe", "other")
    before = snapshot(place)
    assert run(*args) == 1
    err = capsys.readouterr().err.strip()
    assert "replace" in err and len(err.splitlines()) == 1
    assert {key: value for key, value in snapshot(place).items() if ".lock" not in key} == before
