"""PyTorch: runs checkpoints, on the CPU or a CUDA device."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from consumer.errors import ModelError
from consumer.vision.detect.backends.base import Network, Precision
from consumer.vision.detect.checkpoint import Checkpoint, build_network, load_checkpoint
from consumer.vision.detect.heads import Head


def load(path: Path, device: str, precision: Precision, threads: int) -> Network:
    """Load a checkpoint on a device. Raises ModelError: not a detector, or no such device.

    ``threads`` is set for the whole process, unless it is 0.
    """
    target = _device(device)
    if threads:
        torch.set_num_threads(threads)
    checkpoint = load_checkpoint(path)
    network, head = raw_network(checkpoint)
    dtype = compute_dtype(target, precision)
    placed: nn.Module = network.to(device=target, dtype=dtype)
    placed = placed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = _Forward(_without_python(placed, target, dtype), target, dtype, threads)
    return Network(
        forward, head, checkpoint.name, checkpoint.digest, checkpoint.imgsz, checkpoint.names,
        # A batch adds up in another order than a single image, and so coarse a number shows it.
        # On a CPU, where this is used, batches are no faster anyway.
        one_by_one=dtype is torch.bfloat16,
        batches_matter=target.type == "cuda",
    )  # fmt: skip


def raw_network(checkpoint: Checkpoint) -> tuple[nn.Module, Head]:
    """Return the network of a checkpoint, fused, with the raw output of its head.

    Input float (N, 3, h, w) 0 to 1, output (N, rows, anchors): see ``Head``.
    """
    network: Any = build_network(checkpoint)
    network = network.fuse(verbose=False).requires_grad_(requires_grad=False).eval()
    layer: Any = network.get_submodule("model")[-1]
    head = Head(
        checkpoint.head, int(layer.nc), int(layer.reg_max),
        tuple(int(stride) for stride in layer.stride),
    )  # fmt: skip
    layer._inference = _raw  # noqa: SLF001 - no public way to skip decoding in the network
    return _FirstOutput(network).eval(), head


def compute_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """Return the type for ``precision`` on a device.

    ``auto``: float16 on CUDA; on the CPU bfloat16 where there are instructions for it (AMX,
    AVX-512 BF16: half the time or less), else float32, as emulating it is slower.
    """
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        can = torch.cpu.get_capabilities()
        fast = can.get("amx_bf16", False) or can.get("avx512_bf16", False)
        return torch.bfloat16 if fast else torch.float32
    return torch.float32 if precision == "float32" else torch.bfloat16


class _FirstOutput(nn.Module):
    """Drops the feature maps that ultralytics' networks return too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: Tensor) -> Tensor:
        output = self.network(planes)
        raw: Tensor = output[0] if isinstance(output, tuple) else output
        return raw


@dataclass(frozen=True, slots=True)
class _Forward:
    """Runs a network on uint8 images. ``threads``: 0 for PyTorch's default."""

    run: nn.Module
    device: torch.device
    dtype: torch.dtype
    threads: int

    @torch.inference_mode()
    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.threads and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)  # for this thread only
        pixels = torch.from_numpy(np.ascontiguousarray(batch))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        # The batch is channels_last in memory: permuting copies nothing.
        planes = pixels.permute(0, 3, 1, 2).to(self.dtype).div_(255)
        return np.asarray(self.run(planes).float().cpu().numpy(), np.float32)


def _without_python(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return the network as a graph, which runs without the interpreter's lock.

    Otherwise each of its hundreds of operations would wait for the lock, which the threads that
    decode and encode hold in turn: without it two passes at once are a quarter faster. A network
    that cannot be traced is returned unchanged.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        # Deprecated for torch.export, which has no runtime without a compiler on the CPU.
        warnings.simplefilter("ignore")
        try:
            traced: Any = _trace(network, _example(96, 128, device, dtype))
            frozen: nn.Module = torch.jit.freeze(traced.eval())
        except RuntimeError:
            return network
        return frozen


def _example(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return an input for a network: noise, since zeros would hide differences."""
    noise = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0))
    return noise.to(device, dtype, memory_format=torch.channels_last)


def _trace(network: nn.Module, example: Tensor) -> Any:
    trace: Any = torch.jit.trace
    return trace(network, example, check_trace=False)


def _raw(outputs: dict[str, Tensor]) -> Tensor:
    parts = [outputs[name] for name in ("boxes", "scores", "angle") if name in outputs]
    return torch.cat(parts, dim=1)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"{name!r} is not a device: cpu, cuda or cuda:N") from error
    if device.type not in {"cpu", "cuda"}:
        raise ModelError(f"{name!r} is not supported: cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"{name!r} was asked for, but this PyTorch sees no CUDA device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"{name!r} was asked for, but there are {torch.cuda.device_count()}")
    return device
