"""Learning rates and weight decays: which weight has which, and when."""

import pytest
import torch

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.methods import StageSettings, Supervised
from lensmodels.model import LensModel
from lensmodels.tasks import Classification, TaskSettings
from lensmodels.views import ViewSettings

VIT = {"embed_dim": 16, "num_heads": 1, "depth": 3}
STEPS = 100


def finetuning(encoder="vit_tiny_patch16_224", arguments=VIT, batch_size=256, **settings):
    chosen = Encoder(EncoderSettings(name=encoder, arguments=arguments), 64)
    model = LensModel(InputScaling(), chosen, Classification(TaskSettings()))
    stage = StageSettings(epochs=1, **{"learning_rate": 1.0, **settings})
    view = (ViewSettings(),)
    return Supervised(model, view, stage, batch_size=batch_size, total_steps=STEPS, seed=0)


def by_name(module, key):
    """Learning rate, or weight decay, of every weight by its name."""
    optimizer = module.configure_optimizers()["optimizer"]
    values = {id(w): group[key] for group in optimizer.param_groups for w in group["params"]}
    return {name: values[id(weights)] for name, weights in module.named_parameters()}


def rates_over_steps(module, part):
    """Learning rate of the first weight of a part, before each step."""
    made = module.configure_optimizers()
    first = next(part.parameters())
    (group,) = (g for g in made["optimizer"].param_groups if any(w is first for w in g["params"]))
    rates = []
    for _ in range(STEPS):
        rates.append(group["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    return rates


def test_positions_class_tokens_norms_and_biases_do_not_decay():
    decay = by_name(finetuning(weight_decay=0.3), "weight_decay")
    network = "model.encoder.network."
    spared = {"pos_embed", "cls_token", "norm.weight", "patch_embed.proj.bias"}
    assert {decay[network + name] for name in spared} == {0.0}
    assert decay[network + "blocks.0.mlp.fc1.weight"] == decay["model.head.weight"] == 0.3


def test_what_timm_lists_does_not_decay():
    swin = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4}
    decay = by_name(finetuning("swin_tiny_patch4_window7_224", swin), "weight_decay")
    tables = [value for name, value in decay.items() if "relative_position_bias_table" in name]
    assert tables == [0.0, 0.0]


def test_the_rate_of_each_layer_is_a_share_of_the_next():
    rates = by_name(finetuning(layer_decay=0.5, encoder_rate=0.1, warmup=0), "lr")
    network = "model.encoder.network."
    found = [rates[f"{network}blocks.{block}.mlp.fc1.weight"] for block in range(3)]
    assert found[1] == pytest.approx(2 * found[0])
    assert found[2] == pytest.approx(2 * found[1])
    assert rates[network + "patch_embed.proj.weight"] == pytest.approx(found[0] / 2)
    assert rates[network + "norm.weight"] == pytest.approx(0.1)
    assert rates["model.head.weight"] == 1.0


@pytest.mark.parametrize(
    "encoder",
    ["test_resnet", "test_convnext", "cvt_tiny_64", "crossformer_tiny_64", "equivariant_tiny"],
)
def test_layers_of_other_encoders_have_their_rates_too(encoder):
    rates = by_name(finetuning(encoder, {}, layer_decay=0.5, warmup=0), "lr")
    weights = [rate for name, rate in rates.items() if name.startswith("model.encoder")]
    assert min(weights) < 0.1 * weights[-1]
    assert weights[-1] == rates["model.head.weight"]


def test_the_recipe_of_the_study_can_be_set():
    study = {"learning_rate": 1e-4, "weight_decay": 0, "warmup": 0}
    module = finetuning(batch_size=64, scale_rate=False, schedule="constant", **study)
    assert set(rates_over_steps(module, module.model.head)) == {1e-4}
    assert set(by_name(module, "weight_decay").values()) == {0}
    optimizer = module.configure_optimizers()["optimizer"]
    # without weight decay the same steps as Adam
    ours = torch.nn.Parameter(torch.ones(3))
    theirs = torch.nn.Parameter(torch.ones(3))
    pairs = [
        (ours, type(optimizer)([ours], lr=0.1, weight_decay=0)),
        (theirs, torch.optim.Adam([theirs], lr=0.1)),
    ]
    for weights, each in pairs:
        for _ in range(3):
            each.zero_grad()
            weights.pow(3).sum().backward()
            each.step()
    assert torch.equal(ours, theirs)


def test_the_rate_follows_the_root_of_the_batch_size():
    assert max(by_name(finetuning(batch_size=64, warmup=0), "lr").values()) == 0.5


def test_simsiam_s_predictor_keeps_its_rate(make):
    module = make("simsiam", learning_rate=1.0, scale_rate=False)
    assert set(rates_over_steps(module, module.prediction_head)) == {1.0}
    others = rates_over_steps(module, module.projection_head)
    assert others[0] < max(others) == 1.0
    assert others[-1] < 0.01


@pytest.mark.parametrize("name", ["byol", "dino", "mae"])
def test_every_trained_weight_has_one_rate(make, name):
    encoder = {"mae": {"encoder": "vit_tiny_patch16_224", "arguments": VIT, "patch_size": 8}}
    module = make(name, layer_decay=0.7, **encoder.get(name, {}))
    groups = module.configure_optimizers()["optimizer"].param_groups
    held = [id(weights) for group in groups for weights in group["params"]]
    trained = [id(weights) for weights in module.parameters() if weights.requires_grad]
    assert sorted(held) == sorted(trained)
