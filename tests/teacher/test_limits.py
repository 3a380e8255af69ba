"""What a server may take of its client: bytes, time, waits, tokens, and never the key."""

import gzip
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hostile_server import BAD_USAGE, KEY, RETRY_AFTER, completion, delays, echoes, good, hostile, shows_key, sizes

from metaie_spacy.teacher import pool
from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import PromptAnnotator
from metaie_spacy.teacher.client import BudgetSpent, QuestionError, Teacher, TeacherError
from metaie_spacy.teacher.keys import Redactor
from metaie_spacy.teacher.rounds import write_similar
from metaie_spacy.teacher.server_errors import retry_after

ROOT = Path(__file__).parents[2]
PROMPT = ROOT / "assets" / "prompt.jinja"
SIZES, DELAYS = sizes(megabytes=8), delays()
LIMIT = 10_000
WHY = {  # how a name begins: what the message says; others end as broken connections
    "endless chunks of": "without end around its answer. Check base_url, or raise the teacher's max_bytes",
    "endless body": "more than 10000 bytes for one answer. Check base_url, or raise the teacher's max_bytes",
    "endless chunks": "more than 10000 bytes for one answer",
    "endless error": "more than 10000 bytes for one answer",
    "endless refusal": "more than 10000 bytes for one answer",
    "endless gzip": "more than 10000 bytes for one answer",
    "a length of 10 TB": "an answer of 10000000000000 bytes. Check base_url, or raise the teacher's max_bytes",
    "gzip bomb": "bytes of gzip that inflate to more than 10000. Check base_url, or raise the teacher's max_bytes",
    "gzip ten": "which was not asked for",
    "br": "the encoding 'br', which was not asked for",
    "zstd": "the encoding 'zstd', which was not asked for",
    "an encoding": "an answer that is no gzip",
}


def teacher_for(server, **options):
    settings = {"api_key_env": None, "timeout": 20.0, "retries": 0, "max_bytes": LIMIT, "patience": 5.0}
    return Teacher("test", base_url=server.url, **{**settings, **options})


def ask(teacher, text="a text", read=json.loads):
    return teacher.ask(lambda form: [{"role": "user", "content": text}], read)


def within(call, seconds=60):
    """What a call gives or raises; a call that does not end fails the test and not the run."""
    result = []

    def run():
        try:
            result.append((call(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert result, f"it did not end in {seconds} s"
    value, error = result[0]
    if error is not None:
        raise error
    return value


@pytest.mark.parametrize("name", SIZES)
def test_an_answer_without_end_or_measure_is_refused_and_not_asked_for_again(name):
    with hostile(SIZES[name]) as server:
        with pytest.raises(ValueError) as error:
            within(lambda: ask(teacher_for(server, retries=2)))
        message = str(error.value)
        assert "\n" not in message and len(message) < 700
        why = [words for start, words in WHY.items() if name.startswith(start)]
        assert not why or (why[0] in message and len(server.calls) == 1)


def test_the_bound_on_bytes_is_exact_and_a_setting():
    body = completion('{"x": "' + "y" * (LIMIT - 200) + '"}')
    packed = gzip.compress(body)
    with hostile(
        lambda call: call.answer(packed, Content_Encoding="gzip") if b"gzip" in call.body else call.answer(body)
    ) as server:
        for text in ("plain", "gzip"):
            assert ask(teacher_for(server, max_bytes=len(body)), text)[0]["x"]
            with pytest.raises(TeacherError, match=r"raise the teacher's max_bytes"):
                ask(teacher_for(server, max_bytes=len(body) - 1), text)
    with pytest.raises(ValueError, match="max_bytes must be at least 1"):
        Teacher("x", max_bytes=0)


def test_an_oversized_answer_costs_its_question_and_many_of_them_the_run():
    with hostile(lambda call: good(call) if call.number == 1 else SIZES["endless body"](call)) as server:
        teacher = teacher_for(server)
        ask(teacher)
        kinds = []
        for i in range(6):
            with pytest.raises(ValueError, match="more than 10000 bytes") as error:
                ask(teacher, f"text {i}")
            kinds.append(type(error.value))
    assert kinds == [QuestionError] * 4 + [TeacherError] * 2


@pytest.mark.parametrize("name", DELAYS)
def test_the_time_of_a_request_ends_however_its_bytes_come(name):
    with hostile(DELAYS[name]) as server:
        with pytest.raises(ValueError, match="no answer within 0.5 s"):
            within(lambda: ask(teacher_for(server, timeout=0.5)))
        assert len(server.calls) == 1


def test_a_connection_that_was_dropped_half_way_is_not_used_again():
    def behave(call):
        DELAYS["dripping body"](call) if call.number == 1 else call.answer(completion('{"a": 1}'))

    with hostile(behave) as server:
        assert within(lambda: ask(teacher_for(server, timeout=0.5, retries=1)))[0] == {"a": 1}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_client_of_the_users_own_is_bounded_too_and_stays_as_it_was(library):
    httpx = pytest.importorskip(library)
    openai = pytest.importorskip("openai")
    if library not in {base.__module__.partition(".")[0] for base in openai.DefaultHttpxClient.__mro__}:
        pytest.importorskip("httpx2")
    calls = {"endless": SIZES["endless body"], "drip": DELAYS["dripping head"]}
    with (
        hostile(
            lambda call: next((calls[word](call) for word in calls if word.encode() in call.body), None) or good(call)
        ) as server,
        httpx.Client(headers={"X-Mine": "yes"}, follow_redirects=True) as client,
    ):
        transport = client._transport
        for word, why in (("endless", "more than 10000 bytes"), ("drip", "no answer within 0.5 s")):
            with pytest.raises(ValueError, match=why):
                within(lambda word=word: ask(teacher_for(server, timeout=0.5, http_client=client), word))
        teacher = teacher_for(server, http_client=client)
        assert ask(teacher, "good")[0] == {} and "x-mine: yes" in server.calls[-1].head.lower()
        assert client._transport is transport and client.post(f"{server.url}/x", content=b"good").status_code == 200


def library_of(openai):
    """The httpx that the openai client is built on."""
    return sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]


def test_a_transport_of_the_users_own_answers_within_the_bounds_of_a_body():
    openai = pytest.importorskip("openai")
    httpx = library_of(openai)

    class Drip(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                time.sleep(0.05)
                yield b"x"

    def respond(request):
        body = {"stream": Drip()} if b"drip" in request.content else {"content": completion()}
        return httpx.Response(200, **body)

    settings = {"base_url": "http://nowhere.invalid/v1", "api_key_env": None, "timeout": 0.5, "retries": 0}
    teacher = Teacher("test", http_client=httpx.Client(transport=httpx.MockTransport(respond)), **settings)
    assert ask(teacher)[0] == {}
    with pytest.raises(QuestionError, match="no answer within 0.5 s"):
        within(lambda: ask(teacher, "drip"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("follows", [False, True])
def test_no_text_follows_a_redirect_and_its_target_is_the_cure(status, follows):
    with hostile(good) as other:
        target = f"http://user:secret-word@127.0.0.1:{other.url.rsplit(':', 1)[1]}/chat/completions?key=secret-word"
        with hostile(lambda call: call.answer(status=status, Location=target)) as server:
            import openai

            client = openai.DefaultHttpxClient(follow_redirects=True) if follows else None
            with pytest.raises(TeacherError) as error:
                ask(teacher_for(server, retries=3, http_client=client))
        assert len(server.calls) == 1 and other.calls == []
        assert "base_url to it" in str(error.value) and f"to {other.url}," in str(error.value)
        assert "secret-word" not in str(error.value)


@pytest.mark.parametrize("target", ["/v2/chat/completions", "//[", "x" * 5000, "http://\x1b[31m/", ""])
def test_a_strange_redirect_is_refused_too(target):
    with hostile(lambda call: call.answer(status=307, Location=target)) as server:
        with pytest.raises(ValueError) as error:
            ask(teacher_for(server))
    assert len(server.calls) == 1 and len(str(error.value)) < 700 and "\x1b" not in str(error.value)


class Clock(threading.Event):
    """Time passes when it is waited for. waits (list): for how long."""

    def __init__(self):
        super().__init__()
        self.now, self.waits = 0.0, []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self.now += timeout
        return self.is_set()

    def teacher_for(self, server, **options):
        teacher = teacher_for(server, **options)
        teacher.stopping = teacher._resending.stopping = self
        return teacher


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


@pytest.mark.parametrize("header", ["Retry_After", "Retry_After_ms"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_wait_beyond_the_patience_is_not_made(clock, status, header):
    with hostile(lambda call: call.answer(status=status, **{header: "1e11"})) as server:
        with pytest.raises(TeacherError, match=r"asks to wait 1e\+(08|11) s \(\d+\), longer than .* patience of 600 s"):
            ask(clock.teacher_for(server, retries=8, patience=600.0))
    assert clock.waits == [] and len(server.calls) == 1


def test_a_wait_beyond_the_patience_costs_only_its_question_once_the_server_has_answered():
    with hostile(
        lambda call: call.answer(status=503, Retry_After="1e8") if b"bad" in call.body else good(call)
    ) as server:
        teacher = teacher_for(server)
        ask(teacher)
        with pytest.raises(QuestionError, match="asks to wait"):
            ask(teacher, "bad")
        ask(teacher, "good")
        assert len(server.calls) == 3


@pytest.mark.parametrize("asked", [None, "40", "0", "-1", "nan", "soon", "0.001"])
def test_a_rate_limit_is_waited_out_within_the_patience_and_the_server_not_run_against(clock, asked):
    headers = {} if asked is None else {"Retry_After": asked}
    with hostile(lambda call: call.answer(status=429, **headers)) as server:
        with pytest.raises(TeacherError, match="has refused requests for 100 s"):
            ask(clock.teacher_for(server, retries=0, patience=100.0))
        assert sum(clock.waits) <= 100 + 0.2 * len(server.calls)  # requests of a limit do not start in the same moment
        assert 2 < len(server.calls) < 1000


def test_what_a_server_asks_again_and_again_stays_within_the_patience(clock):
    with hostile(lambda call: call.answer(status=503, Retry_After="40")) as server:
        with pytest.raises(TeacherError, match="asks to wait 40 s .503., longer than is left of .* patience of 100 s"):
            ask(clock.teacher_for(server, retries=8, patience=100.0))
        assert 80 <= sum(clock.waits) <= 100 and len(server.calls) == 3


@pytest.mark.parametrize("asked", [None, "0", "-1", "nan", "soon"])
def test_waits_that_grow_end_at_the_patience_and_retries_go_on(clock, asked):
    headers = {} if asked is None else {"Retry_After": asked}
    with hostile(lambda call: call.answer(status=500, **headers)) as server:
        with pytest.raises(TeacherError):
            ask(clock.teacher_for(server, retries=30, patience=2.0))
        assert 1 < max(clock.waits) <= 2 and len(server.calls) == 31


@pytest.mark.parametrize("value", RETRY_AFTER)
@pytest.mark.parametrize("header", ["retry-after", "retry-after-ms"])
def test_what_a_server_asks_is_a_time_to_come_or_nothing(header, value):
    error = ValueError()
    error.response = type("Response", (), {"headers": {header: value}})
    asked = retry_after(error)
    assert asked is None or asked > 0
    if header == "retry-after":
        assert (asked is not None and asked > 1e7) == (RETRY_AFTER[value] or value == "9" * 5000)


@pytest.mark.parametrize("name", BAD_USAGE)
def test_tokens_that_cannot_be_believed_are_estimated(name, tmp_path):
    with hostile(lambda call: call.answer(completion('{"a": "bcdef"}', BAD_USAGE[name]))) as server:
        store = str(tmp_path / "a.sqlite")
        teacher = teacher_for(server, cache=store, price_in=1.0, price_out=1.0, budget_money=1.0)
        usage = ask(teacher)[1]
        assert 5 < usage["prompt_tokens"] < 100 and usage["completion_tokens"] == (2 if name == "one of two" else 7)
        assert teacher.meter.tokens == usage["prompt_tokens"] + usage["completion_tokens"] and teacher.meter.cost > 0
        assert teacher_for(server, cache=store).meter.tokens == teacher.meter.tokens


@pytest.mark.parametrize("name", BAD_USAGE)
def test_no_count_of_tokens_makes_the_budget_grow(name):
    with hostile(lambda call: call.answer(completion(usage=BAD_USAGE[name]))) as server:
        teacher = teacher_for(server, budget_tokens=1000, max_tokens=100)
        with pytest.raises(BudgetSpent):
            for i in range(200):
                ask(teacher, f"text {i}")
        assert 0 < len(server.calls) < 60


def test_counts_of_a_store_that_was_edited_do_not_make_the_budget_grow(tmp_path):
    import sqlite3

    store = str(tmp_path / "a.sqlite")
    with hostile(good) as server:
        ask(teacher_for(server, cache=store))
        for bad in (-(10**12), 2**63 - 1, "many", b"x", 1.5, None):
            with sqlite3.connect(store) as db:
                db.execute("UPDATE answers SET prompt_tokens = ?", (bad,))
                rest = "content, finish_reason, prompt_tokens, completion_tokens, model, created"
                db.execute(f"INSERT OR REPLACE INTO answers SELECT 'other', {rest} FROM answers WHERE key <> 'other'")
            teacher = teacher_for(server, cache=store)
            assert teacher.meter.tokens == 4 and ask(teacher)[1]["prompt_tokens"] in (0, 2**63 - 1)
        assert len(server.calls) == 1


BODIES = {
    "nested lists": b"[" * 5000,
    "nested objects": b'{"a":' * 5000,
    "digits": b'{"choices": ' + b"9" * 5000 + b"}",
    "bytes": bytes(range(256)),
    "a list": b"[]",
    "a string": b'"x"',
    "no choices": b"{}",
    "no message": b'{"choices": [{}]}',
    "a text as message": b'{"choices": [{"message": "x"}]}',
    "empty": b"",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("status", [200, 500, 400])
def test_a_body_that_is_no_answer_is_one_expected_error(name, status):
    body, charset = BODIES[name], {"Content_Type": "application/json; charset=zlib"}
    with hostile(lambda call: call.answer(body, status, **charset)) as server, pytest.raises(TeacherError):
        ask(teacher_for(server))


@pytest.mark.parametrize("charset", ["zlib", "bz2", "punycode", "rot13", "idna", "no-such"])
def test_an_answer_is_read_whatever_its_charset_and_its_other_fields_say(charset):
    body = completion('{"é": 1}', finish_reason={"a": [1]}, index="x")
    headers = {"Content_Type": f"text/html; charset={charset}", "Set_Cookie": "a=b"}
    with hostile(lambda call: call.answer(body, **headers)) as server:
        assert ask(teacher_for(server))[0] == {"é": 1}


def test_a_count_of_thousands_of_digits_does_not_cost_its_answer():
    body = completion(usage={"prompt_tokens": 1}).replace(b'"prompt_tokens": 1', b'"prompt_tokens": ' + b"9" * 5000)
    with hostile(lambda call: call.answer(body)) as server:
        assert ask(teacher_for(server))[1]["prompt_tokens"] < 100


FORMS = echoes()


@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_known_in_every_form(form):
    redact = Redactor(KEY, None)
    for text in (redact.message(f"before {FORMS[form]} after"), redact.answer(f"before {FORMS[form]} after")):
        assert not shows_key(text) and text.startswith("before ") and text.endswith(" after")
    assert redact.answer("sk-very/other words secret") == "sk-very/other words secret"


def test_a_placeholder_in_place_of_a_key_does_not_spoil_answers():
    redact = Redactor("ollama", None)
    assert redact.answer('{"label": "tool", "span": "ollama"}') == '{"label": "tool", "span": "ollama"}'
    assert redact.message("wrong key: ollama") == "wrong key: [key]"


def test_secrets_of_the_base_url_are_known():
    redact = Redactor(None, "http://user:p%40ss%2Fword-1@host/v1?api-key=abcdefgh12345&x=y")
    assert (
        redact.message("POST /v1?api-key=abcdefgh12345 by user:p@ss/word-1, p%40ss%2Fword-1")
        == "POST /v1?api-key=[key] by user:[key], [key]"
    )


@pytest.mark.parametrize("form", FORMS)
def test_an_echoed_key_reaches_no_store_row_message_or_log(form, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    echo, texts = (
        FORMS[form],
        [{"id": name, "text": f"{name} text"} for name in ("right", "error", "page", "prose", "cut")],
    )

    def behave(call):
        assert KEY in call.head
        headers = {"X_Echo": echo, "Retry_After": echo[:90], "Content_Type": f"text/html; charset={echo}"}
        if b"error text" in call.body:
            call.answer(json.dumps({"error": {"message": f"no: {echo}", "code": echo}}).encode(), 400, **headers)
        elif b"page text" in call.body:
            call.answer(f"<html>{echo}</html>".encode(), 200, **headers)
        elif b"prose text" in call.body:
            call.answer(completion(f"Your key is {echo}", finish_reason=echo), **headers)
        elif b"cut text" in call.body:
            call.is_last = True
            call.send(f"HTTP/1.1 200 {echo}\r\nX-Echo: {echo}\r\nContent-Length: 5000\r\n\r\n{echo}".encode())
        else:
            usage = {"prompt_tokens": echo, echo: 5}
            answers = json.dumps({"answers": [{"label": echo, "spans": [echo]}, {"label": "text", "spans": ["text"]}]})
            call.answer(completion(answers, usage, finish_reason=echo), **headers)

    with hostile(behave) as server:
        teacher = teacher_for(server, api_key_env="MY_KEY", cache=str(tmp_path / "a.sqlite"), in_flight=1, patience=0.0)
        counts = annotate(texts, tmp_path / "rows.jsonl", PromptAnnotator(teacher, PROMPT), progress=False)
        assert counts["annotated"] + counts["failed"] == 5 and counts["failed"] >= 3
        with hostile(lambda call: call.answer(status=307, Location=f"http://{echo}@x.example/{echo}?{echo}")) as other:
            with pytest.raises(ValueError) as error:
                ask(teacher_for(other, api_key_env="MY_KEY"))
    del teacher
    files = {path.name: path.read_bytes().decode("utf8", "replace") for path in tmp_path.iterdir()}
    assert "rows.jsonl.failed.jsonl" in files and "a.sqlite" in files
    for name, text in {**files, "log": caplog.text, "error": str(error.value)}.items():
        assert not shows_key(text), name


@pytest.mark.parametrize("key", ["sk-ascii-é-0123456789", "sk-line\nbreak-0123456789", "sk-bell\a-0123456789"])
def test_a_key_that_no_header_carries_is_named_and_not_shown(key, monkeypatch):
    monkeypatch.setenv("MY_KEY", key)
    with hostile(good) as server, pytest.raises(TeacherError, match="MY_KEY holds a line break") as error:
        ask(teacher_for(server, api_key_env="MY_KEY"))
    assert "0123456789" not in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": -1},
        {"patience": -1},
        {"patience": float("nan")},
        {"patience": 1e300},
    ],
)
def test_settings_without_an_end_are_refused(settings):
    with pytest.raises(ValueError, match="timeout is .* patience"):
        Teacher("x", **settings)


RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which what runs in the background ignores
from metaie_spacy.teacher import pool, rounds
from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import PromptAnnotator
from metaie_spacy.teacher.client import Teacher
what, url, folder = sys.argv[1:]
teacher = Teacher("test", base_url=url, api_key_env=None, in_flight=2, timeout=600.0, cache=folder + "/a.sqlite")
rows = [{"id": str(i), "text": f"number {i}", "spans": []} for i in range(5)]
if what == "annotate":
    annotate(rows, folder + "/rows.jsonl", PromptAnnotator(teacher, "assets/prompt.jinja"), progress=False)
elif what == "similar":
    list(rounds.write_similar(rows, teacher, "assets/similar.jinja"))
else:
    rounds._found = lambda nlp, pairs, name, note: [[(0, 6, "word", 0.9)] for _ in pairs]
    list(rounds.correct(rows, None, teacher, "assets/confirm.jinja"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("what", ["annotate", "similar", "correct"])
def test_ctrl_c_ends_a_run_whose_server_is_silent_and_keeps_what_comes_in_a_moment(what, tmp_path):
    release = threading.Event()

    def behave(call):
        if b"number 0" not in call.body:
            call.hang()
        release.wait(60)
        call.answer(completion('{"answers": [], "texts": ["new"], "confirmed": [1]}'))

    with hostile(behave) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, what, server.url, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        try:
            server.wait_for(2)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)  # the answer comes when the run is over already
            release.set()
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()
            process.wait()
    assert process.returncode and errors.rstrip().endswith("KeyboardInterrupt"), errors
    assert len(server.calls) == 2
    assert Teacher("test", cache=str(tmp_path / "a.sqlite")).store.totals("test")[0] == 1
    if what == "annotate":
        assert [json.loads(line)["id"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == ["0"]


def test_the_end_of_a_run_by_an_error_waits_for_what_is_paid_for(tmp_path):
    both = threading.Event()

    def behave(call):
        if b"number 0" in call.body:
            both.wait(60)
            call.answer(status=402)
        else:
            both.set()
            time.sleep(0.5)
            call.answer(completion('{"texts": ["new"]}'))

    with hostile(behave) as server:
        teacher = teacher_for(server, in_flight=2)
        with pytest.raises(TeacherError, match="quota"):
            list(
                write_similar(
                    [{"id": str(i), "text": f"number {i}"} for i in range(2)], teacher, ROOT / "assets/similar.jinja"
                )
            )
        assert teacher.store.totals("test")[0] == 1


def test_the_threads_of_a_pool_end_with_it_and_results_and_errors_come_back():
    before = threading.active_count()  # threads of other tests may end meanwhile
    with pool.DaemonPool(3) as threads:
        futures = [threads.submit(divmod, 7, n) for n in (1, 2, 0, 3)]
        assert [f.exception(timeout=10) is None for f in futures] == [True, True, False, True]
        assert futures[1].result() == (3, 1)
    until = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before
