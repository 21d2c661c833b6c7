"""The report: self-contained, safe to open, and true."""

import html.parser
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from lensmodels.errors import UsageError
from lensmodels.reporting.comparison_page import compare, paired_differences
from lensmodels.reporting.evaluated_run import read_evaluated
from lensmodels.reporting.optional_plots import CAPTIONS
from lensmodels.reporting.run_page import evaluate, write_report
from lensmodels.runs import read_config, write_config
from lensmodels.runs.folder import RUN_FILES
from lenssim import errors

HOSTILE = '"><script>alert(1)</script><img src="http://example.org/x.png" onerror="alert(2)">'

PLOTS = 6


class _Elements(html.parser.HTMLParser):
    """Names and attributes of all elements of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def run(make_run):
    made = make_run()
    evaluate(made)
    return made


def test_the_page_loads_nothing_and_runs_nothing(run):
    elements = _Elements((run / "report.html").read_text()).found
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in elements}
    for tag, attributes in elements:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    policy = next(attributes["content"] for _, attributes in elements if "content" in attributes)
    assert "default-src 'none'" in policy


def test_every_plot_is_in_the_page(run):
    elements = _Elements((run / "report.html").read_text()).found
    shown = [attributes for tag, attributes in elements if tag == "img"]
    assert len(shown) == len(list((run / "plots").glob("*.png"))) == PLOTS
    assert all(image["alt"] for image in shown)


def test_hostile_names_and_settings_are_shown_as_text(make_run, lenses):
    made = make_run(name="run <b>bold", pretrained=HOSTILE)
    evaluate(made, str(lenses))
    config = read_config(made)
    data = config.data.model_copy(update={"url": HOSTILE})
    write_config(made, config.model_copy(update={"data": data}))
    metrics = json.loads((made / "metrics.json").read_text())
    metrics["data"] |= {"url": HOSTILE, "model": HOSTILE}
    (made / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(made).read_text()
    compared = compare([made, made], made / "compared").read_text()
    for text in (page, compared):
        elements = _Elements(text).found
        assert not {"script", "b"} & {tag for tag, _ in elements}
        for tag, attributes in elements:
            assert "onerror" not in attributes
            if tag == "img":
                assert attributes["src"].startswith("data:image/png;base64,")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_it_gives_the_scores_and_the_data(run):
    page = (run / "report.html").read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    for expected in (
        f"Macro AUC {metrics['macro_auc']:.4f}",
        metrics["data"]["sha256"],
        metrics["data"]["spec_sha256"],
        "finetune_views",
    ):
        assert expected in page


def test_a_run_that_was_not_evaluated_is_one_sentence(make_run):
    with pytest.raises(UsageError, match="lensmodels evaluate"):
        write_report(make_run())


def _with_masses(make_run, scatter, name, seed=1):
    """A run whose predictions have some scatter about the truth."""
    made = make_run("axion-mass", name=name)
    evaluate(made)
    generator = np.random.default_rng(seed)
    true = np.linspace(-24, -22, 400)
    table = pd.DataFrame(
        {
            "split": "test",
            "class": "axion",
            "sample": range(400),
            "label": 0,
            "axion_mass": 10**true,
            "substructure_snr": 30.0,
            "log10_mass": true + scatter * generator.normal(size=400),
        }
    )
    table.to_csv(made / "predictions.csv", index=False)
    metrics = json.loads((made / "metrics.json").read_text())
    error = table["log10_mass"] - true
    metrics["rmse_dex"] = float(np.sqrt(np.mean(error**2)))
    (made / "metrics.json").write_text(json.dumps(metrics))
    return made


def test_a_difference_beyond_its_interval_is_named_and_noise_is_not(make_run, tmp_path):
    first = _with_masses(make_run, 0.30, "base")
    better = _with_masses(make_run, 0.20, "better")
    equal = _with_masses(make_run, 0.30, "equal", seed=2)
    page = compare([first, better, equal], tmp_path / "compared").read_text()
    assert "This training of better scores better than this one of base" in page
    assert "equal and base cannot be told apart" in page
    found = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    pair = next(
        row for row in found["differences"] if (row["run"], row["less"]) == ("better", "base")
    )
    rmse = {name: metrics["rmse_dex"] for name, metrics in found["runs"].items()}
    assert pair["difference"] == pytest.approx(rmse["better"] - rmse["base"])
    assert pair["excludes_zero"]


def test_differences_are_antisymmetric(make_run):
    runs = [
        read_evaluated(_with_masses(make_run, scatter, f"run-{scatter}")) for scatter in (0.2, 0.3)
    ]
    found = paired_differences(runs)
    (value, interval), (back, reverse) = found[0, 1], found[1, 0]
    assert value == -back
    assert (interval.low, interval.high) == (-reverse.high, -reverse.low)


def test_runs_on_other_images_are_not_paired(make_run, tmp_path):
    first = _with_masses(make_run, 0.30, "first")
    other = _with_masses(make_run, 0.20, "other")
    table = pd.read_csv(other / "predictions.csv")
    table["substructure_snr"] += 1
    table.to_csv(other / "predictions.csv", index=False)
    page = compare([first, other], tmp_path / "compared").read_text()
    assert "other cannot be compared with first image by image" in page
    assert json.loads((tmp_path / "compared" / "comparison.json").read_text())["differences"] == []


def _without_facts(make_run, name, archive):
    """A run that was tested on imported images of which nothing but the class is known."""
    made = make_run(name=name)
    evaluate(made)
    table = pd.read_csv(made / "predictions.csv")
    table = table.assign(substructure_snr=np.nan, axion_mass=np.nan)
    table.to_csv(made / "predictions.csv", index=False)
    metrics = json.loads((made / "metrics.json").read_text())
    metrics |= {"auc_by_snr": [], "unknown": ["substructure_snr", "axion_mass"]}
    metrics["data"] |= {"sha256": archive, "spec_sha256": None}
    (made / "metrics.json").write_text(json.dumps(metrics))
    return made


def test_images_of_which_nothing_is_known_are_told_apart_by_their_archive(make_run, tmp_path):
    same = [_without_facts(make_run, name, "a" * 64) for name in ("one", "two")]
    other = _without_facts(make_run, "other", "b" * 64)
    page = compare([*same, other], tmp_path / "compared").read_text()
    assert "other cannot be compared with one image by image" in page
    assert "two cannot be compared" not in page
    assert "does not state the S/N" in page
    assert "<h3>By signal to noise" not in page


def test_an_impossibly_good_mass_is_called_a_leak(make_run):
    made = _with_masses(make_run, 0.05, "leak")
    metrics = json.loads((made / "metrics.json").read_text())
    metrics["ci95"]["rmse_dex"] = [0.045, 0.055]
    (made / "metrics.json").write_text(json.dumps(metrics))
    assert "something other than the image gives the mass away" in write_report(made).read_text()


def test_a_model_that_learned_nothing_is_called_so(run, make_run):
    """Weights are random: a class is ranked by chance, and a mass is a constant."""
    assert "no better than chance" in (run / "report.html").read_text()
    made = make_run("axion-mass", name="constant")
    evaluate(made)
    assert "little more than the mean" in (made / "report.html").read_text()


def test_runs_with_other_numbers_of_labels_are_named(make_run, tmp_path):
    runs = [_with_masses(make_run, 0.3, name) for name in ("few", "many")]
    for run, labels in zip(runs, (12, 1200), strict=True):
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(metrics | {"n_labels": labels}))
    page = compare(runs, tmp_path / "compared").read_text()
    assert "different numbers of labels (few 12, many 1,200)" in page


def test_runs_of_different_tasks_do_not_compare(run, make_run, tmp_path):
    with pytest.raises(UsageError, match="different tasks"):
        compare([run, _with_masses(make_run, 0.3, "mass")], tmp_path)


def test_one_run_does_not_compare(run, tmp_path):
    with pytest.raises(UsageError, match="at least two"):
        compare([run], tmp_path)


def test_a_browser_shows_every_plot(run, tmp_path):
    """Chromium lays the page out with each plot as wide as it was drawn, and is offline."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium here; install it (apt-get install chromium) to open the report")
    probe = tmp_path / "probe.html"
    count = (
        "<script>onload = () => { document.title = 'loaded ' + [...document.images]"
        ".filter(image => image.complete && image.naturalWidth > 100 && image.width > 100)"
        ".length; }</script>"
    )
    page = (run / "report.html").read_text()
    policy = "default-src 'none'"
    allowing = page.replace(policy, f"{policy}; script-src 'unsafe-inline'")
    assert allowing != page
    probe.write_text(allowing.replace("</head>", f"{count}</head>"))
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
    ]  # fmt: skip
    shown = subprocess.run(
        [*command, f"file://{probe}"], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert f"<title>loaded {PLOTS}</title>" in shown
    # as it is written, it renders to a picture that is not blank
    picture = tmp_path / "page.png"
    subprocess.run(
        [*command[:-1], "--window-size=1200,2400", f"--screenshot={picture}",
         f"file://{run / 'report.html'}"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    from matplotlib.image import imread

    assert imread(picture)[1200:, :, :3].std() > 0.02


def test_an_evaluated_run_consists_of_the_files_of_a_run(run):
    assert {path.name for path in run.iterdir()} <= set(RUN_FILES)
    assert {path.stem for path in (run / "plots").iterdir()} <= set(CAPTIONS)


def test_evaluating_again_leaves_pictures_of_another_origin(make_run):
    run = make_run()
    (run / "plots").mkdir()
    (run / "plots" / "mine.png").write_bytes(b"mine")
    (run / "plots" / "rmse_by_mass.png").write_bytes(b"of an earlier task")
    evaluate(run)
    assert (run / "plots" / "mine.png").read_bytes() == b"mine"
    assert not (run / "plots" / "rmse_by_mass.png").exists()


@pytest.mark.parametrize("name", ["report.html", "comparison.json"])
def test_a_comparison_replaces_no_file_of_another_origin(run, name, tmp_path):
    (tmp_path / name).write_text('{"mine": true}')
    with pytest.raises(errors.UsageError, match=f"{name} of another origin"):
        compare([run, run], tmp_path)
    assert (tmp_path / name).read_text() == '{"mine": true}'


def test_a_comparison_does_not_replace_the_report_of_a_run(run):
    before = (run / "report.html").read_bytes()
    with pytest.raises(errors.UsageError, match="another origin"):
        compare([run, run], run)
    assert (run / "report.html").read_bytes() == before


def test_a_comparison_is_replaced_by_the_next(run, tmp_path):
    for _ in range(2):
        compare([run, run], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "comparison.json"}
