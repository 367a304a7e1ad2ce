"""The door: clips and pictures out of the vault."""
