"""Streams in Lightning's loop: epochs in order, mid-epoch resume, and several processes."""

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lensmodels.data import DataSettings, LensDataModule


class Recorder(lightning.LightningModule):
    """Learns one number and notes which images it saw."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, _):
        self.seen.append((self.current_epoch, batch["group"].tolist(), batch["sample"].tolist()))
        return (self.weight - batch["image"].mean()).square().mean()

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def opened(archive, workers=1):
    settings = {"batch_size": 16, "num_pix": 16, "workers": workers, "cache": "none", "seed": 2}
    return LensDataModule(DataSettings(url=str(archive), **settings))


def trainer(tmp_path, **options):
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **{"max_epochs": 3, "enable_checkpointing": False, **options},
    )


def test_lightning_sees_every_epoch_in_its_own_order(archive, tmp_path):
    model = Recorder()
    trainer(tmp_path).fit(model, datamodule=opened(archive))
    stream = (module := opened(archive)).setup() or module.train_dataloader()
    expected = [
        (epoch, batch["group"].tolist(), batch["sample"].tolist())
        for epoch in range(3)
        for batch in stream
    ]
    assert model.seen == expected


def test_epochs_cut_short_do_not_repeat_the_first(archive, tmp_path):
    model = Recorder()
    trainer(tmp_path, limit_train_batches=2).fit(model, datamodule=opened(archive))
    assert len({str(seen[1:]) for seen in model.seen}) == 6


@pytest.mark.parametrize("step", [3, 8, 11, 16])
def test_training_resumes_in_the_middle_of_an_epoch(archive, tmp_path, step):
    whole = Recorder()
    trainer(tmp_path).fit(whole, datamodule=opened(archive))
    every_step = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    trainer(tmp_path, enable_checkpointing=True, callbacks=[every_step]).fit(
        Recorder(), datamodule=opened(archive)
    )
    resumed = Recorder()
    path = tmp_path / f"step={step}.ckpt"
    trainer(tmp_path).fit(
        resumed, datamodule=opened(archive, workers=0), ckpt_path=path, weights_only=True
    )
    assert resumed.seen == whole.seen[step:]
    torch.testing.assert_close(resumed.weight, whole.weight, rtol=0, atol=0)
