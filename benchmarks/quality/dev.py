"""The one figure by which a model is chosen, on rows of the annotated corpus that no training saw.

    python benchmarks/quality/dev.py split CORPUS DATA      # files to train on, and files held out (dev_KIND.jsonl)
    python benchmarks/quality/dev.py score CORPUS --model DIR --output benchmarks/results/dev/NAME.json

0.25 x F of schemas whose base sets occur in no training row, all their labels asked, flat
+ 0.15 x the same, each label in a wording that no training saw (labels without one as they are)
+ 0.2 x F of whole jobs held out, labels not flat
+ 0.2 x F of free rows, asked their own labels, the absent ones, and 25 rare labels of other documents
+ 0.1 x F of 200 documents joined of held-out rows
+ 0.1 x F of held-out sets of links, heads and answers found by the model (end to end)
"""

import argparse
import sys
from pathlib import Path
from typing import Mapping

from spacy.language import Language

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.dev_parts import FILES, WORDINGS, joined_rows, split_corpus, split_wordings, with_foreign
from benchmarks.lib.provenance import write_result
from metaie_spacy.data.jsonl import write_jsonl
from metaie_spacy.data.rows import asked_of
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.pipelines import load_pipeline
from metaie_spacy.schema import same_label

WEIGHTS = {"schemas": 0.25, "wordings": 0.15, "jobs": 0.2, "free": 0.2, "joined": 0.1, "links": 0.1}
WATCHED = {"schema": 100, "jobs": 60, "free": 100, "links": 60}  # rows of each kind, in the dev file of training


def split(corpus: Path, output: Path) -> None:
    """Write the rows to train on, file by file, those held out, kind by kind, and some of each kind for training to watch."""
    output.mkdir(parents=True, exist_ok=True)
    rows = split_corpus(corpus)
    for name, kept in rows.train.items():
        write_jsonl(output / f"{name}.jsonl", kept)
    write_jsonl(output / f"{WORDINGS}.jsonl", split_wordings(corpus / f"{WORDINGS}.jsonl")[0])
    watched = [
        row for kind, own in rows.dev.items() for row in own[:: max(1, len(own) // WATCHED[kind])][: WATCHED[kind]]
    ]
    write_jsonl(output / "dev.jsonl", watched)
    for kind, own in rows.dev.items():
        write_jsonl(output / f"dev_{kind}.jsonl", own)


def score(nlp: Language, corpus: Path, limit: int = 0) -> dict:
    """The parts of the figure and their weighted sum, all 0 to 1."""
    dev = {kind: some(rows, limit) for kind, rows in split_corpus(corpus).dev.items()}
    wording = split_wordings(corpus / f"{WORDINGS}.jsonl")[1]
    found = {
        "schemas": f_of(nlp, dev["schema"], flat=True),
        "wordings": f_of(nlp, dev["schema"], flat=True, wording=wording),
        "jobs": f_of(nlp, dev["jobs"]),
        "free": f_of(nlp, with_foreign(dev["free"])),
        "joined": f_of(nlp, some(joined_rows(dev["schema"] + dev["free"]), limit)),
        "links": f_of_links(nlp, dev["links"]),
    }
    return {"figure": sum(WEIGHTS[part] * scores["f"] for part, scores in found.items()), "parts": found}


def some(rows: list[dict], limit: int) -> list[dict]:
    """So many rows, evenly spread; 0: all."""
    return rows[:: max(1, len(rows) // limit)][:limit] if limit else rows


def f_of(nlp: Language, rows: list[dict], *, flat: bool = False, wording: Mapping[str, str] | None = None) -> dict:
    """Scores of rows that are asked their own and absent labels."""
    nlp.get_pipe("metaie").flat = flat
    asks = None
    if wording is not None:
        asks = [{name: wording.get(same_label(name), name) for name in asked_of(row)} for row in rows]
    scores = evaluate_rows(nlp, rows, asks=asks, progress=True)
    return {key: scores[key] for key in ("p", "r", "f", "spans", "texts")}


def f_of_links(nlp: Language, rows: list[dict]) -> dict:
    nlp.get_pipe("metaie").flat = False
    scores = evaluate_rows(nlp, rows)["links"]
    kept = {key: scores["end_to_end"][key] for key in ("p", "r", "f", "links")}
    return kept | {"gold_heads_f": scores["gold_heads"]["f"], "texts": len(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    splitting = commands.add_parser("split", help="write the rows to train on")
    splitting.add_argument("corpus", type=Path, help="folder of the annotated corpus")
    splitting.add_argument("output", type=Path, help="folder for the files")
    scoring = commands.add_parser("score", help="score a pipeline on the rows that are held out")
    scoring.add_argument("corpus", type=Path, help="folder of the annotated corpus")
    scoring.add_argument("--model", default="en_metaie_sm", help="package or directory (default: %(default)s)")
    scoring.add_argument("--limit", type=int, default=0, help="rows of each kind (default: all)")
    scoring.add_argument("--note", help="what these weights are, for the table")
    scoring.add_argument("--output", type=Path, help="write the result here (JSON)")
    args = parser.parse_args()
    if args.command == "split":
        split(args.corpus, args.output)
        return
    noted = {"note": args.note} if args.note else {}
    result = noted | score(load_pipeline(args.model), args.corpus, args.limit)
    files = [
        args.corpus / f"{name}.jsonl" for name in (*(name for names in FILES.values() for name in names), WORDINGS)
    ]
    write_result(args.output, result, args.model, files)
    for part, scores in result["parts"].items():
        print(f"{part:10} {100 * scores['f']:5.1f}  of {scores['texts']} texts")
    print(f"{'figure':10} {100 * result['figure']:5.1f}")


if __name__ == "__main__":
    main()
