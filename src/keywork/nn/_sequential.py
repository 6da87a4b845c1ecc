"""TensorDictSequential: steps that run one after the other, checked when they are put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import permutations
from typing import Any, Self, TypeAlias, cast

from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, Finding, describe
from keywork._keys import Key, as_keys, is_parent, listed, renamed
from keywork._wiring import StepDict, StepList, complete, subsequence
from keywork.nets import twin_of
from keywork.nn._base import Inplace, TensorDictModuleBase
from keywork.nn._check import Step, check_chain
from keywork.nn._contract import Contract
from keywork.nn._foreign import Foreign, renamed_step, strange

_HOOKS = ("forward", "forward_pre", "backward", "backward_pre")  # torch's dicts of hooks: empty ones, as a rule
Place: TypeAlias = tuple[dict[str, Any], str, tuple[int, ...]]  # what holds a step, its name there, and what it reads


@dataclass(frozen=True, slots=True)
class Program:
    """Where each step finds its inputs: the slots of the whole's come first, then what each step returns, in order.

    Attributes:
        slots: for every key the slot where it is in the end.
        steps: a step's number of outputs, and it and the sequentials around it: steps of these are among the whole's.
        last: how many steps come before the whole's last one, and the slots that this reads.
        grouped: whether one key lies inside another, so that they are not separate slots.
    """

    slots: dict[Key, int]
    steps: tuple[tuple[int, tuple[Place, ...]], ...]
    last: tuple[int, tuple[int, ...]]
    grouped: bool

    @classmethod
    def of(cls, steps: dict[str, Any], inputs: Sequence[Key]) -> Program:
        """Resolve the keys of the named ``steps``, once."""
        flat: list[tuple[int, tuple[Place, ...]]] = []
        slots, free, last = {key: slot for slot, key in enumerate(inputs)}, len(inputs), (0, tuple[int, ...]())
        for name, step in steps.items():
            inner = step._program if type(step).compute is TensorDictSequential.compute and not step._opaque else None
            reads = tuple([slots.setdefault(key, -1) for key in step.in_keys])
            parts = inner.steps if inner else [(len(step._out_keys), ())]
            ends = inner.slots if inner else {key: len(reads) + i for i, key in enumerate(step._out_keys)}
            there = [*reads, *range(free, free := free + sum([count for count, _ in parts]))]
            last, place = (len(flat), reads), (steps, name, reads)
            for count, places in parts:
                moved = [(held, own, tuple([there[slot] for slot in read])) for held, own, read in places]
                flat.append((count, (*moved, place)))
            slots.update({key: there[ends[key]] for key in step.out_keys})  # what is not kept nobody reads
        return cls(slots, tuple(flat), last, any(is_parent(a, b) for a, b in permutations(slots, 2)))

    def run(self, inputs: Sequence[Any], stop: int | None = None) -> list[Any]:
        """Run the steps (all, or only the first ones) on the inputs and return the slots."""
        values = [*inputs]
        places: tuple[Place, ...] = ()
        try:
            for count, places in self.steps[:stop]:
                held, name, reads = places[0]
                inputs = (values[reads[0]],) if len(reads) == 1 else [values[slot] for slot in reads]
                outputs = held[name].compute(*inputs)
                if type(outputs) is not tuple or len(outputs) != count:
                    complete(outputs, range(count), held[name])
                values += outputs
        except Exception as error:
            for held, name, reads in places:
                held[name]._note(error, _place(name, held[name]), [values[slot] for slot in reads])
            raise
        return values


class TensorDictSequential(TensorDictModuleBase):
    """Run key modules one after the other. It reads what no step before provides and writes what any step writes.

    A TensorDict is read once before the first step and written once after the last; between, the steps pass tensors.
    If a step fails, nothing has been written. What is wrong with the chain is refused, all at once: a step that reads
    what only a later one writes, or a near miss of an unread key; two writers of one key; a tensor used as a group.

    Args:
        modules: the steps, or one list of them, or one dict ``{name: step}``. A step is a key module of this package
            or any other module with ``in_keys`` and ``out_keys`` that is called on a TensorDict.
        external: keys that come from outside although a key of nearly the same name is written inside.
        selected_out_keys: keep only these outputs (see :meth:`select_out_keys`).
        inplace: where results go, see :class:`TensorDictModuleBase`.

    >>> from keywork.nn import TensorDictModule
    >>> encoder = TensorDictModule(nn.Linear(4, 8), ["observation"], ["hidden"])
    >>> chain = TensorDictSequential(encoder, TensorDictModule(nn.Linear(8, 2), ["hidden"], ["logits"]))
    >>> chain.in_keys, chain.out_keys
    (['observation'], ['hidden', 'logits'])
    """

    _follows_keys = True

    def __init__(
        self, *modules: Any, external: Any = (), selected_out_keys: Any = None, inplace: Inplace = True
    ) -> None:
        super().__init__(inplace=inplace)
        self.external = as_keys(external)
        self._assemble(modules[0] if len(modules) == 1 and isinstance(modules[0], Mapping | list) else modules)
        if selected_out_keys is not None:
            self.select_out_keys(*as_keys(selected_out_keys))

    def _assemble(self, modules: Mapping[str, Any] | Iterable[Any]) -> None:
        named = modules if isinstance(modules, Mapping) else {str(i): step for i, step in enumerate(modules)}
        findings = [finding for item in named.items() for finding in strange(*item)]
        given = {} if findings else {str(name): step for name, step in named.items()}
        steps = {n: step if isinstance(step, TensorDictModuleBase) else Foreign(step) for n, step in given.items()}
        findings = findings or self.findings(steps)
        if findings:
            raise ContractError(type(self).__name__, findings)
        self.module = StepDict(steps) if isinstance(modules, Mapping) else StepList(steps.values())
        whole = reduce(Contract.then, [step.contract for step in steps.values()], Contract())
        self._in_keys, self._optional = whole.inputs, whole.optional
        self._out_keys, self._carries, self._selected = whole.writes, whole.carries, None
        self._program = Program.of(self._children, self._in_keys)
        self._out_slots = tuple(self._program.slots[key] for key in self._out_keys)
        self._opaque = super().opaque or self._program.grouped or any(step.opaque for step in self)
        own = [getattr(step, f"_{kind}_hooks") for step in self for kind in _HOOKS]
        self._hooks = [*own, *[hooks for step in self for hooks in getattr(step, "_hooks", ())]]

    def _declare(self, in_keys: tuple[Key, ...], out_keys: tuple[Key, ...]) -> None:
        if "_program" in self.__dict__:
            raise AttributeError(f"{self.label} takes its keys from its steps: build it anew, or use select_out_keys.")
        super()._declare(in_keys, out_keys)

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """What is wrong with these named steps; a subclass adds what it knows besides."""
        return check_chain([Step(_place(*item), item[1].contract) for item in steps.items()], self.external)

    @property
    def _children(self) -> dict[str, Any]:
        return cast(dict[str, Any], cast(Any, self._modules["module"])._modules)

    @property
    def opaque(self) -> bool:
        """Whether the steps run on a TensorDict: one is opaque, or hooked, or a key lies inside another one."""
        return self._opaque or any(self._hooks)

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Run the steps on tensors."""
        if self.opaque:
            td = self._stepwise(self._held(inputs))
            return tuple(td[key] for key in self._out_keys)
        values = self._program.run(inputs)
        return tuple([values[slot] for slot in self._out_slots])

    def _held(self, inputs: Sequence[Any]) -> TensorDict:
        return TensorDict({key: x for key, x in zip(self._in_keys, inputs, strict=True) if x is not None})

    def _outputs(self, td: Any) -> Sequence[Any]:
        inputs = self.read(td)
        if not self.opaque:
            return self.run(*inputs)
        done = self._stepwise(td.copy())
        return [done[key] for key in self._stored]

    def _stepwise(self, td: Any, stop: int | None = None) -> Any:
        for name, step in list(self._children.items())[:stop]:
            try:
                result = step(td)
            except Exception as error:
                error.add_note(f"in {_place(name, step)} of {self.label}")
                raise
            if result is not td:
                td.update(result)
        return td

    def _reader_of(self, key: Key) -> str:
        readers = [_place(*item) for item in self._children.items() if key in item[1].contract.reads]
        return ", ".join([self.label, *readers[:1]])

    def select_subsequence(self, in_keys: Any = None, out_keys: Any = None) -> TensorDictSequential:
        """The steps that can run from ``in_keys`` and that ``out_keys`` need, as a new sequential of the same steps."""
        given, wanted = (None if keys is None else as_keys(keys) for keys in (in_keys, out_keys))
        chosen = subsequence([step.contract for step in self], given, wanted)
        if not chosen:
            problem = f"select_subsequence(in_keys={in_keys!r}, out_keys={out_keys!r}) leaves no step."
            provided = f"reads {listed(self._in_keys)}; writes {listed(self._out_keys)}"
            raise ContractError(self.label, [Finding("empty", problem, provided, "ask for keys of these.")])
        steps = list(self._children.items())
        return self._of(dict([steps[number] for number in chosen]))

    def replaced(self, step: int | str, module: Any) -> Self:
        """This sequential with ``module`` in the place of one step: a new one, checked anew, of the other steps.

        >>> from keywork.nn import TensorDictModule
        >>> chain = TensorDictSequential({"head": TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])})
        >>> chain.replaced("head", TensorDictModule(nn.Linear(4, 3), ["observation"], ["logits"]))["head"].out_features
        3
        """
        self[step]  # or an error that names the steps
        name = step if isinstance(step, str) else list(self._children)[step]
        return twin_of(self)._with({**self._children, name: module})

    def _renamed(self, names: Mapping[Key, Key]) -> Self:
        twin = super()._renamed(names)
        twin.external = tuple([renamed(key, names) for key in self.external])
        return twin._with({name: renamed_step(step, names) for name, step in self._children.items()})

    def _with(self, steps: Mapping[str, Any]) -> Self:
        kept = None if self._selected is None else self._stored
        self._assemble(steps if isinstance(self.module, nn.ModuleDict) else list(steps.values()))
        return self if kept is None else self.select_out_keys(*kept)

    @property
    def _all_keys(self) -> tuple[Key, ...]:
        return tuple(self._program.slots)

    def _of(self, children: Mapping[str, Any]) -> TensorDictSequential:
        steps: Any = dict(children) if isinstance(self.module, nn.ModuleDict) else list(children.values())
        read = [key for step in children.values() for key in step.in_keys]  # a part may read what the rest has written
        return TensorDictSequential(steps, external=[*self.external, *read], inplace=self.inplace)

    def __getitem__(self, index: int | str | slice) -> Any:
        names = list(self._children)
        if isinstance(index, slice):
            return self._of({name: self._children[name] for name in names[index]})
        try:
            return self._children[index if isinstance(index, str) else names[index]]
        except LookupError as error:
            raise type(error)(f"{self.label} has no step {index!r}; its steps are {names}.") from None

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._children.values())


def _place(name: str, step: TensorDictModuleBase) -> str:
    network = step if isinstance(step, TensorDictSequential) else getattr(step, "module", step)
    return f"step {name} ({describe(network)})"
