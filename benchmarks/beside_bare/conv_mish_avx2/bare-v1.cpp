#include <immintrin.h>
#include <cstdint>
#define AI static inline __attribute__((always_inline))
// Winograd F(2x2,3x3); 8 tiles per vector in lane order 0,1,4,5|2,3,6,7.
AI __m256 mish(__m256 x){
  const __m256 magic=_mm256_set1_ps(12582912.f), l2e=_mm256_set1_ps(1.44269504f);
  x=_mm256_max_ps(x,_mm256_set1_ps(-87.f));
  __m256 c=_mm256_min_ps(x,_mm256_set1_ps(20.f));
  __m256 t=_mm256_fmadd_ps(c,l2e,magic);
  __m256 r=_mm256_sub_ps(t,magic);
  __m256 f=_mm256_fmsub_ps(c,l2e,r);
  __m256 p=_mm256_set1_ps(1.33982743e-3f);
  p=_mm256_fmadd_ps(p,f,_mm256_set1_ps(9.61817009e-3f));
  p=_mm256_fmadd_ps(p,f,_mm256_set1_ps(5.55032515e-2f));
  p=_mm256_fmadd_ps(p,f,_mm256_set1_ps(2.40226444e-1f));
  p=_mm256_fmadd_ps(p,f,_mm256_set1_ps(6.93147182e-1f));
  p=_mm256_fmadd_ps(p,f,_mm256_set1_ps(1.0f));
  __m256 e=_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p),_mm256_slli_epi32(_mm256_castps_si256(t),23)));
  const __m256 two=_mm256_set1_ps(2.f);
  __m256 n=_mm256_mul_ps(e,_mm256_add_ps(e,two));
  return _mm256_mul_ps(x,_mm256_div_ps(n,_mm256_add_ps(n,two)));
}
AI void st(float*o,__m256 a,bool edge){
  if(!edge) _mm256_storeu_ps(o,a);
  else { _mm_storeu_ps(o,_mm256_castps256_ps128(a)); _mm_storel_pi((__m64*)(o+4),_mm256_extractf128_ps(a,1)); }
}
// M layout [p][oc4][vec2][8]
AI void outt(const float*M,float*o,bool edge){
  #define L(i,j) _mm256_load_ps(M+((i)*4+(j))*64)
  __m256 a[4],b[4];
  #pragma GCC unroll 4
  for(int j=0;j<4;j++){
    __m256 m1=L(1,j),m2=L(2,j);
    a[j]=_mm256_add_ps(_mm256_add_ps(m1,m2),L(0,j));
    b[j]=_mm256_sub_ps(_mm256_sub_ps(m1,m2),L(3,j));
  }
  #undef L
  __m256 y0=mish(_mm256_add_ps(_mm256_add_ps(a[1],a[2]),a[0]));
  __m256 y1=mish(_mm256_sub_ps(_mm256_sub_ps(a[1],a[2]),a[3]));
  __m256 z0=mish(_mm256_add_ps(_mm256_add_ps(b[1],b[2]),b[0]));
  __m256 z1=mish(_mm256_sub_ps(_mm256_sub_ps(b[1],b[2]),b[3]));
  st(o,_mm256_unpacklo_ps(y0,y1),false); st(o+8,_mm256_unpackhi_ps(y0,y1),edge);
  st(o+62,_mm256_unpacklo_ps(z0,z1),false); st(o+70,_mm256_unpackhi_ps(z0,z1),edge);
}
AI void gemm(const float*V,const float*U,const float*bias,float*M){
  // V [ic][vec2][8]; U [ic][4]; M [oc4][vec2][8]
  __m256 c[4][2];
  #pragma GCC unroll 8
  for(int ic=0;ic<8;ic++){
    __m256 v0=_mm256_load_ps(V+ic*16),v1=_mm256_load_ps(V+ic*16+8);
    #pragma GCC unroll 4
    for(int k=0;k<4;k++){
      __m256 u=_mm256_broadcast_ss(U+ic*4+k);
      if(ic==0){
        if(bias){ __m256 b=_mm256_broadcast_ss(bias+k); c[k][0]=_mm256_fmadd_ps(u,v0,b); c[k][1]=_mm256_fmadd_ps(u,v1,b);}
        else { c[k][0]=_mm256_mul_ps(u,v0); c[k][1]=_mm256_mul_ps(u,v1);}
      } else { c[k][0]=_mm256_fmadd_ps(u,v0,c[k][0]); c[k][1]=_mm256_fmadd_ps(u,v1,c[k][1]); }
    }
  }
  #pragma GCC unroll 4
  for(int k=0;k<4;k++){ _mm256_store_ps(M+k*16,c[k][0]); _mm256_store_ps(M+k*16+8,c[k][1]); }
}
AI void intr(const float*x,float*V,bool edge){ // one ic, one vec; V + p*128
  __m256 d[4][4];
  #pragma GCC unroll 4
  for(int i=0;i<4;i++){
    const float*q=x+i*64;
    __m256 a=_mm256_loadu_ps(q),b=_mm256_loadu_ps(q+8),c=_mm256_loadu_ps(q+2),e;
    if(edge) e=_mm256_maskload_ps(q+10,_mm256_setr_epi32(-1,-1,-1,-1,-1,-1,0,0));
    else e=_mm256_loadu_ps(q+10);
    __m256 d0=_mm256_shuffle_ps(a,b,0x88),d1=_mm256_shuffle_ps(a,b,0xDD);
    __m256 d2=_mm256_shuffle_ps(c,e,0x88),d3=_mm256_shuffle_ps(c,e,0xDD);
    d[i][0]=_mm256_sub_ps(d0,d2); d[i][1]=_mm256_add_ps(d1,d2);
    d[i][2]=_mm256_sub_ps(d2,d1); d[i][3]=_mm256_sub_ps(d1,d3);
  }
  #pragma GCC unroll 4
  for(int j=0;j<4;j++){
    _mm256_store_ps(V+(0+j)*128,_mm256_sub_ps(d[0][j],d[2][j]));
    _mm256_store_ps(V+(4+j)*128,_mm256_add_ps(d[1][j],d[2][j]));
    _mm256_store_ps(V+(8+j)*128,_mm256_sub_ps(d[2][j],d[1][j]));
    _mm256_store_ps(V+(12+j)*128,_mm256_sub_ps(d[1][j],d[3][j]));
  }
}
template<bool E> static __attribute__((noinline)) void half(const float*x,const float*U,const float*b,float*out){
  alignas(64) float V[16*8*16]; alignas(64) float M[16*64];
  for(int ic=0;ic<8;ic++){ intr(x+ic*4096,V+ic*16,false); intr(x+ic*4096+16,V+ic*16+8,E); }
  for(int ob=0;ob<8;ob++){
    const float*u=U+ob*512;
    for(int p=0;p<5;p++) gemm(V+p*128,u+p*32,nullptr,M+p*64);
    gemm(V+5*128,u+5*32,b+ob*4,M+5*64);
    for(int p=6;p<16;p++) gemm(V+p*128,u+p*32,nullptr,M+p*64);
    float*o=out+ob*4*3844;
    for(int k=0;k<4;k++){ outt(M+k*16,o+k*3844,false); outt(M+k*16+8,o+k*3844+16,E); }
  }
}
static void wtrans(const float*w,const float*cb,float*U,float*B){
  for(int i=0;i<32;i++) B[i]=cb[i]-0.7f;
  for(int ob=0;ob<8;ob++) for(int ic=0;ic<8;ic++){
    __m128 g[3][3],t[4][3]; const __m128 h=_mm_set1_ps(.5f);
    const float*q=w+(ob*4*8+ic)*9;
    for(int k=0;k<9;k++) g[k/3][k%3]=_mm_setr_ps(q[k],q[72+k],q[144+k],q[216+k]);
    for(int k=0;k<3;k++){
      t[0][k]=g[0][k]; t[3][k]=g[2][k];
      __m128 s=_mm_mul_ps(h,_mm_add_ps(g[0][k],g[2][k])),m=_mm_mul_ps(h,g[1][k]);
      t[1][k]=_mm_add_ps(s,m); t[2][k]=_mm_sub_ps(s,m);
    }
    float*u=U+ob*512+ic*4;
    for(int i=0;i<4;i++){
      _mm_store_ps(u+(i*4+0)*32,t[i][0]); _mm_store_ps(u+(i*4+3)*32,t[i][2]);
      __m128 s=_mm_mul_ps(h,_mm_add_ps(t[i][0],t[i][2])),m=_mm_mul_ps(h,t[i][1]);
      _mm_store_ps(u+(i*4+1)*32,_mm_add_ps(s,m)); _mm_store_ps(u+(i*4+2)*32,_mm_sub_ps(s,m));
    }
  }
}
extern "C" void kernel(const float* x,const float* w,const float* cb,float* out){
  alignas(64) float U[16*8*32]; alignas(64) float B[32];
  wtrans(w,cb,U,B);
  for(int n=0;n<4;n++) for(int ty=0;ty<31;ty++){
    const float*q=x+n*8*4096+ty*128; float*o=out+n*32*3844+ty*124;
    half<false>(q,U,B,o); half<true>(q+32,U,B,o+32);
  }
}
