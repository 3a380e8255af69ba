"""Work on rows takes time and memory that grow with them."""

import pytest
from counting import assert_grows_evenly, peak
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.data.items import rows_to_items
from metaie_spacy.data.passages import passage_cutter
from metaie_spacy.data.rows import longest_first

PLACES = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.sampled_from("ab")).map(lambda p: (p[0], p[0] + p[1], p[2]))
)


def by_definition(found):
    """The places without those that overlap a longer, then earlier one of their label, cell by cell."""
    kept, taken = [], set()
    for start, end, label in sorted(set(found), key=lambda s: (s[0] - s[1], s)):
        cells = {(i, label) for i in range(start, end)}
        if not cells & taken:
            taken |= cells
            kept.append((start, end, label))
    return sorted(kept)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(PLACES)
def test_longest_first_is_as_defined(found):
    assert longest_first(found) == by_definition(found)


# About n places of a text of 100 n characters.
SPANS = {
    "long": lambda n: [(i, 100 * n - i, "a") for i in range(n)],
    "long, each of its own label": lambda n: [(i, 100 * n, f"label {i}") for i in range(n)],
    "short, from the end": lambda n: [(i, i + 1 + (i >= n // 2), "a") for i in range(0, 2 * n, 2)],
    "over each other": lambda n: [(i, i + 50, "a") for i in range(n)],
}


@pytest.mark.parametrize("kind", SPANS)
@pytest.mark.parametrize("count", [None, peak], ids=["steps", "bytes"])
def test_the_longest_spans_are_found_in_steps_and_bytes_that_grow_with_their_number(kind, count):
    made = {n: SPANS[kind](n) for n in (1000, 2000, 4000)}
    kwargs = {} if count is None else {"count": count}
    assert_grows_evenly(lambda n: longest_first(made[n]), 1000, **kwargs)


def test_one_long_span_takes_no_memory_of_its_own():
    assert peak(longest_first, [(0, 300_000, "a"), (5, 300_000, "b")]) < 10_000


def test_rows_become_items_in_steps_that_grow_with_them():
    def make(n):
        row = {
            "id": "1",
            "text": "word " * n,
            "spans": [{"start": 0, "end": 5 * i + 4, "label": "a"} for i in range(n)],
        }
        rows_to_items([row], lambda text: [(i, i + 4) for i in range(0, len(text), 5)], "rows")

    assert_grows_evenly(make, 500)


@pytest.mark.parametrize("part", ["word. ", "! ", "(", "word"])
def test_passages_are_cut_in_steps_that_grow_with_the_text(part):
    cut = passage_cutter(50)
    assert_grows_evenly(lambda n: cut((part * n)[:n]), 1000)
