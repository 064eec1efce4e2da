"""The napari plugin: readers, layers, the live preview, menus and the widget.

Only this package imports napari, magicgui and Qt.
"""
