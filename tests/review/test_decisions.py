"""What a reviewer says becomes a row that says no more than that."""

import pytest
from review_rows import row_of

from metaie_spacy.data.known import known_of
from metaie_spacy.data.known_links import known_links
from metaie_spacy.data.rows import check_row, places
from metaie_spacy.review.decisions import Decision, answered, draft, skipped, undone
from metaie_spacy.review.entries import as_row, entry_of_rows

TEXT = "Ada met Ben in Rome on Monday."
ADA, BEN, ROME, MONDAY = (0, 3), (8, 11), (15, 19), (23, 29)


def entry_of(row):
    return entry_of_rows(0, [as_row(row)])


TIME = "2026-01-01T00:00:00.000+00:00"


def decided(row, *spans, complete=(), links=()):
    decision = Decision(
        spans=[dict(zip(("start", "end", "label", "state", "was"), span)) for span in spans],
        complete=list(complete),
        links=[dict(zip(("head", "label", "tail", "state"), link)) for link in links],
    )
    answer = answered(entry_of(row), decision, "ada", TIME, 3.21)
    check_row(answer)
    return answer


def test_an_accepted_span_says_nothing_of_the_rest_of_its_text():
    answer = decided(row_of(TEXT, ("Ada", "person")), (*ADA, "person", "yes"))
    known = known_of(answer)
    assert places(answer) == [(*ADA, "person")] and answer["asked"] == ["person"] and answer["absent"] == []
    assert (
        known.decides((*ADA, "person")) and not known.decides((*BEN, "person")) and not known.decides((*ROME, "city"))
    )


def test_a_rejected_span_is_wrong_at_its_place_alone():
    known = known_of(decided(row_of(TEXT, ("Rome", "person")), (*ROME, "person", "no")))
    assert known.decides((*ROME, "person")) and not known.spans
    assert not known.decides((*ADA, "person"))


def test_a_span_that_was_not_decided_is_unsure_and_its_label_not_asked():
    answer = decided(row_of(TEXT, ("Ada", "person")), (*ADA, "person", "open"))
    assert answer["spans"] == [] and answer["asked"] == []
    assert answer["unsure"] == [{"start": 0, "end": 3, "label": "person"}]


def test_a_complete_label_is_known_everywhere_and_absent_without_spans():
    answer = decided(row_of(TEXT, ("Ada", "person")), (*ADA, "person", "yes"), complete=["person", "drug"])
    known = known_of(answer)
    assert answer["absent"] == ["drug"] and "unsure" not in answer
    assert known.decides((*BEN, "person")) and known.decides((*ROME, "drug")) and not known.decides((*ROME, "city"))


def test_a_complete_label_leaves_open_what_was_not_decided():
    row = row_of(TEXT, ("Ada", "person"), ("Ben", "person"))
    answer = decided(row, (*ADA, "person", "yes"), (*BEN, "person", "open"), complete=["person"])
    known = known_of(answer)
    assert not known.decides((*BEN, "person")) and known.decides((*ROME, "person")) and answer["absent"] == []


def test_moved_borders_and_another_label_reject_what_was_proposed():
    row = row_of(TEXT, ("Ada met", "person"), ("Rome", "person"))
    answer = decided(row, (*ADA, "person", "yes", (0, 7, "person")), (*ROME, "city", "yes", (*ROME, "person")))
    known = known_of(answer)
    assert places(answer) == [(*ADA, "person"), (*ROME, "city")] and answer["answer"] == "edit"
    assert known.decides((0, 7, "person")) and known.decides((*ROME, "person")) and not known.decides((*BEN, "person"))


def test_the_kind_of_an_answer_tells_whether_the_proposal_stood():
    row = row_of(TEXT, ("Ada", "person"))
    assert decided(row, (*ADA, "person", "yes"))["answer"] == "accept"
    assert decided(row, (*ADA, "person", "no"))["answer"] == "reject"
    assert decided(row, (*ADA, "person", "yes"), (*ROME, "city", "yes"))["answer"] == "edit"


def test_an_answer_names_who_gave_it_and_keeps_where_the_text_is_from():
    answer = decided(
        row_of(TEXT, ("Ada", "person"), id="7", source="news", teacher="gpt", meta={"doc": "d"}),
        (*ADA, "person", "yes"),
    )
    assert {"teacher": "human", "reviewer": "ada", "time": TIME, "seconds": 3.2}.items() <= answer.items()
    assert {"id": "7", "source": "news", "meta": {"doc": "d"}, "proposed_by": "gpt"}.items() <= answer.items()


LINKS = [
    {"head": [*ADA], "label": "met", "tails": [[*BEN]]},
    {"head": [*ADA], "label": "when", "tails": [[*MONDAY], [*ROME]]},
]


def test_links_are_kept_for_heads_all_of_whose_links_were_decided():
    row = row_of(TEXT, links=LINKS)
    links = [(ADA, "met", BEN, "open"), (ADA, "when", MONDAY, "yes"), (ADA, "when", ROME, "no")]
    answer = decided(row, links=[(list(h), name, list(t), state) for h, name, t, state in links])
    assert answer["links"] == [{"head": [*ADA], "label": "when", "tails": [[*MONDAY]]}]
    assert known_links(answer).decides((ADA, ROME, "when")) and not known_links(answer).decides((ADA, BEN, "met"))


def test_rejected_links_do_not_say_that_their_question_has_no_answer_but_a_reviewer_can():
    row = row_of(TEXT, links=LINKS[:1])
    rejected = ([*ADA], "met", [*BEN], "no")
    assert "links" not in decided(row, links=[rejected])
    assert decided(row, links=[rejected, ([*ADA], "met", None, "yes")])["links"] == [
        {"head": [*ADA], "label": "met", "tails": []}
    ]


@pytest.mark.parametrize(
    "span", [(0, 400, "person", "yes"), (3, 3, "person", "yes"), (0, 3, " ", "yes"), (5, 99, "person", "no")]
)
def test_places_outside_the_text_and_empty_labels_are_refused(span):
    with pytest.raises(ValueError, match="outside its text|label"):
        decided(row_of(TEXT), span)


def test_an_answer_comes_back_as_it_was_given():
    row = row_of(TEXT, ("Ada met", "person"), ("Ben", "person"), ("Rome", "city"), links=LINKS[:1])
    answer = decided(
        row, (*ADA, "person", "yes", (0, 7, "person")), (*BEN, "person", "no"), (*ROME, "city", "open"), (*MONDAY, "day", "yes"),
        complete=["day", "drug"], links=[([*ADA], "met", [*BEN], "yes")],
    )  # fmt: skip
    shown = draft(entry_of(row), answer)
    states = {(span["start"], span["end"], span["label"]): span["state"] for span in shown["spans"]}
    assert states == {
        (0, 7, "person"): "no",
        (*ADA, "person"): "yes",
        (*BEN, "person"): "no",
        (*ROME, "city"): "open",
        (*MONDAY, "day"): "yes",
    }
    assert shown["complete"] == ["day", "drug"] and [link["state"] for link in shown["links"]] == ["yes"]
    assert {span["state"] for span in draft(entry_of(row), None)["spans"]} == {"open"}


def test_skipped_and_undone_lines_are_rows_that_ask_nothing():
    row = row_of(TEXT, ("Ada", "person"), id="7")
    for line in (skipped(entry_of(row), "unclear", "ada", TIME), undone({**row, "reviewer": "ada"}, TIME)):
        check_row(line)
        assert line["spans"] == line["asked"] == [] and line["reviewer"] == "ada" and line["id"] == "7"
