"""What a verdict is worth: one short pure function a recipe.

Differs from published harnesses: `Broken` (our fault) is worth nothing at all, `None`, never 0: a dead sandbox must not
teach the model that its kernel was bad.
"""

from collections.abc import Callable
from typing import assert_never

from configs.schema import RewardConfig
from sandbox.types import Broken, Passed, Rejected


def score(verdict: Passed | Rejected | Broken, config: RewardConfig) -> float | None:
    """Reward in [0, 1] by the recipe of `config`, or None where the verdict is no evidence about the candidate."""
    match verdict:
        case Passed() | Rejected():
            return RECIPES[config.recipe](verdict, config)
        case Broken():
            return None
        case _ as never:
            assert_never(never)


def default(verdict: Passed | Rejected, config: RewardConfig) -> float:
    """1 for a pass, else `stage_credit[stage] + numerics_credit · right / all` (second term at stage numerics only).

    Fixed points: passed = 1; a stage without credit = 0; every rejection < 1 (the config checks it); the further a
    candidate came, the more it is worth if `stage_credit` rises with the stages. Source: none.
    """
    match verdict:
        case Passed():
            return 1.0
        case Rejected(stage="numerics", cases_right=(right, total)) if total > 0:
            return config.stage_credit.get("numerics", 0.0) + config.numerics_credit * right / total
        case Rejected(stage=stage):
            return config.stage_credit.get(stage, 0.0)
        case _ as never:
            assert_never(never)


def autotriton(verdict: Passed | Rejected, config: RewardConfig) -> float:
    """AutoTriton (arXiv 2507.05687, section 3.3): `rule × execution`, each 0 or 1.

    The rule (it really is Triton that does the work) is the sandbox's screen, trace and plan; execution is the rest.
    Both hold exactly when the verdict is `Passed`. Fixed points: passed = 1, every rejection = 0.
    """
    return float(isinstance(verdict, Passed))


RECIPES: dict[str, Callable[[Passed | Rejected, RewardConfig], float]] = {
    "default": default,
    "autotriton": autotriton,
}
