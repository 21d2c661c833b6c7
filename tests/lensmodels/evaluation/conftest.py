"""Runs with random weights, which are enough to see that what is said of them is true."""

import pytest
import torch

from lensmodels.data import DataSettings, InputScaling, LensDataModule
from lensmodels.encoders import EncoderSettings
from lensmodels.evaluation import embedding_map
from lensmodels.methods import StageSettings
from lensmodels.runs import Measured, RunConfig, build_model, save_model
from lensmodels.tasks import AxionMass, Classification, TaskSettings
from lensmodels.views import default_recipe


@pytest.fixture(scope="session", autouse=True)
def _quick_maps():
    """t-SNE: UMAP is compiled for ten seconds before it draws its first map."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_map, "find_spec", lambda name: None)
        yield


@pytest.fixture(scope="session")
def make_run(tmp_path_factory, lenses):
    """Makes a run of a task, by default on the small archive."""

    def make(
        task="classification",
        *,
        loss="huber",
        data=None,
        name=None,
        seed=0,
        contract=None,
        **settings,
    ):
        torch.manual_seed(seed)
        chosen = TaskSettings(name=task, loss=loss)
        head = Classification(chosen) if task == "classification" else AxionMass(chosen)
        scaling = InputScaling(sky_noise=0.02, softening=0.1, mean=0.3, standard_deviation=1.2)
        config = RunConfig(
            method="supervised",
            encoder=EncoderSettings(name="test_resnet"),
            task=chosen,
            data={"url": data or str(lenses), "classes": chosen.classes},
            pretrain=StageSettings(epochs=0),
            finetune=StageSettings(epochs=1),
            finetune_views=default_recipe("supervised"),
            measured=Measured(
                num_pix=64,
                scaling=scaling.to_dict(),
                task=head.to_dict(),
                sizes={"train": 114, "labelled": 114, "validation": 6, "test": 24},
                contract=contract,
            ),
            **settings,
        )
        run = tmp_path_factory.mktemp("runs") / (name or task)
        save_model(run, build_model(config, head, scaling), config)
        return run

    return make


@pytest.fixture(scope="session")
def contract(lenses):
    """The contract of the small archive."""
    data = LensDataModule(DataSettings(url=str(lenses), workers=0, cache="none"))
    data.setup()
    return data.contract
