"""Damaged files of other tools: each gives what its undamaged records say, or is refused by name, or what is lost is counted.

    python benchmarks/project/corruption.py --variants 2000 --output benchmarks/results/corruption.json

The generator is the oracle: it writes a file of every format from texts and spans that it knows, damages one record in a
way that can be told from the file, and compares. What cannot be told is listed in docs/formats.md.
"""

import argparse
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.provenance import write_data_result
from metaie_spacy.convert.convert import convert
from metaie_spacy.convert.links import pairs_of
from metaie_spacy.data.rows import places

WORDS = "Ada Łódź flew to Rome with Zoë and 東京 saw New York again".split()
LABELS = ("PER", "LOC", "ORG")
KINDS = ("cut", "bytes", "grammar", "key")
ENDS = ("right", "refused", "counted")  # all others are faults


class Sample:
    """Texts with spans and, for the formats that have them, one link. words, spans (of words), links (of spans)."""

    def __init__(self, rng: random.Random):
        self.rows: list[dict] = []
        for number in range(rng.randint(3, 6)):
            words = [*rng.sample(WORDS, rng.randint(4, 8)), f"no{number}"]  # each once, as GLiNER2's data needs it
            starts = sorted(rng.sample(range(0, len(words) - 1, 2), 2))
            at = [sum(len(word) + 1 for word in words[:i]) for i in range(len(words))]
            own = [(start, start + rng.randint(0, 1), rng.choice(LABELS)) for start in starts]
            spans = [(at[first], at[last] + len(words[last]), label) for first, last, label in own]
            self.rows.append({"text": " ".join(words), "words": words, "own": own, "spans": spans})


def objects(value: Any) -> list[dict]:
    """All objects inside a value, itself first."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict) else []) + [found for item in inner for found in objects(item)]


def at_random_key(rng: random.Random, record: Any, keys: tuple[str, ...], misspelt: tuple[str, ...] = ()) -> bool:
    """Rename one of a record's keys, wherever in it they are: a key that must be there in any way, others by a letter."""
    found = [(holder, key) for holder in objects(record) for key in holder if key in keys or key in misspelt]
    if not found:
        return False
    holder, key = rng.choice(found)
    cut = rng.randrange(1, len(key)) if len(key) > 2 else 1
    typo = key[:cut] + key[cut + 1 :] if rng.random() < 0.5 else key[:cut] + key[cut - 1] + key[cut:]
    new = typo if key in misspelt or rng.random() < 0.5 else f"x_{rng.randrange(100)}"
    if new in holder:
        return False
    items = [(new if name == key else name, value) for name, value in holder.items()]
    holder.clear()
    holder.update(items)
    return True


def bad_number(rng: random.Random, text: str) -> Any:
    return rng.choice(["3", -1, len(text) + 7, 1.5, None, True])


def of_rows(row: dict) -> dict:
    spans = [{"start": start, "end": end, "label": label} for start, end, label in row["spans"]]
    return {"id": row["text"][-3:], "text": row["text"], "spans": spans, "absent": [], "teacher": "m"}


def of_prodigy(row: dict) -> dict:
    spans = of_rows(row)["spans"]
    relation = {"head": 0, "child": 1, "label": "of", "head_span": dict(spans[0]), "child_span": dict(spans[1])}
    more = {"_session_id": "a-b", "_annotator_id": "a", "_view_id": "relations", "answer": "accept"}
    return {"text": row["text"], "spans": spans, "relations": [relation], "_input_hash": 1} | more


def of_doccano(row: dict) -> dict:
    entities = [
        {"id": n, "label": label, "start_offset": start, "end_offset": end}
        for n, (start, end, label) in enumerate(row["spans"], 7)
    ]
    relation = {"id": 3, "from_id": 7, "to_id": 8, "type": "of"}
    return {"id": 1, "text": row["text"], "Comments": [], "entities": entities, "relations": [relation]}


def of_label_studio(row: dict) -> dict:
    result = [
        {"id": f"r{n}", "type": "labels", "value": {"start": s, "end": e, "text": row["text"][s:e], "labels": [label]}}
        for n, (s, e, label) in enumerate(row["spans"])
    ]
    result.append({"type": "relation", "from_id": "r0", "to_id": "r1", "direction": "right", "labels": ["of"]})
    return {"id": 4, "data": {"text": row["text"]}, "annotations": [{"completed_by": 1, "result": result}]}


def of_gliner2(row: dict) -> dict:
    found: dict[str, list[str]] = {}
    for start, end, label in row["spans"]:
        found.setdefault(label, []).append(row["text"][start:end])
    return {"input": row["text"], "output": {"entities": found}}


def of_hf(row: dict) -> dict:
    tags = ["O"] * len(row["words"])
    for first, last, label in row["own"]:
        tags[first : last + 1] = [f"B-{label}"] + [f"I-{label}"] * (last - first)
    return {"tokens": row["words"], "ner_tags": tags}


def damage_spans(*keys: str) -> Callable[[random.Random, dict, str], None]:
    """One of the offsets of spans somewhere in a record, out of its range or of another type."""

    def damage(rng: random.Random, record: dict, text: str) -> None:
        holders = [holder for holder in objects(record) if keys[0] in holder]
        rng.choice(holders)[rng.choice(keys)] = bad_number(rng, text)

    return damage


def damage_lists(name: str) -> Callable[[random.Random, dict, str], None]:
    """One of the spans in lists: an offset, its label, or its size."""

    def damage(rng: random.Random, record: dict, text: str) -> None:
        span = rng.choice(record[name])
        place = rng.randrange(4)
        if place == 3:
            span.pop()
        else:
            span[place] = rng.choice([7, None]) if place == 2 else bad_number(rng, text)

    return damage


def damage_mentions(rng: random.Random, record: dict, text: str) -> None:
    mentions = rng.choice(list(record["output"]["entities"].values()))
    mentions[rng.randrange(len(mentions))] = rng.choice(["nowhere in it", 5, "", None])


def damage_tags(rng: random.Random, record: dict, text: str) -> None:
    tags = record["ner_tags"]
    tags[rng.randrange(len(tags))] = rng.choice(["PER", "X-PER", "B-", 3, None, ""])
    if rng.random() < 0.3:
        tags.pop()


class Records:
    """A format of JSON records.

    make: a record of a row. damage: of its grammar. keys: that must be there. misspelt: keys that may be missing.
    is_list: one JSON list, or else lines. links: whether rows have one.
    """

    def __init__(self, make, damage, keys, misspelt=(), is_list=None, links=False):
        self.make, self.damage, self.keys, self.misspelt = make, damage, keys, misspelt
        self.is_list, self.links = is_list, links

    def file(self, rng: random.Random, sample: Sample, kind: str, hit: int) -> tuple[bytes, int] | None:
        """The damaged file and the number of records that a cut leaves whole; None: nothing to damage."""
        records = [self.make(row) for row in sample.rows]
        if kind == "grammar":
            found = [(holder, key) for holder in objects(records[hit]) for key in holder if key in self.keys]
            if rng.random() < 0.5:
                holder, key = rng.choice(found)
                holder[key] = rng.choice([None, 7.5, "", {"a": 1}, [[]], [1, 2], [None]])
            else:
                self.damage(rng, records[hit], sample.rows[hit]["text"])
        if kind == "key" and not at_random_key(rng, records[hit], self.keys, self.misspelt):
            return None
        is_list = rng.random() < 0.3 if self.is_list is None else self.is_list
        lines = [json.dumps(record, ensure_ascii=False).encode("utf8") for record in records]
        data = b"[" + b",\n".join(lines) + b"]" if is_list else b"\n".join([*lines, b""])
        start = sum(len(line) + (2 if is_list else 1) for line in lines[:hit]) + is_list
        return damage_bytes(rng, data, start, len(lines[hit]), kind), hit


def damage_bytes(rng: random.Random, data: bytes, start: int, size: int, kind: str) -> bytes:
    """Cut inside a record, or bytes there that are not UTF-8."""
    if kind == "cut":
        return data[: start + rng.randrange(1, size)]
    if kind == "bytes":
        place = start + rng.randrange(size)
        return data[:place] + rng.choice([b"\xff", b"\xfe", b"\xc0\xaf", b"\xfc", b"\xe6\x9d", b"\x80"]) + data[place:]
    return data


def conll_file(rng: random.Random, sample: Sample, kind: str, hit: int) -> tuple[bytes, int] | None:
    mark = rng.choice(["\t", " "])
    blocks = [[[word, tag] for word, tag in zip(row["words"], of_hf(row)["ner_tags"])] for row in sample.rows]
    block = blocks[hit]
    cells = rng.choice(block)
    if kind == "key":
        return None
    if kind == "grammar":
        place = rng.randrange(4)
        cells[:] = [
            [cells[0], rng.choice(["X-PER", "PER", "B-", "b-PER", "0"])], [cells[0]], [cells[0], "more", cells[1]], [*cells, "O"],
        ][place]  # fmt: skip
    texts = ["".join(mark.join(cells) + "\n" for cells in block) + "\n" for block in blocks]
    data, before = "".join(texts).encode("utf8"), len("".join(texts[:hit]).encode("utf8"))
    line = mark.join(cells).encode("utf8")
    start = before + texts[hit].encode("utf8").index(line + b"\n")
    if kind == "cut" and len(line) < 2:
        return None
    return damage_bytes(rng, data, start, len(line), kind), hit


def csv_file(rng: random.Random, sample: Sample, kind: str, hit: int) -> tuple[bytes, int] | None:
    header = ["id", "text", "start", "end", "label"] + (["span"] if rng.random() < 0.5 else [])
    lines = [
        [str(n), row["text"], str(s), str(e), label, row["text"][s:e]][: len(header)]
        for n, row in enumerate(sample.rows)
        for s, e, label in row["spans"]
    ]
    own = [n for n, line in enumerate(lines) if line[0] == str(hit)]
    at = rng.choice(own)
    if kind == "key":
        place = rng.randrange(1, 5)
        header[place] = rng.choice([f"x{header[place]}", header[place][1:], "other"])
    if kind == "grammar":
        rng.choice(
            [
                lambda: lines[at].__setitem__(rng.choice([2, 3]), rng.choice(["x", "-1", "1.5", "999", ""])),
                lambda: lines[at].__setitem__(4, ""),
                lambda: lines[at].append("more"),
                lambda: lines[at].pop(),
            ]
        )()
    texts = [",".join(cells) + "\n" for cells in [header, *lines]]
    data, start = "".join(texts).encode("utf8"), len("".join(texts[: at + 1]).encode("utf8"))
    return damage_bytes(rng, data, start, len(texts[at + 1].encode("utf8")) - 1, kind), hit


FORMATS: dict[str, Any] = {
    "rows": Records(of_rows, damage_spans("start", "end"), ("text", "spans", "start", "end", "label"), is_list=False),
    "prodigy": Records(
        of_prodigy, damage_spans("start", "end"), ("text", "spans", "answer", "start", "end", "label"), ("relations",), False, True
    ),
    "doccano": Records(
        of_doccano, damage_spans("start_offset", "end_offset"),
        ("text", "entities", "start_offset", "end_offset", "label", "from_id", "to_id", "type"), ("relations",), links=True,
    ),
    "label-studio": Records(
        of_label_studio, damage_spans("start", "end"),
        ("data", "annotations", "result", "type", "value", "start", "end", "labels", "from_id", "to_id"), (), True, True,
    ),
    "entities": Records(
        lambda row: {"text": row["text"], "entities": [list(span) for span in row["spans"]]},
        damage_lists("entities"), ("text", "entities"),
    ),
    "gliner": Records(
        lambda row: {"tokenized_text": row["words"], "ner": [list(span) for span in row["own"]]},
        damage_lists("ner"), ("tokenized_text", "ner"),
    ),
    "gliner2": Records(of_gliner2, damage_mentions, ("input", "output", "entities")),
    "hf": Records(of_hf, damage_tags, ("tokens", "ner_tags")),
    "conll": conll_file,
    "csv": csv_file,
}  # fmt: skip
SUFFIXES = {"conll": ".conll", "csv": ".csv", "label-studio": ".json"}


def brat_folder(rng: random.Random, sample: Sample, kind: str, hit: int, folder: Path) -> bool:
    """Write a folder with a damaged `.ann` or `.txt`; False: nothing to damage."""
    for n, row in enumerate(sample.rows):
        lines = [f"T{i}\t{label} {s} {e}\t{row['text'][s:e]}" for i, (s, e, label) in enumerate(row["spans"], 1)]
        lines.append("R1\tof Arg1:T1 Arg2:T2")
        at = rng.randrange(len(lines))
        if n == hit and kind == "grammar":
            lines[at] = rng.choice(
                [
                    lines[at].replace("\t", " "),
                    "Q" + lines[at][1:],
                    lines[at].replace("2", "99"),
                    lines[at].rpartition(" ")[0],
                ]
            )
        ann, text = "".join(line + "\n" for line in lines).encode("utf8"), row["text"].encode("utf8")
        if n == hit:
            start = len("".join(line + "\n" for line in lines[:at]).encode("utf8"))
            ann = damage_bytes(rng, ann, start, len(lines[at].encode("utf8")), kind)
        (folder / f"{n}.txt").write_bytes(text)
        (folder / f"{n}.ann").write_bytes(ann)
    return kind != "key"


def spacy_file(rng: random.Random, sample: Sample, kind: str) -> bytes | None:
    import spacy
    from spacy.tokens import Doc, DocBin

    if kind not in ("cut", "bytes"):
        return None
    vocab, docs = spacy.blank("en").vocab, []
    for row in sample.rows:
        doc = Doc(vocab, words=row["words"], spaces=[True] * (len(row["words"]) - 1) + [False])
        doc.ents = [doc.char_span(s, e, label=label) for s, e, label in row["spans"]]
        docs.append(doc)
    data = DocBin(docs=docs).to_bytes()
    place = rng.randrange(1, len(data))
    return data[:place] if kind == "cut" else data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def variant(rng: random.Random, name: str, kind: str, folder: Path) -> tuple[str, str] | None:
    """One damaged file: how it ends, and what was wrong; None: the format cannot be damaged like this."""
    sample = Sample(rng)
    hit = rng.randrange(len(sample.rows))
    whole = len(sample.rows)
    source = folder / ("brat" if name == "brat" else f"x{SUFFIXES.get(name, '.jsonl')}")
    if name == "brat":
        source.mkdir()
        if not brat_folder(rng, sample, kind, hit, source):
            return None
    elif name == "spacy":
        source, data = folder / "x.spacy", spacy_file(rng, sample, kind)
        if data is None:
            return None
        source.write_bytes(data)
    else:
        form = FORMATS[name]
        made = (form.file if isinstance(form, Records) else form)(rng, sample, kind, hit)
        if made is None:
            return None
        source.write_bytes(made[0])
        whole = made[1] if kind == "cut" else whole
    encoding = "utf-8" if kind == "bytes" and name != "spacy" and rng.random() < 0.3 else None
    from_format = rng.choice(["auto", name])
    try:
        counts = convert(source, folder / "out.jsonl", from_format=from_format, to_format="rows", encoding=encoding)
    except ValueError as error:
        return ("refused", "") if source.name in str(error) else ("refused without the file's name", str(error))
    except Exception as error:
        return "crash", repr(error)
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf8").split("\n") if line]
    has_links = name == "brat" or getattr(FORMATS.get(name), "links", False)
    return compare(sample, rows, counts, hit, whole, has_links)


def compare(sample: Sample, rows: list[dict], counts: dict, hit: int, whole: int, has_links: bool) -> tuple[str, str]:
    """How a conversion that gave rows ended: all that is undamaged is there, and what is missing is counted."""
    found = {row["text"]: row for row in rows}
    if len(found) < len(rows) or found.keys() - {row["text"] for row in sample.rows}:
        return "wrong", f"texts {list(found)}"
    is_right = True
    for n, row in enumerate(sample.rows):
        if n > hit and n >= whole:
            continue  # cut off with it
        own = found.get(row["text"])
        spans = Counter(row["spans"])
        links = [(row["spans"][0][:2], "of", row["spans"][1][:2])] if has_links else []
        if own and Counter(places(own)) == spans and pairs_of(own) == links:
            continue
        is_right = False
        if n != hit:
            return "wrong", f"undamaged {row['text']!r} is {own}"
        if own is None and not sum(counts["skipped"].values()):
            return "silent", f"{row['text']!r} is missing"
        if own is not None:
            gone, more = spans - Counter(places(own)), Counter(places(own)) - spans
            if more or (not counts["spans_skipped"] and (gone or pairs_of(own) != links)):
                return "silent", f"{row['text']!r} is {own}"
    return ("right" if is_right else "counted"), ""


def run(variants: int, seed: int) -> dict:
    """Counts by format and kind, and the faults."""
    rng = random.Random(seed)
    names = [*FORMATS, "brat", "spacy"]
    table: dict[str, dict[str, Counter]] = {name: {kind: Counter() for kind in KINDS} for name in names}
    faults, done = [], 0
    while done < variants:
        name, kind, own = names[done % len(names)], rng.choice(KINDS), rng.randrange(2**32)
        with tempfile.TemporaryDirectory() as folder:
            ended = variant(random.Random(own), name, kind, Path(folder))
        if ended is None:
            continue
        done += 1
        table[name][kind][ended[0]] += 1
        if ended[0] not in ENDS:
            faults.append({"format": name, "kind": kind, "seed": own, "end": ended[0], "what": ended[1][:300]})
    return {"variants": done, "seed": seed, "table": table, "faults": faults}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    result = run(args.variants, args.seed)
    for name, kinds in result["table"].items():
        print(f"{name:>12}: " + "; ".join(f"{kind} {dict(ends)}" for kind, ends in kinds.items() if ends))
    for fault in result["faults"][:40]:
        print(fault)
    write_data_result(args.output, result, [])
    if result["faults"]:
        sys.exit(f"{len(result['faults'])} of {result['variants']} damaged files end wrongly.")


if __name__ == "__main__":
    main()
