"""Windows of a text that grows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.model.open_windows import OpenWindows
from metaie_spacy.model.windows import split_windows

BORDERS = st.sampled_from(
    [("\n", 0), ("\n\n", 0), (" \n \n", 0), ("  ", 0), ("\u200b", 0), (".", 1), ("!", 3), (")", 1), ("”", 1)]
)
PLAIN = st.lists(st.tuples(st.sampled_from(["word", "Word"]), st.sampled_from([1, 1, 1, 2, 3, 16])), max_size=30)
TEXTS = st.lists(st.tuples(PLAIN, BORDERS), min_size=1, max_size=12).map(
    lambda parts: [word for plain, border in parts for word in (*plain, border)]
)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(6, 60), st.data())
def test_a_growing_text_has_the_windows_of_the_whole_one(text, limit, data):
    overlap = data.draw(st.integers(0, limit // 2 - 1))
    step = data.draw(st.integers(1, 40))
    words, sizes = (list(column) for column in zip(*text))
    growing, found = OpenWindows(limit, overlap), []
    for start in range(0, len(words), step):
        end = start + step
        found += growing.add(words[start:end], sizes[start:end], is_last=end >= len(words))
        assert growing.start + len(growing.words) == min(end, len(words))
    assert found == split_windows(sizes, limit, overlap, words=words)


def test_what_is_kept_of_a_text_is_one_window_however_long_its_paragraph():
    growing, most = OpenWindows(30, 10), 0
    for i in range(3000):
        growing.add(["Word" if i % 9 else "."], [1])
        most = max(most, len(growing.words))
    assert most <= 31


def test_windows_come_as_soon_as_more_text_no_longer_fits():
    growing = OpenWindows(10, 4)
    assert growing.add(["a"] * 6 + ["\n\n"], [1] * 6 + [0]) == []
    (window,) = growing.add(["b"] * 5, [1] * 5)
    assert (window.start, window.end) == (0, 7)
