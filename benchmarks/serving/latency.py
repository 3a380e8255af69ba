"""What the component costs on top of its bare encoder: loading, memory, latency of single texts, texts a second.

    python benchmarks/serving/latency.py --data FILE --output benchmarks/results/latency.json

FILE holds texts (JSONL with "text"). The bare encoder is the same weights through transformers: AutoModel and AutoTokenizer
from a folder that holds them in float16, as the package does, cast to float32. Loads alternate, each in a fresh process:
the first one still imports what is imported on first use, the second ("again") does not. An empty pipeline on disk shows
what spaCy itself takes. Cold starts are from a process's start to its end after one answer, by the clock and in CPU time
(which other processes do not change by much), with nothing imported but what is needed. Single texts alternate too.
So do passes over all texts on one thread: `nlp.pipe` with 16 labels, and the bare encoder in padded batches of 32, as the
texts come ("bare") and the shortest first ("bare, sorted"). Linux only (/proc).
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import spacy
import torch
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.bare import save_bare
from benchmarks.lib.labels import FEW, MANY
from benchmarks.lib.options import model_parser
from benchmarks.lib.process import resident
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import SENTENCE, drawn_texts

COLD = {
    "pipeline": """
import spacy
nlp = spacy.load({source!r})
nlp.get_pipe("metaie").labels = {labels!r}
nlp({text!r})
""",
    "bare": """
import torch
from transformers import AutoModel, AutoTokenizer
model = AutoModel.from_pretrained({source!r}, torch_dtype=torch.float32).eval()
with torch.inference_mode():
    model(**AutoTokenizer.from_pretrained({source!r})({text!r}, return_tensors="pt"))
""",
}


def load_pipeline(model: str):
    nlp = spacy.load(model)
    nlp.get_pipe("metaie").labels = FEW
    return nlp


def load_bare(folder: str):
    return AutoModel.from_pretrained(folder, torch_dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)


def in_fresh_process(what: str, source: str) -> dict:
    """{"first", "again", "resident_mib"} of loads in a process of its own; "again" has nothing left to import."""
    command = [sys.executable, __file__, "--child", what, "--model", source]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def child(what: str, source: str) -> None:
    """Load twice and read one text; print what it took."""
    import metaie_spacy.model  # noqa: F401

    load = {"pipeline": load_pipeline, "empty pipeline": spacy.load, "bare": load_bare}[what]
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        loaded = load(source)
        seconds.append(time.perf_counter() - began)
    read(*loaded, SENTENCE) if what == "bare" else loaded(SENTENCE)
    print(json.dumps({"first": seconds[0], "again": seconds[1], "resident_mib": resident()}))


def cold_start(what: str, source: str) -> dict:
    """Seconds of a process that gives one answer, by the clock and of its CPU time."""
    code = COLD[what].format(source=source, labels=FEW, text=SENTENCE)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": wall, "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def read(model, tokenizer, text: str | list[str]) -> torch.Tensor:
    """The last states of a text, or of texts in one padded batch."""
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", truncation=True, padding=True)).last_hidden_state


def texts_per_s(nlp, bare: tuple, texts: list[str], rounds: int) -> dict[str, float]:
    """By who reads them, on one thread; medians."""

    def batches(texts: list[str]) -> None:
        for start in range(0, len(texts), 32):
            read(*bare, texts[start : start + 32])

    asked = {"component_cfg": {"metaie": {"labels": MANY[:16]}}}
    ways = {
        "pipeline": lambda: list(nlp.pipe(texts, **asked)), "bare": lambda: batches(texts),
        "bare, sorted": lambda: batches(sorted(texts, key=len)),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {what: [] for what in ways}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for number in range(rounds + 1):
        for what, run in ways.items():
            began = time.process_time()
            run()
            if number:  # the first round warms up
                seconds[what].append(time.process_time() - began)
    torch.set_num_threads(threads)
    return {what: len(texts) / statistics.median(own) for what, own in seconds.items()}


def medians(runs: dict[str, list[dict]]) -> dict[str, dict]:
    return {
        what: {key: statistics.median(one[key] for one in found) for key in found[0]} for what, found in runs.items()
    }


def percentiles(seconds: list[float]) -> dict:
    return {f"p{p}_ms": float(np.percentile(seconds, p) * 1000) for p in (50, 99)}


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, help="texts (JSONL)")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=5, help="passes over the first 300 texts")
    parser.add_argument("--child", choices=["pipeline", "empty pipeline", "bare"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.model)
        return
    nlp = load_pipeline(args.model)
    shim = nlp.get_pipe("metaie").model.shims[0]
    texts = drawn_texts(args.data, args.texts)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as empty:
        save_bare(shim, folder)
        spacy.blank("en").to_disk(empty)
        bare = load_bare(folder)
        sources = {"pipeline": args.model, "empty pipeline": empty, "bare": folder}
        runs: dict[str, list] = {what: [] for what in sources}
        starts: dict[str, list] = {what: [] for what in COLD}
        for _ in tqdm(range(args.loads), desc="loads"):
            for what, source in sources.items():
                runs[what].append(in_fresh_process(what, source))
            for what in COLD:
                starts[what].append(cold_start(what, sources[what]))
    loads, starts = medians(runs), medians(starts)
    times: dict[str, list] = {"pipeline": [], "bare": []}
    for text in texts[:50]:
        nlp(text), read(*bare, text)
    for text in tqdm(texts, desc="single texts"):
        for what, run in (("pipeline", nlp), ("bare", lambda text: read(*bare, text))):
            began = time.perf_counter()
            run(text)
            times[what].append(time.perf_counter() - began)
    times = {what: percentiles(seconds) for what, seconds in times.items()}
    speeds = texts_per_s(nlp, bare, texts[:300], args.rounds)
    result = {
        "texts": len(texts), "labels": len(FEW), "threads": torch.get_num_threads(), "dtype": shim.compute_dtype, "load": loads, "cold_start": starts, "latency": times,
        "texts_per_cpu_s": speeds,
        "ratios": {key: loads["pipeline"][key] / loads["bare"][key] for key in loads["bare"]}
        | {"empty_pipeline_again": loads["empty pipeline"]["again"] / loads["bare"]["again"]}
        | {f"cold_start_{key}": starts["pipeline"][key] / starts["bare"][key] for key in starts["bare"]}
        | {f"texts_per_s_of_{what}": speeds["pipeline"] / speeds[what] for what in ("bare", "bare, sorted")}
        | {key: times["pipeline"][key] / times["bare"][key] for key in ("p50_ms", "p99_ms")},
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
