"""From an answer's bytes to its leaves: every value with the path of names that leads to it, whatever the format.

The body alone tells the format (buyers send JSON as text/html): JSON, XML, else lines of ``key=value``. Nothing here
knows what a name means. Numbers stay the text they were written as, so that no digit is lost and none costs time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, NoReturn
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from tasks.buyers.mapping import AnswerMapping, Path, canonical

# The whole answer on one line, as a form would send it: `price=12.50&token=abc`.
_QUERY: Final = re.compile(r"[\w.-]{1,64}=[^&=\r\n]*(?:&[\w.-]{1,64}=[^&=\r\n]*)+", re.ASCII)
DEEPEST: Final = 32
LONGEST_NAME: Final = 64

Kind = Literal["text", "number", "truth"]

_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Not every codec that Python knows: some take minutes over a crafted body.
_CHARSETS: Final = {
    "utf8": "utf-8",
    "usascii": "ascii",
    "ascii": "ascii",
    "iso88591": "cp1252",  # as browsers do, and as such pages mean it
    "latin1": "cp1252",
    "windows1252": "cp1252",
    "cp1252": "cp1252",
    "iso885915": "iso8859-15",
    "utf16": "utf-16",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
}
_DECLARED: Final = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE | re.ASCII)
_XML_DECLARED: Final = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})")
_XML_DECLARATION: Final = re.compile(r"\A<\?xml\s[^>]*\?>")
_HTML: Final = re.compile(r"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END: Final = re.compile(r"\r\n?|\n")
_KEY: Final = re.compile(rf"[^\W\d_][\w .:-]{{0,{LONGEST_NAME - 1}}}")


class NoLeavesError(ValueError):
    """The body is of no format that we read; the text says why, and holds none of the body."""


class Leaf(NamedTuple):
    """A value under its canonical names from the root. Lists add no name. `kind` is JSON's; elsewhere all is text."""

    path: Path
    text: str
    kind: Kind = "text"


def decode(body: bytes, content_type: str | None = None) -> str:
    """Turn bytes into text by their byte order mark, the declared charset, UTF-8, else Windows-1252. Never fails."""
    if body.isascii() and b"\0" not in body:
        return body.decode("ascii")  # in each charset that we know, it is this
    for mark, charset in _BOMS:
        if body.startswith(mark):
            return body.decode(charset, "replace").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    declared = [found[1].lower() for found in _DECLARED.finditer(content_type or "")]
    declared += [found[1].decode().lower() for found in [_XML_DECLARED.match(body)] if found]
    for name in (*declared, "utf-8"):
        known = _CHARSETS.get(canonical(name))
        if known is None or (known.startswith("utf-16") and b"\0" not in body):
            continue  # some frameworks declare UTF-16 over plain ASCII
        try:
            return body.decode(known)
        except UnicodeDecodeError:
            continue
    return body.decode("cp1252", "replace")


def read_leaves(body: bytes, content_type: str | None, mapping: AnswerMapping) -> list[Leaf]:
    """Read a body into its leaves, in the order in which they stand; blank values and nulls are left out.

    Raises:
        NoLeavesError: no JSON object or list, no XML, no lines of ``key=value``; or one that is not to be trusted.
    """
    text = decode(body, content_type).strip()
    if not text:
        raise NoLeavesError("an empty body")
    if text[0] in "{[":
        found = _of_json(_json(text), (), mapping, [])
    elif text[0] == "<":
        found = list(_of_xml(_xml(text), (), mapping))
    else:
        found = list(_of_lines(text))
    return [leaf for leaf in found if leaf.text]


class _Object(list[tuple[str, Any]]):
    """A JSON object with every pair in it: two of one name may contradict."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _json(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise NoLeavesError("nested too deeply") from None
    except json.JSONDecodeError:
        raise NoLeavesError("starts as JSON, and is none") from None


def _no_constant(_name: str) -> NoReturn:
    raise NoLeavesError("NaN and infinities are not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
)


def _of_json(value: Any, path: Path, mapping: AnswerMapping, found: list[Leaf], depth: int = 0) -> list[Leaf]:
    """Add a value's leaves to those that were found."""
    if depth > DEEPEST:
        raise NoLeavesError("nested too deeply")
    if isinstance(value, _Object):
        named = [(canonical(_whole(name)), inner) for name, inner in value]
        for name, inner in named:
            _of_json(inner, (*path, name), mapping, found, depth + 1)
        found += _pair([(name, text) for name, text in named if isinstance(text, str)], path, mapping)
    elif isinstance(value, list):
        for inner in value:
            _of_json(inner, path, mapping, found, depth + 1)
    elif isinstance(value, bool):
        found.append(Leaf(path, "true" if value else "false", "truth"))
    elif isinstance(value, _Number):
        found.append(Leaf(path, str(value), "number"))
    elif value is not None:
        found.append(Leaf(path, _whole(value).strip()))
    return found


def _whole(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NoLeavesError("half a character (a lone surrogate)") from None
    return text


def _xml(text: str) -> Element:
    if _HTML.search(text, 0, 2000):
        raise NoLeavesError("an HTML page")
    try:
        # What the declaration says of the encoding has been heeded, and is no longer true of text.
        root: Element = fromstring(_XML_DECLARATION.sub("", text, count=1), forbid_dtd=True)
    except DefusedXmlException:
        raise NoLeavesError("XML with a DTD or entities of its own") from None
    except ParseError:
        raise NoLeavesError("starts as XML, and is none") from None
    return root


def _of_xml(element: Element, path: Path, mapping: AnswerMapping) -> Iterator[Leaf]:
    if len(path) > DEEPEST:
        raise NoLeavesError("nested too deeply")
    path = (*path, _local(element.tag))
    members = [(_local(name), value.strip()) for name, value in element.attrib.items()]
    for name, value in members:
        yield Leaf((*path, name), value)
    texts = [text for text in (element.text, *(child.tail for child in element)) if text and text.strip()]
    if not len(element):
        own = "".join(texts).strip()
        yield Leaf(path, own)
        yield from _pair([*members, *((name, own) for name in mapping.pair_values)], path, mapping)
        return
    if texts:
        raise NoLeavesError("text between XML elements")
    for child in element:
        yield from _of_xml(child, path, mapping)
    members += [(_local(child.tag), (child.text or "").strip()) for child in element if not len(child)]
    yield from _pair(members, path, mapping)


def _local(name: str) -> str:
    return canonical(name.rpartition("}")[2])


def _pair(members: list[tuple[str, str]], path: Path, mapping: AnswerMapping) -> list[Leaf]:
    """Read a fact that stands as a name and a value side by side, such as ``<item name="price" value="9.50"/>``."""
    names = [text for name, text in members if name in mapping.pair_names and text]
    if len(names) != 1 or len(names[0]) > LONGEST_NAME:
        return []
    values = {text for name, text in members if name in mapping.pair_values and text.strip()}
    return [Leaf((*path, canonical(names[0])), value.strip()) for value in sorted(values)]


def _of_lines(text: str) -> Iterator[Leaf]:
    if _CONTROL.search(text):
        raise NoLeavesError("control characters")
    if _QUERY.fullmatch(text.strip()):
        for name, value in parse_qsl(text.strip(), keep_blank_values=True):
            yield Leaf((canonical(name),), value.strip())
        return
    for line in _LINE_END.split(text):
        name, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals or _KEY.fullmatch(name.strip()) is None:
            raise NoLeavesError("neither JSON, XML nor lines of key=value")
        yield Leaf((canonical(name),), value.strip())
