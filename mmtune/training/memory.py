"""Memory: what a run holds, what its longest batch will need, and what there is."""

import gc
import os
import resource
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mmtune.encoding.batches import Batch
from mmtune.training.optimizer import moments_of


def peak_memory_bytes() -> int:
    """Most memory held so far: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def free_memory_bytes(device: torch.device) -> int:
    """What this process could still take on the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def activation_bytes(forward: Callable[[Batch], Tensor], batch: Batch) -> int:
    """Bytes that a forward keeps for its backward, each memory counted once, weights left out.

    Works on any device, since it counts what autograd saves instead of asking an allocator.
    """
    kept: dict[int, int] = {}
    weights: set[int] = set()
    if isinstance(forward, nn.Module):
        weights = {p.untyped_storage().data_ptr() for p in forward.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        held = forward(batch)  # holding the result keeps the saved memories apart
    total = sum(kept.values())
    del held
    return total


def training_state_bytes(model: nn.Module, optimizer: str = "adamw") -> int:
    """Gradients of what is trained, and the moments that an optimizer of this kind keeps of it; the
    weights are held already."""
    return sum(
        (parameter.numel() + moments_of(parameter, optimizer)) * parameter.element_size()
        for parameter in model.parameters()
        if parameter.requires_grad
    )


def fits(
    model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, accelerator: Accelerator
) -> bool:
    """Whether every rank can run forward and backward of this batch beside all that training will
    hold: the moments, which the first step makes, are given room meanwhile."""
    room: list[Tensor] = []
    try:
        if not optimizer.state:
            trained = [p for p in model.parameters() if p.requires_grad]
            room = _room_for_moments(trained, optimizer)
        with accelerator.no_sync(model):
            accelerator.backward(model(batch.to(accelerator.device)).sum() * 0)
        fitted = True
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        fitted = False
    del room
    model.zero_grad(set_to_none=True)
    if not fitted:
        gc.collect()
        torch.cuda.empty_cache()
    return bool(accelerator.gather(torch.tensor([fitted], device=accelerator.device)).all())


def _room_for_moments(
    trained: list[nn.Parameter], optimizer: torch.optim.Optimizer
) -> list[Tensor]:
    if any(moments_of(p, optimizer) != 2 * p.numel() for p in trained):
        return [p.new_empty(moments_of(p, optimizer)) for p in trained]
    return [torch.empty_like(p) for p in trained for _moment in range(2)]  # sharded as p is


def is_out_of_memory(error: BaseException) -> bool:
    """Of a GPU, or of the CPU, whose allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
