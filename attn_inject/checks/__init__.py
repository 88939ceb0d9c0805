"""The proofs: what must hold of an operated model before anything is saved, one idea a file."""
