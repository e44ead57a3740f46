"""A second device, made of the CPU: tensors on it mix with the CPU's as little as a GPU's do.

Its tensors hold ones of the CPU, say that they are elsewhere, and refuse what a GPU refuses: an
operation on tensors of two devices, ``numpy()``. So the engine can be run on "another device" on
any machine, and a tensor that was made or left on the wrong one is an error as on a real GPU.
"""

import contextlib

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "xla"
"""A kind of device that PyTorch knows by name and that asks for no driver."""


COMPOSED = (torch.unravel_index, torch.nn.functional.one_hot)
"""Functions that make tensors of their own inside PyTorch, which asks nobody for the device."""


class Elsewhere(torch.Tensor):
    """A tensor of the other device; ``inner`` holds its numbers."""

    @staticmethod
    def __new__(cls, inner, device):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="meta",  # of the kinds that PyTorch knows, the one that needs no hardware
        )
        made.inner, made.place = inner.detach(), torch.device(device)
        return made

    @property
    def device(self):
        return self.place

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})

    def __repr__(self):
        return f"Elsewhere({self.inner!r}, device={self.device})"

    def __deepcopy__(self, memo):
        made = memo[id(self)] = Elsewhere(self.inner.clone(), self.device)
        return made.requires_grad_(self.requires_grad)

    def tolist(self):
        return self.detach().inner.tolist()

    def numpy(self, **_):
        raise TypeError(f"can't convert {self.device} device type tensor to numpy.")


def device_of(function, args, kwargs):
    """Return where an operation runs; CPU numbers without an axis may be used anywhere.

    So may they on a GPU, and so may indices.
    """
    flat, _ = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    if torch._C._current_graph_task_id() != -1:
        tensors = [value for value in tensors if value.device.type != "meta"]
    places = {value.device for value in tensors if value.ndim or value.device.type != "cpu"}
    name = function.__name__.split(".")[0]
    if name in ("copy_", "_copy_from", "_to_copy", "index", "index_put", "index_put_"):
        places = {tensors[0].device}
        if name.startswith("index"):
            indices = [v for v in tree_flatten(args[1])[0] if isinstance(v, torch.Tensor)]
            odd = {v.device for v in indices} - places
            if odd - {torch.device("cpu")} or (
                name != "index" and args[2].ndim and args[2].device not in places
            ):
                raise RuntimeError(f"{function} got tensors of {odd | places}.")
    if len(places) > 1:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, and {function} got {places}."
        )
    return next(iter(places), None)


def _as_zeros(value):
    """Return zeros in the place of a tensor without numbers: so PyTorch writes a gradient of 0."""
    if isinstance(value, torch.Tensor) and not isinstance(value, Elsewhere) and value.is_meta:
        return torch.zeros(value.shape, dtype=value.dtype, device="cpu")
    return value


def run(function, args, kwargs):
    """Run an operation on the tensors inside, and put the results where it ran."""
    place = device_of(function, args, kwargs)
    asked = kwargs.get("device")
    if asked is not None:
        place = torch.device(asked)
        kwargs = {**kwargs, "device": torch.device("cpu") if place.type == NAME else place}
    kwargs = {**kwargs, "pin_memory": False} if "pin_memory" in kwargs else kwargs

    def inside(value):
        return value.inner if isinstance(value, Elsewhere) else value

    if torch._C._current_graph_task_id() != -1:  # on the way back a gradient may be no tensor yet
        args, kwargs = tree_map(_as_zeros, (args, kwargs))
    known = {id(inside(value)): value for value in tree_flatten((args, kwargs))[0]}
    found = function(*tree_map(inside, args), **tree_map(inside, kwargs))

    def outside(value):
        if not isinstance(value, torch.Tensor) or place is None or place.type != NAME:
            return value
        same = known.get(id(value))  # an operation in place returns what it changed
        return same if isinstance(same, Elsewhere) else Elsewhere(value, place)

    return tree_map(outside, found)


class _Everywhere(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


def _tensor(value, where, like):
    """Return a number as a tensor of the other device."""
    if isinstance(value, torch.Tensor):
        return value
    return torch.tensor(value, dtype=None if like is None else like.dtype).to(where.device)


def attend(query, key, value, is_causal=False):
    """Return attention by its definition: PyTorch's own makes its mask without asking anybody."""
    scores = query @ key.mT * query.shape[-1] ** -0.5
    if is_causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
    return scores.softmax(dim=-1) @ value


def _numbers(index, device):
    """Return an index with its lists as tensors of a device."""
    if isinstance(index, tuple):
        return tuple(_numbers(item, device) for item in index)
    if isinstance(index, Elsewhere) and index.ndim == 0 and index.dtype != torch.bool:
        return int(index.inner)
    return torch.tensor(index).to(device) if isinstance(index, list | range) else index


class _FromLists(TorchFunctionMode):
    """Numbers of Python go to the other device by way of the CPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        if (
            function in (torch.tensor, torch.as_tensor)
            and asked is not None
            and torch.device(asked).type == NAME
        ):
            return function(*args, **{**kwargs, "device": "cpu"}).to(asked)
        if function is torch.nn.functional.scaled_dot_product_attention and isinstance(
            args[0], Elsewhere
        ):
            return attend(*args, **kwargs)
        if function is torch.Tensor.to and len(args) > 1 and isinstance(args[1], Elsewhere):
            args = (args[0], args[1].device, args[1].dtype, *args[2:])
        if function is torch.where and len(args) == 3 and isinstance(args[0], Elsewhere):
            like = next((value for value in args[1:] if isinstance(value, torch.Tensor)), None)
            args = (args[0], *(_tensor(value, args[0], like) for value in args[1:]))
        if function in COMPOSED and isinstance(args[0], Elsewhere):
            found = function(args[0].cpu(), *args[1:], **kwargs)
            return tree_map(lambda value: value.to(args[0].device), found)
        if function is torch.Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(args[1], **{"dtype": args[0].dtype, **kwargs}).to(args[0].device)
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(
            args[0], Elsewhere
        ):
            whole, index, *value = args
            if value and not isinstance(value[0], torch.Tensor):
                value = [torch.tensor(value[0], dtype=whole.dtype).to(whole.device)]
            args = (whole, _numbers(index, whole.device), *value)
        return function(*args, **kwargs)


@contextlib.contextmanager
def another_device():
    """Let there be another device inside the block; its name is ``NAME``, or ``NAME:1``."""
    with _FromLists(), _Everywhere():
        yield torch.device(NAME, 0)
