"""Trained weights and photographs that come with Python packages, since the tests reach no hub."""
