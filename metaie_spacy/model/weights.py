"""Weights of a package, a pipeline or a training: finding and loading them."""

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import srsly
from thinc.api import Config, Model

from .encoder import saved_config


def load_weights(model: Model, source: str, *, labels_only: bool = False) -> None:
    """Fill the model from a package, a pipeline directory or a directory that `distill` wrote.

    source (str): e.g. "en_metaie_sm" or a path.
    labels_only (bool): a SharedTransformer may take the label encoder of a LabelToSpan, to be
        trained from there.
    RAISES (ValueError): it is none of these, or is damaged, or of another architecture.
    """
    shim, path = model.shims[0], find_source(source)
    labels_only = labels_only and bool(model.has_ref("tok2vec"))
    if _is_bare(path):
        shim.load_directory(path, labels_only=labels_only)
        return
    name, block = _component(path)
    _warn_of_other_encoder(shim.name, block, source)
    content = (path / name / "model").read_bytes()
    message = srsly.msgpack_loads(content)
    if len(message["nodes"]) > 1:  # with a tok2vec of its own
        model.from_bytes(content)
    else:
        shim.from_bytes(message["shims"][0][0], labels_only=labels_only)


def architecture_of(source: str) -> dict[str, Any]:
    """The architecture that weights were trained with, as a block of a config.

    source (str): a package, a pipeline directory, or what `distill` wrote as `model/`.
    RAISES (ValueError): it is none of these, or is damaged.
    """
    path = find_source(source)
    if not _is_bare(path):
        block = _component(path)[1]
        return {key: block[key] for key in ("@architectures", "text_sees_labels") if key in block}
    try:
        saved = saved_config(path).metaie
        block = {"@architectures": f"metaie-spacy.{saved['architecture']}.v1"}
        return block | (
            {"text_sees_labels": saved["text_sees_labels"]} if saved["architecture"] == "LabelToSpan" else {}
        )
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"The metaie model in '{path}' is damaged: config.json: {error}") from error


def _is_bare(path: Path) -> bool:
    """Whether `distill` wrote the directory; if not, it may be a pipeline."""
    return (path / "model.safetensors").exists() and not (path / "meta.json").exists()


def _component(path: Path) -> tuple[str, dict[str, Any]]:
    """Name of a saved pipeline's `metaie` component, and its block of the model."""
    config = path / "config.cfg"
    if not config.exists():
        raise ValueError(f"'{path}' is neither a spaCy pipeline nor a directory written by 'metaie_spacy distill'.")
    components = Config().from_disk(config, interpolate=False).get("components", {})
    names = [name for name, block in components.items() if block.get("factory") == "metaie"]
    if not names or not (path / names[0] / "model").exists():
        raise ValueError(f"The pipeline in '{path}' has no 'metaie' component with weights.")
    return names[0], components[names[0]].get("model", {})


def _warn_of_other_encoder(name: str, block: dict, source: str) -> None:
    saved = block.get("label_encoder", block.get("name", name))
    if saved != name:
        warnings.warn(
            f"The weights '{source}' are of the encoder '{saved}'; '{name}' in the config has no effect. "
            "To start from it, set 'weights' (in training: init_from too) to null.",
            stacklevel=2,
        )


def find_source(source: str) -> Path:
    """The directory that holds a package's or path's pipeline.

    RAISES (ValueError): no such directory or installed package.
    """
    path = Path(source)
    if path.is_dir():
        return path
    spec = find_spec(source) if source.isidentifier() else None
    if spec is None or not spec.origin:
        raise ValueError(
            f"Cannot find the weights '{source}': no such directory, and no installed package of that name. "
            "Install the package, or set 'weights' to a directory, or to null and call nlp.initialize()."
        )
    package = Path(spec.origin).parent
    inner = [child for child in sorted(package.iterdir()) if (child / "config.cfg").exists()]
    return inner[-1] if inner else package
