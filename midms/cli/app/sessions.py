"""The visitors of the app, each with a session of their own."""

from __future__ import annotations

import threading
from collections import OrderedDict

from midms.cli.app.session import Session

VISITORS = 16
"""Whose things are kept; of more, those that were away longest lose theirs."""


class Sessions:
    """Visitors' things by their keys."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: str) -> Session:
        """A visitor's things, which are new where there are none."""
        with self._lock:
            session = self._kept.setdefault(key, Session())
            self._kept.move_to_end(key)
            while len(self._kept) > VISITORS:
                self._kept.popitem(last=False)[1].cancelled.set()
            return session

    def close(self, key: str) -> None:
        """A visitor is gone: what runs ends, and nothing is kept."""
        with self._lock:
            if (session := self._kept.pop(key, None)) is not None:
                session.cancelled.set()

    def __len__(self) -> int:
        return len(self._kept)
