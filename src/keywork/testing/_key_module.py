"""KeyModuleConformance: what every key module does, as tests to inherit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from keywork.nn import TensorDictModuleBase
from keywork.testing import _calls, _contracts, _copies, _noise, _transforms
from keywork.testing._expect import check, refuse_strange_exemptions


class KeyModuleConformance:
    """Tests that hold for every key module: inherit them, and say how the module is made and what it is fed.

    A test runner collects the subclass: pytest by itself, as its name begins with ``Test``. Each ``test_*`` method is
    one check; a failed one says what is wrong with the module. Nothing here needs pytest to be installed.

    Attributes:
        exempt: checks that do not apply, each with the reason: ``{"compile": "calls numpy"}``. They are skipped.
        noisy: whether two calls under RANDOM differ.
        batch_dims: how many dimensions of the entries are batch dimensions, if ``inputs`` gives no TensorDict.

    Raises:
        UsageError: when the class is written: ``exempt`` names no check, or gives no reason.

    In ``test_double.py``::

        class TestDouble(KeyModuleConformance):
            def make(self):
                return Double(["x"], ["y"])

            def inputs(self):
                return {"x": torch.randn(5, 3)}

    A check can be called by itself too:

    >>> import torch
    >>> class Noise(TensorDictModuleBase):
    ...     def compute(self, x):
    ...         return (x + torch.randn_like(x),)
    >>> class NoiseConformance(KeyModuleConformance):
    ...     noisy = True
    ...     def make(self):
    ...         return Noise(["x"], ["y"])
    ...     def inputs(self):
    ...         return {"x": torch.zeros(5, 3)}
    >>> NoiseConformance().test_noise()
    >>> NoiseConformance().test_deterministic()
    Traceback (most recent call last):
    AssertionError: Noise is not repeatable under DETERMINISTIC: two calls differ
    """

    exempt: ClassVar[Mapping[str, str]] = {}
    noisy: bool = False
    batch_dims: int = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_strange_exemptions(cls)

    def make(self) -> TensorDictModuleBase:
        """A new module, each time; of the same sizes, with parameters that may differ."""
        raise NotImplementedError(f"{type(self).__name__} has to define make(self), which returns a new module.")

    def inputs(self) -> Any:
        """What the module reads: ``{key: tensor}``, with a batch in front, or a TensorDict."""
        raise NotImplementedError(f"{type(self).__name__} has to define inputs(self): {{key: tensor}}.")

    def make_nested(self) -> TensorDictModuleBase | None:
        """The same module under nested keys; None renames its keys by setting ``in_keys`` and ``out_keys``.

        What takes its keys only when it is built (a sequential), or has optional or carried ones, has to be built
        here, or is skipped.
        """
        return None

    def make_lazy(self) -> TensorDictModuleBase | None:
        """The module with sizes that its first call finds; None if there is no such form."""
        return None

    @check
    def test_contract(self) -> None:
        """in_keys, out_keys, contract, and what ``compute`` takes and returns, agree in number and order."""
        _contracts.check_contract(self)

    @check
    def test_reads(self) -> None:
        """Nothing is read that is not declared."""
        _contracts.check_reads(self)

    @check
    def test_writes(self) -> None:
        """All that is declared is written, and nothing else; other entries, and the inputs, stay as they are."""
        _contracts.check_writes(self)

    @check
    def test_missing(self) -> None:
        """A missing entry is an error that names its key; an optional one is not missed."""
        _contracts.check_missing(self)

    @check
    def test_dispatch(self) -> None:
        """A TensorDict, tensors by position and tensors by name give the same."""
        _calls.check_dispatch(self)

    @check
    def test_select_out_keys(self) -> None:
        """A selected output is the only one that is written."""
        _calls.check_select_out_keys(self)

    @check
    def test_nested(self) -> None:
        """Nested keys do as plain ones do."""
        _calls.check_nested(self)

    @check
    def test_batch_shapes(self) -> None:
        """A single element, a batch, and a batch of one more dimension give the same for each element."""
        _calls.check_batch_shapes(self)

    @check
    def test_lazy(self) -> None:
        """A module without sizes takes them from its first call, or from a state_dict."""
        _copies.check_lazy(self)

    @check
    def test_state_dict(self) -> None:
        """A fresh module with the state_dict of another one does as that one does."""
        _copies.check_state_dict(self)

    @check
    def test_deepcopy(self) -> None:
        """A copy does as the original does, and shares nothing with it."""
        _copies.check_deepcopy(self)

    @check
    def test_spawn(self) -> None:
        """A freshly started process to which the module is sent gets the same outputs."""
        _copies.check_spawn(self)

    @check
    def test_compile(self) -> None:
        """torch.compile makes one graph of it under every exploration type."""
        _transforms.check_compile(self)

    @check
    def test_vmap(self) -> None:
        """torch.vmap maps over it, with both kinds of randomness."""
        _transforms.check_vmap(self)

    @check
    def test_functional(self) -> None:
        """torch.func.functional_call swaps its parameters."""
        _transforms.check_functional(self)

    @check
    def test_precision(self) -> None:
        """It runs in half precision and in float64."""
        _transforms.check_precision(self)

    @check
    def test_meta(self) -> None:
        """It looks at no value, for which an accelerator would have to wait."""
        _transforms.check_meta(self)

    @check
    def test_gradients(self) -> None:
        """Gradients reach every parameter."""
        _transforms.check_gradients(self)

    @check
    def test_noise(self) -> None:
        """It draws under RANDOM if it is declared noisy, and otherwise not."""
        _noise.check_noise(self)

    @check
    def test_deterministic(self) -> None:
        """Under DETERMINISTIC, MODE and MEAN it repeats itself bit for bit and draws nothing."""
        _noise.check_deterministic(self)

    @check
    def test_threads(self) -> None:
        """It follows the exploration type of its own thread."""
        _noise.check_threads(self)
