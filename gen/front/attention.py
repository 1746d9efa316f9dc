"""nn.MultiheadAttention, opened: its sums and products written as operators that can be followed.

torch moves the batch between other axes inside the module, and in eval mode may call one operator
for all of it. While a model is exported, each such module computes the same, the batch in front.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import nn
from torch.nn import functional as F


@contextmanager
def opened(model: nn.Module) -> Iterator[None]:
    """Let every nn.MultiheadAttention compute as :func:`attend` does, and put it back."""
    modules = [m for m in model.modules() if isinstance(m, nn.MultiheadAttention)]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for module in modules:
            module.forward = MethodType(attend, module)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module in modules:
            vars(module).pop("forward", None)


def attend(
    self: nn.MultiheadAttention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_padding_mask: torch.Tensor | None = None,
    need_weights: bool = True,
    attn_mask: torch.Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """softmax(q kᵀ/√d + mask) v of each head, the batch first."""
    if not self.batch_first:
        raise ValueError("nn.MultiheadAttention needs batch_first=True")
    if key_padding_mask is not None or self.bias_k is not None or self.add_zero_attn or is_causal:
        raise ValueError("nn.MultiheadAttention with padding, added keys or a causal mask")
    if self.in_proj_weight is None:
        weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
    else:
        weights = self.in_proj_weight.chunk(3)
    biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
    q, k, v = (
        F.linear(x, w, b).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores + attn_mask
    shares = torch.softmax(scores, dim=-1)
    found = self.out_proj((shares @ v).transpose(1, 2).flatten(2))
    if not need_weights:
        return found, None
    return found, shares.mean(1) if average_attn_weights else shares
