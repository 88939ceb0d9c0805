"""What attention does in a model: gates, contributions, class maps, pruning."""
