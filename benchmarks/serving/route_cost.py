"""What routing costs beside the small model: its notes, and a policy that looks at each text and asks nothing.

    python benchmarks/serving/route_cost.py --data router --model NAME [--texts 400] --output RESULT.json

CPU time of one thread; the model's time without notes, with them, and the router's own, each the least of several rounds. The
folder is that of benchmarks/quality/route.py; exemplars are its dev rows.
"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.quality.route import read_sets
from metaie_spacy.pipelines import load_pipeline
from metaie_spacy.router.component import weights_of
from metaie_spacy.router.fit import fit
from metaie_spacy.router.recorded import Answered, read_small
from metaie_spacy.streams import pipe_with_labels

POLICIES = ("cascade", "errors", "learned", "knn")
NEVER = 1e9  # a score that no text has


def seconds(work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recorded answers")
    parser.add_argument("--texts", type=int, default=400, help="that are read in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the quickest counts (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, files = read_sets(args.data)
    nlp = load_pipeline(args.model)
    pipe = nlp.get_pipe("metaie")
    pipe.flat = True
    small, facts = read_small(nlp, rows["dev"])
    large = [{(s["start"], s["end"], s["label"]) for s in row["llm"]} for row in rows["dev"]]
    fitted = fit(Answered(rows["dev"], small, large, facts), weights_of(pipe), "the large model")
    step = max(1, len(rows["test"]) // args.texts)
    pairs = [(row["text"], row["asked"]) for row in rows["test"][::step]]

    def read() -> list:
        return list(pipe_with_labels(nlp, pairs))

    plain, noted = [], []
    for _ in range(args.rounds):  # in turns, so that a busy machine slows both
        for pipe.notes, times in ((False, plain), (True, noted)):
            times.append(seconds(read))
    docs = read()
    notes = [dict(doc.user_data) for doc in docs]
    result = {
        "texts": len(docs),
        "small_us": 1e6 * min(plain) / len(docs),
        "with_notes": min(noted) / min(plain),
        "policies": {},
    }
    for name in POLICIES if facts.states is not None else POLICIES[:3]:
        router = nlp.add_pipe(
            "metaie_router", config={"policy": {"@misc": f"metaie-spacy.{name}.v1"}, "ask": {"above": NEVER}}
        )
        router.fitted = fitted
        own = []
        for _ in range(args.rounds):
            for doc, note in zip(docs, notes):
                doc.user_data.update(note)
            own.append(seconds(lambda router=router: list(router.pipe(docs))))
        nlp.remove_pipe("metaie_router")
        result["policies"][name] = {"us": 1e6 * min(own) / len(docs), "share": min(own) / min(plain)}
        print(
            f"{name:10} {result['policies'][name]['us']:6.0f} us a text, {result['policies'][name]['share']:.2%} of the small model's time"
        )
    print(f"small model {result['small_us']:.0f} us a text; with notes {result['with_notes']:.3f} of that")
    write_result(args.output, result, args.model, files)


if __name__ == "__main__":
    main()
