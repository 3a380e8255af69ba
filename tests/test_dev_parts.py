"""The rows by which a model is chosen (benchmarks/quality/dev.py)."""

import json

import pytest

from benchmarks.lib.dev_parts import N_FOREIGN, SIZE, joined_rows, split_corpus, split_wordings, stems, with_foreign
from benchmarks.quality.dev import split
from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import asked_of, check_row

FILES = ("schema", "schema_written", "jobs_written", "teacher", "written", "links", "links_written")


def row(name, number):
    text = f"Ada {name} met Bob {number}."
    made = {"id": f"{name}{number}", "text": text, "absent": [f"rare{name.replace('_', '')}{number}"]}
    made["spans"] = [{"start": 0, "end": 3, "label": "person"}]
    if name.startswith("links"):
        at = text.index("Bob")
        made["links"] = [{"head": [0, 3], "label": "met", "tails": [[at, at + 3]]}]
    return made if name in ("teacher", "written") else made | {"set": f"S{number % 20:02}"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for name in FILES:
        lines = [json.dumps(row(name, number)) for number in range(200)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    words = [
        {"label": "person", "wordings": ["PER", "people"], "definition": "Humans"},
        {"label": "city", "wordings": ["town"]},
    ]
    (folder / "wordings.jsonl").write_text("\n".join(map(json.dumps, words)) + "\n")
    return folder


def test_no_set_job_or_document_is_on_both_sides(corpus):
    parts = split_corpus(corpus)
    for kinds, key in ((("schema",), "set"), (("jobs",), "set"), (("links",), "set"), (("free",), "id")):
        held = {one[key] for kind in kinds for one in parts.dev[kind]}
        files = [
            name
            for name in FILES
            if name.startswith(kinds[0]) or (kinds == ("free",) and name in ("teacher", "written"))
        ]
        kept = {one[key] for name in files for one in parts.train[name]}
        assert held and kept and not held & kept
    assert sum(map(len, parts.train.values())) + sum(map(len, parts.dev.values())) == 200 * len(FILES)


def test_one_wording_of_a_label_with_others_is_never_trained_on(corpus):
    train, held = split_wordings(corpus / "wordings.jsonl")
    assert held.keys() == {"person"}
    assert [{*entry["wordings"], held.get(entry["label"])} - {None} for entry in train] == [{"PER", "people"}, {"town"}]
    assert held["person"] not in train[0]["wordings"]


def test_foreign_labels_are_of_other_documents_and_share_no_word(corpus):
    rows = split_corpus(corpus).dev["free"]
    for before, after in zip(rows, with_foreign(rows)):
        foreign = after["absent"][len(before["absent"]) :]
        assert 0 < len(foreign) <= N_FOREIGN
        assert not {word for label in foreign for word in stems(label)} & {
            word for own in asked_of(before) for word in stems(own)
        }
    assert with_foreign(rows) == with_foreign(rows)


def test_joined_rows_hold_their_spans_and_leave_open_what_was_not_asked(corpus):
    parts = split_corpus(corpus)
    rows = parts.dev["schema"] + parts.dev["free"]
    for made in joined_rows(rows)[:20]:
        check_row(made)
        assert [made["text"][s["start"] : s["end"]] for s in made["spans"]] == ["Ada"] * SIZE
        known, label = known_of(made), made["absent"][0]
        assert known.decides((0, 3, "person"))
        decided = [known.decides((s["start"], s["end"], label)) for s in made["spans"]]
        assert decided.count(True) == 1


def test_split_writes_what_is_trained_on_and_a_part_of_what_is_held_out(corpus, tmp_path):
    split(corpus, tmp_path / "data")
    parts = split_corpus(corpus)
    for name in FILES:
        lines = (tmp_path / "data" / f"{name}.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == [one["id"] for one in parts.train[name]]
    watched = {json.loads(line)["id"] for line in (tmp_path / "data/dev.jsonl").read_text().splitlines()}
    assert watched and watched <= {one["id"] for own in parts.dev.values() for one in own}
