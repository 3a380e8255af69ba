"""Words and the pieces that an encoder reads."""

import pytest
from helpers import ODD_WORDS, SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.model.pieces import MAX_PIECES, WordPieces, load_tokenizer, word_shape


@pytest.fixture
def pieces(encoders):
    return WordPieces(load_tokenizer(encoders["bert"]))


def test_words_are_cut_into_pieces_once_and_long_ones_are_reported(pieces, caplog):
    whole = pieces(["Ada", "a-" * 20, "\u200b"])
    assert len(whole[1]) == MAX_PIECES and whole[2] == () and pieces.cut_words == 1
    assert "more than 16 pieces" in caplog.text
    texts, scored = pieces.texts([["Ada", "\u200b", "flew"], []])
    assert scored == [[0, 2], []] and texts.words.tolist() == [2, 0] and texts.lengths[1] == 2


def test_shapes_tell_what_an_uncased_vocabulary_cannot():
    words = ["ada", "Ada", "ADA", "A", "iPhone", "1815", "B2B", "--"]
    assert [word_shape(word) for word in words] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_same_words_same_pieces_in_any_company(pieces):
    words = SENTENCES[0].split()
    together = pieces(words)
    fresh = WordPieces(pieces.tokenizer)
    assert [fresh([word])[0] for word in words] == together


@settings(max_examples=60)
@given(parts=st.lists(st.one_of(st.sampled_from(ODD_WORDS), st.text(max_size=8)), max_size=40))
def test_packed_pieces_align_with_their_words(pieces, parts):
    batch, (kept,) = pieces.texts([parts])
    ids = pieces(parts)
    assert kept == [i for i, found in enumerate(ids) if found]
    for place, i in zip(batch.first.tolist(), kept):
        assert tuple(batch.ids[place : place + len(ids[i])].tolist()) == ids[i] and len(ids[i]) <= 16
    assert batch.lengths.tolist() == [2 + sum(map(len, ids))] and batch.words.tolist() == [len(kept)]
    assert len(batch.shapes) == len(batch.ids)
