// x is packed into 8 panels of 16 rows ([k][16]); W is broadcast straight from its own layout.
#include <immintrin.h>
#include <cmath>
typedef __m256 V;
static const int KB=256,K=1024,N=512,M=128;
alignas(4096) static float xp[M*K];

#define SH(a,b,i) _mm256_shuffle_ps(a,b,i)
static inline __attribute__((always_inline)) void tr8(V*r){
  V a0=_mm256_unpacklo_ps(r[0],r[1]),a1=_mm256_unpackhi_ps(r[0],r[1]),a2=_mm256_unpacklo_ps(r[2],r[3]),a3=_mm256_unpackhi_ps(r[2],r[3]);
  V a4=_mm256_unpacklo_ps(r[4],r[5]),a5=_mm256_unpackhi_ps(r[4],r[5]),a6=_mm256_unpacklo_ps(r[6],r[7]),a7=_mm256_unpackhi_ps(r[6],r[7]);
  V b0=SH(a0,a2,0x44),b1=SH(a0,a2,0xEE),b2=SH(a1,a3,0x44),b3=SH(a1,a3,0xEE);
  V b4=SH(a4,a6,0x44),b5=SH(a4,a6,0xEE),b6=SH(a5,a7,0x44),b7=SH(a5,a7,0xEE);
#define P2(a,b,i) _mm256_permute2f128_ps(a,b,i)
  r[0]=P2(b0,b4,0x20);r[1]=P2(b1,b5,0x20);r[2]=P2(b2,b6,0x20);r[3]=P2(b3,b7,0x20);
  r[4]=P2(b0,b4,0x31);r[5]=P2(b1,b5,0x31);r[6]=P2(b2,b6,0x31);r[7]=P2(b3,b7,0x31);
}


static __attribute__((noinline)) void pack(const float*x,float*p){
  for(int k=0;k<KB;k+=16)for(int h=0;h<2;h++){
    const float*q=x+h*8*K+k;float*d=p+k*16+h*8;
#pragma GCC unroll 4
    for(int e=0;e<4;e++){
      V r[4];
#pragma GCC unroll 4
      for(int i=0;i<4;i++)r[i]=_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_load_ps(q+i*K+e*4)),_mm_load_ps(q+(i+4)*K+e*4),1);
      V a0=_mm256_unpacklo_ps(r[0],r[1]),a1=_mm256_unpackhi_ps(r[0],r[1]),a2=_mm256_unpacklo_ps(r[2],r[3]),a3=_mm256_unpackhi_ps(r[2],r[3]);
      _mm256_store_ps(d+e*64,SH(a0,a2,0x44));_mm256_store_ps(d+e*64+16,SH(a0,a2,0xEE));
      _mm256_store_ps(d+e*64+32,SH(a1,a3,0x44));_mm256_store_ps(d+e*64+48,SH(a1,a3,0xEE));
    }
  }
}
#define CLB "memory","cc","ymm0","ymm1","ymm2","ymm3","ymm4","ymm5","ymm6","ymm7","ymm8","ymm9","ymm10","ymm11","ymm12","ymm13","ymm14","ymm15"
#define Z(r) "vxorps %%xmm" #r ",%%xmm" #r ",%%xmm" #r "\n"
#define ST(r,o) "vmovaps %%ymm" #r "," #o "*32(%[c])\n"
#define COL(u,addr,q,a,b) "vbroadcastss " #u "*4(" addr "),%%ymm" #q "\n vfmadd231ps %%ymm0,%%ymm" #q ",%%ymm" #a "\n vfmadd231ps %%ymm1,%%ymm" #q ",%%ymm" #b "\n"
#define LD(u) "vmovaps " #u "*64(%[p]),%%ymm0\n vmovaps " #u "*64+32(%[p]),%%ymm1\n"
#define S5(u) LD(u) COL(u,"%[w]",2,4,5) COL(u,"%[w],%[s]",3,6,7) COL(u,"%[w],%[s],2",2,8,9) COL(u,"%[v]",3,10,11) COL(u,"%[v],%[s]",2,12,13)
#define S6(u) S5(u) COL(u,"%[v],%[s],2",3,14,15)
#define P0(a) "prefetcht0 " a "\n"
#define P1(a) "prefetcht1 " a "\n"
// per 16 k: the next tile's W lines to L1; two further streams to L2
#define BODY(S) S(0) S(1) P1("(%[x])") S(2) S(3) P1("(%[x],%[xs])") S(4) S(5) P0("(%[y])") S(6) P0("(%[y],%[s])") S(7) P0("(%[y],%[s],2)") S(8) S(9) P1("(%[q])") S(10) P1("64(%[q])") S(11) P0("(%[z])") S(12) S(13) P0("(%[z],%[s])") S(14) P0("(%[z],%[s],2)") S(15)
#define INC "add $1024,%[p]\n add $64,%[w]\n add $64,%[v]\n add $64,%[x]\n add $64,%[y]\n add $64,%[z]\n add $128,%[q]\n dec %[n]\n jnz 1b\n"
#define AD(r,o) "vaddps " #o "*32(%[c]),%%ymm" #r ",%%ymm" #r "\n"
#define OPS :[p]"+r"(p),[w]"+r"(w),[v]"+r"(v),[n]"+r"(n),[x]"+r"(px),[y]"+r"(pw),[z]"+r"(z),[q]"+r"(pq):[s]"r"(s),[c]"r"(c),[xs]"r"(xs),[f]"r"(first):CLB
// NT columns x 16 rows over KB of k; c += (or = if first).
template<int NT>
static inline __attribute__((always_inline)) void tile(const float*p,const float*w,float*c,long first,const float*pw,const float*px,long xs,const float*pq){
  const float*v=w+3*K,*z=pw+3*K;long s=4096,n=KB/16;
  if(NT==6)asm volatile(Z(4)Z(5)Z(6)Z(7)Z(8)Z(9)Z(10)Z(11)Z(12)Z(13)Z(14)Z(15)
   ".p2align 5\n1:\n" BODY(S6) INC "test %[f],%[f]\n jnz 2f\n"
   AD(4,0)AD(5,1)AD(6,2)AD(7,3)AD(8,4)AD(9,5)AD(10,6)AD(11,7)AD(12,8)AD(13,9)AD(14,10)AD(15,11) "2:\n"
   ST(4,0)ST(5,1)ST(6,2)ST(7,3)ST(8,4)ST(9,5)ST(10,6)ST(11,7)ST(12,8)ST(13,9)ST(14,10)ST(15,11) OPS);
  else asm volatile(Z(4)Z(5)Z(6)Z(7)Z(8)Z(9)Z(10)Z(11)Z(12)Z(13)
   ".p2align 5\n1:\n" BODY(S5) INC "test %[f],%[f]\n jnz 2f\n"
   AD(4,0)AD(5,1)AD(6,2)AD(7,3)AD(8,4)AD(9,5)AD(10,6)AD(11,7)AD(12,8)AD(13,9) "2:\n"
   ST(4,0)ST(5,1)ST(6,2)ST(7,3)ST(8,4)ST(9,5)ST(10,6)ST(11,7)ST(12,8)ST(13,9) OPS);
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


// one group: c is [32][16] without the bias
static __attribute__((noinline)) void fin(float*c,const float*b,const float*nw,const float*nb,float*out){
  V s[2][8];
#pragma GCC unroll 8
  for(int j=0;j<8;j++){
    V u[2][4];
#pragma GCC unroll 4
    for(int i=0;i<4;i++){float*q=c+(j*4+i)*16;V t=_mm256_broadcast_ss(b+j*4+i);
      u[0][i]=_mm256_add_ps(_mm256_load_ps(q),t);u[1][i]=_mm256_add_ps(_mm256_load_ps(q+8),t);
      _mm256_store_ps(q,u[0][i]);_mm256_store_ps(q+8,u[1][i]);}
#pragma GCC unroll 2
    for(int h=0;h<2;h++)s[h][j]=_mm256_add_ps(_mm256_add_ps(u[h][0],u[h][1]),_mm256_add_ps(u[h][2],u[h][3]));
    if(j&1)s[0][j-1]=_mm256_add_ps(s[0][j-1],s[0][j]),s[1][j-1]=_mm256_add_ps(s[1][j-1],s[1][j]);
  }
  V mu[2],rs[2],v[2][4];
#pragma GCC unroll 2
  for(int h=0;h<2;h++){
    mu[h]=_mm256_mul_ps(_mm256_add_ps(_mm256_add_ps(s[h][0],s[h][2]),_mm256_add_ps(s[h][4],s[h][6])),_mm256_set1_ps(1.f/32));
#pragma GCC unroll 4
    for(int j=0;j<4;j++)v[h][j]=_mm256_setzero_ps();
  }
#pragma GCC unroll 2
  for(int i=0;i<8;i++){
#pragma GCC unroll 4
    for(int j=0;j<4;j++){const float*q=c+(i*4+j)*16;
      V l=_mm256_sub_ps(_mm256_load_ps(q),mu[0]),h=_mm256_sub_ps(_mm256_load_ps(q+8),mu[1]);
      v[0][j]=_mm256_fmadd_ps(l,l,v[0][j]);v[1][j]=_mm256_fmadd_ps(h,h,v[1][j]);}
  }
  int bad=0;
#pragma GCC unroll 2
  for(int h=0;h<2;h++){
    V va=_mm256_add_ps(_mm256_add_ps(v[h][0],v[h][1]),_mm256_add_ps(v[h][2],v[h][3]));
    va=_mm256_fmadd_ps(va,_mm256_set1_ps(1.f/32),_mm256_set1_ps(1e-5f));
    bad|=_mm256_movemask_ps(_mm256_cmp_ps(va,_mm256_set1_ps(1e37f),_CMP_NLT_UQ));
    rs[h]=_mm256_div_ps(_mm256_set1_ps(2.f),_mm256_sqrt_ps(va));
  }
  if(__builtin_expect(bad,0)){slow(c,nw,nb,out);return;}
  const V sl=_mm256_set1_ps(0.01f);
#pragma GCC unroll 2
  for(int h=0;h<2;h++)for(int j=0;j<32;j+=8){
    V r[8];
#pragma GCC unroll 8
    for(int i=0;i<8;i++){
      V y=_mm256_mul_ps(_mm256_sub_ps(_mm256_load_ps(c+(j+i)*16+h*8),mu[h]),rs[h]);
      V t=_mm256_broadcast_ss(nb+j+i);
      y=_mm256_fmadd_ps(y,_mm256_broadcast_ss(nw+j+i),_mm256_add_ps(t,t));
      r[i]=_mm256_max_ps(y,_mm256_mul_ps(y,sl));
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
      for(int kb=0;kb<4;kb++){
        float*p=xp+m*16*K+kb*KB*16;
        if(g==0)pack(x+m*16*K+kb*KB,p);
        const float*wk=wg+kb*KB;
        // next W tile after the last one of this block
        const float*wn=kb<3?wk+KB:m<7?wg:g<7?wg+64*K:wg;
        const float*pq=g==0&&m<7?p:kb<3||m<7?p+KB*16:xp;
        for(int t=0;t<11;t++){
          int col=t<9?t*6:t==9?54:59;
          const float*wt=wk+col*K;
          const float*px;long xs=0;
          if(g==0&&m<7){ // next 16 rows of x: this k block, two rows a tile for 8 tiles
            px=x+((m+1)*16+(t<8?t*2:0))*K+kb*KB;xs=4096;
          } else if(g<7){ // 64 rows x 4 k blocks of the next W: spread over the panels
            int nt=g==0?7:m,id=g==0?kb*11+t:(m*4+kb)*11+t; (void)nt;
            if(g==0){id=id*2; px=wg+64*K+(id<64?id:0)*K;xs=4096;}
            else { id=id<256?id:0; px=wg+(64+(id>>2))*K+(id&3)*KB; }
          } else px=wt;
          if(kb==3&&t<8)for(int i=0;i<8;i++)__builtin_prefetch(out+(m*16+t*2+(i>>2))*N+g*64+(i&3)*16,1,3);
          const float*pb=pq+(t<8?t*512:0);
          const float*pw=wt+32;
          if(t<9)tile<6>(p,wt,c+col*16,kb==0,pw,px,xs,pb);
          else tile<5>(p,wt,c+col*16,kb==0,pw,px,xs,pb);
        }
      }
      for(int q=0;q<2;q++){int o=g*64+q*32;fin(c+q*512,b+o,nw+o,nb+o,out+m*16*N+o);}
    }
  }
}
