"""lensmodels: learn substructure classes and axion masses from archives of lens images.

Data flows one way: an archive is streamed (`data`), its images are seen through views, a method
trains an encoder on them, a task puts a head on it, and the evaluation reports.
"""

from __future__ import annotations
