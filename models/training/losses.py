"""Training loss: ultralytics' oriented loss, adapted to upright labels of tilted plates."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.training.network import make_anchors, probiou, rbox2dist, v8OBBLoss

GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5, "angle": 3.0}
# Below this ratio of its sides, which side of a plate is the longer one is hardly to be seen.
NEARLY_SQUARE = 1.5
# Weight of "it is level" for a nearly square box that was found in a nearly square upright label.
_LEVEL = 0.3


def upright_hull(boxes: Tensor) -> Tensor:
    """Return the upright bounding boxes of rotated boxes (N, 5) xywhr as (N, 5) with angle 0."""
    x, y, w, h, angle = boxes.unbind(-1)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    return torch.stack([x, y, w * cos + h * sin, w * sin + h * cos, torch.zeros_like(x)], -1)


def squareness(boxes: Tensor) -> Tensor:
    """Return for boxes (N, 5) xywhr 1 if square, falling to 0 at the ratio NEARLY_SQUARE."""
    sides = boxes[:, 2:4].clamp(min=1e-3)
    ratio = sides.amax(1) / sides.amin(1)
    return ((NEARLY_SQUARE - ratio) / (NEARLY_SQUARE - 1)).clamp(0, 1)


def nearer_axes(goals: Tensor, angles: Tensor) -> Tensor:
    """Return the goals (N, 5) xywhr, nearly square ones by the axes that are nearer to ``angles``.

    A rectangle turned by 90° with its sides exchanged is itself. Of a nearly square plate the label
    says either, by chance; the mean of the two would be a diamond.
    """
    x, y, w, h, angle = goals.unbind(-1)
    off = torch.sin(angles - angle) ** 2
    swap = (squareness(goals) > 0) & (off > 0.5)
    # Within the head's range, [-pi/4, 3 pi/4).
    turned = torch.where(angle < math.pi / 4, angle + math.pi / 2, angle - math.pi / 2)
    return torch.where(swap[:, None], torch.stack([x, y, h, w, turned], -1), goals)


def pad_targets(boxes: Tensor, exact: Tensor, image: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Return boxes (batch, M, 5) and flags (batch, M), zero where an image has fewer than M.

    ``boxes`` (N, 5), ``exact`` (N,), ``image`` (N,) indices of the images they belong to.
    """
    counts = torch.bincount(image, minlength=batch)
    longest = int(counts.max()) if len(image) else 0
    padded = torch.zeros(batch, longest, 5)
    flags = torch.zeros(batch, longest)
    for index in range(batch):
        mine = image == index
        padded[index, : int(counts[index])] = boxes[mine]
        flags[index, : int(counts[index])] = exact[mine].float()
    return padded, flags


class _Positives(NamedTuple):
    """Predictions and goals of the anchors (P) that are assigned to a plate.

    ``boxes`` and ``goals`` (P, 5) xywhr in units of the stride, as ``anchors`` (P, 2);
    ``distances`` (P, 4 * reach); ``known`` (P,): the goal's angle counts; ``weight`` (P,).
    """

    distances: Tensor
    boxes: Tensor
    anchors: Tensor
    goals: Tensor
    known: Tensor
    weight: Tensor


class PlateLoss:
    """Loss of a batch.

    A label that is ``exact`` is learnt as it is, with its angle. Any other label is an upright box
    around a plate at an unknown angle. It is compared with the upright hull of the predicted box,
    so that a tilted prediction inside it costs nothing, and it does not train the angle.

    Nearly square plates: a label counts by that one of its two choices of axes that is nearer to
    the prediction, so their angle is learnt modulo 90°, and with up to twice the weight, since the
    overlap of Gaussians says nothing about it. A diamond has a square hull too: in a nearly square
    upright label a nearly square prediction is drawn to the level.
    """

    def __init__(self, network: Any) -> None:
        network.args = type("Gains", (), GAINS)()
        self.base = v8OBBLoss(network)

    def __call__(
        self, preds: dict[str, Any], boxes: Tensor, exact: Tensor, image: Tensor
    ) -> Tensor:
        """Return losses (4,): box, class, distribution, angle.

        ``boxes`` (N, 5): x, y, w, h in px of the batch and radians; ``exact`` (N,);
        ``image`` (N,): the index in the batch.
        """
        base = self.base
        distances, scores, angles = (
            preds[name].float().permute(0, 2, 1).contiguous()
            for name in ("boxes", "scores", "angle")
        )
        anchors, strides = make_anchors([f.float() for f in preds["feats"]], base.stride, 0.5)
        targets, flags = pad_targets(boxes, exact, image, scores.shape[0])
        decoded = base.bbox_decode(anchors, distances, angles)
        gains = torch.tensor(tuple(GAINS.values()))
        # The zeros keep every branch in the graph of a batch without plates.
        idle = 0 * (distances.sum() + angles.sum())
        if not targets.shape[1]:
            found = base.bce(scores, torch.zeros_like(scores)).sum() / scores.shape[0]
            return torch.stack((idle, found, idle, idle)) * gains
        assign = decoded.detach().clone()
        assign[..., :4] *= strides
        _, goal, weight, positive, index = base.assigner(
            scores.detach().sigmoid(),
            assign,
            anchors * strides,
            torch.zeros(*targets.shape[:2], 1),
            targets,
            targets.sum(2, keepdim=True).gt(0),
        )
        total = weight.sum().clamp(min=1)
        found = base.bce(scores, weight).sum() / total
        if not bool(positive.any()):
            return torch.stack((idle, found, idle, idle)) * gains
        goal[..., :4] /= strides
        chosen = _Positives(
            distances=distances[positive],
            boxes=decoded[positive],
            anchors=anchors.expand(*goal.shape[:2], 2)[positive],
            goals=goal[positive],
            known=flags.gather(1, index)[positive].bool(),
            weight=weight[positive].sum(-1) / total,
        )
        box, dfl, angle = self._box_losses(chosen)
        return torch.stack((box, found, dfl, angle)) * gains

    def _box_losses(self, chosen: _Positives) -> tuple[Tensor, Tensor, Tensor]:
        """Return box, distribution and angle loss over the positive anchors."""
        inner: Any = self.base.bbox_loss
        mine, known = chosen.boxes, chosen.known
        wanted = torch.where(
            known[:, None], nearer_axes(chosen.goals, mine.detach()[:, 4]), chosen.goals
        )
        compared = torch.where(known[:, None], mine, upright_hull(mine))
        overlap = probiou(compared, wanted, floor=inner.floor).squeeze(-1)
        box = ((1 - overlap) * chosen.weight).sum()
        reach = inner.dfl_loss.reg_max
        sides = rbox2dist(wanted[:, :4], chosen.anchors, wanted[:, 4:5], reg_max=reach - 1)
        spread = inner.dfl_loss(chosen.distances.view(-1, reach), sides).squeeze(-1)
        dfl = (spread * chosen.weight * known).sum()
        return box, dfl, (_angle_losses(mine, wanted, known) * chosen.weight).sum()


def _angle_losses(mine: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Return the angle loss of each prediction (P, 5); ``wanted`` as by ``nearer_axes``."""
    # sin² of the difference: half a turn is the same rectangle. It is steepest at 45°, the diamond.
    square = squareness(wanted)
    off = torch.sin(mine[:, 4] - wanted[:, 4]) ** 2 * (1 + square)
    aslant = torch.minimum(torch.sin(mine[:, 4]) ** 2, torch.cos(mine[:, 4]) ** 2)
    level = aslant * square * squareness(mine.detach()) * _LEVEL
    return torch.where(known, off, level)
