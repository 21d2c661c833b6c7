"""Batches of a live source are the images of an archive, and pairs share what they should."""

import numpy as np
import pytest

import lenssim
from lenssim.live import live_source
from lenssim.live.pairs import second_system, shifted, with_source_of
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import GroupStreams, random_stream, replaced
from lenssim.simulation import draw_system, measure_arc

SMALL = ("instrument.num_pix=24", "sampling.tolerance=null", "sampling.subsamples=1")
CLASSES = ["axion", "cdm", "no_sub"]


def source(**options):
    return live_source("B", overrides=SMALL, **{"workers": 0, "batch_size": 12, **options})


def taken(live, count):
    with live:
        return [next(live) for _ in range(count)]


def same(first, second):
    return np.array_equal(first.images, second.images) and all(
        np.array_equal(first.columns[name], second.columns[name], equal_nan=True)
        for name in first.columns
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live") / "B"
    spec = lenssim.load_spec("B", SMALL)
    return lenssim.generate(spec, train=13, test=0, out=folder, seed=4)


def test_batches_are_the_bits_of_an_archive(archive):
    batches = taken(source(seed=4, first_index=3, batch_size=10), 3)
    groups = {name: archive.dataset("train", name).load() for name in CLASSES}
    seen = set()
    for batch in batches:
        for row in range(len(batch)):
            name = CLASSES[batch.columns["label"][row]]
            index = int(batch.columns["sample"][row])
            seen.add((name, index))
            stored = groups[name].isel(sample=index)
            assert np.array_equal(batch.images[row], stored["image"].values)
            for column, values in batch.columns.items():
                if column not in stored:
                    assert np.isnan(values[row]).all()
                elif values.ndim == 1:
                    assert values.dtype == stored[column].dtype
                    assert np.array_equal(values[row], stored[column].values, equal_nan=True)
                else:
                    held = stored[column].values
                    count = np.isfinite(held).sum()
                    assert np.array_equal(values[row, :count], held[:count])
                    assert np.isnan(values[row, count:]).all()
    assert seen == {(name, index) for name in CLASSES for index in range(3, 13)}


def test_any_number_of_processes_gives_the_same_batches():
    alone = taken(source(pairs="source"), 4)
    shared = taken(source(pairs="source", workers=2), 4)
    assert [batch.number for batch in shared] == [0, 1, 2, 3]
    for one, other in zip(alone, shared, strict=True):
        assert same(one, other)
        assert np.array_equal(one.second_images, other.second_images)
        for name, values in one.second_columns.items():
            assert np.array_equal(values, other.second_columns[name], equal_nan=True)


def test_a_source_goes_on_at_its_position():
    whole = taken(source(), 3)
    first = source()
    next(first)
    rest = taken(source(start=first.position), 2)
    assert all(same(one, other) for one, other in zip(whole[1:], rest, strict=True))


def test_every_batch_has_the_same_columns():
    batches = taken(source(batch_size=2), 3)
    assert len({tuple(batch.columns) for batch in batches}) == 1
    assert "subhalo_x" in batches[0].columns


def test_the_other_source_of_a_pair_passes_the_selection_behind_the_same_lens():
    """Without a selection of its own, one in two would not."""
    spec = lenssim.load_spec("B-wide", ["selection.magnification_min=6"])
    streams = GroupStreams(1, spec.name, "train", "no_sub")
    for index in range(3):
        first = draw_system(spec, "no_sub", streams.at(index, "population"))
        second = second_system("source", first, spec, streams, index)
        assert second.magnification >= 6
        assert second.arc_snr != first.arc_snr
        assert (second.magnification, second.arc_snr) == measure_arc(second, spec)


def test_pairs_share_lens_and_substructure_and_differ_in_source_and_phase():
    spec = lenssim.load_spec("B", SMALL)
    [batch] = taken(source(pairs="source", batch_size=30), 1)
    first, second = batch.columns, batch.second_columns
    shared = [
        *["label", "sample", "axion_mass", "substructure_mass", "lens_theta_e", "vortex_angle"],
        *["vortex_length", "vortex_theta_e", "subhalo_mass", "subhalo_theta_e"],
    ]
    for name in shared:
        assert np.array_equal(first[name], second[name], equal_nan=True), name
    moved = second["subhalo_x"] - first["subhalo_x"]
    cdm = first["label"] == 1
    shift = np.nanmean(moved[cdm], axis=1)
    np.testing.assert_allclose(np.nanstd(moved[cdm], axis=1), 0.0, atol=1e-12)
    assert (np.abs(shift) <= 0.5 * spec.instrument.pixel_scale).all()
    assert len(np.unique(shift)) == cdm.sum()
    assert (np.abs(second["source_x"] - first["source_x"]) > 1e-3).mean() > 0.9
    assert (batch.images != batch.second_images).all(axis=(1, 2)).all()


def test_a_source_in_a_disc_scales_with_the_lens():
    spec = lenssim.load_spec("B")
    streams = [random_stream(0, "B", "train", "axion", index, "population") for index in (0, 1)]
    first, other = (draw_system(spec, "axion", stream) for stream in streams)
    larger = replaced(first, smooth_theta_e=2 * first.smooth_theta_e, lens_x=0.1)
    moved = with_source_of(larger, other, in_disc=True)
    assert moved.source_x == pytest.approx(0.1 + 2 * other.source_x)
    assert moved.vortex_angle == first.vortex_angle
    assert with_source_of(larger, other, in_disc=False).source_x == other.source_x


def test_a_smooth_twin_has_the_same_source_and_no_substructure():
    [batch] = taken(source(pairs="smooth_twin", batch_size=9), 1)
    first, second = batch.columns, batch.second_columns
    for name in ("source_x", "source_y", "source_magnitude", "lens_gamma1"):
        assert np.array_equal(first[name], second[name])
    assert (second["label"] == 2).all()
    assert (second["substructure_mass"] == 0).all()
    assert np.isnan(second["axion_mass"]).all()
    spec = lenssim.load_spec("B", SMALL)
    stream = random_stream(0, "B", "train", "axion", 0, "population")
    smooth = lenssim.render(lenssim.smooth_system(draw_system(spec, "axion", stream)), spec)
    noise = batch.second_images[0] - smooth
    assert noise.std() > 0
    # a lens without substructure is its own twin, noise and all
    assert (first["label"][2], second["label"][2]) == (2, 2)
    np.testing.assert_array_equal(batch.second_images[2], batch.images[2])
    # and what another has more than its twin is the substructure: the S/N of its columns
    pixels = pixel_noise(spec.instrument)
    difference = (batch.images[1] - batch.second_images[1]) / noise_sigma(
        np.float64(batch.second_images[1]), pixels
    )
    told = first["substructure_snr"][1]
    assert np.linalg.norm(difference) == pytest.approx(told, rel=0.1)


def test_a_shifted_scene_is_the_same_image_elsewhere():
    spec = lenssim.load_spec(
        "B", ["lens.gamma1=0.06", "lens.gamma2=-0.04", "lens.e1=0.1", "sampling.tolerance=0.01"]
    )
    stream = random_stream(0, "B", "train", "cdm", 0, "population")
    system = draw_system(spec, "cdm", stream)
    pixel = spec.instrument.pixel_scale
    here = lenssim.render(system, spec)
    there = lenssim.render(shifted(system, 2 * pixel, -pixel), spec)
    np.testing.assert_allclose(there[9:-11, 12:-8], here[10:-10, 10:-10], atol=2e-3)
    assert np.abs(there - here).max() > 1.0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"classes": ["cdm", "cdm"]}, "each once"),
        ({"classes": ["wdm"]}, "one or more of axion, cdm, no_sub"),
        ({"pairs": "twin"}, "pairs = twin must be one of source, smooth_twin"),
        ({"batch_size": 0}, "batch_size = 0 must be between 1"),
        ({"workers": -1}, "workers = -1 must be between 1"),
        ({"split": "validation"}, "split = validation"),
    ],
)
def test_what_is_not_possible_is_refused_in_a_sentence(options, what):
    with pytest.raises(lenssim.UsageError, match=what):
        source(**options)
