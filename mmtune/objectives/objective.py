"""What every objective is: the seam between a family's model and the loop."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

Objective = Callable[[Any, Any], Tensor]
"""`(model, batch) -> float32 [documents]`: a sum per document, never a mean. Their total is divided
once, by the targets of the whole step."""
