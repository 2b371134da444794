#include <immintrin.h>
#include <cstdint>
#ifndef PFH
#define PFH _MM_HINT_ET0
#endif
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
#define FENCE4(a,b) asm volatile("":"+x"(a),"+x"(b))
// one GEMM position: M[oc4][vec2][8] = U[ic][4] * V[ic][vec2][8]; interleaved with one output row (two mish chains)
// of the pending block.  Mp: pending M at unit (k,v);  R: row parity
template<int S> AI void step(const float*V,const float*U,float*M,const float*Mp,const float*bp,float*o,bool edge,float*Q,const float*pf){
  constexpr int R=S&1;
  __m256 c[4][2],v0,v1;
  #define LD(ic) v0=_mm256_load_ps(V+(ic)*16),v1=_mm256_load_ps(V+(ic)*16+8); asm volatile("":"+x"(v0),"+x"(v1))
  #define MU(ic,k) { __m256 u=_mm256_broadcast_ss(U+(ic)*4+k); c[k][0]=_mm256_mul_ps(u,v0); c[k][1]=_mm256_mul_ps(u,v1); }
  #define FM(ic,k) { __m256 u=_mm256_broadcast_ss(U+(ic)*4+k); c[k][0]=_mm256_fmadd_ps(u,v0,c[k][0]); c[k][1]=_mm256_fmadd_ps(u,v1,c[k][1]); }
  #define G(ic) LD(ic); FM(ic,0) FM(ic,1) FM(ic,2) FM(ic,3)
  #define L(i,j) _mm256_load_ps(Mp+((i)*4+(j))*64)
  #define T(j) (R?_mm256_sub_ps(_mm256_sub_ps(L(1,j),L(2,j)),L(3,j)):_mm256_add_ps(_mm256_add_ps(L(1,j),L(2,j)),L(0,j)))
  #define C(v) _mm256_set1_ps(v)
  #define EX(p,t) _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p),_mm256_slli_epi32(_mm256_castps_si256(t),23)))
  const __m256 magic=C(12582912.f), l2e=C(1.44269504f), two=C(2.f);
  // slots: Q[0..1] x of this step (stage 1); stage 2 reads the x of the step before; stage 3 that of two before
  const int s1=S%4*16, s2=(S+3)%4*16, s3=(S+2)%4*16;
  asm volatile("":::"memory");
  LD(0); MU(0,0) MU(0,1) MU(0,2) MU(0,3)
  // stage 3
  __m256 n0=_mm256_load_ps(Q+64+s3),n1=_mm256_load_ps(Q+64+s3+8);
  n0=_mm256_mul_ps(n0,_mm256_add_ps(n0,two)); n1=_mm256_mul_ps(n1,_mm256_add_ps(n1,two));
  n0=_mm256_div_ps(n0,_mm256_add_ps(n0,two)); n1=_mm256_div_ps(n1,_mm256_add_ps(n1,two));
  G(1)
  __m256 f0=_mm256_min_ps(_mm256_load_ps(Q+s2),C(20.f)),f1=_mm256_min_ps(_mm256_load_ps(Q+s2+8),C(20.f));
  __m256 t0=_mm256_fmadd_ps(f0,l2e,magic),t1=_mm256_fmadd_ps(f1,l2e,magic);
  G(2)
  n0=_mm256_mul_ps(n0,_mm256_load_ps(Q+s3)); n1=_mm256_mul_ps(n1,_mm256_load_ps(Q+s3+8));
  st(o,_mm256_unpacklo_ps(n0,n1),false); st(o+8,_mm256_unpackhi_ps(n0,n1),edge);
  f0=_mm256_fmsub_ps(f0,l2e,_mm256_sub_ps(t0,magic)); f1=_mm256_fmsub_ps(f1,l2e,_mm256_sub_ps(t1,magic));
  G(3)
  __m256 p0=_mm256_fmadd_ps(f0,C(1.33982743e-3f),C(9.61817009e-3f)),p1=_mm256_fmadd_ps(f1,C(1.33982743e-3f),C(9.61817009e-3f));
  p0=_mm256_fmadd_ps(p0,f0,C(5.55032515e-2f)); p1=_mm256_fmadd_ps(p1,f1,C(5.55032515e-2f));
  G(4)
  p0=_mm256_fmadd_ps(p0,f0,C(2.40226444e-1f)); p1=_mm256_fmadd_ps(p1,f1,C(2.40226444e-1f));
  p0=_mm256_fmadd_ps(p0,f0,C(6.93147182e-1f)); p1=_mm256_fmadd_ps(p1,f1,C(6.93147182e-1f));
  G(5)
  p0=_mm256_fmadd_ps(p0,f0,C(1.f)); p1=_mm256_fmadd_ps(p1,f1,C(1.f));
  p0=EX(p0,t0); p1=EX(p1,t1);
  _mm256_store_ps(Q+64+s2,p0); _mm256_store_ps(Q+64+s2+8,p1);
  G(6)
  // stage 1
  __m256 a1=_mm256_add_ps(T(1),_mm256_broadcast_ss(bp)),a2=T(2);
  __m256 x0=_mm256_add_ps(a1,a2),x1=_mm256_sub_ps(a1,a2);
  G(7)
  x0=_mm256_add_ps(x0,T(0)); x1=_mm256_sub_ps(x1,T(3));
  _mm256_store_ps(Q+s1,_mm256_max_ps(x0,C(-87.f))); _mm256_store_ps(Q+s1+8,_mm256_max_ps(x1,C(-87.f)));
  #pragma GCC unroll 4
  for(int k=0;k<4;k++){ _mm256_store_ps(M+k*16,c[k][0]); _mm256_store_ps(M+k*16+8,c[k][1]); }
  _mm_prefetch((const char*)pf,PFH);
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
struct Pend { const float*M,*b; float*o; long pf; };
// po/pe: output row base of the unit pair before (its v=1 rows are still in the pipeline)
static __attribute__((noinline)) void block(const float*V,const float*u,float*M,Pend pd,bool E,float*po,bool pe,float*Q){
  for(int k=0;k<4;k++){
    const float*m=pd.M+k*16; float*o=pd.o+k*3844; const float*pf=o+pd.pf;
    step<0>(V,u,M,m,pd.b+k,po+16,pe,Q,pf);
    step<1>(V+128,u+32,M+64,m,pd.b+k,po+78,pe,Q,pf+16);
    step<2>(V+256,u+64,M+128,m+8,pd.b+k,o,false,Q,pf+32);
    step<3>(V+384,u+96,M+192,m+8,pd.b+k,o+62,false,Q,pf+48);
    V+=512; u+=128; M+=256; po=o; pe=E;
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
  alignas(64) float V[16*8*16]; alignas(64) float M[2][16*64+64]; alignas(64) float Q[128];
  wtrans(w,cb,U,B);
  for(int i=0;i<1024;i++) M[1][i]=0;
  for(int i=0;i<128;i++) Q[i]=0;
  Pend pd={M[1],B,out,124}; float*po=out; bool pe=true,E=true;
  for(int n=0;n<4;n++) for(int ty=0;ty<31;ty++) for(int h=0;h<2;h++){
    const float*q=x+n*8*4096+ty*128+h*32; float*o=out+n*32*3844+ty*124+h*32;
    if(h==0) for(int ic=0;ic<8;ic++){ intr(q+ic*4096,V+ic*16,false); intr(q+ic*4096+16,V+ic*16+8,false); }
    else for(int ic=0;ic<8;ic++){ intr(q+ic*4096,V+ic*16,false); intr(q+ic*4096+16,V+ic*16+8,true); }
    for(int ob=0;ob<8;ob++){
      block(V,U+ob*512,M[ob&1],pd,E,po,pe,Q);
      po=pd.o+3*3844; pe=E;
      pd.M=M[ob&1]; pd.b=B+ob*4; pd.o=o+ob*4*3844; pd.pf=124+h*32; E=h;
    }
  }
  alignas(64) float D[1024]; // drain: M of the last block is M[1]; D is scratch
  block(V,U,D,pd,E,po,pe,Q);
  // two rows left in the pipeline
  {
    float*o=pd.o+3*3844;
    for(int r=0;r<2;r++){
      int sl=(2+r)*16; 
      __m256 x0=mish(_mm256_load_ps(Q+sl)),x1=mish(_mm256_load_ps(Q+sl+8));
      st(o+16+r*62,_mm256_unpacklo_ps(x0,x1),false); st(o+24+r*62,_mm256_unpackhi_ps(x0,x1),true);
    }
  }
}
