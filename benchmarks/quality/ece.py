"""How far the scores of spans are from probabilities, by kind of row and by the number of labels that are asked.

    python benchmarks/quality/ece.py dev_rows.jsonl --output benchmarks/results/ece.json

The rows are those that `calibrate` was given; scored is the half of their documents that it did not fit to (--seed as
there), each text asked its own labels and those noted as absent. "schemas": whole label sets of which no training row
has one; "jobs": those of jobs, in the words of those who would ask; "links": rows with links; "free": free labels.
Expected calibration error over 15 bins of equal mass, of spans of which the rows say whether they are right.
"""

import sys
from collections import defaultdict
from pathlib import Path

import spacy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.data.rows import asked_of, read_rows
from metaie_spacy.measure.calibrate import Scale, measure, rules_of, score_rows, split_documents

FIGURES = ("p", "r", "f", "spans", "ece", "brier")
FEW = 4  # labels
ORDER = ("all", "schemas", "jobs", "free", "links")


def kind_of(row: dict) -> str:
    if row.get("links"):
        return "links"
    if "job" in row:
        return "jobs"
    return "schemas" if "schema" in row else "free"


def size_of(row: dict) -> str:
    return f"{'at most' if len(asked_of(row)) <= FEW else 'more than'} {FEW} labels"


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("rows", type=Path, help="annotation rows (JSONL)")
    parser.add_argument("--seed", type=int, default=0, help="that of calibrate")
    args = parser.parse_args()
    nlp, rows = spacy.load(args.model), list(read_rows(args.rows))
    rules = rules_of(nlp.get_pipe("metaie"), {})
    scored = list(score_rows(nlp, rows, None, rules, name="metaie", progress=True))
    rows_of = {id(text): row for text, row in zip(scored, rows, strict=True)}
    groups = defaultdict(list)
    for text in split_documents(scored, args.seed)[1]:
        row = rows_of[id(text)]
        for name in ("all", kind_of(row), size_of(row)):
            groups[name].append(text)
    found = {}
    for name in sorted(groups, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        own = measure(groups[name], rules, Scale())
        found[name] = {"texts": len(groups[name])} | {key: own[key] for key in FIGURES}
        print(name, found[name])
    write_result(args.output, {"groups": found, "seed": args.seed}, args.model, [args.rows])


if __name__ == "__main__":
    main()
