"""What a pretraining learns from, and how tables tell it."""

import pytest

from lensmodels.errors import UsageError
from lensmodels.methods.settings import ENTRIES, PRETRAINING_DEFAULTS
from lensmodels.methods.supervision import MARK, check_pairs, method_title, pairs_of, supervision_of
from lensmodels.settings import config_from_options
from lensmodels.views import default_recipe

PAIRED = ("contrastive-rotation", "contrastive-noise", "simsiam", "vicreg")


def test_images_alone_supervise_every_method_but_those_that_name_the_simulator():
    marked = {name for name in ENTRIES if supervision_of(name) == "simulator"}
    assert marked == {"macro", "smooth-twin"}
    assert supervision_of("supervised") is None
    for name in ENTRIES:
        assert (MARK in method_title(name)) == (name in marked)


@pytest.mark.parametrize("name", PAIRED)
def test_live_pairs_make_a_method_one_that_the_simulator_supervises(name):
    defaults = PRETRAINING_DEFAULTS[name]
    paired = defaults.model_copy(update={"pairs": "source"})
    assert pairs_of(name, defaults) is None
    assert pairs_of(name, paired) == "source"
    assert supervision_of(name, paired) == "simulator"
    assert method_title(name, paired) == f"{method_title(name)} of live pairs {MARK}"
    check_pairs(name, paired, "live:B")
    with pytest.raises(UsageError, match="--data live:MODEL"):
        check_pairs(name, paired, "archives/B")


def test_pairs_have_views_without_added_noise_unless_others_are_asked_for():
    options = {"data": "live:B", "method": "simsiam"}
    plain = config_from_options(options)
    paired = config_from_options(options | {"overrides": ["pretrain.pairs=source"]})
    noisy = ["pretrain.pairs=source", "views.0.noise=[0,0.5]"]
    noisy = config_from_options(options | {"overrides": noisy})
    assert plain.pretrain_views == default_recipe("simsiam")
    assert paired.pretrain_views == default_recipe("pairs")
    assert all(view.noise == (0, 0) for view in paired.pretrain_views)
    assert noisy.pretrain_views[0].noise == (0, 0.5)


def test_methods_that_compare_no_two_views_have_no_pairs():
    with pytest.raises(UsageError, match=r"pretrain\.pairs"):
        config_from_options(
            {"data": "live:B", "method": "byol", "overrides": ["pretrain.pairs=source"]}
        )
