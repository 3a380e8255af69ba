"""Changing saved weights, and what several files of tests about hostile ones use."""

import json
import sys
from pathlib import Path

import srsly

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.lib.weight_bases import CNN, TEXT, architecture_in, fresh, tiny_encoder, tiny_tokenizer  # noqa: E402, F401
from benchmarks.serving.weights_fuzz import Bases  # noqa: E402, F401

DAMAGED = "^The metaie model in .* is damaged: "


def scored(doc):
    group = doc.spans["metaie"]
    return {(span.text, span.label_): float(score) for span, score in zip(group, group.attrs["scores"])}


def edit(path, change):
    """Change the JSON in a file."""
    value = json.loads(path.read_text(encoding="utf8"))
    changed = change(value)
    path.write_text(json.dumps(value if changed is None else changed), encoding="utf8")


def edit_message(path, change):
    """Change the message inside a pipeline's model file."""
    outer = srsly.msgpack_loads(path.read_bytes())
    inner = srsly.msgpack_loads(outer["shims"][0][0])
    change(inner, outer)
    outer["shims"][0][0] = srsly.msgpack_dumps(inner)
    path.write_bytes(srsly.msgpack_dumps(outer))


def edit_tensors(path, change):
    """Change the header or the body of a file of safetensors."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])
    change(header, body)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(body))


def evil_files(sentinel):
    return {"evil.py": f"open({str(sentinel)!r}, 'w')\n".encode(), "../escaped": b"x", "/tmp/metaie_escaped": b"x"}


NAMES_CODE = {
    "auto_map": dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "evil.Evil"),
    "_attn_implementation_internal": "evil/kernel",
    "_attn_implementation": "evil/kernel",
    "attn_implementation": "evil/kernel",
    "quantization_config": {"quant_method": "evil"},
    "trust_remote_code": True,
}
