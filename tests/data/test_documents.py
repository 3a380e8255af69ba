"""One identity of a document for all that splits or compares rows."""

import pytest

from metaie_spacy.curate.splits import split_rows
from metaie_spacy.data.documents import document_of, text_id
from metaie_spacy.data.items import rows_to_items, split_dev
from metaie_spacy.data.jsonl import write_jsonl
from metaie_spacy.data.ledger import Sourced
from metaie_spacy.data.passages import passages
from metaie_spacy.fewshot import hold_out
from metaie_spacy.measure.calibrate import Scored, split_documents
from metaie_spacy.teacher.rounds import unseen


def books(n=40, passages=6):
    """Passages with ids of their own; only `meta` says which book they are of."""
    spans = [{"start": 0, "end": 4, "label": "word"}]
    return [
        {"id": f"p{book * passages + i}", "text": f"Text {book} {i}", "spans": spans, "meta": {"doc": f"book {book}"}}
        for book in range(n)
        for i in range(passages)
    ]


def sides(rows, split):
    one, other = split(rows)
    assert one and other and len(one) + len(other) == len(rows)
    return set(one), set(other)


def by_distill(rows):
    items = rows_to_items(rows, lambda text: [(0, 4)], "test")
    book = {row["id"]: document_of(row) for row in rows}
    return [[book[item.id] for item in part] for part in split_dev(items, 0.3, 0)]


def by_calibrate(rows):
    halves = split_documents([Scored(document_of(row), set(), [], []) for row in rows], 0)
    return [[text.document for text in half] for half in halves]


def by_fewshot(rows):
    return [[document_of(row) for row in part] for part in hold_out(rows, 0.3, 0)]


def by_curate(rows):
    parts, _ = split_rows([Sourced(row, "f", 1) for row in rows], 0.2, 0.2, linked=0)
    return [[document_of(item.row) for item in part] for part in (parts["train"], [*parts["dev"], *parts["test"]])]


@pytest.mark.parametrize("split", [by_distill, by_calibrate, by_fewshot, by_curate])
def test_no_split_puts_a_book_on_both_sides(split):
    one, other = sides(books(), split)
    assert not one & other and {f"book {i}" for i in range(40)} == one | other


def test_a_document_is_named_by_meta_else_by_the_id():
    assert document_of({"id": "a#3"}) == document_of({"id": "b", "meta": {"doc": "a"}}) == "a"
    assert document_of({"id": 7, "meta": None}) == "7" and document_of({"id": "x#1", "meta": {"doc": 7}}) == "7"


def test_a_book_of_which_passages_are_annotated_is_not_chosen_again(tmp_path):
    write_jsonl(tmp_path / "done.jsonl", books(2))
    pool = [{"id": "book 1", "text": "All of it."}, {"id": "book 9", "text": "Another."}]
    assert [row["id"] for row in unseen(pool, [tmp_path / "done.jsonl"])] == ["book 9"]


def test_an_id_made_of_the_text_is_the_same_wherever_it_is_made():
    (passage,) = passages([(1, {"text": "Ada"})], lambda text: [(0, 3)])
    assert passage["id"] == text_id("Ada")
