"""Operator families of references from elsewhere, by operators or by name: what a split holds out,
it must hold out wherever it comes from, so a family is called as in `data_pipeline.synthetic`.
"""

import re

from data_pipeline.operators import Operators

BY_OPERATOR: dict[str, frozenset[str]] = {
    "attention": frozenset("multiheadattention scaled_dot_product_attention".split()),
    "loss": frozenset("cross_entropy kl_div l1_loss l1loss mse_loss mseloss".split()),
    "softmax": frozenset("gumbel_softmax log_softmax logsumexp softmax softmax2d softmin".split()),
    "convolution": frozenset(
        """
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convtranspose1d convtranspose2d
        convtranspose3d lazyconv1d lazyconv2d lazyconv3d
        """.split()
    ),
    "matmul": frozenset("bilinear gru grucell lstm lstmcell matmul mv outer rnn rnncell".split()),
    "normalisation": frozenset(
        """
        batch_norm group_norm instance_norm instancenorm1d instancenorm2d instancenorm3d layer_norm
        local_response_norm localresponsenorm normalize rms_norm
        """.split()
    ),
    "pooling": frozenset(
        """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptiveavgpool1d adaptiveavgpool2d adaptivemaxpool2d avg_pool1d
        avg_pool2d avgpool1d avgpool2d avgpool3d max_pool1d max_pool2d maxpool1d maxpool2d maxpool3d
        """.split()
    ),
    "scan": frozenset("cummax cummin cumprod cumsum".split()),
    "sort": frozenset("argsort median sort topk".split()),
    "scatter": frozenset("index_add index_copy index_put scatter scatter_ scatter_add scatter_add_".split()),
    "gather": frozenset("embedding embeddingbag index take_along_dim".split()),
    "reduction": frozenset("all any argmax argmin count_nonzero max mean min norm prod std sum var".split()),
    "masked": frozenset("masked_fill masked_fill_ masked_select where".split()),
}
"""A reference is of the first family that has one of its operators; `elementwise` if none has."""
BY_NAME = (
    (r"attn|attention|mla|sdpa|delta|gla|retention|rwkv|mamba|ssd|titans|ttt|hgrn|nsa|based|abc|comba|kda|gsa|path",
    "attention"),
    (r"softmax|logsumexp|sinkhorn|sparsemax", "softmax"),
    (r"norm|dyt", "normalisation"),
    (r"loss|entropy|kl_?div|jsd|tvd|nll|dpo|grpo", "loss"),
    (r"rope|rotary", "rotary"),
    (r"quant|fp8|int8|int4|w8|w4|awq", "quantised"),
    (r"(^|_)conv\w*(_|$)|im2col|unfold", "convolution"),
    (r"(^|_)(b?mm|addmm|matmul|gemm|mv|addmv|dot|vdot|outer|addr|baddbmm|linear|kron)(_|$)", "matmul"),
    (r"pool", "pooling"),
    (r"upsample|pad\d?d?|pixel|interpolate", "image"),
    (r"cum|scan", "scan"),
    (r"sort|topk|kthvalue|unique", "sort"),
    (r"sum|mean|amax|amin|max|min|argm|any|all|prod|var|std|count|trace", "reduction"),
    (r"scatter", "scatter"),
    (r"embed|gather|index|take", "gather"),
    (r"where|mask", "masked"),
    (r"roll|flip|cat|stack|repeat|tile|slice|diag|tri[lu]|permute|copy|one_hot", "copy"),
)  # fmt: skip
"""Patterns of function names; the first that matches says the family."""
FAMILIES = tuple(dict.fromkeys([*BY_OPERATOR, *(family for _, family in BY_NAME), "elementwise"]))


def family_of(applied: Operators) -> str:
    """The family of a reference that applies these operators."""
    names = {name for name, _ in applied}
    return next((family for family, known in BY_OPERATOR.items() if names & known), "elementwise")


def family_of_name(name: str) -> str:
    """The family of a function that has a telling name; `elementwise` if it tells nothing else."""
    return next((family for pattern, family in BY_NAME if re.search(pattern, name.lower())), "elementwise")
