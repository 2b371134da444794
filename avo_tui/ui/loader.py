"""Work in threads: done once, or loaded and cached, such as differences, reports, past steps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from textual.app import App
from textual.widget import Widget
from textual.worker import get_current_worker

from avo_tui.ui.text import one_line

T = TypeVar("T")
KEEP = 128


def in_thread(
    node: App[Any] | Widget,
    work: Callable[[], T],
    then: Callable[[T], object] = lambda value: None,
    failed: Callable[[str], object] | None = None,
    *,
    group: str,
) -> None:
    """Do in a thread what may block, then hand what it returns to `then` in the app's loop.

    The sentence of an exception is for the person: it goes to `failed`, or is shown as a notice.
    Another call of the same `group` takes the place of this one, as far as its end is concerned.
    """
    app = node.app

    def tell(text: str) -> None:
        app.notify(one_line(text), severity="error", timeout=10, markup=False)

    def run() -> None:
        worker = get_current_worker()
        try:
            value = work()
        except Exception as error:  # whatever it is, it ends this work and not the app
            call = partial(failed or tell, str(error).strip("'\"") or type(error).__name__)
        else:
            call = partial(then, value)
        if not worker.is_cancelled:
            app.call_from_thread(app.call_later, call)

    node.run_worker(run, thread=True, group=group, exclusive=True, exit_on_error=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """A value that could not be read, with the sentence that says why."""

    reason: str


class Loader:
    """A cache whose `get` returns at once: the value, `Failed`, or None while a thread loads it."""

    def __init__(self, app: App[Any], ready: Callable[[], None]) -> None:
        self._app, self._ready = app, ready
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._pending: set[Hashable] = set()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T | Failed | None:
        """The value of `key`, computed in a thread the first time. `ready` is called then."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]  # type: ignore[no-any-return]
        if key not in self._pending:
            self._pending.add(key)
            in_thread(
                self._app,
                compute,
                partial(self._done, key),
                lambda why: self._done(key, Failed(why)),
                group=f"load {id(self)} {key!r}",  # another screen may load the same for itself
            )
        return None

    def _done(self, key: Hashable, value: Any) -> None:
        self._pending.discard(key)
        self._values[key] = value
        while len(self._values) > KEEP:
            self._values.popitem(last=False)
        self._ready()
