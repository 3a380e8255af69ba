"""Which heads are asked what, and which of the answers are links."""

import time

import numpy as np
import pytest
from answering import NLP, Answering, ask, found_in, wanted
from counting import assert_grows_evenly, peak
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.linking.follow import Wanted, follow, levels
from metaie_spacy.schema import LinkSchema, Relation, parse_links
from metaie_spacy.spans import Answer, Logits

TEXT = "Ada Lovelace works for the Royal Society in London, and Bob Smith for KLM in Paris."
WORKS = {"links": {"works_for": {"head": "PER", "query": "employer", "tail": "ORG"}}}
PEOPLE = {"PER": ["Ada Lovelace", "Bob Smith"], "ORG": ["Royal Society", "KLM"]}
EMPLOYERS = {("Ada Lovelace", "employer"): ["Royal Society"], ("Bob Smith", "employer"): ["KLM"]}


def test_each_head_gets_its_own_tail():
    found, followed = ask(TEXT, WORKS, EMPLOYERS, **PEOPLE)
    assert found == [("Ada Lovelace", "works_for", "Royal Society"), ("Bob Smith", "works_for", "KLM")]
    assert all(0.5 < link.score < 1 and not link.tail.is_free for link in followed.links)
    assert followed.answers == [] and followed.asked == [("PER", "works_for")] and followed.free == []


def test_an_answer_that_overlaps_a_span_of_the_tail_label_takes_its_borders():
    facts = {("Ada Lovelace", "employer"): ["Society"], ("Bob Smith", "employer"): ["Society in London"]}
    found, _ = ask(TEXT, WORKS, facts, threshold=0.3, **PEOPLE)
    assert [tail for *_, tail in found] == ["Royal Society", "Royal Society"]


def test_an_answer_goes_to_the_relation_and_the_head_that_claim_it_most():
    schema = {"links": WORKS["links"] | {"left": {"head": "PER", "query": "former employer", "tail": "ORG"}}}
    doubtful = {("Ada Lovelace", "former employer"): [("Royal Society", 1.0)]}
    rival = {("Ada Lovelace", "employer"): ["Royal Society"]}
    assert ask(TEXT, schema, doubtful, **PEOPLE)[0] == [("Ada Lovelace", "left", "Royal Society")]
    assert ask(TEXT, schema, doubtful | rival, **PEOPLE)[0] == [("Ada Lovelace", "works_for", "Royal Society")]
    other = {("Bob Smith", "former employer"): ["Royal Society"]}
    assert ask(TEXT, schema, doubtful | other, **PEOPLE)[0] == [("Bob Smith", "left", "Royal Society")]
    both = {(head, query): ["KLM"] for head in PEOPLE["PER"] for query in ("employer", "former employer")}
    assert len(ask(TEXT, schema, both, **PEOPLE)[0]) == 4  # what is equally sure stays


def test_a_rival_of_another_text_or_beside_the_tail_costs_nothing():
    one = wanted(TEXT, WORKS, **PEOPLE)
    beside = EMPLOYERS | {("Bob Smith", "employer"): [("Royal", 0.0), "KLM"]}
    score = follow([one], Answering(EMPLOYERS))[0].links[1].score
    assert [link.score for text in follow([one, one], Answering(beside)) for link in text.links[1:]] == [score] * 2


def test_free_answers_are_their_own_spans_or_the_entities_that_they_are():
    schema = {"links": {"works_for": {"head": "PER", "query": "employer"}}}
    facts = {("Ada Lovelace", "employer"): ["Royal Society", "London,"], ("Bob Smith", "employer"): ["KLM"]}
    found, followed = ask(TEXT, schema, facts, PER=PEOPLE["PER"], ORG=["KLM"])
    assert found == [
        ("Ada Lovelace", "works_for", "Royal Society"),
        ("Ada Lovelace", "works_for", "London"),  # trimmed as all answers are
        ("Bob Smith", "works_for", "KLM"),
    ]
    assert [(link.tail.label, link.tail.is_free) for link in followed.links] == [
        ("works_for", True), ("works_for", True), ("ORG", False),
    ]  # fmt: skip
    assert [(answer.label, answer.score) for answer in followed.answers] == [
        ("works_for", link.score) for link in followed.links[:2]
    ]
    assert followed.free == ["works_for"]


@pytest.mark.parametrize("tail", ["PER", None])
def test_no_head_is_its_own_tail_nor_overlaps_it(tail):
    schema = {"links": {"same": {"head": "PER", "query": "q", **({"tail": tail} if tail else {})}}}
    facts = {("Ada Lovelace", "q"): ["Ada Lovelace works", "Bob Smith"], ("Lovelace", "q"): ["Ada Lovelace"]}
    found, _ = ask(TEXT, schema, facts, PER=["Ada Lovelace", "Lovelace", "Bob Smith"])
    assert found == [("Ada Lovelace", "same", "Bob Smith")]


def test_a_span_under_two_labels_is_asked_once_and_linked_once():
    schema = {
        "links": {
            "works_for": {"head": ["PER", "AUTHOR"], "query": "employer", "tail": ["ORG", "SOCIETY"]},
            "born": {"head": "AUTHOR", "query": "birthplace"},
        }
    }
    labels = {"PER": [("Ada Lovelace", 0.6)], "AUTHOR": ["Ada Lovelace"], "ORG": ["Royal Society"]}
    one = wanted(TEXT, schema, **labels, SOCIETY=[("Royal Society", 0.95)])
    scorer = Answering(EMPLOYERS)
    (followed,) = follow([one], scorer)
    assert scorer.calls == [[("Ada Lovelace", ("employer", "birthplace"))]]
    ((head, _, tail, _),) = followed.links
    assert (head.label, tail.label) == ("AUTHOR", "SOCIETY")  # the better-scored ones
    assert followed.asked == [("PER", "works_for"), ("AUTHOR", "works_for"), ("AUTHOR", "born")]


TREE = {
    "links": {
        "place": {"head": "employer", "query": "city", "tail": "CITY"},
        "country": {"head": ["place", "CITY"], "query": "country"},
        "employer": {"head": "PER", "query": "employer"},
    }
}
DEEP = "Ada works at the mill in Hull in Britain. Bob works at the mine in Kiel in Germany."
DEEP_FACTS = {
    ("Ada", "employer"): ["the mill"], ("Bob", "employer"): ["the mine"], ("the mill", "city"): ["Hull"],
    ("the mine", "city"): ["Kiel"], ("Hull", "country"): ["Britain"], ("Kiel", "country"): ["Germany"],
}  # fmt: skip


def test_a_tree_of_links_is_asked_one_depth_a_call_for_all_texts_together():
    texts = [wanted(DEEP, TREE, PER=["Ada"], CITY=["Hull", "Kiel"]), wanted(DEEP, TREE, PER=["Bob"], CITY=["Kiel"])]
    scorer = Answering(DEEP_FACTS)
    one, other = follow(texts, scorer)
    assert found_in(texts[0].doc, one) == [
        ("Ada", "employer", "the mill"),
        ("the mill", "place", "Hull"),
        ("Hull", "country", "Britain"),
        ("Kiel", "country", "Germany"),
    ]
    assert [tail for *_, tail in found_in(texts[1].doc, other)] == ["the mine", "Kiel", "Germany"]
    assert [[head for head, _ in call] for call in scorer.calls] == [
        ["Ada", "Bob"],
        ["the mill", "the mine"],
        ["Hull", "Kiel", "Kiel"],
    ]
    assert ("employer", "place") in one.asked and ("place", "country") in one.asked and ("CITY", "country") in one.asked


def test_links_of_an_answer_weigh_how_sure_it_is():
    schema = {
        "links": {"employer": {"head": "PER", "query": "employer"}, "place": {"head": "employer", "query": "city"}}
    }
    scores = []
    for logit in (6.0, 1.0):
        facts = {("Ada", "employer"): [("the mill", logit)], ("the mill", "city"): ["Hull"]}
        _, followed = ask(DEEP, schema, facts, PER=["Ada"])
        scores.append([link.score for link in followed.links])
    assert all(sure > unsure for sure, unsure in zip(*scores))


def test_relations_that_wait_for_each_other_are_refused():
    circle = LinkSchema((Relation("a", ("b",), ("a",)), Relation("b", ("a",), ("b",))))
    with pytest.raises(ValueError, match="in a circle: a, b"):
        levels(circle)


def test_answers_are_asked_back_only_if_they_may_be_right_and_the_answer_tells_heads_apart():
    schema = {"links": {"works_for": WORKS["links"]["works_for"] | {"inverse": ["employee", "staff"]}}}
    labels = {"PER": PEOPLE["PER"], "ORG": [*PEOPLE["ORG"], "Paris"]}
    doubtful = {(head, "employer"): [("KLM", 1.0)] for head in PEOPLE["PER"]}
    back = {("KLM", "staff"): ["Bob Smith"]}
    scorer, one = Answering(doubtful | back), wanted(TEXT, schema, **labels)
    (followed,) = follow([one], scorer)
    assert scorer.calls[1] == [("KLM", ("employee", "staff"))] and len(scorer.calls) == 2
    assert found_in(one.doc, followed) == [("Bob Smith", "works_for", "KLM")]
    (without,) = follow([wanted(TEXT, WORKS, **labels)], Answering(doubtful))
    assert len(without.links) == 2


def test_most_tails_and_one_head_hold_in_a_text():
    facts = {("Ada Lovelace", "employer"): ["Royal Society", "KLM"], ("Bob Smith", "employer"): [("KLM", 3.0)]}

    def asked(**more):
        schema = {"links": {"works_for": WORKS["links"]["works_for"] | more}}
        return [(head, tail) for head, _, tail in ask(TEXT, schema, facts, **PEOPLE)[0]]

    ada, bob = PEOPLE["PER"]
    assert asked() == [(ada, "Royal Society"), (ada, "KLM"), (bob, "KLM")]
    assert asked(max=1) == [(ada, "Royal Society"), (bob, "KLM")]
    assert asked(one_head=True) == [(ada, "Royal Society"), (ada, "KLM")]
    assert asked(one_head=True, max=1) == [(ada, "Royal Society")]


def test_one_head_holds_for_free_answers_too():
    facts = {("Ada Lovelace", "employer"): ["KLM"], ("Bob Smith", "employer"): [("KLM", 3.0)]}
    schema = {"links": {"works_for": {"head": "PER", "query": "employer", "one_head": True}}}
    assert ask(TEXT, schema, facts, PER=PEOPLE["PER"])[0] == [("Ada Lovelace", "works_for", "KLM")]


def test_thresholds_decide_the_relations_before_the_calls():
    facts = {("Ada Lovelace", "employer"): [("Royal Society", -2.0)]}
    low = {"links": {"works_for": WORKS["links"]["works_for"] | {"threshold": 0.05}}}
    assert len(ask(TEXT, low, facts, threshold=0.9, **PEOPLE)[0]) == 1
    assert ask(TEXT, WORKS, facts, threshold=0.9, **PEOPLE)[0] == ask(TEXT, WORKS, facts, **PEOPLE)[0] == []
    assert len(ask(TEXT, WORKS, facts, threshold=0.0, **PEOPLE)[0]) == 4  # all pairs
    assert ask(TEXT, WORKS, EMPLOYERS, threshold=1.0, **PEOPLE)[0] == []
    free = {"links": {"works_for": {"head": "PER", "query": "employer"}}}
    assert ask(TEXT, free, facts, **PEOPLE)[0] == [] != ask(TEXT, free, facts, threshold=0.05, **PEOPLE)[0]


def test_a_calibration_replaces_weights_and_the_last_threshold():
    one = wanted(TEXT, WORKS, **PEOPLE)
    for calibration, n_links in ((None, 2), ({"bias": -20.0}, 0), ({"threshold": 0.9999}, 0), ({"bias": 20.0}, 2)):
        (followed,) = follow([one], Answering(EMPLOYERS), calibration)
        assert len(followed.links) == n_links


def test_one_name_may_be_asked_of_heads_in_different_ways():
    schema = {
        "links": {
            "in": [
                {"head": "PER", "query": "home", "tail": "CITY"},
                {"head": "ORG", "query": "seat", "tail": "CITY"},
            ],
            "of": {"head": "in", "query": "country"},
        }
    }
    facts = {
        ("Ada Lovelace", "home"): ["London"], ("KLM", "seat"): ["Paris"], ("London", "country"): ["Royal"],
        ("Paris", "country"): ["Bob"],
    }  # fmt: skip
    found, followed = ask(TEXT, schema, facts, **PEOPLE, CITY=["London", "Paris"])
    assert found == [
        ("Ada Lovelace", "in", "London"), ("London", "of", "Royal"), ("KLM", "in", "Paris"), ("Paris", "of", "Bob"),
    ]  # fmt: skip
    assert [name for _, name in followed.asked] == ["in", "in", "of"]


def test_of_several_wordings_each_token_takes_the_best_however_they_are_chunked():
    schema = {"links": {"works_for": {"head": "PER", "query": ["boss", "employer", "firm"], "tail": "ORG"}}}
    facts = {("Ada Lovelace", "boss"): ["Royal"], ("Ada Lovelace", "firm"): ["Society"]}
    scores = [[link.score for link in ask(TEXT, schema, facts, chunk=chunk, **PEOPLE)[1].links] for chunk in (1, 2, 9)]
    assert len(scores[0]) == 1 and scores[0] == scores[1] == scores[2]


def test_candidates_outside_what_was_read_with_the_head_are_no_tails():
    facts = {("Ada Lovelace", "employer"): ["Royal Society", "KLM"]}
    assert [tail for *_, tail in ask(TEXT, WORKS, facts, **PEOPLE)[0]] == ["Royal Society", "KLM"]
    near_only = ask(TEXT, WORKS, facts, near=6, threshold=0.0, **PEOPLE)[0]
    assert [(head, tail) for head, _, tail in near_only if head == "Ada Lovelace"] == [
        ("Ada Lovelace", "Royal Society")
    ]


def test_attributes_choose_the_option_that_is_said_near_the_head():
    text = "The soup was cold and awful, but the cake was lovely."
    schema = {
        "links": {"opinion": {"head": "DISH", "query": "opinion"}},
        "attributes": {
            "taste": {"head": ["DISH", "FOOD"], "options": {"good": ["positive", "great"], "bad": "negative"}}
        },
    }
    facts = {("soup", "negative"): ["awful"], ("cake", "great"): [("lovely", 0.5)], ("cake", "opinion"): ["lovely"]}
    one = wanted(text, schema, DISH=["soup", "cake"], FOOD=[("cake", 0.95)])
    scorer = Answering(facts)
    (followed,) = follow([one], scorer)
    assert [(one.doc[m.start].text, m.label, *rest[:2]) for m, *rest in followed.attributes] == [
        ("soup", "DISH", "taste", "bad"),
        ("cake", "DISH", "taste", "good"),
        ("cake", "FOOD", "taste", "good"),
    ]
    assert all(0.5 < share < 1 for *_, share in followed.attributes)
    assert [len(call) for call in scorer.calls] == [2]  # with the links of the same heads
    assert followed.asked_attributes == ["taste"] and ("FOOD", "taste") in followed.asked


@pytest.mark.parametrize("text, labels", [("", {"PER": [], "ORG": []}), (" \n\n ", {"PER": [], "ORG": []}), (TEXT, {"PER": [], "ORG": ["KLM"]}), (TEXT, {"PER": ["Bob Smith"], "ORG": []}), (TEXT, {"PER": ["Bob Smith"]}), (TEXT, {"ORG": ["KLM"]})])  # fmt: skip
def test_where_there_is_no_head_or_no_candidate_nothing_is_computed(text, labels):
    scorer = Answering({})
    (followed,) = follow([wanted(text, WORKS, **labels)], scorer)
    assert scorer.calls == [] and followed.links == [] and followed.answers == []
    # Not found differs from not asked: of labels that were not asked, nothing was.
    assert followed.asked == ([("PER", "works_for")] if set(labels) == {"PER", "ORG"} else [])


def test_white_space_is_no_head():
    doc = NLP.make_doc("Ada \n\n flew.")
    space = next(token.i for token in doc if token.is_space)
    one = Wanted(doc, [Answer("PER", space, space + 1, 1.0)], ["PER", "ORG"], parse_links(WORKS))
    free = one._replace(schema=parse_links({"links": {"x": {"head": "PER"}}}))
    scorer = Answering({})
    assert all(followed.links == [] for followed in follow([one, free], scorer)) and scorer.calls == []


def test_a_text_without_an_answer_leaves_the_others_theirs():
    texts = [wanted(TEXT, WORKS, **labels) for labels in ({"PER": [], "ORG": []}, PEOPLE, {"PER": [], "ORG": []})]
    assert [len(followed.links) for followed in follow(texts, Answering(EMPLOYERS))] == [0, 2, 0]
    assert follow([], Answering({})) == []


def test_texts_may_be_asked_different_things():
    free = {"links": {"city": {"head": "ORG", "query": "city"}}}
    texts = [wanted(TEXT, WORKS, **PEOPLE), wanted(TEXT, free, **PEOPLE), wanted(TEXT, {}, **PEOPLE)]
    scorer = Answering(EMPLOYERS | {("KLM", "city"): ["Paris"]})
    found = follow(texts, scorer)
    assert [[link.label for link in followed.links] for followed in found] == [["works_for"] * 2, ["city"], []]
    assert len(scorer.calls) == 1


def many(n_heads, n_relations, n_tails=None):
    """A text of heads and tails by turns, with relations to tails for one half and free ones for the other."""
    doc = NLP.make_doc("head tail " * n_heads)
    answers = [Answer("H", 2 * i, 2 * i + 1, 0.9) for i in range(n_heads)]
    answers += [Answer("T", 2 * i + 1, 2 * i + 2, 0.9) for i in range(n_tails or n_heads)]
    links = {f"r{i}": {"head": "H", "query": f"q{i}", **({"tail": "T"} if i % 2 else {})} for i in range(n_relations)}
    return Wanted(doc, answers, ["H", "T"], parse_links({"links": links}))


def random_scorer(docs, heads, queries, near=256):
    """Each head's own random answers, of which about one in fifty tokens is part."""
    for number, ((i, start, _), own) in enumerate(zip(heads, queries)):
        tokens = list(range(max(0, start - near), min(len(docs[i]), start + near)))
        values = np.random.default_rng(start).normal(-4, 2, (len(tokens), len(own), 2)).astype("float32")
        yield Logits(number, own, tokens, values)


def test_500_heads_and_20_relations_in_one_text_take_seconds():
    one = many(500, 20)
    before = time.process_time()
    (followed,) = follow([one], random_scorer)
    assert len(followed.links) > 1000 and time.process_time() - before < 30


def test_steps_grow_with_heads_and_memory_with_pairs():
    def run(size):
        return follow([many(size, 4)], lambda *args: random_scorer(*args, near=16))

    run(10)
    assert_grows_evenly(run, 40, most=2.6)
    assert peak(run, 400) < 40e6


@settings(max_examples=60)
@given(st.data())
def test_any_heads_and_tails_give_links_between_them_once(data):
    words = data.draw(st.lists(st.sampled_from(["a", "b", " ", "\n\n", ",", "é"]), max_size=12))
    doc = NLP.make_doc(" ".join(words))
    n = len(doc)
    places = st.tuples(st.integers(0, max(0, n - 1)), st.integers(1, 4), st.sampled_from("HT"), st.floats(0, 1))
    drawn = data.draw(st.lists(places, max_size=8)) if n else []
    answers = [Answer(label, start, min(n, start + size), score) for start, size, label, score in drawn]
    schema = {
        "links": {
            "r": {"head": ["H", "T"], "tail": "T", "inverse": "r back", "one_head": data.draw(st.booleans())},
            "free": {"head": ["H", "r"], "max": data.draw(st.sampled_from([None, 1])), "inverse": "free back"},
            "after": {"head": "free", "tail": ["H", "T"]},
        },
        "attributes": {"a": {"head": "T", "options": ["x", "y"]}},
    }
    one = Wanted(doc, answers, ["H", "T"], parse_links(schema), data.draw(st.sampled_from([0.0, 0.3, 0.5])))

    def scorer(docs, heads, queries):
        for logits in random_scorer(docs, heads, queries, near=10**6):
            kept = [i for i in logits.tokens if not doc[i].is_space]
            yield logits._replace(tokens=kept, values=logits.values[kept])

    (followed,) = follow([one], scorer)
    (again,) = follow([one], scorer)
    assert followed == again
    spans = {(answer.start, answer.end) for answer in answers}
    assert len({(link.head[:2], link.label, link.tail[:2]) for link in followed.links}) == len(followed.links)
    for head, label, tail, score in followed.links:
        assert 0 <= head.start < head.end <= n and 0 <= tail.start < tail.end <= n and 0 <= score <= 1
        assert head.end <= tail.start or tail.end <= head.start
        assert label == "free" or tail[:2] in spans
        assert not doc[tail.start : tail.end].text.isspace() or not tail.is_free
    assert {answer[:3] for answer in followed.answers} == {
        (link.tail.label, *link.tail[:2]) for link in followed.links if link.tail.is_free
    }


def test_an_option_without_a_wording_holds_where_no_other_is_said():
    schema = {
        "attributes": {"taste": {"head": "DISH", "options": {"plain": None, "good": "positive", "bad": "negative"}}}
    }
    ask = Answering({("soup", "negative"): [("awful", 2.0)], ("bread", "positive"): [("soft", -2.0)]})
    [found] = follow([wanted("The soup was awful. Then came bread, soft.", schema, DISH=["soup", "bread"])], ask)
    options = {mention.start: (name, option) for mention, name, option, _ in found.attributes}
    assert list(options.values()) == [("taste", "bad"), ("taste", "plain")]
    assert all(query in ("positive", "negative") for call in ask.calls for _, own in call for query in own)
