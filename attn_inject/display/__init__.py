"""What people and programs read: tables, documents and notes made from results; does not import torch."""
