"""`--set KEY=VALUE`: how it is read, what it changes, and what an unknown key may have meant."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from lenssim.configuration.key_values import alternatives, parse_key_value, schema_at, set_key
from lenssim.errors import SpecError, UsageError
from lenssim.spec import Specification


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lens.gamma2=-.2", "lens.gamma2", -0.2),
        ("a=1e12", "a", 1e12),
        ("a=no", "a", "no"),
        (" a.b = {x: [1, 2]}", "a.b", {"x": [1, 2]}),
        ("a=b=c", "a", "b=c"),
        ("a=", "a", None),
    ],
)
def test_a_value_is_yaml(text, key, value):
    assert parse_key_value(text, "x=1") == (key, value)


@pytest.mark.parametrize("text", ["a", "=1", "", " =1", "a..b=1", ".a=1", "a.=1"])
def test_what_is_not_key_and_value_is_refused_with_an_example(text):
    with pytest.raises(SpecError, match=r"write it as KEY=VALUE, as in x\.y=1"):
        parse_key_value(text, "x.y=1", SpecError)


def test_a_value_that_is_not_yaml_is_refused_with_its_key():
    with pytest.raises(UsageError, match=r"--set a\.b is not valid YAML"):
        parse_key_value("a.b=[", "x=1")


def test_keys_lead_through_sections_and_lists():
    values = {"a": {"b": 1}, "views": [{"noise": 0}, {"noise": 0}]}
    set_key(values, "a.b", 2)
    set_key(values, "new.deep.key", 3)
    set_key(values, "views.1.noise", 4)
    set_key(values, "views.0", {})
    assert values == {"a": {"b": 2}, "new": {"deep": {"key": 3}}, "views": [{}, {"noise": 4}]}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("a.b.c", r"--set a\.b\.c: 'a\.b' is a value, not a section"),
        ("views.2.noise", r"there is no views\.2; views is a list of 1, numbered"),
        ("views.-1", r"there is no views\.-1"),
        ("views.x", r"there is no views\.x"),
    ],
)
def test_a_key_that_leads_nowhere_is_refused(key, message):
    with pytest.raises(SpecError, match=message):
        set_key({"a": {"b": 1}, "views": [{}]}, key, 0, SpecError)


class View(BaseModel):
    noise: float
    symmetry: str


class Stage(BaseModel):
    learning_rate: float


class Settings(BaseModel):
    views: tuple[View, ...]
    pretrain: Annotated[Stage, Field()] | None
    seed: int


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (["sead"], " (did you mean seed?); the keys are views, pretrain, seed"),
        (["learning_rate"], " (did you mean pretrain.learning_rate?); the keys are"),
        (["pretrain", "learningrate"], " (did you mean pretrain.learning_rate?); pretrain has"),
        (["views", "1", "noize"], " (did you mean views.1.noise?); views.1 has the keys noise,"),
        (["moons"], "; the keys are views, pretrain, seed"),
        (["views", "0", "moons"], "; views.0 has the keys noise, symmetry"),
        (["seed", "x"], " (did you mean seed?)"),
    ],
)
def test_an_unknown_key_gets_the_nearest_one_and_its_neighbours(path, words):
    found = alternatives(path, Settings)
    assert found.startswith(words)


def test_a_prior_is_a_value_and_has_no_keys():
    assert schema_at(Specification, ["lens", "e1"]) is None
    assert "kind" not in alternatives(["kind"], Specification)
