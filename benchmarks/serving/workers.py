"""nlp.pipe(n_process=2), forked and spawned, against one process: the same spans, the same scores?

    python benchmarks/serving/workers.py --data FILE --output benchmarks/results/workers.json

FILE holds texts (JSONL with "text"). float32; one process uses all threads, two workers one each. Speeds are of one run,
the start of the workers included.
"""

import multiprocessing
import sys
import time
from pathlib import Path

import spacy
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import FEW
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.scores import Span, score_changes, scored_spans
from benchmarks.lib.texts import texts_of


def spans_of(nlp, texts: list[str], **kwargs) -> tuple[list[dict[Span, float]], float]:
    """The spans of each text with their scores, and the seconds that it took."""
    began = time.perf_counter()
    found = [scored_spans(doc) for doc in nlp.pipe(texts, batch_size=250, **kwargs)]
    return found, time.perf_counter() - began


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=1500)
    args = parser.parse_args()
    texts = texts_of(args.data, args.texts)
    nlp = spacy.load(args.model, config={"components": {"metaie": {"model": {"compute_dtype": "float32"}}}})
    nlp.get_pipe("metaie").labels = FEW
    spans_of(nlp, texts[:32])
    expected, seconds = spans_of(nlp, texts)
    result = {
        "texts": len(texts),
        "spans": sum(map(len, expected)),
        "threads": torch.get_num_threads(),
        "one_process_seconds": seconds,
        "workers": {},
    }
    for method in ("fork", "spawn"):
        multiprocessing.set_start_method(method, force=True)
        found, took = spans_of(nlp, texts, n_process=2)
        changes = score_changes(expected, found)
        same = [a.keys() for a in expected] == [b.keys() for b in found]
        result["workers"][method] = {
            "same_spans": same,
            "largest_score_change": max(changes),
            "seconds": took,
            "speed": seconds / took,
        }
        print(
            f"n_process=2 ({method}): same spans {same}, scores change by {max(changes):.1e}, {seconds / took:.2f} x as fast as one process"
        )
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
