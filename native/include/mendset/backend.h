// The table of operations that a backend fills in: plain C, the only header that a plugin includes.
//
// Conventions
//   Matrices are row-major fp32, dense unless a leading dimension (ld_*, in elements) is given.
//   Pointers inside argument structs are *device* pointers of the backend's own allocator (for the CPU: host memory).
//   A pointer marked "nullable" may be NULL: the input is absent or the output is not wanted. Every other pointer is required.
//   Token sequences are packed without padding: sample s owns rows offsets[s] .. offsets[s+1]-1 of every [rows, *] matrix.
//   Operations do not allocate per call; scratch comes from the ms_context's own workspace, which
//   grows only when an operation starts that needs more than any before it.
//   Gradients "accumulate" (+=) unless `beta` says otherwise (0 = overwrite without reading, 1 = accumulate).
//   Reductions have a fixed order that does not depend on the number of threads: same inputs, same bits.
//   Letters: n rows, d features, k centres, B samples, T tokens, C channels, H heads, V vocabulary.
#ifndef MENDSET_BACKEND_H
#define MENDSET_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MS_BACKEND_ABI 10

// Result of every call. Details of the last failure of a context: `last_error`.
enum {
  MS_OK = 0,
  MS_INVALID_ARGUMENT = 1,
  MS_UNSUPPORTED = 2,
  MS_OUT_OF_MEMORY = 3,
  MS_DEVICE = 4,
};

typedef struct ms_context ms_context;  // a backend's own state: device, stream, thread pool, workspace

enum { MS_NORM_LAYER = 0, MS_NORM_RMS = 1 };
enum {
  MS_ACTIVATION_NONE = 0,
  MS_ACTIVATION_GELU_TANH = 1,
  MS_ACTIVATION_GELU_ERF = 2,
  MS_ACTIVATION_RELU = 3,
  MS_ACTIVATION_SILU = 4,  // x / (1 + e^-x)
  MS_ACTIVATION_TANH = 5,
};
enum { MS_LAYOUT_IN_OUT = 0, MS_LAYOUT_OUT_IN = 1 };  // how a weight matrix of a linear map is stored
enum { MS_KL_FORWARD = 0, MS_KL_REVERSE = 1 };        // KL(reference || policy), KL(policy || reference)
enum { MS_SAMPLE_GREEDY = 0, MS_SAMPLE_NUCLEUS = 1 };
// How the elements of a weight matrix are held. 16 bits are widened, which is exact, where an operation reads them: results have the
// bits of the same matrix in fp32.
enum { MS_TYPE_F32 = 0, MS_TYPE_BF16 = 1, MS_TYPE_F16 = 2 };

// out[t] = token_table[ids[t]] + position_table[positions[t]] + bias
typedef struct {
  int64_t rows, width;
  const int32_t* ids;           // [rows]
  const int32_t* positions;     // [rows]
  const void* token_table;      // [V, width] of token_type
  const float* position_table;  // [positions, width], nullable
  float* out;                   // [rows, width]
  const float* bias;            // [width], nullable: a row that every token gets (token type 0 of an encoder)
  int32_t token_type;           // MS_TYPE_*
} ms_embed_forward_args;

// d_token_table[ids[t]] += d_out[t]; d_position_table[positions[t]] += d_out[t], rows in ascending order.
typedef struct {
  int64_t rows, width;
  const int32_t* ids;
  const int32_t* positions;
  const float* d_out;       // [rows, width]
  float* d_token_table;     // [V, width], nullable
  float* d_position_table;  // [positions, width], nullable
} ms_embed_backward_args;

// y = (x - mean) * rstd * gain + bias (layer), y = x * rstd * gain (RMS: mean not written, bias ignored).
// groups 0: rows are dense. Otherwise (RMS only) each row has `groups` stretches of `width` columns that are normed one by one with
// the same gain (the heads of queries and keys), x's rows lie ld_x and y's rows ld_y apart, and rstd is [rows, groups].
typedef struct {
  int64_t rows, width;
  int32_t kind;
  float epsilon;
  const float* x;     // [rows, width]
  const float* gain;  // [width]
  const float* bias;  // [width], nullable
  float* y;           // [rows, width]
  float* mean;        // [rows], nullable
  float* rstd;        // [rows], nullable
  int64_t groups, ld_x, ld_y;
} ms_norm_forward_args;

// d_x = d_residual + gradient through the norm. d_x may be the same buffer as d_residual or d_y. With groups: x and d_x have ld_x,
// d_y has ld_y, and there is no d_residual.
typedef struct {
  int64_t rows, width;
  int32_t kind;
  const float* x;
  const float* gain;
  const float* mean;        // [rows]
  const float* rstd;        // [rows]
  const float* d_y;         // [rows, width]
  const float* d_residual;  // [rows, width], nullable
  float* d_x;               // [rows, width], nullable
  float* d_gain;            // [width], nullable, accumulates
  float* d_bias;            // [width], nullable, accumulates
  int64_t groups, ld_x, ld_y;
} ms_norm_backward_args;

// A linear map reads f(x), f = x_activation, so that only the activation's *input* is ever stored.
// y = f(x) W + bias + residual. y may be the same buffer as residual.
typedef struct {
  int64_t rows, in, out;
  const float* x;  // [rows, in], leading dimension ld_x
  int64_t ld_x;
  int32_t x_activation;
  const void* w;  // [in, out] or [out, in], see layout, of w_type
  int32_t layout;
  const float* bias;      // [out], nullable
  const float* residual;  // [rows, out], leading dimension ld_y, nullable
  float* y;               // [rows, out], leading dimension ld_y
  int64_t ld_y;
  int32_t w_type;  // MS_TYPE_*
} ms_linear_forward_args;

// d_x = beta * d_x + (d_y W^T) o f'(x): the gradient with respect to x before its activation.
typedef struct {
  int64_t rows, in, out;
  const float* d_y;  // [rows, out], leading dimension ld_y
  int64_t ld_y;
  const void* w;
  int32_t layout;
  const float* x;  // [rows, in], leading dimension ld_x; nullable when x_activation is MS_ACTIVATION_NONE
  int32_t x_activation;
  float* d_x;  // [rows, in], leading dimension ld_x
  int64_t ld_x;
  float beta;
  int32_t w_type;  // MS_TYPE_*
} ms_linear_backward_input_args;

// d_w = beta * d_w + f(x)^T d_y (in w's layout); d_bias = beta * d_bias + column sums of d_y.
typedef struct {
  int64_t rows, in, out;
  const float* x;
  int64_t ld_x;
  int32_t x_activation;
  const float* d_y;
  int64_t ld_y;
  float* d_w;  // nullable
  int32_t layout;
  float* d_bias;  // [out], nullable
  float beta;
} ms_linear_backward_weight_args;

// Per-sample squared Frobenius norm of f(x)^T d_y without forming it where the Gram form is cheaper:
//   sum over s,t of (A A^T)_st (B B^T)_st, A = f(x) and B = d_y restricted to the sample's rows.
// weight_squares[s * stride] += ..., bias_squares[s * stride] += |sum_t B_t|^2. Sums in fp64.
// One "sample" that spans all rows gives the squared norm of the whole batch's gradient.
typedef struct {
  int64_t rows, in, out, samples;
  const int32_t* offsets;  // [samples + 1]
  int64_t max_length;      // longest sample
  const float* x;
  int64_t ld_x;
  int32_t x_activation;
  const float* d_y;
  int64_t ld_y;
  double* weight_squares;  // nullable
  double* bias_squares;    // nullable
  int64_t stride;
} ms_linear_sample_norm_args;

// gain_squares[s * stride] += |sum_t xhat_t o d_y_t|^2; bias_squares[s * stride] += |sum_t d_y_t|^2; groups as in norm_forward
typedef struct {
  int64_t rows, width, samples;
  int32_t kind;
  const int32_t* offsets;
  const float* x;
  const float* mean;
  const float* rstd;
  const float* d_y;
  double* gain_squares;  // nullable
  double* bias_squares;  // nullable
  int64_t stride;
  int64_t groups, ld_x, ld_y;
} ms_norm_sample_norm_args;

// token_squares[s * stride] += sum over distinct tokens v of |sum_{t: ids[t]=v} e_t|^2
// position_squares[s * stride] += sum over distinct positions of |sum e_t|^2
// With a tied head the token term also needs 2 sum_{u,t} columns(u,t) (h_u . e_t): pass hidden and columns.
typedef struct {
  int64_t rows, width, samples;
  const int32_t* offsets;
  const int32_t* ids;
  const int32_t* positions;
  const float* e;                 // [rows, width]: gradient at the embedding sum
  const float* hidden;            // [rows, width]: input of the tied head, nullable
  const float* columns;           // nullable with hidden; per sample a [length, length] matrix: P[u, ids[t]]
  const int64_t* column_offsets;  // [samples]: where a sample's matrix starts, in elements
  double* token_squares;          // nullable
  double* position_squares;       // nullable
  int64_t stride;
} ms_embed_sample_norm_args;

// Copies P[u, ids[t]] for the given logits-gradient rows into the per-sample matrices of ms_embed_sample_norm_args.
typedef struct {
  int64_t rows, vocab;     // rows of p in this chunk
  const float* p;          // [rows, V]: d loss / d logits
  const int32_t* row_of;   // [rows]: the packed row u that p's row belongs to
  const int32_t* sample_of;  // [rows]: its sample
  const int32_t* offsets;
  const int32_t* ids;
  const int64_t* column_offsets;
  float* columns;
} ms_gather_columns_args;

// Attention inside each sample, streaming softmax: query row i sees keys j <= i, i - j < window (window > 0), or every key of its
// sample when bidirectional (window 0 then).
// Head h of q/k/v/out lies at columns h*head_dim ..; key/value head is h * kv_heads / heads.
typedef struct {
  int64_t rows, samples;
  const int32_t* offsets;
  int64_t max_length;
  int32_t heads, kv_heads, head_dim, window;
  float scale;
  const float *q, *k, *v;  // leading dimension ld_qkv
  int64_t ld_qkv;
  float* out;  // [rows, heads * head_dim], leading dimension ld_out
  int64_t ld_out;
  float* lse;  // [rows, heads]: log of the softmax denominator (scaled scores), nullable
  int32_t bidirectional;
} ms_attention_forward_args;

// Of causal attention.
typedef struct {
  int64_t rows, samples;
  const int32_t* offsets;
  int64_t max_length;
  int32_t heads, kv_heads, head_dim, window;
  float scale;
  const float *q, *k, *v;
  int64_t ld_qkv;
  const float* out;
  const float* d_out;
  int64_t ld_out;
  const float* lse;
  float *d_q, *d_k, *d_v;  // leading dimension ld_qkv, overwritten
} ms_attention_backward_args;

// Rotary position embedding in halves on the first `dims` columns of each head, in place: columns c and c + dims/2 turn by
// positions * frequencies[c] and grow by `magnitude`; inverse: the transposed map, for gradients.
typedef struct {
  int64_t rows;
  const int32_t* positions;
  int32_t heads, head_dim, dims, inverse;
  const double* frequencies;  // [dims / 2] radians per position
  float magnitude;
  float* x;  // leading dimension ld_x
  int64_t ld_x;
} ms_rotary_args;

// Gated linear unit: out = f(gate) o up; a row of x holds [gate | up].
typedef struct {
  int64_t rows, width;
  int32_t activation;
  const float* x;  // [rows, 2 width]
  float* out;      // [rows, width]
} ms_glu_forward_args;

// d_x = [d_out o up o f'(gate) | d_out o f(gate)]; d_x may be the same buffer as x.
typedef struct {
  int64_t rows, width;
  int32_t activation;
  const float* x;      // [rows, 2 width]
  const float* d_out;  // [rows, width]
  float* d_x;          // [rows, 2 width]
} ms_glu_backward_args;

// One pass over rows of logits: statistics, losses and, if asked, the gradient written in place.
// With p = softmax(z), r = softmax(reference), y = targets[t]:
//   dz = ce_weight[t] * (p - onehot_y) + kl_weight[t] * { p - r (forward) | p o (log p - log r - KL) (reverse) }
// margin = p_y - max_{j != y} p_j; el2n = |p - onehot_y|; argmax ties go to the lower id. Row sums in fp64.
typedef struct {
  int64_t rows, vocab;
  float* logits;           // [rows, V], overwritten by dz when write_gradient
  const int32_t* targets;  // [rows]; -1: no target (log_prob, margin, el2n of such rows are 0)
  const float* ce_weight;  // [rows], nullable = 0
  const float* reference;  // [rows, V] reference logits, nullable
  const float* kl_weight;  // [rows], nullable = 0
  int32_t kl_direction;
  int32_t write_gradient;
  double* log_prob;  // [rows], nullable
  double* el2n;      // [rows], nullable
  double* margin;    // [rows], nullable
  double* kl;        // [rows], nullable
  int32_t* argmax;   // [rows], nullable
} ms_token_loss_args;

typedef struct {
  int64_t rows, width;
  const int32_t* index;  // [rows]
  const float* x;
  float* out;  // out[i] = x[index[i]]
} ms_gather_rows_args;

typedef struct {
  int64_t rows, width;
  const int32_t* index;  // [rows], distinct
  const float* x;
  float* out;  // out[index[i]] = x[i]; other rows untouched
} ms_scatter_rows_args;

// out[s] = mean of x over the sample's rows, divided by max(|mean|, 1e-12) when normalize. Sums in fp64.
typedef struct {
  int64_t samples, width;
  const int32_t* offsets;
  const float* x;
  int32_t normalize;
  float* out;  // [samples, width]
} ms_mean_pool_args;

typedef struct {
  int64_t count;
  float value;
  float* out;
} ms_fill_args;

// out[0] += sum of squares, fp64, fixed order
typedef struct {
  int64_t count;
  const float* x;
  double* out;
} ms_sum_squares_args;

// g' = grad_scale * g; v = alpha v + (1-alpha) g'^2; w -= lr * g' / (sqrt(v) + epsilon)
typedef struct {
  int64_t count;
  float* w;
  const float* g;
  float* v;
  float lr, alpha, epsilon, grad_scale;
} ms_rmsprop_args;

// Decoupled weight decay; step counts from 1 for the bias corrections.
typedef struct {
  int64_t count;
  float* w;
  const float* g;
  float* m;
  float* v;
  float lr, beta1, beta2, epsilon, weight_decay, grad_scale;
  int64_t step;
} ms_adamw_args;

// One new token per sequence: appends k, v at lengths[b] of the caches, attends over lengths[b] + 1 keys.
typedef struct {
  int64_t batch, capacity;
  int32_t heads, kv_heads, head_dim, window;
  float scale;
  const float *q, *k, *v;  // [batch, *], leading dimension ld_qkv
  int64_t ld_qkv;
  const int32_t* slots;    // [batch]: row of the caches that a sequence owns
  const int32_t* lengths;  // [batch]
  float* k_cache;          // [slots, capacity, kv_heads * head_dim]
  float* v_cache;
  float* out;  // [batch, heads * head_dim]
} ms_decode_attention_args;

// Copies k and v rows of a packed prompt pass into the caches: row t of sample s goes to position t - offsets[s].
typedef struct {
  int64_t rows, samples, capacity, width;  // width = kv_heads * head_dim
  const int32_t* offsets;
  const int32_t* slots;  // [samples]
  const float *k, *v;
  int64_t ld_qkv;
  float* k_cache;
  float* v_cache;
} ms_cache_fill_args;

// Greedy: largest logit, lowest id on ties. Nucleus: logits / temperature, optional top_k first (0 = off), then the smallest
// probability-sorted prefix (ties: lower id first) whose mass reaches top_p, crossing token kept; uniforms[b] in [0,1) picks.
typedef struct {
  int64_t rows, vocab;
  const float* logits;
  int32_t mode, top_k;
  float temperature, top_p;
  const double* uniforms;  // [rows], nullable when greedy
  int32_t* ids;            // [rows]
} ms_sample_tokens_args;

// norms[i] = canonical chain sum of x[i]^2: acc = fma(x, x, acc), ascending coordinates.
typedef struct {
  int64_t n, d;
  const float* x;
  float* norms;
} ms_row_norms_args;

// For each row the centre of least v(i,j) = fma(-2, dot, c_norms[j]) with the canonical dot; ties to the lowest j.
typedef struct {
  int64_t n, k, d;
  const float* x;
  const float* centres;  // [k, d]
  const float* c_norms;  // [k]
  int32_t* labels;       // [n]
  float* best;           // [n], nullable: v of the label
  int32_t* second_label; // [n], nullable; -1 when k = 1
  float* second;         // [n], nullable: second least v
} ms_nearest_centre_args;

// Squared distances by the one canonical routine: r = x_norm + c_norm - 2 dot clamped at 0; below 2^-10 (x_norm + c_norm) the
// canonical chain of (x - c)^2 instead. m[i] = min(m[i], r(i, centre)); with nearest: the centre's number where r < m[i].
typedef struct {
  int64_t n, d, centres;
  const float* x;
  const float* x_norms;       // [n]
  const float* c;             // [centres, d]
  const float* c_norms;       // [centres]
  float* m;                   // [n]
  int32_t first_number;       // number of c[0]
  int32_t* nearest;           // [n], nullable
} ms_min_distance_args;

// Largest m[i] among rows with taken[i] == 0; ties to the lowest index; index -1 when none.
typedef struct {
  int64_t n;
  const float* m;
  const uint8_t* taken;
  float* value;    // [1]
  int64_t* index;  // [1]
} ms_argmax_args;

// sums[k, d] and counts[k] of rows by label in fp64, fixed order (quantised as in performance.md 2.3 or by fixed row blocks).
typedef struct {
  int64_t n, k, d;
  const float* x;
  const int32_t* labels;
  double* sums;     // overwritten
  int64_t* counts;  // overwritten
} ms_label_sums_args;

// out = (x - mean)^T (x - mean) / (n - 1), fp64 [d, d]; mean is an input (fp64 [d]).
typedef struct {
  int64_t n, d;
  const float* x;
  const double* mean;
  double* out;
} ms_covariance_args;

// y = (x - mean) components^T; components [r, d] fp64, y fp32
typedef struct {
  int64_t n, d, r;
  const float* x;
  const double* mean;
  const double* components;
  float* y;  // [n, r]
} ms_project_args;

// mean of every column, fp64, fixed order
typedef struct {
  int64_t n, d;
  const float* x;
  double* mean;
} ms_column_means_args;

// squares[j, i] = r(i, c_j), the squared distance of min_distance.
typedef struct {
  int64_t n, d, centres;
  const float* x;
  const float* x_norms;  // [n]
  const float* c;        // [centres, d]
  const float* c_norms;  // [centres]
  float* squares;        // those to centre j at squares + j * ld_squares
  int64_t ld_squares;
} ms_each_distance_args;

// Rows x[index[i]] in the backend's own order, for pick_farthest. Room for (n + 63) / 64 * 64 rows.
typedef struct {
  int64_t n, d;
  const int32_t* index;  // [n]
  const float* x;
  float* packed;
} ms_pack_rows_args;

// K-Center's refresh. Centres applied[i] .. centres-1, rows of x, lower m[i] (the squared distance of min_distance) until it falls below the
// threshold; applied[i] becomes the number of centres that m[i] knows. How soon after falling below a row stops is the backend's choice;
// a row that stays at or above meets all centres. applied ascends roughly, so that neighbours lack the same centres.
typedef struct {
  int64_t rows, d, centres;
  const int32_t* index;    // [rows] rows of x
  const float* x;
  const float* x_norms;    // of all rows of x
  const int32_t* centre;   // [centres] rows of x
  float threshold;
  float* m;                // [rows]
  int32_t* applied;        // [rows]
} ms_refresh_minimum_args;

// K-Center's local greedy on packed rows. A round picks the row of largest m, the lowest place on ties: place and m go to picks and squares, its
// own m becomes -infinity, every other m is lowered by the squared distance to it (that of min_distance). No round where the largest m is 0 or
// below the threshold, none after the first where fewer than `fewest` rows are at or above the threshold.
typedef struct {
  int64_t n, d, most, fewest;  // most: rounds
  const float* packed;         // of pack_rows
  const float* x_norms;        // [n]
  float threshold;             // >= 0
  float* m;                    // [n]
  int32_t* picks;              // [most]
  float* squares;              // [most]
  int64_t* count;              // [1] rounds made
} ms_pick_farthest_args;

// Squared distance of every row to the centroid of its label, fp64: eight sums over columns of equal remainder modulo 8, added in
// pairs (0+4, 1+5, 2+6, 3+7), then (02, 13). Without centroids: squared lengths.
typedef struct {
  int64_t n, d;
  const float* x;
  const double* centroids;  // [k, d], nullable
  const int32_t* labels;    // [n], not read without centroids
  double* squares;          // [n]
} ms_label_distances_args;

// Rows whose label changed move from one cluster's sum to another's. Coordinates enter as (x + grid) - grid: with grid = 1.5 2^(m + q),
// |x| <= 2^m and at most 2^q rows, every sum is a multiple of 2^(m+q-52) below 2^(m+q+1), hence exact in any order (performance.md 2.3).
typedef struct {
  int64_t n, k, d;
  const float* x;
  const int32_t* before;  // [n], -1: in no sum yet
  const int32_t* after;   // [n]
  double grid;
  double* sums;     // [k, d], in and out
  int64_t* counts;  // [k], in and out
} ms_move_rows_args;

// The part of a row that the filter of nearest_bounded sees: heads[i, 0 .. r-1] = directions (x - mean) in fp32, and heads[i, r] >= the
// length of the rest, sqrt(max(0, |x-mean|^2 - |head|^2 + 2 head_error |x-mean|^2)) rounded up. Squares are fp64.
typedef struct {
  int64_t n, d, r;
  const float* x;
  const float* mean;        // [d]
  const float* directions;  // [r, d], orthonormal but for fp32 rounding
  double head_error;        // bound of a head's error relative to |x - mean|
  float* heads;             // [n, r + 1]
  double* lengths;          // [n] |x|^2, nullable
  double* spreads;          // [n] |x - mean|^2
} ms_filter_heads_args;

// The nearest centroid of every row by (the fp64 sum of label_distances, number), bit for bit the same whatever is known beforehand. fp32 products
// leave out the centroids that cannot win by more than those products may err, a filter (r > 0) and bounds from the pass before leave
// out more; a backend may ignore both.
//
// Bounds of a row (upper == null: not kept, none known): distances, not squares, with the movement of centroids taken out so that rows left
// alone need no upkeep. With moved[j] and all_moved the sums of the passes' movements of centroid j and of the farthest moved one,
//   upper + moved[label]                        is at least the distance to the centroid of the label,
//   near_lower[t] - moved[near[t]]              at most that to the centroid near[t] (m others that were the nearest; -1: none),
//   lower - all_moved                           at most that to any further one,
// except for the centroids `runners`, whose movement all_moved leaves out and of which each row has bounds of their own, whatever is near:
//   runner_lower[q] - moved[runners[q]]         at most the distance to it,
//   apart[a, q] <= |c_a - c_runners[q]|.
// gap > all_moved + moved[label] proves that the label stays as far as all but the runners are concerned. lower = gap = -infinity: nothing is known.
typedef struct {
  int64_t n, k, d, r, m;
  const float* x;
  const double* squares;     // [n] |x|^2
  const float* centres;      // [k, d] centroids rounded to fp32
  const float* c_norms;      // [k]
  const double* centroids;   // [k, d]
  double c_length;           // at least the length of every centroid
  double x_length, longest;  // at least those of all rows, and of all rows and centroids of the run
  const float* heads;        // [n, r + 1] of filter_heads
  const double* spreads;     // [n]
  const float* c_heads;      // [k, r + 1]
  const float* c_squares;    // [k] |c - mean|^2
  double c_spread;           // largest |c - mean|
  double head_error;
  double stretch;            // a filtered row looks so much farther than its nearest centroid, to have a bound for later passes
  int32_t known;             // 0: bounds are written but not read
  const double* moved;       // [k]
  double all_moved;
  int64_t running, most_running;  // centroids in `runners`, and for how many there is room
  int64_t running_before;    // so many were in the pass before: the bounds of the others follow from `lower` or `near_lower`
  const int32_t* runners;
  const double* joined;      // [running] moved - all_moved of the pass before
  const float* apart;        // [k, running], +infinity of a runner with itself
  int32_t* labels;           // [n] in: the pass before, -1 none; out
  float* upper;              // [n]
  float* lower;              // [n]
  float* gap;                // [n]
  int32_t* near;             // [n, m]
  float* near_lower;         // [n, m]
  float* runner_lower;       // [n, most_running]
  int64_t* evaluated;        // [4] +=: pairs that the filter looked at; distances computed of what it left, of kept centroids, of rows compared with all
} ms_nearest_bounded_args;

// The k nearest candidates of every row by (squared distance of min_distance, number); merged into what is there. Candidate c[j] has the
// number first_candidate + j, larger than all numbers merged before; the row x[i] has the number first_row + i and is not its own neighbour.
typedef struct {
  int64_t n, d, candidates, k;
  const float* x;
  const float* x_norms;
  const float* c;
  const float* c_norms;
  int64_t first_row, first_candidate;
  float* distances;  // [n, k] ascending, +infinity in places not filled
  int32_t* indices;  // [n, k] -1 in places not filled
} ms_nearest_rows_args;

enum { MS_SIMILARITY_DOT = 0, MS_SIMILARITY_NEARNESS = 1 };

// gains[j] += sum over rows of max(0, rise of row i by candidate j), each rise rounded to a multiple of 2^-52 grid as in move_rows.
// DOT: best[i] is the largest similarity so far, the rise is max(0, x.c) - best. NEARNESS: best[i] is the least squared distance so far,
// the rise is best - r(i, j).
typedef struct {
  int64_t n, d, candidates;
  int32_t similarity;
  const float* x;
  const float* x_norms;
  const float* c;
  const float* c_norms;
  double grid;
  float* best;    // [n]; with update: becomes what candidate 0 makes of it
  int32_t update;
  double* gains;  // [candidates], not touched with update
} ms_coverage_gains_args;

#define MS_OPERATIONS(X) \
  X(embed_forward)         \
  X(embed_backward)        \
  X(norm_forward)          \
  X(norm_backward)         \
  X(linear_forward)        \
  X(linear_backward_input) \
  X(linear_backward_weight) \
  X(linear_sample_norm)    \
  X(norm_sample_norm)      \
  X(embed_sample_norm)     \
  X(gather_columns)        \
  X(attention_forward)     \
  X(attention_backward)    \
  X(rotary)                \
  X(glu_forward)           \
  X(glu_backward)          \
  X(token_loss)            \
  X(gather_rows)           \
  X(scatter_rows)          \
  X(mean_pool)             \
  X(fill)                  \
  X(sum_squares)           \
  X(rmsprop)               \
  X(adamw)                 \
  X(decode_attention)      \
  X(cache_fill)            \
  X(sample_tokens)         \
  X(row_norms)             \
  X(nearest_centre)        \
  X(min_distance)          \
  X(argmax)                \
  X(label_sums)            \
  X(covariance)            \
  X(project)               \
  X(column_means)          \
  X(each_distance)         \
  X(pack_rows)             \
  X(pick_farthest)         \
  X(refresh_minimum)       \
  X(label_distances)       \
  X(move_rows)             \
  X(filter_heads)          \
  X(nearest_bounded)       \
  X(nearest_rows)          \
  X(coverage_gains)

enum {
#define MS_NUMBER(name) MS_OPERATION_##name,
  MS_OPERATIONS(MS_NUMBER)
#undef MS_NUMBER
};

typedef struct {
  int32_t abi;       // MS_BACKEND_ABI of the backend; checked before anything else is read
  int32_t weight_types;  // bit 1 << MS_TYPE_*: how weight matrices and token tables may be held; MS_TYPE_F32 always
  const char* name;  // "cpu", "plain", "cuda"

  // Usable on this machine? On failure writes one sentence why into `reason` (always terminated).
  int32_t (*probe)(char* reason, size_t reason_size);
  // threads: CPU worker count, 0 = all cores. Contexts are independent; a context runs one operation at a time, while other threads may allocate, free and
  // ask for scratch_bytes. After a failure *out is null, or a context that may only be asked for last_error and destroyed.
  int32_t (*create)(int32_t threads, ms_context** out);
  void (*destroy)(ms_context*);
  const char* (*last_error)(ms_context*);
  // Short description for results: instruction set or device, e.g. "avx2", "NVIDIA H200".
  const char* (*device)(ms_context*);

  int32_t (*alloc)(ms_context*, size_t bytes, void** out);  // 64-byte aligned, zeroed
  void (*free)(ms_context*, void*);
  int32_t (*upload)(ms_context*, void* destination, const void* host, size_t bytes);
  int32_t (*download)(ms_context*, void* host, const void* source, size_t bytes);
  int32_t (*copy)(ms_context*, void* destination, const void* source, size_t bytes);
  int32_t (*synchronize)(ms_context*);

  // Upper estimate of the scratch that an operation (MS_OPERATION_*) would take from the workspace, from the sizes in its arguments alone:
  // no pointer in them is followed. 0 where it is small beside its operands. Nullable.
  int64_t (*scratch_bytes)(ms_context*, int32_t operation, const void* args);

#define MS_FIELD(name) int32_t (*name)(ms_context*, const ms_##name##_args*);
  MS_OPERATIONS(MS_FIELD)
#undef MS_FIELD

  // Operations between the two may be held back; after end_sequence all have been started, in their order, as if they had been called one by one.
  // Nothing but operations is called between them. A device that is given the same sequence again may start it as one. Nullable, both or neither.
  int32_t (*begin_sequence)(ms_context*);
  int32_t (*end_sequence)(ms_context*);
} ms_backend;

// The one symbol that a plugin exports.
typedef const ms_backend* (*ms_backend_entry)(void);
#define MS_BACKEND_ENTRY "mendset_backend"

#ifdef __cplusplus
}
#endif
#endif
