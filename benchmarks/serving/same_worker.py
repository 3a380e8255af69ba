"""What one installation answers; same.py runs this in two interpreters, with nothing of this repository on their paths.

    python -I benchmarks/serving/same_worker.py PASSES ANSWERS

PASSES: JSON, {"model", "passes": {name: {"flat", "pairs": [[text, labels]]}}}. ANSWERS, written: the spans of each text
as [start, end, label, score], by pass, and what is installed. Public names only: any layout of the package will do.
"""

import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path


def answers(request: dict) -> dict:
    """The spans of every text in every pass, and the installation's facts."""
    import spacy
    import torch
    from tqdm import tqdm

    from metaie_spacy import pipe_with_labels

    torch.set_num_threads(1)
    nlp = spacy.load(request["model"], config={"components.metaie.model.compute_dtype": "float32"})
    pipe, found = nlp.get_pipe("metaie"), {}
    for name, asked in request["passes"].items():
        pipe.flat = asked["flat"]
        docs = pipe_with_labels(nlp, [(text, labels) for text, labels in asked["pairs"]])
        found[name] = [spans_of(doc) for doc in tqdm(docs, total=len(asked["pairs"]), desc=name, mininterval=5)]
    return {"passes": found, "installation": installation(nlp)}


def spans_of(doc) -> list:
    group = doc.spans["metaie"]
    scores = group.attrs["scores"]
    return [[s.start_char, s.end_char, s.label_, float(x)] for s, x in zip(group, scores, strict=True)]


def installation(nlp) -> dict:
    """Versions, and checksums of the package's code and of the model's weights: versions alone may be the same."""
    import metaie_spacy

    folder, code = Path(metaie_spacy.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        code.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    weights = nlp.path / "metaie" / "model"
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("metaie-spacy", "spacy", "torch", "transformers")},
        "code_sha256": code.hexdigest(),
        "model": f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}",
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else None,
    }


if __name__ == "__main__":
    result = answers(json.loads(Path(sys.argv[1]).read_text(encoding="utf8")))
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf8")
