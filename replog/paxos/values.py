"""What a slot can hold, and the bytes it is proposed, stored and checked as.

A value is encoded once, by the leader that first proposes it; from then on it travels as bytes with the
crc32c made over them, through the acceptors' disks to the Applier, which alone decodes it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .membership import Membership


class NoOp(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """Fills a gap in the log (P4)."""


class Batch(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Client submissions ordered together.

    Parameters
    ----------
    time_ms: its stamp, milliseconds since the Unix epoch. Log time at a slot is the newest stamp up to there, since a
        leader may have to adopt what an older ballot left above what a newer one chose (P4, P11).
    submissions: opaque submissions in order, each as it left its client.
    """

    time_ms: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    submissions: list[bytes]


SlotValue = NoOp | Batch | Membership


class MalformedValue(Exception):
    """Bytes that are no value of this version."""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SlotValue] = msgspec.msgpack.Decoder(SlotValue)
_MEMBERSHIP_STARTS = frozenset({b"\x94\x02", b"\x95\x02", b"\x96\x02"})
_STARTS = frozenset({b"\x91\x00", b"\x93\x01"}) | _MEMBERSHIP_STARTS
"""An array of exactly the fields that its tag has, and the tag; a Membership's last two may be left out."""


def encode_value(value: SlotValue) -> bytes:
    """Fields of a Membership that came later are left out where they say nothing, so that a value has the bytes that it
    always had."""
    if isinstance(value, Membership) and not value.described:
        fields = (Membership.__struct_config__.tag, value.version, value.voters, value.learners)
        return _encoder.encode((*fields, value.next_node) if value.next_node else fields)
    return _encoder.encode(value)


def decode_value(data: bytes) -> SlotValue:
    """Decode a chosen value; the verdict depends on the bytes alone (see ``apply.submissions.decode_submission``).

    Raises ``MalformedValue`` and nothing else. The bytes' checksum has been verified before, so they are what somebody
    proposed: a forger, or a newer version. They are chosen all the same, and every replica does the same with them.
    """
    if data[:2] not in _STARTS:
        raise MalformedValue("it does not begin as a value of this version does")
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise MalformedValue(str(error)) from error


NO_OP = encode_value(NoOp())
_INTEGER_BYTES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}


def stamp_of(data: bytes) -> int:
    """The ``time_ms`` of a batch, 0 of anything else: read off its first bytes, without decoding the batch."""
    if len(data) < 3 or data[1] != 1:
        return 0
    return data[2] if data[2] < 0x80 else int.from_bytes(data[3 : 3 + _INTEGER_BYTES.get(data[2], 0)], "big")


def decode_membership(data: bytes) -> Membership | None:
    """The Membership in a chosen value, or None: told by the tag, without decoding a batch."""
    if data[:2] not in _MEMBERSHIP_STARTS:
        return None
    try:
        value = decode_value(data)
    except MalformedValue:
        return None
    assert isinstance(value, Membership), type(value)
    return value
