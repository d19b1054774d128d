// Choosing the next token of each row on the device: a stable radix sort of the row by (logit descending, id ascending), then prefix sums of
// the probabilities in fp64.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kDigitBits = 4, kDigits = 1 << kDigitBits;

// Ascending keys are descending logits; a logit that is not a number comes last.
__device__ __forceinline__ unsigned sort_key(float logit) {
  const unsigned bits = __float_as_uint(logit);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0xffffffffu;
  if (bits == 0x80000000u) return 0x7fffffffu;  // -0 ties with 0
  return (bits & 0x80000000u) != 0 ? bits : ~bits & 0x7fffffffu;
}

__global__ void __launch_bounds__(kThreads) greedy_kernel(ms_sample_tokens_args a) {
  __shared__ unsigned keys[kThreads / kWarp];
  __shared__ int32_t ids[kThreads / kWarp];
  const float* const z = a.logits + blockIdx.x * a.vocab;
  unsigned key = 0xffffffffu;
  int32_t id = 0x7fffffff;
  for (int64_t j = threadIdx.x; j < a.vocab; j += kThreads) {
    const unsigned other = sort_key(z[j]);
    if (other < key) key = other, id = static_cast<int32_t>(j);
  }
MS_UNROLL
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const unsigned other = __shfl_xor_sync(kFullWarp, key, lanes);
    const int32_t other_id = __shfl_xor_sync(kFullWarp, id, lanes);
    if (other < key || (other == key && other_id < id)) key = other, id = other_id;
  }
  if (threadIdx.x % kWarp == 0) keys[threadIdx.x / kWarp] = key, ids[threadIdx.x / kWarp] = id;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kThreads / kWarp; ++w) {
    if (keys[w] < key || (keys[w] == key && ids[w] < id)) key = keys[w], id = ids[w];
  }
  a.ids[blockIdx.x] = key == 0xffffffffu ? 0 : id;
}

// Sums of all threads before this one, in order of threads, and the total.
__device__ __forceinline__ double block_prefix(double value, double* shared, double* total) {
  const int thread = static_cast<int>(threadIdx.x);
  __syncthreads();
  shared[thread] = value;
  __syncthreads();
  if (thread == 0) {
    double sum = 0;
    for (int t = 0; t < kThreads; ++t) {
      const double own = shared[t];
      shared[t] = sum;
      sum += own;
    }
    shared[kThreads] = sum;
  }
  __syncthreads();
  *total = shared[kThreads];
  return shared[thread];
}

// scratch per row: two arrays of keys and two of ids, [vocab] each. A thread owns consecutive places, so that the sort is stable.
__global__ void __launch_bounds__(kThreads) nucleus_kernel(ms_sample_tokens_args a, unsigned* scratch) {
  __shared__ unsigned counts[kDigits][kThreads + 1];
  __shared__ unsigned starts[kDigits];
  __shared__ double sums[kThreads + 1];
  __shared__ int chosen, valid;
  const int64_t row = blockIdx.x, vocab = a.vocab;
  const float* const z = a.logits + row * vocab;
  unsigned* keys = scratch + row * 4 * vocab;
  unsigned* ids = keys + vocab;
  unsigned* next_keys = ids + vocab;
  unsigned* next_ids = next_keys + vocab;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t share = ceil_div<int64_t>(vocab, kThreads), first = thread * share < vocab ? thread * share : vocab, last = first + share < vocab ? first + share : vocab;
  if (thread == 0) valid = 0;
  __syncthreads();
  int numbers = 0;
  for (int64_t j = thread; j < vocab; j += kThreads) {
    const unsigned key = sort_key(z[j]);
    keys[j] = key;
    ids[j] = static_cast<unsigned>(j);
    numbers += key != 0xffffffffu;
  }
  atomicAdd(&valid, numbers);
  __syncthreads();
  for (int shift = 0; shift < 32; shift += kDigitBits) {
    for (int digit = 0; digit < kDigits; ++digit) counts[digit][thread] = 0;
    for (int64_t j = first; j < last; ++j) ++counts[keys[j] >> shift & (kDigits - 1)][thread];
    __syncthreads();
    if (thread < kDigits) {  // where each thread's keys of a digit go, within the digit
      unsigned sum = 0;
      for (int t = 0; t < kThreads; ++t) {
        const unsigned own = counts[thread][t];
        counts[thread][t] = sum;
        sum += own;
      }
      counts[thread][kThreads] = sum;
    }
    __syncthreads();
    if (thread == 0) {
      unsigned sum = 0;
      for (int digit = 0; digit < kDigits; ++digit) {
        starts[digit] = sum;
        sum += counts[digit][kThreads];
      }
    }
    __syncthreads();
    for (int64_t j = first; j < last; ++j) {
      const unsigned digit = keys[j] >> shift & (kDigits - 1), place = starts[digit] + counts[digit][thread]++;
      next_keys[place] = keys[j];
      next_ids[place] = ids[j];
    }
    __syncthreads();
    unsigned* swap = keys;
    keys = next_keys, next_keys = swap;
    swap = ids;
    ids = next_ids, next_ids = swap;
  }

  int64_t kept = valid;
  if (kept == 0) {
    if (thread == 0) a.ids[row] = 0;
    return;
  }
  if (a.top_k > 0 && a.top_k < kept) kept = a.top_k;
  const double largest = static_cast<double>(z[ids[0]]), temperature = static_cast<double>(a.temperature);
  const int64_t end = last < kept ? last : kept;
  const auto probability = [&](int64_t i) { return exp((static_cast<double>(z[ids[i]]) - largest) / temperature); };
  double own = 0, total, mass;
  for (int64_t i = first; i < end; ++i) own += probability(i);
  const double before = block_prefix(own, sums, &total);
  // the first place whose cumulative mass reaches top_p; total is the last cumulative mass, so one exists
  if (thread == 0) chosen = static_cast<int>(kept - 1);
  __syncthreads();
  const auto reach = [&](double wanted, bool beyond) {  // first place whose cumulative mass is beyond (or at least) `wanted`
    double sum = before;
    for (int64_t i = first; i < end; ++i) {
      const double p = probability(i);
      sum = i + 1 == end ? before + own : sum + p;
      if (beyond ? sum > wanted : sum >= wanted) {
        atomicMin(&chosen, static_cast<int>(i));
        break;
      }
    }
    __syncthreads();
  };
  reach(static_cast<double>(a.top_p) * total, false);
  kept = chosen + 1;
  // the mass of the nucleus: cumulative mass at its last place
  if (chosen >= first && chosen < end) {
    double sum = before;
    for (int64_t i = first; i <= chosen; ++i) sum = i + 1 == end ? before + own : sum + probability(i);
    sums[kThreads] = sum;
  }
  __syncthreads();
  mass = sums[kThreads];
  reach(a.uniforms[row] * mass, true);
  if (thread == 0) a.ids[row] = static_cast<int32_t>(ids[chosen < kept ? chosen : kept - 1]);
}

}  // namespace

int32_t sample_tokens(Context& context, const ms_sample_tokens_args& a) {
  if (a.rows == 0 || a.vocab == 0) return MS_OK;
  if (a.mode == MS_SAMPLE_GREEDY) return launch(context, greedy_kernel, dim3{static_cast<unsigned>(a.rows), 1, 1}, kThreads, 0, a);
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(a.rows * a.vocab) * 4 * sizeof(unsigned), &memory));
  return launch(context, nucleus_kernel, dim3{static_cast<unsigned>(a.rows), 1, 1}, kThreads, 0, a, at<unsigned>(memory, 0));
}

}  // namespace mendset::cuda
