"""The router in a pipeline: who answers which text, at what cost, and what happens when something goes wrong."""

import copy
import json
import multiprocessing
import os
import signal
import sqlite3
import time
from itertools import islice

import pytest
import spacy
from helpers import FLOAT32
from routed import LABELS, ROWS, TEXTS, gold_of, spots
from spacy.tokens import Doc
from teacher_server import teacher_server

from metaie_spacy import pipe_with_labels
from metaie_spacy.notes import take_note
from metaie_spacy.router.policies import Policy, make_cascade
from metaie_spacy.spans import Answer

FAULTS = dict.fromkeys(
    ("429", "500", "503", "timeout", "cut", "truncated", "prose", "invented", "encoding", "html"), 0.03
)


def routes(docs):
    return [doc._.metaie_route["route"] for doc in docs]


def on_disk(path):
    """Answers, and what they cost at the prices of the tests."""
    with sqlite3.connect(path) as db:
        n, n_in, n_out = db.execute(
            "SELECT COUNT(*), SUM(prompt_tokens), SUM(completion_tokens) FROM answers"
        ).fetchone()
    return n, ((n_in or 0) * 1.0 + (n_out or 0) * 2.0) / 1e6


def test_a_text_that_is_asked_has_the_large_models_spans_of_the_asked_labels(make_routed, server):
    doc = make_routed(server=server)(TEXTS[0])
    assert spots(doc) == gold_of(ROWS[0])
    assert list(doc.spans["metaie"].attrs["scores"]) == [1.0, 1.0]
    assert doc.spans["metaie"].attrs["asked"] == LABELS
    route = doc._.metaie_route
    assert (route["route"], route["why"], route["neighbours"]) == ("large", "score", []) and route["cost"] > 0
    assert set(doc.user_data) == {("._.", "metaie_route", None, None)}


def test_nothing_is_sent_for_texts_that_stay_small(make_routed, make_nlp, server):
    nlp = make_routed("small", server=server)
    docs = list(nlp.pipe(TEXTS))
    assert routes(docs) == ["small"] * len(TEXTS) and server.stats()["requests"] == 0
    nlp.remove_pipe("metaie_router")
    assert [spots(doc) for doc in docs] == [spots(doc) for doc in nlp.pipe(TEXTS)]


def test_a_pipeline_is_made_and_saved_without_a_question_or_a_key(make_routed, tmp_path):
    nlp = make_routed(teacher=None)
    nlp.get_pipe("metaie_router").settings = {"model": "x", "api_key_env": "NO_SUCH_KEY"}
    nlp.to_disk(tmp_path / "saved")
    assert "NO_SUCH_KEY" not in (tmp_path / "saved" / "config.cfg").read_text()
    doc = nlp(TEXTS[0])
    assert doc._.metaie_route["route"] == "small" and "NO_SUCH_KEY" in doc._.metaie_route["why"]


def test_docs_come_in_order_and_are_asked_several_at_a_time(make_routed, server):
    nlp = make_routed(server=server, teacher={"in_flight": 4})
    docs = list(nlp.pipe(TEXTS, batch_size=16))
    assert [doc.text for doc in docs] == TEXTS and [spots(doc) for doc in docs] == [gold_of(row) for row in ROWS]
    assert 1 < server.stats()["most_in_flight"] <= 4


def test_the_cost_of_the_routes_is_the_cost_on_disk_and_a_second_run_is_free(make_routed, server, tmp_path):
    nlp = make_routed(server=server)
    docs = list(nlp.pipe(TEXTS))
    n, cost = on_disk(tmp_path / "teacher.sqlite")
    assert n == len(TEXTS) == server.stats()["completed"]
    assert sum(doc._.metaie_route["cost"] for doc in docs) == pytest.approx(cost)
    assert nlp.get_pipe("metaie_router").cost == pytest.approx(cost)
    again = make_routed(server=server)
    assert [spots(doc) for doc in again.pipe(TEXTS)] == [spots(doc) for doc in docs]
    assert server.stats()["requests"] == len(TEXTS) and again.get_pipe("metaie_router").cost == 0


def test_with_30_percent_faults_every_text_is_answered_once(make_routed, corpus, tmp_path):
    with teacher_server(corpus=[corpus], fault=FAULTS, hang=1.0) as server:
        nlp = make_routed(server=server, teacher={"timeout": 0.5, "retries": 3, "patience": 5.0})
        small = [spots(doc) for doc in make_routed("small").pipe(TEXTS)]
        docs = list(nlp.pipe(TEXTS))
        completed = server.stats()["completed"]
    assert [doc.text for doc in docs] == TEXTS
    for doc, row, own in zip(docs, ROWS, small):
        route = doc._.metaie_route
        assert route["route"] == "large" or (route["why"].startswith("failed") and spots(doc) == own)
        # A fault may lose a span of an answer; it adds none that the text does not bear out.
        assert route["route"] == "small" or spots(doc) <= gold_of(row)
    assert routes(docs).count("large") >= 35
    n, cost = on_disk(tmp_path / "teacher.sqlite")
    assert nlp.get_pipe("metaie_router").cost == pytest.approx(cost) and n <= completed


def test_a_spent_budget_leaves_the_rest_to_the_small_model(make_routed, server, tmp_path):
    nlp = make_routed(server=server, max_cost=0.008, teacher={"max_tokens": 200, "in_flight": 2})
    docs = list(nlp.pipe(TEXTS))
    _, cost = on_disk(tmp_path / "teacher.sqlite")
    assert 0 < cost <= 0.008 and nlp.get_pipe("metaie_router").cost == pytest.approx(cost)
    assert {*routes(docs)} == {"small", "large"} and len(docs) == len(TEXTS)
    assert all(doc._.metaie_route["why"].startswith("budget") for doc in docs if doc._.metaie_route["route"] == "small")


def test_an_endpoint_that_is_gone_is_left_alone_for_a_while(make_routed, server):
    nlp = make_routed(server=server, teacher={"base_url": "http://127.0.0.1:9/v1", "retries": 0, "in_flight": 1})
    first, second = nlp(TEXTS[0]), nlp(TEXTS[1])
    assert first._.metaie_route["why"].startswith("failed") and second._.metaie_route["why"] == "endpoint rests"
    assert routes([first, second]) == ["small", "small"]


@pytest.mark.parametrize("limits, n", [({"max_share": 0.25}, 10), ({"per_minute": 7}, 7), ({"max_share": 0.0}, 0)])
def test_no_more_is_asked_than_a_limit_allows(make_routed, server, limits, n):
    docs = list(make_routed(server=server, **limits).pipe(TEXTS))
    assert routes(docs).count("large") == n == server.stats()["requests"]
    assert {doc._.metaie_route["why"] for doc in docs} <= {"score", *limits}


def test_texts_bring_labels_of_their_own_to_both_models(make_routed, server):
    nlp = make_routed(server=server)
    pairs = [(row["text"], {"WHEN": "year"} if i % 2 else ["place"]) for i, row in enumerate(ROWS)]
    for i, (doc, row) in enumerate(zip(pipe_with_labels(nlp, pairs), ROWS)):
        names = ["year"] if i % 2 else ["place"]
        expected = {(start, end, "WHEN" if label == "year" else label) for start, end, label in gold_of(row, names)}
        assert spots(doc) == expected


def test_text_without_labels_or_without_words_stays_small(make_routed, server):
    nlp = make_routed(server=server)
    nlp.get_pipe("metaie").labels = []
    with pytest.warns(UserWarning):
        assert nlp(TEXTS[0])._.metaie_route["why"] == "no labels"
    assert server.stats()["requests"] == 0


def test_entities_are_those_of_the_model_that_answered(make_routed, server):
    nlp = make_routed(server=server, small={"set_ents": True, "threshold": 0.05})
    ruler = nlp.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "AIRLINE", "pattern": "KLM"}])
    doc = nlp(TEXTS[0])
    found = {(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents if ent.label_ != "AIRLINE"}
    assert found == gold_of(ROWS[0]) and [ent.text for ent in doc.ents if ent.label_ == "AIRLINE"] == ["KLM"]


def test_a_router_needs_the_component_that_it_stands_behind(make_routed):
    with pytest.raises(ValueError, match="nlp.add_pipe"):
        spacy.blank("en").add_pipe("metaie_router")
    nlp = make_routed("small")
    router = nlp.get_pipe("metaie_router")
    with pytest.raises(ValueError, match="left no note"):
        router(Doc(nlp.vocab, words=["a"]))


@pytest.mark.parametrize(
    "config, words",
    [
        ({"ask": {"share": 2}}, "share"),
        ({"ask": {"share": 0.5, "worth": 1}}, "one of"),
        ({"max_share": -1}, "max_share"),
        ({"policy": {"@misc": "metaie-spacy.Teacher.v1", "model": "x"}}, "policy"),
        ({"max_cost": 1.0, "teacher": {"model": "x"}}, "price_in"),
        ({"teacher": {"model": "x", "in_flight": 0}}, "in_flight of the teacher of 'metaie_router' is 0"),
        ({"teacher": {"modle": "x"}}, r"unknown settings \['modle'\]; known are model, base_url"),
        ({"teacher": {"base_url": "x"}}, 'names no "model"'),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(make_nlp, config, words):
    with pytest.raises(ValueError, match=words):
        make_nlp(LABELS).add_pipe("metaie_router", config=config)


def test_a_teacher_that_cannot_be_made_leaves_all_to_the_small_model(make_routed, server):
    doc = make_routed(server=server, teacher={"form": "xml"})(TEXTS[0])
    assert doc._.metaie_route["route"] == "small" and "form is 'xml'" in doc._.metaie_route["why"]


def test_rules_hold_for_the_answers_of_the_large_model(make_routed, server):
    nlp = make_routed(server=server)
    pipe = nlp.get_pipe("metaie")
    pipe.labels = {
        "person": {"keep": r"\w+"},
        "CODE": {"pattern": r"\d{4}"},
        "WHERE": {"pattern": "KLM", "query": "place"},
    }
    doc = nlp(TEXTS[0])
    assert [(span.text, span.label_) for span in doc.spans["metaie"]] == [
        ("London", "WHERE"), ("1800", "CODE"), ("KLM", "WHERE"),
    ]  # fmt: skip
    assert doc.spans["metaie"].attrs["asked"] == ["person", "CODE", "WHERE"]
    pipe.labels = {"CODE": {"pattern": r"\d{4}"}}
    doc = nlp(TEXTS[1])
    assert doc._.metaie_route["why"] == "no labels" and [span.text for span in doc.spans["metaie"]] == ["1801"]


def test_children_are_answers_of_the_large_model_where_it_finds_their_parent(make_routed, server):
    nlp = make_routed(server=server)
    nlp.get_pipe("metaie").labels = {"planet": {"children": ["person"]}, "year": {"children": ["place"]}}
    doc = nlp(TEXTS[0])
    assert {label for *_, label in spots(doc)} == {"year", "place"}
    assert doc.spans["metaie"].attrs["asked"] == ["planet", "year", "place"]


def test_a_label_that_neither_model_was_asked_is_not_noted_as_asked(make_nlp):
    nlp = make_nlp({"date": {"children": ["person"]}, "place": "place"}, threshold=1.0)
    pipe = nlp.get_pipe("metaie")
    pipe.notes = True
    doc = nlp(TEXTS[0])
    pipe.replace(doc, [Answer("date", 0, 1, 1.0)], take_note(doc, "metaie"), ["date"])
    assert doc.spans["metaie"].attrs["asked"] == ["date", "place"]


def test_blocked_tokens_stay_blocked_for_the_large_model(make_routed, server):
    nlp = make_routed(server=server, small={"set_ents": True})
    doc = nlp.make_doc(TEXTS[0])
    doc.set_ents([], blocked=[doc[0:1]])
    doc = nlp(doc)
    assert doc._.metaie_route["route"] == "large" and [ent.text for ent in doc.ents] == ["London"]
    assert doc[0].ent_iob == 3 and not doc[0].ent_type


def test_without_a_policy_expected_errors_decide_until_the_router_is_fitted(make_nlp):
    nlp = make_nlp(LABELS)
    router = nlp.add_pipe("metaie_router")
    assert router.policy.name == "errors" and nlp.config["components"]["metaie_router"]["policy"] is None
    router.policy = make_cascade()
    assert router.policy.name == "cascade"


def test_one_text_that_fails_loses_no_other(make_routed, server):
    nlp = make_routed(server=server)
    router, failed = nlp.get_pipe("metaie_router"), []

    def score(columns):
        if TEXTS[3] in columns.facts.texts:
            raise ValueError("not this one")
        return columns["errors"]

    router.policy = Policy("picky", score, -1.0)
    router.set_error_handler(lambda name, pipe, docs, error: failed.extend(docs))
    docs = list(nlp.pipe(TEXTS[:8]))
    assert [doc.text for doc in failed] == [TEXTS[3]]
    assert [doc.text for doc in docs] == TEXTS[:3] + TEXTS[4:8] and {*routes(docs)} == {"large"}


def test_a_stream_can_be_left_and_taken_up_again(make_routed, server):
    nlp = make_routed(server=server)
    assert routes(islice(nlp.pipe(TEXTS), 2)) == ["large", "large"]
    assert routes(nlp.pipe(TEXTS)) == ["large"] * len(TEXTS) and server.stats()["requests"] == len(TEXTS)


def test_workers_route_too(make_routed, server):
    docs = list(make_routed(server=server).pipe(TEXTS, n_process=2, batch_size=10))
    assert [spots(doc) for doc in docs] == [gold_of(row) for row in ROWS] and routes(docs) == ["large"] * len(TEXTS)


def test_spawned_workers_and_copies_route_too(make_routed, server, monkeypatch):
    nlp = make_routed("cascade", server=server, ask={"above": 0.0})
    nlp(TEXTS[0])
    copied = copy.deepcopy(nlp.get_pipe("metaie_router"))
    assert copied.policy.name == "cascade" and copied.teacher is not nlp.get_pipe("metaie_router").teacher
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("spawn"))
    docs = list(nlp.pipe(TEXTS[:6], n_process=2, batch_size=3))
    assert [spots(doc) for doc in docs] == [gold_of(row) for row in ROWS[:6]]


def test_links_are_followed_from_the_spans_of_the_large_model(make_routed, server):
    nlp = make_routed(server=server)
    pipe = nlp.get_pipe("metaie")
    pipe.schema = {"labels": LABELS, "links": {"went": {"head": "person", "query": "destination", "tail": "place"}}}
    pipe.link_threshold = 0.0
    doc = nlp(TEXTS[0])
    assert spots(doc) == gold_of(ROWS[0]) and ["person", "went"] in [
        list(one) for one in doc.spans["metaie"].attrs["asked_links"]
    ]
    assert {(link.head.text, link.tail.text) for link in doc._.metaie_links} == {("Ada Lovelace", "London")}


def test_a_saved_pipeline_routes_as_before(make_routed, server, tmp_path):
    nlp = make_routed("errors", server=server, ask={"above": 0.01})
    expected = list(nlp.pipe(TEXTS[:10]))
    nlp.to_disk(tmp_path / "saved")
    loaded = [spacy.load(tmp_path / "saved", config=FLOAT32), spacy.blank("en")]
    loaded[1] = make_routed("errors", server=server, ask={"above": 0.01}).from_bytes(nlp.to_bytes())
    for other in loaded:
        docs = list(other.pipe(TEXTS[:10]))
        assert [doc._.metaie_route["route"] for doc in docs] == routes(expected)
        assert [spots(doc) for doc in docs] == [spots(doc) for doc in expected]


def test_after_five_kills_every_text_is_answered_once_and_paid_once(make_routed, corpus, tmp_path):
    out, cache = tmp_path / "out.txt", tmp_path / "teacher.sqlite"

    def work():
        done = len(out.read_text().splitlines()) if out.exists() else 0
        with out.open("a") as file:
            for doc in nlp.pipe(TEXTS[done:], batch_size=4):
                file.write(json.dumps([doc.text, sorted(spots(doc)), doc._.metaie_route["cost"]]) + "\n")
                file.flush()

    with teacher_server(corpus=[corpus], delay=0.05, fault={"429": 0.1, "500": 0.1, "cut": 0.1}) as server:
        nlp = make_routed(server=server, teacher={"in_flight": 3, "retries": 20})
        kills = 0
        while kills < 5 or (on_disk_so_far(cache) < 20 and kills < 15):  # a fork of a process with threads may hang
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            until = time.monotonic() + 30
            wanted = min(25, on_disk_so_far(cache) + 5)
            while time.monotonic() < until and on_disk_so_far(cache) < wanted:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            whole = out.read_text().rpartition("\n") if out.exists() else ("", "", "")
            out.write_text(whole[0] + whole[1])
        assert 20 <= on_disk_so_far(cache) < len(TEXTS)
        work()
        completed = server.stats()["completed"]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row[0] for row in rows] == TEXTS
    assert [{tuple(spot) for spot in row[1]} for row in rows] == [gold_of(row) for row in ROWS]
    n, cost = on_disk(cache)
    assert n == len(TEXTS) and sum(row[2] for row in rows) == pytest.approx(cost)
    assert completed <= len(TEXTS) + kills * 3  # what was in flight at a kill is asked again


def on_disk_so_far(path):
    try:
        return on_disk(path)[0]
    except sqlite3.Error:
        return 0
