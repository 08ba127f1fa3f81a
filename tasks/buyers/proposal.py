"""A proposal of a mapping, for answers that cannot be read: where each most likely states its facts.

Pure. It is a guess, made of what a test run asked, sent and got. Nothing uses it by itself: it is written down as TOML,
marked as a proposal, for a person to confirm.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from tasks.buyers.answers import Facts, read_facts
from tasks.buyers.clues import CLUES, Certainty, Hint, best, status_words
from tasks.buyers.evidence import Evidence, Sample
from tasks.buyers.leaves import Leaf
from tasks.buyers.letsmakealead.wire import interpret
from tasks.buyers.mapping import PATH, AnswerMapping, Path, canonical, word
from tasks.buyers.registry import MAPPING_KEYS
from tasks.core.bid import Bid
from tasks.core.protocol import Protocol
from tasks.core.reasons import Answer, Refusal
from tasks.core.sale import Sale

_READ_AS: Final[Mapping[str, str]] = {"status": "accepted", "duration": "duration_s"}


@dataclass(frozen=True, slots=True)
class Guess:
    """Where a fact stands: the mapping's key, the name or path, how certain that is, and why."""

    fact: str
    name: str
    certainty: Certainty
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mapping to be confirmed. `keys`: what differs from the shipped one; `readings`: each answer as it reads it."""

    guesses: tuple[Guess, ...]
    mapping: AnswerMapping
    keys: Mapping[str, tuple[str, ...]]
    readings: tuple[tuple[Sample, Answer], ...]

    @property
    def unread(self) -> tuple[Sample, ...]:
        """The answers that it does not read as what was asked for."""
        return tuple(sample for sample, answer in self.readings if not _is_asked_for(sample, answer))


def propose(
    samples: Sequence[Sample], mapping: AnswerMapping, shipped: AnswerMapping, protocol: Protocol
) -> Proposal | None:
    """Propose a mapping for a run's answers; None: all are read, or nothing in them gives a fact away.

    Args:
        samples: all answers of the run that came whole, but those that were read as what was not asked for.
        mapping: the one in force.
        shipped: what an override starts from.
    """
    evidence = Evidence(samples, mapping)
    guesses: dict[tuple[str, str], Guess] = {}
    words: tuple[dict[str, None], dict[str, None]] = ({}, {})
    first = _guessed(evidence, mapping, protocol, frozenset())
    sure = frozenset((fact, leaf.path) for fact, leaf, (certainty, _) in first if certainty is Certainty.CERTAIN)
    for fact, leaf, (certainty, why) in _guessed(evidence, mapping, protocol, sure):
        name = _name(leaf.path)
        known = guesses.get((fact, name))
        if known is None or certainty > known.certainty:
            guesses[fact, name] = Guess(fact, name, certainty, why)
        for said, heard in zip(words, (status_words(leaf, evidence) or ((), ())), strict=True):
            said.update(dict.fromkeys(heard if fact == "status" else ()))
    if not guesses:
        return None
    found = tuple(sorted(guesses.values(), key=lambda guess: list(CLUES).index(guess.fact)))
    proposed = _mapping(found, (tuple(words[0]), tuple(words[1])), evidence, mapping, samples)
    keys = {key: value for key in MAPPING_KEYS if (value := getattr(proposed, key)) != getattr(shipped, key)}
    readings = tuple((sample, read(sample, proposed, protocol)) for sample in samples)
    return Proposal(found, proposed, keys, readings)


def read(sample: Sample, mapping: AnswerMapping, protocol: Protocol) -> Answer:
    """Read an answer of the run by a mapping, as it would have been read over HTTP."""
    return interpret(
        sample.call,
        read_facts(sample.body, sample.content_type, mapping),
        sample.http_status,
        protocol,
        telephone=sample.sent.get("telephone", ""),
        sent=sample.sent,
        echoes=mapping.echoes,
    )


def as_toml(proposal: Proposal, on: date) -> str:
    """Write a proposal as a file for PINGPOST_MAPPING; each line says how certain it is."""
    whys = {(guess.fact, guess.name): f"{guess.certainty.name.lower()}: {guess.why}" for guess in proposal.guesses}
    lines = [
        f"# A PROPOSAL, made by `pingpost certify` on {on} from the buyer's own test answers: a guess. Compare each",
        "# line with the answers, mend it, and strike these lines out. Then set PINGPOST_MAPPING to this file, and run",
        "# `pingpost certify` again.",
        "",
        "[mapping]",
    ]
    for key, names in proposal.keys.items():
        remarks = [f"  # {whys[key, name]}" if (key, name) in whys else "" for name in names]
        if len(names) == 1 or not any(remarks):
            lines.append(f"{key} = [{', '.join(map(_quoted, names))}]{''.join(remarks[:1])}")
        else:
            inner = [f"    {_quoted(name)},{remark}" for name, remark in zip(names, remarks, strict=True)]
            lines += [f"{key} = [", *inner, "]"]
    return "\n".join(lines) + "\n"


def _guessed(
    evidence: Evidence, mapping: AnswerMapping, protocol: Protocol, sure: Collection[tuple[str, Path]]
) -> Iterator[tuple[str, Leaf, Hint]]:
    """Guess the facts of each answer that the mapping in force does not find in it.

    `sure`: places where some answer of the run shows for certain which fact they are.
    """
    for sample, leaves in evidence.leaves:
        facts = read_facts(sample.body, sample.content_type, mapping)
        taken: set[Path] = set()
        for fact, clue in CLUES.items():
            is_read = isinstance(facts, Facts) and getattr(facts, _READ_AS.get(fact, fact)) is not None
            if is_read or not sample.unread:
                continue
            candidates = [
                (hint, _is_named(leaf, getattr(mapping, fact)), leaf)
                for leaf in leaves
                if leaf.path not in taken and _name(leaf.path)
                if (hint := clue(sample, leaf, evidence, protocol)) is not None
            ]
            if candidates:
                hint, leaf = best([one for one in candidates if (fact, one[2].path) in sure] or candidates)
                taken.add(leaf.path)
                yield fact, leaf, hint


def _mapping(
    guesses: Iterable[Guess],
    words: tuple[tuple[str, ...], tuple[str, ...]],
    evidence: Evidence,
    mapping: AnswerMapping,
    samples: Iterable[Sample],
) -> AnswerMapping:
    """Give the mapping with the guesses first; names in force stay where some answer was read by them."""
    some_were_read = any(not sample.unread for sample in samples)
    names: dict[str, list[str]] = {}
    for guess in guesses:
        names.setdefault(guess.fact, []).append(guess.name)
    changed: dict[str, Any] = {
        fact: (*found, *(getattr(mapping, fact) if some_were_read else ())) for fact, found in names.items()
    }
    yes, no = words
    if yes:
        changed["accepted"] = _said(yes, mapping.accepted if some_were_read else (), but=no)
        changed["rejected"] = _said(no, mapping.rejected if some_were_read else (), but=changed["accepted"])
    changed |= {"pair_name": evidence.mapping.pair_name, "pair_value": evidence.mapping.pair_value}
    return replace(mapping, **changed)


def _said(new: Sequence[str], known: Sequence[str], *, but: Collection[str]) -> tuple[str, ...]:
    barred = set(map(word, but))
    return tuple(text for text in dict.fromkeys((*new, *known)) if word(text) not in barred)


def _is_asked_for(sample: Sample, answer: Answer) -> bool:
    return isinstance(answer, Bid | Sale) if sample.positive else isinstance(answer, Refusal)


def _name(path: Path) -> str:
    """Write a place as a mapping names it: a path from the root, or the last name where the path cannot be written."""
    if all(path) and not any(PATH in step for step in path):
        return PATH.join(path)
    return "" if PATH in path[-1] else path[-1]


def _is_named(leaf: Leaf, names: Iterable[str]) -> bool:
    """Whether a place's last name holds one of the fact's own names."""
    return any(len(name) > 2 and name in leaf.path[-1] for name in map(canonical, names))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
