"""The server as its clients see it: a process of its own, real sockets, real signals."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from helpers import packaged

from metaie_spacy import rows
from metaie_spacy.fewshot import make_adapter
from metaie_spacy.serving.bodies import Answer
from metaie_spacy.serving.parts import cut

TEXT = "Ada Lovelace lived in London."
SENTENCE = "Ada Lovelace met Charles Babbage in London. "


def found(answer):
    return [(span["text"], span["label"]) for span in answer["spans"]]


def refused(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error["code"] == code and error["message"]
    return error["message"]


def wait_for(condition, seconds=240):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_requests_of_many_clients_with_labels_of_their_own_are_answered_each_with_its_own(server):
    def ask(i):
        labels = ["person", "city"] if i % 2 else {"WHO": "person"}
        return server.extract(text=f"Ada Lovelace lived in London, house {i}.", labels=labels)

    with ThreadPoolExecutor(16) as pool:
        for i, response in enumerate(pool.map(ask, range(48))):
            expected = [("Ada Lovelace", "person"), ("London", "city")] if i % 2 else [("Ada Lovelace", "WHO")]
            assert response.status_code == 200 and found(response.json()) == expected


def test_answers_are_those_of_the_component(server):
    nlp = packaged(labels=["person", "city"])
    answers = server.extract(texts=[TEXT, "Marie Curie moved to Paris in 1891."], labels=["person", "city"]).json()
    for text, answer in zip([TEXT, "Marie Curie moved to Paris in 1891."], answers["results"]):
        expected = rows(nlp(text))
        assert [{**span, "score": 0} for span in answer["spans"]] == [{**span, "score": 0} for span in expected]


def test_many_texts_are_answered_in_their_order_and_an_empty_one_with_nothing(server):
    texts = [f"Ada Lovelace lived in house {i}." for i in range(20)] + [""]
    results = server.extract(texts=texts, labels=["person"]).json()["results"]
    assert len(results) == 21 and results[20] == {"spans": []}
    assert all(found(result) == [("Ada Lovelace", "person")] for result in results[:20])
    assert server.extract(texts=[], labels=["person"]).json() == {"results": []}


def test_a_long_text_is_answered_with_the_places_of_the_whole(server):
    text = SENTENCE * 500
    assert len(cut(text, 4000)) > 3
    spans = server.extract(text=text, labels=["person"]).json()["spans"]
    assert all(text[span["start"] : span["end"]] == span["text"] for span in spans)
    people = [span["start"] for span in spans if span["text"] == "Ada Lovelace"]
    assert len(people) == 500 and people == sorted(people)


def test_an_answer_tells_which_labels_were_asked_where_those_below_others_were_not(server):
    labels = {"person": {"query": "person", "children": {"politician": "politician"}}, "city": "city"}
    rain = "It rained all day. "
    without, with_one = server.extract(texts=[rain, SENTENCE], labels=labels).json()["results"]
    assert without == {"spans": [], "asked": ["person", "city"]} and Answer.model_validate(without)
    assert "asked" not in with_one and found(with_one)
    assert len(cut(rain * 800, 4000)) > 3
    assert server.extract(text=rain * 800, labels=labels).json() == without
    assert "asked" not in server.extract(text=rain * 800 + SENTENCE, labels=labels).json(), (
        "the last part was asked all"
    )


def test_links_come_from_a_schema_by_name_or_inline(server):
    text = "Ada Lovelace works for Acme Industries."
    answer = server.extract(text=text, schema="relations").json()
    assert {"spans", "links", "records"} == set(answer)
    inline = {
        "labels": {"PERSON": "person", "ORG": "organization"},
        "links": {"works_for": {"head": "PERSON", "query": "employer", "tail": "ORG"}},
    }
    answer = server.extract(text=text, schema=inline, link_threshold=0.0).json()
    (link,) = [link for link in answer["links"] if link["label"] == "works_for"]
    ends = [answer["spans"][link[end]]["text"] for end in ("head", "tail")]
    assert ends == ["Ada Lovelace", "Acme Industries"]
    assert answer["records"][0]["fields"]["works_for"][0]["text"] == "Acme Industries"


def test_labels_called_as_keys_of_a_schema_are_labels(server):
    answer = server.extract(text=TEXT, labels={"query": "person"}, threshold=0.5).json()
    assert found(answer) == [("Ada Lovelace", "query")]


def test_threshold_and_flat_hold_for_one_request(server):
    ask = {"text": TEXT, "labels": ["person", "writer", "city"]}
    assert server.extract(**ask, threshold=1.0).json()["spans"] == []
    places = [(span["start"], span["end"]) for span in server.extract(**ask, threshold=0.0, flat=True).json()["spans"]]
    assert places and all(a[1] <= b[0] for a, b in zip(places, places[1:]))


@pytest.mark.parametrize(
    ("status", "code", "says", "body"),
    [
        (413, "too_many_characters", "60001 characters, and 60000 is the limit", {"text": "x " * 30000 + "x"}),
        (413, "too_many_texts", "81 texts, and 80 is the limit", {"texts": ["Ada."] * 81}),
        (422, "run_too_long", "texts[1]: more than 5000 characters", {"texts": ["Ada.", "a b " + "c" * 5001]}),
        (422, "too_many_labels", "41 wordings", {"text": "Ada.", "labels": [f"kind {i} of thing" for i in range(41)]}),
        (413, "schema_too_large", "50000 is the limit", {"text": "Ada.", "labels": ["x" * 50_000]}),
        (422, "malformed", "labels[0]", {"text": "Ada.", "labels": [""]}),
        (422, "malformed", "Give either", {"labels": ["person"]}),
        (422, "malformed", "Give either", {"text": "Ada.", "texts": ["Ada."], "labels": ["person"]}),
        (422, "malformed", "not both", {"text": "Ada.", "labels": ["person"], "schema": "relations"}),
        (422, "malformed", "no labels of its own", {"text": "Ada.", "labels": None}),
        (422, "malformed", "threshold must be a number", {"text": "Ada.", "labels": ["person"], "threshold": 2}),
        (422, "malformed", "surrogate", {"text": "\ud800", "labels": ["person"]}),
        (422, "malformed", "text", {"text": 1}),
        (422, "malformed", "unknown", {"text": "Ada.", "schema": {"labels": ["person"], "lniks": {}}}),
        (422, "unknown_schema", "There are: relations", {"text": "Ada.", "schema": "relation"}),
        (422, "unknown_model", "There are: en_metaie_sm", {"text": "Ada.", "labels": ["person"], "model": "x"}),
        (422, "unknown_adapter", "start it with --adapter", {"text": "Ada.", "labels": ["person"], "adapter": "x"}),
        (422, "patterns", "--patterns", {"text": "Ada.", "labels": {"A": {"pattern": "(a+)+$"}}}),
        (422, "refused", "window", {"text": "Ada.", "labels": ["very " * 3000 + "long"]}),
    ],
)
def test_what_is_refused_says_why_and_what_to_do(server, status, code, says, body):
    sent = json.dumps({"labels": ["person"], **body} if code.startswith(("too_many_c", "too_many_t", "run")) else body)
    response = server.http.post("/extract", content=sent, headers={"Content-Type": "application/json"})
    assert says in refused(response, status, code)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"text": "\xff"}', b"[" * 100_000, b'{"text": 1' + b"0" * 9000 + b"}"]
)
def test_what_is_no_json_is_refused(server, content):
    response = server.http.post("/extract", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422) and response.json()["error"]["message"]


def test_a_body_over_the_limit_is_refused_before_all_of_it_came(server):
    body = b'{"text": "' + b"x" * 3_000_000
    refused(
        server.http.post("/extract", content=body, headers={"Content-Type": "application/json"}), 413, "body_too_large"
    )

    def chunks():
        while True:  # without a length, and without an end
            yield b"x" * 65_536

    try:
        response = server.http.post("/extract", content=chunks(), headers={"Content-Type": "application/json"})
    except httpx.TransportError:  # the server closed the connection while this wrote
        assert server.http.get("/health").json() == {"status": "ok"}
    else:
        refused(response, 413, "body_too_large")


def test_paths_and_methods_that_do_not_exist_are_refused_in_the_same_form(server):
    refused(server.http.get("/nothing"), 404, "not_found")
    refused(server.http.get("/extract"), 405, "method_not_allowed")


def test_schemas_tell_what_may_be_asked_for_by_name(server):
    told = server.http.get("/schemas").json()
    assert "works_for" in told["schemas"]["relations"]["links"]
    assert told["models"]["en_metaie_sm"]["adapters"] == []


def test_metrics_count_answers_and_refusals(server):
    server.extract(text=TEXT, labels=["person"])
    server.extract(text=TEXT, labels=[""])
    text = server.http.get("/metrics").text
    assert 'metaie_requests_total{code="ok",status="200"}' in text
    assert 'metaie_requests_total{code="malformed",status="422"}' in text
    assert server.metric("metaie_characters_total") >= len(TEXT) and server.metric("process_resident_memory_bytes")


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script_but_its_own(server):
    response = server.http.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and policy.count("sha256-") == 2
    assert "://" not in response.text and "innerHTML" not in response.text


def test_several_models_and_adapters_are_asked_by_name(start, tmp_path, monkeypatch):
    monkeypatch.setattr("metaie_spacy.fewshot.train", lambda *args: None)  # an adapter that changes nothing
    example = {"text": TEXT, "spans": [{"start": 0, "end": 12, "label": "person"}]}
    make_adapter(packaged(), [example], tmp_path / "people.safetensors", held_out=0.0, progress=False)
    towns = packaged()
    towns.get_pipe("metaie").labels = {"TOWN": "city"}
    towns.to_disk(tmp_path / "towns")
    options = ("--model", "en_metaie_sm", "--model", f"towns={tmp_path / 'towns'}")
    with start(*options, "--adapter", f"people={tmp_path / 'people.safetensors'}") as server:
        assert found(server.extract(text=TEXT, model="towns").json()) == [("London", "TOWN")]
        assert found(server.extract(text=TEXT, adapter="people").json()) == [("Ada Lovelace", "person")]
        assert found(server.extract(text=TEXT, adapter="people", labels=["city"]).json()) == [("London", "city")]
        models = server.http.get("/schemas").json()["models"]
        assert list(models) == ["en_metaie_sm", "towns"] and models["en_metaie_sm"]["adapters"] == ["people"]


def test_with_a_key_nothing_is_told_to_those_who_lack_it(start):
    with start(METAIE_API_KEY="s3cret") as server:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            for path in ("/schemas", "/metrics"):
                refused(server.http.get(path, headers=header), 401, "key")
            refused(server.http.post("/extract", content=b"{", headers=header), 401, "key")
        right = {"Authorization": "Bearer s3cret"}
        body = {"text": TEXT, "labels": ["person"]}
        assert server.http.post("/extract", json=body, headers=right).status_code == 200
        assert server.http.get("/health").status_code == 200


def test_a_request_that_takes_too_long_is_given_up_and_its_rest_is_not_read(start):
    with start("--timeout", "0.05") as server:
        message = refused(server.extract(text=SENTENCE * 4000, labels=["person"]), 503, "timeout")
        assert "0.05 seconds" in message and "--timeout" in message
        wait_for(lambda: server.metric("metaie_waiting_requests") == 0)


def test_a_client_that_leaves_makes_room(start):
    with start("--most-waiting", "1") as server:
        body = json.dumps({"text": SENTENCE * 4000, "labels": ["person"]}).encode()
        head = f"POST /extract HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(server.address.removeprefix("http://").split(":")) as client:
            client.sendall(head.encode() + body)
            wait_for(lambda: server.metric("metaie_waiting_requests") == 1)
            response = server.extract(text=TEXT, labels=["person"])
            refused(response, 429, "queue_full")
            assert int(response.headers["retry-after"]) > 0
        wait_for(lambda: server.metric("metaie_waiting_requests") == 0)
        assert server.extract(text=TEXT, labels=["person"]).status_code == 200


def test_short_texts_are_answered_while_a_giant_one_is_read(start):
    with start("--timeout", "600") as server, ThreadPoolExecutor(1) as pool:
        giant = pool.submit(server.extract, text=SENTENCE * 4000, labels=["person"])
        wait_for(lambda: server.metric("metaie_waiting_requests") == 1)
        for _ in range(3):
            assert server.extract(text=TEXT, labels=["person"]).status_code == 200
            assert not giant.done()
        server.process.kill()


def test_sigterm_loses_no_request_that_was_taken(start):
    with start("--timeout", "600") as server, ThreadPoolExecutor(40) as pool:
        texts = [f"Ada Lovelace lived in house {i}. " * 40 for i in range(40)]
        answers = [pool.submit(server.extract, text=text, labels=["person"]) for text in texts]
        done_before = 0

        def all_taken():
            nonlocal done_before
            done_before = sum(answer.done() for answer in answers)
            return server.metric("metaie_waiting_requests") + sum(answer.done() for answer in answers) >= len(texts)

        wait_for(all_taken)
        os.kill(server.process.pid, signal.SIGTERM)
        results = [answer.result(600) for answer in answers]
        assert done_before < len(texts), "some were still waiting"
        assert [response.status_code for response in results] == [200] * len(texts)
        assert all(found(response.json())[0] == ("Ada Lovelace", "person") for response in results)
        assert server.process.wait(120) == 0
        with pytest.raises(httpx.TransportError):
            server.extract(text=TEXT, labels=["person"])


def test_a_port_that_is_taken_is_told(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with (
            pytest.raises(AssertionError, match=f"Cannot listen on 127.0.0.1, port {port}.*--port"),
            start("--port", port),
        ):
            pass


def test_options_that_mean_nothing_are_refused_before_a_model_is_loaded(start):
    for options, message in [
        (("--most-texts", "0"), "texts"),
        (("--schema", "x=nowhere.json"), "nowhere.json"),
        (("--model", "nowhere"), "nowhere"),
        (("--delay", "-1"), "--delay"),
    ]:
        with pytest.raises(AssertionError, match=message), start(*options):
            pass


def test_nothing_of_a_text_is_logged(server):
    server.extract(text="Zyxomma Quux lived in London.", labels=["person"])
    server.extract(text="Zyxomma", labels=["very " * 3000 + "long"])
    assert "Zyxomma" not in "".join(server.errors)
