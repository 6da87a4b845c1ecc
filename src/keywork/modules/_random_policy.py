"""The policy that knows nothing."""

from __future__ import annotations

from typing import Any

from keywork._errors import SpecError
from keywork._keys import ACTION, as_key
from keywork.modules._exploration import leaf_spec, one_spec
from keywork.modules._refusal import refusal
from keywork.nn import TensorDictModuleBase
from keywork.specs import Spec


class RandomPolicy(TensorDictModuleBase):
    """a ~ ``spec.rand``, uniform where the spec has bounds or choices; whatever the state and the exploration type.

    It reads nothing, so the batch is that of the TensorDict that it is called on: it cannot be called on tensors.

    Args:
        action_spec: what an action is, a spec or a Gymnasium space, or a Composite that has it. If left out, a
            collector fills in its environment's.
        action_key: where the action is written.
        spec: another name of action_spec.
        action_space: likewise.

    Raises:
        SpecError: the spec is none; in a call, it is missing.
        UsageError: it is given twice.

    >>> from keywork.specs import Categorical
    >>> from tensordict import TensorDict
    >>> RandomPolicy(Categorical(4))(TensorDict(batch_size=[3]))["action"].shape
    torch.Size([3])
    """

    _keyed = ("action_key",)
    _follows_keys = True

    def __init__(
        self, action_spec: Any = None, action_key: Any = ACTION, *, spec: Any = None, action_space: Any = None
    ) -> None:
        super().__init__([], [as_key(action_key)])
        self.action_key = self._out_keys[0]
        self._spec: Spec | None = None
        given = one_spec(type(self).__name__, spec, {"action_space": action_space, "action_spec": action_spec})
        if given is not None:
            self.spec = given

    @property
    def spec(self) -> Spec | None:
        """What an action is; None until it is given, here or in the constructor."""
        return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self._spec = leaf_spec(type(self).__name__, spec, self.action_key)

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """Write a random action for each element of the TensorDict's batch."""
        if self._spec is None:
            raise refusal(
                SpecError,
                "RandomPolicy cannot act: nobody has said what an action is.",
                where="spec",
                expected="a spec or a Gymnasium space",
                got="None",
                fix="RandomPolicy(env.action_spec)",
            )
        if args or kwargs or not hasattr(tensordict, "batch_size"):
            raise TypeError("RandomPolicy takes a TensorDict, whose batch size says how many actions to draw.")
        action = self._spec.rand(tensordict.batch_size)
        return self.write([action.to(tensordict.device)], tensordict, tensordict_out)
