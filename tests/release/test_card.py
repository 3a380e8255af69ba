"""The model card says what the files of the run say."""

import json
import re

import pytest
import srsly
from helpers import CONFIGS
from spacy.schemas import ModelMetaSchema, validate

from metaie_spacy.release.card import write_card


@pytest.fixture
def files(tmp_path):
    pipeline, data, run = (tmp_path / name for name in ("pipeline", "data", "run"))
    for folder in (pipeline, data, run):
        folder.mkdir()
    srsly.write_json(
        pipeline / "meta.json",
        {
            "lang": "en",
            "name": "own",
            "version": "1.2.3",
            "license": "MIT",
            "description": "Ours.",
            "spacy_version": ">=3.8.15",
        },
    )
    row = {
        "id": "a",
        "text": "Ada met Marie.",
        "spans": [{"start": 0, "end": 3, "label": "person"}],
        "teacher": "gpt-x",
        "prompt_sha": "f" * 64,
        "source": "written/A",
    }
    srsly.write_jsonl(data / "train.jsonl", [row, {**row, "id": "b", "teacher": "other", "source": "mail"}])
    srsly.write_jsonl(data / "test.jsonl", [row])
    srsly.write_json(data / "report.json", {"rows": {"in": 9, "out": 2, "dropped": {"near duplicate": 7}}})
    srsly.write_json(
        run / "settings.json", {"encoder": "/somewhere/enc", "epochs": 3, "corpus": {"/secret/train.jsonl": 1}}
    )
    (run / "log.jsonl").write_text('{"step": 1}\n{"steps": 99, "loss": 0.1}\n', encoding="utf8")
    srsly.write_json(
        tmp_path / "scores.json", {"p": 0.5, "r": 0.25, "f": 1 / 3, "texts": 9, "spans": 80, "per_label": {}}
    )
    half = {"threshold": 0.5, "ece": 0.31, "bins": []}
    srsly.write_json(
        tmp_path / "calibration.json",
        {"temperature": 2.0, "bias": -1.0, "threshold": 0.3, "before": half, "after": {**half, "ece": 0.04}},
    )
    return tmp_path


def card(files, **kwargs):
    meta = write_card(files / "pipeline", files / "data", sources=CONFIGS / "sources.json", **kwargs)
    return meta, (files / "pipeline" / "README.md").read_text(encoding="utf8")


def test_figures_corpus_teachers_prompts_and_licences_come_from_the_files(files):
    meta, text = card(files, run=files / "run", scores=files / "scores.json", calibration=files / "calibration.json")
    for part in ("en_own 1.2.3", "precision 50.0%", "F 33.3%", "0.310 before, 0.040 after", "threshold 0.30", "gpt-x (2 rows)", "other (1 rows)",
                 "`ffffffffffffffff`", "near duplicate (7)", "epochs 3", "steps 99", "| train | 2 | 2 |", "CC0-1.0", "Apache-2.0"):  # fmt: skip
        assert part in text, part
    assert meta["performance"] == {"spans_metaie_p": 0.5, "spans_metaie_r": 0.25, "spans_metaie_f": 0.3333}
    saved = json.loads((files / "pipeline" / "meta.json").read_text(encoding="utf8"))
    assert saved["metaie"]["corpus"] == meta["metaie"]["corpus"] and saved["sources"] == meta["sources"]
    assert validate(ModelMetaSchema, meta) == []  # or `spacy package` refuses it
    assert "/somewhere" not in json.dumps(meta) + text and "/secret" not in json.dumps(meta)


def test_a_source_without_a_stated_licence_is_said_to_have_none(files):
    _, text = card(files)
    assert "| mail | unknown | not stated | 1 |" in text and "Not evaluated." in text


def test_figures_of_the_benchmark_become_the_performance_of_a_model_whose_corpus_stays_at_home(files):
    meta = srsly.read_json(files / "pipeline" / "meta.json")
    sources = [{"name": "a corpus", "license": "CC BY"}, {"name": "an encoder", "license": "MIT"}]
    srsly.write_json(files / "pipeline" / "meta.json", meta | {"sources": sources})
    (files / "cells").mkdir()
    row = {"group": "zero_shot", "model": "en_own", "p": 0.5, "r": 0.25, "f": 1 / 3, "texts": 1500, "labels_asked": 4}
    srsly.write_json(files / "cells" / "one.json", row | {"dataset": "news"})
    srsly.write_json(files / "cells" / "two.json", row | {"dataset": "films", "f": 0.5})
    srsly.write_json(files / "cells" / "other.json", row | {"dataset": "jokes", "model": "en_other"})
    meta = write_card(files / "pipeline", sources=CONFIGS / "sources.json", figures=files / "cells")
    assert meta["performance"]["spans_metaie_f"] == 0.4167 and set(meta["performance"]["zero_shot"]) == {
        "news",
        "films",
    }
    assert meta["sources"] == sources and validate(ModelMetaSchema, meta) == []
    text = (files / "pipeline" / "README.md").read_text(encoding="utf8")
    for part in (
        "| news | 50.0% | 25.0% | 33.3% | 1,500 | 4 |",
        "Mean F1: 41.7%",
        "| a corpus |",
        "## Usage",
        "## Limits",
    ):
        assert part in text, part
    with pytest.raises(ValueError, match="has no zero-shot results of 'en_own'"):
        write_card(files / "pipeline", sources=CONFIGS / "sources.json", figures=files / "run")


def test_spacy_info_shows_the_figures_and_the_sources(files, capsys):
    from spacy.cli.info import info

    card(files, scores=files / "scores.json")
    (files / "pipeline" / "config.cfg").write_text("[nlp]", encoding="utf8")
    info(str(files / "pipeline"), silent=False)
    shown = capsys.readouterr().out
    assert "0.3333" in shown and "CC0-1.0" in shown


def test_missing_files_are_named(files):
    (files / "data" / "train.jsonl").unlink()
    with pytest.raises(ValueError, match="needs '.*train.jsonl'"):
        card(files)


def test_teachers_sources_and_licences_are_shown_and_never_obeyed(files):
    hostile, path = "<script>alert(1)</script> | a`b\x1b[31m\n# x", files / "data" / "train.jsonl"
    srsly.write_jsonl(path, [row | {"teacher": hostile, "source": hostile} for row in list(srsly.read_jsonl(path))])
    _, text = card(files)
    assert "alert(1)" in text and "<script" not in text and "\x1b" not in text and "\n# x" not in text
    (line,) = [line for line in text.splitlines() if "alert" in line and line.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 5
