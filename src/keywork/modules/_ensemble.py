"""Several copies of a key module, run at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from keywork._errors import ContractError, Finding, describe
from keywork._keys import Key, as_key, next_key
from keywork._wiring import specs_of_carried
from keywork.modules._copies import Stacked
from keywork.nets import copies_of, copy_findings
from keywork.nn import TensorDictModuleBase
from keywork.specs import Composite, Unbounded

Dims = int | Mapping[Any, int]


class EnsembleModule(TensorDictModuleBase):
    """N copies of a key module, with parameters of their own, in one call.

    Parameters and buffers are ordinary ones of this module: a leading dimension N, and otherwise the names that the
    module gives them, under ``module``, which is not to be called by itself. Copy 0 starts as the module that is given,
    which is left alone; the others are initialised anew by the ``reset_parameters`` of its parts. (One that was
    initialised in another way needs ``parameter_init_function``, or a list of modules.)

    More than four copies run in one ``torch.vmap``; fewer are faster one after the other, and what torch cannot
    vectorise has to be: modules with an ``nn.GRU``, ``nn.LSTM``, ``nn.RNN`` or ``nn.LSTMCell`` inside (the recurrent
    modules of this package are no such case). Where they draw, copies draw independently. One thread at a time may call
    an ensemble.

    Args:
        module: a key module, or a list of such of one kind, one for each copy.
        num_copies: N; of a list, its length.
        expand_input: True gives all copies the same inputs; False each its own, along ``dim``, as another ensemble
            writes them. What is carried is each copy's own in any case.
        parameter_init_function: initialises copies but the first one in place, in place of ``reset_parameters``.
        dim: where the dimension of the copies is in outputs, counted from behind, for the batch dimensions are in
            front: values ``[*B, 1]`` become ``[*B, N, 1]``. For other entries a dict ``{key: dim}``. Log-probabilities
            have it last, and what is carried in front of its own dimensions.
        vectorize: True for vmap, False for one after the other, as a network that looks at values needs it; if left
            out, as above.

    Raises:
        ContractError: the module is no key module, runs on TensorDicts only, has no size yet; copies differ in their
            parameters, or would start out equal.

    >>> from keywork.modules import ValueOperator
    >>> critics = EnsembleModule(ValueOperator(nn.Linear(4, 1)), num_copies=3)
    >>> critics(torch.zeros(8, 4)).shape, len(list(critics.parameters()))
    (torch.Size([8, 3, 1]), 2)
    """

    _keyed = ("_carried",)

    def __init__(
        self,
        module: Any,
        num_copies: int | None = None,
        expand_input: bool = True,
        *,
        parameter_init_function: Callable[[Any], Any] | None = None,
        dim: Dims = -2,
        vectorize: bool | None = None,
    ) -> None:
        copies = _members(type(self).__name__, module, num_copies, parameter_init_function)
        contract = copies[0].contract
        super().__init__(
            copies[0].in_keys, copies[0].out_keys, optional_keys=list(contract.optional), carries=list(contract.carries)
        )
        self.num_copies = len(copies)
        own = specs_of_carried(copies[0])
        self._carried = {key: Unbounded((len(copies), *spec.shape), spec.dtype) for key, spec in own.items()}
        dims = _dims(copies[0], dim, self._carried)
        self._own = [number for number, key in enumerate(self._in_keys) if key in self._carried or not expand_input]
        self._dims_in = [dims(key) for key in self._in_keys]
        self._dims_out = tuple([dims(key) for key in self._out_keys])
        self._stacked = Stacked(copies)
        self.module = self._stacked.module
        few = len(copies) <= _FEW or _is_fused(self.module)
        self.vectorize = not few if vectorize is None else vectorize

    @property
    def carried_specs(self) -> Composite:
        """What is carried from step to step: each copy's own."""
        return Composite(self._carried)

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Run all copies."""
        own = [number for number in self._own if inputs[number] is not None]
        values, dims = [inputs[number] for number in own], [self._dims_in[number] for number in own]
        tensors, run = self._stacked.tensors(), cast(Any, self.module).run

        def one(state: list[Tensor], of_this: list[Tensor]) -> tuple[Any, ...]:
            given = list(inputs)
            for number, value in zip(own, of_this, strict=True):
                given[number] = value
            return cast(tuple[Any, ...], self._stacked.call(state, run, *given))

        if self.vectorize and (tensors or values):
            return tuple(torch.vmap(one, (0, dims), self._dims_out, randomness="different")(tensors, values))
        # unbind, not an index for each: on the way back, its pieces are put together in one copy.
        states = [tensor.unbind() for tensor in tensors]
        inputs_of = [x.unbind(dim) for x, dim in zip(values, dims, strict=True)]
        rows = [one([t[i] for t in states], [x[i] for x in inputs_of]) for i in range(self.num_copies)]
        return tuple([torch.stack(row, dim) for row, dim in zip(zip(*rows, strict=True), self._dims_out, strict=True)])


_FEW = 4


def _members(owner: str, module: Any, count: int | None, initialise: Callable[[Any], Any] | None) -> list[Any]:
    """The members, which share nothing with what was given."""
    several = isinstance(module, list | tuple)
    given = list(module) if several else [module]
    findings = [finding for number, one in enumerate(given) for finding in _unfit(number, one, given[0])]
    if not isinstance(count, int) and not (several and count is None):
        findings.append(Finding("no-count", f"num_copies is {count!r}.", "", "say how many: num_copies=2."))
    elif (several and count not in (None, len(given))) or len(given) * (1 if count is None else count) < 1:
        fix = "num_copies=2, or a list of modules and no number."
        findings.append(Finding("wrong-count", f"num_copies is {count}, of {len(given)} modules.", "", fix))
    if not findings:
        copies = [copy.deepcopy(one) for one in given] if several else copies_of(module, count or 1, initialise)
        findings = copy_findings(copies)
    if findings:
        raise ContractError(owner, findings)
    return copies


def _unfit(number: int, one: Any, first: Any) -> list[Finding]:
    if not isinstance(one, TensorDictModuleBase):
        problem = f"member {number} is {describe(one)}, which is no key module of this package."
        return [Finding("no-keys", problem, "", "wrap it: TensorDictModule(module, in_keys=[...], out_keys=[...]).")]
    if one.opaque:
        problem = f"member {number} ({one.label}) runs on TensorDicts only, of which copies cannot be stacked."
        return [Finding("opaque", problem, "", "write compute(self, *inputs) in place of forward(self, td).")]
    if one.contract != first.contract:
        problem = f"member {number} reads and writes other keys than member 0."
        provided = f"{one.contract}, and {first.contract}"
        return [Finding("unlike-members", problem, provided, "give modules of one kind.")]
    return []


def _dims(module: Any, asked: Dims, carried: Mapping[Key, Unbounded]) -> Callable[[Key], int]:
    """Where the copies' dimension is in an entry."""
    known = {as_key(key): -1 for key in getattr(module, "log_prob_keys", ())}
    for key, spec in carried.items():
        known |= dict.fromkeys((key, next_key(key)), -len(spec.shape))
    if isinstance(asked, Mapping):
        known |= {as_key(key): dim for key, dim in asked.items()}
    default = _BEHIND if isinstance(asked, Mapping) else asked
    return lambda key: known.get(key, default)


_BEHIND = -2


def _is_fused(module: nn.Module) -> bool:
    """Whether there is a recurrent network of torch's inside, for which vmap has no rule."""
    return any(isinstance(part, nn.RNNBase | nn.LSTMCell) for part in module.modules())
