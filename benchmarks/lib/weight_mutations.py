"""Ways to damage saved weights, or to lay traps in them. Each takes a random generator and a folder of weights."""

import configparser
import json
import os
import random
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any, Callable

import numpy as np
import srsly

VALUES = (
    None, True, False, 0, 1, -1, 7, 2**31, 2**63, 2**70, -(2**40), 0.5, -0.0, 1e-300, 1e300, "", "0", "gelu", "../../x", "\x1b[31mred", "x" * 100_000,
    [], {}, [[]], [1, "a", None], {"a": {"b": []}}, [0] * 10_000, {str(i): i for i in range(1000)},
)  # fmt: skip
SMALL = tuple(
    value for value in VALUES if not isinstance(value, int) or -(2**63) <= value < 2**64
)  # what msgpack can hold
TEXTS = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"NaN",
    b'{"a": 1e999}',
    b'{"metaie": Infinity}',
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'"\\ud800"',
    b"\0" * 64,
    b"9" * 10_000,
)
KEYS = (
    "auto_map",
    "_attn_implementation_internal",
    "_attn_implementation",
    "attn_implementation",
    "quantization_config",
    "pruned_heads",
    "is_decoder",
    "trust_remote_code",
    "kernel",
)
BOMBS = (
    b"\xdd\x00\x0f\xff\xff" * 400,
    b"\xdf\x00\xff\xff\xff" * 30,
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xc9\x7f\xff\xff\xff\x05",
    b"\x91" * 100_000,
    b"\xc1",
    b"\xc0",
    b"\x80",
)
STEPS = (
    {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}, {"type": "Replace", "pattern": {"Regex": "(a*)*b("}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": "(a|a)*$"}, "content": ""}, {"type": "Replace", "pattern": {"String": ""}, "content": "x"},
    {"type": "Prepend", "prepend": "x" * 10_000}, {"type": "ByteLevel"}, {"type": "NFKD"}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    {"type": "Precompiled", "precompiled_charsmap": "CAAAAAAAAAAAAAAA" + "QUFB" * 100_000}, {"type": "Split", "pattern": {"Regex": "["}, "behavior": "Isolated", "invert": False},
    {"type": "Metaspace", "replacement": "xx", "prepend_scheme": "always"}, {"type": "Unknown"}, {"type": 3}, 3, None,
)  # fmt: skip


def paths_in(value: Any, path: tuple = ()) -> list[tuple]:
    """Where the values of a tree are; of long parts only the first few."""
    found = [path] if path else []
    children = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, child in children[:60]:
        found += paths_in(child, (*path, key))
    return found


def changed(rng: random.Random, tree: Any, values: tuple = VALUES) -> Any:
    """A tree with one value of another type, one key renamed, lacking or too many."""
    paths = paths_in(tree)
    if not paths:
        return deepcopy(rng.choice(values))
    *way, key = rng.choice(paths)
    parent = tree
    for step in way:
        parent = parent[step]
    kind = rng.choice(("value", "value", "rename", "delete", "add"))
    if kind == "value":
        parent[key] = deepcopy(rng.choice(values))
    elif kind == "delete" or (kind == "rename" and isinstance(parent, list)):
        del parent[key]
    elif kind == "rename":
        parent[f"{key}_"] = parent.pop(key)
    elif isinstance(parent, dict):
        parent[rng.choice(KEYS)] = deepcopy(rng.choice(values))
    else:
        parent.insert(0, deepcopy(rng.choice(values)))
    return tree


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bytes flipped, cut, doubled or lengthened."""
    kind = rng.choice(("flip", "flip", "flip early", "cut", "cut early", "append", "double", "drop"))
    data = bytearray(data)
    size = len(data) or 1
    if kind.startswith("flip"):
        for _ in range(rng.choice((1, 1, 3, 50))):
            if data:
                data[rng.randrange(size if kind == "flip" else min(size, 300)) % len(data)] ^= 1 << rng.randrange(8)
    elif kind.startswith("cut"):
        del data[rng.randrange(size if kind == "cut" else min(size, 60)) :]
    elif kind == "drop":
        start = rng.randrange(size)
        del data[start : start + rng.choice((1, 4, 100))]
    else:
        data += rng.randbytes(rng.choice((1, 8, 5000))) if kind == "append" else bytes(data)
    return bytes(data)


def damaged_json(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.15:
        return rng.choice(TEXTS)
    tree = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 3))):
        tree = changed(rng, tree)
    return json.dumps(tree).encode()


def damaged_tokenizer(rng: random.Random, data: bytes) -> bytes:
    """Steps that no published tokenizer has, pieces out of range, and merges of nothing."""
    tree = json.loads(data)
    model, kind = (
        tree["model"],
        rng.choice(("normalizer", "pre_tokenizer", "sequence", "ids", "vocab", "added", "framing")),
    )
    if kind in ("normalizer", "pre_tokenizer"):
        tree[kind] = deepcopy(rng.choice(STEPS))
    elif kind == "sequence":
        steps = [deepcopy(rng.choice(STEPS)) for _ in range(rng.choice((1, 3, 40)))]
        tree["normalizer"] = {"type": "Sequence", "normalizers": steps}
    elif kind == "ids" and isinstance(model["vocab"], dict):
        model["vocab"][rng.choice(list(model["vocab"]))] = rng.choice((-1, 2**31, 2**33, 10**6, 0.5, "3", None, 0))
    elif kind in ("ids", "vocab") and isinstance(model["vocab"], list):
        model["vocab"][rng.randrange(len(model["vocab"]))] = rng.choice(
            (["", 0.0], ["a", -1e308], ["a"], "a", ["x" * 5000, 0], [0, "a"], ["a", "b"], None)
        )
    elif kind == "vocab" and "merges" in model:
        model["merges"] = rng.choice(([["a", ""]], ["a b c"], [["q", "zz"]], "ab", [3], [["a", "b"]] * 5000))
    elif kind == "added":
        tree["added_tokens"] = rng.choice(
            (
                [{"id": 2**31, "content": "x"}],
                [tree["added_tokens"][0] | {"content": ""}],
                [tree["added_tokens"][0] | {"id": 10**7, "content": "new"}],
                tree["added_tokens"] * 500,
                [3],
            )
        )
    else:
        tree["post_processor"] = tree["decoder"] = tree["padding"] = rng.choice(VALUES)
    return json.dumps(tree).encode()


def damaged_tensors(rng: random.Random, data: bytes) -> bytes:
    """A header that lies, or weights that are no numbers."""
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])
    name = rng.choice([key for key in header if key != "__metadata__"])
    kind = rng.choice(("dtype", "shape", "offsets", "rename", "drop", "length", "values", "tree"))
    if kind == "dtype":
        header[name]["dtype"] = rng.choice(("I32", "U32", "BOOL", "F64", "BF16", "F8_E4M3", "C64", "X", 3, None))
    elif kind == "shape":
        header[name]["shape"] = rng.choice(
            (
                [2**40],
                [2**31, 2**31],
                [-1],
                [],
                [0],
                [1.5],
                "4",
                header[name]["shape"][::-1],
                [*header[name]["shape"], 1],
            )
        )
    elif kind == "offsets":
        header[name]["data_offsets"] = rng.choice(([0, 2**50], [5, 1], [0], [-4, 0], ["0", "4"], [0, 4]))
    elif kind == "rename":
        header[rng.choice(("other", name + ".x", "encoder.encoder.layer.999.x"))] = header.pop(name)
    elif kind == "drop":
        del header[name]
    elif kind == "values":
        start, end = header[name]["data_offsets"]
        fill = np.full((end - start) // 4, rng.choice((np.nan, np.inf, -np.inf, 1e38, 65000.0, -3e4)), "<f4").tobytes()
        body[start : start + len(fill)] = fill
    elif kind == "tree":
        header = changed(rng, header)
    text = json.dumps(header).encode()
    length = rng.choice((0, 1, 2**62, 2**64 - 1, len(text) - 1, len(data) * 2)) if kind == "length" else len(text)
    return length.to_bytes(8, "little") + text + bytes(body)


BY_NAME: dict[str, tuple[Callable, ...]] = {
    "config.json": (damaged_json, damaged_json, damaged_json, damaged_bytes),
    "tokenizer_config.json": (damaged_json, damaged_bytes),
    "tokenizer.json": (damaged_tokenizer, damaged_tokenizer, damaged_json, damaged_bytes),
    "model.safetensors": (damaged_tensors, damaged_tensors, damaged_tensors, damaged_bytes),
}


def damage_file(rng: random.Random, folder: Path) -> str:
    """One of the files of a directory that `distill` wrote."""
    name = rng.choice([name for name in BY_NAME if (folder / name).exists()])
    change = rng.choice(BY_NAME[name])
    (folder / name).write_bytes(change(rng, (folder / name).read_bytes()))
    return f"{name}: {change.__name__}"


def damage_message(rng: random.Random, folder: Path) -> str:
    """The file of a pipeline's component: its outer message, the one inside, or a file inside that."""
    path = folder / "metaie" / "model"
    level = rng.choice(("bytes", "bomb", "outer", "inner", "file", "file", "file", "array"))
    data = path.read_bytes()
    if level in ("bytes", "bomb"):
        path.write_bytes(
            damaged_bytes(rng, data)
            if level == "bytes"
            else rng.choice((rng.choice(BOMBS), data[: rng.randrange(40)] + rng.choice(BOMBS)))
        )
        return f"message: {level}"
    outer = srsly.msgpack_loads(data)
    inner = srsly.msgpack_loads(outer["shims"][0][0])
    name = (
        "state"
        if level == "file" and rng.random() < 0.3
        else rng.choice([name for name in inner["files"] if name in BY_NAME])
    )
    if level == "file":
        change = rng.choice(BY_NAME["model.safetensors" if name == "state" else name])
        place = inner if name == "state" else inner["files"]
        place[name] = change(rng, place[name])
        level = f"{name}, {change.__name__}"
    elif level == "array":
        inner[rng.choice(("state", "files"))] = rng.choice(
            (np.zeros(3, "<f4"), [b"x"], {"../x": b"y"}, b"", rng.choice(BOMBS))
        )
    elif level == "inner":
        inner = changed(rng, inner, SMALL)
    outer["shims"][0][0] = srsly.msgpack_dumps(inner)
    if level == "outer":
        outer = {key: list(value) for key, value in outer.items()}
        if rng.random() < 0.4 and len(outer["params"]) > 1:
            params = rng.choice([part for part in outer["params"] if part] or [{}])
            for name in params:
                params[name] = rng.choice(
                    (
                        np.full((3, 2), np.nan, "<f4"),
                        np.zeros(4, "<i8"),
                        np.zeros(4, "?"),
                        3,
                        None,
                        "x",
                        b"y",
                        {b"nd": True},
                    )
                )
        else:
            outer = changed(rng, outer, SMALL)
    path.write_bytes(srsly.msgpack_dumps(outer))
    return f"message: {level}"


def damage_config(rng: random.Random, folder: Path) -> str:
    """The pipeline's config: names that leave the directory, values of other types."""
    path = folder / "config.cfg"
    kind = rng.choice(("name", "bytes", "value", "deep"))
    if kind == "bytes":
        path.write_bytes(damaged_bytes(rng, path.read_bytes()))
        return "config.cfg: bytes"
    config = configparser.RawConfigParser()
    config.optionxform = str
    config.read_string(path.read_text(encoding="utf8"))
    if kind == "name":
        new = rng.choice(("../outside", "/etc", "..", ".", "a/b", "x" * 300, "metaie2", "../../x"))
        for section in [section for section in config.sections() if section.split(".")[:2] == ["components", "metaie"]]:
            config[f"components.{new}" + section.removeprefix("components.metaie")] = dict(config[section])
            config.remove_section(section)
    elif kind == "deep":
        config[".".join(["components", *"abcdefgh" * 30])] = {"factory": '"metaie"'}
    else:
        section = rng.choice([section for section in config.sections() if section.startswith("components")])
        config[section][rng.choice(list(config[section]) or ["factory"])] = rng.choice(
            ("3", "null", "[]", "{", '"evil.v1"', "[" * 5000, "${a.b}", "true", '{"a": 1}')
        )
    with path.open("w", encoding="utf8") as file:
        config.write(file)
    return f"config.cfg: {kind}"


def damage_schema(rng: random.Random, folder: Path) -> str:
    path = folder / "metaie" / "schema.json"
    change = rng.choice((damaged_json, damaged_json, damaged_bytes))
    path.write_bytes(change(rng, path.read_bytes()))
    return "schema.json"


def replace_by_other_kind(rng: random.Random, folder: Path) -> str:
    """A file that is none: a link out of the directory, a pipe, a device, a folder, nothing, or one without end."""
    files = [
        file for file in folder.rglob("*") if file.is_file() and (file.parent.name == "metaie" or file.parent == folder)
    ]
    files = [file for file in files if file.name in (*BY_NAME, "model", "schema.json", "config.cfg")]
    file, kind = (
        rng.choice(files),
        rng.choice(("link", "loop", "pipe", "device", "folder", "missing", "empty", "sparse", "folder link")),
    )
    if kind == "folder link":
        if file.parent != folder:
            shutil.move(file.parent, folder.parent / "outside" / "moved")
            file.parent.symlink_to(folder.parent / "outside" / "moved")
        return kind
    content = file.read_bytes()
    file.unlink()
    if kind == "link":
        (folder.parent / "outside" / "file").write_bytes(content)
        file.symlink_to(
            rng.choice(
                (
                    "../outside/file",
                    "../../outside/file",
                    "/etc/passwd",
                    "/dev/zero",
                    str(folder.parent / "outside" / "file"),
                )
            )
        )
    elif kind == "loop":
        file.symlink_to(file.name)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to(rng.choice(("/dev/zero", "/dev/random", "/dev/stdin", "/dev/tty")))
    elif kind == "folder":
        file.mkdir()
    elif kind != "missing":
        file.write_bytes(content if kind == "sparse" else b"")
        os.truncate(file, 2**41 if kind == "sparse" else 0)
    return f"{file.name}: {kind}"


def mutate(rng: random.Random, folder: Path) -> str:
    """Damage a folder of weights in one way. RETURNS (str): which."""
    if (folder / "model.safetensors").exists():
        return rng.choices((damage_file, replace_by_other_kind), (9, 1))[0](rng, folder)
    return rng.choices((damage_message, damage_config, damage_schema, replace_by_other_kind), (7, 1, 1, 1))[0](
        rng, folder
    )
