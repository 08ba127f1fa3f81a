"""What the answers of a test run show together: which values stand where when a lead is taken, and when it is refused.

Pure. A run has asked for both, with a caller that is a sample, so that what was sent is known to the letter.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tasks.buyers.leaves import Leaf, NoLeavesError, read_leaves
from tasks.buyers.mapping import AnswerMapping, Path, canonical
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Unreadable

_NAME: Final = re.compile(r"[^\W\d_][\w.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of the run: whether an acceptance was asked for, what was sent, what came, and how it was read."""

    call: Call
    positive: bool
    sent: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    content_type: str | None
    http_status: int
    answer: Answer

    @property
    def unread(self) -> bool:
        """Whether the mapping in force could not read it."""
        return isinstance(self.answer, Unreadable)


class Evidence:
    """Every value of these answers, by its place. `mapping` is the one in force, with the pairs that were found.

    `accepted` and `refused` are the values where a lead is taken and where it is not; `pinged` the places of accepted
    pings. `said_back` are places that never say but what was sent: of whatever they look like, they are an echo.
    """

    def __init__(self, samples: Sequence[Sample], mapping: AnswerMapping) -> None:
        self.mapping = _with_pairs(mapping, [_placed(_leaves(sample, mapping)) for sample in samples])
        self.leaves: list[tuple[Sample, list[Leaf]]] = []
        self.accepted: dict[Path, list[str]] = defaultdict(list)
        self.refused: dict[Path, list[str]] = defaultdict(list)
        self.pinged: set[Path] = set()
        told: set[Path] = set()
        for sample in samples:
            sent = set(map(str.casefold, sample.sent.values()))
            leaves = list(_whole(_leaves(sample, self.mapping), self.mapping))
            self.leaves.append((sample, leaves))
            for leaf in leaves:
                (self.accepted if sample.positive else self.refused)[leaf.path].append(leaf.text)
                if sample.positive and sample.call is Call.PING:
                    self.pinged.add(leaf.path)
                if leaf.text.casefold() not in sent:
                    told.add(leaf.path)
        self.said_back = {*self.accepted, *self.refused} - told


def _leaves(sample: Sample, mapping: AnswerMapping) -> list[Leaf]:
    try:
        return read_leaves(sample.body, sample.content_type, mapping)
    except NoLeavesError:
        return []


def _whole(leaves: Sequence[Leaf], mapping: AnswerMapping) -> Iterator[Leaf]:
    """Give the first leaf of each place, without those that are but the name, or the value, of a pair."""
    places: dict[Path, Leaf] = {}
    for leaf in leaves:
        places.setdefault(leaf.path, leaf)
    inner = {(leaf.path[:-1], leaf.text): leaf.path[-1] for leaf in leaves if leaf.path}
    for path, leaf in places.items():
        of_name = path and path[-1] in mapping.pair_names and (*path[:-1], canonical(leaf.text)) in places
        of_value = path and path[-1] in mapping.pair_values and inner[path[:-1], leaf.text] != path[-1]
        if path and not (of_name or of_value or (path, leaf.text) in inner):
            yield leaf


Placed = Mapping[Path, list[str]]


def _placed(leaves: Iterable[Leaf]) -> Placed:
    places: dict[Path, list[str]] = defaultdict(list)
    for leaf in leaves:
        places[leaf.path].append(leaf.text)
    return places


def _with_pairs(mapping: AnswerMapping, answers: Sequence[Placed]) -> AnswerMapping:
    """Let facts be read that stand as a name and a value side by side, again and again in an answer."""
    told = {path for places in answers for path, texts in places.items() if not _are_names(texts)}
    found = dict.fromkeys(pair for places in answers for path, pair in _pairs(places) if path not in told)
    names = tuple(name for name, _ in found if name not in mapping.pair_names)
    values = tuple(value for _, value in found if value and value not in mapping.pair_values)
    return replace(mapping, pair_name=(*mapping.pair_name, *names), pair_value=(*mapping.pair_value, *values))


def _pairs(places: Placed) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Give the two names (``<f n="x1" v="9.50"/>``: n, v), with the first's place.

    The second is empty where the value is the element's own text.
    """
    for path, names in places.items():
        beside = [other for other in places if len(other) == len(path) and other[:-1] == path[:-1] and other != path]
        if len(names) < 2:
            continue
        if len(beside) == 1 and len(places[beside[0]]) <= len(names):
            yield path, (path[-1], beside[0][-1])
        elif not beside and path[:-1] in places:
            yield path, (path[-1], "")


def _are_names(texts: Sequence[str]) -> bool:
    return len(set(texts)) == len(texts) and all(_NAME.fullmatch(text) for text in texts)
