"""Errors that the user of a command can mend. A command ends with their message alone; a traceback would bury it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UsageError(ValueError):
    """Something is wrong with what a command was given, or with its surroundings; the message names it and the cure."""


@contextmanager
def explained() -> Iterator[None]:
    """End the process with exit code 1 and the message of a `UsageError`, or with 130 after Ctrl-C.

    Inside `hydra.main`, not around it: Hydra prints a traceback of whatever leaves the function.
    """
    try:
        yield
    except UsageError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what is finished is kept, and the same command goes on from there\n")
        sys.exit(130)


def folder_for(what: str, folder: Path) -> Path:
    """Make `folder`, into which a command will write.

    Raises:
        UsageError: it cannot be made or written to; the message says why, and that `what` names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "no permission"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise UsageError(f"{what}: cannot write to the folder {folder}: {reason}; choose another")
    return folder
