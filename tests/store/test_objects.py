"""Content-addressed objects."""

import hashlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.store.errors import DamagedSession
from avo_tui.store.objects import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    (tmp_path / "objects").mkdir()
    return ObjectStore(tmp_path / "objects")


@given(data=st.binary(max_size=500))
def test_what_is_put_comes_back(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "shared-objects"
    folder.mkdir(exist_ok=True)
    store = ObjectStore(folder)
    identity = store.put(data)
    assert identity == hashlib.sha256(data).hexdigest()
    assert store.get(identity) == data
    assert identity in store


def test_equal_content_is_stored_once_and_compressed(store: ObjectStore) -> None:
    text = "the same line\n" * 10_000
    identity = store.put(text)
    inode = store.path(identity).stat().st_ino
    assert store.put(text.encode()) == identity
    assert store.path(identity).stat().st_ino == inode
    assert store.path(identity).stat().st_size < len(text) / 50
    assert list(store) == [identity]


def test_any_altered_byte_is_found(store: ObjectStore) -> None:
    identity = store.put(b"int main() { return 0; }")
    path = store.path(identity)
    good = path.read_bytes()
    for i in range(len(good)):
        path.write_bytes(good[:i] + bytes([good[i] ^ 0x10]) + good[i + 1 :])
        try:
            # a bit of the frame's header may be without meaning; then the content is right
            assert store.get(identity) == b"int main() { return 0; }"
        except DamagedSession as error:
            assert identity[:10] in str(error) and "\n" not in str(error)
    for i in range(len(good)):
        path.write_bytes(good[:i])
        with pytest.raises(DamagedSession):
            store.get(identity)


def test_another_object_in_its_place_is_found(store: ObjectStore) -> None:
    one, other = store.put("one"), store.put("other")
    store.path(one).write_bytes(store.path(other).read_bytes())
    with pytest.raises(DamagedSession, match="its hash is another one"):
        store.get(one)


def test_putting_again_heals(store: ObjectStore) -> None:
    identity = store.put("text")
    store.path(identity).write_bytes(b"")
    assert store.put("text") == identity
    assert store.get(identity) == b"text"


def test_an_object_that_claims_a_huge_size_is_not_unpacked(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.store.objects.MAX_BYTES", 1000)
    identity = store.put(b"\0" * 5000)
    with pytest.raises(DamagedSession, match="larger than any object"):
        store.get(identity)
    # the size may also be left unsaid
    stream = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 5000)
    store.path(identity).write_bytes(stream)
    with pytest.raises(DamagedSession):
        store.get(identity)


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_identity_is_a_key_error(store: ObjectStore, bad: str) -> None:
    assert bad not in store
    with pytest.raises(KeyError):
        store.get(bad)
    with pytest.raises(KeyError):
        store.get("0" * 64)
