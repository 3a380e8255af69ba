"""Which texts to annotate next: strategies of `select` against chance, on a pool whose annotations are hidden at first.

    python benchmarks/quality/active.py CORPUS... --labels "person, city" --model DIR --output FILE.json [--plot FILE.svg]

The pool is the rows that were asked at least half of the labels; a quarter of the documents is held out to measure. In each
round a strategy chooses texts by the student of the round before, their annotations are shown, and a new student is made of
the starting model and all texts so far. Start from a model that has not seen these rows.
"""

import sys
from pathlib import Path
from typing import Sequence

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.data.documents import document_of, is_dev
from metaie_spacy.data.rows import Row, asked_of, read_rows
from metaie_spacy.fewshot import adapt
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.measure.page import curves
from metaie_spacy.pipelines import load_pipeline
from metaie_spacy.teacher.choosing import STRATEGIES, choose
from metaie_spacy.train.settings import FewShotSettings

HELD_OUT = 0.25


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("corpus", type=Path, nargs="+", help="annotated rows (JSONL)")
    parser.add_argument("--labels", required=True, help='a family of labels: "person, city"')
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--texts", type=int, default=25, help="that are chosen in each round")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=FewShotSettings.steps)
    parser.add_argument(
        "--limit", type=int, default=0, help="texts of the pool, and a quarter of it to measure; 0: all"
    )
    parser.add_argument("--plot", type=Path, help="write the curves here (SVG)")
    args = parser.parse_args()
    labels = [label.strip() for label in args.labels.split(",")]
    pool, test = family(args.corpus, labels, args.limit)
    result = {"labels": labels, "pool": len(pool), "test": len(test), "texts": args.texts, "steps": args.steps, "f": {}}
    for strategy in args.strategies.split(","):
        runs = [
            simulate(args.model, pool, test, labels, strategy, args.rounds, args.texts, args.steps, seed)
            for seed in range(args.seeds)
        ]
        result["f"][strategy] = runs
        print(strategy, np.mean(runs, axis=0).round(4).tolist(), flush=True)
    result["against_random"] = against(result["f"])
    write_result(args.output, result, args.model, args.corpus)
    if args.plot:
        at = [(number + 1) / args.rounds for number in range(args.rounds)]
        drawn = {name: (at, np.mean(runs, axis=0).tolist()) for name, runs in result["f"].items()}
        args.plot.write_text(curves(drawn, "F by share of the annotated texts"), encoding="utf8")


def family(paths: Sequence[Path], labels: Sequence[str], limit: int) -> tuple[list[Row], list[Row]]:
    """The rows of a family of labels, to choose from and to measure on, asked no label but these."""
    rows = []
    for row in (row for path in paths for row in read_rows(path)):
        asked = [label for label in labels if label in asked_of(row)]
        if 2 * len(asked) >= len(labels):
            spans = [span for span in row["spans"] if span["label"] in asked]
            kept = {key: row[key] for key in ("id", "text", "meta", "source", "unsure") if key in row}
            rows.append({**kept, "spans": spans, "asked": asked})
    test = [row for row in rows if is_dev(document_of(row), HELD_OUT, 0)]
    pool = [row for row in rows if not is_dev(document_of(row), HELD_OUT, 0)]
    if not pool or not test:
        raise SystemExit(f"Only {len(rows)} rows were asked half of {', '.join(labels)}: give other labels.")
    return (pool[:limit], test[: max(1, limit // 4)]) if limit else (pool, test)


def simulate(
    model: str,
    pool: Sequence[Row],
    test: Sequence[Row],
    labels: Sequence[str],
    strategy: str,
    rounds: int,
    texts: int,
    steps: int,
    seed: int,
) -> list[float]:
    """F on the test rows after each round."""
    left = {row["id"]: row for row in pool}
    shown: list[Row] = []
    student = load_pipeline(model)
    found = []
    for number in range(rounds):
        chosen = choose(left.values(), student, list(labels), texts, strategy, seed=100 * seed + number)
        shown += [left.pop(row["id"]) for row in chosen]
        student = load_pipeline(model)
        settings = FewShotSettings(steps=steps, rehearsal=0.0, seed=seed)
        adapt(student, shown, labels=list(labels), settings=settings, progress=False)
        found.append(evaluate_rows(student, test, labels=list(labels))["f"])
    return found


def against(found: dict[str, list[list[float]]]) -> dict[str, dict[str, float]]:
    """The mean difference of F to chance over rounds, of the same seeds, with a standard error over seeds."""
    if "random" not in found:
        return {}
    chance = np.array(found["random"]).mean(1)
    told = {}
    for name, runs in found.items():
        lead = np.array(runs).mean(1) - chance
        error = float(lead.std(ddof=1) / np.sqrt(len(lead))) if len(lead) > 1 else 0.0
        told[name] = {"lead": float(lead.mean()), "error": error}
    return told


if __name__ == "__main__":
    main()
