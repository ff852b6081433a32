"""Invented hits are what a unit's are, by the same schema."""

from __future__ import annotations

import json
import random
from importlib.resources import files

import jsonschema

from edge_anpr.privacy import seal
from edge_anpr.tools.invented import Inventor


def test_every_message_of_a_passage_keeps_the_contract_of_hits() -> None:
    schema = json.loads(files("edge_anpr.unit").joinpath("hit.schema.json").read_text("utf-8"))
    check = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    inventor = Inventor("load/test/load-0001", "cam-1", random.Random(1))

    passages = [[json.loads(message.payload) for message in inventor.passage()] for _ in range(200)]

    messages = [message for passage in passages for message in passage]
    for message in messages:
        check.validate(message)
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    assert {tuple(message["phase"] for message in passage) for passage in passages} == {
        ("first", "final"),
        ("first", "withdrawn"),
        ("final",),
    }
    assert all(len({message["hit_id"] for message in passage}) == 1 for passage in passages)
    assert len({passage[0]["hit_id"] for passage in passages}) == 200
    assert {message["read"] is None for message in messages if message["phase"] == "withdrawn"} == {True}


def test_they_are_as_large_as_real_ones_are() -> None:
    inventor = Inventor("load/test/load-0001", "cam-1", random.Random(1))
    public = seal.new_pair("")[1]
    sizes = {len(seal.seal(message.payload, public)) // 1024 for _ in range(100) for message in inventor.passage()}
    assert sizes == {8, 16}


def test_plates_have_twelve_characters_which_no_country_issues() -> None:
    inventor = Inventor("load/test/load-0001", "cam-1", random.Random(1))
    reads = [json.loads(message.payload)["match"]["listed"] for _ in range(50) for message in inventor.passage()]
    assert {len(read) for read in reads} == {12}
