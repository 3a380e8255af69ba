"""A million texts from files to shards on one machine, killed on the way: rows in, rows out, and memory by time.

    python benchmarks/serving/million.py --folder FOLDER --output benchmarks/results/million.json

Writes packed JSONL files of texts (sentences of assets/corpus.jsonl, CC0, in which words are swapped for new ones) into
FOLDER/in, and runs `python -m metaie_spacy extract` over them into FOLDER/out. Spread over the run, the command is killed
(kill -9: by turns it alone, with all its processes, or one of these) and, if it ended by that, started again with the same
arguments. At the end all shards are read: each id must be there once and in its place, with the words that were written.
The call may be ended and made again: what is done stays, and the kills, memory and seconds of all calls are told. Linux only.
"""

import argparse
import gzip
import hashlib
import json
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any, Iterator

import spacy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.labels import FEW
from benchmarks.lib.options import model_parser
from benchmarks.lib.paths import ROOT
from benchmarks.lib.process import kill, resident_of_all, with_children
from benchmarks.lib.provenance import write_result
from benchmarks.lib.texts import sentences

LOG, SEEN = "extract.log", "seen.json"  # in the folder
KINDS = ("the command", "the command and its processes", "one of its processes")


def write_texts(folder: Path, number: int, files: int) -> str:
    """Files of texts, if they are not there. RETURNS (str): sha256 of all ids and texts, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    stream, digest = sentences(1), hashlib.sha256()
    for index in range(files):
        path = folder / f"{index:03d}.jsonl.gz"
        size = number // files + (index < number % files)
        rows = [{"id": f"{index}-{i}", "text": text} for i, text in enumerate(islice(stream, size))]
        for row in rows:
            digest.update(f"{row['id']}\n{row['text']}\n".encode())
        if not path.exists():
            partial = path.with_suffix(".partial")
            with gzip.open(partial, "wt", encoding="utf8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            partial.rename(path)
    return digest.hexdigest()


def rows_in(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all shards, in order."""
    for shard in sorted(folder.glob("part-*.jsonl")):
        with shard.open(encoding="utf8") as lines:
            yield from map(json.loads, lines)


def rows_done(folder: Path, known: dict[str, int]) -> int:
    """Rows of the shards that are there; known: counts of those that were read before."""
    for shard in folder.glob("part-*.jsonl"):
        if shard.name not in known:
            known[shard.name] = sum(1 for _ in shard.open("rb"))
    return sum(known.values())


def with_dtype(args: argparse.Namespace) -> str:
    """The model as a folder whose config asks for --compute-dtype; without it the model as it is."""
    folder = args.folder / "model"
    if args.compute_dtype and not folder.exists():
        config = {"components": {"metaie": {"model": {"compute_dtype": args.compute_dtype}}}}
        partial = folder.with_suffix(".partial")
        spacy.load(args.model, config=config).to_disk(partial)
        partial.rename(folder)
    return str(folder) if args.compute_dtype else args.model


def start(args: argparse.Namespace) -> subprocess.Popen:
    command = [sys.executable, "-m", "metaie_spacy", "extract", f"{args.folder / 'in'}/*.jsonl.gz"]
    command += ["--output", f"{args.folder / 'out'}/", "--labels", ", ".join(FEW), "--model", with_dtype(args)]
    command += ["--shard-rows", str(args.shard_rows)] + (["--workers", str(args.workers)] if args.workers else [])
    with (args.folder / LOG).open("ab") as log:  # nobody reads a pipe meanwhile, and a full one would stop the command
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


def strike(process: subprocess.Popen, kind: str) -> None:
    if kind == KINDS[2]:
        kill(max(with_children(process.pid)))
    else:
        kill(process.pid, children=kind == KINDS[1])
        process.wait()


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Until the command ends well; what earlier calls of this script saw is in FOLDER and counts too.

    RETURNS (dict): calls, kills, curve, seconds.
    RAISES (RuntimeError): the command ended with an error.
    """
    seen, known = args.folder / SEEN, {}
    state = {"calls": 0, "kills": [], "seconds": 0.0, "curve": []}
    if seen.exists():
        state = json.loads(seen.read_text(encoding="utf8"))
    state["calls"] += 1
    marks = [args.texts * (i + 1) // (args.kills + 1) for i in range(args.kills)]
    earlier, began = state["seconds"], time.monotonic()
    process = start(args)
    while process.poll() is None:
        time.sleep(args.every)
        done, state["seconds"] = rows_done(args.folder / "out", known), earlier + time.monotonic() - began
        after, kills = round(state["seconds"], 1), state["kills"]
        state["curve"].append([after, round(resident_of_all(process.pid), 1), done])
        if len(kills) < len(marks) and done >= marks[len(kills)] and len(with_children(process.pid)) > 1:
            kind = KINDS[len(kills) % len(KINDS)]
            strike(process, kind)
            kills.append({"after_s": after, "rows": done, "what": kind})
            print(f"{after:.0f} s: {kind} killed at {done} rows", flush=True)
            if process.poll() is not None:
                process = start(args)
        partial = seen.with_suffix(".partial")
        partial.write_text(json.dumps(state), encoding="utf8")
        partial.rename(seen)
    if process.returncode not in (0,):
        raise RuntimeError((args.folder / LOG).read_bytes().decode("utf8", "replace")[-2000:])
    return state


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="takes the texts and the shards")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0, help="0: the default of extract")
    parser.add_argument("--shard-rows", type=int, default=5000)
    parser.add_argument(
        "--compute-dtype", default="", help="bfloat16 or int8, where the hardware suits them; else that of the model"
    )
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two readings of memory")
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    written = write_texts(args.folder / "in", args.texts, args.files)
    result = run(args)
    digest, rows, errors, spans, ids = hashlib.sha256(), 0, 0, 0, set()
    for row in rows_in(args.folder / "out"):
        digest.update(f"{row['id']}\n{row['text']}\n".encode())
        rows, errors, spans = rows + 1, errors + ("error" in row), spans + len(row["spans"] or ())
        ids.add(hash(row["id"]))
    curve = result.pop("curve")
    memory = [mib for _, mib, _ in curve] or [0.0]
    tenth = max(1, len(memory) // 10)
    result = {
        "texts": args.texts, "files": args.files, "labels": len(FEW), "compute_dtype": args.compute_dtype or "as in the model",
        "rows_in": args.texts, "rows_out": rows,
        "ids_out": len(ids), "same_ids_and_texts_in_order": digest.hexdigest() == written, "errors": errors, "spans": spans,
        **result, "texts_per_s": rows / result["seconds"],
        "peak_mib": {"first tenth": max(memory[:tenth]), "last tenth": max(memory[-tenth:]), "all": max(memory)},
        "seconds_mib_rows": curve[:: max(1, len(curve) // 500)],
        "summary": {**json.loads((args.folder / "out" / "_summary.json").read_text(encoding="utf8")), "model": args.model},
    }  # fmt: skip
    print({key: value for key, value in result.items() if key != "seconds_mib_rows"})
    write_result(args.output, result, args.model)


if __name__ == "__main__":
    main()
