"""Windows over long texts."""

import pytest
from helpers import SENTENCES, annotated
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.data.items import Item
from metaie_spacy.model.windows import cut_items, split_windows


@settings(max_examples=300)
@given(st.lists(st.integers(0, 16), max_size=200), st.integers(16, 100), st.data())
def test_windows_own_every_token_once_and_show_its_surroundings(sizes, limit, data):
    overlap = data.draw(st.integers(0, limit // 2 - 1))
    windows = split_windows(sizes, limit, overlap)
    owned = [i for w in windows for i in range(w.own_start, w.own_end)]
    assert owned == list(range(len(sizes)))
    for w in windows:
        assert w.start <= w.own_start <= w.own_end <= w.end
        assert sum(sizes[w.start : w.end]) + 2 == w.size <= limit + 2
        if w.own_start > 0 and w.own_end > w.own_start:
            # A token has 16 pieces at most: that much may be lost to its boundary.
            assert sum(sizes[w.start : w.own_start]) >= overlap // 2 - 17
    for left, right in zip(windows, windows[1:]):
        assert right.start <= left.end and left.start < right.start
        shared = sum(sizes[right.start : left.end])
        assert shared <= overlap + 16  # of whole tokens, about the overlap that was asked for


def test_short_text_is_one_window():
    assert len(split_windows([1, 2, 3], 6, 2)) == 1
    assert len(split_windows([], 6, 2)) == 1


def test_long_texts_are_trained_on_in_windows_that_cut_no_span(caplog):
    words = [f"w{i}" for i in range(100)]
    spans = [(0, 2, "a"), (27, 33, "b"), (55, 62, "a"), (98, 100, "c"), (40, 75, "too long")]
    short = Item("short", ["x"], [(0, 1, "a")], ["d"])
    parts = cut_items([Item("long", words, spans, ["d"]), short], lambda words: [(1,)] * len(words), 30, 10)
    assert parts[-1] is short and len(parts) > 4 and all(len(part.words) <= 30 for part in parts)
    shown = {(part.words[s], part.words[e - 1], label) for part in parts for s, e, label in part.spans}
    assert shown >= {("w0", "w1", "a"), ("w98", "w99", "c"), ("x", "x", "a")}
    assert ("w27", "w32", "b") in shown and "too long" not in {label for *_, label in shown}
    for part in parts[:-1]:  # no window shows a part of a span as if it were none
        inside = {int(word[1:]) for word in part.words}
        for start, end, _label in spans:
            seen = inside & set(range(start, end))
            assert not seen or len(seen) == end - start
        assert "d" in part.absent
    assert "2 spans do not fit" in caplog.text  # the long one, and the one inside it


@pytest.mark.parametrize("architecture", ["LabelToSpan", "CrossEncoder"])
def test_texts_beyond_the_encoders_window_train_and_predict(make_nlp, architecture):
    nlp = make_nlp(["person", "place"], architecture=architecture, model={"window": 512, "overlap": 32})
    text = " ".join(SENTENCES * 12)
    example = annotated(nlp, text, [("Ada Lovelace", "person"), ("London", "place")])
    optimizer = nlp.initialize(lambda: [example])
    assert nlp.update([example], sgd=optimizer)["metaie"] > 0
    assert nlp(text).spans["metaie"].attrs["asked"] == ["person", "place"]


def cuts(words, limit, overlap=2):
    """The words of every window, and that each word belongs to one."""
    windows = split_windows([0 if word.isspace() else 1 for word in words], limit, overlap, words=words)
    own = [i for window in windows for i in range(window.own_start, window.own_end)]
    assert own == list(range(len(words)))
    return [" ".join(words[w.start : w.end]).split() for w in windows]


def test_windows_end_at_blank_lines_then_at_lines_then_at_sentences():
    assert cuts("a b . c d".split() + ["\n\n"] + "e f . g h".split(), 8) == ["a b . c d".split(), "e f . g h".split()]
    assert cuts(["a", "b", "\n\n", "c", "\n\n", "d", "e", "f"], 4) == [["a", "b", "c"], ["d", "e", "f"]]
    assert cuts(["a", "b", ".", "C", "\n", "d", "e"], 5) == [["a", "b", ".", "C"], ["d", "e"]]
    assert cuts(["a", "b", ".", "C", "d", "."], 4) == [["a", "b", "."], ["C", "d", "."]]
    assert cuts(["a", "b", ".", "c", "d", "."], 4)[0] != ["a", "b", "."]  # no sentence begins with a small letter


def test_a_sentence_that_is_too_long_is_cut_in_its_midst_alone():
    words = ["a", ".", "W"] + ["w"] * 11 + ["."] + ["B", "."]
    found = cuts(words, 6)
    assert found[0] == ["a", "."] and found[-1] == ["B", "."] and len(found) > 4


def test_a_text_that_fits_is_one_window_whatever_stands_in_it():
    assert len(split_windows([1, 0, 1, 1], 10, 2, words=["a", "\n\n", "b", "."])) == 1


@given(st.lists(st.sampled_from(["a", "B", ".", "\n", "\n\n", " ", "Abc", "?", '"']), max_size=60), st.integers(4, 12))
def test_every_word_belongs_to_one_window_that_fits(words, limit):
    sizes = [0 if word.isspace() else 1 for word in words]
    windows = split_windows(sizes, limit, 2, words=words)
    assert [i for w in windows for i in range(w.own_start, w.own_end)] == list(range(len(words)))
    for window in windows:
        assert window.start <= window.own_start <= window.own_end <= window.end
        assert window.size == sum(sizes[window.start : window.end]) + 2 <= limit + 2
