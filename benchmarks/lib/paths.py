"""Where things are in this repository."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
CORPUS = ROOT / "assets" / "corpus.jsonl"


def in_tests(name: str) -> Path:
    """A file of the tests, in whichever of their folders it is. RAISES (FileNotFoundError): there is none."""
    for path in sorted((ROOT / "tests").rglob(name)):
        return path
    raise FileNotFoundError(f"The tests have no file '{name}'.")
