"""Torch operators that a plan may contain under policy `mixed`, as data: no torch here, the supervisor reads it.

In the list: operators whose result is a function of their arguments, whose shape does not depend on data, and which
torch implements on CPU and CUDA alike; functional, `out=` and in-place. Sums by atomic addition (`scatter_add`,
`index_add`) are in it although their rounding varies. Left out: random numbers, files, `set_`/`resize_` and other
tricks with memory, results that are no tensors, shapes that depend on data (`nonzero`, `unique`, `masked_select`).
"""

FUNCTIONAL = frozenset(
    """
    abs acos acosh add addcdiv addcmul angle asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not
    bitwise_or bitwise_right_shift bitwise_xor ceil celu clamp clamp_max clamp_min copysign cos cosh deg2rad
    digamma div elu eq erf erfc erfinv exp exp2 expm1 floor floor_divide fmax fmin fmod frac ge gelu glu gt
    hardshrink hardsigmoid hardswish hardtanh heaviside hypot i0 igamma igammac isfinite isinf isnan isneginf isposinf
    ldexp le leaky_relu lerp lgamma log log10 log1p log2 log_sigmoid_forward logaddexp logaddexp2 logical_and
    logical_not logical_or logical_xor logit lt maximum minimum mish mul nan_to_num ne neg nextafter polygamma pow
    rad2deg reciprocal relu relu6 remainder round rsqrt rsub sgn sigmoid sign signbit silu sin sinc sinh softplus
    softshrink special_entr special_erfcx special_expit special_i0e special_i1 special_i1e special_log_ndtr
    special_ndtr special_ndtri special_xlog1py special_zeta sqrt square sub tan tanh threshold trunc where xlogy
    _prelu_kernel prelu selu

    _trilinear addbmm addmm addmv addr baddbmm bmm dot mm mv outer linear matmul vdot _addmm_activation _scaled_mm

    all amax amin aminmax any argmax argmin count_nonzero cummax cummin cumprod cumsum logcumsumexp logsumexp max
    mean median min mode nanmedian nansum norm prod std std_mean sum var var_mean linalg_vector_norm kthvalue
    linalg_matrix_norm _cdist_forward _pdist_forward dist renorm trace cross linalg_cross diff

    convolution _convolution conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc
    avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool1d_with_indices
    max_pool2d_with_indices max_pool3d_with_indices adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    im2col col2im pixel_shuffle pixel_unshuffle channel_shuffle
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d grid_sampler_3d affine_grid_generator

    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training native_group_norm
    lstm gru rnn_tanh rnn_relu
    native_layer_norm _weight_norm_interface _fused_rms_norm rms_norm layer_norm group_norm
    _softmax softmax _log_softmax log_softmax _safe_softmax scaled_dot_product_attention

    binary_cross_entropy binary_cross_entropy_with_logits huber_loss kl_div l1_loss mse_loss nll_loss_forward
    nll_loss2d_forward smooth_l1_loss soft_margin_loss multi_margin_loss multilabel_margin_loss_forward

    arange eye linspace logspace tril_indices triu_indices
    block_diag cat constant_pad_nd diag_embed embedding flip gather index index_add index_copy index_fill index_put
    _conj_physical _fft_c2c _fft_c2r _fft_r2c index_select kron masked_fill pad reflection_pad1d reflection_pad2d
    reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d roll rot90 scatter
    scatter_add scatter_reduce searchsorted bucketize select_scatter slice_scatter diagonal_scatter sort argsort stack
    take take_along_dim topk tril triu _unsafe_index complex polar
    softplus_backward sigmoid_backward tanh_backward gelu_backward silu_backward threshold_backward
    _softmax_backward_data _log_softmax_backward_data native_layer_norm_backward convolution_backward
    """.split()
)
"""Without `aten::`."""

IN_PLACE = frozenset(
    """
    abs_ add_ addbmm_ addcdiv_ addcmul_ addmm_ addmv_ addr_ baddbmm_ bitwise_and_ bitwise_not_ bitwise_or_ bitwise_xor_
    ceil_ celu_ clamp_ clamp_max_ clamp_min_ copysign_ cos_ cosh_ cumprod_ cumsum_ div_ elu_ eq_ erf_ erfc_ erfinv_
    exp_ exp2_ expm1_ fill_ fill_diagonal_ floor_ floor_divide_ fmod_ frac_ ge_ gelu_ gt_ hardsigmoid_ hardswish_
    hardtanh_ index_add_ index_copy_ index_fill_ index_put_ le_ leaky_relu_ lerp_ lgamma_ log_ log10_
    log1p_ log2_ logical_and_ logical_not_ logical_or_ logical_xor_ logit_ lt_ masked_fill_ mish_ mul_
    nan_to_num_ ne_ neg_ pow_ reciprocal_ relu_ remainder_ renorm_ round_ rsqrt_ scatter_ scatter_add_
    scatter_reduce_ selu_ sgn_ sigmoid_ sign_ silu_ sin_ sinc_ sinh_ sqrt_ square_ sub_ tan_ tanh_ threshold_ tril_
    triu_ trunc_ xlogy_
    """.split()
)

RANDOM = frozenset(
    """
    bernoulli bernoulli_ binomial cauchy_ dropout dropout_ alpha_dropout feature_dropout exponential_ geometric_
    log_normal_ multinomial native_dropout normal normal_ poisson rand rand_like randint randint_like randn randn_like
    random_ randperm rrelu rrelu_ rrelu_with_noise rrelu_with_noise_ uniform uniform_ _standard_gamma _sample_dirichlet
    _fused_dropout fractional_max_pool2d fractional_max_pool3d
    """.split()
)
"""Recognised so that the rejection can say why."""

EXCLUDED_OVERLOADS = frozenset(
    {
        "where", "repeat_interleave.Tensor", "bucketize.Scalar", "searchsorted.Scalar",
        "_native_batch_norm_legit", "_native_batch_norm_legit.out", "lstm.data", "gru.data", "rnn_tanh.data",
        "rnn_relu.data",
    }
)  # fmt: skip
"""Of operators in the list: shapes that depend on data, results on another device, changes that are not returned."""


HIDDEN_WRITES: dict[str, tuple[tuple[int, ...], int]] = {"aten::native_batch_norm": ((3, 4), 5)}
"""Arguments that an operator changes although its schema does not say so (running mean and variance), and the argument
that says whether (training)."""


def allowed(name: str, overload: str) -> bool:
    """Whether a plan may contain this overload of `aten::name`."""
    plain = name.removeprefix("aten::")
    full = f"{plain}.{overload}" if overload else plain
    listed = plain in FUNCTIONAL or plain in IN_PLACE
    named = "Dimname" in overload or "dimname" in overload
    return name.startswith("aten::") and listed and full not in EXCLUDED_OVERLOADS and not named


def is_random(name: str) -> bool:
    """Whether `aten::name` draws random numbers."""
    return name.startswith("aten::") and name.removeprefix("aten::") in RANDOM
