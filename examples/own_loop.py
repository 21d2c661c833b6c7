# %% [markdown]
# # Your own torch loop on the stream
#
# `open_stream` is an iterable of batches: every image exactly once an epoch, in an order that is a
# function of seed and epoch. The loop, the network and the loss are yours.

# %%
from tempfile import TemporaryDirectory

import torch
from torch import nn

import lensmodels
import lenssim

TRAIN, TEST, EPOCHS, BATCH = 600, 200, 5, 64

network = nn.Sequential(
    nn.Conv2d(1, 16, 5, stride=2, padding=2),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(4),
    nn.Flatten(),
    nn.Linear(32 * 16, len(lenssim.CLASSES)),
)
optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)

# %%
with TemporaryDirectory() as folder:
    lenssim.generate("B", train=TRAIN, test=TEST, out=f"{folder}/B", progress=True)
    stream = lensmodels.open_stream(f"{folder}/B", batch_size=BATCH, seed=0)
    for epoch in range(EPOCHS):  # each pass over the stream is the next epoch, in another order
        for batch in stream:
            images = torch.asinh(10 * batch["image"])  # e-/s; faint and bright alike
            loss = nn.functional.cross_entropy(network(images), batch["label"].long())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        print(f"epoch {epoch}: loss of the last batch {loss.item():.3f}")

    network.eval()
    right = total = 0
    with torch.inference_mode():
        stream = lensmodels.open_stream(f"{folder}/B", split="test", batch_size=BATCH, seed=None)
        for batch in stream:
            predicted = network(torch.asinh(10 * batch["image"])).argmax(dim=1)
            right += int((predicted == batch["label"]).sum())
            total += len(predicted)
    print(f"accuracy on {total} test images: {right / total:.2f}")
