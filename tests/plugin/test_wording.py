"""How the plugin words options and errors."""

from __future__ import annotations

from napari_ct_pyramid.errors import RESUME, Advice, BudgetError
from napari_ct_pyramid.plugin.widget.remedies import remedies
from napari_ct_pyramid.plugin.wording import error_words, wording


def test_messages_name_fields_as_the_form_does() -> None:
    assert wording(Advice("max_memory", "4G")) == "“Memory”: 4.00 GB"
    assert wording(Advice("edges", "pad")) == "“Edges”: pad with zeros"
    assert wording(Advice("voxel_size")) == "“Voxel size”"
    assert wording(Advice("overwrite", True)) == "“Overwrite”"
    assert "Resume" in wording(Advice(RESUME))


def test_the_message_and_the_button_name_the_same_size() -> None:
    error = BudgetError("Too small (", Advice("max_memory", "412MB"), ").", smallest=412_000_000)
    (remedy,) = remedies(error, "")
    assert wording(Advice("max_memory", remedy.value["max_memory"])) in error_words(error)
    assert remedy.words.removeprefix("Use ") in error_words(error)
