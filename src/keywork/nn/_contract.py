"""Contract: what a key module reads, writes, may read, and carries from one step to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass

from keywork._errors import MissingKeyError
from keywork._keys import Key, as_key, as_keys, is_parent, listed, meant, next_key, renaming, unique


@dataclass(frozen=True, slots=True)
class Contract:
    """The keys of a module: ordered, free of duplicates, and the same under every hash seed.

    Attributes:
        reads: keys that have to be there.
        writes: keys that are there afterwards.
        optional: keys that are read if they are there. A key that is read strictly is not optional as well.
        carries: state keys ``k`` that are read at one step and written under ``("next", k)`` for the following one.

    >>> Contract(["observation"], ["hidden"]).then(Contract(["hidden", "scale"], ["action"]))
    Contract(reads=('observation', 'scale'), writes=('hidden', 'action'), optional=(), carries=())
    """

    reads: tuple[Key, ...] = ()
    writes: tuple[Key, ...] = ()
    optional: tuple[Key, ...] = ()
    carries: tuple[Key, ...] = ()

    def __post_init__(self) -> None:
        for name in ("reads", "writes", "optional", "carries"):
            keys = getattr(self, name)
            object.__setattr__(self, name, unique(as_keys(list(keys) if isinstance(keys, tuple) else keys)))
        object.__setattr__(self, "optional", tuple(key for key in self.optional if key not in self.reads))
        for key in self.carries:
            if next_key(key) not in self.writes:
                raise ValueError(f"A Contract that carries {key!r} writes {next_key(key)!r} too: {self.writes}.")

    @property
    def inputs(self) -> tuple[Key, ...]:
        """Everything that is read: strictly, then optionally."""
        return self.reads + self.optional

    def then(self, following: Contract) -> Contract:
        """The contract of running this and then ``following``. Associative; ``Contract()`` is its neutral element.

        What this writes, or a group or an entry of it, is no longer an input; what both write is written once.
        """
        reads = self.reads + tuple(key for key in following.reads if not self._provides(key))
        optional = self.optional + tuple(key for key in following.optional if not self._provides(key))
        return Contract(reads, self.writes + following.writes, optional, self.carries + following.carries)

    def _provides(self, key: Key) -> bool:
        return any(key == there or is_parent(key, there) or is_parent(there, key) for there in self.writes)

    def renamed(self, names: Mapping[Key, Key]) -> Contract:
        """The same contract under other names; what is inside a renamed key, or under ``"next"``, goes along.

        >>> Contract(["observation"], ["action"]).renamed({"observation": "pixels"}).reads
        ('pixels',)
        """
        new = renaming(unique(self.inputs + self.writes + self.carries), names)
        return Contract(*(tuple(new[key] for key in keys) for keys in astuple(self)))

    def restricted(self, writes: Iterable[Key]) -> Contract:
        """The same contract that writes only ``writes``, in this order; a KeyError if one is not written."""
        wanted = [as_key(key) for key in writes]
        for key in wanted:
            if key not in self.writes:
                there = f"written: {listed(self.writes)}. {meant(key, self.writes)}"
                raise MissingKeyError(f"{key!r} cannot be kept, as it is not written; {there}")
        kept = tuple(key for key in self.writes if key in wanted)
        return Contract(self.reads, kept, self.optional, tuple(k for k in self.carries if next_key(k) in kept))
