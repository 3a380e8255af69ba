"""On which Pythons and with which transformers the package installs and runs: two tables.

    python benchmarks/project/installs.py --pythons python3.10 python3.11 "in-3.14 python3" \\
        --transformers 4.49.0 5.24.0 --work DIR --output benchmarks/results/installs.json

A Python is a command; with words before it, the command that runs one elsewhere, such as in a chroot that shares --work.
pip resolves what `make test` would install there. It is installed and run where a CPU build of torch is at hand: the one
that this Python has, or one that pip finds; elsewhere all but torch is installed, and what needs no torch runs.
What imports torch when spaCy starts, spacy-transformers, is left out with it. A transformers is put into a copy of the
running environment, which takes hard links. Rows that are not asked for are kept as the output file has them.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import CORPUS, ROOT
from benchmarks.lib.provenance import write_data_result

SHOWN = ("spacy", "torch", "transformers", "tokenizers", "spacy-transformers", "spacy-alignments", "thinc", "numpy")
TESTS = ("tests/train/test_batches.py", "tests/model/test_encoder.py", "tests/test_default_model.py")
MODEL_TESTS = [f"tests/model/test_{name}.py" for name in ("encoder", "pieces", "shared", "shim", "weights", "windows")]
MODEL_TESTS += ["tests/train/test_batches.py"]
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
ANSWERS = """
import json, sys, spacy
texts = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf8")][::60][:20]
nlp = spacy.load("en_metaie_sm", config={"components": {"metaie": {"model": {"compute_dtype": "float32"}}}})
nlp.get_pipe("metaie").labels = ["person", "organization", "location", "date", "event", "product", "amount", "reason"]
docs = list(nlp.pipe(texts))
groups = [doc.spans["metaie"] for doc in docs]
print(json.dumps([{f"{s.start} {s.end} {s.label_}": float(x) for s, x in zip(g, g.attrs["scores"])} for g in groups]))
"""
PARTS = {"pythons": "python", "transformers": "transformers"}  # table -> the column that names its rows
RULES = '{"label": "person", "pattern": "Ada Lovelace"}\n'


class Failed(Exception):
    """A step that did not succeed, with the last line that it wrote."""


def run(command: list, cwd: Path, **env: str) -> str:
    """The standard output of a command. RAISES (Failed): its exit code is not 0."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"} | env
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line or "Error" in line]
        raise Failed(without_paths((errors or lines or ["no message"])[-1])[:200])
    return done.stdout


def without_paths(text: str) -> str:
    return re.sub(r"(\w+://|/)[^\s'\"]*/", "", text)


def tests(python: list, files: tuple, cwd: Path) -> dict:
    """How many tests passed, failed and were skipped, and the names of those that failed."""
    command = [*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *files]
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    out = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True).stdout
    counts = {what: sum(map(int, re.findall(rf"(\d+) {what}", out[-200:]))) for what in ("passed", "failed", "skipped")}
    counts["failed"] += sum(map(int, re.findall(r"(\d+) error", out[-200:])))
    return counts | {"not_passed": re.findall(r"^(?:FAILED|ERROR) (\S+)", out, re.MULTILINE)}


def clean_copy(work: Path) -> Path:
    """What git has of this repository, where other Pythons see it."""
    target = work / "repository"
    if not target.exists():
        run(["git", "clone", "--quiet", ROOT, target], work)
    return target


def wheel_of(repository: Path, work: Path) -> Path:
    shutil.rmtree(work / "dist", ignore_errors=True)
    run([sys.executable, *PIP, "wheel", "--no-deps", "-w", work / "dist", repository], work)
    return next((work / "dist").glob("*.whl"))


def stub_of_torch(version: str, work: Path) -> Path:
    """A folder with a wheel that pip takes for torch: resolving downloads what it finds, and torch has gigabytes of CUDA."""
    name = f"torch-{version}+zstub"  # above any other build of this version
    (work / "stub").mkdir(exist_ok=True)
    with zipfile.ZipFile(work / "stub" / f"{name}-py3-none-any.whl", "w") as wheel:
        info = f"{name}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}+zstub\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: stub\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return work / "stub"


def builds_of_torch(python: list, version: str, work: Path) -> list[str]:
    """The builds of a version of torch that there are for a Python. RAISES (Failed): there is none."""
    found = run([*python, "-m", "pip", "index", "versions", "torch"], work).partition("Available versions:")[2]
    builds = [one for one in found.replace(",", " ").split() if one.partition("+")[0] == version]
    if not builds:
        raise Failed(f"there is no torch {version} for this Python")
    return builds


def resolved(python: list, repository: Path, wheel: Path, work: Path) -> dict[str, str]:
    """Name -> version of all that pip would install for `make test`, but what torch itself needs."""
    constraints, report = repository / "constraints.txt", work / "report.json"
    (version,) = re.findall(r"^torch==(\S+)", constraints.read_text(encoding="utf8"), re.MULTILINE)
    builds = builds_of_torch(python, version, work)
    what = ["torch", f"{wheel}[test]", *sorted((repository / "packages").glob("*.whl"))]
    options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--report", report, "-c", constraints]
    run([*python, *PIP, "install", *options, "--find-links", stub_of_torch(version, work), *what], work)
    parts = [part["metadata"] for part in json.loads(report.read_text(encoding="utf8"))["install"]]
    versions = {part["name"].lower().replace("_", "-"): part["version"] for part in parts}
    if not versions["torch"].endswith("+zstub"):
        raise Failed(f"pip takes torch {versions['torch']}")
    return versions | {"torch": max(builds, key=lambda one: one.endswith("+cpu"))}


def on_python(command: str, repository: Path, wheel: Path, work: Path) -> dict:
    """A row of the first table."""
    *inside, base = shlex.split(command)
    base = [*inside, base]
    ask = "import platform; print(platform.python_version())"
    row = {"python": run([*base, "-c", ask], work).strip()}
    folder = work / f"python-{row['python']}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        own = run([*base, "-c", "import torch; print(torch.__version__)"], work).strip()
    except Failed:
        own = None
    try:
        run([*base, "-m", "venv", *(["--system-site-packages"] if own else []), folder], work)
        python = [*inside, folder / "bin" / "python"]
        run([*python, *PIP, "install", "--upgrade", "pip"], work)
        versions = resolved(python, repository, wheel, work)
        row |= {"resolved": {name: versions.get(name, "none") for name in SHOWN}, "result": "resolved"}
        torch = own or (versions["torch"] if versions["torch"].endswith("+cpu") else None)
        left_out = ["metaie-spacy", "en-metaie-sm", "torch"]
        left_out += [] if torch else ["transformers", "spacy-transformers"]
        names = [f"{name}=={versions[name]}" for name in versions if not name.startswith(tuple(left_out))]
        models = sorted((repository / "packages").glob("*.whl"))
        run([*python, *PIP, "install", "--no-deps", "--only-binary=:all:", *names, wheel, *models], work)
        if torch and not own:
            run([*python, *PIP, "install", f"torch=={torch}"], work)  # a CPU build, with what it needs
        row |= {"torch_that_ran": torch or "none", "result": "ran" if torch else "ran without torch"}
        row |= used(python, repository, folder, with_torch=torch is not None)
    except Failed as error:
        row |= {"result": f"failed: {error}"}
    return row


def used(python: list, repository: Path, folder: Path, *, with_torch: bool) -> dict:
    """Use the installed package: by rules, which need no torch, and with the model."""
    place = folder / "use"
    place.mkdir()
    (place / "rules.jsonl").write_text(RULES, encoding="utf8")
    sample = shutil.copy(repository / "assets" / "sample.txt", place / "texts.txt")
    run(
        [*python, "-m", "metaie_spacy", "annotate", sample, place / "rows.jsonl", "--rules", place / "rules.jsonl"],
        place,
    )
    run(
        [*python, "-m", "metaie_spacy", "curate", place / "rows.jsonl", "--output", place / "data", "--keep-empty"],
        place,
    )
    if not with_torch:
        return {"commands": ["annotate --rules", "curate"]}
    run([*python, "-m", "metaie_spacy", "extract", sample, "--labels", "person, city"], place)
    return {"commands": ["annotate --rules", "curate", "extract"], "tests": tests(python, TESTS, repository)}


def on_transformers(version: str, repository: Path, wheel: Path, work: Path, expected: list[dict] | None) -> dict:
    """A row of the second table."""
    folder = work / f"transformers-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sys.prefix, folder, symlinks=True, copy_function=os.link)
    python = [folder / "bin" / "python"]
    row = {"transformers": version, "spacy_transformers": "1.4.0"}
    try:
        run([*python, *PIP, "uninstall", "-y", "metaie-spacy"], work)
        if int(version.split(".")[0]) > 4:
            run([*python, *PIP, "uninstall", "-y", "spacy-transformers"], work)
            row["spacy_transformers"] = "none"
        run([*python, *PIP, "install", "--only-binary=:all:", f"transformers=={version}"], work)
        run([*python, *PIP, "install", "--no-deps", wheel], work)
        ask = "from importlib.metadata import version as v; print(v('tokenizers'), v('huggingface_hub'))"
        row["tokenizers"], row["huggingface_hub"] = run([*python, "-c", ask], work).split()
        found = json.loads(run([*python, "-c", ANSWERS, repository / CORPUS.relative_to(ROOT)], work))
        if expected is not None:
            same = [one.keys() for one in found] == [one.keys() for one in expected]
            pairs = [(one[key], other[key]) for one, other in zip(found, expected) for key in one.keys() & other.keys()]
            row |= {"same_spans": same, "spans": len(pairs), "largest_change": max(abs(a - b) for a, b in pairs)}
        row["tests"] = tests(python, MODEL_TESTS, repository)
        row["result"] = "ran" if not row["tests"]["not_passed"] and row["same_spans"] else "differs"
    except Failed as error:
        row["result"] = f"failed: {error}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="*", default=[], help="commands")
    parser.add_argument("--transformers", nargs="*", default=[], help="versions")
    parser.add_argument("--work", type=Path, required=True, help="takes environments, some 2 GB each Python")
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    repository = clean_copy(work)
    wheel = wheel_of(repository, work)
    here = json.loads(run([sys.executable, "-c", ANSWERS, CORPUS], work)) if args.transformers else None
    with ThreadPoolExecutor(2) as pool:
        for row in (on_python(command, repository, wheel, work) for command in args.pythons):
            keep(args.output, "pythons", row)
        versions = args.transformers
        for row in pool.map(lambda version: on_transformers(version, repository, wheel, work, here), versions):
            keep(args.output, "transformers", row)


def keep(output: Path | None, table: str, row: dict) -> None:
    """Put a row into the output file, in place of an earlier one of the same version."""
    print(json.dumps(row), flush=True)
    result = json.loads(output.read_text(encoding="utf8")) if output and output.exists() else {}
    rows = {part: {one[key]: one for one in result.get(part, [])} for part, key in PARTS.items()}
    rows[table][row[PARTS[table]]] = row
    ordered = {name: sorted(part.values(), key=lambda one: place(one[PARTS[name]])) for name, part in rows.items()}
    write_data_result(output, ordered, [CORPUS], ("metaie-spacy", "spacy", "torch", "transformers"))


def place(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    main()
