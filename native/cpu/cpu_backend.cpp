#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>

#include "cpu/context.h"
#include "cpu/cpu.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/scratch_bytes.h"
#include "plain/plain_operations.h"

namespace mendset::cpu {
namespace {

int32_t probe(char* reason, size_t reason_size) {
  Isa isa;
  const Status status = choose_isa(&isa);
  if (!status.ok()) {
    std::snprintf(reason, reason_size, "%s", status.message().c_str());
    return status.code() == Code::invalid_argument ? MS_INVALID_ARGUMENT : MS_UNSUPPORTED;
  }
  if (kernels_of(isa) != nullptr) return MS_OK;
  std::snprintf(reason, reason_size, "This build holds no %s kernels.", isa_name(isa));
  return MS_UNSUPPORTED;
}

int32_t create(int32_t threads, ms_context** out) {
  Isa isa;
  if (const Status status = choose_isa(&isa); !status.ok()) return status.code() == Code::invalid_argument ? MS_INVALID_ARGUMENT : MS_UNSUPPORTED;
  const Kernels* const kernels = kernels_of(isa);
  if (kernels == nullptr) return MS_UNSUPPORTED;
  try {
    *out = reinterpret_cast<ms_context*>(new Context(threads > 0 ? threads : ThreadPool::default_threads(), isa, *kernels));
  } catch (const std::bad_alloc&) {
    return MS_OUT_OF_MEMORY;
  } catch (const std::system_error&) {  // the operating system gives no more threads
    return MS_DEVICE;
  }
  return MS_OK;
}

void destroy(ms_context* context) { delete reinterpret_cast<Context*>(context); }
const char* last_error(ms_context* context) { return context != nullptr ? context_of(context).error : ""; }
const char* device(ms_context* context) { return isa_name(context_of(context).isa); }

int32_t allocate(ms_context* context, size_t bytes, void** out) {
  *out = allocate_aligned(bytes);
  return *out != nullptr ? MS_OK : context_of(context).fail(MS_OUT_OF_MEMORY, "the operating system has no room for a buffer");
}
void release(ms_context*, void* memory) { free_aligned(memory); }
int32_t upload(ms_context*, void* destination, const void* host, size_t bytes) {
  std::memcpy(destination, host, bytes);
  return MS_OK;
}
int32_t download(ms_context*, void* host, const void* source, size_t bytes) {
  std::memcpy(host, source, bytes);
  return MS_OK;
}
int32_t copy(ms_context*, void* destination, const void* source, size_t bytes) {
  std::memmove(destination, source, bytes);
  return MS_OK;
}
int32_t synchronize(ms_context*) { return MS_OK; }

constexpr ms_backend kTable = {
    .abi = MS_BACKEND_ABI,
    .weight_types = 1 << MS_TYPE_F32 | 1 << MS_TYPE_BF16 | 1 << MS_TYPE_F16,
    .name = "cpu",
    .probe = probe,
    .create = create,
    .destroy = destroy,
    .last_error = last_error,
    .device = device,
    .alloc = allocate,
    .free = release,
    .upload = upload,
    .download = download,
    .copy = copy,
    .synchronize = synchronize,
    .scratch_bytes = scratch_bytes,
    .embed_forward = cpu_embed_forward,
    .embed_backward = cpu_embed_backward,
    .norm_forward = cpu_norm_forward,
    .norm_backward = cpu_norm_backward,
    .linear_forward = cpu_linear_forward,
    .linear_backward_input = cpu_linear_backward_input,
    .linear_backward_weight = cpu_linear_backward_weight,
    .linear_sample_norm = cpu_linear_sample_norm,
    .norm_sample_norm = cpu_norm_sample_norm,
    .embed_sample_norm = cpu_embed_sample_norm,
    .gather_columns = cpu_gather_columns,
    .attention_forward = cpu_attention_forward,
    .attention_backward = cpu_attention_backward,
    .rotary = cpu_rotary,
    .glu_forward = cpu_glu_forward,
    .glu_backward = cpu_glu_backward,
    .token_loss = cpu_token_loss,
    .gather_rows = cpu_gather_rows,
    .scatter_rows = cpu_scatter_rows,
    .mean_pool = cpu_mean_pool,
    .fill = cpu_fill,
    .sum_squares = cpu_sum_squares,
    .rmsprop = cpu_rmsprop,
    .adamw = cpu_adamw,
    .decode_attention = cpu_decode_attention,
    .cache_fill = cpu_cache_fill,
    .sample_tokens = cpu_sample_tokens,
    .row_norms = cpu_row_norms,
    .nearest_centre = cpu_nearest_centre,
    .min_distance = cpu_min_distance,
    .argmax = cpu_argmax,
    .label_sums = cpu_label_sums,
    .covariance = cpu_covariance,
    .project = cpu_project,
    .column_means = cpu_column_means,
    .each_distance = cpu_each_distance,
    .pack_rows = cpu_pack_rows,
    .pick_farthest = cpu_pick_farthest,
    .refresh_minimum = cpu_refresh_minimum,
    .label_distances = cpu_label_distances,
    .move_rows = cpu_move_rows,
    .filter_heads = cpu_filter_heads,
    .nearest_bounded = cpu_nearest_bounded,
    .nearest_rows = cpu_nearest_rows,
    .coverage_gains = cpu_coverage_gains,
    .begin_sequence = nullptr,
    .end_sequence = nullptr,
};

}  // namespace
}  // namespace mendset::cpu

const ms_backend* mendset_cpu_backend() { return &mendset::cpu::kTable; }
