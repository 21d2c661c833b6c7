"""Losses of the methods, on cases that can be worked out by hand, and what gets a gradient."""

import math

import pytest
import torch
from lightly.loss import DINOLoss, NegativeCosineSimilarity, NTXentLoss
from torch import nn


class Trainer:
    """As much of a trainer as a schedule asks for."""

    world_size, global_rank = 1, 0

    def __init__(self, step=0):
        self.global_step = step


class Other(nn.Module):
    """Predicts the second of two outputs from the first, and the first from the second."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, outputs):
        return self.second if torch.equal(outputs, self.first) else self.first


def attach(method, step=0):
    method._trainer = Trainer(step)
    return method


def test_nt_xent_of_two_orthogonal_pairs():
    # each view has one positive of similarity 1 and two negatives of similarity 0
    loss = NTXentLoss(temperature=0.5)(torch.eye(2), torch.eye(2))
    assert loss == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 2)), rel=1e-5)


def test_contrastive_loss_does_not_mind_the_order_of_the_images_or_of_the_views(make, views):
    method = make("contrastive-noise").eval()
    loss = method.loss(views).item()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = method.loss([view[order] for view in views]).item()
    mixed = method.loss([views[0], views[1][order]]).item()
    assert shuffled == pytest.approx(loss, rel=1e-5)
    assert method.loss(views[::-1]).item() == pytest.approx(loss, rel=1e-5)
    assert mixed != pytest.approx(loss, rel=1e-5)


def test_negative_cosine_is_least_for_parallel_vectors():
    loss = NegativeCosineSimilarity()
    assert loss(torch.tensor([[1.0, 0]]), torch.tensor([[7.0, 0]])) == -1
    assert loss(torch.tensor([[1.0, 0]]), torch.tensor([[0, 2.0]])) == 0


def test_byol_loss_of_a_prediction_that_is_right_is_minus_one(make, views):
    method = make("byol").eval()
    method.prediction_head = nn.Identity()
    assert method.loss([views[0], views[0]]).item() == pytest.approx(-1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "networks"),
    [("byol", ("online", "target")), ("simsiam", ("encoder", "projection_head"))],
)
def test_what_is_predicted_is_of_the_other_view(make, name, networks):
    method = make(name)
    for network in networks:
        setattr(method, network, nn.Identity())
    # two orthogonal views, predicted from each other, and each from itself
    views = [torch.tensor([[1.0, 0]]), torch.tensor([[0, 1.0]])]
    method.prediction_head = Other(*views)
    assert method.loss(views).item() == -1
    method.prediction_head = nn.Identity()
    assert method.loss(views).item() == 0


def test_byol_target_gets_no_gradient(make, views):
    method = make("byol")
    method.loss(views).backward()
    assert all(weights.grad is None for weights in method.target.parameters())
    trained = [*method.online.parameters(), *method.prediction_head.parameters()]
    assert all(weights.grad is not None for weights in trained)


@pytest.mark.parametrize(
    ("name", "fast", "slow"), [("byol", "online", "target"), ("dino", "student", "teacher")]
)
def test_the_average_starts_equal_and_moves_by_its_momentum(make, name, fast, slow):
    method = attach(make(name))
    fast, slow = getattr(method, fast), getattr(method, slow)
    before = [weights.clone() for weights in slow.parameters()]
    assert all(map(torch.equal, before, fast.parameters()))
    with torch.no_grad():
        for weights in fast.parameters():
            weights.add_(1.0)
    method.on_train_batch_start({}, 0)
    moved = 0.1  # of a training of 100 steps
    for old, new in zip(before, slow.parameters(), strict=True):
        assert torch.allclose(new, old + moved, atol=1e-6)


@pytest.mark.parametrize(("steps", "momentum"), [(100, 0.9), (50_000, 0.99), (10**6, 0.996)])
def test_a_longer_training_averages_over_more_steps(make, steps, momentum):
    assert make("byol").stage.momentum_at(0, steps) == pytest.approx(momentum)


def test_settings_of_a_method_reach_it(make, views):
    soft, sharp = (make("contrastive-noise", temperature=value).eval() for value in (1e3, 0.1))
    guess = math.log(2 * len(views[0]) - 1)
    assert soft.loss(views).item() == pytest.approx(guess, rel=1e-3)
    assert sharp.loss(views).item() != pytest.approx(guess, rel=1e-2)
    assert make("byol", momentum=0.5).stage.momentum_at(0, 100) == 0.5
    dino = make("dino", prototypes=16, student_temperature=0.2)
    assert dino.student(views[0]).shape == (6, 16)
    assert dino.criterion.student_temp == 0.2


def test_the_teacher_s_temperature_rises_to_what_was_set(make, views):
    dino = attach(make("dino", teacher_temperature=0.5), step=100)
    given = []

    def record(module, inputs, settings):
        given.append(settings["teacher_temp"])

    dino.criterion.register_forward_pre_hook(record, with_kwargs=True)
    dino.loss(views)
    attach(dino, step=0).loss(views)
    assert given == [pytest.approx(0.5), pytest.approx(0.04)]


def test_the_average_stands_still_at_the_end(make):
    method = attach(make("byol"), step=100)
    with torch.no_grad():
        for weights in method.online.parameters():
            weights.add_(1.0)
    before = [weights.clone() for weights in method.target.parameters()]
    method.on_train_batch_start({}, 0)
    assert all(map(torch.equal, before, method.target.parameters()))


def test_simsiam_stops_the_gradient_at_the_projection(make, views):
    method = make("simsiam")
    method.prediction_head.requires_grad_(False)
    for weights in method.prediction_head.parameters():
        weights.zero_()
    # a predictor that gives nothing leaves only the stopped branch, which has no gradient
    loss = method.loss(views)
    loss.backward()
    found = [weights.grad for weights in method.encoder.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in found)


def test_simsiam_without_the_stop_would_have_another_gradient(make, views):
    method = make("simsiam").eval()
    method.loss(views).backward()
    stopped = method.projection_head.layers[0].weight.grad.clone()
    method.zero_grad()
    first, second = (method.projection_head(method.encoder(view)) for view in views)
    predict, criterion = method.prediction_head, method.criterion
    (0.5 * (criterion(predict(first), second) + criterion(predict(second), first))).backward()
    assert not torch.allclose(stopped, method.projection_head.layers[0].weight.grad)


def test_dino_loss_by_hand():
    loss = DINOLoss(output_dim=2, student_temp=0.1)
    first, second = torch.tensor([[0.0, 0.1]]), torch.tensor([[0.2, 0.0]])
    teacher = [torch.softmax(values / 0.04, 1) for values in (first, second)]
    student = [torch.log_softmax(values / 0.1, 1) for values in (first, second)]
    expected = -0.5 * ((teacher[0] * student[1]).sum() + (teacher[1] * student[0]).sum())
    given = loss([first, second], [first, second], teacher_temp=0.04)
    assert given == pytest.approx(expected.item(), rel=1e-5)


def test_dino_centre_follows_the_teachers_mean(make, views):
    method = attach(make("dino"))
    with torch.no_grad():
        outputs = torch.cat([method.teacher(view) for view in views])
    method.loss(views)
    centre = method.criterion.center.squeeze()
    assert torch.allclose(centre, 0.1 * outputs.mean(0), atol=1e-6)


def test_dino_subtracts_the_centre_from_the_teacher_s_outputs_alone(make, views):
    method = attach(make("dino")).eval()
    with torch.no_grad():
        teacher = [method.teacher(view) for view in views]
        student = [method.student(view) for view in views]
        centre = torch.linspace(0, 0.1, teacher[0].shape[1])
        method.criterion.center += centre
    sharp = [torch.softmax((outputs - centre) / 0.04, 1) for outputs in teacher]
    guess = [torch.log_softmax(outputs / 0.1, 1) for outputs in student]
    expected = -0.5 * sum((sharp[i] * guess[1 - i]).sum(1).mean() for i in (0, 1))
    assert method.loss(views).item() == pytest.approx(expected.item(), rel=1e-4)


def test_dino_teacher_gets_no_gradient_and_sees_no_local_view(make, views):
    method = attach(make("dino"))
    seen = []
    method.teacher.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    method.loss([*views, torch.zeros(6, 1, 32, 32)]).backward()
    assert len(seen) == 2
    assert all(map(torch.equal, seen, views))
    assert all(weights.grad is None for weights in method.teacher.parameters())
