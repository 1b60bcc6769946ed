"""Where every enrolled student stands on the way to a plan."""
