"""Do answers come back as the spans that they were made of?

    python benchmarks/project/alignment.py --data corpus/teacher.jsonl --output benchmarks/results/alignment.json

Every row of an annotations file is rendered to a teacher's answer in both forms, parsed and aligned again; a span counts
as returned if start, end and label are the same. Then the hand-written cases of the tests, in which the answer differs
from the text. Seconds are CPU time of one run on one core, parsing and alignment only.
"""

import argparse
import json
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import in_tests
from benchmarks.lib.provenance import write_data_result
from metaie_spacy.data.rows import read_rows
from metaie_spacy.teacher.reply.alignment import find_answer
from metaie_spacy.teacher.reply.parse import FORMS, read_answer, render

CASES = "alignment_cases.jsonl"


def round_trip(rows: list[dict], form: str) -> dict:
    """Counts over all rows in one form."""
    counts = Counter(spans=0, returned=0, extra=0, dropped=0, refused=0, absent_differs=0)
    answers = [render(row, form) for row in rows]
    began = time.process_time()
    read = [read_or_none(answer, row["text"]) for answer, row in zip(answers, rows)]
    seconds = time.process_time() - began
    for row, result in zip(rows, read):
        gold = {(span["start"], span["end"], span["label"]) for span in row["spans"]}
        counts["spans"] += len(gold)
        if result is None:
            counts["refused"] += 1
            continue
        spans, absent, dropped = result
        found = {(span["start"], span["end"], span["label"]) for span in spans}
        counts["returned"] += len(gold & found)
        counts["extra"] += len(found - gold)
        counts["dropped"] += len(dropped)
        counts["absent_differs"] += set(absent) != set(row.get("absent", []))
    return {
        **counts,
        "share_returned": round(counts["returned"] / max(1, counts["spans"]), 6),
        "seconds": round(seconds, 2),
    }


def read_or_none(answer: str, text: str) -> tuple[list[dict], list[str], list[dict]] | None:
    try:
        return read_answer(answer, text)
    except ValueError:
        return None


def hard_cases(path: Path) -> dict:
    """How many of the marked cases are found where they are marked, in all and by kind."""
    passed, total = Counter(), Counter()
    for line in path.read_text(encoding="utf8").splitlines():
        case = json.loads(line)
        text, expected = unmark(case["text"])
        total[case["kind"]] += 1
        passed[case["kind"]] += find_answer(text, case["answer"])[0] == expected
    per_kind = {kind: f"{passed[kind]}/{total[kind]}" for kind in sorted(total)}
    return {"cases": total.total(), "passed": passed.total(), "per_kind": per_kind}


def unmark(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without ⟦ and ⟧, and the offsets between them."""
    text, *marks = marked.split("⟦")
    places = []
    for mark in marks:
        inside, after = mark.split("⟧")
        places.append((len(text), len(text) + len(inside)))
        text += inside + after
    return text, places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="annotations (JSONL)")
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    args = parser.parse_args()
    rows, cases = list(read_rows(args.data)), in_tests(CASES)
    result = {
        "texts": len(rows),
        "forms": {form: round_trip(rows, form) for form in FORMS},
        "hard_cases": hard_cases(cases),
    }
    print(json.dumps(result, indent=1))
    packages = ("metaie-spacy", *(["rapidfuzz"] if find_spec("rapidfuzz") else []))
    write_data_result(args.output, result, [args.data, cases], packages)


if __name__ == "__main__":
    main()
