"""Which dark matter many images of B-faithful show, where one tells next to nothing.

    python experiments/set_level.py --out DIR              # an hour on two cores
    python experiments/set_level.py --bound                # the bound and the estimate alone
    python experiments/set_level.py --report               # experiments/results/set_level.md

Universes are the values of f_sub and of the axion mass below, in one archive, DIR/archive. Its
images are fitted, an encoder learns the classes of single images from image and residual, and a set
model learns from sets of its features (`lensmodels train --task set-level`). Networks learn cdm
against no_sub. With axion as well (`--classes axion cdm no_sub`) there are three times as many
universes, and sets of 100 need `--train 3000`. Sets of 1,000 images need `--train 15000 --test
6000`, and hours.

Two numbers say what could be had for CDM subhalos of each f_sub. Lens and source have normal priors
as wide as their scatter over the specification, and their effect is taken as linear:

bound      a classifier that is told the pattern of the substructure in every image: the S/N of a
           set is the root of the sum of the squared S/N of its images (prior_snr.py).
evidence   one that is not told the pattern: the sum of the log evidence ratios of the images, by
           substructure drawn for lenses like the image's own (evidence_ratio.py). An estimate from
           below, as its likelihood of a pattern is a mixture over a few hundred draws.

A third is no estimate but a classifier of DIR/archive:

fits       the sum of the log evidence ratios around the fitted lens of each image, without labels
           and without a prior of lens and source (evidence_of_fits.py).

Columns of experiments/results/set_level.parquet, one row a score:
    name      what, size, class and its parameters
    what      set model, sum, fits, evidence, bound
    size      images in a set
    class, f_sub, axion_mass    of the universe; axion_mass in eV, empty for cdm
    auc       against sets without substructure
    record    JSON: the settings, the standard error and the environment
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from evidence_of_fits import log_evidences, observed
from evidence_ratio import SIGNALS, measure
from numpy.typing import NDArray
from prior_snr import value_of

import lenssim
from lensmodels import api
from lensmodels.evaluation.detection_bound import set_bound
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lensmodels.statistics.auc import binary_auc
from lenssim import random_stream
from lenssim.configuration.yaml_reading import format_yaml
from lenssim.lens_fit.parameters import ALL_NAMES
from lenssim.population.draw import draw_lens, populated
from lenssim.simulation import measure_arc, smooth_system
from lenssim.spec import Specification, SubstructureClass, load_spec

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TABLE = Path(__file__).with_name("results") / "set_level.parquet"
MODEL = "B-faithful"
F_SUB = (0.003, 0.01, 0.03)
AXION_MASS = (1e-24, 1e-23)
SIZES = (1, 10, 100, 1000)
CLASSES: tuple[SubstructureClass, ...] = ("cdm", "no_sub")
"""That are learned, and of the bound and the estimate."""

CDM = SIGNALS.index("cdm")
"""Column of its evidence ratio to no substructure."""

VALIDATION = 0.4
SETS = 2000
PRIOR_LENSES = 300
RESAMPLES = 50
"""Of the lenses, for a standard error."""

PACKAGES = ("lenssim", "torch", "timm")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder of the archive and the run")
    parser.add_argument("--bound", action="store_true", help="the bound and the estimate alone")
    parser.add_argument("--fits", action="store_true", help="the evidence of fits alone")
    parser.add_argument("--report", action="store_true", help="write the page")
    parser.add_argument("--table", type=Path, default=TABLE, help="Parquet file to add to")
    parser.add_argument("--train", type=int, default=1800, help="train images of each class")
    parser.add_argument("--test", type=int, default=1200, help="test images of each class")
    parser.add_argument("--lenses", type=int, default=60, help="of the bound and the estimate")
    parser.add_argument("--images", type=int, default=200, help="of a class, of the fits")
    parser.add_argument("--workers", type=int, default=2, help="processes of the fits")
    parser.add_argument("--templates", type=int, default=200, help="substructure of each lens")
    parser.add_argument(
        "--f-sub", nargs="+", type=float, default=F_SUB, help="of the bound and the fits"
    )
    parser.add_argument("--classes", nargs="+", default=list(CLASSES), help="that are learned")
    parser.add_argument("--input", default="both", choices=("image", "residual", "both"))
    parser.add_argument("--encoder", default="test_resnet")
    parser.add_argument("--epochs", type=int, default=10, help="of the encoder")
    parser.add_argument("--set-epochs", type=int, default=20, help="of the set model")
    given = parser.parse_args()
    if not given.report:
        if given.out is None and (given.fits or not given.bound):
            parser.error("--out is required, except for --bound alone")
        if given.fits or not given.bound:
            fitted_archive(given)
            measure_fits(given)
        if given.bound or not given.fits:
            measure_bounds(given)
        if not given.fits and not given.bound:
            measure_sets(given)
    given.table.with_suffix(".md").write_text(page(read_records(given.table)))


def fitted_archive(given: argparse.Namespace) -> None:
    """Makes the archive, and fits its images."""
    archive = given.out / "archive"
    lenssim.generate(
        MODEL,
        out=archive,
        train=given.train,
        test=given.test,
        overrides=[
            f"substructure.f_sub={{choice: {list(F_SUB)}}}",
            f"substructure.axion.axion_mass={{choice: {list(AXION_MASS)}}}",
            "observation.refit_snr=test",
        ],
        progress=True,
    )
    lenssim.fit(archive, progress=True)


def measure_fits(given: argparse.Namespace) -> None:
    """Adds the scores of the evidence around the fitted lenses to the table."""
    archive = lenssim.open_archive(str(given.out / "archive"))
    shares = {name: archive.dataset("test", name)["f_sub"].values for name in CLASSES}
    for f_sub in given.f_sub:
        spec = load_spec(MODEL, [f"substructure.f_sub={f_sub}"])
        ratios = []
        for name in CLASSES:
            wanted = np.flatnonzero(np.isclose(shares[name], f_sub, rtol=1e-5))[: given.images]
            ratio_of = partial(
                log_evidences, spec=spec, templates=[given.templates], signals=["cdm"]
            )
            with ProcessPoolExecutor(given.workers) as pool:
                found = list(pool.map(ratio_of, observed(archive, name, wanted)))
            ratios.append(np.array([each[given.templates] for each in found]))
        count = min(len(each) for each in ratios)
        settings = {"images": count, "templates": given.templates}
        for size in [size for size in SIZES if size <= count]:
            row = {"size": size, "class": "cdm", "f_sub": f_sub, "axion_mass": None}
            auc = partial(_evidence_of, ratios, size)
            error = _error_over_lenses(auc, count)
            _add(
                given.table,
                "fits",
                row,
                auc(np.arange(count)),
                {"settings": settings, "error": error},
            )


def measure_sets(given: argparse.Namespace) -> None:
    """Trains encoder and set model, and adds their scores to the table."""
    archive, single, run = (given.out / name for name in ("archive", "single", "sets"))
    scaled = ["data.scaling=asinh", "data.softening=20"] if given.input != "image" else []
    shared: dict[str, Any] = {"data": str(archive), "input": given.input, "batch_size": 128}
    # enough images of each universe to validate on sets of 100
    validated = [f"data.validation_fraction={VALIDATION}", f"task.classes={given.classes}"]
    if not (single / "model.safetensors").exists():
        options = shared | {"encoder": given.encoder, "finetune_epochs": given.epochs, "lr": 4e-3}
        config = config_from_options(options | {"overrides": [*validated, *scaled]})
        api.training.train(config, single, resume=True)
    options = shared | {"encoder": given.encoder, "task": "set-level", "pretrained": str(single)}
    options |= {"finetune_epochs": given.set_epochs, "overrides": [*validated, *scaled]}
    metrics = api.train(config_from_options(options), run, resume=True)
    about = {key: value for key, value in vars(given).items() if key not in ("out", "table")}
    for row in metrics["scores"]:
        for what, name in (("set model", "set"), ("sum", "sum")):
            record = {"settings": about, "error": row[f"{name}_error"]}
            _add(given.table, what, row, row[f"{name}_auc"], record)


def measure_bounds(given: argparse.Namespace) -> None:
    """Adds what could be had for CDM subhalos of each f_sub to the table."""
    for f_sub in given.f_sub:
        spec = load_spec(MODEL, [f"substructure.f_sub={f_sub}"])
        widths = prior_widths(spec)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{MODEL}.yaml"
            file.write_text(format_yaml(spec.model_dump(mode="json", exclude_none=True)))
            found = {
                name: [
                    measure(
                        (name, index), model=str(file), templates=[given.templates], widths=widths
                    )
                    for index in range(given.lenses)
                ]
                for name in CLASSES
            }
        ratios = [
            np.stack([image.evidence(given.templates)[:, CDM] for image in found[name]])
            for name in CLASSES
        ]
        snr = np.array([image.snr for image in found["cdm"]])
        percentiles = np.percentile(snr, [5, 25, 50, 75, 95])
        settings = {"lenses": given.lenses, "templates": given.templates}
        known = {"settings": settings, "snr": percentiles.tolist()}
        for size in SIZES:
            row = {"size": size, "class": "cdm", "f_sub": f_sub, "axion_mass": None}
            for what, auc in (
                ("bound", partial(_bound_of, snr, size)),
                ("evidence", partial(_evidence_of, ratios, size)),
            ):
                error = _error_over_lenses(auc, given.lenses)
                everything = auc(np.arange(given.lenses))
                _add(given.table, what, row, everything, known | {"error": error})
        text = " / ".join(f"{value:.2f}" for value in percentiles)
        print(f"f_sub = {f_sub}: S/N with the prior, 5/25/50/75/95%: {text}", flush=True)


def prior_widths(spec: Specification) -> FloatArray:
    """Scatter of the parameters of the smooth lens and the source over a specification's lenses."""
    values = []
    for index in range(PRIOR_LENSES):
        stream = random_stream(1, spec.name, "test", "no_sub", index, "population")
        lens, f_sub = draw_lens(spec, stream, measure_arc, "test")
        twin = smooth_system(populated(spec, lens, f_sub, "no_sub", stream))
        values.append([value_of(twin, name) for name in ALL_NAMES])
    return np.asarray(np.std(values, axis=0))


def _bound_of(snr: FloatArray, size: int, lenses: IntArray) -> float:
    return set_bound(snr[lenses], size)


def _evidence_of(ratios: Sequence[FloatArray], size: int, lenses: IntArray) -> float:
    return auc_of_sums(*(each[lenses] for each in ratios), size)


def _error_over_lenses(auc: Callable[[IntArray], float], count: int) -> float:
    """Standard error of an AUC over the choice of the lenses that it rests on.

    Args:
        auc: of some of the lenses.
        count: of the lenses.
    """
    generator = np.random.default_rng(0)
    drawn = [auc(generator.integers(count, size=count)) for _ in range(RESAMPLES)]
    return float(np.std(drawn, ddof=1))


def auc_of_sums(present: FloatArray, absent: FloatArray, size: int) -> float:
    """AUC of sets by the sum of the log evidence ratios of their images.

    Args:
        present, absent: of images with and without substructure, (lenses, draws).
        size: images in a set, of lenses drawn with replacement.
    """
    generator = np.random.default_rng(0)
    sums = []
    for ratios in (present, absent):
        places = generator.integers(ratios.size, size=(SETS, size))
        sums.append(ratios.ravel()[places].sum(axis=1))
    return binary_auc(*sums)


def _add(
    table: Path, what: str, row: Mapping[str, Any], auc: float, record: Mapping[str, Any]
) -> None:
    mass = row["axion_mass"]
    parts = [what, str(row["size"]), row["class"], f"{row['f_sub']:g}"]
    name = "_".join([*parts, *([] if mass is None else [f"{mass:g}"])]).replace(" ", "-")
    columns = {
        "what": what,
        "size": row["size"],
        "class": row["class"],
        "f_sub": row["f_sub"],
        "axion_mass": math.nan if mass is None else mass,
        "auc": auc,
    }
    add_record(table, name, columns, columns | record | {"environment": environment(PACKAGES)})


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all scores, Markdown: a row a universe and size."""
    rows = list(_rows(list(records.values())))
    headings = ["images", "class", "f_sub", "axion mass, eV", *WHAT]
    return (
        f"# Sets of images of {MODEL}\n\nAUC of sets of images of one universe against sets "
        "without substructure, ± its standard error over the choice of the test images. The bound "
        "is of a classifier that is told the pattern of the substructure in every image, and "
        "evidence of one that is not, estimated from other substructure of lenses like the image's "
        "own; both know the prior of lens and source. Fits are the evidence around the fitted lens "
        "of each image, without labels or a prior of lens and source. By "
        f"`python experiments/set_level.py`.\n\n{markdown_table(headings, rows)}\n"
    )


WHAT = ("set model", "sum", "fits", "evidence", "bound")


def _rows(records: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    def key(record: Mapping[str, Any]) -> tuple[Any, ...]:
        mass = record["axion_mass"]
        f_sub = round(record["f_sub"], 6)  # archives hold it in single precision
        return record["class"], f_sub, 0.0 if math.isnan(mass) else mass, record["size"]

    for held in sorted({key(record) for record in records}):
        cells = {}
        for record in records:
            if key(record) == held:
                error = "" if record["error"] is None else f" ± {record['error']:.3f}"
                cells[record["what"]] = f"{record['auc']:.3f}{error}"
        name, f_sub, mass, size = held
        shown = f"{mass:g}" if mass else ""
        yield [str(size), name, f"{f_sub:g}", shown, *(cells.get(what, "") for what in WHAT)]


if __name__ == "__main__":
    main()
