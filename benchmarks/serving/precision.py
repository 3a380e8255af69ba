"""bfloat16 and int8 against float32: F1, score changes and speed of the same weights.

    python benchmarks/serving/precision.py --data bench/conll2003 --output benchmarks/results/precision.json

DIR is a dataset's folder as in quality.py. Score changes are taken over all its texts: of the probabilities of every
tag of every (token, label) pair, and of the scores of the spans that both formats find. Speeds are medians of one
interleaved run over 300 of the texts, relative to float32. A CPU without units for bfloat16 emulates it, slowly.
Last, for each format: do texts that come alone, nlp(text), get the spans that they get in company, nlp.pipe(texts)?
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import spacy
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import read_dataset
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.scores import Span, largest_probability_change, score_changes, scored_spans
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.model.dtypes import resolve_dtype
from metaie_spacy.model.predict import score_docs

DTYPES = ("float32", "bfloat16", "int8")


def set_dtype(nlp, dtype: str) -> None:
    shim = nlp.get_pipe("metaie").model.shims[0]
    shim.compute_dtype = dtype
    shim.forget()


def scores_of(nlp, texts: list[str], labels: dict[str, str]) -> tuple[dict, list[dict[Span, float]]]:
    """Logits by (text, label), and the spans of each text with their scores."""
    pipe = nlp.get_pipe("metaie")
    logits, spans, queries = {}, [], sorted(labels.values())
    for start in tqdm(range(0, len(texts), 250), desc=f"scores {pipe.model.shims[0].compute_dtype}"):
        docs = [nlp.make_doc(text) for text in texts[start : start + 250]]
        for i, chunk, _, found in score_docs(pipe.model, docs, [queries] * len(docs)):
            logits |= {(start + i, label): found[:, u] for u, label in enumerate(chunk)}
        spans += [scored_spans(doc, pipe.spans_key) for doc in pipe.pipe(docs, labels=labels)]
    return logits, spans


def alone_and_together(nlp, texts: list[str]) -> dict:
    """On how many texts the spans of nlp(text) and nlp.pipe(texts) differ, and the largest change of a span's score."""
    together = [scored_spans(doc) for doc in nlp.pipe(texts)]
    alone = [scored_spans(nlp(text)) for text in tqdm(texts, desc="single texts")]
    return {
        "single_differs": sum(one.keys() != other.keys() for one, other in zip(alone, together)),
        "single_texts": len(texts),
        "single_largest_score_change": max(score_changes(alone, together), default=0.0),
    }


def seconds(nlp, texts: list[str]) -> float:
    began = time.perf_counter()
    for _ in nlp.pipe(texts):
        pass
    return time.perf_counter() - began


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of one dataset, such as bench/conll2003")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--single", type=int, default=500, help="first texts that are also read one by one")
    args = parser.parse_args()
    data = read_dataset(args.data)
    if data.labels is None:
        parser.error(f"'{args.data}' holds relations, whose questions differ from text to text. Give one of spans.")
    texts, labels = [row["text"] for row in data.test], data.labels
    nlp = spacy.load(args.model)
    pipe = nlp.get_pipe("metaie")
    pipe.flat, pipe.labels = True, labels
    chosen = resolve_dtype("auto", pipe.model.shims[0].device)
    result = {"dataset": data.name, "sha256": data.sha256["test.jsonl"], "texts": len(texts),
              "threads": torch.get_num_threads(), "cpu": torch.backends.cpu.get_cpu_capability(), "auto": chosen, "dtypes": {}}  # fmt: skip
    kept = {}
    for dtype in DTYPES:
        set_dtype(nlp, dtype)
        scores = evaluate_rows(nlp, data.test, labels=labels)
        logits, spans = scores_of(nlp, texts, labels)
        kept.setdefault("logits", logits), kept.setdefault("spans", spans)
        changes = score_changes(kept["spans"], spans)
        result["dtypes"][dtype] = {
            "f": scores["f"], "f_change": scores["f"] - result["dtypes"].get("float32", scores)["f"], "spans": sum(map(len, spans)),
            "spans_of_float32_found": len(changes) / sum(map(len, kept["spans"])), "largest_tag_probability_change": largest_probability_change(kept["logits"], logits),
            "largest_span_score_change": max(changes), "span_score_change_p99": float(np.percentile(changes, 99)),
        } | alone_and_together(nlp, texts[: args.single])  # fmt: skip
        print(dtype, result["dtypes"][dtype], flush=True)
    times = {dtype: [] for dtype in DTYPES}
    for _ in range(args.rounds):
        for dtype in DTYPES:
            set_dtype(nlp, dtype)
            seconds(nlp, texts[:16])
            times[dtype].append(seconds(nlp, texts[:300]))
    for dtype in DTYPES:
        result["dtypes"][dtype] |= {
            "seconds": times[dtype],
            "speed": statistics.median(times["float32"]) / statistics.median(times[dtype]),
        }
        print(
            f"{dtype}: {result['dtypes'][dtype]['speed']:.2f} x float32's speed, F {result['dtypes'][dtype]['f']:.4f}"
        )
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
