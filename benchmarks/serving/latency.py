"""What the component costs on top of its bare encoder: loading, memory, latency of single texts.

    python benchmarks/serving/latency.py --data FILE --output benchmarks/results/latency.json

FILE holds texts (JSONL with "text"). The bare encoder is the same weights through transformers: AutoModel and AutoTokenizer
from a folder that holds them in float16, as the package does, cast to float32. Loads alternate, each in a fresh process:
the first one still imports what is imported on first use, the second ("again") does not. An empty pipeline on disk shows
what spaCy itself takes. Single texts alternate too. Linux only (/proc).
"""

import argparse
import json
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
from benchmarks.lib.labels import FEW
from benchmarks.lib.options import model_parser
from benchmarks.lib.process import resident
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import drawn_texts


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
    text = "Ada Lovelace, born 10 December 1815, worked with Charles Babbage."
    read(*loaded, text) if what == "bare" else loaded(text)
    print(json.dumps({"first": seconds[0], "again": seconds[1], "resident_mib": resident()}))


def read(model, tokenizer, text: str) -> torch.Tensor:
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state


def percentiles(seconds: list[float]) -> dict:
    return {f"p{p}_ms": float(np.percentile(seconds, p) * 1000) for p in (50, 99)}


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, help="texts (JSONL)")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--loads", type=int, default=7)
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
        for _ in tqdm(range(args.loads), desc="loads"):
            for what, source in sources.items():
                runs[what].append(in_fresh_process(what, source))
    loads = {
        what: {key: statistics.median(one[key] for one in found) for key in found[0]} for what, found in runs.items()
    }
    times: dict[str, list] = {"pipeline": [], "bare": []}
    for text in texts[:50]:
        nlp(text), read(*bare, text)
    for text in tqdm(texts, desc="single texts"):
        for what, run in (("pipeline", nlp), ("bare", lambda text: read(*bare, text))):
            began = time.perf_counter()
            run(text)
            times[what].append(time.perf_counter() - began)
    times = {what: percentiles(seconds) for what, seconds in times.items()}
    result = {
        "texts": len(texts), "labels": len(FEW), "threads": torch.get_num_threads(), "dtype": shim.compute_dtype, "load": loads, "latency": times,
        "ratios": {key: loads["pipeline"][key] / loads["bare"][key] for key in loads["bare"]}
        | {"empty_pipeline_again": loads["empty pipeline"]["again"] / loads["bare"]["again"]}
        | {key: times["pipeline"][key] / times["bare"][key] for key in ("p50_ms", "p99_ms")},
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
