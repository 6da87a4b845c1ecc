"""TensorDictSequential: steps that run one after the other, checked when they are put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from tensordict import TensorDict, TensorDictBase
from torch import nn

from keywork._errors import ContractError, Finding
from keywork._keys import Key, as_keys, listed
from keywork.nn._base import Inplace, TensorDictModuleBase
from keywork.nn._check import Step, check_chain
from keywork.nn._contract import Contract
from keywork.nn._foreign import as_step
from keywork.nn._messages import describe
from keywork.nn._program import Program, overlaps


class TensorDictSequential(TensorDictModuleBase):
    """Run key modules one after the other. It reads what no step before provides and writes what any step writes.

    A TensorDict is read once before the first step and written once after the last; between, the steps pass tensors.
    If a step fails, nothing has been written.

    Args:
        modules: the steps, or one list of them, or one dict ``{name: step}``. A step is a key module of this package
            or any other module with ``in_keys`` and ``out_keys`` that is called on a TensorDict.
        external: keys that come from outside although a key of nearly the same name is written inside.
        selected_out_keys: keep only these outputs (see :meth:`select_out_keys`).
        inplace: where results go, see :class:`TensorDictModuleBase`.

    Raises:
        ContractError: a step reads what only a later one writes, reads a near miss of an unread key, two steps write
            one key, or a tensor is used as a group. All findings at once.

    >>> from keywork.nn import TensorDictModule
    >>> import torch
    >>> chain = TensorDictSequential(
    ...     TensorDictModule(torch.nn.Linear(4, 8), ["observation"], ["hidden"]),
    ...     TensorDictModule(torch.nn.Linear(8, 2), ["hidden"], ["logits"]),
    ... )
    >>> chain.in_keys, chain.out_keys
    (['observation'], ['hidden', 'logits'])
    """

    def __init__(
        self,
        *modules: Any,
        external: Any = (),
        selected_out_keys: Any = None,
        inplace: Inplace = True,
    ) -> None:
        super().__init__(inplace=inplace)
        named: Any = modules
        if len(modules) == 1 and isinstance(modules[0], Mapping | list | tuple):
            named = modules[0]
        self.external = as_keys(external)
        self._assemble(named)
        if selected_out_keys is not None:
            self.select_out_keys(*as_keys(selected_out_keys))

    def _assemble(self, modules: Mapping[str, Any] | Iterable[Any]) -> None:
        items = list(modules.items()) if isinstance(modules, Mapping) else list(enumerate(modules))
        steps = {str(name): as_step(module, f"step {name}") for name, module in items}
        self._refuse(self.findings(list(steps.items())))
        self.module = nn.ModuleDict(steps) if isinstance(modules, Mapping) else nn.ModuleList(steps.values())
        self._resolve()

    def _resolve(self) -> None:
        """Derive keys and slots from the steps."""
        steps = self.steps
        whole = Contract()
        for step in steps:
            whole = whole.then(step.contract)
        self._in_keys, self._optional = whole.inputs, whole.optional
        self._out_keys, self._carries = whole.writes, whole.carries
        self._picked = None
        self._program = Program.of(steps, self._in_keys)
        self._out_slots = tuple(self._program.slots[key] for key in self._out_keys)
        self._grouped = overlaps(self._program.slots)

    def findings(self, steps: Sequence[tuple[str, TensorDictModuleBase]]) -> list[Finding]:
        """What is wrong with these named steps; a subclass adds what it knows besides."""
        chain = [
            Step(f"step {name} ({describe(getattr(step, 'module', step))})", step.contract) for name, step in steps
        ]
        return check_chain(chain, self.external)

    def _refuse(self, findings: Sequence[Finding]) -> None:
        if findings:
            raise ContractError(type(self).__name__, findings)

    @property
    def steps(self) -> list[TensorDictModuleBase]:
        """The steps, in order."""
        return list(self._children().values())

    def _children(self) -> dict[str, Any]:
        container = self._modules["module"]
        return container._modules if container is not None else {}

    @property
    def opaque(self) -> bool:
        """Whether the steps have to be called on a TensorDict one by one: one of them is opaque, or keys overlap."""
        return self._stepwise or super().opaque

    @property
    def _stepwise(self) -> bool:
        return self._grouped or any([step.opaque for step in self._children().values()])

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Run the steps on tensors."""
        if self._stepwise:
            td = TensorDict({k: v for k, v in zip(self._in_keys, inputs, strict=True) if v is not None})
            done = self._run_stepwise(td)
            return tuple(done[key] for key in self._out_keys)
        values = self._program.run(self._children().values(), inputs)
        return tuple([values[slot] for slot in self._out_slots])

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """Call on a TensorDict or on tensors, as :meth:`TensorDictModuleBase.forward`."""
        if isinstance(tensordict, TensorDictBase) and self._stepwise and not (args or kwargs):
            self.read(tensordict)
            done = self._run_stepwise(tensordict.copy())
            return self.write([done[key] for key in self._stored_keys], tensordict, tensordict_out)
        return super().forward(tensordict, *args, tensordict_out=tensordict_out, **kwargs)

    def _run_stepwise(self, td: Any) -> Any:
        for name, step in self._children().items():
            try:
                result = step(td)
            except Exception as error:
                error.add_note(f"in step {name} of {self.label}")
                raise
            if result is not td:
                td.update(result)
        return td

    def _reader_of(self, key: Key) -> str:
        for name, step in self._children().items():
            if key in step.contract.reads:
                return f"{self.label}, step {name} ({describe(getattr(step, 'module', step))})"
        return self.label

    def select_subsequence(self, in_keys: Any = None, out_keys: Any = None) -> TensorDictSequential:
        """The steps that can run from ``in_keys`` and that ``out_keys`` need, as a new sequential of the same steps.

        Raises:
            ContractError: no step is left.
        """
        kept = dict(self._children())
        if in_keys is not None:
            there = set(as_keys(in_keys))
            for name, step in list(kept.items()):
                if set(step.contract.reads) <= there:
                    there |= set(step.contract.writes)
                else:
                    del kept[name]
        if out_keys is not None:
            wanted = set(as_keys(out_keys))
            for name, step in reversed(list(kept.items())):
                if wanted & set(step.contract.writes):
                    wanted |= set(step.contract.inputs)
                else:
                    del kept[name]
        if not kept:
            problem = f"select_subsequence(in_keys={in_keys!r}, out_keys={out_keys!r}) leaves no step."
            provided = f"reads {listed(self._in_keys)}; writes {listed(self._out_keys)}"
            raise ContractError(type(self).__name__, [Finding("empty", problem, provided, "ask for keys of these.")])
        return TensorDictSequential(self._as_given(kept), external=self.external, inplace=self.inplace)

    def _as_given(self, children: Mapping[str, Any]) -> Any:
        return dict(children) if isinstance(self.module, nn.ModuleDict) else list(children.values())

    def __getitem__(self, index: int | str | slice) -> Any:
        if isinstance(index, slice):
            kept = dict(list(self._children().items())[index])
            return TensorDictSequential(self._as_given(kept), external=self.external, inplace=self.inplace)
        return self._children()[self._name_of(index)]

    def __setitem__(self, index: int | str, module: Any) -> None:
        name = self._name_of(index)
        self._assemble(self._as_given({**self._children(), name: module}))

    def __delitem__(self, index: int | str) -> None:
        name = self._name_of(index)
        self._assemble(self._as_given({k: v for k, v in self._children().items() if k != name}))

    def _name_of(self, index: int | str) -> str:
        names = list(self._children())
        if isinstance(index, str) and index in names:
            return index
        if isinstance(index, int) and -len(names) <= index < len(names):
            return names[index]
        raise (KeyError if isinstance(index, str) else IndexError)(
            f"{type(self).__name__} has no step {index!r}; its steps are {names}."
        )

    def __len__(self) -> int:
        return len(self._children())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._children().values())
