#include "backend/probe.h"

#include <algorithm>
#include <utility>

namespace mendset {

namespace {

constexpr int kRounds = 6;
constexpr int64_t kSide = 1024;
constexpr int64_t kStream = int64_t{48} << 20;  // floats: 192 MiB

class ProbeTask : public Task {
 public:
  ProbeTask(std::shared_ptr<Backend> backend, Probe* result) : backend_(std::move(backend)), result_(result) {}

  Status step(Deadline) override {
    MS_TRY(round_ < kRounds ? product() : stream());
    ++round_;
    return {};
  }
  Progress progress() const override { return {static_cast<double>(round_), 2.0 * kRounds, round_ == 2 * kRounds}; }

 private:
  Status product() {
    constexpr int64_t matrix = kSide * kSide;
    if (round_ == 0) MS_TRY(take(3 * matrix));
    float* const a = memory_.as<float>();
    const ms_linear_forward_args args{
        kSide, kSide, kSide, a, kSide, MS_ACTIVATION_NONE, a + matrix, MS_LAYOUT_IN_OUT, nullptr, nullptr, a + 2 * matrix, kSide, MS_TYPE_F32};
    double seconds = 0;
    MS_TRY(timed([&] { return backend_->table().linear_forward(backend_->context(), &args); }, "linear_forward", &seconds));
    result_->flops_per_second = std::max(result_->flops_per_second, 2.0 * static_cast<double>(kSide * matrix) / seconds);
    return {};
  }

  Status stream() {
    if (round_ == kRounds) MS_TRY(take(kStream + 2));
    // the sum lies behind what is summed
    const ms_sum_squares_args args{kStream, memory_.as<float>(), reinterpret_cast<double*>(memory_.as<float>() + kStream)};
    double seconds = 0;
    MS_TRY(timed([&] { return backend_->table().sum_squares(backend_->context(), &args); }, "sum_squares", &seconds));
    result_->bytes_per_second = std::max(result_->bytes_per_second, static_cast<double>(kStream) * sizeof(float) / seconds);
    return {};
  }

  // Memory of ones: what is written first costs page faults that later rounds do not have.
  Status take(int64_t floats) {
    memory_.reset();
    MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(floats) * sizeof(float), &memory_));
    const ms_fill_args args{floats, 1.0f, memory_.as<float>()};
    return backend_->check(backend_->table().fill(backend_->context(), &args), "fill");
  }

  template <typename Call>
  Status timed(Call&& call, const char* name, double* seconds) {
    const ms_backend& table = backend_->table();
    MS_TRY(backend_->check(table.synchronize(backend_->context()), "synchronize"));
    const auto begin = Deadline::Clock::now();
    MS_TRY(backend_->check(call(), name));
    MS_TRY(backend_->check(table.synchronize(backend_->context()), "synchronize"));
    *seconds = std::max(1e-9, std::chrono::duration<double>(Deadline::Clock::now() - begin).count());
    return {};
  }

  std::shared_ptr<Backend> backend_;
  Probe* result_;
  Buffer memory_;
  int round_ = 0;
};

}  // namespace

std::unique_ptr<Task> probe_task(std::shared_ptr<Backend> backend, Probe* result) {
  return std::make_unique<ProbeTask>(std::move(backend), result);
}

}  // namespace mendset
