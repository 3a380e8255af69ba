"""README.md and docs/: their code is run, their commands and links lead somewhere, and what they state holds."""

import json
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import spacy
import typer
from helpers import CONFIGS, ROOT
from spacy.cli.evaluate import evaluate
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from thinc.api import Config

import metaie_spacy
from metaie_spacy import fewshot, read_schema
from metaie_spacy.__main__ import main
from metaie_spacy.cli.app import app
from metaie_spacy.component import DEFAULT_CONFIG
from metaie_spacy.teacher.reply.alignment import align

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {path: path.read_text(encoding="utf8") for path in PAGES}
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
# Code that has a test of its own: files to be saved, and other packages' components beside this one.
OWN_TEST = (
    "# service.py",
    "# batch.py",
    "# on_",
    "# client.py",
    "# redact.py",
    "# presidio_recognizer.py",
    "# presidio_use.py",
    "# tags.py",
    'nlp.add_pipe("gliner_spacy"',
    'nlp.add_pipe("llm"',
    'nlp.add_pipe("spancat"',
)
TEXT = "Ada Lovelace, born 10 December 1815, flew from London to Lagos with KLM."


def blocks(page, language):
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[ROOT / page], re.DOTALL | re.MULTILINE)


def block(start):
    """The Python block of any page that begins with a line."""
    (code,) = [code for page in NAMES for code in blocks(page, "python") if code.startswith(start)]
    return code


def commands(page):
    """The lines of a page's shell blocks as words."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found]


def test_the_readme_is_short():
    assert len(TEXTS[ROOT / "README.md"].splitlines()) <= 130


@pytest.mark.parametrize("page", NAMES)
def test_links_and_anchors_of_a_page_exist(page):
    path, wrong = ROOT / page, []
    prose = re.sub(r"^```.*?^```", "", TEXTS[path], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose)):
        if link.startswith(("https://", "http://")):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf8"))):
            wrong.append(link)
    assert not wrong


def test_pages_are_all_linked_and_name_no_place_of_one_machine():
    index = TEXTS[ROOT / "docs" / "README.md"]
    for path in (ROOT / "docs").rglob("*.md"):
        assert path.name == "README.md" or f"({path.relative_to(ROOT / 'docs').as_posix()})" in index
        assert path.name == "README.md" or path.relative_to(ROOT).as_posix() in TEXTS[ROOT / "README.md"]
    for path, text in TEXTS.items():
        assert not re.search(r"(?<![\w.])/(?:home|work|root|tmp|Users)/", text), path


@pytest.mark.parametrize("page", [name for name in NAMES if blocks(name, "python")])
def test_python_of_a_page_runs(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fewshot, "train", lambda *args: None)  # all but the steps themselves
    rows = [{"text": TEXT, "spans": [{"start": 0, "end": 12, "label": "PER"}]}]
    names = {
        "spacy": spacy,
        "nlp": spacy.load("en_metaie_sm"),
        "text": TEXT,
        "rows": rows,
        "metaie_spacy": metaie_spacy,
    }
    names |= {"texts": [TEXT], "other": "Bob met Cy."}
    if any("claims.safetensors" in code for code in blocks(page, "python")):
        fewshot.make_adapter(names["nlp"], rows, "claims.safetensors", held_out=0.0, progress=False)
    run = [code for code in blocks(page, "python") if not code.startswith(OWN_TEST)]
    for code in run:
        if "rows, {" in code:  # each call of `adapt` is an example of its own
            names["nlp"] = spacy.load("en_metaie_sm")
            names["rows"] = [*rows, {"text": "KLM flew.", "spans": [{"start": 0, "end": 3, "label": "ORG"}]}]
        exec(compile(code, page, "exec"), names)
    if "even_year" in "".join(run):
        assert names["even_year"]()("1816") and not names["even_year"]()("1815")


@pytest.mark.parametrize("page", [name for name in NAMES if blocks(name, "bash")])
def test_commands_of_a_page_are_ones_that_exist(page):
    known = typer.main.get_command(app).commands
    for words in commands(page):
        while "|" in words:
            words = words[words.index("|") + 1 :]
        if words[:3] != ["python", "-m", "metaie_spacy"]:
            continue
        command = known[words[3]]
        command = getattr(command, "commands", {}).get(words[4], command)
        options = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
        given = [word for word in words[4:] if word.startswith("--")]
        for option in [word for word in given if word not in options]:
            section, _, key = option[2:].partition(".")
            assert (
                words[3] in ("annotate", "similar", "correct")
                and key in Config().from_disk(CONFIGS / "teacher.cfg")[section]
            ), option
        for place in [word for word in words if word.startswith(("assets/", "configs/", "packages/"))]:
            assert any(ROOT.glob(place)), place  # a file, a folder or a pattern


def test_extraction_on_the_command_line_runs_as_the_pages_say(tmp_path, monkeypatch, capsys):
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "reviews.csv").write_text("id,review\n1,The soup was cold and cost 5 euros.\n", encoding="utf8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fewshot, "train", lambda *args: None)  # an adapter that changes nothing
    rows = [{"text": TEXT, "spans": [{"start": 0, "end": 12, "label": "person"}]}]
    fewshot.make_adapter(spacy.load("en_metaie_sm"), rows, "claims.safetensors", held_out=0.0, progress=False)
    lines = {tuple(words) for page in NAMES for words in commands(page) if words[3:4] == ["extract"]}
    assert len(lines) >= 5
    for words in sorted(lines):
        monkeypatch.setattr(sys, "argv", ["metaie_spacy", *words[3:]])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, (words, capsys.readouterr().err)
    assert (tmp_path / "spans.csv").read_text(encoding="utf8").startswith("id,start,end,label,text,score\n")
    assert len((tmp_path / "spans.jsonl").read_text(encoding="utf8").splitlines()) == 3


def test_conversions_run_as_the_pages_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    doc = spacy.blank("en")("Ada flew to Rome.")
    doc.set_ents([doc.char_span(0, 3, "PERSON")])
    DocBin(docs=[doc]).to_disk("train.spacy")
    Path("train.conll").write_text("1 Ada B-PER O\n2 left O O\n\n", encoding="utf8")
    Path("tags.jsonl").write_text('{"tokens": ["Ada", "left"], "ner_tags": [1, 0]}\n', encoding="utf8")
    Path("spans.csv").write_text("id,sentence,start,end,label\n1,Zoë left.,0,3,PER\n", encoding="cp1252")
    written = {"train.conll": ["PER"], "tags.jsonl": ["PER"], "train.spacy": ["PERSON"], "spans.csv": ["PER"]}
    for words in commands("docs/formats.md"):
        monkeypatch.setattr(sys, "argv", ["metaie_spacy", *words[3:]])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, (words, capsys.readouterr().err)
        if words[4] in written:
            (line,) = Path("rows.jsonl").read_text(encoding="utf8").splitlines()
            assert [span["label"] for span in json.loads(line)["spans"]] == written.pop(words[4])
    assert not written and list(Path("corpus").glob("*.ann"))


def test_json_of_the_pages_is_what_they_say():
    seen = 0
    for page in NAMES:
        for code in blocks(page, "json"):
            value = json.loads(code)
            if isinstance(value.get("labels"), dict):
                seen += 1
                read_schema(value)
    assert seen


def test_the_import_rule_of_the_page_is_the_one_that_is_kept():
    (shown,) = blocks("docs/architecture.md", "text")
    kept = re.search(
        r"^ORDER = \((.*?)\)\.split\(\)",
        (ROOT / "tests" / "test_imports.py").read_text(encoding="utf8"),
        re.DOTALL | re.MULTILINE,
    )
    assert shown.split() == re.sub(r'["\n]', "", kept[1]).split()
    rooms = re.findall(r"`(\w+)`", TEXTS[ROOT / "docs" / "architecture.md"].split("## Rooms")[1].split("##")[0])
    assert set(shown.split()) <= set(rooms)


def test_settings_in_the_reference_are_the_defaults():
    (code,) = blocks("docs/reference/component.md", "ini")
    code = "\n".join(line.split("  #")[0] for line in code.splitlines())
    shown = Config().from_str(f"[components]\n\n{code}")["components"]["metaie"]
    own = {key: value for key, value in DEFAULT_CONFIG.items() if key != "scorer"}
    assert shown == {"factory": "metaie", **own}


@pytest.mark.parametrize("script", ["benchmarks/report.py", "docs/make.py"])
def test_pages_show_the_committed_results_and_the_code(script):
    result = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_citation_is_of_this_version_and_names_the_paper():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert citation["cff-version"] == "1.2.0" and citation["version"] == metaie_spacy.__version__
    assert citation["authors"] == [{"name": "The metaie-spacy developers"}]
    assert citation["references"][0]["url"].endswith("/2404.00457")
    assert f"## {metaie_spacy.__version__}" in TEXTS[ROOT / "CHANGELOG.md"]


def test_entry_for_the_universe_runs(capsys):
    entry = json.loads((ROOT / "docs" / "universe.json").read_text(encoding="utf8"))
    assert {"id", "title", "slogan", "description", "pip", "code_example", "author", "category", "tags"} <= set(entry)
    exec("\n".join(entry["code_example"]), {})
    assert "Ada Lovelace person" in capsys.readouterr().out


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


# What the pages state of the packaged model and of spaCy.


@pytest.fixture(scope="module")
def packaged():
    return spacy.load("en_metaie_sm", config={"components": {"metaie": {"model": {"compute_dtype": "float32"}}}})


def ask(nlp, text, labels, **more):
    doc = nlp(text, component_cfg={"metaie": {"labels": labels, **more}})
    return doc, [(span.text, span.label_) for span in doc.spans["metaie"]]


def test_a_label_does_not_bind_to_a_name_in_it(packaged):
    text = "Ada Lovelace works for Acme Industries, and Charles Babbage works for Globex."
    _, found = ask(packaged, text, ["employer of Ada Lovelace", "employer"])
    assert ("Globex", "employer of Ada Lovelace") in found


def test_joined_docs_lose_scores(packaged):
    docs = [ask(packaged, text, ["person"])[0] for text in ("Ada Lovelace left.", "Marie Curie came.")]
    assert all(doc.spans["metaie"][0]._.metaie_score > 0.5 for doc in docs)
    joined = Doc.from_docs(docs)
    assert len(joined.spans["metaie"]) == 2 and dict(joined.spans["metaie"].attrs) == {}
    assert joined.spans["metaie"][0]._.metaie_score is None


@pytest.mark.parametrize("place", ["before", "after"])
def test_merging_entities_behind_the_component_shifts_spans(place):
    nlp = spacy.load("en_metaie_sm")
    nlp.get_pipe("metaie").labels, nlp.get_pipe("metaie").set_ents = ["person", "city"], True
    nlp.add_pipe("merge_entities", **{place: "metaie"})
    doc = nlp("Ada Lovelace met Charles Babbage in London on Monday, and then they went home.")
    found = [span.text for span in doc.spans["metaie"]]
    assert (found == ["Ada Lovelace", "Charles Babbage", "London"]) == (place == "before")


def test_evaluation_by_spacy_shows_scores_with_our_key_only(packaged, tmp_path, capsys):
    doc = packaged.make_doc("Ada Lovelace met Charles Babbage in London.")
    doc.spans["metaie"] = [doc.char_span(0, 12, "person")]
    DocBin(docs=[doc]).to_disk(tmp_path / "gold.spacy")
    nlp = spacy.load("en_metaie_sm")
    nlp.get_pipe("metaie").labels = ["person"]
    nlp.to_disk(tmp_path / "nlp")
    evaluate(str(tmp_path / "nlp"), tmp_path / "gold.spacy", silent=False)
    assert "SPAN F" not in capsys.readouterr().out
    evaluate(str(tmp_path / "nlp"), tmp_path / "gold.spacy", silent=False, spans_key="metaie")
    assert "SPAN F" in capsys.readouterr().out


def test_an_answer_of_a_teacher_does_not_say_which_place_is_meant():
    spans, dropped = align("Paris met Paris in France.", [("city", "Paris")])
    assert [(span["start"], span["end"]) for span in spans] == [(0, 5), (10, 15)] and not dropped


def test_few_shot_drops_the_calibration(monkeypatch):
    monkeypatch.setattr(fewshot, "train", lambda *args: None)
    nlp = spacy.load("en_metaie_sm")
    pipe = nlp.get_pipe("metaie")
    assert pipe.effective_threshold != 0.5 and "calibration" in pipe.model.shims[0].module.config.metaie
    labels = {"PER": {"query": "person", "threshold": 0.9}}
    rows = [{"text": TEXT, "spans": [{"start": 0, "end": 12, "label": "PER"}]}]
    fewshot.adapt(nlp, rows, labels, settings=fewshot.Settings(rehearsal=0), progress=False)
    assert pipe.effective_threshold == 0.5 and "calibration" not in pipe.model.shims[0].module.config.metaie
    assert pipe.label_data == {"PER": "person"}


def test_int8_depends_on_the_batch_and_float32_does_not():
    texts = [json.loads(line)["text"] for line in (ROOT / "assets" / "corpus.jsonl").open(encoding="utf8")][:64]
    change = {}
    for dtype in ("float32", "int8"):
        nlp = spacy.load("en_metaie_sm", config={"components": {"metaie": {"model": {"compute_dtype": dtype}}}})
        nlp.get_pipe("metaie").labels, nlp.get_pipe("metaie").threshold = ["person", "city"], 0.0
        alone = [doc.spans["metaie"].attrs["scores"] for doc in map(nlp, texts)]
        together = [doc.spans["metaie"].attrs["scores"] for doc in nlp.pipe(texts)]
        change[dtype] = max(abs(a - b).max() for a, b in zip(alone, together) if len(a) == len(b) > 0)
    assert change["float32"] < 1e-4 and change["int8"] > 0.01
