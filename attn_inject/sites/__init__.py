"""Finding: where a model's residual blocks are, what shape they have, and which of them are asked for."""
