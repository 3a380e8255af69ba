"""What benchmarks/serving/peers.py compares: contenders, their processes, cells that all of them take in turn, and scores."""

import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Sequence

from benchmarks.lib.ie_data import Dataset
from benchmarks.lib.paths import ROOT
from benchmarks.lib.texts import drawn_texts
from metaie_spacy.data.documents import document_of, is_dev
from metaie_spacy.data.rows import asked_of
from metaie_spacy.measure.scores import scores_of

WORKER = ROOT / "benchmarks" / "serving" / "peers_worker.py"
START_LIMIT = 600  # seconds in which a process must have loaded what it runs
REPEAT_BELOW = 20.0  # seconds: what takes longer runs once
DEV_SHARE, SEED = 0.1, 0  # of distill, so that all contenders leave out the same documents
THRESHOLDS = (0.02, 0.05, *(t / 10 for t in range(1, 10)))
AT_A_TIME = 64  # texts of one request for answers
SHORT, WORDS = 60, {"300 words": 300, "3,000 words": 3000}  # most words of a short text; words of the joined ones
Ask = Callable[[str, dict, float], dict]  # contender, request, seconds -> answer


class Contender(NamedTuple):
    """Who takes part.

    title (str): for tables. kind (str): how peers_worker.py runs it. env (str): folder of packages of its own, or "".
    model (str): folder under `models`; "" is the bare encoder. is_trained (bool): on the corpus, with open labels, so
    that it is scored. fixed (bool): its labels are those it was trained on. long (bool): reads texts of 3,000 words.
    best (dict): variants of "each at its best", by name.
    """

    title: str
    kind: str
    env: str = ""
    model: str = ""
    is_trained: bool = False
    fixed: bool = False
    long: bool = False
    best: dict[str, dict] = {}


DTYPES = {dtype: {"dtype": dtype} for dtype in ("float32", "bfloat16", "int8")}
PACKED = {"packed": {"dtype": "float32", "packed": True}}
BATCHES = {"batches of 32": {"dtype": "float32", "batch": 32}}
CONTENDERS = {
    "ours": Contender("LabelToSpan.v1", "metaie", "", "ours", True, long=True, best=DTYPES),
    "cross": Contender("CrossEncoder.v1", "metaie", "", "cross"),
    "gliner_uni": Contender("gliner, uni-encoder", "gliner", "gliner", "gliner_uni", True, best=DTYPES | PACKED | BATCHES),
    "gliner_bi": Contender("gliner, bi-encoder", "gliner_bi", "gliner", "gliner_bi", True, best=DTYPES | BATCHES),
    "gliner2": Contender("gliner2", "gliner2", "gliner2", "gliner2", True, best={"float32": {}} | BATCHES),
    "ner": Contender("spaCy `ner`, CNN", "spacy", "", "ner", fixed=True),
    "spancat": Contender("spaCy `spancat`, transformer", "spacy", "", "spancat", fixed=True),
    "bare": Contender("the bare encoder", "bare", long=True, best={"float32": {}, "bfloat16": {"dtype": "bfloat16"}}),
}  # fmt: skip


class Cell(NamedTuple):
    """One measurement that contenders take in turn. texts (str): their kind. mode (str): "batch" or "single"."""

    texts: str
    mode: str
    labels: int


def environment(folder: Path, env: str, threads: int) -> dict[str, str]:
    """Of a contender's process: its own packages come first, and no hub is asked for anything."""
    own = [str(folder / "envs" / env)] if env else []
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*own, str(ROOT)]), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip


class Worker:
    """A process that holds a contender and answers in JSON lines; what it writes else goes to a log.

    spec (dict): of peers_worker.py. command (Sequence[str]): what runs; tests give another one.
    RAISES (RuntimeError): it could not load. TimeoutError: not in time.
    """

    def __init__(self, spec: dict, folder: Path, command: Sequence[str] = (sys.executable, str(WORKER))):
        self.began = time.perf_counter()
        self.log = folder / "logs" / f"{spec['name']}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        env = environment(folder, spec.get("env", ""), spec.get("threads", 1))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env
            )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            self.loaded = self.ask({"do": "load", "spec": spec}, START_LIMIT)
        except (RuntimeError, TimeoutError):
            self.close()
            raise

    def listen(self) -> None:
        """Lines of the process as they come, and "" once it has ended."""
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, request: dict, limit: float) -> dict:
        """RAISES (TimeoutError): no answer within `limit` seconds. RuntimeError: it failed, or has ended."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.lines.get(timeout=limit)
        except queue.Empty:
            raise TimeoutError(f"no answer within {limit:g} s") from None
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the process ended, see {self.log.name}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(OSError):  # what it did not take is lost with it
            self.process.stdin.close()


class Workers:
    """Processes of contenders, each started when it is first asked, and anew after one was stopped or failed."""

    def __init__(self, start: Callable[[str], Worker]):
        self.start, self.running = start, {}

    def ask(self, name: str, request: dict, limit: float) -> dict:
        if name not in self.running:
            self.running[name] = self.start(name)
        try:
            return self.running[name].ask(request, limit)
        except (TimeoutError, RuntimeError):
            self.running.pop(name).close()
            raise

    def close(self) -> None:
        while self.running:
            self.running.popitem()[1].close()


def measure(ask: Ask, names: Sequence[str], request: dict, rounds: int, limit: float) -> dict[str, dict]:
    """One cell of all contenders, who take turns in another order each round; who is stopped once is not asked again."""
    runs: dict[str, list[dict]] = {name: [] for name in names}
    stopped: dict[str, dict] = {}
    for turn in range(rounds):
        at = turn % max(1, len(names))
        for name in [*names[at:], *names[:at]]:
            if name in stopped or (runs[name] and runs[name][0]["seconds"] > REPEAT_BELOW):
                continue
            try:
                runs[name].append(ask(name, request, limit))
            except TimeoutError:
                stopped[name] = {"too_slow": limit}
            except RuntimeError as error:
                stopped[name] = {"error": str(error)}
    return {name: stopped[name] if name in stopped else summary(runs[name], request["texts"]) for name in names}


def summary(runs: Sequence[dict], texts: Sequence[str]) -> dict:
    """Medians over the rounds of a cell; of single texts, over all of them."""
    seconds = statistics.median(run["seconds"] for run in runs)
    each = [one for run in runs for one in run.get("each", [])]
    return {
        "seconds": seconds, "rounds": [run["seconds"] for run in runs], "texts_per_s": len(texts) / seconds,
        "words_per_s": sum(len(text.split()) for text in texts) / seconds, "first_seconds": runs[0]["first"],
        "spans": runs[0]["spans"], "passes": runs[0].get("passes", 1),
    } | ({"p50_ms": statistics.median(each) * 1000} if each else {})  # fmt: skip


def too_slow_before(done: dict[Cell, dict[str, dict]], name: str, cell: Cell) -> bool:
    """Whether the contender was too slow for the same texts with fewer labels, so that it need not be tried."""
    return any(
        (other.texts, other.mode) == (cell.texts, cell.mode) and other.labels <= cell.labels
        and "too_slow" in found.get(name, {})
        for other, found in done.items()
    )  # fmt: skip


def takes(contender: Contender, cell: Cell, fixed_at: int) -> bool:
    """Whether a contender has part in a cell; those whose labels are fixed stand beside one number of labels."""
    return (contender.long or cell.texts != "3,000 words") and (not contender.fixed or cell.labels == fixed_at)


def texts_of_kinds(corpus: Path, numbers: dict[str, int]) -> dict[str, list[str]]:
    """Texts of a corpus by kind: short ones, and passages of many, joined to a number of words."""
    drawn = drawn_texts(corpus, 10**9)
    found = {"short": [text for text in drawn if len(text.split()) <= SHORT][: numbers["short"]]}
    for kind, size in WORDS.items():
        stream = cycle(drawn)
        found[kind] = [joined(stream, size) for _ in range(numbers[kind])]
    return found


def joined(stream: Iterator[str], size: int) -> str:
    """The next texts as one of so many words."""
    words: list[str] = []
    while len(words) < size:
        words += next(stream).split()
    return " ".join(words[:size])


def dev_rows(rows: Sequence[dict]) -> list[dict]:
    """Held-out rows that were asked a whole label set, as the test files are; thresholds are chosen on them."""
    return [row for row in rows if row.get("kind") == "schema" and is_held_out(row)]


def is_held_out(row: dict) -> bool:
    return is_dev(document_of(row), DEV_SHARE, SEED)


def answers(ask: Ask, name: str, texts: list[str], asked: list[list[str]], threshold: float) -> list[set]:
    """Spans of each text, which is asked its own labels, flat: (start, end, label)."""
    found: list[set] = []
    for at in range(0, len(texts), AT_A_TIME):
        part = slice(at, at + AT_A_TIME)
        request = {"do": "answers", "texts": texts[part], "asked": asked[part], "threshold": threshold}
        found += [{tuple(span[:3]) for span in spans} for spans in ask(name, request, START_LIMIT)["spans"]]
    return found


def best_threshold(ask: Ask, name: str, rows: Sequence[dict], thresholds: Sequence[float] = THRESHOLDS) -> dict:
    """The threshold with the best F on dev rows, and that F."""
    texts = [row["text"] for row in rows]
    asked = [sorted(asked_of(row)) for row in rows]
    gold = [{(span["start"], span["end"], span["label"]) for span in row["spans"]} for row in rows]
    scores = {t: scores_of(gold, answers(ask, name, texts, asked, t))["f"] for t in thresholds}
    best = max(scores, key=lambda t: (scores[t], -abs(t - 0.5)))
    return {"threshold": best, "dev_f": scores[best], "dev_texts": len(rows)}


def score(ask: Ask, name: str, data: Dataset, threshold: float) -> dict:
    """Exact match on a benchmark set, whose labels are all asked of every text, by their queries."""
    names = {query: label for label, query in data.labels.items()}
    texts = [row["text"] for row in data.test]
    found = answers(ask, name, texts, [list(names)] * len(texts), threshold)
    found = [{(start, end, names[query]) for start, end, query in spans} for spans in found]
    gold = [
        {(span["start"], span["end"], span["label"]) for span in row["spans"] if span["label"] in data.labels}
        for row in data.test
    ]
    scores = scores_of(gold, found)
    return {key: scores[key] for key in ("p", "r", "f", "f_low", "f_high")} | {"texts": len(texts)}


def size_on_disk(folder: Path) -> float:
    """MB of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
