"""Plans opened for a grade or a school at once."""
