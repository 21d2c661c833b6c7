"""Runs that keep what they measured on validation images."""

import pytest

from lensmodels.reporting.run_page import evaluate
from lensmodels.runs import read_config, write_config


@pytest.fixture(scope="session")
def held_out(make_run):
    """Makes a run with more validation images than usual, and evaluates it.

    108 for the classification and 36 for the axion mass, for which so few are accepted.
    """
    made = {}

    def make(task):
        if task not in made:
            run = make_run(task, name=f"held-out-{task}")
            config = read_config(run)
            data = config.data.model_copy(update={"validation_fraction": 0.9})
            write_config(run, config.model_copy(update={"data": data}))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("lensmodels.evaluation.held_out.MIN_HELD_OUT", 30)
                made[task] = run, evaluate(run)
        return made[task]

    return make
