"""What a plan is begun with."""
