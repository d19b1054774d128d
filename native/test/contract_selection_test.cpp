// Distances, labels, farthest-first minima and matrix statistics. Whatever decides an index must equal the plain backend bit for bit.
#include "test/contract.h"

using namespace mendset;
using namespace mendset::test;

namespace {

constexpr Bound kEqual{};

std::vector<float> norms_of(const std::vector<float>& x, int64_t d) {
  std::vector<float> norms(d > 0 ? x.size() / static_cast<size_t>(d) : 0);
  for (size_t i = 0; i < norms.size(); ++i) {
    float sum = 0;
    for (int64_t p = 0; p < d; ++p) sum = std::fma(x[i * static_cast<size_t>(d) + static_cast<size_t>(p)], x[i * static_cast<size_t>(d) + static_cast<size_t>(p)], sum);
    norms[i] = sum;
  }
  return norms;
}

// Points on a coarse grid: many exact ties and duplicates.
std::vector<float> grid_values(int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  const std::vector<int32_t> integers = integer_values(count, 3, seed);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(integers[i]);
  return values;
}

std::string label(const char* operation, int64_t n, int64_t k, int64_t d) {
  return std::string(operation) + " n " + std::to_string(n) + " k " + std::to_string(k) + " d " + std::to_string(d);
}

void row_norms(int64_t n, int64_t d) {
  const Guarded<float> x(normal_values(n * d, 1));
  contract(label("row_norms", n, 0, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> norms(n);
    const ms_row_norms_args args{n, d, x.data(), norms.data()};
    outputs.result(table.row_norms(context, &args));
    outputs.add("norms", norms);
  });
}

void nearest_centre(int64_t n, int64_t k, int64_t d, bool ties) {
  const std::vector<float> points = ties ? grid_values(n * d, 1) : normal_values(n * d, 1), centres = ties ? grid_values(k * d, 2) : normal_values(k * d, 2);
  const Guarded<float> x(points), c(centres), c_norms(norms_of(centres, d));
  for (const bool all : {false, true}) {
    contract(label("nearest_centre", n, k, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<int32_t> labels(n), second_label(n);
      Guarded<float> best(n), second(n);
      const ms_nearest_centre_args args{n, k, d, x.data(), c.data(), c_norms.data(), labels.data(), all ? best.data() : nullptr,
                                        all ? second_label.data() : nullptr, all ? second.data() : nullptr};
      outputs.result(table.nearest_centre(context, &args));
      outputs.add("labels", labels);
      outputs.add("best", best);
      outputs.add("second_label", second_label);
      outputs.add("second", second);
    });
  }
}

// Without anything known beforehand. Labels are those of fp64 distances to centroids that no fp32 number holds.
void nearest_bounded(int64_t n, int64_t k, int64_t d, bool ties) {
  const std::vector<float> points = ties ? grid_values(n * d, 1) : normal_values(n * d, 1), rounded = ties ? grid_values(k * d, 2) : normal_values(k * d, 2);
  std::vector<double> exact(rounded.begin(), rounded.end()), squares(static_cast<size_t>(n));
  if (!ties) for (double& value : exact) value *= 1 + 0x1p-26;
  double x_length = 0, c_length = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < d; ++p) squares[static_cast<size_t>(i)] += std::pow(static_cast<double>(points[static_cast<size_t>(i * d + p)]), 2);
    x_length = std::max(x_length, std::sqrt(squares[static_cast<size_t>(i)]) * (1 + 1e-9));
  }
  for (const float norm : norms_of(rounded, d)) c_length = std::max(c_length, std::sqrt(static_cast<double>(norm)) * (1 + 1e-3));
  const Guarded<float> x(points), centres(rounded), c_norms(norms_of(rounded, d));
  const Guarded<double> centroids(exact), lengths(squares);
  contract(label("nearest_bounded", n, k, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<int32_t> labels(n, -1);
    Guarded<int64_t> evaluated(4, 0);
    ms_nearest_bounded_args args{};
    args.n = n, args.k = k, args.d = d;
    args.x = x.data(), args.squares = lengths.data(), args.centres = centres.data(), args.c_norms = c_norms.data(), args.centroids = centroids.data();
    args.c_length = c_length, args.x_length = x_length, args.longest = std::max(x_length, c_length);
    args.labels = labels.data(), args.evaluated = evaluated.data();
    outputs.result(table.nearest_bounded(context, &args));
    outputs.add("labels", labels);
  });
}

void min_distance(int64_t n, int64_t centres, int64_t d, bool ties) {
  const std::vector<float> points = ties ? grid_values(n * d, 1) : normal_values(n * d, 1);
  std::vector<float> chosen = ties ? grid_values(centres * d, 2) : normal_values(centres * d, 2);
  if (n > 1 && centres > 0) std::copy_n(points.begin() + d, d, chosen.begin());  // a distance of exactly zero
  const Guarded<float> x(points), x_norms(norms_of(points, d)), c(chosen), c_norms(norms_of(chosen, d));
  for (const bool with_nearest : {false, true}) {
    contract(label("min_distance", n, centres, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> m(n, 1.5f * static_cast<float>(d));
      Guarded<int32_t> nearest(n, -1);
      const ms_min_distance_args args{n, d, centres, x.data(), x_norms.data(), c.data(), c_norms.data(), m.data(), 7, with_nearest ? nearest.data() : nullptr};
      outputs.result(table.min_distance(context, &args));
      outputs.add("m", m);
      outputs.add("nearest", nearest);
    });
  }
}

// Where a row stops below the threshold is a backend's own choice, so what is compared is m after the rest of the centres has followed; a
// row that stops too early, or counts a centre that it has not met, shows there.
void refresh_minimum(int64_t n, int64_t rows, int64_t centres, int64_t d, bool ties) {
  std::vector<float> points = ties ? grid_values(n * d, 1) : normal_values(n * d, 1);
  if (n > 1 && !ties) std::copy_n(points.begin(), d, points.begin() + (n - 1) * d);  // a duplicate
  const Guarded<float> x(points), x_norms(norms_of(points, d));
  std::vector<int32_t> index = integer_values(rows, static_cast<uint32_t>(n), 4), applied_before = integer_values(rows, static_cast<uint32_t>(centres) + 1, 6);
  std::sort(applied_before.begin(), applied_before.end());
  const Guarded<int32_t> index_given(index), centre(integer_values(centres, static_cast<uint32_t>(n), 5));
  for (const float share : {0.0f, 0.5f, 1.2f}) {
    const float threshold = share == 0 ? -1.0f : 2 * share * static_cast<float>(d);
    contract(label("refresh_minimum", rows, centres, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> m(rows, INFINITY);
      Guarded<int32_t> applied(rows);
      // m knows the centres that `applied` says
      for (int64_t i = 0; i < rows; ++i) {
        applied.data()[i] = 0;
        const ms_refresh_minimum_args one{1, d, applied_before[static_cast<size_t>(i)], index_given.data() + i, x.data(), x_norms.data(), centre.data(), -1, m.data() + i, applied.data() + i};
        CHECK(table.refresh_minimum(context, &one) == MS_OK);
      }
      const auto run = [&](float limit) {
        const ms_refresh_minimum_args args{rows, d, centres, index_given.data(), x.data(), x_norms.data(), centre.data(), limit, m.data(), applied.data()};
        outputs.result(table.refresh_minimum(context, &args));
      };
      run(threshold);
      for (int64_t i = 0; i < rows; ++i) CHECK(m.data()[i] < threshold || applied.data()[i] == centres);
      run(-1);
      outputs.add("m", m);
      outputs.add("applied", applied);
    });
  }
}

void argmax(int64_t n, uint32_t taken_of_four, bool ties) {
  const Guarded<float> m(ties ? grid_values(n, 1) : normal_values(n, 1));
  const std::vector<int32_t> draws = integer_values(n, 4, 3);
  Guarded<uint8_t> taken(n);
  for (int64_t i = 0; i < n; ++i) taken.data()[i] = static_cast<uint32_t>(draws[static_cast<size_t>(i)]) < taken_of_four ? 1 : 0;
  contract(label("argmax", n, taken_of_four, 0), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> value(1);
    Guarded<int64_t> index(1);
    const ms_argmax_args args{n, m.data(), taken.data(), value.data(), index.data()};
    outputs.result(table.argmax(context, &args));
    outputs.add("value", value);
    outputs.add("index", index);
  });
}

void label_sums(int64_t n, int64_t k, int64_t d, float scale) {
  const Guarded<float> x(normal_values(n * d, 1, scale));
  const std::vector<int32_t> labels = integer_values(n, static_cast<uint32_t>(k), 2);
  contract(label("label_sums", n, k, d), {1e-9 * scale, 1e-9}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<double> sums(k * d);
    Guarded<int64_t> counts(k);
    const ms_label_sums_args args{n, k, d, x.data(), labels.data(), sums.data(), counts.data()};
    outputs.result(table.label_sums(context, &args));
    outputs.add("sums", sums);
    outputs.add("counts", counts);
  });
}

// Sums of permuted rows are the same bits: they are exact.
void label_sums_in_any_order() {
  const int64_t n = 1000, k = 7, d = 33;
  std::vector<float> x = normal_values(n * d, 1);
  std::vector<int32_t> labels = integer_values(n, static_cast<uint32_t>(k), 2);
  const ms_backend& table = *mendset_cpu_backend();
  ms_context* context = nullptr;
  CHECK(table.create(2, &context) == MS_OK);
  std::vector<double> forward(static_cast<size_t>(k * d)), backward(static_cast<size_t>(k * d));
  std::vector<int64_t> counts(static_cast<size_t>(k));
  ms_label_sums_args args{n, k, d, x.data(), labels.data(), forward.data(), counts.data()};
  CHECK(table.label_sums(context, &args) == MS_OK);
  for (int64_t i = 0; i < n / 2; ++i) {
    std::swap(labels[static_cast<size_t>(i)], labels[static_cast<size_t>(n - 1 - i)]);
    std::swap_ranges(x.begin() + i * d, x.begin() + (i + 1) * d, x.begin() + (n - 1 - i) * d);
  }
  args.sums = backward.data();
  CHECK(table.label_sums(context, &args) == MS_OK);
  CHECK(forward == backward);
  labels[3] = 7;
  CHECK(table.label_sums(context, &args) == MS_INVALID_ARGUMENT);
  CHECK(table.last_error(context)[0] != '\0');
  table.destroy(context);
}

void statistics(int64_t n, int64_t d, int64_t r) {
  const Guarded<float> x(normal_values(n * d, 1));
  std::vector<double> mean_values(static_cast<size_t>(d)), component_values(static_cast<size_t>(r * d));
  RandomStream stream(5, 1);
  for (double& value : mean_values) value = 0.1 * stream.normal();
  for (double& value : component_values) value = stream.normal();
  const Guarded<double> mean(mean_values), components(component_values);
  contract(label("column_means", n, 0, d), {1e-13, 1e-13}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<double> out(d);
    const ms_column_means_args args{n, d, x.data(), out.data()};
    outputs.result(table.column_means(context, &args));
    outputs.add("mean", out);
  });
  if (n >= 2) {
    contract(label("covariance", n, 0, d), {2e-7, 2e-6}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<double> out(d * d);
      const ms_covariance_args args{n, d, x.data(), mean.data(), out.data()};
      outputs.result(table.covariance(context, &args));
      outputs.add("covariance", out);
    });
  }
  contract(label("project", n, r, d), {1e-5, 1e-6}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> y(n * r);
    const ms_project_args args{n, d, r, x.data(), mean.data(), components.data(), y.data()};
    outputs.result(table.project(context, &args));
    outputs.add("y", y);
  });
}

void each_distance(int64_t n, int64_t centres, int64_t d, bool ties) {
  const std::vector<float> points = ties ? grid_values(n * d, 1) : normal_values(n * d, 1), chosen = ties ? grid_values(centres * d, 2) : normal_values(centres * d, 2);
  const Guarded<float> x(points), x_norms(norms_of(points, d)), c(chosen), c_norms(norms_of(chosen, d));
  contract(label("each_distance", n, centres, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> squares(centres * (n + 3), 0.0f);
    const ms_each_distance_args args{n, d, centres, x.data(), x_norms.data(), c.data(), c_norms.data(), squares.data(), n + 3};
    outputs.result(table.each_distance(context, &args));
    outputs.add("squares", squares);
  });
}

// Rows with repetitions; from all at infinity, and from distances of which about half are below the threshold.
void pick_farthest(int64_t n, int64_t most, int64_t d, bool ties) {
  const std::vector<float> points = ties ? grid_values(n * d, 1) : normal_values(n * d, 1);
  const Guarded<float> x(points);
  const std::vector<int32_t> rows = integer_values(n, static_cast<uint32_t>(std::max<int64_t>(n, 1)), 5);
  const Guarded<int32_t> index(rows);
  const std::vector<float> all_norms = norms_of(points, d);
  Guarded<float> x_norms(n);
  for (int64_t i = 0; i < n; ++i) x_norms.data()[i] = all_norms[static_cast<size_t>(rows[static_cast<size_t>(i)])];
  for (const bool half : {false, true}) {
    for (const int64_t fewest : {int64_t{1}, n / 2}) {
      contract(label("pick_farthest", n, most, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> packed((n + 63) / 64 * 64 * d), m(n, INFINITY), squares(most, 0.0f);
        Guarded<int32_t> picks(most, -1);
        Guarded<int64_t> count(1);
        const ms_pack_rows_args pack{n, d, index.data(), x.data(), packed.data()};
        CHECK(table.pack_rows(context, &pack) == MS_OK && packed.intact());
        if (half) {
          for (int64_t i = 0; i < n; ++i) m.data()[i] = static_cast<float>(d) * (ties ? 1 + static_cast<float>(i % 3) : 1 + static_cast<float>(i) / static_cast<float>(n));
        }
        const ms_pick_farthest_args args{n, d, most, fewest, packed.data(), x_norms.data(), half ? 1.5f * static_cast<float>(d) : 0.0f, m.data(), picks.data(), squares.data(), count.data()};
        outputs.result(table.pick_farthest(context, &args));
        outputs.add("m", m);
        outputs.add("picks", picks);
        outputs.add("squares", squares);
        outputs.add("count", count);
      });
    }
  }
}

void nearest_rows(int64_t n, int64_t candidates, int64_t d, int64_t k, bool ties) {
  const std::vector<float> points = ties ? grid_values(n * d, 1) : normal_values(n * d, 1), others = ties ? grid_values(candidates * d, 2) : normal_values(candidates * d, 2);
  const Guarded<float> x(points), x_norms(norms_of(points, d)), c(others), c_norms(norms_of(others, d));
  contract(label("nearest_rows", n, candidates, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> distances(n * k, INFINITY);
    Guarded<int32_t> indices(n * k, -1);
    const ms_nearest_rows_args args{n, d, candidates, k, x.data(), x_norms.data(), c.data(), c_norms.data(), 3, 1, distances.data(), indices.data()};
    outputs.result(table.nearest_rows(context, &args));
    for (int64_t i = 0; i < n * k; ++i) distances.data()[i] = std::min(distances.data()[i], 1e30f);  // infinities compare as NaN
    outputs.add("distances", distances);
    outputs.add("indices", indices);
  });
  for (const int32_t similarity : {MS_SIMILARITY_DOT, MS_SIMILARITY_NEARNESS}) {
    for (const int32_t update : {0, 1}) {
      if (update != 0 && candidates < 1) continue;
      contract(label("coverage_gains", n, candidates, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> best(n, similarity == MS_SIMILARITY_DOT ? 0.5f : static_cast<float>(2 * d));
        Guarded<double> gains(candidates, 1.0);
        const ms_coverage_gains_args args{n, d, update != 0 ? 1 : candidates, similarity, x.data(), x_norms.data(), c.data(), c_norms.data(), 1.5 * 0x1p30, best.data(), update, gains.data()};
        outputs.result(table.coverage_gains(context, &args));
        outputs.add("best", best);
        outputs.add("gains", gains);
      });
    }
  }
}

void clusters(int64_t n, int64_t k, int64_t d) {
  const Guarded<float> x(normal_values(n * d, 1));
  std::vector<int32_t> from = integer_values(n, static_cast<uint32_t>(k + 1), 2), to = integer_values(n, static_cast<uint32_t>(k), 3);
  for (int32_t& value : from) --value;
  const Guarded<int32_t> before(from), after(to);
  std::vector<double> centres(static_cast<size_t>(k * d));
  RandomStream stream(5, 1);
  for (double& value : centres) value = stream.normal();
  const Guarded<double> centroids(centres);
  contract(label("move_rows", n, k, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<double> sums(k * d, 0.0);
    Guarded<int64_t> counts(k, 100);
    const ms_move_rows_args args{n, k, d, x.data(), before.data(), after.data(), 1.5 * 0x1p16, sums.data(), counts.data()};
    outputs.result(table.move_rows(context, &args));
    outputs.add("sums", sums);
    outputs.add("counts", counts);
  });
  for (const bool own : {false, true}) {
    contract(label("label_distances", n, k, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<double> squares(n);
      const ms_label_distances_args args{n, d, x.data(), own ? centroids.data() : nullptr, own ? after.data() : nullptr, squares.data()};
      outputs.result(table.label_distances(context, &args));
      outputs.add("squares", squares);
    });
  }
  if (k > 0) {
    std::vector<float> rounded(centroids.data(), centroids.data() + k * d), c_norms(static_cast<size_t>(k));
    double c_length = 0, x_length = 0;
    for (int64_t j = 0; j < k; ++j) {
      double square = 0;
      float chain = 0;
      for (int64_t p = j * d; p < (j + 1) * d; ++p) {
        square += centroids.data()[p] * centroids.data()[p];
        chain = std::fma(rounded[static_cast<size_t>(p)], rounded[static_cast<size_t>(p)], chain);
      }
      c_length = std::max(c_length, std::sqrt(square) * (1 + 1e-9));
      c_norms[static_cast<size_t>(j)] = chain;
    }
    std::vector<double> squares(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t p = i * d; p < (i + 1) * d; ++p) squares[static_cast<size_t>(i)] += static_cast<double>(x.data()[p]) * static_cast<double>(x.data()[p]);
      x_length = std::max(x_length, std::sqrt(squares[static_cast<size_t>(i)]) * (1 + 1e-9));
    }
    contract(label("nearest_bounded", n, k, d), kEqual, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<int32_t> labels(n);
      int64_t evaluated[4] = {0, 0, 0, 0};
      ms_nearest_bounded_args args{};
      args.n = n;
      args.k = k;
      args.d = d;
      args.x = x.data();
      args.squares = squares.data();
      args.centres = rounded.data();
      args.c_norms = c_norms.data();
      args.centroids = centroids.data();
      args.c_length = c_length;
      args.x_length = x_length;
      args.longest = std::max(c_length, x_length);
      args.labels = labels.data();
      args.evaluated = evaluated;
      outputs.result(table.nearest_bounded(context, &args));
      outputs.add("labels", labels);
    });
  }
  if (d < 5) return;
  const std::vector<float> mean_values = normal_values(d, 7), direction_values = normal_values(4 * d, 8);
  const Guarded<float> mean(mean_values), directions(direction_values);
  contract(label("filter_heads", n, 4, d), {1e-4, 1e-4}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> heads(n * 5);
    Guarded<double> lengths(n), spreads(n);
    const ms_filter_heads_args args{n, d, 4, x.data(), mean.data(), directions.data(), 1e-5, heads.data(), n % 2 == 0 ? lengths.data() : nullptr, spreads.data()};
    outputs.result(table.filter_heads(context, &args));
    outputs.add("heads", heads);
    outputs.add("lengths", lengths);
    outputs.add("spreads", spreads);
  });
}

}  // namespace

int main() {
  for (const int64_t n : {0, 1, 33, 300}) {
    for (const int64_t d : {1, 31, 97}) {
      for (const bool ties : {false, true}) {
        for (const int64_t centres : {0, 1, 4, 5, 40}) each_distance(n, centres, d, ties);
        nearest_rows(n, 70, d, 3, ties);
      }
      clusters(n, 7, d);
    }
  }
  nearest_rows(40, 450, 900, 5, false);
  clusters(1100, 40, 130);
  each_distance(700, 14, 500, false);
  for (const bool ties : {false, true}) {
    for (const int64_t n : {0, 1, 31, 64, 65, 300}) {
      for (const int64_t d : {1, 33, 97}) pick_farthest(n, 20, d, ties);
    }
  }
  pick_farthest(33, 40, 5, true);  // all rows
  pick_farthest(700, 9, 600, false);  // several panels for a block, coordinates in two parts
  for (const int64_t n : {0, 1, 31, 33, 97, 4097}) {
    for (const int64_t d : {1, 31, 33, 97}) {
      row_norms(n, d);
      statistics(n, d, std::min<int64_t>(d, 5));
      label_sums(n, 5, d, 1.0f);
    }
    for (const uint32_t taken : {0u, 1u, 3u, 4u}) {
      argmax(n, taken, false);
      argmax(n, taken, true);
    }
  }
  row_norms(33, 4097);
  argmax(40001, 1, true);
  statistics(2100, 33, 17);
  label_sums(97, 3, 4097, 1e30f);
  label_sums(31, 2, 33, 0.0f);
  label_sums_in_any_order();
  for (const bool ties : {false, true}) {
    for (const int64_t n : {0, 1, 31, 33, 97, 600}) {
      for (const int64_t k : {1, 2, 4, 12, 13, 31, 97}) {
        for (const int64_t d : {1, 31, 97}) {
          nearest_centre(n, k, d, ties);
          nearest_bounded(n, k, d, ties);
        }
      }
      for (const int64_t centres : {0, 1, 5, 13, 33}) {
        for (const int64_t d : {1, 31, 97}) min_distance(n, centres, d, ties);
      }
    }
    for (const int64_t rows : {0, 1, 33, 97}) {
      for (const int64_t centres : {0, 1, 13, 90}) {
        for (const int64_t d : {1, 31, 97}) refresh_minimum(60, rows, centres, d, ties);
      }
    }
#if !defined(MENDSET_CONTRACT_EMULATED)
    refresh_minimum(800, 700, 300, 400, ties);   // several batches
    refresh_minimum(100, 50, 300, 4500, ties);   // several slices of centres
#endif
    nearest_centre(33, 4097, 5, ties);
    nearest_centre(97, 500, 900, ties);
    nearest_bounded(97, 500, 900, ties);
    min_distance(33, 4, 4097, ties);
    min_distance(33, 500, 400, ties);
  }
  return finish();
}
