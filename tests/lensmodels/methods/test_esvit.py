"""EsViT: which regions are compared, and that every kind of encoder has them."""

import math

import pytest
import torch

TINY = {"embed_dim": 16, "num_heads": 1, "depth": 1}
SWIN = {"patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4}
ENCODERS = {
    "test_resnet": {},
    "vit_tiny_patch16_224": {"patch_size": 8, **TINY},
    "swin_tiny_patch4_window7_224": SWIN,
}


class Trainer:
    world_size, global_rank, global_step = 1, 0, 0


@pytest.fixture
def esvit(make):
    def esvit(encoder="test_resnet", **settings):
        method = make("esvit", encoder, arguments=ENCODERS[encoder], prototypes=16, **settings)
        method._trainer = Trainer()
        return method

    return esvit


def test_a_region_learns_from_the_region_most_like_it(esvit):
    method = esvit(student_temperature=1.0, teacher_temperature=0.04)
    known, found = torch.eye(2)[None], torch.tensor([[[0.1, 5.0]]])  # most like the second
    outputs = torch.zeros(1, 2, 16)
    outputs[0, 0, 3] = outputs[0, 1, 7] = 9.0  # certain of prototypes 3 and 7
    guess = torch.zeros(1, 1, 16)
    guess[0, 0, 7] = 2.0
    loss = method.region_loss((known, outputs), (found, guess))
    expected = math.log(math.exp(2) + 15) - 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_order_of_the_teacher_s_regions_does_not_matter(esvit):
    method = esvit()
    generator = torch.Generator().manual_seed(0)

    def regions(count):
        return [torch.randn(3, count, 16, generator=generator) for _ in range(2)]

    teacher, student = regions(9), regions(4)
    order = torch.randperm(9, generator=generator)
    loss = method.region_loss(teacher, student)
    permuted = method.region_loss([values[:, order] for values in teacher], student)
    assert permuted.item() == pytest.approx(loss.item(), rel=1e-5)
    others = [teacher[0][:, order], teacher[1]]  # features that belong to other assignments
    assert method.region_loss(others, student).item() != pytest.approx(loss.item(), rel=1e-3)


def test_the_centre_of_regions_is_subtracted_and_follows_the_teacher(esvit, views):
    method = esvit(student_temperature=1.0, teacher_temperature=0.04)
    same = torch.ones(1, 1, 16)
    outputs = torch.zeros(1, 1, 16)
    outputs[..., 3], outputs[..., 7] = 9.0, 8.0  # without the centre, 3 is assigned
    guess = torch.zeros(1, 1, 16)
    guess[..., 7] = 2.0
    with torch.no_grad():
        method.region_center.value[..., 3] = 5.0
    loss = method.region_loss((same, outputs), (same, guess))
    assert loss.item() == pytest.approx(math.log(math.exp(2) + 15) - 2, rel=1e-5)
    method = esvit()
    with torch.no_grad():
        seen = torch.cat([method._outputs("teacher", view)[1][1] for view in views])
    method.loss(views)
    expected = 0.1 * seen.mean((0, 1))
    assert torch.allclose(method.region_center.value.squeeze(), expected, atol=1e-6)


def test_matches_are_found_in_float32(esvit):
    method = esvit()
    generator = torch.Generator().manual_seed(0)
    # features that bfloat16 cannot tell apart
    teacher, student = (
        (1 + 1e-3 * torch.randn(2, 9, 16, generator=generator), torch.randn(2, 9, 16))
        for _ in range(2)
    )
    expected = method.region_loss(teacher, student).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert method.region_loss(teacher, student).item() == expected


def test_the_teacher_sees_no_local_view(esvit, views):
    method = esvit()
    seen = []
    network = method.teacher[0]
    compute = network.pooled_and_regions
    network.pooled_and_regions = lambda view: seen.append(view) or compute(view)
    method.loss([*views, torch.randn(6, 1, 32, 32)])
    assert len(seen) == 2
    assert all(map(torch.equal, seen, views))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_kind_of_encoder_learns_from_regions_and_local_views(esvit, views, encoder):
    method = esvit(encoder)
    method.loss([*views, torch.randn(6, 1, 32, 32)]).backward()
    teacher = [method.teacher, method.teacher_region_head]
    assert all(weights.grad is None for part in teacher for weights in part.parameters())
    for part in (method.student, method.student_region_head):
        for weights in part.parameters():
            assert weights.grad is not None or not weights.requires_grad


def test_the_loss_is_the_mean_of_dino_s_and_that_of_regions(esvit, views):
    method = esvit().eval()
    whole = super(type(method), method).loss(views)
    method.criterion.center.zero_()
    with torch.no_grad():
        regions = [
            method._outputs(name, view)[1] for name in ("teacher", "student") for view in views
        ]
    pairs = [(regions[0], regions[3]), (regions[1], regions[2])]
    local = sum(method.region_loss(*pair) for pair in pairs) / 2
    assert method.loss(views).item() == pytest.approx((whole + local).item() / 2, rel=1e-5)


def test_the_teacher_s_region_head_follows_the_student_s(esvit):
    method = esvit()
    before = [weights.clone() for weights in method.teacher_region_head.parameters()]
    with torch.no_grad():
        for weights in method.student_region_head.parameters():
            weights.add_(1.0)
    method.on_train_batch_start({}, 0)
    for old, new in zip(before, method.teacher_region_head.parameters(), strict=True):
        assert torch.allclose(new, old + 0.1, atol=1e-6)  # of a training of 100 steps
