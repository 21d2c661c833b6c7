"""The data module: an archive's splits as loaders of batches."""

from __future__ import annotations

from collections.abc import Iterator

import lightning
import numpy as np
import torch
from torch import Tensor

from lensmodels.data.scaling import InputScaling
from lensmodels.data.settings import DataSettings
from lenssim.archive import open_archive

Batch = dict[str, Tensor]


class _Loader:
    def __init__(self, columns, indices, batch_size, seed=None, drop_last=False):
        self.columns, self.indices, self.batch_size = columns, indices, batch_size
        self.seed, self.drop_last, self.epoch = seed, drop_last, 0

    def __len__(self) -> int:
        count = len(self.indices)
        return max(1, count // self.batch_size) if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.indices
        if self.seed is not None:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
            self.epoch += 1
        for step in range(len(self)):
            chosen = torch.from_numpy(order[step * self.batch_size : (step + 1) * self.batch_size])
            yield {name: values[chosen] for name, values in self.columns.items()}


class LensDataModule(lightning.LightningDataModule):
    """Batches of an archive."""

    def __init__(self, settings: DataSettings) -> None:
        super().__init__()
        self.settings = settings
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Opens the archive and measures the scaling."""
        if self._ready:
            return
        settings = self.settings
        archive = open_archive(settings.url)
        self.groups = [f"{s}/{c}" for s in ("train", "test") for c in settings.classes]
        self.num_pix = archive.spec.instrument.num_pix
        self.pixel_scale = archive.spec.instrument.pixel_scale
        parts: dict[str, list] = {}
        rows: dict[str, list] = {"unlabelled": [], "labelled": [], "validation": [], "test": []}
        base = 0
        for number, name in enumerate(self.groups):
            split, substructure_class = name.split("/")
            dataset = archive.dataset(split, substructure_class)  # type: ignore[arg-type]
            if split == "train" and settings.train_size:
                dataset = dataset.isel(sample=slice(settings.train_size))
            count = dataset.sizes["sample"]
            values = {
                "image": torch.from_numpy(dataset["image"].values)[:, None],
                "label": torch.from_numpy(dataset["label"].values).long(),
                "axion_mass": torch.from_numpy(dataset["axion_mass"].values),
                "substructure_snr": torch.from_numpy(dataset["substructure_snr"].values),
                "sample": torch.from_numpy(dataset["sample"].values),
                "group": torch.full((count,), number),
            }
            for key, value in values.items():
                parts.setdefault(key, []).append(value)
            indices = np.arange(base, base + count)
            base += count
            if split == "test":
                rows["test"].append(indices)
                continue
            held = round(count * settings.validation_fraction)
            train = indices[: count - held]
            rows["validation"].append(indices[count - held :])
            rows["unlabelled"].append(train)
            rows["labelled"].append(train[: max(1, round(len(train) * settings.labels))])
        self._columns = {key: torch.cat(value) for key, value in parts.items()}
        self._rows = {key: np.concatenate(value) for key, value in rows.items()}
        self.sizes = {
            "train": len(self._rows["unlabelled"]),
            "labelled": len(self._rows["labelled"]),
            "validation": len(self._rows["validation"]),
            "test": len(self._rows["test"]),
        }
        self.scaling = InputScaling.measure(
            self.unlabelled_dataloader(), settings.scaling, softening=settings.softening
        )
        self._ready = True

    def train_dataloader(self) -> _Loader:
        """Labelled train images, shuffled."""
        return self._loader("labelled", shuffle=True)

    def unlabelled_dataloader(self) -> _Loader:
        """All train images, shuffled, for pretraining."""
        return self._loader("unlabelled", shuffle=True)

    def val_dataloader(self) -> _Loader:
        """Validation images, in order."""
        return self._loader("validation", shuffle=False)

    def test_dataloader(self) -> _Loader:
        """Test images, in order."""
        return self._loader("test", shuffle=False)

    def _loader(self, name: str, *, shuffle: bool) -> _Loader:
        settings = self.settings
        seed = settings.seed if shuffle else None
        return _Loader(
            self._columns, self._rows[name], settings.batch_size, seed, drop_last=shuffle
        )
