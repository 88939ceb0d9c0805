"""The only room that edits a model: one block at a time, with torch.fx, never the whole model."""
