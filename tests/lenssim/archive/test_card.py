"""The data-set cards: what they say is what the data are."""

import hashlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import lenssim
from lenssim.archive.card import archive_card, data_fingerprint, model_card
from lenssim.archive.column import BASE_COLUMNS
from lenssim.archive.manifest import IMAGES
from lenssim.spec import load_spec

CARDS = Path(__file__).parents[3] / "datasets_cards"


def front_matter(card):
    _, block, _ = card.split("---\n", 2)
    return yaml.safe_load(block)


def test_the_cards_of_the_models_are_up_to_date():
    for name, content in runpy.run_path(str(CARDS / "make.py"))["cards"]().items():
        assert (CARDS / name).read_text() == content, "run python datasets_cards/make.py"
    assert {path.stem for path in CARDS.glob("*.md")} == {
        "model-a",
        "model-b",
        "model-a-deeplense",
        "model-b-deeplense",
        "model-a-wide",
        "model-b-wide",
        "model-b-faithful",
    }


@pytest.mark.parametrize("name", ["model-a", "model-b", "model-a-deeplense", "model-b-deeplense"])
def test_front_matter_is_what_the_hub_reads(name):
    card = (CARDS / f"{name}.md").read_text()
    held = front_matter(card)
    assert held["license"] == "cc-by-4.0"
    assert held["size_categories"] == ["100K<n<1M"]
    assert "image-classification" in held["task_categories"]
    assert [config["config_name"] for config in held["configs"]] == ["images"]


@pytest.mark.parametrize("name", ["model-a", "model-b", "model-a-deeplense", "model-b-deeplense"])
def test_a_card_has_every_section_and_is_plain_markdown(name):
    card = (CARDS / f"{name}.md").read_text()
    headings = re.findall(r"^## (.*)$", card, re.M)
    assert headings == [
        "What it holds",
        "Columns",
        "How it is made",
        *([] if name.endswith("deeplense") else ["What the images tell"]),
        "Known limits",
        "Intended use",
        "Loading it",
        "Verifying it",
        "Citing it",
    ]
    assert "{{ " not in card
    assert "{%" not in card
    assert "None" not in card
    assert "\n\n\n" not in card
    tables = re.findall(r"(?:^\|.*\n)+", card, re.M)
    for table in tables:
        cells = {line.count("|") for line in table.splitlines()}
        assert len(cells) == 1, table
    for column in BASE_COLUMNS:
        assert f"| {column.name} | " in card


def test_a_card_tells_what_was_measured_of_its_specification_alone():
    spec = load_spec("B-wide")
    record = {
        "spec_sha256": spec.sha256,
        "class": "cdm",
        "images": 250,
        "refit_snr": [2.1, 4.4, 7.1, 11.6, 23.1],
        "above_5": 0.684,
        "f_sub_inside": [0.001, 0.003, 0.006, 0.01, 0.04],
    }
    other = {**record, "spec_sha256": "0", "images": 99}
    card = model_card(spec, {"train": 3, "test": 1}, [record, other])
    row = "| cdm | 250 | 2.1, 4.4, 7.1, 11.6, 23.1 | 68% | 0.001, 0.003, 0.006, 0.01, 0.04 |"
    assert row in card.splitlines()
    assert "| 99 |" not in card
    assert "What the images tell" not in model_card(spec, {"train": 3, "test": 1}, [other])


def test_what_crowds_and_what_is_not_weighted_is_said_of_the_models_where_it_is_so():
    cards = {path.stem: path.read_text() for path in CARDS.glob("*.md")}
    crowd = {name for name, card in cards.items() if "sizes crowd" in card}
    lighter = {name for name, card in cards.items() if "Lenses are lighter" in card}
    assert crowd == {"model-a-wide", "model-b-wide"}
    assert lighter == {"model-b-wide", "model-b-faithful"}


def test_numbers_are_those_of_the_specification():
    card = (CARDS / "model-a.md").read_text()
    spec = load_spec("A")
    for words in (
        f"{spec.instrument.num_pix} x {spec.instrument.num_pix} of 0.08 arcsec",
        "f_sub = 0.01",
        "dN/dM ~ M^-1.9, 1e7 to 1e10 solar masses",
        "uniform in log from 1e-24 to 1e-22 eV",
        "1 x 5400 s",
        "25.96 mag",
        "to 0.01 of the pixel's noise",
    ):
        assert words in card
    assert "Known errors" not in card


def test_the_variants_list_the_known_errors():
    card = (CARDS / "model-b-deeplense.md").read_text()
    errors = card.split("### Known errors")[1].split("## Known limits")[0]
    for words in (
        "luminosity distances",
        "redshift 2.5",
        "M^-0.9",
        "exactly 25",
        "uniform in radius",
        "0.06 arcsec at 1e-22 eV",
        "3e10 solar masses",
        "100 point masses",
        "no noise",
        "2 times too large",
        "1 sample a pixel",
    ):
        assert words in errors


def test_a_specification_of_ones_own_is_not_given_foreign_sources(tmp_path):
    archive = lenssim.generate(
        "B",
        ["cdm"],
        train=2,
        test=0,
        out=tmp_path / "mine",
        overrides=["source.magnitude={uniform: [19, 22]}", "lens.gamma1={normal: [0, 0.05]}"],
    )
    card = archive_card(archive)
    assert "this data set's own" in card
    assert "magnitude uniform in [19, 22]" in card
    assert "gamma1 = normal, 0 +/- 0.05" in card
    fixed = re.search(r"The same in every image:\*\* (.*)\. A network", card)[1]
    assert "magnitude" not in fixed
    assert "shear" not in fixed


def test_an_archives_facts_are_those_of_its_manifest(described):
    manifest = described.manifest
    card = (Path(described.location.url) / "README.md").read_text()
    assert front_matter(card)["size_categories"] == ["n<1K"]
    for group in manifest.groups:
        assert re.search(rf"\| {group.name} \| \d \| {group.count} \|", card)
    for words in (manifest.spec_sha256, manifest.generator_version, data_fingerprint(manifest)):
        assert words in card
    assert "](preview.png)" in card
    configs = {c["config_name"]: c["data_files"] for c in front_matter(card)["configs"]}
    assert list(configs) == ["columns-axion", "columns-cdm", "columns-no_sub"]
    for files in configs.values():
        for entry in files:
            assert (Path(described.location.url) / entry["path"]).exists()


def test_statistics_are_those_of_the_images(described):
    card = (Path(described.location.url) / "README.md").read_text()
    table = card.split("## Statistics")[1]
    for split in ("train", "test"):
        [row] = re.findall(rf"^\| {split}/cdm \| (-?[\d.]+.*) \|$", table, re.M)
        cells = [np.nan if cell == "-" else float(cell) for cell in row.split(" | ")]
        dataset = described.dataset(split, "cdm").load()
        flux = np.percentile(dataset["image"], [1, 50, 99, 99.9])
        np.testing.assert_allclose(cells[:4], flux, rtol=6e-3)
        snr = np.percentile(dataset["substructure_snr"], [5, 50, 95])
        np.testing.assert_allclose(cells[4:7], snr, atol=0.51)
        refit = np.percentile(dataset["substructure_snr_refit"], [5, 50, 95])
        np.testing.assert_allclose(cells[7:], refit, atol=0.051)
        assert np.isnan(refit).all() == (split == "train")


def test_the_fingerprint_is_what_the_card_says_it_is(described):
    root = Path(described.location.url)
    files = sorted(
        str(path.relative_to(root)) for path in (root / IMAGES).rglob("*") if path.is_file()
    )
    lines = [f"{hashlib.sha256((root / path).read_bytes()).hexdigest()}  {path}" for path in files]
    expected = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert data_fingerprint(described.manifest) == expected


def test_the_commands_of_the_card_load_the_archive(described):
    card = (Path(described.location.url) / "README.md").read_text()
    [code] = re.findall(r"```python\n(import xarray\n.*?)```", card, re.S)
    code = code.replace("DIR", described.location.url).replace(".plot()", ".load()")
    script = f"{code}\nassert everything['test/cdm'].sizes['sample'] == 5\n"
    script += "import sys; assert 'lenssim' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_shards_are_described_where_there_are_some(copied):
    shard = Path(copied.location.url) / "shards" / "train" / "cdm-000000.tar"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"x")
    from lenssim.archive.manifest import FileRecord

    copied.manifest.files["shards/train/cdm-000000.tar"] = FileRecord.of(b"x")
    # and the tables are not, because the hub's reader takes one format a repository
    assert front_matter(archive_card(copied))["configs"] == [
        {
            "config_name": "images",
            "default": True,
            "data_files": [{"split": "train", "path": "shards/train/*.tar"}],
        }
    ]
