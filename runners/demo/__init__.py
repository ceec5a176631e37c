"""The demo: two snapshots of what this machine has, audited, with known answers."""
