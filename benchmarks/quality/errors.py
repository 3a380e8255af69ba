"""Why zero-shot answers are wrong: every error of the benchmark by its cause, and a sample of 50.

    python benchmarks/quality/errors.py --data DIR [--model NAME] --output benchmarks/results/errors.json

The same setting as the zero-shot cells. No text of a benchmark is written, only labels, lengths and scores.
"""

import random
import sys
from collections import Counter
from pathlib import Path

import spacy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.evidence import CROSSNER, NER6
from benchmarks.lib.ie_data import read_dataset
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.scores import Span, scored_spans
from metaie_spacy.streams import pipe_with_labels

LOW = 0.05  # a span that scores less was not seen


def answers(
    nlp: spacy.Language, texts: list[str], labels: dict[str, str], threshold: float | None, flat: bool
) -> list[dict[Span, float]]:
    """Spans of each text, with their scores."""
    pipe = nlp.get_pipe("metaie")
    pipe.threshold, pipe.flat = threshold, flat
    docs = pipe_with_labels(nlp, [(text, labels) for text in texts])
    return [scored_spans(doc, pipe.spans_key) for doc in docs]


def overlapping(span: Span, others: set[Span]) -> set[Span]:
    return {other for other in others if other[0] < span[1] and span[0] < other[1]}


def cause_of_miss(span: Span, found: set[Span], free: set[Span], low: set[Span]) -> tuple[str, str]:
    """Why a gold span was not found.

    found, free, low (set): flat answers, those that may overlap, and those at a very low threshold.
    RETURNS (tuple): the cause, the label that stands there instead.
    """
    there = sorted(overlapping(span, found))
    same = [other for other in there if other[:2] == span[:2]]
    if span in free:
        return "another label was preferred", (same or there)[0][2]
    if same:
        return "taken for another label", same[0][2]
    if any(other[2] == span[2] for other in there):
        return "other boundaries", span[2]
    if there:
        return "other boundaries and label", there[0][2]
    return ("score below the threshold" if span in low else "not seen"), ""


def cause_of_extra(span: Span, gold: set[Span]) -> tuple[str, str]:
    """Why a found span is wrong."""
    there = sorted(overlapping(span, gold))
    same = [other for other in there if other[:2] == span[:2]]
    if not there:
        return "found where nothing is annotated", ""
    if same:
        return "taken for another label", same[0][2]
    return ("other boundaries" if any(other[2] == span[2] for other in there) else "other boundaries and label"), there[
        0
    ][2]


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--limit", type=int, default=300, help="first texts of each dataset")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    nlp = spacy.load(args.model)
    limit = nlp.get_pipe("metaie").effective_threshold
    errors = []
    for name in (*NER6, *CROSSNER):
        data = read_dataset(args.data / name, limit=args.limit)
        texts = [row["text"] for row in data.test]
        flat = answers(nlp, texts, data.labels, None, True)
        every, lowest = (answers(nlp, texts, data.labels, threshold, False) for threshold in (None, LOW))
        for row, found, free, low in zip(data.test, flat, every, lowest):
            gold = {(s["start"], s["end"], s["label"]) for s in row["spans"] if s["label"] in data.labels}
            for kind, spans in (("missed", gold - set(found)), ("extra", set(found) - gold)):
                for span in sorted(spans):
                    cause, other = (
                        cause_of_miss(span, set(found), set(free), set(low))
                        if kind == "missed"
                        else cause_of_extra(span, gold)
                    )
                    score = low.get(span, 0.0) if kind == "missed" else found[span]
                    errors.append(
                        {
                            "dataset": name,
                            "kind": kind,
                            "cause": cause,
                            "label": span[2],
                            "other": other,
                            "characters": span[1] - span[0],
                            "score": round(score, 2),
                        }
                    )
        print(name, len(errors), flush=True)
    counts = Counter((e["dataset"], e["kind"], e["cause"]) for e in errors)
    table = [{"dataset": d, "kind": k, "cause": c, "n": n} for (d, k, c), n in sorted(counts.items())]
    sample = random.Random(args.seed).sample(errors, min(50, len(errors)))
    result = {
        "settings": {"texts": args.limit, "seed": args.seed, "threshold": limit},
        "counts": table,
        "sample": sample,
    }
    write_result(args.output, result, args.model, [args.data / name / "test.jsonl" for name in (*NER6, *CROSSNER)])


if __name__ == "__main__":
    main()
