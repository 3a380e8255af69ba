"""Dialogue state, turn by turn: F of slots and turns that are right by the share of turns that a large model is asked about.

    python benchmarks/quality/dialogue.py --data dialogue --rows train.jsonl            # rows to train a small model on
    python benchmarks/quality/dialogue.py --data dialogue --model NAME --output RESULT.json

The folder has sgd.train.jsonl, sgd.dev.jsonl and sgd.test.jsonl. The small model reads the end of the history and the turn,
and is asked all slots of the service, by name and by description; the large model's answers are the recorded ones. Pools,
neighbours and the policy are chosen on dev, cross-fitted; test is only reported. The result holds figures and no texts.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.route_report import best_on_dev
from metaie_spacy.cli.route import table
from metaie_spacy.data.jsonl import write_jsonl
from metaie_spacy.dialogue import Turn, changes, same_value, turn_text
from metaie_spacy.notes import take_note
from metaie_spacy.pipelines import load_pipeline
from metaie_spacy.router.component import weights_of
from metaie_spacy.router.evaluate import evaluate
from metaie_spacy.router.features import facts_of
from metaie_spacy.router.fit import fit
from metaie_spacy.router.fitted import Table
from metaie_spacy.router.outcomes import oracle, outcomes_of
from metaie_spacy.router.policies import MAKERS, make_knn
from metaie_spacy.router.recorded import Answered

SPLITS = ("dev", "test")
STRANGE = 1000  # where the places of wrong values begin


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def turn_of(row: dict) -> Turn:
    """A row's turn; what the assistant said last also ends its history."""
    assistant, user = row["text"][: row["user_start"]].rstrip("\n"), row["text"][row["user_start"] :]
    history = row["history"][:-1] if assistant and row["history"] else row["history"]
    return Turn(user, assistant, history)


def training_rows(row: dict) -> list[dict]:
    """A turn asked the names of its slots, and the same turn asked their descriptions."""
    text, start = turn_text(turn_of(row))
    ways = {"names": {slot: slot for slot in row["labels"]}, "descriptions": row["labels"]}
    return [
        {
            "id": f"{row['id']} {way}",
            "text": text,
            "spans": [
                {"start": span["start"] + start, "end": span["end"] + start, "label": wording[span["label"]]}
                for span in row["spans"]
            ],
            "asked": list(wording.values()),
            "source": "sgd",
        }
        for way, wording in ways.items()
    ]


def places(row: dict, given: dict[str, str]) -> set[tuple[int, int, str]]:
    """Values as spans of a row of slots: a right one stands at its slot's place, a wrong one at none of them."""
    found = set()
    for slot, value in given.items():
        at = list(row["labels"]).index(slot) if slot in row["labels"] else len(row["labels"])
        is_right = slot in row["change"] and same_value(value, row["change"][slot])
        found.add((at + STRANGE * (not is_right), at + STRANGE * (not is_right) + 1, slot))
    return found


def answered(nlp, rows: list[dict]) -> Answered:
    pipe = nlp.get_pipe("metaie")
    pipe.notes = True
    slots = [{slot: [slot, told] for slot, told in row["labels"].items()} for row in rows]
    found = changes(nlp, [(turn_of(row), own) for row, own in zip(rows, slots)])
    docs = [change.doc for change in found]
    facts = facts_of(docs, [take_note(doc, "metaie") for doc in docs], pipe.spans_key)
    told = [
        {
            "id": row["id"],
            "text": doc.text,
            "spans": [
                {"start": at, "end": at + 1, "label": slot}
                for at, slot in enumerate(row["labels"])
                if slot in row["change"]
            ],
            "asked": list(row["labels"]),
        }
        for row, doc in zip(rows, docs)
    ]
    small = [places(row, change.given) for row, change in zip(rows, found)]
    return Answered(told, small, [places(row, row["llm"]) for row in rows], facts)


def turns_right(part: Answered, scores: np.ndarray) -> dict:
    """The share of turns whose whole change is right, by the share of turns that are asked; also of those that change something."""
    outcomes = outcomes_of(part.rows, part.small, part.large)
    right = outcomes.errors == 0
    order, result = np.argsort(-scores, kind="stable"), {}
    for name, chosen in (("all", np.ones(len(right), dtype=bool)), ("changing", outcomes.gold > 0)):
        gain = ((right[:, 1].astype(int) - right[:, 0]) * chosen)[order]
        by_calls = (right[chosen, 0].sum() + np.concatenate([[0], gain.cumsum()])) / max(1, chosen.sum())
        reached = np.flatnonzero(by_calls >= by_calls[-1])
        result[name] = {
            "small": float(by_calls[0]),
            "large": float(by_calls[-1]),
            "at_half": float(by_calls[len(right) // 2]),
            "best": float(by_calls.max()),
            "calls_for_large": float(reached[0] / len(right)),
        }
    return result


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the dialogues")
    parser.add_argument("--note", help="what the small model is, for the table")
    parser.add_argument("--rows", type=Path, help="write annotation rows of sgd.train.jsonl here, and end")
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    args = parser.parse_args()
    if args.rows:
        rows = [one for row in read(args.data / "sgd.train.jsonl") for one in training_rows(row)]
        print(f"{write_jsonl(args.rows, rows)} rows in {args.rows}")
        return
    nlp = load_pipeline(args.model)
    files = [args.data / f"sgd.{split}.jsonl" for split in SPLITS]
    splits = {split: answered(nlp, read(path)) for split, path in zip(SPLITS, files)}
    fitted = fit(splits["dev"], weights_of(nlp.get_pipe("metaie")), "the large model", way="errors")
    # Half of the services of test are not in dev, so that exemplars speak for other label sets too.
    policies = [make() for name, make in MAKERS.items() if "knn" not in name]
    policies += [make_knn(any_labels=True)] * ("vote" in fitted.held)
    result: dict = {"k": fitted.pools.k}
    for split in SPLITS:
        is_held = split == "dev"
        own = evaluate(splits[split], fitted, policies, against="cascade", is_held=is_held, draws=args.draws)
        columns = fitted.held if is_held else Table(splits[split].facts, fitted)
        ranked = {policy.name: policy.scores(columns) for policy in policies if policy.ranks}
        ranked["oracle"] = oracle(outcomes_of(*splits[split][:3]))
        for name, scores in ranked.items():
            own["policies"][name]["turns"] = turns_right(splits[split], scores)
        result[split] = own
        print(f"\n{split}{table(own)}")
        for name in ranked:
            turns = own["policies"][name]["turns"]
            print(
                f"{name:13}"
                + "   ".join(
                    f"{kind}: {' '.join(f'{key} {value:.3f}' for key, value in one.items())}"
                    for kind, one in turns.items()
                )
            )
    result["default"] = best_on_dev(result["dev"]["policies"])
    write_result(args.output, {"note": args.note or args.model} | result, args.model, files)


if __name__ == "__main__":
    main()
