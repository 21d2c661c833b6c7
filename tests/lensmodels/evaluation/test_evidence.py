"""The shipped scores of the evidence ratio are those of the experiment."""

import json
from pathlib import Path

import pytest

from lensmodels.evaluation.evidence import evidence_ratio_auc
from lenssim import load_spec

RESULTS = Path(__file__).parents[3] / "experiments" / "results"


@pytest.mark.parametrize("refit_snr", ["all", "test", "none"])
def test_the_score_is_found_by_the_specification(refit_snr):
    spec = load_spec("B-wide", [f"observation.refit_snr={refit_snr}"])
    found = json.loads((RESULTS / "evidence_ratio.json").read_text())["figures"]["scores"]
    assert evidence_ratio_auc(spec.sha256) == tuple(found["evidence"]["all > 0"])
    assert evidence_ratio_auc(spec.sha256)[0] < found["known"]["all > 0"][0]


def test_other_specifications_have_none():
    assert evidence_ratio_auc(load_spec("B").sha256) is None
    wider = load_spec("B-wide", ["instrument.exposure_time=1000.0"])
    assert evidence_ratio_auc(wider.sha256) is None
