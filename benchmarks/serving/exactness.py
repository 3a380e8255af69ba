"""How much scores move when nothing should move them: order, company, padding, cache, saving, float16.

    python benchmarks/serving/exactness.py --data FILE [--float32 DIR] --output benchmarks/results/exactness.json

FILE holds texts (JSONL with "text"); DIR is the float32 `model/` directory that the package was made from.
"""

import random
import sys
import tempfile
from pathlib import Path

import spacy
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import MANY
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import write_result
from benchmarks.lib.scores import largest_probability_change
from benchmarks.lib.texts import texts_of
from metaie_spacy.model.predict import chunk_labels, score_texts


def logits_of(nlp, texts: list[list[str]], labels: list[str]) -> dict:
    """{(text, label): logits} by the batching of prediction, from an empty cache."""
    model = nlp.get_pipe("metaie").model
    model.shims[0].labels.clear()
    found = {}
    for i, chunk, _, logits in score_texts(model, texts, [labels] * len(texts)):
        found |= {(tuple(texts[i]), label): logits[:, u] for u, label in enumerate(chunk)}
    return found


def joint(nlp, texts: list[list[str]], labels: list[str]) -> dict:
    """The training pass: labels and texts encoded together, without the cache."""
    shim = nlp.get_pipe("metaie").model.shims[0]
    shim.module.eval()
    found = {}
    for words in texts:
        packed, _ = shim.pieces.texts([words])
        with torch.no_grad():
            logits = shim.module(packed, shim.pieces.labels(sorted(labels))).numpy()
        found |= {(tuple(words), label): logits[:, u] for u, label in enumerate(sorted(labels))}
    return found


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--float32", type=Path)
    parser.add_argument("--texts", type=int, default=100)
    args = parser.parse_args()
    nlp = spacy.load(args.model)
    pipe = nlp.get_pipe("metaie")
    shim = pipe.model.shims[0]
    shim.compute_dtype = "float32"
    texts = [[token.text for token in nlp.make_doc(text)] for text in dict.fromkeys(texts_of(args.data, args.texts))]
    # The joint pass below reads a text at once: only texts of one window can be compared.
    texts = [words for words in texts if sum(map(len, shim.pieces(words))) <= shim.limits["window"] - 2]
    few, many = MANY[:16], MANY
    shuffled = random.Random(0).sample(many, len(many))
    result = {
        "texts": len(texts),
        "labels": len(few),
        "labels_in_chunks": len(many),
        "largest_change_of_a_probability": {},
    }
    changes = result["largest_change_of_a_probability"]
    together = logits_of(nlp, texts, few)
    changes["order of labels"] = largest_probability_change(together, logits_of(nlp, texts, few[::-1]))
    budget, shim.limits["label_budget"] = shim.limits["label_budget"], 60
    result["chunks"] = len(chunk_labels(many, shim.pieces, 60, shim.module.window))
    changes["order of labels in several chunks"] = largest_probability_change(
        logits_of(nlp, texts, many), logits_of(nlp, texts, shuffled)
    )
    shim.limits["label_budget"] = budget
    alone = {}
    for words in texts:
        alone |= logits_of(nlp, [words], few)
    changes["batch composition and padding"] = largest_probability_change(together, alone)
    changes["joint pass against cached pass"] = largest_probability_change(together, joint(nlp, texts, few))
    with tempfile.TemporaryDirectory() as folder:
        shim.save_dtype = "float32"
        nlp.to_disk(folder)
        changes["saved and loaded, float32"] = largest_probability_change(
            together, logits_of(spacy.load(folder), texts, few)
        )
    if args.float32:
        pipe.load_from(str(args.float32))
        changes["float16 package against float32 weights"] = largest_probability_change(
            logits_of(nlp, texts, few), together
        )
    for name, value in changes.items():
        print(f"{name:45} {value:.1e}")
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
