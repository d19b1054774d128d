// Counter-based Philox4x32-10 streams, as in docs/random.md: stream(seed, id, sub), key (seedLow, seedHigh), counter
// (blockLow, blockHigh, id, sub), four 32-bit outputs per block.
#pragma once

#include <array>
#include <cstdint>

namespace mendset {

std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) noexcept;

class RandomStream {
 public:
  RandomStream(uint64_t seed, uint32_t id, uint32_t sub = 0) noexcept : seed_(seed), id_(id), sub_(sub) {}
  uint32_t next() noexcept;               // next 32-bit output
  uint32_t below(uint32_t n) noexcept;    // top bits of an output, redrawn while >= n; n >= 1
  double uniform() noexcept;              // (a >> 5, b >> 6) -> (a 2^26 + b) / 2^53
  double normal() noexcept;               // Box-Muller on two uniforms (cosine branch)

 private:
  static constexpr uint32_t kBlocks = 8;  // computed side by side: one block alone waits for its own products
  void fill() noexcept;

  uint64_t seed_, block_ = 0;
  uint32_t id_, sub_, used_ = 4 * kBlocks;
  std::array<uint32_t, 4 * kBlocks> outputs_{};
};

enum class StreamId : uint32_t { random = 2, k_center = 3, ccs = 4, k_means = 5, training_order = 6, normal_data = 7, generation = 8, bootstrap = 9, weights = 10 };

}  // namespace mendset
