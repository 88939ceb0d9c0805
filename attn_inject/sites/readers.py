"""What reads a block's tokens afterwards: is anything used but the prefix tokens?

In the last block of a transformer that pools its class token, a spatial module would change only tokens that
nothing reads, so it would change no output and no gradient.
"""

from __future__ import annotations

from torch import nn

from attn_inject.sites.nodes import ModuleCall, Node

# Layers that act on each token separately.
PER_TOKEN = (nn.LayerNorm, nn.Identity, nn.Dropout)
PER_TOKEN_OPS = frozenset({"add", "mul", "layer_norm", "contiguous", "to", "float", "dropout"})


def grid_is_read(call: ModuleCall, place: int | str | None, prefix: int) -> bool:
    """Whether tokens after the first `prefix` of a block's output reach the model's output.

    Args:
        call: A call of the block.
        place: Which element of its output holds the tokens; None if it is a tensor.
        prefix: Tokens before the grid.
    """
    return call.parent is None or _flows(call.parent, call.results.get(place), prefix, apart=True)


def _flows(call: ModuleCall, start: Node | None, prefix: int, *, apart: bool) -> bool:
    """Whether a node of a call reaches the model's output.

    Args:
        call: The call of the module that holds the block, or of an enclosing one.
        start: The node; None if it is unknown, which counts as read.
        prefix: Tokens before the grid.
        apart: Whether its tokens are still separate, so that taking the prefix leaves the grid unread.
    """
    if start is None:
        return True
    reached = {id(start): apart}
    for user in call.nodes:
        states = [reached[id(item)] for item in user.inputs if id(item) in reached]
        if user is start or not states:
            continue
        if all(states) and _takes_prefix_only(user, prefix):
            continue
        reached[id(user)] = all(states) and _is_per_token(user)
    for place, output in call.output_nodes:
        if id(output) in reached and (
            call.parent is None
            or _flows(call.parent, call.results.get(place), prefix, apart=reached[id(output)])
        ):
            return True
    return False


def _is_per_token(node: Node) -> bool:
    if node.kind == "call":
        return isinstance(node.module, PER_TOKEN)
    return node.name in PER_TOKEN_OPS


def _takes_prefix_only(node: Node, prefix: int) -> bool:
    if node.name != "__getitem__" or not isinstance(node.detail, tuple) or len(node.detail) < 2:
        return False
    index = node.detail[1]
    if isinstance(index, int):
        return 0 <= index < prefix
    return isinstance(index, slice) and index.stop is not None and 0 < index.stop <= prefix
