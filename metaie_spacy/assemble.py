"""Weights -> a spaCy pipeline on disk, ready for `spacy package`."""
import shutil
from pathlib import Path
from typing import Iterable

import spacy
import srsly

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def assemble(
    weights: str | Path,
    output: str | Path,
    *,
    lang: str = "en",
    name: str = "metaie_sm",
    meta: str | Path | None = None,
    include: Iterable[str | Path] = (),
    save_dtype: str = "float16",
    architecture: str = "LabelToSpan",
    encoder: str = ENCODER,
) -> None:
    """Write a pipeline with one `metaie` component.

    weights (str | Path): the `model/` directory of a distillation, or a package.
    output (Path): takes the pipeline. name (str): the package's name without the language.
    meta (Path | None): JSON that is merged into the pipeline's meta.json (version, licence, sources ...).
    include (Iterable[Path]): files that the package carries; NOTICE also becomes LICENSES_SOURCES.
    save_dtype (str): "float16" or "float32". architecture, encoder (str): what the weights were trained with.
    RAISES (ValueError): no such weights.
    """
    nlp = spacy.blank(lang)
    model = {"@architectures": f"metaie-spacy.{architecture}.v1", "name": encoder, "save_dtype": save_dtype}
    pipe = nlp.add_pipe("metaie", config={"weights": f"{lang}_{name}", "model": model})
    pipe.load_from(str(weights))
    nlp.meta.update({"name": name} | (srsly.read_json(meta) if meta else {}))
    nlp.to_disk(output)
    for file in map(Path, include):
        shutil.copy(file, Path(output) / file.name)
        if file.name == "NOTICE":
            shutil.copy(file, Path(output) / "LICENSES_SOURCES")  # the name that `spacy package` looks for
