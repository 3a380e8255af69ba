"""nlp.pipe(n_process=2), forked and spawned, against one process: the same spans, the same scores?

    python benchmarks/workers.py --data FILE --output benchmarks/results/workers.json

FILE holds texts (JSONL with "text"). float32; one process uses all threads, two workers one each. Speeds are of one run,
the start of the workers included.
"""
import argparse
import json
import multiprocessing
import time
from pathlib import Path

import spacy
import torch
from memory import LABELS
from provenance import write_result


def spans_of(nlp, texts: list[str], **kwargs) -> tuple[list[dict], float]:
    """Scores by (start, end, label) per text, and the seconds that it took."""
    began, found = time.perf_counter(), []
    for doc in nlp.pipe(texts, batch_size=250, **kwargs):
        group = doc.spans["metaie"]
        found.append({(s.start, s.end, s.label_): float(x) for s, x in zip(group, group.attrs["scores"])})
    return found, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="en_metaie_sm")
    parser.add_argument("--texts", type=int, default=1500)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    texts = [json.loads(line)["text"] for line in args.data.open(encoding="utf8")][: args.texts]
    nlp = spacy.load(args.model, config={"components": {"metaie": {"model": {"compute_dtype": "float32"}}}})
    nlp.get_pipe("metaie").labels = LABELS
    spans_of(nlp, texts[:32])
    expected, seconds = spans_of(nlp, texts)
    result = {"texts": len(texts), "spans": sum(map(len, expected)), "threads": torch.get_num_threads(), "one_process_seconds": seconds, "workers": {}}
    for method in ("fork", "spawn"):
        multiprocessing.set_start_method(method, force=True)
        found, took = spans_of(nlp, texts, n_process=2)
        changes = [abs(a[key] - b[key]) for a, b in zip(expected, found) for key in a.keys() & b.keys()]
        same = [a.keys() for a in expected] == [b.keys() for b in found]
        result["workers"][method] = {"same_spans": same, "largest_score_change": max(changes), "seconds": took, "speed": seconds / took}
        print(f"n_process=2 ({method}): same spans {same}, scores change by {max(changes):.1e}, {seconds / took:.2f} x as fast as one process")
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
