"""Build a RunConfig from a settings file, options and `--set`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, create_model

from lensmodels.data import CLASSES
from lensmodels.data.archives import read_archive, train_classes
from lensmodels.data.live_archive import check_live
from lensmodels.data.unlabelled import check_unlabelled, parse_weights
from lensmodels.encoders import EncoderSettings
from lensmodels.errors import UsageError
from lensmodels.methods.settings import (
    METHOD_NAMES,
    PRETRAINING_DEFAULTS,
    SUPERVISED_DEFAULTS,
    StageSettings,
    check_views,
)
from lensmodels.methods.supervision import check_pairs, supervision_of
from lensmodels.runs import RunConfig
from lensmodels.tasks import TaskSettings
from lensmodels.tasks.settings import check_needs
from lensmodels.views import default_recipe, plain_recipe, read_recipe
from lenssim.configuration.key_values import alternatives, merged, parse_key_value, set_key
from lenssim.configuration.setting_table import Setting, settings_of
from lenssim.configuration.yaml_reading import read_yaml

if TYPE_CHECKING:
    from lenssim.archive import Archive

SCALING_OPTIONS = ("scaling", "scaling_images", "softening", "components")
"""Options of how images are scaled."""

PRETRAINING_KEYS = (
    *("pretrain", "pretrain_views", "pretrain_classes"),
    *("pretrain_unlabelled", "domain_norms"),
)
"""Settings that decide what a pretraining ends with, besides those of data and encoder."""


def option_of(key: str) -> str:
    """The option that sets a key, with underscores: `data` of data.url, `pretrain_epochs`."""
    section, _, name = key.rpartition(".")
    if name in ("name", "url"):
        return section
    return f"{section}_{name}" if section in ("pretrain", "finetune") else name


OPTION_KEYS = {
    option_of(key): key
    for key in (
        "data.input",
        "data.scaling",
        "data.scaling_images",
        "data.softening",
        "data.components",
        "data.url",
        "data.train_size",
        "data.epoch_size",
        "data.test_archive",
        "data.batch_size",
        "data.labels",
        "data.workers",
        "data.cache",
        "data.cache_dir",
        "encoder.name",
        "encoder.patch_size",
        "encoder.small_stem",
        "task.name",
        "task.loss",
        "pretrain.epochs",
        "finetune.epochs",
        "method",
        "pretrained",
        "frozen",
        "domain_norms",
        "device",
        "devices",
        "precision",
        "logger",
    )
}
"""Key of each option that sets one key."""


def config_from_options(options: Mapping[str, Any], *, method: str = "supervised") -> RunConfig:
    """Settings of a run: the method's defaults, changed by a file, then options, then `--set`.

    The classes and the size of the images are the archive's.

    Args:
        options: values of `OPTION_KEYS`; `config`, a YAML file of settings, such as a run's
            config.yaml; `seed`, of everything; `lr`, of every stage; `views`, a file;
            `unlabelled`, archives as "DIR_OR_URL=WEIGHT" or their weights by folder or URL;
            `encoder_settings`, in place of those of the encoder; `pretrained_as`, the settings of a
            run whose encoder is finetuned; `overrides`, as "key=value".
        method: if neither the file nor an option names one.

    Returns:
        Settings, validated.

    Raises:
        UsageError: naming the key, the value and what is allowed.
        DataError: if the archive cannot be read, or does not state what the task needs.
    """
    stored = _read_settings(options["config"]) if "config" in options else {}
    method = options.get("method") or stored.get("method", method)
    if method != stored.get("method", method):  # its pretraining was another method's
        stored = {key: value for key, value in stored.items() if key not in PRETRAINING_KEYS}
        if isinstance(held := stored.get("data"), dict):
            held.pop("scaling_images", None)
    section = stored.get("data", {})
    url = options.get("data") or (section.get("url") if isinstance(section, dict) else None)
    if url is None:
        raise UsageError("Name by --data the archive to learn from.")
    archive = read_archive(url)
    classes = train_classes(archive.manifest)
    values = merged(_defaults(method, classes, pairs=_asks_for_pairs(options, stored)), stored)
    if "encoder_settings" in options:
        values["encoder"] = options["encoder_settings"].model_dump(mode="json")
    if "views" in options:
        stage = "pretrain" if method in PRETRAINING_DEFAULTS else "finetune"
        values[f"{stage}_views"] = plain_recipe(read_recipe(options["views"]))
    values |= _unlabelled(options)
    start: RunConfig | None = options.get("pretrained_as")
    if start is not None:
        values |= start.model_dump(mode="json", include={*PRETRAINING_KEYS})
    for option, key in OPTION_KEYS.items():
        if option in options:
            set_key(values, key, options[option], UsageError)
    if "seed" in options:
        values["seed"] = options["seed"]
        set_key(values, "data.seed", options["seed"], UsageError)
    if "lr" in options:
        set_key(values, "finetune.learning_rate", options["lr"], UsageError)
        if start is None:
            set_key(values, "pretrain.learning_rate", options["lr"], UsageError)
    for override in options.get("overrides", ()):
        _override(values, override, is_pretrained=start is not None)
    return _of_archive(values, classes, archive)


def _read_settings(file: Path) -> dict[str, Any]:
    """What a settings file says, without what a run adds to its config.yaml."""
    values = read_yaml(file, UsageError)
    if not isinstance(values, dict):
        raise UsageError(f"{file} must be a mapping of settings, as the config.yaml of a run is.")
    values = {key: value for key, value in values.items() if key not in ("measured", "version")}
    if isinstance(data := values.get("data"), dict):
        derived = ("classes", "num_pix")
        values["data"] = {key: value for key, value in data.items() if key not in derived}
    return values


def _asks_for_pairs(options: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Whether two images are compared, which have views of their own, not two views of one."""
    key = "pretrain.pairs"
    section = stored.get("pretrain")
    asked = section.get("pairs") if isinstance(section, dict) else None
    for override in options.get("overrides", ()):
        name, value = parse_key_value(override, f"{key}=source", UsageError)
        asked = value if name == key else asked
    return asked not in (None, "none")


def _unlabelled(options: Mapping[str, Any]) -> dict[str, Any]:
    """The setting of unlabelled archives, if an option names any."""
    if "unlabelled" not in options:
        return {}
    given = options["unlabelled"]
    weights = dict(given) if isinstance(given, Mapping) else parse_weights(given)
    return {"pretrain_unlabelled": weights}


RESIDUAL_SCALING = {"scaling": "asinh", "softening": 20.0}
"""Of residuals where none is asked for: nearly linear, as the strongest are rare and would be in
none of the components of a whitening (experiments/results/wide_inputs.md)."""


def _defaults(method: str, classes: Sequence[str], *, pairs: bool) -> dict[str, Any]:
    """Settings of a method for an archive with some classes."""
    values: dict[str, Any] = {
        "method": method,
        "encoder": EncoderSettings().model_dump(mode="json"),
        "task": TaskSettings().model_dump(mode="json", exclude={"classes"}),
        # a supervised baseline learns from nothing but its labelled images
        "data": {"scaling_images": "all" if method in PRETRAINING_DEFAULTS else "labelled"},
        "pretrain": PRETRAINING_DEFAULTS.get(method, StageSettings(epochs=0)).model_dump(),
        "finetune": SUPERVISED_DEFAULTS.model_dump(),
        "finetune_views": plain_recipe(default_recipe("supervised")),
    }
    if method in PRETRAINING_DEFAULTS:
        values["pretrain_views"] = plain_recipe(default_recipe("pairs" if pairs else method))
        values["pretrain_classes"] = list(classes or CLASSES)
    return values


def _of_archive(values: dict[str, Any], classes: Sequence[str], archive: Archive) -> RunConfig:
    """Settings, validated, with the classes and the image size of an archive."""
    data, task = values["data"], values["task"]
    if isinstance(data, dict):
        if "classes" in data:
            raise UsageError(
                "data.classes cannot be set: the classes are the task's; choose a --task, or set "
                "task.classes."
            )
        data.setdefault("num_pix", archive.manifest.model.num_pix)
        if data.get("input", "image") != "image" and "scaling" not in data:
            data.update({**RESIDUAL_SCALING, **data})
    if isinstance(task, dict) and task.get("name") != "axion-mass" and len(classes) > 1:
        task.setdefault("classes", list(classes))
    config = _validated(values)
    check_live(config.data)
    if config.pretrained is None:
        check_pairs(config.method, config.pretrain, config.data.url)
        _check_mixture(config)
    is_measured = config.pretrained is None  # else the scaling is the one of the pretraining
    if is_measured and config.data.scaling_images == "unlabelled" and config.data.labels == 1:
        raise UsageError(
            "data.scaling_images is unlabelled and data.labels 1: there are no unlabelled images; "
            "set data.scaling_images to all, or fewer --labels."
        )
    check_needs(config.task, archive)
    of_task: dict[str, Any] = {
        "data": config.data.model_copy(update={"classes": config.task.classes})
    }
    if config.method not in PRETRAINING_DEFAULTS and config.task.name != "axion-mass":
        of_task["pretrain_classes"] = config.task.classes
    return config.model_copy(update=of_task)


def _check_mixture(config: RunConfig) -> None:
    """Refuse unlabelled archives that cannot be pretrained on beside the data.

    Raises:
        UsageError, DataError: as of `check_unlabelled`, or if the method does not take them.
    """
    if not config.pretrain_unlabelled:
        if config.domain_norms:
            raise UsageError(
                "domain_norms is for a pretraining on several archives: name others by "
                "--unlabelled, or leave it out."
            )
        return
    if config.method not in PRETRAINING_DEFAULTS:
        raise UsageError(
            "--unlabelled is for a pretraining, and the method supervised has none: choose another "
            "--method."
        )
    if supervision_of(config.method, config.pretrain) == "simulator":
        raise UsageError(
            f"{METHOD_NAMES[config.method]} is to learn from what only a simulator knows, which "
            "unlabelled images lack: leave out --unlabelled, or choose another --method."
        )
    check_unlabelled(config.data, config.pretrain_unlabelled, config.devices)


def _validated(values: Mapping[str, Any]) -> RunConfig:
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        key = ".".join(path)
        if first["type"] == "extra_forbidden":
            hint = alternatives(path, _schema(values["method"]))
            raise UsageError(f"There is no setting {key}{hint}.") from None
        option = option_of(key)
        named = f" (--{option.replace('_', '-')})" if OPTION_KEYS.get(option) == key else ""
        meaning = _meaning(key, values["method"])
        raise UsageError(f"{key} = {first['input']!r}{named}: {first['msg']}.{meaning}") from None
    views = sum(view.count for view in config.finetune_views)
    if views != 1:
        raise UsageError(f"finetune_views must be one view of an image, not {views}.")
    if config.task.quadrupole and (config.frozen or config.task.name != "axion-mass"):
        raise UsageError(
            "task.quadrupole is a second target for an encoder that is trained on the axion mass; "
            "leave it at 0 for another task, and where the encoder is frozen."
        )
    if config.reestimate_norms and not config.frozen:
        raise UsageError(
            "reestimate_norms is for a frozen encoder: give --frozen too, or leave it out."
        )
    if config.method in PRETRAINING_DEFAULTS:
        check_views(config.method, config.pretrain_views)
    return config


def _meaning(key: str, method: str) -> str:
    """What a setting is, after a refusal of its value; nothing of an entry of a list."""
    settings = settings_of(_schema(method))
    return next((f" {setting.meaning}" for setting in settings if setting.key == key), "")


def _schema(method: str) -> type[RunConfig]:
    """Schema of the settings of a run, with those of the method's pretraining."""
    if method not in PRETRAINING_DEFAULTS:
        return RunConfig
    kind = type(PRETRAINING_DEFAULTS[method])
    return create_model("MethodRunConfig", __base__=RunConfig, pretrain=(kind, ...))


def setting_table() -> Iterator[Setting]:
    """Every key that `--set` and a settings file may have, with what single methods add."""
    written = ("version", "measured", "data.classes")
    for setting in settings_of(RunConfig):
        if not setting.key.startswith(written):
            yield setting
        if setting.key == f"pretrain.{[*StageSettings.model_fields][-1]}":
            yield from _settings_of_methods()


def _settings_of_methods() -> Iterator[Setting]:
    """Settings of the pretraining that not every method has, naming those that have them."""
    added: dict[str, tuple[Setting, list[str]]] = {}
    for method, defaults in PRETRAINING_DEFAULTS.items():
        for setting in settings_of(type(defaults), "pretrain."):
            if setting.key.removeprefix("pretrain.") not in StageSettings.model_fields:
                added.setdefault(setting.key, (setting, []))[1].append(METHOD_NAMES[method])
    for setting, methods in added.values():
        yield Setting(
            setting.key,
            setting.allowed,
            setting.default,
            f"{' and '.join(methods)}: {setting.meaning[:1].lower()}{setting.meaning[1:]}",
        )


def _override(values: dict[str, Any], override: str, *, is_pretrained: bool) -> None:
    key, value = parse_key_value(override, "pretrain.weight_decay=0.01", UsageError)
    if key.startswith("views."):
        key = f"pretrain_{key}"
    if key == "method":
        raise UsageError("method cannot be set: the other settings depend on it; use --method.")
    if is_pretrained and key.split(".")[0] in PRETRAINING_KEYS:
        raise UsageError(f"{key} cannot be set: the encoder was pretrained already.")
    set_key(values, key, value, UsageError)
