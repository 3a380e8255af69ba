"""Trained pipelines: opening them, and finding the component in them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from spacy.language import Language

ADAPTED = "adapter"  # what an adapter is called that a command reads with


def load_pipeline(source: str, *, gpu: int = -1) -> "Language":
    """A pipeline with a `metaie` component, by the name of its package or its directory.

    gpu (int): number of the GPU to use; -1: the CPU.
    RAISES (ValueError): there is no such pipeline, it has no such component, or there is no such GPU.
    """
    import spacy

    if gpu >= 0:
        use_gpu(gpu)
    try:
        nlp = spacy.load(source)
    except Exception as error:  # a package that is no pipeline may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"Cannot load the pipeline '{source}': {reason} Give an installed package or a directory; en_metaie_sm is "
            "installed by: pip install packages/en_metaie_sm-*.whl"
        ) from None
    metaie_of(nlp)
    return nlp


def load_student(source: str) -> "Language":
    """`load_pipeline` for results that have to repeat and for texts of any length, which are read in windows.

    It computes in float32, so that the same input gives the same result on the same machine.
    """
    nlp = load_pipeline(source)
    shim = metaie_of(nlp).model.shims[0]
    shim.compute_dtype = "float32"
    shim.forget()
    nlp.max_length = sys.maxsize
    return nlp


def metaie_of(nlp: "Language") -> Any:
    """The first `metaie` component of a pipeline.

    RAISES (ValueError): it has none.
    """
    for name, pipe in nlp.pipeline:
        if nlp.get_pipe_meta(name).factory == "metaie":
            return pipe
    raise ValueError(f"The pipeline has no 'metaie' component, only {nlp.pipe_names}.")


def read_with(pipe: Any, adapter: str | Path, settings: Mapping[str, Any] | None) -> None:
    """Have the component read with an adapter, and ask its labels where no others are asked.

    RAISES (ValueError): it is no adapter of these weights.
    """
    pipe.add_adapter(ADAPTED, adapter)
    pipe.adapter = ADAPTED
    if settings is None:
        pipe.schema = {key: value for key, value in pipe.adapters[ADAPTED].items() if key != "adapter"}


def span_keys(nlp: "Language") -> set[str]:
    """The keys of `doc.spans` that the components of a pipeline write."""
    pipes = [pipe for _, pipe in nlp.pipeline]
    found = [getattr(pipe, name, None) for pipe in pipes for name in ("spans_key", "key")]
    found += [
        getattr(pipe, "cfg", {}).get("spans_key") for pipe in pipes if isinstance(getattr(pipe, "cfg", None), dict)
    ]
    return {key for key in found if isinstance(key, str)}


def trains_from_files(nlp: "Language") -> bool:
    """Whether the config of a pipeline names what it is trained on, as that of `spacy train` does."""
    corpora = nlp.config.interpolate()["corpora"]
    return any(corpus.get("path") is not None for corpus in corpora.values() if isinstance(corpus, dict))


def active_pipe(nlp: "Language", name: str) -> Any:
    """The component of this name. RAISES (ValueError): the pipeline does not run one."""
    if name not in nlp.pipe_names:
        raise ValueError(
            f"The pipeline has no active component '{name}', only {nlp.pipe_names}. "
            "Pass the component's name as name=..."
        )
    return nlp.get_pipe(name)


def use_gpu(number: int) -> None:
    """Make spaCy use a GPU.

    RAISES (ValueError): there is no such GPU, or a library for it is missing; the message says which extra brings it.
    """
    import spacy
    import torch

    if not torch.cuda.is_available():
        raise ValueError(
            "This build of torch finds no CUDA GPU. Install a CUDA build of "
            "torch, and metaie-spacy[cuda12x] or [cuda13x]."
        )
    try:
        spacy.require_gpu(number)
    except ValueError as error:
        raise ValueError(
            f"GPU {number}: {error}\nspaCy needs CuPy for it: install metaie-spacy[cuda12x] or metaie-spacy[cuda13x]."
        ) from None
