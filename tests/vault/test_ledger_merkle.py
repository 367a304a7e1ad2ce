"""The Merkle tree against Certificate Transparency's published vectors, and against the definition of RFC 6962 word by word."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.ledger.hashes import nodes_before, place_of
from vault.ledger.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    extend,
    inclusion_proof,
    leaf_hash,
    root_of_peaks,
    verify_consistency,
    verify_inclusion,
)

# The inputs and results of certificate-transparency's merkle_tree_test.cc, which every implementation since is held to.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
GROWTHS = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


class Nodes:
    """The nodes of a tree, kept as `tree.hashes` keeps them."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.peaks: list[bytes] = []
        self.made = extend(self.peaks, 0, [leaf_hash(data) for data in leaves])

    def __call__(self, level: int, index: int) -> bytes:
        return self.made[place_of(level, index)]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return hashlib.sha256(b"\1" + defined_root(leaves[:middle]) + defined_root(leaves[middle:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root_of_peaks(Nodes(INPUTS[:size]).peaks).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of_peaks([]) == EMPTY_ROOT


@pytest.mark.parametrize(("at", "path"), PATHS.items())
def test_audit_paths_are_those_of_certificate_transparency(at: tuple[int, int], path: list[str]) -> None:
    index, size = at
    found = inclusion_proof(Nodes(INPUTS), index, size)
    assert [node.hex() for node in found] == path
    assert verify_inclusion(leaf_hash(INPUTS[index]), index, size, found, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("sizes", "path"), GROWTHS.items())
def test_consistency_paths_are_those_of_certificate_transparency(sizes: tuple[int, int], path: list[str]) -> None:
    first, second = sizes
    found = consistency_proof(Nodes(INPUTS), first, second)
    assert [node.hex() for node in found] == path
    assert verify_consistency(first, second, bytes.fromhex(ROOTS[first - 1]), bytes.fromhex(ROOTS[second - 1]), found)


@given(st.integers(1, 70), st.data())
def test_proofs_of_any_tree_hold_and_none_of_its_neighbours_does(size: int, data: st.DataObject) -> None:
    leaves = [bytes([number]) for number in range(size)]
    nodes = Nodes(leaves)
    root = defined_root(leaves)
    assert root_of_peaks(nodes.peaks) == root
    assert len(nodes.made) == nodes_before(size)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(nodes, index, size)
    leaf = leaf_hash(leaves[index])
    assert verify_inclusion(leaf, index, size, path, root)
    assert not verify_inclusion(leaf_hash(b"another"), index, size, path, root)
    assert not verify_inclusion(leaf, index, size, [*path, root], root)
    assert not any(verify_inclusion(leaf, other, size, path, root) for other in range(-1, size + 1) if other != index)
    first = data.draw(st.integers(0, size))
    old = defined_root(leaves[:first])
    growth = consistency_proof(nodes, first, size)
    assert verify_consistency(first, size, old, root, growth)
    assert not verify_consistency(first, size, old, root, [*growth, root])
    if 0 < first < size:
        assert not verify_consistency(first, size, root, root, growth)
        assert not verify_consistency(first, size, old, old, growth)
        assert not verify_consistency(first, size, old, root, growth[:-1])
