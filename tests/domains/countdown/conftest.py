"""A study of written searches, and one of free text with + - *; SmolLM2's tokenizer."""

from dataclasses import replace

import pytest
import real_tokenizers
from domains_countdown import Written, load, write
from tokenizers import Tokenizer

from backtracking.domains.countdown.countdown import Countdown


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return real_tokenizers.smollm2()


@pytest.fixture(scope="session")
def written() -> Countdown:
    return Countdown(load())


@pytest.fixture(scope="session")
def free() -> Countdown:
    section = load()
    world = replace(section.world, operations="+-*", use_all=True)
    return Countdown(replace(section, language="free", world=world))


@pytest.fixture(scope="session")
def searches(written: Countdown, tokenizer: Tokenizer) -> list[Written]:
    return write(written, tokenizer)
