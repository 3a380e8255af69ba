"""Number formats for prediction: bfloat16 or int8 in the encoder's linear layers, float32 everywhere else."""

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

COMPUTE_DTYPES = ("auto", "float32", "bfloat16", "int8")


class Bfloat16Linear(nn.Module):
    """A linear layer that multiplies in bfloat16 and hands its result on as such.

    Sums with float32 residuals and layer norms stay float32, as under autocast, which would cast
    the weights again in every pass.
    """

    def __init__(self, source: nn.Linear):
        super().__init__()
        self.register_buffer("weight", source.weight.detach().bfloat16())
        self.register_buffer("bias", None if source.bias is None else source.bias.detach().bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        return linear(x.bfloat16(), self.weight, self.bias)


def resolve_dtype(wanted: str, device: torch.device) -> str:
    """The format that predictions are computed in.

    wanted (str): one of COMPUTE_DTYPES; "auto" is float32, the only one in which an answer does not depend on the texts
        that share a batch with it.
    RAISES (ValueError): int8 is asked for on a device that is no CPU.
    """
    if wanted == "int8" and device.type != "cpu":
        raise ValueError(f'compute_dtype = "int8" runs on CPUs only, and the model is on \'{device}\'. Use "auto".')
    return "float32" if wanted == "auto" else wanted


def converted(module: nn.Module, dtype: str) -> nn.Module:
    """A copy for prediction that computes the linear layers of the encoder's blocks in another format.

    All other tensors are shared with `module`, which stays as it is.

    dtype (str): "bfloat16" or "int8".
    """
    tensors = [*module.parameters(), *module.buffers()]
    twin = copy.deepcopy(module, memo={id(tensor): tensor for tensor in tensors}).eval()
    if dtype == "int8":
        quantize(twin.encoder.encoder)
        return twin
    for parent in list(twin.encoder.encoder.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, Bfloat16Linear(child))
    return twin


def quantize(blocks: nn.Module) -> None:
    """Make linear layers int8, in place: weights by output channel, activations by batch (dynamic).

    The second layer of each feed-forward block stays float32: its inputs hold the outliers that
    cost quality when they share one scale with the rest.
    """
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    names = [
        name
        for name, module in blocks.named_modules()
        if isinstance(module, nn.Linear) and not (name.endswith(".output.dense") and "attention" not in name)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the move of this function to a package of its own
        quantize_dynamic(blocks, dict.fromkeys(names, per_channel_dynamic_qconfig), dtype=torch.qint8, inplace=True)
