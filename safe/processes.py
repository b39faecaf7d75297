"""Helper processes that do not outlive the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Initializer of a process pool: leave as soon as the parent is gone, even by SIGKILL.

    A worker waits for its next job on a pipe whose other end it holds too, so it would never
    notice by itself.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
