"""What corrections of a training split do to gaps and to F: a model trained without them, and one with each.

    python benchmarks/quality/correction.py ROWS.jsonl TEST.jsonl [--model DIR] --output FILE.json

The rows are split and corrected as `curate` does it (`--swap-names`, `--balance`); the model is adapted to each version in
as many steps, and audited on the test rows. Start from a model that has not seen these rows.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.audit.model import audit_model
from metaie_spacy.curate.curate import curate
from metaie_spacy.curate.settings import CurateSettings
from metaie_spacy.fewshot import adapt
from metaie_spacy.pipelines import load_pipeline
from metaie_spacy.train.settings import FewShotSettings


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("rows", type=Path, help="annotated rows to train on (JSONL)")
    parser.add_argument("test", type=Path, help="annotated rows to audit on (JSONL)")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--swap-names", type=float, default=0.5)
    parser.add_argument("--balance", type=float, default=0.5)
    parser.add_argument("--probes", type=int, default=100, help="rows whose names are swapped")
    parser.add_argument("--limit", type=int, default=0, help="rows to audit on; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    ways = {"none": {}, "swapped names": {"swap_names": args.swap_names}, "balance": {"balance": args.balance}}
    result = {"settings": {"steps": args.steps, "swap_names": args.swap_names, "balance": args.balance}, "ways": {}}
    for name, options in ways.items():
        nlp = load_pipeline(args.model)
        with tempfile.TemporaryDirectory() as folder:
            settings = CurateSettings(dev_share=0, test_share=0, seed=args.seed, against=(args.test,), **options)
            report = curate([args.rows], folder, settings)
            few = FewShotSettings(steps=args.steps, rehearsal=0.0, seed=args.seed)
            adapt(nlp, Path(folder) / "train.jsonl", open_labels=True, settings=few, progress=False)
        found = audit_model(nlp, [args.test], probes=args.probes, limit=args.limit, seed=args.seed)
        result["ways"][name] = {"added": report["added"], **figures(found)}
        print(name, result["ways"][name], flush=True)
    write_result(args.output, result, args.model, [args.rows, args.test])


def figures(report: dict) -> dict:
    """F, the largest gap of names, and the largest loss of a slice that was tested."""
    cells = [cell["gap"] for cell in report["names"]["cells"]]
    tested = [one["gap"] for one in report["slices"] if one["p"] is not None]
    spans = {"f": report["f"], "f_low": report["f_low"], "f_high": report["f_high"]}
    return spans | {"name_gap": min(cells, default=None), "slice_gap": min(tested, default=None)}


if __name__ == "__main__":
    main()
