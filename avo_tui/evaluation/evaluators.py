"""Selects the evaluator of a session: this machine, or devices named by URLs.

A scheme is a `SiteDescriptor` (`workers/ports.py`): one line in `SITES`, or an installed plug-in.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from avo_tui.devices import OwnSensors
from avo_tui.domain.device import DeviceState
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.domain.workers import WorkerStatus
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evaluation.workers.evaluator import Evaluator
from avo_tui.evaluation.workers.fleet import Fleet
from avo_tui.evaluation.workers.link import WEAK, WorkerGoneError, worker_here
from avo_tui.evaluation.workers.machine import split_devices
from avo_tui.evaluation.workers.members import Standing
from avo_tui.evaluation.workers.ports import Site, SiteDescriptor, SiteRequest
from avo_tui.plugins import PluginError, Registry


class LocalEvaluator(Evaluator):
    """One warm worker on this machine, started again when it dies."""

    def __init__(
        self,
        *,
        kernels: Path | None = None,
        allow_weak_sandbox: bool = False,
        task: str | None = None,
        architecture: str | None = None,
    ) -> None:
        """`task`: what `start()` warms the worker for.

        `allow_weak_sandbox`: evaluate also where this machine cannot confine a candidate.

        `architecture`: what CUDA is compiled for instead of the device's own, such as `sm_100a`.
        """
        options = [WEAK] if allow_weak_sandbox else []
        options += ["--kernels", str(kernels)] if kernels is not None else []
        options += ["--arch", architecture] if architecture is not None else []
        self._link = worker_here(options)
        self._task = task
        self._sensors = OwnSensors()
        self._standing = Standing("local")

    async def start(self) -> None:
        """Starts the worker, and warms it for the task if one was named."""
        who = await self._link.hello()
        self._standing.host = str(who.get("host", ""))
        if self._task is not None:
            await self._link.request({"op": "warm", "task": self._task})

    async def close(self) -> None:
        await self._link.close()

    async def rest(self) -> None:
        await self._link.rest()

    async def devices(self) -> tuple[DeviceState, ...]:
        """Asked in this process, also while the worker rests."""
        return await asyncio.to_thread(self._sensors.sample)

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        standing = self._standing
        standing.work_on(body)

        def see(now: EvaluationProgress) -> None:
            standing.hear(now)
            if progress is not None:
                progress(now)

        try:
            answer = await self._link.request(body, see)
        except WorkerGoneError as error:
            standing.lose(str(error))
            raise
        except EvaluatorError:
            standing.failures += 1
            raise
        finally:
            if standing.state == "busy":
                standing.become("idle")
        standing.answered += 1
        if isinstance(answer, dict):
            standing.failures += answer.get("verdict") == Verdict.HARNESS_ERROR
            standing.model = str(answer.get("device") or standing.model)
        return answer

    def workers(self) -> tuple[WorkerStatus, ...]:
        return (self._standing.status(),)


LOCAL, SPOOL = "local", "spool"
NO_TORCH = (
    "measuring needs torch, which is not installed beside avo-tui: pip install torch (where there "
    "is no GPU, its build for processors is far smaller: pytorch.org/get-started); watching, "
    "replay and reports do without"
)
SITES = Registry(
    "avo_tui.evaluators",
    "evaluator",
    SiteDescriptor,
    lambda site: site.scheme,
    {LOCAL: "avo_tui.evaluation.workers.machine", "ssh": "avo_tui.evaluation.workers.ssh"},
)


def check_evaluator(settings: RunSettings, kind: str) -> None:
    """Raises ValueError for an evaluator or devices that nothing here serves.

    `kind` is the device of the task, `cuda` or `cpu`.
    """
    if _spool(settings, "", "", False) is None:
        _sites(settings, "", kind)


def with_absolute_paths(evaluator: str) -> str:
    """URLs of evaluators as they are kept with a session, which is resumed from other folders."""

    def absolute(text: str) -> str:
        url = urlsplit(text)
        query = parse_qsl(url.query, keep_blank_values=True)
        settled = [
            (k, str(Path(v).expanduser().absolute()) if k == "config" and v != "none" else v)
            for k, v in query
        ]
        if settled != query:
            url = url._replace(query=urlencode(settled, safe="/,:~"))
        if url.scheme == SPOOL and url.path and not url.netloc:
            url = url._replace(path=quote(str(Path(unquote(url.path)).expanduser().absolute())))
            return f"{SPOOL}:{url._replace(scheme='').geturl()}"
        return url.geturl() if settled != query else text

    return " ".join(map(absolute, evaluator.split()))


def make_evaluator(
    settings: RunSettings, task: str, session: str = "", begins: bool = False
) -> Evaluator:
    """The evaluator of a session: one worker on this machine, or the devices its settings name.

    `session` is the same for each engine of a session, and for no other's; `begins`: it has no
    version yet. Raises ValueError for a
    URL that nothing serves, and for devices that cannot be.
    """
    spool = _spool(settings, task, session or secrets.token_hex(8), begins)
    if spool is not None:
        return spool
    if settings.evaluator in (None, LOCAL) and settings.devices is None:
        allow_weak = settings.options.get("allow_weak_sandbox") is True
        return LocalEvaluator(task=task, allow_weak_sandbox=allow_weak)
    tasks = find_tasks()
    kind = tasks.info(task).device if task in tasks.names else "cpu"
    return Fleet(_sites(settings, task, kind))


def _spool(settings: RunSettings, task: str, session: str, begins: bool) -> Evaluator | None:
    """The evaluator that waits at a folder; None where the settings name another."""
    urls = (settings.evaluator or "").split()
    if not any(urlsplit(text).scheme == SPOOL for text in urls):
        return None
    if len(urls) > 1 or settings.devices is not None:
        raise ValueError(
            "--evaluator spool:FOLDER stands alone: workers say which devices they use when they "
            "are started"
        )
    url = urlsplit(urls[0])
    wanted = SiteRequest(task, "", query=dict(parse_qsl(url.query, keep_blank_values=True)))
    from avo_tui.evaluation.workers.spool import make_spool  # as the modules of `SITES`

    return make_spool(url, wanted, settings, session, begins)


def _sites(settings: RunSettings, task: str, kind: str) -> list[Site]:
    urls = (settings.evaluator or LOCAL).split()
    if settings.devices is not None and len(urls) > 1:
        raise ValueError(
            "--devices belongs to one evaluator; with several, write the devices of each into its "
            "URL, such as ssh://node7?devices=0,1"
        )
    return [_site(text, settings, task, kind) for text in urls]


def _site(text: str, settings: RunSettings, task: str, kind: str) -> Site:
    url = urlsplit(text if ":" in text else f"{text}:")
    if url.scheme not in SITES.names() and url.scheme not in SITES.missing():
        raise ValueError(
            f"--evaluator {text}: {url.scheme!r} is no scheme of an evaluator; there is "
            f"{', '.join((*SITES.names(), SPOOL))}; leave the option out to measure on this machine"
        )
    try:
        site = SITES.get(url.scheme)
    except PluginError as error:
        raise ValueError(f"--evaluator {text}: {error}") from error
    _check_port(url)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    named = settings.devices if settings.devices is not None else query.get("devices")
    weak = settings.options.get("allow_weak_sandbox") is True
    wanted = SiteRequest(
        task=task,
        kind=kind,
        devices=tuple(split_devices(named, kind)) if named is not None else ("",),
        query=query,
        worker_options=(WEAK,) if weak else (),
    )
    return site.make(url, wanted)


def _check_port(url: SplitResult) -> None:
    try:
        _ = url.port
    except ValueError:
        raise ValueError(
            f"--evaluator {url.geturl()}: what follows the last colon is no port; write a number"
            " from 1 to 65535"
        ) from None
