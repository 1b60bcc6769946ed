"""What leaves the gateway as files: a district as a whole, and its roster as a OneRoster package."""
