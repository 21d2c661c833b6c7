"""Embeddings: where a run's encoder puts the images of an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lensmodels.devices import choose_device
from lensmodels.evaluation import inference
from lensmodels.evaluation.inference import ImageGuard
from lensmodels.evaluation.outputs import write_embeddings
from lensmodels.evaluation.requests import check_embedding
from lensmodels.runs import local_run


def embed(
    run: str | Path,
    data: str,
    out: Path,
    *,
    device: str = "auto",
    batch_size: int = 512,
    cache_dir: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Embeds every image of an archive, and writes the embeddings with what is known of each.

    With the finetuned encoder or, where a run was only pretrained, the pretrained one. Images far
    from the run's training set are counted on stderr.

    Args:
        run: folder of a run, or URL of a published model.
        data: folder or URL of an archive.
        out: by its suffix, .parquet: one row an image, column `embedding` a list of float32; or
            .zarr: an xarray Dataset with `embedding` (image, feature). Both with split, sample,
            label, axion_mass (eV) and substructure_snr; parquet also with the name of the class,
            Zarr with what the values of its flags mean.
        device: "auto", "cpu" or "gpu".
        batch_size: images at a time.
        cache_dir: folder for copies of what a remote archive sends; that of the run's settings if
            not given.
        overwrite: whether an earlier output of `embed` may be replaced.

    Returns:
        The path that was written.

    Raises:
        UsageError: if there is no trained encoder, `out` has another suffix or holds something
            else, or `data` is an image file.
        DataError: if the archive cannot be read, or has images of another size.
    """
    run, out = local_run(run, cache_dir), Path(out)
    config = check_embedding(run, data, out, overwrite=overwrite)
    target = choose_device(device)
    embedding_of, num_pix = inference.embedder(run, target)
    guard = ImageGuard(config)
    tables, embeddings = [], []
    with inference.enough_memory(batch_size), torch.inference_mode():
        for group, batch, _ in inference.guarded_archive(
            data, guard, config, num_pix, batch_size, cache_dir
        ):
            split, name = group.split("/")
            known: dict[str, Any] = {"split": split, "class": name}
            for key in ("sample", "label", "axion_mass", "substructure_snr"):
                known[key] = batch[key].cpu().numpy()
            tables.append(pd.DataFrame(known))
            embeddings.append(embedding_of(batch["image"].to(target)).float().cpu().numpy())
    write_embeddings(out, pd.concat(tables, ignore_index=True), np.concatenate(embeddings))
    guard.report(str(run))
    return out
