"""What a band of scores that was fitted on one domain is worth there and on domains that it was not fitted to.

python benchmarks/quality/selective.py OWN.jsonl --foreign OTHER.jsonl... [--model NAME] --output FILE.json [--page FILE.html]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.audit.selective import audit_scores, selective_page
from metaie_spacy.pipelines import load_pipeline


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
    result = audit_scores(load_pipeline(args.model), args.own, foreign=args.foreign, progress=True, **options)
    for part in result["shown"]:
        part["on"] = Path(part["on"]).name  # no place of this machine
        print(part, flush=True)
    write_result(args.output, result, args.model, [*args.own, *args.foreign])
    if args.page:
        args.page.write_text(selective_page(result, args.model), encoding="utf8")


if __name__ == "__main__":
    main()
