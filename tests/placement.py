"""Kafka's default placement of keys, written down a second time so that tests do not ask the engine where its own
facts belong.

`partition_of(key, count)` is the Java client's murmur2 placement: `toPositive(murmur2(key)) % count`.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(key: bytes) -> int:
    """The 32-bit murmur2 hash of `key` (unsigned), with the seed that Kafka uses."""
    value = (_SEED ^ len(key)) & _MASK
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        value = (value * _MULTIPLIER & _MASK) ^ word
    rest = key[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _MASK
    value = (value ^ value >> 13) * _MULTIPLIER & _MASK
    return value ^ value >> 15


def partition_of(key: bytes, count: int) -> int:
    """The partition, 0 ≤ p < `count`, where the Java client's default partitioner puts a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % count
