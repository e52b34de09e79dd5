"""The daemon's process: one per repository, by a lock; signals, schedule, watch, and the engine.

Started by `mo do` and friends when needed, by a service manager, or in the foreground (`mo daemon run`).
A second start while one runs is harmless: it ends with code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from mo_daemon import containment, leftovers, quota, roster
from mo_daemon.engine import Engine
from mo_daemon.provision import Provisioner
from mo_daemon.sandbox.lookout import Lookout
from mo_daemon.services import Services
from mo_daemon.watch import Watch
from mo_daemon.worktrees import Pool
from mo_git import __version__, config, config_layers, process, trust
from mo_git.errors import Exit, MoError
from mo_git.git.binary import check_supported
from mo_git.git.layout import discover
from mo_git.git.merge import Merger
from mo_git.git.repo import Repo
from mo_git.home import Home, state_dir
from mo_git.ledger.writer import Ledger, LedgerFull
from mo_git.model import Kind

log = logging.getLogger("mo")

END_SECONDS = 10.0  # how long running attempts may take to end after SIGTERM
LOG_BYTES = 10 * 1024 * 1024
DAY = 86400.0
QUOTA_FACTS = 100  # that are looked at for what was told last of each subscription
GIT_THREADS = 2 * max(2, min(os.cpu_count() or 2, 8)) + 2  # half of them at most for starting tasks


def main() -> int:
    """Entry point of `python -m mo_daemon.main --top DIR`."""
    parser = argparse.ArgumentParser(prog="mo-daemon")
    parser.add_argument("--top", type=Path, required=True, help="root of the main worktree")
    parser.add_argument("--foreground", action="store_true", help="log to the terminal")
    parser.add_argument("--isolation", action="store_true", help="print what would contain agents; no more")
    options = parser.parse_args()
    try:
        return _print_isolation(options.top) if options.isolation else _serve(options.top)
    except MoError as error:
        print("mo-daemon: error: " + json.dumps(error.document()), file=sys.stderr, flush=True)
        return int(error.code)


def _print_isolation(top: Path) -> int:
    """Probe as the daemon would, and print the outcome as JSON."""
    layout = discover(top)
    home = Home(layout.top, layout.common_dir)
    environ = process.without_git_variables(os.environ)
    settings = load_settings(home, environ).config
    state = state_dir(home.common_dir, environ, settings.workspace.root_dir)
    tier = containment.contain(home, state, settings, environ).tier
    document = {"tier": tier.name, "reason": tier.reason, "remedy": tier.remedy, "version": tier.version}
    print(json.dumps(document))
    return 0


def _serve(top: Path) -> int:
    layout = discover(top)
    check_supported(layout)
    home = Home(layout.top, layout.common_dir)
    home.create()
    lock = _lock(home)
    if lock is None:
        print("mo-daemon: already running", file=sys.stderr)
        return 0
    environ = process.without_git_variables(os.environ)
    loaded = load_settings(home, environ)
    logging.basicConfig(
        stream=sys.stderr,
        level=loaded.config.log.level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    process.become_subreaper()
    with ThreadPoolExecutor(GIT_THREADS, "git") as threads:
        asyncio.run(_run(home, lock, environ, loaded, threads))
    return 0


def _lock(home: Home) -> IO[str] | None:
    """The lock that makes this the only daemon; held until the process ends."""
    try:
        lock = home.lock_file.open("a")
    except OSError as error:
        hint = f"make {home.path} and what is in it writable"
        raise MoError(f"cannot write {home.lock_file}: {error.strerror}", hint, Exit.CONFIG) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _holds(home: Home, lock: IO[str]) -> bool:
    """Whether the lock is still the one in `.mo/`: without that, a second daemon could start."""
    try:
        return os.path.samestat(home.lock_file.stat(), os.fstat(lock.fileno()))
    except OSError:
        return False


def load_settings(home: Home, environ: Mapping[str, str]) -> config.Loaded:
    """The configuration in force; commands of a tracked, untrusted file do not count and are named."""
    judge = trust.judge(home.common_dir, trust.tracked(home.top), environ=environ)
    loaded = config.load(home.path, environ=environ, trusted=judge)
    if loaded.untrusted:
        log.warning(
            "not trusted, left out: %s (mo trust shows and accepts them)", ", ".join(loaded.untrusted)
        )
    return loaded


async def _run(
    home: Home,
    lock: IO[str],
    environ: Mapping[str, str],
    loaded: config.Loaded,
    threads: ThreadPoolExecutor,
) -> None:
    loop = asyncio.get_running_loop()
    ledger = Ledger(home.database)
    services = make_services(home, environ, loaded, ledger, threads)
    leftovers.end_programs(ledger, services.state)
    leftovers.drop_locks(services.repo, loaded.config.git.branch_prefix)
    token = leftovers.OWN + services.token()
    ledger.program_starting(token, "git of the daemon", time.time())
    os.environ[process.MARKER] = token
    me = process.identify(os.getpid())
    assert me is not None
    about = {
        "v": 1,
        "pid": me.pid,
        "start": me.start,
        "boot": me.boot,
        "version": __version__,
        "web": None,
        **_tiers(services),
        "executor": "local",
        "started_at": time.time(),
        "settings": config_layers.fingerprint(environ),
    }

    def reload() -> None:
        loaded = load_settings(home, environ)
        services.settings = loaded.config
        services.provisioner = make_provisioner(home, services.state, services.settings)
        services.agents = roster.make_agents(loaded.config)
        services.routes = roster.make_routes(loaded, environ, services.ledger)
        services.containment = containment.contain(home, services.state, loaded.config, environ)
        about.update(_tiers(services))
        home.write_daemon(about)

    engine = Engine(services, about, reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.stop)

    def look() -> None:
        loop.call_soon_threadsafe(engine.look)

    watch = Watch(home.inbox, look)
    watch.ensure()
    scheduler = _schedule(engine, watch, home)
    home.write_daemon(about)
    _notify("READY=1")
    log.info("mo %s, pid %d, for %s", __version__, me.pid, home.top)
    try:
        await engine.run(lambda: services.settings.daemon.idle_minutes * 60, lambda: _holds(home, lock))
    finally:
        _notify("STOPPING=1")
        engine.stop()
        scheduler.shutdown(wait=False)
        watch.stop()
        await engine.end_jobs(END_SECONDS)
        with suppress(MoError):
            ledger.program_ended([token])
        ledger.close()
        if (home.read_daemon() or {}).get("pid") == me.pid:  # else it belongs to the next one already
            home.daemon_file.unlink(missing_ok=True)
        log.info("ended")


def _tiers(services: Services) -> dict[str, str]:
    """What the machine can give, and what is around gates."""
    contained = services.containment
    return {"isolation": contained.tier.name, "gates": contained.tier.name if contained.gates else "guard"}


def make_services(
    home: Home,
    environ: Mapping[str, str],
    loaded: config.Loaded,
    ledger: Ledger,
    threads: ThreadPoolExecutor,
) -> Services:
    settings = loaded.config
    state = state_dir(home.common_dir, environ, settings.workspace.root_dir)
    state.mkdir(parents=True, exist_ok=True)
    repo = Repo(home.common_dir, top=home.top)
    goals = {spec.id: ledger.status(spec) for spec in ledger.current_goals()}
    return Services(
        home=home,
        repo=repo,
        state=state,
        environ=environ,
        settings=settings,
        merger=Merger(repo, state / "merge"),
        pool=Pool(repo, state / "tasks"),
        ledger=ledger,
        record=lambda _facts, durable=False: [],
        goals=goals,
        now=time.time,
        token=lambda: secrets.token_hex(8),
        jitter=random.random,
        threads=threads,
        gate_turns=asyncio.Semaphore(settings.gate.parallel),
        start_turns=asyncio.Semaphore(GIT_THREADS // 2),
        provisioner=make_provisioner(home, state, settings),
        agents=roster.make_agents(loaded.config),
        routes=roster.make_routes(loaded, environ, ledger),
        quotas=quota.windows(ledger.newest([Kind.QUOTA], QUOTA_FACTS)),
        containment=containment.contain(home, state, settings, environ),
        lookout=Lookout(repo, state, home.path / "runs"),
    )


def make_provisioner(home: Home, state: Path, settings: config.Config) -> Provisioner:
    workspace = settings.workspace
    return Provisioner(
        main_top=home.top,
        common_dir=home.common_dir,
        cache_dir=state / "cache",
        setup=workspace.setup,
        teardown=workspace.teardown,
        timeout=workspace.setup_timeout,
    )


def _schedule(engine: Engine, watch: Watch, home: Home) -> AsyncIOScheduler:
    """Housekeeping by the clock; jobs only ask and tidy, they never do a goal's work."""
    scheduler = AsyncIOScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    services = engine.services

    def tidy() -> None:
        keep = services.settings.log.keep_days * DAY
        with suppress(LedgerFull):
            services.ledger.forget_before(time.time() - keep)
        _rotate(home.log_file)

    async def every_hour() -> None:
        tidy()

    async def every_ten_seconds() -> None:
        watch.ensure()
        _notify("WATCHDOG=1")

    scheduler.add_job(every_hour, "interval", hours=1)
    scheduler.add_job(every_ten_seconds, "interval", seconds=10)
    scheduler.start()
    return scheduler


def _rotate(file: Path) -> None:
    """One older log beside the current one; the writer appends, so truncating in place is safe."""
    try:
        if file.stat().st_size > LOG_BYTES:
            file.with_suffix(".log.1").write_bytes(file.read_bytes())
            os.truncate(file, 0)
    except OSError as error:
        log.warning("cannot rotate %s: %s", file, error)


def _notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Tell a service manager (sd_notify(3)); nothing where there is none."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.debug("cannot notify the service manager: %s", error)


if __name__ == "__main__":
    sys.exit(main())
