"""Who gets which row."""

import pytest
from review_rows import Clock, people, row_of, write_rows

from metaie_spacy.review.decisions import Decision
from metaie_spacy.review.entries import read_entries
from metaie_spacy.review.queue import LEASE, Filters

ACCEPT = Decision()


def take_all(review, *pairs, decision=ACCEPT):
    """Reviewers with their browsers take turns until nobody gets a row. RETURNS (dict): reviewer -> numbers."""
    taken, going = {name: [] for name, _ in pairs}, list(pairs)
    while going:
        for pair in list(going):
            entry = review.queue.next(*pair)
            if entry is None:
                going.remove(pair)
            else:
                taken[pair[0]].append(entry.number)
                review.save(pair[0], entry.number, decision, "", 1.0)
    return taken


def test_no_two_browsers_have_one_row_open(review_of):
    queue = review_of(people(3), "ada", "ben").queue
    pairs = [("ada", "1"), ("ada", "2"), ("ben", "3"), ("ben", "4")]
    got = [entry and entry.number for entry in (queue.next(*pair) for pair in pairs)]
    assert sorted(got[:3]) == [0, 1, 2] and got[3] is None
    assert queue.progress("ben")["open"] == {"ada": 2}


def test_every_row_is_answered_once_by_two_people(review_of):
    review = review_of(people(20), "ada", "ben")
    taken = take_all(review, ("ada", "1"), ("ben", "2"))
    assert sorted(taken["ada"] + taken["ben"]) == list(range(20)) and len(taken["ada"]) == len(taken["ben"]) == 10
    assert review.queue.progress("ada") == {
        "total": 20, "done": 20, "left": 0, "own": 10, "skipped": 0, "by": {"ada": 10, "ben": 10}, "open": {},
    }  # fmt: skip


def test_a_share_of_the_rows_is_answered_by_both(review_of):
    review = review_of(people(200), "ada", "ben", overlap=0.25)
    taken = take_all(review, ("ada", "1"), ("ben", "2"))
    both = set(taken["ada"]) & set(taken["ben"])
    assert {n for n, wanted in enumerate(review.queue.wanted) if wanted == 2} == both and 30 <= len(both) <= 70
    assert set(taken["ada"]) | set(taken["ben"]) == set(range(200))


def test_a_third_reviewer_gets_none_of_the_rows_that_two_have(review_of):
    review = review_of(people(4), "ada", "ben", "cy", overlap=1.0)
    taken = take_all(review, ("ada", "1"), ("ben", "2"), ("cy", "3"))
    assert sum(map(len, taken.values())) == 8


def test_a_row_that_was_left_open_goes_to_others_when_its_lease_ends(review_of):
    clock = Clock()
    queue = review_of(people(1), "ada", "ben", now=clock).queue
    assert queue.next("ada", "1") and queue.next("ben", "2") is None
    clock.seconds = LEASE - 1
    assert queue.keep(0, "ada", "1")
    clock.seconds = LEASE + 1
    assert queue.next("ben", "2") is None
    clock.seconds = 2 * LEASE
    assert queue.next("ben", "2").number == 0
    assert not queue.keep(0, "ada", "1")


def test_an_answer_after_a_lease_has_ended_is_kept(review_of):
    clock = Clock()
    review = review_of(people(1), "ada", "ben", now=clock)
    review.queue.next("ada", "1")
    clock.seconds = LEASE + 1
    review.queue.next("ben", "2")
    for name in ("ada", "ben"):
        review.save(name, 0, ACCEPT, "", None)
    assert set(review.answers.standing[review.queue.entries[0].row["text"]]) == {"ada", "ben"}


def test_a_skipped_row_goes_to_another_reviewer_and_not_back(review_of):
    review = review_of(people(1), "ada", "ben")
    review.queue.next("ada", "1")
    review.save("ada", 0, None, "unclear", None)
    assert review.queue.next("ada", "1") is None and review.queue.next("ben", "2").number == 0
    progress = review.queue.progress("ada")
    assert progress["skipped"] == 1 and progress["done"] == progress["left"] == 0
    assert review.queue.next("ada", "1", Filters(state="skipped")) is None  # while ben has it open
    review.queue.release("2")
    assert review.queue.next("ada", "1", Filters(state="skipped")).number == 0


def test_own_answers_come_one_after_the_other(review_of):
    review = review_of(people(3), "ada")
    take_all(review, ("ada", "1"))
    shown = [review.queue.next("ada", "1", Filters(state="answered"), after).number for after in (None, 0, 1, 2)]
    assert shown == [0, 1, 2, 0]


def test_filters_take_rows_by_label_slice_teacher_and_reason(review_of):
    rows = [
        row_of("Ada left.", ("Ada", "person"), teacher="gpt", source="news"),
        row_of("Ada came, and went.", ("Ada came,", "act"), teacher="claude", source="mail", absent=["drug"]),
    ]
    review = review_of(rows, "ada")

    def shown(**filters):
        filters = Filters(**filters)
        return [entry.number for entry in review.queue.entries if filters.take(entry)]

    assert shown(label="person") == [0] and shown(label="drug") == [1]
    assert shown(slice="source: news") == [0] and shown(teacher="claude") == [1] and shown(why="bad border") == [1]
    assert shown(label="person", teacher="claude") == [] and shown() == [0, 1]
    assert review.choices["teacher"] == [["claude", 1], ["gpt", 1]] and review.choices["why"] == [["bad border", 1]]
    assert review.queue.next("ada", "1", Filters(teacher="nobody")) is None


def test_the_most_doubtful_rows_come_first(review_of):
    sure = [row_of(f"Ada met Ben {n}.", ("Ada", "person")) for n in range(3)]
    doubtful = [
        row_of("Zoe Lovelace, left.", ("Lovelace,", "person"), id="border"),
        row_of("Cy met Dee.", ("Cy", "person"), id="score"),
    ]
    doubtful[1]["spans"][0]["score"] = 0.2
    review = review_of([*sure, *doubtful], "ada")
    assert [review.queue.entries[n].row["id"] for n in review.queue.order[:2]] == ["score", "border"]
    assert review.queue.order[2:] == [0, 1, 2]
    assert review.queue.entries[3].reasons[0]["why"] == "bad border"


def test_rows_of_one_text_by_several_teachers_are_one_entry_that_tells_who_gave_what(review_of):
    rows = [
        row_of("Ada met Ben.", ("Ada", "person"), id="1", teacher="gpt"),
        row_of("Ada met Ben.", ("Ada", "person"), ("Ben", "person"), id="1", teacher="claude"),
    ]
    review = review_of(rows, "ada")
    (entry,) = review.queue.entries
    assert entry.by == {(8, 11, "person"): ["claude"]} and entry.teachers == ("gpt", "claude")
    assert [reason["why"] for reason in entry.reasons] == []  # F of 2 / 3 is no disagreement by more than half


def test_predictions_with_links_by_number_and_bare_texts_are_read(tmp_path):
    spans = [
        {"start": 0, "end": 3, "text": "Ada", "label": "person", "score": 0.9},
        {"start": 8, "end": 12, "text": "Acme", "label": "works_for", "score": 0.5, "answer": True},
    ]
    links = [{"head": 0, "label": "works_for", "tail": 1, "score": 0.4}]
    rows = [{"text": "Ada and Acme.", "spans": spans, "links": links}, {"text": "Bare."}]
    entries, _, _ = read_entries([write_rows(tmp_path / "rows.jsonl", rows)])
    assert [span["label"] for span in entries[0].row["spans"]] == ["person"]
    assert entries[0].row["links"] == [{"head": [0, 3], "label": "works_for", "tails": [[8, 12]]}]
    assert entries[1].row["spans"] == [] and entries[1].row["id"]


def test_broken_lines_are_told_and_left_out_and_a_file_of_them_is_refused(tmp_path, caplog):
    good, bad = people(1)[0], {"text": "Ada.", "spans": [{"start": 0, "end": 99, "label": "person"}]}
    entries, _, _ = read_entries([write_rows(tmp_path / "rows.jsonl", [bad, good])])
    assert len(entries) == 1 and "line 1 is left out: the span 0:99 ('person') lies outside" in caplog.text
    with pytest.raises(ValueError, match="there is no row to review. A line must be"):
        read_entries([write_rows(tmp_path / "rows.jsonl", [bad, {"failed": "x", "text": "y"}])])
    with pytest.raises(ValueError, match="There is no file"):
        read_entries([tmp_path / "none.jsonl"])


@pytest.mark.parametrize("link", [{"label": ["x"]}, {"label": None}, {"label": "x", "start": [0]}])
def test_a_prediction_with_a_link_that_is_none_is_left_out_alone(tmp_path, caplog, link):
    span = {"start": link.pop("start", 0), "end": 3, "label": "person"}
    bad = {
        "text": "Ada.",
        "spans": [span, {"start": 0, "end": 3, "label": "x"}],
        "links": [{"head": 0, "tail": 1, **link}],
    }
    entries, _, _ = read_entries([write_rows(tmp_path / "rows.jsonl", [bad, {"text": "Bo."}])])
    assert [entry.row["text"] for entry in entries] == ["Bo."] and "line 1 is left out" in caplog.text
