"""What asking more labels does to the answers of the labels that one wants.

    python benchmarks/quality/distractors.py --data DIR [--model NAME] --output benchmarks/results/distractors.json

The labels of a dataset are asked together with 0, 50 or 500 others, drawn from the packaged corpus without those that share
a word with a label of the dataset; F is the mean of several draws, since it matters much whether "illness" is among those
drawn where "disease" is asked. Scored are the dataset's labels alone. "overlap": spans of all labels may overlap, so
that the others change nothing but how a text is read; "flat": they compete for the tokens too.
"""

import random
import sys
from pathlib import Path
from statistics import fmean

import spacy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import read_dataset
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.data.rows import asked_of, read_rows
from metaie_spacy.fewshot import packaged_corpus
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.measure.scores import PRF
from metaie_spacy.schema import same_label

DATASETS = ("conll2003", "bc5cdr", "crossner_ai", "crossner_politics")
NUMBERS = (0, 50, 500)


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--limit", type=int, default=200, help="first texts of each dataset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=5, help="draws of the other labels")
    args = parser.parse_args()
    pool = sorted({same_label(label) for row in read_rows(packaged_corpus()) for label in asked_of(row)})
    nlp = spacy.load(args.model)
    pipe = nlp.get_pipe("metaie")
    result = {"settings": {"texts": args.limit, "seed": args.seed, "draws": args.draws, "pool": len(pool)}, "f": {}}
    for name in DATASETS:
        data = read_dataset(args.data / name, limit=args.limit)
        words = {word for query in data.labels.values() for word in query.split()}
        others = [label for label in pool if not words & set(label.split())]
        result["f"][name] = {}
        for number in NUMBERS:
            by_mode: dict[str, list[float]] = {"overlap": [], "flat": []}
            for draw in range(args.draws if number else 1):
                drawn = random.Random(args.seed + draw).sample(others, number)
                asked = {f"other: {label}": label for label in drawn} | data.labels
                for mode, scores in by_mode.items():
                    pipe.flat = mode == "flat"
                    found = evaluate_rows(nlp, data.test, labels=asked)
                    own = [found["per_label"][label] for label in data.labels if label in found["per_label"]]
                    scores.append(fscore(own))
            means = {mode: fmean(scores) for mode, scores in by_mode.items()}
            result["f"][name][str(number)] = means | {"draws": by_mode}
            print(name, number, by_mode, flush=True)
    write_result(args.output, result, args.model, [args.data / name / "test.jsonl" for name in DATASETS])


def fscore(rows: list[dict]) -> float:
    """Micro F of some labels, from the counts of each."""
    tp, found, gold = (sum(row[key] for row in rows) for key in ("tp", "found", "spans"))
    return PRF(tp, found - tp, gold - tp).fscore


if __name__ == "__main__":
    main()
