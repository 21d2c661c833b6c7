"""Runs: what is saved comes back, and what does not fit is refused."""

import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file

from lensmodels.data import ImageContract, InputScaling
from lensmodels.encoders import EncoderSettings
from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.methods import StageSettings
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.model import LensModel
from lensmodels.runs import (
    Measured,
    RunConfig,
    build_model,
    load_encoder,
    load_model,
    load_scaling,
    read_config,
    save_model,
    write_config,
    write_measured,
)
from lensmodels.runs.folder import first_difference
from lensmodels.tasks import AxionMass, Classification, TaskSettings
from lensmodels.views import default_recipe


def config(task=None, encoder="test_resnet"):
    task = task or Classification(TaskSettings())
    scaling = InputScaling(sky_noise=0.02, softening=0.1, mean=0.3, standard_deviation=1.2)
    return RunConfig(
        method="supervised",
        encoder=EncoderSettings(name=encoder),
        task=task.settings,
        data={"url": "archive"},
        pretrain=StageSettings(epochs=0),
        finetune=StageSettings(epochs=1),
        finetune_views=default_recipe("supervised"),
        measured=Measured(num_pix=64, scaling=scaling.to_dict(), task=task.to_dict()),
    )


def with_measured(settings, **changes):
    measured = settings.measured.model_copy(update=changes)
    return settings.model_copy(update={"measured": measured})


def save(run, settings) -> LensModel:
    from lensmodels.tasks import task_from_dict

    model = build_model(
        settings, task_from_dict(settings.measured.task), load_scaling(run, settings)
    ).eval()
    save_model(run, model, settings)
    return model


@pytest.fixture
def images():
    return torch.randn(3, 1, 64, 64)


@pytest.mark.parametrize(
    "task",
    [
        Classification(TaskSettings()),
        AxionMass(TaskSettings(name="axion-mass", loss="gaussian-nll"), mean=-22.8),
    ],
)
def test_a_model_comes_back_with_its_scaling_and_task(tmp_path, images, task):
    model = save(tmp_path, config(task))
    again = load_model(tmp_path)
    assert not again.training
    assert again.scaling.to_dict() == model.scaling.to_dict()
    assert again.task.to_dict() == task.to_dict()
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
        encoder, scaling = load_encoder(tmp_path)
        assert torch.equal(encoder(scaling(images)), model.embed(images))


def test_a_whitening_comes_back_and_is_asked_for_where_it_is_lost(tmp_path, images):
    scaling = InputScaling.measure([{"image": images.repeat(4, 1, 1, 1)}])
    settings = config()
    settings = with_measured(settings, scaling=scaling.to_dict())
    write_measured(tmp_path, settings, scaling)
    save(tmp_path, settings)
    assert torch.equal(load_model(tmp_path).scaling(images), scaling(images))
    (tmp_path / "scaling.safetensors").write_bytes(b"torn")
    with pytest.raises(LensmodelsError, match=r"scaling\.safetensors cannot be read"):
        load_encoder(tmp_path)


def test_a_whitening_of_another_run_is_refused(tmp_path, images):
    scaling = InputScaling.measure([{"image": images.repeat(4, 1, 1, 1)}])
    settings = config()
    other = {"scaling": scaling.to_dict(), "num_pix": 2 * settings.measured.num_pix}
    settings = with_measured(settings, **other)
    write_measured(tmp_path, settings, scaling)
    with pytest.raises(LensmodelsError, match="of another run"):
        load_scaling(tmp_path, settings)


def test_settings_come_back(tmp_path):
    write_config(tmp_path, config())
    assert read_config(tmp_path) == config()


def test_weights_of_another_encoder_are_refused(tmp_path):
    save(tmp_path, config())
    write_config(tmp_path, config(encoder="test_vit"))
    for load in (load_model, load_encoder):
        with pytest.raises(LensmodelsError, match="encoder test_vit"):
            load(tmp_path)


def test_weights_of_another_task_are_refused(tmp_path):
    save(tmp_path, config())
    write_config(tmp_path, config(AxionMass(TaskSettings(name="axion-mass"))))
    with pytest.raises(LensmodelsError, match="task axion-mass"):
        load_model(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    save(tmp_path, config())
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(LensmodelsError, match="cannot be read"):
        load_model(tmp_path)


def test_pickled_weights_are_not_loaded(tmp_path):
    model = save(tmp_path, config())
    torch.save(model, tmp_path / "model.safetensors")
    with pytest.raises(LensmodelsError, match="cannot be read"):
        load_model(tmp_path)


def test_what_is_no_run_or_not_finished_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not a run"):
        load_model(tmp_path)
    write_config(tmp_path, config().model_copy(update={"measured": None}))
    with pytest.raises(UsageError, match="no model yet"):
        load_model(tmp_path)
    with pytest.raises(UsageError, match="no trained encoder yet"):
        load_encoder(tmp_path)


def test_settings_that_plain_pyyaml_wrote_are_read(tmp_path):
    written = config()
    text = yaml.safe_dump(written.model_dump(mode="json"), sort_keys=False)
    assert "&" not in text
    (tmp_path / "config.yaml").write_text(text)
    assert read_config(tmp_path) == written


def test_settings_that_are_not_ours_are_refused(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"method": "byol", "moons": 3}))
    with pytest.raises(UsageError, match=r"config\.yaml"):
        read_config(tmp_path)
    file.write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(UsageError, match=r"config\.yaml"):
        read_config(tmp_path)


def test_a_run_keeps_its_contract_and_one_of_before_opens_without(tmp_path):
    settings = config()
    contract = ImageContract(
        unit="e-/s",
        pixel_scale=0.101,
        sky_noise=0.011,
        ranges=dict.fromkeys(("noise", "sky", "flux", "peak"), (1.0, 2.0)),
    )
    settings = with_measured(settings, contract=contract)
    write_config(tmp_path, settings)
    assert read_config(tmp_path).measured.contract == contract
    values = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del values["measured"]["contract"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    assert read_config(tmp_path).measured.contract is None


def test_timm_reads_the_weights_of_an_encoder(tmp_path, images):
    model = save(tmp_path, config())
    network = timm.create_model("test_resnet", in_chans=1, num_classes=0).eval()
    network.load_state_dict(load_file(tmp_path / "encoder.safetensors"))
    with torch.no_grad():
        features = network(model.scaling(images))
        assert torch.allclose(features, model.embed(images), atol=1e-5)  # memory formats differ


def test_an_encoder_of_version_0_1_0_is_loaded(tmp_path):
    """Its file has the names of the weights behind a prefix."""
    model = save(tmp_path, config())
    file = tmp_path / "encoder.safetensors"
    save_file({f"network.{name}": values for name, values in load_file(file).items()}, file)
    encoder, _ = load_encoder(tmp_path)
    held = model.encoder.state_dict()
    assert all(torch.equal(values, held[name]) for name, values in encoder.state_dict().items())


def begun_without(key, method, run):
    """Settings of a run whose config.yaml does not name a setting of its pretraining, as they are
    read, and those of now."""
    written = config().model_dump(mode="json") | {"method": method}
    written["pretrain"] = PRETRAINING_DEFAULTS[method].model_dump(mode="json")
    wanted = RunConfig.model_validate(written)
    del written["pretrain"][key]
    (run / "config.yaml").write_text(yaml.safe_dump(written))
    return read_config(run), wanted


@pytest.mark.parametrize(("method", "width"), [("byol", 1024), ("simsiam", 512), ("dino", 512)])
def test_a_run_of_before_keeps_the_width_of_its_heads(tmp_path, method, width):
    stored, wanted = begun_without("hidden_units", method, tmp_path)
    assert stored.pretrain.hidden_units == width
    assert first_difference(stored, wanted) is None  # resumed, as it began
    stage = wanted.pretrain.model_copy(update={"hidden_units": 7})
    other = wanted.model_copy(update={"pretrain": stage})
    assert first_difference(stored, other) == ("pretrain.hidden_units", width, 7)


@pytest.mark.parametrize("method", ["dino", "esvit"])
def test_a_run_from_before_heads_had_norms_is_resumed_without(tmp_path, method):
    stored, wanted = begun_without("head_norms", method, tmp_path)
    assert stored.pretrain.head_norms is False
    assert first_difference(stored, wanted) is None
