"""Every architecture that timm and torchvision list: sites, reasons, proofs. Opt-in: `python -m tests.zoo`."""
