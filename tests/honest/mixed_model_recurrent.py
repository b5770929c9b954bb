"""An LSTM and a bidirectional GRU stay torch modules, one operator each; the activation is a kernel.

family: mixed policy, recurrent layers
task: recurrent_model
policy: mixed
"""

import torch
import triton
import triton.language as tl
import torch.nn as nn


@triton.jit
def gelu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476)), mask=at < n)


class ModelNew(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)

    def forward(self, x):
        states = torch.zeros(2, x.shape[0], self.lstm.hidden_size, device=x.device)
        x, _ = self.lstm(x, (states, states))
        x = self.gru(x)[0].contiguous()
        out = torch.empty_like(x)
        gelu_kernel[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
        return out
