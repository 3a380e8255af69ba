"""Hostile input: random Unicode texts under random label sets, through a whole pipeline.

    python benchmarks/serving/robustness.py --output benchmarks/results/robustness.json

Texts are drawn from control characters, right-to-left scripts, combining marks, emoji, CJK, lone surrogates, exotic
white space and ordinary words, and a few hold a million characters without a space. Labels are made of the same. A text
or label that is no Unicode (lone surrogates), and a label that the tokenizer reads nothing of, must be refused with a
ValueError that says so, and cost no other text. Everything else must come back, its spans checked one by one.

With --links the same kinds of texts, those that are Unicode, and some of several windows are asked for links as well:
a tree of three, typed and free tails, questions asked back, attributes, records (benchmarks/lib/hostile_links.py). The
result stands under "links" of the output, with the weights that it was measured with, and the rest of a file is kept.
"""

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import spacy
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.hostile_links import random_ask, run_links
from benchmarks.lib.options import model_parser
from benchmarks.lib.provenance import provenance, write_result
from metaie_spacy import pipe_with_labels

WORDS = "Ada Lovelace worked in London on 10 December 1815 for KLM , (which) paid $3,000.50 — ibuprofen's price; www.x.org #1 e.g. don't".split()
ALPHABETS = {
    "control": [chr(i) for i in [*range(32), *range(127, 160)]],
    "right-to-left": [chr(i) for i in [*range(0x5D0, 0x5EB), *range(0x620, 0x64B), 0x200F, 0x202E, 0x202B, 0x2067]],
    "combining": [chr(i) for i in [*range(0x300, 0x370), 0x41, 0x65, 0xE9, 0x1AB0, 0x20DD]],
    "emoji": [*map(chr, range(0x1F600, 0x1F650)), "👩‍👩‍👧", "🏳️‍🌈", "🇳🇱", "\ufe0f", "\u200d", "👍🏽"],
    "cjk": [chr(i) for i in [*range(0x4E00, 0x4E80), *range(0x3040, 0x3060), *range(0xAC00, 0xAC40), 0x3002, 0xFF01]],
    "space": list(" \t\n\r\u00a0\u2003\u2028\u3000\u200b\ufeff"),
    "punctuation": list("!?.,;:-–—…'\"“”()[]{}<>/\\|@#$%^&*_+=~`"),
    "any plane": [chr(i) for i in range(0xE000, 0x110000, 997)],
    "surrogate": [chr(i) for i in range(0xD800, 0xE000, 64)],
}
LABELS = "person, organization, location, date, amount of money, side effect, what was paid, Ort, 人物, اسم, 😀".split(
    ", "
)
MILLION = 1_000_000


def random_text(rng: random.Random) -> tuple[str, str]:
    """A kind and a text of it."""
    kind = rng.choice([*ALPHABETS, "mixed", "words", "words among noise"])
    size = rng.choice((0, 1, 2, 5, 20, 60, 200)) if rng.random() < 0.99 else 5000
    if kind == "words":
        return kind, " ".join(rng.choices(WORDS, k=size // 4))
    if kind == "words among noise":
        noise = [c for name, part in ALPHABETS.items() if name != "surrogate" for c in part]
        return kind, "".join(rng.choice((" ", "", rng.choice(noise))) + rng.choice(WORDS) for _ in range(size // 4))
    if kind == "mixed":
        return kind, "".join(rng.choice(rng.choice(list(ALPHABETS.values()))) for _ in range(size))
    return kind, "".join(rng.choices(ALPHABETS[kind], k=size))


def long_texts(rng: random.Random) -> list[tuple[str, str]]:
    """A million characters without a space, of several kinds."""
    kinds = {
        "letters": "abcdefghij",
        "digits": "0123456789",
        "cjk": ALPHABETS["cjk"],
        "one letter": "x",
        "right-to-left": ALPHABETS["right-to-left"],
    }
    return [(f"million {name}", "".join(rng.choices(kinds[name], k=MILLION))) for name in kinds]


def random_labels(rng: random.Random) -> list[str]:
    labels = rng.sample(LABELS, rng.randint(1, 6))
    while rng.random() < 0.3:
        labels.append(random_text(rng)[1][:80] or "x")
    return labels


def is_unicode(text: str) -> bool:
    return not any(0xD800 <= ord(c) < 0xE000 for c in text)


def check(doc, text: str, labels: list[str]) -> Counter:
    """RAISES (AssertionError): something about the answer is wrong."""
    group = doc.spans["metaie"]
    scores = group.attrs["scores"]
    assert doc.text == text, "the doc holds another text"
    assert group.attrs["asked"] == list(dict.fromkeys(labels)), "asked differs"
    assert scores.dtype == np.float32 and len(scores) == len(group), "scores do not fit the spans"
    assert bool(np.all((scores >= 0) & (scores <= 1))), "a score lies outside [0, 1]"
    ends: dict[str, int] = {}
    for span in group:
        assert span.text == text[span.start_char : span.end_char] and span.text.strip(), (
            "the span's text is not the doc's slice"
        )
        assert span.label_ in labels and ends.get(span.label_, -1) <= span.start, (
            "spans of a label overlap, or its label was not asked"
        )
        ends[span.label_] = span.end
    return Counter(docs=1, spans=len(group))


def windows_of_noise(rng: random.Random) -> tuple[str, str]:
    """A text of several windows: words among signs of one kind."""
    kind = rng.choice([kind for kind in ALPHABETS if kind != "surrogate"])
    parts = (rng.choice((" ", " ", "", rng.choice(ALPHABETS[kind]))) + rng.choice(WORDS) for _ in range(400))
    return f"long {kind}", "".join(parts)


def links_main(args) -> None:
    """The part with links, merged into the output."""
    rng, cases = random.Random(args.seed), []
    while len(cases) < args.links:
        kind, text = windows_of_noise(rng) if rng.random() < 0.01 else random_text(rng)
        if is_unicode(text):
            cases.append((kind, text, random_ask(rng, len(text))))
    nlp = spacy.load(args.model)
    refused: list[str] = []
    nlp.set_error_handler(lambda name, pipe, docs, error: refused.append(f"{type(error).__name__}: {error}"))
    began = time.perf_counter()
    result = run_links(nlp, cases) | {"seed": args.seed, "refused": refused[:20]}
    result |= {"asked_in": "heads" if nlp.get_pipe("metaie").model.shims[0].binds else "words"}
    result |= {"seconds": round(time.perf_counter() - began, 1)}
    print(json.dumps(result, indent=1))
    if args.output:
        before = json.loads(args.output.read_text(encoding="utf8")) if args.output.exists() else {}
        merged = before | {"links": result | provenance(args.model)}
        args.output.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf8")
    if result["crashes"] or refused or result["changed_alone"]:
        raise SystemExit(1)


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--links", type=int, default=0, help="texts that are asked for links, in place of the others")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.links:
        links_main(args)
        return
    rng = random.Random(args.seed)
    nlp = spacy.load(args.model)
    nlp.get_pipe("metaie").threshold = 0.1  # much is found
    long = long_texts(rng)
    cases = [(*random_text(rng), random_labels(rng)) for _ in range(args.texts - len(long))]
    for kind, text in long:
        cases.insert(rng.randrange(len(cases)), (kind, text, ["person", "date"]))
    refused: list[str] = []
    nlp.set_error_handler(lambda name, pipe, docs, error: refused.append(f"{type(error).__name__}: {error}"))
    counts, crashes, spans_by_kind, began = Counter(), [], Counter(), time.perf_counter()
    # One nlp.pipe for a thousand cases: what is refused shares its batches with what is not.
    for start in tqdm(range(0, len(cases), 1000), desc="robustness"):
        part = cases[start : start + 1000]
        triples = [(text, labels, (kind, text, labels)) for kind, text, labels in part]
        before, kept = len(refused), 0
        try:
            for doc, (kind, text, labels) in pipe_with_labels(nlp, triples, as_tuples=True):
                found = check(doc, text, labels)
                kept, counts, spans_by_kind[kind] = kept + 1, counts + found, spans_by_kind[kind] + found["spans"]
        except Exception as error:  # the point of the run: whatever it is, it is counted and shown
            crashes.append(repr(error)[:300])
            continue
        lost = len(part) - kept - (len(refused) - before)
        if lost:
            crashes.append(f"{lost} texts were neither answered nor refused")
    must_refuse = sum(
        not is_unicode(text + "".join(labels)) or not all(label.strip() for label in labels)
        for _, text, labels in cases
    )
    reasons = Counter(reason(message) for message in refused)
    result = {
        "texts": len(cases), "seed": args.seed, "answered": counts["docs"], "spans": counts["spans"], "crashes": crashes,
        "refused": dict(reasons), "refused_for_certain": must_refuse, "spans_by_kind": dict(sorted(spans_by_kind.items())),
        "characters": sum(len(text) for _, text, _ in cases), "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip
    print({key: value for key, value in result.items() if key != "spans_by_kind"})
    if args.output and args.output.exists():
        before = json.loads(args.output.read_text(encoding="utf8"))
        result |= {"links": before["links"]} if "links" in before else {}
    write_result(args.output, result, args.model)
    if crashes:
        raise SystemExit(1)


def reason(message: str) -> str:
    """What a refusal says, without the text that it names."""
    for part in (
        "half of a surrogate pair",
        "surrogates not allowed",
        "nothing that the encoder's tokenizer can read",
        "is empty",
    ):
        if part in message and message.startswith("ValueError"):
            return part
    return message[:200]


if __name__ == "__main__":
    main()
