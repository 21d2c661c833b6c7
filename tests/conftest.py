"""Settings of all tests."""

from hypothesis import settings

# by default an example that takes 0.2 s fails, as any may on a busy machine
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
