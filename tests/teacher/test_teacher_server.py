"""The test server itself: what it says, and that each of its faults happens on the wire."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from helpers import ASSETS, CORPUS, ROOT
from teacher_answers import Replay, guess
from teacher_server import FAULTS, PROSE, teacher_server

ROWS = [json.loads(line) for line in CORPUS.read_text(encoding="utf8").splitlines()]
ROW = next(row for row in ROWS if row["spans"] and row["absent"] and not row["text"].isascii())
UNKNOWN = "Yesterday Zelda Okoro sold two boats to the Nimbus Company."
JSON_FORM = {"response_format": {"type": "json_object"}}


def ask(text=ROW["text"], **fields):
    user = {"role": "user", "content": f"The text:\n<text>\n{text}\n</text>"}
    return {"model": "m", "messages": [{"role": "system", "content": "Annotate."}, user]} | fields


def post(server, request, *, key=None, connection=None, timeout=10.0):
    """Status, headers, body bytes; over a connection of its own, or a given one."""
    own = connection or connect(server, timeout=timeout)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        own.request("POST", "/v1/chat/completions", json.dumps(request), headers)
        answer = own.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        if connection is None:
            own.close()


def connect(server, *, timeout=10.0):
    url = urlsplit(server.url)
    return http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)


def content(server, request):
    status, _, body = post(server, request)
    assert status == 200, body
    return json.loads(body)["choices"][0]["message"]["content"]


def pairs(row):
    return {(span["label"], row["text"][span["start"] : span["end"]]) for span in row["spans"]}


def spans_of(answer):
    return {(part["label"], span) for part in json.loads(answer)["answers"] for span in part["spans"]}


@pytest.fixture(scope="module")
def server():
    with teacher_server(corpus=[CORPUS]) as running:
        yield running


def test_answers_replay_every_row_in_both_forms(server):
    connection = connect(server)
    for row in ROWS[:100]:
        for form in ({}, JSON_FORM):
            status, _, body = post(server, ask(row["text"], **form), connection=connection)
            answer = json.loads(body)["choices"][0]["message"]["content"]
            if form:
                assert spans_of(answer) == pairs(row) and json.loads(answer)["absent"] == row["absent"]
            else:
                expected = {f"- {label}: {span}" for label, span in pairs(row)} | {
                    f"- {label}: (none)" for label in row["absent"]
                }
                assert set(answer.split("\n")) == expected
            assert status == 200
    connection.close()


def test_the_longest_row_in_a_message_answers(tmp_path):
    texts = ["Ada.", "Ada met Marie in Paris.", "Ada met Marie in Paris. They spoke.", "Charles stayed in London."]
    rows = [{"text": text, "spans": [{"start": 0, "end": len(text), "label": "all"}]} for text in texts]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    replay = Replay([str(path)])
    assert replay.find("Say: Ada met Marie in Paris. They spoke. Bye.").pairs == [("all", texts[2])]
    assert replay.find("Ada met Marie in Paris.").pairs == [("all", texts[1])]
    assert replay.find("It was Ada.").pairs == [("all", "Ada.")]
    assert replay.find("It was Eve.") == guess("It was Eve.")


def test_texts_without_markers_are_found(server):
    parts = [{"type": "text", "text": f"Annotate: {ROW['text']} Thank you."}]
    request = {"model": "m", "messages": [{"role": "user", "content": parts}], **JSON_FORM}
    assert spans_of(content(server, request)) == pairs(ROW)


def test_the_last_user_message_counts(server):
    earlier = [{"role": "user", "content": f"<text>{ROWS[0]['text']}</text>"}, {"role": "assistant", "content": "{}"}]
    request = ask(ROWS[1]["text"], **JSON_FORM)
    assert spans_of(content(server, request | {"messages": earlier + request["messages"]})) == pairs(ROWS[1])


def test_unknown_texts_get_capitalised_words(server):
    assert (
        content(server, ask(UNKNOWN))
        == "- name: Yesterday\n- name: Zelda\n- name: Okoro\n- name: Nimbus\n- name: Company"
    )
    assert content(server, ask("nothing here")) == "- name: (none)"


def test_the_openai_client_reads_answers_and_models(server):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
        answer = client.chat.completions.create(**ask(), response_format=schema, seed=3, temperature=0.0, n=2)
        assert [model.id for model in client.models.list()] == ["test"]
    assert answer.model == "m" and answer.id and abs(answer.created - time.time()) < 60
    assert len(answer.choices) == 2 and {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert spans_of(answer.choices[1].message.content) == pairs(ROW)
    characters = sum(len(message["content"]) for message in ask()["messages"])
    assert answer.usage.prompt_tokens == -(-characters // 4)
    assert answer.usage.completion_tokens == sum(-(-len(choice.message.content) // 4) for choice in answer.choices)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_samples_vary_with_their_seed_and_only_above_temperature_0(server):
    texts = [row["text"] for row in ROWS[:10]]

    def sampled(**fields):
        return [content(server, ask(text, **JSON_FORM, **fields)) for text in texts]

    assert sampled(temperature=0.7, seed=1) == sampled(temperature=0.7, seed=1) != sampled(temperature=0.7, seed=2)
    assert sampled(temperature=0, seed=1) == sampled(temperature=0, seed=2) == sampled()
    found, gold = set().union(*map(spans_of, sampled(temperature=0.7, seed=1))), set().union(*map(pairs, ROWS[:10]))
    assert 0.6 < len(found & gold) / len(gold) < 1


def test_max_tokens_cuts_an_answer(server):
    body = json.loads(post(server, ask(max_tokens=5))[2])
    assert len(body["choices"][0]["message"]["content"]) == 20 and body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5


def test_candidates_are_confirmed_by_their_row(server):
    jinja2 = pytest.importorskip("jinja2")
    label, span = sorted(pairs(ROW))[0]
    candidates = [
        {"id": 1, "label": label, "span": span}, {"id": 2, "label": "no such label", "span": span},
        {"id": 3, "label": label, "span": "no such span"}, {"id": 7, "label": sorted(pairs(ROW))[1][0], "span": sorted(pairs(ROW))[1][1]},
    ]  # fmt: skip
    template = jinja2.Template((ASSETS / "confirm.jinja").read_text(encoding="utf8"))
    message = template.render(text=ROW["text"], candidates=candidates)
    request = {"model": "m", "messages": [{"role": "user", "content": message}]}
    assert json.loads(content(server, request)) == {"confirmed": [1, 7]}
    request["messages"][0]["content"] = message.replace("</question>", "")
    assert json.loads(content(server, request)) == {"confirmed": [1, 7]}


def test_similar_texts_are_new_and_the_same_each_time(server):
    jinja2 = pytest.importorskip("jinja2")
    template = jinja2.Template((ASSETS / "similar.jinja").read_text(encoding="utf8"))
    made = set()
    for row in ROWS[:20]:
        request = {"model": "m", "messages": [{"role": "user", "content": template.render(text=row["text"], n=3)}]}
        texts = json.loads(content(server, request))["texts"]
        assert json.loads(content(server, request))["texts"] == texts
        assert len(texts) == 3 and all(0 < len(text) < 500 for text in texts)
        made.update(texts)
    assert len(made) == 60 and not made & {row["text"] for row in ROWS}
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": f'<question kind="similar">\n<text>{UNKNOWN}</text>\n</question>'}],
    }
    assert len(json.loads(content(server, asked))["texts"]) == 2


@pytest.mark.parametrize("key", [None, "sk-wrong-key-of-somebody", "sk"])
def test_a_wrong_key_is_refused_and_not_echoed(key):
    with teacher_server(key="sk-right") as running:
        status, _, body = post(running, ask(), key=key)
        error = json.loads(body)["error"]
        assert status == 401 and error["code"] == "invalid_api_key" and (key or "sk-right") not in error["message"]
        assert post(running, ask(), key="sk-right")[0] == 200
        logged = [(entry["kind"], entry["status"], entry["completed"]) for entry in running.log()]
        assert logged == [("rejected", 401, False), ("ok", 200, True)]


def test_other_models_and_long_inputs_are_refused():
    openai = pytest.importorskip("openai")
    with teacher_server(model="right", max_input=50) as running:
        client = openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(**ask("Ada."))
        assert missing.value.code == "model_not_found" and "`m`" in missing.value.message
        with pytest.raises(openai.BadRequestError) as long:
            client.chat.completions.create(**ask("Ada. " * 60, model="right"))
        assert long.value.code == "context_length_exceeded"
        assert client.chat.completions.create(**ask("Ada.", model="right")).choices
        assert [model.id for model in client.models.list()] == ["right"]


def test_a_server_without_schemas_says_so():
    with teacher_server(no_json_schema=True) as running:
        status, _, body = post(running, ask(**JSON_FORM))
        error = {"message": "response_format is not supported", "type": "invalid_request_error", "code": None}
        assert status == 400 and json.loads(body) == {"error": error}
        assert (
            content(running, ask("Ada."))
            == content(running, ask("Ada.", response_format={"type": "text"}))
            == "- name: Ada"
        )


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b"\xff", b'{"model": "m", "messages": []}', b'{"messages": [{"role": "user"}]}']
)
def test_malformed_requests_are_refused_and_the_connection_lives(server, body):
    connection = connect(server)
    connection.request("POST", "/v1/chat/completions", body)
    answer = connection.getresponse()
    assert answer.status == 400 and "malformed" in json.loads(answer.read())["error"]["message"]
    assert post(server, ask(), connection=connection)[0] == 200
    connection.request("GET", "/v1/nothing")
    assert connection.getresponse().status == 404
    connection.close()


def test_requests_in_pieces_and_in_a_row_are_answered_in_order(server):
    bodies = [json.dumps(ask(text)).encode() for text in ("Ada.", "Marie.")]
    raw = b"".join(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for body in bodies
    )
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname, url.port), timeout=10) as wire:
        for at in range(0, len(raw), 50):
            wire.sendall(raw[at : at + 50])
            time.sleep(0.001)
        received = b""
        while received.count(b"logprobs") < 2:
            received += wire.recv(65536)
    assert 0 < received.index(b"- name: Ada") < received.index(b"- name: Marie")


@pytest.fixture(scope="module")
def faulty():
    """One server for each kind of fault, which then always happens."""
    with ExitStack() as stack:
        yield {kind: stack.enter_context(teacher_server(corpus=[CORPUS], fault={kind: 1}, hang=0.3)) for kind in FAULTS}


def test_fault_429_asks_to_wait(faulty):
    status, headers, body = post(faulty["429"], ask())
    assert status == 429 and 0.05 <= float(headers["Retry-After"]) <= 1
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
    assert faulty["429"].log()[-1]["retry_after"] == float(headers["Retry-After"])


def test_fault_500_has_an_error_and_503_no_body(faulty):
    status, _, body = post(faulty["500"], ask())
    assert status == 500 and json.loads(body)["error"]["type"] == "server_error"
    status, headers, body = post(faulty["503"], ask())
    assert (status, body, headers["Content-Length"]) == (503, b"", "0")


def test_fault_timeout_sends_nothing_and_closes(faulty):
    began = time.perf_counter()
    with pytest.raises(http.client.RemoteDisconnected):
        post(faulty["timeout"], ask())
    assert time.perf_counter() - began >= 0.3
    assert faulty["timeout"].log()[-1]["status"] is None


def test_fault_timeout_outlasts_an_impatient_client(faulty):
    with pytest.raises(TimeoutError):
        post(faulty["timeout"], ask(), timeout=0.1)


def test_fault_cut_sends_half_of_the_body(faulty):
    connection = connect(faulty["cut"])
    connection.request("POST", "/v1/chat/completions", json.dumps(ask()))
    answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    connection.close()
    whole = int(answer.headers["Content-Length"])
    assert answer.status == 200 and len(cut.value.partial) == whole // 2
    entry = faulty["cut"].log()[-1]
    assert entry["kind"] == "cut" and not entry["completed"]


def test_fault_truncated_ends_in_the_middle(faulty):
    choice = json.loads(post(faulty["truncated"], ask(**JSON_FORM))[2])["choices"][0]
    assert choice["finish_reason"] == "length" and choice["message"]["content"].startswith('{"answers"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])


def test_fault_prose_is_no_answer(faulty):
    assert content(faulty["prose"], ask(**JSON_FORM)) == PROSE


def test_fault_invented_replaces_one_span(faulty):
    for text, gold in ((ROW["text"], pairs(ROW)), ("nothing here", set())):
        found = spans_of(content(faulty["invented"], ask(text, **JSON_FORM)))
        assert len(found - gold) == 1 and len(gold - found) == min(1, len(gold))
        assert all(span not in text for _, span in found - gold)


@pytest.mark.parametrize("text", [ROW["text"], "Plain Ada.", "Łukasz paid 3 € in Ōsaka 😀."])
def test_fault_encoding_is_not_utf8_whatever_the_text(faulty, server, text):
    status, headers, body = post(faulty["encoding"], ask(text))
    assert status == 200 and "utf-8" in headers["Content-Type"]
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf8")
    answer = json.loads(body.decode("cp1252"))["choices"][0]["message"]["content"]
    assert answer == content(server, ask(text))  # a client that guesses the encoding loses nothing


def test_fault_html_comes_with_status_200(faulty):
    status, headers, body = post(faulty["html"], ask())
    assert status == 200 and headers["Content-Type"].startswith("text/html") and body.startswith(b"<!DOCTYPE html>")


def test_the_log_names_each_fault_and_what_was_completed(faulty):
    for kind, running in faulty.items():
        try:
            post(running, ask("Ada."))
        except (OSError, http.client.HTTPException):
            pass
        entry = running.log()[-1]
        assert entry["kind"] == kind
        assert entry["completed"] == (kind in ("truncated", "prose", "invented", "encoding")), kind


def drawn(running, texts, times):
    """The kinds of faults by text, in order of coming."""
    for text in texts * times:
        try:
            post(running, ask(text))
        except (OSError, http.client.HTTPException):
            pass
    kinds = {}
    for entry in running.log():
        kinds.setdefault(entry["key"], []).append(entry["kind"])
    return kinds


def test_faults_depend_on_seed_body_and_count_alone():
    texts = [f"Ada {i}." for i in range(40)]
    with teacher_server(faults=0.6, seed=1, hang=0.01) as running:
        first = drawn(running, texts, 4)
    with teacher_server(faults=0.6, seed=1, hang=0.01) as running:
        assert drawn(running, texts[::-1], 4) == first
    with teacher_server(faults=0.6, seed=2, hang=0.01) as running:
        assert drawn(running, texts, 4) != first
    counts = Counter(kind for kinds in first.values() for kind in kinds)
    assert set(counts) == {"ok", *FAULTS} and 40 < counts["ok"] < 90  # 64 expected of 160
    assert any(len(set(kinds)) > 1 for kinds in first.values())


def test_retries_succeed_in_the_end():
    with teacher_server(faults=0.5, fault={"429": 0.3}, hang=0.01) as running:
        for text in ("Ada.", "Marie.", "Charles."):
            assert any(kind == "ok" for kind in drawn(running, [text], 15).popitem()[1])
        assert running.stats()["kinds"]["429"] > 5


def test_the_log_counts_what_was_sent_and_not_what_clients_left(tmp_path):
    with teacher_server(delay=0.2, log=tmp_path / "log.jsonl") as running:
        with pytest.raises(TimeoutError):
            post(running, ask(), timeout=0.05)
        time.sleep(0.3)
        post(running, ask("Ada."))
        left, done = running.log()
        stats = running.stats()
    assert (left["n"], left["kind"], left["status"], left["completed"]) == (1, "ok", None, False)
    assert (done["n"], done["status"], done["completed"]) == (2, 200, True) and len(done["key"]) == 64
    assert (stats["requests"], stats["completed"], stats["in_flight"], stats["most_in_flight"]) == (2, 1, 0, 1)
    assert (stats["prompt_tokens"], stats["completion_tokens"]) == (done["prompt_tokens"], done["completion_tokens"])
    assert len((tmp_path / "log.jsonl").read_text(encoding="utf8").splitlines()) == 2  # it outlives the server


def test_connections_are_kept_and_served_side_by_side():
    with teacher_server(corpus=[CORPUS], delay=0.05) as running:

        def work(numbers):
            connection = connect(running)
            answers = [post(running, ask(ROWS[i]["text"], **JSON_FORM), connection=connection) for i in numbers]
            connection.close()
            return [spans_of(json.loads(body)["choices"][0]["message"]["content"]) for _, _, body in answers]

        with ThreadPoolExecutor(32) as pool:
            shares = [range(first, 200, 32) for first in range(32)]
            found = dict(pair for share, answers in zip(shares, pool.map(work, shares)) for pair in zip(share, answers))
        stats = running.stats()
    assert all(found[i] == pairs(ROWS[i]) for i in range(200))
    assert stats["completed"] == 200 and stats["connections"] == 33  # and that of /stats
    assert stats["most_in_flight"] > 1


def test_a_server_that_cannot_start_says_why(tmp_path):
    command = [sys.executable, ROOT / "tests/teacher/teacher_server.py"]
    for arguments, why in (
        (["--fault", "418=1"], "'418' is none of 429"), (["--corpus", tmp_path / "none.jsonl"], "none.jsonl"),
        (["--faults", "0.5", "--fault", "cut=0.9"], "at most 1 together"),
    ):  # fmt: skip
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode and why in done.stderr and "Traceback" not in done.stderr
    with pytest.raises(RuntimeError, match="did not start"), teacher_server(faults=2):
        pass


def test_the_server_ends_with_its_block_and_with_its_parent():
    with teacher_server() as running:
        process = running.process
    assert process.poll() is not None
    with teacher_server() as running:
        running.process.stdin.close()  # as when the parent is killed
        assert running.process.wait(timeout=10) == 0
