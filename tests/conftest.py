"""Settings of all tests."""

import pytest
from hypothesis import settings

# by default an example that takes 0.2 s fails, as any may on a busy machine
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="module")
def plain_pictures():
    """Stands in for the picture of an archive, the slowest of its documents; see test_preview."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lenssim.preview.preview_png", lambda _: b"\x89PNG, in place of a picture")
        yield
