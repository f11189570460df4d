"""Every change the program makes to a file system, and nothing else.

This is the only package that opens for writing, renames, syncs, links or unlinks.  Each operation passes the `door`, so a test
can number the operations of a build, end it at the N-th, make that one fail, cut it short or delay it, and keep a log from which a
loss of power is played out.  An OSError passes through as it is: what it means to the user is for the floors above to say.
"""

from __future__ import annotations

from modelbuild.files import door
from modelbuild.files.door import Buffer, Operation
from modelbuild.files.lock import Lock, try_lock
from modelbuild.files.operations import (
    allocate,
    append_line,
    begin_sync,
    exchange,
    link_as,
    make_directory,
    open_append,
    open_new,
    open_sparse,
    random_name,
    remove_tree,
    rename,
    set_mode,
    sync,
    sync_directory,
    touch,
    unlink,
    write_at,
)
from modelbuild.files.whole import UNFINISHED_SECONDS, publish, recover, replace_file, write_atomic, write_new

__all__ = [
    "UNFINISHED_SECONDS",
    "Buffer",
    "Lock",
    "Operation",
    "allocate",
    "append_line",
    "begin_sync",
    "door",
    "exchange",
    "link_as",
    "make_directory",
    "open_append",
    "open_new",
    "open_sparse",
    "publish",
    "random_name",
    "recover",
    "remove_tree",
    "rename",
    "replace_file",
    "set_mode",
    "sync",
    "sync_directory",
    "touch",
    "try_lock",
    "unlink",
    "write_at",
    "write_atomic",
    "write_new",
]
