"""oneDNN on the CPU: a convolution and its activation in one step, its weights laid out for it.

PyTorch runs the two one after the other, each over all of the memory, and reorders the weights in
every pass. Measured with YOLOv8n-OBB at 640 x 448, two passes at once on two cores: 32 instead of
39 ms in float32, 19 instead of 22.5 ms in bfloat16. torch.compile would do the same, but needs a
C++ compiler, which a server lacks; it uses these two operators. They are not public: where they are
missing or have other results, the network stays as it was, without a message; a test checks the
pinned PyTorch.
"""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

# ruff: noqa: SLF001 - the operators have no public names

_MAX_DIFFERENCE = 0.02
"""Of results: mean difference over mean absolute value. In bfloat16 it is 0.004."""


class _Step(nn.Module):
    """A convolution and SiLU, for inputs of about ``size`` (N, C, h, w).

    TorchScript compiles it: the operator's empty list cannot be traced.
    """

    def __init__(self, convolution: nn.Conv2d, size: torch.Size) -> None:
        super().__init__()
        self.padding = [int(number) for number in convolution.padding]
        self.stride = list(convolution.stride)
        self.dilation = list(convolution.dilation)
        self.groups = convolution.groups
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach(), self.padding, self.stride, self.dilation, self.groups,
            list(size),
        )  # fmt: skip
        self.bias = None if convolution.bias is None else convolution.bias.detach()

    def forward(self, planes: Tensor) -> Tensor:
        done: Tensor = torch.ops.mkldnn._convolution_pointwise(
            planes, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups,
            "swish", [], "",
        )  # fmt: skip
        return done


def in_one_step(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a network that does the same in fewer steps, or ``network`` if that fails.

    ``network``: one of ultralytics', fused, on the CPU. ``example``: an input (1, 3, h, w) of the
    size that the layout of the weights is chosen for; other sizes work too.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # TorchScript is deprecated: see _without_python
        try:
            fewer = _with_steps(network, example)
            expected, result = network(example).float(), fewer(example).float()
        except (AttributeError, OSError, RuntimeError):
            return network
    difference = (result - expected).abs().mean()
    return fewer if difference <= _MAX_DIFFERENCE * expected.abs().mean() else network


def _with_steps(network: nn.Module, example: Tensor) -> nn.Module:
    fewer = copy.deepcopy(network)
    sizes = _input_sizes(fewer, example)
    for module in list(fewer.modules()):
        # ultralytics' Conv: `act(conv(x))`.
        convolution: Any = getattr(module, "conv", None)
        if convolution in sizes and isinstance(getattr(module, "act", None), nn.SiLU):
            module.conv = torch.jit.script(_Step(convolution, sizes[convolution]))
            module.act = nn.Identity()
    return fewer


def _input_sizes(network: nn.Module, example: Tensor) -> dict[nn.Module, torch.Size]:
    """Return the input size of each convolution that oneDNN's operator can do."""
    sizes: dict[nn.Module, torch.Size] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes[module] = inputs[0].shape

    hooks = [
        module.register_forward_pre_hook(note)
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and _is_plain(module)
    ]
    try:
        network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


def _is_plain(convolution: nn.Conv2d) -> bool:
    return convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
