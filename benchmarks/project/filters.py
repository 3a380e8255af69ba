"""Does curating help? The same steps of training on a corpus with and without each filter of `curate`.

    python benchmarks/project/filters.py --data FILE [FILE ...] --encoder DIR --output benchmarks/results/filters.json

Documents are split once, without any filter; filters work on the train part alone, so that every run is scored on the same
dev rows in their own wording.
"""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.provenance import write_data_result
from metaie_spacy.curate.curate import CurateSettings, curate
from metaie_spacy.data.items import blank_tokenizer
from metaie_spacy.train.distill import Settings, distill

OFF = {"near_duplicates": 0.0, "normal_labels": False, "merge_teachers": False}
WHOLE = {"dev_share": 0.0, "test_share": 0.0, "linked": 0.0}
VARIANTS = {
    "none": OFF,
    "default": {},
    "default, ifd": {"ifd_model": "en_metaie_sm"},
    "default, cluster 0.95": {"cluster": 0.95},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="annotation rows")
    parser.add_argument("--encoder", required=True, help="Hugging Face name or directory")
    parser.add_argument("--rows", type=int, default=4000, help="drawn from the files at random")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    lines = [line for path in args.data for line in path.read_bytes().splitlines()]
    result = {
        "settings": {"rows": args.rows, "steps": args.steps, "seeds": args.seeds},
        "variants": {name: [] for name in VARIANTS},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.jsonl").write_bytes(
            b"\n".join(random.Random(0).sample(lines, min(args.rows, len(lines)))) + b"\n"
        )
        curate([folder / "rows.jsonl"], folder / "base", CurateSettings(**OFF, test_share=0.0, linked=0.0))
        for seed in range(args.seeds):
            for variant, options in VARIANTS.items():
                scores = train(folder, f"{variant}-{seed}", {**WHOLE, **options}, args, seed)
                result["variants"][variant].append(scores)
                print(variant, seed, json.dumps(scores), flush=True)
    write_data_result(args.output, result, args.data, ("metaie-spacy", "torch", "transformers"))


def train(folder: Path, name: str, options: dict, args: argparse.Namespace, seed: int) -> dict:
    """One run: what the filters left, and the scores on dev."""
    report = curate([folder / "base" / "train.jsonl"], folder / name, CurateSettings(**options), progress=True)
    rows = report["splits"]["train"]["rows"]
    settings = Settings(args.encoder, epochs=args.steps * 16 / rows, seed=seed, ema=0.99)
    scores = distill(
        {folder / name / "train.jsonl": 1.0},
        folder / f"run-{name}",
        settings,
        tokenize=blank_tokenizer(),
        dev=folder / "base" / "dev.jsonl",
    )
    kept = {"rows": rows, "spans": report["splits"]["train"]["spans"], "labels": report["splits"]["train"]["labels"]}
    return kept | {"dropped_rows": report["rows"]["dropped"], "dropped_spans": report["spans"]["dropped"]} | scores


if __name__ == "__main__":
    main()
