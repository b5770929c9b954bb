"""Recipes: fixed points, order, and that our own faults are never rewards."""

from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import configs
from configs.schema import RewardConfig
from rewards.score import RECIPES, score
from sandbox.types import Broken, CaseResult, Passed, Rejected, Stage

PASSED = Passed(
    cases=(CaseResult(name="a", hidden=False, distribution="normal", rel_l2=0.0, limit_share=0.0, launches=1),)
)
SHIPPED = {
    path.stem: RewardConfig.model_validate(yaml.safe_load(path.read_text()))
    for path in (Path(configs.__file__).parent / "reward").glob("*.yaml")
}


def test_every_recipe_of_the_schema_is_in_the_table_and_shipped() -> None:
    recipes = set(get_args(RewardConfig.model_fields["recipe"].annotation))
    assert recipes == set(RECIPES) == {config.recipe for config in SHIPPED.values()}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_pass_is_worth_one_and_our_fault_nothing_at_all(name: str) -> None:
    assert score(PASSED, SHIPPED[name]) == 1.0
    assert score(Broken(reason="driver lost"), SHIPPED[name]) is None


@pytest.mark.parametrize("name", SHIPPED)
@given(stage=st.sampled_from(get_args(Stage)), total=st.integers(1, 20), data=st.data())
def test_every_rejection_is_worth_less_than_a_pass(name: str, stage: Stage, total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    verdict = Rejected(stage=stage, reason="r", cases_right=(right, total))
    value = score(verdict, SHIPPED[name])
    assert value is not None and 0 <= value < 1


def test_default_rises_with_the_stages_and_with_the_cases_right() -> None:
    config = SHIPPED["default"]
    stages: tuple[Stage, ...] = ("extract", "screen", "trace", "plan", "compile", "launch", "numerics")
    values = [score(Rejected(stage=stage, reason="r"), config) for stage in stages]
    assert values == sorted(values) and len(set(values)) == len(values)
    by_right = [score(Rejected(stage="numerics", reason="r", cases_right=(n, 4)), config) for n in range(5)]
    assert by_right == pytest.approx([0.3, 0.35, 0.4, 0.45, 0.5])


def test_cases_right_count_at_stage_numerics_only() -> None:
    config = SHIPPED["default"]
    assert score(Rejected(stage="launch", reason="r", cases_right=(3, 4)), config) == 0.25
    assert score(Rejected(stage="numerics", reason="r", cases_right=(0, 0)), config) == 0.3
    assert score(Rejected(stage="tamper", reason="r", cases_right=(4, 4)), config) == 0.0


def test_autotriton_is_all_or_nothing() -> None:
    config = SHIPPED["autotriton"]
    assert {score(Rejected(stage=stage, reason="r", cases_right=(9, 10)), config) for stage in get_args(Stage)} == {0.0}
