"""What a training on one specification brings to another one with few labels.

    python experiments/simulator_transfer.py --b DIR --b-wide DIR --a-wide DIR --out DIR

Archives of models B and B-wide with 4,000 train and 1,000 test images a class, of A-wide with 400
and 1,000; the last two after `lenssim fit`. A small ResNet learns on B-wide, in one of these ways,
and is finetuned with 100 labels a class: three trainings by three draws of the labels.

To A-wide, another telescope, where lens and source vary as well: from residual and image of an
archive, by VICReg (images alone), `macro` (lens and source, which a simulator knows) or by the
classes (which it knows, too). The last is tested without finetuning as well.

To B, where the lens is always the same: from 10,000 images that are simulated on the spot, each
seen once, by SimSiam (images alone), or by what the simulator knows: `macro`, `smooth-twin`,
SimSiam on pairs of one lens and substructure with two sources. An asinh stretch scales these
images, as a whitening measured on one specification says nothing about another; the row "PCA of
all images" shows what the whitening of B itself brings.

Columns of results/simulator_transfer.parquet:
    name      of the run, as in "B_macro-1-0"
    target    specification that it was finetuned and tested on
    route     what it began with
    pretrain_seed, seed    of the training on B-wide, and of the draw of the labels
    score     macro AUC on the test images of the target
    record    JSON: "settings", "metrics", "resamples" (macro AUC), "environment"
A run whose row is there is skipped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from average_symmetries import resampled_auc, trainings_of
from raw_images import pretrain_once

from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.options import pretrained_options
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.runs import RunConfig, read_config
from lensmodels.settings import config_from_options
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import difference, mean_interval
from lenssim import open_archive

TABLE = Path(__file__).with_name("results") / "simulator_transfer.parquet"
PACKAGES = ("lenssim", "torch", "lightning", "timm", "lightly")

MODEL = "B-wide"
SIMULATOR = " [simulator]"
"""Ends the names of routes that use what no telescope tells."""

STRETCH = ["data.scaling=asinh", "data.softening=5"]
"""Of images whose smooth lens has not been taken out."""

OF_ALL = "PCA of all images"
"""Marks the baseline that has seen all images of its target."""


@dataclass(frozen=True)
class Route:
    """One way to begin.

    Attributes:
        target: specification to which it leads.
        name: of the row.
        method: of the training on B-wide; "supervised" is on all labels of its archive. None for
            random weights.
        options: of `lensmodels train` for that training, or for the finetuning of random weights.
        overrides: settings, of either.
    """

    target: str
    name: str
    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()

    @property
    def folder(self) -> str:
        """Part of a file name."""
        name = f"{self.target}_{self.name}".replace(SIMULATOR, "").replace(",", "")
        return name.replace(" ", "-")

    def key(self, training_seed: int, seed: int) -> str:
        """Name of a row."""
        return f"{self.folder}-{training_seed}-{seed}"


_BOTH = {"input": "both"}
_LIVE = {"data": f"live:{MODEL}", "workers": 1, "epoch_size": 1000, "pretrain_epochs": 10}
_EPOCHS = {"input": "both", "pretrain_epochs": 8}

CLASSES = Route(
    "A-wide", f"classes{SIMULATOR}", "supervised", {"input": "both", "finetune_epochs": 9}
)
AS_IT_IS = replace(CLASSES, name=f"classes, no label of A-wide{SIMULATOR}")
"""The network of `CLASSES`, tested on the target without finetuning."""

ROUTES = (
    Route("A-wide", "random weights", options=_BOTH),
    Route("A-wide", "VICReg, images", "vicreg", _EPOCHS),
    Route("A-wide", f"macro{SIMULATOR}", "macro", _EPOCHS),
    CLASSES,
    AS_IT_IS,
    Route("B", "random weights", overrides=STRETCH),
    Route("B", f"random weights, {OF_ALL}", overrides=["data.scaling_images=all"]),
    Route("B", "SimSiam, images", "simsiam", _LIVE, STRETCH),
    Route(
        "B",
        f"SimSiam, source pairs{SIMULATOR}",
        "simsiam",
        _LIVE,
        [*STRETCH, "pretrain.pairs=source"],
    ),
    Route("B", f"macro{SIMULATOR}", "macro", _LIVE, STRETCH),
    Route("B", f"smooth-twin{SIMULATOR}", "smooth-twin", _LIVE, STRETCH),
)

LABELS = 100
"""Of each class."""

STEPS = 401
"""Of the finetuning, as in the grid `wide`."""


def trained(route: Route, url: str, out: Path, seed: int) -> Path:
    """The folder of a training on B-wide, which is made if it is not there.

    Args:
        route: that begins with it.
        url: archive of B-wide, of the routes that do not simulate on the spot.
        out: folder of the runs.
        seed: of the training.
    """
    run = out / f"{route.folder}-{seed}"
    options = {
        "data": url,
        "method": route.method,
        "encoder": "test_resnet",
        "batch_size": 128,
        "seed": seed,
        "overrides": ["precision=bf16-mixed", *route.overrides],
        **route.options,
    }
    if route.method == "supervised":
        training.train(config_from_options(options | {"lr": 4e-3}), run, resume=run.exists())
    else:
        pretrain_once(config_from_options(options), run)
    return run


def measure(route: Route, url: str, start: Path | None, out: Path, seeds: tuple[int, int]) -> None:
    """Finetunes and tests one run, and adds its row.

    Args:
        route: of the run.
        url: archive of the target.
        start: the run on B-wide; none for random weights.
        out: folder of the runs.
        seeds: of the run on B-wide and of the labels.
    """
    key = route.key(*seeds)
    if key in read_records(TABLE):
        return
    options: dict[str, Any] = {
        "labels": LABELS / (0.95 * _images_of(url)),  # of those that are not for validation
        # an epoch of 300 labelled images, less those for validation, has three steps
        "finetune_epochs": STEPS // 3,
        "batch_size": 128,
        "lr": 4e-3,
        "seed": seeds[1],
        "overrides": ["precision=bf16-mixed"],
    }
    if start is None:
        options |= {"data": url, "encoder": "test_resnet", **route.options}
        options["overrides"] = [*options["overrides"], *route.overrides]
    else:
        options |= pretrained_options(str(start), url)
        options["input"] = route.options.get("input", "image")
    config = config_from_options(options)
    run = out / f"finetuned-{key}"
    training.train(config, run, resume=run.exists())
    tested, metrics = score(run, url)
    _add(route, config, tested.table, metrics, seeds)


def measure_as_it_is(url: str, start: Path, training_seed: int, seeds: Sequence[int]) -> None:
    """Tests a network of `CLASSES` on the target, and adds its rows.

    It sees no labels of the target. There is a row for each draw of them all the same, so that
    draws are compared in pairs.
    """
    tested, metrics = score(start, url)
    for seed in seeds:
        _add(AS_IT_IS, read_config(start), tested.table, metrics, (training_seed, seed))


def begin_and_measure(
    route: Route, url: str, given: argparse.Namespace, training_seed: int
) -> None:
    """Adds the rows of a route that the table lacks, and trains on B-wide only for these.

    Args:
        route: of the rows.
        url: archive of its target.
        given: command-line options.
        training_seed: of the training on B-wide; random weights have none, and are measured once.
    """
    if route.method is None:
        training_seed = 0
    keys = {route.key(training_seed, seed) for seed in given.seeds}
    if keys <= set(read_records(TABLE)):
        return
    start = None
    if route.method is not None:
        begun = CLASSES if route is AS_IT_IS else route
        start = trained(begun, given.b_wide, given.out, training_seed)
    if route is AS_IT_IS:
        assert start is not None
        measure_as_it_is(url, start, training_seed, given.seeds)
        return
    for seed in given.seeds:
        measure(route, url, start, given.out, (training_seed, seed))


def _add(
    route: Route,
    config: RunConfig,
    table: pd.DataFrame,
    metrics: dict[str, Any],
    seeds: tuple[int, int],
) -> None:
    settings = json.loads(config.model_dump_json(exclude={"measured": True, "device": True}))
    settings["data"].pop("url", None)
    settings.pop("pretrained", None)
    columns = {
        "target": route.target,
        "route": route.name,
        "pretrain_seed": seeds[0],
        "seed": seeds[1],
        "score": metrics["macro_auc"],
    }
    record = {
        "settings": settings,
        # the address is a folder of this machine
        "metrics": metrics | {"data": {k: v for k, v in metrics["data"].items() if k != "url"}},
        "resamples": resampled_auc(table),
        "environment": environment(PACKAGES),
    }
    add_record(TABLE, route.key(*seeds), columns, columns | record)


def _images_of(url: str) -> int:
    """Train images of each class of an archive."""
    return open_archive(url).record("train", "no_sub").count


def page() -> str:
    """The tables: one a target, with a row a route and its gain over random weights."""
    records = list(read_records(TABLE).values())
    parts = [
        f"# From {MODEL} to other specifications\n\nMacro AUC of a small ResNet (370,000 weights) "
        f"with {LABELS} labels a class, or none where a row says so, after a training on "
        f"{MODEL}; 95% intervals over trainings, draws of the labels and test images. A gain is "
        "bold if it is significant after Holm's "
        "correction over its table, and three trainings stand behind it. A route marked "
        "[simulator] uses what the simulator knows and a telescope does not tell. By `python "
        "experiments/simulator_transfer.py`."
    ]
    for target in dict.fromkeys(route.target for route in ROUTES):
        rows = _rows([route for route in ROUTES if route.target == target], records)
        if rows:
            heading = ["began with", "trainings x draws", "macro AUC", "less random weights"]
            parts.append(f"## {target}\n\n{markdown_table(heading, rows)}")
    return "\n\n".join(parts) + "\n"


def _rows(routes: Sequence[Route], records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    groups = {}
    for route in routes:
        chosen = (route.target, route.name)
        held = [record for record in records if (record["target"], record["route"]) == chosen]
        if held:
            groups[route.name] = trainings_of(
                held,
                [record["score"] for record in held],
                [record["resamples"] for record in held],
                is_pretrained=route.method is not None,
            )
    base = routes[0].name
    if base not in groups:
        return []
    gains = {
        name: difference(group, groups[base]) for name, group in groups.items() if name != base
    }
    marks = dict(zip(gains, significant(list(gains.values())), strict=True))
    is_trained = {route.name: route.method is not None for route in routes}
    rows = []
    for name, group in groups.items():
        low, high = mean_interval(group, 0, 1).as_list()
        trainings = f"{group.independent} x " if is_trained[name] else ""
        row = [
            name,
            f"{trainings}{len(group.draws)}",
            f"{group.values.mean():.3f} ({low:.3f} to {high:.3f})",
            "",
        ]
        if name in gains:
            low, high = gains[name].interval.as_list()
            mean = f"{gains[name].mean:+.3f}"
            row[-1] = f"{f'**{mean}**' if marks[name] else mean} ({low:+.3f} to {high:+.3f})"
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--b", help="archive of B")
    parser.add_argument("--b-wide", help="archive of B-wide, with fits")
    parser.add_argument("--a-wide", help="archive of A-wide, with fits")
    parser.add_argument("--out", type=Path, help="folder of the runs")
    parser.add_argument("--trainings", type=int, nargs="+", default=[0, 1, 2], help="their seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the labels")
    parser.add_argument("--report", action="store_true", help="write the page of all runs")
    given = parser.parse_args()
    if not given.report:
        if given.out is None:
            parser.error("--out is required to train")
        if given.a_wide is not None and given.b_wide is None:
            parser.error("--a-wide needs --b-wide, to learn from")
        targets = {"B": given.b, "A-wide": given.a_wide}
        routes = [route for route in ROUTES if targets[route.target] is not None]
        for training_seed, route in product(given.trainings, routes):
            begin_and_measure(route, targets[route.target], given, training_seed)
    TABLE.with_suffix(".md").write_text(page())


if __name__ == "__main__":
    main()
