"""What the buttons of the message box do outside of the form."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_ct_pyramid.errors import CtPyramidError
from napari_ct_pyramid.plugin.menus import audit_image, export_output, show_in_napari, show_in_neuroglancer
from napari_ct_pyramid.plugin.origins import LayerInput, layer_input
from napari_ct_pyramid.plugin.raw_view import show_raw
from napari_ct_pyramid.storage.paths import AnyPath

from .jobs import VerificationJob
from .planner import PlanAnswer
from .remedies import Act, Offer
from .status_panel import notify_error


def carry_out(offer: Offer, viewer: Viewer) -> bool:
    """Carry out an offer that needs no form; False if it is for the form."""
    if offer.act is Act.SHOW:
        show_in_napari(viewer, offer.value)
    elif offer.act is Act.NEUROGLANCER:
        show_in_neuroglancer(offer.value)
    elif offer.act is Act.EXPORT:
        export_output(viewer, offer.value)
    elif offer.act is Act.AUDIT:
        audit_image(viewer, offer.value)
    elif offer.act is Act.OPEN_FOLDER:
        _open_folder(offer.value)
    else:
        return False
    return True


def make_folder(folder: str) -> None:
    """Make a folder, and those that it is in. An error is shown in napari."""
    try:
        Path(folder).expanduser().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        show_error(f"The folder {folder} cannot be made: {error.strerror or error}. Choose another place.")


def selected_layer(viewer: Viewer) -> LayerInput | None:
    """What a conversion of the selected layer converts; None if it cannot be converted."""
    with suppress(CtPyramidError):
        return layer_input(viewer.layers.selection.active)
    return None


def after_verification(job: VerificationJob, viewer: Viewer) -> None:
    """Report an error in napari, and draw layers again that show what was repaired."""
    if isinstance(job.outcome, Exception):
        notify_error(job.outcome)
    elif job.verification and job.verification.repaired:
        for layer in viewer.layers:
            if layer.source.path == job.output:
                layer.refresh(extent=False)


def _open_folder(folder: AnyPath) -> None:
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        show_info(f"The output is in {folder}")  # this desktop has no file manager


def show_as_read(viewer: Viewer, answer: PlanAnswer) -> None:
    """Show a file of voxels without a header as the options read it: a user sees at once whether they are right."""
    if answer.volume and isinstance(answer.request.source, str):
        with suppress(CtPyramidError):
            show_raw(viewer, answer.request.source, answer.request.options)
