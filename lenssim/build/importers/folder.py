"""What a DeepLense-style folder holds: which class and which split each file is of.

To add a name that a published data set gives a class, add it to `ALIASES`. Files of the same
content are copies of one image: they are never in both splits.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lenssim.errors import ImportFileError, UsageError
from lenssim.spec import CLASSES, SPLITS, Split, SubstructureClass

ALIASES: dict[SubstructureClass, tuple[str, ...]] = {
    "axion": ("axions", "vort", "vortex", "vortices"),
    "cdm": ("sphere", "spheres", "spherical", "subhalo", "subhalos", "subhaloes"),
    "no_sub": ("no", "nosub", "no_substructure", "nosubstructure", "smooth"),
}
"""Other names of the classes in DeepLense data sets: no/, sphere/ and vort/ in those of its
students' tests, the words of Alexander et al. 2020 (ApJ 893, 15) elsewhere. Case does not matter,
and a hyphen or a blank is as good as an underscore."""

TRAIN_FOLDER = "train"
TEST_FOLDERS = ("test", "val", "valid", "validation")
"""Folders that a data set with splits of its own keeps its test images in, the first that there
is."""

_SHOWN = 8
"""Names that a message lists."""


@dataclass(frozen=True)
class Source:
    """What a DeepLense-style folder holds."""

    folder: Path
    files: dict[SubstructureClass, tuple[str, ...]]
    """Paths of the .npy files of each class, relative to the folder, sorted."""
    others: tuple[str, ...]
    """Names of what is there and not imported."""
    class_folders: dict[str, SubstructureClass] = field(default_factory=dict)
    """The sub-folders that the files are in, each with its class."""
    test_folder: str | None = None
    """Folder of the test images, where the source has splits of its own."""

    def split_of(self, path: str) -> Split:
        """Split of a file of a source that has splits of its own."""
        return "test" if path.startswith(f"{self.test_folder}/") else "train"


def parse_class_folder(text: str) -> tuple[str, SubstructureClass]:
    """Name and class of a sub-folder, from FOLDER=CLASS.

    Raises:
        UsageError: if the text is not of that form, or there is no such class.
    """
    name, equals, substructure_class = text.rpartition("=")
    if not equals or not name or substructure_class not in CLASSES:
        raise UsageError(
            f"--class-folder {text}: write it as FOLDER=CLASS, as in no=no_sub; the classes are "
            f"{', '.join(CLASSES)}."
        )
    return name, substructure_class


def find_source(
    folder: str | os.PathLike[str], class_folders: Mapping[str, SubstructureClass] | None = None
) -> Source:
    """Looks at what is in a folder; reads no file.

    Args:
        folder: holds a sub-folder a class; or train/, and test/ or val/, which hold them.
        class_folders: class of sub-folders with names of their own, as in {"no": "no_sub"}. A
            class that is named here has these sub-folders only.

    Returns:
        Which sub-folder is which class and split.

    Raises:
        UsageError: if it has no sub-folder of a class with .npy files in it, or it is not
            certain which sub-folder is which class.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder.")
    stated = dict(class_folders or {})
    for name, substructure_class in stated.items():
        parse_class_folder(f"{name}={substructure_class}")
    part_folders = _part_folders(root)
    held: dict[str, SubstructureClass] = {}
    if not _classes_of(root, stated):
        for part in part_folders:
            inside = _classes_of(root / part, stated)
            held |= {f"{part}/{name}": files for name, files in inside.items()}
    has_own_splits = bool(held)
    held = held or _classes_of(root, stated)
    _check_stated(root, stated, held)
    files: dict[SubstructureClass, list[str]] = {}
    for name in sorted(held):
        names = [f"{name}/{path.name}" for path in sorted((root / name).iterdir())]
        files.setdefault(held[name], []).extend(
            path for path in names if _is_image_file(root / path)
        )
    others = _left_out(root, held, part_folders if has_own_splits else [])
    if not any(files.values()):
        raise UsageError(
            f"{root} has no .npy files in folders with a class's name, such as axion/, cdm/ and "
            f"no_sub/ or vort/, sphere/ and no/; it holds {_listed(others) or 'nothing'}; "
            "give the folder that holds those, or say which class another folder is by "
            "--class-folder FOLDER=CLASS."
        )
    return Source(
        root,
        {name: tuple(sorted(files[name])) for name in CLASSES if files.get(name)},
        others,
        held,
        part_folders[1] if has_own_splits else None,
    )


def _part_folders(root: Path) -> list[str]:
    """Names of the folders of the train and of the test images; none where one is missing."""
    tests = [name for name in TEST_FOLDERS if (root / name).is_dir()]
    return [TRAIN_FOLDER, tests[0]] if tests and (root / TRAIN_FOLDER).is_dir() else []


def _classes_of(
    root: Path, stated: Mapping[str, SubstructureClass]
) -> dict[str, SubstructureClass]:
    """Sub-folders of a folder that stand for a class.

    A class has the sub-folders that are stated; else the one with its own name; else the one with
    .npy files and another known name.
    """
    present = [entry.name for entry in sorted(root.iterdir()) if entry.is_dir()]
    held = {name: stated[name] for name in present if name in stated}
    for substructure_class in CLASSES:
        if substructure_class in stated.values():
            continue
        if substructure_class in present and substructure_class not in stated:
            held[substructure_class] = substructure_class
            continue
        named = [
            name
            for name in present
            if name not in stated and _is_name_of(name, substructure_class)
            if any(map(_is_image_file, (root / name).iterdir()))
        ]
        if len(named) > 1:
            options = " ".join(f"--class-folder {name}={substructure_class}" for name in named)
            raise UsageError(
                f"{root} holds {' and '.join(f'{name}/' for name in named)}, each a name of the "
                f"class {substructure_class}: say which to import, or that all are, by {options}."
            )
        held |= dict.fromkeys(named, substructure_class)
    return held


def _is_name_of(folder: str, substructure_class: SubstructureClass) -> bool:
    plain = folder.lower().replace("-", "_").replace(" ", "_")
    return plain in (substructure_class, *ALIASES[substructure_class])


def _check_stated(
    root: Path, stated: Mapping[str, SubstructureClass], held: Mapping[str, SubstructureClass]
) -> None:
    there = {Path(folder).name for folder in held}
    for name in stated:
        if name not in there:
            raise UsageError(f"{root} has no folder {name}, which --class-folder names.")


def _left_out(
    root: Path, held: Mapping[str, SubstructureClass], part_folders: list[str]
) -> tuple[str, ...]:
    """Names of what is in the folder and not imported, each below the folder that it is in."""
    others = []
    for folder in ("", *(f"{part}/" for part in part_folders)):
        for entry in sorted((root / folder).iterdir()):
            name = f"{folder}{entry.name}"
            if name in held:
                inside = [path for path in sorted(entry.iterdir()) if not _is_image_file(path)]
                others += [f"{name}/{path.name}" for path in inside]
            elif name not in part_folders:
                others.append(f"{name}/" if entry.is_dir() else name)
    return tuple(others)


def _is_image_file(path: Path) -> bool:
    return path.suffix == ".npy" and path.is_file()


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


TEST_FRACTION = 0.1
"""Share of each class that becomes its test split, if nothing else is asked for."""

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
    """Images of each class in the two splits.

    With copies of an image among the files, `chosen_files` may put fewer into the test split.

    Args:
        source: what `find_source` found.
        split: share of each class that is tested; `TEST_FRACTION` without it and counts.
        train, test: images of each class, in place of a share.

    Returns:
        The number of images by class and split; a folder with splits of its own keeps them.

    Raises:
        UsageError: if a folder with splits is to be split again, both a share and counts are
            given, a share is not between 0 and 1, or a class has too few images.
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
        ImportFileError: if files of the same content are in both of the splits that the source
            has itself.
        UsageError: if copies make it impossible to meet the counts.
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
