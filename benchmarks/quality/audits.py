"""The reports of `metaie audit` for docs/benchmark.md: of an annotated corpus, and of a model on rows that it has not seen.

    python benchmarks/quality/audits.py corpus CORPUS/*.jsonl --output benchmarks/results/audit/corpus.json
    python benchmarks/quality/audits.py model ROWS.jsonl... [--wordings FILE] [--model NAME] --output benchmarks/results/audit/model.json

Results hold ids, labels and figures, and no words of texts.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_data_result, write_result
from metaie_spacy.audit.corpus import audit_corpus
from metaie_spacy.audit.model import audit_model
from metaie_spacy.pipelines import load_pipeline

MOST = 60  # rows for review


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("what", choices=("corpus", "model"))
    parser.add_argument("rows", type=Path, nargs="+", help="annotated rows (JSONL)")
    parser.add_argument("--wordings", type=Path, help="other wordings of labels")
    parser.add_argument("--probes", type=int, default=100, help="rows that are asked in other ways")
    parser.add_argument("--limit", type=int, default=0, help="rows of each file, drawn by chance; 0: all")
    args = parser.parse_args()
    if args.what == "corpus":
        result = audit_corpus(args.rows, most=MOST, progress=True)
        result["files"] = {Path(path).name: count for path, count in result["files"].items()}
        for row in result["suspicious"]:
            row["file"] = Path(row["file"]).name
        del result["counts"]["absent labels"]
        write_data_result(args.output, result, args.rows)
    else:
        options = {"wordings": args.wordings, "probes": args.probes, "limit": args.limit}
        result = audit_model(load_pipeline(args.model), args.rows, progress=True, **options)
        write_result(args.output, result, args.model, args.rows + ([args.wordings] if args.wordings else []))
    for one in result["findings"]:
        print(one)


if __name__ == "__main__":
    main()
