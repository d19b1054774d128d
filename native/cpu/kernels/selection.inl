namespace mendset::cpu::MENDSET_ISA {
namespace selection {

using gemm::kColumns;
using gemm::kVecs;

template <int Wanted> static void fold_nearest_of(const float* tile, int64_t centres, const float* c_norms, int32_t first, const NearestState& state) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = v * kLanes;
    Vec best = load(state.best + at), second = zero(), third = zero();
    IVec label = iload(state.label + at), second_label = label;
    if constexpr (Wanted > 1) {
      second = load(state.second + at);
      second_label = iload(state.second_label + at);
    }
    if constexpr (Wanted > 2) third = load(state.third + at);
    for (int64_t j = 0; j < centres; ++j) {
      const Vec value = fma_exact(set1(-2.0f), load(tile + j * kColumns + at), set1(c_norms[j]));
      const IVec number = iset1(first + static_cast<int32_t>(j));
      const Mask wins = less(value, best);
      if constexpr (Wanted > 1) {
        const Mask comes_second = less(value, second);
        if constexpr (Wanted > 2) third = min(max(second, value), third);
        second = select(wins, best, select(comes_second, value, second));
        second_label = iselect(wins, label, iselect(comes_second, number, second_label));
      }
      best = select(wins, value, best);
      label = iselect(wins, number, label);
    }
    store(state.best + at, best);
    istore(state.label + at, label);
    if constexpr (Wanted > 1) {
      store(state.second + at, second);
      istore(state.second_label + at, second_label);
    }
    if constexpr (Wanted > 2) store(state.third + at, third);
  }
}

static void fold_nearest(const float* tile, int64_t centres, const float* c_norms, int32_t first, const NearestState& state) {
  if (state.third != nullptr) fold_nearest_of<3>(tile, centres, c_norms, first, state);
  else if (state.second != nullptr) fold_nearest_of<2>(tile, centres, c_norms, first, state);
  else fold_nearest_of<1>(tile, centres, c_norms, first, state);
}

static void fold_least(const float* tile, int64_t centres, const float* c_norms, int32_t first, int64_t entries, float* values, int32_t* labels) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = v * kLanes, last = (entries - 1) * kColumns + at;
    for (int64_t j = 0; j < centres; ++j) {
      Vec value = fma_exact(set1(-2.0f), load(tile + j * kColumns + at), set1(c_norms[j]));
      if (!any(less(value, load(values + last)))) continue;
      IVec number = iset1(first + static_cast<int32_t>(j));
      for (int64_t place = at; place <= last; place += kColumns) {  // what comes in goes down to its place, and pushes the larger ones on
        const Vec old = load(values + place);
        const IVec old_number = iload(labels + place);
        const Mask smaller = less(value, old);
        store(values + place, select(smaller, value, old));
        istore(labels + place, iselect(smaller, number, old_number));
        value = select(smaller, old, value);
        number = iselect(smaller, old_number, number);
      }
    }
  }
}

static float chain_of_differences(const float* x, int64_t stride, const float* c, int64_t d) {
  float sum = 0;
  for (int64_t p = 0; p < d; ++p) {
    const float difference = x[p * stride] - c[p];
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
          if (values[i] < limits[i]) values[i] = chain_of_differences(panel.x + (at + i) * panel.row_stride, panel.column_stride, c + j * panel.d, panel.d);
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

static void distances(float* tile, int64_t centres, const float* c, const float* c_norms, const DistancePanel& panel) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = v * kLanes;
    const Vec x_norms = load(panel.x_norms + at);
    for (int64_t j = 0; j < centres; ++j) {
      const Vec norms = x_norms + set1(c_norms[j]);
      Vec r = fma_exact(set1(-2.0f), load(tile + j * kColumns + at), norms);
      const Mask cancels = less(r, set1(0x1p-10f) * norms);
      if (any(cancels)) {
        float values[kLanes], limits[kLanes];
        store(values, r);
        store(limits, set1(0x1p-10f) * norms);
        for (int64_t i = 0; i < kLanes && at + i < panel.rows_used; ++i) {
          if (values[i] < limits[i]) values[i] = chain_of_differences(panel.x + (at + i) * panel.row_stride, panel.column_stride, c + j * panel.d, panel.d);
        }
        r = load(values);
      }
      store(tile + j * kColumns + at, max(r, zero()));
    }
  }
}

static void pack_rows(const float* const* rows, int64_t used, int64_t d, float* panel) {
  constexpr int64_t kLine = 16;  // floats: all rows give one cache line at a time, so that the panel's lines are written whole
  for (int64_t line = 0; line < d; line += kLine) {
    const int64_t depth = d - line < kLine ? d - line : kLine;
    for (int64_t w = 0; w < used && line + 4 * kLine < d; ++w) __builtin_prefetch(rows[w] + line + 4 * kLine, 0, 3);
    for (int64_t w = 0; w < kColumns; w += kLanes) {
      const int64_t here = used - w < kLanes ? (used > w ? used - w : 0) : kLanes;
      gemm::pack_lanes([&](int64_t i) { return rows[w + i] + line; }, here, depth, panel + line * kColumns + w, kColumns);
    }
  }
}

template <int Panels> static void packed_distance_of(const float* packed, int64_t d, const float* x_norms, const float* c, float c_norm, float* m) {
  Vec sum[Panels][kVecs];
#pragma GCC unroll 4
  for (int g = 0; g < Panels; ++g) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) sum[g][v] = zero();
  }
  for (int64_t p = 0; p < d; ++p) {
    const Vec value = set1(c[p]);
#pragma GCC unroll 4
    for (int g = 0; g < Panels; ++g) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[g][v] = fma_exact(value, load(packed + (g * d + p) * kColumns + v * kLanes), sum[g][v]);
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < Panels; ++g) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const int64_t at = g * kColumns + v * kLanes;
      const Vec norms = load(x_norms + at) + set1(c_norm);
      Vec r = fma_exact(set1(-2.0f), sum[g][v], norms);
      const Mask cancels = less(r, set1(0x1p-10f) * norms);
      if (any(cancels)) {
        float values[kLanes], limits[kLanes];
        store(values, r);
        store(limits, set1(0x1p-10f) * norms);
        for (int64_t i = 0; i < kLanes; ++i) {
          if (values[i] < limits[i]) values[i] = chain_of_differences(packed + g * d * kColumns + v * kLanes + i, kColumns, c, d);
        }
        r = load(values);
      }
      r = max(r, zero());
      const Vec old = load(m + at);
      store(m + at, select(less(r, old), r, old));
    }
  }
}

static void packed_distance(const float* packed, int64_t panels, int64_t d, const float* x_norms, const float* c, float c_norm, float* m) {
  if (panels == 4) return packed_distance_of<4>(packed, d, x_norms, c, c_norm, m);
  for (int64_t g = 0; g < panels; ++g) packed_distance_of<1>(packed + g * d * kColumns, d, x_norms + g * kColumns, c, c_norm, m + g * kColumns);
}

static void append_below(const float* tile, int64_t centres, const float* squares, int32_t first, const float* limits, int32_t* lists, int64_t ld_lists, int32_t* counts) {
  constexpr int kGroup = 64 / kLanes < 4 ? 64 / kLanes : 4;  // centres whose answers are looked at together: most groups hold none
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = v * kLanes;
    const Vec limit = load(limits + at);
    const auto above = [&](int64_t j) { return static_cast<uint64_t>(bits(less(limit, fma_exact(set1(-2.0f), load(tile + j * kColumns + at), set1(squares[j]))))); };
    constexpr uint64_t kAll = (uint64_t{1} << kLanes) - 1;
    for (int64_t j = 0; j < centres; j += kGroup) {
      uint64_t set = 0;
      if (j + kGroup <= centres) {
#pragma GCC unroll 4
        for (int g = 0; g < kGroup; ++g) set |= (above(j + g) ^ kAll) << (g * kLanes);
      } else {
        for (int64_t g = 0; j + g < centres; ++g) set |= (above(j + g) ^ kAll) << (g * kLanes);
      }
      for (; set != 0; set &= set - 1) {
        const int place = __builtin_ctzll(set);
        const int64_t lane = at + place % kLanes;
        lists[lane * ld_lists + counts[lane]++] = first + static_cast<int32_t>(j) + place / kLanes;
      }
    }
  }
}

template <int Count> MS_INLINE void some_dots(const float* x, const float* const* c, int64_t d, float* out) {
  Vec sum[Count], other[Count];
#pragma GCC unroll 4
  for (int j = 0; j < Count; ++j) sum[j] = other[j] = zero();
  int64_t p = 0;
  for (; p + 2 * kLanes <= d; p += 2 * kLanes) {
    const Vec a = load(x + p), b = load(x + p + kLanes);
#pragma GCC unroll 4
    for (int j = 0; j < Count; ++j) {
      sum[j] = fma(a, load(c[j] + p), sum[j]);
      other[j] = fma(b, load(c[j] + p + kLanes), other[j]);
    }
  }
  for (; p < d; p += kLanes) {
    const int64_t left = d - p < kLanes ? d - p : kLanes;
    const Vec a = load_partial(x + p, left);
#pragma GCC unroll 4
    for (int j = 0; j < Count; ++j) sum[j] = fma(a, load_partial(c[j] + p, left), sum[j]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < Count; ++j) out[j] = reduce_add(sum[j] + other[j]);
}

static void dots(const float* x, const float* centres, const int32_t* list, int64_t count, int64_t d, float* out) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const float* const c[4] = {centres + list[i] * d, centres + list[i + 1] * d, centres + list[i + 2] * d, centres + list[i + 3] * d};
    some_dots<4>(x, c, d, out + i);
  }
  if (i + 2 <= count) {
    const float* const c[2] = {centres + list[i] * d, centres + list[i + 1] * d};
    some_dots<2>(x, c, d, out + i);
    i += 2;
  }
  if (i < count) {
    const float* const c[1] = {centres + list[i] * d};
    some_dots<1>(x, c, d, out + i);
  }
}

static void merge_nearest(const float* tile, int64_t centres, int32_t first_number, int64_t first_row, int64_t rows_used, int64_t k, float* limits, float* kept, int32_t* indices) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = v * kLanes;
    Vec limit = load(limits + at);
    for (int64_t j = 0; j < centres; ++j) {
      uint32_t set = bits(less(load(tile + j * kColumns + at), limit));
      if (set == 0) continue;
      const int32_t number = first_number + static_cast<int32_t>(j);
      for (; set != 0; set &= set - 1) {
        const int64_t lane = at + __builtin_ctz(set);
        if (lane >= rows_used || first_row + lane == number) continue;
        const float r = tile[j * kColumns + lane];
        float* const row = kept + lane * k;
        int32_t* const names = indices + lane * k;
        int64_t place = k - 1;
        for (; place > 0 && r < row[place - 1]; --place) {
          row[place] = row[place - 1];
          names[place] = names[place - 1];
        }
        row[place] = r;
        names[place] = number;
        limits[lane] = row[k - 1];
      }
      limit = load(limits + at);
    }
  }
}

static void add_rises(const float* tile, int64_t centres, bool dot, const float* best, int64_t rows_used, double grid, double* gains) {
  for (int64_t j = 0; j < centres; ++j, tile += kColumns, gains += kColumns) {
    if (rows_used == kColumns) {
      for (int i = 0; i < kColumns; ++i) {
        const float rise = dot ? (tile[i] > 0.0f ? tile[i] : 0.0f) - best[i] : best[i] - tile[i];
        gains[i] += (static_cast<double>(rise > 0.0f ? rise : 0.0f) + grid) - grid;
      }
    } else {
      for (int64_t i = 0; i < rows_used; ++i) {
        const float rise = dot ? (tile[i] > 0.0f ? tile[i] : 0.0f) - best[i] : best[i] - tile[i];
        gains[i] += (static_cast<double>(rise > 0.0f ? rise : 0.0f) + grid) - grid;
      }
    }
  }
}

static void label_distances(const float* x, int64_t rows, int64_t d, const double* centroids, const int32_t* labels, double* squares) {
  for (int64_t i = 0; i < rows; ++i, x += d) {
    const double* const c = centroids != nullptr ? centroids + labels[i] * d : nullptr;
    double sums[8] = {};
    int64_t p = 0;
    if (c != nullptr) {
      for (; p + 8 <= d; p += 8) {
        for (int q = 0; q < 8; ++q) {
          const double difference = static_cast<double>(x[p + q]) - c[p + q];
          sums[q] += difference * difference;
        }
      }
    } else {
      for (; p + 8 <= d; p += 8) {
        for (int q = 0; q < 8; ++q) sums[q] += static_cast<double>(x[p + q]) * static_cast<double>(x[p + q]);
      }
    }
    for (; p < d; ++p) {
      const double difference = static_cast<double>(x[p]) - (c != nullptr ? c[p] : 0.0);
      sums[p % 8] += difference * difference;
    }
    squares[i] = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  }
}

static int64_t changed(const int32_t* before, const int32_t* after, int64_t n, int32_t* rows) {
  constexpr int64_t kBlock = 64;
  int64_t count = 0, i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    int32_t different = 0;
    for (int64_t p = i; p < i + kBlock; ++p) different |= before[p] ^ after[p];
    if (different == 0) continue;
    for (int64_t p = i; p < i + kBlock; ++p) {
      rows[count] = static_cast<int32_t>(p);
      count += before[p] != after[p];
    }
  }
  for (; i < n; ++i) {
    rows[count] = static_cast<int32_t>(i);
    count += before[i] != after[i];
  }
  return count;
}

static void move_rows(const float* x, int64_t ld, const int32_t* rows, int64_t count, int64_t columns, const int32_t* before, const int32_t* after, double grid, double* sums, int64_t ld_sums) {
  constexpr int64_t kAhead = 6, kLine = 16;  // rows, and floats: the rows lie in no order that the processor would see
  for (int64_t i = 0; i < count; ++i) {
    const float* const ahead = x + rows[i + kAhead < count ? i + kAhead : count - 1] * ld;
    for (int64_t c = 0; c < columns; c += kLine) __builtin_prefetch(ahead + c, 0, 3);
    const int32_t r = rows[i];
    const float* const row = x + r * ld;
    double* __restrict const to = sums + after[r] * ld_sums;
    if (before[r] < 0) {
      for (int64_t c = 0; c < columns; ++c) to[c] += (static_cast<double>(row[c]) + grid) - grid;
    } else {
      double* __restrict const from = sums + before[r] * ld_sums;
      for (int64_t c = 0; c < columns; ++c) {
        const double value = (static_cast<double>(row[c]) + grid) - grid;
        from[c] -= value;
        to[c] += value;
      }
    }
  }
}

static void centre_panel(const float* x, int64_t rows_used, int64_t d, const float* mean, float* panel, double* squares) {
  for (int64_t w = 0; w < rows_used; ++w) {
    const float* const row = x + w * d;
    double lengths[8] = {}, spreads[8] = {};
    for (int64_t p = 0; p + 8 <= d; p += 8) {
      for (int q = 0; q < 8; ++q) {
        const double value = static_cast<double>(row[p + q]), difference = value - static_cast<double>(mean[p + q]);
        lengths[q] += value * value;
        spreads[q] += difference * difference;
      }
    }
    for (int64_t p = d / 8 * 8; p < d; ++p) {
      const double value = static_cast<double>(row[p]), difference = value - static_cast<double>(mean[p]);
      lengths[p % 8] += value * value;
      spreads[p % 8] += difference * difference;
    }
    squares[2 * w] = ((lengths[0] + lengths[4]) + (lengths[2] + lengths[6])) + ((lengths[1] + lengths[5]) + (lengths[3] + lengths[7]));
    squares[2 * w + 1] = ((spreads[0] + spreads[4]) + (spreads[2] + spreads[6])) + ((spreads[1] + spreads[5]) + (spreads[3] + spreads[7]));
  }
  gemm::pack(panel, kColumns, x, d, true, rows_used, d, MS_ACTIVATION_NONE);
  for (int64_t p = 0; p < d; ++p) {
    for (int v = 0; v < kVecs; ++v) store(panel + p * kColumns + v * kLanes, load(panel + p * kColumns + v * kLanes) - set1(mean[p]));
  }
}

static constexpr SelectionKernels kernels = {
    .fold_nearest = fold_nearest,
    .bound_two = bound_two,
    .unsettled = unsettled,
    .fold_least = fold_least,
    .fold_distance = fold_distance,
    .distances = distances,
    .pack_rows = pack_rows,
    .packed_distance = packed_distance,
    .append_below = append_below,
    .dots = dots,
    .merge_nearest = merge_nearest,
    .add_rises = add_rises,
    .label_distances = label_distances,
    .changed = changed,
    .move_rows = move_rows,
    .centre_panel = centre_panel,
    .chain_squares = chain_squares,
    .largest = largest,
};

}  // namespace selection
}  // namespace mendset::cpu::MENDSET_ISA
