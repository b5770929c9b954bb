"""The pure half of the statistics: text of a compiler or disassembler in, numbers out."""

import pytest

from sandbox.compiling.binary_stats import CLASSES, amdgcn_mix, amdgcn_number, ptxas_usage, sass_mix


def test_sass_is_counted_by_class() -> None:
    sass = """
.text.k:
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/             @!UP1 UIADD3 UR4, UR4, 0x1, URZ ;
        /*0030*/                   HGMMA.64x64x16.F32.BF16 R24, gdesc[UR4], R24 ;
        /*0040*/                   IMAD.WIDE R2, R3, 0x4, R2 ;
        /*0050*/                   STL.64 [R1], R4 ;
        /*0060*/                   STS.128 [R0], R4 ;
        /*10070*/              @P2 BRA `(.L_x_1) ;
        /*10080*/                  FFMA.FTZ R0, R1, R2, R3 ;
        /*10090*/                  NOP;
"""
    expected = [1, 1, 2, 1, 1, 1, 2]
    assert sass_mix(sass) == dict(zip(CLASSES, expected, strict=True))


def test_amdgcn_is_counted_by_class_and_its_metadata_read() -> None:
    assembly = """
	.text
k:                                      ; @k
	s_load_dwordx4 s[8:11], s[0:1], 0x0
	global_load_dwordx4 v[0:3], v0, s[2:3]
	buffer_load_dword v4, s[4:7], 0 offen lds
	ds_read_b128 v[4:7], v8
	ds_bpermute_b32 v1, v2, v3
	v_mfma_f32_32x32x8_bf16 a[0:15], v[0:1], v[2:3], a[0:15]
	v_pk_fma_f32 v[0:1], v[2:3], v[4:5], v[6:7]
	v_cvt_pk_bf16_f32 v0, v1, v2
	v_add_u32_e32 v0, v1, v2
	s_waitcnt vmcnt(0)
	buffer_wbl2 sc1
	scratch_store_dword off, v0, off
	s_endpgm
  - .agpr_count:     16
    .vgpr_count:     72
    .vgpr_spill_count: 3
"""
    expected = [1, 2, 1, 2, 1, 3, 3]
    assert amdgcn_mix(assembly) == dict(zip(CLASSES, expected, strict=True))
    assert amdgcn_number(assembly, "agpr_count") == 16
    assert amdgcn_number(assembly, "vgpr_count") == 72
    assert amdgcn_number(assembly, "vgpr_spill_count") == 3
    with pytest.raises(ValueError, match="sgpr_count"):
        amdgcn_number(assembly, "sgpr_count")


def test_ptxas_report_is_read() -> None:
    report = (
        "ptxas info : 16 bytes stack frame, 24 bytes spill stores, 32 bytes spill loads\nUsed 255 registers, used 1"
    )
    assert ptxas_usage(report) == (255, 24)
    with pytest.raises(ValueError, match="something else"):
        ptxas_usage("something else")
