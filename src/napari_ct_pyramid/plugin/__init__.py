"""The napari plugin: readers, layers, the live preview and the menus.

Only this package imports napari, magicgui and Qt.
"""
