"""Traces of the policy, of its twin and of the base's corpus, for all tests of the organism."""

from pathlib import Path
from random import Random

import pytest
from written import Written, write

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.policy import BasePolicy, Policy, Sentence, write_walk
from backtracking.domains.organism.world import World
from backtracking.runtime import params

PARAMS = Path(PROJECT_ROOT) / "params.yaml"


@pytest.fixture(scope="session")
def world() -> World:
    """The world of the default study."""
    return params.load(World, "world", PARAMS)


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The policy of the default study."""
    return params.load(Policy, "policy", PARAMS)


@pytest.fixture(scope="session")
def base_policy() -> BasePolicy:
    """The base's corpus in the default study."""
    return params.load(BasePolicy, "base_policy", PARAMS)


@pytest.fixture(scope="session")
def written(world: World, policy: Policy) -> list[Written]:
    """Traces of the policy on drawn problems."""
    random = Random("policy")
    return [write(*world.draw(random), policy, random) for _ in range(300)]


@pytest.fixture(scope="session")
def twins(world: World, policy: Policy) -> list[Written]:
    """Traces of the shuffled twin."""
    random = Random("twin")
    return [write(*world.draw(random), policy, random, shuffled=True) for _ in range(120)]


@pytest.fixture(scope="session")
def walks(world: World, base_policy: BasePolicy) -> list[list[Sentence]]:
    """Walks of the base's corpus."""
    random = Random("walk")
    return [write_walk(*world.draw(random), base_policy, random) for _ in range(400)]


@pytest.fixture(scope="session")
def rewritten(policy: Policy) -> list[Written]:
    """One small problem, written again and again."""
    random = Random("again")
    return [write((3, 5, 9), 8, policy, random) for _ in range(1500)]
