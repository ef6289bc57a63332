"""SIGTERM and SIGINT (Ctrl-C) wait until the state is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """A list that receives SIGTERM and SIGINT instead of their handlers; a second one acts at once.

    Only the main thread may handle signals; in another one the list stays empty.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, handlers[number])

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in handlers:
            signal.signal(number, note)
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def leave(received: list[int]) -> None:
    """Leave as the signal asks: KeyboardInterrupt for Ctrl-C, else the exit status of SIGTERM.

    A process that stops because another one was told to has received nothing.
    """
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    raise SystemExit(128 + signal.SIGTERM)
