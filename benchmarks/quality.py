"""Zero-shot span F1 of a pipeline on public IE test files.

    python benchmarks/quality.py --data DIR --output benchmarks/results/quality.json

DIR holds one folder a dataset with `test.jsonl` ({"id", "text", "spans": [{"start", "end", "label"}]}) and
`labels.json` ({"map": {source label: {"label": name, "kind": ...}}}). All labels of a dataset are asked of every text,
lower-cased, flat; CrossNER's "Miscellaneous" is neither asked nor counted. Exact match on character spans, micro.
"""
import argparse
import hashlib
import json
from pathlib import Path

import spacy
from provenance import write_result

from metaie_spacy.evaluate import evaluate

GROUPS = {
    "ner6": ["conll2003", "mit_restaurant", "mit_movie", "bc5cdr", "wnut2017", "jnlpba"],
    "crossner": ["crossner_ai", "crossner_music", "crossner_politics"],
}
NOT_ASKED = {"crossner_ai": ["Miscellaneous"], "crossner_music": ["Miscellaneous"], "crossner_politics": ["Miscellaneous"]}


def label_queries(folder: Path) -> dict[str, str]:
    """Label name in the data -> what is asked: the name in lower case."""
    names = [entry["label"] for entry in json.loads((folder / "labels.json").read_text(encoding="utf8"))["map"].values()]
    return {name: name.lower() for name in dict.fromkeys(names) if name not in NOT_ASKED.get(folder.name, [])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--model", default="en_metaie_sm", help="package or path")
    parser.add_argument("--limit", type=int, default=0, help="only the first texts of each; 0: all")
    parser.add_argument("--threshold", type=float, help="without it, the one that the weights were calibrated to")
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    args = parser.parse_args()
    nlp = spacy.load(args.model)
    pipe = nlp.get_pipe("metaie")
    pipe.flat, pipe.threshold = True, args.threshold
    result = {"settings": {"threshold": pipe.effective_threshold, "flat": True, "limit": args.limit}, "datasets": {}, "means": {}}
    for name in [name for names in GROUPS.values() for name in names]:
        path = args.data / name / "test.jsonl"
        scores = evaluate(nlp, path, labels=label_queries(path.parent), limit=args.limit, progress=True)
        scores["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        result["datasets"][name] = scores
        print(f"{name:20} P {scores['p']:.3f} R {scores['r']:.3f} F {scores['f']:.3f}  {scores['texts']} texts", flush=True)
    for group, names in GROUPS.items():
        result["means"][group] = sum(result["datasets"][name]["f"] for name in names) / len(names)
        print(f"{group:20} mean F {result['means'][group]:.3f}")
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
