"""Train the starting points that the few-shot benchmark compares: same encoder, epochs, batches and learning rate.

    python benchmarks/quality/starts.py metaie --corpus DIR --encoder DIR --output OUT [--epochs 3.6 | --steps 1000]

human: rows that people annotated for other tasks (`public_human.jsonl`), the multi-task baseline.
entity: of the LLM rows, the spans whose label is a class name of OntoNotes 5 or MultiNERD (`ENTITY_LABELS`).
metaie: all LLM rows, all labels. metaie_4th, metaie_16th: every fourth, sixteenth document of them.
blind: all LLM rows, but texts do not see the labels. cross: the CrossEncoder (give its own --steps).
DIR holds teacher.jsonl, written.jsonl, public_llm.jsonl and public_human.jsonl, annotation rows.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import RESULTS
from benchmarks.lib.provenance import run_facts
from metaie_spacy.data.documents import document_of, is_dev
from metaie_spacy.data.items import blank_tokenizer
from metaie_spacy.data.rows import read_rows
from metaie_spacy.train.distill import Settings, distill

LLM = {"teacher": 1.0, "written": 2.0, "public_llm": 0.5}  # file -> times it is seen in an epoch
FILES = {"human": {"public_human": 1.0}}
SHARE = {"metaie_4th": 4, "metaie_16th": 16}
OPTIONS = {"blind": {"text_sees_labels": False}, "cross": {"architecture": "CrossEncoder"}}
STARTS = ("human", "entity", "metaie", *SHARE, *OPTIONS)
# OntoNotes 5 (Weischedel et al. 2013) and MultiNERD (Tedeschi and Navigli 2022), abbreviations written out.
ENTITY_LABELS = frozenset(
    """person|people|nationality|religion|religious group|political group|facility|building|organization|company|institution
    |political party|country|city|state|place|location|product|event|work of art|law|language|date|time|percentage|percent
    |money|monetary value|amount of money|quantity|ordinal|number|cardinal number|animal|biological entity|celestial body
    |disease|food|instrument|media|plant|mythological entity|vehicle""".replace("\n    ", "").split("|")
)


def rows_of(path: Path, start: str, seed: int = 0) -> list[dict]:
    """What a starting point learns of a corpus file; the dev rows of all LLM rows stay whole, so that shares can be compared."""
    rows = list(read_rows(path))
    if start == "entity":
        for row in rows:
            row["spans"] = [span for span in row["spans"] if span["label"].lower() in ENTITY_LABELS]
            row["absent"] = [label for label in row.get("absent", []) if label.lower() in ENTITY_LABELS]
        rows = [row for row in rows if row["spans"]]
    if start in SHARE:
        rows = [
            row
            for row in rows
            if is_kept(document_of(row), SHARE[start]) or is_dev(document_of(row), Settings.dev_share, seed)
        ]
    return rows


def is_kept(document: str, one_in: int) -> bool:
    """Choose documents by a hash of their name; each smaller share is a part of the larger ones."""
    return int(hashlib.sha256(f"share:{document}".encode()).hexdigest(), 16) % one_in == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", choices=STARTS)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the annotation files")
    parser.add_argument(
        "--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="Hugging Face name or directory"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="takes the weights, under the name of the starting point"
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "starts", help="takes the figures (JSON)")
    parser.add_argument("--epochs", type=float, default=3.6, help="passes over the starting point's corpus")
    parser.add_argument("--steps", type=int, default=0, help="steps of 16 texts, instead of epochs")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = args.output / args.start
    folder.mkdir(parents=True, exist_ok=True)
    corpus, facts = {}, {}
    for name, weight in FILES.get(args.start, LLM).items():
        source = args.corpus / f"{name}.jsonl"
        rows = rows_of(source, args.start, args.seed)
        target = folder / f"{name}.jsonl"
        target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
        corpus[target] = weight
        facts[name] = {
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), "rows": len(rows), "train_rows": sum(not is_dev(document_of(row), Settings.dev_share, args.seed) for row in rows), "spans": sum(len(row["spans"]) for row in rows),
            "labels": len({span["label"] for row in rows for span in row["spans"]}),
        }  # fmt: skip
    settings = Settings(
        encoder=args.encoder,
        epochs=args.epochs,
        steps=args.steps,
        lr=args.lr,
        seed=args.seed,
        **{"text_sees_labels": True, **OPTIONS.get(args.start, {})},
    )
    result = distill(corpus, folder, settings, tokenize=blank_tokenizer())
    result |= {
        "start": args.start,
        "files": facts,
        "epochs": None if args.steps else args.epochs,
        "lr": args.lr,
        "batch_size": settings.batch_size,
        "seed": args.seed,
    }
    result |= run_facts(("metaie-spacy", "torch", "transformers"))
    for path in (folder / "start.json", args.results / f"{args.start}.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
