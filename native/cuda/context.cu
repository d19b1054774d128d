#include "cuda/context.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cuda/cuda_operations.h"
#include "cuda/rounded_weights.h"
#include "cuda/sequence.h"

namespace mendset::cuda {

Context::Context() = default;
Context::~Context() = default;

int32_t fail(Context& context, int32_t code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(context.error, sizeof context.error, format, arguments);
  va_end(arguments);
  return code;
}

int32_t reserve(Context& context, size_t bytes, std::byte** out) {
  if (context.measuring) {
    if (bytes > context.measured) context.measured = bytes;
    *out = reinterpret_cast<std::byte*>(uintptr_t{256});  // aligned, never followed
    return MS_OK;
  }
  if (bytes > context.workspace_bytes) {
    if (context.sequences != nullptr) context.sequences->forget(context);  // their records name the scratch
    if (context.workspace != nullptr) release(context, context.workspace);
    context.workspace = nullptr;
    context.workspace_bytes = 0;
    context.found = {};
    void* memory = nullptr;
    MS_CUDA_TRY(allocate_raw(context, bytes, &memory));
    context.workspace = static_cast<std::byte*>(memory);
    context.workspace_bytes = bytes;
  }
  *out = context.workspace;
  return MS_OK;
}

int64_t measure_scratch(Context& context, int32_t operation, const void* args) {
  const KeptRows left = std::exchange(context.left, {}), found = std::exchange(context.found, {});
  context.measuring = true;
  context.measured = 0;
  switch (operation) {
#define MS_CASE(name)                                                       \
  case MS_OPERATION_##name:                                                 \
    (void)name(context, *static_cast<const ms_##name##_args*>(args));       \
    break;
    MS_OPERATIONS(MS_CASE)
#undef MS_CASE
    default:
      break;
  }
  context.measuring = false;
  context.left = left, context.found = found;
  return static_cast<int64_t>(context.measured);
}

void begin_operation(Context& context, int32_t operation, const void* args, size_t bytes) {
  context.found = std::exchange(context.left, {});
  if (context.weights != nullptr) context.weights->note(operation, args, bytes);
}

void choose_weights(Context& context) {
  const char* const wanted = std::getenv("MENDSET_CUDA_WEIGHTS");
  if (context.precision == Precision::bf16 && (wanted == nullptr || std::strcmp(wanted, "off") != 0)) context.weights = std::make_unique<RoundedWeights>();
}

int32_t finish_operation(Context& context, const char* name, int32_t result) {
  if (result == MS_OK && context.waits) result = synchronize(context);
  context.last_operation = name;
  return result;
}

void choose_waits(Context& context) {
  const auto value = [](const char* variable) {
    const char* const set = std::getenv(variable);
    return set != nullptr ? set : "";
  };
  const char *const waits = value("MENDSET_CUDA_SYNC"), *const graphs = value("MENDSET_CUDA_GRAPHS");
  context.waits = *waits != '\0' && std::strcmp(waits, "0") != 0;
  if (!context.waits && std::strcmp(graphs, "off") != 0) context.sequences = std::make_unique<Sequences>(std::strcmp(graphs, "required") == 0);
}

// bf16 where the device has it; MENDSET_CUDA_PRECISION asks for another.
int32_t choose_precision(Context& context) {
  context.precision = context.tensor_cores ? Precision::bf16 : Precision::fp32;
  const char* const wanted = std::getenv("MENDSET_CUDA_PRECISION");
  if (wanted == nullptr || *wanted == '\0') return MS_OK;
  for (const Precision each : {Precision::bf16, Precision::tf32, Precision::tf32x3, Precision::fp32}) {
    if (__builtin_strcmp(wanted, precision_name(each)) != 0) continue;
    if (each != Precision::fp32 && !context.tensor_cores)
      return fail(context, MS_UNSUPPORTED, "MENDSET_CUDA_PRECISION=%s needs a device of compute capability 8.0 or later; use fp32", wanted);
    context.precision = each;
    return MS_OK;
  }
  return fail(context, MS_INVALID_ARGUMENT, "expected MENDSET_CUDA_PRECISION to be bf16, tf32, tf32x3 or fp32 but received \"%s\"", wanted);
}

}  // namespace mendset::cuda
