"""What the component costs on top of its bare encoder: loading, memory, latency of single texts.

    python benchmarks/latency.py --data FILE --output benchmarks/results/latency.json

FILE holds texts (JSONL with "text"). The bare encoder is the same weights through transformers: AutoModel and AutoTokenizer
from a folder that holds them in float16, as the package does, cast to float32. Loads and resident memory are those of
fresh processes that have imported everything before; loads alternate, as do the single texts. Linux only (/proc).
"""
import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import spacy
import torch
from memory import LABELS, resident
from provenance import write_result
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer


def load_pipeline(model: str):
    nlp = spacy.load(model)
    nlp.get_pipe("metaie").labels = LABELS
    return nlp


def load_bare(folder: str):
    return AutoModel.from_pretrained(folder, torch_dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)


def in_fresh_process(what: str, source: str) -> dict:
    """{"seconds", "resident_mib"} of one load, measured by this script in a process of its own."""
    command = [sys.executable, __file__, "--child", what, "--model", source]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def child(what: str, source: str) -> None:
    """Load once, all imports done, and read one text; print what it took."""
    import metaie_spacy.model  # noqa: F401

    AutoTokenizer.from_pretrained, AutoModel.from_pretrained  # resolves what transformers imports lazily
    from transformers import BertModel, BertTokenizerFast  # noqa: F401

    spacy.blank("en").add_pipe("metaie")  # fills the registries
    began = time.perf_counter()
    loaded = load_pipeline(source) if what == "pipeline" else load_bare(source)
    seconds = time.perf_counter() - began
    text = "Ada Lovelace, born 10 December 1815, worked with Charles Babbage."
    loaded(text) if what == "pipeline" else read(*loaded, text)
    print(json.dumps({"seconds": seconds, "resident_mib": resident()}))


def read(model, tokenizer, text: str) -> torch.Tensor:
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state


def percentiles(seconds: list[float]) -> dict:
    return {f"p{p}_ms": float(np.percentile(seconds, p) * 1000) for p in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="texts (JSONL)")
    parser.add_argument("--model", default="en_metaie_sm")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--child", choices=["pipeline", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.model)
        return
    nlp = load_pipeline(args.model)
    shim = nlp.get_pipe("metaie").model.shims[0]
    texts = [json.loads(line)["text"] for line in args.data.open(encoding="utf8")]
    texts = random.Random(0).sample(texts, min(args.texts, len(texts)))
    with tempfile.TemporaryDirectory() as folder:
        shim.module.encoder.half().save_pretrained(folder)
        shim.module.encoder.float()
        shim._hfmodel.tokenizer.save_pretrained(folder)
        bare = load_bare(folder)
        loads: dict[str, list] = {"pipeline": [], "bare": []}
        for _ in tqdm(range(args.loads), desc="loads"):
            for what, source in (("pipeline", args.model), ("bare", folder)):
                loads[what].append(in_fresh_process(what, source))
    times: dict[str, list] = {"pipeline": [], "bare": []}
    for text in texts[:50]:
        nlp(text), read(*bare, text)
    for text in tqdm(texts, desc="single texts"):
        for what, run in (("pipeline", nlp), ("bare", lambda text: read(*bare, text))):
            began = time.perf_counter()
            run(text)
            times[what].append(time.perf_counter() - began)
    began = time.perf_counter()
    spacy.blank("en")
    result = {
        "texts": len(texts), "labels": len(LABELS), "threads": torch.get_num_threads(), "dtype": shim.compute_dtype, "spacy_blank_seconds": time.perf_counter() - began,
        **{what: {"load_seconds": statistics.median(one["seconds"] for one in loads[what]), "loads": [one["seconds"] for one in loads[what]],
                  "resident_mib": statistics.median(one["resident_mib"] for one in loads[what]), **percentiles(times[what])} for what in times},
    }  # fmt: skip
    result["ratios"] = {key: result["pipeline"][key] / result["bare"][key] for key in ("load_seconds", "resident_mib", "p50_ms", "p99_ms")}
    print(json.dumps(result["ratios"]), json.dumps({what: {k: v for k, v in result[what].items() if k != "loads"} for what in times}))
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
