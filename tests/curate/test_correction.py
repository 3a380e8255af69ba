"""Copies that correct a training split: other names, and what is rare."""

from collections import Counter

import pytest
from helpers import CORPUS
from planted import rows_of_all, write

from metaie_spacy.curate.correction import repeated, with_swapped_names
from metaie_spacy.curate.curate import curate
from metaie_spacy.curate.names import origin_of
from metaie_spacy.curate.settings import CurateSettings
from metaie_spacy.data.documents import document_of
from metaie_spacy.data.ledger import Sourced
from metaie_spacy.data.rows import check_row, read_rows


def items_of(rows):
    return [Sourced(row, "rows.jsonl", i) for i, row in enumerate(rows)]


def test_copies_name_people_of_all_origins_and_belong_to_the_documents_of_their_rows():
    rows = [
        row
        for row in rows_of_all(240)
        if "English" == origin_of(row["text"][row["spans"][0]["start"] : row["spans"][0]["end"]])
    ]
    copies = with_swapped_names(items_of(rows * 3), 1.0)
    origins = {origin_of(one.row["text"][one.row["spans"][0]["start"] : one.row["spans"][0]["end"]]) for one in copies}
    assert len(copies) == 3 * len(rows) and len(origins) > 10
    assert {document_of(one.row) for one in copies} == {document_of(row) for row in rows}
    for one in copies:
        check_row(one.row)


def test_a_share_of_the_rows_is_copied_and_rows_without_names_are_not():
    rows = list(read_rows(CORPUS))[:400]
    all_of_them = with_swapped_names(items_of(rows), 1.0)
    half = with_swapped_names(items_of(rows), 0.5)
    assert 0 < len(half) < len(all_of_them) < len(rows)
    assert all("person" in str(one.row["spans"]) for one in all_of_them)


def test_rows_of_rare_labels_and_domains_are_repeated_and_frequent_ones_are_not():
    rows = [
        {"id": str(i), "text": f"a {i}", "spans": [{"start": 0, "end": 1, "label": "often"}], "source": "news"}
        for i in range(90)
    ]
    rare = [
        {"id": f"r{i}", "text": f"b {i}", "spans": [{"start": 0, "end": 1, "label": "rare"}], "source": "news"}
        for i in range(10)
    ]
    rare_domain = [{**rows[i], "id": f"d{i}", "text": f"c {i}", "source": "mail"} for i in range(10)]
    counts = Counter(one.row["id"][0] for one in repeated(items_of([*rows, *rare, *rare_domain]), 0.5))
    assert counts["r"] >= 10 and counts["d"] >= 10 and set(counts) == {"r", "d"}
    assert repeated(items_of(rows), 1.0) == []


def test_curate_adds_copies_to_train_alone_and_says_how_many(tmp_path):
    path = write(tmp_path / "rows.jsonl", rows_of_all(120))
    plain = curate([path], tmp_path / "plain", CurateSettings(near_duplicates=0, linked=0))
    swapped = curate(
        [path], tmp_path / "swapped", CurateSettings(near_duplicates=0, linked=0, swap_names=0.5, balance=1.0)
    )
    assert plain["added"] == {"swapped names": 0, "repeated": 0} and swapped["added"]["swapped names"] > 10
    extra = swapped["splits"]["train"]["rows"] - plain["splits"]["train"]["rows"]
    assert extra == sum(swapped["added"].values())
    for name in ("dev.jsonl", "test.jsonl"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "swapped" / name).read_bytes()
    assert swapped["splits"]["train"]["documents"] == plain["splits"]["train"]["documents"]


def test_shares_out_of_range_are_refused():
    with pytest.raises(ValueError, match="swap_names is 2"):
        CurateSettings(swap_names=2)
