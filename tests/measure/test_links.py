"""Links are counted exactly, what was not asked is not counted, and calibration makes their scores probabilities."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import spacy
from spacy.tokens import SpanGroup
from spacy.training import Example

from metaie_spacy.data.known_links import KnownLinks, known_links
from metaie_spacy.linking import decode
from metaie_spacy.linking.words import IN_WORDS
from metaie_spacy.measure import asking, calibrate_links
from metaie_spacy.measure.asking import evaluate_links, gold_spans, row_schema
from metaie_spacy.measure.calibrate_links import NAMES, Pairs, best_cut, fit, measure, scores_with
from metaie_spacy.measure.links import Choice, choices_of, events_of, head_choice, link_scores, support, triplets_of
from metaie_spacy.measure.scores import metaie_score
from metaie_spacy.schema import LinkSchema, parse_links
from metaie_spacy.spans import Answer, Logits

TEXT = "Ada works for KLM, Bob for Shell."
ADA, KLM, BOB, SHELL = (0, 3), (14, 17), (19, 22), (27, 32)
ROW = {
    "id": "1",
    "text": TEXT,
    "spans": [{"start": s, "end": e, "label": "person"} for s, e in (ADA, BOB)],
    "asked": ["person"],
    "links": [
        {"head": [*ADA], "label": "employer", "tails": [[*KLM]]},
        {"head": [*BOB], "label": "employer", "tails": [[*SHELL]]},
        {"head": [*ADA], "label": "spouse", "tails": []},
    ],
}


def test_a_link_is_right_only_with_its_head_its_label_and_its_whole_tail():
    gold = {(ADA, KLM, "employer"), (BOB, SHELL, "employer")}
    found = {(ADA, KLM, "employer"), (ADA, SHELL, "employer"), (BOB, SHELL, "spouse"), (BOB, (27, 33), "employer")}
    scores = link_scores([gold, set()], [found, {(ADA, KLM, "employer")}])
    assert (scores["tp"], scores["found"], scores["links"]) == (1, 5, 2)
    assert scores["p"] == 1 / 5 and scores["r"] == 1 / 2 and scores["counts"] == [[1, 3, 1], [0, 1, 0]]
    assert scores["per_label"]["spouse"]["f"] == 0 and scores["per_label"]["employer"]["links"] == 2
    assert scores["f_low"] <= scores["f"] <= scores["f_high"]


def test_triplets_need_the_sentiment_and_events_the_type_of_their_trigger():
    pairs = {((0, 4), (9, 13), "opinion"), ((20, 24), (9, 13), "opinion")}
    assert triplets_of(pairs, {(0, 4): "positive"}) == {((0, 4), (9, 13), "positive")}
    links = {((5, 9), (0, 3), "victim")}
    assert events_of(links, [(5, 9, "attack"), (5, 9, "theft"), (0, 3, "attack")]) == {
        ((5, 9, "attack"), (0, 3), "victim"),
        ((5, 9, "theft"), (0, 3), "victim"),
    }


def test_what_was_not_asked_is_neither_right_nor_wrong():
    known = known_links(ROW)
    wrong = {(ADA, SHELL, "employer"), (ADA, BOB, "spouse")}
    unknown = {(BOB, ADA, "spouse"), (KLM, ADA, "employer"), (ADA, KLM, "birthplace")}
    assert known.counted({(ADA, KLM, "employer"), *wrong, *unknown}) == {(ADA, KLM, "employer"), *wrong}


def test_answers_at_unsure_places_are_left_out_but_gold_ones_count():
    row = ROW | {"unsure": [{"start": 27, "end": 32, "label": "person"}]}
    known = known_links(row)
    assert known.counted({(ADA, SHELL, "employer"), (BOB, SHELL, "employer")}) == {(BOB, SHELL, "employer")}


def test_a_head_that_is_known_to_be_none_has_no_right_link():
    known, link = known_links(ROW), (KLM, ADA, "employer")
    assert known.counted({link}, {link: "person"}) == {link}
    assert not known.counted({link}, {link: "company"})
    open_ = known_links(ROW | {"unsure": [{"start": 14, "end": 17}]})
    assert not open_.counted({link}, {link: "person"})
    unasked = known_links({key: value for key, value in ROW.items() if key != "asked"} | {"asked": []})
    assert not unasked.counted({link}, {link: "person"})


def test_heads_are_chosen_where_one_of_several_is_right():
    known = KnownLinks(
        {(ADA, KLM, "employer"), (BOB, SHELL, "employer"), (ADA, SHELL, "client"), (BOB, SHELL, "client")},
        {(head, label) for head in (ADA, BOB) for label in ("employer", "client")} | {(ADA, "spouse")},
    )
    assert [(label, tail, heads[right]) for label, tail, heads, right in choices_of(known)] == [
        ("employer", KLM, ADA),
        ("employer", SHELL, BOB),
    ]


def test_a_tie_between_heads_is_no_right_choice():
    found = head_choice([Choice(0, [0.6, 0.5]), Choice(0, [0.5, 0.5]), Choice(1, [0.1, 0.3, 0.2])])
    assert (found["cases"], found["right"]) == (3, 2)
    assert found["chance"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)


def test_support_is_the_mean_probability_of_b_or_i():
    assert support(np.zeros((2, 2))) == pytest.approx(2 / 3)
    assert support(np.array([[-800.0, -800.0], [800.0, 0.0]])) == pytest.approx(1 / 2)
    assert support(np.zeros((0, 2))) == 0.0


def scored_links(entries, attrs):
    nlp = spacy.blank("en")
    reference, predicted = nlp.make_doc(TEXT), nlp.make_doc(TEXT)
    people = [reference.char_span(*place, label="person") for place in (ADA, BOB)]
    reference.spans["metaie"] = SpanGroup(reference, name="metaie", spans=people, attrs=attrs)
    predicted.spans["metaie"] = SpanGroup(predicted, name="metaie", attrs={"links": entries})
    return metaie_score([Example(predicted, reference)], spans_key="metaie")


def entry(head, label, tail):
    return ["metaie", *head, "person", label, "metaie_answers", *tail, label, 0.9]


def test_the_scorer_counts_links_only_where_a_reference_has_questions():
    entries = [entry(ADA, "employer", KLM), entry(ADA, "employer", SHELL), entry(BOB, "spouse", ADA)]
    asked = [[*ADA, "employer", [[*KLM]]], [*BOB, "employer", [[*SHELL]]]]
    scores = scored_links(entries, {"questions": asked})
    assert (scores["links_metaie_p"], scores["links_metaie_r"], scores["links_metaie_f"]) == (1 / 2, 1 / 2, 1 / 2)
    assert scores["links_metaie_per_type"]["employer"]["p"] == 1 / 2
    assert not any(key.startswith("links") for key in scored_links(entries, {}))


def test_docs_that_the_component_wrote_serve_as_references_too():
    gold = {"links": [entry(ADA, "employer", KLM)], "asked_links": [["person", "employer"]]}
    scores = scored_links([entry(ADA, "employer", KLM), entry(BOB, "employer", SHELL)], gold)
    assert (scores["links_metaie_p"], scores["links_metaie_r"]) == (1 / 2, 1)


def test_a_row_asks_its_relations_of_the_labels_that_its_heads_have():
    (employer, spouse) = row_schema(ROW, LinkSchema()).relations
    assert (employer.name, employer.heads, employer.queries) == ("employer", ("person",), ("employer",))
    own = parse_links({"links": {"employer": {"head": "person", "query": "works for", "tail": "company"}}})
    (employer, spouse) = row_schema(ROW, own).relations
    assert (employer.queries, employer.tails, spouse.queries) == (("works for",), ("company",), ("spouse",))


def test_gold_heads_that_are_no_span_of_the_row_are_asked_too():
    nlp = spacy.blank("en")
    row = ROW | {"spans": ROW["spans"][:1]}
    asked = gold_spans(nlp.make_doc(TEXT), row, LinkSchema())
    assert {(answer.label, answer.start) for answer in asked.answers} == {("person", 0), ("span", 5)}
    assert asked.schema.relations[0].heads == ("person", "span")


class Speaker:
    """A component whose model answers every question with one token: of each head the next company, or the last one."""

    name, spans_key, link_threshold, links = "metaie", "metaie", None, {}

    def __init__(self, binds):
        self.binds = binds

    @property
    def model(self):
        return self

    @property
    def shims(self):
        return [self]

    link_calibration = adapter = None

    def using(self, adapter):
        return nullcontext()

    def load(self):
        pass

    @property
    def attrs(self):
        return {"score_links": self.score_links}

    def score_links(self, model, docs, heads, queries):
        for number, ((i, start, _), own) in enumerate(zip(heads, queries)):
            doc = docs[i]
            companies = [token.i for token in doc if token.text in ("KLM", "Shell")]
            answer = next(t for t in companies if t > start) if self.binds else companies[-1]
            values = np.full((len(doc), len(own), 2), -6.0, dtype="float32")
            values[answer, [u for u, query in enumerate(own) if query == "employer"], 0] = 6.0
            yield Logits(number, own, list(range(len(doc))), values)


def found_doc(nlp, text, places):
    doc = nlp.make_doc(text)
    spans = [doc.char_span(*place, label="person") for place in places]
    scores = np.full(len(spans), 0.9, dtype="float32")
    doc.spans["metaie"] = SpanGroup(doc, name="metaie", spans=spans, attrs={"scores": scores, "asked": ["person"]})
    return doc


@pytest.mark.parametrize("binds, f", [(True, 1.0), (False, 1 / 2)])
def test_links_are_evaluated_about_gold_heads_and_end_to_end(monkeypatch, binds, f):
    nlp = spacy.blank("en")
    speaker = Speaker(binds)
    monkeypatch.setattr(asking, "active_pipe", lambda nlp, name: speaker)
    monkeypatch.setattr(asking, "scorer_of", lambda pipe: lambda *asked: pipe.score_links(None, *asked))
    result = evaluate_links(nlp, [ROW], [found_doc(nlp, TEXT, [ADA])])
    assert result["gold_heads"]["f"] == f and result["gold_heads"]["links"] == 2
    assert result["end_to_end"]["r"] == (1 / 2 if binds else 0)
    assert result["gold_heads"]["per_label"]["employer"]["f"] == f


def pairs_of(n, seed=0):
    rng = np.random.default_rng(seed)
    parts = np.concatenate([np.ones((n, 1)), rng.normal(size=(n, len(NAMES) - 1)) * 2], 1)
    weights = {
        "bias": -1.0, "head": 0.3, "answer": 1.5, "inverse": 0.4, "distance": -0.5, "tail": 0.25, "free": 0.5,
        "other_relation": -0.8, "other_head": -0.3,
    }  # fmt: skip
    truth = np.array([weights[name] for name in NAMES])
    right = rng.random(n) < 1 / (1 + np.exp(-parts @ truth))
    return Pairs(parts, right, np.full(n, 0.5), int(right.sum())), truth


def test_coefficients_are_found_again():
    pairs, truth = pairs_of(20_000)
    assert np.allclose(fit(pairs), truth, atol=0.12)


def test_what_speaks_for_a_link_never_counts_against_it():
    pairs, _ = pairs_of(5000)
    odds = np.random.default_rng(1)
    against = pairs._replace(right=odds.random(5000) < 1 / (1 + np.exp(2 * pairs.parts[:, NAMES.index("head")])))
    weights = dict(zip(NAMES, fit(against)))
    assert weights["head"] == 0 and min(weights[name] for name in ("answer", "inverse", "tail")) >= 0
    with_claims = pairs._replace(right=odds.random(5000) < 1 / (1 + np.exp(-pairs.parts[:, NAMES.index("other_head")])))
    weights = dict(zip(NAMES, fit(with_claims)))
    assert weights["other_head"] == 0 and weights["other_relation"] <= 0


def test_a_question_that_was_never_asked_back_keeps_its_share_of_the_answer():
    pairs, _ = pairs_of(5000)
    pairs.parts[:, NAMES.index("inverse")] = 0
    weights = dict(zip(NAMES, fit(pairs)))
    share = decode.WEIGHTS["inverse"] / decode.WEIGHTS["answer"]
    assert weights["inverse"] == pytest.approx(weights["answer"] * share)


def test_where_nothing_was_seen_the_constants_stay():
    start = np.array([decode.WEIGHTS[name] for name in NAMES])
    nothing = Pairs(np.zeros((0, len(NAMES))), np.zeros(0, bool), np.zeros(0), 0)
    assert np.allclose(fit(nothing), start)
    pairs, _ = pairs_of(500)
    pairs.parts[:, NAMES.index("tail")] = 0
    assert fit(pairs)[NAMES.index("tail")] == pytest.approx(decode.WEIGHTS["tail"])


def test_all_right_pairs_leave_the_fit_finite():
    pairs, _ = pairs_of(100)
    weights = fit(pairs._replace(right=np.ones(100, bool)))
    assert np.isfinite(weights).all() and np.abs(weights).max() < 20


def test_fitted_scores_are_probabilities_and_the_cut_is_the_best():
    pairs, _ = pairs_of(5000)
    weights = fit(pairs)
    scores = scores_with(pairs, weights)
    cut, f = best_cut([pairs], weights)
    assert best_cut([pairs, pairs], weights) == pytest.approx((cut, f))
    assert measure(pairs, scores, cut)["f"] == pytest.approx(f)
    assert all(measure(pairs, scores, other)["f"] <= f for other in (0.1, 0.3, 0.7, 0.9))
    assert measure(pairs, scores, cut)["ece"] < 0.03 < measure(pairs, pairs.scores, 0.5)["ece"] + 0.03


def test_links_that_are_missed_count_against_recall():
    pairs, _ = pairs_of(200)
    more = pairs._replace(gold=pairs.gold * 2)
    scores = pairs.right.astype("float64")
    assert measure(pairs, scores, 0.5)["r"] == 1 and measure(more, scores, 0.5)["r"] == 1 / 2


def test_calibration_sets_coefficients_threshold_and_boundary(monkeypatch):
    nlp, speaker = spacy.blank("en"), Speaker(binds=False)
    monkeypatch.setattr(asking, "scorer_of", lambda pipe: lambda *asked: pipe.score_links(None, *asked))
    rows = [ROW | {"id": str(i)} for i in range(240)]
    docs = [found_doc(nlp, TEXT, [ADA, BOB]) for _ in rows]
    result = calibrate_links.calibrate_links(speaker, rows, docs)
    assert set(speaker.link_calibration) == {*NAMES, "threshold", "tag"}
    # Half of what it says is right, and that is what its scores say now.
    assert result["before"]["p"] == 1 / 2 and result["after"]["ece"] < 0.05
    assert json.dumps(result) and result["texts"] == 240


def test_calibration_is_fitted_to_found_and_to_given_spans(monkeypatch):
    nlp, speaker = spacy.blank("en"), Speaker(binds=True)
    monkeypatch.setattr(asking, "scorer_of", lambda pipe: lambda *asked: pipe.score_links(None, *asked))
    rows = [ROW | {"id": str(i)} for i in range(240)]
    docs = [found_doc(nlp, TEXT, [ADA, BOB] if i % 2 else [ADA]) for i in range(240)]
    sizes = []
    fit_to = calibrate_links.fit
    monkeypatch.setattr(calibrate_links, "fit", lambda pairs: sizes.append(pairs.gold) or fit_to(pairs))
    assert calibrate_links.calibrate_links(speaker, rows, docs)
    ways = [{}, {"typed": True}, {"given": True}, {"typed": True, "given": True}]
    half = calibrate_links.halved(rows, 0)[0]
    each = [calibrate_links.weigh(speaker, rows, docs, half, {}, **way) for way in ways]
    found, typed, given, both = (len(part.right) for part in each)
    assert found < given and typed < both, "a span that is not found is asked where spans are given"
    assert set(sizes) == {sum(part.gold for part in each)}


def test_candidates_are_the_answers_and_the_spans_that_answer_nothing():
    doc = spacy.blank("en").make_doc(TEXT)
    given = asking.gold_spans(doc, ROW, LinkSchema())
    weak = [Answer("person", 6, 7, 0.1)]
    asked = asking.with_candidates(given._replace(weak=weak), ROW)
    assert all(relation.tails == (asking.CANDIDATE,) for relation in asked.schema.relations)
    candidates = [doc[one.start : one.end].text for one in asked.answers if one.label == asking.CANDIDATE]
    assert sorted(candidates) == ["Ada", "Bob", "KLM", "Shell"] and asking.CANDIDATE in asked.labels
    assert [one for one in asked.answers if one.label == "person"] == given.answers, "heads stay heads"
    assert [one.label for one in asked.weak] == ["person", asking.CANDIDATE], "weak ones stay weak"
    tail = asking.with_candidates(given._replace(answers=[*given.answers, Answer("person", 3, 4, 1.0)]), ROW)
    assert [one.start for one in tail.answers if one.label == asking.CANDIDATE].count(3) == 1, "each place once"


def test_too_few_links_change_nothing(monkeypatch):
    nlp, speaker = spacy.blank("en"), Speaker(binds=True)
    monkeypatch.setattr(asking, "scorer_of", lambda pipe: lambda *asked: pipe.score_links(None, *asked))
    rows = [ROW | {"id": str(i)} for i in range(20)]
    docs = [found_doc(nlp, TEXT, [ADA, BOB]) for _ in rows]
    assert calibrate_links.calibrate_links(speaker, rows, docs) is None
    assert speaker.link_calibration is None


def test_evaluate_reports_links_of_rows_with_them(tmp_path, make_nlp):
    from metaie_spacy.measure.evaluate import evaluate

    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({"id": "2", "text": "Ada.", "spans": []}), encoding="utf8")
    result = evaluate(make_nlp(["person"]), path)
    assert set(result["links"]) == {"gold_heads", "end_to_end"} and result["links"]["gold_heads"]["links"] == 2
    assert "counts" not in result["links"]["gold_heads"] and result["texts"] == 2
    path.write_text(json.dumps({key: ROW[key] for key in ("id", "text", "spans")}), encoding="utf8")
    assert "links" not in evaluate(make_nlp(["person"]), path)


def test_free_answers_are_read_at_the_calibrated_boundary_whatever_the_threshold():
    nlp, speaker = spacy.blank("en"), Speaker(binds=True)

    def unsure(docs, heads, queries):
        for part in speaker.score_links(None, docs, heads, queries):
            yield part._replace(values=np.where(part.values > 0, np.float32(-1.0), part.values))  # P(B) about 0.27

    def pairs(**calibration):
        weighed = []
        text = asking.gold_spans(nlp.make_doc(TEXT), ROW, LinkSchema())
        wanted = [asking.Wanted(text.doc, text.answers, text.labels, text.schema, None)]
        asking.follow(wanted, unsure, calibration, weighed)
        return len(weighed)

    assert pairs() == 0 and pairs(threshold=0.1) == 2
    assert pairs(tag=0.2, threshold=0.9) == 2 and pairs(tag=0.5, threshold=0.1) == 0


def test_links_asked_in_words_are_measured_as_the_component_weighs_them(monkeypatch):
    nlp, speaker = spacy.blank("en"), Speaker(binds=False)
    monkeypatch.setattr(asking, "scorer_of", lambda pipe: lambda *asked: pipe.score_links(None, *asked))
    asked = [
        asking.found_spans(
            speaker, found_doc(nlp, TEXT, [ADA, BOB]), row_schema(ROW, parse_links({"links": speaker.links}))
        )
    ]
    plain, in_words = [], []
    assert list(asking.ask(speaker, asked, weighed=plain)) == list(
        asking.ask(speaker, asked, calibration=IN_WORDS, weighed=in_words)
    )
    assert plain and plain == in_words
