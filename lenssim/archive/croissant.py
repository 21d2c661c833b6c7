"""croissant.json: what an archive holds, in the vocabulary that machine-learning tools share.

Croissant readers do not read Zarr. What they can iterate is the table of each group, one record an
image; and, where the archive has shards and a URL, the images themselves as the bytes of .npy
files. The Zarr store is described as a set of files.
"""

from __future__ import annotations

import json
from typing import Any

from lenssim.archive.card import data_fingerprint, data_folder, title
from lenssim.archive.content import INDEX, TABLES, shard_paths, table_columns, table_path
from lenssim.archive.manifest import IMAGES, MANIFEST, GroupRecord, Manifest
from lenssim.archive.reader import Archive
from lenssim.archive.schema import COLUMNS

CROISSANT = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

_LICENCE_URLS = {"CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/"}


def croissant(archive: Archive, *, base_url: str | None = None) -> dict[str, Any]:
    """The Croissant description of an archive, whose tables must have been written.

    Args:
        archive: opened; its manifest must have the records of the tables.
        base_url: where the archive is published. With it, files have absolute URLs, and the images
            of the shards are a record set; without, files are relative, and they are not: readers
            keep what they unpack under its URL, and would mix the shards of two archives up.

    Returns:
        JSON-able; the same for the same archive, version and URL.
    """
    manifest = archive.manifest
    model = manifest.model
    base = f"{base_url.rstrip('/')}/" if base_url else ""
    distribution = [_zarr_files()] if manifest.files_of(f"{IMAGES}/") else []
    record_sets = []
    for group in manifest.groups:
        path = table_path(group)
        distribution.append(_file(manifest, path, "text/csv", base))
        record_sets.append(_table_records(group))
    for group in manifest.groups:
        paths = shard_paths(manifest, group)
        distribution += [_file(manifest, path, "application/x-tar", base) for path in paths]
        if paths and base_url:
            distribution.append(_images_in(group, paths))
            record_sets.append(_image_records(manifest, group))
    description: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"lenssim-{model.name}",
        "description": _description(manifest),
        "license": _LICENCE_URLS.get(model.licence, model.licence),
        "version": model.version or "1.0.0",
        "citeAs": f"lenssim {model.name}, data fingerprint {data_fingerprint(manifest)}",
        "creator": {"@type": "sc:Organization", "name": "The lenssim authors"},
        "keywords": ["strong lensing", "dark matter", "astronomy"],
        "distribution": distribution,
        "recordSet": record_sets,
    }
    if manifest.imported is not None:
        del description["creator"]
    if base_url:
        description["url"] = base_url
    return description


def croissant_bytes(archive: Archive, *, base_url: str | None = None) -> bytes:
    """Content of croissant.json."""
    return (json.dumps(croissant(archive, base_url=base_url), indent=1) + "\n").encode()


def _description(manifest: Manifest) -> str:
    if manifest.imported is not None:
        what = f"Strong-lensing images imported from {manifest.imported.source_files} files."
    else:
        spec = manifest.specification()
        what = f"{title(spec)}. {spec.description.strip()}"
    return (
        f"{what} The images are in {data_folder(manifest)}; {MANIFEST} has size and SHA-256 of "
        "each file. The record sets are the columns that hold one number an image."
    )


def _file(manifest: Manifest, path: str, encoding: str, base: str) -> dict[str, Any]:
    record = manifest.files[path]
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": f"{base}{path}",
        "contentSize": f"{record.size} B",
        "encodingFormat": encoding,
        "sha256": record.sha256,
    }


def _zarr_files() -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": IMAGES,
        "name": IMAGES,
        "description": f"Zarr 3 store, one group a split and class; checksums are in {MANIFEST}",
        "encodingFormat": "application/vnd.zarr",
        "includes": f"{IMAGES}/**",
    }


def _table_records(group: GroupRecord) -> dict[str, Any]:
    path = table_path(group)
    known = {column.name: column for column in COLUMNS}
    fields = []
    for name in table_columns(group):
        column = known.get(name)
        is_integer = column is None or column.dtype.startswith("int")
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{group.name}/{name}",
                "name": name,
                "description": f"{column.long_name}, {column.units}" if column else "sample index",
                "dataType": "sc:Integer" if is_integer else "sc:Float",
                "source": {"fileObject": {"@id": path}, "extract": {"column": name}},
            }
        )
    return {
        "@type": "cr:RecordSet",
        "@id": group.name,
        "name": group.name,
        "description": f"{group.count} images of class {group.substructure_class}, {group.split}",
        "key": {"@id": f"{group.name}/{INDEX}"},
        "field": fields,
    }


def _images_in(group: GroupRecord, paths: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{group.name}/npy",
        "name": f"{group.name}/npy",
        "containedIn": [{"@id": path} for path in paths],
        "encodingFormat": "application/x-npy",
        "includes": "*.image.npy",
    }


def _image_records(manifest: Manifest, group: GroupRecord) -> dict[str, Any]:
    files = {"@id": f"{group.name}/npy"}
    name = f"{group.name}/images"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": (
            f"images of {group.name}: bytes of .npy files, "
            f"{manifest.model.num_pix} x {manifest.model.num_pix} float32"
        ),
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{INDEX}",
                "name": INDEX,
                "description": f"sample index, as in {TABLES}/{group.name}.csv",
                "dataType": "sc:Integer",
                "source": {
                    "fileSet": files,
                    "extract": {"fileProperty": "filename"},
                    "transform": {"regex": r"^.*-(\d+)\.image\.npy$"},
                },
            },
            {
                "@type": "cr:Field",
                "@id": f"{name}/image",
                "name": "image",
                "description": "content of the .npy file; numpy.load(io.BytesIO(...)) reads it",
                "dataType": "sc:Text",
                "source": {"fileSet": files, "extract": {"fileProperty": "content"}},
            },
        ],
    }
