"""`python -m napari_ct_pyramid` is the command `ct-pyramid`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
