"""Beside other extractors: rows in their forms, turns, limits and tables, without any of them installed."""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import row

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.lib import peer_data, peer_report, peers  # noqa: E402
from benchmarks.lib.ie_data import Dataset  # noqa: E402
from benchmarks.lib.paths import CORPUS  # noqa: E402
from benchmarks.lib.peers import Cell, Worker, Workers  # noqa: E402
from benchmarks.serving import peers as script  # noqa: E402
from benchmarks.serving.peers_worker import Plan, Prompted, batches_of, cut, flat, groups_of  # noqa: E402

ADA = row("Ada Lovelace met Bob in Paris-Nord.", [("Ada Lovelace", "person"), ("Paris", "city"), ("Bob", "friend")])
SLEEPER = """
import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "end":
        break
    time.sleep(request.get("sleep", 0))
    print(json.dumps({"error": "no"} if request["do"] == "fail" else {"seconds": 1, "pid": __import__("os").getpid()}), flush=True)
"""


def worker(folder, name="sleeper"):
    return Worker({"name": name}, folder, [sys.executable, "-c", SLEEPER])


def test_rows_become_words_with_first_and_last_without_spans_that_cut_a_word():
    made = peer_data.gliner_row(ADA | {"absent": ["drug"]}, ["song"])
    assert made["tokenized_text"] == ["Ada", "Lovelace", "met", "Bob", "in", "Paris-Nord", "."]
    assert made["ner"] == [[0, 1, "person"], [3, 3, "friend"]] and made["ner_negatives"] == ["drug", "song"]


def test_labels_that_a_row_does_not_answer_are_neither_spans_nor_negatives():
    partly = ADA | {"asked": ["person", "drug"], "absent": ["drug"]}
    made = peer_data.gliner_row(partly, [])
    assert made["ner"] == [[0, 1, "person"]] and made["ner_negatives"] == ["drug"]
    entities = peer_data.gliner2_row(partly, ["song"])["output"]["entities"]
    assert entities == {"person": ["Ada Lovelace"], "drug": [], "song": []}


def test_negatives_are_labels_of_other_rows_and_differ_from_lap_to_lap():
    others = [row("Bob sang.", [("Bob", f"label {number}")]) for number in range(40)]
    made = list(peer_data.laps([ADA, *others], peer_data.gliner_row, 0))
    assert len(made) == peer_data.LAPS * 41
    drawn = [set(one["ner_negatives"]) for one in made[::41]]
    assert all(one and not one & {"person", "city", "friend"} for one in drawn) and len(set(map(frozenset, drawn))) > 1


def test_every_row_of_the_corpus_can_be_converted_and_most_spans_stay():
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf8").splitlines()]
    rows = random.Random(0).sample(rows, 300)
    made = [peer_data.gliner_row(one, []) for one in rows]
    spans = sum(len(peer_data.spans_of(one)) for one in rows)
    assert sum(len(one["ner"]) for one in made) > 0.95 * spans
    for one, plain in zip(made, rows):
        for first, last, label in one["ner"]:
            words = "".join(one["tokenized_text"][first : last + 1])
            assert words in {
                "".join(plain["text"][s:e].split()) for s, e, own in peer_data.spans_of(plain) if own == label
            }


def test_the_largest_label_set_counts_no_jobs():
    rows = [{"kind": "schema", "set": "A"}] * 2 + [{"kind": "schema", "set": "B", "job": 1}] * 3 + [{"kind": "open"}]
    assert peer_data.largest_set(rows) == ("A", rows[:2])


def test_labels_are_asked_in_groups_that_leave_room_for_the_text():
    assert groups_of(list("abcde"), [2, 2, 3, 9, 1], 4) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert groups_of(["a"], [3], -5) == [["a"]] and groups_of([], [], 10) == []


def test_long_texts_are_cut_only_where_all_labels_do_not_fit_beside_them():
    class Words(Prompted):
        room = 10

        def size(self, text):
            return len(text.split())

    text, words = "a b c d e f g", Words()
    assert words.plan([text], ["x"]) == Plan(1, [(0, 0, text)], [["x"]]) and words.passes == 1
    plan = words.plan([text, "h"], ["x", "y", "z"])
    assert plan.parts == [(0, 0, "a b c d e "), (0, 10, "f g"), (1, 0, "h")] and plan.groups == [["x", "y"], ["z"]]
    answers = [[[(0, 1, "x", 0.5)], [(0, 1, "y", 0.5)], []], [[(0, 3, "z", 0.9)], [], [(0, 1, "z", 0.1)]]]
    assert words.joined(plan, answers) == [[[0, 3, "z"], [10, 11, "y"]], [[0, 1, "z"]]] and words.passes == 2
    assert cut("long", 2, lambda text: 5) == [(0, "long")]


def test_rows_of_the_bare_encoder_fill_batches_padding_included():
    rows = [[0] * n for n in (1, 2, 4, 5, 20)]
    assert [len(part) for part in batches_of(rows, 12)] == [3, 1, 1]


def test_of_overlapping_answers_the_best_stays():
    assert flat([(0, 5, "a", 0.5), (3, 8, "b", 0.9), (8, 9, "c", 0.1)]) == [[3, 8, "b"], [8, 9, "c"]]


def test_a_process_that_does_not_answer_in_time_is_ended_and_started_anew(tmp_path):
    workers = Workers(lambda name: worker(tmp_path, name))
    try:
        first = workers.ask("a", {"do": "time"}, 30)["pid"]
        assert workers.ask("a", {"do": "time"}, 30)["pid"] == first
        with pytest.raises(TimeoutError, match="within 0.2 s"):
            workers.ask("a", {"do": "time", "sleep": 60}, 0.2)
        assert not workers.running and workers.ask("a", {"do": "time"}, 30)["pid"] != first
        with pytest.raises(RuntimeError, match="^no$"):
            workers.ask("a", {"do": "fail"}, 30)
        with pytest.raises(RuntimeError, match="the process ended, see b.log"):
            workers.ask("b", {"do": "end"}, 30)
    finally:
        workers.close()


def test_all_take_turns_in_another_order_each_round_and_who_is_stopped_is_not_asked_again():
    asked = []

    def ask(name, request, limit):
        asked.append(name)
        if name == "slow":
            raise TimeoutError
        if name == "broken":
            raise RuntimeError("why")
        return {"seconds": 40.0 if name == "long" else float(len(asked)), "first": 0.5, "spans": 3}

    found = peers.measure(ask, ["fast", "slow", "broken", "long"], {"texts": ["a b", "c"]}, 3, 9)
    assert asked == ["fast", "slow", "broken", "long", "fast", "fast"]
    assert found["slow"] == {"too_slow": 9} and found["broken"] == {"error": "why"}
    assert found["fast"]["rounds"] == [1.0, 5.0, 6.0] and found["fast"]["seconds"] == 5.0
    assert (
        found["fast"]["texts_per_s"] == 0.4
        and found["fast"]["words_per_s"] == 0.6
        and found["long"]["rounds"] == [40.0]
    )


def test_single_texts_have_a_median_over_texts_and_rounds():
    runs = [
        {"seconds": 3, "first": 0, "spans": 0, "each": [0.001, 0.002]},
        {"seconds": 5, "first": 0, "spans": 0, "each": [0.003]},
    ]
    assert peers.summary(runs, ["a"])["p50_ms"] == 2.0


def test_more_labels_are_not_tried_where_fewer_were_too_slow():
    done = {Cell("short", "batch", 64): {"a": {"too_slow": 1}, "b": {"seconds": 1}}}
    assert peers.too_slow_before(done, "a", Cell("short", "batch", 256))
    assert not peers.too_slow_before(done, "b", Cell("short", "batch", 256))
    assert not peers.too_slow_before(done, "a", Cell("short", "batch", 16))
    assert not peers.too_slow_before(done, "a", Cell("short", "single", 256))


def test_who_takes_part_in_a_cell():
    ours, cross, ner = (peers.CONTENDERS[name] for name in ("ours", "cross", "ner"))
    assert peers.takes(ours, Cell("3,000 words", "batch", 4), 16) and not peers.takes(
        cross, Cell("3,000 words", "batch", 4), 16
    )
    assert peers.takes(ner, Cell("short", "batch", 16), 16) and not peers.takes(ner, Cell("short", "batch", 4), 16)


def test_texts_of_each_kind_have_their_number_of_words():
    texts = peers.texts_of_kinds(CORPUS, {"short": 5, "300 words": 2, "3,000 words": 1})
    assert [len(own) for own in texts.values()] == [5, 2, 1] and max(len(text.split()) for text in texts["short"]) <= 60
    assert {len(text.split()) for text in texts["300 words"]} == {300} and len(texts["3,000 words"][0].split()) == 3000


def test_held_out_rows_are_those_that_distill_holds_out():
    from metaie_spacy.data.items import read_items, split_dev

    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf8").splitlines()]
    held = {one.id for one in split_dev(read_items(CORPUS, lambda text: [(0, len(text))]), 0.1, 0)[1]}
    assert held == {one["id"] for one in rows if peers.is_held_out(one)} and 200 < len(peers.dev_rows(rows)) < 600


def test_the_threshold_is_the_one_with_the_best_f():
    def ask(name, request, limit):
        return {
            "spans": [
                [[0, 12, "person"], *([[17, 20, "drug"]] if request["threshold"] < 0.5 else [])]
                for _ in request["texts"]
            ]
        }

    found = peers.best_threshold(ask, "a", [ADA | {"absent": ["drug"]}] * 3, (0.2, 0.6, 0.9))
    assert found["threshold"] == 0.6 and found["dev_f"] == 0.5 and found["dev_texts"] == 3


def test_answers_are_scored_by_the_names_of_the_set():
    def ask(name, request, limit):
        assert request["asked"] == [["person"]]
        return {"spans": [[[0, 12, "person"]]]}

    given = row("Ada Lovelace met Bob.", [("Ada Lovelace", "PER"), ("Bob", "Misc")])
    scored = peers.score(ask, "a", Dataset("made", "NER", {"PER": "person"}, [], [given], {}, []), 0.5)
    assert scored["f"] == scored["f_low"] == 1.0 and scored["texts"] == 1


def cell(texts, mode, labels, **found):
    return {"cell": [texts, mode, labels], "contenders": found}


def figures(rate):
    return {"seconds": 1 / rate, "texts_per_s": rate, "words_per_s": rate, "p50_ms": 1000 / rate}


@pytest.fixture
def result():
    sets = {name: {"f": 0.5, "texts": 500} for name in (*peer_report.NER6, *peer_report.CROSSNER)}
    note = {"cpu_minutes": 40.0, "steps": 1000, "rate": 2e-4}
    own = {"threshold": 0.5, "dev_f": 0.6, "sets": sets}
    cells = [
        cell("short", "batch", 4, ours=figures(120), gliner_uni=figures(10)),
        cell("short", "batch", 16, ours=figures(120), bare=figures(100), ner=figures(500)),
        cell("short", "batch", 64, ours=figures(100), gliner_uni={"too_slow": 120}),
        cell("short", "batch", 256, ours=figures(50), gliner_uni={"error": "why"}),
        cell("short", "single", 16, ours=figures(80), bare=figures(100)),
    ]
    return {
        "command": "python benchmarks/serving/peers.py all", "threads": 1, "cores": 2, "texts": 32, "rounds": 3, "limit": 120, "fixed_at": 16,
        "not_built": {"gliner2": "ImportError: why"}, "training": {"ours": note, "gliner_uni": note}, "quality": {"ours": own, "gliner_uni": own},
        "rates": {"gliner_uni": {"rate": 2e-4, "dev_f": {"2e-05": 0.0, "0.0002": 0.05}}},
        "start": {"ours": {"start_s": 2.0, "resident_mib": 500.0, "disk_mb": 50.0}},
        "float32": {"cells": cells, "memory": {"ours": 600.0}},
        "best": {"cells": [cell("short", "batch", 4, **{"ours, int8": figures(150)})], "memory": {}},
    }  # fmt: skip


def test_aims_are_compared_with_what_was_measured(result):
    found = {what: (value, holds) for what, _, value, holds in peer_report.aims(result)}
    assert found["Texts/s over those of gliner, uni-encoder, 4 labels"] == (12.0, True)
    assert found["Texts/s over those of gliner, uni-encoder, 64 labels"] == (None, None)
    assert found["Mean F less that of gliner, uni-encoder"] == (0.0, True)
    assert found["Time with 256 labels over that with 4"] == (pytest.approx(2.4), False)
    assert found["`nlp.pipe` over the bare encoder, texts/s, 16 labels"] == (1.2, True)
    assert found["Words/s over those of CNN `ner`"] == (0.24, False)
    assert found["p50 of single texts over the bare encoder's, 16 labels"] == (1.25, False)


def test_tables_show_what_was_measured_and_what_was_too_slow(result, monkeypatch):
    monkeypatch.setattr(peer_report, "read", lambda name: result)
    pages = {name: block() for name, block in peer_report.BLOCKS.items()}
    assert "| gliner, uni-encoder | 10.0 | - | over 120 s | failed |" in pages["peers_speed"]
    assert pages["peers_speed"][-1] == "- Failed: gliner, uni-encoder: `why`"
    assert "| LabelToSpan.v1, int8 | 150 |" in pages["peers_best"]
    assert "| **mean** | **50.0%** | **50.0%** |" in pages["peers_quality"]
    assert "At most 500 texts of each set." in pages["peers_quality"]
    assert pages["peers_quality"][-1] == "- Not built: gliner2: `ImportError: why`"
    tried = "- gliner, uni-encoder, F on held-out rows after an eighth of the time: 0.0% at 2e-05, 5.0% at 0.0002"
    assert tried in pages["peers_quality"]
    assert pages["peers_start"][-1] == "| LabelToSpan.v1 | 2.0 | 500 | 600 | 50 |"
    for lines in pages.values():
        tables = "\n".join(lines).split("\n\n")
        for table in [part.splitlines() for part in tables if part.startswith("|")]:
            assert len({line.count("|") for line in table}) == 1, table


def test_without_a_result_the_page_says_so(monkeypatch):
    monkeypatch.setattr(peer_report, "read", lambda name: None)
    assert {tuple(block()) for block in peer_report.BLOCKS.values()} == {("Not measured yet.",)}


def test_what_cannot_be_trained_is_noted_with_its_reason_and_costs_itself_only(tmp_path, monkeypatch):
    args = argparse.Namespace(folder=tmp_path, corpus=CORPUS, threads=1, probes=[1, 1])

    def run(command, *, stdout, **options):
        stdout.write("Traceback\nImportError: no such thing\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(script.subprocess, "run", run)
    output = tmp_path / "models" / "gliner2"
    assert not script.trained(args, "gliner2", output, 1, 1e-4) and not output.exists()
    assert (tmp_path / "not_built" / "gliner2.txt").read_text() == "ImportError: no such thing"
    monkeypatch.setattr(
        script.subprocess,
        "run",
        lambda command, **options: (
            (output.with_name("gliner2.new") / "train.json").write_text('{"minutes": 1}')
            and subprocess.CompletedProcess(command, 0)
        ),
    )
    assert script.trained(args, "gliner2", output, 1, 1e-4) and (output / "train.json").exists()
    with pytest.raises(SystemExit, match="was trained for 1 minutes, not 2"):
        script.trained(args, "gliner2", output, 2, 1e-4)


def test_a_training_that_came_to_nothing_is_noted_and_not_scored(tmp_path, monkeypatch):
    class Silent:
        def __init__(self, spec, folder):
            pass

        def ask(self, request, limit):
            return {"spans": [[] for _ in request["texts"]]}

        def close(self):
            pass

    monkeypatch.setattr(script, "Worker", Silent)
    monkeypatch.setattr(script, "held_out", lambda args: [row("Ada.", [("Ada", "person")])])
    (tmp_path / "models" / "gliner_bi" / "model").mkdir(parents=True)
    options = {"quality_limit": 1, "dev_limit": 0, "thresholds": [0.1, 0.5], "threads": 1, "only": None}
    script.quality(argparse.Namespace(folder=tmp_path, corpus=CORPUS, data=tmp_path / "none", **options))
    assert "its training came to nothing" in (tmp_path / "not_built" / "gliner_bi.txt").read_text()
    assert not (tmp_path / "quality").exists()


def test_cells_that_are_there_are_not_measured_again(tmp_path, monkeypatch):
    asked = []

    class Made:
        def __init__(self, spec, folder):
            self.name = spec["name"]

        def ask(self, request, limit):
            if request["do"] == "time":
                asked.append(self.name)
            return {"seconds": 1.0, "first": 0.1, "spans": 1, "peak_mib": 5.0}

        def close(self):
            pass

    monkeypatch.setattr(script, "Worker", Made)
    args = argparse.Namespace(folder=tmp_path, corpus=CORPUS, texts=2, rounds=1, limit=5, threads=1)
    cells = [Cell("short", "batch", 1), Cell("short", "batch", 4)]
    for number in (1, 2, 2):
        script.run_cells(args, "float32", {"ours": {"name": "ours"}}, cells[:number], {"short": ["a", "b"]})
    assert asked == ["ours", "ours"]
    kept = json.loads((tmp_path / "cells_float32.json").read_text())
    assert [entry["cell"] for entry in kept["cells"]] == [["short", "batch", 1], ["short", "batch", 4]] and kept[
        "memory"
    ] == {"ours": 5.0}
