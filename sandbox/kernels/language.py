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

LANGUAGE_MODULES = ("triton.language", "triton.language.math")
"""Where those are."""

LIBDEVICE_MODULES = (
    "triton.language.extra.libdevice",
    "triton.language.extra.cuda.libdevice",
    "triton.language.extra.hip.libdevice",
)

LIBDEVICE = frozenset(
    """
    abs acos acosh add_rd add_rn add_ru add_rz asin asinh atan atan2 atanh brev byte_perm cbrt ceil clz copysign
    cos cosh cospi cyl_bessel_i0 cyl_bessel_i1 div_rd div_rn div_ru div_rz double2float_rd double2float_rn
    double2float_ru double2float_rz double2hiint double2int_rd double2int_rn double2int_ru double2int_rz
    double2ll_rd double2ll_rn double2ll_ru double2ll_rz double2loint double2uint_rd double2uint_rn
    double2uint_ru double2uint_rz double2ull_rd double2ull_rn double2ull_ru double2ull_rz double_as_longlong erf
    erfc erfcinv erfcx erfinv exp exp10 exp2 expm1 fast_cosf fast_dividef fast_exp10f fast_expf fast_log10f
    fast_log2f fast_logf fast_powf fast_sinf fast_tanf fast_tanhf fdim ffs finitef float2int_rd float2int_rn
    float2int_ru float2int_rz float2ll_rd float2ll_rn float2ll_ru float2ll_rz float2uint_rd float2uint_rn
    float2uint_ru float2uint_rz float2ull_rd float2ull_rn float2ull_ru float2ull_rz float_as_int float_as_uint
    floor fma fma_rd fma_rn fma_ru fma_rz fmod hadd hiloint2double hypot ilogb int2double_rn int2float_rd
    int2float_rn int2float_ru int2float_rz int_as_float isfinited isinf isnan j0 j1 jn ldexp lgamma ll2double_rd
    ll2double_rn ll2double_ru ll2double_rz ll2float_rd ll2float_rn ll2float_ru ll2float_rz llrint llround log
    log10 log1p log2 logb longlong_as_double mul24 mul_rd mul_rn mul_ru mul_rz mulhi nearbyint nextafter norm3d
    norm4d normcdf normcdfinv popc pow rcbrt rcp64h rcp_rd rcp_rn rcp_ru rcp_rz remainder rhadd rhypot rint
    rnorm3d rnorm4d round rsqrt rsqrt_rn sad saturatef scalbn signbit sin sinh sinpi sqrt sqrt_rd sqrt_rn
    sqrt_ru sqrt_rz sub_rd sub_rn sub_ru sub_rz tan tanh tgamma trunc uint2double_rn uint2float_rd uint2float_rn
    uint2float_ru uint2float_rz uint_as_float ull2double_rd ull2double_rn ull2double_ru ull2double_rz
    ull2float_rd ull2float_rn ull2float_ru ull2float_rz y0 y1 yn
    """.split()
)
"""Functions of libdevice, as Triton 3.6 and 3.9 define them. Host code may add to the module, and nobody else would
know what such a function does."""

MEMBERS = LANGUAGE - {"constexpr", "tensor", "dtype", "math"} | frozenset(
    """
    ALL NONE T bit_length block_shape dtype element_ty get_int_max_value get_int_min_value is_block is_bf16 is_bool
    is_dtype is_floating is_fp16 is_fp32 is_fp64 is_fp8 is_int is_int1 is_int16 is_int32 is_int64 is_int8
    is_int_signed is_int_unsigned is_ptr is_standard_floating is_uint16 is_uint32 is_uint64 is_uint8 int_bitwidth
    fp_mantissa_width itemsize logical_and logical_or name numel primitive_bitwidth scalar scatter shape strides to
    type value
    """.split()
)
"""Attributes of tensors, dtypes, descriptors, constexprs, compile-time integers and `PropagateNan`."""

TRITON_MEMBERS = frozenset({"cdiv", "next_power_of_2"})
"""Host helpers that kernels may call as `triton.…`."""

MATH = frozenset({"pi", "e", "tau", "inf", "nan", "sqrt", "log", "log2", "log10", "exp", "pow", "ceil", "floor"})
"""What kernels may use of Python's `math`, on compile-time numbers: Triton evaluates it as it stands."""

CURES = {
    "_log2": "write it as a triton.constexpr_function",
    "device_print": "take debugging output out",
    "get_int_dtype": "name the type: tl.int32",
    "inline_asm_elementwise": "write it in Triton's own operations, or with libdevice",
    "pointer_type": "view the tensor as the other dtype before the launch: tensor.view(dtype)",
}
"""What to do instead."""

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
    Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn ListComp comprehension NamedExpr
    """.split()
)
"""Syntax that a kernel body may use."""
