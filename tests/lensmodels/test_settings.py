"""Settings: a method's defaults, changed by options."""

import pytest
import yaml
from pydantic import ValidationError

import lenssim
from lensmodels.errors import DataError, UsageError
from lensmodels.runs import Measured, read_config, write_config
from lensmodels.settings import config_from_options, setting_table


def test_defaults_are_the_methods(lenses):
    config = config_from_options({"data": str(lenses), "method": "dino"})
    assert config.pretrain.epochs == 100
    assert [view.window for view in config.pretrain_views] == [None, 32]
    assert config.data.classes == config.pretrain_classes == ("axion", "cdm", "no_sub")


def test_options_and_overrides_change_them(lenses):
    config = config_from_options(
        {
            "data": str(lenses),
            "method": "byol",
            "encoder": "vit_tiny_patch16_224",
            "patch_size": 8,
            "task": "axion-mass",
            "lr": 1e-4,
            "seed": 7,
            "overrides": [
                "views.0.noise=[0, 0.5]",
                "encoder.arguments={depth: 6}",
                "pretrain.weight_decay=0.1",
            ],
        }
    )
    assert config.pretrain_views[0].noise == (0, 0.5)
    assert config.encoder.arguments == {"depth": 6}
    assert config.pretrain.weight_decay == 0.1
    assert config.finetune.learning_rate == config.pretrain.learning_rate == 1e-4
    assert config.seed == config.data.seed == 7
    assert config.data.classes == ("axion",)
    assert len(config.pretrain_classes) == 3


def test_residuals_are_stretched_and_images_whitened_unless_asked_otherwise(lenses):
    def scaling(*overrides, **options):
        data = config_from_options({"data": str(lenses), **options, "overrides": overrides}).data
        return data.scaling, data.softening

    assert scaling() == ("whitened", None)
    assert scaling(input="residual") == scaling(input="both") == ("asinh", 20)
    assert scaling("data.softening=7", input="both") == ("asinh", 7)
    assert scaling("data.scaling=whitened", input="both") == ("whitened", None)


@pytest.mark.parametrize("number", ["1e-4", "1.0e-4", ".0001", "0.0001"])
def test_a_number_is_read_however_it_is_written(lenses, number):
    options = {"data": str(lenses), "overrides": [f"finetune.learning_rate={number}"]}
    assert config_from_options(options).finetune.learning_rate == 1e-4


def test_views_files_follow_yaml_1_2(lenses, tmp_path):
    file = tmp_path / "mine.yaml"
    options = {"data": str(lenses), "method": "simsiam", "views": file}
    file.write_text("- {noise: [0, 5e-1]}\n- {blur: [.5, 1e0]}\n")
    assert config_from_options(options).pretrain_views[1].blur == (0.5, 1)
    for text, message in {
        "- {blur: [0, 1]}\n- {noise: [0, 1], noise: [0, 2]}\n": "key 'noise' is given twice",
        "- &a {blur: [0, 1]}\n- *a\n": "aliases are not allowed",
    }.items():
        file.write_text(text)
        with pytest.raises(UsageError, match=message):
            config_from_options(options)


def test_a_method_has_settings_of_its_own(lenses, tmp_path):
    options = {"data": str(lenses), "method": "contrastive-rotation"}
    assert config_from_options(options).pretrain.temperature == 0.1
    config = config_from_options({**options, "overrides": ["pretrain.temperature=0.5"]})
    assert config.pretrain.temperature == 0.5
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config


def test_views_are_read_from_a_file(lenses, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("- {symmetry: any}\n- {blur: [0.5, 1]}\n")
    config = config_from_options({"data": str(lenses), "method": "simsiam", "views": file})
    assert config.pretrain_views[1].blur == (0.5, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overrides": ["moons"]}, "KEY=VALUE"),
        ({"overrides": ["moons=3"]}, "moons"),
        (
            {"overrides": ["data.moons=3"]},
            r"There is no setting data\.moons; data has the keys url",
        ),
        ({"overrides": ["train_size=3"]}, r"train_size \(did you mean data\.train_size\?\)"),
        ({"overrides": ["views.0.nois=[0, 1]"]}, r"did you mean pretrain_views\.0\.noise\?"),
        ({"overrides": ["pretrain.momntum=1"]}, r"did you mean pretrain\.momentum\?"),
        ({"overrides": ["data.url.x=1"]}, r"'data\.url' is a value, not a section"),
        ({"overrides": ["seed=[1"]}, "--set seed is not valid YAML"),
        ({"overrides": ["data.classes=[axion]"]}, "choose a --task"),
        ({"overrides": ["task.classes=[cdm]"]}, r"task\.classes = .*two classes at least"),
        ({"task": "axion-mass", "overrides": ["task.classes=[cdm]"]}, "only images of class axion"),
        ({"overrides": ["data=3"]}, "data = 3"),
        ({"overrides": ["task=3"]}, "task = 3"),
        ({"overrides": ["views.7.noise=3"]}, r"views\.7\.noise"),
        ({"overrides": ["views.0.noise=[2, 1]"]}, "lower bound"),
        ({"overrides": ["finetune_views.0.count=2"]}, "one view"),
        ({"overrides": ["task.quadrupole=1"]}, "axion mass"),
        ({"task": "axion-mass", "frozen": True, "overrides": ["task.quadrupole=1"]}, "frozen"),
        ({"overrides": ["views.0.count=3"]}, "BYOL compares 2 views, not 3"),
        ({"labels": 2.0}, r"data\.labels = 2\.0 \(--labels\): .*Share of the training images"),
        ({"overrides": ["pretrain.momentum=1"]}, r"pretrain\.momentum = 1: Input should be less"),
        ({"overrides": ["pretrain.temperature=0.5"]}, r"There is no setting pretrain\.temperature"),
        ({"overrides": ["method=simsiam"]}, "use --method"),
        (
            {"method": "dino", "overrides": ["pretrain.teacher_temperature=.inf"]},
            r"pretrain\.teacher_temperature = inf",
        ),
    ],
)
def test_what_cannot_be_is_named(lenses, options, message):
    with pytest.raises(UsageError, match=message):
        config_from_options({"data": str(lenses), "method": "byol", **options})


def test_data_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        config_from_options({"data": str(tmp_path / "nowhere"), "method": "byol"})


def test_classes_and_size_are_those_of_the_archive(tmp_path):
    options = {"train": 2, "test": 1, "overrides": ["instrument.num_pix=32"]}
    lenssim.generate("B", ["axion", "no_sub"], out=tmp_path / "two", **options)
    config = config_from_options({"data": str(tmp_path / "two"), "method": "byol"})
    assert config.task.classes == config.data.classes == ("axion", "no_sub")
    assert config.pretrain_classes == ("axion", "no_sub")
    assert config.data.num_pix == 32
    assert config_from_options(
        {"data": str(tmp_path / "two"), "task": "axion-mass"}
    ).data.classes == ("axion",)


def test_some_of_the_classes_can_be_chosen(lenses):
    options = {"data": str(lenses), "overrides": ["task.classes=[no_sub, axion]"]}
    config = config_from_options(options)
    assert config.task.classes == config.data.classes == ("axion", "no_sub")


def test_settings_of_version_0_1_0_are_of_all_classes(lenses, tmp_path):
    """Its config.yaml has no task.classes."""
    config = config_from_options({"data": str(lenses)})
    write_config(tmp_path, config)
    values = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert values["task"].pop("classes") == ["axion", "cdm", "no_sub"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    assert read_config(tmp_path) == config


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "test_vit", "seed": 7, "labels": 0.5, "overrides": ["finetune.warmup=0.2"]},
        {"method": "dino", "overrides": ["views.1.window=24", "pretrain.prototypes=64"]},
        {"method": "byol", "overrides": ["task.classes=[cdm, no_sub]"]},
        {"task": "axion-mass", "loss": "gaussian-nll", "overrides": ["task.quadrupole=1"]},
    ],
)
def test_the_settings_file_of_a_run_gives_its_settings_again(lenses, tmp_path, options):
    config = config_from_options({"data": str(lenses), **options})
    measured = Measured(num_pix=64, scaling={"kind": "asinh"})
    write_config(tmp_path, config.model_copy(update={"measured": measured, "version": "0.1.0"}))
    assert config_from_options({"config": tmp_path / "config.yaml"}) == config


def test_what_comes_later_wins_file_option_override(lenses, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("data: {batch_size: 1, labels: 0.1}\nfinetune: {epochs: 7, warmup: 0.3}\n")
    options = {"data": str(lenses), "config": file, "batch_size": 2, "seed": 5}
    config = config_from_options({**options, "overrides": ["data.batch_size=3", "seed=6"]})
    assert (config.data.labels, config.finetune.epochs, config.finetune.warmup) == (0.1, 7, 0.3)
    assert config.finetune.learning_rate == 2e-3  # the method's
    assert (config.data.batch_size, config.data.seed, config.seed) == (3, 5, 6)
    assert config_from_options(options).data.batch_size == 2


def test_another_method_than_the_files_has_its_own_pretraining(lenses, tmp_path):
    options = {"data": str(lenses), "method": "dino", "encoder": "test_vit"}
    write_config(tmp_path, config_from_options(options))
    varied = {"config": tmp_path / "config.yaml", "method": "byol"}
    assert config_from_options(varied) == config_from_options({**options, "method": "byol"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "must be a mapping of settings"),
        ("data: {ur: x}\n", r"There is no setting data\.ur \(did you mean data\.url\?\)"),
        ("finetune: {epochs: many}\n", r"finetune\.epochs = 'many'"),
        ("data: 3\n", "'data' is a value"),
    ],
)
def test_a_settings_file_that_cannot_be_is_named(lenses, tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        config_from_options({"data": str(lenses), "config": tmp_path / "mine.yaml"})


def test_a_settings_file_without_an_archive_asks_for_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    with pytest.raises(UsageError, match="--data"):
        config_from_options({"config": tmp_path / "mine.yaml"})


def test_settings_cannot_be_changed_in_place(lenses):
    config = config_from_options({"data": str(lenses)})
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1


def test_every_setting_says_what_it_means():
    table = list(setting_table())
    assert all(setting.meaning for setting in table)
    keys = [setting.key for setting in table]
    assert {"data.batch_size", "pretrain.momentum", "pretrain_views.N.blur"} <= set(keys)
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("method", "images"), [("supervised", "labelled"), ("byol", "all")])
def test_a_baseline_is_scaled_by_its_labelled_images_alone(lenses, method, images):
    options = {"data": str(lenses), "method": method, "labels": 0.5}
    assert config_from_options(options).data.scaling_images == images
    asked = config_from_options({**options, "scaling_images": "unlabelled"})
    assert asked.data.scaling_images == "unlabelled"
    with pytest.raises(UsageError, match="no unlabelled images"):
        config_from_options({**options, "labels": 1.0, "scaling_images": "unlabelled"})


def test_a_run_of_another_method_has_its_own_images_for_the_scaling(lenses, tmp_path):
    write_config(tmp_path, config_from_options({"data": str(lenses), "method": "byol"}))
    stored = tmp_path / "config.yaml"
    config = config_from_options({"config": stored, "method": "supervised"})
    assert config.data.scaling_images == "labelled"
