"""Hostile weights: damaged and crafted weight directories, each loaded in a process of its own.

    python benchmarks/serving/weights_fuzz.py --cases 5000 --seed 0 --output benchmarks/results/weights_fuzz.json

Tiny weights of each kind (directories that `distill` writes, pipelines, with a tok2vec of their own; WordPiece, BPE and
Unigram; with a head pass and without), and a copy of the packaged ones, are changed by chance: bytes, JSON values and keys, headers and values of
tensors, tokenizers, messages, configs, links, pipes and devices. A child of this process then reads them, as `weights`,
as `init_from`, by `average`, `architecture_of` or `spacy.load`. It must answer with scores that are numbers, or refuse with the
documented ValueError: within a minute and a GiB, and without a file written outside. All else is listed with its seed.
"""

import json
import os
import random
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import spacy
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.options import model_parser
from benchmarks.lib.process import resident
from benchmarks.lib.provenance import write_result
from benchmarks.lib.weight_bases import TEXT, architecture_in, copy_packaged, fresh, make_bases
from benchmarks.lib.weight_mutations import mutate
from metaie_spacy import links
from metaie_spacy.model.defaults import ENCODER
from metaie_spacy.model.weights import architecture_of
from metaie_spacy.release.assemble import average
from metaie_spacy.train.distill import start_model
from metaie_spacy.train.settings import DistillSettings

SECONDS, MIB = 60, 1024
PACKAGED_SHARE = 0.03
# How weights are refused besides being damaged: they are of another kind than asked for, or not there.
OTHER_REFUSALS = (
    "have architecture = ", "have text_sees_labels = ", "(architecture, text_sees_labels) = ", "is no metaie model: it lacks", "is no saved metaie component: it lacks",
    "is neither a spaCy pipeline nor", "has no 'metaie' component with weights", "do not fit those in", "init_from: ",
)  # fmt: skip


def read_weights(way: str, folder: Path, base: Path, encoder: str, nlp) -> str:
    """Read weights in one of the ways there are. RETURNS (str): "answered" or "read"."""
    if way == "average":
        average([base, folder], folder.parent / "mean")
        return "read"
    if way == "architecture":
        architecture_of(str(folder))
        return "read"
    if way == "init_from":
        start_model(DistillSettings(encoder=encoder, architecture=architecture_in(base), init_from=str(folder)))
        return "read"
    if way == "spacy.load":
        nlp = spacy.load(folder)
    else:
        nlp.get_pipe("metaie").weights = str(folder)
    for doc in nlp.pipe([TEXT, "", "x" * 300, "ﷺ \x00 \u2028 日本"]):
        scores = doc.spans["metaie"].attrs["scores"]
        if not (np.isfinite(scores).all() and ((scores >= 0) & (scores <= 1)).all()):
            raise AssertionError("a score is no number from 0 to 1")
        if not all(0 <= link.score <= 1 for link in links(doc)):
            raise AssertionError("a link's score is no number from 0 to 1")
    return "answered"


def is_forbidden(event: str, details: tuple) -> bool:
    """Whether code asks the network, starts a process, or opens a file to write outside of where the mean goes."""
    if event == "open":
        path, _, flags = details
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        return writes and str(path) != os.devnull and f"{os.sep}mean" not in str(path)
    return event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn"))


def child(write: int, way: str, *args) -> None:
    """Read, and tell the parent what came of it. Never returns."""
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)  # panics write to stderr
    os.setsid()  # no terminal
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(
        resource.RLIMIT_AS, (used + MIB * 2**20 * 2, resource.RLIM_INFINITY)
    )  # above what may become resident
    before, done = resident(), []
    sys.addaudithook(
        lambda event, details: done.append(f"{event} {details}"[:200]) if is_forbidden(event, details) else None
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome, text = read_weights(way, *args), ""
    except ValueError as error:
        text = str(error)
        damaged = re.search(r"The metaie model in .+ is damaged: .", text)
        known = damaged or any(part in text for part in OTHER_REFUSALS)
        outcome = "refused as damaged" if damaged else "refused" if known else "failed"
    except BaseException:
        outcome, text = "failed", traceback.format_exc()[-1500:]
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    if done:
        outcome, text = "failed", f"it did {done[:3]}"
    os.write(write, json.dumps([outcome, text[:1500], round(growth)]).encode())
    os._exit(0)


def run_case(way: str, *args) -> tuple[str, str, int]:
    """Outcome, message and growth in MiB of one case, read in a child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(write, way, *args)
    os.close(write)
    ready = select.select([read], [], [], SECONDS)[0]
    answer = os.read(read, 2**16) if ready else b""
    os.close(read)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if not answer:
        return "failed", f"it hung for {SECONDS} s" if not ready else f"the process ended with status {status}", 0
    outcome, text, growth = json.loads(answer)
    if growth > MIB:
        return "failed", f"it took {growth} MiB: {text}", growth
    return outcome, text, growth


class Bases:
    """Undamaged weights in a folder of their own, and a pipeline that waits for weights of each kind."""

    def __init__(self, folder: Path, model: str | None):
        self.folder, self.encoders = folder, make_bases(folder)
        if model:
            copy_packaged(model, folder)
            self.encoders["pipeline_packaged"] = ENCODER
        self.waiting = {
            name: fresh(encoder, architecture_in(folder / name), links=name.endswith("links"))
            for name, encoder in self.encoders.items()
        }

    def case(self, seed: str) -> dict:
        """One case from the seed: what was done to which weights, and what came of it."""
        rng = random.Random(seed)
        tiny = [name for name in self.encoders if name != "pipeline_packaged"]
        packaged = len(tiny) < len(self.encoders) and rng.random() < PACKAGED_SHARE
        name = "pipeline_packaged" if packaged else rng.choice(tiny)
        place = self.folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        (place / "outside").mkdir(parents=True)
        shutil.copytree(self.folder / name, place / "weights")
        done = mutate(rng, place / "weights")
        ways = (
            ("weights", "average", "architecture", "init_from")
            if name.startswith("bare")
            else ("weights", "spacy.load", "architecture")
        )
        way = rng.choices(ways, (7, *(1,) * (len(ways) - 1)))[0]
        if way == "spacy.load" and (done.startswith("config.cfg") or "folder link" in done):
            way = "weights"  # the config of a pipeline that is loaded as a whole is spaCy's to read
        before = contents(self.folder)
        outcome, text, growth = run_case(
            way, place / "weights", self.folder / name, self.encoders[name], self.waiting[name]
        )
        shutil.rmtree(place / "mean", ignore_errors=True)
        if contents(self.folder) != before:
            outcome, text = "failed", "a file was written"
        return {
            "seed": seed,
            "base": name,
            "done": done,
            "way": way,
            "outcome": outcome,
            "text": text,
            "growth": growth,
        }


def contents(folder: Path) -> list[tuple]:
    """Names, sizes and times of all files under a folder."""
    return sorted(
        (str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*") if not path.is_dir()
    )


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found, began = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bases = Bases(Path(folder), args.model)
        for name in bases.encoders:  # the undamaged ones answer
            outcome, text, _ = run_case(
                "weights", bases.folder / name, bases.folder / name, bases.encoders[name], bases.waiting[name]
            )
            if outcome != "answered":
                raise SystemExit(f"{name} cannot be read as it is: {text}")
        for number in tqdm(range(args.cases), desc="weights_fuzz", mininterval=5):
            found.append(bases.case(f"{args.seed}:{number}"))
    failures = [case for case in found if case["outcome"] == "failed"]
    result = {
        "cases": len(found), "seed": args.seed, "outcomes": dict(sorted(Counter(case["outcome"] for case in found).items())),
        "by_way": {way: dict(sorted(Counter(case["outcome"] for case in found if case["way"] == way).items())) for way in sorted({case["way"] for case in found})},
        "by_base": dict(sorted(Counter(case["base"] for case in found).items())), "largest_growth_mib": max(case["growth"] for case in found),
        "failures": failures, "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip
    print({key: value for key, value in result.items() if key != "failures"})
    for case in failures[:20]:
        print(case)
    write_result(args.output, result, args.model)
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
