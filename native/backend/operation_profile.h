// Time and work of the operations that schedules run on a backend, and the memory that is allocated on it, while someone asks for
// it.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace mendset {

class OperationProfile {
 public:
  using Clock = std::chrono::steady_clock;
  struct Total {
    int64_t calls = 0;
    double seconds = 0, flops = 0, bytes = 0;
    void add(const Total& other) {
      calls += other.calls;
      seconds += other.seconds;
      flops += other.flops;
      bytes += other.bytes;
    }
  };
  struct Span {
    double begin, seconds;  // `begin` since the profile began
    int32_t operation, block;
  };

  // Memory for the spans is taken here; those beyond `most_spans` are counted alone.
  OperationProfile(size_t operations, size_t most_spans) : operations_(operations), most_spans_(most_spans) {
    spans_.reserve(most_spans);
  }

  void add(size_t operation, int32_t block, Clock::time_point begin, Clock::time_point end, double flops, double bytes) {
    const Total one{1, std::chrono::duration<double>(end - begin).count(), flops, bytes};
    operations_[operation].add(one);
    all_.add(one);
    if (spans_.size() < most_spans_)
      spans_.push_back(
          {std::chrono::duration<double>(begin - start_).count(), one.seconds, static_cast<int32_t>(operation), block});
    else
      ++spans_left_out_;
  }
  void allocated(size_t bytes) {
    ++allocations_;
    allocated_bytes_ += static_cast<double>(bytes);
  }

  // Seconds that timing and adding one operation takes here.
  static double recording_seconds() {
    constexpr int kRounds = 20'000;
    OperationProfile trial(1, kRounds);
    const auto begin = Clock::now();
    for (int i = 0; i < kRounds; ++i) {
      const auto now = Clock::now();
      trial.add(0, 0, now, Clock::now(), 1, 1);
    }
    return std::chrono::duration<double>(Clock::now() - begin).count() / kRounds;
  }

  const std::vector<Total>& operations() const { return operations_; }
  const Total& all() const { return all_; }
  const std::vector<Span>& spans() const { return spans_; }
  int64_t spans_left_out() const { return spans_left_out_; }
  int64_t allocations() const { return allocations_; }
  double allocated_bytes() const { return allocated_bytes_; }

 private:
  Clock::time_point start_ = Clock::now();
  std::vector<Total> operations_;
  Total all_;
  std::vector<Span> spans_;
  size_t most_spans_;
  int64_t spans_left_out_ = 0, allocations_ = 0;
  double allocated_bytes_ = 0;
};

}  // namespace mendset
