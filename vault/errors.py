"""The one tree of exceptions. Third-party exceptions are turned into these in the module that wraps the library.

StreamvaultError            exit 1
├── UsageError              exit 2   the call itself is wrong: an unknown option, a bad time, a range turned round
│   └── ConfigError         exit 2   a configuration file or CSV says something we do not know
├── NotFound                exit 3   no such camera, no footage in the range
├── Refused                 exit 4   asked for something that is not allowed (a format, a peer, a range)
├── Busy                    exit 5   another process holds what we need; retryable
├── SourceError             exit 6   a camera or server does not answer as it should; retryable
│   └── SourceRefused       exit 6   it answered, and what it says will not get better by itself (401, unsupported)
│       └── SourceDenied    exit 6   it answered with a no that may be a yes in a while (404, 453, 503); retryable
├── StoreError              exit 7   an object store or the spool does not do what was asked; retryable
│   ├── StoreFull           exit 7   no space
│   ├── Unreadable          exit 7   the medium does not give one file's bytes (EIO); whether more is wrong with it is not known yet
│   └── StoreMoved          exit 7   another store stands where it was opened: a mount came or went; to be opened anew
├── Damaged                 exit 8   bytes are not what they should be: torn file, wrong hash, foreign format
│   └── TooNew              exit 8   written by a newer version of this program, which can read it
└── FencedOut               exit 9   this process lost the camera to another; whatever it holds must not be committed

A message says what we were doing, with which ids, and what to do. It never holds a password.
"""

from __future__ import annotations


class StreamvaultError(Exception):
    """Root of every error we raise on purpose. `exit_code` is what the command line ends with."""

    exit_code = 1
    retryable = False


class UsageError(StreamvaultError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class NotFound(StreamvaultError):
    exit_code = 3


class Refused(StreamvaultError):
    exit_code = 4


class Busy(StreamvaultError):
    exit_code = 5
    retryable = True


class SourceError(StreamvaultError):
    exit_code = 6
    retryable = True


class SourceRefused(SourceError):
    retryable = False


class SourceDenied(SourceRefused):
    retryable = True


class StoreError(StreamvaultError):
    exit_code = 7
    retryable = True


class StoreFull(StoreError):
    pass


class Unreadable(StoreError):
    pass


class StoreMoved(StoreError):
    pass


class Damaged(StreamvaultError):
    exit_code = 8


class TooNew(Damaged):
    pass


class FencedOut(StreamvaultError):
    exit_code = 9
