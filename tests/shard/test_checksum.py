"""Checksums are BLAKE3; a shard with another algorithm is refused."""

import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli._native import Checksum
from omnimouse_cli.errors import LaterVersionError, ShardError
from omnimouse_cli.shard import open_shard
from omnimouse_cli.shard.checksum import compute_checksum, require_known_algorithm
from omnimouse_cli.shard.description import to_json
from omnimouse_cli.shard.verify import verify_shard


def rewritten(shard, algorithm, take, *, of_tensors=None):
    """Write the checksums that `take` computes, under the name of `algorithm`, into the shard."""
    raw = shard.path.read_bytes()
    start = shard.header.data_start
    tensors = {
        name: f"{of_tensors or algorithm}:{take(raw[start + e.first_byte : start + e.last_byte])}"
        for name, e in shard.header.tensors.items()
    }
    head = raw[8:start].decode().rstrip()
    before = to_json(shard.description)
    after = to_json(replace(shard.description, checksums=tensors))
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (before, after)]
    assert head.count(quoted[0]) == 1
    zeros = f"{algorithm}:{'0' * 32}"
    head = re.sub(r'"checksum":"[^"]*"', f'"checksum":"{zeros}"', head.replace(*quoted), count=1)
    plain = raw[:8] + head.ljust(start - 8).encode()
    assert len(plain) == start
    plain = plain.replace(zeros.encode(), f"{algorithm}:{take(plain)}".encode(), 1)
    shard.path.write_bytes(plain + raw[start:])


def blake3(data):
    return compute_checksum(data).removeprefix("blake3-128:")


def blake2b(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@pytest.mark.parametrize(
    ("num_bytes", "digits"),
    [
        # The beginnings of BLAKE3's published test vectors.
        (0, "af1349b9f5f9a1a6a0404dea36dcc949"),
        (1024, "42214739f095a406f3fc83deb889744a"),
        (102_400, "bc3e3d41a1146b069abffad3c0d44860"),
    ],
)
def test_the_checksum_is_the_published_one(num_bytes, digits):
    data = bytes(place % 251 for place in range(num_bytes))
    assert compute_checksum(data) == f"blake3-128:{digits}"


@given(pieces=st.lists(st.binary(max_size=3000), max_size=9))
def test_pieces_have_the_checksum_of_the_whole(pieces):
    checksum = Checksum()
    for piece in pieces:
        checksum.update(piece)
    assert compute_checksum(b"".join(pieces)) == f"blake3-128:{checksum.hexdigest()}"
    assert checksum.digest().hex() == checksum.hexdigest()


def test_digits_under_the_name_of_another_algorithm_are_refused(make_recording, converted):
    shard = converted(make_recording())
    rewritten(shard, "blake3-128", blake2b)
    with pytest.raises(ShardError, match="its header does not match its checksum"):
        open_shard(shard.path)


@pytest.mark.parametrize("algorithm", ["sha9-128", "blake2b-128"])
def test_an_unknown_algorithm_is_named(make_recording, converted, algorithm):
    shard = converted(make_recording())
    rewritten(shard, algorithm, blake2b)
    with pytest.raises(LaterVersionError, match=rf"of the kind `{algorithm}`; .* blake3-128") as at:
        open_shard(shard.path)
    assert at.value.hint == "install a newer omnimouse, or preprocess into another folder"


def test_an_unknown_algorithm_of_a_tensor_is_named(make_recording, converted):
    shard = converted(make_recording())
    rewritten(shard, "blake3-128", blake3, of_tensors="sha9-128")
    with pytest.raises(LaterVersionError, match="of the kind `sha9-128`"):
        verify_shard(shard.path, lambda _count: None)


def test_the_algorithm_stands_in_front_of_the_digits(tmp_path):
    require_known_algorithm("blake3-128:00", tmp_path)


@pytest.mark.parametrize(
    "text", ["", ":00", "sha9", "sha9:", "sha9:0G", "SHA9:00", f"{'s' * 33}:00"]
)
def test_what_is_no_checksum_is_damage_and_no_later_version(tmp_path, text):
    with pytest.raises(ShardError, match=r"is damaged: .* not written `algorithm:hex`") as caught:
        require_known_algorithm(text, tmp_path)
    assert not isinstance(caught.value, LaterVersionError)
