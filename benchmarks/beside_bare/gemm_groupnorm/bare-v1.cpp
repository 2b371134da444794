// x is packed into 8 panels of 16 rows ([k][16]); W is broadcast straight from its own layout.
#include <immintrin.h>
#include <cmath>
typedef __m256 V;
static const int K=1024,N=512,M=128;
alignas(4096) static float xp[M*K];

static inline __attribute__((always_inline)) void tr8(V*r){
  V a0=_mm256_unpacklo_ps(r[0],r[1]),a1=_mm256_unpackhi_ps(r[0],r[1]),a2=_mm256_unpacklo_ps(r[2],r[3]),a3=_mm256_unpackhi_ps(r[2],r[3]);
  V a4=_mm256_unpacklo_ps(r[4],r[5]),a5=_mm256_unpackhi_ps(r[4],r[5]),a6=_mm256_unpacklo_ps(r[6],r[7]),a7=_mm256_unpackhi_ps(r[6],r[7]);
#define SH(a,b,i) _mm256_shuffle_ps(a,b,i)
  V b0=SH(a0,a2,0x44),b1=SH(a0,a2,0xEE),b2=SH(a1,a3,0x44),b3=SH(a1,a3,0xEE);
  V b4=SH(a4,a6,0x44),b5=SH(a4,a6,0xEE),b6=SH(a5,a7,0x44),b7=SH(a5,a7,0xEE);
#define P2(a,b,i) _mm256_permute2f128_ps(a,b,i)
  r[0]=P2(b0,b4,0x20);r[1]=P2(b1,b5,0x20);r[2]=P2(b2,b6,0x20);r[3]=P2(b3,b7,0x20);
  r[4]=P2(b0,b4,0x31);r[5]=P2(b1,b5,0x31);r[6]=P2(b2,b6,0x31);r[7]=P2(b3,b7,0x31);
}

static __attribute__((noinline)) void pack(const float*x,float*p){
  for(int k=0;k<K;k+=8){
    V r[8];
    for(int h=0;h<2;h++){
      for(int i=0;i<8;i++)r[i]=_mm256_loadu_ps(x+(h*8+i)*K+k);
      tr8(r);
      for(int i=0;i<8;i++)_mm256_store_ps(p+(k+i)*16+h*8,r[i]);
    }
  }
}

// NT columns x 16 rows. Prefetches 6 rows at pw (if PW) and 2 rows at px.
template<int NT,bool PW>
static __attribute__((noinline)) void tile(const float*p,const float*w,float*c,const float*b,const float*pw,const float*px){
  V a[NT],d[NT];
#pragma GCC unroll 8
  for(int j=0;j<NT;j++)a[j]=d[j]=_mm256_setzero_ps();
  for(int k=0;k<K;k+=16){
    _mm_prefetch((const char*)(px+k),_MM_HINT_T1);
    _mm_prefetch((const char*)(px+K+k),_MM_HINT_T1);
    if(PW){
#pragma GCC unroll 8
      for(int j=0;j<6;j++)_mm_prefetch((const char*)(pw+j*K+k),_MM_HINT_T1);
    }
#pragma GCC unroll 16
    for(int u=0;u<16;u++){
      V l=_mm256_load_ps(p+u*16),h=_mm256_load_ps(p+u*16+8);
#pragma GCC unroll 8
      for(int j=0;j<NT;j++){
        V q=_mm256_broadcast_ss(w+j*K+u);
        a[j]=_mm256_fmadd_ps(q,l,a[j]);
        d[j]=_mm256_fmadd_ps(q,h,d[j]);
      }
    }
    w+=16;p+=256;
  }
#pragma GCC unroll 8
  for(int j=0;j<NT;j++){
    V q=_mm256_broadcast_ss(b+j);
    _mm256_store_ps(c+j*16,_mm256_add_ps(a[j],q));
    _mm256_store_ps(c+j*16+8,_mm256_add_ps(d[j],q));
  }
}

static __attribute__((noinline,cold)) void slow(const float*c,const float*nw,const float*nb,float*out){
  for(int m=0;m<16;m++){
    double s=0,v=0;
    for(int j=0;j<32;j++)s+=c[j*16+m];
    s/=32;
    for(int j=0;j<32;j++)v+=(c[j*16+m]-s)*(c[j*16+m]-s);
    double r=1/std::sqrt(v/32+1e-5);
    for(int j=0;j<32;j++){double y=(c[j*16+m]-s)*r*nw[j]+nb[j];out[m*N+j]=(float)(2*(y>0?y:y*0.01));}
  }
}

// one group: c is [32][16]
static __attribute__((noinline)) void fin(const float*c,const float*nw,const float*nb,float*out){
  V mean[2],rs[2];
  for(int h=0;h<2;h++){
    V s[8];
#pragma GCC unroll 8
    for(int j=0;j<8;j++){
      const float*q=c+j*16+h*8;
      s[j]=_mm256_add_ps(_mm256_add_ps(_mm256_load_ps(q),_mm256_load_ps(q+128)),_mm256_add_ps(_mm256_load_ps(q+256),_mm256_load_ps(q+384)));
    }
    V t=_mm256_add_ps(_mm256_add_ps(_mm256_add_ps(s[0],s[1]),_mm256_add_ps(s[2],s[3])),_mm256_add_ps(_mm256_add_ps(s[4],s[5]),_mm256_add_ps(s[6],s[7])));
    V mu=_mm256_mul_ps(t,_mm256_set1_ps(1.f/32));
    V v[4];
#pragma GCC unroll 4
    for(int j=0;j<4;j++)v[j]=_mm256_setzero_ps();
#pragma GCC unroll 8
    for(int i=0;i<8;i++)
#pragma GCC unroll 4
      for(int j=0;j<4;j++){V e=_mm256_sub_ps(_mm256_load_ps(c+(i*4+j)*16+h*8),mu);v[j]=_mm256_fmadd_ps(e,e,v[j]);}
    V va=_mm256_mul_ps(_mm256_add_ps(_mm256_add_ps(v[0],v[1]),_mm256_add_ps(v[2],v[3])),_mm256_set1_ps(1.f/32));
    va=_mm256_add_ps(va,_mm256_set1_ps(1e-5f));
    if(__builtin_expect(_mm256_movemask_ps(_mm256_cmp_ps(va,_mm256_set1_ps(3e38f),_CMP_NLT_UQ)),0)){slow(c,nw,nb,out);return;}
    mean[h]=mu;rs[h]=_mm256_div_ps(_mm256_set1_ps(1.f),_mm256_sqrt_ps(va));
  }
  const V two=_mm256_set1_ps(2.f),sl=_mm256_set1_ps(0.02f);
  for(int h=0;h<2;h++)for(int j=0;j<32;j+=8){
    V r[8];
#pragma GCC unroll 8
    for(int i=0;i<8;i++){
      V y=_mm256_mul_ps(_mm256_sub_ps(_mm256_load_ps(c+(j+i)*16+h*8),mean[h]),rs[h]);
      y=_mm256_fmadd_ps(y,_mm256_broadcast_ss(nw+j+i),_mm256_broadcast_ss(nb+j+i));
      r[i]=_mm256_max_ps(_mm256_mul_ps(y,two),_mm256_mul_ps(y,sl));
    }
    tr8(r);
#pragma GCC unroll 8
    for(int i=0;i<8;i++)_mm256_storeu_ps(out+(h*8+i)*N+j,r[i]);
  }
}

extern "C" void kernel(const float*x,const float*w,const float*b,const float*nw,const float*nb,float*out){
  alignas(64) float c[64*16];
  for(int g=0;g<8;g++){
    const float*wg=w+g*64*K;
    for(int m=0;m<8;m++){
      float*p=xp+m*16*K;
      if(g==0)pack(x+m*16*K,p);
      for(int t=0;t<11;t++){
        const float*wt=wg+t*6*K;
        int ti=m*11+t;
        const float*px=wt;
        if(g==0){ if(m<7&&t<8)px=x+((m+1)*16+t*2)*K; else if(m==7) px=wg+(64+t*2)*K; }
        else if(g<7&&ti<32) px=wg+(64+ti*2)*K;
        if(t<10){
          if(g==0&&m==0) tile<6,true>(p,wt,c+t*96,b+g*64+t*6,wt+6*K,px);
          else tile<6,false>(p,wt,c+t*96,b+g*64+t*6,wt,px);
        } else tile<4,false>(p,wt,c+t*96,b+g*64+t*6,wt,px);
      }
      for(int q=0;q<2;q++)fin(c+q*512,nw+g*64+q*32,nb+g*64+q*32,out+m*16*N+g*64+q*32);
    }
  }
}
