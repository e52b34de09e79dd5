"""Runs wait for their provider, whoever starts them, and what they hear becomes facts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from mo_daemon.agents.protocol import Event, EventKind, Outcome
from mo_daemon.engine import Engine
from mo_daemon.listening import Ear
from mo_git.breakers import Breaker, fold
from mo_git.ledger.reader import Reader
from mo_git.model import FailureClass
from tests.support import RepoBuilder
from tests.test_engine import World


@pytest.fixture
def world(repo: RepoBuilder) -> World:
    return World(repo)


def ear(engine: Engine, run: str) -> Ear:
    return Ear(engine.services, "", "claude", "review", run)


def test_one_run_tries_and_the_others_wait_for_what_it_hears(world: World) -> None:
    async def script(engine: Engine) -> Mapping[str, Breaker]:
        services = engine.services
        first, second = ear(engine, "one"), ear(engine, "two")
        until = services.now() + 0.3
        first.tell(Outcome(FailureClass.USAGE_LIMIT, "no", until))
        await first.turn()
        assert services.now() >= until
        waiting = asyncio.ensure_future(second.turn())
        while "two" not in services.doing:
            await asyncio.sleep(0)
        assert services.doing["two"] == "waits for claude: usage limit"
        first.hear(Event(EventKind.TOOL, "edit a.py"))
        await waiting
        first.tell(Outcome(None))
        first.done()
        assert not services.trying
        return dict(services.breakers)

    breakers = world.run(script)
    assert (breakers["claude"].failure, breakers["claude"].limit) == ("", 5)
    reader = Reader.open(world.home.database)
    assert reader is not None
    assert fold(reader.answers(0)) == breakers  # so it is after a restart
    reader.close()


def test_a_program_that_sits_still_because_of_a_limit_tells_of_it(world: World) -> None:
    async def script(engine: Engine) -> tuple[Breaker, float]:
        now = engine.services.now()
        wait = {"seconds": 60.0, "class": FailureClass.RATE_LIMIT, "status": 429}
        ear(engine, "one").hear(Event(EventKind.RETRY, "rate_limit, tries again (1/10)", wait))
        return engine.services.breakers["claude"], now

    breaker, now = world.run(script)
    assert breaker.limit == 4
    assert now + 60 <= breaker.until < now + 120


def test_a_proof_opens_it_again(world: World) -> None:
    async def script(engine: Engine) -> Breaker:
        one = ear(engine, "one")
        one.tell(Outcome(FailureClass.USAGE_LIMIT, "no", engine.services.now() + 3600))
        assert engine.services.is_closed_to("claude")
        assert engine.services.resting() == {"claude"}
        ear(engine, "claude").tell(Outcome(None), proof=True)
        return engine.services.breakers["claude"]

    assert not world.run(script).failure
