"""Other wordings of labels: reading them, and which labels may mean the same."""

import json

import pytest

from metaie_spacy.data.wordings import read_wordings, synonyms


def write(path, *entries):
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in entries), encoding="utf8")
    return path


def test_wordings_and_the_definition_are_one_list(tmp_path):
    path = write(tmp_path / "w.jsonl", {"label": "Person", "wordings": ["PER", "people"], "definition": "Humans"})
    assert read_wordings(path) == {"person": ("PER", "people", "Humans")}


@pytest.mark.parametrize("entry", [
    {"label": "person"}, {"label": "person", "wordings": "PER"}, {"label": "person", "wordings": [""]},
    {"label": 1, "wordings": []}, {"label": "person", "wordings": [], "definition": 3}, ["person"], "{",
])  # fmt: skip
def test_a_malformed_line_is_named(tmp_path, entry):
    path = write(tmp_path / "w.jsonl", {"label": "city", "wordings": []}, entry)
    with pytest.raises(ValueError, match=r"w\.jsonl, line 2"):
        read_wordings(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="There is no file of wordings"):
        read_wordings(tmp_path / "none.jsonl")


def test_synonyms_of_synonyms_share_a_group():
    groups = synonyms({"person": ["PER", "people"], "human": ["People"], "city": ["town"]})
    assert groups["per"] == groups["person"] == groups["human"] == groups["people"]
    assert groups["town"] == groups["city"] != groups["person"]
