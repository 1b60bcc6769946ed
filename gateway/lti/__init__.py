"""What LTI 1.3 says that a tool and a platform tell each other; no input and no output."""
