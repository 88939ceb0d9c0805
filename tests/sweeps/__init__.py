"""Every architecture of timm and torchvision: sites, reasons, proofs. Opt-in: `python -m tests.sweeps`."""
