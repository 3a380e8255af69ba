"""Weights from anywhere are data: loading runs no code and needs no network."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import srsly
from helpers import SENTENCES

EVIL = "from pathlib import Path\nPath({sentinel!r}).touch()\n"


class Evil:
    """Unpickled, it leaves a file."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return Path.touch, (Path(self.sentinel),)


@pytest.fixture
def saved(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline" / "metaie" / "model"


def rewritten(path, change):
    """Apply `change` to the message inside a saved model file."""
    message = srsly.msgpack_loads(path.read_bytes())
    inner = srsly.msgpack_loads(message["shims"][0][0])
    change(inner)
    message["shims"][0][0] = srsly.msgpack_dumps(inner)
    path.write_bytes(srsly.msgpack_dumps(message))


def test_code_named_by_a_package_is_not_run(saved, tmp_path):
    sentinel = tmp_path / "sentinel"
    reference = {
        "auto_map": dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "evil.Evil"),
        "tokenizer_class": "EvilTokenizer",
    }

    def poison(inner):
        for name in ("config.json", "tokenizer_config.json"):
            inner["files"][name] = json.dumps(
                json.loads(inner["files"][name]) | reference | {"attn_implementation": "evil/kernel"}
            ).encode()
        inner["files"]["evil.py"] = EVIL.format(sentinel=str(sentinel)).encode()
        inner["files"]["../escaped.py"] = b"x = 1"

    rewritten(saved, poison)
    nlp = spacy.load(saved.parents[1])
    assert nlp(SENTENCES[0]).spans["metaie"].attrs["asked"] == ["person", "date"]
    assert not sentinel.exists() and not (Path(os.environ.get("TMPDIR", "/tmp")) / "escaped.py").exists()


@pytest.mark.parametrize("place", ["weights", "whole file", "array"])
def test_pickles_are_refused_and_not_opened(saved, tmp_path, place):
    sentinel = tmp_path / "sentinel"
    evil = pickle.dumps(Evil(str(sentinel)))
    if place == "whole file":
        saved.write_bytes(evil)
    elif place == "weights":
        rewritten(saved, lambda inner: inner.update(state=evil))
    else:
        rewritten(
            saved,
            lambda inner: inner.update(state={b"nd": True, b"type": "|O", b"kind": b"", b"shape": [1], b"data": evil}),
        )
    with pytest.raises(ValueError, match="model"):
        spacy.load(saved.parents[1])
    assert not sentinel.exists()
    pickle.loads(evil)
    assert sentinel.exists()  # the bait was good


def test_a_package_named_as_weights_is_read_but_not_imported(make_nlp, tmp_path, monkeypatch):
    sentinel, package = tmp_path / "sentinel", tmp_path / "some_weights"
    package.mkdir()
    make_nlp().to_disk(package / "some_weights-1.0")
    (package / "__init__.py").write_text(EVIL.format(sentinel=str(sentinel)), encoding="utf8")
    monkeypatch.syspath_prepend(tmp_path)
    nlp = make_nlp()
    nlp.get_pipe("metaie").load_from("some_weights")
    assert not sentinel.exists() and nlp(SENTENCES[0]).spans["metaie"].attrs["asked"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda config: config.update(model_type="t5"), "of type 't5'; supported are bert"),
        (lambda config: config.pop("metaie"), "does not describe a metaie model"),
        (lambda config: config.update(num_hidden_layers=3), "do not fit"),
        (lambda config: config["metaie"].update(head_inner=64), "do not fit"),
    ],
)
def test_configs_that_do_not_fit_the_weights_are_refused(saved, change, message):
    def edit(inner):
        config = json.loads(inner["files"]["config.json"])
        change(config)
        inner["files"]["config.json"] = json.dumps(config).encode()

    rewritten(saved, edit)
    with pytest.raises(ValueError, match=message):
        spacy.load(saved.parents[1])


def test_damaged_tokenizers_are_refused(saved):
    rewritten(saved, lambda inner: inner["files"].update({"tokenizer.json": b"{}"}))
    with pytest.raises(ValueError, match="holds no tokenizer"):
        spacy.load(saved.parents[1])


OFFLINE = """
import sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise AssertionError(f"the network was asked: {event} {args}")

sys.addaudithook(refuse)  # sees every socket of the interpreter
import socket
try:
    socket.create_connection(("127.0.0.1", 9))
    raise SystemExit("the guard is asleep")
except AssertionError:
    pass
import spacy
nlp = spacy.load("en_metaie_sm")
nlp.get_pipe("metaie").labels = ["person", "city"]
doc = nlp("Ada Lovelace lived in London.")
assert [s.text for s in doc.spans["metaie"]] == ["Ada Lovelace", "London"]
nlp.to_disk(sys.argv[1])
assert len(spacy.load(sys.argv[1])("Ada Lovelace lived in London.").spans["metaie"]) == 2
blank = spacy.blank("en")
blank.add_pipe("metaie", config={"labels": ["person"]})
assert len(blank("Ada Lovelace lived in London.").spans["metaie"]) == 1
assert len([doc for doc in nlp.pipe(["Ada Lovelace."] * 4)]) == 4
print("no network")
"""


def test_loading_and_predicting_need_no_network(tmp_path):
    env = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    env["HF_HOME"] = str(tmp_path / "empty")
    command = [sys.executable, "-c", OFFLINE, str(tmp_path / "pipeline")]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "no network", result.stderr[-2000:]


LIGHT = """
import sys
from thinc.api import ArgsKwargs
from metaie_spacy.model.architectures import build_label_to_span
from metaie_spacy.model.weights import load_weights
model = build_label_to_span("sentence-transformers/all-MiniLM-L6-v2")
load_weights(model, "en_metaie_sm")
shim = model.shims[0]
texts, _ = shim.pieces.texts([["Ada", "Lovelace", "lived", "in", "London", "."]])
assert shim.predict(ArgsKwargs((texts, ["person"], None), {})).shape == (6, 1, 2)
print({"transformers.modeling_utils", "transformers.generation.utils", "torch._dynamo", "sklearn"} & sys.modules.keys())
"""


def test_a_first_answer_imports_nothing_of_training_and_generation():
    result = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "set()", result.stderr[-2000:]
