"""Trained pipelines, opened for a look inside."""
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language

    from .component import MetaIE


def load_pipeline(source: str) -> "Language":
    """A pipeline with a `metaie` component, by the name of its package or its directory.

    It computes in float32, so that the same input gives the same result on the same machine, and
    takes texts of any length: this package reads them in windows.

    RAISES (ValueError): there is none.
    """
    import spacy

    try:
        nlp = spacy.load(source)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"Cannot load the pipeline '{source}': {reason} Give an installed package or a directory.") from None
    pipe = metaie_of(nlp)
    pipe.load()
    pipe.model.shims[0].compute_dtype = "float32"
    pipe.model.shims[0].forget()
    nlp.max_length = sys.maxsize
    return nlp


def metaie_of(nlp: "Language") -> "MetaIE":
    """The first `metaie` component of a pipeline.

    RAISES (ValueError): it has none.
    """
    for name, pipe in nlp.pipeline:
        if nlp.get_pipe_meta(name).factory == "metaie":
            return pipe
    raise ValueError(f"The pipeline has no 'metaie' component, only {nlp.pipe_names}.")
