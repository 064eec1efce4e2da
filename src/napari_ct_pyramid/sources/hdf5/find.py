"""Finds the dataset of an HDF5 file that is the volume: by its name, by the file's own choice, or the only one."""

from __future__ import annotations

import json
import posixpath
from dataclasses import replace

import h5py

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.sources.axis_labels import choose_place, known_axes, order_of
from napari_ct_pyramid.sources.base import list_arrays, volume_axes
from napari_ct_pyramid.sources.choice import choose

from .chosen import Chosen
from .files import Item, LinkedFiles
from .programs import find_by_program
from .virtual import MappedFiles
from .voxel_size import scale_of, text_of


def find_volume(linked: LinkedFiles) -> Chosen:
    """The volume of an HDF5 source.

    Raises
    ------
    SourceError
        If there is no such dataset, it is not a volume, or there are several and none was named.
    SeveralVolumesError
        If it has several channels or time points, and none was chosen.
    """
    if chosen := find_by_program(linked):
        return chosen
    if linked.source.inside:
        return _selected(linked, _named(linked, linked.source.inside))
    if item := _preferred(linked):
        others = sum(1 for _ in _volumes(linked)) - 1
        chosen = _selected(linked, item)
        note = f"The file has {others + 1} datasets with three axes, and states that {item.name} is the one to show."
        return replace(chosen, notes=(note,)) if others else chosen
    path = linked.source.path
    volumes = _volumes(linked)
    if len(volumes) == 1:
        return _selected(linked, volumes[0])
    if not volumes:
        raise SourceError(f"{path} has no dataset with three axes. Try another file.")
    raise SourceError(
        f"{path} has {len(volumes)} datasets with three axes, and none was named. {_choice(linked)} Name one, as in "
        f"{path.name}::{volumes[0].name}."
    )


def _named(linked: LinkedFiles, name: str) -> Item:
    found = linked.find(name)
    path = linked.source.path
    if found is None or not isinstance(found.node, h5py.Dataset):
        what = "has no dataset" if found is None else "has a group, not a dataset, at"
        raise SourceError(f"{path} {what} /{name.strip('/')}. {_choice(linked)}")
    if not _may_be_volume(linked, found):
        shape = times(found.node.shape) if found.node.shape else "one value of type"
        raise SourceError(
            f"{path}::{found.name} is not a volume of z, y, x: it has {shape} {found.node.dtype}. {_choice(linked)}"
        )
    return found


def _may_be_volume(linked: LinkedFiles, item: Item) -> bool:
    dataset = item.node
    if dataset.is_virtual and 0 in dataset.shape:
        MappedFiles(linked, item)  # names the file that is missing
    return bool(volume_axes(dataset.shape or ()) or _labels(dataset))


def _volumes(linked: LinkedFiles) -> list[Item]:
    """All datasets that may be volumes, sorted by path."""
    items = [item for item in linked.all_datasets() if item.node.dtype.kind in "iufcb" and _may_be_volume(linked, item)]
    return sorted(items, key=lambda item: item.name)


def _choice(linked: LinkedFiles) -> str:
    """A sentence with the datasets that may be volumes."""
    try:
        volumes = _volumes(linked)
    except SourceError:  # a broken link elsewhere
        return "Try another dataset."
    return list_arrays([(item.name, item.node.shape, item.node.dtype) for item in volumes], "dataset")


def _preferred(linked: LinkedFiles) -> Item | None:
    """The dataset that a NeXus file marks as the one to show: https://manual.nexusformat.org/datarules.html"""
    item, name = linked.root, ""
    while default := text_of(item.node.attrs.get("default")):
        name = posixpath.join(name, default)
        found = linked.find(name)
        if found is None or not isinstance(found.node, h5py.Group) or name.count("/") > 8:
            return None
        item = found
    signal = text_of(item.node.attrs.get("signal"))
    found = linked.find(posixpath.join(name, signal)) if signal else None
    is_volume = found is not None and isinstance(found.node, h5py.Dataset) and _may_be_volume(linked, found)
    return found if is_volume else None


def _labels(dataset: h5py.Dataset) -> list[str] | None:
    """The axes by their labels: ``["time", "z", "y", "x"]``; None if they are not all labelled with such names."""
    if not 3 <= len(dataset.shape or ()) <= 5:
        return None
    labels = [dimension.label for dimension in dataset.dims]
    if not any(labels):
        scales = [scale_of(dataset, axis) for axis in range(dataset.ndim)]
        labels = ["" if scale is None else posixpath.basename(scale.name or "") for scale in scales]
    if not any(labels) and "axistags" in dataset.attrs:  # of ilastik
        try:
            labels = [str(axis["key"]) for axis in json.loads(text_of(dataset.attrs["axistags"]))["axes"]]
        except (KeyError, TypeError, ValueError):
            return None
    return known_axes(labels, dataset.shape) if any(labels) else None


def _selected(linked: LinkedFiles, item: Item) -> Chosen:
    """A dataset, and which channel and time point of it."""
    shape, labels = item.node.shape, _labels(item.node)
    where = f"{linked.source.path}::{item.name}"
    if labels is None:
        choose(where, {}, linked.source.options)
        axes = volume_axes(shape)
        assert axes is not None
        return Chosen(item, tuple(None if axis in axes else 0 for axis in range(len(shape))))
    order = order_of(labels)
    if order is None:
        raise SourceError(
            f"{where} is not a volume of z, y, x: its axes are labelled {', '.join(labels)}. Try labelling them "
            "otherwise, or another dataset."
        )
    return Chosen(item, choose_place(where, labels, shape, linked.source.options), order)
