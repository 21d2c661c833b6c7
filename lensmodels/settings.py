"""From the words of a command to the settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, create_model

from lensmodels.data import CLASSES
from lensmodels.data.archives import read_archive
from lensmodels.encoders import EncoderSettings
from lensmodels.errors import UsageError
from lensmodels.methods.settings import (
    PRETRAINING_DEFAULTS,
    SUPERVISED_DEFAULTS,
    StageSettings,
    check_views,
)
from lensmodels.runs import RunConfig
from lensmodels.tasks import TaskSettings
from lensmodels.tasks.needs import check_needs
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

    The classes and the size of the images are the archive's.

    Args:
        words: values of `_KEYS`; `seed`, of everything; `lr`, of every stage; `views`, a file;
            `encoder_settings`, in place of those of the encoder; `pretrained_as`, the settings of
            a run whose encoder is finetuned; `overrides`, as "key=value".

    Raises:
        UsageError: naming the key, the value and what is allowed.
        DataError: where the archive cannot be read, or does not state what the task needs.
    """
    archive = read_archive(words["data"])
    classes = [name for name in CLASSES if archive.manifest.group(f"train/{name}")]
    method = words.get("method", "supervised")
    stage = PRETRAINING_DEFAULTS.get(method, StageSettings(epochs=0))
    values: dict[str, Any] = {
        "method": method,
        "encoder": words.get("encoder_settings", EncoderSettings()).model_dump(mode="json"),
        "task": TaskSettings().model_dump(mode="json", exclude={"classes"}),
        "data": {"url": words["data"], "num_pix": archive.manifest.frame.num_pix},
        "pretrain": stage.model_dump(),
        "finetune": SUPERVISED_DEFAULTS.model_dump(),
        "finetune_views": plain_recipe(default_recipe("supervised")),
    }
    if method in PRETRAINING_DEFAULTS:
        recipe = read_recipe(words["views"]) if "views" in words else default_recipe(method)
        values["pretrain_views"] = plain_recipe(recipe)
        values["pretrain_classes"] = classes or list(CLASSES)
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
    data, task = values["data"], values["task"]
    if isinstance(data, dict) and "classes" in data:
        raise UsageError(
            "data.classes cannot be set: the classes are the task's; choose a --task, or set "
            "task.classes."
        )
    if isinstance(task, dict) and task.get("name") == "classification" and len(classes) > 1:
        task.setdefault("classes", classes)
    config = _validated(values)
    check_needs(config.task, archive)
    of_task = config.data.model_copy(update={"classes": config.task.classes})
    return config.model_copy(update={"data": of_task})


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


def _override(values: dict[str, Any], override: str, *, is_pretrained: bool) -> None:
    key, value = parse_key_value(override, "pretrain.weight_decay=0.01", UsageError)
    if key.startswith("views."):
        key = f"pretrain_{key}"
    if key == "method":
        raise UsageError("method cannot be set: the other settings depend on it; say --method.")
    if is_pretrained and key.split(".")[0] in PRETRAINING_KEYS:
        raise UsageError(f"{key} cannot be set: the encoder was pretrained already.")
    set_key(values, key, value, UsageError)
