"""Annotating through faults and kills, and how fast: against the test server, a real process on loopback.

    python benchmarks/project/annotate.py --data FILE --output benchmarks/results/annotate.json

data: annotation rows (JSONL); their texts are annotated, the server replays their spans.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import CORPUS, ROOT, in_tests
from benchmarks.lib.provenance import write_data_result

sys.path.insert(0, str(in_tests("teacher_server.py").parent))

from teacher_server import teacher_server

PRICES = {"price_in": 2.0, "price_out": 8.0}  # money per million tokens, so that cost is not zero


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CORPUS)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.data.read_text(encoding="utf8").splitlines()][: args.texts]
    with tempfile.TemporaryDirectory() as folder:
        soak = run_soak(Path(folder), rows, args)
        print(json.dumps(soak))
        speed = run_throughput(Path(folder), rows, args)
        print(json.dumps(speed))
    write_data_result(args.output, {"soak": soak, "throughput": speed}, [args.data])


def run_soak(folder: Path, rows: list[dict], args: argparse.Namespace) -> dict:
    """30 % faults and SIGKILL: what is on disk against what the server completed."""
    texts, out, log = folder / "texts.jsonl", folder / "annotations.jsonl", folder / "server.jsonl"
    texts.write_text(
        "".join(json.dumps({"id": row["id"], "text": row["text"]}) + "\n" for row in rows), encoding="utf8"
    )
    began = time.perf_counter()
    with teacher_server(
        corpus=[str(args.data)], faults=args.faults, delay=0.02, hang=3, log=str(log), seed=1
    ) as server:
        command = [
            sys.executable, "-m", "metaie_spacy", "annotate", str(texts), str(out), "--config", str(ROOT / "configs/teacher.cfg"),
            "--teacher.base_url", server.url, "--teacher.api_key_env", "null", "--teacher.in_flight", str(args.in_flight),
            "--annotate.max_words", "0", "--teacher.timeout", "2.0", "--teacher.price_in", str(PRICES["price_in"]), "--teacher.price_out", str(PRICES["price_out"]),
        ]  # fmt: skip
        for kill in range(1, args.kills + 1):
            run_until(command, out, len(rows) * kill // (args.kills + 1))
        last = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        calls = Counter(entry["kind"] for entry in server.log())
        completed = [entry for entry in server.log() if entry["completed"]]
    ids = Counter(json.loads(line)["id"] for line in out.read_text(encoding="utf8").splitlines())
    store = sqlite3.connect(folder / "teacher.sqlite")
    answers, n_in, n_out = store.execute(
        "SELECT COUNT(*), SUM(prompt_tokens), SUM(completion_tokens) FROM answers"
    ).fetchone()
    distinct = {entry["key"]: entry for entry in completed}
    spent = next((line.strip() for line in last.stdout.splitlines() if "answers," in line), "")
    return {
        "texts": len(rows), "faults": args.faults, "kills": args.kills, "in_flight": args.in_flight, "seconds": round(time.perf_counter() - began, 1),
        "last_exit": last.returncode, "client_says": spent[spent.find(" ") + 1 :].removesuffix("\x1b[0m"),
        "rows": sum(ids.values()), "texts_exactly_once": sum(n == 1 for n in ids.values()), "requests": dict(calls),
        "answers_completed_by_server": len(completed), "answers_on_disk": answers, "lost_answers": len(completed) - answers,
        "allowed_losses": args.kills * args.in_flight + calls.get("cut", 0) + calls.get("timeout", 0),
        "answers_completed_twice": len(completed) - len(distinct),  # the first was lost on its way to the disk
        "cost_on_disk": cost(n_in, n_out),
        "cost_of_distinct_answers": cost(*(sum(e[f"{kind}_tokens"] for e in distinct.values()) for kind in ("prompt", "completion"))),
        "cost_of_all_completed": cost(*(sum(e[f"{kind}_tokens"] for e in completed) for kind in ("prompt", "completion"))),
    }  # fmt: skip


def cost(prompt_tokens: int, completion_tokens: int) -> float:
    return round((prompt_tokens * PRICES["price_in"] + completion_tokens * PRICES["price_out"]) / 1e6, 6)


def run_until(command: list[str], out: Path, lines: int) -> None:
    """Start the command and kill it when the output has so many lines."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < lines):
        time.sleep(0.02)
    if process.poll() is not None:
        raise SystemExit(f"The command ended with {process.returncode} before {lines} rows were written.")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def run_throughput(folder: Path, rows: list[dict], args: argparse.Namespace) -> dict:
    """Texts a second against a server that answers in 200 ms, and the ideal: in_flight / 0.2 s."""
    from metaie_spacy.teacher.annotate import annotate
    from metaie_spacy.teacher.annotators import PromptAnnotator
    from metaie_spacy.teacher.client import Teacher

    with teacher_server(corpus=[str(args.data)], delay=0.2) as server:
        teacher = Teacher(
            "test", base_url=server.url, api_key_env=None, in_flight=args.in_flight, cache=str(folder / "speed.sqlite")
        )
        annotator = PromptAnnotator(teacher, ROOT / "assets/prompt.jinja")
        annotate(
            rows[:1], folder / "warm.jsonl", annotator, progress=False
        )  # imports and the connection are not the question
        began = time.perf_counter()
        annotate(rows, folder / "speed.jsonl", annotator, progress=False)
        seconds = time.perf_counter() - began
    ideal = len(rows) * 0.2 / args.in_flight
    return {
        "texts": len(rows),
        "in_flight": args.in_flight,
        "seconds": round(seconds, 2),
        "ideal_seconds": ideal,
        "slower_than_ideal": round(seconds / ideal - 1, 4),
    }


if __name__ == "__main__":
    main()
