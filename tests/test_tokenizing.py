"""Texts with long runs of signs are tokenized as any other, and in steps that grow with them."""

from unittest import mock

import pytest
import spacy
from counting import assert_grows_evenly
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.data import tokens
from metaie_spacy.data.items import blank_tokenizer
from metaie_spacy.data.tokens import make_doc
from metaie_spacy.streams import pipe_with_labels

STEADY = settings(deadline=None, derandomize=True, max_examples=150)
SIGNS = [
    "!",
    "(",
    ")",
    ".",
    "-",
    "_",
    "=",
    "*",
    "😀",
    "👩‍👩‍👧",
    "'s",
    "US$",
    '"',
    "'",
    "#",
    "%",
    "…",
    ":",
    "://",
    "1:",
    "a",
    "1",
    "é",
    "。",
    "@",
]
WHITE = ["", "", "", " ", "  ", "\n", " \n"]
RUNS = st.lists(st.sampled_from(SIGNS), min_size=1, max_size=4).flatmap(
    lambda signs: st.lists(st.sampled_from(signs), min_size=1, max_size=40).map("".join)
)
EMOTICONS = st.lists(
    st.sampled_from([*SIGNS, ":)", ":-)", ":))", ":-/", ";)", "(-:", "8-)", "^_^", "<3", "xD", "O.o", "n't", "don't", "10a.m.", "Mr."]),
    min_size=1, max_size=5,
).flatmap(lambda signs: st.lists(st.sampled_from(signs), min_size=20, max_size=60).map("".join))  # fmt: skip
TEXTS = st.lists(st.tuples(RUNS, st.sampled_from(WHITE)).map("".join), max_size=5).map("".join)


@pytest.fixture(scope="module", params=["en", "de"])
def nlp(request):
    return spacy.blank(request.param)


@pytest.fixture(scope="module")
def plain():
    """A tokenizer without exceptions such as emoticons."""
    nlp = spacy.blank("en")
    nlp.tokenizer.rules = {}
    return nlp


def words(doc):
    return [(token.text, token.whitespace_) for token in doc]


def with_norms(doc):
    return [(token.text, token.whitespace_, token.norm_) for token in doc]


@STEADY
@given(TEXTS)
def test_every_token_is_the_one_that_spacy_makes(plain, text):
    with mock.patch.multiple(tokens, LONGEST=6, MAX_AFFIXES=2, WINDOW=10, MARGIN=6):
        assert words(make_doc(plain, text)) == words(plain.make_doc(text))


@pytest.mark.parametrize("lang", ["en", "de", "pl", "ru"])  # in Polish a run of dots is one sign, and ends with one
def test_exceptions_in_such_a_run_are_those_that_spacy_finds(lang):
    nlp = spacy.blank(lang)
    count = 0

    @STEADY
    @given(EMOTICONS)
    def attempt(text):
        nonlocal count
        with mock.patch.multiple(tokens, LONGEST=6, MAX_AFFIXES=2, WINDOW=26, MARGIN=8):  # no exception is longer
            count += tokens._words_of(nlp, text) is not None
            assert with_norms(make_doc(nlp, text)) == with_norms(nlp.make_doc(text))

    attempt()
    assert count > 50


def test_emoticons_and_contractions_beside_such_a_run_are_as_elsewhere():
    nlp = spacy.blank("en")
    for text in (
        "She can't " + "!" * 300 + " don't",
        "wow" + "!:)" * 100 + "...",
        "(" * 300 + "don't" + ")" * 300,
        "!" * 250 + ":-))" + "!" * 250,
    ):
        with mock.patch.object(spacy.tokens, "Doc", wraps=spacy.tokens.Doc) as made:
            doc = make_doc(nlp, text)
        assert made.called and with_norms(doc) == with_norms(nlp.make_doc(text))


@STEADY
@given(TEXTS)
def test_a_doc_holds_its_text_whatever_the_language(nlp, text):
    with mock.patch.multiple(tokens, LONGEST=6, MAX_AFFIXES=2, WINDOW=10, MARGIN=6):
        doc = make_doc(nlp, text)
    assert doc.text == text and all(text[token.idx :].startswith(token.text) for token in doc)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "Ada (born 1815) wrote: “it's fine!!!” :-)", "x" * 5000, "中" * 3000, "a-b" * 1000, "=" * 30 + " Ada " + "-" * 3000,
        "." * 3000, "see http://x.org/" + "a" * 3000 + " now", "(" * 30 + "word" * 100, "~" * 1000, "1,000" * 200,
    ],
)  # fmt: skip
def test_a_text_without_such_a_run_is_spacys(nlp, text):
    with mock.patch.object(spacy.tokens, "Doc", side_effect=AssertionError("built by us")):
        assert words(make_doc(nlp, text)) == words(nlp.make_doc(text))


def characters_searched(nlp, text):
    """How many characters a tokenizer's patterns are given for a text; that of a URL goes back to each colon."""
    count = 0

    def counting(search, times=lambda string: 1):
        def count_and_search(string):
            nonlocal count
            count += len(string) * times(string)
            return search(string)

        return count_and_search

    own, tokenizer = nlp.tokenizer, spacy.blank("en").tokenizer
    tokenizer.rules = own.rules
    for name in ("prefix_search", "suffix_search", "infix_finditer"):
        setattr(tokenizer, name, counting(getattr(own, name)))
    tokenizer.url_match = counting(own.url_match, lambda string: 1 + string.count(":"))
    nlp.tokenizer = tokenizer
    try:
        make_doc(nlp, text)
    finally:
        nlp.tokenizer = own
    return count


@pytest.mark.parametrize("sign", [*SIGNS, "!?.,", "a:b@", "http://", ":)"])
def test_patterns_are_given_as_many_characters_as_the_text_has_and_not_their_square(plain, sign):
    with mock.patch.multiple(tokens, MAX_COLONS=10**4):
        counts = [characters_searched(plain, (sign * n)[:n] + "a") for n in (500, 1000, 2000)]
    assert counts[1] <= 2.5 * counts[0] and counts[2] <= 2.5 * counts[1], counts


@pytest.mark.parametrize("sign", ["!", "'s", "😀"])
def test_a_run_is_tokenized_in_steps_that_grow_with_it(plain, sign):
    assert_grows_evenly(lambda n: make_doc(plain, (sign * n)[:n] + "a"), 1000)


@pytest.mark.parametrize("sign", [":)", "!:)", "):"])
def test_emoticons_in_a_run_are_looked_for_in_steps_that_grow_with_it(sign):
    nlp = spacy.blank("en")
    assert_grows_evenly(lambda n: make_doc(nlp, (sign * n)[:n] + "a"), 1000)


def test_spans_beside_and_inside_such_a_run_keep_their_offsets(nlp):
    text = "Ada " + "!" * 500 + " met  " + "😀" * 500 + "Bob" + ")" * 500 + "\n Eve."
    doc = make_doc(nlp, text)
    assert doc.text == text
    for name in ("Ada", "met", "Bob", "Eve"):
        span = doc.char_span(text.index(name), text.index(name) + 3)
        assert span is not None and span.text == name
    inside = doc.char_span(100, 110)
    assert inside.text == "!" * 10 and len(inside) == 10


def test_what_looks_like_no_url_is_cut_where_spacy_would_cut_it(plain):
    text = "a:b" * 600
    with mock.patch.object(tokens, "MAX_COLONS", 1000):
        assert words(make_doc(plain, text)) == words(plain.make_doc(text))
        url = "http://x.org/" + "a:b" * 600
        assert words(make_doc(plain, url)) == words(plain.make_doc(url)) == [(url, "")]


def test_a_tokenizer_of_another_kind_is_left_alone():
    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: spacy.tokens.Doc(nlp.vocab, words=[text] if text else [])
    assert len(make_doc(nlp, "!" * 5000)) == 1


def test_a_text_beyond_max_length_is_refused_as_spacy_refuses_it():
    nlp = spacy.blank("en")
    nlp.max_length = 100
    with pytest.raises(ValueError, match="E088"):
        make_doc(nlp, "!" * 300)


def test_texts_with_labels_and_texts_of_rows_are_tokenized_so(make_nlp):
    text, nlp = "Ada " + "!" * 3000, make_nlp()
    with mock.patch.object(type(nlp), "make_doc", autospec=True, side_effect=spacy.Language.make_doc) as made:
        (doc,) = pipe_with_labels(nlp, [(text, ["person"])])
    assert doc.text == text and all(len(call.args[1]) < 300 for call in made.call_args_list)
    assert len(blank_tokenizer()(text)) == len(doc) == 3001
