"""A small archive of model B for whatever learns, and runs with random weights on it."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import lenssim
from lensmodels.data import DataSettings, InputScaling, LensDataModule
from lensmodels.encoders import EncoderSettings
from lensmodels.methods import StageSettings
from lensmodels.reporting.plots import images as image_plots
from lensmodels.reporting.run_page import evaluate
from lensmodels.runs import (
    Measured,
    RunConfig,
    build_model,
    read_config,
    save_model,
    write_config,
)
from lensmodels.tasks import TaskSettings, task_from_dict
from lensmodels.views import default_recipe
from lenssim.configuration.yaml_reading import format_yaml
from lenssim.spec import load_spec

TRAIN, TEST = 40, 8

SPECIFICATIONS = Path(__file__).parents[1] / "lenssim" / "specifications_1_0_0"
"""Models A and B of version 1.0.0, whose limit of the axion mass is known."""


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_fixtures():
    """Tiny networks gain nothing from more, and lose much where other work shares the cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread():
    """Again before every test: libraries that share torch's threads change their number."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lenses(tmp_path_factory) -> Path:
    """Three classes of 40 train and 8 test images, 64 pixels a side."""
    out = tmp_path_factory.mktemp("lenses") / "B"
    lenssim.generate(SPECIFICATIONS / "B.yaml", out=out, train=TRAIN, test=TEST)
    return out


@pytest.fixture(scope="session")
def small_model(tmp_path_factory) -> Path:
    """Model B with 16 pixels a side, as a file that `live:FILE` names."""
    file = tmp_path_factory.mktemp("specifications") / "B.yaml"
    spec = load_spec("B", ["instrument.num_pix=16"])
    file.write_text(format_yaml(spec.model_dump(mode="json", exclude_none=True)))
    return file


@pytest.fixture
def guesses():
    """Labels, (400,), and probabilities of three classes, (400, 3), right more often than not."""
    generator = np.random.default_rng(5)
    labels = generator.integers(3, size=400)
    scores = generator.normal(size=(400, 3))
    scores[np.arange(400), labels] += 1
    probabilities = np.exp(scores)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture
def web_folder(tmp_path_factory):
    """A folder that a web server serves, and its address."""
    folder = tmp_path_factory.mktemp("web")
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def bars():
    """Draws images, (n, 1, 32, 32), of a bar from the centre on, at angles, (n,), from x to y."""

    def draw(angle):
        y, x = torch.meshgrid(*2 * [torch.arange(32) - 15.5], indexing="ij")
        sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
        across, along = x * sine - y * cosine, x * cosine + y * sine
        return torch.exp(-0.5 * (across**2 / 4 + (along - 4) ** 2 / 6))[:, None]

    return draw


@pytest.fixture(scope="session", autouse=True)
def _quick_maps():
    """t-SNE: UMAP is compiled for ten seconds before it draws its first map."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_plots, "find_spec", lambda name: None)
        yield


@pytest.fixture(scope="session")
def make_run(tmp_path_factory, lenses):
    """Makes a run of a task, by default on the small archive."""

    def make(
        task="classification",
        *,
        loss="huber",
        head="point",
        data=None,
        name=None,
        seed=0,
        contract=None,
        **settings,
    ):
        torch.manual_seed(seed)
        chosen = TaskSettings(name=task, loss=loss, head=head)
        learned = task_from_dict({"settings": chosen.model_dump()})
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
                task=learned.to_dict(),
                sizes={"train": 114, "labelled": 114, "validation": 6, "test": 24},
                contract=contract,
            ),
            **settings,
        )
        run = tmp_path_factory.mktemp("runs") / (name or task)
        save_model(run, build_model(config, learned, scaling), config)
        return run

    return make


@pytest.fixture(scope="session")
def contract(lenses):
    """The contract of the small archive."""
    data = LensDataModule(DataSettings(url=str(lenses), workers=0, cache="none"))
    data.setup()
    return data.contract


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
