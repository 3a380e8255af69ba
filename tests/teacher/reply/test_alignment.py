"""From an LLM's quoted answer to character offsets."""

import builtins
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.teacher.reply.alignment import align, find_answer
from metaie_spacy.teacher.reply.folding import fold

CASES = Path(__file__).parent / "alignment_cases.jsonl"
TEXT = "Ada Lovelace, born 10 December 1815, worked with Charles Babbage; Ada and Babbage met in 1833."
ALPHABET = st.sampled_from(
    list("abAB 12.,-'\"“’…\n\u00a0éß中ンハक") + ["\u0301", "\u200d", "ﬁ", "²", "½", "&amp;", "👍🏽", "بَ"]
)
WORDS = "Zoë's naïve façade, 20 m² (of “glass”) – half-built… near Łódź said Δημήτρης".split()
RANDOM_TEXT = st.lists(ALPHABET, min_size=1, max_size=60).map("".join)


def read_cases():
    return [json.loads(line) for line in CASES.read_text(encoding="utf8").splitlines()]


def unmark(marked):
    """A text with ⟦ and ⟧ -> the text, and the offsets that they mark."""
    text, places, start = "", [], 0
    for char in marked:
        if char == "⟦":
            start = len(text)
        elif char == "⟧":
            places.append((start, len(text)))
        else:
            text += char
    return text, places


def surfaces(text, answer, **kwargs):
    places, how = find_answer(text, answer, **kwargs)
    return [text[start:end] for start, end in places], how


def test_hand_written_cases_are_all_found_where_they_stand():
    cases = read_cases()
    assert len(cases) == 200 and len({(case["text"], case["answer"]) for case in cases}) == 200
    failed = []
    for case in cases:
        text, expected = unmark(case["text"])
        found = find_answer(text, case["answer"])[0]
        if found != expected:
            failed.append((case["kind"], text, case["answer"], [text[start:end] for start, end in found]))
    assert failed == []


@pytest.mark.parametrize(
    "answer, found, how",
    [
        ("Ada", ["Ada", "Ada"], "exact"),
        (" Ada\n", ["Ada", "Ada"], "exact"),
        ("ADA LOVELACE", ["Ada Lovelace"], "tolerant"),
        ("“Ada  Lovelace”.", ["Ada Lovelace"], "tolerant"),
        ("worked … Babbage", ["worked with Charles Babbage"], "tolerant"),
        ("worked with Charles Babage", ["worked with Charles Babbage"], "fuzzy"),
        ("1834", [], ""),
        ("born 10 December 1816", [], ""),
        ("love", [], ""),
        ("", [], ""),
        ("…", [], ""),
    ],
)
def test_how_an_answer_is_found(answer, found, how):
    assert surfaces(TEXT, answer) == (found, how)


def test_case_that_makes_another_word_is_not_ignored():
    assert find_answer("They told us that it may rain.", "US") == ([], "")
    assert find_answer("They told us that it may rain.", "May") == ([], "")
    assert surfaces("They told us that it may rain.", "THEY") == (["They"], "tolerant")


def test_exact_place_hides_a_tolerant_one():
    assert find_answer("The board met. the board left.", "the board") == ([(15, 24)], "exact")


def test_ellipsis_stands_for_a_bounded_passage_only():
    far = "from Oss " + "and on and on " * 40 + "to Ede"
    assert find_answer(far, "from Oss ... to Ede") == ([], "")
    near = "from Oss " + "and on " * 3 + "to Ede"
    assert find_answer(near, "from Oss ... to Ede") == ([(0, len(near))], "tolerant")


def test_bound_of_near_matches():
    text = "The goverment of Tarnland resigned."
    assert surfaces(text, "government of Tarnland", fuzzy=90) == (["goverment of Tarnland"], "fuzzy")
    assert surfaces(text, "government of Tarnland", fuzzy=99) == ([], "")
    assert surfaces("The goat left.", "goats") == ([], ""), "too short to be evidence"


@pytest.mark.parametrize(
    "text, answer",
    [
        ("a fine of 12,500 crowns and costs", "a fine of 12,600 crowns and costs"),
        ("a fine of twelve million crowns", "a fine of twelve billion crowns"),
        ("a fine of £500 and the costs of court", "a fine of $500 and the costs of court"),
        ("he didn't sign the long agreement", "he did sign the long agreement"),
        ("without consent of the owners", "with consent of the owners"),
        ("the female plaintiffs of the case", "the male plaintiffs of the case"),
        ("the trial on Tuesday in the old court", "the trial on Thursday in the old court"),
        ("a prescription of prednisone", "prednisolone"),
    ],
)
def test_near_match_never_changes_the_sense(text, answer):
    assert find_answer(text, answer) == ([], "")


def test_offsets_are_those_of_the_original_text():
    text = "ﬀ ½ ß İ 👍🏽 &amp; … cafe\u0301  au\u00a0lait\u200b!"
    ((start, end),), how = find_answer(text, "CAFÉ AU LAIT")
    assert (text[start:end], how) == ("cafe\u0301  au\u00a0lait", "tolerant")


def test_no_answer_ends_inside_a_character():
    assert find_answer("caf" + "e\u0301", "cafe", fuzzy=101) == ([(0, 5)], "tolerant")
    assert find_answer("oﬃce", "of") == ([], "")
    assert find_answer("👩\u200d🚒", "👩") == ([], "")


def test_rapidfuzz_is_asked_for_only_when_needed(monkeypatch):
    def without(name, *args, real=builtins.__import__, **kwargs):
        if name.startswith("rapidfuzz"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert find_answer(TEXT, "ada lovelace") == ([(0, 12)], "tolerant")
    assert find_answer(TEXT, "Charles Cabbage", fuzzy=101) == ([], "")
    with pytest.raises(ImportError, match=r"metaie-spacy\[project\]"):
        find_answer(TEXT, "Charles Cabbage")


def test_align_marks_every_occurrence_and_reports_what_it_drops():
    pairs = [
        ("person", "Ada"),
        ("person", "Ada Lovelace"),
        ("person", "Babbage"),
        ("year", "1834"),
        ("year", " "),
        ("first name", "Ada"),
    ]
    spans, dropped = align(TEXT, pairs)
    assert [(TEXT[s["start"] : s["end"]], s["label"]) for s in spans] == [
        ("Ada", "first name"), ("Ada Lovelace", "person"), ("Babbage", "person"),
        ("Ada", "first name"), ("Ada", "person"), ("Babbage", "person"),
    ]  # fmt: skip
    assert dropped == [
        {"label": "year", "span": "1834", "why": "not in the text"},
        {"label": "year", "span": " ", "why": "empty"},
    ]


def test_answer_inside_a_longer_one_of_its_label_is_dropped_with_the_reason():
    spans, dropped = align(
        TEXT, [("person", "Lovelace"), ("person", "Ada Lovelace"), ("person", "ada lovelace"), ("name", "Lovelace")]
    )
    assert [(s["start"], s["end"], s["label"]) for s in spans] == [(0, 12, "person"), (4, 12, "name")]
    assert dropped == [{"label": "person", "span": "Lovelace", "why": "inside a longer answer of its label"}]


def test_align_takes_a_generator_once_and_no_pairs():
    assert len(align(TEXT, (pair for pair in [("year", "1815"), ("year", "1815")]))[0]) == 1
    assert align(TEXT, []) == ([], []) and align("", [("a", "b")])[0] == []


@settings(max_examples=400)
@given(RANDOM_TEXT, st.data())
def test_any_slice_is_found_as_itself_or_refused(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    answer = text[start:end]
    places, how = find_answer(text, answer, fuzzy=101)
    assert (how == "") == (not places)
    for first, last in places:
        surface = text[first:last]
        assert 0 <= first < last <= len(text) and surface == surface.strip()
        if how == "exact":
            assert surface == answer.strip()
    assert all(before[1] <= after[0] for before, after in zip(places, places[1:]))


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=9), st.data())
def test_words_are_found_again_in_another_spelling(words, data):
    text = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first + 1, len(words)))
    passage = " ".join(words[first:last])
    change = data.draw(st.sampled_from([
        str.upper,
        lambda s: s.replace(" ", "\u00a0\n"),
        lambda s: unicodedata.normalize("NFD", s),
        lambda s: s.replace("“", '"').replace("”", '"').replace("–", "-").replace("…", "..."),
        lambda s: f"**{s}**",
    ]))  # fmt: skip
    places, how = find_answer(text, change(passage))
    if not any(map(str.isalnum, passage)) or passage.strip("–…") != passage:
        return  # such an answer says by its dots or dashes that it is a part
    assert how in ("exact", "tolerant")
    plain = fold(passage).chars.strip("'(),….-")
    assert all(fold(text[start:end]).chars.strip("'(),….-") == plain for start, end in places)


@settings(max_examples=200)
@given(RANDOM_TEXT, st.lists(st.tuples(st.sampled_from("xy"), RANDOM_TEXT), max_size=5))
def test_no_pair_is_lost(text, pairs):
    spans, dropped = align(text, pairs)
    assert spans == sorted(spans, key=lambda s: (s["start"], s["end"], s["label"]))
    for label in "xy":
        places = [(s["start"], s["end"]) for s in spans if s["label"] == label]
        assert all(before[1] <= after[0] for before, after in zip(places, places[1:]))
    lost = {(item["label"], item["span"]) for item in dropped}
    for label, answer in pairs:
        found = find_answer(text, answer)[0]
        assert (label, answer) in lost or any(s["label"] == label and (s["start"], s["end"]) in found for s in spans)
