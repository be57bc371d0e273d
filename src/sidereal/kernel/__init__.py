"""Floor 1: the face of the compiled kernel; reference is its readable NumPy twin."""
