// Linear maps and their gradients: operands are rounded and laid out, then one product with everything else in its epilogue.
#include "cuda/activation.h"
#include "cuda/blas_lt.h"
#include "cuda/column_sums.h"
#include "cuda/cuda_operations.h"
#include "cuda/kept_rows.h"
#include "cuda/product.h"
#include "cuda/rounded_weights.h"

namespace mendset::cuda {
namespace {

struct ForwardEpilogue {
  const float* bias;
  const float* residual;
  float* y;
  int64_t ld;
  __device__ __forceinline__ void operator()(int64_t row, int64_t column, float sum) const {
    if (bias != nullptr) sum += bias[column];
    if (residual != nullptr) sum += residual[row * ld + column];
    y[row * ld + column] = sum;
  }
};

struct InputGradientEpilogue {
  const float* x;
  int32_t kind;
  float beta;
  float* d_x;
  int64_t ld;
  __device__ __forceinline__ void operator()(int64_t row, int64_t column, float sum) const {
    const int64_t place = row * ld + column;
    if (kind != MS_ACTIVATION_NONE) sum *= activation_derivative(kind, x[place]);
    d_x[place] = beta == 0.0f ? sum : fmaf(beta, d_x[place], sum);
  }
};

struct WeightGradientEpilogue {
  float beta;
  float* d_w;
  int64_t ld;
  __device__ __forceinline__ void operator()(int64_t row, int64_t column, float sum) const {
    const int64_t place = row * ld + column;
    d_w[place] = beta == 0.0f ? sum : fmaf(beta, d_w[place], sum);
  }
};

// Both operands behind each other in the workspace; partials follow.
struct Product {
  Operand a, b;
  float* partials;
};
int64_t partial_count(const Context& context, int64_t rows, int64_t columns, int64_t depth) {
  return product_partial_count(context, rows, columns, operand_row_bytes(context.precision, depth) / kTileRowBytes);
}
int32_t prepare(Context& context, const KeptRows& left, const WeightMatrix& right, Product* product) {
  const Precision precision = context.precision;
  ScratchPlan plan;
  plan.add<std::byte>(operand_bytes(precision, left.rows, left.depth));
  const size_t b = plan.add<std::byte>(operand_bytes(precision, right.rows, right.depth));  // room for it also where a rounded copy is kept: it may give way
  const size_t partials = plan.add<float>(partial_count(context, left.rows, right.rows, left.depth));
  std::byte* base;
  MS_CUDA_TRY(reserve(context, plan.bytes(), &base));
  product->partials = at<float>(base, partials);
  MS_CUDA_TRY(pack_kept_rows(context, precision, left, base, &product->a));
  if (context.weights != nullptr && !context.measuring && context.weights->find(right, &product->b)) return MS_OK;
  return pack_operand(context, precision, right.source(), right.rows, right.depth, base + b, &product->b);
}

constexpr int64_t kFewRows = 16;  // of a generation step: the weights are read once, as they are
constexpr int kFewColumns = 32, kFewLanes = 8;

// y of up to kRows rows. A block has 32 columns and 8 threads per column, each with every eighth number of depth.
template <int kRows, bool kInOut>
__global__ void __launch_bounds__(kFewColumns* kFewLanes) few_rows_kernel(int64_t rows, int64_t in, int64_t out, const float* x, int64_t ld_x, int32_t kind, const float* w,
                                                                          ForwardEpilogue epilogue) {
  constexpr int kDepth = 256;
  __shared__ __align__(16) float inputs[kDepth][kRows];  // the rows of one place in depth side by side: four are one read
  __shared__ float sums[kFewLanes][kRows][kFewColumns + 1];
  // consecutive threads read consecutive weights: along columns, or along depth
  const int thread = static_cast<int>(threadIdx.x);
  const int column_in_block = kInOut ? thread % kFewColumns : thread / kFewLanes, lane = kInOut ? thread / kFewColumns : thread % kFewLanes;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kFewColumns + column_in_block;
  float sum[kRows];
MS_UNROLL
  for (int r = 0; r < kRows; ++r) sum[r] = 0.0f;
  for (int64_t first = 0; first < in; first += kDepth) {
    __syncthreads();
    for (int cell = thread; cell < kRows * kDepth; cell += kFewColumns * kFewLanes) {
      const int64_t row = cell / kDepth, k = first + cell % kDepth;
      inputs[cell % kDepth][row] = row < rows && k < in ? activation(kind, x[row * ld_x + k]) : 0.0f;
    }
    __syncthreads();
    if (column >= out) continue;
    const int64_t depth = in - first < kDepth ? in - first : kDepth;
MS_UNROLL_BY(4)
    for (int64_t k = lane; k < depth; k += kFewLanes) {
      const float weight = kInOut ? w[(first + k) * out + column] : w[column * in + first + k];
MS_UNROLL
      for (int r = 0; r < kRows; ++r) sum[r] = fmaf(inputs[k][r], weight, sum[r]);
    }
  }
MS_UNROLL
  for (int r = 0; r < kRows; ++r) sums[lane][r][column_in_block] = sum[r];
  __syncthreads();
  for (int cell = thread; cell < kRows * kFewColumns; cell += kFewColumns * kFewLanes) {
    const int row = cell / kFewColumns, place = cell % kFewColumns;
    const int64_t target = static_cast<int64_t>(blockIdx.x) * kFewColumns + place;
    if (row >= rows || target >= out) continue;
    float total = 0.0f;
    for (int l = 0; l < kFewLanes; ++l) total += sums[l][row][place];
    epilogue(row, target, total);
  }
}

template <int kRows>
int32_t few_rows(Context& context, const ms_linear_forward_args& a, const ForwardEpilogue& epilogue) {
  auto* const kernel = a.layout == MS_LAYOUT_IN_OUT ? few_rows_kernel<kRows, true> : few_rows_kernel<kRows, false>;
  return launch(context, kernel, dim3{blocks_for(a.out, kFewColumns), 1, 1}, kFewColumns * kFewLanes, 0, a.rows, a.in, a.out, a.x, a.ld_x, a.x_activation, static_cast<const float*>(a.w), epilogue);
}

}  // namespace

WeightMatrix weights_of(const ms_linear_forward_args& a) {
  if (a.w_type != MS_TYPE_F32 || a.rows <= kFewRows) return {};
  return {static_cast<const float*>(a.w), a.layout == MS_LAYOUT_IN_OUT ? a.out : a.in, a.out, a.in, a.layout == MS_LAYOUT_IN_OUT};
}

WeightMatrix weights_of(const ms_linear_backward_input_args& a) {
  if (a.w_type != MS_TYPE_F32 || a.rows == 0) return {};
  return {static_cast<const float*>(a.w), a.layout == MS_LAYOUT_IN_OUT ? a.out : a.in, a.in, a.out, a.layout == MS_LAYOUT_OUT_IN};
}

int32_t linear_forward(Context& context, const ms_linear_forward_args& a) {
  if (a.w_type != MS_TYPE_F32) return fail(context, MS_UNSUPPORTED, "weights of 16 bits are not held on this backend");
  if (a.rows == 0 || a.out == 0) return MS_OK;
  const ForwardEpilogue epilogue{a.bias, a.residual, a.y, a.ld_y};
  if (a.rows == 1) return few_rows<1>(context, a, epilogue);
  if (a.rows <= 4) return few_rows<4>(context, a, epilogue);
  if (a.rows <= 8) return few_rows<8>(context, a, epilogue);
  if (a.rows <= kFewRows) return few_rows<kFewRows>(context, a, epilogue);
  const KeptRows x{a.x, a.ld_x, a.rows, a.in, a.x_activation};
  Product product;
  MS_CUDA_TRY(prepare(context, x, weights_of(a), &product));
  keep_rows(context, x, {{a.y, matrix_bytes(a.rows, a.out, a.ld_y, sizeof(float))}});
  if (context.blas != nullptr && a.in > 0) {
    const int32_t result = blas_lt_multiply(context, context.precision, product.a, product.b, a.bias, a.residual, a.residual != nullptr ? 1.0f : 0.0f, a.y, a.ld_y);
    if (result != MS_UNSUPPORTED) return result;
  }
  return multiply(context, context.precision, product.a, product.b, product.partials, epilogue);
}

int32_t linear_backward_input(Context& context, const ms_linear_backward_input_args& a) {
  if (a.w_type != MS_TYPE_F32) return fail(context, MS_UNSUPPORTED, "weights of 16 bits are not held on this backend");
  if (a.rows == 0 || a.in == 0) return MS_OK;
  const KeptRows d_y{a.d_y, a.ld_y, a.rows, a.out, MS_ACTIVATION_NONE};
  Product product;
  MS_CUDA_TRY(prepare(context, d_y, weights_of(a), &product));
  if (context.blas != nullptr && a.x_activation == MS_ACTIVATION_NONE && a.out > 0) {
    const int32_t result = blas_lt_multiply(context, context.precision, product.a, product.b, nullptr, a.beta != 0.0f ? a.d_x : nullptr, a.beta, a.d_x, a.ld_x);
    if (result != MS_UNSUPPORTED) return result;
  }
  return multiply(context, context.precision, product.a, product.b, product.partials, InputGradientEpilogue{a.x, a.x_activation, a.beta, a.d_x, a.ld_x});
}

// d_y is read once, for its transpose, for the operand that the gradient of the input needs next, and for the gradient of the bias.
int32_t linear_backward_weight(Context& context, const ms_linear_backward_weight_args& a) {
  if (a.d_w == nullptr || a.in == 0 || a.out == 0 || a.rows == 0) {
    if (a.d_bias != nullptr) {
      std::byte* partials;
      MS_CUDA_TRY(reserve(context, static_cast<size_t>(column_sum_partials(a.rows, a.out)) * sizeof(float), &partials));
      MS_CUDA_TRY(column_sums(context, a.rows, a.out, a.d_y, a.ld_y, at<float>(partials, 0), a.beta, a.d_bias));
    }
    if (a.d_w == nullptr || a.in == 0 || a.out == 0) return MS_OK;
  }
  const Precision precision = context.precision;
  const bool in_out = a.layout == MS_LAYOUT_IN_OUT;
  const int64_t rows = in_out ? a.in : a.out, columns = in_out ? a.out : a.in, shares = both_ways_shares(a.rows);
  ScratchPlan plan;
  plan.add<std::byte>(operand_bytes(precision, a.rows, a.out));
  const size_t x_at = plan.add<std::byte>(operand_bytes(precision, a.in, a.rows)), d_y_at = plan.add<std::byte>(operand_bytes(precision, a.out, a.rows));
  const size_t partials = plan.add<float>(partial_count(context, rows, columns, a.rows)), column_partials = plan.add<float>(shares * a.out);
  std::byte* base;
  MS_CUDA_TRY(reserve(context, plan.bytes(), &base));
  Operand x, d_y;
  float* const sums = a.d_bias != nullptr ? at<float>(base, column_partials) : nullptr;
  MS_CUDA_TRY(pack_both_ways(context, precision, a.d_y, a.ld_y, a.out, a.rows, base + d_y_at, &d_y, base, sums));
  if (a.d_bias != nullptr && a.rows > 0) MS_CUDA_TRY(column_sums_final(context, shares, a.out, sums, a.beta, a.d_bias));
  MS_CUDA_TRY(pack_operand(context, precision, {a.x, a.ld_x, true, a.x_activation}, a.in, a.rows, base + x_at, &x));
  keep_rows(context, {a.d_y, a.ld_y, a.rows, a.out, MS_ACTIVATION_NONE},
            {{a.d_w, matrix_bytes(rows, columns, columns, sizeof(float))}, {a.d_bias, matrix_bytes(1, a.out, a.out, sizeof(float))}});
  const Operand &left = in_out ? x : d_y, &right = in_out ? d_y : x;
  if (context.blas != nullptr && a.rows > 0) {
    const int32_t result = blas_lt_multiply(context, precision, left, right, nullptr, a.beta != 0.0f ? a.d_w : nullptr, a.beta, a.d_w, columns);
    if (result != MS_UNSUPPORTED) return result;
  }
  return multiply(context, precision, left, right, at<float>(base, partials), WeightGradientEpilogue{a.beta, a.d_w, columns});
}

}  // namespace mendset::cuda
