"""How much of what few examples teach is kept: F on dev texts at shares of the way from the weights before to those after.

    python benchmarks/quality/blend.py --data DIR --output benchmarks/results/blend.json

The pipeline is adapted once to the few-shot file of each dataset (`fewshot.adapt`, default settings, no rehearsal), and
asked at each share, calibrated as before (WiSE-FT, arXiv 2109.01903). `train.settings.FewShotSettings.blend` is chosen by
the mean over datasets; no test file is read.
"""

import statistics
import sys
from pathlib import Path

import spacy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import Dataset, read_dataset
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from metaie_spacy.fewshot import Settings, Snapshot, adapt, calibrate_as
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.train.shots import blend

DATASETS = ("conll2003", "bc5cdr", "wnut2017", "jnlpba", "semeval14_restaurant", "crossner_ai")


def scores(model: str, data: Dataset, shares: list[float], seed: int) -> dict[str, float]:
    """F at each share; 0: before the adaptation."""
    nlp = spacy.load(model)
    pipe = nlp.get_pipe("metaie")
    pipe.load()
    shim = pipe.model.shims[0]
    options = dict(shim.module.config.metaie)
    shim.uncalibrate()
    start = Snapshot(pipe).state
    calibrate_as(pipe, options)
    adapt(nlp, data.train, data.labels, settings=Settings(blend=1.0, rehearsal=0.0, seed=seed), progress=False)
    pipe.flat = True
    shim.uncalibrate()
    end, found = Snapshot(pipe).state, {}
    for share in (0.0, *shares):
        shim.module.load_state_dict(end)
        blend(shim.module, start, share)
        calibrate_as(pipe, options)
        shim.forget()
        found[f"{share:g}"] = evaluate_rows(nlp, data.test, labels=data.labels)["f"]
        shim.uncalibrate()
    return found


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.4, 0.5, 0.6, 0.7, 0.85, 1.0])
    parser.add_argument("--limit", type=int, default=150, help="first dev texts of each dataset")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sets = {name: read_dataset(args.data / name, "dev", args.limit) for name in args.datasets}
    found = {}
    for name, data in sets.items():
        found[name] = scores(args.model, data, args.shares, args.seed)
        print(name, {share: round(f, 3) for share, f in found[name].items()}, flush=True)
    mean = {share: statistics.mean(of[share] for of in found.values()) for share in next(iter(found.values()))}
    print("mean", {share: round(f, 3) for share, f in mean.items()})
    sums = {name: data.sha256 for name, data in sets.items()}
    write_result(args.output, {"dev_texts": args.limit, "f": found, "mean_f": mean, "data_sha256": sums}, args.model)


if __name__ == "__main__":
    main()
