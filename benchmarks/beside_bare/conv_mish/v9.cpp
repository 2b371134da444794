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
  __m512 c=_mm512_range_ps(x,_mm512_set1_ps(43.f),2);
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
struct alignas(4096) Buf{
  u32 E[3][7][12][16];   // [split][ring slot of a row, 6 = copy of 0][kx*4+channel pair][x]
  u32 X[2][2][16][16];   // [pair parity][row]: tap 8, h m l h
  short A[8][2][16][32];
  float C[4][16][16];
  float bias[32];
  __m128i car[64][4][3];
  alignas(64) float pad2[16];float img[2][32][1040];float pad3[16]; // results of the 16 rows in work and of those before, which is streamed out meanwhile
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
// converts 16 columns of one channel pair of one input row (strips go from the right to the left), in three parts
struct V3{__m512i v[3];};
AI void conv_a(const float*__restrict p,int row,int u,V3&o){
  int cp=u&3,r=u>>2;
  p+=cp*8192+r*64;
  Split a=split(_mm512_load_ps(p)),b=split(_mm512_load_ps(p+4096));
  {long d=row+r>=64-4?32768-(64-4)*64:4*64;_mm_prefetch((const char*)(p+d),_MM_HINT_T1);_mm_prefetch((const char*)(p+d+4096),_MM_HINT_T1);}
  o.v[0]=pack(a.h,b.h);o.v[1]=pack(a.m,b.m);o.v[2]=pack(a.l,b.l);
}
template<int q> AI void conv_b(Buf&B,int row,int ps,int par,int u,const V3&v){
  int cp=u&3,r=u>>2,sl=ps*2+r;
  __m512i nx=_mm512_castsi128_si512(B.car[row+r][cp][q]);
  B.car[row+r][cp][q]=_mm512_castsi512_si128(v.v[q]);
  __m512i z[3]={v.v[q],_mm512_alignr_epi32(nx,v.v[q],1),_mm512_alignr_epi32(nx,v.v[q],2)};
#pragma GCC unroll 3
  for(int kx=0;kx<3;kx++)_mm512_store_si512(&B.E[q][sl][kx*4+cp][0],z[kx]);
  _mm512_store_si512(&B.X[par][r][q*4+cp][0],z[2]);
  if(q==0)_mm512_store_si512(&B.X[par][r][12+cp][0],z[2]);
  if(sl==0){
#pragma GCC unroll 2
    for(int kx=0;kx<2;kx++)_mm512_store_si512(&B.E[q][6][kx*4+cp][0],z[kx]);
  }
}
AI void conv_unit(const float*p,Buf&B,int row,int ps,int par,int u){
  V3 v;conv_a(p,row,u,v);conv_b<0>(B,row,ps,par,u,v);conv_b<1>(B,row,ps,par,u,v);conv_b<2>(B,row,ps,par,u,v);
}
struct St{ // block being multiplied / block being finished
  const u32*e[3];const u32*xx;
  float*o;
  const float*cs;float*cd;const short*of;const unsigned short*om;int nl;
};
template<int I> AI void tdp(const St&s,const Buf&B){
  constexpr int P=7*12*16; // plane, in dwords
  if constexpr(I<48){
    constexpr int w=I/24,j=I%24,ph=j/4,k=j%4;
    constexpr int ak=ph<2?0:ph<4?1:ph==4?2:0;
    constexpr int bq=ph==0?2:ph<3?1:0;
    if constexpr(k==0&&(ph==0||ph==2||ph==4||ph==5))TL(4,&B.A[w*3+ak][0][0][0],64);
    if constexpr(k==0&&(ph==0||ph==1||ph==3))TL(6,s.e[w]+bq*P+(w?64:0),64);
    if constexpr(k==1&&(ph==0||ph==2||ph==4||ph==5))TL(5,&B.A[w*3+ak][1][0][0],64);
    if constexpr(k==2&&(ph==0||ph==1||ph==3))TL(7,s.e[w+1]+bq*P+(w?64:0),64);
  }else{
    constexpr int j=I-48,ph=j/4,k=j%4;
    if constexpr(k==0)TL(4,&B.A[7-ph][0][0][0],64);
    if constexpr(k==0&&ph==0)TL(6,s.xx,64);
    if constexpr(k==1)TL(5,&B.A[7-ph][1][0][0],64);
    if constexpr(k==2&&ph==0)TL(7,s.xx+256,64);
  }
  constexpr int k=I%4;
  if constexpr(I<4){ if constexpr(k==0)TZ(0);if constexpr(k==1)TZ(1);if constexpr(k==2)TZ(2);if constexpr(k==3)TZ(3); }
  if constexpr(k==0)TD(0,4,6);
  if constexpr(k==1)TD(1,5,6);
  if constexpr(k==2)TD(2,4,7);
  if constexpr(k==3)TD(3,5,7);
}
// a plane's part of a band: up to 992 results from rows of pitch 64; lines begin at ph = 4*(plane&3) floats before it
struct Tab{short off[4][64];unsigned short mk[4][64];
  constexpr Tab():off(),mk(){for(int p=0;p<4;p++)for(int k=0;k<64;k++){int f=16*k-4*p;
    if(f<0){off[p][k]=f;mk[p][k]=0;}else{int y=f/62,x=f%62;off[p][k]=y*64+x;mk[p][k]=x>46?(0xffffu<<(62-x))&0xffff:0;}}}
};
constexpr Tab tab;
AI __m512 getl(const float*c,const short*of,const unsigned short*m,int k){
  const float*a=c+of[k];
  return _mm512_mask_loadu_ps(_mm512_loadu_ps(a),m[k],a+2);
}
AI void setcopy(St&s,const float*c,float*d,int oc,int len){
  int p=oc&3;
  __builtin_prefetch(d+2*3844,1);__builtin_prefetch(d+2*3844+len,1);
  s.cs=c;s.cd=d-4*p;s.of=tab.off[p];s.om=tab.mk[p];s.nl=(len+4*p)>>4;
  _mm512_mask_storeu_ps(s.cd,(__mmask16)(0xffffu<<(4*p)),getl(c,s.of,s.om,0));
  _mm512_mask_storeu_ps(s.cd+s.nl*16,(__mmask16)((1u<<((len+4*p)&15))-1),getl(c,s.of,s.om,s.nl));
}
AI void line(const St&s,int k){_mm512_stream_ps(s.cd+k*16,getl(s.cs,s.of,s.om,k));}
template<bool CP,int I> AI void fin(const St&s,const Buf&B){
  constexpr int oc=I>>1,r=I&1;
  __m512 v=_mm512_load_ps(&B.C[r*2+(oc>>4)][oc&15][0]);
  v=mish(_mm512_add_ps(v,_mm512_set1_ps(B.bias[oc])));
  float*o=s.o+oc*1040+r*64;
  _mm512_store_ps(o,v);
  if constexpr(CP&&I>0&&I<62){if(I<54||I<s.nl)line(s,I);}
}
template<int J> AI void cpart(const float*x,Buf&B,int row,int ps,int par,int u,V3&v){
  if constexpr(J==0){conv_a(x,row,u,v);}
  if constexpr(J==2)conv_b<0>(B,row,ps,par,u,v);
  if constexpr(J==4)conv_b<1>(B,row,ps,par,u,v);
  if constexpr(J==6)conv_b<2>(B,row,ps,par,u,v);
}
template<bool F,bool CP,int G,int...J> AI void group(const float*x,const St&s,Buf&B,int row,int ps,int par,std::integer_sequence<int,J...>){
  V3 v;
  ((tdp<G*7+J>(s,B),F?fin<CP,G*8+J>(s,B):(void)0,cpart<J>(x,B,row,ps,par,G,v)),...);
  if constexpr(F)fin<CP,G*8+7>(s,B);
}
template<bool F,bool CP,int...G> AI void blk(const float*x,St&s,Buf&B,int row,int ps,int par,std::integer_sequence<int,G...>){
  (group<F,CP,G>(x,s,B,row,ps,par,std::make_integer_sequence<int,7>()),...);
  TS(0,B.C[0],64);TS(1,B.C[1],64);TS(2,B.C[2],64);TS(3,B.C[3],64);
}
template<int...I> AI void finall(const St&s,const Buf&B,std::integer_sequence<int,I...>){(fin<false,I>(s,B),...);}
}
extern "C" void kernel(const float* x,const float* w,const float* b,float* out){
  for(int i=0;i<2304;i+=16)_mm_prefetch((const char*)(w+i),_MM_HINT_T0);
  for(int c=0;c<8;c++)for(int i=0;i<4*64;i+=16)_mm_prefetch((const char*)(x+c*4096+i),_MM_HINT_T0);
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
  // 64 segments: 4 images x 4 bands of 16 rows x 4 strips of 16 columns (right to left), each of 8 (7) pairs of rows
  // and one pair more of input; the pair two places on is converted while a pair is multiplied
  St s;s.o=B.img[0][0];
  int cseg=0,cj=0,cps=0,cpar=0;
  auto src=[&]{return cseg<64?x+(cseg>>4)*32768+((cseg>>2)&3)*1024+(3-(cseg&3))*16+cj*128:x;};
  auto crow=[&]{return ((cseg>>2)&3)*16+cj*2;};
  auto adv=[&]{cps=cps==2?0:cps+1;cpar^=1;if(++cj>(((cseg>>2)&3)==3?7:8)){cj=0;cseg++;}};
  auto plain=[&]{const float*sp=src();for(int u=0;u<8;u++)conv_unit(sp,B,crow(),cps,cpar,u);adv();};
  plain();plain();
  int ps=0,par=0;auto sq=std::make_integer_sequence<int,8>();
  auto step=[&]{ps=ps==2?0:ps+1;par^=1;};
  for(int bd=0;bd<16;bd++){ // band
    int nb=(bd&3)==3?7:8,pl=0;
    const int plen=(bd&3)==0?868:992;                 // of the band before
    const int pb=bd-1;float*pd=out+(pb>>2)*123008+(pb&3)*992;
    auto cpy=[&]{setcopy(s,B.img[(bd+1)&1][pl],pd+pl*3844,pl,plen);pl++;};
    for(int st=3;st>=0;st--){
      for(int j=0;j<nb;j++){
        int ps1=ps==2?0:ps+1;
        s.e[0]=&B.E[0][ps*2][0][0];s.e[1]=&B.E[0][ps*2+1][0][0];s.e[2]=&B.E[0][ps1*2][0][0];
        s.xx=&B.X[par^1][0][0][0];
        const float*sp=src();int row=crow(),p2=cps,q2=cpar;adv();
        if(bd==0){
          if(st==3&&j==0)blk<false,false>(sp,s,B,row,p2,q2,sq);
          else blk<true,false>(sp,s,B,row,p2,q2,sq);
        }else if(st==3&&j==0){blk<true,false>(sp,s,B,row,p2,q2,sq);} // finishes the band before
        else{cpy();blk<true,true>(sp,s,B,row,p2,q2,sq);}
        s.o=B.img[bd&1][0]+j*128+st*16;
        step();
      }
      plain();step();
    }
    if(bd>0)while(pl<32){cpy();for(int k=1;k<s.nl;k++)line(s,k);}
  }
  finall(s,B,std::make_integer_sequence<int,64>());
  asm volatile("tilerelease":::"memory");
  for(int pl=0;pl<32;pl++){setcopy(s,B.img[1][pl],out+3*123008+3*992+pl*3844,pl,868);for(int k=1;k<s.nl;k++)line(s,k);}
  _mm_sfence();
}
