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


def command_of(result: dict) -> str:
    """The command of a result file, its scripts and YAML files by their places of today.

    The file itself keeps the command that was measured, and a script may have moved since.
    """
    return " ".join(place_of(word) for word in result["command"].split(" "))


def place_of(word: str) -> str:
    """A script or YAML file of the benchmarks by its place in the repository; any other word as it is."""
    name = Path(word).name
    if not name.endswith((".py", ".yml")) or (ROOT / word).exists():
        return word
    found = list((ROOT / "benchmarks").rglob(name))
    return found[0].relative_to(ROOT).as_posix() if len(found) == 1 else word
