"""What links cost: labels alone, labels with links, and a pass of its own for every question about a head.

    python benchmarks/serving/links_cost.py --weights DIR|PACKAGE --output benchmarks/results/links_cost.json

All ways are timed in one run, in turns, float32, on the same texts and through the whole component, decoding included.
"labels" asks the labels of the schema alone. "links" asks its links too, as the component does: a text is read once, and
its last layers again for each head, whatever is asked of it; a relation with an inverse asks its answers back, which are
heads then. "no inverse" is the same schema without those. "single" reads the text anew, all layers, for every (head,
relation): same answers, batched as well. "in words" asks "employer of Ada Lovelace" as a label of the text, all questions
of a text in one pass over it: what weights without a head pass do, whose answers are others.

The bound is 1.2 x (1 + pieces read again for heads / pieces read for labels x (L - K) / L), where L is the number of
layers and K the layer from which heads are read on; the pieces are counted, not estimated. Weights whose texts see their
labels read the texts that have heads once more, up to layer K: "bound_with_second_reading" counts that too. Times are
those of the process on one thread, which other programs disturb less than the clock; the clock's are in the file.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import spacy
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.paths import CORPUS, ROOT
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import drawn_texts
from metaie_spacy import links
from metaie_spacy.linking.words import score_in_words
from metaie_spacy.model.links import Headed
from metaie_spacy.spans import Logits

SLACK = 1.2
SCHEMA = ROOT / "assets" / "schemas" / "relations.json"
SLOW_ROUNDS = 2  # of the two ways that take longest
WARM = 16  # texts before anything is timed


class Way:
    """A way to ask, set up on one pipeline. scorer (Callable | None): replaces what asks heads."""

    def __init__(self, nlp, schema: dict[str, Any], scorer: Callable | None = None):
        self.nlp, self.schema, self.scorer = nlp, schema, scorer
        self.seconds: dict[str, list[float]] = {"cpu": [], "clock": []}

    def run(self, texts: list[str]) -> list:
        """The docs; labels are encoded anew, as in a fresh process."""
        pipe = self.nlp.get_pipe("metaie")
        pipe.model.shims[0].labels.clear()
        pipe.schema = self.schema
        vars(pipe).pop("_head_scorer", None)
        if self.scorer is not None:
            pipe._head_scorer = lambda kept: self.scorer
        return list(self.nlp.pipe(texts))

    def timed(self, texts: list[str]) -> None:
        began = time.process_time(), time.perf_counter()
        self.run(texts)
        self.seconds["cpu"].append(time.process_time() - began[0])
        self.seconds["clock"].append(time.perf_counter() - began[1])


def single(pipe) -> Callable:
    """Every question about a head as a text of its own, which shares nothing with others but their batch."""

    def score(docs, heads, queries) -> Iterator[Logits]:
        pairs = [(number, query) for number, asked in enumerate(queries) for query in asked]
        texts = [docs[heads[number][0]] for number, _ in pairs]
        places = [(i, *heads[number][1:]) for i, (number, _) in enumerate(pairs)]
        for i, chunk, tokens, values in pipe.model.attrs["score_links"](
            pipe.model, texts, places, [(q,) for _, q in pairs]
        ):
            yield Logits(pairs[i][0], chunk, tokens, values)

    return score


def without_inverse(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose answers are not asked back."""
    schema = copy.deepcopy(schema)
    for link in schema["links"].values():
        for one in link if isinstance(link, list) else [link]:
            one.pop("inverse", None)
    return schema


class Counter:
    """Pieces that go through a module: of texts for their labels, of texts read once more, and of heads."""

    def __init__(self, module):
        self.module, self.read, self.again, self.rerun, self.heads = module, 0, 0, 0, 0

    def __enter__(self) -> "Counter":
        forward, link_states = self.module.forward, self.module.link_states

        def counted(texts, *args):
            if isinstance(texts, Headed):
                self.rerun += int(texts.lengths[texts.heads.text].sum())
                self.heads += len(texts.heads.text)
            else:
                self.read += len(texts.ids)
            return forward(texts, *args)

        def states(texts):
            self.again += len(texts.ids)
            return link_states(texts)

        self.module.forward, self.module.link_states = counted, states
        return self

    def __exit__(self, *_) -> None:
        del self.module.forward, self.module.link_states

    def bounds(self) -> dict[str, Any]:
        k, layers = self.module.options["link_layer"], self.module.config.num_hidden_layers
        heads, texts = self.rerun / self.read * (layers - k) / layers, self.again / self.read * k / layers
        return {
            "heads": self.heads, "pieces": self.read, "pieces_rerun": self.rerun, "pieces_read_again": self.again,
            "rerun_share": self.rerun / self.read, "bound": SLACK * (1 + heads), "bound_with_second_reading": SLACK * (1 + heads + texts),
        }  # fmt: skip


def found_links(docs) -> dict[tuple, float]:
    return {
        (i, link.head.start_char, link.head.end_char, link.label, link.tail.start_char, link.tail.end_char): link.score
        for i, doc in enumerate(docs)
        for link in links(doc)
    }


def ratio(one: Way, other: Way) -> dict[str, float]:
    """How many times as long one takes, round by round; the middle one, and the outer ones."""
    found = {name: [a / b for a, b in zip(one.seconds[name], other.seconds[name])] for name in one.seconds}
    return {
        "ratio": statistics.median(found["cpu"]), "least": min(found["cpu"]), "most": max(found["cpu"]), "by_the_clock": statistics.median(found["clock"]),
    }  # fmt: skip


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--weights", dest="model", default=argparse.SUPPRESS, help="the same as --model")
    parser.add_argument("--data", type=Path, default=CORPUS, help="texts (JSONL; default: those in the repository)")
    parser.add_argument("--schema", type=Path, default=SCHEMA)
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    nlp = spacy.load(args.model)
    pipe = nlp.get_pipe("metaie")
    shim = pipe.model.shims[0]
    pipe.load()
    if not shim.binds:
        raise SystemExit(f"The weights in {args.model} have no head pass, of which this measures the cost.")
    shim.compute_dtype = "float32"
    pipe.schema = args.schema
    schema, texts = pipe.schema, drawn_texts(args.data, args.texts)
    labels_only = {key: value for key, value in schema.items() if key in ("labels", "threshold", "flat", "set_ents")}
    ways = {
        "labels": Way(nlp, labels_only),
        "links": Way(nlp, schema),
        "no inverse": Way(nlp, without_inverse(schema)),
        "single": Way(nlp, schema, single(pipe)),
        "in words": Way(nlp, schema, lambda *asked: score_in_words(pipe.model, *asked)),
    }
    counts = {}
    for name in ("links", "no inverse", "single"):
        with Counter(shim.module) as counter:
            docs = ways[name].run(texts)
        counts[name] = counter.bounds() | {"links": len(found_links(docs))}
        if name == "links":
            expected = found_links(docs)
        elif name == "single":
            found = found_links(docs)
            assert found.keys() == expected.keys(), "the ways find other links"
            differ = max((abs(found[key] - expected[key]) for key in found), default=0.0)
            assert differ < 1e-4, f"the ways' scores differ by {differ}"
    for way in ways.values():
        way.run(texts[:WARM])
    order = list(ways)
    for number in tqdm(range(args.rounds), desc="links_cost"):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            if number < SLOW_ROUNDS or name not in ("single", "in words"):
                ways[name].timed(texts)
    result = {
        "texts": len(texts), "data": args.data.name, "schema": args.schema.name, "relations": len(schema["links"]), "rounds": args.rounds,
        "threads": torch.get_num_threads(), "dtype": "float32", "text_sees_labels": shim.module.options["text_sees_labels"],
        "layers": shim.module.config.num_hidden_layers, "link_layer": shim.module.options["link_layer"], "counts": counts,
        "against_labels": {name: ratio(way, ways["labels"]) for name, way in ways.items() if name != "labels"},
        "against_links": {name: ratio(ways[name], ways["links"]) for name in ("single", "in words")},
        "seconds": {name: way.seconds for name, way in ways.items()},
    }  # fmt: skip
    for name in ("links", "no inverse"):
        result["against_labels"][name]["within_bound"] = (
            result["against_labels"][name]["ratio"] <= counts[name]["bound"]
        )
    print(json.dumps({key: value for key, value in result.items() if key != "seconds"}, indent=1))
    write_result(args.output, result, args.model, [args.data, args.schema])


if __name__ == "__main__":
    main()
