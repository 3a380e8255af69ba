"""Do two installations of the package find the same spans with the same scores?

    python benchmarks/serving/same.py --old PYTHON --new PYTHON --data FILE [FILE ...] --output FILE

PYTHON is an interpreter that has metaie-spacy and the model installed, of any version. Both read the same rows, in
float32 on one thread. Each text is asked the labels of its own row, found and absent, and then sixteen fixed ones; both
times spans may overlap first, and then may not (flat). The exit code is 1 if a span differs, or a score by over 1e-6.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import MANY
from benchmarks.lib.provenance import write_data_result
from benchmarks.lib.scores import Span, score_changes
from metaie_spacy.data.rows import asked_of, read_rows

WORKER = Path(__file__).with_name("same_worker.py").resolve()
TOLERANCE = 1e-6


def passes_of(rows: list[dict]) -> dict[str, dict]:
    """What is asked, by name of the pass. Rows without labels are asked the fixed ones alone."""
    own = [(row["text"], asked_of(row)) for row in rows]
    asked = {"own labels": [pair for pair in own if pair[1]], "fixed labels": [(text, MANY[:16]) for text, _ in own]}
    modes = {"": False, ", flat": True}
    return {
        name + mode: {"flat": flat, "pairs": pairs}
        for name, pairs in asked.items() for mode, flat in modes.items()
    }  # fmt: skip


def ask(python: str, model: str, passes: dict, folder: Path) -> tuple[dict[str, list[dict[Span, float]]], dict]:
    """Each pass's answers of an interpreter's installation, spans with their scores; and what is installed there.

    `-I` keeps the interpreter to itself: neither this repository nor PYTHONPATH is on its path.
    """
    request, answer = folder / "passes.json", folder / "answers.json"
    request.write_text(json.dumps({"model": model, "passes": passes}), encoding="utf8")
    command = [python, "-I", str(WORKER), str(request), str(answer)]
    if subprocess.run(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode:
        raise SystemExit(f"'{python}' could not answer, see above.")
    result = json.loads(answer.read_text(encoding="utf8"))
    found = {
        name: [{(start, end, label): score for start, end, label, score in spans} for spans in texts]
        for name, texts in result["passes"].items()
    }
    return found, result["installation"]


def compare(old: list[dict[Span, float]], new: list[dict[Span, float]]) -> dict:
    """One pass: how many spans there are, on how many texts they differ, and how far scores do."""
    return {
        "texts": len(old),
        "spans": sum(map(len, old)),
        "spans_of_new": sum(map(len, new)),
        "texts_that_differ": sum(a.keys() != b.keys() for a, b in zip(old, new, strict=True)),
        "largest_score_change": max(score_changes(old, new), default=0.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", required=True, help="Python interpreter of one installation")
    parser.add_argument("--new", required=True, help="Python interpreter of the other")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="annotation rows (JSONL)")
    parser.add_argument("--texts", type=int, default=2000, help="drawn from all files at random (default: %(default)s)")
    parser.add_argument("--model", default="en_metaie_sm", help="package that both have (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    args = parser.parse_args()
    rows = [row for path in args.data for row in read_rows(path)]
    rows = random.Random(0).sample(rows, min(args.texts, len(rows)))
    passes = passes_of(rows)
    with tempfile.TemporaryDirectory() as folder:
        old, of_old = ask(os.path.abspath(args.old), args.model, passes, Path(folder))
        new, of_new = ask(os.path.abspath(args.new), args.model, passes, Path(folder))
    compared = {name: compare(old[name], new[name]) for name in passes}
    for name, found in compared.items():
        print(f"{name}: {', '.join(f'{key} {value:g}' for key, value in found.items())}")
    same = all(f["texts_that_differ"] == 0 and f["largest_score_change"] <= TOLERANCE for f in compared.values())
    result = {"texts": len(rows), "dtype": "float32", "threads": 1, "same": same, "passes": compared}
    write_data_result(args.output, result | {"old": of_old, "new": of_new}, args.data)
    if not same:
        raise SystemExit("The two installations differ.")


if __name__ == "__main__":
    main()
