// The plugin as the engine opens it: a context that cannot be made says why, and other threads may allocate, free and ask for
// estimates while one computes.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "test/check.h"

using namespace mendset;

namespace {

bool fine(const Status& status) {
  if (!status.ok()) std::printf("%s\n", status.message().c_str());
  CHECK(status.ok());
  return status.ok();
}

void test_reason() {
  setenv("MENDSET_CUDA_PRECISION", "fp7", 1);
  std::shared_ptr<Backend> backend;
  const Status status = Backend::open("cuda", 1, &backend);
  CHECK(status.code() == Code::invalid_argument && backend == nullptr);
  CHECK(status.message() ==
        "The backend 'cuda' could not be started with 1 threads: expected MENDSET_CUDA_PRECISION to be bf16, tf32, tf32x3 or "
        "fp32 but received \"fp7\".");
  unsetenv("MENDSET_CUDA_PRECISION");
  CHECK(Backend::open("cuda", 1, &backend).ok());
}

// y = x w, again and again, replayed from the third time on; each result must be the first.
void test_threads() {
  constexpr int64_t kRows = 40, kIn = 24, kOut = 16;
  constexpr int kTurns = 300;
  std::shared_ptr<Backend> backend;
  if (!fine(Backend::open("cuda", 1, &backend))) return;
  const ms_backend& table = backend->table();
  Buffer x, w, y;
  for (auto& [buffer, count] : {std::pair{&x, kRows * kIn}, {&w, kIn * kOut}, {&y, kRows * kOut}}) {
    if (!fine(Buffer::allocate(backend, static_cast<size_t>(count) * sizeof(float), buffer))) return;
    std::vector<float> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 17) - 8;
    fine(buffer->upload(values.data(), buffer->bytes()));
  }
  const ms_linear_forward_args args{
      kRows,   kIn,     kOut,          x.as<float>(), kIn,        MS_ACTIVATION_NONE, w.as<float>(), MS_LAYOUT_IN_OUT,
      nullptr, nullptr, y.as<float>(), kOut,          MS_TYPE_F32};
  const ms_fill_args clear{kRows * kOut, 3.0f, y.as<float>()};
  std::atomic<bool> ended = false;
  std::thread other([&] {
    while (!ended) {
      CHECK(table.scratch_bytes(backend->context(), MS_OPERATION_linear_forward, &args) > 0);
      Buffer buffer;
      CHECK(Buffer::allocate(backend, 5000, &buffer).ok());
    }
  });
  std::vector<float> first, now(static_cast<size_t>(kRows * kOut));
  int wrong = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    CHECK(table.begin_sequence(backend->context()) == MS_OK && table.fill(backend->context(), &clear) == MS_OK &&
          table.linear_forward(backend->context(), &args) == MS_OK && table.end_sequence(backend->context()) == MS_OK);
    fine(y.download(now.data(), y.bytes()));
    if (turn == 0) first = now;
    wrong += now != first;
  }
  ended = true;
  other.join();
  CHECK(wrong == 0 && first[0] != 3.0f);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2 || !fine(open_plugin(arguments[1]))) return 2;
  test_reason();
  test_threads();
  return test::finish();
}
