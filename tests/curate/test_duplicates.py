"""Duplicates, teachers of one text, contamination and the split."""

import builtins
import json
import random

import pytest

from metaie_spacy.curate.contamination import drop_contaminated
from metaie_spacy.curate.duplicates import (
    drop_near_texts,
    drop_repeated_ids,
    drop_repeated_texts,
    shingles_of,
    similarity,
)
from metaie_spacy.curate.merging import merge_teachers
from metaie_spacy.curate.splits import split_rows
from metaie_spacy.data.items import Item, split_dev
from metaie_spacy.data.ledger import Ledger, Sourced

WORDS = "the quick brown fox jumps over a lazy dog while seven wizards mix strange potions near old river banks at night".split()


def item(id, text, spans=(), line=1, **fields):
    spans = [{"start": start, "end": end, "label": label} for start, end, label in spans]
    return Sourced({"id": id, "text": text, "spans": spans, **fields}, "a.jsonl", line)


def ids(items):
    return [i.row["id"] for i in items]


def why(ledger):
    return [(entry["id"], entry["why"]) for entry in ledger.entries]


def random_text(seed, n=30):
    rng = random.Random(seed)
    return " ".join(f"{rng.choice(WORDS)}{rng.randrange(100)}" for _ in range(n))


def test_ids_are_used_once_a_teacher():
    ledger = Ledger()
    rows = [
        item("1", "Ada", teacher="x"),
        item("1", "Ada", teacher="x", line=2),
        item("1", "Ada", teacher="y", line=3),
        item("1", "Eve", teacher="z", line=4),
    ]
    assert drop_repeated_ids(rows, ledger) == [rows[0], rows[2]]
    assert [(entry["line"], entry["why"]) for entry in ledger.entries] == [(2, "duplicate id"), (4, "id used twice")]


def test_texts_that_differ_in_case_and_space_are_one():
    ledger = Ledger()
    assert ids(
        drop_repeated_texts([item("1", "Ada  flew"), item("2", "ada flew\n"), item("3", "Ada flew!")], ledger)
    ) == ["1", "3"]
    assert ledger.entries[0]["detail"] == "1"


def test_near_texts_are_those_whose_word_runs_are_mostly_shared():
    ledger = Ledger()
    base = random_text(0, 60).split()
    close = " ".join(base[:-1] + ["else"])  # 55 of 57 runs
    far = " ".join(base[:30] + ["else"] + base[31:])  # five runs in the middle go: 51 of 61
    other = random_text(1, 60)
    rows = [item("base", " ".join(base)), item("close", close), item("far", far), item("other", other)]
    rows.append(item("punct", ", ".join(base).upper()))
    assert similarity(shingles_of(rows[0].row["text"]), shingles_of(far)) == pytest.approx(51 / 61)
    assert ids(drop_near_texts(rows, 0.9, ledger)) == ["base", "far", "other"]
    assert [(entry["id"], entry["detail"]) for entry in ledger.entries] == [("close", "base"), ("punct", "base")]
    assert ids(drop_near_texts(rows, 0.8, Ledger())) == ["base", "other"]


def test_no_near_text_is_missed_and_none_is_made_up():
    rng = random.Random(0)
    rows, expected = [], []
    for n in range(150):
        base = random_text(n, 40).split()
        copy = list(base)
        for _ in range(rng.randrange(4)):
            copy[rng.randrange(len(copy))] = f"new{rng.random()}"
        rows += [item(f"{n}", " ".join(base)), item(f"{n}'", " ".join(copy))]
        if similarity(shingles_of(" ".join(base)), shingles_of(" ".join(copy))) >= 0.8:
            expected.append(f"{n}'")
    ledger = Ledger()
    drop_near_texts(rows, 0.8, ledger)
    assert 20 < len(expected) < 130 and [entry["id"] for entry in ledger.entries] == expected


def test_texts_without_words_are_like_no_other():
    rows = [item("1", "!!"), item("2", "?"), item("3", "No."), item("4", "no")]
    assert ids(drop_near_texts(rows, 0.8, Ledger())) == ["1", "2", "3"]


def test_missing_datasketch_is_named_with_its_extra(monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *args: _refuse() if name == "datasketch" else real(name, *args)
    )
    with pytest.raises(ImportError, match=r"metaie-spacy\[project\]"):
        drop_near_texts([item("1", "Ada")], 0.8, Ledger())


def _refuse():
    raise ImportError("not here")


def test_teachers_of_one_text_are_merged():
    ledger = Ledger()
    text = "Ada met Bob in Rome"
    rows = [
        item("1", text, [(0, 3, "person"), (8, 11, "person")], absent=["drug", "city"], teacher="x", source="s"),
        item(
            "1",
            text,
            [(0, 3, "woman"), (15, 19, "city")],
            absent=["person", "river"],
            teacher="y",
            line=2,
            dropped=[{"label": "a"}],
        ),
        item("2", text, [(0, 3, "person")], teacher="z", line=3, agreement=0.9),
        item("3", "Another text", teacher="x", line=4),
        item("4", text, teacher="x", line=5),
    ]
    merged, other, same_teacher = merge_teachers(rows, ledger)
    row = merged.row
    assert (row["id"], row["teacher"], row["source"]) == ("1", "x+y+z", "s")
    assert [(s["start"], s["label"]) for s in row["spans"]] == [
        (0, "person"),
        (0, "woman"),
        (8, "person"),
        (15, "city"),
    ]
    assert row["absent"] == ["drug", "river"] and row["dropped"] == [{"label": "a"}]
    # places: {Ada, Bob}, {Ada, Rome}, {Ada}: F1 1/2, 2/3, 2/3
    assert row["agreement"] == pytest.approx((0.5 + 2 / 3 + 2 / 3) / 3, abs=1e-4)
    assert (other, same_teacher) == (rows[3], rows[4])
    entries = [(entry["line"], entry["why"], entry["detail"], entry["row"]) for entry in ledger.entries]
    assert entries == [(2, "merged", "1", rows[1].row), (3, "merged", "1", rows[2].row)]


def test_own_agreement_is_kept_where_it_is_lower():
    rows = [item("1", "Ada", [(0, 3, "a")], teacher="x", agreement=0.4)]
    rows.append(item("1", "Ada", [(0, 3, "b")], teacher="y", agreement=0.7))
    assert merge_teachers(rows, Ledger())[0].row["agreement"] == 0.4
    empty = [item("1", "Ada", teacher="x"), item("1", "Ada", teacher="y")]
    assert merge_teachers(empty, Ledger())[0].row["agreement"] == 1.0  # both are silent


def test_rows_that_share_eight_words_with_a_given_file_are_dropped(tmp_path):
    bench, plain = tmp_path / "bench.jsonl", tmp_path / "plain.txt"
    texts = ["So: the quick, brown FOX jumps over a lazy dog.", "Hello there, you!"]
    bench.write_text("\n\n".join(json.dumps({"text": text}) for text in texts), encoding="utf8")
    plain.write_text("one two three four five\nsix seven eight nine\nGood bye\n", encoding="utf8")
    rows = [
        item("copy", "He said the quick brown fox jumps over a lazy cat"),
        item("seven", "then quick brown fox jumps over a lazy cat"),
        item("short", "hello there you"),
        item("longer", "hello there you two"),
        item("wrapped", "zero two three four five six seven eight nine"),
        item("line", "good bye"),
    ]
    ledger = Ledger()
    assert ids(drop_contaminated(rows, [bench, plain], ledger)) == ["seven", "longer"]
    details = {entry["id"]: entry["detail"] for entry in ledger.entries}
    assert details["copy"] == f"{bench}: the quick brown fox jumps over a lazy"
    assert str(plain) in details["wrapped"] and str(plain) in details["line"] and str(bench) in details["short"]


@pytest.mark.parametrize(
    "name, content, message",
    [("a.jsonl", b'{"text": 1}', "line 1"), ("a.jsonl", b"{", "line 1"), ("a.txt", b"\xff", "not UTF-8")],
)
def test_a_file_that_cannot_be_checked_against_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        drop_contaminated([], [tmp_path / name], Ledger())
    with pytest.raises(ValueError, match="no file"):
        drop_contaminated([], [tmp_path / "none"], Ledger())


def sides(items, **kwargs):
    splits, _ = split_rows(items, 0.15, 0.15, **kwargs)
    return {i.row["id"]: name for name, part in splits.items() for i in part}


def test_split_keeps_documents_together_and_is_the_same_when_rows_are_added():
    rows = [item(f"doc{n}#{part}", random_text(10 * n + part)) for n in range(200) for part in range(2)]
    rows += [item(f"row{n}", random_text(5000 + n), meta={"doc": f"book{n % 20}"}) for n in range(60)]
    split = sides(rows)
    assert all(split[f"doc{n}#0"] == split[f"doc{n}#1"] for n in range(200))
    assert all(split[f"row{n}"] == split[f"row{n % 20}"] for n in range(60))
    counts = [list(split.values()).count(name) for name in ("train", "dev", "test")]
    assert counts[0] > 250 and min(counts[1:]) > 30
    more = random.Random(0).sample(rows, len(rows)) + [item(f"new{n}", random_text(9000 + n)) for n in range(50)]
    again = sides(more)
    assert all(again[id] == side for id, side in split.items())
    assert sides(rows, seed=1) != split


def test_documents_much_alike_stand_on_one_side_and_train_wins():
    rows, alike = [], []
    for n in range(150):
        base = random_text(n, 60).split()
        rows.append(item(f"a{n}#0", " ".join(base)))
        rows.append(item(f"b{n}#0", " ".join(base[:50] + ["x"] + base[51:])))
        alike.append((f"a{n}#0", f"b{n}#0"))
    apart, together = sides(rows, linked=0.0), sides(rows, linked=0.6)
    assert any(apart[a] != apart[b] for a, b in alike)
    assert all(together[a] == together[b] for a, b in alike)
    assert all(together[a] == "train" for a, b in alike if "train" in (apart[a], apart[b]))
    assert all(
        together[id] == "train" for id, side in apart.items() if side == "train"
    )  # what was trained on is not tested on later
    assert split_rows(rows, 0.15, 0.15, linked=0.6)[1] == [2] * 150


def test_training_still_finds_dev_texts_on_the_train_side():
    rows = [item(f"doc{n}", random_text(n)) for n in range(600)]
    train = [id for id, side in sides(rows, linked=0.0).items() if side == "train"]
    held = split_dev([Item(id, [], [], []) for id in train], 0.1, 0)[1]
    assert 0.05 < len(held) / len(train) < 0.15
