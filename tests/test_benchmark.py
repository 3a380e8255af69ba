"""The benchmark's own parts, on data made here."""

import importlib
import json
import re
import runpy
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import srsly
from helpers import TRAIN, row

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.lib import evidence, ie_data  # noqa: E402
from benchmarks.lib.paths import place_of  # noqa: E402
from benchmarks.quality import errors, quality, starts  # noqa: E402
from benchmarks.serving import same  # noqa: E402
from metaie_spacy.data.documents import is_dev  # noqa: E402
from metaie_spacy.data.items import blank_tokenizer  # noqa: E402
from metaie_spacy.measure.scores import bootstrap_sums, f_interval, scores_of  # noqa: E402
from metaie_spacy.train.distill import Settings, distill  # noqa: E402

NER = {
    "task": "NER",
    "map": {
        "PER": {"label": "Person", "kind": "entity"},
        "LOC": {"label": "Place", "kind": "entity"},
        "AIR": {"label": "Airline", "kind": "entity"},
    },
}
RE = {
    "task": "RE",
    "map": {
        "PER": {"label": "Person", "kind": "entity"},
        "LOC": {"label": "Place", "kind": "entity"},
        "BORN": {"label": "born in", "kind": "relation"},
    },
}

SOURCES = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks").rglob("*.py") if path.name != "__init__.py"
)
SHARED = [name for name in SOURCES if name.startswith("benchmarks/lib/")]


def dataset(folder, labels=NER, rows=None):
    rows = rows or [
        {"id": str(i), **row(text, [(part, label.capitalize()) for part, label in spans])}
        for i, (text, spans) in enumerate(TRAIN)
    ]
    folder.mkdir()
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf8")
    for name in ("test", "dev", "train.5shot.perlabel"):
        srsly.write_jsonl(folder / f"{name}.jsonl", rows)
    return folder


def related(head=0, kind="Person"):
    spans = [
        {"start": 0, "end": 3, "label": kind},
        {"start": 16, "end": 22, "label": "Place"},
        {"start": 24, "end": 27, "label": "Person"},
    ]
    return {
        "id": "1",
        "text": "Ada was born in London. Bob was not.",
        "spans": spans,
        "relations": [{"head": head, "tail": 1, "label": "born in"}],
    }


def test_reads_entities_and_relations(tmp_path):
    data = ie_data.read_dataset(dataset(tmp_path / "made"))
    assert (
        data.labels == {"Person": "person", "Place": "place", "Airline": "airline"}
        and len(data.test) == 4
        and not data.unseen
    )
    assert set(data.sha256) == {"test.jsonl", "labels.json", "train.5shot.perlabel.jsonl"}
    questions = ie_data.read_dataset(dataset(tmp_path / "related", RE, [related()]))
    assert questions.labels is None
    assert questions.test[0]["spans"] == [{"start": 16, "end": 22, "label": "Ada born in"}] and questions.test[0][
        "absent"
    ] == ["Bob born in"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("test.jsonl", None, "lacks test.jsonl"),
        ("labels.json", '{"PER": "Person"}', "labels.json: expected"),
        ("labels.json", '{"task": "NER", "map": ', "labels.json: expected"),
        ("test.jsonl", "", "test.jsonl is empty"),
        ("test.jsonl", '{"id": "1", "text": "Ada was", "spans": [{"start"', "test.jsonl, line 1"),
        (
            "test.jsonl",
            '{"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "Animal"}]}',
            r"row 1: labels.json does not name \['Animal'\]",
        ),
        ("test.jsonl", '{"text": "Ada", "spans": [], "relations": [{"head": 0}]}', "row 1: a relation must be"),
        (
            "train.5shot.perlabel.jsonl",
            '{"text": "Ada", "spans": [{"start": 0, "end": 9, "label": "Person"}]}',
            "lies outside",
        ),
    ],
)
def test_broken_files_are_refused_with_their_place(tmp_path, file, content, message):
    folder = dataset(tmp_path / "made")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        ie_data.read_dataset(folder)


def test_relations_that_cannot_be_asked_or_point_nowhere_are_refused(tmp_path):
    folder = dataset(tmp_path / "other_head", RE, [related()])
    srsly.write_jsonl(folder / "test.jsonl", [related(head=1)])
    with pytest.raises(ValueError, match="has a head of type 'Place', which it has in no training row"):
        ie_data.read_dataset(folder)
    with pytest.raises(ValueError, match="points to span 7, but there are 3"):
        ie_data.read_dataset(dataset(tmp_path / "nowhere", RE, [related(head=7)]))


def test_labels_that_no_example_has_are_noted(tmp_path):
    folder = dataset(tmp_path / "made")
    srsly.write_jsonl(folder / "train.5shot.perlabel.jsonl", [{"id": "0", **row("Ada left.", [("Ada", "Person")])}])
    assert ie_data.read_dataset(folder).unseen == ["Airline", "Place"]


def test_intervals_hold_the_value_and_shrink_with_more_texts():
    rng = np.random.default_rng(0)
    counts = [[int(right), int(not right), int(not right)] for right in rng.random(400) < 0.7]
    low, high = f_interval(counts)
    share = sum(right for right, _, _ in counts) / 400
    assert low < share < high and 0.05 < high - low < 0.12
    assert high - low < np.subtract(*f_interval(counts[:50])[::-1])
    assert f_interval([]) == (0.0, 0.0) and f_interval([[3, 0, 0]]) == (1.0, 1.0)
    assert (bootstrap_sums(counts, draws=5).sum(1) >= 400).all() and (
        bootstrap_sums(counts, draws=5) == bootstrap_sums(counts, draws=5)
    ).all()
    scores = scores_of([{(0, 1, "a")}, set()], [{(0, 1, "a")}, {(2, 3, "a")}])
    assert scores["counts"] == [[1, 0, 0], [0, 1, 0]] and scores["p"] == 0.5 and scores["per_label"]["a"]["found"] == 2


@pytest.mark.parametrize("head", ["metaie", "plain"])
@pytest.mark.parametrize("task", ["NER", "RE"])
def test_a_cell_learns_and_says_what_it_stands_on(tmp_path, encoders, head, task):
    folder = (
        dataset(tmp_path / "made")
        if task == "NER"
        else dataset(tmp_path / "made", RE, [related(), related() | {"id": "2"}])
    )
    options = {"data": str(tmp_path), "starts": None, "encoder": encoders["bert"], "threads": 1, "workers": 1}
    cell = {
        "group": "few",
        "model": "m",
        "spec": {"head": head},
        "dataset": folder.name,
        "split": "test",
        "shots": 5,
        "seed": 0,
        "lr": 7e-4,
        "steps": [400],
        "limit": 0,
    }
    result = quality.run_cell(cell, options)
    assert result["f"] > 0.8 and result["f_low"] <= result["f"] <= result["f_high"]
    assert len(result["counts"]["tp"].split()) == result["texts"]
    assert "Ada" not in json.dumps(result)  # no text of a benchmark goes into a result file
    several = quality.run_cell(cell | {"steps": [5, 20], "limit": 2}, options)
    assert set(several["f_by_steps"]) == {"5", "20"} and several["texts"] == 2


@pytest.mark.parametrize("changes", [{"architecture": "CrossEncoder"}, {"text_sees_labels": False}])
def test_weights_of_any_architecture_are_scored(tmp_path, encoders, changes):
    folder = dataset(tmp_path / "made")
    rows = tmp_path / "rows.jsonl"
    srsly.write_jsonl(rows, [{"id": str(i), **row("Ada flew.", [("Ada", "person")])} for i in range(20)])
    settings = Settings(encoder=encoders["bert"], steps=1, batch_size=4, **changes)
    distill({str(rows): 1.0}, tmp_path / "start", settings, tokenize=blank_tokenizer())
    options = {"data": str(tmp_path), "starts": str(tmp_path), "encoder": encoders["bert"], "threads": 1, "workers": 1}
    cell = {
        "group": "zero",
        "model": "m",
        "spec": {"weights": "start/model"},
        "dataset": folder.name,
        "split": "test",
        "shots": 0,
        "seed": 0,
        "lr": None,
        "steps": [0],
        "limit": 0,
    }
    result = quality.run_cell(cell, options)
    assert result["texts"] == len(result["counts"]["tp"].split()) > 0 and 0 <= result["f"] <= 1


def test_cells_that_are_done_are_not_run_again(tmp_path, encoders):
    dataset(tmp_path / "conll2003"), dataset(tmp_path / "ade", RE, [related()])
    plan = {
        "models": {"a": {"head": "metaie"}, "b": {"head": "plain"}},
        "choose": {"datasets": {"spans": "conll2003", "relations": "ade"}, "lr": [0.1, 0.2], "steps": [1, 2], "limit": 1, "models": ["a", "b"], "rivals": {"a": ["a", "b"]}},
        "groups": {"few": {"models": ["a"], "datasets": ["conll2003", "ade"], "shots": 5, "seeds": [0, 1]}},
    }  # fmt: skip
    options = {"data": str(tmp_path), "starts": None, "encoder": encoders["bert"]}
    output = tmp_path / "cells"
    output.mkdir()
    with pytest.raises(ValueError, match="run --group choose first"):
        list(quality.cells_of(plan, "few", output))
    todo = quality.pending(list(quality.cells_of(plan, "choose", output)), options, output)
    assert len(todo) == 8
    for number, (cell, path, key) in enumerate(todo):
        f = {"1": 0.1 + number / 100, "2": 0.1 + number / 100}
        srsly.write_json(path, cell | {"f_by_steps": f, "fingerprint": key})
    assert quality.pending(list(quality.cells_of(plan, "choose", output)), options, output) == []
    stale = {
        "model": "a",
        "kind": "spans",
        "dataset": "conll2003",
        "lr": 0.9,
        "f_by_steps": {"7": 1.0},
        "spec": {"head": "old"},
    }
    srsly.write_json(output / "choose__a__conll2003__lr0.9.json", stale)  # of another plan
    cells = list(quality.cells_of(plan, "few", output))
    assert [(c["dataset"], c["lr"], c["steps"], c["spec"]) for c in cells[:2]] == [
        ("conll2003", 0.2, [1], {"head": "plain"}),
        ("ade", 0.2, [1], {"head": "plain"}),
    ]
    assert (
        len(
            quality.pending(
                list(quality.cells_of(plan, "choose", output)), options | {"encoder": encoders["electra"]}, output
            )
        )
        == 8
    )
    srsly.write_jsonl(tmp_path / "ade" / "test.jsonl", [related() | {"id": "changed"}])
    quality.contents.cache_clear()
    assert (
        len(quality.pending(list(quality.cells_of(plan, "choose", output)), options, output)) == 4
    )  # those of the changed data


def test_a_cell_that_fails_costs_itself_only(tmp_path, capsys):
    good, bad = Future(), Future()
    good.set_result({"f_by_steps": {"1": 0.5}})
    bad.set_exception(MemoryError("no room"))
    assert quality.keep(good, tmp_path / "good.json", {"fingerprint": "x"}, "1/2")
    assert not quality.keep(bad, tmp_path / "bad.json", {"fingerprint": "x"}, "2/2")
    assert srsly.read_json(tmp_path / "good.json") == {"f_by_steps": {"1": 0.5}, "fingerprint": "x"}
    assert [path.name for path in tmp_path.iterdir()] == ["good.json"] and "no room" in capsys.readouterr().out


def test_causes_of_errors():
    gold = (10, 20, "politician")
    assert errors.cause_of_miss(gold, {(10, 20, "person")}, {gold}, {gold}) == ("another label was preferred", "person")
    assert errors.cause_of_miss(gold, {(10, 20, "person")}, set(), {gold}) == ("taken for another label", "person")
    assert errors.cause_of_miss(gold, {(10, 15, "politician")}, set(), set()) == ("other boundaries", "politician")
    assert errors.cause_of_miss(gold, set(), set(), {gold}) == ("score below the threshold", "")
    assert errors.cause_of_miss(gold, {(30, 40, "person")}, set(), set()) == ("not seen", "")
    assert errors.cause_of_extra((10, 20, "person"), {gold}) == ("taken for another label", "politician")
    assert errors.cause_of_extra((12, 25, "person"), {gold}) == ("other boundaries and label", "politician")
    assert errors.cause_of_extra((30, 40, "person"), {gold}) == ("found where nothing is annotated", "")


def test_leads_are_paired_over_texts():
    rng = np.random.default_rng(0)
    hard = rng.random(300)  # texts differ far more than models

    def cell(model, shift):
        right = (hard < 0.5 + shift).astype(int)
        wrong = " ".join(map(str, 1 - right))
        return {"model": model, "dataset": "d", "counts": {"tp": " ".join(map(str, right)), "fp": wrong, "fn": wrong}}

    a, b = evidence.draws([cell("a", 0.1)] * 3), evidence.draws([cell("b", 0.0)] * 3)
    assert np.quantile(a - b, 0.025) > 0.04 and np.quantile(a, 0.025) < np.quantile(b, 0.99)


def test_what_starting_points_learn(tmp_path):
    rows = [{"id": f"d{i}#0", **row("Ada met Bob.", [("Ada", "Person"), ("Bob", "friend of Ada")])} for i in range(64)]
    srsly.write_jsonl(tmp_path / "rows.jsonl", [*rows, {"id": "x", **row("Nobody.", [])}])
    assert all(
        [s["label"] for s in r["spans"]] == ["Person"] for r in starts.rows_of(tmp_path / "rows.jsonl", "entity")
    )
    quarter, part = (
        {r["id"] for r in starts.rows_of(tmp_path / "rows.jsonl", name)} for name in ("metaie_4th", "metaie_16th")
    )
    whole = {r["id"] for r in starts.rows_of(tmp_path / "rows.jsonl", "metaie")}
    held = {i for i in whole if is_dev(i.partition("#")[0], 0.1, 0)}
    assert held < part < quarter < whole and len(whole) == 65 and 6 < len(quarter - held) < 30


@pytest.mark.parametrize("script", sorted({*SOURCES} - {*SHARED}))
def test_scripts_find_what_they_import_and_do_nothing_more(script, monkeypatch, capsys, tmp_path):
    # As after `python benchmarks/.../script.py`: the path begins with the script's folder, and the repository is not on it.
    monkeypatch.setattr(sys, "path", [str((ROOT / script).parent), *(p for p in sys.path if Path(p).resolve() != ROOT)])
    monkeypatch.setattr(sys, "argv", [script])
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    runpy.run_path(str(ROOT / script), run_name="imported")
    assert capsys.readouterr().out == "" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", SHARED)
def test_shared_modules_find_what_they_import(name):
    importlib.import_module(name.removesuffix(".py").replace("/", "."))


def test_places_that_are_named_exist():
    files = [ROOT / name for name in ("README.md", "docs/benchmark.md", "project.yml", "setup.py", "NOTICE", *SOURCES)]
    files += sorted((ROOT / "benchmarks").rglob("*.yml"))
    named = {
        (path.name, place)
        for path in files
        for place in re.findall(r"benchmarks/[\w/]+\.(?:py|yml)", path.read_text(encoding="utf8"))
    }
    assert len(named) > 40 and [entry for entry in sorted(named) if not (ROOT / entry[1]).exists()] == []


def test_recorded_commands_are_shown_with_the_places_of_today():
    assert (
        place_of("benchmarks/quality.py")
        == "benchmarks/quality/quality.py"
        == place_of("benchmarks/quality/quality.py")
    )
    assert place_of("alone.yml") == "benchmarks/quality/alone.yml"
    for word in ("python", "-m", "metaie_spacy", "benchmarks/results/speed.json", "gone.py", "bench"):
        assert place_of(word) == word


def test_number_formats_are_shown_with_what_was_measured():
    result = evidence.load("precision")
    old = [
        {key: value for key, value in row.items() if not key.startswith("single_")} for row in result["dtypes"].values()
    ]
    new = [row | {"single_differs": 3, "single_texts": 1500, "single_largest_score_change": 0.0123} for row in old]
    for rows, last in ((old, " x |"), (new, " x | 3 of 1,500 (1e-02) |")):
        lines = report.formats_table(result | {"dtypes": dict(zip(result["dtypes"], rows))})
        assert lines[-1].endswith(last) and len({line.count("|") for line in lines[2:]}) == 1


def test_two_installations_are_asked_the_same_and_compared():
    passes = same.passes_of([row("Ada left.", [("Ada", "person")]), row("Nobody.", [])])
    assert [(name, len(asked["pairs"]), asked["flat"]) for name, asked in passes.items()] == [
        ("own labels", 1, False), ("own labels, flat", 1, True), ("fixed labels", 2, False), ("fixed labels, flat", 2, True),
    ]  # fmt: skip
    assert (
        passes["own labels"]["pairs"] == [("Ada left.", ["person"])]
        and len(passes["fixed labels"]["pairs"][1][1]) == 16
    )
    old = [{(0, 3, "person"): 0.5, (4, 8, "date"): 0.25}, {}]
    new = [{(0, 3, "person"): 0.75}, {}]
    assert same.compare(old, old)["texts_that_differ"] == same.compare(old, old)["largest_score_change"] == 0
    assert same.compare(old, new) == {
        "texts": 2,
        "spans": 2,
        "spans_of_new": 1,
        "texts_that_differ": 1,
        "largest_score_change": 0.25,
    }
