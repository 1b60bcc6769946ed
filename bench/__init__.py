"""What the figures in docs/bench.md were measured with; anyone can measure them again with `make bench`."""
