"""TorchRL warns while it is imported (its C++ extension, other packages), and here warnings are errors."""

from __future__ import annotations

import contextlib
import warnings

with warnings.catch_warnings(), contextlib.suppress(ModuleNotFoundError):
    warnings.simplefilter("ignore")
    import torchrl.collectors
    import torchrl.modules
    import torchrl.objectives  # noqa: F401
