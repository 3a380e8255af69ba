"""Counting what is right."""

from metaie_spacy.measure.scores import exact_matches


def test_exact_matches_counts_by_text():
    counts = exact_matches([{(0, 1, "a")}, {(0, 1, "a"), (2, 3, "b")}], [set(), {(0, 1, "a"), (2, 4, "b")}])
    assert counts == (1, 1, 2)
    assert (counts.precision, counts.recall) == (1 / 2, 1 / 3)
