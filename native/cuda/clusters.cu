// What k-means does with labels: distances to the own centroid, and the clusters' sums. Coordinates enter the sums rounded to a grid on which
// every partial sum is exact (performance.md 2.3), so that the order in which rows are added does not matter; counts are whole numbers.
#include "cuda/canonical.h"
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 64;        // of one block of the segmented sum
constexpr int kRowLanes = kThreads / kColumns;

__global__ void __launch_bounds__(kThreads) label_distances_kernel(ms_label_distances_args a) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * (kThreads / 8) + threadIdx.x / 8;  // eight threads per row
  const int64_t remainder = threadIdx.x % 8;
  double sum = 0;
  if (i < a.n) {
    const double* const centre = a.centroids != nullptr ? a.centroids + a.labels[i] * a.d : nullptr;
    for (int64_t p = remainder; p < a.d; p += 8) {
      const double difference = static_cast<double>(a.x[i * a.d + p]) - (centre != nullptr ? centre[p] : 0.0);
      sum += difference * difference;
    }
  }
  sum += __shfl_xor_sync(kFullWarp, sum, 4);  // 0 + 4, 1 + 5, 2 + 6, 3 + 7
  sum += __shfl_xor_sync(kFullWarp, sum, 2);
  sum += __shfl_xor_sync(kFullWarp, sum, 1);
  if (remainder == 0 && i < a.n) a.squares[i] = sum;
}

// Rows sorted by cluster, in no particular order within one: entries [clusters], starts [clusters + 1].
struct Segments {
  int32_t* rows;
  int32_t* starts;
  int32_t* cursors;
};

// kind 0 counts, 1 places. Only rows whose label changes (before != after), under `labels`; -1 is no cluster.
__global__ void __launch_bounds__(kThreads) sort_rows_kernel(int64_t n, const int32_t* labels, const int32_t* other, int32_t kind, Segments segments) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n || labels[i] < 0 || (other != nullptr && other[i] == labels[i])) return;
  if (kind == 0) {
    atomicAdd(segments.cursors + labels[i], 1);
  } else {
    segments.rows[atomicAdd(segments.cursors + labels[i], 1)] = static_cast<int32_t>(i);
  }
}

// One block: starts from the counts in cursors, which then hold each segment's next free place.
__global__ void __launch_bounds__(kThreads) place_segments_kernel(int64_t k, Segments segments) {
  __shared__ int32_t sums[kThreads + 1];
  const int64_t share = ceil_div<int64_t>(k, kThreads), first = threadIdx.x * share < k ? threadIdx.x * share : k, last = first + share < k ? first + share : k;
  int32_t own = 0;
  for (int64_t j = first; j < last; ++j) own += segments.cursors[j];
  sums[threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.x == 0) {
    int32_t sum = 0;
    for (int t = 0; t < kThreads; ++t) {
      const int32_t count = sums[t];
      sums[t] = sum;
      sum += count;
    }
    segments.starts[k] = sum;
  }
  __syncthreads();
  int32_t start = sums[threadIdx.x];
  for (int64_t j = first; j < last; ++j) {
    const int32_t count = segments.cursors[j];
    segments.starts[j] = start;
    segments.cursors[j] = start;
    start += count;
  }
}

// grid: x clusters, y groups of 64 columns, z shares of a segment. partials [shares, k, d] of the rounded coordinates.
__global__ void __launch_bounds__(kThreads) segment_sums_kernel(int64_t k, int64_t d, const float* x, Segments segments, const double* grid_of, double grid, double* partials) {
  __shared__ double sums[kRowLanes][kColumns];
  const int lane = static_cast<int>(threadIdx.x) / kColumns, within = static_cast<int>(threadIdx.x) % kColumns;
  const int64_t j = blockIdx.x, column = static_cast<int64_t>(blockIdx.y) * kColumns + within;
  const int64_t begin = segments.starts[j], length = segments.starts[j + 1] - begin, shares = gridDim.z;
  const int64_t first = begin + length * blockIdx.z / shares, last = begin + length * (blockIdx.z + 1) / shares;
  if (grid_of != nullptr) grid = *grid_of;
  double sum = 0;
  if (column < d) {
    for (int64_t e = first + lane; e < last; e += kRowLanes) sum += (static_cast<double>(x[segments.rows[e] * d + column]) + grid) - grid;
  }
  sums[lane][within] = sum;
  __syncthreads();
  if (lane != 0 || column >= d) return;
  for (int l = 1; l < kRowLanes; ++l) sum += sums[l][within];
  partials[(blockIdx.z * k + j) * d + column] = sum;
}

// sums += sign * partials; counts += sign * rows of the segment
__global__ void __launch_bounds__(kThreads) add_segments_kernel(int64_t k, int64_t d, int64_t shares, const double* partials, Segments segments, int32_t sign, double* sums,
                                                                int64_t* counts) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index < k) counts[index] += sign * (segments.starts[index + 1] - segments.starts[index]);
  if (index >= k * d) return;
  double sum = 0;
  for (int64_t z = 0; z < shares; ++z) sum += partials[z * k * d + index];
  sums[index] += sign > 0 ? sum : -sum;
}

__global__ void __launch_bounds__(kThreads) largest_magnitude_kernel(int64_t count, const float* x, uint32_t* bits) {
  uint32_t most = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const uint32_t magnitude = __float_as_uint(x[i]) & 0x7fffffffu;
    most = magnitude > most ? magnitude : most;
  }
  atomicMax(bits, most);
}

// 1.5 2^(m + q) with |x| <= 2^m and at most 2^q rows.
__global__ void grid_kernel(int64_t n, const uint32_t* bits, double* grid) {
  if (threadIdx.x != 0) return;
  const float magnitude = __uint_as_float(*bits);
  int exponent = 0, rows = 0;
  if (magnitude > 0.0f) {
    frexpf(magnitude, &exponent);
    frexp(static_cast<double>(n), &rows);
    *grid = ldexp(1.5, exponent + rows);
  } else {
    *grid = 0;
  }
}

__global__ void __launch_bounds__(kThreads) check_labels_kernel(int64_t n, int64_t k, const int32_t* labels, int32_t* wrong) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n && (labels[i] < 0 || labels[i] >= k)) atomicOr(wrong, 1);
}

struct ClusterScratch {
  Segments segments;
  double* partials;
  double* grid;
  uint32_t* bits;  // [2]: largest magnitude, wrong labels
  int64_t shares;
};

int32_t prepare(Context& context, int64_t n, int64_t k, int64_t d, ClusterScratch* out) {
  const int64_t blocks = k * ceil_div<int64_t>(d, kColumns);
  out->shares = blocks > 0 ? ceil_div<int64_t>(8 * context.multiprocessors, blocks) : 1;
  if (out->shares > 64) out->shares = 64;
  ScratchPlan plan;
  const size_t rows = plan.add<int32_t>(n), starts = plan.add<int32_t>(k + 1), cursors = plan.add<int32_t>(k), partials = plan.add<double>(out->shares * k * d);
  const size_t grid = plan.add<double>(1), bits = plan.add<uint32_t>(2);
  std::byte* base;
  MS_CUDA_TRY(reserve(context, plan.bytes(), &base));
  out->segments = {at<int32_t>(base, rows), at<int32_t>(base, starts), at<int32_t>(base, cursors)};
  out->partials = at<double>(base, partials);
  out->grid = at<double>(base, grid);
  out->bits = at<uint32_t>(base, bits);
  return MS_OK;
}

// sums and counts change by sign times the rows under `labels` whose other label differs (all rows without `other`).
int32_t add_rows(Context& context, const ClusterScratch& scratch, int64_t n, int64_t k, int64_t d, const float* x, const int32_t* labels, const int32_t* other,
                 const double* grid_of, double grid, int32_t sign, double* sums, int64_t* counts) {
  const dim3 rows{blocks_for(n, kThreads), 1, 1};
  MS_CUDA_TRY(zero(context, scratch.segments.cursors, static_cast<size_t>(k) * sizeof(int32_t)));
  MS_CUDA_TRY(launch(context, sort_rows_kernel, rows, kThreads, 0, n, labels, other, 0, scratch.segments));
  MS_CUDA_TRY(launch(context, place_segments_kernel, dim3{1, 1, 1}, kThreads, 0, k, scratch.segments));
  MS_CUDA_TRY(launch(context, sort_rows_kernel, rows, kThreads, 0, n, labels, other, 1, scratch.segments));
  const dim3 grid_size{static_cast<unsigned>(k), blocks_for(d, kColumns), static_cast<unsigned>(scratch.shares)};
  MS_CUDA_TRY(launch(context, segment_sums_kernel, grid_size, kThreads, 0, k, d, x, scratch.segments, grid_of, grid, scratch.partials));
  return launch(context, add_segments_kernel, dim3{blocks_for(k * d > k ? k * d : k, kThreads), 1, 1}, kThreads, 0, k, d, scratch.shares, scratch.partials,
                scratch.segments, sign, sums, counts);
}

}  // namespace

int32_t label_distances(Context& context, const ms_label_distances_args& a) {
  if (a.n == 0) return MS_OK;
  return launch(context, label_distances_kernel, dim3{blocks_for(a.n, kThreads / 8), 1, 1}, kThreads, 0, a);
}

int32_t move_rows(Context& context, const ms_move_rows_args& a) {
  if (a.n == 0 || a.k == 0) return MS_OK;
  ClusterScratch scratch{};
  MS_CUDA_TRY(prepare(context, a.n, a.k, a.d, &scratch));
  MS_CUDA_TRY(add_rows(context, scratch, a.n, a.k, a.d, a.x, a.before, a.after, nullptr, a.grid, -1, a.sums, a.counts));
  return add_rows(context, scratch, a.n, a.k, a.d, a.x, a.after, a.before, nullptr, a.grid, 1, a.sums, a.counts);
}

int32_t label_sums(Context& context, const ms_label_sums_args& a) {
  MS_CUDA_TRY(zero(context, a.sums, static_cast<size_t>(a.k * a.d) * sizeof(double)));
  MS_CUDA_TRY(zero(context, a.counts, static_cast<size_t>(a.k) * sizeof(int64_t)));
  if (a.n == 0) return MS_OK;
  ClusterScratch scratch{};
  MS_CUDA_TRY(prepare(context, a.n, a.k, a.d, &scratch));
  MS_CUDA_TRY(zero(context, scratch.bits, 2 * sizeof(uint32_t)));
  MS_CUDA_TRY(launch(context, check_labels_kernel, dim3{blocks_for(a.n, kThreads), 1, 1}, kThreads, 0, a.n, a.k, a.labels, reinterpret_cast<int32_t*>(scratch.bits + 1)));
  uint32_t wrong = 0;
  MS_CUDA_TRY(download(context, &wrong, scratch.bits + 1, sizeof wrong));
  if (wrong != 0) return fail(context, MS_INVALID_ARGUMENT, "a label does not lie in 0 .. %lld", static_cast<long long>(a.k - 1));
  MS_CUDA_TRY(launch(context, largest_magnitude_kernel, dim3{blocks_for(a.n * a.d, kThreads * 16), 1, 1}, kThreads, 0, a.n * a.d, a.x, scratch.bits));
  MS_CUDA_TRY(launch(context, grid_kernel, dim3{1, 1, 1}, kWarp, 0, a.n, scratch.bits, scratch.grid));
  return add_rows(context, scratch, a.n, a.k, a.d, a.x, a.labels, nullptr, scratch.grid, 0.0, 1, a.sums, a.counts);
}

}  // namespace mendset::cuda
