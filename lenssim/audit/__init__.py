"""The leak audit: whether anything but dark matter tells the classes of an archive apart.

features            what is looked at: columns and statistics of images
image_statistics    of the observation, without the substructure's own signal
measurement_errors  of the columns, by Fisher information
scores              gradient boosting, cross-validated; areas under the ROC curve
leak_audit          all of it together
recording           audit.json and the card
table               the result on a terminal
command             lenssim audit
"""

from __future__ import annotations

from lenssim.lazy_names import lazy_names

_HOMES = {
    "AuditRecord": "lenssim.archive.audit_record",
    "audit": "lenssim.audit.leak_audit",
    "check_counts": "lenssim.audit.leak_audit",
    "record_audit": "lenssim.audit.recording",
    "why_not_recorded": "lenssim.audit.recording",
}

__getattr__ = lazy_names(__name__, _HOMES)
