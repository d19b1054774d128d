// The device: its stream, its memory pool, transfers through pinned memory, and errors in words.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <map>

#include "cuda/blas_lt.h"
#include "cuda/context.h"
#include "cuda/launch.h"
#include "cuda/rounded_weights.h"
#include "cuda/sequence.h"

namespace mendset::cuda {

// Two pinned pieces, had at their first use: while one crosses the bus the processor fills or empties the other.
constexpr size_t kStagingBytes = 8 << 20;
struct Staging {
  void* memory = nullptr;
  cudaEvent_t done = nullptr;
  bool busy = false;
};

struct Device {
  int index = 0;
  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;
  Staging staging[2];
  int next = 0;
  bool recording = false;
  std::map<void*, size_t> sizes;  // of what the caller holds
  size_t held = 0;
};

cudaStream_t stream_of(Context& context) { return context.device->stream; }

namespace {

int32_t failed(Context& context, cudaError_t error, const char* what) {
  return fail(context, error == cudaErrorMemoryAllocation ? MS_OUT_OF_MEMORY : MS_DEVICE, "%s: %s (%s); last operation started: %s", what, cudaGetErrorString(error),
              cudaGetErrorName(error), context.last_operation);
}

#define MS_CUDA_CALL(expression, what)                                                        \
  do {                                                                                        \
    const cudaError_t ms_error = (expression);                                                \
    if (ms_error != cudaSuccess) return failed(context, ms_error, what);                      \
  } while (0)

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

int32_t out_of_memory(Context& context, size_t bytes) {
  size_t free_bytes = 0, all = 0;
  (void)cudaMemGetInfo(&free_bytes, &all);
  (void)cudaGetLastError();
  return fail(context, MS_OUT_OF_MEMORY,
              "%.2f GiB were asked for while the model and its work hold %.2f GiB and scratch %.2f GiB; the device has %.2f GiB, of which %.2f GiB are free. "
              "Take fewer tokens at a time, shorter samples or checkpointed activations, or end other programs on the device",
              static_cast<double>(bytes) / kGiB, static_cast<double>(context.device->held) / kGiB, static_cast<double>(context.workspace_bytes) / kGiB,
              static_cast<double>(all) / kGiB, static_cast<double>(free_bytes) / kGiB);
}

int32_t open(Context& context) {
  Device& device = *context.device;
  MS_CUDA_CALL(cudaGetDevice(&device.index), "the device could not be chosen");
  cudaDeviceProp facts;
  MS_CUDA_CALL(cudaGetDeviceProperties(&facts, device.index), "the device could not be described");
  context.multiprocessors = facts.multiProcessorCount;
  context.tensor_cores = facts.major >= 8;
  MS_CUDA_TRY(choose_precision(context));
  context.shared_per_block = facts.sharedMemPerBlockOptin;
  int cooperative = 0;
  MS_CUDA_CALL(cudaDeviceGetAttribute(&cooperative, cudaDevAttrCooperativeLaunch, device.index), "the device could not be described");
  context.cooperative = cooperative != 0;
  MS_CUDA_CALL(cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking), "a stream could not be made");
  MS_CUDA_CALL(cudaDeviceGetDefaultMemPool(&device.pool, device.index), "the memory pool could not be reached");
  uint64_t keep = UINT64_MAX;  // memory that was freed stays with the process
  MS_CUDA_CALL(cudaMemPoolSetAttribute(device.pool, cudaMemPoolAttrReleaseThreshold, &keep), "the memory pool could not be set up");
  char blas_reason[256] = "";
  context.blas = open_blas_lt(context, blas_reason, sizeof blas_reason);
  std::snprintf(context.description, sizeof context.description, "%s, compute capability %d.%d, %.0f GiB, %s, %s%s%s%s", facts.name, facts.major, facts.minor,
                static_cast<double>(facts.totalGlobalMem) / kGiB, precision_name(context.precision), context.blas != nullptr ? "cublasLt" : "own matrix products (",
                context.blas != nullptr ? "" : blas_reason, context.blas != nullptr ? "" : ")", context.cooperative ? "" : ", no barrier between blocks");
  return MS_OK;
}

// A transfer waits for its bytes, and an event noted in a recording can never be waited for.
int32_t refuse_while_recording(Context& context) {
  return context.device->recording ? fail(context, MS_DEVICE, "a transfer cannot be recorded") : MS_OK;
}

// Host memory of a caller is pageable: it passes through the pinned pieces, each waited for before it is used again.
int32_t wait(Context& context, Staging& staging) {
  if (staging.done == nullptr) MS_CUDA_CALL(cudaEventCreateWithFlags(&staging.done, cudaEventDisableTiming), "an event could not be made");
  if (staging.memory == nullptr) MS_CUDA_CALL(cudaHostAlloc(&staging.memory, kStagingBytes, cudaHostAllocDefault), "pinned memory could not be had");
  if (!staging.busy) return MS_OK;
  MS_CUDA_CALL(cudaEventSynchronize(staging.done), "a transfer failed");
  staging.busy = false;
  return MS_OK;
}

}  // namespace

int32_t open_device(Context& context, int32_t) {
  context.device = new (std::nothrow) Device;
  if (context.device == nullptr) return MS_OUT_OF_MEMORY;
  choose_waits(context);
  const int32_t result = open(context);
  if (result != MS_OK) close_device(context);
  return result;
}

void close_device(Context& context) {
  Device& device = *context.device;
  if (device.stream != nullptr) (void)cudaStreamSynchronize(device.stream);
  if (context.sequences != nullptr) context.sequences->forget(context);
  if (context.workspace != nullptr) release(context, context.workspace);
  context.workspace = nullptr;
  for (Staging& staging : device.staging) {
    if (staging.done != nullptr) (void)cudaEventDestroy(staging.done);
    if (staging.memory != nullptr) (void)cudaFreeHost(staging.memory);
  }
  if (device.stream != nullptr) (void)cudaStreamDestroy(device.stream);
  delete context.device;
  context.device = nullptr;
}

int32_t allocate_raw(Context& context, size_t bytes, void** out) {
  const auto ask = [&] { return cudaMallocAsync(out, bytes > 0 ? bytes : 1, context.device->stream); };
  cudaError_t error = ask();
  if (error == cudaErrorMemoryAllocation) {  // once more without rounded weights, and without what was freed and kept in other sizes
    (void)cudaGetLastError();
    if (context.weights != nullptr) context.weights->drop(context);
    (void)cudaStreamSynchronize(context.device->stream);
    (void)cudaMemPoolTrimTo(context.device->pool, 0);
    error = ask();
  }
  if (error == cudaErrorMemoryAllocation) return out_of_memory(context, bytes);
  MS_CUDA_CALL(error, "memory could not be had");
  return MS_OK;
}

int32_t allocate(Context& context, size_t bytes, void** out) {
  size_t free_bytes = 0, all = 0;
  MS_CUDA_CALL(cudaMemGetInfo(&free_bytes, &all), "the device's memory could not be read");
  if (bytes > all) return out_of_memory(context, bytes);
  MS_CUDA_TRY(allocate_raw(context, bytes, out));
  MS_CUDA_CALL(cudaMemsetAsync(*out, 0, bytes > 0 ? bytes : 1, context.device->stream), "memory could not be cleared");
  context.device->sizes[*out] = bytes;
  context.device->held += bytes;
  return MS_OK;
}

void release(Context& context, void* memory) {
  if (memory == nullptr) return;
  if (const auto found = context.device->sizes.find(memory); found != context.device->sizes.end()) {
    context.device->held -= found->second;
    context.device->sizes.erase(found);
  }
  (void)cudaFreeAsync(memory, context.device->stream);
}

bool find_allocation(Context& context, const void* place, Allocation* out) {
  const auto& sizes = context.device->sizes;
  auto next = sizes.upper_bound(const_cast<void*>(place));
  if (next == sizes.begin()) return false;
  --next;
  *out = {static_cast<std::byte*>(next->first), next->second};
  return place < out->begin + out->bytes;
}

// Free memory of the device, and what the pool keeps without using it.
size_t spare_bytes(Context& context) {
  size_t free_bytes = 0, all = 0;
  uint64_t reserved = 0, used = 0;
  if (cudaMemGetInfo(&free_bytes, &all) != cudaSuccess || cudaMemPoolGetAttribute(context.device->pool, cudaMemPoolAttrReservedMemCurrent, &reserved) != cudaSuccess ||
      cudaMemPoolGetAttribute(context.device->pool, cudaMemPoolAttrUsedMemCurrent, &used) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return free_bytes + static_cast<size_t>(reserved - used);
}

std::byte* allocate_spare(Context& context, size_t bytes) {
  void* memory = nullptr;
  if (cudaMallocAsync(&memory, bytes, context.device->stream) == cudaSuccess) return static_cast<std::byte*>(memory);
  (void)cudaGetLastError();
  return nullptr;
}

// Returns when `host` may be changed, not when the device has the bytes: what is started after it comes after it on the stream.
int32_t upload(Context& context, void* destination, const void* host, size_t bytes) {
  MS_CUDA_TRY(refuse_while_recording(context));
  Device& device = *context.device;
  for (size_t done = 0; done < bytes;) {
    Staging& staging = device.staging[device.next];
    device.next ^= 1;
    MS_CUDA_TRY(wait(context, staging));
    const size_t piece = bytes - done < kStagingBytes ? bytes - done : kStagingBytes;
    std::memcpy(staging.memory, static_cast<const char*>(host) + done, piece);
    MS_CUDA_CALL(cudaMemcpyAsync(static_cast<char*>(destination) + done, staging.memory, piece, cudaMemcpyHostToDevice, device.stream), "an upload could not be started");
    MS_CUDA_CALL(cudaEventRecord(staging.done, device.stream), "an upload could not be started");
    staging.busy = true;
    done += piece;
  }
  return MS_OK;
}

int32_t download(Context& context, void* host, const void* source, size_t bytes) {
  if (context.measuring) return MS_OK;
  MS_CUDA_TRY(refuse_while_recording(context));
  Device& device = *context.device;
  size_t started = 0, finished = 0;
  size_t pieces[2] = {0, 0};
  int begin = device.next, end = device.next, under_way = 0;
  while (finished < bytes) {
    while (under_way < 2 && started < bytes) {
      Staging& staging = device.staging[end];
      MS_CUDA_TRY(wait(context, staging));  // an upload may still use it
      pieces[end] = bytes - started < kStagingBytes ? bytes - started : kStagingBytes;
      MS_CUDA_CALL(cudaMemcpyAsync(staging.memory, static_cast<const char*>(source) + started, pieces[end], cudaMemcpyDeviceToHost, device.stream),
                   "a download could not be started");
      MS_CUDA_CALL(cudaEventRecord(staging.done, device.stream), "a download could not be started");
      staging.busy = true;
      started += pieces[end];
      end ^= 1;
      ++under_way;
    }
    MS_CUDA_TRY(wait(context, device.staging[begin]));
    std::memcpy(static_cast<char*>(host) + finished, device.staging[begin].memory, pieces[begin]);
    finished += pieces[begin];
    begin ^= 1;
    --under_way;
  }
  return MS_OK;
}

int32_t copy(Context& context, void* destination, const void* source, size_t bytes) {
  if (bytes == 0) return MS_OK;
  MS_CUDA_CALL(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDeviceToDevice, context.device->stream), "a copy could not be started");
  return MS_OK;
}

int32_t zero(Context& context, void* destination, size_t bytes) {
  if (bytes == 0 || context.measuring) return MS_OK;
  MS_CUDA_CALL(cudaMemsetAsync(destination, 0, bytes, context.device->stream), "memory could not be cleared");
  return MS_OK;
}

int32_t synchronize(Context& context) {
  MS_CUDA_CALL(cudaStreamSynchronize(context.device->stream), "the device failed (MENDSET_CUDA_SYNC=1 names the operation)");
  return MS_OK;
}

int32_t check_operands(Context&, const void*, size_t) { return MS_OK; }

int32_t check_launch(Context& context) {
  MS_CUDA_CALL(cudaGetLastError(), "a kernel could not be started");
  return MS_OK;
}

// A graph that was captured from the stream. Only this thread is kept from calls that a capture forbids.
struct Recording {
  cudaGraphExec_t launches = nullptr;
};

int32_t begin_recording(Context& context) {
  MS_CUDA_CALL(cudaStreamBeginCapture(context.device->stream, cudaStreamCaptureModeThreadLocal), "a recording could not be begun");
  context.device->recording = true;
  return MS_OK;
}

int32_t end_recording(Context& context, Recording** out) {
  context.device->recording = false;
  cudaGraph_t graph = nullptr;
  cudaError_t error = cudaStreamEndCapture(context.device->stream, &graph);
  cudaGraphExec_t launches = nullptr;
  if (error == cudaSuccess) error = cudaGraphInstantiate(&launches, graph, 0);
  if (graph != nullptr) (void)cudaGraphDestroy(graph);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();  // an abandoned capture has done nothing
    return failed(context, error, "operations could not be recorded");
  }
  *out = new (std::nothrow) Recording{launches};
  if (*out != nullptr) return MS_OK;
  (void)cudaGraphExecDestroy(launches);
  return fail(context, MS_OUT_OF_MEMORY, "there is no memory for a recording");
}

int32_t replay(Context& context, Recording* recording) {
  MS_CUDA_CALL(cudaGraphLaunch(recording->launches, context.device->stream), "recorded operations could not be started");
  return MS_OK;
}

void destroy_recording(Context& context, Recording* recording) {
  (void)cudaStreamSynchronize(context.device->stream);  // it may still run
  (void)cudaGraphExecDestroy(recording->launches);
  delete recording;
}

}  // namespace mendset::cuda
