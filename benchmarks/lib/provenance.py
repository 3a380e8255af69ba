"""What a result file says about how it was made."""

import hashlib
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Sequence

from benchmarks.lib.paths import ROOT
from metaie_spacy.model.weights import find_source


def write_result(path: Path | None, result: dict, model: str, data: Sequence[Path] = ()) -> None:
    """Write a result as JSON, with its provenance and the checksums of the data; path None: nowhere."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        sums = {"data_sha256": checksums(data)} if data else {}
        path.write_text(json.dumps(result | sums | provenance(model), indent=1) + "\n", encoding="utf8")


def write_data_result(
    path: Path | None, result: dict, data: Sequence[Path], packages: tuple[str, ...] = ("metaie-spacy",)
) -> None:
    """The same for results that no model has part in: with the checksums of the data."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(result | {"data_sha256": checksums(data)} | run_facts(packages), indent=1) + "\n",
            encoding="utf8",
        )


def checksums(files: Sequence[Path]) -> dict[str, str]:
    """sha256 by name; two files of one name go by their folders too."""
    names = [file.name for file in files]
    return {
        name if names.count(name) == 1 else f"{file.parent.name}/{name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in zip(names, files)
    }  # fmt: skip


def provenance(model: str) -> dict:
    """Command, commit, hash of the model's weights, and versions."""
    source = find_source(model)
    weights = source / "metaie" / "model"
    return run_facts(("metaie-spacy", "spacy", "torch", "transformers")) | {
        "model": source.name,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else None,
        "wheels": wheel_checksums(),
    }


def wheel_checksums() -> dict[str, str]:
    """sha256 of the packaged models, by the names of their wheels."""
    wheels = sorted(ROOT.glob("packages/*.whl"))
    return {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}


def run_facts(packages: tuple[str, ...]) -> dict:
    """Command, commit and versions."""
    return {
        "command": " ".join(["python", *(without_path(part) for part in sys.argv)]),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
    }


def without_path(argument: str) -> str:
    """A path that only this machine has, such as the data folder, by its last part."""
    path = Path(argument)
    return path.name if path.is_absolute() or argument.startswith("..") else argument
