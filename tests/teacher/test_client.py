"""The door to the LLM, against a real server process that injects faults."""

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers import ASSETS, CORPUS
from teacher_server import teacher_server

from metaie_spacy.teacher.annotators import PromptAnnotator
from metaie_spacy.teacher.client import BudgetSpent, QuestionError, Teacher, TeacherError
from metaie_spacy.teacher.reply.parse import SCHEMA

ROWS = [json.loads(line) for line in CORPUS.read_text(encoding="utf8").splitlines()[:40]]
KEY = "sk-very-secret-0123456789"


def ask(teacher, text=ROWS[0]["text"], sample=0):
    return teacher.ask(
        lambda form: [{"role": "user", "content": f"<text>\n{text}\n</text>"}], json.loads, schema=SCHEMA, sample=sample
    )


def teacher_for(server, **options):
    return Teacher("test", base_url=server.url, **{"api_key_env": None, "timeout": 5.0, **options})


def test_an_answer_on_disk_is_not_asked_for_again(tmp_path):
    with teacher_server(corpus=[CORPUS]) as server:
        first = ask(teacher_for(server, cache=str(tmp_path / "a.sqlite")))
        again = teacher_for(server, cache=str(tmp_path / "a.sqlite"))
        assert ask(again) == first
        assert server.stats()["completed"] == 1
        assert again.meter.prompt_tokens == first[1]["prompt_tokens"]  # earlier answers count as spent
        ask(again, sample=1)
        ask(teacher_for(server, cache=str(tmp_path / "a.sqlite"), max_tokens=4000))
        assert server.stats()["completed"] == 3  # what shapes an answer is in its key


@pytest.mark.parametrize("fault", ["429", "500", "503", "cut", "html", "prose", "encoding", "timeout"])
def test_every_fault_is_outlived(fault):
    with teacher_server(corpus=[CORPUS], fault={fault: 0.5}, hang=0.4, seed=3) as server:
        teacher = teacher_for(server, timeout=0.3 if fault == "timeout" else 5.0, attempts=12)
        for row in ROWS[:8]:
            answers, usage = ask(teacher, row["text"])
            found, gold = {a["label"] for a in answers["answers"]}, {s["label"] for s in row["spans"]}
            # An unusable answer is asked for again at another temperature, at which this server varies.
            assert len(found & gold) > len(gold) / 2 if fault == "prose" else found == gold
        assert server.stats()["kinds"][fault] > 0
        assert teacher.meter.tokens == server.stats()["prompt_tokens"] + server.stats()["completion_tokens"]


def test_retry_after_holds_back_all_requests():
    with teacher_server(corpus=[CORPUS], fault={"429": 0.4}, seed=1) as server:
        teacher = teacher_for(server, in_flight=4)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda row: ask(teacher, row["text"]), ROWS))
        log = server.log()
    refused = [entry for entry in log if entry["status"] == 429]
    assert refused
    for entry in refused:
        # Requests that were on their way when the refusal came may still arrive.
        early = [e for e in log if entry["at"] + 0.05 < e["at"] < entry["at"] + entry["retry_after"] - 0.02]
        assert len(early) <= 3


def test_a_cut_answer_is_asked_for_at_twice_the_length_and_else_kept_as_far_as_it_goes():
    longest = max(ROWS, key=lambda row: len(row["spans"]))
    with teacher_server(corpus=[CORPUS]) as server:
        whole = len(json.dumps(ask(teacher_for(server), longest["text"])[0]))
        teacher = teacher_for(server, max_tokens=whole // 4 * 2 // 3)
        value, usage = teacher.ask(
            lambda form: [{"role": "user", "content": f"<text>\n{longest['text']}\n</text>"}], str, schema=SCHEMA
        )
        assert usage["answers"] == 2 and "cut" not in usage and json.loads(value)
        teacher = teacher_for(server, max_tokens=20, attempts=2)
        value, usage = teacher.ask(
            lambda form: [{"role": "user", "content": f"<text>\n{longest['text']}\n</text>"}], str, schema=SCHEMA
        )
        assert usage["cut"] and len(value) == 4 * 2 * 20  # of two cut answers the longer


def test_lines_where_the_endpoint_refuses_a_schema(caplog):
    forms = []

    def render(form):
        forms.append(form)
        return [{"role": "user", "content": f"<text>\n{ROWS[0]['text']}\n</text>"}]

    with teacher_server(corpus=[CORPUS], no_json_schema=True) as server:
        teacher = teacher_for(server)
        value, _ = teacher.ask(render, str, schema=SCHEMA)
        assert value.startswith("- ") and forms == ["json", "lines"]
        assert "asking for lines instead" in caplog.text
        with pytest.raises(TeacherError, match="refuses a JSON schema .* 'lines' or 'auto'"):
            ask(teacher_for(server, form="json"))


def test_wrong_key_model_or_address_end_the_run_at_once(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with teacher_server(corpus=[CORPUS], key="another", model="right") as server:
        with pytest.raises(TeacherError, match="refuses the key in MY_KEY") as error:
            ask(teacher_for(server, api_key_env="MY_KEY"))
        assert KEY not in str(error.value)
        monkeypatch.setenv("MY_KEY", "another")
        with pytest.raises(TeacherError, match="has no model 'test'"):
            ask(teacher_for(server, api_key_env="MY_KEY"))
        assert server.stats()["requests"] == 2
    with pytest.raises(TeacherError, match="does not answer.*Check base_url"):
        ask(Teacher("test", base_url="http://127.0.0.1:9/v1", api_key_env=None))


def test_a_missing_key_is_named_and_a_key_in_its_place_is_not_shown(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(TeacherError, match="NO_SUCH_KEY is not set"):
        ask(Teacher("test", base_url="http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY"))
    with pytest.raises(TeacherError, match="NAME of an environment variable") as error:
        ask(Teacher("test", base_url="http://127.0.0.1:9/v1", api_key_env=KEY))
    assert KEY not in str(error.value)


def test_the_key_is_in_no_log_and_no_file(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with teacher_server(corpus=[CORPUS], key=KEY, fault={"500": 0.5}) as server:
        ask(teacher_for(server, api_key_env="MY_KEY", cache=str(tmp_path / "a.sqlite")))
    assert KEY not in caplog.text
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_text_beyond_the_window_costs_only_itself():
    with teacher_server(corpus=[CORPUS], max_input=400) as server:
        teacher = teacher_for(server)
        with pytest.raises(QuestionError, match="refused .400.*maximum context length"):
            ask(teacher, "word " * 1000)
        assert ask(teacher)[0]["answers"]


def test_an_endpoint_that_dies_ends_the_run_after_a_few_questions():
    with teacher_server(corpus=[CORPUS]) as server:
        teacher = teacher_for(server, retries=0)
        ask(teacher)
        server.process.kill()
        server.process.wait()
        errors = []
        for row in ROWS[1:8]:
            with pytest.raises(ValueError) as error:
                ask(teacher, row["text"])
            errors.append(type(error.value))
        assert errors[:4] == [QuestionError] * 4 and errors[4:] == [TeacherError] * 3


def test_no_request_is_sent_that_could_exceed_the_budget():
    with teacher_server(corpus=[CORPUS], delay=0.02) as server:
        teacher = teacher_for(server, budget_tokens=6000, max_tokens=1000, in_flight=6)
        results = []

        def one(row):
            try:
                results.append(ask(teacher, row["text"]))
            except BudgetSpent:
                results.append(None)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(one, ROWS))
        assert 0 < teacher.meter.tokens <= 6000
        assert teacher.meter.tokens > 6000 - 1000 - 400  # and little of it is left lying
        assert results.count(None) > 0
        priced = teacher_for(server, budget_money=0.005, price_in=1.0, price_out=2.0, max_tokens=1000)
        with pytest.raises(BudgetSpent, match="cost 0.00"):
            for row in ROWS:
                ask(priced, row["text"])
        assert priced.meter.cost <= 0.005


def test_settings_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(ValueError, match="form is 'xml'"):
        Teacher("x", form="xml")
    with pytest.raises(ValueError, match="budget_money needs prices"):
        Teacher("x", budget_money=1.0)
    with pytest.raises(ValueError, match="at least 1"):
        Teacher("x", in_flight=0)
    (tmp_path / "no.sqlite").write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(ValueError, match="cannot be used as a store of answers"):
        Teacher("x", cache=str(tmp_path / "no.sqlite"))
    with pytest.raises(ValueError, match="temperature above 0"):
        PromptAnnotator(Teacher("x"), ASSETS / "prompt.jinja", samples=3)


def test_one_store_serves_threads(tmp_path):
    with teacher_server(corpus=[CORPUS]) as server:
        teacher = teacher_for(server, cache=str(tmp_path / "a.sqlite"))
        barrier = threading.Barrier(8)

        def one(i):
            barrier.wait()
            return ask(teacher, ROWS[i]["text"])[1]["answers"]

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(one, range(8))) == 8 == teacher.store.totals("test")[0]


@contextmanager
def scripted(*answers):
    """An endpoint that gives these answers in turn, the last one for ever: (status, body) or a text."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = answers[min(len(requests), len(answers)) - 1]
            status, body = (
                answer
                if isinstance(answer, tuple)
                else (200, {"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]})
            )
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()


def refusal(status, message, code=None):
    return status, {"error": {"message": message, "code": code}}


def test_a_rate_limit_does_not_use_up_the_retries():
    with teacher_server(corpus=[CORPUS], fault={"429": 0.8}, seed=2) as server:
        teacher = teacher_for(server, retries=0)
        assert all(ask(teacher, row["text"])[0] for row in ROWS[:3])
        assert server.stats()["kinds"]["429"] > 3
        impatient = teacher_for(server, patience=0.0)
        with pytest.raises(ValueError, match="has refused requests for 0 s"):
            for row in ROWS:
                ask(impatient, row["text"])


def test_spent_credit_ends_the_run():
    with scripted("{}", refusal(402, "Insufficient Balance")) as (url, requests):
        teacher = Teacher("test", base_url=url, api_key_env=None)
        ask(teacher)
        with pytest.raises(TeacherError, match="quota is used up: Insufficient Balance"):
            ask(teacher, "another")
        assert len(requests) == 2


def test_a_text_that_is_not_allowed_costs_only_itself_even_as_the_first():
    with scripted(
        refusal(400, "The response was filtered", "content_filter"),
        refusal(400, "the request exceeds the available context size"),
        "{}",
    ) as (url, _):
        teacher = Teacher("test", base_url=url, api_key_env=None)
        for text in ("one", "two"):
            with pytest.raises(QuestionError, match="refused .400."):
                ask(teacher, text)
        assert ask(teacher, "three")[0] == {}


def test_refusals_of_everything_end_the_run():
    with scripted("{}", refusal(400, "temperature is not supported by this model")) as (url, _):
        teacher = Teacher("test", base_url=url, api_key_env=None)
        ask(teacher)
        errors = []
        for i in range(6):
            with pytest.raises(ValueError) as error:
                ask(teacher, f"text {i}")
            errors.append(type(error.value))
        assert errors[:4] == [QuestionError] * 4 and errors[4:] == [TeacherError] * 2


def test_fields_that_only_this_endpoint_knows_reach_it_and_limits_under_another_name_are_doubled():
    cut = (
        200,
        {
            "choices": [{"message": {"content": "{}"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 5},
        },
    )
    with scripted(cut, "{}") as (url, requests):
        teacher = Teacher(
            "test",
            base_url=url,
            api_key_env=None,
            options={"top_k": 20, "max_tokens": None, "max_completion_tokens": 100},
        )
        ask(teacher)
    assert [r["max_completion_tokens"] for r in requests] == [100, 200]
    assert all(r["top_k"] == 20 and "max_tokens" not in r for r in requests)


def test_a_server_that_does_not_count_tokens_is_still_held_to_the_budget():
    with scripted("{}") as (url, requests):
        teacher = Teacher("test", base_url=url, api_key_env=None, budget_tokens=3000, max_tokens=500)
        with pytest.raises(BudgetSpent, match="Raise budget_tokens"):
            for i in range(100):
                ask(teacher, f"text {i}")
        assert 0 < len(requests) < 60


def test_secrets_stay_out_of_messages_however_they_got_there(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    page = "<html>" + "x" * 60 + f"Bearer {KEY}</html>"
    with scripted((200, page)) as (url, _):
        with pytest.raises(ValueError) as error:
            ask(Teacher("test", base_url=url, api_key_env="MY_KEY", retries=0))
        assert KEY[:8] not in str(error.value)
    for url in ("http://user:p@ss/word@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?api-key=p@ss/word"):
        assert "word" not in Teacher("test", base_url=url).where


def test_models_that_share_a_store_are_counted_apart(tmp_path):
    with teacher_server(corpus=[CORPUS]) as server:
        ask(teacher_for(server, cache=str(tmp_path / "a.sqlite")))
        other = Teacher("other", base_url=server.url, api_key_env=None, cache=str(tmp_path / "a.sqlite"))
        assert other.meter.tokens == 0 and teacher_for(server, cache=str(tmp_path / "a.sqlite")).meter.tokens > 0
