"""Adapters: what an adaptation changes of weights, as low-rank matrices in a small file (torch only).

A matrix W becomes W + up @ down (LoRA, arXiv 2106.09685), a vector is kept whole. Several adapters stand beside one set
of weights, and a call or a text names the one that it is read with. Embeddings of words and places are never changed.
"""

import copy
import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..data.jsonl import parse_json
from .damage import check_inside, map_file, reading, shown
from .defaults import CALIBRATED
from .encoder import PackedEncoder
from .modules import rescale, uncalibrate
from .saved_config import OPTIONS, allowed
from .tensors import SavedTensors

FORMAT = "metaie adapter 1"
MOST_RANK = 256
DOWN, UP, VECTOR = "down:", "up:", "vector:"  # begin the names of the tensors in a file


class Adapter(NamedTuple):
    """What an adaptation has changed of some weights.

    base (str): hash of the weights that it belongs to, see `hash_of`.
    factors (dict): name of a matrix -> down (rank, columns) and up (rows, rank).
    vectors (dict): name -> what is added to a tensor of any other form.
    options (dict): thresholds and calibrations, as `config.metaie` has them; none: the adapted weights have none.
    schema (dict): labels, and links if there are any, that it was trained for.
    closed (list[str]): labels that give way to none, see `schema.generality`.
    """

    base: str
    factors: dict[str, tuple[Tensor, Tensor]]
    vectors: dict[str, Tensor]
    options: dict[str, Any]
    schema: dict[str, Any]
    closed: list[str]


class LowRank(nn.Module):
    """A matrix plus a product of two thin ones, of which the first starts random and the second at 0."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1], device=weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


@contextmanager
def low_rank(module: PackedEncoder, rank: int) -> Iterator[None]:
    """A context in which low-rank changes of matrices, and vectors, are trained, which then become part of the weights.

    rank (int): of each change; 0: all weights are trained.
    """
    frozen, linear = [], []
    if rank:
        linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
        matrices = [parameter for parameter in module.parameters() if parameter.ndim > 1]
        frozen = [parameter for parameter in matrices if parameter.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        for part in linear:
            parametrize.register_parametrization(part, "weight", LowRank(part.weight, rank))
    try:
        yield
    finally:
        for part in linear:
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
            part._parameters["bias"] = part._parameters.pop("bias")  # behind the weight, where it was
        for parameter in frozen:
            parameter.requires_grad_(True)


def hash_of(module: PackedEncoder, *, calibrated: bool = False) -> str:
    """What tells the weights of one training from another's.

    calibrated (bool): other calibrations of them are told apart too.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if calibrated or (not name.startswith("token_head.") and name != "bias"):  # these a calibration scales
            digest.update(name.encode())
            digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()


def difference(before: Mapping[str, Tensor], after: Mapping[str, Tensor], rank: int) -> tuple[dict, dict]:
    """`Adapter.factors` and `Adapter.vectors` of two states of one module; exact where the change has that rank.

    RAISES (ValueError): `after` has a tensor that `before` lacks, such as a fresh head pass.
    """
    lacking = sorted(after.keys() - before.keys())
    if lacking:
        raise ValueError(
            f"The weights lack '{lacking[0]}', which an adapter cannot add. Take weights that have a head pass, or "
            "adapt a whole pipeline."
        )
    factors, vectors = {}, {}
    for name, new in after.items():
        delta = (new.detach() - before[name].detach()).float().cpu()
        if not delta.any():
            continue
        if delta.ndim == 2 and min(delta.shape) > 2 * rank:
            u, s, v = torch.linalg.svd(delta, full_matrices=False)
            root = s[:rank].sqrt()
            factors[name] = ((root[:, None] * v[:rank]).contiguous(), (u[:, :rank] * root).contiguous())
        else:
            vectors[name] = delta
    return factors, vectors


def adapted(module: PackedEncoder, adapter: Adapter) -> PackedEncoder:
    """A copy of weights with an adapter in them; what the adapter does not change is shared."""
    changed = adapter.factors.keys() | adapter.vectors.keys()
    # The last layer of the head carries the calibration of the weights, in place of which the adapter's comes.
    changed |= {name for name, _ in module.named_parameters() if name.startswith("token_head.") or name == "bias"}
    shared = [tensor for name, tensor in module.named_parameters() if name not in changed]
    shared += list(module.buffers())
    made = copy.deepcopy(module, memo={id(tensor): tensor for tensor in shared}).eval()
    options = made.config.metaie
    uncalibrate(made)
    named = dict(made.named_parameters())
    with torch.no_grad():
        for name, (down, up) in adapter.factors.items():
            named[name].data += up.to(named[name].device) @ down.to(named[name].device)
        for name, delta in adapter.vectors.items():
            named[name].data += delta.to(named[name].device)
    options.update(copy.deepcopy(adapter.options))
    if "calibration" in options:
        rescale(made, options["calibration"]["temperature"], options["calibration"]["bias"])
    options["label_counts"] = {
        label: n for label, n in options.get("label_counts", {}).items() if label not in set(adapter.closed)
    }
    return made


def check_adapter(adapter: Adapter, module: PackedEncoder) -> None:
    """RAISES (ValueError): the adapter belongs to other weights, or does not fit these."""
    if adapter.base != hash_of(module):
        raise ValueError(
            "the adapter belongs to other weights than those of this pipeline. Load it on the package that it was made "
            "with, or make it anew: python -m metaie_spacy fewshot --adapter"
        )
    shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
    for name, (down, up) in adapter.factors.items():
        if shapes.get(name) != (up.shape[0], down.shape[1]) or down.shape[0] != up.shape[1]:
            raise ValueError(f"the adapter's matrix {shown(name)} does not fit the weights")
    for name, delta in adapter.vectors.items():
        if shapes.get(name) != tuple(delta.shape):
            raise ValueError(f"the adapter's tensor {shown(name)} does not fit the weights")


def adapter_bytes(adapter: Adapter) -> bytes:
    """In the format of safetensors, in float16, with the rest of the adapter as metadata."""
    from safetensors.torch import save

    tensors = {f"{VECTOR}{name}": delta for name, delta in adapter.vectors.items()}
    for name, (down, up) in adapter.factors.items():
        tensors |= {f"{DOWN}{name}": down, f"{UP}{name}": up}
    facts = {key: getattr(adapter, key) for key in ("base", "options", "schema", "closed")}
    return save(
        {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()},
        {"format": FORMAT, "adapter": json.dumps(facts, ensure_ascii=False)},
    )


def parse_adapter(content: bytes | memoryview, source: str) -> Adapter:
    """Read as data: the file need not be trusted. RAISES (ValueError): it is no adapter, or a damaged one."""
    with reading(source):
        saved = SavedTensors(content)
        if saved.metadata.get("format") != FORMAT:
            raise ValueError("it is no adapter: fewshot --adapter writes them")
        facts = parse_json(saved.metadata.get("adapter", "").encode("utf8"))
        kinds = {"base": str, "options": dict, "schema": dict, "closed": list}
        for key, kind in kinds.items():
            if not isinstance(facts, dict) or not isinstance(facts.get(key), kind):
                raise ValueError(f"its '{key}' is missing, or of another kind")
        options, unknown = allowed(facts["options"], {key: OPTIONS[key] for key in CALIBRATED}, "")
        if unknown or not all(isinstance(label, str) for label in facts["closed"]):
            raise ValueError("its options or labels are none")
        found: dict[str, dict[str, Tensor]] = {DOWN: {}, UP: {}, VECTOR: {}}
        for name, tensor in saved.read(saved.shapes).items():
            kind = next((kind for kind in found if name.startswith(kind)), None)
            if kind is None:
                raise ValueError(f"it holds a tensor of no kind: {shown(name)}")
            found[kind][name.removeprefix(kind)] = tensor
        down, up = found[DOWN], found[UP]
        if down.keys() != up.keys() or any(t.ndim != 2 for t in (*down.values(), *up.values())):
            raise ValueError("its matrices are not whole")
        if any(len(tensor) > MOST_RANK for tensor in down.values()):
            raise ValueError(f"its matrices have a rank above {MOST_RANK}")
        factors = {name: (down[name], up[name]) for name in down}
        return Adapter(facts["base"], factors, found[VECTOR], options, facts["schema"], facts["closed"])


def read_adapter(path: str | Path) -> Adapter:
    """RAISES (ValueError): there is no such file, or as `parse_adapter`."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no adapter '{path}'. fewshot --adapter writes one.")
    with reading(f"'{path}'"):
        content = map_file(check_inside(path.parent, path.name))
    return parse_adapter(content, f"'{path}'")
