"""What follows a failed attempt of an item: when it is tried again, or why not.

As for tasks, by the class of the failure.  What the provider is to blame for has the limit of all retries,
and takes nothing from the few attempts that an item has.
"""

from __future__ import annotations

from mo_daemon.classify import PASSING, GiveUp, TryAgain, next_step
from mo_daemon.paid_run import retry_settings
from mo_daemon.services import Services
from mo_git.ledger.items import ItemRow
from mo_git.model import FailureClass

_UNCOUNTED = frozenset({FailureClass.LOST, FailureClass.SETUP_FAILED, FailureClass.CROWDED})
_PROVIDERS = PASSING | {FailureClass.RATE_LIMIT, FailureClass.USAGE_LIMIT}


def what_follows(
    services: Services, row: ItemRow, failure: FailureClass, reason: str, stated: float | None = None
) -> TryAgain | GiveUp:
    """`stated`: when the provider said that it would work again (epoch seconds)."""
    settings, earlier = services.settings, row.failures.split()
    passes = failure in _PROVIDERS
    same = [name for name in earlier if name not in _UNCOUNTED and (name in _PROVIDERS) == passes]
    own = row.item.max_attempts or settings.simple.max_attempts
    agent = services.agents.get(row.provider)
    return next_step(
        failure,
        reason,
        earlier,
        retry_settings(services),
        attempts=len(same) + 1,
        max_attempts=settings.retry.max_attempts if passes else own,
        can_rework=agent is not None and agent.can_rework,
        now=services.now(),
        jitter=services.jitter(),
        stated=stated,
    )
