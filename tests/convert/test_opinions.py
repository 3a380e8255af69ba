"""Several answers on one text become one row; what they dispute is open, not negative."""

import json
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.convert.convert import convert
from metaie_spacy.convert.opinions import OPINION, RULES, Opinion, united
from metaie_spacy.convert.records import Tally
from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import asked_of, places, spans_at

TEXT = "Ola Brandt of Norcom met Kim Yates."
OLA, NORCOM, KIM = (0, 10, "PER"), (14, 20, "ORG"), (25, 34, "PER")


def answer(*spans, annotator="ana", complete=True, rejected=()):
    row = {"id": "1", "text": TEXT, "spans": spans_at(spans), "absent": [], "teacher": "human"}
    return row | {OPINION: Opinion(annotator, complete, frozenset(rejected))}


def one(rows, rule="unsure"):
    (row,) = united(rows, rule, Tally("file"))
    return row


def task(*spans, view="spans_manual", annotator="ana", answer="accept", text=TEXT):
    spans = spans_at(spans)
    row = {"text": text, "_view_id": view, "_annotator_id": annotator, "answer": answer, "spans": spans}
    return {name: value for name, value in row.items() if value is not None}


def converted(tmp_path, tasks, **options):
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(t) + "\n" for t in tasks))
    counts = convert(tmp_path / "tasks.jsonl", tmp_path / "rows.jsonl", from_format="prodigy", **options)
    return [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()], counts


def test_what_two_people_agree_on_is_known_and_the_rest_of_their_answers_is_open(tmp_path):
    (row,), counts = converted(tmp_path, [task(OLA, NORCOM), task(OLA, KIM, annotator="bo")])
    assert places(row) == [OLA] and row["teacher"] == "human"
    known = known_of(row)
    assert known.asked == {"PER", "ORG"} and not known.decides(NORCOM) and not known.decides(KIM)
    assert known.decides((21, 24, "PER")) and known.decides((25, 34, "ORG"))  # neither has it: negative
    assert counts["united"] == 1 and counts["spans_skipped"] == {"disputed": 2} and counts["spans"] == 1


@pytest.mark.parametrize(
    "rule, kept, open_",
    [("unsure", [OLA], [NORCOM, KIM]), ("vote", [OLA, KIM], []), ("first", [OLA, NORCOM], []), ("all", [OLA, NORCOM, KIM], [])],
)  # fmt: skip
def test_a_rule_decides_what_three_people_dispute(rule, kept, open_):
    row = one([answer(OLA, NORCOM), answer(OLA, KIM, annotator="bo"), answer(OLA, KIM, annotator="cy")], rule)
    assert places(row) == kept
    assert [(s["start"], s["end"], s["label"]) for s in row.get("unsure", [])] == open_
    assert "ORG" in asked_of(row) and ("ORG" in row["absent"]) == (rule == "vote")


def test_a_tie_of_votes_stays_open():
    row = one([answer(OLA), answer(annotator="bo")], "vote")
    assert places(row) == [] and not known_of(row).decides(OLA) and known_of(row).decides(KIM)


def test_accepted_suggestions_unite_and_rejected_ones_are_negative_at_their_place_only(tmp_path):
    tasks = [task(span, view="ner") for span in (OLA, KIM)] + [task((0, 10, "ORG"), view="ner", answer="reject")]
    (row,), counts = converted(tmp_path, tasks)
    known = known_of(row)
    assert places(row) == [OLA, KIM] and known.asked == {"PER", "ORG"}
    assert known.decides((0, 10, "ORG")) and not known.decides(NORCOM) and not known.decides((21, 24, "PER"))
    assert row["absent"] == [] and counts["united"] == 2 and counts["skipped"] == {}


@pytest.mark.parametrize("rule", RULES)
def test_a_suggestion_that_one_accepts_and_another_rejects_is_decided_by_the_rule(rule):
    rows = [answer(OLA, complete=False), answer(annotator="bo", complete=False, rejected=[OLA])]
    row = one(rows, rule)
    assert (OLA in places(row)) == (rule in ("first", "all")) == known_of(row).decides(OLA)
    assert not known_of(row).decides(KIM)


def test_tasks_without_a_view_are_suggestions_where_one_person_answers_several_of_a_text(tmp_path):
    (row,), _ = converted(tmp_path, [task(OLA, view=None), task(NORCOM, view=None)])
    assert places(row) == [OLA, NORCOM] and not known_of(row).decides(KIM)
    (row,), _ = converted(tmp_path, [task(OLA, view=None)])
    assert "unsure" not in row and known_of(row).decides(KIM)


def test_a_rejected_task_that_was_to_be_annotated_is_left_out(tmp_path):
    (row,), counts = converted(tmp_path, [task(OLA, answer="reject", text="Ola Brandt."), task(OLA)])
    assert row["text"] == TEXT and counts["skipped"] == {"reject": 1}


def test_tasks_that_nobody_answered_are_no_persons(tmp_path):
    rows, _ = converted(tmp_path, [task(OLA, answer=None), task(NORCOM, text=TEXT + "!")])
    assert [row["teacher"] for row in rows] == ["unknown", "human"]


SPOTS = [(s, e, label) for s, e in ((0, 3), (0, 10), (14, 20)) for label in ("PER", "ORG")]
ANSWERS = st.lists(
    st.tuples(st.frozensets(st.sampled_from(SPOTS)), st.booleans(), st.frozensets(st.sampled_from(SPOTS))),
    min_size=1,
    max_size=4,
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(ANSWERS, st.sampled_from(RULES))
def test_nothing_is_negative_that_somebody_gave_and_nobody_decided(given_, rule):
    """What is positive was given by someone; what is negative was given by none, or the rule overruled it."""
    rows = [
        answer(*sorted(spans), annotator=str(i), complete=complete, rejected=() if complete else rejected - spans)
        for i, (spans, complete, rejected) in enumerate(given_)
    ]
    row = one(rows, rule)
    known = known_of(row)
    gave = [{*spans} for spans, _, _ in given_]
    for spot in SPOTS:
        yes = sum(spot in own for own in gave)
        no = sum(spot not in own and (c or spot in r) for own, (_, c, r) in zip(gave, given_))
        positive = spot in places(row)
        negative = spot[2] in known.asked and not positive and known.decides(spot)
        assert not positive or yes
        assert not negative or no or not yes
        if rule == "unsure":
            assert positive == (yes > 0 and no == 0) and (not negative or yes == 0)
        if rule == "vote":
            assert positive == (yes > no) and (not negative or no > yes or not yes)
        around = {a for own, (_, _, r) in zip(gave, given_) for a in {*own, *r} if a[2] == spot[2]}
        if not yes and not no and not any(a[0] < spot[1] and spot[0] < a[1] for a in around):
            assert not negative, "nobody was asked"


@pytest.mark.parametrize("first, second", product(("human", "unknown"), repeat=2))
def test_rows_of_unknown_makers_outrank_nobody(tmp_path, first, second):
    from metaie_spacy.curate.curate import curate
    from metaie_spacy.curate.settings import CurateSettings

    for name, teacher in (("a", first), ("b", second)):
        row = {"id": name, "text": TEXT, "spans": spans_at([OLA if name == "a" else KIM]), "teacher": teacher}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    curate([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "out", CurateSettings(dev_share=0, test_share=0))
    (kept,) = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert json.loads(kept)["id"] == ("b" if (first, second) == ("unknown", "human") else "a")
