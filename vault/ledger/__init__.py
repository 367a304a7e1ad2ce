"""The audit ledger: append-only, a Merkle tree over its entries, signed checkpoints. Begin with `vault.ledger.ledger`."""
