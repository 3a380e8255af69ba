"""F of a model when the labels of a benchmark are asked in other wordings, as a share of F in the plain one.

    python benchmarks/quality/wordings.py --data bench [--model NAME] [--limit 400] --output benchmarks/results/wordings.json

The wordings are those of wordings.yml, of six kinds, none of which any training saw (--seen wordings.jsonl checks that). All
labels of a set are asked of every text, flat, at the model's own threshold.
"""

import sys
from pathlib import Path

import srsly
import yaml
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import read_dataset
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.pipelines import load_pipeline
from metaie_spacy.schema import same_label

DATASETS = ("conll2003", "bc5cdr", "wnut2017", "crossner_politics")
PLAIN = "plain"


def check_unseen(wordings: dict[str, dict[str, str]], path: Path) -> None:
    """RAISES (ValueError): a wording stands in the file of wordings that training reads."""
    seen = {same_label(text) for line in srsly.read_jsonl(path) for text in (line["label"], *line["wordings"])}
    known = sorted({text for own in wordings.values() for text in own.values() if same_label(text) in seen})
    if known:
        raise ValueError(f"Training has seen the wordings {known} ('{path}'). Take others.")


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the benchmarks")
    parser.add_argument("--limit", type=int, default=400, help="test texts of each set (default: %(default)s; 0: all)")
    parser.add_argument("--seen", type=Path, help="the wordings of the training, of which none may be asked here")
    args = parser.parse_args()
    wordings = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf8"))
    if args.seen:
        check_unseen(wordings, args.seen)
    nlp, cells = load_pipeline(args.model), {}
    nlp.get_pipe("metaie").flat = True
    for name in tqdm(DATASETS, desc="sets"):
        data = read_dataset(args.data / name, limit=args.limit)
        cells[name] = {PLAIN: evaluate_rows(nlp, data.test, labels=data.labels)["f"]}
        for kind, own in wordings.items():
            asked = {label: own.get(label, plain) for label, plain in data.labels.items()}
            cells[name][kind] = evaluate_rows(nlp, data.test, labels=asked)["f"]
    shares = {kind: sum(own[kind] / own[PLAIN] for own in cells.values()) / len(cells) for kind in wordings}
    result = {"f": cells, "shares": shares, "mean": sum(shares.values()) / len(shares), "limit": args.limit}
    write_result(args.output, result, args.model, [args.data / name / "test.jsonl" for name in DATASETS])
    print(f"{'':18}" + "".join(f"{kind:>12}" for kind in (PLAIN, *wordings)))
    for name, own in cells.items():
        print(f"{name:18}" + "".join(f"{100 * f:12.1f}" for f in own.values()))
    print(f"{'share':18}{100:12.1f}" + "".join(f"{100 * share:12.1f}" for share in shares.values()))
    print(f"mean share {100 * result['mean']:.1f}")


if __name__ == "__main__":
    main()
