"""The vocabulary of sandboxed kernels, as data: Triton 3.6 to 3.9, minus what prints or leaves the language."""

LANGUAGE = frozenset(
    """
    PropagateNan TRITON_MAX_TENSOR_NUMEL abs add advance arange argmax argmin associative_scan assume
    atomic_add atomic_and atomic_cas atomic_load atomic_max atomic_min atomic_or atomic_store atomic_xchg
    atomic_xor bfloat16 bitonic_merge broadcast broadcast_to cast cat cdiv ceil clamp condition const
    constexpr cos cumprod cumsum debug_barrier div_rn dot dot_scaled dtype erf exp exp2 expand_dims
    expect_zero fdiv flip float16 float32 float64 float8e4b15 float8e4b8 float8e4nv float8e5 float8e5b16 floor
    fma full gather histogram int1 int16 int32 int64 int8 interleave join load load_tensor_descriptor log log2
    make_block_ptr make_tensor_descriptor math max max_constancy max_contiguous maximum min minimum mul
    multiple_of num_programs pair_uniform_to_normal permute philox pi32_t program_id rand rand4x randint
    randint4x randn randn4x range ravel reduce reduce_or reshape rsqrt sigmoid sin slice softmax sort split
    sqrt sqrt_rn squeeze static_assert static_range store store_tensor_descriptor sub sum swizzle2d
    tensor_descriptor to_tensor topk trans tuple uint16 uint32 uint64 uint8 uint_to_uniform_float umulhi
    unsqueeze view void where xor_sum zeros zeros_like
    """.split()
)
"""Public names of `triton.language` and `triton.language.math`. Left out: inline_asm_elementwise, map_elementwise,
device_print, static_print, device_assert, core, extra, target_info."""

LIBDEVICE_MODULES = (
    "triton.language.extra.libdevice",
    "triton.language.extra.cuda.libdevice",
    "triton.language.extra.hip.libdevice",
)

MEMBERS = LANGUAGE - {"constexpr", "tensor", "dtype", "math"} | frozenset(
    """
    T block_shape dtype element_ty get_int_max_value get_int_min_value is_block is_bf16 is_bool is_dtype
    is_floating is_fp16 is_fp32 is_fp64 is_fp8 is_int is_int1 is_int16 is_int32 is_int64 is_int8 is_int_signed
    is_int_unsigned is_ptr is_standard_floating int_bitwidth fp_mantissa_width itemsize logical_and logical_or
    name numel primitive_bitwidth scalar scatter shape strides to type value
    """.split()
)
"""Attributes of tensors, dtypes, descriptors and constexprs."""

TRITON_MEMBERS = frozenset({"cdiv", "next_power_of_2"})
"""Host helpers that kernels may call as `triton.…`."""

BUILTINS = frozenset(
    {"range", "min", "max", "abs", "float", "int", "bool", "len", "tuple", "list", "sum", "True", "False", "None"}
)
"""Builtins that Triton understands inside a kernel."""

FORBIDDEN = frozenset(
    """
    getattr setattr delattr hasattr eval exec compile open input globals locals vars dir type object super id
    hash __import__ __builtins__ breakpoint print isinstance issubclass memoryview bytearray bytes map filter
    iter next repr help exit quit classmethod staticmethod property
    """.split()
)
"""Builtins that would lead out of the language."""

NODES = frozenset(
    """
    Assign AugAssign AnnAssign Expr If IfExp For While Return Pass Break Continue Assert BinOp UnaryOp BoolOp
    Compare Call keyword Name Attribute Subscript Slice Tuple List Constant JoinedStr FormattedValue Starred
    Load Store Del And Or Add Sub Mult Div FloorDiv Mod Pow LShift RShift BitOr BitXor BitAnd MatMult Invert
    Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
    """.split()
)
"""Syntax that a kernel body may use."""
