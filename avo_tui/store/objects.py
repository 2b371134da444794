"""The object store: sources, logs, messages and reports, named by their SHA-256.

Objects are compressed on the disk and their hash is checked when they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import zstandard

from avo_tui.domain.base import ObjectId
from avo_tui.store.errors import DamagedSession, MissingObject, clear_errors, unreadable
from avo_tui.store.files import (
    make_private_folder,
    open_regular,
    sync_folder,
    write_temporary,
)

LEVEL = 3
MAX_BYTES = 1 << 30
"""Largest size to which an object is unpacked, because a folder from elsewhere may hold
anything."""

CHUNK = 1 << 20
"""Size of one piece when an object is read in pieces, bytes."""

FRAME_HEADER = 18
"""Most bytes of the header of a compressed object, which may promise its size."""

_ID = re.compile(r"^[0-9a-f]{64}$")


def object_id(data: bytes) -> ObjectId:
    """The name of `data` in the store: its SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class ObjectStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remedy(self, identity: ObjectId) -> str:
        """What a person can do about an object that cannot be read: nothing makes it again."""
        name = self.folder.parent.name
        return (
            f"put objects/{identity[:2]}/{identity[2:12]}… back from a copy of {name} "
            f"(`avo doctor {name}` says what it is)"
        )

    def damaged(self, identity: ObjectId, why: str) -> DamagedSession:
        """The error for an object that is there; `why` goes on after its name."""
        return DamagedSession(f"object {identity[:10]} {why}", self.remedy(identity))

    def path(self, identity: ObjectId) -> Path:
        """The file of an object. Raises KeyError where `identity` is not a SHA-256."""
        if not _ID.fullmatch(identity):
            raise KeyError(identity)
        return self.folder / identity[:2] / identity[2:]

    def put(self, data: bytes | str) -> ObjectId:
        """Store `data`, durable on return.

        An intact object with the same content is not written again.
        """
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        identity = object_id(raw)
        path = self.path(identity)
        with contextlib.suppress(DamagedSession, KeyError):
            self.get(identity)
            return identity
        with clear_errors(path, "write"):
            packed = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(raw)
            shard = path.parent
            if not shard.is_dir():
                make_private_folder(shard)
                sync_folder(self.folder)
            write_temporary(shard, packed).replace(path)
            sync_folder(shard)
        return identity

    def get(self, identity: ObjectId) -> bytes:
        """The content.

        Raises KeyError where it is missing, DamagedSession where it was altered, UnreadableNow.
        """
        return b"".join(self.chunks(identity))

    def chunks(self, identity: ObjectId) -> Iterator[bytes]:
        """The content in pieces, for objects too large for memory. Raises as `get`.

        A wrong hash is known, and raised, only after the last piece.
        """
        path, name = self.path(identity), f"object {identity[:10]}"
        digest, size = hashlib.sha256(), 0
        try:
            with open_regular(path) as file:
                promised = zstandard.frame_content_size(file.peek(FRAME_HEADER))
                for chunk in zstandard.ZstdDecompressor().read_to_iter(file, write_size=CHUNK):
                    size += len(chunk)
                    if max(size, promised) > MAX_BYTES:
                        raise self.damaged(identity, "is larger than any object may be")
                    digest.update(chunk)
                    yield chunk
        except FileNotFoundError:
            raise MissingObject(f"{name} is missing", self.remedy(identity)) from None
        except OSError as error:
            raise unreadable(error, path, name, self.remedy(identity)) from error
        except zstandard.ZstdError as error:
            raise self.damaged(identity, f"is damaged: {error}") from error
        if digest.hexdigest() != identity:
            raise self.damaged(identity, "was altered: its hash is another one")

    def __contains__(self, identity: ObjectId) -> bool:
        return bool(_ID.fullmatch(identity)) and self.path(identity).exists()

    def __iter__(self) -> Iterator[ObjectId]:
        """Identities of all that is there, damaged ones included."""
        if not self.folder.is_dir():
            return
        for shard in sorted(self.folder.iterdir()):
            if shard.is_dir():
                for path in sorted(shard.iterdir()):
                    if _ID.fullmatch(shard.name + path.name):
                        yield shard.name + path.name
