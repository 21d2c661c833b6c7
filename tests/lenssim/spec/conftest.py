"""Refusals of specifications."""

import pytest

from lenssim.errors import SpecError
from lenssim.spec import load_spec


@pytest.fixture
def check_refusal():
    """A function that checks that B with an override is refused in one sentence with all words."""

    def check(override, words):
        with pytest.raises(SpecError) as caught:
            load_spec("B", [override])
        message = str(caught.value)
        assert message.count("\n") == 0
        assert message.endswith(".")
        for word in words:
            assert word in message
        for jargon in ("Input", "instance", "^", "None"):
            assert jargon not in message

    return check
