"""Resident memory of a long run: 100,000 texts through nlp.pipe, one memory zone per 1,000.

    python benchmarks/serving/memory.py --output benchmarks/results/memory.json

Texts are sentences of assets/corpus.jsonl in which words are swapped for new ones, so that the vocabulary never stops
growing. Resident memory is read after every zone. Freed memory goes back to the system every now and then, so that single
readings go up and down: compared are the peaks of the first tenth of the run and of all of it, and the means of the second
and the last tenth. Linux only (reads /proc/self/statm).
"""

import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import spacy
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import FEW
from benchmarks.lib.options import model_parser
from benchmarks.lib.process import resident
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import sentences


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--zone", type=int, default=1000, help="texts of one memory zone")
    args = parser.parse_args()
    nlp = spacy.load(args.model)
    nlp.get_pipe("metaie").labels = FEW
    stream, curve, spans, tokens = sentences(0), [], 0, 0
    began = time.perf_counter()
    with tqdm(total=args.texts, unit="text", mininterval=10) as bar:
        for _start in range(0, args.texts, args.zone):
            with nlp.memory_zone():
                for doc in nlp.pipe(islice(stream, args.zone)):
                    spans, tokens = spans + len(doc.spans["metaie"]), tokens + len(doc)
            bar.update(args.zone)
            curve.append(round(resident(), 1))
    seconds = time.perf_counter() - began
    tenth = len(curve) // 10
    result = {
        "texts": args.texts, "zone": args.zone, "labels": len(FEW), "tokens": tokens, "spans": spans,
        "resident_mib_after_each_zone": curve, "peak_mib": {"first tenth": max(curve[:tenth]), "all": max(curve)},
        "growth_of_peak": max(curve) / max(curve[:tenth]) - 1,
        "growth_of_mean": statistics.mean(curve[-tenth:]) / statistics.mean(curve[tenth : 2 * tenth]) - 1,
        "texts_per_s": args.texts / seconds, "tokens_per_s": tokens / seconds, "threads": torch.get_num_threads(),
    }  # fmt: skip
    print({key: value for key, value in result.items() if key != "resident_mib_after_each_zone"})
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
