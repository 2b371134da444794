// Attention forward in single precision: out = softmax(q·kᵀ / 8 + mask)·v for each head.
//
// Row by row, as the definition says, with LANES partial sums so that the compiler can use vectors.

const LANES: usize = 8; // tune: 1 4 8 16 32  (partial sums of a product)
const BLOCK_KEYS: usize = 16; // tune: 1 4 8 16 32 64  (keys whose values are added at a time)
const D: usize = 64;

extern "C" {
    fn expf(x: f32) -> f32;
    fn malloc(bytes: usize) -> *mut f32;
    fn free(memory: *mut f32);
}

unsafe fn product(a: *const f32, b: *const f32) -> f32 {
    let mut sums = [0f32; LANES];
    let mut d = 0;
    while d < D {
        for lane in 0..LANES {
            sums[lane] += *a.add(d + lane) * *b.add(d + lane);
        }
        d += LANES;
    }
    sums.iter().sum()
}

unsafe fn row(q: *const f32, k: *const f32, v: *const f32, out: *mut f32, p: *mut f32, keys: usize) {
    let mut largest = f32::NEG_INFINITY;
    for j in 0..keys {
        let score = product(q, k.add(j * D)) * 0.125;
        *p.add(j) = score;
        largest = if score > largest { score } else { largest };
    }
    let mut total = 0f32;
    for j in 0..keys {
        let weight = expf(*p.add(j) - largest);
        *p.add(j) = weight;
        total += weight;
    }
    let mut sums = [0f32; D];
    let mut first = 0;
    while first < keys {
        let end = if first + BLOCK_KEYS < keys { first + BLOCK_KEYS } else { keys };
        let mut part = [0f32; D];
        for j in first..end {
            let weight = *p.add(j);
            for d in 0..D {
                part[d] += weight * *v.add(j * D + d);
            }
        }
        for d in 0..D {
            sums[d] += part[d];
        }
        first = end;
    }
    for d in 0..D {
        *out.add(d) = sums[d] / total;
    }
}

#[no_mangle]
pub unsafe extern "C" fn attention(
    q: *const f32, k: *const f32, v: *const f32, out: *mut f32,
    batch: i64, heads: i64, sequence: i64, causal: bool,
) {
    let rows = sequence as usize;
    let p = malloc(rows * 4);
    for head in 0..(batch * heads) as usize {
        let at = head * rows * D;
        for i in 0..rows {
            let keys = if causal { i + 1 } else { rows };
            row(q.add(at + i * D), k.add(at), v.add(at), out.add(at + i * D), p, keys);
        }
    }
    free(p);
}
