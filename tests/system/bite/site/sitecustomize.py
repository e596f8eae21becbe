"""Installs the import hook in the programs that a test of a changed reference starts."""

import os
from pathlib import Path

if "WORLDSWITCH_BITE" in os.environ:
    from bite import import_hook

    import_hook.install_here(Path(os.environ[import_hook.FOLDER]))
