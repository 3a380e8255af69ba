"""What many labels cost: one pass for all of them, against groups of labels, and against asking only the likely ones.

    python benchmarks/serving/label_sets.py --output benchmarks/results/label_sets.json

Labels are those of the shipped corpus, the most frequent first; texts are drawn from it. In one interleaved run, each
number of labels is asked in two ways by `nlp.pipe`: all in one call, and in groups of at most `label_budget` pieces, a
call each, which is what weights cost whose texts see their labels. Spans of both are compared. The time for 4 labels is
a floor: no choice among labels could be faster. Times are CPU time of the process, which other processes do not change
by much.

For the largest numbers a prefilter is tried beside it, on the token vectors and without spaCy's docs: label vectors in
clusters (k-means), the clusters' centres scored in a text as labels are, the labels of the best clusters asked. Its
recall is the share of the spans of all labels that it finds.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import spacy
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import frequent_labels
from benchmarks.lib.options import model_parser
from benchmarks.lib.paths import CORPUS
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import drawn_texts
from metaie_spacy.model import predict
from metaie_spacy.spans import decode

SHARES = (0.05, 0.1, 0.2, 0.4)  # of the labels that a prefilter lets through
ROUNDS_OF_MEANS = 10


def seconds_and_spans(nlp, texts: list[str], groups: list[list[str]]) -> tuple[float, set]:
    """CPU time of asking groups of labels one after the other, and the spans, as text, start, end and label."""
    found = set()
    began = time.process_time()
    for labels in groups:
        docs = nlp.pipe(texts, component_cfg={"metaie": {"labels": labels}})
        for i, doc in enumerate(docs):
            found.update((i, span.start, span.end, span.label_) for span in doc.spans["metaie"])
    return time.process_time() - began, found


def clusters_of(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """k-means of label vectors, (U, D): centres (K, D), of which there are 2 x sqrt(U), and the cluster of each label."""
    rng = np.random.default_rng(0)
    centres = vectors[rng.choice(len(vectors), round(2 * len(vectors) ** 0.5), replace=False)]
    for _ in range(ROUNDS_OF_MEANS):
        near = (vectors @ centres.T - (centres**2).sum(1) / 2).argmax(1)
        for k in np.unique(near):
            centres[k] = vectors[near == k].mean(0)
    return centres, near


class Labels:
    """What asks labels of texts by their vectors, all or those of the best clusters."""

    def __init__(self, nlp, labels: list[str]):
        self.pipe = nlp.get_pipe("metaie")
        self.shim, self.labels = self.pipe.model.shims[0], np.array(labels, dtype=object)
        self.states = self.shim.label_vectors(tuple(labels))
        centres, near = clusters_of(self.states.flatten(1).numpy())
        self.centres = torch.from_numpy(centres).view(-1, *self.states.shape[1:])
        self.members = [np.flatnonzero(near == k) for k in range(len(centres))]
        least = np.full(len(labels), self.pipe.effective_threshold)
        self.least, self.tags = least, np.minimum(least, self.shim.tag_threshold)

    def likely(self, tokens: torch.Tensor, share: float) -> np.ndarray:
        """The labels of the clusters that score best in a text, at most about a share of all."""
        best = self.shim.compare(tokens, self.centres).max((0, 2))
        order = [self.members[k] for k in np.argsort(-best)]
        sizes = np.cumsum([len(own) for own in order])
        return np.concatenate(order[: max(1, int(np.searchsorted(sizes, share * len(self.labels), "right")))])

    def ask(self, texts: list[list[str]], share: float | None) -> tuple[float, set]:
        """CPU time and spans. share (float | None): None: all labels."""
        limits, room, found = self.shim.limits, self.shim.module.text_room, set()
        began = time.process_time()
        windows = {
            i: predict.windows_of(limits, room, [len(ids) for ids in self.shim.pieces(words)], i, words)
            for i, words in enumerate(texts)
        }
        for i, tokens in predict._vectors(self.pipe.model, texts, windows, None).items():
            at = slice(None) if share is None else self.likely(tokens, share)
            values = self.shim.compare(tokens, self.states if share is None else self.states[torch.from_numpy(at)])
            names = self.labels[at]
            answers = decode(values, names, self.tags[at], range(len(tokens)), least=self.least[at])
            found.update((i, answer.start, answer.end, answer.label) for answer in answers)
        return time.process_time() - began, found


def prefiltered(nlp, texts: list[str], labels: list[str], rounds: int) -> dict:
    """Seconds of all labels, and seconds and recall of the likely ones by the share of labels that is asked."""
    asking, words = Labels(nlp, labels), [[token.text for token in nlp.make_doc(text)] for text in texts]
    words = [[word for word, ids in zip(own, asking.shim.pieces(own)) if ids] for own in words]
    runs: dict[float | None, list[tuple[float, set]]] = {share: [] for share in (None, *SHARES)}
    for _ in range(rounds):
        for share, own in runs.items():
            own.append(asking.ask(words, share))
    times = {share: statistics.median(seconds for seconds, _ in own) for share, own in runs.items()}
    spans = {share: own[0][1] for share, own in runs.items()}
    return {
        "clusters": len(asking.members), "all_seconds": times[None], "spans": len(spans[None]),
        "labels_with_spans": statistics.mean(len({label for j, *_, label in spans[None] if j == i}) for i in range(len(texts))),
        "shares": {share: {"seconds": times[share], "speed": times[None] / times[share], "recall": len(spans[share] & spans[None]) / len(spans[None])} for share in SHARES},
    }  # fmt: skip


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--limit", type=int, default=64, help="texts")
    parser.add_argument("--labels", default="4,16,64,256,1000,5000", help="numbers of labels")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts; groups of 5,000 run once")
    args = parser.parse_args()
    nlp = spacy.load(args.model)
    pipe = nlp.get_pipe("metaie")
    shim = pipe.model.shims[0]
    texts = drawn_texts(CORPUS, args.limit)
    numbers = sorted(map(int, args.labels.split(",")))
    labels = frequent_labels(CORPUS, numbers[-1])
    pipe.load()
    shim.compute_dtype = "float32"
    groups = {n: chunks(shim, labels[:n]) for n in numbers}
    encoding = {}
    for n in numbers:
        shim.labels.clear()
        began = time.process_time()
        shim.label_vectors(tuple(sorted(labels[:n])))
        encoding[n] = time.process_time() - began
    seconds_and_spans(nlp, texts[:8], [labels[:4]])
    runs: dict[tuple[int, str], list[tuple[float, set]]] = {}
    for turn in tqdm(range(args.rounds), desc="rounds"):
        for n in numbers:
            for way, asked in (("together", [labels[:n]]), ("groups", groups[n])):
                if way == "together" or n < 5000 or not turn:
                    runs.setdefault((n, way), []).append(seconds_and_spans(nlp, texts, asked))
    times = {key: statistics.median(seconds for seconds, _ in own) for key, own in runs.items()}
    result = {
        "texts": len(texts), "characters": sum(map(len, texts)), "threads": torch.get_num_threads(), "dtype": "float32",
        "label_budget": shim.limits["label_budget"], "rounds": args.rounds, "labels": {},
    }  # fmt: skip
    for n in numbers:
        together, apart = runs[n, "together"][0][1], runs[n, "groups"][0][1]
        result["labels"][n] = {
            "seconds": times[n, "together"], "groups": len(groups[n]), "groups_seconds": times[n, "groups"],
            "faster_than_groups": times[n, "groups"] / times[n, "together"], "of_fewest": times[n, "together"] / times[numbers[0], "together"],
            "spans": len(together), "recall": len(together & apart) / max(1, len(apart)), "encoding_seconds": encoding[n],
        }  # fmt: skip
        print(n, json.dumps(result["labels"][n]), flush=True)
    result["prefilter"] = {n: prefiltered(nlp, texts, labels[:n], args.rounds) for n in numbers if n >= 1000}
    print(json.dumps(result["prefilter"], indent=1))
    write_result(args.output, result, args.model, [CORPUS])


def chunks(shim, labels: list[str]) -> list[list[str]]:
    """Groups of labels that fit one `label_budget`."""
    return [*map(list, predict.chunk_labels(labels, shim.pieces, shim.limits["label_budget"], shim.module.label_room))]


if __name__ == "__main__":
    main()
