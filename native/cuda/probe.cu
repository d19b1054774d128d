// Is there a usable device? The first answer comes from a forked child, so that a driver that crashes or hangs takes the child with it.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "cuda/context.h"

namespace mendset::cuda {
namespace {

constexpr int kTimeoutMs = 60'000;  // a first start on a machine with many devices takes seconds
constexpr size_t kReasonBytes = 480;

__global__ void answer_kernel(int* out) { *out = 42; }

// In the child. An empty reason: usable.
void try_device(char* reason, size_t size) {
  const auto failed = [&](const char* what, cudaError_t error) { std::snprintf(reason, size, "%s: %s (%s).", what, cudaGetErrorString(error), cudaGetErrorName(error)); };
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) return failed("the NVIDIA driver offers no device", error);
  cudaDeviceProp facts;
  if (const cudaError_t error = cudaGetDeviceProperties(&facts, 0); error != cudaSuccess) return failed("the device does not answer", error);
  if (facts.major * 10 + facts.minor < 75) {
    std::snprintf(reason, size, "the %s has compute capability %d.%d; 7.5 or later is needed.", facts.name, facts.major, facts.minor);
    return;
  }
  int *place = nullptr, answer = 0;
  cudaError_t error = cudaMalloc(&place, sizeof(int));
  if (error != cudaSuccess) return failed("the device has no memory to give", error);
  answer_kernel<<<1, 1>>>(place);
  error = cudaGetLastError();
  if (error == cudaSuccess) error = cudaMemcpy(&answer, place, sizeof answer, cudaMemcpyDeviceToHost);
  if (error != cudaSuccess) return failed("a first kernel failed", error);
  if (answer != 42) std::snprintf(reason, size, "a first kernel computed %d instead of 42.", answer);
}

// Why not, or empty.
void ask_child(char* reason, size_t size) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    std::snprintf(reason, size, "no pipe could be made to try the device in a child process.");
    return;
  }
  const pid_t child = fork();
  if (child == 0) {
    char answer[kReasonBytes] = "";
    try_device(answer, sizeof answer);
    const ssize_t written = write(ends[1], answer, sizeof answer);
    _exit(written == static_cast<ssize_t>(sizeof answer) ? 0 : 1);
  }
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    std::snprintf(reason, size, "no child process could be started to try the device.");
    return;
  }
  pollfd waiting{ends[0], POLLIN, 0};
  char answer[kReasonBytes];
  int ready;
  do ready = poll(&waiting, 1, kTimeoutMs);
  while (ready < 0 && errno == EINTR);
  ssize_t got = -1;
  if (ready > 0) {
    do got = read(ends[0], answer, sizeof answer);
    while (got < 0 && errno == EINTR);
  }
  const bool answered = got == static_cast<ssize_t>(sizeof answer);
  close(ends[0]);
  if (!answered) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (answered) {
    std::snprintf(reason, size, "%s", answer);
  } else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
    std::snprintf(reason, size, "trying the device ended a child process with signal %d.", WTERMSIG(status));
  } else {
    std::snprintf(reason, size, "trying the device gave no answer within %d seconds.", kTimeoutMs / 1000);
  }
}

// Somebody in this process already uses the driver: a forked child could not, and there is nothing left to protect from a first start.
bool driver_started(void* driver) {
  const auto count_devices = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));  // fails before cuInit
  int count = 0;
  return count_devices != nullptr && count_devices(&count) == 0;
}

struct Answer {
  std::mutex mutex;
  bool known = false;
  char reason[kReasonBytes] = "";
};

}  // namespace

int32_t probe_device(char* reason, size_t reason_size) {
  static Answer* const answer = new Answer;  // never destroyed
  std::lock_guard lock(answer->mutex);
  if (!answer->known) {
    answer->known = true;
    if (void* const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); driver == nullptr) {
      std::snprintf(answer->reason, sizeof answer->reason, "there is no NVIDIA driver here (%s).", dlerror());
    } else if (const char* const where = std::getenv("MENDSET_CUDA_PROBE"); driver_started(driver) || (where != nullptr && std::strcmp(where, "direct") == 0)) {
      try_device(answer->reason, sizeof answer->reason);
    } else {
      ask_child(answer->reason, sizeof answer->reason);
    }
  }
  if (reason_size > 0) std::snprintf(reason, reason_size, "%s", answer->reason);
  if (answer->reason[0] != '\0') return MS_DEVICE;
  Context context;
  cudaDeviceProp facts;
  if (cudaGetDeviceProperties(&facts, 0) == cudaSuccess) context.tensor_cores = facts.major >= 8;
  const int32_t result = choose_precision(context);
  if (result != MS_OK && reason_size > 0) std::snprintf(reason, reason_size, "%s.", context.error);
  return result;
}

}  // namespace mendset::cuda
