"""Who reads a block's tokens afterwards: does anything but the prefix of the sequence count?

In the last block of a transformer that pools its class token, a spatial module would change only tokens
that nobody reads: no output and no gradient would ever show it.
"""

from __future__ import annotations

from torch import nn

from attn_inject.blocks.probe import Frame, Node, Recording

# Layers that treat every token by itself.
PER_TOKEN = (nn.LayerNorm, nn.Identity, nn.Dropout)
PER_TOKEN_OPS = frozenset({"add", "mul", "layer_norm", "contiguous", "to", "float", "dropout"})


def grid_is_read(recording: Recording, frame: Frame, prefix: int) -> bool:
    """Whether anything after this call of a block reads tokens behind the first `prefix`."""
    above, node = frame.parent, frame.result
    while above is not None and node is not None:
        if _is_read_in(above, node, prefix):
            return True
        if not _is_returned(above, node):
            return False
        if above.parent is None:
            return True
        above, node = above.parent, above.result
    return True


def _is_returned(frame: Frame, node: Node) -> bool:
    reached = _per_token_closure(frame, node)
    return any(id(output) in reached for _, output in frame.output_nodes)


def _is_read_in(frame: Frame, node: Node, prefix: int) -> bool:
    reached = _per_token_closure(frame, node)
    for user in frame.nodes:
        if id(user) in reached or not any(id(item) in reached for item in user.inputs):
            continue
        if not _takes_prefix_only(user, prefix):
            return True
    return False


def _per_token_closure(frame: Frame, node: Node) -> set[int]:
    """The node and all that was made from it one token at a time."""
    reached = {id(node)}
    for user in frame.nodes:
        if any(id(item) in reached for item in user.inputs) and _is_per_token(user):
            reached.add(id(user))
    return reached


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
