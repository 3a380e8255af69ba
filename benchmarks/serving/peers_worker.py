"""One contender of peers.py in a process of its own, asked in JSON lines over stdin and stdout.

    python benchmarks/serving/peers_worker.py

Requests: {"do": "load", "spec"}, {"do": "time", "texts", "labels", "mode"}, {"do": "answers", "texts", "asked",
"threshold"}, {"do": "memory"}. Nothing is imported but what the contender's own environment has.
"""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

PIECES = 1024  # of one batch of the bare encoder, padding included, as ours
LEAST = 0.5  # threshold where speed is measured, unless one was chosen


class Whole:
    """What reads texts as they are."""

    passes = 1

    def plan(self, texts: list[str], labels: list[str]):
        """What is read, made before the clock starts."""
        return texts


class Metaie(Whole):
    """A pipeline of this package: LabelToSpan or CrossEncoder."""

    def __init__(self, spec: dict):
        import spacy

        config = {"components": {"metaie": {"model": {"compute_dtype": spec.get("dtype", "float32")}}}}
        self.nlp = spacy.load(spec["model"], config=config)
        self.pipe = self.nlp.get_pipe("metaie")
        self.pipe.flat, self.asked = True, None

    def read(self, texts: list[str], labels: list[str], threshold: float):
        self.pipe.threshold = threshold
        if self.asked != labels:
            self.pipe.labels = self.asked = labels
        return [self.nlp(texts[0])] if len(texts) == 1 else list(self.nlp.pipe(texts))

    def spans(self, docs) -> list:
        groups = [doc.spans["metaie"] for doc in docs]
        return [[[s.start_char, s.end_char, s.label_] for s in group] for group in groups]


class Spacy(Whole):
    """Any pipeline of spaCy with labels of its own."""

    def __init__(self, spec: dict):
        import spacy

        self.nlp = spacy.load(spec["model"])

    def read(self, texts: list[str], labels: list[str], threshold: float):
        return [self.nlp(texts[0])] if len(texts) == 1 else list(self.nlp.pipe(texts))

    def spans(self, docs) -> list:
        groups = [doc.ents or doc.spans.get("sc", ()) for doc in docs]
        return [[[s.start_char, s.end_char, s.label_] for s in group] for group in groups]


class Plan(NamedTuple):
    """texts (int): their number. parts (list): which text, at which offset, what of it. groups (list): of labels."""

    texts: int
    parts: list[tuple[int, int, str]]
    groups: list[list[str]]


class Prompted:
    """What puts labels before the text and is bound by the encoder's positions, `room`.

    Where all labels do not fit beside the longest text, long texts are cut to half of the room, and labels are asked in
    groups that fill the rest; of the ways to ask many labels of long texts this takes about the fewest pieces.
    """

    extra = 1  # pieces of a label's marker

    @property
    def passes(self) -> int:
        return self.asked

    def plan(self, texts: list[str], labels: list[str]) -> Plan:
        sizes = [self.size(label) + self.extra for label in labels]
        most = self.room // 2 if max(map(self.size, texts)) + sum(sizes) > self.room else self.room
        parts = [(i, at, part) for i, text in enumerate(texts) for at, part in cut(text, most, self.size)]
        groups = groups_of(labels, sizes, self.room - max(self.size(part) for *_, part in parts))
        self.asked = len(groups)
        return Plan(len(texts), parts, groups)

    def size(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def joined(self, plan: Plan, answers: list[list[list[tuple]]]) -> list:
        """Answers of the groups (start, end, label, score) to the parts as those to the texts."""
        found: list[list[tuple]] = [[] for _ in range(plan.texts)]
        for answer in answers:
            for (i, at, _), spans in zip(plan.parts, answer):
                found[i] += [(start + at, end + at, label, score) for start, end, label, score in spans]
        return [flat(spans) for spans in found]


class Gliner(Prompted):
    """gliner with its uni-encoder."""

    def __init__(self, spec: dict):
        import torch
        from gliner import GLiNER
        from gliner.infer_packing import InferencePackingConfig

        options = {"dtype": torch.bfloat16} if spec.get("dtype") == "bfloat16" else {}
        self.model = GLiNER.from_pretrained(spec["model"], local_files_only=True, **options).eval()
        if spec.get("dtype") == "int8":
            self.model.quantize("int8")
        self.tokenizer = self.model.data_processor.transformer_tokenizer
        self.room = self.tokenizer.model_max_length - 3  # [CLS], the separator, [SEP]
        self.batch = spec.get("batch", 8)
        self.packing = InferencePackingConfig(max_length=self.room + 3) if spec.get("packed") else None

    def read(self, plan: Plan, labels: list[str], threshold: float):
        texts = [part for *_, part in plan.parts]
        options = {"flat_ner": True, "threshold": threshold, "batch_size": self.batch, "packing_config": self.packing}
        return plan, [self.model.inference(texts, group, **options) for group in plan.groups]

    def spans(self, answered) -> list:
        plan, answers = answered
        return self.joined(plan, [[[triple(e) for e in found] for found in answer] for answer in answers])


class GlinerBi(Gliner):
    """gliner with its bi-encoder; labels are encoded once, when they are first asked."""

    longest = 32  # pieces of a label: gliner fills all up to its tokenizer's number, which is 512

    def __init__(self, spec: dict):
        super().__init__(spec)
        self.model.data_processor.labels_tokenizer.model_max_length = self.longest
        self.encoded: dict[tuple, object] = {}

    def plan(self, texts: list[str], labels: list[str]) -> Plan:
        parts = [(i, at, part) for i, text in enumerate(texts) for at, part in cut(text, self.room, self.size)]
        self.asked = 1
        return Plan(len(texts), parts, [labels])

    def read(self, plan: Plan, labels: list[str], threshold: float):
        if tuple(labels) not in self.encoded:
            self.encoded = {tuple(labels): self.model.encode_labels(labels)}
        texts = [part for *_, part in plan.parts]
        options = {"flat_ner": True, "threshold": threshold, "batch_size": self.batch}
        return plan, [self.model.batch_predict_with_embeds(texts, self.encoded[tuple(labels)], labels, **options)]


class Gliner2(Prompted):
    """gliner2 with its span architecture."""

    def __init__(self, spec: dict):
        from gliner2 import AutoExtractor

        self.model = AutoExtractor.from_pretrained(spec["model"]).eval()
        self.tokenizer = self.model.processor.tokenizer
        self.room = self.tokenizer.model_max_length - 12  # the schema's own signs
        self.batch = spec.get("batch", 8)

    def read(self, plan: Plan, labels: list[str], threshold: float):
        texts = [part for *_, part in plan.parts]
        options = {"batch_size": self.batch, "threshold": threshold, "include_confidence": True, "include_spans": True}
        return plan, [self.model.batch_extract_entities(texts, group, **options) for group in plan.groups]

    def spans(self, answered) -> list:
        plan, answers = answered
        return self.joined(plan, [[entities_of(found) for found in answer] for answer in answers])


def triple(entity: dict) -> tuple:
    return entity["start"], entity["end"], entity["label"], entity["score"]


def entities_of(found: dict) -> list[tuple]:
    """Of gliner2's answer to a text."""
    return [
        (e["start"], e["end"], label, e["confidence"]) for label, own in found.get("entities", {}).items() for e in own
    ]


class Bare(Whole):
    """The encoder alone: tokenizer and last states, sorted by length; long texts in windows of its positions."""

    def __init__(self, spec: dict):
        import torch
        from transformers import AutoModel, AutoTokenizer

        dtype = torch.bfloat16 if spec.get("dtype") == "bfloat16" else torch.float32
        self.model = AutoModel.from_pretrained(spec["model"], torch_dtype=dtype, local_files_only=True).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(spec["model"], local_files_only=True)

    def read(self, texts: list[str], labels: list[str], threshold: float):
        import torch
        from torch.nn.utils.rnn import pad_sequence

        found = self.tokenizer(texts, truncation=True, max_length=512, return_overflowing_tokens=True)
        with torch.inference_mode():
            for part in batches_of(sorted(found["input_ids"], key=len)):
                ids = pad_sequence([torch.tensor(row) for row in part], batch_first=True)  # [PAD] is 0
                mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in part], batch_first=True)
                self.model(input_ids=ids, attention_mask=mask)
        return texts

    def spans(self, texts) -> list:
        return [[] for _ in texts]


KINDS = {"metaie": Metaie, "spacy": Spacy, "gliner": Gliner, "gliner_bi": GlinerBi, "gliner2": Gliner2, "bare": Bare}


def cut(text: str, most: int, size) -> list[tuple[int, str]]:
    """Parts of a text with their offsets, cut between words, of at most so many pieces; size (Callable): counts them."""
    parts, begin, filled = [], 0, 0
    if size(text) <= most:
        return [(0, text)]
    for word in re.finditer(r"\S+", text):
        pieces = size(word[0])
        if filled and filled + pieces > most:
            parts.append((begin, text[begin : word.start()]))
            begin, filled = word.start(), 0
        filled += pieces
    return [*parts, (begin, text[begin:])]


def groups_of(labels: list[str], sizes: list[int], room: int) -> list[list[str]]:
    """Labels in order, in groups whose sizes fill the room; one that alone has none stands alone."""
    groups: list[list[str]] = []
    left = 0
    for label, size in zip(labels, sizes):
        if not groups or size > left:
            groups.append([])
            left = room
        groups[-1].append(label)
        left -= size
    return groups


def batches_of(rows: list[list[int]], pieces: int = PIECES) -> list[list[list[int]]]:
    """Rows, shortest first, in batches of so many pieces, padding included."""
    found: list[list[list[int]]] = []
    for row in rows:
        if not found or len(row) * (len(found[-1]) + 1) > pieces:
            found.append([])
        found[-1].append(row)
    return found


def flat(spans: list[tuple]) -> list[list]:
    """Of spans that overlap, the one that scores best, as start, end and label."""
    kept: list[tuple] = []
    for span in sorted(spans, key=lambda s: -s[3]):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
    return [list(span[:3]) for span in sorted(kept)]


def timed(contender, request: dict, threshold: float) -> dict:
    """Seconds of a cell, after one text in which labels are encoded ("first")."""
    texts, labels = request["texts"], request["labels"]
    first, _ = seconds_of(contender, texts[:1], labels, threshold)
    single = request["mode"] == "single"
    runs = [
        seconds_of(contender, part, labels, threshold) for part in ([[text] for text in texts] if single else [texts])
    ]
    seconds = [one for one, _ in runs]
    found = [spans for _, answer in runs for spans in contender.spans(answer)]
    result = {"seconds": sum(seconds), "first": first, "spans": sum(map(len, found)), "passes": contender.passes}
    return result | ({"each": seconds} if single else {})


def seconds_of(contender, texts: list[str], labels: list[str], threshold: float) -> tuple:
    plan = contender.plan(texts, labels)
    began = time.perf_counter()
    answer = contender.read(plan, labels, threshold)
    return time.perf_counter() - began, answer


def answered(contender, request: dict) -> dict:
    """Spans of texts that are asked their own labels; texts with the same labels are read together."""
    together: dict[tuple, list[int]] = {}
    for i, labels in enumerate(request["asked"]):
        together.setdefault(tuple(labels), []).append(i)
    found: list[list] = [[] for _ in request["texts"]]
    for labels, places in together.items():
        if labels:
            plan = contender.plan([request["texts"][i] for i in places], list(labels))
            answer = contender.read(plan, list(labels), request["threshold"])
            for i, spans in zip(places, contender.spans(answer)):
                found[i] = spans
    return {"spans": found}


def memory() -> dict:
    """Resident memory now and at its peak, MiB. Linux only."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[key].split()[0]) / 1024 for name, key in (("resident_mib", "VmRSS"), ("peak_mib", "VmHWM"))}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    contender, threshold = None, LEAST
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                import torch

                spec = request["spec"]
                torch.set_num_threads(spec.get("threads", 1))
                threshold = spec.get("threshold", LEAST)
                contender = KINDS[spec["kind"]](spec)
                answer = memory()
            elif request["do"] == "time":
                answer = timed(contender, request, threshold)
            elif request["do"] == "answers":
                answer = answered(contender, request)
            else:
                answer = memory()
        except Exception as error:  # it is told, and the log has the rest
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
