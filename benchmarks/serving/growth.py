"""How time and memory grow with hostile input: each input at n, 2n and 4n, and the exponent of what it takes.

    python benchmarks/serving/growth.py --output benchmarks/results/growth.json

Every measurement is made in a process of its own, forked from one that has the package loaded, and is ended after half a
minute. n is doubled until an input of it takes 0.05 s, so that 4n takes well above noise; what is too fast for that at
four million is not told. Time is that of the processor, the least of two processes, without what an input of 32 takes;
memory is the peak beyond what the process began with. Where the caches of the processor end, time grows faster for a
while: what seems to grow too fast is measured once more at four times n, where a square is one still. An exponent of 1 is
even growth, 2 the square. "spaCy alone" is its tokenizer without `metaie_spacy.data.tokens`, for comparison.
"""

import argparse
import gc
import json
import math
import multiprocessing
import re
import resource
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable

import spacy
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.patterns import UNITS, patterns_of_package
from benchmarks.lib.process import resident
from benchmarks.lib.provenance import write_data_result
from metaie_spacy.convert.convert import convert
from metaie_spacy.curate.contamination import runs_of
from metaie_spacy.curate.curate import curate
from metaie_spacy.curate.duplicates import shingles_of
from metaie_spacy.curate.label_names import WordCases, normal_label
from metaie_spacy.curate.settings import CurateSettings
from metaie_spacy.data.items import Item, rows_to_items
from metaie_spacy.data.passages import passage_cutter
from metaie_spacy.data.rows import longest_first
from metaie_spacy.data.tokens import make_doc
from metaie_spacy.model.pieces import WordPieces
from metaie_spacy.model.windows import cut_items
from metaie_spacy.spans import Answer, flatten
from metaie_spacy.teacher.reply.alignment import align, find_answer
from metaie_spacy.teacher.reply.parse import read_answer
from metaie_spacy.teacher.rounds import read_confirmed

LIMIT = 30  # seconds of one measurement
MEMORY = 6  # GiB of one measurement
MOST = 1.3  # exponent that passes
SMALL, ENOUGH, LARGEST = 32, 0.05, 2**22  # least n, seconds that n takes at least, and n where it never does
LEAST_SECONDS, LEAST_MIB = 0.1, 32.0  # of 4n; below, an exponent is noise
Run = Callable[[int], Any]
RUNS = ["!", "(", "'s", "US$", "😀", "🇳🇱", "!?.,", "-", ".", "a!", "1:", "http://", "a:b@", "word ", "x", "\n"]


def words(n: int, step: int = 1) -> list[str]:
    """Different words of about n characters."""
    return [f"w{i}" for i in range(0, n // 6, step)]


# Of about n characters each.
ALIGNMENT: dict[str, Run] = {
    "a letter in one repeated": lambda n: find_answer("a" * n, "a"),
    "letters repeated in both": lambda n: find_answer("a" * n, "A" * (n // 2)),
    "letters repeated, one that is not there": lambda n: find_answer("a" * n, "a" * (n // 2) + "b"),
    "words repeated, joined at the end": lambda n: find_answer("a " * (n // 2), "A " * (n // 4) + "aa"),
    "digits repeated, with other gaps": lambda n: find_answer("1 2 " * (n // 4), "1-2 " * (n // 8)),
    "quotes": lambda n: find_answer("a' " * (n // 3), "' " * (n // 2) + "A"),
    "quotes alone": lambda n: find_answer('"' * n, '"' * (n // 2) + "a"),
    "blanks": lambda n: find_answer("a" + " " * n, "a" + " " * n + "B"),
    "brackets around the answer": lambda n: find_answer("x y" * (n // 3), "(" * n + "q" + ")" * n),
    "brackets and quotes around it": lambda n: find_answer("x y" * (n // 3), "(\"'" * n + "q" + "'\")" * n),
    "markup and joiners": lambda n: find_answer("*\u200da" * (n // 3), "A" * (n // 6)),
    "accents": lambda n: find_answer("a" + "\u0301\u0323" * n, "A" + "\u0301\u0323" * n),
    "ellipses": lambda n: find_answer("a " * (n // 2), " ... ".join("a" * (n // 6))),
    "twenty ellipses": lambda n: find_answer("a b " * (n // 4), " ... ".join("a" * 20) + " ... q"),
    "dots": lambda n: find_answer("a . " * (n // 4), "a" + " ." * n + "b"),
    "nearly": lambda n: find_answer("Ada Lovelace met Bob; " * (n // 22), "Ada Lovelase met Bob; " * 40),
    "many answers": lambda n: align(" ".join(words(16 * n)), [("label", word) for word in words(16 * n)]),
    "many absent answers": lambda n: align(" ".join(words(16 * n)), [("l", f"{word}xyzxyz") for word in words(16 * n)]),
    "many labels of many places": lambda n: align("a " * n, [(f"label {i}", "a") for i in range(n // 20)]),
}
REPLIES: dict[str, Run] = {
    "colons after a long label": lambda n: read_answer("- " + "x" * n + ": " * n, "a b"),
    "colons": lambda n: read_answer("- " + "a:b " * (n // 4), "a b " * (n // 4)),
    "blanks in a line": lambda n: read_answer("- a" + " " * n + "b", "a b"),
    "brackets around a pair": lambda n: read_answer("- a: " + "(" * n + "x: y" + ")" * n, "a b " * (n // 4)),
    "a list of many": lambda n: read_answer("- a: " + "; ".join(words(n)), " ".join(words(n))),
    "a list of one word": lambda n: read_answer("- a: " + "b; " * (n // 3), "a b " * (n // 4)),
    "a line without separators": lambda n: read_answer("x" * n, "a"),
    "many lines": lambda n: read_answer("\n".join(f"- l: {word}" for word in words(n)), " ".join(words(n))),
    "many labels": lambda n: read_answer("\n".join(f"- l{word}: a" for word in words(n)), "a b " * (n // 4)),
    "a long label of many spans": lambda n: read_answer(json.dumps({"l" * n: ["a"] * n}), "a"),
    "an open nest": lambda n: read_answer('[{"a":' * (n // 6), "a"),
    "a closed nest": lambda n: read_answer('{"answers":' * (n // 12) + "{}" + "}" * (n // 12), "a"),
    "brackets at the beginning of lines": lambda n: read_answer("[\n" * (n // 2), "a"),
    "a quote and many line ends": lambda n: read_answer('{"a": ["x"' + "\n" * n + "x", "a"),
    "quotes in broken JSON": lambda n: read_answer('{"a": ["' + '" ' * n, "a"),
    "line ends before a number": lambda n: read_confirmed("\n" * n + "x"),
}
# Of n spans, of a text of 100 n characters.
ROWS: dict[str, Run] = {
    "one long span": lambda n: longest_first([(0, n, "a"), (1, n, "b")]),
    "long spans over each other": lambda n: longest_first([(i, 200 * n - i, "a") for i in range(n)]),
    "long spans of many labels": lambda n: longest_first([(i, 100 * n, f"label {i}") for i in range(n)]),
    "short spans over each other": lambda n: longest_first([(i, i + 50, "a") for i in range(n)]),
    "rows on tokens": lambda n: rows_to_items(
        [{"id": "1", "text": "word " * n, "spans": [{"start": 0, "end": 5 * i + 4, "label": "a"} for i in range(n)]}],
        lambda text: [(i, i + 4) for i in range(0, len(text), 5)],
        "rows",
    ),
    "flat answers": lambda n: flatten([Answer("a", n, n + 1, 1.0), *(Answer("b", i, n + 1, 0.5) for i in range(n))]),
    "windows": lambda n: cut_items(
        [Item("1", ["w"] * n, [(i, i + 1, f"label {i}") for i in range(n)], [])], lambda found: [(0,)] * len(found), 90
    ),
}


def converted(text: str, from_format: str, to_format: str = "rows") -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "source.txt", Path(folder) / "output.jsonl"
        source.write_text(text, encoding="utf8")
        convert(source, output, from_format=from_format, to_format=to_format)


def spans_row(text: str, places: list[tuple[int, int]], **more: Any) -> str:
    spans = [{"start": start, "end": end, "label": "a"} for start, end in places]
    return json.dumps({"id": "1", "text": text, "spans": spans, **more}) + "\n"


def task(text: str, regions: list[tuple[int, int, str]], **more: Any) -> str:
    values = [{"start": start, "end": end, "text": words, "labels": ["a"]} for start, end, words in regions]
    result = [{"type": "labels", "value": value} for value in values]
    return json.dumps([{"data": {"text": text, **more}, "annotations": [{"result": result}]}])


def asked(n: int) -> dict:
    """What a row of another tool keeps of the row that it was: n labels, asked."""
    return {"id": "1", "asked": [f"label {i}" for i in range(n)]}


CONVERSION: dict[str, Run] = {
    "CoNLL, one entity": lambda n: converted("w B-x\n" + "w I-x\n" * n, "conll"),
    "CoNLL, many entities": lambda n: converted("w B-x\n" * n, "conll"),
    "CoNLL, many sentences": lambda n: converted("w B-x\n\n" * n, "conll"),
    "CoNLL, a line of pairs": lambda n: converted("w|B-x " * n, "conll"),
    "Prodigy, a word with a span at each letter": lambda n: converted(
        spans_row("x" * n, [(i, i + 1) for i in range(n)]), "rows", "prodigy"
    ),
    "Prodigy, spans beside tokens": lambda n: converted(
        spans_row("word " * n, [(5 * i + 1, 5 * i + 7) for i in range(n - 2)]), "rows", "prodigy"
    ),
    "Prodigy, many labels asked and found": lambda n: converted(
        json.dumps({"text": "w " * n, "answer": "accept", "metaie": asked(n),
                    "spans": [{"start": 2 * i, "end": 2 * i + 1, "label": f"label {i}"} for i in range(n)]}) + "\n", "prodigy"
    ),
    "Prodigy, exclamation marks": lambda n: converted(spans_row("!" * n, [(0, 1)]), "rows", "prodigy"),
    "Label Studio, many regions": lambda n: converted(
        task("word " * n, [(5 * i, 5 * i + 4, "word") for i in range(n)]), "label-studio"
    ),
    "Label Studio, long regions of one word": lambda n: converted(
        task("x" + " " * 1000 + "y" * n, [(0, 900 - i % 9, "x") for i in range(n)]), "label-studio"
    ),
    "Label Studio, emoji": lambda n: converted(
        task("😀 " * n, [(3 * i, 3 * i + 2, "😀") for i in range(n)]), "label-studio"
    ),
    "to Label Studio": lambda n: converted(
        spans_row("word " * n, [(5 * i, 5 * i + 4) for i in range(n)]), "rows", "label-studio"
    ),
    "to spaCy": lambda n: converted(
        spans_row("word " * n, [(5 * i, 5 * i + 4) for i in range(n)]), "rows", "spacy"
    ),
}  # fmt: skip


def curated(rows: list[dict], **settings: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
        curate([source], Path(folder) / "out", CurateSettings(**settings))


def row(i: int, text: str, **more: Any) -> dict:
    return {"id": str(i), "text": text, "spans": [{"start": 0, "end": 1, "label": "a"}]} | more


FORM = " ".join(f"word{i}" for i in range(30))
CURATION: dict[str, Run] = {
    "a label of humps": lambda n: [normal_label("aa" + "1" * 900 + "!") for _ in range(n // 1000)],
    "words of a text": lambda n: WordCases(["Court of Justice A. " * (n // 20)]),
    "runs of a text": lambda n: (runs_of(("a b " * (n // 4)).split()), shingles_of("a b " * (n // 4))),
    "rows of one text": lambda n: curated([row(i, "word " * 9, teacher="x") for i in range(n)]),
    "rows of one text, each of another teacher": lambda n: curated(
        [row(i, "w " * 9, teacher=f"t{i}", spans=[{"start": 0, "end": 1 + i % 9, "label": "a"}]) for i in range(n)]
    ),
    "rows of one form": lambda n: curated([row(i, f"{FORM} {i} a b c d {i} e f g h") for i in range(n)]),
    "rows of one form, none a duplicate": lambda n: curated(
        [row(i, f"{FORM} {i} a b c d {i} e f g h") for i in range(n)], near_duplicates=0.99
    ),
    "labels of a row": lambda n: curated(
        [row(0, "w " * n, spans=[{"start": 2 * i, "end": 2 * i + 1, "label": f"Label {i}"} for i in range(n)],
             absent=[f"No label {i}" for i in range(n)])]
    ),
    "spans over each other": lambda n: curated(
        [row(0, "w " * n, spans=[{"start": i, "end": 2 * n - i, "label": "a"} for i in range(n)])]
    ),
}  # fmt: skip


def word_pieces() -> WordPieces:
    """Pieces of a WordPiece vocabulary of letters."""
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcxw0123456789-",
        *(f"##{c}" for c in "abcxw0123456789"),
    ]
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return WordPieces(PreTrainedTokenizerFast(tokenizer_object=backend, cls_token="[CLS]", sep_token="[SEP]"))


def matched(units: list[str], n: int) -> None:
    """Every pattern of the package on strings repeated, of n characters together."""
    for unit in units:
        text = "- " + unit * (n // len(units) // len(unit)) + "\0"
        for _, pattern, how in PATTERNS:
            found = getattr(pattern, how)(text)
            deque(found, maxlen=0) if how == "finditer" else found


PATTERNS = patterns_of_package()


def attacks() -> dict[str, dict[str, Run]]:
    """Part of the package -> input -> what takes one of about the size n."""
    blank, cut = spacy.blank("en"), passage_cutter(50)
    blank.max_length = sys.maxsize

    def giants(n: int) -> None:
        pieces = word_pieces()
        for i in range(10):
            pieces([f"{i}" + "x" * n])

    def stream(n: int) -> None:
        pieces = word_pieces()
        for i in range(n):
            pieces([f"{i}x{i}", "a"])

    return {
        "alignment": ALIGNMENT,
        "replies": REPLIES,
        "rows": ROWS,
        "words": {
            "giant words": giants,
            "new words one by one": stream,
            "many words at once": lambda n: word_pieces()([f"{i}-{i}" for i in range(n)]),
        },
        "tokens": {sign: lambda n, sign=sign: make_doc(blank, (sign * n)[:n]) for sign in RUNS},
        "passages": {sign: lambda n, sign=sign: cut((sign * n)[:n]) for sign in ("! ", "!", "word. ")},
        "patterns": {
            " or ".join(units): lambda n, units=units: matched(units, n)
            for units in (UNITS[i : i + 6] for i in range(0, len(UNITS), 6))
        },
        "conversion": CONVERSION,
        "curation": CURATION,
        "spaCy alone": {sign: lambda n, sign=sign: blank.make_doc((sign * n)[:n]) for sign in ("!", "1:")},
    }


def seconds(run: Run, n: int) -> float:
    began = time.process_time()
    try:
        run(n)
    except ValueError:
        pass  # refused, as some of these inputs have to be
    return time.process_time() - began


def child(pipe: Any, run: Run, n: int | None) -> None:
    """Send seconds and MiB of a call, or, without a size, one that takes long enough."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY * 2**30, MEMORY * 2**30))
    least = min(seconds(run, SMALL) for _ in range(2))  # what an input of no size takes, such as making a tokenizer
    if n is None:
        n = 16 * SMALL
        while n < LARGEST and seconds(run, n) - least < max(ENOUGH, least / 4):
            n *= 2
        pipe.send(n)
        return
    before = resident()
    taken = max(0.0, seconds(run, n) - least)
    peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    pipe.send((taken, max(0.0, peak - before)))


def forked(run: Run, n: int | None) -> Any:
    """What `child` sends; None: it was ended, or ran out of memory."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(theirs, run, n))
    process.start()
    theirs.close()
    try:
        answer = ours.recv() if ours.poll(LIMIT) else None
    except EOFError:
        answer = None
    process.kill()
    process.join()
    return answer


def measure(run: Run, is_ours: bool) -> dict:
    """`measure_at` an n that takes long enough; once more at four times n where it seems to grow too fast."""
    seconds(run, SMALL)  # what is imported at first use stays with the parent
    n = forked(run, None)
    found = measure_at(run, n)
    return found if not is_ours or holds(found) or found["seconds"] is None else measure_at(run, 4 * n)


def measure_at(run: Run, n: int | None) -> dict:
    """Seconds and MiB of n, 2n and 4n, and the exponents; seconds are None where one did not end."""
    if n is None:
        return {"n": None, "seconds": None, "mib": None, "time": None, "memory": None}
    times, peaks = [], []
    for size in (n, 2 * n, 4 * n):
        pairs = [forked(run, size) for _ in range(2)]
        if None in pairs:
            return {"n": n, "seconds": None, "mib": None, "time": None, "memory": None}
        times.append(round(min(taken for taken, _ in pairs), 3))
        peaks.append(round(min(mib for _, mib in pairs), 1))
    return {
        "n": n,
        "seconds": times,
        "mib": peaks,
        "time": exponent(times, LEAST_SECONDS),
        "memory": exponent(peaks, LEAST_MIB),
    }


def exponent(values: list[float], least: float) -> float | None:
    """The slope of the line through the logarithms of what n, 2n and 4n take; None where it is too little to tell."""
    return round(math.log2(values[2] / max(values[0], least / 8)) / 2, 2) if values[2] >= least else None


def holds(row: dict) -> bool:
    """Whether an input was read in time, by time and memory that grow with it."""
    return row["seconds"] is not None and max(row["time"] or 0, row["memory"] or 0) <= MOST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    parser.add_argument("--parts", nargs="*", help="only these parts of the package")
    args = parser.parse_args()
    began, found = time.perf_counter(), {}
    gc.freeze()  # what the parent holds is not looked through again in each child
    kinds = [
        (part, kind, run)
        for part, runs in attacks().items()
        if not args.parts or part in args.parts
        for kind, run in runs.items()
    ]
    print(
        f"{'part':12} {'input':42} {'n':>9} {'s at n':>7} {'2n':>7} {'4n':>7} {'MiB 4n':>7} {'time':>5} {'memory':>6}"
    )
    for part, kind, run in tqdm(kinds, desc="growth", mininterval=5):
        row = measure(run, part != "spaCy alone")
        found.setdefault(part, {})[kind] = row
        times = ["ended", "", ""] if row["seconds"] is None else [f"{value:.3f}" for value in row["seconds"]]
        mib = "" if row["mib"] is None else f"{row['mib'][-1]:.0f}"
        exponents = ["-" if row[name] is None else f"{row[name]:.2f}" for name in ("time", "memory")]
        tqdm.write(
            f"{part:12} {ascii(kind)[1:-1][:42]:42} {row['n'] or '':>9} {times[0]:>7} {times[1]:>7} {times[2]:>7} {mib:>7} "
            f"{exponents[0]:>5} {exponents[1]:>6}" + ("" if part == "spaCy alone" or holds(row) else "  OPEN"),
            file=sys.stdout,
        )
    ours = {part: rows for part, rows in found.items() if part != "spaCy alone"}
    still_open = [f"{part}: {kind}" for part, rows in ours.items() for kind, row in rows.items() if not holds(row)]
    result = {"limit_seconds": LIMIT, "passes": MOST, "open": still_open, "growth": found}
    write_data_result(args.output, result | {"seconds": round(time.perf_counter() - began)}, [])
    if still_open:
        sys.exit(f"Some grow faster than their input: {still_open}")


if __name__ == "__main__":
    main()
