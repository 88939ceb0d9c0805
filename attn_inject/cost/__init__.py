"""What a model costs: parameters, flops and activations, counted by fvcore without weights in memory."""
