"""Add a training run that was tried for the packaged model to the table of all, from its own folder.

    python benchmarks/quality/tries.py RUN --note "what was tried" --output benchmarks/results/tries.json

A run is a folder that `distill` wrote. What is noted: the settings, the data's checksums, steps, seconds, and F on the dev
split of the corpus. Runs that are in the result already stay there, so that no try gets lost.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import srsly

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.provenance import without_path


def describe(folder: Path, note: str) -> dict:
    settings = json.loads((folder / "settings.json").read_text(encoding="utf8"))
    last = list(srsly.read_jsonl(folder / "log.jsonl"))[-1]
    if "dev_f" not in last:
        raise ValueError(f"The run in '{folder}' is not finished: the last line of log.jsonl has no dev_f.")
    files = {
        Path(path).name: {"weight": weight, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
        for path, weight in settings.pop("corpus").items()
    }
    plain = {key: without_path(value) if isinstance(value, str) and value else value for key, value in settings.items()}
    if settings.get("init_from"):  # which of several runs
        plain["init_from"] = "/".join(Path(settings["init_from"]).parts[-2:])
    return {"note": note, "settings": plain, "corpus": files, **last}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--note", required=True, help="what was tried")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    tries = json.loads(args.output.read_text(encoding="utf8")) if args.output.exists() else []
    if args.note in {entry["note"] for entry in tries}:
        raise SystemExit(f"'{args.output}' has a try with the note {args.note!r} already. Give this one another.")
    args.output.write_text(json.dumps([*tries, describe(args.run, args.note)], indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
