"""Where models come from: one file a place, all returning the same `LoadedModel`."""
