"""Pipelines of this process, each built once, by their names."""

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from ..pipelines import load_pipeline, metaie_of, read_with

if TYPE_CHECKING:
    from spacy.language import Language

_loaded: dict[tuple, "Loaded"] = {}
_lock = threading.Lock()


class Loaded(NamedTuple):
    """A pipeline, its component, and the lock of whoever uses it: docs of one memory zone share its strings."""

    nlp: "Language"
    pipe: Any
    lock: Any


def loaded(model: str, *, adapter: str | None = None, gpu: int = -1) -> Loaded:
    """The pipeline of this name, built at the first call in this process.

    model (str): package or path. adapter (str | None): what `fewshot --adapter` wrote. gpu (int): -1: the CPU.
    RAISES (ValueError): there is no such pipeline, adapter or GPU.
    """
    key = (model, adapter, gpu)
    with _lock:
        if key not in _loaded:
            nlp = load_pipeline(model, gpu=gpu)
            pipe = metaie_of(nlp)
            if adapter is not None:
                read_with(pipe, adapter, None)
            _loaded[key] = Loaded(nlp, pipe, threading.Lock())
        return _loaded[key]
