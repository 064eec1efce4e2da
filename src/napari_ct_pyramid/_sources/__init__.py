"""The kinds of sources that are no single TIFF, for `source.py`: one module each, and the views of any of them."""
