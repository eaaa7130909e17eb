"""What `make bench` runs: how fast the tracker is, beside things everybody can run. Never imported by mailbell."""
