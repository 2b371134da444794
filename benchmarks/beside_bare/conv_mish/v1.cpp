// Direct AVX-512 convolution, 8 oc x 3.. blocks; portable fallback
#include <immintrin.h>
#include <cstring>
namespace {
static inline __m512 mish(__m512 x){
  const __m512 xm=_mm512_min_ps(x,_mm512_set1_ps(40.f));
  const __m512 L=_mm512_set1_ps(1.44269504f);
  __m512 n=_mm512_roundscale_ps(_mm512_mul_ps(xm,L),8);
  __m512 f=_mm512_fmsub_ps(xm,L,n);
  __m512 p=_mm512_set1_ps(1.3333558146e-3f);
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(9.6181291076e-3f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(5.5504108665e-2f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(2.4022650696e-1f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(6.9314718056e-1f));
  p=_mm512_fmadd_ps(p,f,_mm512_set1_ps(1.f));
  __m512 e=_mm512_scalef_ps(p,n);
  __m512 num=_mm512_mul_ps(e,_mm512_add_ps(e,_mm512_set1_ps(2.f)));
  __m512 den=_mm512_add_ps(num,_mm512_set1_ps(2.f));
  return _mm512_div_ps(_mm512_mul_ps(x,num),den);
}
}
extern "C" void kernel(const float* x,const float* w,const float* b,float* out){
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
