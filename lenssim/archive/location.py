"""The place where version 0.1.0 had `Location`: scripts written for it still work."""

from lenssim.storage.location import Location

__all__ = ["Location"]
