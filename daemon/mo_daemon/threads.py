"""Blocking work beside the event loop, that is never left behind.

A cancelled job waits for its thread: otherwise the thread would go on in a worktree that somebody else
already got.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run in a thread of the loop's own pool."""
    return await run_in(None, function, *args, **kwargs)


async def run_in(threads: Executor | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run in a thread of this pool."""
    loop = asyncio.get_running_loop()
    return await to_the_end(loop.run_in_executor(threads, lambda: function(*args, **kwargs)))


async def to_the_end(work: Awaitable[T]) -> T:
    """Await what must not be interrupted; a cancellation takes effect when it is done."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
