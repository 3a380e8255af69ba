"""What few-shot training does to labels that it does not teach: without and with rehearsal, and as an adapter.

    python benchmarks/quality/forgetting.py rows.jsonl [more.jsonl] --only dev.jsonl --data DIR --output benchmarks/results/forgetting.json

The pipeline is adapted to the few-shot file of a dataset with the default settings. Scored are that dataset's test rows, and
zero-shot the other datasets and those rows of the corpus that --only names: rows that were never trained on. Of an adapter
the answers for all of these are those with it; the model beside it answers as before.
"""

import random
import sys
import tempfile
from pathlib import Path

import spacy
import srsly

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import Dataset, read_dataset
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.data.rows import read_chosen, read_rows
from metaie_spacy.fewshot import Settings, adapt, packaged_corpus
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.train.settings import ADAPTER_RANK

TAUGHT = ("conll2003", "bc5cdr")
OTHERS = ("conll2003", "bc5cdr", "mit_restaurant", "crossner_politics")


def scores(nlp: spacy.Language, sets: dict[str, Dataset], rows: list[dict]) -> dict[str, float]:
    pipe = nlp.get_pipe("metaie")
    found = {}
    for name, data in sets.items():
        pipe.flat = True
        found[name] = evaluate_rows(nlp, data.test, labels=data.labels)["f"]
    pipe.flat = False
    return found | {"corpus": evaluate_rows(nlp, rows)["f"]}


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("rows", type=Path, nargs="+", help="annotation rows (JSONL)")
    parser.add_argument(
        "--only",
        type=Path,
        required=True,
        help="JSONL with the ids of the rows that the model was not trained on, such as distill's dev.jsonl",
    )
    parser.add_argument("--limit", type=int, default=300, help="first texts of each dataset")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sets = {name: read_dataset(args.data / name, limit=args.limit) for name in OTHERS}
    rows = [row for path in args.rows for row in read_chosen(path, args.only)]
    held = {row["text"] for row in rows}
    rows = random.Random(args.seed).sample(rows, min(len(rows), args.limit))
    rehearsed = [row for row in read_rows(packaged_corpus()) if row["text"] not in held]
    result = {
        "settings": {"texts": args.limit, "steps": Settings().steps, "lr": Settings().lr},
        "f": {"before": scores(spacy.load(args.model), sets, rows)},
    }
    for taught in TAUGHT:
        for rehearsal, rank in ((0.0, 0), (Settings().rehearsal, 0), (Settings().rehearsal, ADAPTER_RANK)):
            with tempfile.TemporaryDirectory() as folder:
                corpus = Path(folder) / "corpus.jsonl"
                srsly.write_jsonl(corpus, rehearsed)
                settings = Settings(rehearsal=rehearsal, rank=rank, seed=args.seed)
                nlp = adapt(
                    spacy.load(args.model), sets[taught].train, sets[taught].labels, settings=settings, corpus=corpus
                )
            key = f"{taught}, rehearsal {rehearsal:g}" + (f", adapter of rank {rank}" if rank else "")
            result["f"][key] = scores(nlp, sets, rows)
            print(key, result["f"][key], flush=True)
    write_result(
        args.output, result, args.model, [*args.rows, args.only, *(args.data / name / "test.jsonl" for name in OTHERS)]
    )


if __name__ == "__main__":
    main()
