"""The store of answers: two processes pay once, and what goes wrong is one line that says what to do."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hostile_server import completion, good, hostile

from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import PromptAnnotator
from metaie_spacy.teacher.client import QuestionError, Teacher
from metaie_spacy.teacher.rounds import write_similar
from metaie_spacy.teacher.store import AnswerStore, Reply, StoreError

ROOT = Path(__file__).parents[2]
PROMPT = ROOT / "assets" / "prompt.jinja"
ANSWERS = '{"answers": [{"label": "word", "spans": ["number"]}]}'
REPLY = Reply("{}", "stop", 3, 2)
ASK = """
import json, sys
from metaie_spacy.teacher.client import Teacher
url, cache, *texts = sys.argv[1:]
teacher = Teacher("test", base_url=url, api_key_env=None, timeout=60.0, retries=0, cache=cache)
print("asks", flush=True)
for text in texts:
    print(json.dumps(teacher.ask(lambda form: [{"role": "user", "content": text}], json.loads)), flush=True)
"""


def teacher_for(server, cache, **options):
    settings = {"api_key_env": None, "timeout": 20.0, "retries": 0, "cache": cache and str(cache)}
    return Teacher("test", base_url=server.url, **{**settings, **options})


def ask(teacher, text="a text"):
    return teacher.ask(lambda form: [{"role": "user", "content": text}], json.loads)


def process_that_asks(server, cache, *texts):
    command = [sys.executable, "-c", ASK, server.url, str(cache), *texts]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def asked(server):
    return Counter(body["messages"][-1]["content"] for body in server.bodies)


def test_two_processes_ask_a_question_once(tmp_path):
    both_ask, texts = threading.Event(), ["one", "two", "three"]

    def behave(call):
        both_ask.wait(120)
        call.answer(completion(json.dumps({"n": call.number})))

    with hostile(behave) as server:
        processes = [process_that_asks(server, tmp_path / "a.sqlite", *texts) for _ in range(2)]
        try:
            assert [process.stdout.readline() for process in processes] == ["asks\n"] * 2
            server.wait_for(1)
            time.sleep(1)  # the other one would have asked by now
            both_ask.set()
            answers = [process.communicate(timeout=120)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
    assert asked(server) == dict.fromkeys(texts, 1)
    assert answers[0] == answers[1] and len(answers[0].splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir() if "asking" in path.name] == []


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")
def test_a_process_that_was_killed_while_it_asked_holds_up_nobody(tmp_path):
    def behave(call):
        call.hang() if call.number <= 1 else good(call)

    with hostile(behave) as server:
        killed = process_that_asks(server, tmp_path / "a.sqlite", "one")
        server.wait_for(1)
        store = AnswerStore(str(tmp_path / "a.sqlite"))
        assert not store._claim(*store._run(lambda db: db.execute("SELECT key FROM claims").fetchone()))
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        done = threading.Event()
        threading.Thread(target=lambda: (ask(teacher_for(server, tmp_path / "a.sqlite"), "one"), done.set())).start()
        assert done.wait(30) and asked(server) == {"one": 2}
        assert store._run(lambda db: db.execute("SELECT COUNT(*) FROM claims").fetchone()) == (0,)
        del store
    assert len(list(tmp_path.glob("*.asking"))) <= 1  # that of this process, until it ends


@pytest.mark.parametrize("teachers, is_file", [(1, True), (2, True), (1, False)])  # two stores in memory are two
def test_threads_ask_a_question_once(tmp_path, teachers, is_file):
    arrived = threading.Event()

    def behave(call):
        arrived.wait(60)
        good(call)

    with hostile(behave) as server:
        made = [teacher_for(server, tmp_path / "a.sqlite" if is_file else None) for _ in range(teachers)]
        found = []
        threads = [threading.Thread(target=lambda i=i: found.append(ask(made[i % teachers]))) for i in range(6)]
        for thread in threads:
            thread.start()
        server.wait_for(1)
        time.sleep(0.3)
        arrived.set()
        for thread in threads:
            thread.join(60)
    assert len(server.calls) == 1 and found == [({}, {"prompt_tokens": 3, "completion_tokens": 2, "answers": 1})] * 6


def test_a_question_that_fails_is_asked_again_by_the_one_who_waits(tmp_path):
    second = threading.Event()

    def behave(call):
        if call.number == 1:
            second.wait(60)
            call.answer(b'{"error": {"message": "too long: context length"}}', 400)
        else:
            good(call)

    with hostile(behave) as server:
        teacher, other = (teacher_for(server, tmp_path / "a.sqlite") for _ in range(2))
        failed, found = [], []

        def first():
            try:
                ask(teacher)
            except QuestionError as error:
                failed.append(error)

        threads = [threading.Thread(target=first), threading.Thread(target=lambda: found.append(ask(other)))]
        threads[0].start()
        server.wait_for(1)
        threads[1].start()
        time.sleep(0.2)
        second.set()
        for thread in threads:
            thread.join(60)
    assert len(failed) == 1 and found[0][0] == {} and len(server.calls) == 2


def test_the_wait_for_another_process_ends_at_the_patience_and_with_the_run(tmp_path):
    with hostile(lambda call: call.hang()) as server:
        teacher = teacher_for(server, tmp_path / "a.sqlite", timeout=60)
        threading.Thread(target=lambda: pytest.raises(ValueError, ask, teacher), daemon=True).start()
        server.wait_for(1)
        other = teacher_for(server, tmp_path / "a.sqlite", timeout=0.3, patience=0.0)
        with pytest.raises(QuestionError, match="another process has been asking this question for 0.3 s. Wait"):
            ask(other)
        patient = teacher_for(server, tmp_path / "a.sqlite")
        patient.stopping.set()
        with pytest.raises(QuestionError, match="the run was stopped"):
            ask(patient)
        assert len(server.calls) == 1


def foreign(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")


def other_columns(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE answers (question TEXT, answer TEXT)")


def no_key(path):
    with sqlite3.connect(path) as db:
        names = "key, content, finish_reason, prompt_tokens, completion_tokens, model, created"
        db.execute(f"CREATE TABLE answers ({names})")


def a_view(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE VIEW answers AS SELECT 1 AS key")


def other_claims(path):
    AnswerStore(str(path))
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE claims")
        db.execute("CREATE TABLE claims (who TEXT)")


def damaged(path):
    store = AnswerStore(str(path))
    for i in range(200):
        store.put(str(i), REPLY._replace(content="x" * 500), "m")
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._db.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def within_a_file(path):
    path.parent.joinpath("file").write_text("")
    return path.parent / "file" / "a.sqlite"


FAULTS = {
    "a text": lambda path: path.write_text("this is no database, whatever its name says" * 50) and None,
    "a directory": lambda path: path.mkdir(),
    "a directory above that is a file": within_a_file,
    "another program's": foreign,
    "other columns": other_columns,
    "no primary key": no_key,
    "a view": a_view,
    "other claims": other_claims,
    "damaged": damaged,
    "a half of a file": lambda path: path.write_bytes(b"SQLite format 3\x00" + bytes(10)) and None,
    "a device": lambda path: Path(os.devnull),
    "a pipe": lambda path: os.mkfifo(path),
    "a name that is too long": lambda path: path.with_name("x" * 300),
    "a name that is none": lambda path: f"{path}\0b",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_store_is_refused_before_anything_is_asked_and_left_as_it_was(tmp_path, fault):
    if fault in ("a device", "a pipe") and sys.platform == "win32":
        pytest.skip("files of another kind")
    path = tmp_path / "a.sqlite"
    path = FAULTS[fault](path) or path
    before = path.read_bytes() if os.path.isfile(path) else None
    with hostile(good) as server:
        with pytest.raises(StoreError, match="cannot be used as a store of answers") as error:
            ask(teacher_for(server, path))
        assert server.calls == []
    assert "\n" not in str(error.value) and "path" in str(error.value)
    assert before is None or path.read_bytes() == before


@pytest.fixture
def users_folder():
    """A folder of a user to whom some things are read-only, who runs the test: root may write everything."""
    nobody, root = 65534, hasattr(os, "geteuid") and os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        if root:
            os.chown(name, nobody, -1)
            os.seteuid(nobody)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_store_that_may_not_be_written_says_so(users_folder, what):
    path = users_folder / "folder" / "a.sqlite"
    AnswerStore(str(path))._db.close()
    (path if what == "file" else path.parent).chmod(0o444 if what == "file" else 0o555)
    try:
        with pytest.raises(StoreError, match="Allow writing"):
            AnswerStore(str(path)).put("key", REPLY, "m")
    finally:
        path.parent.chmod(0o755)


MESSAGES = {
    "attempt to write a readonly database": "Allow writing to the file and its folder",
    "unable to open database file": "Allow writing to the file and its folder",
    "database or disk is full": "Make room there",
    "disk I/O error": "Check the disk",
    "database disk image is malformed": "move it away",
    "no such table: answers": "another path",
}


class Broken:
    """A connection that fails from the first write of an answer on. before (bool): from the first write of any."""

    def __init__(self, db, message, *, before=False):
        self.db, self.message, self.before = db, message, before

    def __getattr__(self, name):
        return getattr(self.db, name)

    def execute(self, query, *parameters):
        if query.startswith("INSERT OR REPLACE INTO " + ("claims" if self.before else "answers")):
            raise sqlite3.OperationalError(self.message)
        return self.db.execute(query, *parameters)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_store_that_fails_does_so_before_anything_is_paid_for(tmp_path, message):
    with hostile(good) as server:
        teacher = teacher_for(server, tmp_path / "a.sqlite")
        teacher.store._db = Broken(teacher.store._db, message, before=True)
        with pytest.raises(StoreError, match=MESSAGES[message]):
            ask(teacher)
        assert server.calls == []


@pytest.mark.parametrize("message", MESSAGES)
def test_an_answer_that_the_store_cannot_take_stands_in_its_row_and_ends_the_run(tmp_path, message):
    texts, out = [{"id": str(i), "text": f"number {i}"} for i in range(5)], tmp_path / "rows.jsonl"
    with hostile(lambda call: call.answer(completion(ANSWERS))) as server:
        teacher = teacher_for(server, tmp_path / "a.sqlite", in_flight=1)
        teacher.store._db = Broken(teacher.store._db, message)
        with pytest.raises(StoreError, match="The text '\\d' was answered, and its row is written") as error:
            annotate(texts, out, PromptAnnotator(teacher, PROMPT), progress=False)
        assert MESSAGES[message] in str(error.value) and "\n" not in str(error.value)
        rows = [json.loads(line) for line in out.read_text(encoding="utf8").splitlines()]
        assert len(rows) == len(server.calls) and rows[0]["spans"]
        assert teacher.meter.answers == len(server.calls)
        again = PromptAnnotator(teacher_for(server, tmp_path / "a.sqlite"), PROMPT)
        assert annotate(texts, out, again, progress=False)["done_before"] == len(rows)
        assert len(server.calls) == 5


def test_an_answer_that_is_lost_is_named(tmp_path):
    seeds = [{"id": "seed-1", "text": "one"}]
    with hostile(lambda call: call.answer(completion('{"texts": ["new"]}'))) as server:
        teacher = teacher_for(server, tmp_path / "a.sqlite")
        teacher.store._db = Broken(teacher.store._db, "database or disk is full")
        with pytest.raises(StoreError, match="The text 'seed-1' was answered, and its answer is lost.*Make room"):
            list(write_similar(seeds, teacher, ROOT / "assets" / "similar.jinja"))
        teacher = teacher_for(server, tmp_path / "a.sqlite", temperature=1.0)
        teacher.store._db = Broken(teacher.store._db, "database or disk is full")
        with pytest.raises(StoreError, match="The text 'seed-1' was answered, and its answer is lost"):
            annotate(seeds, tmp_path / "rows.jsonl", PromptAnnotator(teacher, PROMPT, samples=3), progress=False)


def test_a_full_disk_is_named_and_what_was_stored_stays(tmp_path):
    path = tmp_path / "a.sqlite"
    with hostile(lambda call: call.answer(completion(json.dumps({"x": "y" * 20_000})))) as server:
        teacher = teacher_for(server, path)
        pages = teacher.store._db.execute("PRAGMA page_count").fetchone()[0]
        teacher.store._db.execute(f"PRAGMA max_page_count={pages + 14}")
        kept = 0
        with pytest.raises(StoreError, match="is full.*Make room there and start again"):
            for kept in range(10):
                ask(teacher, f"text {kept}")
        assert 0 < kept == len(server.calls) - 1
        again = teacher_for(server, path)
        for i in range(kept):
            ask(again, f"text {i}")
        assert len(server.calls) == kept + 1


def test_a_store_that_another_program_holds_is_waited_for_and_then_named(tmp_path, monkeypatch):
    path = tmp_path / "a.sqlite"
    with hostile(good) as server:
        teacher = teacher_for(server, path)
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, holder.execute, ["COMMIT"]).start()
        ask(teacher)
        holder.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(AnswerStore, "LOCK_WAIT", 0.3)
        with pytest.raises(StoreError, match="locked.*Another program holds it: close that one"):
            ask(teacher, "another")
        assert len(server.calls) == 1 and ask(teacher)[0] == {}
        holder.execute("COMMIT")
        ask(teacher, "another")
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")


def test_a_store_that_is_held_is_named_when_it_is_opened_too(tmp_path, monkeypatch):
    path = tmp_path / "a.sqlite"
    monkeypatch.setattr(AnswerStore, "LOCK_WAIT", 0.3)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE x (y)")
    holder.execute("DROP TABLE x")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked.*Another program holds it"):
        AnswerStore(str(path))
    holder.execute("COMMIT")
    AnswerStore(str(path)).put("key", REPLY, "m")


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_store_that_goes_away_under_a_run_ends_it_before_more_is_paid_for(tmp_path, how):
    path = tmp_path / "a.sqlite"
    with hostile(good) as server:
        teacher = teacher_for(server, path)
        ask(teacher)
        if how == "replaced":
            AnswerStore(str(tmp_path / "b.sqlite"))._db.close()
            os.replace(tmp_path / "b.sqlite", path)
        else:
            path.unlink() if how == "deleted" else path.rename(tmp_path / "b.sqlite")
        with pytest.raises(StoreError, match="moved or deleted while it was in use.*Put it back"):
            ask(teacher, "another")
        assert len(server.calls) == 1


def test_rows_that_are_no_answers_are_asked_again(tmp_path):
    path = tmp_path / "a.sqlite"
    with hostile(good) as server:
        ask(teacher_for(server, path))
        for calls, bad in enumerate((None, b"\xff", 5), 2):
            with sqlite3.connect(path) as db:
                db.execute("CREATE TABLE IF NOT EXISTS notes (note)")  # tables beside are nobody's concern
                db.execute("UPDATE answers SET content = CAST(? AS BLOB), finish_reason = NULL", (bad,))
            assert ask(teacher_for(server, path))[0] == {} and len(server.calls) == calls
        assert ask(teacher_for(server, path))[0] == {} and len(server.calls) == calls


def test_claims_that_name_other_files_lead_nowhere(tmp_path):
    path, other = tmp_path / "folder" / "a.sqlite", tmp_path / "mine.asking"
    store = AnswerStore(str(path))
    other.write_text("mine")
    (path.parent / "a.sqlite.").mkdir()
    for owner in ("/../../mine", "", None, 5, b"x", "x" * 32):
        store._run(lambda db, owner=owner: db.execute("INSERT OR REPLACE INTO claims VALUES ('k', ?)", (owner,)))
        with store.asking("k", threading.Event(), 5) as known:
            assert known is None
    assert other.read_text() == "mine"


def test_a_store_of_an_earlier_version_opens_and_keeps_its_answers(tmp_path):
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, content TEXT, finish_reason TEXT, "
            "prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT, created REAL)"
        )
        db.execute("INSERT INTO answers VALUES ('key', '{}', 'stop', 3, 2, 'test', 1.0)")
    store = AnswerStore(str(path))
    assert store.get("key") == REPLY and store.totals("test") == (1, 3, 2)
    with store.asking("key", threading.Event(), 5) as known:
        assert known == REPLY
