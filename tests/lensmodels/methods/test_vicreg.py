"""VICReg's three terms, on a case that is worked out by hand."""

import pytest
import torch
from torch import nn

FIRST = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
SECOND = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])


class Given(nn.Module):
    """A projection head whose outputs are known."""

    def __init__(self, *outputs):
        super().__init__()
        self.outputs = iter(outputs)

    def forward(self, features):
        return next(self.outputs)


TERMS = {
    "invariance": 0.5,  # half of the four differences are 1
    # variances 2, 0 and 2, 2: only the second output of the first view is below 1, at 0.01
    "variance": (0.99 / 2 + 0) / 2,
    "covariance": (2**2 + 2**2) / 2,  # both off-diagonal elements of the second view are 2
}


@pytest.mark.parametrize("term", TERMS)
def test_each_term_by_hand(make, views, term):
    method = make("vicreg", **dict.fromkeys(TERMS, 0.0) | {term: 1.0})
    method.projection_head = Given(FIRST, SECOND)
    assert method.loss(views).item() == pytest.approx(TERMS[term], rel=1e-4)


def test_the_paper_weighs_the_terms_25_25_and_1(make, views):
    method = make("vicreg")
    method.projection_head = Given(FIRST, SECOND)
    expected = 25 * TERMS["invariance"] + 25 * TERMS["variance"] + TERMS["covariance"]
    assert method.loss(views).item() == pytest.approx(expected, rel=1e-4)


def test_the_covariance_is_taken_in_float32(make, views):
    method = make("vicreg")
    outputs = [100 + torch.randn(6, 4, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    method.projection_head = Given(*outputs, *outputs)
    expected = method.loss(views).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert method.loss(views).item() == expected
