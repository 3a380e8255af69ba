"""The project from its start to a wheel that another environment uses, without a network but for a package index.

    python benchmarks/project/project.py --output benchmarks/results/project.json

Run it in a fresh clone: weasel skips stages whose files have not changed. The untrained head, for comparison, is the same
encoder with the same head before training, at the threshold that suits it best on the test split itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import spacy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import CORPUS, ROOT
from benchmarks.lib.provenance import write_data_result
from metaie_spacy.data.corpus import make_corpus
from metaie_spacy.measure.evaluate import evaluate

TRAINING = ROOT / "training"
THRESHOLDS = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.2, 0.5)
USE = """
import spacy
nlp = spacy.load("en_metaie_own")
nlp.get_pipe("metaie").labels = ["person", "city"]
doc = nlp("Ada Lovelace met Charles Babbage in London.")
print([(span.text, span.label_) for span in doc.spans["metaie"]])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--pip-args", default="", help="for the other environment, as PIP_ARGS of the Makefile")
    args = parser.parse_args()
    is_fresh, began = not TRAINING.exists(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "weasel", "run", "all", str(ROOT)], check=True, cwd=ROOT)
    minutes = round((time.perf_counter() - began) / 60, 1) if is_fresh else None  # else weasel has skipped stages
    scores, calibration = (json.loads((TRAINING / f"{name}.json").read_text()) for name in ("scores", "calibration"))
    run = json.loads((TRAINING / "run" / "log.jsonl").read_text().splitlines()[-1])
    wheel = next((TRAINING / "en_metaie_own-0.1.0" / "dist").glob("*.whl"))
    result = {
        "minutes": minutes, "training": {key: run[key] for key in ("steps", "seconds", "loss", "dev_f")},
        "test": {key: scores[key] for key in ("p", "r", "f", "texts", "spans")}, "untrained_head": untrained(),
        "calibration": {when: {key: calibration[when][key] for key in ("ece", "f", "threshold")} for when in ("before", "after")},
        "wheel_mb": round(wheel.stat().st_size / 1e6, 1), "used_in_another_environment": use_elsewhere(wheel, args.pip_args.split()),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    write_data_result(args.output, result, [CORPUS], ("metaie-spacy", "spacy", "torch", "transformers"))


def untrained() -> dict:
    """Test scores before any training, at the best of several thresholds."""
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(
        "metaie",
        config={
            "weights": None,
            "model": {"@architectures": "metaie-spacy.LabelToSpan.v1", "name": str(TRAINING / "encoder")},
        },
    )
    nlp.initialize(lambda: list(make_corpus(TRAINING / "data" / "train.jsonl", limit=20)(nlp)))
    found = []
    for threshold in THRESHOLDS:
        pipe.threshold = threshold
        found.append((evaluate(nlp, TRAINING / "data" / "test.jsonl")["f"], threshold))
    best = max(found)
    return {"f": best[0], "threshold": best[1]}


def use_elsewhere(wheel: Path, pip_args: list[str]) -> str:
    """Install this package and the wheel into a new virtual environment, and extract there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *pip_args,
            "-c",
            str(ROOT / "constraints.txt"),
        ]
        for what in (["torch"], [str(ROOT)], [str(wheel)]):
            subprocess.run([*pip, *what], check=True)
        return subprocess.run(
            [str(python), "-c", USE], check=True, cwd=folder, capture_output=True, text=True
        ).stdout.strip()


if __name__ == "__main__":
    main()
