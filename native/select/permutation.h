// Random permutations of int32 indices, the same as the TypeScript RandomStream gives.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/random.h"
#include "core/staged_task.h"

namespace mendset {

// The first `count` entries of the Fisher-Yates permutation of 0 .. n-1: for i from n-1 down, swap i with below(i + 1).
class PermutationPrefix final : public StagedTask {
 public:
  static Status create(RandomStream stream, int64_t n, int64_t count, std::unique_ptr<PermutationPrefix>* out);

  Progress progress() const override;
  const std::vector<int32_t>& result() const { return values_; }
  std::vector<int32_t> take_result() { return std::move(values_); }

 private:
  PermutationPrefix(RandomStream stream, int64_t n, int64_t count) : stream_(stream), n_(n), count_(count) { enter(&PermutationPrefix::fill); }
  Status fill();
  Status shuffle();

  RandomStream stream_;
  const int64_t n_, count_;
  int64_t left_ = 0;  // entries that are not in their place
  std::vector<int32_t> values_;
};

}  // namespace mendset
