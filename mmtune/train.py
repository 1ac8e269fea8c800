"""The door for `accelerate launch -m mmtune.train CONFIG.yaml [key=value ...]` (or plain python).

The recipe is checked on every rank before torch is imported; a faulty one ends every rank with
code 2 and is told of by rank 0 alone. `accelerate launch` itself answers 1 for any child that
failed and adds its own notice; `accelerate launch --quiet` leaves that out on one process.
"""

import sys

from mmtune.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
