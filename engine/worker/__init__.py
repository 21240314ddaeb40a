"""The running engine around the pure core: intake, partitions, commit, clock, definitions (DESIGN.md 4, 7, 8)."""
