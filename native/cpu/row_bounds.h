// How nearest_bounded decides a row from a few fp32 values, and the bounds that it keeps of the row for later passes.
//
// Let V be |x - c|^2 - |x|^2 as the fp64 sum of label_distances gives it, R the largest |c|, and e = gamma(d + 6) R (R + 2 |x|) plus underflow and
// the rounding of those sums and of subnormal centroids. Then v = |c|^2 - 2 x.c of rounded centroids, in fp32 and any order, differs from V by at
// most e. A centroid whose v or proven squared distance exceeds that of another by more than 2 e cannot win.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/context.h"
#include "cpu/kernels.h"

namespace mendset::cpu {

inline constexpr int64_t kMostNear = 16;
inline constexpr int64_t kMostEntries = kMostNear + 2;  // the nearest, kMostNear others, and the next, which bounds the rest
inline constexpr double kWider = 1 + 1e-9;              // covers the rounding of the fp64 bounds themselves

// What a sum of `operations` fp32 operations may err, relative to the sum of magnitudes.
inline double gamma(int64_t operations) {
  const double error = static_cast<double>(operations) * 0x1p-24;
  return error < 0.5 ? error / (1 - error) : std::numeric_limits<double>::infinity();
}

inline float rounded_up(double value) {
  const float near = static_cast<float>(value);
  return static_cast<double>(near) < value ? std::nextafter(near, std::numeric_limits<float>::infinity()) : near;
}
inline float rounded_down(double value) {
  const float near = static_cast<float>(value);
  return static_cast<double>(near) > value ? std::nextafter(near, -std::numeric_limits<float>::infinity()) : near;
}

// The least values of a row, ascending, equal ones in the order they came.
struct Least {
  explicit Least(int64_t entries) : most(entries) {}
  void insert(float v, int32_t j) {
    if (count == most && !(v < value[count - 1])) return;
    int64_t place = count < most ? count++ : count - 1;
    for (; place > 0 && v < value[place - 1]; --place) {
      value[place] = value[place - 1];
      label[place] = label[place - 1];
    }
    value[place] = v;
    label[place] = j;
  }
  const int64_t most;
  int64_t count = 0;
  float value[kMostEntries];
  int32_t label[kMostEntries];
};

class RowBounds {
 public:
  // args are borrowed. What is needed beside them goes into `plan`, and lies at scratch + offset once placed.
  RowBounds(const SelectionKernels& kernels, const ms_nearest_bounded_args& args, ScratchPlan* plan);
  void place(std::byte* scratch);

  bool kept() const { return kept_; }
  int64_t near() const { return m_; }
  int64_t entries() const { return kept_ ? m_ + 2 : 2; }

  double error_of(double length) const { return error_of(length, args_.c_length); }
  double error(int64_t row) const { return error_of(std::sqrt(args_.squares[row])); }
  float value_of(int32_t j, float product) const { return std::fma(-2.0f, product, args_.c_norms[j]); }

  // Decides a row by fp64 sums alone, or of those that fp32 products leave: rarely more than a few.
  void compare_all(int64_t row) const;
  void compare_close(int64_t row) const;
  // Decides a row by the least values of all centroids; `rest`: no further centroid has a smaller v.
  void settle(int64_t row, const Least& least, double rest) const;
  // The two nearest of a panel of rows, where no centroids are kept apart.
  void settle_two(const float* best, const float* second, const int32_t* label, const int32_t* rows, int64_t first, int64_t used) const;

  // Writes the rows of [first, last) that the bounds leave open, after centroids that joined the runners have been taken into account.
  int64_t open_rows(int64_t first, int64_t last, int32_t* rows) const;
  // For such a row: true when the label stays or changed to one of the kept centroids or runners; false: all have to be looked at.
  bool settled(int64_t row, int64_t& distances) const;
  void prefetch(int64_t row) const;

 private:
  double error_of(double length, double longest) const {
    return (gamma_ * longest * (longest + 2 * length) + (fp64_error_ * (longest + length) + rounding_) * (longest + length) + underflow_) * kWider;
  }
  double exact_square(int64_t row, int32_t j) const;
  int64_t choose(int64_t row, const float* values, const int32_t* who, int64_t count, double e) const;
  void keep(int64_t row, double upper, double e) const;
  void forget(int64_t row) const;
  void join_runners(int64_t first, int64_t last) const;
  bool runs(int32_t j) const { return runner_of_[j] >= 0; }
  // At most the distance to the centroid in place t of the row's list; infinity where there is none that counts.
  double near_distance(int64_t row, int64_t t) const;
  void replace_label(int64_t row, int32_t label, int64_t place, double distance) const;

  const SelectionKernels& kernels_;
  const ms_nearest_bounded_args& args_;
  const bool kept_;
  const int64_t m_;
  const double gamma_, underflow_, rounding_, fp64_error_;
  size_t still_at_ = 0, moved_at_ = 0, runner_moved_at_ = 0, apart_at_ = 0, runner_of_at_ = 0;
  float *still_ = nullptr, *moved_ = nullptr;          // by label: what gap must exceed, and its movement, rounded up
  float *runner_moved_ = nullptr, *apart_ = nullptr;  // by runner: the same, and its distance from the others at least, [running, k]
  int32_t* runner_of_ = nullptr;                      // by centroid: its place among the runners, -1 none
};

}  // namespace mendset::cpu
