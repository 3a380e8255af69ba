"""Reading an answer takes time and memory that grow with it and its text, however they repeat themselves."""

import json
import re
from unittest import mock

import pytest
from counting import assert_grows_evenly, peak
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.teacher.reply import alignment, folding, lenient, near, occurrences, parse
from metaie_spacy.teacher.reply.alignment import align, find_answer
from metaie_spacy.teacher.reply.folding import fold, same_gaps, skeleton
from metaie_spacy.teacher.reply.parse import read_answer

STEADY = settings(deadline=None, derandomize=True, max_examples=150)
NAMES = "Ada Lovelace met Charles Babbage; "


@pytest.fixture(autouse=True)
def low_limits(request, monkeypatch):
    """Where growth is counted, whatever has a limit reaches it at once, and little is kept."""
    if "grow" in request.node.name:
        limits = {"MAX_PEELED": 3, "MAX_PARTS": 8, "MAX_ANSWERS": 50, "MAX_NEAR": 5, "MAX_PLACES": 50, "KEPT_ANSWER": 0}
        for name, limit in limits.items():
            monkeypatch.setattr(alignment, name, limit)
        for name, limit in {"MAX_ANSWERS": 50, "MAX_SPLITS": 4, "MAX_SEPARATORS": 8, "MAX_LISTED": 50}.items():
            monkeypatch.setattr(parse, name, limit)
        monkeypatch.setattr(lenient, "MAX_STARTS", 20)
        monkeypatch.setattr(near, "MAX_FUZZY", 100)
        monkeypatch.setattr(near, "MAX_PAIRS", 2)


def numbered(n):
    return " ".join(f"w{i}" for i in range(n // 6))


# A text and an answer of about n characters each.
ANSWERS = {
    "one letter": lambda n: ("a" * n, "a" * (n // 2)),
    "one letter, and one that is not there": lambda n: ("a" * n, "a" * (n // 2) + "b"),
    "a letter of a long word": lambda n: ("a" * n, "a"),
    "another case": lambda n: ("a" * n, "A" * (n // 2)),
    "words that repeat": lambda n: ("a " * (n // 2), "a " * (n // 4)),
    "words that repeat, joined at the end": lambda n: ("a " * (n // 2), "A " * (n // 4) + "aa"),
    "digits": lambda n: ("1" * n + "a", "1" * (n // 2)),
    "digits that repeat, with other gaps": lambda n: ("1 2 " * (n // 4), "1-2 " * (n // 8)),
    "numbers and units": lambda n: ("1a" * (n // 2), "1a" * (n // 4)),
    "Arabic": lambda n: ("ب" * n, "ب" * (n // 2)),
    "marks": lambda n: ("*a" * (n // 2), "A*" * (n // 4)),
    "marks and joiners": lambda n: ("*\u200da" * (n // 3), "A" * (n // 6)),
    "accents": lambda n: ("a" + "\u0301\u0323" * (n // 2), "A" + "\u0301\u0323" * (n // 2)),
    "quotes": lambda n: ('"' * n, '"' * (n // 2) + "a"),
    "quotes and blanks": lambda n: ("a' " * (n // 3), "' " * (n // 2) + "A"),
    "blanks": lambda n: ("a" + " " * n + "b", "a" + " " * (n // 2) + "B"),
    "brackets": lambda n: ("x y" * (n // 3), "(" * (n // 2) + "q" + ")" * (n // 2)),
    "brackets and quotes": lambda n: ("x y" * (n // 3), "(\"'" * (n // 6) + "q" + "'\")" * (n // 6)),
    "full stops": lambda n: ("x y" * (n // 3), "." * n + "q"),
    "bullets": lambda n: ("x y" * (n // 3), "- " * (n // 2) + "q"),
    "backslashes": lambda n: ("x y" * (n // 3), "\\" * n + "q"),
    "invisible": lambda n: ("us " * (n // 3), "\u200b" * n + "US"),
    "entities": lambda n: ("&amp;" * (n // 5), "&" * (n // 10) + "x"),
    "ellipses": lambda n: ("a " * (n // 2), " ... ".join("a" * (n // 6))),
    "some ellipses": lambda n: ("a b " * (n // 4), " ... ".join("a" * 20) + " ... q"),
    "ellipses of many words": lambda n: (numbered(n), " ... ".join(f"w{i}" for i in range(0, n // 6, 2))),
    "nearly": lambda n: (NAMES * (n // 34), NAMES.replace("Lovelace", "Lovelase") * (n // 68)),
    "nearly, of few words": lambda n: ("no no na " * (n // 9), "no no nu " * (n // 18)),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_is_found_in_steps_that_grow_with_it(kind):
    assert_grows_evenly(lambda n: find_answer(*ANSWERS[kind](n)), 500)


# A reply of about n characters, and a text.
REPLIES = {
    "colons": lambda n: ("- " + "x" * (n // 2) + ": " * (n // 4), "a b"),
    "nothing but colons": lambda n: ("- " + ":" * n, "a b"),
    "colons after a label": lambda n: ("- a" + ":" * n + " b", "a b"),
    "words with colons": lambda n: ("- " + "a:b " * (n // 4), "a b " * (n // 4)),
    "blanks": lambda n: ("- a" + " " * n + "b", "a b"),
    "tabs": lambda n: ("- a" + " \t" * (n // 2) + "b", "a b"),
    "bold": lambda n: ("- " + "** " * (n // 3), "a b"),
    "a list": lambda n: ("- a: " + "; ".join(numbered(n).split()), numbered(n)),
    "a list of one word": lambda n: ("- a: " + "b; " * (n // 3), "a b " * (n // 4)),
    "brackets": lambda n: ("- a: " + "(" * (n // 2) + "x: y" + ")" * (n // 2), "a b " * (n // 4)),
    "a long line": lambda n: ("x" * n, "a"),
    "many lines": lambda n: ("\n".join(f"- l{i}: w{i}" for i in range(n // 10)), numbered(n)),
    "many headers": lambda n: ("\n".join(f"- l{i}" for i in range(n // 6)), "a b " * (n // 4)),
    "a long label": lambda n: (json.dumps({"l" * (n // 2): ["a"] * (n // 10)}), "a"),
    "many labels": lambda n: (json.dumps({f"l{i}": ["a"] for i in range(n // 12)}), "a b " * (n // 4)),
    "opened lists": lambda n: ("[" * n, "a"),
    "lists and lines": lambda n: ("[\n" * (n // 2), "a"),
    "a closed nest": lambda n: ('{"a": ' + "[" * (n // 100) + '"x",' * (n // 2) + '"a"' + "]" * (n // 100) + "}", "a"),
    "quotes and lines": lambda n: ('{"a": ["x"' + "\n" * n + "x", "a"),
    "quotes": lambda n: ('{"a": ["' + '" ' * (n // 2), "a"),
    "many starts": lambda n: ('[{"a"\n' * (n // 6), "a"),
    "a cut end": lambda n: (json.dumps([{"label": f"l{i}", "span": "a"} for i in range(n // 30)])[:-5], "a"),
}


@pytest.mark.parametrize("kind", REPLIES)
@pytest.mark.parametrize("count", [None, peak], ids=["steps", "bytes"])
def test_a_reply_is_read_in_steps_and_bytes_that_grow_with_it(kind, count):
    def read(n):
        return read_answer(*REPLIES[kind](n))

    if count is None:
        assert_grows_evenly(read, 500)
    else:
        peak(read, 500)  # fills what is kept for later
        most = [peak(read, size) for size in (1500, 3000, 6000)]  # lists grow by leaps
        assert most[2] <= 8 * most[0], f"{most}: the square would be 16 times as much"


def test_many_answers_with_many_places_are_bounded_by_the_text():
    text = "a " * 3000
    spans, dropped = align(text, [(f"label {i}", "a") for i in range(100)])
    assert len(spans) <= alignment.MAX_PLACES + len(text) and len(spans) % 3000 == 0
    assert {item["why"] for item in dropped} == {"in too many places"} and len(spans) // 3000 + len(dropped) == 100


def test_answers_after_the_first_thousands_are_dropped_with_the_reason(monkeypatch):
    monkeypatch.setattr(alignment, "MAX_ANSWERS", 3)
    spans, dropped = align("a b c d", [("x", word) for word in "abcd"])
    assert len(spans) == 3 and dropped == [{"label": "x", "span": "d", "why": "after 3 others"}]
    monkeypatch.setattr(parse, "MAX_ANSWERS", 3)
    parsed = parse.parse(json.dumps({"x": list("abcd")}), "a b c d")
    assert [span for _, span in parsed.pairs] == list("abc") and parsed.dropped[0]["why"] == "after 3 others"
    parsed = parse.parse("\n".join(f"- x: {word}" for word in "abcd"), "a b c d")
    assert [span for _, span in parsed.pairs] == list("abc") and len(parsed.dropped) == 1


def test_near_matches_are_looked_for_so_often_only(monkeypatch):
    monkeypatch.setattr(alignment, "MAX_NEAR", 2)
    pairs = [("name", f"Lord Byron {i}th") for i in range(5)] + [("name", "Charles Babbbage")]
    with mock.patch.object(alignment, "similar_passage", wraps=alignment.similar_passage) as similar:
        spans, _ = align(NAMES, pairs)
    assert similar.call_count == 2 and spans == []
    assert align(NAMES, pairs[-2:])[0], "it would have been one"


def test_a_word_that_several_labels_share_is_looked_for_once():
    with mock.patch.object(alignment, "find_answer", wraps=find_answer) as find:
        spans, _ = align(NAMES, [(f"label {i}", "Ada") for i in range(9)])
    assert find.call_count == 1 and len(spans) == 9


def test_the_core_of_any_number_of_brackets_is_found():
    for depth in (1, 5, 11, 12, 13, 14, 100, 500):
        assert find_answer(NAMES, "(" * depth + "Ada" + ")" * depth) == ([(0, 3)], "tolerant")
    assert find_answer(NAMES, '("' * 50 + "A\\da" + '")' * 50) == ([(0, 3)], "tolerant")


def test_an_answer_far_longer_than_its_text_is_no_quotation():
    assert find_answer("a", "a" + " " * 900) == ([(0, 1)], "exact"), "white space around an answer is none of it"
    assert find_answer("a", '"a' + " " * 2000 + '"') == ([], "")


def test_what_is_kept_of_texts_and_answers_is_bounded():
    alignment._keep_some.cache_clear()
    for i in range(3):
        find_answer(f"a{i} " * 20_000, "A" * 2000 + f"{i}")
    assert alignment._keep_some.cache_info().currsize == 0 and alignment._keep_last.cache_info().currsize == 1
    alignment._keep_answers.cache_clear()
    find_answer("a", "b" * 1005)
    assert alignment._keep_answers.cache_info().currsize == 0 and alignment._keep_answer.cache_info().maxsize == 1


def test_marks_beyond_the_32nd_are_folded_apart():
    sizes = []
    with mock.patch.object(folding, "fold_cluster", side_effect=lambda part: sizes.append(len(part)) or part[:1]):
        fold("a" + "\u0301\u0323" * 500)
    assert max(sizes) <= folding.MAX_MARKS + 1 and sum(sizes) == 1001
    assert find_answer("Zoe" + "\u0301" * 100 + " x", "Zoe") == ([(0, 103)], "tolerant")


def test_json_that_is_nested_deeper_than_python_reads_is_refused():
    for depth in (50, 300, 500, 900, 3000):
        for reply in ('{"answers":' * depth + '{"x": "a"}' + "}" * depth, '{"a":' * depth + '"a"' + "}" * depth):
            try:
                parse.parse(reply, "a")
            except ValueError as error:
                assert str(error).startswith("The answer ")


def test_a_label_that_is_too_long_is_shown_by_its_beginning():
    (item,) = parse.parse(json.dumps({"l" * 5000: ["Ada"], "x": ["Ada"]}), NAMES).dropped
    assert item["label"] == "l" * parse.MAX_SHOWN and item["why"].startswith("label longer than")


def test_a_line_is_split_so_often_only():
    assert len(list(parse._splits("a" + ":b" * 500))) == parse.MAX_SPLITS
    assert len(list(parse._splits(":" * 5000))) == 0


@STEADY
@given(
    st.text("ab", max_size=60), st.text("ab", min_size=1, max_size=8), st.integers(1, 3), st.sampled_from([0, 3, 64])
)
def test_occurrences_are_all_of_them(text, part, times, short):
    text, part = text * times, part * times
    with mock.patch.object(occurrences, "SHORT", short):
        found = list(occurrences.occurrences(text, part))
    assert found == [at for at in range(len(text)) if text.startswith(part, at)]


@STEADY
@given(st.lists(st.sampled_from(["a", "a", "b", "1", " ", "-", "'", "*", ". "]), max_size=40), st.data())
def test_gaps_that_are_compared_at_once_agree_with_those_compared_one_by_one(parts, data):
    text = "".join(parts)
    start = data.draw(st.integers(0, len(text)))
    answer = text[start : data.draw(st.integers(start, len(text)))]
    answer = data.draw(st.sampled_from([answer, answer.replace(" ", "-"), answer.replace("-", ""), answer + "a"]))
    whole, part = skeleton(fold(text)), skeleton(fold(answer))
    if not part.chars:
        return
    slow = [
        at for at in range(len(whole.chars)) if whole.chars.startswith(part.chars, at) and same_gaps(whole, at, part)
    ]
    assert occurrences.skeleton_places(whole, part) == slow
    with mock.patch.object(occurrences, "DIRECT", 0):
        assert occurrences.skeleton_places(whole, part) == slow


@STEADY
@given(st.text("*a~`", max_size=30), st.sampled_from(["*", "**", "~~", "`"]), st.data())
def test_marks_are_counted_as_str_counts(text, mark, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert occurrences.Marks(text).count(mark, start, end) == text[start:end].count(mark)


BEFORE = {  # what the patterns were when they looked for blanks from within blanks
    "SEPARATOR": r"\s*(?::\*\*|\*\*\s*:|->|→|=>|⇒|:)\s*",
    "RARE_SEPARATOR": r"\s+[-–—=|]\s+|\t+",
}
LISTS_BEFORE = (r"\s*[;\n|]\s*", r"\s*,\s+", r"\s*,\s+(?:and\s+)?|\s+and\s+")
SIGNS = st.lists(
    st.sampled_from([" ", " ", "\t", "\n", ":", "**", "-", "->", "|", ";", ",", "and", "a", "="]), max_size=14
)


@STEADY
@given(SIGNS.map("".join))
def test_patterns_match_as_before(line):
    for name, pattern in BEFORE.items():
        found = [match.span() for match in getattr(parse, name).finditer(line)]
        assert found == [match.span() for match in re.finditer(pattern, line)], name
    for ours, pattern in zip(parse.LISTS, LISTS_BEFORE):
        assert ours.split(line) == re.split(pattern, line)


@STEADY
@given(
    st.lists(st.sampled_from([" ", ".", "...", "…", "[", "]", "(", ")", "<", "a", "b", "\n"]), max_size=14).map("".join)
)
def test_an_answer_is_taken_apart_at_its_ellipses_as_before(answer):
    pattern = re.compile(r"[\[(<]?\s*(?:…|\.(?:\s?\.){2,})+\s*[\])>]?")
    parts = [part for part in map(str.strip, pattern.split(answer)) if any(map(str.isalnum, part))]
    assert alignment._between_ellipses(answer) == (parts if pattern.search(answer) else [])


@STEADY
@given(st.text(" \n,:]}'\"a1", max_size=12))
def test_a_quote_ends_a_string_as_before(rest):
    pattern = re.compile(r"\s*(?:$|[\]}:]|,\s*(?:$|[\"'“‘\[\]{}]|-?\d|null\b|None\b|\w+\s*:)|\n\s*[\"'“‘])")
    assert lenient._Scanner('"' + rest, 0).ends() == bool(pattern.match(rest))


def test_passages_of_few_words_are_compared_in_the_cheaper_way():
    few = ["no"] * 500
    with mock.patch.object(near, "SequenceMatcher", side_effect=AssertionError("the dear way")):
        assert list(near._changes(few, few))
    assert list(near._changes(["a", "b"], ["a", "c"])) == [("equal", 0, 1, 0, 1), ("replace", 1, 2, 1, 2)]
    assert not near.is_evidence("a" * (near.MAX_FUZZY + 1)) and near.is_evidence("a" * near.MAX_FUZZY)
