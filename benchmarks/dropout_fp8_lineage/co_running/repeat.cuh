// One instruction, again and again: in eight independent chains, `count` times in all by every thread.
#pragma once
#include "hopper.cuh"

#define EACH8(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
#define REPEAT(BODY) for (u32 i = 0; i < count; i += 64) { _Pragma("unroll") for (int j = 0; j < 8; ++j) { EACH8(BODY) } } break;

// kind: as numbered in co_running.py; anything else does nothing. scratch[0] must be 0.
__device__ __noinline__ void repeat(u32 kind, u32 count, u32* scratch) {
    u32 r[8]; float f[8]; double d[8]; u64 w[8];
    const u32 k = scratch[0] | 1, t = threadIdx.x;
    for (int i = 0; i < 8; ++i) { r[i] = t + i + 77; f[i] = 1.0f + r[i] * 1e-6f; d[i] = f[i]; w[i] = r[i]; }
    const float fk = __uint_as_float(0x3f800000 | (k & 15));
    const double dk = fk;
    switch (kind) {
#define KIND1(i) asm volatile("mad.wide.u32 %0, %1, 0xD2511F53, %0;" : "+l"(w[i]) : "r"((u32)(w[i] >> 32)));
    case 1: REPEAT(KIND1)   // IMAD.WIDE
#define KIND2(i) asm volatile("mul.hi.u32 %0, %0, %1;" : "+r"(r[i]) : "r"(k));
    case 2: REPEAT(KIND2)   // IMAD.HI
#define KIND3(i) asm volatile("mul.wide.u32 %0, %1, 0xD2511F53;" : "=l"(w[i]) : "r"(r[i])); asm volatile("lop3.b32 %0, %1, %2, %3, 0x96;" : "=r"(r[i]) : "r"((u32)w[i]), "r"((u32)(w[i] >> 32)), "r"(k));
    case 3: REPEAT(KIND3)   // IMAD.WIDE and LOP3 in turn
#define KIND4(i) asm volatile("fma.rz.f64 %0, %0, %1, %1;" : "+d"(d[i]) : "d"(dk));
    case 4: REPEAT(KIND4)   // DFMA
#define KIND5(i) asm volatile("fma.rn.f32 %0, %0, %1, %1;" : "+f"(f[i]) : "f"(fk));
    case 5: REPEAT(KIND5)   // FFMA
#define KIND6(i) asm volatile("fma.rn.bf16x2 %0, %0, %1, %1;" : "+r"(r[i]) : "r"(k));
    case 6: REPEAT(KIND6)   // HFMA2.BF16
#define KIND7(i) asm volatile("mul.lo.u32 %0, %0, %1;" : "+r"(r[i]) : "r"(k));
    case 7: REPEAT(KIND7)   // IMAD
#define KIND8(i) asm volatile("lop3.b32 %0, %0, %1, %2, 0x96;" : "+r"(r[i]) : "r"(k), "r"(t));
    case 8: REPEAT(KIND8)   // LOP3
#define KIND9(i) asm volatile("add.u32 %0, %0, %1;" : "+r"(r[i]) : "r"(k));
    case 9: REPEAT(KIND9)   // IADD3
#define KIND10(i) asm volatile("shf.l.wrap.b32 %0, %0, %1, 7;" : "+r"(r[i]) : "r"(k));
    case 10: REPEAT(KIND10)   // SHF
#define KIND11(i) asm volatile("prmt.b32 %0, %0, %1, 0x5140;" : "+r"(r[i]) : "r"(k));
    case 11: REPEAT(KIND11)   // PRMT
#define KIND12(i) asm volatile("dp2a.lo.u32.u32 %0, %0, %1, %0;" : "+r"(r[i]) : "r"(k));
    case 12: REPEAT(KIND12)   // IDP.2A
#define KIND13(i) asm volatile("mad.lo.u32 %0, %0, %1, %1;" : "+r"(r[i]) : "r"(k)); asm volatile("lop3.b32 %0, %0, %1, %2, 0x96;" : "+r"(r[i]) : "r"(k), "r"(t));
    case 13: REPEAT(KIND13)   // IMAD and LOP3 in turn
#define KIND14(i) asm volatile("ex2.approx.ftz.f32 %0, %0;" : "+f"(f[i]));
    case 14: REPEAT(KIND14)   // MUFU.EX2
    default: break;
    }
    u32 sum = 0;
    for (int i = 0; i < 8; ++i) sum += r[i] + __float_as_uint(f[i]) + (u32)w[i] + (u32)(w[i] >> 32) + (u32)__double2int_rz(d[i]);
    if (sum == 0x12345) scratch[1] = sum;   // so that nothing is optimised away
}
