"""Notices in the corner of napari's window: what was not understood, and what a user may do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from napari.utils.notifications import Notification, notification_manager, show_warning

from .viewer_hooks import keep_notices

_MOST_NOTES = 4  # in a notice, which must stay small


def tell_notes(name: str, notes: Sequence[str]) -> None:
    """Show what of a volume's metadata was not understood, in one notice."""
    if notes:
        more = f" … and {len(notes) - _MOST_NOTES:,} more." if len(notes) > _MOST_NOTES else ""
        show_warning(f"{name}: {' '.join(notes[:_MOST_NOTES])}{more}")


class _Offer(Notification):
    """A notice without a line about its source: napari would make the notice wider than its window for that."""

    @property
    def source(self) -> None:
        return None


def offer(text: str, choices: Mapping[str, Callable[[], None]]) -> None:
    """Show a notice with buttons. It stays until the user presses one, or closes it.

    Parameters
    ----------
    text : str
    choices : mapping
        The words of each button, and what it does.
    """

    def action(choice: Callable[[], None]) -> Callable[[object], None]:
        return lambda _notice: choice()

    actions = tuple((words, action(choice)) for words, choice in choices.items())
    notification_manager.dispatch(_Offer(text, "info", actions))
    keep_notices()
