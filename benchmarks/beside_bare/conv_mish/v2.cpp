// flags: -fno-stack-protector
// AMX: every fp32 operand is split exactly into three bf16 parts; six partial products (all terms down to
// 2^-24) are accumulated in fp32 by the tile unit. The Mish of one block runs between the tile products of the next.
// If the system refuses the tile unit, a direct AVX-512 convolution is used.
#include <immintrin.h>
#include <cstring>
#include <utility>
namespace {
#define AI static inline __attribute__((always_inline))
AI __m512 mish(__m512 x){
  const __m512 two=_mm512_set1_ps(2.f),L=_mm512_set1_ps(1.44269504f),MG=_mm512_set1_ps(12582912.f);
  __m512 c=_mm512_max_ps(_mm512_min_ps(x,_mm512_set1_ps(20.f)),_mm512_set1_ps(-105.f));
  __m512 t=_mm512_fmadd_ps(c,L,MG);
  __m512 n=_mm512_sub_ps(t,MG);
  __m512 f=_mm512_fmsub_ps(c,L,n);
  __m512 p=_mm512_set1_ps(0x1.5efc14p-10f);
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(0x1.3d4da2p-7f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(0x1.c6af2cp-5f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(0x1.ebf9cep-3f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(0x1.62e430p-1f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(1.f));
  __m512 e=_mm512_scalef_ps(p,n);
  __m512 num=_mm512_mul_ps(e,_mm512_add_ps(e,two));
  __m512 den=_mm512_add_ps(num,two);
  __m512 r=_mm512_rcp14_ps(den);
  __m512 er=_mm512_fnmadd_ps(den,r,_mm512_set1_ps(1.f));
  r=_mm512_fmadd_ps(r,er,r);
  return _mm512_mul_ps(_mm512_mul_ps(x,r),num);
}
__attribute__((noinline)) void direct(const float* x,const float* w,const float* b,float* out){
  alignas(64) float wt[4][72][8];
  for(int o=0;o<32;o++)for(int k=0;k<72;k++)wt[o>>3][k][o&7]=w[o*72+k];
  for(int n=0;n<4;n++)for(int y=0;y<62;y++)for(int ob=0;ob<4;ob++)for(int xh=0;xh<2;xh++){
    __m512 a[8][2];
    for(int o=0;o<8;o++)a[o][0]=a[o][1]=_mm512_setzero_ps();
    int x0=xh?30:0;
    const float*wp=&wt[ob][0][0];
    for(int c=0;c<8;c++)for(int ky=0;ky<3;ky++){
      const float*xp=x+((n*8+c)*64+y+ky)*64+x0;
#pragma GCC unroll 3
      for(int kx=0;kx<3;kx++){
        __m512 i0=_mm512_loadu_ps(xp+kx),i1=_mm512_loadu_ps(xp+kx+16);
#pragma GCC unroll 8
        for(int o=0;o<8;o++){__m512 wv=_mm512_set1_ps(wp[o]);a[o][0]=_mm512_fmadd_ps(i0,wv,a[o][0]);a[o][1]=_mm512_fmadd_ps(i1,wv,a[o][1]);}
        wp+=8;
      }}
#pragma GCC unroll 8
    for(int o=0;o<8;o++){
      __m512 bb=_mm512_set1_ps(b[ob*8+o]-0.7f);
      float*op=out+((n*32+ob*8+o)*62+y)*62+x0;
      _mm512_storeu_ps(op,mish(_mm512_add_ps(a[o][0],bb)));
      _mm512_storeu_ps(op+16,mish(_mm512_add_ps(a[o][1],bb)));
    }
  }
}
// ---- tile unit
#define TL(t,p,s) asm volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p),"r"((long)(s)):"memory")
#define TS(t,p,s) asm volatile("tilestored %%tmm" #t ",(%0,%1,1)"::"r"(p),"r"((long)(s)):"memory")
#define TD(c,a,b) asm volatile("tdpbf16ps %%tmm" #b ",%%tmm" #a ",%%tmm" #c :::"memory")
#define TZ(t) asm volatile("tilezero %%tmm" #t :::"memory")
typedef unsigned u32;
struct alignas(64) Buf{
  u32 pad[16];
  u32 E[3][5][12][64];   // [split][ring slot, 4 = copy of 0][kx*4+channel pair][x]
  u32 pad1[16];
  u32 X[2][16][64];      // tap 8: h m l h
  short A[8][2][16][32];
  float C[2][4][16][16];
  float bias[32];
};
struct Split{__m512i h,m,l;};
AI Split split(__m512 x){
  const __m512i rb=_mm512_set1_epi32(0x8000),mk=_mm512_set1_epi32(0xffff0000);
  Split s;
  s.h=_mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x),rb),mk);
  __m512 r=_mm512_sub_ps(x,_mm512_castsi512_ps(s.h));
  s.m=_mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(r),rb),mk);
  s.l=_mm512_castps_si512(_mm512_sub_ps(r,_mm512_castsi512_ps(s.m)));
  return s;
}
AI __m512i pack(__m512i lo,__m512i hi){return _mm512_mask_blend_epi16(0xAAAAAAAA,_mm512_srli_epi32(lo,16),hi);}
// converts 16 columns of one channel pair of the input row g (rows counted over all images)
AI void conv_unit(const float*__restrict x,Buf&B,int g,int u){
  int cp=u>>2,xv=(u&3)*16;
  const float*p=x+(g>>6)*8*4096+cp*2*4096+(g&63)*64+xv;
  Split a=split(_mm512_load_ps(p)),b=split(_mm512_load_ps(p+4096));
  __m512i v[3]={pack(a.h,b.h),pack(a.m,b.m),pack(a.l,b.l)};
  int s=g&3;
#pragma GCC unroll 3
  for(int q=0;q<3;q++){
#pragma GCC unroll 3
    for(int kx=0;kx<3;kx++)_mm512_storeu_si512(&B.E[q][s][kx*4+cp][0]+xv-kx,v[q]);
    _mm512_storeu_si512(&B.X[g&1][q*4+cp][0]+xv-2,v[q]);
  }
  _mm512_storeu_si512(&B.X[g&1][12+cp][0]+xv-2,v[0]);
  if(s==0){
#pragma GCC unroll 3
    for(int q=0;q<3;q++)
#pragma GCC unroll 2
      for(int kx=0;kx<2;kx++)_mm512_storeu_si512(&B.E[q][4][kx*4+cp][0]+xv-kx,v[q]);
  }
}
struct St{ // block being multiplied / block being finished
  const u32*e[2];const u32*xx;float*cst;
  const float*cld;float*o;__mmask16 mk;
};
template<int I> AI void tdp(const St&s,const Buf&B){
  constexpr int P=3*5*0+5*12*64; // plane, in dwords
  if constexpr(I<48){
    constexpr int w=I/24,j=I%24,ph=j/4,k=j%4;
    constexpr int ak=ph<2?0:ph<4?1:ph==4?2:0;
    constexpr int bq=ph==0?2:ph<3?1:0;
    if constexpr(k==0&&(ph==0||ph==2||ph==4||ph==5))TL(4,&B.A[w*3+ak][0][0][0],64);
    if constexpr(k==0&&(ph==0||ph==1||ph==3))TL(6,s.e[w]+bq*P,256);
    if constexpr(k==1&&(ph==0||ph==2||ph==4||ph==5))TL(5,&B.A[w*3+ak][1][0][0],64);
    if constexpr(k==2&&(ph==0||ph==1||ph==3))TL(7,s.e[w]+bq*P+16,256);
  }else{
    constexpr int j=I-48,ph=j/4,k=j%4;
    if constexpr(k==0)TL(4,&B.A[7-ph][0][0][0],64);
    if constexpr(k==0&&ph==0)TL(6,s.xx,256);
    if constexpr(k==1)TL(5,&B.A[7-ph][1][0][0],64);
    if constexpr(k==2&&ph==0)TL(7,s.xx+16,256);
  }
  constexpr int k=I%4;
  if constexpr(I<4){ if constexpr(k==0)TZ(0);if constexpr(k==1)TZ(1);if constexpr(k==2)TZ(2);if constexpr(k==3)TZ(3); }
  if constexpr(k==0)TD(0,4,6);
  if constexpr(k==1)TD(1,5,6);
  if constexpr(k==2)TD(2,4,7);
  if constexpr(k==3)TD(3,5,7);
}
template<int I> AI void fin(const St&s,const Buf&B){
  constexpr int oc=I>>1,xt=I&1;
  __m512 v=_mm512_load_ps(s.cld+(xt*2+(oc>>4))*256+(oc&15)*16);
  v=mish(_mm512_add_ps(v,_mm512_set1_ps(B.bias[oc])));
  float*o=s.o+oc*62*62+xt*16;
  if constexpr(xt==0)_mm512_storeu_ps(o,v);else _mm512_mask_storeu_ps(o,s.mk,v);
#ifdef PF
  __builtin_prefetch(o+62*PF,1);
#endif
}
template<bool F,int G,int...J> AI void group(const St&s,const Buf&B,std::integer_sequence<int,J...>){
  ((tdp<G*7+J>(s,B),F?fin<G*8+J>(s,B):(void)0),...);
  if constexpr(F)fin<G*8+7>(s,B);
}
template<bool F,int...G> AI void blk(const float*x,St&s,Buf&B,int cg,int cu,std::integer_sequence<int,G...>){
  ((group<F,G>(s,B,std::make_integer_sequence<int,7>()),(cg<256?conv_unit(x,B,cg,cu+G):(void)0)),...);
  TS(0,s.cst,64);TS(1,s.cst+256,64);TS(2,s.cst+512,64);TS(3,s.cst+768,64);
}
template<int...I> AI void finall(const St&s,const Buf&B,std::integer_sequence<int,I...>){(fin<I>(s,B),...);}
}
extern "C" void kernel(const float* x,const float* w,const float* b,float* out){
  long rc;
  {register long a1 asm("rdi")=0x1023,a2 asm("rsi")=18;asm volatile("syscall":"=a"(rc):"a"(158L),"r"(a1),"r"(a2):"rcx","r11","memory");}
  if(rc!=0){direct(x,w,b,out);return;}
  Buf B;
  struct alignas(64){unsigned char pal,start,r[14];unsigned short colsb[16];unsigned char rows[16];}cfg;
  memset(&cfg,0,sizeof cfg);cfg.pal=1;
  for(int i=0;i<8;i++){cfg.rows[i]=16;cfg.colsb[i]=64;}
  asm volatile("ldtilecfg %0"::"m"(cfg):"memory");
  for(int o=0;o<32;o++)B.bias[o]=b[o]-0.7f;
  // weights
  {
    __m512i ln=_mm512_set_epi32(15,14,13,12,11,10,9,8,7,6,5,4,3,2,1,0);
    __m512i ix=_mm512_add_epi32(_mm512_mullo_epi32(_mm512_and_si512(ln,_mm512_set1_epi32(7)),_mm512_set1_epi32(9)),_mm512_srli_epi32(ln,3));
    for(int o=0;o<32;o++){
      const float*wp=w+o*72;int ob=o>>4,r=o&15;
      for(int q=0;q<4;q++){
        Split s=split(_mm512_i32gather_ps(ix,wp+q*2,4));
        __m512i v[3]={s.h,s.m,s.l};
        for(int k=0;k<3;k++)_mm256_store_si256((__m256i*)&B.A[(q>>1)*3+k][ob][r][(q&1)*16],_mm512_cvtepi32_epi16(_mm512_srli_epi32(v[k],16)));
      }
      Split s=split(_mm512_mask_i32gather_ps(_mm512_setzero_ps(),0xff,ix,wp+8,4));
      __m128i h=_mm512_castsi512_si128(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(s.h,16))));
      __m128i m=_mm512_castsi512_si128(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(s.m,16))));
      __m128i l=_mm512_castsi512_si128(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(s.l,16))));
      __m128i*p=(__m128i*)&B.A[6][ob][r][0];p[0]=h;p[1]=h;p[2]=h;p[3]=m;
      p=(__m128i*)&B.A[7][ob][r][0];p[0]=l;p[1]=m;p[2]=_mm_setzero_si128();p[3]=_mm_setzero_si128();
    }
  }
  for(int g=0;g<3;g++)for(int u=0;u<16;u++)conv_unit(x,B,g,u);
  St s;s.mk=0;s.cld=B.C[1][0][0];s.o=out;
  bool first=true;
  for(int g=0;g<254;g++){
    int y=g&63,n=g>>6;
    if(y>=62){ if(g+3<256)for(int u=0;u<16;u++)conv_unit(x,B,g+3,u); continue; }
    for(int hf=0;hf<2;hf++){
      s.e[0]=&B.E[0][g&3][0][0]+hf*32;
      s.e[1]=&B.E[0][(g+1)&3][4][0]+hf*32;
      s.xx=&B.X[g&1][0][0]+hf*32;
      s.cst=B.C[hf][0][0];
      if(first){blk<false>(x,s,B,g+3,hf*8,std::make_integer_sequence<int,8>());first=false;}
      else blk<true>(x,s,B,g+3,hf*8,std::make_integer_sequence<int,8>());
      s.cld=B.C[hf][0][0];
      s.o=out+n*32*62*62+y*62+hf*32;
      s.mk=hf?0x3fff:0xffff;
    }
  }
  finall(s,B,std::make_integer_sequence<int,64>());
  asm volatile("tilerelease":::"memory");
}
