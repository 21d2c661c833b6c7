"""From the words of a command to the settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, create_model

from lensmodels.data import CLASSES
from lensmodels.encoders import EncoderSettings
from lensmodels.errors import DataError, UsageError
from lensmodels.methods.settings import (
    PRETRAINING_DEFAULTS,
    SUPERVISED_DEFAULTS,
    StageSettings,
    check_views,
)
from lensmodels.runs import RunConfig
from lensmodels.tasks import TaskSettings
from lensmodels.views import default_recipe, plain_recipe, read_recipe
from lenssim.configuration.key_values import alternatives, parse_key_value, set_key

SCALING_WORDS = ("scaling", "softening", "components")
"""Words of how images are scaled."""

PRETRAINING_KEYS = ("pretrain", "pretrain_views", "pretrain_classes")
"""Settings that decide what a pretraining ends with, besides those of data and encoder."""

_KEYS = {
    **{word: f"data.{word}" for word in SCALING_WORDS},
    "data": "data.url",
    "train_size": "data.train_size",
    "batch_size": "data.batch_size",
    "labels": "data.labels",
    "workers": "data.workers",
    "cache": "data.cache",
    "cache_dir": "data.cache_dir",
    "encoder": "encoder.name",
    "patch_size": "encoder.patch_size",
    "small_stem": "encoder.small_stem",
    "task": "task.name",
    "loss": "task.loss",
    "pretrain_epochs": "pretrain.epochs",
    "finetune_epochs": "finetune.epochs",
    "method": "method",
    "pretrained": "pretrained",
    "frozen": "frozen",
    "device": "device",
    "devices": "devices",
    "precision": "precision",
}
"""Where the setting of each word is."""


def config_from_words(words: Mapping[str, Any]) -> RunConfig:
    """Settings of a run: the method's defaults, changed by what was said.

    Args:
        words: values of `_KEYS`; `seed`, of everything; `lr`, of every stage; `views`, a file;
            `encoder_settings`, in place of those of the encoder; `pretrained_as`, the settings of
            a run whose encoder is finetuned; `overrides`, as "key=value".

    Raises:
        UsageError: naming the key, the value and what is allowed.
    """
    method = words.get("method", "supervised")
    stage = PRETRAINING_DEFAULTS.get(method, StageSettings(epochs=0))
    values: dict[str, Any] = {
        "method": method,
        "encoder": words.get("encoder_settings", EncoderSettings()).model_dump(mode="json"),
        "task": TaskSettings().model_dump(mode="json"),
        "data": {"url": words["data"]},
        "pretrain": stage.model_dump(),
        "finetune": SUPERVISED_DEFAULTS.model_dump(),
        "finetune_views": plain_recipe(default_recipe("supervised")),
    }
    if method in PRETRAINING_DEFAULTS:
        recipe = read_recipe(words["views"]) if "views" in words else default_recipe(method)
        values["pretrain_views"] = plain_recipe(recipe)
        values["pretrain_classes"] = _train_classes(words["data"])
    elif "views" in words:
        values["finetune_views"] = plain_recipe(read_recipe(words["views"]))
    start: RunConfig | None = words.get("pretrained_as")
    if start is not None:
        values |= start.model_dump(mode="json", include={*PRETRAINING_KEYS})
    for word, key in _KEYS.items():
        if word in words:
            set_key(values, key, words[word])
    if "seed" in words:
        values["seed"] = values["data"]["seed"] = words["seed"]
    if "lr" in words:
        values["finetune"]["learning_rate"] = words["lr"]
        if start is None:
            values["pretrain"]["learning_rate"] = words["lr"]
    for override in words.get("overrides", ()):
        _override(values, override, is_pretrained=start is not None)
    if "classes" in values["data"]:
        raise UsageError("data.classes cannot be set: the classes are the task's; choose a --task.")
    set_key(values, "data.classes", TaskSettings(name=values["task"]["name"]).classes)
    return _validated(values)


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
        raise UsageError(f"{key} = {first['input']!r}: {first['msg']}.") from None
    views = sum(view.count for view in config.finetune_views)
    if views != 1:
        raise UsageError(f"finetune_views must be one view of an image, not {views}.")
    if config.task.quadrupole and (config.frozen or config.task.name != "axion-mass"):
        raise UsageError(
            "task.quadrupole is a second target for an encoder that is trained on the axion mass; "
            "leave it at 0 for another task, and where the encoder is frozen."
        )
    if config.method in PRETRAINING_DEFAULTS:
        check_views(config.method, config.pretrain_views)
    return config


def _schema(method: str) -> type[RunConfig]:
    """Schema of the settings of a run, with those of the method's pretraining."""
    if method not in PRETRAINING_DEFAULTS:
        return RunConfig
    kind = type(PRETRAINING_DEFAULTS[method])
    return create_model("MethodRunConfig", __base__=RunConfig, pretrain=(kind, ...))


def _train_classes(url: str) -> list[str]:
    """Classes that an archive has train images of."""
    from lenssim.archive import ArchiveError, open_archive

    try:
        manifest = open_archive(url).manifest
    except ArchiveError as error:
        raise DataError(str(error)) from None
    return [name for name in CLASSES if manifest.group(f"train/{name}")] or list(CLASSES)


def _override(values: dict[str, Any], override: str, *, is_pretrained: bool) -> None:
    key, value = parse_key_value(override, "pretrain.weight_decay=0.01", UsageError)
    if key.startswith("views."):
        key = f"pretrain_{key}"
    if key == "method":
        raise UsageError("method cannot be set: the other settings depend on it; say --method.")
    if is_pretrained and key.split(".")[0] in PRETRAINING_KEYS:
        raise UsageError(f"{key} cannot be set: the encoder was pretrained already.")
    set_key(values, key, value, UsageError)
