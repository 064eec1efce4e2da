"""The metadata that makes a group of arrays an OME-Zarr image. https://ngff.openmicroscopy.org/0.5/"""

from __future__ import annotations

from typing import Any

from .plan import Plan


def make_attributes(plan: Plan, *, name: str, version: str, window: dict[str, float]) -> dict[str, Any]:
    """The group's attributes: multiscales and omero metadata, as ome-zarr writes them.

    Parameters
    ----------
    plan : Plan
        Its levels, how each was made from the one before, voxel size and unit.
    name : str
        Of the image.
    version : str
        Of this package.
    window : dict
        min, max, start and end of the display window.
    """
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_multiscales_metadata

    unit = {"unit": plan.unit} if plan.unit else {}
    # In memory, so that it reaches the disk in one atomic step, and not key by key.
    version_4 = plan.options.ome_zarr_version == "0.4"
    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=2 if version_4 else 3)
    write_multiscales_metadata(
        group,
        datasets=[
            {
                "path": level.path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": list(level.voxel_size)},
                    {"type": "translation", "translation": list(level.translation)},
                ],
            }
            for level in plan.levels
        ],
        fmt=FormatV04() if version_4 else FormatV05(),
        axes=[{"name": axis, "type": "space", **unit} for axis in "zyx"],
        name=name,
        metadata={
            "method": plan.method,
            "version": version,
            "original_shape": list(plan.volume.shape),
            **({"rescale": plan.meaning.to_json()} if plan.meaning else {}),
            "omero": {
                "channels": [{"label": name, "color": "FFFFFF", "active": True, "window": window}],
                "rdefs": {"model": "greyscale"},
            },
        },
    )
    attributes: dict[str, Any] = dict(group.attrs)
    image = attributes if version_4 else attributes["ome"]
    image["multiscales"][0]["type"] = plan.options.method
    return attributes
