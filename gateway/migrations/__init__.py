"""The schema's history: one file a step, applied by the owner role."""
