"""LabelToSpan against CrossEncoder (one pass per label), as users run them: nlp.pipe with decoding.

    python benchmarks/serving/speed.py --data FILE --output benchmarks/results/speed.json

FILE holds texts (JSONL with "text"). Both use the same encoder weights, float32, bucketing and decoder, in one
interleaved run; the CrossEncoder's head is untrained and finds nothing, so that it decodes the least. The bound is the
ratio of the pieces that go through the encoder: the speed-up that nothing but the algorithm would give.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import spacy
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import MANY
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import drawn_texts
from metaie_spacy.data.items import blank_tokenizer
from metaie_spacy.model.modules import CrossEncoder


def cross_encoder_of(nlp):
    """A pipeline whose CrossEncoder shares the encoder weights of `nlp`'s component."""
    shim = nlp.get_pipe("metaie").model.shims[0]
    other = spacy.blank("en")
    block = {"@architectures": "metaie-spacy.CrossEncoder.v1", "name": shim.name}
    pipe = other.add_pipe("metaie", config={"weights": None, "model": block})
    config = type(shim.module.config).from_dict(json.loads(shim.module.config.to_json_string()))
    module = CrossEncoder.from_config(config)
    module.encoder.load_state_dict(shim.module.encoder.state_dict())
    pipe.model.shims[0].set_module(module, shim.tokenizer)
    return other


def pieces_read(nlp, texts: list[str], labels: list[str]) -> tuple[int, int]:
    """Pieces that pass through the encoder: LabelToSpan's, CrossEncoder's."""
    pieces = nlp.get_pipe("metaie").model.shims[0].pieces
    tokenize = blank_tokenizer()
    sizes = [2 + sum(map(len, pieces([text[a:b] for a, b in tokenize(text)]))) for text in texts]
    label_sizes = [len(pieces.label(label)) for label in labels]
    cross = sum(sizes) * len(labels) + sum(label_sizes) * len(texts)
    return sum(sizes) + sum(label_sizes), cross


def seconds(nlp, texts: list[str], labels: list[str]) -> float:
    nlp.get_pipe("metaie").model.shims[0].labels.clear()
    nlp.get_pipe("metaie").labels = labels
    began = time.perf_counter()
    for _ in nlp.pipe(texts):
        pass
    return time.perf_counter() - began


class Clock:
    """Wall time spent inside a module's calls."""

    def __init__(self, module):
        self.total = 0.0
        for name in ("forward", "encode_labels"):
            setattr(module, name, self.timed(getattr(module, name)))

    def timed(self, function):
        def call(*args, **kwargs):
            began = time.perf_counter()
            result = function(*args, **kwargs)
            self.total += time.perf_counter() - began
            return result

        return call


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="texts (JSONL)")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--labels", default="1,4,16,64", help="numbers of labels")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of the LabelToSpan; the CrossEncoder at 64 labels runs once"
    )
    args = parser.parse_args()
    texts = drawn_texts(args.data, args.texts)
    small = spacy.load(args.model)
    cross = cross_encoder_of(small)
    for nlp in (small, cross):
        nlp.get_pipe("metaie").model.shims[0].compute_dtype = "float32"
    for nlp in (small, cross):
        seconds(nlp, texts[:32], MANY[:4])
    result = {"texts": len(texts), "threads": torch.get_num_threads(), "dtype": "float32", "labels": {}}
    for n in map(int, args.labels.split(",")):
        labels, fast, slow = MANY[:n], [], []
        for i in tqdm(range(args.rounds), desc=f"{n} labels"):
            fast.append(seconds(small, texts, labels))
            if n <= 16 or i == 0:
                slow.append(seconds(cross, texts, labels))
            fast.append(seconds(small, texts, labels))
        own, others = pieces_read(small, texts, labels)
        speedup, bound = statistics.median(slow) / statistics.median(fast), others / own
        result["labels"][n] = {
            "label_to_span_texts_per_s": len(texts) / statistics.median(fast), "cross_encoder_texts_per_s": len(texts) / statistics.median(slow),
            "speedup": speedup, "bound": bound, "share_of_bound": speedup / bound, "seconds": {"label_to_span": fast, "cross_encoder": slow},
        }  # fmt: skip
        print(f"{n:3} labels: {speedup:6.1f} x faster, bound {bound:6.1f} x, {speedup / bound:.0%} of it", flush=True)
    clock = Clock(small.get_pipe("metaie").model.shims[0].module)
    total = sum(seconds(small, texts, MANY[:16]) for _ in range(args.rounds))
    result["encoder_share_of_wall_time_at_16_labels"] = clock.total / total
    print(f"inside the encoder: {clock.total / total:.0%} of nlp.pipe's wall time at 16 labels")
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
