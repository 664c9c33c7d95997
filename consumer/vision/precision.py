"""How exactly the network counts: less exact numbers are two to three times as fast, where the
hardware has instructions for them. Boxes are always decoded in float32."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def compute_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """Return what ``precision`` means on a device.

    ``auto``: float16 on CUDA; on the CPU bfloat16 where it multiplies matrices of them (AMX), else
    float32. Without AMX, bfloat16 is slower than float32 on many CPUs.
    """
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        fast = torch.cpu.get_capabilities().get("amx_bf16", False)
        return torch.bfloat16 if fast else torch.float32
    return torch.float32 if precision == "float32" else torch.bfloat16


def reduce_precision(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Make ``network`` (ultralytics, with its head as the last layer) count in ``dtype``.

    Its input must be of ``dtype`` then. A position of 1500 px has steps of 8 px in bfloat16 and of
    1 px in float16, so positions are computed from the head's answers in float32.
    """
    network.to(dtype)
    if dtype is not torch.float32:
        head: Any = network.get_submodule("model")[-1]  # type: ignore[index]
        head.dfl.float()
        head._inference = _in_float32(head._inference)  # noqa: SLF001 - no public place for it
    return network


def _in_float32(decode: Callable[[dict[str, Any]], Tensor]) -> Callable[[dict[str, Any]], Tensor]:
    def decoded(answers: dict[str, Any]) -> Tensor:
        exact = {
            name: value.float() if isinstance(value, Tensor) else value
            for name, value in answers.items()
        }
        # Of the feature maps only shape, device and type are looked at: no copy of them.
        exact["feats"] = [
            torch.empty(1, dtype=torch.float32, device=level.device).expand(level.shape)
            for level in answers["feats"]
        ]
        return decode(exact)

    return decoded
