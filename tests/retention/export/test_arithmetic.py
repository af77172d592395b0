"""What verify.py computes on its own is what the standards and our other code compute."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.export import verify
from retention.records import merkle
from retention.records.canonical import canonical_bytes
from retention.records.errors import ProofRejected

# RFC 8032, 7.1: public key, message, signature.
VECTORS = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
        "f9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
        "f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76098"
        "4dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_signatures_of_rfc_8032_hold_and_no_other(number: int) -> None:
    key, message, signature = (bytes.fromhex(text) for text in VECTORS[number])
    assert verify.ed25519_holds(key, message, signature)
    assert not verify.ed25519_holds(key, message + b"\0", signature)
    for at in (0, 31, 32, 63):
        other = bytearray(signature)
        other[at] ^= 1
        assert not verify.ed25519_holds(key, message, bytes(other))
    s = int.from_bytes(signature[32:], "little") + verify._L
    assert not verify.ed25519_holds(key, message, signature[:32] + s.to_bytes(32, "little"))
    assert not verify.ed25519_holds(key[:31], message, signature)
    assert not verify.ed25519_holds(b"\xff" * 32, message, signature)


@settings(max_examples=20, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), bit=st.integers())
def test_signatures_hold_exactly_when_the_library_says_so(
    seed: bytes, message: bytes, bit: int
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), bytearray(private.sign(message))
    assert verify.ed25519_holds(public, message, bytes(signature))
    signature[bit % 512 // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(public).verify(bytes(signature), message)
    assert not verify.ed25519_holds(public, message, bytes(signature))


LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(40)]


@given(size=st.integers(1, 40), places=st.tuples(st.integers(0, 39), st.integers(1, 40)))
def test_proofs_hold_as_in_the_tree_of_the_records(size: int, places: tuple[int, int]) -> None:
    index, first = places[0] % size, 1 + places[1] % size
    root, old = merkle.tree_root(LEAVES[:size]), merkle.tree_root(LEAVES[:first])
    frontier = verify.Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert frontier.root() == root
    path = merkle.inclusion_proof(LEAVES, index, size)
    assert verify.inclusion_holds(LEAVES[index], index, size, path, root)
    assert not verify.inclusion_holds(LEAVES[index], index + 1, size, path, root)
    assert not verify.inclusion_holds(merkle.leaf_hash(b"other"), index, size, path, root)
    assert not verify.inclusion_holds(LEAVES[index], index, size, [*path, root], root)
    steps = merkle.consistency_proof(LEAVES[:size], first, size)
    assert verify.consistency_holds(first, size, steps, old, root)
    wrong = merkle.leaf_hash(b"other")
    assert not verify.consistency_holds(first, size, steps, wrong, root)
    with pytest.raises(ProofRejected):
        merkle.verify_consistency(first, size, steps, wrong, root)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.text(st.characters(codec="ascii"), max_size=6), inner, max_size=4),
        ),
        max_leaves=12,
    )
)
def test_canonical_bytes_are_those_of_the_records(value: object) -> None:
    try:
        expected = canonical_bytes(value)
    except ValueError:
        return  # a lone surrogate, which has no canonical form
    assert verify.canonical(value) == expected
    assert verify.read_json(expected) == value


@pytest.mark.parametrize(
    "raw", [b"1.5", b"NaN", b'{"a":1,"a":2}', b' {"a":1}', b'{"b":1,"a":2}', b"[" * 100_000,
            b"9" * 30, b'{"\xc3\xa9":1}', b"\xff"],
)  # fmt: skip
def test_json_of_any_other_form_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        verify.read_json(raw)


def test_the_check_needs_the_standard_library_of_python_3_8_and_nothing_else() -> None:
    source = Path(verify.__file__).read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
    }  # fmt: skip
    assert modules <= sys.stdlib_module_names
    later = {"removeprefix", "removesuffix", "bit_count", "is_relative_to", "pairwise"}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not attributes & later


@pytest.mark.parametrize(
    "key", ["01" + "00" * 31, "00" * 32, "ec" + "ff" * 30 + "7f", "00" * 31 + "80"]
)
def test_a_key_under_which_one_signature_fits_many_messages_is_refused(key: str) -> None:
    """Points of small order: R = the neutral point, S = 0 would hold for one message in eight."""
    signature = b"\x01" + bytes(63)
    held = [
        number
        for number in range(64)
        if verify.ed25519_holds(bytes.fromhex(key), str(number).encode(), signature)
    ]
    assert held == []
