"""Options that other algorithms have: who has them, and why this one does not."""

from __future__ import annotations

from dataclasses import fields

from keywork.train import RECIPES

_NO_BUFFER = "it learns from the batch that it has just collected, and keeps no buffer to draw from"
_OWN_LOSSES = "its actor and its critics each learn from a loss of their own, and have targets that follow them alone"
_ONE_NETWORK = "it has one network, of action values, and nothing to share its layers with"
_OF_BUFFERS = ("prioritized", "priority_alpha", "priority_beta", "n_step", "slice_len", "buffer_size")


def told_elsewhere(algorithm: str, option: str) -> str:
    """What to say of an option that only other algorithms have; nothing if none has it.

    >>> told_elsewhere("ppo", "--prioritized")[:74]
    'ppo has no option --prioritized: it learns from the batch that it has just'
    >>> told_elsewhere("ppo", "--xyz")
    ''
    """
    name = option.lstrip("-").replace("-", "_").removeprefix("no_")
    others = [other for other in RECIPES if name in _options_of(other)]
    if not others or name in _options_of(algorithm):
        return ""
    why = _reason(algorithm, name)
    return f"{algorithm} has no option {option}{f': {why}' if why else ''}. Leave it out, or train {_one_of(others)}."


def _options_of(algorithm: str) -> list[str]:
    return [field.name for field in fields(RECIPES[algorithm].config)]


def _reason(algorithm: str, name: str) -> str:
    own = _options_of(algorithm)
    if name in _OF_BUFFERS:
        return _NO_BUFFER
    if name == "share_trunk":
        return _ONE_NETWORK if "dueling" in own else _OWN_LOSSES
    return ""


def _one_of(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
