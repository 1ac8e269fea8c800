"""`python -m mmtune` is the `mmtune` command."""

import sys

from mmtune.cli import main

sys.exit(main())
