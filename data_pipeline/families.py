"""Operator families of harvested tasks, by words in their names. Splits are made by family."""

import re

FAMILIES = (
    (r"attn|attention|mla|sdpa|delta|gla|retention|rwkv|mamba|ssd|titans|ttt|hgrn|nsa|based|abc|comba|kda|gsa|path",
    "attention"),
    (r"softmax|logsumexp|sinkhorn|sparsemax", "softmax"),
    (r"norm|dyt", "normalisation"),
    (r"loss|entropy|kl_?div|jsd|tvd|nll|dpo|grpo", "loss"),
    (r"rope|rotary|embed", "embedding"),
    (r"quant|fp8|int8|int4|w8|w4|awq", "quantisation"),
    (r"(^|_)(b?mm|addmm|matmul|gemm|mv|addmv|dot|vdot|outer|addr|baddbmm|linear|kron|conv\w*)(_|$)", "matmul"),
    (r"pool|upsample|pad\d?d?|pixel|unfold|im2col|interpolate", "image"),
    (r"cum|scan|sort|topk|argsort|kthvalue|unique", "scan_sort"),
    (r"sum|mean|amax|amin|max|min|argm|any|all|prod|var|std|count|trace|norm", "reduction"),
    (r"gather|scatter|index|take|where|mask|roll|flip|cat|stack|repeat|tile", "indexing"),
    (r"slice|diag|tri[lu]|permute|copy|one_hot", "indexing"),
)  # fmt: skip


def family(name: str) -> str:
    """Operator family by the first pattern that a name matches; else elementwise."""
    return next((kind for pattern, kind in FAMILIES if re.search(pattern, name.lower())), "elementwise")
