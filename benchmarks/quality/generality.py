"""How much should a frequent label give way to a rare one, where only one of overlapping spans may stay?

    python benchmarks/quality/generality.py rows.jsonl [more.jsonl] --only dev.jsonl --output benchmarks/results/generality.json

Rows of a corpus, of which those in --only are scored and the others counted. Each text is asked, beside its own and absent
labels, the most frequent labels of the corpus and labels of other texts; flat; spans of its own labels are the gold.
"""

import math
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Iterable

import spacy
import srsly
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.data.rows import asked_of, read_rows
from metaie_spacy.measure.scores import exact_matches
from metaie_spacy.schema import generality, same_label
from metaie_spacy.spans import Answer, flatten
from metaie_spacy.streams import pipe_with_labels
from metaie_spacy.train.batches import FREQUENT as FREQUENT_FROM

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
FREQUENT, FOREIGN_WORDS = 15, 3


def log_odds(score: float) -> float:
    score = min(max(score, 1e-9), 1 - 1e-9)
    return math.log(score / (1 - score))


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("rows", type=Path, nargs="+", help="annotation rows (JSONL)")
    parser.add_argument(
        "--only", type=Path, required=True, help="JSONL with the ids of the rows to score, such as distill's dev.jsonl"
    )
    parser.add_argument("--limit", type=int, default=400, help="rows that are scored, drawn by --seed")
    parser.add_argument(
        "--foreign",
        type=int,
        nargs="+",
        default=[25, 100, 220, 500],
        help="numbers of labels of other texts that each text is asked",
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    ids = {row["id"] for row in srsly.read_jsonl(args.only)}
    counts, rows = Counter(), []
    for row in (row for path in args.rows for row in read_rows(path)):
        if row["id"] in ids:
            rows.append(row)
        else:
            counts.update({same_label(span["label"]) for span in row["spans"]})
    rows = random.Random(args.seed).sample(rows, min(len(rows), args.limit))
    known = {label: n for label, n in counts.items() if n >= FREQUENT_FROM}
    frequent = [label for label, _ in counts.most_common(FREQUENT)]
    foreign = sorted({label for row in rows for label in asked_of(row) if len(label.split()) <= FOREIGN_WORDS})
    nlp = spacy.load(args.model)
    pipe = nlp.get_pipe("metaie")
    pipe.flat = False
    gold = [{(span["start"], span["end"], span["label"]) for span in row["spans"]} for row in rows]
    result = {"settings": {"texts": len(rows), "frequent": FREQUENT, "seed": args.seed}, "f": {}}
    for number in args.foreign:
        rng = random.Random(args.seed)
        pairs = [
            (
                row["text"],
                list(dict.fromkeys([*asked_of(row), *frequent, *rng.sample(foreign, min(len(foreign), number))])),
            )
            for row in rows
        ]
        docs = list(tqdm(pipe_with_labels(nlp, pairs), total=len(pairs), mininterval=5))
        asked = [len(labels) for _, labels in pairs]
        found = {
            str(weight): [flat_spans(doc.spans[pipe.spans_key], known, weight=weight) for doc in docs]
            for weight in WEIGHTS
        }
        found["rule"] = [flat_spans(doc.spans[pipe.spans_key], known, asked=n) for doc, n in zip(docs, asked)]
        scores = {name: exact_matches(gold, spans).fscore for name, spans in found.items()}
        result["f"][str(number)] = {"labels_asked": sum(asked) / len(asked)} | scores
        print(f"{number} foreign labels: {', '.join(f'{name} {f:.1%}' for name, f in scores.items())}", flush=True)
    write_result(args.output, result, args.model, [*args.rows, args.only])


def flat_spans(group: Iterable, counts: dict[str, int], **rule: float) -> set[tuple[int, int, str]]:
    """The spans that stay if labels give way as `schema.generality` has it."""
    gives_way = generality([span.label_ for span in group], counts, **rule)
    answers = [
        Answer(span.label_, span.start_char, span.end_char, score, log_odds(score) - less)
        for span, score, less in zip(group, group.attrs["scores"].tolist(), gives_way)
    ]  # fmt: skip
    return {(a.start, a.end, a.label) for a in flatten(answers)}


if __name__ == "__main__":
    main()
