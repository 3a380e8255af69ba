"""The benchmark: models x datasets x {zero-shot, 5-shot} x seeds, one JSON file a cell.

    python benchmarks/quality/quality.py benchmarks/quality/cells.yml --data DIR [--starts DIR] [--encoder NAME] [--group zero_shot]

Exact match on character spans, micro, with 95 % bootstrap intervals over texts. A cell that is there already, of the same
weights, data and settings, is not run again: an interrupted run goes on. DIR holds one folder a dataset, see ie_data.py;
the cells are chosen by the YAML file. `python benchmarks/report.py` makes tables and plots of them.

Zero-shot: all labels of a dataset are asked of every text, lower-cased, flat, at the model's own threshold.
5-shot: `fewshot.adapt` on the few-shot file, without rehearsal, so that nothing but the starting point differs, and all
that was learned is kept unless the group has a "blend". The learning rate and the steps are those that were best on dev for this model and kind of task ("choose" in the YAML file).
Relations: "HEAD relation" is asked of every gold head, the answers are the tails; spans may overlap.
"""

import argparse
import hashlib
import json
import os
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Iterator

import spacy
import srsly
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.ie_data import Dataset, read_dataset
from benchmarks.lib.paths import RESULTS
from benchmarks.lib.provenance import run_facts, wheel_checksums
from metaie_spacy.fewshot import Settings, adapt, tokens_of
from metaie_spacy.measure.evaluate import evaluate_rows
from metaie_spacy.measure.scores import scores_of
from metaie_spacy.model.weights import architecture_of, find_source

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


class Model:
    """A starting point: weights, or the bare encoder under a fresh head.

    spec (dict): of the YAML file: {"weights": package or folder} or {"head": "metaie" | "plain"}.
    """

    def __init__(self, spec: dict, starts: Path | None, encoder: str, task: str, seed: int):
        self.encoder, self.seed = encoder, seed
        self.weights = source_of(spec["weights"], starts) if "weights" in spec else None
        self.is_tagger = spec.get("head") == "plain" and task != "RE"
        self.head = "CrossEncoder" if spec.get("head") == "plain" else "LabelToSpan"
        self.nlp = spacy.blank("en") if self.is_tagger else self.pipeline()

    def pipeline(self) -> spacy.Language:
        if self.weights is not None and (self.weights / "meta.json").exists():
            return spacy.load(self.weights, config={"components": {"metaie": {"model": {"compute_dtype": "float32"}}}})
        import torch

        torch.manual_seed(self.seed)  # of a fresh head
        nlp = spacy.blank("en")
        # The format that "auto" takes is found by a race, which may end otherwise on a busy machine.
        block = (
            architecture_of(str(self.weights))
            if self.weights is not None
            else {"@architectures": f"metaie-spacy.{self.head}.v1"}
        )
        config = block | {"name": self.encoder, "compute_dtype": "float32"}
        nlp.add_pipe("metaie", config={"weights": self.weights and str(self.weights), "model": config})
        if self.weights is None:
            nlp.initialize()
        return nlp

    def run(
        self, data: Dataset, settings: Settings | None, steps: list[int], at: Callable[[int, Callable], None]
    ) -> None:
        """Adapt, unless settings are None, and score the test rows after each of some steps.

        at (Callable): takes a step's number (0: no adaptation) and a function that scores.
        """
        score = partial(self.tag if self.is_tagger else self.extract, data)
        if settings is None:
            at(0, score)
        elif self.is_tagger:
            from benchmarks.lib.plain_head import PlainTagger

            self.tagger = PlainTagger(self.encoder, list(data.labels), self.seed)
            self.tagger.fit(
                tokens_of(self.nlp, flat_rows(data.train), "the examples"),
                settings,
                steps,
                lambda step: at(step, score),
            )
        else:
            adapt(
                self.nlp, data.train, data.labels, settings=settings, open_labels=data.labels is None, progress=False,
                on_step=lambda step: at(step, score), at_steps=steps,
            )  # fmt: skip

    def extract(self, data: Dataset) -> dict:
        self.nlp.get_pipe("metaie").flat = data.labels is not None
        result = evaluate_rows(self.nlp, data.test, labels=data.labels)
        if data.labels is None:  # its questions quote the texts, which are not ours to publish
            del result["per_label"]
        return result

    def tag(self, data: Dataset) -> dict:
        items = tokens_of(self.nlp, data.test, "the test rows")
        found = []
        for row, spans in zip(data.test, self.tagger.predict(items)):
            doc = self.nlp.make_doc(row["text"])
            found.append({(doc[a].idx, doc[b - 1].idx + len(doc[b - 1]), label) for a, b, label in spans})
        return scores_of(
            [
                {(s["start"], s["end"], s["label"]) for s in row["spans"] if s["label"] in data.labels}
                for row in data.test
            ],
            found,
        )


def flat_rows(rows: list[dict]) -> list[dict]:
    """A plain head holds one tag a token: of overlapping spans the longest is learned."""
    kept = []
    for row in rows:
        spans, taken = [], set()
        for span in sorted(row["spans"], key=lambda s: s["start"] - s["end"]):
            places = set(range(span["start"], span["end"]))
            if not places & taken:
                spans.append(span)
                taken |= places
        kept.append(row | {"spans": spans})
    return kept


def source_of(weights: str, starts: Path | None) -> Path:
    """Where weights are: under `starts`, a package or directory, or in the cache of the Hugging Face hub."""
    if starts and (starts / weights).is_dir():
        return starts / weights
    try:
        return find_source(weights)
    except ValueError:
        if "/" not in weights:
            raise
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(weights, allow_patterns=["*.json", "*.safetensors", "*.txt"]))


def run_cell(cell: dict, options: dict) -> dict:
    """One cell: its settings, and what was found. Runs in a process of its own."""
    import torch

    torch.set_num_threads(options["threads"])
    starts = Path(options["starts"]) if options["starts"] else None
    data = read_dataset(Path(options["data"]) / cell["dataset"], cell["split"], cell["limit"])
    model = Model(cell["spec"], starts, options["encoder"], data.task, cell["seed"])
    settings = (
        Settings(
            steps=max(cell["steps"]),
            lr=cell["lr"],
            rehearsal=0.0,
            blend=cell.get("blend", 1.0),
            seed=cell["seed"],
        )
        if cell["shots"]
        else None
    )
    began, scored, by_steps = time.perf_counter(), 0.0, {}

    def at(step: int, score: Callable[[], dict]) -> None:
        nonlocal scored
        start = time.perf_counter()
        by_steps[step] = score()
        scored += time.perf_counter() - start

    model.run(data, settings, cell["steps"], at)
    seconds = time.perf_counter() - began
    sums = {
        "sha256": data.sha256, "unseen_labels": data.unseen, "texts": len(data.test), "labels_asked": data.labels and len(data.labels),
        "threads": options["threads"], "workers": options["workers"], "adapt_seconds": round(seconds - scored, 1), "score_seconds": round(scored, 1),
    }  # fmt: skip
    if len(cell["steps"]) > 1:
        return cell | sums | {"f_by_steps": {str(step): result["f"] for step, result in by_steps.items()}}
    result = by_steps[cell["steps"][0]]
    return (
        cell
        | sums
        | {key: value for key, value in result.items() if key not in ("seconds", "texts")}
        | {"counts": pack(result["counts"])}
    )


def pack(counts: list[list[int]]) -> dict[str, str]:
    """Counts of every text in short."""
    return {name: " ".join(str(row[i]) for row in counts) for i, name in enumerate(("tp", "fp", "fn"))}


def cells_of(plan: dict, group: str, cells: Path) -> Iterator[dict]:
    """The cells of a group; "choose" are those that the others' settings are chosen by."""
    specs = plan["models"]
    if group == "choose":
        for model in plan["choose"]["models"]:
            for kind, dataset in plan["choose"]["datasets"].items():
                for lr in plan["choose"]["lr"]:
                    yield {"group": group, "model": model, "spec": specs[model], "dataset": dataset, "split": "dev", "kind": kind, "shots": 5,
                           "seed": 0, "lr": lr, "steps": plan["choose"]["steps"], "limit": plan["choose"]["limit"]}  # fmt: skip
        return
    block = plan["groups"][group]
    for seed in block.get("seeds", [0]):
        for model in block["models"]:
            for dataset in block["datasets"]:
                cell = {"group": group, "model": model, "spec": specs[model], "dataset": dataset, "split": "test", "shots": block["shots"],
                        "seed": seed, "lr": None, "steps": [0], "limit": block.get("limit", 0)}  # fmt: skip
                cell |= {"blend": block["blend"]} if "blend" in block else {}
                yield cell | (chosen(plan, model, dataset, cells) if block["shots"] else {})


def chosen(plan: dict, model: str, dataset: str, cells: Path) -> dict:
    """Learning rate and steps with the best F on dev, of the model or of the best of its rivals.

    RAISES (ValueError): a cell of the group "choose" is missing.
    """
    kind = "relations" if dataset in plan.get("relations", ["ade", "conll2004"]) else "spans"
    rivals = plan["choose"].get("rivals", {}).get(model, [model])
    wanted = [cell for cell in cells_of(plan, "choose", cells) if cell["model"] in rivals and cell["kind"] == kind]
    missing = [name_of(cell) for cell in wanted if not (cells / name_of(cell)).exists()]
    if missing or not wanted:
        raise ValueError(
            f"Nothing was chosen for {' or '.join(rivals)} yet ({', '.join(missing)}): run --group choose first."
        )
    results = [srsly.read_json(cells / name_of(cell)) for cell in wanted]
    tried = [
        (f, -int(steps), -result["lr"], result["spec"])
        for result in results
        for steps, f in result["f_by_steps"].items()
    ]
    _, steps, lr, spec = max(tried, key=lambda entry: entry[:3])
    return {"lr": -lr, "steps": [-steps], "spec": spec}


def name_of(cell: dict) -> str:
    last = f"lr{cell['lr']:g}" if cell["group"] == "choose" else f"seed{cell['seed']}"
    return (
        "__".join(
            ["choose" if cell["group"] == "choose" else f"{cell['shots']}shot", cell["model"], cell["dataset"], last]
        )
        + ".json"
    )


def fingerprint(cell: dict, options: dict) -> str:
    """What a cell stands on: its settings, all files of its weights, its data."""
    settings = {key: cell[key] for key in cell if key != "group"} | asdict(Settings())
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    spec = cell["spec"]
    source = source_of(
        spec["weights"] if "weights" in spec else options["encoder"], options["starts"] and Path(options["starts"])
    )
    for folder, pattern in ((source, "**/*"), (Path(options["data"]) / cell["dataset"], "*.json*")):
        digest.update(contents(folder, pattern).encode())
    return digest.hexdigest()


@cache
def contents(folder: Path, pattern: str) -> str:
    """Checksum of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.glob(pattern) if path.is_file()):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def pending(cells: list[dict], options: dict, output: Path) -> list[tuple[dict, Path, str]]:
    """The cells that are not there yet."""
    found = []
    for cell in cells:
        path, key = output / name_of(cell), fingerprint(cell, options)
        if not path.exists() or srsly.read_json(path).get("fingerprint") != key:
            found.append((cell, path, key))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path, help="YAML file of the cells")
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--starts", type=Path, help="folder of the starting points that starts.py wrote")
    parser.add_argument(
        "--encoder", default=DEFAULT_ENCODER, help="Hugging Face name or directory, of the models without weights"
    )
    parser.add_argument("--group", action="append", help="a group of the plan; without it all, after 'choose'")
    parser.add_argument("--workers", type=int, default=1, help="cells that run at the same time")
    parser.add_argument("--threads", type=int, default=0, help="of each worker; 0: they share the cores")
    parser.add_argument("--output", type=Path, default=RESULTS / "cells")
    args = parser.parse_args()
    plan = yaml.safe_load(args.plan.read_text(encoding="utf8"))
    args.output.mkdir(parents=True, exist_ok=True)
    threads = args.threads or max(1, (os.cpu_count() or 1) // args.workers)
    options = {
        "data": str(args.data), "starts": args.starts and str(args.starts), "encoder": args.encoder, "threads": threads, "workers": args.workers,
    }  # fmt: skip
    failed = 0
    facts = run_facts(("metaie-spacy", "spacy", "torch", "transformers")) | {"wheels": wheel_checksums()}
    for group in args.group or ["choose", *plan["groups"]]:
        todo = pending(list(cells_of(plan, group, args.output)), options, args.output)
        print(f"{group}: {len(todo)} cells to run", flush=True)
        with ProcessPoolExecutor(
            args.workers, get_context("spawn"), initializer=die_with, initargs=(os.getpid(),)
        ) as pool:
            running = {pool.submit(run_cell, cell, options): (path, key) for cell, path, key in todo}
            try:
                for number, future in enumerate(as_completed(running), 1):
                    path, key = running[future]
                    failed += not keep(future, path, {"fingerprint": key} | facts, f"{number}/{len(todo)}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if failed:
        sys.exit(f"{failed} cells failed. The same command runs them again.")


def keep(future: Future, path: Path, facts: dict, number: str) -> bool:
    """Write what a cell found. RETURNS (bool): whether it found something; if not, the reason is printed."""
    try:
        result = future.result() | facts
    except Exception as error:
        print(f"{number} {path.stem} FAILED: {error!r}", flush=True)
        return False
    path.with_suffix(".new").write_text(json.dumps(result) + "\n", encoding="utf8")
    os.replace(path.with_suffix(".new"), path)
    print(f"{number} {path.stem}  {summary(result)}", flush=True)
    return True


def die_with(parent: int) -> None:
    """In a worker: end when the process that started it is gone, however it ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def summary(result: dict[str, Any]) -> str:
    if "f_by_steps" in result:
        return " ".join(f"{steps}: {f:.1%}" for steps, f in result["f_by_steps"].items())
    return f"P {result['p']:.1%} R {result['r']:.1%} F {result['f']:.1%} [{result['f_low']:.1%}, {result['f_high']:.1%}]  {result['adapt_seconds']:.0f} s"


if __name__ == "__main__":
    main()
