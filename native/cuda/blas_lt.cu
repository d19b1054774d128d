// The part of cublasLt's C interface that is used, declared here: the library is looked for at run time, so its headers are not needed to build.
#include "cuda/blas_lt.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

// Values of cublasLt.h and library_types.h, unchanged since CUDA 11.
enum : int { kSuccess = 0, kInvalidValue = 7, kNotSupported = 15 };
enum : int { kComputeFp32 = 68, kComputeTf32 = 77, kTypeFp32 = 0, kTypeBf16 = 14 };
enum : int { kDescTransA = 3, kDescTransB = 4, kDescEpilogue = 7, kDescBiasPointer = 8 };
enum : int { kEpilogueDefault = 1, kEpilogueBias = 4 };
enum : int { kPreferenceWorkspaceBytes = 1 };
enum : int { kTransposed = 1, kNotTransposed = 0 };

struct HeuristicResult {
  uint64_t algorithm[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

struct Api {
  int (*create)(void**);
  int (*destroy)(void*);
  size_t (*version)();
  int (*desc_create)(void**, int compute, int scale_type);
  int (*desc_destroy)(void*);
  int (*desc_set)(void*, int attribute, const void*, size_t);
  int (*layout_create)(void**, int type, uint64_t rows, uint64_t columns, int64_t ld);
  int (*layout_destroy)(void*);
  int (*preference_create)(void**);
  int (*preference_destroy)(void*);
  int (*preference_set)(void*, int attribute, const void*, size_t);
  int (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int, HeuristicResult*, int*);
  int (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*, void*, void*, void*, const uint64_t*, void*, size_t,
                cudaStream_t);
};

constexpr size_t kWorkspaceBytes = 32 << 20;

// What decides the algorithm. The one chosen first is kept: the same shape is computed the same way for the life of a context.
struct Key {
  int precision, bias, addend, alignment;
  int64_t rows, columns, row_bytes, ld;
  bool operator==(const Key& other) const { return std::memcmp(this, &other, sizeof(Key)) == 0; }
};
struct Choice {
  Key key;
  bool usable;
  HeuristicResult result;
};

}  // namespace

struct BlasLt {
  Api api{};
  void* handle = nullptr;
  void* workspace = nullptr;
  Context* context = nullptr;
  std::vector<Choice> choices;
};

namespace {

template <typename Function>
bool find(void* library, const char* name, Function* out) {
  *out = reinterpret_cast<Function>(dlsym(library, name));
  return *out != nullptr;
}

bool find_all(void* library, Api* api) {
  return find(library, "cublasLtCreate", &api->create) && find(library, "cublasLtDestroy", &api->destroy) && find(library, "cublasLtGetVersion", &api->version) &&
         find(library, "cublasLtMatmulDescCreate", &api->desc_create) && find(library, "cublasLtMatmulDescDestroy", &api->desc_destroy) &&
         find(library, "cublasLtMatmulDescSetAttribute", &api->desc_set) && find(library, "cublasLtMatrixLayoutCreate", &api->layout_create) &&
         find(library, "cublasLtMatrixLayoutDestroy", &api->layout_destroy) && find(library, "cublasLtMatmulPreferenceCreate", &api->preference_create) &&
         find(library, "cublasLtMatmulPreferenceDestroy", &api->preference_destroy) &&
         find(library, "cublasLtMatmulPreferenceSetAttribute", &api->preference_set) && find(library, "cublasLtMatmulAlgoGetHeuristic", &api->heuristic) &&
         find(library, "cublasLtMatmul", &api->matmul);
}

// The descriptors of one product, destroyed together.
struct Descriptors {
  const Api& api;
  void *product = nullptr, *a = nullptr, *b = nullptr, *c = nullptr, *preference = nullptr;
  explicit Descriptors(const Api& api) : api(api) {}
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() {
    if (preference != nullptr) api.preference_destroy(preference);
    if (c != nullptr) api.layout_destroy(c);
    if (b != nullptr) api.layout_destroy(b);
    if (a != nullptr) api.layout_destroy(a);
    if (product != nullptr) api.desc_destroy(product);
  }
};

}  // namespace

namespace {

// Null with a sentence in `reason`.
BlasLt* open_library(Context& context, const char* name, char* reason, size_t reason_size) {
  void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::snprintf(reason, reason_size, "%s", dlerror());
    return nullptr;
  }
  auto* const blas = new (std::nothrow) BlasLt;
  if (blas == nullptr) {
    std::snprintf(reason, reason_size, "there is no memory for it");
    return nullptr;
  }
  blas->context = &context;
  int status = kSuccess;
  if (!find_all(library, &blas->api)) {
    std::snprintf(reason, reason_size, "%s lacks a function of cublasLt 11 or later", name);
  } else if (status = blas->api.create(&blas->handle); status != kSuccess) {
    std::snprintf(reason, reason_size, "cublasLtCreate of %s failed with status %d", name, status);
    blas->handle = nullptr;
  } else if (allocate_raw(context, kWorkspaceBytes, &blas->workspace) != MS_OK) {
    std::snprintf(reason, reason_size, "its workspace does not fit the device's memory");
    blas->workspace = nullptr;
  } else {
    return blas;
  }
  close_blas_lt(blas);
  return nullptr;
}

}  // namespace

BlasLt* open_blas_lt(Context& context, char* reason, size_t reason_size) {
  const char* const wanted = std::getenv("MENDSET_CUBLASLT");
  if (wanted != nullptr && std::strcmp(wanted, "off") == 0) {
    std::snprintf(reason, reason_size, "MENDSET_CUBLASLT=off");
    return nullptr;
  }
  if (wanted != nullptr && *wanted != '\0') return open_library(context, wanted, reason, reason_size);
  for (const char* const name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {  // the newer one may be too new for the driver
    if (BlasLt* const blas = open_library(context, name, reason, reason_size); blas != nullptr) return blas;
  }
  return nullptr;
}

void close_blas_lt(BlasLt* blas) {
  if (blas == nullptr) return;
  if (blas->workspace != nullptr) release(*blas->context, blas->workspace);
  if (blas->handle != nullptr) blas->api.destroy(blas->handle);
  delete blas;
}

// Row-major C = A B^T is, column-major, C^T = B A^T: B's rows are the columns of a depth x columns matrix to transpose, A's those of a
// depth x rows matrix.
int32_t blas_lt_multiply(Context& context, Precision precision, const Operand& a, const Operand& b, const float* bias, const float* addend, float beta, float* out,
                         int64_t ld) {
  if (precision == Precision::tf32x3 || context.measuring) return MS_UNSUPPORTED;
  BlasLt& blas = *context.blas;
  const Api& api = blas.api;
  const int type = precision == Precision::bf16 ? kTypeBf16 : kTypeFp32, compute = precision == Precision::tf32 ? kComputeTf32 : kComputeFp32;
  const int64_t depth = a.row_bytes / static_cast<int64_t>(element_bytes(precision));
  Descriptors d(api);
  const int transposed = kTransposed, plain = kNotTransposed, epilogue = bias != nullptr ? kEpilogueBias : kEpilogueDefault;
  const bool built = api.desc_create(&d.product, compute, kTypeFp32) == kSuccess && api.desc_set(d.product, kDescTransA, &transposed, sizeof transposed) == kSuccess &&
                     api.desc_set(d.product, kDescTransB, &plain, sizeof plain) == kSuccess &&
                     api.desc_set(d.product, kDescEpilogue, &epilogue, sizeof epilogue) == kSuccess &&
                     (bias == nullptr || api.desc_set(d.product, kDescBiasPointer, &bias, sizeof bias) == kSuccess) &&
                     api.layout_create(&d.a, type, static_cast<uint64_t>(depth), static_cast<uint64_t>(b.rows), depth) == kSuccess &&
                     api.layout_create(&d.b, type, static_cast<uint64_t>(depth), static_cast<uint64_t>(a.rows), depth) == kSuccess &&
                     api.layout_create(&d.c, kTypeFp32, static_cast<uint64_t>(b.rows), static_cast<uint64_t>(a.rows), ld) == kSuccess;
  if (!built) return MS_UNSUPPORTED;

  Key key;
  std::memset(&key, 0, sizeof key);
  key.precision = static_cast<int>(precision), key.bias = bias != nullptr, key.addend = addend != nullptr;
  const uintptr_t pointers = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(addend) | reinterpret_cast<uintptr_t>(bias);
  key.alignment = static_cast<int>(pointers & 15);  // rows of the result need not be aligned; the heuristic is told
  key.rows = a.rows, key.columns = b.rows, key.row_bytes = a.row_bytes, key.ld = ld;
  Choice* choice = nullptr;
  for (Choice& each : blas.choices) {
    if (each.key == key) choice = &each;
  }
  if (choice == nullptr) {
    Choice made{key, false, {}};
    int found = 0;
    // 5 .. 8: smallest alignment in bytes of A, B, C and D
    const uint32_t aligned = 256;
    uint32_t result_aligned = 16;
    while ((pointers & (result_aligned - 1)) != 0) result_aligned /= 2;
    made.usable = api.preference_create(&d.preference) == kSuccess &&
                  api.preference_set(d.preference, kPreferenceWorkspaceBytes, &kWorkspaceBytes, sizeof kWorkspaceBytes) == kSuccess &&
                  api.preference_set(d.preference, 5, &aligned, sizeof aligned) == kSuccess && api.preference_set(d.preference, 6, &aligned, sizeof aligned) == kSuccess &&
                  api.preference_set(d.preference, 7, &result_aligned, sizeof result_aligned) == kSuccess &&
                  api.preference_set(d.preference, 8, &result_aligned, sizeof result_aligned) == kSuccess &&
                  api.heuristic(blas.handle, d.product, d.a, d.b, d.c, d.c, d.preference, 1, &made.result, &found) == kSuccess && found == 1 &&
                  made.result.state == kSuccess;
    blas.choices.push_back(made);
    choice = &blas.choices.back();
  }
  if (!choice->usable) return MS_UNSUPPORTED;
  const float one = 1.0f;
  const void* const c = addend != nullptr ? addend : out;
  const int status = api.matmul(blas.handle, d.product, &one, b.data, d.a, a.data, d.b, &beta, c, d.c, out, d.c, choice->result.algorithm, blas.workspace, kWorkspaceBytes,
                                stream_of(context));
  if (status == kSuccess) return MS_OK;
  if (status == kNotSupported || status == kInvalidValue) {  // said before anything is started
    choice->usable = false;
    return MS_UNSUPPORTED;
  }
  return fail(context, MS_DEVICE, "cublasLt could not multiply %lld x %lld by %lld (status %d)", static_cast<long long>(a.rows), static_cast<long long>(depth),
              static_cast<long long>(b.rows), status);
}

}  // namespace mendset::cuda
