"""What a band of scores that was fitted on one domain is worth there and on domains that it was not fitted to.

python benchmarks/quality/selective.py OWN.jsonl --foreign OTHER.jsonl... [--model NAME] --output FILE.json [--page FILE.html]

A folder among the foreign ones is a dataset, see ie_data.py, whose dev rows are asked all its labels.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import read_dataset
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.audit.selective import audit_scores, selective_page
from metaie_spacy.data.jsonl import write_jsonl
from metaie_spacy.pipelines import load_pipeline


def rows_of(dataset: Path, folder: Path) -> Path:
    """A file of the dev rows of a dataset, each asked all labels."""
    data, path = read_dataset(dataset, "dev"), folder / f"{dataset.name}.jsonl"
    labels = sorted(data.labels.values())
    for row in data.test:
        spans = [span | {"label": data.labels[span["label"]]} for span in row["spans"] if span["label"] in data.labels]
        row |= {"spans": spans, "asked": labels}
    write_jsonl(path, data.test)
    return path


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("own", type=Path, nargs="+", help="annotated rows of the domain that the band is fitted on")
    parser.add_argument("--foreign", type=Path, nargs="+", default=[], help="annotated rows of other domains")
    parser.add_argument("--precision", type=float, default=0.9)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--limit", type=int, default=0, help="rows of each file, drawn by chance; 0: all")
    parser.add_argument("--page", type=Path, help="write the curves here (HTML)")
    args = parser.parse_args()
    options = {"precision": args.precision, "confidence": args.confidence, "limit": args.limit}
    with tempfile.TemporaryDirectory() as folder:
        foreign = [rows_of(path, Path(folder)) if path.is_dir() else path for path in args.foreign]
        result = audit_scores(load_pipeline(args.model), args.own, foreign=foreign, progress=True, **options)
    for part in result["shown"]:
        part["on"] = Path(part["on"]).name  # no place of this machine
        print(part, flush=True)
    files = [path / "dev.jsonl" if path.is_dir() else path for path in (*args.own, *args.foreign)]
    write_result(args.output, result, args.model, files)
    if args.page:
        args.page.write_text(selective_page(result, args.model), encoding="utf8")


if __name__ == "__main__":
    main()
