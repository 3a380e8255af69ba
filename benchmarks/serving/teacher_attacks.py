"""What a hostile endpoint, a second process or a broken disk can do to the teacher's client: attack by attack.

    python benchmarks/serving/teacher_attacks.py --output benchmarks/results/teacher_attacks.json

Each attack runs against the real client in a process of its own, forked from one that has loaded it, and is killed
after --seconds or above --memory. Linux. An attack is held when the client ends by itself with an answer or an expected
error, and what must not happen (a text sent elsewhere, a key on disk, a second payment) has not.
"""

import argparse
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import ROOT, in_tests
from benchmarks.lib.provenance import write_data_result

sys.path.insert(0, str(in_tests("hostile_server.py").parent))

import openai
from hostile_server import (
    BAD_USAGE,
    KEY,
    RETRY_AFTER,
    Behaviour,
    Call,
    completion,
    delays,
    echoes,
    good,
    hostile,
    shows_key,
    sizes,
)

from metaie_spacy.teacher import rounds
from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import PromptAnnotator
from metaie_spacy.teacher.client import Teacher

FORK = multiprocessing.get_context("fork")
PROMPT = ROOT / "assets/prompt.jinja"
ROWS = [{"id": str(i), "text": f"number {i}", "spans": []} for i in range(4)]


class Attack(NamedTuple):
    """kind, name (str): what it is. behave (Behaviour): the server's part. run (Callable): the client's: url, folder.

    judge (Callable): the outcome of the run, and the number of requests -> whether what must not happen has not.
    interrupt (bool): whether Ctrl-C is sent.
    """

    kind: str
    name: str
    behave: Behaviour
    run: Callable[[str, Path], Any]
    judge: Callable[[dict, int], bool] = lambda outcome, requests: True
    interrupt: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=45, help="until a client that runs on is killed")
    parser.add_argument("--memory", type=int, default=1024, help="MB that a client may grow before it is killed")
    parser.add_argument("--megabytes", type=int, default=1024, help="what a bomb inflates to")
    parser.add_argument("--only", default="", help="attacks whose kind or name has this")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    openai.OpenAI(api_key="none")  # loaded once, for all processes that are forked from here
    results = []
    for attack in attacks(args.megabytes):
        if args.only in attack.kind or args.only in attack.name:
            results.append(tried(attack, args))
            print(json.dumps(results[-1]), flush=True)
    worst = {name: max(result[name] for result in results) for name in ("seconds", "memory_mb")}
    held = sum(result["held"] for result in results)
    print(f"{held} of {len(results)} attacks held; at most {worst['seconds']} s and {worst['memory_mb']} MB")
    settings = {name: getattr(args, name) for name in ("seconds", "memory", "megabytes")}
    write_data_result(
        args.output,
        {"settings": settings, "held": held, "tried": len(results), "worst": worst, "attacks": results},
        [],
        ("metaie-spacy", "openai"),
    )


def attacks(megabytes: int) -> list[Attack]:
    """All of them."""
    found = [Attack("bytes", name, behave, asking(timeout=30)) for name, behave in sizes(megabytes).items()]
    found += [Attack("time", name, behave, asking(timeout=2)) for name, behave in delays().items()]
    found += [redirect(status, follows) for status in (301, 302, 303, 307, 308) for follows in (False, True)]
    for value in RETRY_AFTER:
        for status, header in ((503, "Retry_After"), (429, "Retry_After"), (503, "Retry_After_ms")):
            behave = answering(status=status, **{header: value})
            name = f"{status} {header.replace('_', '-')}: {value[:40]}"
            found.append(Attack("waits", name, behave, asking(patience=3, retries=3)))
    found += [
        Attack("tokens", name, answering(completion(usage=usage)), asking(cache=True), is_sane)
        for name, usage in BAD_USAGE.items()
    ]
    found += [Attack("key", name, echoing(echo), annotating_with_a_key, keeps_key) for name, echo in echoes().items()]
    found += [
        Attack("Ctrl-C", name, Call.hang, run, lambda outcome, requests: outcome["result"] == "KeyboardInterrupt", True)
        for name, run in (("annotate", annotating), ("similar", similar), ("correct", correct))
    ]
    once = lambda outcome, requests: requests == 1  # noqa: E731
    found.append(Attack("two payers", "two processes, one question", slow, in_two_processes, once))
    found.append(Attack("two payers", "the one who asks is killed", first_hangs, after_a_kill, lambda o, n: n == 2))
    return found + [
        Attack("store", name, answering(completion(json.dumps({"x": "y" * 9000}))), broken(fault), one_line)
        for name, fault in STORES.items()
    ]


def tried(attack: Attack, args: argparse.Namespace) -> dict:
    """One attack, its server and its client each in a process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url, came = FORK.Queue(), FORK.Value("i", 0)
        server = FORK.Process(target=serve, args=(attack.behave, url, came), daemon=True)
        server.start()
        client = FORK.Process(target=act, args=(attack.run, url.get(), folder), daemon=False)
        began, growth, killed = time.monotonic(), 0.0, ""
        client.start()
        base = resident(client.pid)
        while client.is_alive() and not killed:
            growth = max(growth, resident(client.pid) - base)
            seconds = time.monotonic() - began
            if attack.interrupt and came.value and seconds > 1:
                os.kill(client.pid, signal.SIGINT)
                attack, began = attack._replace(interrupt=False), time.monotonic()
            killed = "killed: time" if seconds > args.seconds else "killed: memory" if growth > args.memory else ""
            time.sleep(0.005)
        seconds = time.monotonic() - began
        client.kill()
        client.join()
        requests = came.value
        server.kill()
        server.join()
        written = folder / "outcome.json"
        outcome = json.loads(written.read_text(encoding="utf8")) if written.exists() else {}
    outcome = {"result": "the process died", "expected": False} | outcome
    if killed:
        outcome = {"result": killed, "expected": False}
    return {
        "kind": attack.kind,
        "attack": attack.name,
        "held": outcome["expected"] and attack.judge(outcome, requests),
        "result": outcome["result"].replace(name, "FOLDER")[:300],
        "seconds": round(seconds, 2),
        "memory_mb": round(growth, 1),
        "requests": requests,
    }


def serve(behave: Behaviour, url: Any, came: Any) -> None:
    def counted(call: Call) -> None:
        with came.get_lock():
            came.value += 1
        behave(call)

    with hostile(counted) as server:
        url.put(server.url)
        time.sleep(3600)


def act(run: Callable[[str, Path], Any], url: str, folder: Path) -> None:
    """The client's part; what came of it is written down."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what runs in its background ignore it
    os.chdir(ROOT)
    try:
        value = run(url, folder)
        outcome = {"result": "an answer", "expected": True} | (value if isinstance(value, dict) else {})
    except KeyboardInterrupt:
        outcome = {"result": "KeyboardInterrupt", "expected": True}
    except ValueError as error:  # what the command line turns into one line
        outcome = {"result": f"{type(error).__name__}: {error}", "expected": type(error) is not UnicodeError}
    except BaseException as error:
        outcome = {"result": f"raw {type(error).__name__}: {error}", "expected": False}
    (folder / "outcome.json").write_text(json.dumps(outcome), encoding="utf8")


def resident(pid: int) -> float:
    """MB of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


def teacher_for(url: str, folder: Path, *, cache: bool = False, **options: Any) -> Teacher:
    settings = {"api_key_env": None, "timeout": 10.0, "retries": 0}
    return Teacher("test", base_url=url, cache=str(folder / "a.sqlite") if cache else None, **{**settings, **options})


def ask(teacher: Teacher, text: str = "a text") -> tuple[Any, dict]:
    return teacher.ask(lambda form: [{"role": "user", "content": text}], json.loads)


def asking(**options: Any) -> Callable[[str, Path], dict]:
    def run(url: str, folder: Path) -> dict:
        teacher = teacher_for(url, folder, **options)
        _, usage = ask(teacher)
        return {"tokens": teacher.meter.tokens, "usage": usage}

    return run


def answering(body: bytes = b"", status: int = 200, **headers: str) -> Behaviour:
    return lambda call: call.answer(body, status, **headers)


def redirect(status: int, follows: bool) -> Attack:
    """To a second server, which must not be asked."""

    def behave(call: Call) -> None:
        if b"chat/completions" in call.head.encode() and "/other/" not in call.head:
            host = call.head.split("Host: ")[1].split("\r\n")[0]
            call.answer(
                status=status, Location=f"http://{host.replace('127.0.0.1', 'localhost')}/other/chat/completions"
            )
        else:
            good(call)

    def run(url: str, folder: Path) -> dict:
        return asking(http_client=openai.DefaultHttpxClient(follow_redirects=True) if follows else None)(url, folder)

    name = f"{status}" + (", a client of the user's" if follows else "")
    return Attack("redirects", name, behave, run, lambda outcome, requests: requests == 1)


def is_sane(outcome: dict, requests: int) -> bool:
    tokens = outcome.get("tokens")
    return isinstance(tokens, int) and 0 < tokens < 1000 and requests == 1


def echoing(echo: str) -> Behaviour:
    def behave(call: Call) -> None:
        headers = {"X_Echo": echo}
        if b"number 0" in call.body:
            call.answer(json.dumps({"error": {"message": f"no: {echo}"}}).encode(), 400, **headers)
        elif b"number 1" in call.body:
            call.answer(f"<html>{echo}</html>".encode(), **headers)
        else:
            answers = json.dumps({"answers": [{"label": echo, "spans": [echo]}]})
            call.answer(completion(answers, {"prompt_tokens": echo}, finish_reason=echo), **headers)

    return behave


def annotating_with_a_key(url: str, folder: Path) -> dict:
    os.environ["BENCHMARK_KEY"] = KEY
    logging.basicConfig(filename=folder / "all.log", level=logging.DEBUG, force=True)
    teacher = teacher_for(url, folder, cache=True, api_key_env="BENCHMARK_KEY", attempts=1)
    problem = ""
    try:  # the first answer comes from the text that is answered, so that errors are of their questions
        annotate(ROWS[::-1], folder / "rows.jsonl", PromptAnnotator(teacher, PROMPT), progress=False)
    except ValueError as error:
        problem = str(error)
    logging.shutdown()
    files = {path.name: path.read_bytes().decode("utf8", "replace") for path in folder.iterdir()}
    shown = sorted(name for name, text in {**files, "the message": problem}.items() if shows_key(text))
    return {"result": f"the key stands in {', '.join(shown)}" if shown else "the key stands nowhere", "shown": shown}


def keeps_key(outcome: dict, requests: int) -> bool:
    return outcome.get("shown") == [] and requests > 0


def annotating(url: str, folder: Path) -> None:
    teacher = teacher_for(url, folder, timeout=600.0)
    annotate(ROWS, folder / "rows.jsonl", PromptAnnotator(teacher, PROMPT), progress=False)


def similar(url: str, folder: Path) -> None:
    list(rounds.write_similar(ROWS, teacher_for(url, folder, timeout=600.0), ROOT / "assets/similar.jinja"))


def correct(url: str, folder: Path) -> None:
    rounds._found = lambda nlp, pairs, name, note: [[(0, 6, "word", 0.9)] for _ in pairs]  # a student
    list(rounds.correct(ROWS, None, teacher_for(url, folder, timeout=600.0), ROOT / "assets/confirm.jinja"))


def slow(call: Call) -> None:
    time.sleep(2)
    good(call)


def first_hangs(call: Call) -> None:
    call.hang() if call.number == 1 else good(call)


def in_two_processes(url: str, folder: Path) -> None:
    other = FORK.Process(target=lambda: ask(teacher_for(url, folder, cache=True)))
    other.start()
    ask(teacher_for(url, folder, cache=True))
    other.join()


def after_a_kill(url: str, folder: Path) -> None:
    other = FORK.Process(target=lambda: ask(teacher_for(url, folder, cache=True, timeout=600.0)))
    other.start()
    time.sleep(1.5)
    other.kill()
    other.join()
    ask(teacher_for(url, folder, cache=True))


def broken(fault: Callable[[Path], Any]) -> Callable[[str, Path], None]:
    """A run whose store is broken, by `fault`, before it or after its first answer."""

    def run(url: str, folder: Path) -> None:
        path = folder / "a.sqlite"
        later = fault(path)
        teacher = teacher_for(url, folder, cache=True)
        ask(teacher)
        if later:
            later(teacher)
            for i in range(50):
                ask(teacher, f"text {i}")

    return run


def one_line(outcome: dict, requests: int) -> bool:
    return "StoreError" in outcome["result"] or "NotStored" in outcome["result"]


def sql(*statements: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with sqlite3.connect(path) as db:
            for statement in statements:
                db.execute(statement)

    return run


def full(teacher: Teacher) -> None:
    pages = teacher.store._db.execute("PRAGMA page_count").fetchone()[0]
    teacher.store._db.execute(f"PRAGMA max_page_count={pages + 9}")


def locked(path: Path) -> Callable[[Teacher], None]:
    holder = sqlite3.connect(path, isolation_level=None)
    return lambda teacher: holder.execute("BEGIN IMMEDIATE")


STORES: dict[str, Callable[[Path], Any]] = {
    "a text file": lambda path: path.write_text("no database" * 500) and None,
    "a directory": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "the tables of another program": sql("CREATE TABLE bookmarks (url TEXT)"),
    "other columns": sql("CREATE TABLE answers (question TEXT, answer TEXT)"),
    "a file that breaks off": lambda path: path.write_bytes(b"SQLite format 3\x00" + bytes(20)) and None,
    "deleted while it runs": lambda path: lambda teacher: path.unlink(),
    "full while it runs": lambda path: full,
    "locked while it runs": locked,
    "its table dropped while it runs": lambda path: lambda teacher: sql("DROP TABLE answers")(path),
}


if __name__ == "__main__":
    main()
