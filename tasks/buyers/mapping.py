"""How an answer is read: under which names its facts stand, and what its words mean. Data, made from `buyer.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

FACTS: Final = ("status", "price", "token", "duration", "phone_number", "code", "reason", "remark", "customid")
ECHOES: Final = ("token", "customid")
PATH: Final = "/"
LONGEST_KNOWN: Final = 40
Path = tuple[str, ...]
Named = tuple[str, ...]
_SEPARATORS: Final = str.maketrans("", "", "_-.: \t\r\n\N{NO-BREAK SPACE}")


def canonical(name: str) -> str:
    """Give a name as it is compared: without case and without separators."""
    return _known(name) if len(name) <= LONGEST_KNOWN else _canonical(name)


def _canonical(name: str) -> str:
    return name.translate(_SEPARATORS).casefold()


# A buyer says the same names each time.
_known = lru_cache(1024)(_canonical)


def word(text: str) -> str:
    """Give a value as words of a status are compared. A number keeps its sign and its point; ``--`` says nothing."""
    if any(character.isalpha() for character in text):
        return canonical(text)
    return text.strip() if any(character.isdecimal() for character in text) else ""


@dataclass(frozen=True, slots=True)
class AnswerMapping:
    """Names of each fact (a name with a "/" is a path from the root), and the words of a status.

    `echoes` are the facts (of `ECHOES`) that an answer may only tell as they were sent: told otherwise, it is another
    lead's.

    Raises:
        ValueError: a name without a letter, a word that both accepts and rejects, or an echo that is none.
    """

    status: tuple[str, ...]
    price: tuple[str, ...]
    token: tuple[str, ...]
    duration: tuple[str, ...]
    phone_number: tuple[str, ...]
    code: tuple[str, ...]
    reason: tuple[str, ...]
    remark: tuple[str, ...]
    customid: tuple[str, ...]
    echoes: tuple[str, ...]
    accepted: tuple[str, ...]
    rejected: tuple[str, ...]
    no_code: tuple[str, ...]
    pair_name: tuple[str, ...]
    pair_value: tuple[str, ...]
    names: Mapping[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    paths: Mapping[tuple[str, ...], frozenset[str]] = field(init=False, repr=False, compare=False)
    yes: frozenset[str] = field(init=False, repr=False, compare=False)
    no: frozenset[str] = field(init=False, repr=False, compare=False)
    nothing: frozenset[str] = field(init=False, repr=False, compare=False)
    pair_names: frozenset[str] = field(init=False, repr=False, compare=False)
    pair_values: frozenset[str] = field(init=False, repr=False, compare=False)
    _known: dict[Path, tuple[Named, Named]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def facts_at(self, path: Path) -> tuple[Named, Named]:
        """Give the facts that a leaf at a path states: those named by their path, and those by a plain name."""
        known = self._known.get(path)
        if known is None:
            places = self._places(path)
            by_path = tuple(fact for place in places for fact in self.paths.get(place, ()))
            by_name = tuple(fact for place in places for fact in self._named(place))
            known = by_path, by_name
            # The mapping's own places alone: others are a stranger's, without end, and may hold who the caller is.
            if (by_name and len(path) == 1) or path in self.paths:
                self._known[path] = known
        return known

    def _places(self, path: Path) -> list[Path]:
        """Give a leaf's own place, and its parent's where it is a mere ``value`` of it (``<price value="9.50"/>``)."""
        return [path, path[:-1]] if len(path) > 1 and path[-1] in self.pair_values else [path]

    def _named(self, path: Path) -> frozenset[str]:
        facts = self.names.get(path[-1], frozenset()) if path else frozenset()
        if "remark" in facts and any("reason" in self.names.get(name, ()) for name in path[:-1]):
            return facts - {"remark"} | {"reason"}
        return facts

    def __post_init__(self) -> None:
        names: dict[str, set[str]] = {}
        paths: dict[tuple[str, ...], set[str]] = {}
        for fact in FACTS:
            for name in getattr(self, fact):
                segments = tuple(canonical(segment) for segment in name.split(PATH))
                if not all(segments):
                    raise ValueError(f"{fact}: {name!r} is no name")
                if len(segments) > 1:
                    paths.setdefault(segments, set()).add(fact)
                else:
                    names.setdefault(segments[0], set()).add(fact)
        derived: dict[str, object] = {
            "names": {name: frozenset(facts) for name, facts in names.items()},
            "paths": {path: frozenset(facts) for path, facts in paths.items()},
            "yes": frozenset(map(word, self.accepted)),
            "no": frozenset(map(word, self.rejected)),
            "nothing": frozenset(map(word, self.no_code)),
            "pair_names": frozenset(map(canonical, self.pair_name)),
            "pair_values": frozenset(map(canonical, self.pair_value)),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        if wrong := set(self.echoes) - set(ECHOES):
            raise ValueError(f"echoes: {', '.join(sorted(wrong))} (known: {', '.join(ECHOES)})")
        if both := self.yes & self.no:
            raise ValueError(f"accepted and rejected: both hold {', '.join(sorted(both))}")
