"""What is known of torch's operators by name: which are no tasks and why, their family, which inputs they want.

Names are OpInfo's; `name/variant` means one variant alone, a trailing `*` any ending.
"""

import re
from fnmatch import fnmatchcase

SKIPPED: dict[str, str] = {
    "random": """
        bernoulli cauchy exponential geometric log_normal multinomial normal normal/* rand_like randint
        randint_like randn randn_like uniform nn.functional.alpha_dropout nn.functional.dropout*
        nn.functional.rrelu nn.functional.feature_alpha_dropout* nn.functional.fractional_max_pool*
        native_dropout_backward nn.functional.multi_head_attention_forward svd_lowrank pca_lowrank
    """,
    "makes a tensor from numbers alone": """
        arange empty empty_like empty_permuted empty_strided eye full full_like linspace logspace new_empty
        new_empty_strided new_full new_ones new_zeros ones ones_like scalar_tensor signal.windows.* tril_indices
        triu_indices zeros zeros_like zero_ fill
    """,
    "a view, a copy or the identity: nothing is computed": """
        H T alias_copy as_strided as_strided_copy atleast_* broadcast_tensors broadcast_to chunk clone conj
        conj_physical contiguous diagonal dsplit expand expand_as expand_copy flatten hsplit linalg.diagonal
        meshgrid/* mH mT movedim narrow narrow_copy permute positive ravel real reshape reshape_as resolve_conj
        resolve_neg select slice split split_with_sizes split_with_sizes_copy squeeze squeeze_copy t
        tensor_split transpose unbind unbind_copy unflatten unfold unsafe_chunk unsafe_split unsqueeze
        unsqueeze_copy view view_as view_copy vsplit __getitem__ diagonal_copy
    """,
    "a conversion: nothing is computed": "bfloat16 bool byte char double float half int long short to",
    "changes its input": "resize_ resize_as_",
    "the shape of the output depends on the data": """
        argwhere bincount masked_select nonzero nonzero_static repeat_interleave unique unique_consecutive
        nn.functional.one_hot
    """,
    "the result is float64": "float_power",
    "no tensor comes out": "allclose broadcast_shapes equal item",
    "complex numbers": """
        angle cdouble cfloat chalf complex imag isreal nn.functional.silu/complex polar sgn view_as_complex
        view_as_real vdot
    """,
    "spectral": "fft.* stft istft",
    "sparse": "sparse.* to_sparse",
    "a decomposition or a solver": """
        cholesky cholesky_inverse cholesky_solve geqrf linalg.cholesky linalg.cholesky_ex linalg.cond linalg.det
        linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh linalg.householder_product linalg.inv
        linalg.inv_ex linalg.ldl_* linalg.lstsq linalg.lstsq/* linalg.lu linalg.lu_* linalg.matrix_rank
        linalg.matrix_rank/* linalg.pinv linalg.pinv/* linalg.qr linalg.slogdet linalg.solve* linalg.svd
        linalg.svdvals linalg.tensorinv linalg.tensorsolve logdet lu lu_solve lu_unpack matrix_exp norm/nuc
        ormqr pinverse qr svd triangular_solve
    """,
    "convolutions over volumes: too slow for an interpreter": "nn.functional.conv3d nn.functional.conv_transpose3d",
    "needs a device that is no CPU": """
        jiterator_* torch._scaled_mm* torch.ops.aten._flash_attention_forward
        torch.ops.aten._efficient_attention_forward bmm/triton_optimized nn.functional.batch_norm/without_cudnn
    """,
    "internal: the public operator is here too": """
        _batch_norm_with_update _chunk_cat _native_batch_norm_legit _segment_reduce/* _softmax_backward_data
        _unsafe_masked_index _unsafe_masked_index_put_accumulate _upsample_bilinear2d_aa addmm/decomposed
        constant_pad_nd grid_sampler_* hash_tensor max_pool2d_with_indices_backward native_batch_norm
        native_group_norm native_layer_norm torch.ops.aten.*
    """,
    "another name of an operator that is here": """
        __r* as_strided/* div/no_rounding_mode linalg.norm linalg.norm/* masked.normalize max/binary min/binary
        nn.functional.upsample_* norm norm/* rsub softmax/with_dtype special.polygamma/*
        polygamma/polygamma_n_[1-4] mvlgamma/mvlgamma_p_[35] trapz var/unbiased std/unbiased var_mean/unbiased
        std_mean/unbiased nn.functional.max_unpool1d/grad nn.functional.max_unpool2d/grad
        nn.functional.max_unpool3d/grad linspace/* logspace/* repeat round/decimals_0 squeeze/* split/list_args
    """,
    "only NaN tells it from another operator": "isnan nanmean nanmedian nanquantile nansum",
    "ties decide, and devices break them differently": "mode",
    "the result depends on the range of the dtype": "nan_to_num",
    "differs from its input by less than a tolerance": "nextafter",
    "infinite or NaN where a mask is false": "masked.log_softmax masked.logaddexp",
    "a histogram with options that few kernels share": "histc histogram histogramdd",
    "arguments that a literal cannot hold or that depend on one another": """
        cartesian_prod combinations nn.functional.ctc_loss nn.functional.embedding_bag
        nn.functional.linear_cross_entropy nn.functional.linear_cross_entropy/*
        nn.functional.multilabel_margin_loss as_strided_scatter nn.functional.triplet_margin_with_distance_loss
        sum_to_size nn.functional.max_unpool* unravel_index gradient
    """,
}  # fmt: skip
"""Reason → operators that are never proposed."""

FAMILIES: dict[str, str] = {
    "reduction": """
        all amax amin aminmax any argmax argmin count_nonzero dist linalg.matrix_norm linalg.vector_norm
        logsumexp masked.amax masked.amin masked.argmax masked.argmin masked.logsumexp masked.mean masked.norm
        masked.prod masked.std masked.sum masked.var max/* mean min/* prod std std_mean sum trace var var_mean
        linalg.vecdot trapezoid nn.functional.pairwise_distance nn.functional.cosine_similarity cov corrcoef
    """,
    "normalisation": """
        nn.functional.batch_norm nn.functional.group_norm nn.functional.instance_norm nn.functional.layer_norm
        nn.functional.local_response_norm nn.functional.normalize nn.functional.rms_norm renorm
    """,
    "softmax": "softmax log_softmax log_softmax/* masked.softmax masked.log_softmax masked.softmin *softmin*",
    "scan": "cum* logcumsumexp masked.cumprod masked.cumsum",
    "gather": """
        gather index_select nn.functional.embedding take take_along_dim nn.functional.grid_sample bucketize
        searchsorted isin
    """,
    "scatter": """
        diagonal_scatter index_add index_copy index_fill index_put index_reduce/* masked_scatter put scatter
        scatter_add scatter_reduce/* select_scatter slice_scatter
    """,
    "matmul": """
        addbmm addmm addmv baddbmm bmm cdist dot einsum inner linalg.matrix_power linalg.multi_dot matmul mm mv
        nn.functional.bilinear nn.functional.linear nn.functional.pdist tensordot
    """,
    "attention": "nn.functional.scaled_dot_product_attention",
    "convolution": "nn.functional.conv*",
    "pooling": "*_pool1d *_pool2d *_pool3d nn.functional.interpolate/*",
    "loss": """
        *_loss nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits
        nn.functional.cross_entropy nn.functional.kl_div
    """,
    "sort": "argsort kthvalue median masked.median msort quantile sort topk",
    "compare": """
        eq ge gt heaviside isclose isfinite isinf isneginf isposinf le logical_* lt ne signbit where masked_fill
    """,
    "copy": """
        block_diag cat column_stack diag diag_embed diagflat dstack flip fliplr flipud hstack
        nn.functional.channel_shuffle nn.functional.pad/* nn.functional.pixel_shuffle
        nn.functional.pixel_unshuffle nn.functional.unfold permute_copy roll rot90 stack t_copy tile
        transpose_copy tril triu unfold_copy vstack
    """,
}  # fmt: skip
"""Family → operators; the first that matches. What is in none is elementwise, or broadcast if its shapes differ."""

DIFFICULTY = {
    "elementwise": 1, "broadcast": 1, "compare": 1, "copy": 1, "gather": 2, "reduction": 2, "loss": 2, "scan": 3,
    "scatter": 3, "pooling": 3, "softmax": 3, "normalisation": 3, "matmul": 3, "sort": 4, "convolution": 4,
    "attention": 5,
}  # fmt: skip

INPUTS: dict[str, dict[str, str]] = {
    "all": {"x": "whole 0 20"},
    "any": {"x": "rare 20"},
    "count_nonzero": {"x": "whole -1 2"},
    "eq ge gt le lt ne logical_*": {"x": "whole -2 3", "y": "whole -2 3"},
    "isclose": {"x": "whole -1 2", "y": "whole -1 2"},
    "isin": {"elements": "whole 0 99", "test_elements": "whole 0 99"},
    "heaviside": {"x": "whole -1 2"},
    "isfinite isinf isposinf isneginf": {"x": "infinite"},
    "prod cumprod masked.prod masked.cumprod": {"x": "uniform 0.8 1.2"},
    "bitwise_left_shift bitwise_right_shift": {"y": "whole 0 8"},
    "floor_divide fmod remainder div/*": {"x": "uniform -50 50", "y": "uniform 0.5 9"},
    "round/decimals_neg_3": {"x": "uniform -5000 5000"},
    "nn.functional.threshold": {"x": "uniform -9 9"},
    "ldexp": {"y": "whole -6 7"},
    "pow": {"x": "uniform 0.1 3", "y": "uniform -2 2"},
    "nn.functional.soft_margin_loss nn.functional.margin_ranking_loss nn.functional.hinge_embedding_loss "
    "nn.functional.cosine_embedding_loss": {"target": "sign"},
    "nn.functional.multilabel_soft_margin_loss": {"target": "whole 0 2"},
    "nn.functional.gaussian_nll_loss": {"var": "uniform 0.1 2"},
    "nn.functional.poisson_nll_loss": {"x": "uniform 0.1 2", "target": "whole 0 9"},
    "nn.functional.kl_div": {"x": "uniform -3 -0.1", "target": "uniform 0.05 1"},
    "nn.functional.batch_norm nn.functional.instance_norm": {"running_var": "uniform 0.5 2"},
    "nn.functional.grid_sample": {"grid": "uniform -1.1 1.1"},
    "searchsorted": {"sorted_sequence": "sorted"},
    "bucketize": {"boundaries": "sorted"},
    "igamma igammac": {"x": "uniform 0.5 5", "y": "uniform 0.5 5"},
    "polygamma/* mvlgamma/*": {"x": "uniform 3 9"},
    "digamma lgamma": {"x": "uniform 0.5 9"},
    "special.zeta": {"x": "uniform 1.5 6", "y": "uniform 0.5 6"},
    "special.entr": {"x": "uniform 0.01 3"},
    "special.*bessel_y* special.*bessel_k*": {"x": "uniform 0.1 9"},
    "special.*polynomial*": {"x": "uniform -1 1", "n": "whole 1 6"},
    "masked.soft*": {"mask": "mask 0.95"},
    "masked.*": {"mask": "mask 0.8"},
    "masked.argm*": {"x": "distinct"},
    "masked_scatter": {"mask": "mask 0.3"},
}  # fmt: skip
"""Operators → parameter → kind of values (`values`), where the samples do not tell."""

UNCHECKED: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "nn.functional.scaled_dot_product_attention": ((1, -2), (2, -2)),
}
"""Operators → two (tensor, axis) whose sizes must agree although the operator does not check it."""

EXCLUDED = {
    "linalg.matrix_norm": r"ord=(-?2|\"nuc\")",
    "linalg.matrix_power": r"n=-",
    "searchsorted": r"sorter",
    "masked.*": r"^((?!mask=(?!None)).)*$",
}
"""Operators → calls (a pattern) that are a decomposition, that do what an operator without a mask does, or that are
undefined on inputs of ours."""

WRAPPING = ("take_along_dim",)
"""Operators that on a CPU accept any index, beyond what is documented: the bound is the size of `dim`."""

PERMUTED = "scatter index_copy index_put put"
"""Operators that may not get one index twice: which of two writes stays is not defined."""


def key(name: str, variant: str) -> str:
    """How an OpInfo is called in these tables."""
    return f"{name}/{variant}" if variant else name


def listed(name: str, words: str) -> bool:
    """Whether an operator is among `words`."""
    return any(fnmatchcase(name, word) for word in words.split())


def skipped(name: str) -> str | None:
    """Why an operator is never proposed."""
    return next((reason for reason, words in SKIPPED.items() if listed(name, words)), None)


def family(name: str, broadcast: bool) -> str:
    """The operator family; splits are made by it."""
    found = next((family for family, words in FAMILIES.items() if listed(name, words)), None)
    return found or ("broadcast" if broadcast else "elementwise")


def excluded(name: str, expression: str) -> bool:
    """Whether a call is none of the operator's programs that we want."""
    return any(listed(name, words) and re.search(pattern, expression) for words, pattern in EXCLUDED.items())


def wanted(name: str, parameter: str) -> str | None:
    """The kind of values that a parameter needs, None where its samples say it."""
    found = (inputs for words, inputs in INPUTS.items() if listed(name, words))
    return next((inputs[parameter] for inputs in found if parameter in inputs), None)
