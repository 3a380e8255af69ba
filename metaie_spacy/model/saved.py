"""Saved weights as data: config, tokenizer and tensors of files that need not be trusted."""

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from transformers import PretrainedConfig

from . import saved_config, tokenizer_file
from .damage import check_inside, map_file, read_file, reading, shown
from .encoder import PackedEncoder
from .layers import Unset
from .message import read_message
from .saved_config import check_sizes, parse_config
from .tensors import SavedTensors
from .tokenizer_file import read_tokenizer

# What is read of a directory or of a message, and how many bytes of it at most.
FILES = {
    "config.json": saved_config.MOST_BYTES,
    "tokenizer.json": tokenizer_file.MOST_BYTES,
    "tokenizer_config.json": tokenizer_file.MOST_CONFIG_BYTES,
}
WEIGHTS = "model.safetensors"


class Saved(NamedTuple):
    """Weights as they were saved. source (str): names them in messages."""

    config: PretrainedConfig
    tokenizer: Any
    tensors: SavedTensors
    source: str


def read_saved(files: Mapping[str, bytes], weights: bytes | memoryview, source: str) -> Saved:
    """Check config, tokenizer and the forms of the tensors against each other. No code is run, nothing is written.

    files (Mapping): contents by name, as in FILES. weights (bytes): safetensors.
    RAISES (DamagedWeights): they do not fit each other, or hold what no model of ours has.
    """
    with reading(source):
        tensors = SavedTensors(weights)
        config = _config(files["config.json"], source)
        check_sizes(config, tensors.shapes)
        tokenizer = read_tokenizer(files["tokenizer.json"], files["tokenizer_config.json"], config.vocab_size)
        return Saved(config, tokenizer, tensors, source)


def read_directory(path: Path) -> Saved:
    """What `distill` wrote. RAISES (DamagedWeights): the directory is incomplete, or as `read_saved`."""
    source = f"'{path}'"
    with reading(source):
        files = {name: read_file(check_inside(path, name), most) for name, most in FILES.items()}
        weights = map_file(check_inside(path, WEIGHTS))
    return read_saved(files, weights, source)


def read_bytes(data: bytes | memoryview, source: str) -> Saved:
    """What `MetaIEShim.to_bytes` made. RAISES (DamagedWeights): as `read_saved`."""
    with reading(source):
        message = read_message(data)
        files, weights = _entry(message, "files", dict), _entry(message, "state", memoryview)
        lacking = [name for name in FILES if not isinstance(files.get(name), memoryview)]
        if lacking:
            raise ValueError(f"the message lacks {lacking[0]}")
        too_long = [name for name, most in FILES.items() if len(files[name]) > most]
        if too_long:
            raise ValueError(f"{too_long[0]} has more than {FILES[too_long[0]]:,} bytes")
        files = {name: bytes(files[name]) for name in FILES}
    return read_saved(files, weights, source)


def read_config(path: Path) -> PretrainedConfig:
    """The config of a directory that `distill` wrote. RAISES (DamagedWeights): there is none, or as `read_saved`."""
    with reading(f"'{path}'"):
        content = read_file(check_inside(path, "config.json"), FILES["config.json"])
        return _config(content, f"'{path}'")


def _config(content: bytes, source: str) -> PretrainedConfig:
    try:
        config, ignored = parse_config(content)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if "config.json" in text else f"config.json: {text}") from error
    if ignored:
        warnings.warn(
            f"config.json of the metaie model in {source} has keys that are unknown here and have no effect: "
            f"{shown(', '.join(ignored))}",
            stacklevel=2,
        )
    return config


def _entry(message: Any, key: str, kind: type) -> Any:
    value = message.get(key) if isinstance(message, dict) else None
    if not isinstance(value, kind):
        raise ValueError(f"these bytes hold no metaie model, or only a part of one: they lack '{key}'")
    return value


def filled(cls: type[PackedEncoder], saved: Saved, *, without: tuple[str, ...] | None = None) -> PackedEncoder:
    """A module with saved weights.

    without (tuple | None): begin the names of weights that are not taken, but start anew.
    RAISES (DamagedWeights): the weights do not fit the module, or are no numbers.
    """
    with reading(saved.source):
        with nullcontext() if without else Unset():
            module = cls.from_config(saved.config)
        wanted, found = (
            {name: shape for name, shape in shapes.items() if not (without and name.startswith(without))}
            for shapes in (
                {name: tuple(value.shape) for name, value in module.state_dict().items()},
                saved.tensors.shapes,
            )
        )
        if wanted != found:
            raise ValueError(_misfit(saved, wanted, found))
        module.load_state_dict(saved.tensors.read(found), strict=not without, assign=True)
        return module.requires_grad_()


def _misfit(saved: Saved, wanted: dict, found: dict) -> str:
    odd = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)][0]
    return (
        f"the weights, saved with transformers {saved.config.transformers_version}, do not fit the model of their "
        f"config.json: {odd} is {found.get(odd, 'missing')}, expected {wanted.get(odd, 'none')}"
    )
