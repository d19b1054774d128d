namespace mendset::cpu::MENDSET_ISA {
namespace selection {

using gemm::kColumns;
using gemm::kVecs;

template <bool Second> static void fold_nearest_of(const float* tile, int64_t centres, const float* c_norms, int32_t first, const NearestState& state) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = v * kLanes;
    Vec best = load(state.best + at), second = zero();
    IVec label = iload(state.label + at), second_label = label;
    if constexpr (Second) {
      second = load(state.second + at);
      second_label = iload(state.second_label + at);
    }
    for (int64_t j = 0; j < centres; ++j) {
      const Vec value = fma_exact(set1(-2.0f), load(tile + j * kColumns + at), set1(c_norms[j]));
      const IVec number = iset1(first + static_cast<int32_t>(j));
      const Mask wins = less(value, best);
      if constexpr (Second) {
        const Mask comes_second = less(value, second);
        second = select(wins, best, select(comes_second, value, second));
        second_label = iselect(wins, label, iselect(comes_second, number, second_label));
      }
      best = select(wins, value, best);
      label = iselect(wins, number, label);
    }
    store(state.best + at, best);
    istore(state.label + at, label);
    if constexpr (Second) {
      store(state.second + at, second);
      istore(state.second_label + at, second_label);
    }
  }
}

static void fold_nearest(const float* tile, int64_t centres, const float* c_norms, int32_t first, const NearestState& state) {
  if (state.second != nullptr) fold_nearest_of<true>(tile, centres, c_norms, first, state);
  else fold_nearest_of<false>(tile, centres, c_norms, first, state);
}

static float chain_of_differences(const float* x, const float* c, int64_t d) {
  float sum = 0;
  for (int64_t p = 0; p < d; ++p) {
    const float difference = x[p] - c[p];
    sum = std::fma(difference, difference, sum);
  }
  return sum;
}

static void fold_distance(const float* tile, int64_t centres, const float* c, const float* c_norms, int32_t first_number, const DistancePanel& panel) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = v * kLanes;
    const Vec x_norms = load(panel.x_norms + at);
    Vec m = load(panel.m + at);
    IVec nearest = iload(panel.nearest + at);
    for (int64_t j = 0; j < centres; ++j) {
      const Vec norms = x_norms + set1(c_norms[j]);
      Vec r = fma_exact(set1(-2.0f), load(tile + j * kColumns + at), norms);
      const Mask cancels = less(r, set1(0x1p-10f) * norms);
      if (any(cancels)) {
        float values[kLanes], limits[kLanes];
        store(values, r);
        store(limits, set1(0x1p-10f) * norms);
        for (int64_t i = 0; i < kLanes && at + i < panel.rows_used; ++i) {
          if (values[i] < limits[i]) values[i] = chain_of_differences(panel.x + (at + i) * panel.d, c + j * panel.d, panel.d);
        }
        r = load(values);
      }
      r = max(r, zero());
      const Mask nearer = less(r, m);
      m = select(nearer, r, m);
      nearest = iselect(nearer, iset1(first_number + static_cast<int32_t>(j)), nearest);
    }
    store(panel.m + at, m);
    istore(panel.nearest + at, nearest);
  }
}

static void chain_squares(const float* panel, int64_t depth, float* norms) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    Vec sum = load(norms + v * kLanes);
    for (int64_t p = 0; p < depth; ++p) {
      const Vec x = load(panel + p * kColumns + v * kLanes);
      sum = fma_exact(x, x, sum);
    }
    store(norms + v * kLanes, sum);
  }
}

static void largest(const float* m, const uint8_t* taken, int64_t n, float* value, int64_t* place) {
  constexpr int64_t kStep = kLanes < 8 ? 8 : kLanes;
  const float lowest = -std::numeric_limits<float>::infinity();
  Vec high = set1(lowest);
  float single = lowest;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    uint64_t flags = 0;
    for (int64_t g = 0; g < kStep; g += 8) {
      uint64_t eight;
      std::memcpy(&eight, taken + i + g, sizeof eight);
      flags |= eight;
    }
    if (flags == 0) {
      for (int64_t g = 0; g < kStep; g += kLanes) high = max(load(m + i + g), high);
    } else {
      for (int64_t g = i; g < i + kStep; ++g) {
        if (taken[g] == 0 && m[g] > single) single = m[g];
      }
    }
  }
  for (; i < n; ++i) {
    if (taken[i] == 0 && m[i] > single) single = m[i];
  }
  const float most = reduce_max(high);
  *value = most > single ? most : single;
  *place = -1;
  for (int64_t g = 0; g < n; ++g) {
    if (m[g] == *value && taken[g] == 0) {
      *place = g;
      return;
    }
  }
}

static constexpr SelectionKernels kernels = {
    .fold_nearest = fold_nearest,
    .fold_distance = fold_distance,
    .chain_squares = chain_squares,
    .largest = largest,
};

}  // namespace selection
}  // namespace mendset::cpu::MENDSET_ISA
