"""The operator's files: categories, a mapping, a ziplist; and the tables that they add to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.buyers.mapping import AnswerMapping, canonical, word
from tasks.buyers.registry import load_mapping, load_protocol
from tasks.buyers.ziplist import load_ziplist
from tasks.core.money import Money
from tasks.core.protocol import Action, Call, Protocol


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_tables_are_the_buyer_s(protocol: Protocol) -> None:
    assert (protocol.buyer, protocol.vertical) == ("letsmakealead", "call_routing_legal")
    assert protocol.categories[16004] == "Civil Lawsuits - Civil Lawsuit Defense"
    assert protocol.codes[4000].action is Action.CAPPED
    assert (protocol.forward_within_s, protocol.answer_bytes, protocol.test_subid) == (30, 65536, "match")
    assert protocol.one_step_url == "http://call.letsmakealead.com/Ping_Partner_CR.php"
    rules = {rule.name: rule for rule in protocol.fields}
    assert rules["key"].secret
    assert rules["token"].presence == {
        Call.PING: "no",
        Call.POST: "required",
        Call.ONE_STEP: "no",
        Call.DIRECT_POST: "no",
    }
    assert protocol.identity_fields == {
        "firstname",
        "lastname",
        "address",
        "city",
        "telephone",
        "email",
        "comments",
    }


@pytest.mark.parametrize("heading", ["", "numcategory,name\n", "\ufeffNumCategory, Name\r\n", "\n , \n"])
def test_an_operator_s_categories_add_to_the_catalogue_and_rename(tmp_path: Path, heading: str) -> None:
    path = written(tmp_path, f'{heading}16001,Car Accidents\n\n 16006 ,"Civil, Other"\n16006,"Civil, Other"\n')
    categories = load_protocol(path).categories
    assert (categories[16001], categories[16006], categories[16002]) == ("Car Accidents", "Civil, Other", "Bankruptcy")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("16006,Other\n16007\n", "line 2: must be numcategory,name"),
        ("16006,Other,more\n", "line 1: must be numcategory,name"),
        ("16006,Other\nnumcategory,name\n", "line 2: numcategory: must be a number"),
        ("-1,Other\n", "line 1: numcategory: must be a number"),
        ("1234567890,Other\n", "line 1: numcategory: must be a number"),
        ("16006, \n", "line 1: name: required"),
        ("16006,Other\n16006,Another\n", "line 2: name: 16006 has another name"),
        ('16006,"Other\n', "line 1: no CSV"),
        (b"16006,Other\n16007,\xff\n", "line .* not UTF-8"),
    ],
)
def test_a_bad_row_of_categories_is_named(tmp_path: Path, text: str | bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        load_protocol(written(tmp_path, text))


def test_the_default_mapping_knows_the_one_name_that_the_page_states(mapping: AnswerMapping) -> None:
    assert mapping.names[canonical("PhoneNumber")] == {"phone_number"}
    assert mapping.names[canonical("errorCode")] == {"code"}


@pytest.mark.parametrize("heading", ["", "[mapping]\n", "\ufeff[mapping]\n"])
def test_an_override_replaces_its_keys_and_leaves_the_others(
    tmp_path: Path, mapping: AnswerMapping, heading: str
) -> None:
    own = load_mapping(written(tmp_path, f'{heading}price = ["Offer/Amount", "gebot"]\naccepted = ["A"]\n'))
    assert own.price == ("Offer/Amount", "gebot")
    assert own.paths == {("offer", "amount"): {"price"}}
    assert own.names["gebot"] == {"price"}
    assert "price" not in own.names
    assert own.yes == {"a"}
    assert own.token == mapping.token


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('prices = ["a"]', "^prices: unknown key"),
        ('names = ["a"]', "^names: unknown key"),
        ('price = "a"', "^price: must be a list of strings"),
        ("price = [1]", "^price: must be a list of strings"),
        ('price = ["a/"]', "^price: 'a/' is no name"),
        ('price = ["-"]', "^price: '-' is no name"),
        ('rejected = ["OK"]', "^accepted and rejected: both hold ok"),
        ('price = ["a"]\n[mapping]\ntoken = ["b"]', "^price: must stand in the table"),
        ('mapping = ["a"]', "^mapping: must be a table"),
        ("price = ", "^no TOML"),
        (b'price = ["\xff"]', "^no TOML"),
    ],
)
def test_a_bad_key_of_a_mapping_is_named(tmp_path: Path, text: str | bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        load_mapping(written(tmp_path, text))


def test_a_word_keeps_what_gives_a_number_its_sense() -> None:
    assert [word(text) for text in (" No-Match ", "-1", " 0.0", "--", "")] == ["nomatch", "-1", "0.0", "", ""]


@pytest.mark.parametrize("heading", ["", "zipcode,price\n", "ZipCode, Price ,numcategory\n"])
def test_a_ziplist_gives_agreed_prices(tmp_path: Path, heading: str) -> None:
    ziplist = load_ziplist(written(tmp_path, f"{heading}33139,0.50\n00501,$12,16001\n33139,0.75,16002\n33139,0.5\n"))
    assert ziplist.price_for("33139", 16001) == Money.parse("0.50")
    assert ziplist.price_for("33139", 16002) == Money.parse("0.75")
    assert ziplist.price_for("00501", 16001) == Money.parse("12")
    assert ziplist.price_for("00501", 16002) is None
    assert ziplist.price_for("10001", 16001) is None


def test_a_price_of_nothing_for_a_category_wins_over_one_without(tmp_path: Path) -> None:
    ziplist = load_ziplist(written(tmp_path, "33139,0.50\n33139,0,16001\n"))
    assert ziplist.price_for("33139", 16001) == Money(0)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("33139,0.5\n501,0.5\n", "line 2: zipcode: must be exactly 5 digits"),
        ("3313a,0.5\n", "line 1: zipcode: must be exactly 5 digits"),
        ("\u0663\u0663\u0661\u0663\u0669,0.5\n", "line 1: zipcode: must be exactly 5 digits"),
        ("33139\n", "line 1: must be zipcode,price or"),
        ("33139,0.5,16001,x\n", "line 1: must be zipcode,price or"),
        ("33139,half\n", "line 1: price: not an amount of dollars"),
        ("33139,-1\n", "line 1: price: not an amount of dollars"),
        ("33139,\n", "line 1: price: not an amount of dollars"),
        ("33139,0.5,legal\n", "line 1: numcategory: must be a number"),
        ("33139,0.5\n\n33139,0.6\n", "line 3: price: another one than on a line before"),
    ],
)
def test_a_bad_row_of_a_ziplist_is_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        load_ziplist(written(tmp_path, text))
