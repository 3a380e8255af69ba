"""The words that are remembered with their pieces take bounded memory."""

import pytest

from metaie_spacy.model import pieces as module
from metaie_spacy.model.pieces import LONGEST_CACHED, MAX_PIECES, WordPieces, entry_size


@pytest.fixture(params=["bert", "roberta"])
def pieces(request, make_nlp):
    return WordPieces(make_nlp(family=request.param).get_pipe("metaie").model.shims[0].pieces.tokenizer)


def test_a_giant_word_is_split_but_not_remembered(pieces):
    giants = [f"{i}-" + "ab-" * 5000 for i in range(3)]
    first = pieces(["Ada", *giants])
    assert [len(ids) for ids in first[1:]] == [MAX_PIECES] * 3 and first == pieces(["Ada", *giants])
    assert list(pieces._seen) == ["Ada"] and pieces._seen.size == entry_size("Ada", first[0])


def test_a_giant_word_is_counted_once_among_those_that_are_cut(pieces):
    pieces(["ab-" * 5000])
    pieces(["ab-" * 5000, "cd-" * 5000])
    assert pieces.cut_words == 2


def test_words_are_remembered_until_their_bytes_are_many(pieces, monkeypatch):
    monkeypatch.setattr(module, "WORD_CACHE", 0.01)
    for i in range(300):
        words = [f"{i}x{j}" for j in range(3)] + ["Ada"]
        fresh = WordPieces(pieces.tokenizer)
        assert pieces(words) == fresh(words)
        assert pieces._seen.size <= 0.01 * 2**20
        assert pieces._seen.size == sum(map(entry_size, pieces._seen, pieces._seen.values()))
    assert 10 < len(pieces._seen) < 900, "something is remembered, and not all"


def test_a_text_with_more_words_than_are_remembered_is_split_as_any_other(pieces, monkeypatch):
    monkeypatch.setattr(module, "CACHED_WORDS", 20)
    words = [f"w{i}" for i in range(50)] + ["w3"]
    found = pieces(words)
    assert found == WordPieces(pieces.tokenizer)(words) and len(pieces._seen) <= 20
    assert pieces(["w3"]) == [found[3]] == [found[-1]]


def test_words_up_to_a_stated_length_are_remembered(pieces):
    pieces(["a" * LONGEST_CACHED, "a" * (LONGEST_CACHED + 1)])
    assert list(pieces._seen) == ["a" * LONGEST_CACHED]
