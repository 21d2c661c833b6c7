"""Which files of a DeepLense-style folder are train and which are test images.

Files of the same content are copies of one image: they are never in both splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lenssim.build.importers.folder import Source
from lenssim.errors import ImportFileError, UsageError
from lenssim.spec import SPLITS, Split, SubstructureClass

TEST_FRACTION = 0.1
"""Share of each class that becomes its test split, where nothing else is asked for."""

Counts = dict[SubstructureClass, dict[Split, int]]
"""Images of each class in the two splits."""


@dataclass(frozen=True)
class SourceFile:
    """One file of the folder: its path there, and the SHA-256 of its content."""

    path: str
    sha256: str


Files = Mapping[SubstructureClass, Sequence[SourceFile]]


def split_counts(
    source: Source, split: float | None, train: int | None, test: int | None
) -> Counts:
    """Images of each class in the two splits; arguments and errors are `import_deeplense`'s.

    With copies of an image among the files, `chosen_files` may put fewer into the test split.
    """
    if source.test_folder is not None:
        if (split, train, test) != (None, None, None):
            raise UsageError(
                f"{source.folder} has splits of its own, train/ and {source.test_folder}/: leave "
                "out --split, --train and --test."
            )
        return {
            name: {part: sum(source.split_of(path) == part for path in paths) for part in SPLITS}
            for name, paths in source.files.items()
        }
    if split is not None and (train is not None or test is not None):
        raise UsageError("Give either split, or train and test, not both.")
    share = TEST_FRACTION if split is None else split
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"split = {share:g} must be between 0 and 1.")
    counts: Counts = {}
    for name, files in source.files.items():
        held = len(files)
        if train is None and test is None:
            tested = round(share * held)
            counts[name] = {"train": held - tested, "test": tested}
            continue
        tested = test or 0
        trained = train if train is not None else held - tested
        if trained < 0 or tested < 0 or trained + tested > held:
            raise UsageError(
                f"{source.folder / name} holds {held} images, which is not enough for "
                f"{max(trained, 0)} to train and {tested} to test."
            )
        counts[name] = {"train": trained, "test": tested}
    if not any(number for sizes in counts.values() for number in sizes.values()):
        raise UsageError("train and test are both 0: there is nothing to import.")
    return counts


def chosen_files(
    source: Source, files: Files, counts: Counts, seed: int, *, exact: bool
) -> dict[str, tuple[str, ...]]:
    """Paths of the files of each group, as in "train/cdm", sorted; groups without any are left out.

    The test images are the first of an order that content and seed decide. Copies of an image stay
    together, also those that are of two classes: a set of copies that does not fit into what is
    left of the test split is trained on.

    Args:
        source: the folder.
        files: of each class.
        counts: images of each class in the two splits.
        seed: of the order.
        exact: whether the counts must be met.

    Raises:
        ImportFileError: where files of the same content are in both of the splits that the source
            has itself.
        UsageError: where copies make it impossible to meet the counts.
    """
    if source.test_folder is not None:
        groups = _given(source, files)
    else:
        groups = _drawn(files, {name: counts[name]["test"] for name in files}, seed)
        for name in files if exact else ():
            tested, wanted = len(groups[f"test/{name}"]), counts[name]["test"]
            if tested != wanted:
                raise UsageError(
                    f"{source.folder} holds copies of the same images, which must not be in both "
                    f"splits: {tested} test images of class {name} are possible, not {wanted}; "
                    "ask for so many, or remove the copies."
                )
            groups[f"train/{name}"] = groups[f"train/{name}"][: counts[name]["train"]]
    return {name: tuple(sorted(paths)) for name, paths in groups.items() if paths}


def of_two_classes(files: Files) -> int:
    """Number of files whose content is also that of a file of another class."""
    classes: dict[str, set[SubstructureClass]] = {}
    for name, group in files.items():
        for file in group:
            classes.setdefault(file.sha256, set()).add(name)
    return sum(len(classes[file.sha256]) > 1 for group in files.values() for file in group)


def _drawn(
    files: Files, tested: Mapping[SubstructureClass, int], seed: int
) -> dict[str, list[str]]:
    """Paths of the files of each group, in a random order; no more than `tested` to test."""
    copies: dict[str, dict[SubstructureClass, list[str]]] = {}
    for name, group in files.items():
        for file in sorted(group, key=lambda file: file.path):
            copies.setdefault(file.sha256, {}).setdefault(name, []).append(file.path)

    def key(checksum: str) -> bytes:
        return hashlib.sha256(f"{seed} {checksum}".encode()).digest()

    groups: dict[str, list[str]] = {f"{part}/{name}": [] for part in SPLITS for name in files}
    for checksum in sorted(copies, key=key):
        paths = copies[checksum]
        fits = all(
            len(groups[f"test/{name}"]) + len(same) <= tested[name] for name, same in paths.items()
        )
        for name, same in paths.items():
            groups[f"{'test' if fits else 'train'}/{name}"] += same
    return groups


def _given(source: Source, files: Files) -> dict[str, list[str]]:
    """Paths of the files of each group of a source that has splits of its own."""
    groups: dict[str, list[str]] = {f"{part}/{name}": [] for part in SPLITS for name in files}
    paths: dict[Split, dict[str, str]] = {part: {} for part in SPLITS}
    for name, group in files.items():
        for file in group:
            part = source.split_of(file.path)
            groups[f"{part}/{name}"].append(file.path)
            paths[part][file.sha256] = file.path
    both = sorted(paths["train"].keys() & paths["test"].keys(), key=paths["train"].__getitem__)
    if both:
        one, other = (source.folder / paths[part][both[0]] for part in SPLITS)
        more = f", as have {len(both) - 1} other pairs" if len(both) > 1 else ""
        raise ImportFileError(
            f"{one} and {other} have the same content{more}: a model would be tested on what it "
            "was trained on; remove one of the two."
        )
    return groups
