"""Feedback rounds: what is chosen, what the teacher writes, what it confirms."""

import json

import pytest
from helpers import ASSETS, packaged
from teacher_server import teacher_server

from metaie_spacy.data.rows import check_row
from metaie_spacy.teacher.client import Teacher
from metaie_spacy.teacher.rounds import (
    correct,
    most_disputed,
    most_failed,
    read_confirmed,
    read_texts,
    unseen,
    write_similar,
)

TEXT = "Ada Lovelace met Charles Babbage in London."
OTHER = "Nothing happened that day."


def row(text, *answers, absent=(), id="a"):
    spans = [
        {"start": text.index(part), "end": text.index(part) + len(part), "label": label} for part, label in answers
    ]
    return {
        "id": id,
        "text": text,
        "spans": sorted(spans, key=lambda s: s["start"]),
        "absent": list(absent),
        "teacher": "t",
    }


GOLD = row(TEXT, ("Ada Lovelace", "person"), ("Charles Babbage", "person"), ("London", "city"), absent=["airline"])


@pytest.fixture(scope="module")
def nlp():
    return packaged()


@pytest.fixture
def teacher(tmp_path):
    """A teacher that knows `GOLD`."""
    (tmp_path / "gold.jsonl").write_text(json.dumps(GOLD) + "\n", encoding="utf8")
    with teacher_server(corpus=[tmp_path / "gold.jsonl"]) as server:
        yield Teacher("test", base_url=server.url, api_key_env=None, timeout=5.0)


def surfaces(row):
    return {(row["text"][s["start"] : s["end"]], s["label"]) for s in row["spans"]}


def test_students_corrections_that_the_teacher_confirms_replace_the_annotation(nlp, teacher):
    wrong = row(TEXT, ("Ada", "person"), ("London", "city"), absent=["airline"])
    (fixed,) = correct([wrong], nlp, teacher, ASSETS / "confirm.jinja")
    check_row(fixed)
    assert surfaces(fixed) == surfaces(GOLD)
    assert {"label": "person", "old": ["Ada"], "new": "Ada Lovelace"} in fixed["corrected"]
    assert {"label": "person", "new": "Charles Babbage"} in fixed["corrected"]
    assert fixed["absent"] == ["airline"] and fixed["teacher"] == "t"


def test_what_the_teacher_does_not_confirm_stays_as_it_was(nlp, teacher):
    # The student will call both people "woman's name" or not; the teacher's row has no such label.
    kept = row(TEXT, ("Ada Lovelace", "name of a person"), ("Charles", "human being"))
    untouched = row(OTHER, absent=["person"], id="b")
    assert list(correct([kept, untouched], nlp, teacher, ASSETS / "confirm.jinja", min_score=0.1)) == [kept, untouched]


def test_texts_on_which_the_student_fails_come_first(nlp):
    hard = row("They will meet in the park on Monday.", ("meet", "animal"), id="hard")
    chosen = most_failed([GOLD, hard, row(OTHER, id="unasked")], nlp, 1)
    assert [c["id"] for c in chosen] == ["hard"] and 0 < chosen[0]["meta"]["failure"] <= 1
    assert "spans" not in chosen[0]  # the next input of `annotate`


def test_texts_on_which_two_generations_disagree_come_first(nlp):
    stricter = packaged()
    stricter.get_pipe("metaie").threshold = 1.0
    rows = [{"id": "same", "text": OTHER}, {"id": "disputed", "text": TEXT, "meta": {"page": 1}}]
    chosen = most_disputed(rows, nlp, stricter, ["person", "city"], 2)
    assert [(c["id"], c["meta"]["disagreement"]) for c in chosen] == [("disputed", 1.0), ("same", 0.0)]
    assert chosen[0]["meta"]["page"] == 1


def test_new_texts_stay_on_the_side_of_their_seed(teacher):
    seeds = [{"id": "doc#3", "text": TEXT}, {"id": "b", "text": OTHER}]
    written = list(write_similar(seeds, teacher, ASSETS / "similar.jinja", n=2))
    assert [w["id"] for w in written] == ["doc#3s0", "doc#3s1", "b#s0", "b#s1"]
    assert all(w["text"] not in (TEXT, OTHER) and w["meta"]["like"] in ("doc#3", "b") for w in written)


def test_texts_that_are_annotated_are_left_out(tmp_path):
    (tmp_path / "done.jsonl").write_text(json.dumps(GOLD) + "\n", encoding="utf8")
    rows = [{"id": "x", "text": TEXT}, {"id": "y", "text": OTHER}]
    assert [r["id"] for r in unseen(rows, [tmp_path / "done.jsonl"])] == ["y"]


def test_answers_are_read_leniently_and_prose_is_refused():
    assert read_confirmed('Sure: {"confirmed": [1, 3]} as asked') == {1, 3}
    assert read_confirmed("1: yes\n2: no\n- 3: Right") == {1, 3}
    assert read_confirmed('{"confirmed": []}') == set()
    assert read_texts('```json\n{"texts": ["A.", " B. ", ""]}\n```') == ["A.", "B."]
    for read in (read_confirmed, read_texts):
        with pytest.raises(ValueError, match="I'm sorry"):
            read("I'm sorry, I cannot do that.")
