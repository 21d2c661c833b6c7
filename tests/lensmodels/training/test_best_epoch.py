"""The weights of the best epoch are kept, also through an interruption."""

from types import SimpleNamespace

import torch

from lensmodels.training.best_epoch import KeepBestEpoch


def validated(callback, module, losses):
    """Epochs with these losses; the weight of each is its number."""
    for epoch, loss in enumerate(losses):
        torch.nn.init.constant_(module.weight, epoch)
        trainer = SimpleNamespace(callback_metrics={"val_loss": torch.tensor(loss)})
        callback.on_validation_end(trainer, module)


def test_weights_of_the_lowest_loss_are_restored():
    callback, module = KeepBestEpoch(), torch.nn.Linear(1, 1)
    validated(callback, module, [0.9, 0.2, 0.5, float("nan")])
    callback.restore(module)
    assert module.weight.item() == 1


def test_best_epoch_may_lie_before_an_interruption():
    before, module = KeepBestEpoch(), torch.nn.Linear(1, 1)
    validated(before, module, [0.9, 0.2, 0.5])
    after = KeepBestEpoch()
    after.load_state_dict(before.state_dict())
    validated(after, module, [0.3, 0.4])
    after.restore(module)
    assert module.weight.item() == 1


def test_last_weights_stay_where_nothing_was_validated():
    callback, module = KeepBestEpoch(), torch.nn.Linear(1, 1)
    torch.nn.init.constant_(module.weight, 7.0)
    callback.restore(module)
    assert module.weight.item() == 7
