"""What a DeepLense-style folder holds: which sub-folder is which class, and which split.

To add a name that a published data set gives a class, add it to `ALIASES`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lenssim.errors import UsageError
from lenssim.spec import CLASSES, Split, SubstructureClass

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
        UsageError: where the text is not of that form, or there is no such class.
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

    Raises:
        UsageError: where it has no sub-folder of a class with .npy files in it, or it is not
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
            f"no_sub/ or vort/, sphere/ and no/; it holds {_listed(others) or 'nothing'}. Give "
            "the folder that holds those, or say which class another folder is by --class-folder "
            "FOLDER=CLASS."
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
