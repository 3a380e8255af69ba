"""Weights of a package, a pipeline or a training: finding and loading them."""

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Sequence

from spacy.tokens import Doc
from thinc.api import Config, Model

from .damage import check_inside, map_file, read_file, reading, shown
from .message import model_message
from .saved import read_bytes, read_config
from .saved_config import ARCHITECTURES
from .tok2vec_weights import restore_tok2vec, tok2vec_tensors

# Of config.cfg, which has some 10 kB and 50 sections; reading it takes the square of their number.
MOST_CONFIG, MOST_SECTIONS = 2**18, 1000


def load_weights(model: Model, source: str, *, labels_only: bool = False, sample: Sequence[Doc] | None = None) -> None:
    """Fill the model from a package, a pipeline directory or a directory that `distill` wrote.

    Only data is read: no code that it names is run, no file is written, no network is asked.

    source (str): e.g. "en_metaie_sm" or a path.
    labels_only (bool): a SharedTransformer may take the label encoder of a LabelToSpan, to be
        trained from there.
    sample (Sequence[Doc] | None): what a tok2vec of the model's own is initialized with, if it is not yet.
    RAISES (ValueError): it is none of these, or is damaged, or of another architecture.
    """
    shim, path = model.shims[0], find_source(source)
    labels_only = labels_only and bool(model.has_ref("tok2vec"))
    if _is_bare(path):
        shim.load_directory(path, labels_only=labels_only)
        return
    file, block = _component(path)
    _warn_of_other_encoder(shim.name, block, source)
    name = f"'{path}'"
    with reading(name):
        message = model_message(map_file(file))
    saved = read_bytes(message.shims[0][0], name)
    if len(message.nodes) == 1 or not model.has_ref("tok2vec"):
        shim.take(saved, labels_only=labels_only)
        return
    tensors = tok2vec_tensors(model, message, name, sample)
    shim.take(saved, labels_only=labels_only)
    tensors.put(model)


def restore(model: Model, data: bytes | memoryview, source: str, *, sample: Sequence[Doc]) -> None:
    """Fill the model from what its `to_bytes` made: a component's own file.

    A tok2vec of its own is restored by thinc and by the library that it comes from, since only they know how to
    build it; see `tok2vec_weights.check_message` for what is refused of it.

    sample (Sequence[Doc]): what such a tok2vec is tried on.
    RAISES (ValueError): the bytes are damaged, or of another architecture.
    """
    with reading(source):
        message = model_message(data)
    if len(message.nodes) == 1 and len(list(model.walk())) == 1:
        model.shims[0].take(read_bytes(message.shims[0][0], source))
        return
    restore_tok2vec(model, message, source, sample)


def architecture_of(source: str) -> dict[str, Any]:
    """The architecture that weights were trained with, as a block of a config.

    source (str): a package, a pipeline directory, or what `distill` wrote as `model/`.
    RAISES (ValueError): it is none of these, or is damaged.
    """
    path = find_source(source)
    if _is_bare(path):
        options = read_config(path).metaie
        block = {"@architectures": f"metaie-spacy.{options['architecture']}.v1"}
        if options["architecture"] == "LabelToSpan":
            block["text_sees_labels"] = options["text_sees_labels"]
        return block
    block = _component(path)[1]
    with reading(f"'{path}'"):
        name, sees = block.get("@architectures"), block.get("text_sees_labels")
        if name not in [f"metaie-spacy.{architecture}.v1" for architecture in ARCHITECTURES]:
            raise ValueError(f"config.cfg: {shown(repr(name))} is no architecture of metaie")
        if sees not in (None, True, False):
            raise ValueError(f"config.cfg: text_sees_labels is {shown(repr(sees))}, not true, false or null")
    return {key: block[key] for key in ("@architectures", "text_sees_labels") if key in block}


def _is_bare(path: Path) -> bool:
    """Whether `distill` wrote the directory; if not, it may be a pipeline."""
    return os.path.lexists(path / "model.safetensors") and not os.path.lexists(path / "meta.json")


def _component(path: Path) -> tuple[Path, dict[str, Any]]:
    """File of a saved pipeline's `metaie` component, and its block of the model.

    RAISES (ValueError): it has none, or one whose name leads out of the directory.
    """
    if not os.path.lexists(path / "config.cfg"):
        raise ValueError(f"'{path}' is neither a spaCy pipeline nor a directory written by 'metaie_spacy distill'.")
    with reading(f"'{path}'"):
        text = read_file(check_inside(path, "config.cfg"), MOST_CONFIG).decode("utf8")
        if text.count("\n[") > MOST_SECTIONS:
            raise ValueError(f"config.cfg has more than {MOST_SECTIONS:,} sections")
        components = Config().from_str(text, interpolate=False).get("components", {})
        names = [name for name, block in components.items() if block.get("factory") == "metaie"]
        is_complete = bool(names) and os.path.lexists(path / names[0] / "model")
    if not is_complete:
        raise ValueError(f"The pipeline in '{path}' has no 'metaie' component with weights.")
    with reading(f"'{path}'"):
        if names[0] != Path(names[0]).name:
            raise ValueError(f"config.cfg: {shown(repr(names[0]))} is no name of a component")
        block = components[names[0]].get("model", {})
        if not isinstance(block, dict):
            raise ValueError("config.cfg: the component's model is no block")
        return check_inside(path, f"{names[0]}/model"), block


def _warn_of_other_encoder(name: str, block: dict, source: str) -> None:
    saved = block.get("label_encoder", block.get("name", name))
    if saved != name:
        warnings.warn(
            f"The weights '{source}' are of the encoder '{shown(saved)}'; '{name}' in the config has no effect. "
            "To start from it, set 'weights' (in training: init_from too) to null.",
            stacklevel=2,
        )


def find_source(source: str) -> Path:
    """The directory that holds a package's or path's pipeline.

    RAISES (ValueError): no such directory or installed package.
    """
    path = Path(source)
    if os.path.isdir(path):
        return path
    spec = find_spec(source) if source.isidentifier() else None
    if spec is None or not spec.origin or not spec.has_location:
        raise ValueError(
            f"Cannot find the weights '{source}': no such directory, and no installed package of that name. "
            "Install the package (en_metaie_sm: pip install packages/en_metaie_sm-*.whl), or set 'weights' to a "
            "directory, or to null and call nlp.initialize()."
        )
    package = Path(spec.origin).parent
    inner = [child for child in sorted(package.iterdir()) if (child / "config.cfg").exists()]
    return inner[-1] if inner else package
