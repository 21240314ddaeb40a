"""Keys of contacts, and the partition that each belongs in (DESIGN.md 3)."""

from __future__ import annotations

DEFAULT_WORKSPACE = "default"
_DEFAULT_PREFIX = b"\x07default"


def store_key(workspace: str, contact: str) -> bytes:
    """The key in stores: the workspace's length in one byte, the workspace, the contact (UTF-8)."""
    if workspace == DEFAULT_WORKSPACE:
        return _DEFAULT_PREFIX + contact.encode()
    name = workspace.encode()
    return bytes((len(name),)) + name + contact.encode()


def split_key(key: bytes) -> tuple[str, str]:
    """Workspace and contact of a store key."""
    end = 1 + key[0]
    return key[1:end].decode(), key[end:].decode()


def wire_key(workspace: str, contact: str) -> bytes:
    """The Kafka key: the contact, with `workspace/` in front when it is not the default one."""
    return contact.encode() if workspace == DEFAULT_WORKSPACE else f"{workspace}/{contact}".encode()


def murmur2(data: bytes) -> int:
    """The 32-bit hash of the Java client's default partitioner."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[whole:]:
        h = ((h ^ int.from_bytes(rest, "little")) * m) & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition number of a Kafka key, as the Java client places it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
