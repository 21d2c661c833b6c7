"""The card of a published model: Markdown with the front matter that the Hugging Face hub reads.

The prose is in templates/; everything else comes from the files of the run. Front matter:
https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from lensmodels.data.archives import read_archive
from lensmodels.encoders import Encoder
from lensmodels.errors import DataError
from lensmodels.evaluation.calibration import LEVEL
from lensmodels.evaluation.image_scores import SCORE_NAMES
from lensmodels.evaluation.information import information_limit
from lensmodels.evaluation.out_of_distribution import (
    FLAGGED_AT_HOME,
    load_home_scores,
)
from lensmodels.evaluation.shift_testing import read_shifts
from lensmodels.evaluation.testing import describe_data
from lensmodels.methods.supervision import method_title, supervision_of
from lensmodels.publishing.files import without_folders
from lensmodels.reporting import sentences
from lensmodels.reporting.evaluated_run import SUPERVISION_NAMES, EvaluatedRun, read_evaluated
from lensmodels.reporting.score_tables import class_table, mass_table, snr_tables
from lensmodels.reporting.shift_tables import shift_sentences, shift_table
from lensmodels.reporting.tables import Table, text_cells
from lensmodels.runs import CALIBRATION, MODEL, RunConfig, load_encoder, read_config
from lenssim.configuration.yaml_reading import format_yaml

CARD = "README.md"

_TASKS = {"classification": "the class of dark-matter substructure", "axion-mass": "the axion mass"}

_SCORES = {
    "classification": (("macro_auc", "roc_auc", "macro AUC"), ("accuracy", "accuracy", "accuracy")),
    "axion-mass": (("rmse_dex", "rmse", "RMSE of log10(m / eV), dex"),),
}
"""Key in metrics.json, type on the hub and name of the scores of each task."""

_TAGS = ("astronomy", "gravitational-lensing", "strong-lensing", "dark-matter")


def model_card(run: Path, folder: Path, url: str, *, licence: str) -> str:
    """The README.md of a published model.

    Args:
        run: folder of the run.
        folder: with the files that are published, but for the card.
        url: where they will be; of a folder of this machine, its name.
        licence: of the weights, by the hub's identifier.

    Returns:
        Markdown that begins with front matter.
    """
    config = read_config(folder)
    evaluated = read_evaluated(folder) if (folder / MODEL).exists() else None
    trained_on = _training_data(read_config(run))
    name = url.rstrip("/").rpartition("/")[2].partition("@")[0] or "model"
    encoder, _ = load_encoder(folder)
    environment = Environment(
        loader=PackageLoader("lensmodels.publishing"),
        autoescape=False,  # noqa: S701 - Markdown, not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("card.md.jinja").render(
        name=name,
        url=url,
        front_matter=format_yaml(_front_matter(name, licence, config, evaluated)),
        config=config,
        evaluated=evaluated,
        task=_TASKS.get(config.task.name),
        method=method_title(config.method, config.pretrain),
        trained_on=trained_on,
        facts=_facts(config, trained_on),
        sentences=[] if evaluated is None else _sentences(evaluated.metrics),
        tables=[] if evaluated is None else _score_tables(evaluated.metrics),
        limits=_limits(config),
        thresholds=_threshold_table(folder, evaluated),
        flagged_at_home=FLAGGED_AT_HOME,
        is_calibrated=(folder / CALIBRATION).exists(),
        level=LEVEL,
        shifts=_shifts(folder),
        plain_timm=timm_lines(encoder),
        encoder=encoder,
    )
    return "\n".join(_without_gaps(text.splitlines())) + "\n"


def timm_lines(encoder: Encoder, file: str = "encoder.safetensors") -> str | None:
    """Lines that load an encoder into timm without this package.

    Args:
        encoder: whose weights `file` holds.
        file: its path.

    Returns:
        Python; None for a network that timm alone does not make.
    """
    if not encoder.is_plain_timm:
        return None
    made = dict(encoder.timm_arguments)
    name = made.pop("model_name")
    arguments = ", ".join(f"{key}={value!r}" for key, value in made.items())
    return (
        "import timm\n\n"
        f'model = timm.create_model("{name}", {arguments}, checkpoint_path="{file}").eval()\n'
        f"features = model(images)  # (n, {encoder.channels}, {encoder.num_pix}, "
        f"{encoder.num_pix}) to (n, {encoder.num_features})"
    )


def _training_data(config: RunConfig) -> dict[str, Any] | None:
    """What the archive of the training is; None if it is no longer there."""
    try:
        archive = read_archive(config.data.url)
    except DataError:
        return None
    manifest = archive.manifest
    found = describe_data(without_folders(config.data.url), manifest)
    return found | {"version": manifest.model.version}


def _facts(config: RunConfig, trained_on: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Name and value of what the model was trained on."""
    measured = config.measured
    assert measured is not None
    facts = []
    if trained_on is not None:
        version = f" {trained_on['version']}" if trained_on["version"] else ""
        facts = [
            ("data model", f"{trained_on['model']}{version}, seed {trained_on['seed']}"),
            ("specification, SHA-256", trained_on["spec_sha256"] or "none: imported images"),
            ("data, SHA-256", trained_on["sha256"]),
        ]
    pretrained = SUPERVISION_NAMES[supervision_of(config.method, config.pretrain)]
    sizes = measured.sizes
    counted = f"{sizes.get('train', 0):,}"
    if measured.task is not None:
        counted += f"; {sizes.get('labelled', 0):,} with their labels"
    return [
        *facts,
        ("archive", config.data.url),
        ("train images", counted),
        ("method", method_title(config.method, config.pretrain)),
        ("pretrained on", pretrained),
        ("encoder", config.encoder.name),
        ("encoder begun from", config.pretrained or "random weights"),
        ("input", f"{config.data.input}, {measured.scaling['kind']}"),
        ("software", f"lensmodels {config.version}"),
    ]


def _front_matter(
    name: str, licence: str, config: RunConfig, evaluated: EvaluatedRun | None
) -> dict[str, Any]:
    """What the hub reads: licence, tags, task and scores."""
    matter: dict[str, Any] = {"license": licence, "library_name": "lensmodels"}
    if evaluated is None:
        matter["pipeline_tag"] = "image-feature-extraction"
    elif config.task.name == "classification":
        matter["pipeline_tag"] = "image-classification"
    matter["tags"] = [*_TAGS, config.method]
    hub = "hf://datasets/"
    if config.data.url.startswith(hub):
        matter["datasets"] = ["/".join(config.data.url.removeprefix(hub).split("/")[:2])]
    if evaluated is None:
        return matter
    metrics = evaluated.metrics
    data = metrics["data"]
    results = [
        {"type": kind, "value": metrics[key], "name": title}
        for key, kind, title in _SCORES[config.task.name]
        if metrics[key] is not None
    ]
    task = matter.get("pipeline_tag", "other")
    result = {
        "task": {"type": task, "name": _TASKS[config.task.name]},
        "dataset": {"type": "lenssim", "name": f"{data['model']}, test split", "split": "test"},
        "metrics": results,
    }
    return matter | {"model-index": [{"name": name, "results": [result]}]}


def _sentences(metrics: Mapping[str, Any]) -> list[str]:
    found = [
        *sentences.sentences(metrics, information_limit(metrics["data"]["spec_sha256"])),
        *sentences.unknown_sentences(metrics),
        *sentences.posterior_sentences(metrics),
        *sentences.calibration_sentences(metrics),
        *sentences.novelty_sentences(metrics),
    ]
    return [f"**{each.text}**" if each.is_warning else each.text for each in found]


def _score_tables(metrics: Mapping[str, Any]) -> list[str]:
    if metrics["task"] == "classification":
        tables = [class_table(metrics), *snr_tables(metrics)]
    else:
        tables = [mass_table(metrics)]
    return [table.markdown for table in tables]


def _shifts(folder: Path) -> list[str]:
    """Sentences and the table of the tests on shifted images, if there were any."""
    found = read_shifts(folder)
    if found is None:
        return []
    said = [sentence.text for sentence in shift_sentences(found)]
    table = shift_table(found)
    return [*said, table.sentence, replace(table, title="", sentence="").markdown]


def _limits(config: RunConfig) -> list[str]:
    """What images must be for the model to mean anything, one sentence each."""
    assert config.measured is not None
    contract = config.measured.contract
    num_pix = config.measured.num_pix
    found = [f"{num_pix} x {num_pix} pixels, with the lens in the middle"]
    if contract is None:
        return found
    facts = (
        (contract.unit, f"pixel values in {contract.unit}"),
        (contract.pixel_scale, f"{contract.pixel_scale} arcsec a pixel"),
        (contract.zero_point, f"a zero point of {contract.zero_point} mag for 1 e-/s"),
        (contract.psf_fwhm, f"a PSF of {contract.psf_fwhm} arcsec FWHM"),
    )
    unit = f" {contract.unit}" if contract.unit else ""
    return [
        *found,
        *(text for value, text in facts if value is not None),
        f"noise of about {contract.sky_noise}{unit} a pixel",
    ]


def _threshold_table(folder: Path, evaluated: EvaluatedRun | None) -> str | None:
    """Between which values of each score an image is inside what the model knows, if measured."""
    home = load_home_scores(folder) if evaluated is not None else None
    if home is None:
        return None
    low, high = home.limits()
    rows = [
        [SCORE_NAMES[name], f"{np.median(values):.4g}", f"{below:.4g}", f"{above:.4g}"]
        for name, values, below, above in zip(home.names, home.values.T, low, high, strict=True)
    ]
    headings = ["score", "median", "outside below", "outside above"]
    return Table(headings, [text_cells(row) for row in rows]).markdown


def _without_gaps(lines: list[str]) -> list[str]:
    """Lines with at most one empty line between two others."""
    pairs = zip(["", *lines], lines, strict=False)
    return [line for before, line in pairs if line.strip() or before.strip()]
