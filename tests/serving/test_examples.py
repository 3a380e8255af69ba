"""The examples of the pages are run: the client, redaction, Presidio, tags; and what the container's files say."""

import json
import re
import sys

import pytest
import typer
from helpers import ROOT

from metaie_spacy.cli.app import app
from metaie_spacy.serving.limits import Limits

TEXT = "Ada Lovelace lived in London."
DOCKER = ROOT / "configs" / "docker"


def example(start):
    """The Python block of the how-to pages that begins with a line."""
    pages = [path.read_text(encoding="utf8") for path in (ROOT / "docs" / "howto").glob("*.md")]
    found = [code for page in pages for code in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]
    (code,) = [code for code in found if code.startswith(f"{start}\n")]
    return code


def run(start):
    names = {}
    exec(compile(example(start), start, "exec"), names)
    return names


def test_the_client_of_the_page_asks_and_tells_why_it_was_refused(server):
    assert len([line for line in example("# client.py").splitlines() if line.strip()]) <= 30
    client = run("# client.py")["Client"](server.address, key=None)
    answer = client.extract(text=TEXT, labels=["person"])
    assert [span["text"] for span in answer["spans"]] == ["Ada Lovelace"]
    with pytest.raises(ValueError, match="no labels of its own"):
        client.extract(text=TEXT)


def test_redaction_leaves_nothing_of_what_it_finds_and_all_of_the_rest():
    redact = run("# redact.py")["redact"]
    text = "Dear Ms Ada Lovelace, write to ada@acme.example or call +44 20 7946 0958. The boiler is cold."
    redacted = redact(text)
    assert not any(part in redacted for part in ("Lovelace", "ada@", "7946"))
    assert redacted.endswith("The boiler is cold.") and "[EMAIL]" in redacted
    assert redact("The boiler is cold.") == "The boiler is cold."


def test_figures_of_the_redaction_are_those_of_the_script():
    result = json.loads((ROOT / "benchmarks" / "results" / "redaction.json").read_text(encoding="utf8"))
    page = (ROOT / "docs" / "howto" / "examples.md").read_text(encoding="utf8")
    assert f"{result['recall']:.1%} of {result['mentions']} mentions" in page
    assert f"{result['texts_with_a_leak']} of {result['texts']} texts" in page


def test_presidio_finds_entities_in_plain_words(tmp_path, monkeypatch):
    pytest.importorskip("presidio_analyzer")
    (tmp_path / "presidio_recognizer.py").write_text(example("# presidio_recognizer.py"), encoding="utf8")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        found = run("# presidio_use.py")["found"]
    finally:
        sys.modules.pop("presidio_recognizer", None)
    text = "Ada Lovelace took ibuprofen in London."
    assert {(text[one.start : one.end], one.entity_type) for one in found} >= {
        ("Ada Lovelace", "PERSON"),
        ("London", "CITY"),
    }


def test_tags_lead_from_a_question_to_the_chunks_that_share_a_name():
    names = run("# tags.py")
    chunks = ["Ada Lovelace lived in London.", "Marie Curie moved to Paris.", "The boiler is cold."]
    index = list(zip(chunks, names["tags"](chunks)))
    assert names["candidates"]("Where did Marie Curie go?", index) == [chunks[1]]
    assert names["candidates"]("What is cold?", index) == chunks


def test_the_image_copies_files_that_exist_and_starts_a_command_that_exists():
    lines = (DOCKER / "Dockerfile").read_text(encoding="utf8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    kept = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf8").splitlines()
    assert len(copied) > 5 and all((ROOT / name).exists() and f"!{name}" in kept for name in copied)
    (entry,) = [json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT ")]
    command = typer.main.get_command(app).commands[entry[1]]
    known = [name for option in command.params for name in option.opts]
    assert entry[0] == "metaie" and all(word in known for word in entry[2:] if word.startswith("--"))


def test_the_compose_file_waits_longer_for_a_stop_than_a_request_may_take():
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((DOCKER / "compose.yml").read_text(encoding="utf8"))["services"]["metaie"]
    assert int(service["stop_grace_period"].removesuffix("s")) > Limits().seconds
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert all((ROOT / word).exists() for word in service["command"] if word.startswith("assets/"))
