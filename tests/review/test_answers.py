"""The answers file: nothing is lost, nothing is changed, and what stands can be told."""

import errno
import json
import os

import pytest
from review_rows import people, read_rows, row_of, write_rows

from metaie_spacy.curate.curate import curate
from metaie_spacy.curate.reviews import united
from metaie_spacy.curate.settings import CurateSettings
from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import check_row, places
from metaie_spacy.data.rows import read_rows as read_annotations
from metaie_spacy.review.agreement import reviewers_agreement
from metaie_spacy.review.answers import Answers, export
from metaie_spacy.review.decisions import Decision
from metaie_spacy.serving.limits import Refusal


def accept(review, name, number=0, *, state="yes", complete=("person", "city")):
    spans = review.queue.entries[number].row["spans"]
    plain = [{key: span[key] for key in ("start", "end", "label")} | {"state": state} for span in spans]
    review.save(name, number, Decision(spans=plain, complete=list(complete)), "", 1.0)


def lines_of(review):
    return read_rows(review.answers.path)


def test_every_line_is_an_annotation_row_and_the_last_one_of_a_reviewer_stands(review_of):
    review = review_of(people(2), "ada")
    accept(review, "ada", 0)
    accept(review, "ada", 0, state="no")
    review.save("ada", 1, None, "unclear", None)
    for line in lines_of(review):
        check_row(line)
    assert [line["answer"] for line in lines_of(review)] == ["accept", "reject", "skip"]
    assert review.answers.standing["Person0 Lovelace lives in City0."]["ada"]["answer"] == "reject"
    assert lines_of(review)[2]["reason"] == "unclear"


def test_undo_appends_a_line_and_opens_the_row_as_it_was_answered(review_of):
    review = review_of(people(2), "ada", "ben")
    accept(review, "ada", 0)
    accept(review, "ben", 1)
    before = review.answers.path.read_bytes()
    shown = review.undo("ada", "1")
    assert review.answers.path.read_bytes().startswith(before) and lines_of(review)[-1]["answer"] == "undo"
    assert shown["entry"]["number"] == 0 and {span["state"] for span in shown["entry"]["spans"]} == {"yes"}
    assert shown["entry"]["complete"] == ["person", "city"]
    assert review.queue.next("ben", "2") is None  # ada has it open
    with pytest.raises(Refusal, match="no answer of yours"):
        review.undo("ada", "1")


def test_answers_are_there_after_a_restart_and_a_cut_line_is_gone(review_of, tmp_path, caplog):
    review = review_of(people(3), "ada")
    accept(review, "ada", 0)
    accept(review, "ada", 1)
    review.answers.close()
    whole = review.answers.path.read_bytes()
    review.answers.path.write_bytes(whole + b'{"id": "r2", "text": "Pers')
    again = Answers(review.answers.path)
    assert len(again.standing) == 2 and "ended in a cut line of 26 bytes" in caplog.text
    again.add(lines_of(review)[0])
    assert review.answers.path.read_bytes() == whole + whole.splitlines(keepends=True)[0]
    again.close()
    review.answers._file = os.open(tmp_path / "closed", os.O_CREAT | os.O_RDWR)  # what the fixture closes


def test_a_full_disk_is_told_and_leaves_no_half_of_a_line(review_of, monkeypatch):
    review = review_of(people(2), "ada")
    accept(review, "ada", 0)
    before = review.answers.path.read_bytes()
    real = os.write

    def full(file, line):
        real(file, line[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Refusal, match="Not saved in .*No space left"):
        accept(review, "ada", 1)
    monkeypatch.undo()
    assert review.answers.path.read_bytes() == before
    accept(review, "ada", 1)
    assert len(lines_of(review)) == 2


def test_two_reviews_do_not_write_one_file(review_of):
    pytest.importorskip("fcntl")
    review = review_of(people(1), "ada")
    with pytest.raises(ValueError, match="Another review has .* open. Several people share one review"):
        Answers(review.answers.path)


@pytest.mark.parametrize("cut", [1, 3, 20, -30, -1])
def test_a_last_line_is_kept_if_it_is_whole_and_cut_off_if_it_is_not(review_of, tmp_path, cut):
    review = review_of(people(2), "ada")
    accept(review, "ada", 0)
    whole = review.answers.path.read_bytes()
    path = tmp_path / "other.jsonl"
    path.write_bytes(whole + whole.replace(b"Lovelace", "Lövelace".encode())[:cut])
    book = Answers(path)
    book.close()
    assert len(path.read_bytes().splitlines()) == len(book.standing) == (2 if cut == -1 else 1)
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "no answer"}\n',
        "no JSON\n",
        "no JSON, no end",
        '{"text": "x"',
        '{"text": "x", "spans": [], "reviewer": "a", "answer": "edit"}\n',
    ],
)
def test_a_file_of_something_else_is_not_written_to(tmp_path, content):
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match="line 1 is no answer of a review"):
        Answers(path)
    assert path.read_text() == content


def test_export_writes_one_row_a_text_of_the_answers_that_stand(review_of, tmp_path):
    review = review_of(people(4), "ada")
    accept(review, "ada", 0, state="no")
    accept(review, "ada", 0)
    accept(review, "ada", 1)
    review.save("ada", 2, None, "unclear", None)
    review.undo("ada", "1")
    result = export(review.answers.path, tmp_path / "rows.jsonl")
    assert result == {"rows": 2, "left_out": {"answered again": 2, "answer undone": 1}}
    rows = list(read_annotations(tmp_path / "rows.jsonl"))
    assert [row["id"] for row in rows] == ["r0", "r1"] and all(row["teacher"] == "human" for row in rows)
    assert len(places(rows[0])) == 2
    with pytest.raises(ValueError, match="would replace"):
        export(review.answers.path, review.answers.path)


def test_an_answer_that_decides_nothing_does_not_stand(review_of, tmp_path):
    review = review_of([{"text": "Ada left."}, {"text": "Ben left."}], "ada")
    review.save("ada", 0, Decision(), "", 1.0)
    review.save("ada", 1, Decision(complete=["drug"]), "", 1.0)
    assert export(review.answers.path, tmp_path / "rows.jsonl") == {"rows": 1, "left_out": {"nothing was decided": 1}}
    assert review.queue.progress("ada")["own"] == 2


def test_curate_takes_the_answers_file_and_every_line_is_accounted_for(review_of, tmp_path):
    pytest.importorskip("datasketch")
    corpus = people(4)
    review = review_of(corpus, "ada", "ben")
    accept(review, "ada", 0, state="no")
    accept(review, "ada", 0, complete=["person"])
    accept(review, "ben", 1, state="no")
    review.save("ben", 2, None, "unclear", None)
    files = [write_rows(tmp_path / "corpus.jsonl", corpus), review.answers.path]
    report = curate(files, tmp_path / "out", CurateSettings(near_duplicates=0, linked=0, dev_share=0, test_share=0))
    rows = {row["id"]: row for row in read_rows(tmp_path / "out" / "train.jsonl")}
    assert report["rows"]["in"] == 8 and report["rows"]["out"] == 4 and sum(report["rows"]["dropped"].values()) == 4
    assert report["rows"]["dropped"]["answered again"] == report["rows"]["dropped"]["skipped by its reviewer"] == 1
    assert rows["r0"]["reviewer"] == "ada" and not known_of(rows["r0"]).decides((0, 3, "city"))
    assert rows["r1"]["spans"] == [] and rows["r1"]["absent"] == ["person", "city"]
    assert len(rows["r2"]["spans"]) == 2 and "reviewer" not in rows["r2"]  # nobody answered it


def test_what_two_reviewers_dispute_is_unsure_and_what_one_leaves_open_is_the_others(review_of):
    text = "Ada met Ben in Rome."
    review = review_of(
        [row_of(text, ("Ada", "person"), ("Ben", "person"), ("Rome", "city"))], "ada", "ben", overlap=1.0
    )

    def answer(name, *states, complete=()):
        spans = [
            {key: span[key] for key in ("start", "end", "label")} | {"state": state}
            for span, state in zip(review.queue.entries[0].row["spans"], states)
        ]
        review.save(name, 0, Decision(spans=spans, complete=list(complete)), "", None)
        return review.answers.standing[text][name]

    row = united([answer("ada", "yes", "no", "open", complete=["person"]), answer("ben", "yes", "yes", "yes")])
    known = known_of(row)
    check_row(row)
    assert places(row) == [(0, 3, "person"), (15, 19, "city")] and row["reviewer"] == "ada+ben"
    assert not known.decides((8, 11, "person"))  # disputed
    assert known.decides((15, 19, "person"))  # ada says that people are complete
    assert not known.decides((0, 3, "city"))  # nobody says that cities are
    assert 0 < row["agreement"] < 1


def test_agreement_of_two_reviewers_counts_what_both_decided(review_of):
    review = review_of(people(12), "ada", "ben", overlap=1.0)
    for number in range(12):
        accept(review, "ada", number)
        accept(review, "ben", number, state="no" if number < 3 else "yes")
    found = reviewers_agreement(review.answers)
    (pair,) = found["pairs"]
    assert found["texts"] == 12 and pair["teachers"] == ["ada", "ben"] and pair["texts"] == 12
    assert pair["f"] == pytest.approx(2 * 18 / (2 * 18 + 6))
    assert {one["label"] for one in found["labels"]} == {"person", "city"} and all(
        0 < one["alpha"] < 1 for one in found["labels"]
    )
    assert [value for _, value in found["differ"]] == [1.0, 1.0, 1.0] and found["differ"][0][0] == "r0"


def test_agreement_without_common_texts_is_empty(review_of):
    review = review_of(people(2), "ada", "ben")
    accept(review, "ada", 0)
    accept(review, "ben", 1)
    assert reviewers_agreement(review.answers) == {"texts": 0, "pairs": [], "labels": [], "differ": []}


def test_the_review_command_exports_and_refuses_bad_options_with_one_line(tmp_path, monkeypatch, capsys):
    import sys

    from metaie_spacy.cli.app import main

    rows = write_rows(tmp_path / "rows.jsonl", people(1))

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["metaie", "review", str(rows), *map(str, options)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr()

    for options, message in {
        ("--overlap", "0.5"): "--overlap gives rows to two people: name them",
        ("--overlap", "2"): "must be a share from 0 to 1",
        ("--reviewer", "a+b"): "give a name without blanks",
        ("--reviewer", "ada", "--reviewer", "ada"): "gives a name twice",
        ("--answers", rows): "would replace",
        ("--export", tmp_path / "out.jsonl"): "There is no answers file",
        ("--lang", "zz9"): "There is no blank pipeline",
    }.items():
        code, said = run(*options)
        assert code == 1 and message in said.err and len(said.err.splitlines()) == 1, options
    line = {
        **people(1)[0],
        "asked": ["person", "city"],
        "teacher": "human",
        "answer": "accept",
        "reviewer": "ada",
        "time": "2026",
    }
    (tmp_path / "rows.answers.jsonl").write_text(json.dumps(line) + "\n")
    code, said = run("--export", tmp_path / "out.jsonl")
    assert code == 0 and read_rows(tmp_path / "out.jsonl") == [line]
