"""The pipeline, and one file for each thing that a person asks: the only room that calls all others."""
