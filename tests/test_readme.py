"""The code of the README, run as it stands there."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import spacy
from spacy.cli.train import train

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")


def block(start):
    """The code block that begins with a line."""
    blocks = [part.split("```")[0] for part in README.split("```python\n")[1:]]
    return next(code for code in blocks if code.startswith(start))


def test_first_example_finds_what_it_shows(capsys):
    exec(compile(block("import spacy\n\nnlp = spacy.load"), "README.md", "exec"), {})
    assert "Ada Lovelace person" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Using `httpx`")
def test_service_answers_many_clients_and_refuses_politely(tmp_path, monkeypatch):
    from fastapi.testclient import TestClient

    code = block("# service.py")
    assert len([line for line in code.splitlines() if line.strip()]) <= 45
    (tmp_path / "service.py").write_text(code, encoding="utf8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "service", raising=False)
    import service

    with TestClient(service.app) as client, ThreadPoolExecutor(16) as pool:

        def ask(i):
            labels = ["person", "city"] if i % 2 else {"WHO": "person"}
            return client.post("/extract", json={"text": f"Ada Lovelace lived in London, house {i}.", "labels": labels})

        for i, response in enumerate(pool.map(ask, range(48))):
            expected = [("Ada Lovelace", "person"), ("London", "city")] if i % 2 else [("Ada Lovelace", "WHO")]
            assert response.status_code == 200 and [(s["text"], s["label"]) for s in response.json()] == expected
        for body in (
            {"text": "Ada.", "labels": [""]},
            {"text": "x" * 1_000_001, "labels": ["person"]},
            {"text": "Ada."},
        ):
            assert client.post("/extract", json=body).status_code == 422
        assert client.post("/extract", json={"text": "", "labels": ["person"]}).json() == []


def test_batch_job_writes_a_row_for_every_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": i, "text": f"Ada Lovelace joined KLM in {i}."} for i in range(1100)]
    Path("texts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    exec(compile(block("# batch.py"), "README.md", "exec"), {})
    written = [json.loads(line) for line in Path("spans.jsonl").open(encoding="utf8")]
    assert [row["id"] for row in written] == list(range(1100))
    assert all({"start": 0, "end": 12, "label": "person"} in row["spans"] for row in written)


@pytest.mark.parametrize("peer", ["gliner_spacy", "llm", "spancat"])
def test_migrations_give_the_spans_where_they_were(peer):
    text = "Ada Lovelace founded Acme Industries, a company."
    nlp = spacy.blank("en")
    lines = block(f'nlp.add_pipe("{peer}"').splitlines()
    exec(next(line for line in lines if line.startswith('nlp.add_pipe("metaie"')), {"nlp": nlp})
    doc = nlp(text)
    spans = doc.ents if peer == "gliner_spacy" else doc.spans["sc"]
    assert "Ada Lovelace" in [span.text for span in spans]
    if peer == "spancat":
        exec(lines[0], {"nlp": nlp})
        assert nlp.pipe_names == ["metaie", "spancat"]


@pytest.mark.parametrize("key", ["sc", "ents"])
def test_data_of_spancat_and_ner_trains_this_component(key, tmp_path, make_nlp, encoders):
    from spacy.tokens import DocBin

    nlp = spacy.blank("en")
    doc = nlp("Ada flew to Rome.")
    if key == "sc":
        doc.spans["sc"] = [doc.char_span(0, 3, "PERSON"), doc.char_span(12, 16, "PLACE")]
    else:
        doc.set_ents([doc.char_span(0, 3, "PERSON"), doc.char_span(12, 16, "PLACE")])
    DocBin(docs=[doc, nlp("No one came.")]).to_disk(tmp_path / "train.spacy")
    make_nlp().to_disk(tmp_path / "start")
    data = str(tmp_path / "train.spacy")
    changes = {
        "paths.train": data, "paths.dev": data, "training.max_steps": 2, "training.eval_frequency": 1, "paths.init_from": str(tmp_path / "start"),
        "components.metaie.model.name": encoders["bert"], "corpora.train.from_key": key, "corpora.dev.from_key": key,
    }  # fmt: skip
    train(ROOT / "configs" / "fewshot.cfg", tmp_path / "out", overrides=changes)
    assert spacy.load(tmp_path / "out" / "model-last").get_pipe("metaie").labels == ("PERSON", "PLACE")
    with pytest.raises(ValueError, match=rf"has a span under 'other', only under \['{key}'\]. Set from_key"):
        train(
            ROOT / "configs" / "fewshot.cfg",
            tmp_path / "other",
            overrides=changes | {"corpora.train.from_key": "other"},
        )


def test_tables_show_the_committed_results():
    import subprocess

    result = subprocess.run(
        [sys.executable, "benchmarks/report.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
