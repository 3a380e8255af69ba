"""F on texts that stand in one document, against the same texts alone.

    python benchmarks/quality/joined.py ROWS.jsonl [ROWS.jsonl ...] --output benchmarks/results/joined.json

Rows of one label set (`set`), or of about one length, are joined, eight to a document, by blank lines, line ends or blanks; text
and document are asked all labels of its rows, and of each row only those that it answers are counted. A span over the
border of two texts is an error.
"""

import argparse
import random
import sys
from collections import defaultdict
from pathlib import Path

import spacy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.provenance import write_result
from metaie_spacy import pipe_with_labels
from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import asked_of, read_rows
from metaie_spacy.measure.scores import exact_matches, rates

SIZE, DOCUMENTS, LEAST, OF_ONE_SET = 8, 80, 4, 16  # texts of a document; documents; least texts; rows taken of a set
GLUES = {"blank lines": "\n\n", "line ends": "\n", "blanks": " "}


def documents(paths: list[Path], seed: int) -> list[list[dict]]:
    """Rows that are joined, the same for the same seed."""
    rng, groups = random.Random(seed), defaultdict(list)
    for row in (row for path in paths for row in read_rows(path)):
        groups[row.get("set") or f"of {len(row['text']) // 200}"].append(row)
    found = []
    for _, rows in sorted(groups.items()):
        rng.shuffle(rows)
        parts = [rows[i : i + SIZE] for i in range(0, min(len(rows), OF_ONE_SET), SIZE)]
        found += [part for part in parts if len(part) >= LEAST]
    rng.shuffle(found)
    return found[:DOCUMENTS]


def answers(nlp, pairs: list[tuple[str, list[str]]]) -> list[set]:
    return [
        {(span.start_char, span.end_char, span.label_) for span in doc.spans["metaie"]}
        for doc in pipe_with_labels(nlp, pairs)
    ]


def single(nlp, parts: list[list[dict]]) -> dict:
    rows = [(row, asked) for part in parts for row in part for asked in [labels_of(part)]]
    known = [known_of(row) for row, _ in rows]
    found = answers(nlp, [(row["text"], asked) for row, asked in rows])
    return rates(exact_matches([k.spans for k in known], [k.counted(spans) for k, spans in zip(known, found)]))


def joined(nlp, parts: list[list[dict]], glue: str) -> dict:
    gold, counted = [], []
    found = answers(nlp, [(glue.join(row["text"] for row in part), labels_of(part)) for part in parts])
    for part, spans in zip(parts, found):
        at = 0
        for row in part:
            end, known = at + len(row["text"]), known_of(row)
            inside = {spot for spot in spans if at <= spot[0] and spot[1] <= end}
            gold.append(known.spans)
            counted.append(known.counted((s - at, e - at, label) for s, e, label in inside))
            spans = spans - inside
            at = end + len(glue)
        gold.append(set())
        counted.append(spans)  # over a border
    return rates(exact_matches(gold, counted))


def labels_of(part: list[dict]) -> list[str]:
    return sorted({label for row in part for label in asked_of(row)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="+", type=Path, help="annotation rows (JSONL)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    nlp, parts = spacy.load("en_metaie_sm"), documents(args.rows, args.seed)
    result = {"single": single(nlp, parts)} | {name: joined(nlp, parts, glue) for name, glue in GLUES.items()}
    for name, row in result.items():
        print(f"{name}: P {row['p']:.3f} R {row['r']:.3f} F {row['f']:.3f}")
    sizes = {"documents": len(parts), "texts": sum(map(len, parts)), "seed": args.seed}
    write_result(args.output, {**sizes, "f": result}, "en_metaie_sm", args.rows)


if __name__ == "__main__":
    main()
