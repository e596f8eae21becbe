"""`python3 -m worldswitch.harness.cli`: the command line, where its script is not on the path."""

import sys

from worldswitch.harness.cli.main import main

sys.exit(main())
