"""F by the share of texts that a large model is asked about: policies of the router on recorded answers of eight sets.

    python benchmarks/quality/route.py --data router [--model NAME] [--adapters FOLDER [--shots DIR]] [--encoder FOLDER] [--cache FILE] --output RESULT.json

The folder has SET.dev.jsonl and SET.test.jsonl with "gold" and "llm". Labels are the lower-cased names of a set, all asked of
every text, flat. Pools, neighbours and the policy are chosen on dev, cross-fitted; test is only reported. With --adapters
each set is read with FOLDER/SET.safetensors, as fewshot --adapter writes them, and --shots trains those that are missing with
its default settings on all of the few-shot file of DIR/SET, see ie_data.py; with --encoder a sentence encoder such as
all-MiniLM-L6-v2 finds neighbours too, for comparison. The result holds figures and no texts.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import SHOTS
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.route_report import best_on_dev
from metaie_spacy.cli.route import table
from metaie_spacy.data.rows import read_rows
from metaie_spacy.fewshot import make_adapter
from metaie_spacy.pipelines import load_pipeline
from metaie_spacy.router.component import weights_of
from metaie_spacy.router.evaluate import evaluate
from metaie_spacy.router.features import Facts
from metaie_spacy.router.fit import fit
from metaie_spacy.router.outcomes import fscore, outcomes_of
from metaie_spacy.router.policies import MAKERS
from metaie_spacy.router.pools import WAYS
from metaie_spacy.router.recorded import Answered, read_small
from metaie_spacy.router.retriever import KINDS

SPLITS = ("dev", "test")
ASKS = ({}, {"share": 0.25}, {"share": 0.5}, {"worth": 0.4}, {"risk": 0.3}, {"risk": 0.5})


def read_sets(folder: Path) -> tuple[dict[str, list[dict]], list[Path]]:
    """The rows of each split with their set, labels lower-cased, and the files."""
    files = sorted(folder.glob("*.*.jsonl"))
    rows: dict[str, list[dict]] = {split: [] for split in SPLITS}
    labels: dict[str, set[str]] = {}
    for path in files:
        name, split = path.name.split(".")[:2]
        for line in path.read_text(encoding="utf8").splitlines():
            row = json.loads(line)
            for side in ("gold", "llm"):
                row[side] = [{**span, "label": span["label"].lower()} for span in row[side]]
                labels.setdefault(name, set()).update(span["label"] for span in row[side])
            rows[split].append(
                {"id": row["id"], "text": row["text"], "set": name, "spans": row["gold"], "llm": row["llm"]}
            )
    for row in (row for part in rows.values() for row in part):
        row["asked"] = sorted(labels[row["set"]])
    return rows, files


def train_adapters(folder: Path, shots: Path, model: str, rows: list[dict]) -> list[Path]:
    """Adapters of the sets that have none yet. RETURNS (list): the few-shot files of all sets."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, files = {row["set"]: row["asked"] for row in rows}, []
    for name, labels in sorted(asked.items()):
        files.append(next(shots / name / file for file in SHOTS if (shots / name / file).exists()))
        path = folder / f"{name}.safetensors"
        if path.exists():
            continue
        few = list(read_rows(files[-1]))
        for row in few:
            named = ({**span, "label": span["label"].lower()} for span in row["spans"])
            row["spans"] = [span for span in named if span["label"] in labels]
        make_adapter(load_pipeline(model), few, path, labels, held_out=0.0, progress=False)
        print(f"{name}: {len(few)} texts", flush=True)
    return files


def answers(args, rows: dict[str, list[dict]]) -> tuple[str, dict[str, Answered]]:
    """Hash of the weights, and the splits with both models' answers; the small one's from the cache where it has them."""
    if args.cache and args.cache.exists():
        with np.load(args.cache, allow_pickle=False) as saved:
            known, states = json.loads(str(saved["told"])), {name: saved[name] for name in SPLITS if name in saved}
        small = {split: [{tuple(spot) for spot in own} for own in known["small"][split]] for split in SPLITS}
        facts = {
            split: Facts(
                [row["text"] for row in rows[split]], known["words"][split], [tuple(row["asked"]) for row in rows[split]],
                known["found"][split], known["dropped"][split], states.get(split),
            )
            for split in SPLITS
        }  # fmt: skip
        weights = known["weights"]
    else:
        nlp = load_pipeline(args.model)
        pipe = nlp.get_pipe("metaie")
        pipe.flat, small, facts = True, {}, {}
        for name in {row["set"] for row in rows["dev"]} if args.adapters else ():
            pipe.add_adapter(name, args.adapters / f"{name}.safetensors")
        for split in SPLITS:
            asks = [{"labels": row["asked"], "adapter": row["set"]} for row in rows[split]] if args.adapters else None
            small[split], facts[split] = read_small(nlp, rows[split], asks=asks)
        weights = weights_of(pipe)
        if args.cache:
            told = {"weights": weights, "small": {split: [sorted(own) for own in small[split]] for split in SPLITS}}
            told |= {
                part: {split: getattr(facts[split], part) for split in SPLITS} for part in ("words", "found", "dropped")
            }
            states = {split: facts[split].states for split in SPLITS if facts[split].states is not None}
            with args.cache.open("wb") as file:
                np.savez_compressed(file, told=json.dumps(told), **states)
    large = {
        split: [{(s["start"], s["end"], s["label"]) for s in row["llm"]} for row in rows[split]] for split in SPLITS
    }
    return weights, {split: Answered(rows[split], small[split], large[split], facts[split]) for split in SPLITS}


def encoded(folder: Path, texts: list[str]) -> np.ndarray:
    """Mean states of texts from the last layer of an encoder, as sentence-transformers takes them."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            batch = tokenizer(texts[start : start + 32], padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None]
            found.append(((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)).numpy())
    return np.concatenate(found)


def of_encoder(folder: Path, splits: dict[str, Answered], weights: str, draws: int) -> dict:
    """What neighbours among an encoder's states give, where the small model's are given up; pools as chosen on dev."""
    found = {}
    own = {}
    for split, answered in splits.items():
        states = encoded(folder, list(answered.facts.texts))
        own[split] = answered._replace(facts=answered.facts._replace(states=states))
    for way in WAYS:
        fitted = fit(own["dev"], weights, "the large model", way=way)
        policies = [MAKERS[name]() for name in ("cascade", "knn", "reliable_knn", "learned")]
        found[way] = {"k": fitted.pools.k} | {
            split: evaluate(own[split], fitted, policies, is_held=split == "dev", draws=draws) for split in SPLITS
        }
    return found


def by_set(answered: Answered) -> dict[str, dict[str, float]]:
    """F of both models on each set."""
    found = {}
    for name in sorted({row["set"] for row in answered.rows}):
        own = answered.take([i for i, row in enumerate(answered.rows) if row["set"] == name])
        outcomes = outcomes_of(own.rows, own.small, own.large)
        found[name] = {side: fscore(getattr(outcomes, side), outcomes.gold) for side in ("small", "large")}
    return found


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recorded answers")
    parser.add_argument("--note", help="what the small model is, for the table")
    parser.add_argument("--adapters", type=Path, help="folder of an adapter for each set")
    parser.add_argument("--shots", type=Path, help="folder of few-shot files, to train adapters that are missing")
    parser.add_argument("--encoder", type=Path, help="folder of a sentence encoder, for comparison")
    parser.add_argument("--cache", type=Path, help="keeps the small model's answers (.npz)")
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    args = parser.parse_args()
    if args.shots and not args.adapters:
        parser.error("--shots needs --adapters: where to keep what is trained.")
    rows, files = read_sets(args.data)
    if args.shots:
        files += train_adapters(args.adapters, args.shots, args.model, rows["dev"])
    weights, splits = answers(args, rows)
    dev, tried = splits["dev"], {}
    has_states = dev.facts.states is not None
    for way in WAYS if has_states else WAYS[1:]:
        for kind in KINDS if has_states else KINDS[:1]:
            own = fit(dev, weights, "the large model", way=way, projection=kind)
            figures = evaluate(dev, own, [MAKERS["knn" if has_states else "errors"]()], is_held=True, draws=0)
            tried[f"{way} {kind}"] = own, figures["policies"]["knn" if has_states else "errors"]["aiq"]
            print(
                f"pools {way}, states {kind}: k {own.pools.k}, dev AIQ {100 * tried[f'{way} {kind}'][1]:.2f}",
                flush=True,
            )
    best = max(tried, key=lambda name: tried[name][1])
    fitted = tried[best][0]
    policies = [make() for name, make in MAKERS.items() if has_states or name not in ("knn", "reliable_knn")]
    result = {
        "pools": {"chosen": best, "k": fitted.pools.k, "dev_aiq": {name: aiq for name, (_, aiq) in tried.items()}}
    }
    for split in SPLITS:
        own = evaluate(
            splits[split], fitted, policies, asks=ASKS, against="cascade", is_held=split == "dev", draws=args.draws
        )
        result[split] = own | {"sets": by_set(splits[split])}
        print(f"\n{split}{table(own)}", flush=True)
    result["default"] = best_on_dev(result["dev"]["policies"])
    result["learned"] = fitted.learned
    print(f"\nbest on dev: {result['default']}")
    if args.encoder:
        result["encoder"] = of_encoder(args.encoder, splits, weights, args.draws)
        for way, own in result["encoder"].items():
            print(f"\nneighbours of the encoder, pools {way}, k {own['k']}, dev{table(own['dev'])}")
    write_result(args.output, {"note": args.note or args.model} | result, args.model, files)


if __name__ == "__main__":
    main()
