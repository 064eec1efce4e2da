"""An export in the background, as a `Job`."""

from __future__ import annotations

from napari_ct_pyramid.exports.api import steps_of

from .widget.jobs import Job
from .widget.worker import Task
from .wording import source_name


class ExportJob(Job):
    """Exports the source to the output. Its options are `ExportOptions`, and its result is an `Export`."""

    def _task(self) -> Task:
        name = source_name(self.source)
        return Task(f"the export of {name}", name, steps_of, self.source, self.output, self.options)
