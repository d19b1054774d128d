#include "core/random.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace mendset {

// Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", ten rounds.
std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t second = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
               static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    key[0] += 0x9E3779B9u;  // golden ratio
    key[1] += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return counter;
}

uint32_t RandomStream::next() noexcept {
  if (used_ == outputs_.size()) fill();
  return outputs_[used_++];
}

void RandomStream::fill() noexcept {
  uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
  for (uint32_t b = 0; b < kBlocks; ++b, ++block_) {
    c0[b] = static_cast<uint32_t>(block_);
    c1[b] = static_cast<uint32_t>(block_ >> 32);
    c2[b] = id_;
    c3[b] = sub_;
  }
  uint32_t k0 = static_cast<uint32_t>(seed_), k1 = static_cast<uint32_t>(seed_ >> 32);
  for (int round = 0; round < 10; ++round) {
    for (uint32_t b = 0; b < kBlocks; ++b) {
      const uint64_t first = uint64_t{0xD2511F53u} * c0[b];
      const uint64_t second = uint64_t{0xCD9E8D57u} * c2[b];
      c0[b] = static_cast<uint32_t>(second >> 32) ^ c1[b] ^ k0;
      c1[b] = static_cast<uint32_t>(second);
      c2[b] = static_cast<uint32_t>(first >> 32) ^ c3[b] ^ k1;
      c3[b] = static_cast<uint32_t>(first);
    }
    k0 += 0x9E3779B9u;  // golden ratio
    k1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  for (uint32_t b = 0; b < kBlocks; ++b) {
    outputs_[4 * b] = c0[b];
    outputs_[4 * b + 1] = c1[b];
    outputs_[4 * b + 2] = c2[b];
    outputs_[4 * b + 3] = c3[b];
  }
  used_ = 0;
}

uint32_t RandomStream::below(uint32_t n) noexcept {
  const int shift = 32 - static_cast<int>(std::bit_width(n));
  uint32_t value = next() >> shift;
  while (value >= n) value = next() >> shift;
  return value;
}

double RandomStream::uniform() noexcept {
  const uint32_t high = next() >> 5;
  const uint32_t low = next() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

double RandomStream::normal() noexcept {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));  // 1 - u is in (0, 1]
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace mendset
