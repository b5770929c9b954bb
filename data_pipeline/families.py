"""Operator families of references from elsewhere, by the operators they apply: what a split holds out, it must hold out
wherever it comes from.
"""

from data_pipeline.operators import Operators

BY_OPERATOR: dict[str, frozenset[str]] = {
    "softmax": frozenset(
        """
        cross_entropy gumbel_softmax log_softmax multiheadattention scaled_dot_product_attention softmax softmax2d
        softmin
        """.split()
    ),
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
    "gather": frozenset(
        """
        embedding embeddingbag index index_add index_copy index_put masked_fill_ masked_select scatter scatter_
        scatter_add scatter_add_ take_along_dim
        """.split()
    ),
    "reduction": frozenset(
        """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptiveavgpool1d adaptiveavgpool2d adaptivemaxpool2d all any argmax
        argmin avg_pool1d avg_pool2d avgpool1d avgpool2d avgpool3d count_nonzero cumprod cumsum kl_div l1_loss l1loss
        logsumexp max max_pool1d max_pool2d maxpool1d maxpool2d maxpool3d mean median min mse_loss mseloss norm prod
        sort std sum topk var
        """.split()
    ),
}
"""A reference is of the first family that has one of its operators; `elementwise` if none has."""
FAMILIES = (*BY_OPERATOR, "elementwise")


def family_of(applied: Operators) -> str:
    """The family of a reference that applies these operators."""
    names = {name for name, _ in applied}
    return next((family for family, known in BY_OPERATOR.items() if names & known), "elementwise")
